//! How many requests may be answered in a way that is only tried: a share of those of the last hour. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The requests of the last hour, by minutes.
#[derive(Debug)]
pub struct Budget {
    share: f64,
    minutes: VecDeque<Minute>,
}

#[derive(Debug)]
struct Minute {
    began: Instant,
    answered: u64,
    tried: u64,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

impl Budget {
    /// Of which a `share`, from 0 to 1, may be tried.
    pub fn of(share: f64) -> Self {
        Self { share, minutes: VecDeque::new() }
    }

    /// So many requests were answered, so many of them in the way that is tried.
    pub fn answered(&mut self, now: Instant, answered: u64, tried: u64) {
        while self.minutes.front().is_some_and(|minute| now.duration_since(minute.began) >= HOUR) {
            self.minutes.pop_front();
        }
        match self.minutes.back_mut().filter(|minute| now.duration_since(minute.began) < MINUTE) {
            Some(minute) => {
                minute.answered += answered;
                minute.tried += tried;
            }
            None => self.minutes.push_back(Minute { began: now, answered, tried }),
        }
    }

    /// Whether `more` requests may be tried, beside those that were.
    #[expect(clippy::cast_precision_loss, reason = "of counts")]
    pub fn allows(&self, more: u64) -> bool {
        let (answered, tried) =
            self.minutes.iter().fold((0, 0), |(all, tried), minute| (all + minute.answered, tried + minute.tried));
        (tried + more) as f64 <= self.share * (answered + more) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_is_a_share_of_the_last_hour() {
        let begun = Instant::now();
        let after = |minutes: u32| begun + MINUTE * minutes;
        let mut budget = Budget::of(0.01);
        assert!(!budget.allows(1), "nothing was answered yet");
        budget.answered(after(0), 10_000, 0);
        assert!(budget.allows(101) && !budget.allows(102));
        budget.answered(after(1), 200, 100);
        assert!(budget.allows(2) && !budget.allows(3));
        // The first minute is over an hour ago, and so is in the end what was tried.
        budget.answered(after(60), 0, 0);
        assert!(!budget.allows(1));
        budget.answered(after(61), 1_000, 0);
        assert!(budget.allows(10));
    }
}
