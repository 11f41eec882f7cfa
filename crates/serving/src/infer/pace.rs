//! How long a model takes for so many rows, and how many at once are worth it. Pure.
//!
//! Sizes are in buckets, each up to a power of two. Of each the mean time is kept, newer runs counting more, and how far runs
//! are from it. More rows never take less: where a measurement says so, it is noise, and is smoothed. The knee is the size
//! with the most rows a second; past it, more company is a longer wait for everybody.

use std::time::Duration;

/// Times of one model.
#[derive(Debug, Clone)]
pub struct Pace {
    buckets: [Bucket; BUCKETS],
    rows_max: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Seconds.
    mean: f64,
    /// The mean distance from the mean, in seconds.
    apart: f64,
    runs: u32,
}

/// Sizes up to 1, 2, 4 ... 4096 rows.
const BUCKETS: usize = 13;
/// How much the newest run counts.
const NEWEST: f64 = 0.1;
/// So many runs of a size say how long it takes.
const RUNS_MIN: u32 = 3;
/// Rows a second that a larger size must have more than a smaller one.
const WORTH: f64 = 1.03;
/// Mean distances from the mean beyond which one run in a hundred is, if they are spread as a normal law says.
const P99: f64 = 2.9;

impl Pace {
    /// Of a model that takes at most `rows_max` rows at once.
    pub fn new(rows_max: usize) -> Self {
        Self { buckets: [Bucket::default(); BUCKETS], rows_max: rows_max.max(1) }
    }

    /// A run of so many rows took so long.
    pub fn ran(&mut self, rows: usize, took: Duration) {
        let (bucket, took) = (&mut self.buckets[bucket(rows)], took.as_secs_f64());
        if bucket.runs == 0 {
            *bucket = Bucket { mean: took, apart: took / 2.0, runs: 1 };
            return;
        }
        let newest = NEWEST.max(1.0 / f64::from(bucket.runs + 1));
        bucket.apart += newest * ((took - bucket.mean).abs() - bucket.apart);
        bucket.mean += newest * (took - bucket.mean);
        bucket.runs = bucket.runs.saturating_add(1);
    }

    /// What a run of so many rows takes; nothing where no run is known.
    pub fn mean(&self, rows: usize) -> Option<Duration> {
        self.seconds(rows, |bucket| bucket.mean)
    }

    /// What it takes at most but for one in a hundred.
    pub fn p99(&self, rows: usize) -> Option<Duration> {
        self.seconds(rows, |bucket| bucket.mean + P99 * bucket.apart)
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
        known.map(|(at, bucket)| (at, rows_of(at) / bucket.mean.max(1e-9)))
    }

    /// Never less than for fewer rows. A size that is not known takes as long for each row as the nearest that is.
    fn seconds(&self, rows: usize, of: impl Fn(&Bucket) -> f64) -> Option<Duration> {
        let size = bucket(rows);
        let known = |(at, bucket): (usize, &Bucket)| (bucket.runs > 0).then(|| (at, of(bucket)));
        let mut below = self.buckets[..=size].iter().enumerate().filter_map(known);
        let nearest = below.clone().next_back();
        let most = below.by_ref().map(|(_, seconds)| seconds).fold(0.0, f64::max);
        let seconds = match nearest {
            Some((at, _)) if at == size => most,
            Some((at, seconds)) => (seconds * rows_of(size) / rows_of(at)).max(most),
            // A larger run was never shorter than this one will be.
            None => self.buckets.iter().enumerate().find_map(known).map(|(_, seconds)| seconds)?,
        };
        Duration::try_from_secs_f64(seconds).ok()
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
    fn times_follow_what_changes() {
        let mut pace = measured(20.0, 0.0, 1);
        for _ in 0..60 {
            pace.ran(1, micros(200.0));
        }
        close(pace.mean(1), 200.0);
        assert!(pace.p99(1).unwrap() >= pace.mean(1).unwrap());
    }
}
