//! What a version has answered since the server started: requests, rows, runs, and the time that each part took.
//!
//! Every number only grows. A request's times are those of the run that it was part of; runs are counted by their size
//! besides, so rows over runs is the mean batch.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schema::Timestamp;

/// Counts of one version.
#[derive(Debug, Default)]
pub struct Statistics {
    counts: Mutex<Snapshot>,
}

/// The counts at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When the last request was answered.
    pub last_inference: Option<Timestamp>,
    /// Rows that were answered.
    pub rows: u64,
    /// Runs of the model.
    pub runs: u64,
    /// Requests that were answered, and the time from their arrival to their answer.
    pub success: Tally,
    /// Requests that were not, likewise.
    pub fail: Tally,
    /// What answered requests waited for a session.
    pub queue: Tally,
    /// What their tensors took into the runtime.
    pub input: Tally,
    /// What their runs took.
    pub infer: Tally,
    /// What the answers took out of the runtime.
    pub output: Tally,
    /// Of requests that were looked for among answers of before, those that were found there, and what that took.
    pub cache_hit: Tally,
    /// Those that were not.
    pub cache_miss: Tally,
    /// Runs by how many rows they had.
    pub batches: BTreeMap<usize, Batch>,
}

/// Runs of one size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// What tensors took into the runtime.
    pub input: Tally,
    /// What the runs took.
    pub infer: Tally,
    /// What the answers took out of the runtime.
    pub output: Tally,
}

/// How often, and how long together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Times.
    pub count: u64,
    /// Nanoseconds.
    pub ns: u64,
}

/// How long the parts of one run took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Tensors into the runtime.
    pub input: Duration,
    /// The run.
    pub infer: Duration,
    /// Answers out of the runtime.
    pub output: Duration,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// Its rows.
    pub rows: usize,
    /// From its arrival to its answer.
    pub total: Duration,
    /// What it waited for a session.
    pub queue: Duration,
    /// The run that it was part of.
    pub run: Timings,
    /// When.
    pub at: Timestamp,
}

// === impl Statistics ===

impl Statistics {
    /// The model ran `rows` rows at once.
    pub fn ran(&self, rows: usize, took: Timings) {
        self.with(|counts| {
            counts.runs += 1;
            let batch = counts.batches.entry(rows).or_default();
            batch.input.add(took.input);
            batch.infer.add(took.infer);
            batch.output.add(took.output);
        });
    }

    /// A request was answered.
    pub fn answered(&self, told: Told) {
        self.with(|counts| {
            counts.rows += u64::try_from(told.rows).unwrap_or(u64::MAX);
            counts.last_inference = counts.last_inference.max(Some(told.at));
            counts.success.add(told.total);
            counts.queue.add(told.queue);
            counts.input.add(told.run.input);
            counts.infer.add(told.run.infer);
            counts.output.add(told.run.output);
        });
    }

    /// A request was found among answers of before: nothing ran for it.
    pub fn answered_again(&self, told: Told) {
        self.with(|counts| {
            counts.rows += u64::try_from(told.rows).unwrap_or(u64::MAX);
            counts.last_inference = counts.last_inference.max(Some(told.at));
            counts.success.add(told.total);
            counts.cache_hit.add(told.total);
        });
    }

    /// A request was looked for among answers of before for so long, and is one of them from here on.
    pub fn kept(&self, looked: Duration) {
        self.with(|counts| counts.cache_miss.add(looked));
    }

    /// A request failed, so long after its arrival.
    pub fn failed(&self, total: Duration) {
        self.with(|counts| counts.fail.add(total));
    }

    /// The counts of now.
    pub fn snapshot(&self) -> Snapshot {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with(&self, count: impl FnOnce(&mut Snapshot)) {
        count(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

// === impl Tally ===

impl Tally {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.ns = self.ns.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_over_runs_is_the_mean_batch() {
        let statistics = Statistics::default();
        let ns = Duration::from_nanos;
        let run = Timings { input: ns(1), infer: ns(20), output: ns(3) };
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        // Two requests that shared a run, and one alone.
        statistics.ran(3, run);
        for (rows, at) in [(1, at(2)), (2, at(1))] {
            statistics.answered(Told { rows, total: ns(50), queue: ns(10), run, at });
        }
        statistics.ran(1, run);
        statistics.answered(Told { rows: 1, total: ns(30), queue: ns(0), run, at: at(1) });
        statistics.failed(ns(7));
        let counts = statistics.snapshot();
        assert_eq!((counts.rows, counts.runs, counts.last_inference), (4, 2, Some(at(2))));
        assert_eq!((counts.success, counts.fail), (Tally { count: 3, ns: 130 }, Tally { count: 1, ns: 7 }));
        assert_eq!((counts.queue, counts.infer), (Tally { count: 3, ns: 20 }, Tally { count: 3, ns: 60 }));
        let sizes: Vec<(usize, u64)> = counts.batches.iter().map(|(rows, batch)| (*rows, batch.infer.count)).collect();
        assert_eq!(sizes, [(1, 1), (3, 1)]);
    }
}
