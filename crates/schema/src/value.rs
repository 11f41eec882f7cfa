//! One value: constants in definitions, cells of an answer. `value/array.rs` has the way to columns and back.

mod array;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::date::Date;
use crate::decimal::Decimal;
use crate::dtype::Dtype;
use crate::duration::Duration;
use crate::json::canonical;
use crate::time::Timestamp;

/// A value without its width: the dtype beside it says how many bits it has. JSON is a text.
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
    /// A span of time.
    Duration(Duration),
    /// A decimal number.
    Decimal(Decimal),
    /// The values of a list.
    List(Vec<Value>),
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
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// The value for people, in the one spelling of its type: a date is a day, bytes are hexadecimal digits.
    pub fn shown(&self, dtype: Dtype) -> String {
        match (self, dtype) {
            (Self::Int(days), Dtype::Date) => {
                i32::try_from(*days).map_or_else(|_too_many| days.to_string(), |days| Date(days).to_string())
            }
            (Self::Bytes(bytes), _) => hex::encode(bytes),
            (value, _) => value.to_string(),
        }
    }

    /// The same constant as a column of `dtype` would give it back: the form in which constants are compared.
    ///
    /// # Errors
    /// As [`Self::to_array`]. A text becomes a time, a date, a duration, a decimal or JSON where one is asked for.
    pub fn canonical(&self, dtype: Dtype) -> Result<Self, String> {
        Ok(Self::at(&self.read_as(dtype)?.to_array(dtype, 1)?, 0))
    }

    /// Texts and numbers as what `dtype` makes of them.
    fn read_as(&self, dtype: Dtype) -> Result<Self, String> {
        fn said(why: impl fmt::Display) -> String {
            why.to_string()
        }
        match (self, dtype) {
            (Self::String(text), Dtype::Timestamp) => Timestamp::parse(text).map(Self::Timestamp).map_err(said),
            (Self::String(text), Dtype::Duration) => Duration::parse(text).map(Self::Duration).map_err(said),
            (Self::String(text), Dtype::Decimal { .. }) => Decimal::parse(text).map(Self::Decimal).map_err(said),
            (Self::String(text), Dtype::Json) => canonical(text).map(Self::String).map_err(said),
            (Self::String(text), Dtype::Date) => {
                let day = Date::parse(text).ok_or_else(|| format!("`{text}` is no date; write YYYY-MM-DD"))?;
                Ok(Self::Int(day.0.into()))
            }
            // A float of a definition is what its digits say, as far as they can be told apart.
            (Self::Float(number), Dtype::Decimal { .. }) => {
                let told_apart =
                    Decimal::parse(&number.to_string()).ok().filter(|d| d.unscaled.abs() < 10_i128.pow(15));
                told_apart
                    .map(Self::Decimal)
                    .ok_or_else(|| format!("{self} is not exactly a decimal; write it in quotes"))
            }
            (Self::List(values), Dtype::List(item) | Dtype::FixedList(item, _)) => {
                values.iter().map(|value| value.read_as(item.into())).collect::<Result<_, _>>().map(Self::List)
            }
            (value, _) => Ok(value.clone()),
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
            Self::Duration(d) => write!(f, "{d}"),
            Self::Decimal(d) => write!(f, "{d}"),
            Self::List(values) => {
                f.write_str("[")?;
                for (i, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

#[cfg(test)]
mod tests;
