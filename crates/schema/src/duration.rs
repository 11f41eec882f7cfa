//! Durations: nanoseconds with a sign, ISO 8601 as text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A span of time in nanoseconds; about 292 years either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(i64);

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no duration; write ISO 8601 in days and less, such as PT1H30M or -PT0.5S")]
pub struct DurationError {
    text: String,
}

const SECOND: i128 = 1_000_000_000;

impl Duration {
    /// So many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Reads ISO 8601 with days, hours, minutes and seconds: a month has no length.
    ///
    /// # Errors
    /// [`DurationError`], also for what lies outside 64 bits of nanoseconds.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        parse(text).map(Self).ok_or_else(|| DurationError { text: text.escape_debug().to_string() })
    }
}

fn parse(text: &str) -> Option<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let rest = rest.strip_prefix('P')?;
    let (days, clock) = rest.split_once('T').map_or((rest, None), |(days, clock)| (days, Some(clock)));
    let mut nanos: i128 = 0;
    let mut parts = 0;
    let mut add = |rest: &mut &str, unit: char, size: i128| -> Option<()> {
        let Some(end) = rest.find(unit) else { return Some(()) };
        nanos = nanos.checked_add(number(&rest[..end], size, unit == 'S')?)?;
        *rest = &rest[end + 1..];
        parts += 1;
        Some(())
    };
    let mut days = days;
    add(&mut days, 'D', 86_400 * SECOND)?;
    let mut clock_left = clock.unwrap_or_default();
    for (unit, seconds) in [('H', 3_600), ('M', 60), ('S', 1)] {
        add(&mut clock_left, unit, seconds * SECOND)?;
    }
    let whole = parts > 0 && days.is_empty() && clock_left.is_empty() && clock != Some("");
    whole.then(|| i64::try_from(sign * nanos).ok()).flatten()
}

/// Digits, for seconds with up to nine more after a point.
fn number(text: &str, size: i128, fraction: bool) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let pointed = text.contains('.');
    if whole.is_empty() || !digits(whole) || !digits(part) || pointed && (!fraction || !(1..=9).contains(&part.len())) {
        return None;
    }
    let part: i128 = format!("{part:0<9}").parse().ok()?;
    whole.parse::<i128>().ok()?.checked_mul(size)?.checked_add(part)
}

impl fmt::Display for Duration {
    /// ISO 8601 in seconds, with the fraction's digits that there are: `PT5400S`, `-PT0.5S`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        let (seconds, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let sign = if self.0 < 0 { "-" } else { "" };
        if part == 0 {
            return write!(f, "{sign}PT{seconds}S");
        }
        let part = format!("{part:09}");
        write!(f, "{sign}PT{seconds}.{}S", part.trim_end_matches('0'))
    }
}

impl TryFrom<String> for Duration {
    type Error = DurationError;
    fn try_from(text: String) -> Result<Self, DurationError> {
        Self::parse(&text)
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_duration_reads_and_writes(nanos in prop_oneof![any::<i64>(), -9..9_i64, Just(i64::MIN)]) {
            let text = Duration::from_nanos(nanos).to_string();
            prop_assert_eq!(Duration::parse(&text).map(Duration::as_nanos), Ok(nanos), "{}", text);
        }
    }

    #[test]
    fn days_hours_and_minutes_are_read() {
        for (text, want) in [
            ("PT1H30M", "PT5400S"),
            ("P1DT2H3M4.5S", "PT93784.5S"),
            ("-PT0.000000001S", "-PT0.000000001S"),
            ("P2D", "PT172800S"),
            ("PT0S", "PT0S"),
        ] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), want);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "P", "PT", "P1DT", "1h", "P1M", "P1Y", "PT1.5H", "PT1M2H", "PT.5S", "PT1.S", "PT9999999999S"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }
}
