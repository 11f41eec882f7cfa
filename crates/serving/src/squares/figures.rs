//! Figures of many rows: mean, area under the curve, calibration. Pure.

use super::statistics::count;

/// Bins of equal width that calibration is looked at in.
const BINS: u8 = 10;

/// The mean; `None` of none.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / count(values.len()))
}

/// The share of pairs, one row of either label, in which the one with the label has the higher score; equal ones count half.
/// `None` where all rows have one label. The statistic of Mann and Whitney: ranks in order, ties share theirs.
pub(crate) fn auc(scores: &[f64], labels: &[bool]) -> Option<f64> {
    let n_true = labels.iter().filter(|label| **label).count();
    let n_false = labels.len() - n_true;
    if n_true == 0 || n_false == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut ranks, mut at) = (0.0, 0);
    while at < order.len() {
        let tied = order[at..].iter().take_while(|row| scores[**row] <= scores[order[at]]).count().max(1);
        // Places from 1 on: those of `at + 1` to `at + tied` have their middle each.
        let middle = count(at) + (count(tied) + 1.0) / 2.0;
        let n = order[at..at + tied].iter().filter(|row| labels[**row]).count();
        ranks += middle * count(n);
        at += tied;
    }
    let least = count(n_true) * (count(n_true) + 1.0) / 2.0;
    Some((ranks - least) / (count(n_true) * count(n_false)))
}

/// The expected calibration error: over ten bins of equal width, each with its upper end, the distance of its mean probability
/// from the share of its rows that have the label, weighted by rows. `None` of none, and of what is no probability.
pub(crate) fn calibration_error(probabilities: &[f64], labels: &[bool]) -> Option<f64> {
    if probabilities.is_empty() || probabilities.iter().any(|p| !(0.0..=1.0).contains(p)) {
        return None;
    }
    let mut error = 0.0;
    for bin in 0..BINS {
        let (low, high) = (f64::from(bin) / f64::from(BINS), f64::from(bin + 1) / f64::from(BINS));
        let is_in = |p: f64| (p > low || (bin == 0 && p >= low)) && p <= high;
        let rows: Vec<usize> = (0..probabilities.len()).filter(|row| is_in(probabilities[*row])).collect();
        let said: Vec<f64> = rows.iter().map(|row| probabilities[*row]).collect();
        let Some(said) = mean(&said) else { continue };
        let right = count(rows.iter().filter(|row| labels[**row]).count()) / count(rows.len());
        error += (said - right).abs() * count(rows.len());
    }
    Some(error / count(probabilities.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn is(got: Option<f64>, want: f64) {
        assert!(got.is_some_and(|got| (got - want).abs() < 1e-12), "{got:?}, not {want}");
    }

    #[test]
    fn figures_that_were_computed_by_hand() {
        is(mean(&[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(mean(&[]), None);
        // Of the 2 x 3 pairs 4 are in order and 1 is a tie.
        is(auc(&[0.9, 0.4, 0.4, 0.1, 0.8], &[true, true, false, false, false]), 4.5 / 6.0);
        is(auc(&[0.1, 0.9], &[false, true]), 1.0);
        is(auc(&[0.1, 0.9], &[true, false]), 0.0);
        is(auc(&[0.5, 0.5], &[true, false]), 0.5);
        assert_eq!(auc(&[0.5, 0.6], &[true, true]), None);
        // One bin of two rows that says 0.15 where half are right, one of a row that says 0.9 and is: (2 * 0.35 + 0.1) / 3.
        is(calibration_error(&[0.12, 0.18, 0.9], &[true, false, true]), (2.0 * 0.35 + 0.1) / 3.0);
        is(calibration_error(&[0.0, 1.0], &[false, true]), 0.0);
        // The end of a bin is in it.
        is(calibration_error(&[0.1, 0.02], &[false, false]), 0.06);
        assert_eq!(calibration_error(&[1.5], &[true]), None);
        assert_eq!(calibration_error(&[f64::NAN], &[true]), None);
    }

    /// All pairs, one by one.
    fn auc_of_pairs(scores: &[f64], labels: &[bool]) -> Option<f64> {
        let (mut right, mut n) = (0.0, 0.0);
        for (a, _) in scores.iter().zip(labels).filter(|(_, label)| **label) {
            for (b, _) in scores.iter().zip(labels).filter(|(_, label)| !**label) {
                n += 1.0;
                right += match a.total_cmp(b) {
                    std::cmp::Ordering::Greater => 1.0,
                    std::cmp::Ordering::Equal => 0.5,
                    std::cmp::Ordering::Less => 0.0,
                };
            }
        }
        (n > 0.0).then(|| right / n)
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs_in_order(rows in prop::collection::vec((0..8_u8, any::<bool>()), 0..40)) {
            let scores: Vec<f64> = rows.iter().map(|(score, _)| f64::from(*score)).collect();
            let labels: Vec<bool> = rows.iter().map(|(_, label)| *label).collect();
            let (got, want) = (auc(&scores, &labels), auc_of_pairs(&scores, &labels));
            prop_assert_eq!(got.is_some(), want.is_some());
            prop_assert!((got.unwrap_or(0.0) - want.unwrap_or(0.0)).abs() < 1e-9);
        }

        /// Who says in each bin what is right there is calibrated, whatever the bins are.
        #[test]
        fn whoever_says_the_share_is_calibrated(n in 1..50_usize, n_right in 0..50_usize) {
            let n_right = n_right.min(n);
            let labels: Vec<bool> = (0..n).map(|row| row < n_right).collect();
            let error = calibration_error(&vec![count(n_right) / count(n); n], &labels);
            prop_assert!(error.unwrap() < 1e-12);
        }
    }
}
