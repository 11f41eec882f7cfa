//! Bringing columns of other systems into our dtypes, exactly or not at all.
//!
//! `cast/time.rs` has instants and zones, `cast/list.rs` lists, `cast/json.rs` JSON.

mod json;
mod list;
mod time;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Date64Type};
use schema::json::Cell;
use schema::{Dtype, Scalar};

pub use time::{Zone, times};

/// Why a column cannot become another type; callers add the column's name and file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CastError {
    /// Values of `from` are not all values of `to`.
    #[error("it is {from}, declared {to}")]
    Type {
        /// The column's Arrow type.
        from: String,
        /// The declared type.
        to: String,
    },
    /// One value does not fit.
    #[error("{why}")]
    Value {
        /// What and why.
        why: String,
    },
}

impl CastError {
    fn value(why: impl ToString) -> Self {
        Self::Value { why: why.to_string() }
    }
}

const CHECKED: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

fn cast(column: &dyn Array, to: &DataType) -> Result<ArrayRef, CastError> {
    cast_with_options(column, to, &CHECKED).map_err(CastError::value)
}

/// Whether a column of an Arrow type may be brought to `to`.
///
/// [`conform`] then fails only on single values: a time out of range or that a zone skips, a text that is no JSON, a
/// list of another length than a fixed one.
pub fn conforms(from: &DataType, to: Dtype) -> bool {
    if *from == DataType::Null {
        return true;
    }
    let Some(found) = Dtype::from_arrow(from) else { return false };
    match (found, to) {
        (Dtype::String, Dtype::Json) => true,
        (Dtype::List(_) | Dtype::FixedList(_, _), Dtype::Json) => Cell::holds(from),
        (Dtype::List(from), Dtype::List(to) | Dtype::FixedList(to, _)) => fits_item(from, to),
        (Dtype::FixedList(from, n), Dtype::FixedList(to, m)) => n == m && fits_item(from, to),
        (Dtype::FixedList(from, _), Dtype::List(to)) => fits_item(from, to),
        (from, to) => from.widens_to(to),
    }
}

fn fits_item(from: Scalar, to: Scalar) -> bool {
    Dtype::from(from).widens_to(to.into()) || (from, to) == (Scalar::String, Scalar::Json)
}

/// The column as `to` holds it: other physical forms of the same type and exact widenings, nothing that loses bits.
///
/// `timezone` is the IANA name for timestamps without a zone; UTC unless given.
///
/// # Errors
/// [`CastError::Type`] with both types, or [`CastError::Value`] for a single value, as [`conforms`] says.
pub fn conform(column: &ArrayRef, to: Dtype, timezone: Option<&str>) -> Result<ArrayRef, CastError> {
    let from = column.data_type();
    // Lists are brought to one form even where the types agree: what is under a null is not looked at.
    if *from == to.to_arrow() && !to.is_list() && to != Dtype::Json {
        return Ok(ArrayRef::clone(column));
    }
    if !conforms(from, to) {
        return Err(CastError::Type { from: describe(from), to: to.to_string() });
    }
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(&to.to_arrow(), column.len())),
        (DataType::Dictionary(_, plain), _) => conform(&cast(column, plain)?, to, timezone),
        (DataType::RunEndEncoded(_, plain), _) => conform(&cast(column, plain.data_type())?, to, timezone),
        (_, Dtype::Json) => json::json(column),
        (_, Dtype::List(item)) => list::list(column, item, timezone),
        (_, Dtype::FixedList(item, n)) => list::fixed_list(column, item, n, timezone),
        (DataType::Timestamp(unit, None), _) => time::zoned(column, *unit, timezone),
        (DataType::Timestamp(unit, Some(_)), _) => time::instants(column, *unit),
        (DataType::Date64, _) => days(column),
        _ => cast(column, &to.to_arrow()),
    }
}

/// Milliseconds that stand for days: each must be midnight.
fn days(column: &ArrayRef) -> Result<ArrayRef, CastError> {
    const DAY: i64 = 86_400_000;
    if let Some(millis) = column.as_primitive::<Date64Type>().iter().flatten().find(|millis| millis % DAY != 0) {
        return Err(CastError::value(format!("a date of {millis} ms since the epoch has a time of day")));
    }
    cast(column, &DataType::Date32)
}

/// An Arrow type in our words where we have one.
pub fn describe(arrow: &DataType) -> String {
    match (arrow, Dtype::from_arrow(arrow)) {
        (DataType::Timestamp(unit, zone), _) => {
            format!("timestamp[{unit:?}{}]", zone.as_ref().map(|z| format!(", {z}")).unwrap_or_default()).to_lowercase()
        }
        (DataType::Struct(_), Some(_)) => "a struct (json)".to_owned(),
        (DataType::Map(_, _), Some(_)) => "a map (json)".to_owned(),
        (_, Some(Dtype::Json)) => "lists of lists (json)".to_owned(),
        (_, Some(dtype)) => dtype.to_string(),
        (other, None) => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
