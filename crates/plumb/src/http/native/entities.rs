//! Entity keys from JSON to columns in their declared types, and values back to JSON.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use featurestore::CompiledService;
use featurestore::retrieve::EntityRows;
use schema::definitions::JoinKey;
use schema::yaml::suggest;
use schema::{Dtype, Timestamp, Value};
use serde_json::Value as Json;

use crate::failure::Failure;

/// Rows that one request may ask for.
pub const ROWS_MAX: usize = 10_000;

/// Whether texts may stand for keys of other types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// A text is a string: JSON bodies.
    AreTexts,
    /// A text is read as its key's type: the command line.
    AreValues,
}

/// The key columns that a service needs, from `{"user_id": [1, 2]}`.
///
/// # Errors
/// A missing or unknown key, lists of different lengths, no rows, too many, or a value of another type.
pub fn read(
    entities: &serde_json::Map<String, Json>,
    compiled: &CompiledService,
    texts: Texts,
) -> Result<EntityRows, Failure> {
    let keys = keys_of(compiled);
    let names = || keys.iter().map(|key| key.name.as_str());
    for name in entities.keys() {
        if !names().any(|known| known == name) {
            let message =
                format!("`entities` names `{name}`, which is no join key of service `{}`", compiled.service.name);
            return Err(Failure::invalid(message).code("unknown_join_key").hint(suggest(name, names())));
        }
    }
    let rows = columns(entities, &keys, texts)?;
    if rows.n == 0 {
        return Err(Failure::invalid("`entities` lists no rows")
            .code("empty_entities")
            .hint("send at least one value"));
    }
    Ok(rows)
}

/// The join keys that a service needs, each once.
pub fn keys_of(compiled: &CompiledService) -> Vec<&JoinKey> {
    let mut keys: Vec<&JoinKey> = Vec::new();
    for view in &compiled.views {
        for key in view.view.keys() {
            if !keys.iter().any(|known| known.name == key.name) {
                keys.push(key);
            }
        }
    }
    keys
}

/// The columns of `keys`, from lists of one length by join key; any number of rows, none included.
///
/// # Errors
/// A missing key, lists of different lengths, too many rows, or a value of another type.
pub fn columns(
    entities: &serde_json::Map<String, Json>,
    keys: &[&JoinKey],
    texts: Texts,
) -> Result<EntityRows, Failure> {
    let mut columns = HashMap::new();
    let mut rows: Option<(usize, &str)> = None;
    for key in keys.iter().copied() {
        let name = key.name.as_str();
        let Some(values) = entities.get(name) else {
            let message = format!("`entities` lacks join key `{name}`");
            return Err(Failure::invalid(message).code("missing_join_key").hint(format!("send \"{name}\": [...]")));
        };
        let Json::Array(values) = values else {
            let message = format!("`entities.{name}` is {}, not a list", kind(values));
            return Err(Failure::invalid(message).code("wrong_json").hint(format!("send \"{name}\": [value, ...]")));
        };
        match rows {
            Some((n, first)) if n != values.len() => {
                let message = format!("`entities.{name}` has {} values and `entities.{first}` {n}", values.len());
                return Err(Failure::invalid(message).code("unequal_lists"));
            }
            _ => rows = Some((values.len(), name)),
        }
        columns.insert(name.to_owned(), column(key, values, texts)?);
    }
    let n = rows.map_or(0, |(n, _)| n);
    if n > ROWS_MAX {
        let message = format!("`entities` lists {n} rows; one request takes at most {ROWS_MAX}");
        return Err(Failure::invalid(message).code("too_many_rows").hint("split the request"));
    }
    Ok(EntityRows { n, columns })
}

