//! Rows in the types of a table, and what is wrong with those that are not.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::DataType;
use schema::{Dtype, Timestamp, Value, definitions};
use transform::cast::{CastError, Zone, conform, conforms, describe, times};

use super::super::OfflineError;
use super::super::source::{of_text, typed_column};
use super::super::table::TableColumn;
use super::Rules;

/// Why a row is bad that lacks a key or a time.
pub(super) const NULL: &str = "it is null";

/// A row that cannot be the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    /// Its place in the batch.
    pub(super) row: usize,
    pub(super) column: String,
    pub(super) why: String,
}

/// A batch in the types of a table.
#[derive(Debug)]
pub(super) struct Typed {
    /// A column for each of the table's, as long as the batch; of bad rows the values say nothing.
    pub(super) columns: Vec<ArrayRef>,
    /// Rows that are not bad.
    pub(super) good: BooleanArray,
    /// The others, in order; of each the first column that is wrong.
    pub(super) bad: Vec<Bad>,
}

/// Brings a batch into the types of a table, value by value and exactly.
///
/// # Errors
/// [`OfflineError::Column`] for a column of a type whose values are never the table's.
pub(super) fn typed(
    file: &str,
    batch: &RecordBatch,
    table: &[TableColumn],
    rules: &Rules,
    timezone: Option<&str>,
) -> Result<Typed, OfflineError> {
    let n = batch.num_rows();
    let mut why: Vec<Option<(usize, String)>> = vec![None; n];
    let mut columns = Vec::with_capacity(table.len());
    for (at, column) in table.iter().enumerate() {
        let mut wrong = |row: usize, reason: String| {
            why[row].get_or_insert((at, reason));
        };
        let typed =
            match batch.column_by_name(&column.name) {
                None => new_null_array(&column.dtype.to_arrow(), n),
                Some(found) => of_type(found, column.dtype, timezone, &mut wrong)
                    .map_err(|why| OfflineError::Column { path: file.to_owned(), column: column.name.clone(), why })?,
            };
        if rules.required.contains(&column.name) {
            let nulls = (0..n).filter(|row| typed.is_null(*row));
            nulls.for_each(|row| wrong(row, NULL.to_owned()));
        }
        if let Some((name, now, limit)) = &rules.ahead
            && *name == column.name
        {
            let times = times(&typed, None).map_err(|why| OfflineError::Column {
                path: file.to_owned(),
                column: name.clone(),
                why: why.to_string(),
            })?;
            let latest = definitions::latest(*now, *limit);
            let times = times.iter().map(|time| time.map(Timestamp::from_nanos)).enumerate();
            for (row, time) in times.filter_map(|(row, time)| Some((row, time.filter(|time| *time > latest)?))) {
                wrong(row, definitions::too_far(time, *now, *limit));
            }
        }
        columns.push(typed);
    }
    let good = why.iter().map(|why| Some(why.is_none())).collect();
    let bad = why.into_iter().enumerate().filter_map(|(row, why)| {
        let (at, why) = why?;
        Some(Bad { row, column: table[at].name.clone(), why })
    });
    Ok(Typed { columns, good, bad: bad.collect() })
}

/// A column in another type; what does not fit is null, and told.
fn of_type(
    column: &ArrayRef,
    to: Dtype,
    timezone: Option<&str>,
    wrong: &mut dyn FnMut(usize, String),
) -> Result<ArrayRef, String> {
    let from = column.data_type();
    if conforms(from, to) {
        return conformed(column, 0, to, timezone, wrong);
    }
    match Dtype::from_arrow(from) {
        Some(Dtype::String) => of_texts(column, to, timezone, wrong),
        Some(found) if is_number(found) && is_number(to) => of_numbers(column, to, wrong),
        _ => Err(format!("it is {}, and {to} in the table", describe(from))),
    }
}

fn is_number(dtype: Dtype) -> bool {
    use Dtype::{Decimal, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    matches!(
        dtype,
        Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64 | Float32 | Float64 | Decimal { .. }
    )
}

/// By halves where single values do not fit: most columns are fine as they are.
fn conformed(
    column: &ArrayRef,
    first: usize,
    to: Dtype,
    timezone: Option<&str>,
    wrong: &mut dyn FnMut(usize, String),
) -> Result<ArrayRef, String> {
    match (conform(column, to, timezone), column.len()) {
        (Ok(column), _) => Ok(column),
        (Err(CastError::Value { why }), 1) => {
            wrong(first, why);
            Ok(new_null_array(&to.to_arrow(), 1))
        }
        (Err(CastError::Value { .. }), n) => {
            let left = conformed(&column.slice(0, n / 2), first, to, timezone, wrong)?;
            let right = conformed(&column.slice(n / 2, n - n / 2), first + n / 2, to, timezone, wrong)?;
            concat(&[left.as_ref(), right.as_ref()]).map_err(|why| why.to_string())
        }
        (Err(why), _) => Err(why.to_string()),
    }
}

/// Numbers of another type where they are the same number: pandas makes floats of integers where one is missing.
fn of_numbers(column: &ArrayRef, to: Dtype, wrong: &mut dyn FnMut(usize, String)) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let cast =
        |column: &ArrayRef, to: &DataType| cast_with_options(column, to, &options).map_err(|why| why.to_string());
    let there = cast(column, &to.to_arrow())?;
    let back = cast(&there, column.data_type())?;
    let same = not_distinct(&back, column).map_err(|why| why.to_string())?;
    let texts = cast(column, &DataType::Utf8)?;
    for row in (0..column.len()).filter(|row| !same.value(*row)) {
        wrong(row, format!("`{}` is no {to}", texts.as_string::<i32>().value(row)));
    }
    Ok(there)
}

/// Texts that are values of another type, as CSV files have them.
fn of_texts(
    column: &ArrayRef,
    to: Dtype,
    timezone: Option<&str>,
    wrong: &mut dyn FnMut(usize, String),
) -> Result<ArrayRef, String> {
    let zone = Zone::named(timezone).map_err(|why| why.to_string())?;
    let texts = conform(column, Dtype::String, None).map_err(|why| why.to_string())?;
    let texts = texts.as_string::<i32>();
    let mut values = Vec::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let value = text.map_or(Ok(Value::Null), |text| of_text(text, to, zone));
        values.push(value.unwrap_or_else(|why| {
            wrong(row, why);
            Value::Null
        }));
    }
    typed_column(&values, Some(to)).map_err(|why| why.to_string())
}
