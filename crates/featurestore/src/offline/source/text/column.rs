//! Values as a column of their type.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationNanosecondArray, FixedSizeListArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray, NullArray, StringArray,
    TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::error::ArrowError;
use schema::dtype::item_field;
use schema::{Dtype, Value};

/// The column of `values`, each of which [`super::cell`] made for `dtype`; nulls alone where nobody knows the type.
pub(crate) fn column(values: &[Value], dtype: Option<Dtype>) -> Result<ArrayRef, ArrowError> {
    let Some(dtype) = dtype else { return Ok(Arc::new(NullArray::new(values.len()))) };
    macro_rules! integers {
        ($array:ty, $native:ty) => {
            Arc::new(
                each(values, |value| match value {
                    Value::Int(v) => <$native>::try_from(*v).ok(),
                    Value::Uint(v) => <$native>::try_from(*v).ok(),
                    _ => None,
                })
                .collect::<$array>(),
            )
        };
    }
    Ok(match dtype {
        Dtype::Bool => {
            Arc::new(each(values, |v| if let Value::Bool(v) = v { Some(*v) } else { None }).collect::<BooleanArray>())
        }
        Dtype::Int8 => integers!(Int8Array, i8),
        Dtype::Int16 => integers!(Int16Array, i16),
        Dtype::Int32 => integers!(Int32Array, i32),
        Dtype::Int64 => integers!(Int64Array, i64),
        Dtype::Uint8 => integers!(UInt8Array, u8),
        Dtype::Uint16 => integers!(UInt16Array, u16),
        Dtype::Uint32 => integers!(UInt32Array, u32),
        Dtype::Uint64 => integers!(UInt64Array, u64),
        Dtype::Date => integers!(Date32Array, i32),
        #[expect(clippy::cast_possible_truncation, reason = "it was read as 32 bits: no other float is among them")]
        Dtype::Float32 => Arc::new(floats(values).map(|v| v.map(|v| v as f32)).collect::<Float32Array>()),
        Dtype::Float64 => Arc::new(floats(values).collect::<Float64Array>()),
        Dtype::String | Dtype::Json => Arc::new(
            each(values, |v| if let Value::String(v) = v { Some(v.as_str()) } else { None }).collect::<StringArray>(),
        ),
        Dtype::Bytes => Arc::new(
            each(values, |v| if let Value::Bytes(v) = v { Some(v.as_slice()) } else { None }).collect::<BinaryArray>(),
        ),
        Dtype::Timestamp => {
            let nanos = each(values, |v| if let Value::Timestamp(t) = v { Some(t.as_nanos()) } else { None });
            Arc::new(nanos.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
        }
        Dtype::Duration => {
            let nanos = each(values, |v| if let Value::Duration(d) = v { Some(d.as_nanos()) } else { None });
            Arc::new(nanos.collect::<DurationNanosecondArray>())
        }
        Dtype::Decimal { .. } => {
            let unscaled = each(values, |v| if let Value::Decimal(d) = v { Some(d.unscaled) } else { None });
            Arc::new(unscaled.collect::<Decimal128Array>().with_data_type(dtype.to_arrow()))
        }
        Dtype::List(item) => {
            let (items, nulls) = items(values, 0);
            let offsets = OffsetBuffer::from_lengths(values.iter().map(|v| list(v).map_or(0, <[Value]>::len)));
            Arc::new(ListArray::try_new(item_field(item), offsets, column(&items, Some(item.into()))?, nulls)?)
        }
        Dtype::FixedList(item, n) => {
            let size = i32::try_from(n).map_err(|why| ArrowError::ComputeError(why.to_string()))?;
            let (items, nulls) = items(values, size.unsigned_abs() as usize);
            let items = column(&items, Some(item.into()))?;
            Arc::new(FixedSizeListArray::try_new(item_field(item), size, items, nulls)?)
        }
    })
}

fn each<'v, T>(values: &'v [Value], of: impl Fn(&'v Value) -> Option<T> + 'v) -> impl Iterator<Item = Option<T>> + 'v {
    values.iter().map(of)
}

fn floats(values: &[Value]) -> impl Iterator<Item = Option<f64>> + '_ {
    each(values, |v| if let Value::Float(v) = v { Some(*v) } else { None })
}

fn list(value: &Value) -> Option<&[Value]> {
    if let Value::List(items) = value { Some(items) } else { None }
}

/// The values of all lists, one after the other, with `filler` nulls for a list that is null.
fn items(values: &[Value], filler: usize) -> (Vec<Value>, Option<NullBuffer>) {
    let mut items = Vec::new();
    for value in values {
        match list(value) {
            Some(list) => items.extend_from_slice(list),
            None => items.extend(std::iter::repeat_n(Value::Null, filler)),
        }
    }
    let nulls: NullBuffer = values.iter().map(|value| list(value).is_some()).collect();
    (items, (nulls.null_count() > 0).then_some(nulls))
}

#[cfg(test)]
mod tests {
    use schema::{Duration, Timestamp};

    use super::*;

    /// A value of every scalar type that is at one of its ends.
    fn value(dtype: Dtype) -> Value {
        match dtype {
            Dtype::Bool => Value::Bool(true),
            Dtype::Int8 => Value::Int(i8::MIN.into()),
            Dtype::Int16 => Value::Int(i16::MIN.into()),
            Dtype::Int32 | Dtype::Date => Value::Int(i32::MIN.into()),
            Dtype::Int64 => Value::Int(i64::MIN),
            Dtype::Uint8 => Value::Uint(u8::MAX.into()),
            Dtype::Uint16 => Value::Uint(u16::MAX.into()),
            Dtype::Uint32 => Value::Uint(u32::MAX.into()),
            Dtype::Uint64 => Value::Uint(u64::MAX),
            Dtype::Float32 => Value::Float(f32::MIN_POSITIVE.into()),
            Dtype::Float64 => Value::Float(-0.0),
            Dtype::String => Value::String("a".to_owned()),
            Dtype::Json => Value::String("{}".to_owned()),
            Dtype::Bytes => Value::Bytes(vec![0, 255]),
            Dtype::Timestamp => Value::Timestamp(Timestamp::MAX),
            Dtype::Duration => Value::Duration(Duration::from_nanos(i64::MIN)),
            Dtype::Decimal { scale, .. } => Value::Decimal(schema::Decimal { unscaled: -5, scale }),
            Dtype::List(item) => Value::List(vec![value(item.into()), Value::Null]),
            Dtype::FixedList(item, n) => Value::List(vec![value(item.into()); n as usize]),
        }
    }

    #[test]
    fn every_type_comes_back() {
        for dtype in Dtype::all() {
            let values = [value(dtype), Value::Null, value(dtype)];
            let column = column(&values, Some(dtype)).unwrap();
            assert_eq!(*column.data_type(), dtype.to_arrow());
            for (row, want) in values.iter().enumerate() {
                assert_eq!(Value::at(&column, row), *want, "{dtype}");
            }
        }
    }
}
