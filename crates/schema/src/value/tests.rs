use super::*;
use crate::dtype::Scalar;

#[test]
fn constants_become_columns_and_come_back() {
    for (value, dtype) in [
        (Value::Int(7), Dtype::Int8),
        (Value::Uint(u64::MAX), Dtype::Uint64),
        (Value::Int(i64::MAX), Dtype::Int64),
        (Value::Float(-0.0), Dtype::Float64),
        (Value::Float(f64::NAN), Dtype::Float64),
        (Value::String("é".into()), Dtype::String),
        (Value::Timestamp(Timestamp::EPOCH), Dtype::Timestamp),
        (Value::Null, Dtype::Int32),
        (Value::Duration(Duration::from_nanos(-1)), Dtype::Duration),
        (Value::Decimal(Decimal { unscaled: 1250, scale: 2 }), Dtype::Decimal { precision: 10, scale: 2 }),
        (Value::String("{\"a\":1}".into()), Dtype::Json),
        (Value::List(vec![]), Dtype::List(Scalar::Json)),
        (Value::List(vec![Value::Int(1), Value::Null]), Dtype::List(Scalar::Int8)),
        (Value::List(vec![Value::Float(-0.0), Value::Float(f64::NAN)]), Dtype::FixedList(Scalar::Float64, 2)),
        (Value::Null, Dtype::FixedList(Scalar::Float64, 2)),
    ] {
        assert_eq!(Value::at(&value.to_array(dtype, 2).unwrap(), 1), value);
    }
}

#[test]
fn a_value_is_shown_in_the_spelling_that_is_read() {
    for (value, dtype, want) in [
        (Value::Int(19_723), Dtype::Date, "2024-01-01"),
        (Value::Int(19_723), Dtype::Int64, "19723"),
        (Value::Bytes(vec![0xab, 1]), Dtype::Bytes, "ab01"),
        (Value::Null, Dtype::Bytes, "null"),
        (Value::String("a".to_owned()), Dtype::String, "\"a\""),
    ] {
        assert_eq!(value.shown(dtype), want);
    }
}

#[test]
fn a_constant_of_another_type_is_refused() {
    for (value, dtype) in [
        (Value::Int(300), Dtype::Int8),
        (Value::Int(-1), Dtype::Uint64),
        (Value::Float(1.5), Dtype::Int64),
        (Value::String("1".into()), Dtype::Int64),
        (Value::Int((1 << 53) + 1), Dtype::Float64),
        (Value::Decimal(Decimal { unscaled: 1255, scale: 3 }), Dtype::Decimal { precision: 10, scale: 2 }),
        (Value::Int(100), Dtype::Decimal { precision: 3, scale: 1 }),
        (Value::String("{ }".into()), Dtype::Json),
        (Value::List(vec![Value::Int(1)]), Dtype::FixedList(Scalar::Int64, 2)),
        (Value::List(vec![Value::Int(300)]), Dtype::List(Scalar::Int8)),
        (Value::Int(1), Dtype::List(Scalar::Int8)),
    ] {
        assert!(value.to_array(dtype, 1).is_err(), "{value} {dtype}");
    }
}

#[test]
fn texts_become_what_is_asked_for() {
    for (value, dtype, want) in [
        (Value::String("12.5".into()), Dtype::Decimal { precision: 10, scale: 2 }, "12.50"),
        (Value::Float(0.1), Dtype::Decimal { precision: 10, scale: 2 }, "0.10"),
        (Value::Int(7), Dtype::Decimal { precision: 10, scale: 2 }, "7.00"),
        (Value::String("PT1H".into()), Dtype::Duration, "PT3600S"),
        (Value::String("1970-01-03".into()), Dtype::Date, "2"),
        (Value::String("{ \"b\": 1, \"a\": [] }".into()), Dtype::Json, "\"{\\\"a\\\":[],\\\"b\\\":1}\""),
        (Value::List(vec![Value::Int(1), Value::Float(0.5)]), Dtype::FixedList(Scalar::Float32, 2), "[1.0, 0.5]"),
        (Value::List(vec![Value::String("1970-01-02".into())]), Dtype::List(Scalar::Date), "[1]"),
    ] {
        assert_eq!(value.canonical(dtype).map(|v| v.to_string()), Ok(want.to_owned()), "{value} as {dtype}");
    }
    assert!(Value::Float(0.125).canonical(Dtype::Decimal { precision: 10, scale: 2 }).is_err());
    assert!(Value::String("{".into()).canonical(Dtype::Json).is_err());
}

#[test]
fn every_value_is_stored_and_read_back() {
    let decimal = Value::Decimal(Decimal { unscaled: i128::MAX / 10, scale: 20 });
    for value in [
        decimal,
        Value::Duration(Duration::from_nanos(i64::MIN)),
        Value::List(vec![Value::Null, Value::Float(f64::NAN)]),
    ] {
        let stored = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), value, "{stored}");
    }
}
