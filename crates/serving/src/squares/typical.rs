//! A value like others of its field: what a constant is held against, and what the other fields of a row may be.

use std::collections::BTreeMap;

use schema::{Decimal, Dtype, Duration, ServiceColumn, Timestamp, Value};

use super::rows::{ProbeRows, Sort};

/// For each column, the middle of its numbers or the most frequent of its other values, over golden and sampled rows; what
/// stands for null where there are none.
pub(crate) fn typical(columns: &[ServiceColumn], rows: &ProbeRows) -> Vec<Value> {
    let known: Vec<usize> = (0..rows.len()).filter(|row| rows.sorts[*row] != Sort::Boundary).collect();
    columns
        .iter()
        .zip(&rows.columns)
        .map(|(column, values)| {
            let values = known.iter().map(|row| Value::at(values, *row)).filter(|value| !matches!(value, Value::Null));
            of_values(values.collect()).or_else(|| column.fill.clone()).unwrap_or_else(|| zero(column.dtype))
        })
        .collect()
}

fn of_values(values: Vec<Value>) -> Option<Value> {
    let mut numbers: Vec<(f64, &Value)> = values.iter().filter_map(|value| Some((number(value)?, value))).collect();
    if !numbers.is_empty() {
        numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
        return Some(numbers[(numbers.len() - 1) / 2].1.clone());
    }
    let mut counts: BTreeMap<String, (usize, &Value)> = BTreeMap::new();
    for value in &values {
        counts.entry(value.to_string()).or_insert((0, value)).0 += 1;
    }
    // Of equally frequent ones the first by its text.
    counts.into_values().rev().max_by_key(|(n, _)| *n).map(|(_, value)| value.clone())
}

#[expect(clippy::cast_precision_loss, reason = "they are only put in order")]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(v) => Some(*v as f64),
        Value::Uint(v) => Some(*v as f64),
        Value::Float(v) => Some(*v).filter(|v| !v.is_nan()),
        Value::Timestamp(t) => Some(t.as_nanos() as f64),
        Value::Duration(d) => Some(d.as_nanos() as f64),
        Value::Decimal(d) => Some(d.to_f64()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Bytes(_) | Value::List(_) => None,
    }
}

/// A value of no distinction.
fn zero(dtype: Dtype) -> Value {
    match dtype {
        Dtype::Bool => Value::Bool(false),
        Dtype::Float32 | Dtype::Float64 => Value::Float(0.0),
        Dtype::String => Value::String(String::new()),
        Dtype::Json => Value::String("null".to_owned()),
        Dtype::Bytes => Value::Bytes(Vec::new()),
        Dtype::Timestamp => Value::Timestamp(Timestamp::from_nanos(0)),
        Dtype::Duration => Value::Duration(Duration::from_nanos(0)),
        Dtype::Decimal { scale, .. } => Value::Decimal(Decimal { unscaled: 0, scale }),
        Dtype::List(_) => Value::List(Vec::new()),
        Dtype::FixedList(item, n) => Value::List(vec![zero(item.into()); usize::try_from(n).unwrap_or_default()]),
        Dtype::Int8
        | Dtype::Int16
        | Dtype::Int32
        | Dtype::Int64
        | Dtype::Uint8
        | Dtype::Uint16
        | Dtype::Uint32
        | Dtype::Uint64
        | Dtype::Date => Value::Int(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_numbers_and_the_most_frequent_of_texts() {
        let floats = [3.0, f64::NAN, 1.0, 9.0].map(Value::Float).to_vec();
        assert_eq!(of_values(floats), Some(Value::Float(3.0)));
        let texts = ["b", "a", "b", "a", "c"].map(|text| Value::String(text.to_owned())).to_vec();
        assert_eq!(of_values(texts), Some(Value::String("a".to_owned())));
        assert_eq!(of_values(Vec::new()), None);
    }
}
