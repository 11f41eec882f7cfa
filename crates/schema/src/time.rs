//! Time: nanoseconds in UTC, half-open intervals, and the only clock of the product.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeZone, Timelike, Utc};
use serde::{Deserialize, Serialize};

/// An instant: nanoseconds since 1970-01-01T00:00:00Z. Comparisons never truncate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Timestamp(i64);

/// The last second of a day, from midnight, as long as it has no leap second.
const LAST_SECOND: u32 = 86_399;

/// Why a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time: {why}; write RFC 3339, such as 1998-07-01T00:00:00Z")]
pub struct TimeError {
    text: String,
    why: String,
}

impl Timestamp {
    /// The smallest instant. As a created time it counts as none, for that is what it stands for in stored rows.
    pub const MIN: Self = Self(i64::MIN);
    /// The largest instant.
    pub const MAX: Self = Self(i64::MAX);
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// One nanosecond later.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The oldest event time that a row may have to be inside `ttl` at this instant.
    #[must_use]
    pub fn minus(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_sub(ttl.as_nanos()))
    }

    /// Big-endian with the sign flipped: compares as bytes the way instants compare.
    pub fn to_ordered_bytes(self) -> [u8; 8] {
        (self.0 ^ i64::MIN).to_be_bytes()
    }

    /// The inverse of [`Self::to_ordered_bytes`].
    pub fn from_ordered_bytes(bytes: [u8; 8]) -> Self {
        Self(i64::from_be_bytes(bytes) ^ i64::MIN)
    }

    /// Reads RFC 3339, or a naive time or date, which is taken as UTC. A leap second, 23:59:60, is the first second of the
    /// next day, as it is to every clock that counts from 1970 (docs/decisions/0057).
    ///
    /// # Errors
    /// [`TimeError`] if it is neither, or lies outside 1677 to 2262, the range of 64-bit nanoseconds.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        Self::parse_with_zone(text).map(|(time, _)| time)
    }

    /// As [`Self::parse`], and whether the text named its zone.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_with_zone(text: &str) -> Result<(Self, bool), TimeError> {
        let fail = |why: &str| TimeError { text: text.escape_debug().to_string(), why: why.to_owned() };
        let zoned = DateTime::parse_from_rfc3339(text);
        let named = zoned.is_ok();
        let utc = if let Ok(zoned) = zoned {
            zoned.with_timezone(&Utc)
        } else if let Some(naive) = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        {
            naive.and_utc()
        } else if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            date.and_time(chrono::NaiveTime::MIN).and_utc()
        } else {
            return Err(fail("it has another form"));
        };
        if let Some((_, fraction)) = text.split_once('.')
            && fraction.bytes().take_while(u8::is_ascii_digit).skip(9).any(|digit| digit != b'0')
        {
            return Err(fail("it is finer than nanoseconds"));
        }
        if utc.timestamp_subsec_nanos() >= 1_000_000_000 && utc.num_seconds_from_midnight() != LAST_SECOND {
            return Err(fail("only the last minute of a day in UTC has a second 60"));
        }
        utc.timestamp_nanos_opt()
            .map(|nanos| (Self(nanos), named))
            .ok_or_else(|| fail("it lies outside the years 1677 to 2262"))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with `Z`; a fraction only where there is one, of 3, 6 or 9 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, length) = self.digits();
        // They are digits and signs.
        f.write_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
    }
}

