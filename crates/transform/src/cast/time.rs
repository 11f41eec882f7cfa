//! Instants: timestamps of any unit and zone, dates, texts; and what a local time means where clocks are changed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, TimestampNanosecondArray, new_null_array};
use arrow::datatypes::{
    ArrowTimestampType, DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use chrono::{DateTime, MappedLocalTime, TimeZone};
use chrono_tz::Tz;
use schema::Timestamp;
use schema::dtype::timestamp_type;

use super::{CastError, cast, days, describe};

/// A column as instants: timestamps of any unit and zone, dates (midnight), RFC 3339 texts.
///
/// # Errors
/// [`CastError`] if it is none of these, or a value is no time.
pub fn times(column: &ArrayRef, timezone: Option<&str>) -> Result<TimestampNanosecondArray, CastError> {
    let instants = match column.data_type() {
        DataType::Timestamp(unit, None) => zoned(column, *unit, timezone)?,
        DataType::Timestamp(unit, Some(_)) => instants(column, *unit)?,
        DataType::Date32 => midnights(column, timezone)?,
        DataType::Date64 => midnights(&days(column)?, timezone)?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => return texts(column, timezone),
        DataType::Null => new_null_array(&timestamp_type(), column.len()),
        DataType::Dictionary(_, plain) => return times(&cast(column, plain)?, timezone),
        other => return Err(CastError::Type { from: describe(other), to: "a time".to_owned() }),
    };
    Ok(instants.as_primitive::<TimestampNanosecondType>().clone())
}

/// Where times without a zone are read.
#[derive(Debug, Clone, Copy)]
pub struct Zone(Option<Tz>);

impl Zone {
    /// The zone of an IANA name; UTC without one.
    ///
    /// # Errors
    /// [`CastError::Value`] if there is no such zone.
    pub fn named(timezone: Option<&str>) -> Result<Self, CastError> {
        zone(timezone).map(Self)
    }

    /// The instant that a text says: RFC 3339, or a time or date without a zone, which is read in this one.
    ///
    /// # Errors
    /// [`CastError::Value`] if it is no time, or one that the zone's clocks skip.
    pub fn instant_of(self, text: &str) -> Result<Timestamp, CastError> {
        let (time, named) = Timestamp::parse_with_zone(text).map_err(CastError::value)?;
        if named { Ok(time) } else { instant_in(time.as_nanos(), self.0).map(Timestamp::from_nanos) }
    }
}

fn midnights(days: &ArrayRef, timezone: Option<&str>) -> Result<ArrayRef, CastError> {
    let naive = cast(days, &DataType::Timestamp(TimeUnit::Second, None))?;
    zoned(&naive, TimeUnit::Second, timezone)
}

fn texts(column: &ArrayRef, timezone: Option<&str>) -> Result<TimestampNanosecondArray, CastError> {
    let texts = cast(column, &DataType::Utf8)?;
    let zone = Zone::named(timezone)?;
    let parse = |text: Option<&str>| text.map(|text| zone.instant_of(text).map(Timestamp::as_nanos)).transpose();
    let instants = texts.as_string::<i32>().iter().map(parse).collect::<Result<TimestampNanosecondArray, _>>()?;
    Ok(instants.with_timezone("UTC"))
}

/// Timestamps with a zone, whose instants it does not change, in nanoseconds and UTC.
pub(super) fn instants(column: &ArrayRef, unit: TimeUnit) -> Result<ArrayRef, CastError> {
    converted(column, unit, Ok)
}

/// Timestamps without a zone, read in `timezone`.
pub(super) fn zoned(column: &ArrayRef, unit: TimeUnit, timezone: Option<&str>) -> Result<ArrayRef, CastError> {
    match zone(timezone)? {
        None => converted(column, unit, Ok),
        zone => converted(column, unit, |local| instant_in(local, zone)),
    }
}

/// The zone; `None` for UTC.
fn zone(timezone: Option<&str>) -> Result<Option<Tz>, CastError> {
    let named = timezone.filter(|name| *name != "UTC");
    let parse =
        |name: &str| name.parse::<Tz>().map_err(|_unknown| CastError::value(format!("`{name}` is not a time zone")));
    named.map(parse).transpose()
}

/// The instant at which clocks in `zone` show `local` nanoseconds. Where they show it twice, the first time.
///
/// # Errors
/// [`CastError::Value`] where they never show it.
fn instant_in(local: i64, zone: Option<Tz>) -> Result<i64, CastError> {
    let Some(zone) = zone else { return Ok(local) };
    let naive = DateTime::from_timestamp_nanos(local).naive_utc();
    let instant = match zone.from_local_datetime(&naive) {
        MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => instant,
        MappedLocalTime::None => {
            let shown = naive.format("%Y-%m-%dT%H:%M:%S%.f");
            return Err(CastError::value(format!(
                "{shown} does not exist in {zone}, where clocks were put forward over it: correct the value, or write \
                 the column with its zone"
            )));
        }
    };
    instant.timestamp_nanos_opt().ok_or_else(|| out_of_range(local, TimeUnit::Nanosecond))
}

fn converted(
    column: &ArrayRef,
    unit: TimeUnit,
    instant: impl Fn(i64) -> Result<i64, CastError>,
) -> Result<ArrayRef, CastError> {
    let nanos = match unit {
        TimeUnit::Second => each::<TimestampSecondType>(column, unit, 1_000_000_000, instant),
        TimeUnit::Millisecond => each::<TimestampMillisecondType>(column, unit, 1_000_000, instant),
        TimeUnit::Microsecond => each::<TimestampMicrosecondType>(column, unit, 1_000, instant),
        TimeUnit::Nanosecond => each::<TimestampNanosecondType>(column, unit, 1, instant),
    };
    Ok(Arc::new(nanos?.with_timezone("UTC")))
}

fn each<T: ArrowTimestampType>(
    column: &ArrayRef,
    unit: TimeUnit,
    size: i64,
    instant: impl Fn(i64) -> Result<i64, CastError>,
) -> Result<PrimitiveArray<TimestampNanosecondType>, CastError> {
    let nanos = |ticks: i64| ticks.checked_mul(size).ok_or_else(|| out_of_range(ticks, unit)).and_then(&instant);
    column.as_primitive::<T>().try_unary(nanos)
}

fn out_of_range(ticks: i64, unit: TimeUnit) -> CastError {
    CastError::value(format!("the time {ticks} {unit} from the epoch lies outside the years 1677 to 2262"))
}

#[cfg(test)]
mod tests {
    use chrono::{Duration, Offset};
    use proptest::prelude::*;

    use super::*;

    const ZONES: [Tz; 8] = [
        Tz::America__New_York,
        Tz::Europe__Berlin,
        Tz::Australia__Lord_Howe,
        Tz::Asia__Kolkata,
        Tz::Pacific__Apia,
        Tz::Africa__Casablanca,
        Tz::America__St_Johns,
        Tz::Asia__Tehran,
    ];

    /// Every instant at which clocks show `local`, found by trying the offsets in use around it.
    fn oracle(local: i64, zone: Tz) -> Vec<i64> {
        let offset_at = |nanos: i64| {
            let utc = DateTime::from_timestamp_nanos(nanos).naive_utc();
            i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()) * 1_000_000_000
        };
        let hour = Duration::hours(1).num_nanoseconds().unwrap();
        let mut offsets: Vec<i64> = (-48..=48).map(|h| offset_at(local + h * hour)).collect();
        offsets.sort_unstable();
        offsets.dedup();
        let mut instants: Vec<i64> = offsets.iter().map(|o| local - o).filter(|t| local - t == offset_at(*t)).collect();
        instants.sort_unstable();
        instants
    }

    /// Local times, half of them within a day of a change of clocks.
    fn locals() -> impl Strategy<Value = (i64, Tz)> {
        let zones = proptest::sample::select(ZONES.to_vec());
        // 1950 to 2037, and near the changes of March, April, October and November.
        let any_time = -631_152_000..2_145_916_800_i64;
        let near = (1_970..2_037_i32, proptest::sample::select(vec![3_u32, 4, 10, 11]), 1..31_u32, 0..14_400_i64);
        let near = near.prop_map(|(year, month, day, second)| {
            let day = chrono::NaiveDate::from_ymd_opt(year, month, day.min(30)).unwrap();
            day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp() + second
        });
        let seconds = prop_oneof![any_time, near];
        (seconds, 0..1_000_000_000_i64, zones).prop_map(|(s, nanos, zone)| (s * 1_000_000_000 + nanos, zone))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn a_local_time_is_the_first_instant_that_clocks_show_it((local, zone) in locals()) {
            let found = instant_in(local, Some(zone));
            match oracle(local, zone).first() {
                Some(first) => prop_assert_eq!(found, Ok(*first), "{} {}", local, zone),
                None => prop_assert!(found.unwrap_err().to_string().contains("does not exist in")),
            }
        }
    }

    fn check(text: &str, zone: &str, want: &str) {
        let nanos = Timestamp::parse(text).unwrap().as_nanos();
        let found = instant_in(nanos, Some(zone.parse().unwrap()));
        assert_eq!(found.map_or_else(|why| why.to_string(), |t| Timestamp::from_nanos(t).to_string()), want);
    }

    #[test]
    fn clocks_that_are_changed_skip_and_repeat() {
        check("2024-03-10T01:59:59", "America/New_York", "2024-03-10T06:59:59Z");
        check(
            "2024-03-10T02:30:00",
            "America/New_York",
            "2024-03-10T02:30:00 does not exist in America/New_York, where clocks were put forward over it: correct the \
             value, or write the column with its zone",
        );
        check("2024-11-03T01:30:00", "America/New_York", "2024-11-03T05:30:00Z");
        check("2024-11-03T02:00:00", "America/New_York", "2024-11-03T07:00:00Z");
        // A day that Samoa skipped.
        assert!(
            instant_in(Timestamp::parse("2011-12-30T12:00:00").unwrap().as_nanos(), Some(Tz::Pacific__Apia)).is_err()
        );
    }
}
