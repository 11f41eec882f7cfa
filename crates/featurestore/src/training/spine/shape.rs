//! What the columns of a spine are, whether they fit a service, and some of its rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use schema::definitions::JoinKey;
use schema::name::CONSTANT_KEY;
use schema::yaml::suggest;
use schema::{Dtype, Timestamp};
use transform::cast;

use crate::compiled::CompiledService;
use crate::offline::OfflineError;
use crate::offline::source::read_error;
use crate::retrieve::EntityRows;

/// Names that are taken for the event time when none is given.
pub(super) const TIME_COLUMNS: [&str; 2] = ["event_time", "event_timestamp"];

/// The columns of a spine.
#[derive(Debug, Clone)]
pub struct Shape {
    name: String,
    schema: SchemaRef,
    time: usize,
}

/// Some rows of a spine, in memory.
#[derive(Debug)]
pub struct Block {
    /// All its columns.
    pub rows: RecordBatch,
    /// The instant of each row.
    pub times: Vec<Option<Timestamp>>,
    /// What a request would say: the columns of keys and request fields that the service needs, in their dtypes.
    pub entities: EntityRows,
}

impl Shape {
    /// Columns in the types that files of a training set have: dictionaries and views are the values that they stand
    /// for, and whole seconds are microseconds, since Parquet has none.
    ///
    /// # Errors
    /// [`OfflineError::Spine`] without a usable time column, or with two columns of one name.
    pub fn new(name: &str, schema: SchemaRef, time_column: Option<&str>) -> Result<Self, OfflineError> {
        let refuse = |why: String, hint: String| OfflineError::Spine { what: format!("spine `{name}`"), why, hint };
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        if let Some((_, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(refuse(format!("two columns are called `{twice}`"), "rename one of them".to_owned()));
        }
        let wanted = time_column.map_or_else(|| TIME_COLUMNS.to_vec(), |column| vec![column]);
        let Some(column) = wanted.iter().find(|wanted| names.contains(wanted)) else {
            let hint = format!(
                "name the column of its times (--event-time, or `event_time` of a request); {}",
                suggest(wanted[0], names.iter().copied())
            );
            return Err(refuse(format!("it has no column {}", schema::yaml::list(&wanted)), hint));
        };
        let time = schema.index_of(column).unwrap_or_default();
        let found = schema.field(time).data_type();
        let is_time = matches!(Dtype::from_arrow(found), Some(Dtype::Timestamp | Dtype::Date | Dtype::String));
        if !is_time && *found != DataType::Null {
            let why = format!("column `{column}` is {}, but a time is needed", cast::describe(found));
            return Err(refuse(why, "use timestamps, or texts in RFC 3339".to_owned()));
        }
        let field = |field: &Arc<Field>| {
            // pandas keeps its own notes in the schema, which would no longer be true.
            Field::new(field.name(), plain_type(field.data_type()), true)
        };
        let schema = Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()));
        Ok(Self { name: name.to_owned(), schema, time })
    }

    /// What messages call the spine.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The column of its times.
    pub fn time_column(&self) -> &str {
        self.schema.field(self.time).name()
    }

    /// Whether its times carry no zone.
    pub fn is_naive(&self) -> bool {
        matches!(self.schema.field(self.time).data_type(), DataType::Timestamp(_, None))
    }

    /// That a service can be joined with it: every column that is needed is there and of a type that widens to the
    /// declared one, and no feature, by its name among `names`, is called as a column.
    ///
    /// # Errors
    /// [`OfflineError::Spine`].
    pub fn check(&self, compiled: &CompiledService, names: &[String]) -> Result<(), OfflineError> {
        let service = &compiled.service;
        for (name, column) in names.iter().zip(&service.columns) {
            if self.schema.column_with_name(name).is_some() {
                let of = column.use_name();
                return Err(self.refuse(
                    format!(
                        "column `{name}` has the name of a feature of service `{}` (of feature view `{of}`)",
                        service.name
                    ),
                    "rename the column, or rename the feature in the service: {feature: view:feature, as: name}"
                        .to_owned(),
                ));
            }
        }
        for (name, dtype, needed_by, declared) in needed(compiled) {
            let Some((_, field)) = self.schema.column_with_name(&name) else {
                if name == CONSTANT_KEY {
                    continue;
                }
                let names = self.schema.fields().iter().map(|f| f.name().as_str());
                let hint = suggest(&name, names);
                return Err(self.refuse(format!("it has no column `{name}`, {needed_by}"), hint));
            };
            if !cast::conforms(field.data_type(), dtype) {
                return Err(self.misfit(&name, field.data_type(), &declared, dtype));
            }
        }
        Ok(())
    }

    fn misfit(&self, name: &str, found: &DataType, declared: &str, dtype: Dtype) -> OfflineError {
        let why = format!("column `{name}` is {}, but {declared} is {dtype}", cast::describe(found));
        self.refuse(why, format!("write the column as {dtype}"))
    }

    fn refuse(&self, why: String, hint: String) -> OfflineError {
        OfflineError::Spine { what: format!("spine `{}`", self.name), why, hint }
    }

    /// Rows in the types of [`Self::schema`].
    ///
    /// # Errors
    /// [`OfflineError::Read`] for a batch that has other columns.
    pub fn plain(&self, batch: &RecordBatch) -> Result<RecordBatch, OfflineError> {
        let fail = |why: arrow::error::ArrowError| read_error(&self.name, why);
        let columns = batch.columns().iter().zip(self.schema.fields()).map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(ArrayRef::clone(column));
            }
            arrow::compute::cast(column, field.data_type())
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(fail)?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options).map_err(fail)
    }

    /// Rows with what the service needs of them; [`Self::check`] has said that it is there.
    ///
    /// # Errors
    /// [`OfflineError::Spine`] for a single value that does not fit.
    pub fn block(&self, rows: RecordBatch, compiled: &CompiledService) -> Result<Block, OfflineError> {
        let times = cast::times(rows.column(self.time), None).map_err(|why| {
            let why = format!("column `{}`: {why}", self.time_column());
            self.refuse(why, "use timestamps, or texts in RFC 3339".to_owned())
        })?;
        let times = times.iter().map(|t| t.map(Timestamp::from_nanos)).collect();
        let mut columns = HashMap::new();
        for (name, dtype, _, declared) in needed(compiled) {
            if name == CONSTANT_KEY {
                columns.insert(name, JoinKey::constants(rows.num_rows()));
                continue;
            }
            let column = rows.column_by_name(&name).ok_or_else(|| {
                self.refuse(format!("it lost column `{name}`"), "the file changed while it was read".to_owned())
            })?;
            let conformed = cast::conform(column, dtype, None).map_err(|why| match why {
                cast::CastError::Type { .. } => self.misfit(&name, column.data_type(), &declared, dtype),
                cast::CastError::Value { why } => {
                    self.refuse(format!("column `{name}`: {why}"), format!("write the column as {dtype}"))
                }
            })?;
            columns.insert(name, conformed);
        }
        let entities = EntityRows { n: rows.num_rows(), columns };
        Ok(Block { rows, times, entities })
    }
}

