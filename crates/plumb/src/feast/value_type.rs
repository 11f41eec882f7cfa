//! Our dtypes as Feast's types.

use schema::Dtype;

/// A type of `feast.types.ValueType`. Its number is also the field of a value of it in `feast.types.Value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
#[expect(missing_docs, reason = "the variants are their names")]
pub enum ValueType {
    Bytes = 1,
    String = 2,
    Int32 = 3,
    Int64 = 4,
    Double = 5,
    Float = 6,
    Bool = 7,
    /// Seconds since the epoch.
    UnixTimestamp = 8,
}

const ALL: [ValueType; 8] = [
    ValueType::Bytes,
    ValueType::String,
    ValueType::Int32,
    ValueType::Int64,
    ValueType::Double,
    ValueType::Float,
    ValueType::Bool,
    ValueType::UnixTimestamp,
];

impl ValueType {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The type of a number on the wire; `None` for one that no dtype of ours has: lists, maps and the like.
    pub fn from_number(number: i32) -> Option<Self> {
        ALL.into_iter().find(|value_type| value_type.number() == number)
    }

    /// The name in Feast's enumeration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "BYTES",
            Self::String => "STRING",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Double => "DOUBLE",
            Self::Float => "FLOAT",
            Self::Bool => "BOOL",
            Self::UnixTimestamp => "UNIX_TIMESTAMP",
        }
    }

    /// The dtype that holds every value of it.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::Bytes => Dtype::Bytes,
            Self::String => Dtype::String,
            Self::Int32 => Dtype::Int32,
            Self::Int64 => Dtype::Int64,
            Self::Double => Dtype::Float64,
            Self::Float => Dtype::Float32,
            Self::Bool => Dtype::Bool,
            Self::UnixTimestamp => Dtype::Timestamp,
        }
    }
}

impl From<Dtype> for ValueType {
    /// The narrowest type of Feast that holds the dtype's values: exactly, but for `uint64` above the largest `int64`,
    /// which no type of Feast holds, and for times, of which Feast keeps whole seconds.
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Bool => Self::Bool,
            Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Uint8 | Dtype::Uint16 => Self::Int32,
            Dtype::Int64 | Dtype::Uint32 | Dtype::Uint64 => Self::Int64,
            Dtype::Float32 => Self::Float,
            Dtype::Float64 => Self::Double,
            Dtype::String => Self::String,
            Dtype::Bytes => Self::Bytes,
            Dtype::Date | Dtype::Timestamp => Self::UnixTimestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_feast_survive_our_dtypes_and_their_numbers() {
        for value_type in ALL {
            assert_eq!(ValueType::from(value_type.dtype()), value_type);
            assert_eq!(ValueType::from_number(value_type.number()), Some(value_type));
        }
        assert_eq!(ValueType::from_number(0), None);
        assert_eq!(ValueType::from_number(11), None);
    }

    #[test]
    fn integers_are_not_narrowed() {
        for dtype in Dtype::all().filter(|dtype| *dtype != Dtype::Uint64) {
            let wide = ValueType::from(dtype).dtype();
            let time = matches!(dtype, Dtype::Date | Dtype::Timestamp);
            assert!(time || dtype.widens_to(wide), "{dtype} to {wide}");
        }
    }
}
