//! Our types in Delta's, which keep microseconds and have neither unsigned integers nor spans of time nor fixed lists.
//!
//! Nothing is cut off: what Delta has no type for is stored in a wider one and the declared type is written beside the
//! column, in its metadata. An instant is two columns, its microseconds and, where there is one, the rest in nanoseconds.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int16Array, Int64Array, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Fields, Int16Type, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::datatypes::{TimestampMicrosecondType, TimestampNanosecondType};
use schema::definitions::Column;
use schema::{Dtype, Scalar};
use serde_json::{Value as Json, json};
use transform::cast;

use super::error::TableError;
use super::protocol::ARRIVAL_COLUMN;

/// In a column's metadata: its declared type.
const TYPE: &str = "plumb.type";
/// In a column's metadata: that it is ours, and what for.
const ROLE: &str = "plumb.role";
/// End of the name of the column that holds what microseconds leave over of another's instants.
const REST: &str = "__nanos";
const CHECKED: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

/// A column of a table made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its declared type.
    pub dtype: Dtype,
}

impl From<&Column> for TableColumn {
    fn from(column: &Column) -> Self {
        Self { name: column.name.to_string(), dtype: column.dtype }
    }
}

impl TableColumn {
    /// The column of the rest of its instants, where it has instants.
    pub(super) fn rest(&self) -> Option<String> {
        (self.dtype == Dtype::Timestamp).then(|| format!("{}{REST}", self.name))
    }
}

/// Refuses names that would meet in a table.
pub(super) fn check_names(table: &str, columns: &[TableColumn]) -> Result<(), TableError> {
    let refuse = |why: String| Err(TableError::Columns { table: table.to_owned(), why });
    if columns.is_empty() {
        return refuse("there are none".to_owned());
    }
    let mut names = std::collections::BTreeMap::new();
    names.insert(ARRIVAL_COLUMN.to_owned(), "the column of arrival numbers".to_owned());
    for column in columns {
        let own = (column.name.clone(), format!("column `{}`", column.name));
        let rest = column.rest().map(|name| (name, format!("the nanoseconds of column `{}`", column.name)));
        for (name, what) in [own].into_iter().chain(rest) {
            // Delta's names do not differ by case.
            if let Some(first) = names.insert(name.to_lowercase(), what.clone()) {
                return refuse(format!("{first} and {what} would have one name, `{}`", name.to_lowercase()));
            }
        }
    }
    Ok(())
}

/// Delta's schema of a table with these columns, as JSON.
pub(super) fn delta_schema(columns: &[TableColumn]) -> Json {
    let mut fields = Vec::new();
    for column in columns {
        let about = json!({ TYPE: column.dtype.to_string() });
        fields.push(json!({
            "name": column.name, "type": delta_type(column.dtype), "nullable": true, "metadata": about,
        }));
        if let Some(rest) = column.rest() {
            let about = json!({ ROLE: "nanoseconds" });
            fields.push(json!({ "name": rest, "type": "short", "nullable": true, "metadata": about }));
        }
    }
    let about = json!({ ROLE: "arrival" });
    fields.push(json!({ "name": ARRIVAL_COLUMN, "type": "long", "nullable": true, "metadata": about }));
    json!({ "type": "struct", "fields": fields })
}

/// The declared columns that Delta's schema of a table made here tells.
pub(super) fn declared(table: &str, schema: &str) -> Result<Vec<TableColumn>, TableError> {
    let refuse = |why: String| TableError::Columns { table: table.to_owned(), why };
    let schema: Json = serde_json::from_str(schema).map_err(|why| refuse(format!("its schema is no JSON: {why}")))?;
    let mut columns = Vec::new();
    for field in schema["fields"].as_array().into_iter().flatten() {
        if field["metadata"].get(ROLE).is_some() {
            continue;
        }
        let name = field["name"].as_str().unwrap_or_default().to_owned();
        let Some(text) = field["metadata"][TYPE].as_str() else {
            return Err(refuse(format!("column `{name}` was added by another program")));
        };
        let dtype = Dtype::parse(text).map_err(|why| refuse(format!("column `{name}`: {why}")))?;
        columns.push(TableColumn { name, dtype });
    }
    Ok(columns)
}

fn delta_type(dtype: Dtype) -> Json {
    match dtype {
        Dtype::List(item) | Dtype::FixedList(item, _) => {
            // An item has no column beside it for its nanoseconds.
            let item = if item == Scalar::Timestamp { json!("long") } else { delta_scalar(item) };
            json!({ "type": "array", "elementType": item, "containsNull": true })
        }
        scalar => delta_scalar(scalar.item()),
    }
}

