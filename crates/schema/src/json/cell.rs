//! Cells of Arrow columns as JSON, for any serde writer of JSON.

use std::fmt::Display;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{self as at, DataType, TimeUnit};
use serde::ser::{Error, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::date::Date;
use crate::dtype::{Dtype, Scalar};
use crate::duration::Duration;
use crate::time::Timestamp;

/// One cell of a column. Fails to serialize what JSON has no place for: a name twice, a time beyond nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    column: &'a dyn Array,
    row: usize,
    /// Whether texts are JSON already.
    raw: bool,
}

/// A float as JSON: what JSON lacks is a text.
#[derive(Debug, Clone, Copy)]
pub struct Float(pub f64);

/// Anything by its text.
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<'a> Cell<'a> {
    /// The cell at `row` of a column of `dtype`.
    pub fn new(column: &'a dyn Array, row: usize, dtype: Dtype) -> Self {
        Self { column, row, raw: dtype.item() == Scalar::Json }
    }

    /// The cell at `row` of any column that [`Self::holds`].
    pub fn of_arrow(column: &'a dyn Array, row: usize) -> Self {
        Self { column, row, raw: false }
    }

    /// Whether cells of such a column can be JSON.
    pub fn holds(arrow: &DataType) -> bool {
        match arrow {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => Self::holds(item.data_type()),
            DataType::Struct(fields) => fields.iter().all(|field| Self::holds(field.data_type())),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => match fields.iter().collect::<Vec<_>>().as_slice() {
                    [key, value] => is_name(key.data_type()) && Self::holds(value.data_type()),
                    _ => false,
                },
                _ => false,
            },
            DataType::Dictionary(_, value) => Self::holds(value),
            DataType::Null => true,
            DataType::RunEndEncoded(_, _) => false,
            scalar => Scalar::from_arrow(scalar).is_some(),
        }
    }
}

