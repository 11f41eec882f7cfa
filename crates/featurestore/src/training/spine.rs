//! The spine: the rows to be joined, with keys, a time and whatever else, from Parquet, CSV or SQL over the sources.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::prelude::CsvReadOptions;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::yaml::suggest;
use schema::{AppliedDefinitions, Dtype, Timestamp};
use transform::{cast, expr};

use crate::compiled::CompiledService;
use crate::offline::source::{self, read_error};
use crate::offline::{OfflineError, OfflineStore, query};
use crate::retrieve::EntityRows;

/// Names that are taken for the event time when none is given.
const TIME_COLUMNS: [&str; 2] = ["event_time", "event_timestamp"];

/// A spine in memory.
#[derive(Debug)]
pub struct Spine {
    name: String,
    rows: RecordBatch,
    times: Vec<Option<Timestamp>>,
    naive: bool,
}

impl Spine {
    /// Reads `path`: a `.parquet` or `.csv` file, or a `.sql` file with a query over the applied sources.
    ///
    /// `time_column` names the column of the instants; `event_time` or `event_timestamp` unless given.
    ///
    /// # Errors
    /// [`OfflineError`] naming the file and what is wrong with it.
    pub async fn read(
        path: &Path,
        time_column: Option<&str>,
        store: &OfflineStore,
        definitions: &AppliedDefinitions,
    ) -> Result<Self, OfflineError> {
        let name = path.display().to_string();
        if !path.is_file() {
            return Err(OfflineError::NoFile { context: "the spine".to_owned(), path: name });
        }
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
        let rows = match end.as_str() {
            "parquet" => read_parquet(path, &name)?,
            "csv" => read_csv(&name).await?,
            "sql" => {
                let sql = std::fs::read_to_string(path).map_err(|why| read_error(&name, why))?;
                read_sql(&sql, &name, store, definitions).await?
            }
            _ => {
                return Err(OfflineError::Spine {
                    what: format!("spine `{name}`"),
                    why: "its name ends in neither .parquet, .csv nor .sql".to_owned(),
                    hint: "write the spine as Parquet, or as a query over the sources".to_owned(),
                });
            }
        };
        Self::new(&name, rows, time_column)
    }

    /// Takes rows as they are.
    ///
    /// # Errors
    /// [`OfflineError::Spine`] without a usable time column.
    pub fn new(name: &str, rows: RecordBatch, time_column: Option<&str>) -> Result<Self, OfflineError> {
        let what = format!("spine `{name}`");
        let schema = rows.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let wanted = time_column.map_or_else(|| TIME_COLUMNS.to_vec(), |column| vec![column]);
        let Some(column) = wanted.iter().find(|wanted| names.contains(wanted)) else {
            return Err(OfflineError::Spine {
                what,
                why: format!("it has no column {}", schema::yaml::list(&wanted)),
                hint: format!("name its time with --event-time; {}", suggest(wanted[0], names.iter().copied())),
            });
        };
        let at = schema.index_of(column).unwrap_or_default();
        let times = cast::times(rows.column(at), None).map_err(|why| OfflineError::Spine {
            what,
            why: format!("column `{column}`: {why}"),
            hint: "use timestamps, or texts in RFC 3339".to_owned(),
        })?;
        let times = times.iter().map(|t| t.map(Timestamp::from_nanos)).collect();
        let naive = matches!(rows.column(at).data_type(), DataType::Timestamp(_, None));
        Ok(Self { name: name.to_owned(), rows, times, naive })
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its rows, unchanged.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The instant of each row.
    pub fn times(&self) -> &[Option<Timestamp>] {
        &self.times
    }

    /// What a request would say: the columns of keys and request fields that a service needs, in their dtypes.
    ///
    /// # Errors
    /// [`OfflineError::Spine`] if a column is absent or of a type that does not widen to the declared one.
    pub fn entities(&self, compiled: &CompiledService) -> Result<EntityRows, OfflineError> {
        let mut columns = HashMap::new();
        for view in &compiled.views {
            for (key, own) in view.keys.iter().zip(view.view.keys()) {
                let named = if key.name == own.name { String::new() } else { format!(" `{}`", own.name) };
                let needed_by = format!("the join key{named} of feature view `{}`", view.name);
                let declared = format!("the join key of entity `{}`", view.view.entity.name);
                let column = self.column(key.name.as_str(), key.dtype, &needed_by, &declared)?;
                columns.insert(key.name.to_string(), column);
            }
        }
        for view in &compiled.on_demand {
            for field in &view.view.definition.request {
                let needed_by = format!("a request field of on-demand view `{}`", view.name);
                let declared = format!("the request field of on-demand view `{}`", view.name);
                let column = self.column(field.name.as_str(), field.dtype, &needed_by, &declared)?;
                columns.insert(field.name.to_string(), column);
            }
        }
        Ok(EntityRows { n: self.rows.num_rows(), columns })
    }

    fn column(&self, name: &str, dtype: Dtype, needed_by: &str, declared: &str) -> Result<ArrayRef, OfflineError> {
        let what = || format!("spine `{}`", self.name);
        let column = self.rows.column_by_name(name).ok_or_else(|| {
            let schema = self.rows.schema();
            let names = schema.fields().iter().map(|f| f.name().as_str());
            let why = format!("it has no column `{name}`, {needed_by}");
            OfflineError::Spine { what: what(), why, hint: suggest(name, names) }
        })?;
        cast::conform(column, dtype, None).map_err(|why| {
            let why = match why {
                cast::CastError::Type { from, .. } => format!("column `{name}` is {from}, but {declared} is {dtype}"),
                cast::CastError::Value { why } => format!("column `{name}`: {why}"),
            };
            let hint = format!("write the column as {dtype}");
            OfflineError::Spine { what: what(), why, hint }
        })
    }

    /// What the user should know of it.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.naive {
            warnings.push(format!("times of `{}` carry no zone and were read as UTC", self.name));
        }
        let null = self.times.iter().filter(|t| t.is_none()).count();
        if null > 0 {
            warnings.push(format!("{null} rows of `{}` have no time: their features are null", self.name));
        }
        warnings
    }
}