fn delta_scalar(scalar: Scalar) -> Json {
    json!(match scalar {
        Scalar::Bool => "boolean",
        Scalar::Int8 => "byte",
        Scalar::Int16 | Scalar::Uint8 => "short",
        Scalar::Int32 | Scalar::Uint16 => "integer",
        Scalar::Int64 | Scalar::Uint32 | Scalar::Duration => "long",
        Scalar::Uint64 => "decimal(20,0)",
        Scalar::Float32 => "float",
        Scalar::Float64 => "double",
        Scalar::String | Scalar::Json => "string",
        Scalar::Bytes => "binary",
        Scalar::Date => "date",
        Scalar::Timestamp => "timestamp",
        Scalar::Decimal { precision, scale } => return json!(format!("decimal({precision},{scale})")),
    })
}

/// The columns of a file: as they are stored.
pub(super) fn stored_schema(columns: &[TableColumn]) -> SchemaRef {
    let mut fields = Vec::new();
    for column in columns {
        fields.push(Field::new(&column.name, stored_type(column.dtype), true));
        fields.extend(column.rest().map(|rest| Field::new(rest, DataType::Int16, true)));
    }
    fields.push(Field::new(ARRIVAL_COLUMN, DataType::Int64, true));
    Arc::new(Schema::new(fields))
}

/// The columns as they are declared, and the arrival number.
pub(super) fn declared_schema(columns: &[TableColumn]) -> SchemaRef {
    let declared = columns.iter().map(|column| Field::new(&column.name, column.dtype.to_arrow(), true));
    Arc::new(Schema::new(declared.chain([Field::new(ARRIVAL_COLUMN, DataType::Int64, true)]).collect::<Vec<_>>()))
}

fn stored_type(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::List(item) | Dtype::FixedList(item, _) => {
            let item = if item == Scalar::Timestamp { DataType::Int64 } else { stored_scalar(item) };
            DataType::List(Arc::new(Field::new("element", item, true)))
        }
        scalar => stored_scalar(scalar.item()),
    }
}

fn stored_scalar(scalar: Scalar) -> DataType {
    match scalar {
        Scalar::Uint8 => DataType::Int16,
        Scalar::Uint16 => DataType::Int32,
        Scalar::Uint32 | Scalar::Duration => DataType::Int64,
        Scalar::Uint64 => DataType::Decimal128(20, 0),
        Scalar::Timestamp => instants_type(),
        other => other.to_arrow(),
    }
}

fn instants_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Columns in declared types, as a file stores them; the arrival number is not among them.
pub(super) fn to_stored(column: &ArrayRef, dtype: Dtype) -> Result<Vec<ArrayRef>, String> {
    if dtype == Dtype::Timestamp {
        let nanos = column.as_primitive::<TimestampNanosecondType>();
        let micros: TimestampMicrosecondArray = nanos.iter().map(|t| t.map(|t| t.div_euclid(1_000))).collect();
        // At most 999.
        let rest = |t: i64| i16::try_from(t.rem_euclid(1_000)).ok().filter(|rest| *rest != 0);
        let rests: Int16Array = nanos.iter().map(|t| t.and_then(rest)).collect();
        return Ok(vec![Arc::new(micros.with_timezone("UTC")), Arc::new(rests)]);
    }
    recast(column, &stored_type(dtype)).map(|stored| vec![stored])
}

/// A stored column in its declared type.
pub(super) fn from_stored(column: &ArrayRef, rest: Option<&ArrayRef>, dtype: Dtype) -> Result<ArrayRef, String> {
    if dtype == Dtype::Timestamp {
        let micros = recast(column, &instants_type())?;
        let micros = micros.as_primitive::<TimestampMicrosecondType>();
        let rest = rest.map(|rest| recast(rest, &DataType::Int16)).transpose()?;
        let rest = rest.as_ref().map(AsArray::as_primitive::<Int16Type>);
        let instant = |row: usize| -> Result<Option<i64>, String> {
            if micros.is_null(row) {
                return Ok(None);
            }
            let rest = rest.filter(|rest| rest.is_valid(row)).map_or(0, |rest| i64::from(rest.value(row)));
            let nanos = i128::from(micros.value(row)) * 1_000 + i128::from(rest);
            i64::try_from(nanos)
                .map(Some)
                .map_err(|_too_far| "an instant lies outside the years 1677 to 2262".to_owned())
        };
        let nanos = (0..micros.len()).map(instant).collect::<Result<TimestampNanosecondArray, _>>()?;
        return Ok(Arc::new(nanos.with_timezone("UTC")));
    }
    let declared = recast(column, &loose(dtype))?;
    // Lists get their declared form, and a fixed one its length.
    cast::conform(&declared, dtype, None).map_err(|why| why.to_string())
}

