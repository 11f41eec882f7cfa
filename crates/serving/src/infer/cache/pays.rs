//! Whether a cache saves more than it costs. Pure: times come in as arguments.

use std::time::{Duration, Instant};

/// What was looked up lately.
#[derive(Debug)]
pub(super) struct Pays {
    lookups: u32,
    /// Windows in which it was filled still.
    filling: u32,
    /// Nanoseconds that looking up and keeping took.
    cost: u64,
    /// Nanoseconds that the runs would have taken.
    saved: u64,
    /// Till when nothing is looked up, since it did not pay.
    off_until: Option<Instant>,
    /// How long it stays off the next time.
    rest: Duration,
}

/// Lookups after which it is judged.
const WINDOW: u32 = 2_048;
/// Windows after which it is judged though it is filled still.
const FILLING: u32 = 64;
/// How long it rests first; twice as long each time that it did not pay again.
const REST: Duration = Duration::from_secs(60);
const REST_MAX: Duration = Duration::from_secs(3600);

/// What comes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// It goes on.
    On,
    /// It is off from here on.
    Off,
}

impl Default for Pays {
    fn default() -> Self {
        Self { lookups: 0, filling: 0, cost: 0, saved: 0, off_until: None, rest: REST }
    }
}

impl Pays {
    /// Whether anything is looked up now. After a rest it is tried again.
    pub(super) fn is_on(&mut self, now: Instant) -> bool {
        match self.off_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.off_until = None;
                true
            }
            None => true,
        }
    }

    /// A lookup that took so long, and found the answer of a run that takes `saved`, or none. While a cache fills it finds less than
    /// it will: that is not held against it for a while.
    pub(super) fn looked_up(
        &mut self,
        now: Instant,
        cost: Duration,
        saved: Option<Duration>,
        is_filling: impl FnOnce() -> bool,
    ) -> Judged {
        self.lookups += 1;
        self.cost = self.cost.saturating_add(nanos(cost));
        self.saved = self.saved.saturating_add(saved.map_or(0, nanos));
        if self.lookups < WINDOW {
            return Judged::On;
        }
        let pays = self.saved >= self.cost;
        (self.lookups, self.cost, self.saved) = (0, 0, 0);
        if !pays && self.filling < FILLING && is_filling() {
            self.filling += 1;
            return Judged::On;
        }
        if pays {
            self.rest = REST;
            return Judged::On;
        }
        self.off_until = now.checked_add(self.rest);
        self.rest = REST_MAX.min(self.rest * 2);
        Judged::Off
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Duration = Duration::from_nanos(500);

    /// Windows of lookups, of which so many in a hundred are found: whether it is on after each.
    fn windows(pays: &mut Pays, now: Instant, n: u32, percent: u32, run: Duration) -> Judged {
        let mut judged = Judged::On;
        for at in 0..n * WINDOW {
            let found = (at % 100 < percent).then_some(run);
            judged = pays.looked_up(now, COST, found, || false);
        }
        judged
    }

    #[test]
    fn what_saves_more_than_it_costs_stays() {
        let (mut pays, now) = (Pays::default(), Instant::now());
        // One in ten of runs of ten microseconds: twice what looking costs.
        assert_eq!(windows(&mut pays, now, 5, 10, Duration::from_micros(10)), Judged::On);
        assert!(pays.is_on(now));
    }

    #[test]
    fn what_is_filled_still_is_not_judged_for_a_while() {
        let (mut pays, now) = (Pays::default(), Instant::now());
        let judged: Vec<Judged> = (0..WINDOW * 70).map(|_| pays.looked_up(now, COST, None, || true)).collect();
        let first = judged.iter().position(|judged| *judged == Judged::Off).unwrap();
        assert_eq!(u32::try_from(first).unwrap() + 1, WINDOW * (FILLING + 1));
    }

    #[test]
    fn what_does_not_pay_rests_longer_each_time() {
        let (mut pays, now) = (Pays::default(), Instant::now());
        assert_eq!(windows(&mut pays, now, 1, 1, Duration::from_micros(10)), Judged::Off);
        assert!(!pays.is_on(now) && !pays.is_on(now + REST - COST));
        let later = now + REST;
        assert!(pays.is_on(later));
        assert_eq!(windows(&mut pays, later, 1, 0, Duration::ZERO), Judged::Off);
        assert!(!pays.is_on(later + REST) && pays.is_on(later + REST * 2));
        // Once it pays the next rest is short again.
        let later = later + REST * 2;
        assert_eq!(windows(&mut pays, later, 1, 50, Duration::from_micros(10)), Judged::On);
        assert_eq!(windows(&mut pays, later, 1, 0, Duration::ZERO), Judged::Off);
        assert!(pays.is_on(later + REST));
    }
}