fn one_batch(
    name: &str,
    schema: &arrow::datatypes::SchemaRef,
    batches: &[RecordBatch],
) -> Result<RecordBatch, OfflineError> {
    let whole = concat_batches(schema, batches).map_err(|why| read_error(name, why))?;
    if u32::try_from(whole.num_rows()).is_err() {
        return Err(OfflineError::Spine {
            what: format!("spine `{name}`"),
            why: format!("it has {} rows; at most {} are joined at once", whole.num_rows(), u32::MAX),
            hint: "split it".to_owned(),
        });
    }
    Ok(whole)
}

fn read_parquet(path: &Path, name: &str) -> Result<RecordBatch, OfflineError> {
    let opened = source::open_file(Path::new(""), path.to_path_buf(), 0)?;
    let file = File::open(path).map_err(|why| read_error(name, why))?;
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, opened.metadata.clone())
        .with_batch_size(65_536)
        .build()
        .map_err(|why| read_error(name, why))?;
    let schema = reader_schema(&reader);
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|why| read_error(name, why))?;
    one_batch(name, &schema, &batches)
}

fn reader_schema(reader: &impl arrow::array::RecordBatchReader) -> arrow::datatypes::SchemaRef {
    reader.schema()
}

async fn read_csv(name: &str) -> Result<RecordBatch, OfflineError> {
    let fail = |why: datafusion::common::DataFusionError| read_error(name, expr::plain(&why));
    let context = query::context([]).map_err(fail)?;
    let frame = context.read_csv(name, CsvReadOptions::new()).await.map_err(fail)?;
    collect(name, frame).await
}

async fn read_sql(
    sql: &str,
    name: &str,
    store: &OfflineStore,
    definitions: &AppliedDefinitions,
) -> Result<RecordBatch, OfflineError> {
    let fail = |why: datafusion::common::DataFusionError| OfflineError::Spine {
        what: format!("spine `{name}`"),
        why: expr::plain(&why),
        hint: "a spine query reads the applied sources by name; `_row` is a row's arrival number".to_owned(),
    };
    let mut sources = Vec::with_capacity(definitions.sources.len());
    for source in definitions.sources.values() {
        sources.push(source::open(store, source).await?);
    }
    let context = query::context(&sources).map_err(fail)?;
    let frame = query::plan(&context, sql).await.map_err(fail)?;
    collect(name, frame).await
}

async fn collect(name: &str, frame: datafusion::dataframe::DataFrame) -> Result<RecordBatch, OfflineError> {
    let fail = |why: datafusion::common::DataFusionError| read_error(name, expr::plain(&why));
    let schema = std::sync::Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(fail)?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    let whole = one_batch(name, &schema, &batches)?;
    // String views are the engine's own form; files and readers expect plain strings.
    let plain = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => arrow::compute::cast(column, &DataType::Utf8),
        // Parquet has no seconds: they would be written as integers. The engine reads zoned texts as seconds in UTC.
        DataType::Timestamp(TimeUnit::Second, zone) => {
            let zone = zone.clone().unwrap_or_else(|| "UTC".into());
            arrow::compute::cast(column, &DataType::Timestamp(TimeUnit::Microsecond, Some(zone)))
        }
        _ => Ok(ArrayRef::clone(column)),
    };
    let columns = whole.columns().iter().map(plain).collect::<Result<Vec<_>, _>>();
    let columns = columns.map_err(|why| read_error(name, why))?;
    let fields: Vec<_> = whole
        .schema()
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()))
        .collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(whole.num_rows()));
    RecordBatch::try_new_with_options(std::sync::Arc::new(arrow::datatypes::Schema::new(fields)), columns, &options)
        .map_err(|why| read_error(name, why))
}