fn column(key: &JoinKey, values: &[Json], texts: Texts) -> Result<ArrayRef, Failure> {
    if key.dtype == Dtype::String {
        let text = |(i, value): (usize, &Json)| match value {
            Json::Null => Ok(None),
            Json::String(text) => Ok(Some(text.clone())),
            other => Err(wrong(key, i, other)),
        };
        let texts = values.iter().enumerate().map(text).collect::<Result<Vec<_>, _>>()?;
        return Ok(Arc::new(StringArray::from(texts)));
    }
    if key.dtype == Dtype::Int64 {
        let number = |(i, json): (usize, &Json)| match value(json, key.dtype, texts) {
            Some(Value::Int(v)) => Ok(Some(v)),
            Some(Value::Null) => Ok(None),
            _ => Err(wrong(key, i, json)),
        };
        let numbers = values.iter().enumerate().map(number).collect::<Result<Vec<_>, _>>()?;
        return Ok(Arc::new(Int64Array::from(numbers)));
    }
    let cell = |(i, json): (usize, &Json)| {
        let value = value(json, key.dtype, texts).ok_or_else(|| wrong(key, i, json))?;
        value.to_array(key.dtype, 1).map_err(|_types| wrong(key, i, json))
    };
    if let [one] = values {
        return cell((0, one));
    }
    let cells = values.iter().enumerate().map(cell).collect::<Result<Vec<_>, _>>()?;
    if cells.is_empty() {
        return Ok(arrow::array::new_empty_array(&key.dtype.to_arrow()));
    }
    let parts: Vec<&dyn arrow::array::Array> = cells.iter().map(AsRef::as_ref).collect();
    arrow::compute::concat(&parts).map_err(|why| Failure::new(schema::ErrorKind::Internal, why.to_string()))
}

fn wrong(key: &JoinKey, row: usize, value: &Json) -> Failure {
    let message = format!("`entities.{}[{row}]` is {}, but the join key is {}", key.name, kind(value), key.dtype);
    Failure::invalid(message).code("wrong_key_type")
}

fn kind(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(v) => format!("the truth value {v}"),
        Json::Number(v) => format!("the number {v}"),
        Json::String(v) => format!("the text {v:?}"),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
    }
}

fn value(json: &Json, dtype: Dtype, texts: Texts) -> Option<Value> {
    let from_text = |text: &str| match dtype {
        Dtype::Bool => text.parse().ok().map(Value::Bool),
        Dtype::Uint64 => text.parse().ok().map(Value::Uint),
        Dtype::Timestamp => Timestamp::parse(text).ok().map(Value::Timestamp),
        Dtype::Date => {
            let day = Timestamp::parse(text).ok()?.as_nanos().div_euclid(86_400_000_000_000);
            Some(Value::Int(day))
        }
        Dtype::Bytes => Some(Value::Bytes(text.as_bytes().to_vec())),
        _ => text.parse().ok().map(Value::Int),
    };
    match json {
        Json::Null => Some(Value::Null),
        Json::Bool(v) => Some(Value::Bool(*v)),
        Json::Number(v) => v.as_i64().map(Value::Int).or_else(|| v.as_u64().map(Value::Uint)),
        Json::String(text) if texts == Texts::AreValues => from_text(text),
        Json::String(text) if matches!(dtype, Dtype::Timestamp | Dtype::Date | Dtype::Bytes) => from_text(text),
        _ => None,
    }
}

/// A value as JSON: integers exact, floats shortest round trip, what JSON lacks as texts.
pub fn to_json(value: &Value, dtype: Dtype) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(v) => Json::Bool(*v),
        Value::Int(days) if dtype == Dtype::Date => {
            let nanos = days.saturating_mul(86_400_000_000_000);
            Json::String(Timestamp::from_nanos(nanos).to_string().chars().take(10).collect())
        }
        Value::Int(v) => Json::from(*v),
        Value::Uint(v) => Json::from(*v),
        Value::Float(v) if v.is_finite() => Json::from(*v),
        Value::Float(v) if v.is_nan() => Json::from("NaN"),
        Value::Float(v) => Json::from(if *v > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::String(text) => Json::String(text.clone()),
        Value::Bytes(bytes) => Json::String(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        Value::Timestamp(t) => Json::String(t.to_string()),
    }
}

/// Reads an instant of a request.
///
/// # Errors
/// It is no time.
pub fn instant(text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let parse =
        |text| Timestamp::parse(text).map_err(|why| Failure::invalid(format!("`as_of`: {why}")).code("wrong_time"));
    text.map(parse).transpose()
}
