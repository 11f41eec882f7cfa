//! One scalar: constants in definitions, cells of an answer.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StringArray, TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array,
    UInt64Array, new_null_array,
};
use arrow::datatypes as at;
use serde::{Deserialize, Serialize};

use crate::dtype::Dtype;
use crate::time::Timestamp;

/// A scalar without its width: the dtype beside it says how many bits it has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", content = "value", rename_all = "snake_case")]
pub enum Value {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A signed integer, days of a date included.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A float, stored by its bits so that NaN and -0.0 survive.
    #[serde(with = "float_bits")]
    Float(f64),
    /// A text.
    String(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An instant.
    Timestamp(Timestamp),
}

mod float_bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format!("{:016x}", value.to_bits()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
        let text = String::deserialize(input)?;
        u64::from_str_radix(&text, 16).map(f64::from_bits).map_err(serde::de::Error::custom)
    }
}

impl PartialEq for Value {
    /// Floats compare by their bits: NaN equals itself, 0.0 differs from -0.0.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// The cell at `row` of a column in one of our dtypes (as [`Dtype::to_arrow`] holds them).
    ///
    /// # Panics
    /// Never for such columns; a column of another type is a bug of the caller.
    pub fn at(column: &dyn Array, row: usize) -> Self {
        if column.is_null(row) {
            return Self::Null;
        }
        macro_rules! int {
            ($t:ty) => {
                Self::Int(i64::from(column.as_primitive::<$t>().value(row)))
            };
        }
        macro_rules! uint {
            ($t:ty) => {
                Self::Uint(u64::from(column.as_primitive::<$t>().value(row)))
            };
        }
        match Dtype::from_arrow(column.data_type()).expect("columns inside the product have a dtype") {
            Dtype::Bool => Self::Bool(column.as_boolean().value(row)),
            Dtype::Int8 => int!(at::Int8Type),
            Dtype::Int16 => int!(at::Int16Type),
            Dtype::Int32 => int!(at::Int32Type),
            Dtype::Int64 => int!(at::Int64Type),
            Dtype::Date => int!(at::Date32Type),
            Dtype::Uint8 => uint!(at::UInt8Type),
            Dtype::Uint16 => uint!(at::UInt16Type),
            Dtype::Uint32 => uint!(at::UInt32Type),
            Dtype::Uint64 => uint!(at::UInt64Type),
            Dtype::Float32 => Self::Float(f64::from(column.as_primitive::<at::Float32Type>().value(row))),
            Dtype::Float64 => Self::Float(column.as_primitive::<at::Float64Type>().value(row)),
            Dtype::String => Self::String(column.as_string::<i32>().value(row).to_owned()),
            Dtype::Bytes => Self::Bytes(column.as_binary::<i32>().value(row).to_vec()),
            Dtype::Timestamp => {
                Self::Timestamp(Timestamp::from_nanos(column.as_primitive::<at::TimestampNanosecondType>().value(row)))
            }
        }
    }

    /// A column of `n` times this value.
    ///
    /// # Errors
    /// A sentence that names both sides if the value is not exactly one of `dtype`'s.
    pub fn to_array(&self, dtype: Dtype, n: usize) -> Result<ArrayRef, String> {
        let wrong = || format!("{self} is not a value of {dtype}");
        macro_rules! int {
            ($array:ty, $native:ty) => {{
                let value = match self {
                    Self::Int(v) => <$native>::try_from(*v).ok(),
                    Self::Uint(v) => <$native>::try_from(*v).ok(),
                    _ => None,
                };
                Arc::new(<$array>::from(vec![value.ok_or_else(wrong)?; n]))
            }};
        }
        if let Self::Null = self {
            return Ok(new_null_array(&dtype.to_arrow(), n));
        }
        Ok(match dtype {
            Dtype::Bool => match self {
                Self::Bool(v) => Arc::new(BooleanArray::from(vec![*v; n])),
                _ => return Err(wrong()),
            },
            Dtype::Int8 => int!(Int8Array, i8),
            Dtype::Int16 => int!(Int16Array, i16),
            Dtype::Int32 => int!(Int32Array, i32),
            Dtype::Int64 => int!(Int64Array, i64),
            Dtype::Uint8 => int!(UInt8Array, u8),
            Dtype::Uint16 => int!(UInt16Array, u16),
            Dtype::Uint32 => int!(UInt32Array, u32),
            Dtype::Uint64 => int!(UInt64Array, u64),
            Dtype::Float32 => {
                let v = self.as_f64().ok_or_else(wrong)?;
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a declared constant is rounded to the feature's width"
                )]
                let narrow = v as f32;
                Arc::new(Float32Array::from(vec![narrow; n]))
            }
            Dtype::Float64 => Arc::new(Float64Array::from(vec![self.as_f64().ok_or_else(wrong)?; n])),
            Dtype::String => match self {
                Self::String(v) => Arc::new(StringArray::from(vec![v.as_str(); n])),
                _ => return Err(wrong()),
            },
            Dtype::Bytes => match self {
                Self::Bytes(v) => Arc::new(BinaryArray::from(vec![v.as_slice(); n])),
                _ => return Err(wrong()),
            },
            Dtype::Date => match self {
                Self::Int(v) => {
                    Arc::new(Date32Array::from(vec![i32::try_from(*v).map_err(|_out_of_range| wrong())?; n]))
                }
                _ => return Err(wrong()),
            },
            Dtype::Timestamp => match self {
                Self::Timestamp(t) => {
                    Arc::new(TimestampNanosecondArray::from(vec![t.as_nanos(); n]).with_timezone("UTC"))
                }
                _ => return Err(wrong()),
            },
        })
    }

    /// The same constant as a column of `dtype` would give it back: the form in which constants are compared.
    ///
    /// # Errors
    /// As [`Self::to_array`]. A text becomes a time where a time is asked for.
    pub fn canonical(&self, dtype: Dtype) -> Result<Self, String> {
        match (self, dtype) {
            (Self::String(text), Dtype::Timestamp) => {
                Timestamp::parse(text).map(Self::Timestamp).map_err(|why| why.to_string())
            }
            (value, dtype) => Ok(Self::at(&value.to_array(dtype, 1)?, 0)),
        }
    }

    /// The number as a float where that is exact.
    fn as_f64(&self) -> Option<f64> {
        const EXACT: i64 = 1 << 53;
        #[expect(clippy::cast_precision_loss, reason = "checked to be below 2^53")]
        match self {
            Self::Float(v) => Some(*v),
            Self::Int(v) if (-EXACT..=EXACT).contains(v) => Some(*v as f64),
            Self::Uint(v) if i64::try_from(*v).is_ok_and(|v| v <= EXACT) => Some(*v as f64),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Uint(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::String(v) => write!(f, "{v:?}"),
            Self::Bytes(v) => write!(f, "{} bytes", v.len()),
            Self::Timestamp(t) => write!(f, "{t}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(Value::at(&value.to_array(dtype, 2).unwrap(), 1), value);
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
        ] {
            assert!(value.to_array(dtype, 1).is_err(), "{value} {dtype}");
        }
    }
}