impl Timestamp {
    /// As [`Self::fmt`] writes it, and how much of it is written. Every answer has some: the general way of writing a time
    /// takes longer than the rest of a small one.
    fn digits(self) -> ([u8; 30], usize) {
        let at = Utc.timestamp_nanos(self.0);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        let mut put = |from: usize, to: usize, mut number: u32| {
            for digit in text[from..to].iter_mut().rev() {
                // One of ten.
                *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        };
        // 64 bits of nanoseconds are the years 1677 to 2262.
        put(0, 4, at.year().unsigned_abs());
        put(5, 7, at.month());
        put(8, 10, at.day());
        put(11, 13, at.hour());
        put(14, 16, at.minute());
        put(17, 19, at.second());
        let nanos = at.nanosecond();
        put(20, 29, nanos);
        let length = match nanos {
            0 => 20,
            _ if nanos.is_multiple_of(1_000_000) => 24,
            _ if nanos.is_multiple_of(1_000) => 27,
            _ => 30,
        };
        text[length - 1] = b'Z';
        (text, length)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimeError;
    fn try_from(text: String) -> Result<Self, TimeError> {
        Self::parse(&text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let (text, length) = self.digits();
        out.serialize_str(std::str::from_utf8(&text[..length]).unwrap_or_default())
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        Self::parse(text)
    }
}

/// How long a row stays good, in nanoseconds; more than zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ttl(i64);

const UNITS: [(&str, i64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Ttl {
    /// From nanoseconds; `None` unless positive.
    pub fn from_nanos(nanos: i64) -> Option<Self> {
        (nanos > 0).then_some(Self(nanos))
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Reads `365d`, `12h`, `30m`, `10s`, `250ms`, or a sum such as `1d12h`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = |why: &str| format!("`{text}` is not a duration: {why}; write for example 365d, 12h, 30m or 1d12h");
        let mut rest = text.trim();
        let mut total: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, tail) = tail.split_at(letters);
            let number: i64 = number.parse().map_err(|_no_number| fail("it needs a number before each unit"))?;
            let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| fail("it needs a unit"))?;
            total = number
                .checked_mul(*size)
                .and_then(|part| total.checked_add(part))
                .ok_or_else(|| fail("it is longer than 292 years"))?;
            rest = tail;
        }
        Self::from_nanos(total).ok_or_else(|| fail("it must be more than zero"))
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        // Weeks are read but not written: nobody says 52w1d.
        for (name, size) in &UNITS[1..] {
            if rest >= *size {
                write!(f, "{}{name}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Ttl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Ttl> for String {
    fn from(ttl: Ttl) -> Self {
        ttl.to_string()
    }
}

/// Where "now" comes from. Nothing else in the product reads the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A fixed instant: demos and backtests own the time, and every answer says so.
    Fixed(Timestamp),
}

impl Clock {
    /// The present instant.
    pub fn now(self) -> Timestamp {
        match self {
            Self::System => Self::wall(),
            Self::Fixed(time) => time,
        }
    }

    /// The machine's time, also under a fixed clock: for "when was this written", never for features.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else takes")]
    pub fn wall() -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Whether a project fixed it.
    pub fn is_fixed(self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), want);
    }

    #[test]
    fn naive_is_utc_and_zones_are_honoured() {
        check("2024-01-01T12:00:00Z", "2024-01-01T12:00:00Z");
        check("2024-01-01T07:00:00-05:00", "2024-01-01T12:00:00Z");
        check("2024-01-01 12:00:00.5", "2024-01-01T12:00:00.500Z");
        check("2024-01-01", "2024-01-01T00:00:00Z");
        check("2024-01-01T12:00:00.000000001Z", "2024-01-01T12:00:00.000000001Z");
        check("2024-01-01T12:00:00.00000000100Z", "2024-01-01T12:00:00.000000001Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in ["", "noon", "12", "2024-13-01", "3000-01-01T00:00:00Z", "2024-01-01T12:00:00.0000000001Z"] {
            assert!(Timestamp::parse(bad).is_err(), "{bad}");
        }
    }

    /// FT 39.
    #[test]
    fn instants_are_written_as_the_calendar_writes_them() {
        let written = |nanos: i64| {
            let wanted = Utc.timestamp_nanos(nanos).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
            let time = Timestamp::from_nanos(nanos);
            assert_eq!(time.to_string(), wanted);
            assert_eq!(serde_json::to_string(&time).unwrap(), format!("\"{wanted}\""));
        };
        for nanos in [i64::MIN, i64::MIN + 1, -1, 0, 1, 1_000, 1_000_000, 999_999_999, 86_400_000_000_000, i64::MAX] {
            written(nanos);
        }
        proptest::proptest!(|(nanos: i64, coarse in -9_000_000_000..9_000_000_000_i64, unit in proptest::sample::select(vec![1_000_000_000, 1_000_000, 1_000, 1]))| {
            written(nanos);
            written(coarse * unit);
        });
    }

    #[test]
    fn a_leap_second_is_the_first_of_the_next_day() {
        check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
        check("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500Z");
        check("2016-12-31T18:59:60-05:00", "2017-01-01T00:00:00Z");
        check("2016-12-31 23:59:60", "2017-01-01T00:00:00Z");
        check("1969-12-31T23:59:60Z", "1970-01-01T00:00:00Z");
        check("1968-12-31T23:59:60.25Z", "1969-01-01T00:00:00.250Z");
        for bad in ["2016-12-31T12:00:60Z", "2016-12-31T23:58:60Z", "2016-12-31T23:59:60-05:00", "2016-12-31T12:00:60"]
        {
            let why = Timestamp::parse(bad).unwrap_err().to_string();
            assert!(why.contains(bad) && why.contains("only the last minute of a day in UTC has a second 60"), "{why}");
        }
        assert!(Timestamp::parse("2016-12-31T23:59:61Z").is_err());
    }

    /// FT 39: before the epoch, beyond the seconds that 32 bits hold, and to the ends of the range.
    #[test]
    fn instants_before_1970_and_after_2038_are_like_any_other() {
        let ends = ["1677-09-21T00:12:43.145224192Z", "2262-04-11T23:47:16.854775807Z"];
        let others =
            ["1900-02-28T23:59:59Z", "1969-12-31T23:59:59.999999999Z", "2038-01-19T03:14:08Z", "2106-02-07T06:28:16Z"];
        let mut times: Vec<Timestamp> =
            ends.into_iter().chain(others).map(|text| Timestamp::parse(text).unwrap()).collect();
        for (text, time) in ends.into_iter().chain(others).zip(&times) {
            assert_eq!(time.to_string(), text);
            assert_eq!(Timestamp::from_ordered_bytes(time.to_ordered_bytes()), *time);
        }
        assert_eq!((times[0], times[1]), (Timestamp::MIN, Timestamp::MAX));
        times.sort_unstable();
        let bytes: Vec<_> = times.iter().map(|time| time.to_ordered_bytes()).collect();
        assert!(bytes.is_sorted(), "as bytes they compare as they do");
        // A ttl that reaches beyond the range ends at it.
        assert_eq!(Timestamp::MIN.next().minus(Ttl::parse("1d").unwrap()), Timestamp::MIN);
        for beyond in ["1677-09-21T00:12:43.145224191Z", "2262-04-11T23:47:16.854775808Z"] {
            assert!(Timestamp::parse(beyond).unwrap_err().to_string().contains("1677 to 2262"), "{beyond}");
        }
    }

    #[test]
    fn durations_read_and_write() {
        for (text, want) in [("365d", "365d"), ("1d12h", "1d12h"), ("2w", "14d"), ("1500ms", "1s500ms")] {
            assert_eq!(Ttl::parse(text).unwrap().to_string(), want);
        }
        for bad in ["", "0d", "5", "d", "1y", "-1d", "99999999999w"] {
            assert!(Ttl::parse(bad).is_err(), "{bad}");
        }
    }
}
