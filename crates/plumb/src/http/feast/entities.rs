//! For whom: the key columns of a request, as Feast's client sends them.

use arrow::array::new_empty_array;
use featurestore::retrieve::{EntityRows, Retrieved, Tolerance, retrieve_with};
use featurestore::{CompiledService, FeatureRows, OnlineReader, Statuses};
use schema::definitions::JoinKey;
use schema::{Date, Dtype, ErrorKind, Timestamp};
use serde_json::{Map, Value};

use super::error::Refusal;
use crate::failure::Failure;
use crate::feast::{Class, FeastError};
use crate::http::native::entities::{ROWS_MAX, Texts, columns, fill_constants};

const NANOS: i64 = 1_000_000_000;

/// The rows asked for.
#[derive(Debug)]
pub(super) struct Entities {
    /// The join keys in the order of the request, which is the answer's.
    pub keys: Vec<JoinKey>,
    /// Their columns.
    pub rows: EntityRows,
}

/// The columns that `compiled` needs. A column may be called by its join key or, an old habit, by the entity; columns
/// that nobody needs are left out, but are as long as the others.
///
/// # Errors
/// Lists of different lengths, a key that is not there, a value of another type.
pub(super) fn read(sent: Map<String, Value>, compiled: &CompiledService) -> Result<Entities, Refusal> {
    let n = same_length(&sent)?;
    let needed = compiled.keys();
    let mut known = Map::new();
    let mut keys: Vec<JoinKey> = Vec::new();
    let (fields, mut data) = (request_data(compiled), Map::new());
    for (name, values) in sent {
        let key =
            needed.iter().copied().find(|key| key.name.as_str() == name).or_else(|| key_of_entity(&name, compiled));
        if let (None, Some(field)) = (key, fields.iter().find(|field| field.name.as_str() == name)) {
            if let Value::Array(values) = values {
                let values = values.into_iter().map(|value| normal(value, field.dtype)).collect();
                data.insert(name, Value::Array(values));
            }
            continue;
        }
        let (Some(key), Value::Array(values)) = (key, values) else { continue };
        let values = values.into_iter().map(|value| normal(value, key.dtype)).collect();
        if known.insert(key.name.to_string(), Value::Array(values)).is_none() && !key.is_constant() {
            keys.push(key.clone());
        }
    }
    let mut rows = columns(&known, &needed, Texts::AreTexts)?;
    if !needed.is_empty() && needed.iter().all(|key| key.is_constant()) {
        // Nothing says for whom: any column says how often.
        rows.n = n.unwrap_or(1);
        fill_constants(&mut rows, &needed);
    }
    if fields.is_empty() {
        return Ok(Entities { keys, rows });
    }
    // Data of the request is told after the keys, in the order sent.
    for name in data.keys() {
        keys.extend(fields.iter().find(|field| field.name.as_str() == name).cloned());
    }
    if let Some(missing) = fields.iter().find(|field| !data.contains_key(field.name.as_str())) {
        let message = format!("Required request data source features missing: {}", missing.name);
        let class = Class::RequestDataNotFoundInEntityRowsException;
        return Err(FeastError { kind: ErrorKind::NotFound, class, message }.into());
    }
    if needed.is_empty() {
        rows.n = data.values().next().and_then(Value::as_array).map_or(0, Vec::len);
    }
    let fields: Vec<&JoinKey> = fields.iter().collect();
    rows.columns.extend(columns(&data, &fields, Texts::AreTexts)?.columns);
    Ok(Entities { keys, rows })
}

/// The request fields of on-demand views, as columns that a request has.
fn request_data(compiled: &CompiledService) -> Vec<JoinKey> {
    let fields = compiled.fields.iter();
    fields.map(|field| JoinKey { name: field.name.clone(), dtype: field.dtype }).collect()
}

impl Entities {
    /// Their features as of an instant.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) async fn features(
        &self,
        online: &OnlineReader,
        compiled: &CompiledService,
        as_of: Timestamp,
    ) -> Result<Retrieved, Failure> {
        if self.rows.n == 0 {
            let columns = &compiled.service.columns;
            let rows = FeatureRows {
                columns: columns.iter().map(|column| new_empty_array(&column.dtype.to_arrow())).collect(),
                statuses: vec![Statuses::new(); columns.len()],
                event_times: vec![Vec::new(); compiled.views.len()],
            };
            return Ok(Retrieved { rows, served: vec![None; compiled.views.len()] });
        }
        Ok(retrieve_with(online, compiled, &self.rows, as_of, Tolerance::AsDeclared).await?)
    }
}

/// The length of all columns; `None` without any.
fn same_length(sent: &Map<String, Value>) -> Result<Option<usize>, Failure> {
    let mut lengths = sent.iter().map(|(name, values)| (name, values.as_array().map_or(0, Vec::len)));
    let Some((first, n)) = lengths.next() else { return Ok(None) };
    match lengths.find(|(_, length)| *length != n) {
        None if n > ROWS_MAX => {
            let message = format!("`entities` lists {n} rows; one request takes at most {ROWS_MAX}");
            Err(Failure::invalid(message).code("too_many_rows").hint("split the request"))
        }
        None => Ok(Some(n)),
        Some((name, length)) => {
            let message = format!("`entities.{name}` has {length} values and `entities.{first}` {n}");
            Err(Failure::invalid(message).code("unequal_lists"))
        }
    }
}

/// The only key of the entity called `name`.
fn key_of_entity<'a>(name: &str, compiled: &'a CompiledService) -> Option<&'a JoinKey> {
    let view = compiled.views.iter().find(|view| view.view.entity.name.as_str() == name)?;
    match view.view.keys() {
        [key] if !key.is_constant() => Some(key),
        _ => None,
    }
}

/// A value as our own protocol writes it: times are epoch seconds to Feast, and Python makes floats of integers on the way
/// through a data frame.
pub(super) fn normal(value: Value, dtype: Dtype) -> Value {
    if let (Value::String(text), Dtype::Date) = (&value, dtype) {
        // Feast has no dates: a day is the midnight with which it begins.
        let day = Timestamp::parse_with_zone(text).ok().and_then(|(time, _)| Date::of_midnight(time));
        return day.map_or(value, |day| Value::String(day.to_string()));
    }
    let Value::Number(number) = &value else { return value };
    let whole = number.as_i64().or_else(|| number.as_f64().and_then(exact));
    match (dtype, whole) {
        (Dtype::Date, Some(seconds)) => {
            let midnight = seconds.checked_mul(NANOS).map(Timestamp::from_nanos);
            midnight.and_then(Date::of_midnight).map_or(value, |day| Value::String(day.to_string()))
        }
        (Dtype::Timestamp, Some(seconds)) => match seconds.checked_mul(NANOS) {
            Some(nanos) => Value::String(Timestamp::from_nanos(nanos).to_string()),
            None => value,
        },
        (Dtype::Float32 | Dtype::Float64, _) | (_, None) => value,
        (_, Some(whole)) => Value::from(whole),
    }
}

/// The integer that a float is, where floats still tell all integers apart.
fn exact(float: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and below 2^53")]
    (float.fract() == 0.0 && float.abs() < EXACT).then_some(float as i64)
}
