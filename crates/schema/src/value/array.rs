//! Values to columns and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationNanosecondArray,
    FixedSizeListArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, ListArray,
    StringArray, TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array, new_empty_array,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{concat, take};
use arrow::datatypes as at;

use super::Value;
use crate::decimal::Decimal;
use crate::dtype::{Dtype, Scalar, item_field};
use crate::duration::Duration;
use crate::json::canonical;
use crate::time::Timestamp;

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
            Dtype::String | Dtype::Json => Self::String(column.as_string::<i32>().value(row).to_owned()),
            Dtype::Bytes => Self::Bytes(column.as_binary::<i32>().value(row).to_vec()),
            Dtype::Timestamp => {
                Self::Timestamp(Timestamp::from_nanos(column.as_primitive::<at::TimestampNanosecondType>().value(row)))
            }
            Dtype::Duration => {
                Self::Duration(Duration::from_nanos(column.as_primitive::<at::DurationNanosecondType>().value(row)))
            }
            Dtype::Decimal { scale, .. } => {
                Self::Decimal(Decimal { unscaled: column.as_primitive::<at::Decimal128Type>().value(row), scale })
            }
            Dtype::List(_) => list(&column.as_list::<i32>().value(row)),
            Dtype::FixedList(_, _) => list(&column.as_fixed_size_list().value(row)),
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
            Dtype::Json => match self {
                Self::String(v) if canonical(v).is_ok_and(|canonical| canonical == *v) => {
                    Arc::new(StringArray::from(vec![v.as_str(); n]))
                }
                _ => return Err(wrong()),
            },
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
            Dtype::Duration => match self {
                Self::Duration(d) => Arc::new(DurationNanosecondArray::from(vec![d.as_nanos(); n])),
                _ => return Err(wrong()),
            },
            Dtype::Decimal { precision, scale } => {
                let unscaled = self.as_decimal().and_then(|d| d.rescaled(precision, scale)).ok_or_else(wrong)?;
                Arc::new(Decimal128Array::from(vec![unscaled; n]).with_data_type(dtype.to_arrow()))
            }
            Dtype::List(item) | Dtype::FixedList(item, _) => match self {
                Self::List(values) => {
                    let one = one_list(values, item, dtype).map_err(|why| format!("{}: {why}", wrong()))?;
                    repeated(&one, n)?
                }
                _ => return Err(wrong()),
            },
        })
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

    fn as_decimal(&self) -> Option<Decimal> {
        match self {
            Self::Decimal(decimal) => Some(*decimal),
            Self::Int(v) => Some(Decimal { unscaled: (*v).into(), scale: 0 }),
            Self::Uint(v) => Some(Decimal { unscaled: (*v).into(), scale: 0 }),
            _ => None,
        }
    }
}

fn list(values: &ArrayRef) -> Value {
    Value::List((0..values.len()).map(|row| Value::at(values, row)).collect())
}

/// A column of one list.
fn one_list(values: &[Value], item: Scalar, dtype: Dtype) -> Result<ArrayRef, String> {
    let cells = values.iter().map(|value| value.to_array(item.into(), 1)).collect::<Result<Vec<_>, _>>()?;
    let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
    let items = match cells.as_slice() {
        [] => new_empty_array(&item.to_arrow()),
        cells => concat(cells).map_err(|why| why.to_string())?,
    };
    let built: Result<ArrayRef, _> = match dtype {
        Dtype::FixedList(_, n) if u32::try_from(values.len()) != Ok(n) => {
            return Err(format!("it has {} values", values.len()));
        }
        Dtype::FixedList(_, n) => {
            let n = i32::try_from(n).unwrap_or(i32::MAX);
            FixedSizeListArray::try_new(item_field(item), n, items, None).map(|list| Arc::new(list) as ArrayRef)
        }
        _ => {
            let offsets = OffsetBuffer::from_lengths([items.len()]);
            ListArray::try_new(item_field(item), offsets, items, None).map(|list| Arc::new(list) as ArrayRef)
        }
    };
    built.map_err(|why| why.to_string())
}

/// `n` times the one row of a column.
fn repeated(one: &ArrayRef, n: usize) -> Result<ArrayRef, String> {
    take(one, &UInt32Array::from(vec![0; n]), None).map_err(|why| why.to_string())
}
