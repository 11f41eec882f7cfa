//! Single values as bytes: fixed-width ones little-endian, texts with their length before them.

use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, PrimitiveArray, StringBuilder};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{self as at, ArrowPrimitiveType, DataType};
use schema::{Dtype, Scalar};

/// Bytes of a value; `None` for texts.
pub(super) fn width(scalar: Scalar) -> Option<usize> {
    match scalar {
        Scalar::Bool | Scalar::Int8 | Scalar::Uint8 => Some(1),
        Scalar::Int16 | Scalar::Uint16 => Some(2),
        Scalar::Int32 | Scalar::Uint32 | Scalar::Float32 | Scalar::Date => Some(4),
        Scalar::Int64 | Scalar::Uint64 | Scalar::Float64 | Scalar::Timestamp | Scalar::Duration => Some(8),
        Scalar::Decimal { .. } => Some(16),
        Scalar::String | Scalar::Bytes | Scalar::Json => None,
    }
}

/// Writes the value at `row`, which is not null: over the zeros at `place`, or at the end.
pub(super) fn push_value(out: &mut Vec<u8>, place: Option<usize>, column: &dyn Array, row: usize, scalar: Scalar) {
    let put = |out: &mut Vec<u8>, bytes: &[u8]| match place {
        Some(at) => out[at..at + bytes.len()].copy_from_slice(bytes),
        None => out.extend(bytes),
    };
    macro_rules! fixed {
        ($t:ty) => {
            put(out, &column.as_primitive::<$t>().value(row).to_le_bytes())
        };
    }
    match scalar {
        Scalar::Bool => put(out, &[u8::from(column.as_boolean().value(row))]),
        Scalar::Int8 => fixed!(at::Int8Type),
        Scalar::Int16 => fixed!(at::Int16Type),
        Scalar::Int32 => fixed!(at::Int32Type),
        Scalar::Int64 => fixed!(at::Int64Type),
        Scalar::Uint8 => fixed!(at::UInt8Type),
        Scalar::Uint16 => fixed!(at::UInt16Type),
        Scalar::Uint32 => fixed!(at::UInt32Type),
        Scalar::Uint64 => fixed!(at::UInt64Type),
        Scalar::Float32 => fixed!(at::Float32Type),
        Scalar::Float64 => fixed!(at::Float64Type),
        Scalar::Date => fixed!(at::Date32Type),
        Scalar::Timestamp => fixed!(at::TimestampNanosecondType),
        Scalar::Duration => fixed!(at::DurationNanosecondType),
        Scalar::Decimal { .. } => fixed!(at::Decimal128Type),
        Scalar::String | Scalar::Json => push_text(out, column.as_string::<i32>().value(row).as_bytes()),
        Scalar::Bytes => push_text(out, column.as_binary::<i32>().value(row)),
    }
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    // Arrow's 32-bit offsets keep every text below 2 GiB.
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(text);
}

/// Takes `n` bytes off the front.
pub(super) fn split<'b>(bytes: &mut &'b [u8], n: usize) -> Option<&'b [u8]> {
    let (head, tail) = bytes.split_at_checked(n)?;
    *bytes = tail;
    Some(head)
}

/// Takes a length off the front.
pub(super) fn split_length(bytes: &mut &[u8]) -> Option<usize> {
    let (head, tail) = bytes.split_first_chunk::<4>()?;
    *bytes = tail;
    usize::try_from(u32::from_le_bytes(*head)).ok()
}

