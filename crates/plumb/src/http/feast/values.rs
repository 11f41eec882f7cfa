//! Columns as Feast's JSON, written straight from memory.
//!
//! The client guesses a value's type from its token, so a double always has a point or an exponent. To some values, such as
//! an integer beyond 64 bits with a sign or an empty list, it loses the whole answer: such a cell is null and its status
//! `INVALID`.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{self as at, DataType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema::json::Cell;
use schema::{Dtype, Status};
use serde::ser::{Serialize, SerializeSeq, Serializer};

use crate::config::NonFinite;

const NANOS: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// The values of a column, null where there is none or the client could not read it.
#[derive(Debug)]
pub(super) struct Values<'a>(pub &'a ArrayRef, pub Dtype, pub NonFinite);

/// The statuses of a column's cells.
#[derive(Debug)]
pub(super) struct Statuses<'a>(pub &'a [Status], pub &'a ArrayRef, pub NonFinite);

/// The statuses of a join key: what was sent is there.
#[derive(Debug)]
pub(super) struct KeyStatuses<'a>(pub &'a ArrayRef, pub NonFinite);

struct Float(f64);
struct Base64<'a>(&'a [u8]);

/// Whether the client can read the cell. It loses the whole answer to an integer beyond 64 bits with a sign, to an empty
/// list, and to a list whose values are not all of one type in JSON.
fn is_readable(column: &dyn Array, row: usize, non_finite: NonFinite) -> bool {
    if column.is_null(row) {
        return true;
    }
    if let Some(unsigned) = column.as_primitive_opt::<at::UInt64Type>() {
        return i64::try_from(unsigned.value(row)).is_ok();
    }
    if let Some(float) = float(column, row) {
        return non_finite == NonFinite::Text || float.is_finite();
    }
    let Some(items) = items(column, row) else { return true };
    // A text among floats is another type.
    let one_type = (0..items.len()).all(|item| is_readable(&items, item, NonFinite::Invalid));
    !items.is_empty() && items.null_count() == 0 && one_type
}

fn float(column: &dyn Array, row: usize) -> Option<f64> {
    match column.data_type() {
        DataType::Float32 => Some(f64::from(column.as_primitive::<at::Float32Type>().value(row))),
        DataType::Float64 => Some(column.as_primitive::<at::Float64Type>().value(row)),
        _ => None,
    }
}

/// The values of a list; `None` where the cell is no list.
fn items(column: &dyn Array, row: usize) -> Option<ArrayRef> {
    let variable = column.as_list_opt::<i32>().map(|lists| lists.value(row));
    variable.or_else(|| column.as_fixed_size_list_opt().map(|lists| lists.value(row)))
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let column = self.0;
        macro_rules! integers {
            ($t:ty) => {
                out.collect_seq(column.as_primitive::<$t>().iter())
            };
        }
        match self.1 {
            Dtype::Bool => out.collect_seq(column.as_boolean().iter()),
            Dtype::Int8 => integers!(at::Int8Type),
            Dtype::Int16 => integers!(at::Int16Type),
            Dtype::Int32 => integers!(at::Int32Type),
            Dtype::Int64 => integers!(at::Int64Type),
            Dtype::Uint8 => integers!(at::UInt8Type),
            Dtype::Uint16 => integers!(at::UInt16Type),
            Dtype::Uint32 => integers!(at::UInt32Type),
            Dtype::Uint64 => {
                let signed = |v: u64| i64::try_from(v).ok();
                out.collect_seq(column.as_primitive::<at::UInt64Type>().iter().map(|v| v.and_then(signed)))
            }
            Dtype::Float32 | Dtype::Float64 => {
                let told = |row| {
                    let float = float(column, row).filter(|_| !column.is_null(row));
                    float.filter(|_| is_readable(column, row, self.2)).map(Float)
                };
                out.collect_seq((0..column.len()).map(told))
            }
            Dtype::String => out.collect_seq(column.as_string::<i32>().iter()),
            Dtype::Bytes => out.collect_seq(column.as_binary::<i32>().iter().map(|v| v.map(Base64))),
            Dtype::Date => {
                let seconds = |days: i32| i64::from(days) * DAY;
                out.collect_seq(column.as_primitive::<at::Date32Type>().iter().map(|v| v.map(seconds)))
            }
            Dtype::Timestamp => {
                let seconds = |nanos: i64| nanos.div_euclid(NANOS);
                out.collect_seq(column.as_primitive::<at::TimestampNanosecondType>().iter().map(|v| v.map(seconds)))
            }
            // The text itself, which the client takes as it is.
            Dtype::Json => out.collect_seq(column.as_string::<i32>().iter()),
            Dtype::Duration | Dtype::Decimal { .. } => {
                let cell = |row| (!column.is_null(row)).then(|| Cell::new(column, row, self.1));
                out.collect_seq((0..column.len()).map(cell))
            }
            Dtype::List(item) | Dtype::FixedList(item, _) => {
                let mut list = out.serialize_seq(Some(column.len()))?;
                for row in 0..column.len() {
                    let items = items(column, row).filter(|_| !column.is_null(row) && is_readable(column, row, self.2));
                    list.serialize_element(&items.as_ref().map(|items| Values(items, item.into(), self.2)))?;
                }
                list.end()
            }
        }
    }
}

impl Serialize for Statuses<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let Self(statuses, column, non_finite) = *self;
        out.collect_seq(statuses.iter().enumerate().map(|(row, status)| match status {
            Status::Present if !is_readable(column, row, non_finite) => "INVALID",
            // The client knows no such status; this one says as much of the value.
            Status::Unavailable => "INVALID",
            status => status.as_str(),
        }))
    }
}

