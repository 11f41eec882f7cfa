//! The closed set of feature types, and the only place that maps them to Arrow.
//!
//! A dtype is a [`Scalar`] or a list of one. Read `dtype/scalar.rs` for the scalars, `dtype/spelling.rs` for how types
//! are written in YAML.

mod scalar;
mod spelling;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::json::Cell;
pub use scalar::Scalar;
pub use spelling::TypeError;

/// The most values that a fixed list may have.
pub const FIXED_MAX: u32 = 65_536;

/// Type of a feature or a join key. Every feature may be null, and so may every value of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
    /// Nanoseconds.
    Duration,
    /// A number of up to `precision` (1 to 38) decimal digits, `scale` (0 to `precision`) of them after the point.
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Any JSON value, as canonical text ([`crate::json::canonical`]).
    Json,
    /// Any number of values.
    List(Scalar),
    /// Exactly so many values, 1 to [`FIXED_MAX`].
    FixedList(Scalar, u32),
}

impl Dtype {
    /// Every scalar with examples of decimals, then lists and fixed lists of each: what laws are tried on, and what
    /// misspellings are compared with.
    pub fn all() -> impl Iterator<Item = Self> {
        let lists = Scalar::all().map(Self::List);
        let fixed = Scalar::all().map(|item| Self::FixedList(item, 3));
        Scalar::all().map(Self::from).chain(lists).chain(fixed)
    }

    /// The scalar that it is, or that its values are.
    pub fn item(self) -> Scalar {
        match self {
            Self::Bool => Scalar::Bool,
            Self::Int8 => Scalar::Int8,
            Self::Int16 => Scalar::Int16,
            Self::Int32 => Scalar::Int32,
            Self::Int64 => Scalar::Int64,
            Self::Uint8 => Scalar::Uint8,
            Self::Uint16 => Scalar::Uint16,
            Self::Uint32 => Scalar::Uint32,
            Self::Uint64 => Scalar::Uint64,
            Self::Float32 => Scalar::Float32,
            Self::Float64 => Scalar::Float64,
            Self::String => Scalar::String,
            Self::Bytes => Scalar::Bytes,
            Self::Date => Scalar::Date,
            Self::Timestamp => Scalar::Timestamp,
            Self::Duration => Scalar::Duration,
            Self::Decimal { precision, scale } => Scalar::Decimal { precision, scale },
            Self::Json => Scalar::Json,
            Self::List(item) | Self::FixedList(item, _) => item,
        }
    }

    /// Whether it is a list of either kind.
    pub fn is_list(self) -> bool {
        matches!(self, Self::List(_) | Self::FixedList(_, _))
    }

    /// How values of this type are held in memory and in files.
    pub fn to_arrow(self) -> DataType {
        match self {
            Self::List(item) => DataType::List(item_field(item)),
            Self::FixedList(item, n) => DataType::FixedSizeList(item_field(item), i32::try_from(n).unwrap_or(i32::MAX)),
            scalar => scalar.item().to_arrow(),
        }
    }

    /// The least dtype that has every value of an Arrow column, or `None` where we have none.
    ///
    /// Structs, maps and lists of lists are JSON. A text is a string: only a declaration makes it JSON.
    pub fn from_arrow(arrow: &DataType) -> Option<Self> {
        let list = |item: &FieldRef| match Self::from_arrow(item.data_type())? {
            Self::List(_) | Self::FixedList(_, _) => Cell::holds(arrow).then_some(Self::Json),
            scalar => Some(Self::List(scalar.item())),
        };
        match arrow {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => list(item),
            DataType::FixedSizeList(item, n) => match (list(item)?, u32::try_from(*n)) {
                (Self::List(item), Ok(n)) if (1..=FIXED_MAX).contains(&n) => Some(Self::FixedList(item, n)),
                (list, _) => Some(list),
            },
            DataType::Dictionary(_, value) => Self::from_arrow(value),
            DataType::RunEndEncoded(_, value) => Self::from_arrow(value.data_type()),
            scalar => Scalar::from_arrow(scalar).map(Self::from),
        }
    }

    /// Whether every value of `self` is a value of `to`, exactly and one-to-one (natural transformations, section 1).
    ///
    /// A fixed list widens to a list, and lists widen as their values do.
    pub fn widens_to(self, to: Self) -> bool {
        let items = self.item().widens_to(to.item());
        match (self, to) {
            (Self::FixedList(_, n), Self::FixedList(_, m)) => n == m && items,
            (Self::List(_) | Self::FixedList(_, _), Self::List(_)) => items,
            (from, to) => !from.is_list() && !to.is_list() && items,
        }
    }

    /// Whether it may be a join key: equality must be beyond doubt, so no floats, no lists, no JSON.
    pub fn is_key(self) -> bool {
        match self {
            Self::Float32 | Self::Float64 | Self::Duration | Self::Json | Self::List(_) | Self::FixedList(_, _) => {
                false
            }
            Self::Bool
            | Self::Int8
            | Self::Int16
            | Self::Int32
            | Self::Int64
            | Self::Uint8
            | Self::Uint16
            | Self::Uint32
            | Self::Uint64
            | Self::String
            | Self::Bytes
            | Self::Date
            | Self::Timestamp
            | Self::Decimal { .. } => true,
        }
    }

    /// Whether a model can take it as a number. A decimal must be made a float first, where people see the rounding.
    pub fn is_numeric(self) -> bool {
        !self.is_list() && self.item().is_numeric()
    }
}

impl From<Scalar> for Dtype {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Bool => Self::Bool,
            Scalar::Int8 => Self::Int8,
            Scalar::Int16 => Self::Int16,
            Scalar::Int32 => Self::Int32,
            Scalar::Int64 => Self::Int64,
            Scalar::Uint8 => Self::Uint8,
            Scalar::Uint16 => Self::Uint16,
            Scalar::Uint32 => Self::Uint32,
            Scalar::Uint64 => Self::Uint64,
            Scalar::Float32 => Self::Float32,
            Scalar::Float64 => Self::Float64,
            Scalar::String => Self::String,
            Scalar::Bytes => Self::Bytes,
            Scalar::Date => Self::Date,
            Scalar::Timestamp => Self::Timestamp,
            Scalar::Duration => Self::Duration,
            Scalar::Decimal { precision, scale } => Self::Decimal { precision, scale },
            Scalar::Json => Self::Json,
        }
    }
}

/// The field of a list's values: `item`, and they may be null.
pub fn item_field(item: Scalar) -> FieldRef {
    Arc::new(Field::new_list_field(item.to_arrow(), true))
}

/// Timestamps are nanoseconds in UTC wherever we hold them.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

impl fmt::Display for Dtype {
    /// The spelling in YAML files and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(item) => write!(f, "list<{item}>"),
            Self::FixedList(item, n) => write!(f, "list<{item}, {n}>"),
            scalar => write!(f, "{}", scalar.item()),
        }
    }
}

#[cfg(test)]
mod tests;
