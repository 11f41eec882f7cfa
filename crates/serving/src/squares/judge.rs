//! The verdict on two routes to the same answers, row by row. Pure.

use std::sync::Arc;

use schema::contract::{Answer, Edges, OutputContract, ResponseContract};
use serde::Serialize;

use super::answers::RowAnswer;
use super::rows::{Beside, Sort};
use super::statistics::{count, quantile, upper_bound};
use super::strata::{Stratum, is_refused, strata};

/// How many rows of a sort were compared, and how many did not agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Compared.
    pub rows: usize,
    /// Beyond the tolerance; of boundary rows, of another kind.
    pub off: usize,
}

/// What was found of all rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether no golden and no boundary row is off, and not too many of the sampled.
    pub passed: bool,
    /// Pinned rows.
    pub golden: Tally,
    /// Generated ones.
    pub boundary: Tally,
    /// Whether these are judged, and not only told.
    #[serde(skip)]
    pub edges: Edges,
    /// Sampled ones.
    pub sampled: Tally,
    /// The share of sampled rows that is off; `None` of none.
    pub share: Option<f64>,
    /// The share that may be off.
    pub share_allowed: f64,
    /// The share among rows like the sampled ones is below this with 95 % confidence; none where they are told apart, for then
    /// they are no uniform sample together.
    pub upper_bound: Option<f64>,
    /// The same of each stratum, where the model's policy tells them apart: then each is judged, and not all together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strata: Vec<Stratum>,
    /// The output whose distances the figures below are of: the one that is off most.
    pub output: String,
    /// The middle distance of golden and sampled rows.
    pub median: Option<f64>,
    /// That of the row at 99 of 100.
    pub p99: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// What a row may be off.
    pub limit: f64,
    /// The row that shows it most, by its number, with the output.
    #[serde(skip)]
    pub worst: Option<(usize, String)>,
}

/// Compares what two routes say to the same rows: `old[i]` and `new[i]` to row `i`, outputs in the contract's order; `beside`
/// says which stratum each row is of.
/// `bound` is what a row of an output may be off in this check.
pub(crate) fn judge(
    contract: &ResponseContract,
    bound: Bound,
    (sorts, beside): (&[Sort], &[Option<Arc<Beside>>]),
    old: &[RowAnswer],
    new: &[RowAnswer],
) -> Verdict {
    let mut off_rows = Vec::with_capacity(sorts.len());
    let mut tallies = [Tally::default(); 3];
    let mut outputs: Vec<Distances> =
        contract.outputs.iter().map(|(name, of)| Distances::of(name, (bound.tolerance)(of))).collect();
    let mut shown: Vec<(Rank, usize, String)> = Vec::new();
    for (row, sort) in sorts.iter().enumerate() {
        let mut is_off = false;
        for (at, (name, output)) in contract.outputs.iter().enumerate() {
            let (a, b) = (&old[row][at], &new[row][at]);
            let distance = output.distance(a, b);
            let off = bound.is_off(output, *sort, a, b);
            if *sort != Sort::Boundary {
                outputs[at].all.push(distance);
                outputs[at].off += usize::from(off);
            }
            let is_shown = off && (*sort != Sort::Boundary || contract.edges == Edges::Judged);
            is_off |= off;
            if is_shown {
                shown.push((Rank { sort: *sort, distance }, row, name.clone()));
            }
        }
        let tally = &mut tallies[*sort as usize];
        tally.rows += 1;
        tally.off += usize::from(is_off);
        off_rows.push(is_off);
    }
    let [golden, boundary, sampled] = tallies;
    let share = (sampled.rows > 0).then(|| count(sampled.off) / count(sampled.rows));
    let edges_pass = boundary.off == 0 || contract.edges == Edges::Told;
    let strata = strata(&off_rows, sorts, beside, contract.share);
    let is_allowed = match &strata[..] {
        [] => share.is_none_or(|share| share <= contract.share),
        strata => strata.iter().all(|stratum| stratum.passed),
    };
    let passed = golden.off == 0 && edges_pass && is_allowed;
    // What is allowed to its stratum does not show why others are refused.
    if strata.iter().any(|stratum| !stratum.passed) {
        shown.retain(|(rank, row, _)| {
            rank.sort != Sort::Sampled || is_refused(&strata, beside.get(*row).and_then(Option::as_ref))
        });
    }
    let mut worst: Option<(Rank, usize, String)> = None;
    for one in shown {
        if worst.as_ref().is_none_or(|(known, ..)| one.0.shows_more_than(known)) {
            worst = Some(one);
        }
    }
    // Of outputs that are off equally often the one that is nearest to its limit.
    outputs.iter_mut().for_each(|of| of.all.sort_by(f64::total_cmp));
    let nearness = |of: &Distances| quantile(&of.all, 0.99).unwrap_or(0.0) / of.limit.max(f64::MIN_POSITIVE);
    let most = outputs.iter().max_by(|a, b| a.off.cmp(&b.off).then(nearness(a).total_cmp(&nearness(b))));
    let of = |q: f64| most.and_then(|most| quantile(&most.all, q));
    Verdict {
        passed,
        golden,
        boundary,
        edges: contract.edges,
        sampled,
        share,
        share_allowed: contract.share,
        upper_bound: if strata.is_empty() { upper_bound(sampled.off, sampled.rows) } else { None },
        strata,
        output: most.map(|most| most.name.clone()).unwrap_or_default(),
        median: of(0.5),
        p99: of(0.99),
        max: of(1.0),
        limit: most.map_or(0.0, |most| most.limit),
        worst: worst.map(|(_, row, output)| (row, output)),
    }
}

