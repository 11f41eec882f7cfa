//! How long a model takes for so many rows, and how many at once are worth it. Pure.
//!
//! Sizes are in buckets, each up to a power of two. Of each the mean time is kept, newer runs counting more, and how far runs
//! are from it; one that the machine held up counts as a slow one, not as what it was. More rows never take less: where
//! measurements say so, the older one is wrong by now. The knee is the size with the most rows a second; past it, more company
//! is a longer wait for everybody.

use std::time::Duration;

/// Times of one model.
#[derive(Debug, Clone)]
pub struct Pace {
    buckets: [Bucket; BUCKETS],
    /// Seconds that a run of each size takes: never less than of a smaller one.
    fitted: [Option<f64>; BUCKETS],
    /// Runs so far.
    runs: u64,
    rows_max: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Seconds.
    mean: f64,
    /// Rows of its runs.
    rows: f64,
    /// The mean distance from the mean, in seconds.
    apart: f64,
    runs: u32,
    /// Which run was the last of this size.
    last: u64,
}

/// Sizes up to 1, 2, 4 ... 4096 rows.
const BUCKETS: usize = 13;
/// How much the newest run counts.
const NEWEST: f64 = 0.1;
/// So many runs of a size say how long it takes.
const RUNS_MIN: u32 = 3;
/// Rows a second that a larger size must have more than a smaller one.
const WORTH: f64 = 1.03;
/// A run counts as no longer than so many usual ones: what held it up was the machine.
const OUTLIER: f64 = 8.0;
/// Mean distances from the mean beyond which one run in a hundred is, if they are spread as a normal law says.
const P99: f64 = 2.9;

impl Pace {
    /// Of a model that takes at most `rows_max` rows at once.
    pub fn new(rows_max: usize) -> Self {
        Self { buckets: Default::default(), fitted: Default::default(), runs: 0, rows_max: rows_max.max(1) }
    }

    /// A run of so many rows took so long.
    pub fn ran(&mut self, rows: usize, took: Duration) {
        self.runs += 1;
        let (bucket, took) = (&mut self.buckets[bucket(rows)], took.as_secs_f64());
        let rows = f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
        bucket.last = self.runs;
        if bucket.runs == 0 {
            *bucket = Bucket { mean: took, rows, apart: took / 2.0, runs: 1, last: self.runs };
        } else {
            let took = if bucket.runs < RUNS_MIN { took } else { took.min(OUTLIER * bucket.mean) };
            let newest = NEWEST.max(1.0 / f64::from(bucket.runs + 1));
            bucket.apart += newest * ((took - bucket.mean).abs() - bucket.apart);
            bucket.mean += newest * (took - bucket.mean);
            bucket.rows += newest * (rows - bucket.rows);
            bucket.runs = bucket.runs.saturating_add(1);
        }
        self.fit();
    }

    /// Where a larger size takes less than a smaller one, the one that was measured later is right.
    fn fit(&mut self) {
        let mut seconds = self.buckets.map(|bucket| (bucket.runs > 0).then_some(bucket.mean));
        for (at, bucket) in self.buckets.iter().enumerate() {
            for (smaller, known) in self.buckets[..at].iter().zip(&mut seconds) {
                if bucket.runs > 0 && bucket.last > smaller.last {
                    *known = known.map(|known| known.min(bucket.mean));
                }
            }
        }
        let mut most = 0.0_f64;
        for known in seconds.iter_mut().flatten() {
            most = most.max(*known);
            *known = most;
        }
        self.fitted = seconds;
    }

    /// What a run of so many rows takes; nothing where no run is known. A size that is not known takes as long for each row as
    /// the nearest smaller one, or as the nearest larger one altogether.
    pub fn mean(&self, rows: usize) -> Option<Duration> {
        Duration::try_from_secs_f64(self.seconds(bucket(rows))?).ok()
    }

    /// What it takes at most but for one in a hundred.
    pub fn p99(&self, rows: usize) -> Option<Duration> {
        let bucket = bucket(rows);
        Duration::try_from_secs_f64(self.seconds(bucket)? + P99 * self.buckets[bucket].apart).ok()
    }

    fn seconds(&self, size: usize) -> Option<f64> {
        let below = (0..=size).rev().find_map(|at| Some((at, self.fitted[at]?)));
        match below {
            Some((at, seconds)) => Some(seconds * rows_of(size) / rows_of(at)),
            None => self.fitted[size..].iter().find_map(|seconds| *seconds),
        }
    }

    /// The rows of a batch that are worth it: of the sizes that are known the best, or the next one after it where that was
    /// not tried yet.
    pub fn knee(&self) -> usize {
        let mut best = (0, 0.0);
        for (at, rate) in self.rates() {
            if rate > best.1 * WORTH {
                best = (at, rate);
            }
        }
        let (at, rate) = best;
        let next = at + 1;
        let is_tried = next >= BUCKETS || self.buckets[next].runs >= RUNS_MIN;
        let size = if rate > 0.0 && !is_tried { next } else { at };
        (1 << size).min(self.rows_max)
    }

