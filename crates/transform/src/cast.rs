//! Bringing columns of other systems into our dtypes, exactly or not at all.

use arrow::array::{Array, ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit, TimestampNanosecondType};
use schema::Dtype;
use schema::dtype::timestamp_type;

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

const CHECKED: CastOptions<'static> =
    CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };

fn cast(column: &dyn Array, to: &DataType) -> Result<ArrayRef, CastError> {
    cast_with_options(column, to, &CHECKED).map_err(|why| CastError::Value { why: why.to_string() })
}

/// Whether every value of an Arrow type is a value of `to`, so that [`conform`] can only fail on a time out of range.
pub fn conforms(from: &DataType, to: Dtype) -> bool {
    Dtype::from_arrow(from).is_some_and(|found| found.widens_to(to))
}

/// The column as `to` holds it: other physical forms of the same type and exact widenings, nothing that loses bits.
///
/// `timezone` is the IANA name for timestamps without a zone; UTC unless given.
///
/// # Errors
/// [`CastError::Type`] with both types, or [`CastError::Value`] for a time outside the range of nanoseconds.
pub fn conform(column: &ArrayRef, to: Dtype, timezone: Option<&str>) -> Result<ArrayRef, CastError> {
    let from = column.data_type();
    if *from == to.to_arrow() {
        return Ok(ArrayRef::clone(column));
    }
    if !conforms(from, to) {
        return Err(CastError::Type { from: describe(from), to: to.to_string() });
    }
    match from {
        DataType::Timestamp(unit, None) => zoned(column, *unit, timezone),
        _ => cast(column, &to.to_arrow()),
    }
}

/// A column as instants: timestamps of any unit and zone, dates (midnight), RFC 3339 texts.
///
/// # Errors
/// [`CastError`] if it is none of these, or a value is no time.
pub fn times(column: &ArrayRef, timezone: Option<&str>) -> Result<TimestampNanosecondArray, CastError> {
    let instants = match column.data_type() {
        DataType::Timestamp(unit, None) => zoned(column, *unit, timezone)?,
        DataType::Timestamp(_, Some(_)) => cast(column, &timestamp_type())?,
        DataType::Date32 | DataType::Date64 => {
            let naive = cast(column, &DataType::Timestamp(TimeUnit::Second, None))?;
            zoned(&naive, TimeUnit::Second, timezone)?
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(column, &DataType::Utf8)?;
            let parse = |text: Option<&str>| text.map(schema::Timestamp::parse_with_zone).transpose();
            let parsed = texts.as_string::<i32>().iter().map(parse).collect::<Result<Vec<_>, _>>();
            let parsed = parsed.map_err(|why| CastError::Value { why: why.to_string() })?;
            let naive = parsed.iter().map(|time| time.filter(|(_, zoned)| !zoned).map(|(time, _)| time.as_nanos()));
            let naive: ArrayRef = std::sync::Arc::new(naive.collect::<TimestampNanosecondArray>());
            let naive = zoned(&naive, TimeUnit::Nanosecond, timezone)?;
            let naive = naive.as_primitive::<TimestampNanosecondType>();
            let instant = |(row, time): (usize, &Option<(schema::Timestamp, bool)>)| match time {
                Some((time, true)) => Some(time.as_nanos()),
                Some((_, false)) => Some(naive.value(row)),
                None => None,
            };
            let instants: TimestampNanosecondArray = parsed.iter().enumerate().map(instant).collect();
            return Ok(instants.with_timezone("UTC"));
        }
        other => return Err(CastError::Type { from: describe(other), to: "a time".to_owned() }),
    };
    Ok(instants.as_primitive::<TimestampNanosecondType>().clone())
}

/// A timestamp without a zone, read in `timezone`.
fn zoned(column: &ArrayRef, unit: TimeUnit, timezone: Option<&str>) -> Result<ArrayRef, CastError> {
    let zone = timezone.unwrap_or("UTC");
    let there = cast(column, &DataType::Timestamp(unit, Some(zone.into())))?;
    cast(&there, &timestamp_type())
}

/// An Arrow type in our words where we have one.
pub fn describe(arrow: &DataType) -> String {
    match (arrow, Dtype::from_arrow(arrow)) {
        (DataType::Timestamp(unit, zone), _) => {
            format!("timestamp[{unit:?}{}]", zone.as_ref().map(|z| format!(", {z}")).unwrap_or_default()).to_lowercase()
        }
        (_, Some(dtype)) => dtype.to_string(),
        (other, None) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array, StringArray, TimestampMicrosecondArray, TimestampSecondArray};

    use super::*;

    #[test]
    fn a_naive_time_is_read_in_its_zone() {
        let noon: ArrayRef = Arc::new(TimestampSecondArray::from(vec![12 * 3600]));
        assert_eq!(times(&noon, None).unwrap().value(0), 12 * 3600 * 1_000_000_000);
        assert_eq!(times(&noon, Some("America/New_York")).unwrap().value(0), 17 * 3600 * 1_000_000_000);
    }

    #[test]
    fn a_zoned_time_keeps_its_instant() {
        let micros = TimestampMicrosecondArray::from(vec![1]).with_timezone("America/New_York");
        let column: ArrayRef = Arc::new(micros);
        assert_eq!(times(&column, Some("Europe/Berlin")).unwrap().value(0), 1_000);
    }

    #[test]
    fn nothing_is_rounded_or_wrapped() {
        let wide: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(matches!(conform(&wide, Dtype::Int32, None), Err(CastError::Type { .. })));
        assert!(matches!(conform(&wide, Dtype::Float64, None), Err(CastError::Type { .. })));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
        assert!(matches!(conform(&text, Dtype::Int64, None), Err(CastError::Type { .. })));
        let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 2]));
        assert!(matches!(conform(&far, Dtype::Timestamp, None), Err(CastError::Value { .. })));
        let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7]));
        assert_eq!(conform(&narrow, Dtype::Int64, None).unwrap().data_type(), &DataType::Int64);
    }

    #[test]
    fn texts_are_times_when_they_are_rfc_3339() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("2024-01-01T12:00:00Z"), None]));
        assert_eq!(times(&texts, None).unwrap().null_count(), 1);
        let naive: ArrayRef = Arc::new(StringArray::from(vec!["2024-01-01 12:00:00"]));
        let there = times(&naive, Some("America/New_York")).unwrap().value(0);
        assert_eq!(there - times(&naive, None).unwrap().value(0), 5 * 3600 * 1_000_000_000);
        let wrong: ArrayRef = Arc::new(StringArray::from(vec!["yesterday"]));
        assert!(times(&wrong, None).is_err());
    }
}