/// What a row may be off in a check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// By output, in its own distance.
    pub(crate) tolerance: fn(&OutputContract) -> f64,
    /// How both answers must stand to each other.
    pub(crate) rule: Rule,
}

/// How both answers must stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// No farther apart than the tolerance: two routes to one answer, or steps that must not add up.
    Near,
    /// As the contract's relation says, in which one side may be better.
    Relation,
}

impl Bound {
    /// Whether two routes do not agree on an output of one row: beyond the tolerance, or of a boundary row of another kind. A
    /// version may answer what the one before it failed on.
    pub(crate) fn is_off(self, output: &OutputContract, sort: Sort, old: &Answer, new: &Answer) -> bool {
        let limit = (self.tolerance)(output);
        match (sort, self.rule) {
            (Sort::Boundary, _) => !alike(old, new),
            (Sort::Golden | Sort::Sampled, Rule::Near) => output.distance(old, new) > limit,
            // What failed and is answered now is mended.
            (Sort::Golden | Sort::Sampled, Rule::Relation) if matches!(old, Answer::Failed(_)) => {
                matches!(new, Answer::Failed(_)) && !output.holds(old, new, limit)
            }
            (Sort::Golden | Sort::Sampled, Rule::Relation) => !output.holds(old, new, limit),
        }
    }
}

/// Whether two answers are of one kind: values, NaN at the same places, errors of the same kind. Two models may differ at
/// the extremes.
fn alike(old: &Answer, new: &Answer) -> bool {
    let nans = |values: &[f64]| values.iter().map(|value| value.is_nan()).collect::<Vec<_>>();
    match (old, new) {
        (Answer::Numbers(a), Answer::Numbers(b)) => nans(a) == nans(b),
        (Answer::Labels(a), Answer::Labels(b)) => a.len() == b.len(),
        (Answer::Probabilities(a), Answer::Probabilities(b)) => {
            a.values().any(|p| p.is_nan()) == b.values().any(|p| p.is_nan())
        }
        (Answer::Failed(a), Answer::Failed(b)) => a == b,
        _ => false,
    }
}

