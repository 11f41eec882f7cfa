//! How long requests took, in buckets: eight to each doubling, so that a quantile is right within an eighth.
//!
//! Of constant size, and one addition a request. What two looks differ by is what happened between them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of a doubling, as a power of two.
const FINE: u32 = 3;
/// All of them: of nanoseconds as 64 bits count them, and one for what was never answered.
const BUCKETS: usize = (64 << FINE) + 1;

/// Counts of one version.
pub struct Latencies {
    counts: Box<[AtomicU64]>,
}

/// The counts at one instant, or of a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    counts: Vec<u64>,
}

// === impl Latencies ===

impl Latencies {
    /// A request was answered after so long.
    pub fn answered(&self, took: Duration) {
        self.counts[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// A request was not answered, which is later than any answer.
    pub fn failed(&self) {
        self.counts[BUCKETS - 1].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts of now.
    pub fn snapshot(&self) -> Spread {
        Spread { counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect() }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} latencies", self.snapshot().n())
    }
}

// === impl Spread ===

impl Default for Spread {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS] }
    }
}

impl Spread {
    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then));
        Self { counts: counts.collect() }
    }

    /// These and those.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self { counts: self.counts.iter().zip(&other.counts).map(|(one, other)| one + other).collect() }
    }

    /// How many requests.
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many took longer than any of the bucket that `than` is in.
    pub fn beyond(&self, than: Duration) -> u64 {
        self.counts[bucket(than) + 1..].iter().sum()
    }

    /// What a share `q` of the requests took at most, as the end of a bucket; nothing of no request, or where that many were
    /// not answered.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let mut rest = rank(q, self.n());
        let at = self.counts.iter().position(|count| {
            let is_here = rest <= *count && *count > 0;
            rest = rest.saturating_sub(*count);
            is_here
        });
        at.filter(|at| *at < BUCKETS - 1).map(end)
    }
}

/// The place of a quantile among `n` that are in order, from one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "of counts")]
fn rank(q: f64, n: u64) -> u64 {
    ((q * n as f64).ceil() as u64).max(1)
}

fn bucket(took: Duration) -> usize {
    let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
    let doubling = ns.ilog2();
    let within = if doubling >= FINE { ns >> (doubling - FINE) } else { ns << (FINE - doubling) };
    let at = (u64::from(doubling) << FINE) + (within & ((1 << FINE) - 1));
    usize::try_from(at).unwrap_or(BUCKETS - 2)
}

/// The longest time that is in a bucket.
fn end(at: usize) -> Duration {
    let at = u32::try_from(at).unwrap_or(u32::MAX);
    let (doubling, within) = (at >> FINE, u64::from(at & ((1 << FINE) - 1)));
    let (begins, ends) = (u128::from((1 << FINE) + within), u128::from((1 << FINE) + within + 1));
    // The first few nanoseconds have a bucket each.
    let ns = if doubling < FINE { (begins << doubling) >> FINE } else { ((ends << doubling) >> FINE) - 1 };
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_ends_within_an_eighth_of_what_is_in_it(ns in prop_oneof![1..100_u64, 1..u64::MAX / 2]) {
            let took = Duration::from_nanos(ns);
            let end = end(bucket(took));
            prop_assert!(end >= took && bucket(end) == bucket(took));
            prop_assert!(end.as_secs_f64() <= took.as_secs_f64() * 1.125 + 1e-9, "{:?} {:?}", took, end);
        }

        #[test]
        fn quantiles_are_those_of_the_list(mut all in prop::collection::vec(1..10_000_000_u64, 1..200), q in 0.0..1.0_f64) {
            let latencies = Latencies::default();
            all.iter().for_each(|ns| latencies.answered(Duration::from_nanos(*ns)));
            all.sort_unstable();
            let at = rank(q, all.len() as u64);
            let exact = Duration::from_nanos(all[usize::try_from(at).unwrap() - 1]);
            let spread = latencies.snapshot();
            let found = spread.quantile(q).unwrap();
            prop_assert_eq!(bucket(found), bucket(exact));
            prop_assert_eq!(spread.beyond(found), all.iter().filter(|ns| Duration::from_nanos(**ns) > found).count() as u64);
        }
    }

    #[test]
    fn what_was_not_answered_is_later_than_anything() {
        let latencies = Latencies::default();
        latencies.answered(Duration::from_millis(1));
        let before = latencies.snapshot();
        latencies.failed();
        latencies.answered(Duration::from_millis(5));
        let since = latencies.snapshot().since(&before);
        assert_eq!(
            (since.n(), since.beyond(Duration::from_secs(3600)), since.beyond(Duration::from_millis(1))),
            (2, 1, 2)
        );
        assert_eq!((since.quantile(1.0), Spread::default().quantile(0.5)), (None, None));
        assert_eq!(since.with(&before), latencies.snapshot());
    }
}