/// Whether such values can be names in an object.
fn is_name(arrow: &DataType) -> bool {
    matches!(arrow, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) || arrow.is_integer()
}

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let (column, row) = (self.column, self.row);
        if column.is_null(row) {
            return out.serialize_unit();
        }
        macro_rules! number {
            ($t:ty) => {
                column.as_primitive::<$t>().value(row)
            };
        }
        match column.data_type() {
            DataType::Boolean => out.serialize_bool(column.as_boolean().value(row)),
            DataType::Int8 => out.serialize_i8(number!(at::Int8Type)),
            DataType::Int16 => out.serialize_i16(number!(at::Int16Type)),
            DataType::Int32 => out.serialize_i32(number!(at::Int32Type)),
            DataType::Int64 => out.serialize_i64(number!(at::Int64Type)),
            DataType::UInt8 => out.serialize_u8(number!(at::UInt8Type)),
            DataType::UInt16 => out.serialize_u16(number!(at::UInt16Type)),
            DataType::UInt32 => out.serialize_u32(number!(at::UInt32Type)),
            DataType::UInt64 => out.serialize_u64(number!(at::UInt64Type)),
            DataType::Float16 => Float(number!(at::Float16Type).to_f64()).serialize(out),
            DataType::Float32 => Float(f64::from(number!(at::Float32Type))).serialize(out),
            DataType::Float64 => Float(number!(at::Float64Type)).serialize(out),
            DataType::Utf8 => self.text(column.as_string::<i32>().value(row), out),
            DataType::LargeUtf8 => self.text(column.as_string::<i64>().value(row), out),
            DataType::Utf8View => self.text(column.as_string_view().value(row), out),
            DataType::Binary => out.serialize_str(&hex::encode(column.as_binary::<i32>().value(row))),
            DataType::LargeBinary => out.serialize_str(&hex::encode(column.as_binary::<i64>().value(row))),
            DataType::BinaryView => out.serialize_str(&hex::encode(column.as_binary_view().value(row))),
            DataType::FixedSizeBinary(_) => out.serialize_str(&hex::encode(column.as_fixed_size_binary().value(row))),
            DataType::Date32 => out.collect_str(&Date(number!(at::Date32Type))),
            DataType::Date64 => out.collect_str(&whole_day(number!(at::Date64Type)).map_err(S::Error::custom)?),
            DataType::Timestamp(unit, _) => {
                let ticks = match unit {
                    TimeUnit::Second => number!(at::TimestampSecondType),
                    TimeUnit::Millisecond => number!(at::TimestampMillisecondType),
                    TimeUnit::Microsecond => number!(at::TimestampMicrosecondType),
                    TimeUnit::Nanosecond => number!(at::TimestampNanosecondType),
                };
                out.collect_str(&Timestamp::from_nanos(nanos(ticks, *unit).map_err(S::Error::custom)?))
            }
            DataType::Duration(unit) => {
                let ticks = match unit {
                    TimeUnit::Second => number!(at::DurationSecondType),
                    TimeUnit::Millisecond => number!(at::DurationMillisecondType),
                    TimeUnit::Microsecond => number!(at::DurationMicrosecondType),
                    TimeUnit::Nanosecond => number!(at::DurationNanosecondType),
                };
                out.collect_str(&Duration::from_nanos(nanos(ticks, *unit).map_err(S::Error::custom)?))
            }
            DataType::Decimal32(_, _) => {
                out.serialize_str(&column.as_primitive::<at::Decimal32Type>().value_as_string(row))
            }
            DataType::Decimal64(_, _) => {
                out.serialize_str(&column.as_primitive::<at::Decimal64Type>().value_as_string(row))
            }
            DataType::Decimal128(_, _) => {
                out.serialize_str(&column.as_primitive::<at::Decimal128Type>().value_as_string(row))
            }
            DataType::Decimal256(_, _) => {
                out.serialize_str(&column.as_primitive::<at::Decimal256Type>().value_as_string(row))
            }
            DataType::List(_) => self.list(&column.as_list::<i32>().value(row), out),
            DataType::LargeList(_) => self.list(&column.as_list::<i64>().value(row), out),
            DataType::ListView(_) => self.list(&column.as_list_view::<i32>().value(row), out),
            DataType::LargeListView(_) => self.list(&column.as_list_view::<i64>().value(row), out),
            DataType::FixedSizeList(_, _) => self.list(&column.as_fixed_size_list().value(row), out),
            DataType::Struct(fields) => {
                let columns = column.as_struct().columns();
                let entry = |(field, column): (&at::FieldRef, &'_ ArrayRef)| {
                    (field.name().clone(), ArrayRef::clone(column), row)
                };
                object(fields.iter().zip(columns).map(entry).collect(), out)
            }
            DataType::Map(_, _) => {
                let entries = column.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                let name = |row| match keys.data_type() {
                    DataType::Utf8 => keys.as_string::<i32>().value(row).to_owned(),
                    DataType::LargeUtf8 => keys.as_string::<i64>().value(row).to_owned(),
                    DataType::Utf8View => keys.as_string_view().value(row).to_owned(),
                    _ => serde_json::to_string(&Cell::of_arrow(keys, row)).unwrap_or_default(),
                };
                object((0..entries.len()).map(|row| (name(row), ArrayRef::clone(values), row)).collect(), out)
            }
            DataType::Dictionary(_, _) => {
                let dictionary = column.as_any_dictionary();
                let key = arrow::compute::cast(&dictionary.keys().slice(row, 1), &DataType::UInt64);
                let key = key.map_err(S::Error::custom)?.as_primitive::<at::UInt64Type>().value(0);
                let row = usize::try_from(key).map_err(S::Error::custom)?;
                Self { column: dictionary.values().as_ref(), row, raw: self.raw }.serialize(out)
            }
            other => Err(S::Error::custom(format!("JSON has no place for {other}"))),
        }
    }
}

impl Cell<'_> {
    fn text<S: Serializer>(&self, text: &str, out: S) -> Result<S::Ok, S::Error> {
        if !self.raw {
            return out.serialize_str(text);
        }
        serde_json::from_str::<&RawValue>(text).map_err(S::Error::custom)?.serialize(out)
    }

    fn list<S: Serializer>(&self, values: &ArrayRef, out: S) -> Result<S::Ok, S::Error> {
        // Embeddings are long: their type is looked at once.
        match values.data_type() {
            DataType::Float32 => {
                let values = values.as_primitive::<at::Float32Type>();
                out.collect_seq(values.iter().map(|v| v.map(|v| Float(v.into()))))
            }
            DataType::Float64 => out.collect_seq(values.as_primitive::<at::Float64Type>().iter().map(|v| v.map(Float))),
            DataType::Int64 => out.collect_seq(values.as_primitive::<at::Int64Type>().iter()),
            _ => out.collect_seq((0..values.len()).map(|row| Cell { column: values.as_ref(), row, raw: self.raw })),
        }
    }
}