/// The distances of one output.
struct Distances {
    name: String,
    limit: f64,
    off: usize,
    all: Vec<f64>,
}

impl Distances {
    fn of(name: &str, limit: f64) -> Self {
        Self { name: name.to_owned(), limit, off: 0, all: Vec::new() }
    }
}

/// How much a row says to whoever reads the report.
struct Rank {
    sort: Sort,
    distance: f64,
}

impl Rank {
    /// Golden rows are known, sampled ones are somebody's, generated ones nobody's.
    fn shows_more_than(&self, other: &Self) -> bool {
        let order = |sort: Sort| match sort {
            Sort::Golden => 2,
            Sort::Sampled => 1,
            Sort::Boundary => 0,
        };
        (order(self.sort), self.distance) > (order(other.sort), other.distance)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schema::contract::{OutputKind, Relation};

    use schema::contract::Outside;

    use super::*;
    use crate::squares::StratumOf;

    const RELATION: Bound = Bound { tolerance: |of| of.tolerance, rule: Rule::Relation };

    fn contract(share: f64, outputs: &[(&str, OutputContract)]) -> ResponseContract {
        let outputs = outputs.iter().map(|(name, of)| ((*name).to_owned(), of.clone())).collect();
        ResponseContract { share, edges: Edges::Judged, outside: Outside::Told, outputs, aggregates: Vec::new() }
    }

    fn score(tolerance: f64) -> OutputContract {
        OutputContract { tolerance, ..OutputContract::of(OutputKind::Score) }
    }

    fn numbers(values: &[f64]) -> Vec<RowAnswer> {
        values.iter().map(|value| vec![Answer::Numbers(vec![*value])]).collect()
    }

    fn said(share: f64, sorts: &[Sort], old: &[f64], new: &[f64]) -> Verdict {
        judge(&contract(share, &[("y", score(0.5))]), RELATION, (sorts, &[]), &numbers(old), &numbers(new))
    }

    #[test]
    fn a_share_of_sampled_rows_may_be_off_and_not_one_row_more() {
        let sorts = [Sort::Sampled; 4];
        let (old, new) = ([0.0; 4], [0.5, 0.6, 0.0, -0.1]);
        let verdict = said(0.25, &sorts, &old, &new);
        assert_eq!((verdict.passed, verdict.sampled, verdict.share), (true, Tally { rows: 4, off: 1 }, Some(0.25)));
        assert_eq!((verdict.max, verdict.limit, verdict.worst), (Some(0.6), 0.5, Some((1, "y".to_owned()))));
        assert!(!said(0.24, &sorts, &old, &new).passed);
    }

    /// What is off for few is not lost among many, and what many may be off is not on the account of few.
    #[test]
    fn where_rows_are_told_apart_each_stratum_is_judged() {
        let of = |name: &str| {
            let stratum = Some(StratumOf { name: name.to_owned(), is_key: false });
            Some(Arc::new(Beside { stratum, ..Beside::default() }))
        };
        let beside: Vec<_> = (0..200).map(|row| of(if row < 160 { "c=FR" } else { "c=NL" })).collect();
        let (sorts, old) = ([Sort::Sampled; 200], numbers(&[0.0; 200]));
        let said = |n_fr: usize, n_nl: usize, beside: &[Option<Arc<Beside>>]| {
            let new = |row: usize| if row < n_fr || (160..160 + n_nl).contains(&row) { 9.0 } else { 0.0 };
            let new = numbers(&(0..200).map(new).collect::<Vec<_>>());
            judge(&contract(0.05, &[("y", score(0.5))]), RELATION, (&sorts, beside), &old, &new)
        };
        let verdict = said(0, 8, &beside);
        assert_eq!((verdict.passed, verdict.share, verdict.upper_bound), (false, Some(0.04), None));
        let strata: Vec<_> = verdict.strata.iter().map(|of| (of.name.as_str(), of.rows, of.off, of.passed)).collect();
        assert_eq!(strata, [("c=FR", 160, 0, true), ("c=NL", 40, 8, false)]);
        assert!(said(8, 2, &beside).passed);
        // The same rows told apart by nothing.
        let verdict = said(0, 8, &[]);
        assert!(verdict.passed && verdict.strata.is_empty() && verdict.upper_bound.is_some());
    }

    #[test]
    fn of_golden_rows_every_one_must_pass() {
        let sorts = [Sort::Golden, Sort::Sampled, Sort::Sampled];
        let verdict = said(1.0, &sorts, &[0.0; 3], &[0.6, 9.0, 0.0]);
        assert_eq!((verdict.passed, verdict.golden), (false, Tally { rows: 1, off: 1 }));
        // It is shown first, whatever others are off.
        assert_eq!(verdict.worst, Some((0, "y".to_owned())));
    }

    #[test]
    fn boundary_rows_agree_in_kind_and_their_distances_count_for_nothing() {
        let verdict = said(0.0, &[Sort::Boundary; 2], &[1e30, f64::NAN], &[-1e30, f64::NAN]);
        assert_eq!((verdict.passed, verdict.max, verdict.upper_bound), (true, None, None));
        assert!(!said(0.0, &[Sort::Boundary], &[1.0], &[f64::NAN]).passed);
        let failed = |why: &str| vec![vec![Answer::Failed(why.to_owned())]];
        let with = |old: &[RowAnswer], new: &[RowAnswer]| {
            judge(&contract(0.0, &[("y", score(0.5))]), RELATION, (&[Sort::Boundary], &[]), old, new).passed
        };
        assert!(with(&failed("Invalid"), &failed("Invalid")));
        assert!(!with(&failed("Invalid"), &failed("Internal")));
        assert!(!with(&failed("Invalid"), &numbers(&[1.0])));
    }

    #[test]
    fn the_figures_are_of_the_output_that_is_off_most() {
        let contract = contract(1.0, &[("a", score(0.5)), ("b", score(0.1))]);
        let rows = |a: f64, b: f64| vec![Answer::Numbers(vec![a]), Answer::Numbers(vec![b])];
        let (old, new) = (vec![rows(0.0, 0.0); 2], vec![rows(0.4, 0.2), rows(0.4, 0.0)]);
        let verdict = judge(&contract, RELATION, (&[Sort::Sampled; 2], &[]), &old, &new);
        assert_eq!((verdict.output.as_str(), verdict.sampled.off, verdict.limit), ("b", 1, 0.1));
    }

    #[test]
    fn a_relation_may_go_one_way() {
        let never_lower = OutputContract { relation: Relation::NeverLower, ..score(0.0) };
        let contract = contract(0.0, &[("y", never_lower)]);
        let passed = |old: f64, new: f64| {
            judge(&contract, RELATION, (&[Sort::Sampled], &[]), &numbers(&[old]), &numbers(&[new])).passed
        };
        assert!(passed(0.1, 0.9));
        assert!(!passed(0.9, 0.1));
    }

    #[test]
    fn classes_are_matched_by_name() {
        let classes = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let of = OutputContract {
            tolerance: 0.1,
            ..OutputContract::of(OutputKind::Probabilities { classes: classes(["no", "yes"]) })
        };
        let said = |no: f64, yes: f64| {
            vec![vec![Answer::Probabilities(BTreeMap::from([("no".to_owned(), no), ("yes".to_owned(), yes)]))]]
        };
        let contract = contract(0.0, &[("p", of)]);
        let passed =
            |old: &[RowAnswer], new: &[RowAnswer]| judge(&contract, RELATION, (&[Sort::Sampled], &[]), old, new).passed;
        assert!(passed(&said(0.2, 0.8), &said(0.25, 0.75)));
        assert!(!passed(&said(0.2, 0.8), &said(0.8, 0.2)));
    }
}
