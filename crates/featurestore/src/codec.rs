//! How one row of stored features is packed for the online store.
//!
//! Format byte, null bitmap, fixed-width cells in feature order (nulls as zeros), then the texts in feature order, each
//! with its length. Fixed cells are little-endian. Floats keep their bits: NaN, -0.0 and infinities come back as they
//! were.

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow::datatypes as at;
use arrow::datatypes::ArrowPrimitiveType;
use schema::Dtype;
use std::sync::Arc;

/// First byte of every packed row: readers accept old formats, writers write this one.
const FORMAT: u8 = 1;

/// Packs and unpacks the rows of one view version.
#[derive(Debug, Clone)]
pub struct RowCodec {
    dtypes: Vec<Dtype>,
    fixed_at: Vec<usize>,
    texts_at: usize,
}

/// A packed row that does not parse: another format, or bytes missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored row of {found} bytes does not have the layout of its view version")]
pub struct CorruptRow {
    found: usize,
}

fn width(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::Bool | Dtype::Int8 | Dtype::Uint8 => Some(1),
        Dtype::Int16 | Dtype::Uint16 => Some(2),
        Dtype::Int32 | Dtype::Uint32 | Dtype::Float32 | Dtype::Date => Some(4),
        Dtype::Int64 | Dtype::Uint64 | Dtype::Float64 | Dtype::Timestamp => Some(8),
        Dtype::String | Dtype::Bytes => None,
    }
}

impl RowCodec {
    /// A codec for features of these types, in order.
    pub fn new(dtypes: impl IntoIterator<Item = Dtype>) -> Self {
        let dtypes: Vec<Dtype> = dtypes.into_iter().collect();
        let mut at = 1 + dtypes.len().div_ceil(8);
        let mut fixed_at = Vec::with_capacity(dtypes.len());
        for dtype in &dtypes {
            fixed_at.push(at);
            at += width(*dtype).unwrap_or(0);
        }
        Self { dtypes, fixed_at, texts_at: at }
    }

    /// Packs row `row` of columns that are in the codec's dtypes.
    pub fn encode(&self, columns: &[ArrayRef], row: usize) -> Vec<u8> {
        let mut out = vec![0; self.texts_at];
        out[0] = FORMAT;
        for (i, (column, dtype)) in columns.iter().zip(&self.dtypes).enumerate() {
            if column.is_null(row) {
                out[1 + i / 8] |= 1 << (i % 8);
                continue;
            }
            let at = self.fixed_at[i];
            macro_rules! fixed {
                ($t:ty) => {{
                    let bytes = column.as_primitive::<$t>().value(row).to_le_bytes();
                    out[at..at + bytes.len()].copy_from_slice(&bytes);
                }};
            }
            match dtype {
                Dtype::Bool => out[at] = u8::from(column.as_boolean().value(row)),
                Dtype::Int8 => fixed!(at::Int8Type),
                Dtype::Int16 => fixed!(at::Int16Type),
                Dtype::Int32 => fixed!(at::Int32Type),
                Dtype::Int64 => fixed!(at::Int64Type),
                Dtype::Uint8 => fixed!(at::UInt8Type),
                Dtype::Uint16 => fixed!(at::UInt16Type),
                Dtype::Uint32 => fixed!(at::UInt32Type),
                Dtype::Uint64 => fixed!(at::UInt64Type),
                Dtype::Float32 => fixed!(at::Float32Type),
                Dtype::Float64 => fixed!(at::Float64Type),
                Dtype::Date => fixed!(at::Date32Type),
                Dtype::Timestamp => fixed!(at::TimestampNanosecondType),
                Dtype::String => push_text(&mut out, column.as_string::<i32>().value(row).as_bytes()),
                Dtype::Bytes => push_text(&mut out, column.as_binary::<i32>().value(row)),
            }
        }
        out
    }

    /// Columns into which rows are unpacked one after the other.
    pub fn decoder(&self, capacity: usize) -> RowDecoder<'_> {
        RowDecoder { codec: self, builders: self.dtypes.iter().map(|d| Builder::new(*d, capacity)).collect() }
    }
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    // Arrow's 32-bit offsets keep every text below 2 GiB.
    out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(text);
}

/// Rows being unpacked into columns.
#[derive(Debug)]
pub struct RowDecoder<'c> {
    codec: &'c RowCodec,
    builders: Vec<Builder>,
}

impl RowDecoder<'_> {
    /// Appends a row of nulls.
    pub fn push_missing(&mut self) {
        self.builders.iter_mut().for_each(Builder::push_null);
    }

    /// Appends a packed row.
    ///
    /// # Errors
    /// [`CorruptRow`]; the columns are then of no further use.
    pub fn push(&mut self, packed: &[u8]) -> Result<(), CorruptRow> {
        let corrupt = CorruptRow { found: packed.len() };
        if packed.first() != Some(&FORMAT) || packed.len() < self.codec.texts_at {
            return Err(corrupt);
        }
        let (fixed, mut texts) = packed.split_at(self.codec.texts_at);
        for (i, builder) in self.builders.iter_mut().enumerate() {
            if fixed[1 + i / 8] & (1 << (i % 8)) != 0 {
                builder.push_null();
            } else if width(self.codec.dtypes[i]).is_some() {
                builder.push_fixed(&fixed[self.codec.fixed_at[i]..]);
            } else {
                let (len, tail) = texts.split_first_chunk::<4>().ok_or(corrupt)?;
                let (text, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(corrupt)?;
                builder.push_text(text).ok_or(corrupt)?;
                texts = tail;
            }
        }
        if texts.is_empty() { Ok(()) } else { Err(corrupt) }
    }

    /// The columns.
    pub fn finish(self) -> Vec<ArrayRef> {
        self.builders.into_iter().map(Builder::finish).collect()
    }
}

