//! Rows as Feast's clients write them: frames of lists by column, as JSON.

use arrow::array::{Array, ArrayRef};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema::json::Cell as JsonCell;
use schema::{Dtype, Scalar, Timestamp, Value};
use serde_json::{Map, Value as Json};

use super::rows::{Row, columns};
use super::shape::Shape;
use super::via::Via;

const NANOS: i64 = 1_000_000_000;
/// Below this pandas has integers beside nulls, as floats, and they are still themselves.
const EXACT: u64 = 1 << 53;

/// A push's body but for where it goes.
pub(super) fn frame(shape: &Shape, rows: &[Row], via: Via) -> Map<String, Json> {
    let is_sdk = via == Via::FeastWrite;
    let dtypes = shape.columns();
    let mut frame = Map::new();
    // A frame of pandas has the columns of its source, those that are none of the view's too.
    for (name, column) in columns(shape, rows, !is_sdk) {
        let dtype = dtypes.iter().find(|(known, _)| *known == name).map_or(Dtype::Json, |(_, dtype)| *dtype);
        match name.as_str() {
            // The SDK has no mark of deletion.
            "gone" if is_sdk && rows.iter().all(|row| !row.deleted) => {}
            "ts" if is_sdk => drop(frame.insert("event_timestamp".to_owned(), naive(&column))),
            "created" if is_sdk => drop(frame.insert(name, naive(&column))),
            "ts" | "created" => drop(frame.insert(name, texts(&column))),
            _ if is_sdk => drop(frame.insert(name, values(&column, dtype).into())),
            _ => drop(frame.insert(name, of_pandas(values(&column, dtype), dtype).into())),
        }
    }
    frame
}

/// A cell as our own JSON has it.
pub(super) fn json(column: &ArrayRef, row: usize, dtype: Dtype) -> Json {
    // A struct has no dtype, and is written as the JSON that it becomes.
    let cell = match dtype {
        Dtype::Json if column.data_type() != &Dtype::Json.to_arrow() => JsonCell::of_arrow(column, row),
        dtype => JsonCell::new(column, row, dtype),
    };
    serde_json::from_str(&serde_json::to_string(&cell).unwrap()).unwrap()
}

fn values(column: &ArrayRef, dtype: Dtype) -> Vec<Json> {
    (0..column.len()).map(|row| of_feast(json(column, row, dtype), dtype)).collect()
}

fn texts(column: &ArrayRef) -> Json {
    (0..column.len()).map(|row| json(column, row, Dtype::Timestamp)).collect()
}

/// As `_to_naive_utc(...).isoformat()` has it, with nine digits where Python has six.
fn naive(column: &ArrayRef) -> Json {
    let one = |row| match Value::at(column, row) {
        Value::Timestamp(time) => time.to_string().trim_end_matches('Z').into(),
        _ => Json::Null,
    };
    (0..column.len()).map(one).collect()
}

fn of_feast(value: Json, dtype: Dtype) -> Json {
    match value {
        Json::Null => Json::Null,
        Json::Array(items) if dtype.is_list() => {
            items.into_iter().map(|item| of_feast(item, dtype.item().into())).collect()
        }
        value if dtype == Dtype::Json => value.to_string().into(),
        Json::String(text) if dtype == Dtype::Bytes => STANDARD.encode(unhex(&text)).into(),
        Json::String(text) if dtype == Dtype::Timestamp => {
            let nanos = Timestamp::parse(&text).unwrap().as_nanos();
            if nanos % NANOS == 0 { (nanos / NANOS).into() } else { text.into() }
        }
        value => value,
    }
}

/// Integers beside nulls are floats.
fn of_pandas(values: Vec<Json>, dtype: Dtype) -> Vec<Json> {
    let is_integer = matches!(
        dtype.item(),
        Scalar::Int8 | Scalar::Int16 | Scalar::Int32 | Scalar::Int64 | Scalar::Uint8 | Scalar::Uint16 | Scalar::Uint32
    );
    let exact = |value: &Json| value.as_i64().is_some_and(|whole| whole.unsigned_abs() < EXACT);
    let floats = is_integer && !dtype.is_list() && values.iter().any(Json::is_null);
    if !floats || !values.iter().all(|value| value.is_null() || exact(value)) {
        return values;
    }
    values.into_iter().map(|value| value.as_f64().map_or(Json::Null, Json::from)).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
