//! Columns as pandas has them, in the types that a view declares, where no value changes.
//!
//! pandas writes `int64`, `float64` and objects, whatever the view says. Integers become the narrower ones that hold them,
//! float64 becomes the nearest float32 (as Feast does it), texts become the dates, times, durations and decimals that they
//! say, midnights the dates. What is none of these stays as it is: the push takes what widens, and refuses the rest.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use schema::{Dtype, ErrorKind};
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::http::feast::of_dtype;

/// What does not fit is null, and found by that.
const OR_NULL: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };

/// Why a column has no form in another type.
#[derive(Debug)]
enum Misfit {
    /// One value does not fit.
    At(usize),
    /// Arrow has no way from the one to the other.
    Arrow(ArrowError),
}

impl From<ArrowError> for Misfit {
    fn from(why: ArrowError) -> Self {
        Self::Arrow(why)
    }
}

/// The rows, of which the first is the frame's `first_row`, with columns in the types of `declared`.
///
/// # Errors
/// The column and the row of a value that its type does not have.
pub(super) fn fitted(
    rows: &RecordBatch,
    declared: &[(String, Dtype)],
    first_row: usize,
) -> Result<RecordBatch, Failure> {
    let internal = |why: ArrowError| Failure::new(ErrorKind::Internal, format!("fitting rows: {why}"));
    let mut fields = Vec::with_capacity(rows.num_columns());
    let mut columns = Vec::with_capacity(rows.num_columns());
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        let name = field.name();
        let dtype = declared.iter().find(|(known, _)| known == name).map(|(_, dtype)| *dtype);
        let column = match dtype.map(|dtype| (dtype, fit(column, dtype))) {
            None => Arc::clone(column),
            Some((_, Ok(column))) => column,
            Some((_, Err(Misfit::Arrow(why)))) => return Err(internal(why)),
            Some((dtype, Err(Misfit::At(row)))) => {
                let value = ArrayFormatter::try_new(column, &FormatOptions::new()).map_err(internal)?;
                let value = value.value(row).to_string().escape_debug().to_string();
                let message = format!("column `{name}` has {value} in row {}, which is no {dtype}", first_row + row);
                return Err(Failure::invalid(message).code("wrong_value_type").hint(hint(dtype)));
            }
        };
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(internal)
}

fn hint(dtype: Dtype) -> String {
    match dtype.item().into() {
        Dtype::Date => "a date is 2024-02-29, or the midnight with which it begins".to_owned(),
        Dtype::Duration => "a duration is a timedelta, or a text of ISO 8601 such as PT1H30M".to_owned(),
        Dtype::Timestamp => "a time is a timestamp, or a text in RFC 3339".to_owned(),
        _ => "correct the value, or declare the feature in a type that has it".to_owned(),
    }
}

fn fit(column: &ArrayRef, to: Dtype) -> Result<ArrayRef, Misfit> {
    match (column.data_type(), to) {
        (DataType::Dictionary(_, plain), _) => fit(&cast_with_options(column, plain, &OR_NULL)?, to),
        (from, _) if Dtype::from_arrow(from).is_some_and(|from| from.widens_to(to)) => Ok(Arc::clone(column)),
        (DataType::List(_), Dtype::List(item) | Dtype::FixedList(item, _)) => items(column, item.into()),
        (DataType::Float64, Dtype::Float32) => nearest(column),
        (
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View,
            Dtype::Date | Dtype::Timestamp | Dtype::Duration | Dtype::Decimal { .. },
        ) => texts(column, to),
        (DataType::Timestamp(unit, Some(_)), Dtype::Date) => {
            let utc = cast_with_options(column, &DataType::Timestamp(*unit, Some("UTC".into())), &OR_NULL)?;
            exact(&cast_with_options(&utc, &DataType::Timestamp(*unit, None), &OR_NULL)?, to)
        }
        (DataType::Timestamp(_, None), Dtype::Date) => exact(column, to),
        (from, to) if is_exact_number(from) && is_number(to) => exact(column, to),
        _ => Ok(Arc::clone(column)),
    }
}