impl Serialize for KeyStatuses<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let column = self.0;
        out.collect_seq((0..column.len()).map(|row| match is_readable(column, row, self.1) {
            _ if column.is_null(row) => Status::NullValue.as_str(),
            true => Status::Present.as_str(),
            false => "INVALID",
        }))
    }
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

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&STANDARD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int8Array, Int64Array, StringArray,
        TimestampNanosecondArray, UInt64Array,
    };

    use super::*;

    #[track_caller]
    fn check(column: impl Array + 'static, want: &str) {
        let dtype = Dtype::from_arrow(column.data_type()).unwrap();
        let column: ArrayRef = Arc::new(column);
        assert_eq!(serde_json::to_string(&Values(&column, dtype, NonFinite::Text)).unwrap(), want);
    }

    #[test]
    fn integers_are_exact() {
        check(
            Int64Array::from(vec![Some((1 << 53) + 1), None, Some(i64::MIN)]),
            "[9007199254740993,null,-9223372036854775808]",
        );
        check(Int8Array::from(vec![-128, 127]), "[-128,127]");
        check(BooleanArray::from(vec![Some(true), None]), "[true,null]");
    }

    #[test]
    fn doubles_look_like_doubles() {
        check(
            Float64Array::from(vec![1.0, -0.0, 0.1, 1e16, 1e300, 5e-324, f64::MAX]),
            "[1.0,-0.0,0.1,1e+16,1e+300,5e-324,1.7976931348623157e+308]",
        );
        check(Float32Array::from(vec![0.1, 1.0, 16_777_216.0]), "[0.10000000149011612,1.0,16777216.0]");
    }

    #[test]
    fn what_json_lacks_is_a_text() {
        check(
            Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
            r#"["NaN","Infinity","-Infinity"]"#,
        );
        check(Float32Array::from(vec![f32::NAN]), r#"["NaN"]"#);
    }

    #[test]
    fn or_it_is_no_value_at_all() {
        let floats = vec![Some(1.0), Some(f64::NAN), None, Some(f64::INFINITY)];
        let wide: ArrayRef = Arc::new(Float64Array::from(floats.clone()));
        #[expect(clippy::cast_possible_truncation, reason = "nothing is lost")]
        let narrow: ArrayRef = Arc::new(Float32Array::from_iter(floats.iter().map(|v| v.map(|v| v as f32))));
        for (column, dtype) in [(wide, Dtype::Float64), (narrow, Dtype::Float32)] {
            let told = serde_json::to_string(&Values(&column, dtype, NonFinite::Invalid)).unwrap();
            assert_eq!(told, "[1.0,null,null,null]");
            let statuses = [Status::Present, Status::Present, Status::NullValue, Status::Present];
            let told = serde_json::to_string(&Statuses(&statuses, &column, NonFinite::Invalid)).unwrap();
            assert_eq!(told, r#"["PRESENT","INVALID","NULL_VALUE","INVALID"]"#);
        }
    }

    #[test]
    fn texts_are_as_they_are_and_bytes_base64() {
        check(StringArray::from(vec!["", "é\n\"", "NaN"]), r#"["","é\n\"","NaN"]"#);
        check(BinaryArray::from(vec![&b""[..], b"\xff\xfe", b"abc"]), r#"["","//4=","YWJj"]"#);
    }

    #[test]
    fn times_are_whole_seconds() {
        let nanos = vec![1_795_370_304_999_999_999, 0, -1];
        check(TimestampNanosecondArray::from(nanos).with_timezone("UTC"), "[1795370304,0,-1]");
        check(Date32Array::from(vec![1, -1]), "[86400,-86400]");
    }

    #[test]
    fn lists_are_lists_unless_the_client_cannot_read_them() {
        let lists =
            [Some(vec![Some(1.0), Some(2.5)]), None, Some(vec![]), Some(vec![None]), Some(vec![Some(f64::NAN)])];
        let column: ArrayRef = Arc::new(arrow::array::ListArray::from_iter_primitive::<at::Float64Type, _, _>(lists));
        let told =
            serde_json::to_string(&Values(&column, Dtype::List(schema::Scalar::Float64), NonFinite::Text)).unwrap();
        assert_eq!(told, "[[1.0,2.5],null,null,null,null]");
        let statuses = [Status::Present, Status::NullValue, Status::Present, Status::Present, Status::Present];
        let told = serde_json::to_string(&Statuses(&statuses, &column, NonFinite::Text)).unwrap();
        assert_eq!(told, r#"["PRESENT","NULL_VALUE","INVALID","INVALID","INVALID"]"#);
    }

    #[test]
    fn an_integer_that_the_client_cannot_read_is_invalid() {
        check(UInt64Array::from(vec![Some(u64::MAX), Some(1 << 62), None]), "[null,4611686018427387904,null]");
        let column: ArrayRef = Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(7), None]));
        let statuses = [Status::Present, Status::Present, Status::NotFound];
        let told = serde_json::to_string(&Statuses(&statuses, &column, NonFinite::Text)).unwrap();
        assert_eq!(told, r#"["INVALID","PRESENT","NOT_FOUND"]"#);
        assert_eq!(
            serde_json::to_string(&KeyStatuses(&column, NonFinite::Text)).unwrap(),
            r#"["INVALID","PRESENT","NULL_VALUE"]"#
        );
    }
}
