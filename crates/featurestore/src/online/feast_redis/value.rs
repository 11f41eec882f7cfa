//! Values and times: `feast.types.Value` and `google.protobuf.Timestamp`.

use prost::{Message, Oneof};
use schema::{Dtype, Timestamp, Value};

use super::FeastLayoutError;

const NANOS: i64 = 1_000_000_000;

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct WireTime {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// `feast.types.Value`: scalars, lists of them, and what Feast keeps as text. A field's number is the type's.
#[derive(Clone, PartialEq, Message)]
struct WireValue {
    #[prost(oneof = "Scalar", tags = "1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 32, 33, 36, 44, 45")]
    scalar: Option<Scalar>,
}

macro_rules! list {
    ($name:ident, $kind:ident, $type:ty) => {
        #[derive(Clone, PartialEq, Message)]
        struct $name {
            #[prost($kind, repeated, tag = "1")]
            val: Vec<$type>,
        }
    };
}

list!(Strings, string, String);
list!(Int32s, int32, i32);
list!(Int64s, int64, i64);
list!(Doubles, double, f64);
list!(Floats, float, f32);
list!(Bools, bool, bool);

#[derive(Clone, PartialEq, Message)]
struct Blobs {
    #[prost(bytes = "vec", repeated, tag = "1")]
    val: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Scalar {
    #[prost(bytes, tag = "1")]
    Bytes(Vec<u8>),
    #[prost(string, tag = "2")]
    String(String),
    #[prost(int32, tag = "3")]
    Int32(i32),
    #[prost(int64, tag = "4")]
    Int64(i64),
    #[prost(double, tag = "5")]
    Double(f64),
    #[prost(float, tag = "6")]
    Float(f32),
    #[prost(bool, tag = "7")]
    Bool(bool),
    #[prost(int64, tag = "8")]
    UnixTimestamp(i64),
    #[prost(message, tag = "11")]
    BytesList(Blobs),
    #[prost(message, tag = "12")]
    StringList(Strings),
    #[prost(message, tag = "13")]
    Int32List(Int32s),
    #[prost(message, tag = "14")]
    Int64List(Int64s),
    #[prost(message, tag = "15")]
    DoubleList(Doubles),
    #[prost(message, tag = "16")]
    FloatList(Floats),
    #[prost(message, tag = "17")]
    BoolList(Bools),
    #[prost(message, tag = "18")]
    UnixTimestampList(Int64s),
    #[prost(int32, tag = "19")]
    Null(i32),
    #[prost(string, tag = "32")]
    Json(String),
    #[prost(message, tag = "33")]
    JsonList(Strings),
    #[prost(string, tag = "36")]
    Uuid(String),
    #[prost(string, tag = "44")]
    Decimal(String),
    #[prost(message, tag = "45")]
    DecimalList(Strings),
}

/// The bytes of a time field.
pub fn encode_time(time: Timestamp) -> Vec<u8> {
    let seconds = time.as_nanos().div_euclid(NANOS);
    let nanos = i32::try_from(time.as_nanos().rem_euclid(NANOS)).unwrap_or(0);
    WireTime { seconds, nanos }.encode_to_vec()
}

/// The inverse of [`encode_time`]; no bytes are the epoch.
///
/// # Errors
/// Other bytes, or a time that we cannot hold.
pub fn decode_time(bytes: &[u8]) -> Result<Timestamp, FeastLayoutError> {
    let wire = WireTime::decode(bytes).map_err(|why| FeastLayoutError::Malformed { why: why.to_string() })?;
    let nanos = wire.seconds.checked_mul(NANOS).and_then(|nanos| nanos.checked_add(i64::from(wire.nanos)));
    nanos.map(Timestamp::from_nanos).ok_or(FeastLayoutError::Range)
}

/// The bytes of a feature; none for null.
///
/// # Errors
/// A value that its type does not have in Feast, such as an instant between two seconds.
pub fn encode_value(value: &Value, dtype: Dtype) -> Result<Vec<u8>, FeastLayoutError> {
    let wrong = || FeastLayoutError::Value { value: value.to_string(), dtype };
    let int32 = |v: i64| i32::try_from(v).map(Scalar::Int32).map_err(|_out_of_range| wrong());
    let scalar = match (dtype, value) {
        (_, Value::Null) => return Ok(Vec::new()),
        (Dtype::Bytes, Value::Bytes(bytes)) => Scalar::Bytes(bytes.clone()),
        (Dtype::String, Value::String(text)) => Scalar::String(text.clone()),
        (Dtype::Bool, Value::Bool(v)) => Scalar::Bool(*v),
        (Dtype::Int8 | Dtype::Int16 | Dtype::Int32, Value::Int(v)) => int32(*v)?,
        (Dtype::Uint8 | Dtype::Uint16, Value::Uint(v)) => int32(i64::try_from(*v).map_err(|_out_of_range| wrong())?)?,
        (Dtype::Int64, Value::Int(v)) => Scalar::Int64(*v),
        (Dtype::Uint32 | Dtype::Uint64, Value::Uint(v)) => {
            Scalar::Int64(i64::try_from(*v).map_err(|_out_of_range| wrong())?)
        }
        (Dtype::Float64, Value::Float(v)) => Scalar::Double(*v),
        (Dtype::Float32, Value::Float(v)) => {
            #[expect(clippy::cast_possible_truncation, reason = "a value of float32 is held as the float64 it is")]
            let narrow = *v as f32;
            Scalar::Float(narrow)
        }
        (Dtype::Timestamp, Value::Timestamp(t)) if t.as_nanos() % NANOS == 0 => {
            Scalar::UnixTimestamp(t.as_nanos() / NANOS)
        }
        (Dtype::Date, Value::Int(days)) => Scalar::UnixTimestamp(days.checked_mul(86_400).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    Ok(WireValue { scalar: Some(scalar) }.encode_to_vec())
}

/// What a feature's bytes say; null for none.
///
/// # Errors
/// Other bytes, or a value of a type that we lack: maps, sets and the like. Those are never taken for null.
pub fn decode_value(bytes: &[u8]) -> Result<Value, FeastLayoutError> {
    let wire = WireValue::decode(bytes).map_err(|why| FeastLayoutError::Malformed { why: why.to_string() })?;
    Ok(match wire.scalar {
        None if bytes.is_empty() => Value::Null,
        None => return Err(FeastLayoutError::ValueType { number: first_field(bytes) }),
        Some(Scalar::Null(_)) => Value::Null,
        Some(Scalar::Bytes(bytes)) => Value::Bytes(bytes),
        Some(Scalar::String(text)) => Value::String(text),
        Some(Scalar::Int32(v)) => Value::Int(i64::from(v)),
        Some(Scalar::Int64(v)) => Value::Int(v),
        Some(Scalar::Double(v)) => Value::Float(v),
        Some(Scalar::Float(v)) => Value::Float(f64::from(v)),
        Some(Scalar::Bool(v)) => Value::Bool(v),
        Some(Scalar::UnixTimestamp(seconds)) => instant(seconds)?,
        Some(Scalar::BytesList(list)) => list_of(list.val, |v| Ok(Value::Bytes(v)))?,
        Some(Scalar::StringList(list) | Scalar::JsonList(list) | Scalar::DecimalList(list)) => {
            list_of(list.val, |v| Ok(Value::String(v)))?
        }
        Some(Scalar::Int32List(list)) => list_of(list.val, |v| Ok(Value::Int(v.into())))?,
        Some(Scalar::Int64List(list)) => list_of(list.val, |v| Ok(Value::Int(v)))?,
        Some(Scalar::DoubleList(list)) => list_of(list.val, |v| Ok(Value::Float(v)))?,
        Some(Scalar::FloatList(list)) => list_of(list.val, |v| Ok(Value::Float(v.into())))?,
        Some(Scalar::BoolList(list)) => list_of(list.val, |v| Ok(Value::Bool(v)))?,
        Some(Scalar::UnixTimestampList(list)) => list_of(list.val, instant)?,
        Some(Scalar::Json(text) | Scalar::Uuid(text) | Scalar::Decimal(text)) => Value::String(text),
    })
}

fn instant(seconds: i64) -> Result<Value, FeastLayoutError> {
    let nanos = seconds.checked_mul(NANOS).ok_or(FeastLayoutError::Range)?;
    Ok(Value::Timestamp(Timestamp::from_nanos(nanos)))
}

fn list_of<T>(values: Vec<T>, one: impl Fn(T) -> Result<Value, FeastLayoutError>) -> Result<Value, FeastLayoutError> {
    values.into_iter().map(one).collect::<Result<_, _>>().map(Value::List)
}

/// The number of the first field of a message that has one.
fn first_field(mut bytes: &[u8]) -> u32 {
    let key = prost::encoding::decode_varint(&mut bytes).unwrap_or_default();
    u32::try_from(key >> 3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Feast 0.67 writes them.
    #[test]
    fn values_are_feasts_byte_for_byte() {
        for (dtype, value, want) in [
            (Dtype::Float64, Value::Float(0.5), "29000000000000e03f"),
            (Dtype::Float64, Value::Float(f64::NAN), "29000000000000f87f"),
            (Dtype::Float64, Value::Float(0.0), "290000000000000000"),
            (Dtype::Float32, Value::Float(f64::from(0.1_f32)), "35cdcccc3d"),
            (Dtype::Int64, Value::Int(10), "200a"),
            (Dtype::Int64, Value::Int(0), "2000"),
            (Dtype::Int64, Value::Int(-1), "20ffffffffffffffffff01"),
            (Dtype::Int32, Value::Int(-1), "18ffffffffffffffffff01"),
            (Dtype::String, Value::String("a".to_owned()), "120161"),
            (Dtype::String, Value::String(String::new()), "1200"),
            (Dtype::Bool, Value::Bool(false), "3800"),
            (Dtype::Bool, Value::Bool(true), "3801"),
            (Dtype::Bytes, Value::Bytes(vec![0xff]), "0a01ff"),
            (Dtype::Timestamp, Value::Timestamp(Timestamp::parse("2026-11-22T17:58:24Z").unwrap()), "40c0da8cd806"),
            (Dtype::Int64, Value::Null, ""),
        ] {
            let bytes = encode_value(&value, dtype).unwrap();
            assert_eq!(hex::encode(&bytes), want, "{dtype} {value}");
            assert_eq!(decode_value(&bytes).unwrap(), value);
        }
        assert_eq!(decode_value(&hex::decode("980100").unwrap()).unwrap(), Value::Null);
    }

    #[test]
    fn lists_and_texts_are_read() {
        let numbers = |numbers: &[i64]| Value::List(numbers.iter().map(|v| Value::Int(*v)).collect());
        for (bytes, want) in [
            ("72030a0101", numbers(&[1])),
            ("7200", numbers(&[])),
            ("7a0a0a08000000000000e03f", Value::List(vec![Value::Float(0.5)])),
            ("8201060a04cdcccc3d", Value::List(vec![Value::Float(f64::from(0.1_f32))])),
            ("62030a0161", Value::List(vec![Value::String("a".to_owned())])),
            ("8202027b7d", Value::String("{}".to_owned())),
            ("e20203312e35", Value::String("1.5".to_owned())),
        ] {
            assert_eq!(decode_value(&hex::decode(bytes).unwrap()).unwrap(), want, "{bytes}");
        }
        let text = |text: &str| Value::String(text.to_owned());
        let instant = |text: &str| Value::Timestamp(Timestamp::parse(text).unwrap());
        let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
        for (bytes, want) in [
            ("5a050a01ff0a00".to_owned(), vec![Value::Bytes(vec![0xff]), Value::Bytes(vec![])]),
            ("6a0d0a0bffffffffffffffffff0107".to_owned(), vec![Value::Int(-1), Value::Int(7)]),
            // Not packed, as other writers of the format may have it.
            ("6a0408010807".to_owned(), vec![Value::Int(1), Value::Int(7)]),
            ("8a01040a020100".to_owned(), vec![Value::Bool(true), Value::Bool(false)]),
            (
                "9201110a0fc0da8cd806ffffffffffffffffff01".to_owned(),
                vec![instant("2026-11-22T17:58:24Z"), instant("1969-12-31T23:59:59Z")],
            ),
            ("8a02070a027b7d0a0131".to_owned(), vec![text("{}"), text("1")]),
            ("ea02050a03312e35".to_owned(), vec![text("1.5")]),
        ] {
            assert_eq!(decode_value(&hex::decode(&bytes).unwrap()).unwrap(), Value::List(want), "{bytes}");
        }
        assert_eq!(decode_value(&hex::decode(format!("a20224{}", hex::encode(uuid))).unwrap()).unwrap(), text(uuid));
        let cut = decode_value(&hex::decode("72040a0201ff").unwrap());
        assert!(matches!(cut, Err(FeastLayoutError::Malformed { .. })), "a number without its end: {cut:?}");
    }

    #[test]
    fn what_we_lack_is_never_taken_for_null() {
        // Maps, sets, structs, lists of lists, maps of other keys, times with a zone: each as an empty message.
        for number in (20..=31).chain([34, 35, 37, 38, 39, 40, 41, 42, 43, 46, 47, 48]) {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(u64::from(number) << 3 | 2, &mut bytes);
            bytes.push(0);
            assert_eq!(decode_value(&bytes), Err(FeastLayoutError::ValueType { number }));
        }
        assert!(matches!(decode_value(b"\xff"), Err(FeastLayoutError::Malformed { .. })));
        assert!(encode_value(&Value::Uint(u64::MAX), Dtype::Uint64).is_err());
        assert!(encode_value(&Value::Timestamp(Timestamp::from_nanos(1)), Dtype::Timestamp).is_err());
    }

    #[test]
    fn times_are_feasts_byte_for_byte() {
        for (nanos, want) in [
            (1_795_370_304 * NANOS, "08c0da8cd806"),
            (0, ""),
            (5, "1005"),
            (-NANOS, "08ffffffffffffffffff01"),
            (-1, "08ffffffffffffffffff0110ff93ebdc03"),
        ] {
            let time = Timestamp::from_nanos(nanos);
            assert_eq!(hex::encode(encode_time(time)), want);
            assert_eq!(decode_time(&encode_time(time)), Ok(time));
        }
        let far = WireTime { seconds: i64::MAX, nanos: 0 }.encode_to_vec();
        assert_eq!(decode_time(&far), Err(FeastLayoutError::Range));
    }

    proptest! {
        #[test]
        fn times_come_back(nanos in any::<i64>()) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(decode_time(&encode_time(time)), decode_in_range(nanos));
        }
    }

    /// Seconds are rounded down, which for the first second of our range leaves it.
    fn decode_in_range(nanos: i64) -> Result<Timestamp, FeastLayoutError> {
        match nanos.div_euclid(NANOS).checked_mul(NANOS) {
            Some(_) => Ok(Timestamp::from_nanos(nanos)),
            None => Err(FeastLayoutError::Range),
        }
    }
}
