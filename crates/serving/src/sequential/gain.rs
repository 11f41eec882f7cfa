//! Whether something is better on average, from one number a trial, each within a bound.
//!
//! A bettor with one unit stakes a share of what it has on each number being above zero. While the mean is not above zero no
//! way of staking makes it richer on average, so what it has is evidence (Waudby-Smith and Ramdas, 2024, "Estimating means of
//! bounded random variables by betting"). It is a mixture of bettors with fixed shares: of constant size, and near the best
//! of them.

use super::mean_of_logs;

/// Shares that are staked.
const STAKES: [f64; 6] = [0.05, 0.1, 0.2, 0.4, 0.7, 0.95];

/// The evidence that a mean is above zero.
#[derive(Debug, Clone)]
pub struct Gain {
    logs: [f64; STAKES.len()],
    bound: f64,
    sum: f64,
    n: u32,
}

impl Gain {
    /// Of numbers within `bound` of zero; what is beyond counts as at the bound.
    pub fn within(bound: f64) -> Self {
        Self { logs: [0.0; STAKES.len()], bound, sum: 0.0, n: 0 }
    }

    /// Another number. One that is none counts as the worst.
    pub fn saw(&mut self, x: f64) {
        let x = if x.is_nan() { -self.bound } else { x.clamp(-self.bound, self.bound) };
        self.sum += x;
        self.n += 1;
        for (log, stake) in self.logs.iter_mut().zip(STAKES) {
            *log += (stake * x / self.bound).ln_1p();
        }
    }

    /// How much there is for it: it reaches `1/alpha` with probability at most `alpha` while the mean is not above zero.
    pub fn e_value(&self) -> f64 {
        mean_of_logs(&self.logs)
    }

    /// Whether that is enough: the lower bound of the mean, at this `alpha` and at every time at once, is above zero.
    pub fn is_enough(&self, alpha: f64) -> bool {
        self.e_value() >= 1.0 / alpha
    }

    /// The mean so far; zero of none.
    pub fn mean(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.sum / f64::from(self.n) }
    }

    /// How many there were.
    pub fn n(&self) -> u32 {
        self.n
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_at_the_bound_each_time_is_soon_enough() {
        let mut gain = Gain::within(0.5);
        let mut n = 0;
        while !gain.is_enough(0.03) {
            gain.saw(0.5);
            n += 1;
        }
        // A sixth of what it has grows by 1.95 each time: (1 + 0.95)^n / 6 > 33.
        assert_eq!(n, 8);
        assert!((gain.mean() - 0.5).abs() < 1e-12);
    }

    /// The reckoning by hand: 1 + stake * x / bound for each of the six.
    #[test]
    fn the_evidence_is_what_the_bettors_have() {
        let mut gain = Gain::within(0.5);
        [0.25, -0.1, 0.5].into_iter().for_each(|x| gain.saw(x));
        let of = |stake: f64| (1.0 + stake * 0.5) * (1.0 - stake * 0.2) * (1.0 + stake);
        let expected = STAKES.iter().map(|stake| of(*stake)).sum::<f64>() / 6.0;
        assert!((gain.e_value() - expected).abs() < 1e-12, "{} {expected}", gain.e_value());
    }

    #[test]
    fn no_number_is_the_worst_one() {
        let (mut none, mut worst) = (Gain::within(1.0), Gain::within(1.0));
        none.saw(f64::NAN);
        worst.saw(-7.0);
        assert!((none.e_value() - worst.e_value()).abs() < 1e-15 && none.mean() < 0.0);
    }

    proptest! {
        /// Over both ways that a fair coin may fall the evidence is on average what it was: whatever was seen before.
        #[test]
        fn a_fair_bet_makes_nobody_richer(before in prop::collection::vec(-1.0..1.0_f64, 0..20), x in 0.0..1.0_f64) {
            let mut gain = Gain::within(1.0);
            before.into_iter().for_each(|x| gain.saw(x));
            let (mut up, mut down) = (gain.clone(), gain.clone());
            up.saw(x);
            down.saw(-x);
            let mean = f64::midpoint(up.e_value(), down.e_value());
            prop_assert!((mean - gain.e_value()).abs() <= 1e-9 * gain.e_value().max(1.0));
        }
    }
}