    /// Rows a second of each size that is known.
    fn rates(&self) -> impl Iterator<Item = (usize, f64)> {
        let known = self.buckets.iter().enumerate().filter(|(_, bucket)| bucket.runs >= RUNS_MIN);
        known.map(|(at, bucket)| (at, bucket.rows / bucket.mean.max(1e-9)))
    }
}

/// Which bucket a size is in: up to 1, 2, 4 ...
fn bucket(rows: usize) -> usize {
    let size = rows.max(1).next_power_of_two().trailing_zeros();
    usize::try_from(size).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn rows_of(bucket: usize) -> f64 {
    f64::from(u32::try_from(bucket).map_or(u32::MAX, |bucket| 1_u32 << bucket.min(31)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model that takes so many microseconds for a run and for each of its rows.
    fn measured(run: f64, row: f64, sizes: u32) -> Pace {
        let mut pace = Pace::new(4096);
        for size in 0..sizes {
            for _ in 0..RUNS_MIN {
                pace.ran(1 << size, micros(run + row * f64::from(1 << size)));
            }
        }
        pace
    }

    fn micros(us: f64) -> Duration {
        Duration::from_secs_f64(us * 1e-6)
    }

    #[track_caller]
    fn close(found: Option<Duration>, us: f64) {
        let found = found.unwrap().as_secs_f64() * 1e6;
        assert!((found - us).abs() < 0.01 * us, "{found} us, not {us}");
    }

    #[test]
    fn what_is_known_is_told_and_what_is_not_is_reckoned() {
        assert_eq!(Pace::new(8).mean(1), None);
        let pace = measured(20.0, 2.0, 3);
        close(pace.mean(1), 22.0);
        close(pace.mean(3), 28.0);
        close(pace.mean(16), 28.0 * 4.0);
        let mut large = Pace::new(4096);
        large.ran(64, micros(100.0));
        close(large.mean(1), 100.0);
    }

    #[test]
    fn more_rows_never_take_less() {
        let mut pace = measured(20.0, 2.0, 5);
        // A measurement that was lucky.
        for _ in 0..200 {
            pace.ran(8, micros(1.0));
        }
        let mut before = Duration::ZERO;
        for rows in 1..200 {
            let takes = pace.mean(rows).unwrap();
            assert!(takes >= before, "{rows} rows");
            before = takes;
        }
    }

    #[test]
    fn the_knee_is_where_rows_a_second_stop_growing() {
        assert_eq!(Pace::new(4096).knee(), 1);
        // A run costs much and a row nothing: all that fit.
        assert_eq!(measured(1000.0, 0.0, 13).knee(), 4096);
        // A row costs all: nobody gains by company.
        assert_eq!(measured(0.0, 10.0, 13).knee(), 1);
        // Not tried yet is tried.
        assert_eq!(measured(1000.0, 0.0, 3).knee(), 8);
        // Beyond 16 rows it is slower: trees that are split among threads.
        let mut pace = measured(20.0, 2.0, 5);
        for size in 5..8_u32 {
            for _ in 0..RUNS_MIN {
                pace.ran(1 << size, micros(20.0 + 4.0 * f64::from(1 << size)));
            }
        }
        assert_eq!(pace.knee(), 16);
        let small = Pace { rows_max: 4, ..pace };
        assert_eq!(small.knee(), 4);
    }

    #[test]
    fn what_the_machine_held_up_is_soon_forgotten() {
        let mut pace = measured(100.0, 0.0, 1);
        pace.ran(1, Duration::from_millis(500));
        assert!(pace.mean(1).unwrap() < micros(400.0), "{:?}", pace.mean(1));
        for _ in 0..50 {
            pace.ran(1, micros(100.0));
        }
        close(pace.mean(1), 101.0);
        // Nor does it stay where nothing of this size is asked any more.
        let mut pace = measured(10_000.0, 0.0, 1);
        for _ in 0..50 {
            pace.ran(8, micros(100.0));
        }
        close(pace.mean(8), 100.0);
        close(pace.mean(1), 100.0);
    }

    #[test]
    fn a_size_is_worth_the_rows_that_it_had() {
        let mut pace = measured(1000.0, 100.0, 6);
        // Thirty-three rows are no sixty-four.
        for _ in 0..RUNS_MIN {
            pace.ran(33, micros(1000.0 + 3300.0 * 1.1));
        }
        assert_eq!(pace.knee(), 32);
    }

    #[test]
    fn times_follow_what_changes() {
        let mut pace = measured(20.0, 0.0, 1);
        for _ in 0..90 {
            pace.ran(1, micros(200.0));
        }
        close(pace.mean(1), 200.0);
        assert!(pace.p99(1).unwrap() >= pace.mean(1).unwrap());
    }
}
