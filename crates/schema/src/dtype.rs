//! The closed set of feature types, and the only place that maps them to Arrow.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// Type of a feature or a join key. Every feature may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are their names")]
pub enum Dtype {
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
    /// Days since the epoch.
    Date,
    /// Nanoseconds since the epoch, UTC.
    Timestamp,
}

const ALL: [Dtype; 15] = [
    Dtype::Bool,
    Dtype::Int8,
    Dtype::Int16,
    Dtype::Int32,
    Dtype::Int64,
    Dtype::Uint8,
    Dtype::Uint16,
    Dtype::Uint32,
    Dtype::Uint64,
    Dtype::Float32,
    Dtype::Float64,
    Dtype::String,
    Dtype::Bytes,
    Dtype::Date,
    Dtype::Timestamp,
];

impl Dtype {
    /// Every dtype, in declaration order.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter()
    }

    /// The spelling in YAML files and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }

    /// Reads the spelling of [`Self::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().find(|dtype| dtype.as_str() == text)
    }

    /// How values of this type are held in memory and in files.
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
            Self::String => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Timestamp => timestamp_type(),
        }
    }

    /// The dtype whose values are exactly those of an Arrow column, or `None` where we have none.
    pub fn from_arrow(arrow: &DataType) -> Option<Self> {
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
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::String,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Bytes,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(_, _) => Self::Timestamp,
            DataType::Dictionary(_, value) => return Self::from_arrow(value),
            _ => return None,
        })
    }

    /// Whether every value of `self` is a value of `to`, exactly and one-to-one (natural transformations, section 1).
    pub fn widens_to(self, to: Self) -> bool {
        use Dtype::{Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
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

    /// Whether it may be a join key: equality must be beyond doubt, so no floats.
    pub fn is_key(self) -> bool {
        !matches!(self, Self::Float32 | Self::Float64)
    }

    /// Whether a model can take it as a number.
    pub fn is_numeric(self) -> bool {
        !matches!(self, Self::String | Self::Bytes | Self::Date | Self::Timestamp)
    }
}

/// Timestamps are nanoseconds in UTC wherever we hold them.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_survives_arrow_and_text() {
        for dtype in Dtype::all() {
            assert_eq!(Dtype::from_arrow(&dtype.to_arrow()), Some(dtype));
            assert_eq!(Dtype::parse(dtype.as_str()), Some(dtype));
        }
    }

    #[test]
    fn what_loses_bits_is_no_widening() {
        for (from, to) in [
            (Dtype::Int64, Dtype::Float64),
            (Dtype::Int32, Dtype::Float32),
            (Dtype::Uint64, Dtype::Int64),
            (Dtype::Int64, Dtype::Int32),
        ] {
            assert!(!from.widens_to(to), "{from} to {to}");
        }
    }

    #[test]
    fn widening_is_transitive() {
        for (a, b, c) in Dtype::all().flat_map(|a| Dtype::all().flat_map(move |b| Dtype::all().map(move |c| (a, b, c))))
        {
            if a.widens_to(b) && b.widens_to(c) {
                assert!(a.widens_to(c), "{a} {b} {c}");
            }
        }
    }
}
