//! What a number of violations among sampled rows says of the rows that were not sampled (natural transformations,
//! section 9).

use statrs::distribution::{Beta, ContinuousCDF};

/// The confidence of every bound that is printed.
const CONFIDENCE: f64 = 0.95;

/// The share of violations is below this with 95 % confidence, when `k` of `n` uniformly sampled rows are violations.
///
/// The one-sided bound of Clopper and Pearson, `BetaInv(0.95; k + 1, n - k)`. `None` of no rows at all.
pub fn upper_bound(k: usize, n: usize) -> Option<f64> {
    if n == 0 {
        return None;
    }
    if k >= n {
        return Some(1.0);
    }
    if k == 0 {
        // In closed form: about 3/n.
        return Some(-f64::exp_m1((1.0 - CONFIDENCE).ln() / count(n)));
    }
    let beta = Beta::new(count(k + 1), count(n - k)).ok()?;
    Some(beta.inverse_cdf(CONFIDENCE))
}

/// The value below which a share `q` of the sorted values lies, the nearest one; `None` of none.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place between 0 and the last, rounded"
    )]
    let place = (q * count(last)).round() as usize;
    sorted.get(place.min(last)).copied()
}

#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bound by its meaning: with a share of `p`, `k` violations or fewer are seen in 5 of 100 samples.
    fn seen_at_most(k: usize, n: usize, p: f64) -> f64 {
        let mut term = f64::exp(count(n) * f64::ln_1p(-p));
        let mut sum = term;
        for i in 0..k {
            term *= count(n - i) / count(i + 1) * p / (1.0 - p);
            sum += term;
        }
        sum
    }

    #[test]
    fn the_bound_is_the_share_at_which_so_few_violations_are_a_matter_of_five_in_a_hundred() {
        for (k, n) in [(0, 1), (0, 10), (1, 10), (9, 10), (17, 10_000), (200, 10_000), (3, 59)] {
            let bound = upper_bound(k, n).unwrap();
            let seen = seen_at_most(k, n, bound);
            assert!((seen - 0.05).abs() < 1e-6, "{k} of {n}: {bound} is seen in {seen}");
        }
    }

    #[test]
    fn the_figures_of_the_reference() {
        let percent = |k, n| 100.0 * upper_bound(k, n).unwrap();
        assert_eq!(format!("{:.3} %", percent(0, 10_000)), "0.030 %");
        assert_eq!(format!("{:.2} %", percent(17, 10_000)), "0.25 %");
        assert_eq!((upper_bound(5, 5), upper_bound(0, 0)), (Some(1.0), None));
    }

    #[test]
    fn quantiles_are_values_that_are_there() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!((quantile(&values, 0.5), quantile(&values, 0.99)), (Some(2.0), Some(4.0)));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
