//! Values from JSON, the inverse of how cells are written.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, StringArray, new_empty_array};
use serde_json::Value as Json;

use super::canonical;
use crate::date::Date;
use crate::decimal::Decimal;
use crate::dtype::Dtype;
use crate::duration::Duration;
use crate::time::Timestamp;
use crate::value::Value;

/// A JSON value as one of `dtype`'s; `None` where it is none of them. `null` is always one.
///
/// What JSON lacks comes as the text that [`super::Cell`] writes. An integer is a float too; a number with a point is no
/// integer. A number beyond its type is none of it: what is infinite says so.
pub fn read(json: &Json, dtype: Dtype) -> Option<Value> {
    match (json, dtype) {
        (Json::Null, _) => Some(Value::Null),
        (json, Dtype::Json) => canonical(&json.to_string()).ok().map(Value::String),
        (Json::Array(items), dtype) if dtype.is_list() => {
            let item = dtype.item().into();
            items.iter().map(|json| read(json, item)).collect::<Option<_>>().map(Value::List)
        }
        (Json::Bool(flag), Dtype::Bool) => Some(Value::Bool(*flag)),
        (Json::Number(number), Dtype::Float32) => number.as_f64().filter(|n| fits_float32(*n)).map(Value::Float),
        (Json::Number(number), Dtype::Float64) => number.as_f64().map(Value::Float),
        (Json::Number(number), Dtype::Decimal { .. }) if !number.is_f64() => decimal(&number.to_string()),
        (Json::Number(number), dtype) if is_integer(dtype) => {
            number.as_i64().map(Value::Int).or_else(|| number.as_u64().map(Value::Uint))
        }
        (Json::String(text), dtype) => from_text(text, dtype),
        _ => None,
    }
}

