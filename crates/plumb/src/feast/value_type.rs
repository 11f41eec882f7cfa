//! Our dtypes as Feast's types.

use schema::{Dtype, Scalar};

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
    BytesList = 11,
    StringList = 12,
    Int32List = 13,
    Int64List = 14,
    DoubleList = 15,
    FloatList = 16,
    BoolList = 17,
    UnixTimestampList = 18,
    Json = 32,
    JsonList = 33,
    /// A decimal number as text.
    Decimal = 44,
    DecimalList = 45,
}

const ALL: [ValueType; 20] = [
    ValueType::Bytes,
    ValueType::String,
    ValueType::Int32,
    ValueType::Int64,
    ValueType::Double,
    ValueType::Float,
    ValueType::Bool,
    ValueType::UnixTimestamp,
    ValueType::BytesList,
    ValueType::StringList,
    ValueType::Int32List,
    ValueType::Int64List,
    ValueType::DoubleList,
    ValueType::FloatList,
    ValueType::BoolList,
    ValueType::UnixTimestampList,
    ValueType::Json,
    ValueType::JsonList,
    ValueType::Decimal,
    ValueType::DecimalList,
];

/// Types of Feast that no dtype of ours is, by their numbers; those that are JSON here are among them.
const OTHERS: [(i32, &str); 23] = [
    (20, "MAP"),
    (21, "MAP_LIST"),
    (22, "BYTES_SET"),
    (23, "STRING_SET"),
    (24, "INT32_SET"),
    (25, "INT64_SET"),
    (26, "DOUBLE_SET"),
    (27, "FLOAT_SET"),
    (28, "BOOL_SET"),
    (29, "UNIX_TIMESTAMP_SET"),
    (34, "STRUCT"),
    (35, "STRUCT_LIST"),
    (36, "UUID"),
    (37, "TIME_UUID"),
    (38, "UUID_LIST"),
    (39, "TIME_UUID_LIST"),
    (40, "UUID_SET"),
    (41, "TIME_UUID_SET"),
    (42, "VALUE_LIST"),
    (43, "VALUE_SET"),
    (46, "DECIMAL_SET"),
    (47, "SCALAR_MAP"),
    (48, "ZONED_TIMESTAMP"),
];

/// The name of a number on the wire in Feast's enumeration, where it is known here.
pub fn name_of(number: i32) -> Option<&'static str> {
    let other = || OTHERS.iter().find(|(other, _)| *other == number).map(|(_, name)| *name);
    ValueType::from_number(number).map(ValueType::as_str).or_else(other)
}

/// A decimal that says nothing of its digits is given as many as there can be.
const DECIMAL: Scalar = Scalar::Decimal { precision: 38, scale: 9 };

impl ValueType {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The type of a number on the wire; `None` for one that no dtype of ours has: maps, sets and the like.
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
            Self::BytesList => "BYTES_LIST",
            Self::StringList => "STRING_LIST",
            Self::Int32List => "INT32_LIST",
            Self::Int64List => "INT64_LIST",
            Self::DoubleList => "DOUBLE_LIST",
            Self::FloatList => "FLOAT_LIST",
            Self::BoolList => "BOOL_LIST",
            Self::UnixTimestampList => "UNIX_TIMESTAMP_LIST",
            Self::Json => "JSON",
            Self::JsonList => "JSON_LIST",
            Self::Decimal => "DECIMAL",
            Self::DecimalList => "DECIMAL_LIST",
        }
    }

    /// The type of lists of it.
    fn list(self) -> Self {
        match self {
            Self::Bytes => Self::BytesList,
            Self::String => Self::StringList,
            Self::Int32 => Self::Int32List,
            Self::Int64 => Self::Int64List,
            Self::Double => Self::DoubleList,
            Self::Float => Self::FloatList,
            Self::Bool => Self::BoolList,
            Self::UnixTimestamp => Self::UnixTimestampList,
            Self::Json => Self::JsonList,
            Self::Decimal => Self::DecimalList,
            list => list,
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
            Self::BytesList => Dtype::List(Scalar::Bytes),
            Self::StringList => Dtype::List(Scalar::String),
            Self::Int32List => Dtype::List(Scalar::Int32),
            Self::Int64List => Dtype::List(Scalar::Int64),
            Self::DoubleList => Dtype::List(Scalar::Float64),
            Self::FloatList => Dtype::List(Scalar::Float32),
            Self::BoolList => Dtype::List(Scalar::Bool),
            Self::UnixTimestampList => Dtype::List(Scalar::Timestamp),
            Self::Json => Dtype::Json,
            Self::JsonList => Dtype::List(Scalar::Json),
            Self::Decimal => DECIMAL.into(),
            Self::DecimalList => Dtype::List(DECIMAL),
        }
    }
}

impl From<Dtype> for ValueType {
    /// The narrowest type of Feast that holds the dtype's values: exactly, but for `uint64` above the largest `int64`,
    /// which no type of Feast holds, and for times, of which Feast keeps whole seconds. Durations are texts (ISO 8601).
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Bool => Self::Bool,
            Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Uint8 | Dtype::Uint16 => Self::Int32,
            Dtype::Int64 | Dtype::Uint32 | Dtype::Uint64 => Self::Int64,
            Dtype::Float32 => Self::Float,
            Dtype::Float64 => Self::Double,
            Dtype::String | Dtype::Duration => Self::String,
            Dtype::Bytes => Self::Bytes,
            Dtype::Date | Dtype::Timestamp => Self::UnixTimestamp,
            Dtype::Json => Self::Json,
            Dtype::Decimal { .. } => Self::Decimal,
            Dtype::List(item) | Dtype::FixedList(item, _) => Self::from(Dtype::from(item)).list(),
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
        assert_eq!(ValueType::from_number(20), None);
    }

    #[test]
    fn integers_are_not_narrowed() {
        for dtype in Dtype::all().filter(|dtype| dtype.item() != Scalar::Uint64) {
            let wide = ValueType::from(dtype).dtype();
            let retold =
                matches!(dtype.item(), Scalar::Date | Scalar::Timestamp | Scalar::Duration | Scalar::Decimal { .. });
            assert!(retold || Dtype::from(dtype.item()).widens_to(wide.item().into()), "{dtype} to {wide}");
            assert_eq!(dtype.is_list(), wide.is_list(), "{dtype} to {wide}");
        }
    }
}
