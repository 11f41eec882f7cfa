//! The types of single values.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};

use super::timestamp_type;
use crate::json::Cell;

/// A [`Dtype`](super::Dtype) that is no list: what a list may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are those of `Dtype`")]
pub enum Scalar {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Float32,
    Float64,
    String,
    Bytes,
    Date,
    Timestamp,
    Duration,
    Decimal { precision: u8, scale: u8 },
    Json,
}

/// The most digits of a decimal: what 128 bits hold.
pub(super) const DIGITS_MAX: u8 = 38;

/// Those without parameters, by their spelling.
const PLAIN: [(&str, Scalar); 17] = [
    ("bool", Scalar::Bool),
    ("int8", Scalar::Int8),
    ("int16", Scalar::Int16),
    ("int32", Scalar::Int32),
    ("int64", Scalar::Int64),
    ("uint8", Scalar::Uint8),
    ("uint16", Scalar::Uint16),
    ("uint32", Scalar::Uint32),
    ("uint64", Scalar::Uint64),
    ("float32", Scalar::Float32),
    ("float64", Scalar::Float64),
    ("string", Scalar::String),
    ("bytes", Scalar::Bytes),
    ("date", Scalar::Date),
    ("timestamp", Scalar::Timestamp),
    ("duration", Scalar::Duration),
    ("json", Scalar::Json),
];

impl Scalar {
    /// Every scalar; of decimals a few.
    pub fn all() -> impl Iterator<Item = Self> {
        let decimals = [(10, 2), (18, 0), (38, 9)].map(|(precision, scale)| Self::Decimal { precision, scale });
        PLAIN.into_iter().map(|(_, scalar)| scalar).chain(decimals)
    }

    /// The one of this spelling among those without parameters.
    pub(super) fn plain(text: &str) -> Option<Self> {
        PLAIN.into_iter().find(|(name, _)| *name == text).map(|(_, scalar)| scalar)
    }

    /// How values of this type are held.
    pub fn to_arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Uint8 => DataType::UInt8,
            Self::Uint16 => DataType::UInt16,
            Self::Uint32 => DataType::UInt32,
            Self::Uint64 => DataType::UInt64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::String | Self::Json => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Timestamp => timestamp_type(),
            Self::Duration => DataType::Duration(TimeUnit::Nanosecond),
            Self::Decimal { precision, scale } => {
                // At most 38: no scale is beyond what 8 bits with a sign hold.
                DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
            }
        }
    }

    /// The least scalar that has every value of an Arrow column of single values.
    pub(crate) fn from_arrow(arrow: &DataType) -> Option<Self> {
        Some(match arrow {
            DataType::Boolean => Self::Bool,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::UInt8 => Self::Uint8,
            DataType::UInt16 => Self::Uint16,
            DataType::UInt32 => Self::Uint32,
            DataType::UInt64 => Self::Uint64,
            DataType::Float16 | DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::String,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Self::Bytes
            }
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Timestamp(_, _) => Self::Timestamp,
            DataType::Duration(_) => Self::Duration,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => return decimal(*precision, *scale),
            DataType::Struct(_) | DataType::Map(_, _) if Cell::holds(arrow) => Self::Json,
            _ => return None,
        })
    }

    /// Whether every value of `self` is one of `to`, exactly and one-to-one.
    pub(super) fn widens_to(self, to: Self) -> bool {
        use Scalar::{Decimal, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
        if let (Decimal { precision: p, scale: s }, Decimal { precision, scale }) = (self, to) {
            return scale >= s && precision - scale >= p - s;
        }
        if let (Some(digits), Decimal { precision, scale }) = (self.integer_digits(), to) {
            return precision - scale >= digits;
        }
        self == to
            || matches!(
                (self, to),
                (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
                    | (Int16, Int32 | Int64 | Float32 | Float64)
                    | (Int32, Int64 | Float64)
                    | (Uint8, Uint16 | Uint32 | Uint64 | Int16 | Int32 | Int64 | Float32 | Float64)
                    | (Uint16, Uint32 | Uint64 | Int32 | Int64 | Float32 | Float64)
                    | (Uint32, Uint64 | Int64 | Float64)
                    | (Float32, Float64)
            )
    }

    /// Decimal digits of the longest integer of the type.
    fn integer_digits(self) -> Option<u8> {
        Some(match self {
            Self::Int8 | Self::Uint8 => 3,
            Self::Int16 | Self::Uint16 => 5,
            Self::Int32 | Self::Uint32 => 10,
            Self::Int64 => 19,
            Self::Uint64 => 20,
            _ => return None,
        })
    }

    /// Whether a model can take it as a number.
    pub(super) fn is_numeric(self) -> bool {
        match self {
            Self::Bool
            | Self::Int8
            | Self::Int16
            | Self::Int32
            | Self::Int64
            | Self::Uint8
            | Self::Uint16
            | Self::Uint32
            | Self::Uint64
            | Self::Float32
            | Self::Float64 => true,
            Self::String
            | Self::Bytes
            | Self::Date
            | Self::Timestamp
            | Self::Duration
            | Self::Decimal { .. }
            | Self::Json => false,
        }
    }
}

/// The decimal of an Arrow decimal; a negative scale stands for zeros before the point.
fn decimal(precision: u8, scale: i8) -> Option<Scalar> {
    let (precision, scale) = match u8::try_from(scale) {
        Ok(scale) => (precision, scale),
        Err(_) => (precision.checked_add(scale.unsigned_abs())?, 0),
    };
    ((1..=DIGITS_MAX).contains(&precision) && scale <= precision).then_some(Scalar::Decimal { precision, scale })
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            plain => {
                let name = PLAIN.iter().find(|(_, scalar)| scalar == plain).map(|(name, _)| *name);
                f.write_str(name.unwrap_or("decimal"))
            }
        }
    }
}
