//! Entity keys: the typed join-key values of one row, as bytes.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes as at;

use crate::decimal::Decimal;
use crate::dtype::Dtype;
use crate::value::Value;

/// First byte of every key: readers accept old formats, writers write this one.
const FORMAT: u8 = 1;

/// The join-key values of one row, compared part by part.
///
/// Each part has its length or a fixed width, so no separator can be forged. Integers of any width encode alike, so an `int32` spine meets an `int64` view.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityKey(Box<[u8]>);

impl EntityKey {
    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes bytes that [`Self::as_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The keys of `n` rows of key columns already in their declared dtypes; `None` where any part is null, for a null
    /// key matches nothing.
    pub fn from_columns(columns: &[ArrayRef], n: usize) -> Vec<Option<Self>> {
        let mut keys = Vec::with_capacity(n);
        Self::each(columns, n, |_, bytes| keys.push(bytes.map(Self::from_bytes)));
        keys
    }

    /// As [`Self::from_columns`], without keeping them: calls `see` with each row's number and key bytes.
    pub fn each(columns: &[ArrayRef], n: usize, mut see: impl FnMut(usize, Option<&[u8]>)) {
        let mut buffer = Vec::with_capacity(32);
        for row in 0..n {
            buffer.clear();
            buffer.push(FORMAT);
            let whole = columns.iter().all(|column| push_part(&mut buffer, column, row));
            see(row, whole.then_some(buffer.as_slice()));
        }
    }

    /// The values, for people and logs.
    pub fn parts(&self) -> Vec<Value> {
        let mut rest = self.0.get(1..).unwrap_or_default();
        let mut parts = Vec::new();
        while let Some((tag, tail)) = rest.split_first() {
            let Some((value, tail)) = read_part(*tag, tail) else { break };
            parts.push(value);
            rest = tail;
        }
        parts
    }
}

fn push_part(out: &mut Vec<u8>, column: &dyn Array, row: usize) -> bool {
    if column.is_null(row) {
        return false;
    }
    let int = |out: &mut Vec<u8>, v: i64| {
        out.push(b'i');
        out.extend((v ^ i64::MIN).to_be_bytes());
    };
    let text = |out: &mut Vec<u8>, tag: u8, v: &[u8]| {
        out.push(tag);
        out.extend(u32::try_from(v.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(v);
    };
    match Dtype::from_arrow(column.data_type()).expect("key columns are cast to a declared dtype first") {
        Dtype::Int64 => int(out, column.as_primitive::<at::Int64Type>().value(row)),
        Dtype::String => text(out, b's', column.as_string::<i32>().value(row).as_bytes()),
        Dtype::Bytes => text(out, b'x', column.as_binary::<i32>().value(row)),
        Dtype::Uint64 => {
            // Above i64::MAX there is no signed twin, so those get a tag of their own.
            let v = column.as_primitive::<at::UInt64Type>().value(row);
            match i64::try_from(v) {
                Ok(v) => int(out, v),
                Err(_) => {
                    out.push(b'u');
                    out.extend(v.to_be_bytes());
                }
            }
        }
        Dtype::Bool => out.extend([b'b', u8::from(column.as_boolean().value(row))]),
        Dtype::Timestamp => {
            out.push(b't');
            let nanos = column.as_primitive::<at::TimestampNanosecondType>().value(row);
            out.extend(crate::time::Timestamp::from_nanos(nanos).to_ordered_bytes());
        }
        Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Uint8 | Dtype::Uint16 | Dtype::Uint32 | Dtype::Date => {
            match Value::at(column, row) {
                Value::Int(v) => int(out, v),
                Value::Uint(v) => int(out, i64::try_from(v).unwrap_or(i64::MAX)),
                other => unreachable!("a narrow integer read as {other}"),
            }
        }
        Dtype::Decimal { scale, .. } => {
            // Without zeros at the end, for 1.5 and 1.50 are one key.
            let unscaled = column.as_primitive::<at::Decimal128Type>().value(row);
            let normal = Decimal { unscaled, scale }.normal();
            out.extend([b'd', normal.scale]);
            out.extend(normal.unscaled.to_be_bytes());
        }
        Dtype::Float32 | Dtype::Float64 | Dtype::Duration | Dtype::Json | Dtype::List(_) | Dtype::FixedList(_, _) => {
            unreachable!("`Dtype::is_key` refuses them as join keys when definitions are read")
        }
    }
    true
}

fn read_part(tag: u8, rest: &[u8]) -> Option<(Value, &[u8])> {
    match tag {
        b'i' | b't' | b'u' => {
            let (head, tail) = rest.split_first_chunk::<8>()?;
            let value = match tag {
                b'i' => Value::Int(i64::from_be_bytes(*head) ^ i64::MIN),
                b'u' => Value::Uint(u64::from_be_bytes(*head)),
                _ => Value::Timestamp(crate::time::Timestamp::from_ordered_bytes(*head)),
            };
            Some((value, tail))
        }
        b'd' => {
            let (scale, tail) = rest.split_first()?;
            let (unscaled, tail) = tail.split_first_chunk::<16>()?;
            let decimal = Decimal { unscaled: i128::from_be_bytes(*unscaled), scale: *scale };
            Some((Value::Decimal(decimal), tail))
        }
        b'b' => rest.split_first().map(|(v, tail)| (Value::Bool(*v != 0), tail)),
        b's' | b'x' => {
            let (len, tail) = rest.split_first_chunk::<4>()?;
            let (text, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            let value = if tag == b's' {
                Value::String(String::from_utf8_lossy(text).into_owned())
            } else {
                Value::Bytes(text.to_vec())
            };
            Some((value, tail))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn widths_of_integers_do_not_matter() {
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![-5]));
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![-5]));
        assert_eq!(EntityKey::from_columns(&[narrow], 1), EntityKey::from_columns(&[wide], 1));
    }

    #[test]
    fn zeros_at_the_end_of_a_decimal_do_not_matter() {
        let key = |unscaled: i128, scale: u8| {
            let value = Value::Decimal(Decimal { unscaled, scale });
            EntityKey::from_columns(&[value.to_array(Dtype::Decimal { precision: 20, scale }, 1).unwrap()], 1).remove(0)
        };
        assert_eq!(key(150, 2), key(15, 1));
        assert_ne!(key(150, 2), key(150, 1));
        let parts = key(-150, 2).unwrap().parts();
        assert_eq!(parts[0].to_array(Dtype::Decimal { precision: 5, scale: 3 }, 1).unwrap().len(), 1);
        assert_eq!(parts, vec![Value::Decimal(Decimal { unscaled: -15, scale: 1 })]);
    }

    #[test]
    fn parts_never_run_together() {
        let columns = |a: &str, b: &str| -> Vec<ArrayRef> {
            vec![Arc::new(StringArray::from(vec![a])), Arc::new(StringArray::from(vec![b]))]
        };
        let key = |a: &str, b: &str| EntityKey::from_columns(&columns(a, b), 1);
        assert_ne!(key("ab", "c"), key("a", "bc"));
        assert_ne!(key("a\0b", ""), key("a", "b"));
    }

    #[test]
    fn a_null_part_makes_no_key() {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(Int64Array::from(vec![Some(1), Some(1)]))];
        let keys = EntityKey::from_columns(&columns, 2);
        assert_eq!(keys[0].as_ref().unwrap().parts(), vec![Value::Int(1), Value::Int(1)]);
        assert_eq!(keys[1], None);
    }
}