/// Numbers that are not rounded themselves.
fn is_exact_number(arrow: &DataType) -> bool {
    arrow.is_integer() || matches!(arrow, DataType::Decimal128(_, _))
}

fn is_number(dtype: Dtype) -> bool {
    use Dtype::{Decimal, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    matches!(
        dtype,
        Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64 | Float32 | Float64 | Decimal { .. }
    )
}

/// What comes back as it was.
fn exact(column: &ArrayRef, to: Dtype) -> Result<ArrayRef, Misfit> {
    let there = cast_with_options(column, &to.to_arrow(), &OR_NULL)?;
    let back = cast_with_options(&there, column.data_type(), &OR_NULL)?;
    let same = not_distinct(column, &back)?;
    first(column.len(), |row| !same.value(row)).map_or(Ok(there), |row| Err(Misfit::At(row)))
}

/// The nearest float32: none but infinity is nearest to what is larger than all of them.
fn nearest(column: &ArrayRef) -> Result<ArrayRef, Misfit> {
    let narrow = cast_with_options(column, &DataType::Float32, &OR_NULL)?;
    let (was, is) = (column.as_primitive::<Float64Type>(), narrow.as_primitive::<Float32Type>());
    let lost = |row: usize| was.is_valid(row) && was.value(row).is_finite() && is.value(row).is_infinite();
    first(column.len(), lost).map_or_else(|| Ok(Arc::clone(&narrow)), |row| Err(Misfit::At(row)))
}

/// What texts say, as in the JSON that the client writes.
fn texts(column: &ArrayRef, to: Dtype) -> Result<ArrayRef, Misfit> {
    let plain = cast_with_options(column, &DataType::Utf8, &OR_NULL)?;
    let value = |text: Option<&str>| text.map_or(Json::Null, |text| of_dtype(Json::String(text.to_owned()), to));
    let values: Vec<Json> = plain.as_string::<i32>().iter().map(value).collect();
    schema::json::read_column(&values, to).map_err(Misfit::At)
}

/// Lists, whose values are fitted.
fn items(column: &ArrayRef, item: Dtype) -> Result<ArrayRef, Misfit> {
    let list = column.as_list::<i32>();
    let row_of = |at: usize| {
        let before = |offset: &i32| usize::try_from(*offset).is_ok_and(|offset| offset <= at);
        list.value_offsets().partition_point(before).saturating_sub(1)
    };
    let values = fit(list.values(), item).map_err(|why| match why {
        Misfit::At(at) => Misfit::At(row_of(at)),
        arrow @ Misfit::Arrow(_) => arrow,
    })?;
    let field = Field::new_list_field(values.data_type().clone(), true);
    let fitted = ListArray::try_new(Arc::new(field), list.offsets().clone(), values, list.nulls().cloned())?;
    Ok(Arc::new(fitted))
}

fn first(n: usize, is: impl Fn(usize) -> bool) -> Option<usize> {
    (0..n).find(|row| is(*row))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, StringArray, TimestampNanosecondArray, UInt64Array};
    use arrow::datatypes::Float64Type;
    use schema::Value;

    use super::*;

    /// What becomes of a column: its values, or where it does not fit.
    #[track_caller]
    fn check(column: impl Array + 'static, dtype: &str, want: &str) {
        let rows = RecordBatch::try_from_iter_with_nullable([("x", Arc::new(column) as ArrayRef, true)]).unwrap();
        let dtype = Dtype::parse(dtype).unwrap();
        let got = match fitted(&rows, &[("x".to_owned(), dtype)], 10) {
            Ok(rows) => {
                let column = rows.column(0);
                match Dtype::from_arrow(column.data_type()) {
                    Some(found) if found == dtype => {
                        let values = (0..column.len()).map(|row| Value::at(column, row).to_string());
                        values.collect::<Vec<_>>().join(" ")
                    }
                    other => format!("left as {}", other.unwrap()),
                }
            }
            Err(why) => why.message,
        };
        assert_eq!(got, want);
    }

    fn ints(values: &[i64]) -> Int64Array {
        values.iter().copied().map(Some).chain([None]).collect()
    }

    fn words(values: &[&str]) -> StringArray {
        values.iter().copied().map(Some).chain([None]).collect()
    }

    #[test]
    fn integers_fit_where_their_type_has_them() {
        check(ints(&[-128, 127]), "int8", "-128 127 null");
        check(ints(&[0, 128]), "int8", "column `x` has 128 in row 11, which is no int8");
        check(ints(&[1, -1]), "uint64", "column `x` has -1 in row 11, which is no uint64");
        check(
            UInt64Array::from(vec![u64::MAX]),
            "int64",
            &format!("column `x` has {} in row 10, which is no int64", u64::MAX),
        );
        check(ints(&[1 << 53]), "float64", "9007199254740992.0 null");
        check(ints(&[(1 << 53) + 1]), "float64", "column `x` has 9007199254740993 in row 10, which is no float64");
        check(ints(&[i64::MAX]), "float64", &format!("column `x` has {} in row 10, which is no float64", i64::MAX));
        check(ints(&[3]), "decimal(10,2)", "3.00 null");
    }

    #[test]
    fn floats_are_rounded_to_the_nearest_that_is_none_of_the_infinities() {
        let floats = vec![Some(0.1), Some(f64::INFINITY), Some(f64::NAN), None];
        check(Float64Array::from(floats), "float32", "0.10000000149011612 inf NaN null");
        check(Float64Array::from(vec![1e39]), "float32", "column `x` has 1e39 in row 10, which is no float32");
        check(Float64Array::from(vec![0.1]), "decimal(10,2)", "left as float64");
    }

    #[test]
    fn texts_and_midnights_are_what_they_say() {
        check(words(&["2024-02-29", "1969-12-31T00:00:00Z"]), "date", "19782 -1 null");
        check(words(&["2024-02-30"]), "date", "column `x` has 2024-02-30 in row 10, which is no date");
        check(words(&["PT1H30M"]), "duration", "PT5400S null");
        check(words(&["2024-02-29 12:00:00"]), "timestamp", "2024-02-29T12:00:00Z null");
        check(words(&["12.5"]), "decimal(10,2)", "12.50 null");
        check(words(&["12.505"]), "decimal(10,2)", "column `x` has 12.505 in row 10, which is no decimal(10,2)");
        check(words(&["1"]), "int64", "left as string");
        let day = 86_400_000_000_000;
        check(TimestampNanosecondArray::from(vec![-day, day]), "date", "-1 1");
        let late = TimestampNanosecondArray::from(vec![1]).with_timezone("UTC");
        check(late, "date", "column `x` has 1970-01-01T00:00:00.000000001Z in row 10, which is no date");
        let decimals = |unscaled: i128| Decimal128Array::from(vec![unscaled]).with_precision_and_scale(5, 3).unwrap();
        check(decimals(12_500), "decimal(10,2)", "12.50");
        check(decimals(12_505), "decimal(10,2)", "column `x` has 12.505 in row 10, which is no decimal(10,2)");
    }

    #[test]
    fn lists_fit_as_their_values_do() {
        let lists = |second: f64| {
            let rows = vec![None, Some(vec![]), Some(vec![Some(0.5), None]), Some(vec![Some(second)])];
            ListArray::from_iter_primitive::<Float64Type, _, _>(rows)
        };
        check(lists(1.0), "list<float32>", "null [] [0.5, null] [1.0]");
        check(lists(1e39), "list<float32>", "column `x` has [1e39] in row 13, which is no list<float32>");
    }
}