/// An object with its names in the order of their bytes.
fn object<S: Serializer>(mut entries: Vec<(String, ArrayRef, usize)>, out: S) -> Result<S::Ok, S::Error> {
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(S::Error::custom(format!("the name {:?} is there twice", pair[0].0)));
    }
    let mut map = out.serialize_map(Some(entries.len()))?;
    for (name, column, row) in &entries {
        map.serialize_entry(name, &Cell::of_arrow(column, *row))?;
    }
    map.end()
}

fn nanos(ticks: i64, unit: TimeUnit) -> Result<i64, String> {
    let size = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    ticks.checked_mul(size).ok_or_else(|| format!("{ticks} {unit} is beyond 64 bits of nanoseconds"))
}

fn whole_day(millis: i64) -> Result<Date, String> {
    const DAY: i64 = 86_400_000;
    let day = (millis % DAY == 0).then(|| i32::try_from(millis / DAY).ok()).flatten();
    day.map(Date).ok_or_else(|| format!("{millis} ms since the epoch is no day"))
}

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            v if v.is_finite() => out.serialize_f64(v),
            v if v.is_nan() => out.serialize_str("NaN"),
            v if v > 0.0 => out.serialize_str("Infinity"),
            _ => out.serialize_str("-Infinity"),
        }
    }
}

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Date64Array, Decimal128Array, DurationMillisecondArray, Float32Array, Int32Builder, Int64Array,
        ListArray, MapBuilder, StringArray, StringBuilder, StructArray, TimestampSecondArray,
    };
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    #[track_caller]
    fn check(column: &dyn Array, want: &str) {
        let rows = (0..column.len()).map(|row| match serde_json::to_string(&Cell::of_arrow(column, row)) {
            Ok(text) => text,
            Err(why) => format!("error: {why}"),
        });
        assert_eq!(rows.collect::<Vec<_>>().join(" "), want);
        assert!(Cell::holds(column.data_type()));
    }

    #[test]
    fn scalars_have_one_spelling_each() {
        check(&Float32Array::from(vec![Some(0.5), Some(-0.0), Some(f32::NAN), None]), r#"0.5 -0.0 "NaN" null"#);
        check(&Int64Array::from(vec![(1 << 53) + 1, i64::MIN]), "9007199254740993 -9223372036854775808");
        let decimals = Decimal128Array::from(vec![1250, -5]).with_precision_and_scale(10, 2).unwrap();
        check(&decimals, r#""12.50" "-0.05""#);
        check(&BinaryArray::from(vec![&[0_u8, 255][..]]), r#""00ff""#);
        check(&Date64Array::from(vec![86_400_000, 1]), r#""1970-01-02" error: 1 ms since the epoch is no day"#);
        check(&DurationMillisecondArray::from(vec![1_500]), r#""PT1.5S""#);
        let far = r#""1970-01-01T00:00:01Z" error: 9223372036854775807 s is beyond 64 bits of nanoseconds"#;
        check(&TimestampSecondArray::from(vec![1, i64::MAX]), far);
    }

    #[test]
    fn structs_maps_and_lists_nest() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        let texts = StringArray::from(vec![Some("a\"b"), None, Some("")]);
        let fields = vec![
            (Arc::new(Field::new("z", lists.data_type().clone(), true)), Arc::new(lists) as ArrayRef),
            (Arc::new(Field::new("a", DataType::Utf8, true)), Arc::new(texts) as ArrayRef),
        ];
        check(&StructArray::from(fields), r#"{"a":"a\"b","z":[1,null]} {"a":null,"z":null} {"a":"","z":[]}"#);
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        for keys in [&["b", "a"][..], &["x", "x"]] {
            for key in keys {
                map.keys().append_value(key);
                map.values().append_value(1);
            }
            map.append(true).unwrap();
        }
        check(&map.finish(), r#"{"a":1,"b":1} error: the name "x" is there twice"#);
    }

    #[test]
    fn what_json_cannot_say_is_told_by_the_type() {
        assert!(!Cell::holds(&DataType::Time32(TimeUnit::Second)));
        let strange = Field::new("t", DataType::Time32(TimeUnit::Second), true);
        assert!(!Cell::holds(&DataType::Struct(vec![strange].into())));
    }

    #[test]
    fn json_is_written_as_it_is() {
        let texts = StringArray::from(vec![r#"{"a":123456789012345678901}"#]);
        let cell = Cell::new(&texts, 0, Dtype::Json);
        assert_eq!(serde_json::to_string(&cell).unwrap(), texts.value(0));
    }
}
