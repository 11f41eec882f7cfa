//! SQL over sources: each source is a table, with its arrival number as `_row`.
//!
//! Queries run on one partition: sums of floats then always add up in the same order, so a snapshot made twice is the
//! same snapshot.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::Dtype;
use schema::definitions::ROW_COLUMN;
use transform::{cast, depth, expr};

use super::batches;
use super::history::sequence_column;
use super::source::{SourceFile, SourceFiles};

/// A context in which every source is a table.
///
/// # Errors
/// The engine's, if two sources share a name.
pub fn context<'s>(sources: impl IntoIterator<Item = &'s SourceFiles>) -> Result<SessionContext, DataFusionError> {
    let config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
    let context = SessionContext::new_with_config(config);
    for files in sources {
        let table = SourceTable { schema: table_schema(files), files: Arc::new(files.clone()) };
        context.register_table(files.source.name.as_str(), Arc::new(table))?;
    }
    Ok(context)
}

/// Plans one read-only query.
///
/// # Errors
/// The engine's, for what does not parse, names what is not there, or is no query.
pub async fn plan(context: &SessionContext, sql: &str) -> Result<DataFrame, DataFusionError> {
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    depth::check(sql).map_err(DataFusionError::Plan)?;
    if samples(sql) {
        let why = "it has TABLESAMPLE, which is not known here: take some of the rows by a condition, `WHERE user_id % 100 = 0`";
        return Err(DataFusionError::Plan(why.to_owned()));
    }
    context.sql_with_options(sql, read_only).await
}

/// Whether a query asks for some rows of a table by chance. The engine parses that, and answers with all rows.
fn samples(sql: &str) -> bool {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    tokens.iter().any(|token| match token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case("tablesample"),
        _ => false,
    })
}

/// Plans the query of a view: its rows depend on nothing but its source.
///
/// # Errors
/// As [`plan`]; and for a function that gives another answer each time, such as `now()` or `random()`.
pub async fn plan_view(context: &SessionContext, sql: &str) -> Result<DataFrame, DataFusionError> {
    let frame = plan(context, sql).await?;
    let mut offender = None;
    frame.logical_plan().apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            offender = offender.take().or(expr::volatile_call(expr)?);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    match offender {
        None => Ok(frame),
        Some(function) => Err(DataFusionError::Plan(format!(
            "it calls `{function}`, which gives another answer each time: history must not depend on when it is read"
        ))),
    }
}

/// What one query may take; see docs/decisions/0039.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Bytes that it may hold; what can be laid aside beyond them goes to the disk.
    pub memory_bytes: usize,
    /// How long it may compute; the time that its rows are waited for by nobody does not count.
    pub time: Duration,
    /// Rows that it may yield.
    pub rows: u64,
}

impl QueryLimits {
    /// For what is no query of anybody's: memory alone.
    pub(crate) const MEMORY: Self = Self { memory_bytes: 2 << 30, time: Duration::MAX, rows: u64::MAX };
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(3600), rows: 1_000_000_000, ..Self::MEMORY }
    }
}

/// Runs a query within limits, and so that it can be ended.
///
/// It sorts and groups on the disk what it can, and is refused what it cannot. Every operator pauses now and then, or a join
/// that makes billions of rows for an aggregate would be one uninterrupted call.
///
/// # Errors
/// The engine's; of the stream too, that a limit is reached.
pub async fn run(frame: DataFrame, limits: QueryLimits) -> Result<SendableRecordBatchStream, DataFusionError> {
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(limits.memory_bytes, 1.0).build_arc()?;
    let context = Arc::new(frame.task_ctx().with_runtime(runtime));
    let plan = frame.create_physical_plan().await?;
    let pausing = |node| {
        let node: Arc<dyn ExecutionPlan> = Arc::new(CooperativeExec::new(node));
        Ok(Transformed::yes(node))
    };
    Ok(within(limits, execute_stream(plan.transform_up(pausing)?.data, context)?))
}