macro_rules! builders {
    ($($variant:ident: $t:ty),* $(,)?) => {
        #[derive(Debug)]
        enum Builder {
            Bool(BooleanBuilder),
            String(StringBuilder),
            Bytes(BinaryBuilder),
            Timestamp(PrimitiveBuilder<at::TimestampNanosecondType>),
            $($variant(PrimitiveBuilder<$t>),)*
        }

        impl Builder {
            fn new(dtype: Dtype, n: usize) -> Self {
                match dtype {
                    Dtype::Bool => Self::Bool(BooleanBuilder::with_capacity(n)),
                    Dtype::String => Self::String(StringBuilder::with_capacity(n, n * 8)),
                    Dtype::Bytes => Self::Bytes(BinaryBuilder::with_capacity(n, n * 8)),
                    Dtype::Timestamp => {
                        Self::Timestamp(PrimitiveBuilder::with_capacity(n).with_data_type(dtype.to_arrow()))
                    }
                    $(Dtype::$variant => Self::$variant(PrimitiveBuilder::with_capacity(n)),)*
                }
            }

            fn push_null(&mut self) {
                match self {
                    Self::Bool(b) => b.append_null(),
                    Self::String(b) => b.append_null(),
                    Self::Bytes(b) => b.append_null(),
                    Self::Timestamp(b) => b.append_null(),
                    $(Self::$variant(b) => b.append_null(),)*
                }
            }

            /// `cell` starts with the value and is long enough: the caller checked the row's length.
            fn push_fixed(&mut self, cell: &[u8]) {
                match self {
                    Self::Bool(b) => b.append_value(cell[0] != 0),
                    Self::Timestamp(b) => push_primitive(b, cell),
                    Self::String(_) | Self::Bytes(_) => {}
                    $(Self::$variant(b) => push_primitive(b, cell),)*
                }
            }

            fn push_text(&mut self, text: &[u8]) -> Option<()> {
                match self {
                    Self::String(b) => b.append_value(std::str::from_utf8(text).ok()?),
                    Self::Bytes(b) => b.append_value(text),
                    _ => return None,
                }
                Some(())
            }

            fn finish(self) -> ArrayRef {
                match self {
                    Self::Bool(mut b) => Arc::new(b.finish()),
                    Self::String(mut b) => Arc::new(b.finish()),
                    Self::Bytes(mut b) => Arc::new(b.finish()),
                    Self::Timestamp(mut b) => Arc::new(b.finish()),
                    $(Self::$variant(mut b) => Arc::new(b.finish()),)*
                }
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
}

fn push_primitive<T: ArrowPrimitiveType<Native: FromLe>>(builder: &mut PrimitiveBuilder<T>, cell: &[u8]) {
    builder.append_value(T::Native::from_le(cell));
}

/// Reads a value off the front of little-endian bytes.
trait FromLe {
    fn from_le(bytes: &[u8]) -> Self;
}

macro_rules! from_le {
    ($($t:ty),*) => {$(
        impl FromLe for $t {
            fn from_le(bytes: &[u8]) -> Self {
                let mut value = [0; size_of::<$t>()];
                value.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_le_bytes(value)
            }
        }
    )*};
}

from_le!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn every_bit_comes_back() {
        let nan = f64::from_bits(0x7ff8_0000_0000_1234);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(nan), None, Some(f64::NEG_INFINITY)])),
            Arc::new(StringArray::from(vec![Some(""), Some("né𝄞"), None, Some("x")])),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some((1 << 53) + 1), Some(0)])),
        ];
        let codec = RowCodec::new([Dtype::Float64, Dtype::String, Dtype::Int64]);
        let mut decoder = codec.decoder(5);
        for row in 0..4 {
            decoder.push(&codec.encode(&columns, row)).unwrap();
        }
        let back = decoder.finish();
        for (want, got) in columns.iter().zip(&back) {
            assert_eq!(want.to_data(), got.to_data());
        }
        assert_eq!(back[0].as_primitive::<at::Float64Type>().value(1).to_bits(), nan.to_bits());
    }

    #[test]
    fn a_torn_row_is_refused() {
        let codec = RowCodec::new([Dtype::Int64, Dtype::String]);
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["abc"]))];
        let whole = codec.encode(&columns, 0);
        for len in 0..whole.len() {
            assert!(codec.decoder(1).push(&whole[..len]).is_err(), "{len} bytes");
        }
        let other = RowCodec::new([Dtype::Int64]);
        assert!(other.decoder(1).push(&whole).is_err());
    }
}
