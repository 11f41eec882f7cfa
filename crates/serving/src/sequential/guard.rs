//! Whether something bad happens more often to those who get the new than to those who keep the old.
//!
//! Given that something bad happened, it happened to the new side with probability at most `w`, its share of the traffic then,
//! if the new side is no worse. A mixture over odds ratios bets against that: `theta = R*w / (R*w + 1 - w)` is the probability
//! if the odds are `R` times as high. It needs no window and no rate of before, and holds while `w` changes
//! (docs/decisions/0104).

use super::mean_of_logs;

/// Odds ratios that are bet on.
const RATIOS: [f64; 6] = [1.5, 2.0, 4.0, 8.0, 16.0, 32.0];

/// Whom something happened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Those who keep what there was.
    Old,
    /// Those who get what is tried.
    New,
}

/// The evidence that the new side is worse.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    logs: [f64; RATIOS.len()],
}

impl Guard {
    /// Something bad happened, when a share `w` of the traffic was of the new side. What was not given to a side at random, and
    /// so any `w` that is not between 0 and 1, says nothing.
    pub fn happened(&mut self, side: Side, w: f64) {
        if !(w > 0.0 && w < 1.0) {
            return;
        }
        for (log, ratio) in self.logs.iter_mut().zip(RATIOS) {
            let theta = ratio * w / (ratio * w + 1.0 - w);
            *log += match side {
                Side::New => (theta / w).ln(),
                Side::Old => ((1.0 - theta) / (1.0 - w)).ln(),
            };
        }
    }

    /// How much there is for it: it reaches `1/alpha` with probability at most `alpha` while the new side is no worse.
    pub fn e_value(&self) -> f64 {
        mean_of_logs(&self.logs)
    }

    /// Whether that is enough.
    pub fn is_enough(&self, alpha: f64) -> bool {
        self.e_value() >= 1.0 / alpha
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of events, `C` of the new side and `S` of the old.
    #[track_caller]
    fn check(w: f64, events: &str, expected: &[f64]) {
        let mut guard = Guard::default();
        for (event, expected) in events.chars().zip(expected) {
            guard.happened(if event == 'C' { Side::New } else { Side::Old }, w);
            let found = guard.e_value();
            assert!((found - expected).abs() < 1e-6, "{events}: {found}, not {expected}");
        }
    }

    /// The vectors of the reference.
    #[test]
    fn the_evidence_is_what_others_reckon() {
        check(0.05, "CCC", &[5.744_04, 49.009_054, 500.114_252]);
        check(0.01, "CCC", &[8.862_232, 144.567_511, 2_959.452_014]);
        check(0.05, "CSCCSC", &[5.744_04, 3.466_934, 25.266_676, 235.346_792, 118.120_54, 1_149.848_658]);
    }

    #[test]
    fn nothing_is_learnt_where_everybody_is_on_one_side() {
        let mut guard = Guard::default();
        for w in [0.0, 1.0, f64::NAN, -1.0] {
            guard.happened(Side::New, w);
        }
        assert!((guard.e_value() - 1.0).abs() < 1e-12);
    }
}
