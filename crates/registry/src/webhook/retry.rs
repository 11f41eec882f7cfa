//! When a delivery that failed is tried again, and when it is given up. Pure: time and chance come in.
//!
//! MLflow tries three times within seconds and forgets. What is sent here is in the log and stays there, so it is tried
//! until a receiver that broke on a Friday evening was looked at on Monday (docs/decisions/0076).

use std::time::Duration;

/// How often an event is sent before it is given up: three days and some hours of trying.
pub const ATTEMPTS_MAX: u32 = 84;
/// Before the second attempt; twice as long before each that follows.
const FIRST: Duration = Duration::from_secs(1);
/// No longer than this between two attempts.
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// A receiver may ask for more than that, and not for more than this.
const ASKED_MAX: Duration = Duration::from_hours(24);

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The receiver took it.
    Taken {
        /// What it answered.
        status: u16,
    },
    /// It may take it later: it was not there, or said so.
    Failed {
        /// What it answered, if it did.
        status: Option<u16>,
        /// What went wrong.
        why: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It does not take it, and will not.
    Refused {
        /// What it answered.
        status: u16,
        /// In words.
        why: String,
    },
}

/// What comes of the attempts so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The event is done with: the next one is due.
    Done,
    /// It is tried again after this.
    Again(Duration),
    /// It is not tried any more: the next one is due.
    GaveUp,
}

impl Attempt {
    /// What an answer's status means: 429, 500, 502, 503 and 504 pass, what else is not 2xx does not.
    pub fn of_status(status: u16, why: impl FnOnce() -> String, retry_after: Option<Duration>) -> Self {
        match status {
            200..=299 => Self::Taken { status },
            429 | 500 | 502 | 503 | 504 => Self::Failed { status: Some(status), why: why(), retry_after },
            _ => Self::Refused { status, why: why() },
        }
    }

    /// What follows it, being attempt number `attempts` from 1. `chance` is any number: it spreads those that failed together.
    pub fn next(&self, attempts: u32, chance: u64) -> Next {
        match self {
            Self::Taken { .. } | Self::Refused { .. } => Next::Done,
            Self::Failed { .. } if attempts >= ATTEMPTS_MAX => Next::GaveUp,
            Self::Failed { retry_after, .. } => Next::Again(pause(attempts, *retry_after, chance)),
        }
    }
}

/// After `attempts` attempts: doubled each time, up to a quarter longer, and never shorter than the receiver asks.
fn pause(attempts: u32, retry_after: Option<Duration>, chance: u64) -> Duration {
    let doubled =
        FIRST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    let quarter = u64::try_from(doubled.as_millis() / 4).unwrap_or(u64::MAX).max(1);
    let own = doubled + Duration::from_millis(chance % quarter);
    retry_after.map_or(own, |asked| own.max(asked.min(ASKED_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(retry_after: Option<u64>) -> Attempt {
        Attempt::Failed { status: None, why: String::new(), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn what_an_answer_means() {
        for (status, want) in [
            (200, "taken"),
            (204, "taken"),
            (299, "taken"),
            (301, "refused"),
            (307, "refused"),
            (400, "refused"),
            (401, "refused"),
            (404, "refused"),
            (408, "refused"),
            (410, "refused"),
            (429, "failed"),
            (500, "failed"),
            (501, "refused"),
            (502, "failed"),
            (503, "failed"),
            (504, "failed"),
            (505, "refused"),
            (199, "refused"),
        ] {
            let got = match Attempt::of_status(status, String::new, None) {
                Attempt::Taken { .. } => "taken",
                Attempt::Failed { .. } => "failed",
                Attempt::Refused { .. } => "refused",
            };
            assert_eq!(got, want, "{status}");
        }
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_end() {
        let seconds = |attempts, asked| match failed(asked).next(attempts, 0) {
            Next::Again(pause) => pause.as_secs(),
            Next::Done | Next::GaveUp => panic!("it goes on"),
        };
        for (attempts, want) in [(1, 1), (2, 2), (3, 4), (10, 512), (12, 2048), (13, 3600), (64, 3600), (83, 3600)] {
            assert_eq!(seconds(attempts, None), want, "after {attempts}");
        }
        for (asked, want) in [(0, 1), (1, 1), (7, 7), (7200, 7200), (10_000_000, 86_400)] {
            assert_eq!(seconds(1, Some(asked)), want, "asked for {asked}");
        }
        assert_eq!(failed(None).next(ATTEMPTS_MAX, 0), Next::GaveUp);
        let days: u64 = (1..ATTEMPTS_MAX).map(|attempts| seconds(attempts, None)).sum();
        assert!((3 * 86_400..4 * 86_400).contains(&days), "a weekend and a morning: {days} s");
    }

    #[test]
    fn chance_makes_a_pause_longer_by_less_than_a_quarter() {
        for chance in [0, 1, 249, 250, u64::MAX] {
            let Next::Again(pause) = failed(None).next(1, chance) else { panic!("it goes on") };
            assert!((1_000..1_250).contains(&pause.as_millis()), "{chance}: {pause:?}");
        }
        assert_ne!(failed(None).next(5, 1), failed(None).next(5, 2));
    }

    #[test]
    fn what_was_taken_or_refused_is_done() {
        assert_eq!(Attempt::Taken { status: 200 }.next(1, 0), Next::Done);
        assert_eq!(Attempt::Refused { status: 410, why: String::new() }.next(1, 0), Next::Done);
    }
}