/// Ends a stream that takes too long or yields too much.
fn within(limits: QueryLimits, rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let next = move |(mut rows, used, mut n_rows): (SendableRecordBatchStream, Duration, u64)| async move {
        let started = Instant::now();
        let left = limits.time.saturating_sub(used);
        let Ok(batch) = tokio::time::timeout(left, rows.next()).await else {
            let max = limits.time.as_secs_f64();
            return Err(refused(&format!("it computed for longer than {max} s"), "time"));
        };
        let Some(batch) = batch.transpose()? else { return Ok(None) };
        n_rows += batch.num_rows() as u64;
        if n_rows > limits.rows {
            return Err(refused(&format!("it yields more than {} rows", limits.rows), "rows"));
        }
        Ok(Some((batch, (rows, used + started.elapsed(), n_rows))))
    };
    let rows = futures::stream::try_unfold((rows, Duration::ZERO, 0), next);
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

fn refused(why: &str, setting: &str) -> DataFusionError {
    let hint = format!("the limit of a query: make it cheaper, or raise `query: {{{setting}: ...}}` in plumb.yaml");
    DataFusionError::ResourcesExhausted(format!("{why}, {hint}"))
}

fn table_schema(files: &SourceFiles) -> SchemaRef {
    let schema = files.schema();
    let row = Field::new(ROW_COLUMN, DataType::UInt64, false);
    let fields: Vec<_> = schema.fields().iter().cloned().chain([Arc::new(row)]).collect();
    Arc::new(Schema::new(fields))
}

#[derive(Debug)]
struct SourceTable {
    schema: SchemaRef,
    files: Arc<SourceFiles>,
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let schema = match projection {
            Some(wanted) => Arc::new(self.schema.project(wanted)?),
            None => SchemaRef::clone(&self.schema),
        };
        let rows = Arc::new(Rows { schema: SchemaRef::clone(&schema), files: Arc::clone(&self.files) });
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![rows], None, Vec::new(), false, limit)?))
    }
}

/// All rows of a source, in arrival order.
struct Rows {
    schema: SchemaRef,
    files: Arc<SourceFiles>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows of source `{}`", self.files.source.name)
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, files) = (SchemaRef::clone(&self.schema), Arc::clone(&self.files));
        let each = {
            let schema = SchemaRef::clone(&schema);
            (0..files.files.len()).flat_map(move |file| read(&files, file, &schema))
        };
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(each)))
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, DataFusionError>> + Send>;

fn read(files: &SourceFiles, file: usize, schema: &SchemaRef) -> Batches {
    match open(files, &files.files[file], schema) {
        Ok(batches) => batches,
        Err(why) => Box::new(std::iter::once(Err(why))),
    }
}

fn open(files: &SourceFiles, file: &SourceFile, schema: &SchemaRef) -> Result<Batches, DataFusionError> {
    let in_file = |name: &str| match files.row_column() {
        Some(numbers) if name == ROW_COLUMN => numbers.to_owned(),
        _ => files.column_in_file(name),
    };
    let names: Vec<String> =
        schema.fields().iter().map(|f| in_file(f.name())).filter(|name| name != ROW_COLUMN).collect();
    let mask = file.mask(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let opened = file.reopen().map_err(|why| DataFusionError::Execution(format!("`{}`: {why}", file.name)))?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, file.metadata.clone());
    let reader = batches::build(reader.with_projection(mask));
    let damaged = |why| DataFusionError::Execution(format!("`{}`: {why}", file.name));
    let reader = reader.map_err(damaged)?;
    let zone = files.source.timezone.clone();
    let (schema, files, file) = (SchemaRef::clone(schema), files.clone(), file.clone());
    let mut first_row = file.first_row;
    Ok(Box::new(reader.map(move |batch| {
        let name = &file.name;
        let wrong = |why: schema::BoxError| DataFusionError::Execution(format!("`{name}`: {why}"));
        let columns: Vec<&str> = names.iter().map(String::as_str).collect();
        let batch = file.shaped(&columns, batch.map_err(wrong)?).map_err(wrong)?;
        let n = batch.num_rows();
        let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef, DataFusionError> {
            if field.name() == ROW_COLUMN {
                if let Some(numbers) = files.row_column().and_then(|numbers| batch.column_by_name(numbers)) {
                    let numbers = sequence_column(numbers).map_err(|why| wrong(why.into()))?;
                    return Ok(Arc::new(numbers));
                }
                return Ok(Arc::new(UInt64Array::from_iter_values(first_row..first_row + n as u64)));
            }
            let found = batch.column_by_name(&files.column_in_file(field.name()));
            let column = found.ok_or_else(|| DataFusionError::Execution(format!("`{name}` lost a column")))?;
            // Times become ours; where files differ, so do all others.
            let dtype = match field.data_type() {
                DataType::Timestamp(_, _) => Some(Dtype::Timestamp),
                wanted if wanted == column.data_type() => None,
                wanted => Dtype::from_arrow(wanted),
            };
            let Some(dtype) = dtype else { return Ok(ArrayRef::clone(column)) };
            let column = cast::conform(column, dtype, zone.as_deref());
            column.map_err(|why| DataFusionError::Execution(format!("column `{}` of `{name}`: {why}", field.name())))
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        first_row += n as u64;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(n));
        Ok(RecordBatch::try_new_with_options(SchemaRef::clone(&schema), columns, &options)?)
    })))
}

#[cfg(test)]
mod tests;
