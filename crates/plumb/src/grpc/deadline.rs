//! `grpc-timeout`: how long a client waits, as it says in each call.

use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;

/// By when the client wants its answer. What is no timeout says nothing, as the protocol has it for metadata that is not
/// known.
pub(super) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let value = metadata.get("grpc-timeout")?.to_str().ok()?;
    Instant::now().checked_add(timeout(value)?)
}

/// At most eight digits and a unit.
fn timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (value, want) in [
            ("2H", Some(7_200_000_000_000)),
            ("3M", Some(180_000_000_000)),
            ("4S", Some(4_000_000_000)),
            ("5m", Some(5_000_000)),
            ("6u", Some(6_000)),
            ("7n", Some(7)),
            ("99999999H", Some(359_999_996_400_000_000_000_u128)),
            ("100000000n", None),
            ("5", None),
            ("m", None),
            ("", None),
            ("-5m", None),
            ("5 m", None),
            ("5x", None),
            ("5ä", None),
        ] {
            assert_eq!(timeout(value).map(|timeout| timeout.as_nanos()), want, "{value}");
        }
    }
}