macro_rules! builders {
    ($($variant:ident$({$($parameter:tt)*})?: $t:ty),* $(,)?) => {
        /// A column of single values being filled.
        #[derive(Debug)]
        pub(super) enum CellBuilder {
            Bool(BooleanBuilder),
            Text(StringBuilder),
            Bytes(BinaryBuilder),
            $($variant(Primitives<$t>),)*
        }

        impl CellBuilder {
            pub(super) fn new(scalar: Scalar, n: usize) -> Self {
                match scalar {
                    Scalar::Bool => Self::Bool(BooleanBuilder::with_capacity(n)),
                    Scalar::String | Scalar::Json => Self::Text(StringBuilder::with_capacity(n, n * 8)),
                    Scalar::Bytes => Self::Bytes(BinaryBuilder::with_capacity(n, n * 8)),
                    $(Scalar::$variant$({$($parameter)*})? => {
                        // Times have a zone and decimals a scale, which their native type does not say.
                        Self::$variant(Primitives::new(n, Dtype::from(scalar).to_arrow()))
                    })*
                }
            }

            pub(super) fn push_null(&mut self) {
                match self {
                    Self::Bool(b) => b.append_null(),
                    Self::Text(b) => b.append_null(),
                    Self::Bytes(b) => b.append_null(),
                    $(Self::$variant(b) => b.append_null(),)*
                }
            }

            /// Takes a value off the front of `bytes`; `None` if they do not hold one.
            pub(super) fn push(&mut self, bytes: &mut &[u8]) -> Option<()> {
                match self {
                    Self::Bool(b) => b.append_value(*split(bytes, 1)?.first()? != 0),
                    Self::Text(b) => {
                        let n = split_length(bytes)?;
                        b.append_value(std::str::from_utf8(split(bytes, n)?).ok()?);
                    }
                    Self::Bytes(b) => {
                        let n = split_length(bytes)?;
                        b.append_value(split(bytes, n)?);
                    }
                    $(Self::$variant(b) => b.push(bytes)?,)*
                }
                Some(())
            }

            pub(super) fn finish(self) -> ArrayRef {
                match self {
                    Self::Bool(mut b) => Arc::new(b.finish()),
                    Self::Text(mut b) => Arc::new(b.finish()),
                    Self::Bytes(mut b) => Arc::new(b.finish()),
                    $(Self::$variant(b) => Arc::new(b.finish()),)*
                }
            }
        }

        /// `n` numbers that lie in `memory` from byte `at` on; `None` for what is no number.
        pub(super) fn numbers(
            scalar: Scalar,
            memory: &Buffer,
            at: usize,
            n: usize,
            nulls: Option<NullBuffer>,
        ) -> Option<ArrayRef> {
            match scalar {
                Scalar::Bool | Scalar::String | Scalar::Json | Scalar::Bytes => None,
                $(Scalar::$variant$({$($parameter)*})? => {
                    let first = at / size_of::<<$t as ArrowPrimitiveType>::Native>();
                    let values = ScalarBuffer::new(memory.clone(), first, n);
                    let dtype = Dtype::from(scalar).to_arrow();
                    Some(Arc::new(PrimitiveArray::<$t>::new(values, nulls).with_data_type(dtype)))
                })*
            }
        }
    };
}

builders! {
    Int8: at::Int8Type,
    Int16: at::Int16Type,
    Int32: at::Int32Type,
    Int64: at::Int64Type,
    Uint8: at::UInt8Type,
    Uint16: at::UInt16Type,
    Uint32: at::UInt32Type,
    Uint64: at::UInt64Type,
    Float32: at::Float32Type,
    Float64: at::Float64Type,
    Date: at::Date32Type,
    Timestamp: at::TimestampNanosecondType,
    Duration: at::DurationNanosecondType,
    Decimal{ .. }: at::Decimal128Type,
}

/// Numbers being filled. Arrow's own builder goes through untyped data, which is most of the work for one row.
#[derive(Debug)]
pub(super) struct Primitives<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    nulls: NullBufferBuilder,
    dtype: DataType,
}

impl<T: ArrowPrimitiveType<Native: FromLe>> Primitives<T> {
    fn new(n: usize, dtype: DataType) -> Self {
        Self { values: Vec::with_capacity(n), nulls: NullBufferBuilder::new(n), dtype }
    }

    fn append_null(&mut self) {
        self.values.push(T::Native::default());
        self.nulls.append_null();
    }

    fn push(&mut self, bytes: &mut &[u8]) -> Option<()> {
        self.values.push(T::Native::from_le(split(bytes, size_of::<T::Native>())?)?);
        self.nulls.append_non_null();
        Some(())
    }

    fn finish(mut self) -> PrimitiveArray<T> {
        PrimitiveArray::new(self.values.into(), self.nulls.finish()).with_data_type(self.dtype)
    }
}

/// Reads a value from its little-endian bytes.
pub(super) trait FromLe: Sized {
    fn from_le(bytes: &[u8]) -> Option<Self>;
}

macro_rules! from_le {
    ($($t:ty),*) => {$(
        impl FromLe for $t {
            fn from_le(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(<$t>::from_le_bytes)
            }
        }
    )*};
}

from_le!(i8, i16, i32, i64, i128, u8, u16, u32, u64, f32, f64);