fn from_text(text: &str, dtype: Dtype) -> Option<Value> {
    match dtype {
        Dtype::String => Some(Value::String(text.to_owned())),
        Dtype::Bytes => hex::decode(text).ok().map(Value::Bytes),
        Dtype::Timestamp => Timestamp::parse(text).ok().map(Value::Timestamp),
        Dtype::Date => Date::parse(text).map(|day| Value::Int(day.0.into())),
        Dtype::Duration => Duration::parse(text).ok().map(Value::Duration),
        Dtype::Decimal { .. } => decimal(text),
        Dtype::Float32 | Dtype::Float64 => match text {
            "NaN" => Some(Value::Float(f64::NAN)),
            "Infinity" => Some(Value::Float(f64::INFINITY)),
            "-Infinity" => Some(Value::Float(f64::NEG_INFINITY)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the nearest float32 of a finite number is finite.
#[expect(clippy::cast_possible_truncation, reason = "it is what is asked")]
fn fits_float32(number: f64) -> bool {
    (number as f32).is_finite()
}

fn decimal(text: &str) -> Option<Value> {
    Decimal::parse(text).ok().map(Value::Decimal)
}

fn is_integer(dtype: Dtype) -> bool {
    use Dtype::{Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    matches!(dtype, Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64)
}

/// A column of JSON values.
///
/// # Errors
/// The place of the first value that is none of `dtype`'s.
pub fn read_column(values: &[Json], dtype: Dtype) -> Result<ArrayRef, usize> {
    let each = || values.iter().enumerate();
    match dtype {
        // The common ones without a detour.
        Dtype::Int64 => {
            let number = |(i, json): (usize, &Json)| match json {
                Json::Null => Ok(None),
                json => json.as_i64().map(Some).ok_or(i),
            };
            Ok(Arc::new(each().map(number).collect::<Result<Int64Array, _>>()?))
        }
        Dtype::Float64 => {
            let number = |(i, json): (usize, &Json)| match read(json, dtype) {
                Some(Value::Null) => Ok(None),
                Some(Value::Float(number)) => Ok(Some(number)),
                _ => Err(i),
            };
            Ok(Arc::new(each().map(number).collect::<Result<Float64Array, _>>()?))
        }
        Dtype::String => {
            fn text((i, json): (usize, &Json)) -> Result<Option<&str>, usize> {
                if json.is_null() { Ok(None) } else { json.as_str().map(Some).ok_or(i) }
            }
            Ok(Arc::new(each().map(text).collect::<Result<StringArray, _>>()?))
        }
        dtype => {
            let cell = |(i, json): (usize, &Json)| read(json, dtype).and_then(|v| v.to_array(dtype, 1).ok()).ok_or(i);
            let cells = each().map(cell).collect::<Result<Vec<_>, _>>()?;
            match cells.as_slice() {
                [] => Ok(new_empty_array(&dtype.to_arrow())),
                [one] => Ok(ArrayRef::clone(one)),
                many => {
                    let many: Vec<&dyn Array> = many.iter().map(AsRef::as_ref).collect();
                    // Cells of one type always fit.
                    arrow::compute::concat(&many).map_err(|_types| 0)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Cell;
    use super::*;

    #[track_caller]
    fn check(dtype: &str, json: Json, want: Option<&str>) {
        let dtype = Dtype::parse(dtype).unwrap();
        let column = read_column(&[json.clone(), Json::Null], dtype);
        assert_eq!(column.as_ref().ok().map(|c| Value::at(c, 0).to_string()).as_deref(), want, "{json} as {dtype}");
        if let Ok(column) = column {
            // As it is written, it is read.
            let text = serde_json::to_string(&Cell::new(&column, 0, dtype)).unwrap();
            let again = read_column(&[serde_json::from_str(&text).unwrap()], dtype).unwrap();
            assert_eq!(Value::at(&again, 0), Value::at(&column, 0), "{text}");
        }
    }

    #[test]
    fn what_is_a_value_of_what() {
        check("int64", json!(9_007_199_254_740_993_i64), Some("9007199254740993"));
        check("int64", json!(1.0), None);
        check("int64", json!("1"), None);
        check("int64", json!(true), None);
        check("int8", json!(300), None);
        check("uint64", json!(u64::MAX), Some("18446744073709551615"));
        check("uint64", json!(-1), None);
        check("float64", json!(1), Some("1.0"));
        check("float64", json!("NaN"), Some("NaN"));
        check("float32", json!(0.1), Some("0.10000000149011612"));
        check("float32", json!(3.402_823_5e38), Some("3.4028234663852886e38"));
        check("float32", json!(1e39), None);
        check("float32", json!(-1e39), None);
        check("float32", json!("Infinity"), Some("inf"));
        check("list<float32>", json!([1, 1e39]), None);
        check("float64", json!(1e39), Some("1e39"));
        check("bool", json!(true), Some("true"));
        check("bool", json!(1), None);
        check("string", json!(""), Some("\"\""));
        check("string", json!(1), None);
        check("bytes", json!("00ff"), Some("2 bytes"));
        check("bytes", json!("0"), None);
        check("date", json!("1969-12-31"), Some("-1"));
        check("date", json!("1969-12-31T01:00:00Z"), None);
        check("timestamp", json!("2026-01-01T00:00:00.000000001Z"), Some("2026-01-01T00:00:00.000000001Z"));
        check("timestamp", json!(0), None);
        check("decimal(5, 2)", json!("1.5"), Some("1.50"));
        check("decimal(5, 2)", json!("1000.00"), None);
        check("list<float32>", json!([1, "NaN", null]), Some("[1.0, NaN, null]"));
        check("list<float32>", json!([]), Some("[]"));
        check("list<int64, 2>", json!([1]), None);
        check("json", json!({"b": [1, {}], "a": null}), Some("\"{\\\"a\\\":null,\\\"b\\\":[1,{}]}\""));
    }

    #[test]
    fn the_place_of_what_does_not_fit_is_told() {
        for dtype in [Dtype::Int64, Dtype::Float64, Dtype::String, Dtype::Int8] {
            assert_eq!(read_column(&[Json::Null, Json::Null, json!([])], dtype).unwrap_err(), 2);
        }
    }

    proptest! {
        #[test]
        fn floats_and_integers_come_back(float: f64, int: i64) {
            let columns = [(Dtype::Float64, Value::Float(float)), (Dtype::Int64, Value::Int(int))];
            for (dtype, value) in columns {
                let column = value.to_array(dtype, 1).unwrap();
                let text = serde_json::to_string(&Cell::new(&column, 0, dtype)).unwrap();
                let back = read(&serde_json::from_str(&text).unwrap(), dtype).unwrap();
                // JSON knows one NaN.
                prop_assert!(back == value || (float.is_nan() && matches!(back, Value::Float(v) if v.is_nan())));
            }
        }
    }
}
