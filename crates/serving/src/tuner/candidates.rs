//! Which ways are worth a trial: by what runs took when nobody else asked. Pure.
//!
//! A trial costs requests, and a measurement costs none: whatever is plainly no better by its measurements is not tried.

use serde::{Deserialize, Serialize};

use super::arm::Arm;

/// Runs of sessions that are made in one way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Threads of a run.
    pub intra_op: usize,
    /// Whether they spin.
    pub spinning: bool,
    /// Sizes, from one row on.
    pub sizes: Vec<Size>,
}

/// Runs of so many rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Rows.
    pub rows: usize,
    /// What a run takes in the middle, in microseconds.
    pub us: f64,
}

/// The most ways that are tried, beside the default.
pub const CANDIDATES_MAX: usize = 6;
/// How much better one must be than another by measurements, which are none too exact.
const PLAINLY: f64 = 1.1;

/// Ways that may be better than the default, the most promising first.
///
/// Of each way of making sessions, as many as fill the cores: with batches as they are worth it, half as large, and with none. What
/// another way is plainly better than is left out.
pub fn candidates(measured: &[Measured], cores: usize) -> Vec<Arm> {
    let default = Arm::default_of(cores);
    let mut all: Vec<Arm> = Vec::new();
    for of in measured.iter().filter(|of| !of.sizes.is_empty()) {
        let sessions = (cores / of.intra_op).max(1);
        let arm = Arm { sessions, intra_op: of.intra_op, spinning: of.spinning, ..default };
        let knee = of.knee();
        let smaller = (knee > 2).then_some(Arm { rows_max: knee / 2, ..arm });
        let alone = (knee > 1).then_some(Arm { rows_max: 1, ..arm });
        all.extend([Some(arm), smaller, alone].into_iter().flatten());
    }
    let speed = |arm: &Arm| measured.iter().find(|of| (of.intra_op, of.spinning) == (arm.intra_op, arm.spinning));
    let speed = |arm: &Arm| speed(arm).map(|of| of.speed(arm)).unwrap_or_default();
    let speeds: Vec<Speed> = all.iter().chain([&default]).map(speed).collect();
    all.retain(|arm| *arm != default && !speeds.iter().any(|of| of.is_plainly_better(&speed(arm))));
    all.sort_by(|one, other| speed(other).rows.total_cmp(&speed(one).rows));
    all.truncate(CANDIDATES_MAX);
    all
}

/// What a way can do.
#[derive(Debug, Clone, Copy, Default)]
struct Speed {
    /// Rows a second, of all sessions together.
    rows: f64,
    /// Microseconds of one row alone.
    alone: f64,
}

impl Speed {
    /// Whether the other is worse in one respect and no better in the other.
    fn is_plainly_better(&self, other: &Self) -> bool {
        let (more, sooner) = (self.rows / other.rows, other.alone / self.alone);
        more > PLAINLY && sooner > 1.0 / PLAINLY || sooner > PLAINLY && more > 1.0 / PLAINLY
    }
}

impl Measured {
    /// The rows of a run with the most rows a second.
    fn knee(&self) -> usize {
        self.sizes.iter().max_by(|one, other| one.rate().total_cmp(&other.rate())).map_or(1, |size| size.rows)
    }

    fn speed(&self, arm: &Arm) -> Speed {
        let sizes = self.sizes.iter().filter(|size| size.rows <= arm.rows_max);
        let best = sizes.map(Size::rate).fold(0.0, f64::max);
        let sessions = f64::from(u32::try_from(arm.sessions).unwrap_or(u32::MAX));
        Speed { rows: best * sessions, alone: self.sizes.first().map_or(f64::INFINITY, |size| size.us) }
    }
}

impl Size {
    /// Rows a second.
    fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.rows).unwrap_or(u32::MAX)) / self.us.max(1e-3) * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs that take so many microseconds, and so many more for each row.
    fn measured(intra_op: usize, run: f64, row: f64) -> Measured {
        let sizes = (0..7).map(|size| {
            let rows = 1_usize << size;
            Size { rows, us: run + row * f64::from(1_u32 << size) }
        });
        Measured { intra_op, spinning: false, sizes: sizes.collect() }
    }

    #[track_caller]
    fn check(measured: &[Measured], cores: usize, expected: &[&str]) {
        let found: Vec<String> = candidates(measured, cores).iter().map(Arm::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn where_threads_cost_and_gain_nothing_they_are_not_tried() {
        // Two threads: as long for a run, and half of the runs at once.
        check(&[measured(1, 20.0, 2.0), measured(2, 20.0, 2.0)], 2, &[]);
    }

    #[test]
    fn what_is_sooner_and_does_less_is_tried() {
        check(&[measured(1, 1000.0, 50.0), measured(2, 550.0, 30.0)], 2, &["1 session of 2 threads"]);
    }

    #[test]
    fn where_larger_batches_gain_little_smaller_ones_are_tried() {
        let half = "2 sessions of 1 thread, batches up to 32 rows";
        check(&[measured(1, 20.0, 10.0)], 2, &[half]);
        assert!(candidates(&[], 4).is_empty(), "of nothing nothing is known");
    }

    #[test]
    fn no_more_than_six() {
        let all: Vec<Measured> = (1..=8)
            .map(|threads| measured(threads, 1000.0 / f64::from(u32::try_from(threads).unwrap()), 0.1))
            .collect();
        assert!(candidates(&all, 8).len() <= CANDIDATES_MAX);
    }
}
