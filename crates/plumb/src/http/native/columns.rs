//! Columns, statuses and times as JSON, written straight from memory: answers are made of little else.
//!
//! Integers are exact, floats their shortest round trip; what JSON lacks (NaN, infinities) is a text; times are RFC 3339,
//! bytes hexadecimal, decimals texts, durations ISO 8601; lists are lists, and JSON is itself. [`schema::json::Cell`]
//! writes what has no faster way here.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes as at;
use featurestore::compiled::ColumnSource;
use featurestore::{CompiledService, FeatureRows};
use schema::json::{Cell, Float, Shown};
use schema::{Dtype, Status, Timestamp, ViewId};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// The features of an answer: `{name: {values, statuses}}`, and of an answer from several views `view`, the name of its own.
#[derive(Debug)]
pub struct Features<'a>(pub &'a CompiledService, pub &'a FeatureRows);

/// The view versions of an answer, and the event times and ages of their rows: `{name: {version, event_times, ages}}`.
///
/// An age is in seconds before the instant. What a service calls otherwise says its view, and on-demand views have no event
/// times.
#[derive(Debug)]
pub struct Views<'a>(pub &'a CompiledService, pub &'a FeatureRows, pub Timestamp);

/// One feature of an answer.
#[derive(Debug)]
pub(super) struct Feature<'a> {
    values: Values<'a>,
    statuses: &'a [Status],
    /// What the answer calls the view, where it is of several.
    view: Option<&'a str>,
}

impl<'a> Feature<'a> {
    pub(super) fn new(column: &'a ArrayRef, dtype: Dtype, statuses: &'a [Status], view: Option<&'a str>) -> Self {
        Self { values: Values(column, dtype), statuses, view }
    }
}

struct View<'a> {
    name: &'a str,
    id: &'a ViewId,
    event_times: Option<&'a [Option<Timestamp>]>,
    as_of: Timestamp,
}

#[derive(Debug)]
struct Values<'a>(&'a ArrayRef, Dtype);

impl Serialize for Features<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let columns = &self.0.service.columns;
        let several = self.0.views.len() + self.0.on_demand.len() > 1;
        let mut map = out.serialize_map(Some(columns.len()))?;
        for (i, column) in columns.iter().enumerate() {
            let values = Values(&self.1.columns[i], column.dtype);
            let view = match self.0.sources[i] {
                ColumnSource::Stored { view, .. } => &self.0.views[view].name,
                ColumnSource::OnDemand { view, .. } => &self.0.on_demand[view].name,
            };
            let view = several.then_some(view.as_str());
            map.serialize_entry(column.name.as_str(), &Feature { values, statuses: &self.1.statuses[i], view })?;
        }
        map.end()
    }
}

impl Serialize for Views<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.0.views.len() + self.0.on_demand.len()))?;
        for (view, event_times) in self.0.views.iter().zip(&self.1.event_times) {
            let id = &view.view.id;
            let view = View { name: &view.name, id, event_times: Some(event_times), as_of: self.2 };
            map.serialize_entry(view.name, &view)?;
        }
        for view in &self.0.on_demand {
            let id = &view.view.id;
            let view = View { name: &view.name, id, event_times: None, as_of: self.2 };
            map.serialize_entry(view.name, &view)?;
        }
        map.end()
    }
}

impl Serialize for Feature<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("values", &self.values)?;
        map.serialize_entry("statuses", &List(self.statuses, |status: &Status| status.as_str()))?;
        if let Some(view) = self.view {
            map.serialize_entry("view", view)?;
        }
        map.end()
    }
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        if self.name != self.id.name.as_str() {
            map.serialize_entry("view", self.id.name.as_str())?;
        }
        map.serialize_entry("version", &self.id.version)?;
        if let Some(times) = self.event_times {
            map.serialize_entry("event_times", &List(times, |time: &Option<Timestamp>| time.map(Shown)))?;
            map.serialize_entry(
                "ages",
                &List(times, |time: &Option<Timestamp>| time.map(|time| age(time, self.as_of))),
            )?;
        }
        map.end()
    }
}

