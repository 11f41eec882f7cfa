//! Tests that hold at whatever time one looks: no number of looks, and no choice of when to look, makes them wrong more often
//! than they say. Pure, and of constant size.
//!
//! Each is an e-process: a number whose mean is at most one as long as the hypothesis holds, so that it ever reaches `1/alpha`
//! with probability at most `alpha` (Ville's inequality).

pub mod gain;
pub mod guard;

pub use gain::Gain;
pub use guard::{Guard, Side};

/// What trial number `trial`, from one, may spend of `alpha`, so that all of them together spend no more than it:
/// `alpha * 6 / (pi^2 * trial^2)`.
pub fn share(alpha: f64, trial: u32) -> f64 {
    let trial = f64::from(trial.max(1));
    alpha * 6.0 / (std::f64::consts::PI.powi(2) * trial * trial)
}

/// The mean of e-values, from their logarithms.
fn mean_of_logs(logs: &[f64]) -> f64 {
    let n = f64::from(u32::try_from(logs.len()).unwrap_or(u32::MAX));
    logs.iter().map(|log| log.exp()).sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_trials_together_spend_no_more_than_there_is() {
        let spent: f64 = (1..100_000).map(|trial| share(0.05, trial)).sum();
        assert!(spent <= 0.05 && spent > 0.0499, "{spent}");
        assert!((share(0.05, 1) - 0.030_396_355_092_701).abs() < 1e-12);
    }
}
