//! Data frames as Feast's client sends them, as columns in a view's own types.
//!
//! Times are ISO texts, naive ones in UTC, or integers since the epoch whose size tells their unit; integers of Python
//! become floats on the way; a midnight is a date where one is declared; JSON, maps and structs are texts of JSON; bytes
//! are base64. A frame has all columns of its source: those that are none of the view's are left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use featurestore::push::rows::deletion_names;
use schema::{Dtype, FeatureView, Timestamp};
use serde_json::{Map, Value};

use super::entities::normal;

/// Names that the client gives the times, whatever the view calls them.
const TIMES: [&str; 4] = ["event_timestamp", "event_time", "created", "created_timestamp"];

/// A frame with the columns of `view` alone, its values as our own protocol writes them.
pub(super) fn of_view(view: &FeatureView, frame: Map<String, Value>) -> Map<String, Value> {
    let d = &view.definition;
    let dtype = |name: &str| {
        let key = view.keys().iter().find(|key| key.name.as_str() == name).map(|key| key.dtype);
        key.or_else(|| d.features.iter().find(|feature| feature.name.as_str() == name).map(|f| f.dtype))
    };
    let is_time = |name: &str| name == d.event_time || Some(name) == d.created_time.as_deref() || TIMES.contains(&name);
    let is_deleted = |name: &str| deletion_names(view).any(|known| known == name);
    let column = |(name, values): (String, Value)| {
        let each = |convert: &dyn Fn(Value) -> Value, values: Value| match values {
            Value::Array(values) => Value::Array(values.into_iter().map(convert).collect()),
            other => other,
        };
        let values = match dtype(&name) {
            Some(dtype) => each(&|value| of_dtype(value, dtype), values),
            None if is_time(&name) => each(&time, values),
            None if is_deleted(&name) => values,
            None => return None,
        };
        Some((name, values))
    };
    frame.into_iter().filter_map(column).collect()
}

/// A value as our own protocol writes it; what is none of the type's stays as it is, and is refused with its place.
pub(crate) fn of_dtype(value: Value, dtype: Dtype) -> Value {
    match (value, dtype) {
        (value, Dtype::Timestamp | Dtype::Date) if is_nat(&value) => Value::Null,
        (Value::Array(items), dtype) if dtype.is_list() => {
            let item = dtype.item().into();
            Value::Array(items.into_iter().map(|value| of_dtype(value, item)).collect())
        }
        (Value::String(text), Dtype::Json) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        (Value::String(text), Dtype::Bytes) => match STANDARD.decode(&text) {
            Ok(bytes) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            Err(_) => Value::String(text),
        },
        (value @ Value::String(_), Dtype::Timestamp) => time(value),
        (value, dtype) => normal(value, dtype),
    }
}

/// A time as a text in UTC; what is none stays as it is, and is refused with its place.
fn time(value: Value) -> Value {
    if is_nat(&value) {
        return Value::Null;
    }
    let instant = match &value {
        Value::String(text) => Timestamp::parse_with_zone(text).ok().map(|(time, _)| time),
        Value::Number(number) => {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 64 bits")]
            let whole = |float: f64| (float.fract() == 0.0 && float.abs() < 9e18).then_some(float as i64);
            number.as_i64().or_else(|| number.as_f64().and_then(whole)).and_then(since_epoch)
        }
        _ => None,
    };
    instant.map_or(value, |instant| Value::String(instant.to_string()))
}

/// How the client writes pandas' null among times.
fn is_nat(value: &Value) -> bool {
    value.as_str() == Some("NaT") || value.as_i64() == Some(i64::MIN)
}

/// Seconds, milliseconds, microseconds or nanoseconds: each unit has the sizes that times from 1973 to 5138 have in it.
fn since_epoch(number: i64) -> Option<Timestamp> {
    let nanos_a_unit = match number.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    number.checked_mul(nanos_a_unit).map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_of_every_kind_are_one_instant() {
        let seconds = 1_795_370_304_i64;
        let want = json!("2026-11-22T17:58:24Z");
        for value in [
            json!(seconds),
            json!(seconds * 1_000),
            json!(seconds * 1_000_000),
            json!(seconds * 1_000_000_000),
            json!(1_795_370_304.0),
            json!("2026-11-22T17:58:24"),
            json!("2026-11-22 17:58:24"),
            json!("2026-11-22T18:58:24+01:00"),
            json!("2026-11-22T17:58:24.000000Z"),
        ] {
            assert_eq!(time(value.clone()), want, "{value}");
        }
        for null in [json!("NaT"), json!(i64::MIN)] {
            assert_eq!(time(null.clone()), json!(null));
            assert_eq!(of_dtype(null.clone(), Dtype::Timestamp), json!(null));
            assert_eq!(of_dtype(null, Dtype::Date), json!(null));
        }
        assert_eq!(time(json!("soon")), json!("soon"));
        assert_eq!(time(json!(null)), json!(null));
        assert_eq!(time(json!(0.5)), json!(0.5));
    }

    #[test]
    fn values_are_brought_into_our_spelling() {
        assert_eq!(of_dtype(json!("{\"a\": [1]}"), Dtype::Json), json!({"a": [1]}));
        assert_eq!(of_dtype(json!("AP8="), Dtype::Bytes), json!("00ff"));
        assert_eq!(of_dtype(json!(3.0), Dtype::Int64), json!(3));
        assert_eq!(of_dtype(json!([1.0, 2.0]), Dtype::List(schema::Scalar::Int64)), json!([1, 2]));
        assert_eq!(of_dtype(json!(3), Dtype::Float64), json!(3));
        // The client has no dates: it writes the midnight with which a day begins.
        for midnight in
            [json!("2026-11-22T00:00:00Z"), json!("2026-11-22T00:00:00"), json!(1_795_305_600), json!("2026-11-22")]
        {
            assert_eq!(of_dtype(midnight.clone(), Dtype::Date), json!("2026-11-22"), "{midnight}");
        }
        for other in
            [json!("2026-11-22T00:00:00.000000001Z"), json!("2026-11-22T12:00:00Z"), json!("soon"), json!(null)]
        {
            assert_eq!(of_dtype(other.clone(), Dtype::Date), other);
        }
    }
}