/// Seconds from a time to the instant.
fn age(time: Timestamp, as_of: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an age in seconds needs no more digits")]
    let nanos = as_of.as_nanos().saturating_sub(time.as_nanos()) as f64;
    nanos / 1e9
}

/// A slice as a list of what `show` makes of each item.
struct List<'a, T, F>(&'a [T], F);

impl<T, U: Serialize, F: Fn(&T) -> U> Serialize for List<'_, T, F> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_seq(self.0.iter().map(&self.1))
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let column = self.0;
        match self.1 {
            Dtype::Int64 => out.collect_seq(column.as_primitive::<at::Int64Type>().iter()),
            Dtype::Float64 => out.collect_seq(column.as_primitive::<at::Float64Type>().iter().map(|v| v.map(Float))),
            Dtype::String => out.collect_seq(column.as_string::<i32>().iter()),
            Dtype::Bool => out.collect_seq(column.as_boolean().iter()),
            Dtype::Timestamp => {
                let times = column.as_primitive::<at::TimestampNanosecondType>().iter();
                out.collect_seq(times.map(|t| t.map(|nanos| Shown(Timestamp::from_nanos(nanos)))))
            }
            dtype => {
                let mut list = out.serialize_seq(Some(column.len()))?;
                for row in 0..column.len() {
                    list.serialize_element(&Cell::new(column, row, dtype))?;
                }
                list.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int64Array};
    use schema::Value;

    use super::*;

    #[track_caller]
    fn check(column: ArrayRef, dtype: Dtype, want: &str) {
        assert_eq!(serde_json::to_string(&Values(&column, dtype)).unwrap(), want);
    }

    #[test]
    fn values_are_exact() {
        let big = Int64Array::from(vec![Some((1 << 53) + 1), None, Some(i64::MIN)]);
        check(Arc::new(big), Dtype::Int64, "[9007199254740993,null,-9223372036854775808]");
        let floats = Float64Array::from(vec![0.1, -0.0, f64::NAN, f64::NEG_INFINITY, 1.0]);
        check(Arc::new(floats), Dtype::Float64, r#"[0.1,-0.0,"NaN","-Infinity",1.0]"#);
        check(Arc::new(Date32Array::from(vec![Some(1), None])), Dtype::Date, r#"["1970-01-02",null]"#);
    }

    #[test]
    fn lists_decimals_durations_and_json_have_their_spelling() {
        let made = |value: Value, dtype: &str| {
            let dtype = Dtype::parse(dtype).unwrap();
            (value.canonical(dtype).unwrap().to_array(dtype, 1).unwrap(), dtype)
        };
        for (value, dtype, want) in [
            (
                Value::List(vec![Value::Float(0.5), Value::Null, Value::Float(f64::NAN)]),
                "list<float32, 3>",
                r#"[[0.5,null,"NaN"]]"#,
            ),
            (Value::List(vec![]), "list<int64>", "[[]]"),
            (Value::List(vec![Value::Int(i64::MAX)]), "list<int64>", "[[9223372036854775807]]"),
            (Value::String("12.5".into()), "decimal(10,2)", r#"["12.50"]"#),
            (Value::String("PT1H".into()), "duration", r#"["PT3600S"]"#),
            (
                Value::String(r#"{"b": [1e2], "a": 12345678901234567890123}"#.into()),
                "json",
                r#"[{"a":12345678901234567890123,"b":[100.0]}]"#,
            ),
            (Value::List(vec![Value::String("{}".into())]), "list<json>", "[[{}]]"),
            (Value::List(vec![Value::String("{}".into())]), "list<string>", r#"[["{}"]]"#),
            (Value::String("+10000-01-01".into()), "date", r#"["+10000-01-01"]"#),
            (Value::Null, "list<json>", "[null]"),
        ] {
            let (column, dtype) = made(value, dtype);
            check(column, dtype, want);
        }
    }
}