/// The declared type, with lists of any length.
fn loose(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::FixedList(item, _) => Dtype::List(item).to_arrow(),
        other => other.to_arrow(),
    }
}

/// Another form of the same values; the ways through 64 bits are those that Arrow's casts lack.
fn recast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let from = column.data_type();
    if from == to {
        return Ok(ArrayRef::clone(column));
    }
    let nanos = |t: &DataType| {
        matches!(t, DataType::Duration(TimeUnit::Nanosecond) | DataType::Timestamp(TimeUnit::Nanosecond, _))
    };
    match (from, to) {
        (from, DataType::Int64) if nanos(from) => {
            let data = column.to_data().into_builder().data_type(DataType::Int64).build();
            Ok(Arc::new(Int64Array::from(data.map_err(|why| why.to_string())?)))
        }
        (DataType::Int64, to) if nanos(to) => {
            let data = column.as_primitive::<Int64Type>().to_data().into_builder().data_type(to.clone()).build();
            Ok(arrow::array::make_array(data.map_err(|why| why.to_string())?))
        }
        (_, DataType::List(item)) => {
            let lists = cast::conform(column, list_of(from)?, None).map_err(|why| why.to_string())?;
            let lists = lists.as_list::<i32>();
            let values = recast(lists.values(), item.data_type())?;
            let list = arrow::array::ListArray::try_new(
                Arc::clone(item),
                lists.offsets().clone(),
                values,
                lists.nulls().cloned(),
            );
            Ok(Arc::new(list.map_err(|why| why.to_string())?))
        }
        _ => cast_with_options(column, to, &CHECKED).map_err(|why| why.to_string()),
    }
}

/// Lists of any form as lists of the same items.
fn list_of(from: &DataType) -> Result<Dtype, String> {
    match Dtype::from_arrow(from) {
        Some(Dtype::List(item) | Dtype::FixedList(item, _)) => Ok(Dtype::List(item)),
        _ => Err(format!("it is {}, no list", cast::describe(from))),
    }
}

/// The Arrow type of a type in a schema of Delta, of tables that other programs made.
pub(super) fn arrow_type(delta: &Json) -> Option<DataType> {
    if let Some(name) = delta.as_str() {
        return Some(match name {
            "string" => DataType::Utf8,
            "long" => DataType::Int64,
            "integer" => DataType::Int32,
            "short" => DataType::Int16,
            "byte" => DataType::Int8,
            "float" => DataType::Float32,
            "double" => DataType::Float64,
            "boolean" => DataType::Boolean,
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "timestamp" => instants_type(),
            "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
            decimal => {
                let (precision, scale) = decimal.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
                DataType::Decimal128(precision.trim().parse().ok()?, scale.trim().parse().ok()?)
            }
        });
    }
    match delta["type"].as_str()? {
        "array" => Some(DataType::List(Arc::new(Field::new("element", arrow_type(&delta["elementType"])?, true)))),
        "struct" => fields(delta).map(DataType::Struct),
        "map" => {
            let key = Field::new("key", arrow_type(&delta["keyType"])?, false);
            let value = Field::new("value", arrow_type(&delta["valueType"])?, true);
            let entries = DataType::Struct(Fields::from(vec![key, value]));
            Some(DataType::Map(Arc::new(Field::new("key_value", entries, false)), false))
        }
        _ => None,
    }
}

/// The fields of a struct of Delta; a table's schema is one.
pub(super) fn fields(delta: &Json) -> Option<Fields> {
    let field = |field: &Json| Some(Field::new(field["name"].as_str()?, arrow_type(&field["type"])?, true));
    delta["fields"].as_array()?.iter().map(field).collect::<Option<Vec<_>>>().map(Fields::from)
}

/// As Delta stores a column of another program's table, whatever form its file has.
pub(super) fn as_delta(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if column.data_type() == to {
        return Ok(ArrayRef::clone(column));
    }
    cast_with_options(column, to, &CHECKED).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests;