/// The types of the columns that a service needs of a spine, by name.
pub fn needed_types(compiled: &CompiledService) -> BTreeMap<String, Dtype> {
    needed(compiled).into_iter().map(|(name, dtype, _, _)| (name, dtype)).collect()
}

/// The columns that a service needs: name, type, who needs it, who declares the type.
fn needed(compiled: &CompiledService) -> Vec<(String, Dtype, String, String)> {
    let mut needed = Vec::new();
    for view in &compiled.views {
        for (key, own) in view.keys.iter().zip(view.view.keys()) {
            let named = if key.name == own.name { String::new() } else { format!(" `{}`", own.name) };
            let needed_by = format!("the join key{named} of feature view `{}`", view.name);
            let declared = format!("the join key of entity `{}`", view.view.entity.name);
            needed.push((key.name.to_string(), key.dtype, needed_by, declared));
        }
    }
    for view in &compiled.on_demand {
        for field in &view.view.definition.request {
            let needed_by = format!("a request field of on-demand view `{}`", view.name);
            let declared = format!("the request field of on-demand view `{}`", view.name);
            needed.push((field.name.to_string(), field.dtype, needed_by, declared));
        }
    }
    needed
}

/// The type in which a column of this type is joined and written.
fn plain_type(found: &DataType) -> DataType {
    match found {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::RunEndEncoded(_, value) => plain_type(value.data_type()),
        DataType::Timestamp(TimeUnit::Second, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        other => other.clone(),
    }
}
