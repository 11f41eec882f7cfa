//! Days: text to and from days since the epoch, over the whole range of 32 bits.

use std::fmt;

use crate::time::Timestamp;

/// A day of the Gregorian calendar, before its invention too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub i32);

/// Days in the 400 years after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// From 0000-03-01 to the epoch.
const EPOCH_DAYS: i64 = 719_468;

impl Date {
    /// The day that begins at this instant; `None` for one within a day.
    pub fn of_midnight(instant: Timestamp) -> Option<Self> {
        const DAY_NANOS: i64 = 86_400_000_000_000;
        let nanos = instant.as_nanos();
        (nanos.rem_euclid(DAY_NANOS) == 0).then(|| i32::try_from(nanos.div_euclid(DAY_NANOS)).ok().map(Self)).flatten()
    }

    /// Reads `YYYY-MM-DD`; years beyond four digits carry a sign.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.as_bytes().first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let mut parts = digits.split('-');
        let mut part = |digits: std::ops::RangeInclusive<usize>| {
            let part = parts.next()?;
            let plain = digits.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse::<i64>().ok()).flatten()
        };
        let (year, month, day) = (sign * part(4..=7)?, part(2..=2)?, part(2..=2)?);
        if parts.next().is_some() || !(1..=12).contains(&month) {
            return None;
        }
        let days = days_from_civil(year, month, day);
        // A day that its month does not have comes back as another.
        (civil_from_days(days) == (year, month, day)).then(|| i32::try_from(days).ok().map(Self)).flatten()
    }
}

/// Years start in March, so the leap day is their last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - EPOCH_DAYS
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl fmt::Display for Date {
    /// ISO 8601: `2024-02-29`; years outside 0 to 9999 with a sign.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(i64::from(self.0));
        match year {
            0..=9_999 => write!(f, "{year:04}-{month:02}-{day:02}"),
            year => write!(f, "{year:+05}-{month:02}-{day:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_day_reads_and_writes(days in any::<i32>()) {
            prop_assert_eq!(Date::parse(&Date(days).to_string()), Some(Date(days)));
        }

        #[test]
        fn days_are_those_of_the_calendar(days in -3_000_000_i32..3_000_000) {
            let calendar = NaiveDate::from_epoch_days(days).unwrap();
            prop_assert_eq!(Date(days).to_string(), calendar.to_string());
        }
    }

    #[test]
    fn a_midnight_is_the_day_that_begins() {
        let day = |text: &str| Date::of_midnight(Timestamp::parse(text).unwrap()).map(|day| day.to_string());
        assert_eq!(day("1969-12-31T00:00:00Z").as_deref(), Some("1969-12-31"));
        assert_eq!(day("1970-01-01T00:00:00.000000001Z"), None);
        assert_eq!(day("1969-12-31T23:59:59.999999999Z"), None);
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in ["", "2023-02-29", "2024-13-01", "2024-1-1", "2024-01-01x", "24-01-01", "2024-01-01-01", "-", "+é"]
        {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }
}
