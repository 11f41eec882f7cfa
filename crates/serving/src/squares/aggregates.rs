//! The aggregate conditions of a contract: figures of many rows, beside the squares (natural transformations, section 2).
//!
//! A mean is over sampled rows, for they are like those to come; what needs a label is over golden rows, for only they have
//! one. The judgement is pure; who is asked is at the end.

use std::collections::BTreeMap;
use std::fmt;

use schema::contract::{Aggregate, Answer, Apart, Figure, ResponseContract};
use serde::Serialize;

use super::answers::RowAnswer;
use super::checks::Asked;
use super::figures::{auc, calibration_error, mean};
use super::prepared::Prepared;
use super::release::Binding;
use super::report::short;
use super::rows::{ProbeRows, Sort};
use super::segments;
use crate::onnx::OnnxError;

/// The name of the check.
const CHECK: &str = "aggregates";
/// Segments that a report shows; those that are refused come first.
const SHOWN_MAX: usize = 8;

/// One condition at one service version.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The figure: mean of `score` by `country`.
    pub name: String,
    /// The service version.
    pub at: String,
    /// What is compared, for people.
    pub between: String,
    /// Whether the version may serve as far as this goes.
    pub passed: bool,
    /// What was found.
    #[serde(flatten)]
    pub found: Outcome,
}

/// What became of a condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// There was nothing to look at.
    Skipped {
        /// Why.
        why: String,
    },
    /// The figures were computed.
    Computed {
        /// Each with its limit.
        figures: Vec<Measured>,
        /// Rows that one of the sides does not answer with a number.
        left_out: usize,
        /// Segments of too few rows to be judged.
        #[serde(skip_serializing_if = "is_zero")]
        small: usize,
        /// What to do about a refusal.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// A figure and its limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The segment: `country=FR`; all rows where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// How many rows it is of.
    pub rows: usize,
    /// Of the version before, where it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<f64>,
    /// Of the new version.
    pub new: f64,
    /// What the limit is on: `relative`, `absolute`, `at_least`, `at_most`, `worse_by`.
    pub rule: &'static str,
    /// By how much it is off, of limits on a difference; none where it is infinitely far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_by: Option<f64>,
    /// The limit.
    pub limit: f64,
    /// Whether it is kept.
    pub passed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Measured {
    /// The new figure against a limit of its own.
    fn alone(rows: usize, new: f64, rule: &'static str, limit: f64) -> Self {
        let passed = if rule == "at_least" { new >= limit } else { new <= limit };
        Self { segment: None, rows, old: None, new, rule, off_by: None, limit, passed }
    }

    /// The new figure against the old one; `apart` is by how much it is off.
    fn against((old, new): (f64, f64), rows: usize, rule: &'static str, apart: f64, limit: f64) -> Self {
        let off_by = apart.is_finite().then_some(apart);
        Self { segment: None, rows, old: Some(old), new, rule, off_by, limit, passed: apart <= limit }
    }
}

/// The number that an answer is, for figures.
fn number(answer: &Answer, class: Option<&str>) -> Option<f64> {
    let value = match answer {
        Answer::Numbers(values) => *values.first()?,
        Answer::Probabilities(classes) => *classes.get(class?)?,
        Answer::Labels(_) | Answer::Failed(_) => return None,
    };
    value.is_finite().then_some(value)
}

/// How far two means are apart.
fn apart(old: f64, new: f64, of: Apart) -> (&'static str, f64, f64) {
    let absolute = (new - old).abs();
    match of {
        Apart::Absolute(limit) => ("absolute", absolute, limit),
        Apart::Relative(limit) if absolute == 0.0 => ("relative", 0.0, limit),
        Apart::Relative(limit) => ("relative", absolute / old.abs(), limit),
    }
}

/// What one side says to each row, as far as it is a number.
type Said = [Option<f64>];

/// Means over the rows that are `sampled`, by segment where `segments` names the feature and each row's value; beside them, rows
/// left out and segments too small.
fn means(
    (of, rows_min): (Apart, u32),
    (old, new): (&Said, &Said),
    sampled: &[usize],
    segments: Option<(&str, &[String])>,
) -> (Vec<Measured>, usize, usize) {
    let mut by_segment: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    let mut left_out = 0;
    for row in sampled {
        let segment = segments.map_or("", |(_, names)| names[*row].as_str());
        match (old[*row], new[*row]) {
            (Some(old), Some(new)) => {
                let both = by_segment.entry(segment).or_default();
                both.0.push(old);
                both.1.push(new);
            }
            _ => left_out += 1,
        }
    }
    let rows_min = if segments.is_some() { usize::try_from(rows_min).unwrap_or(usize::MAX) } else { 1 };
    let n_all = by_segment.len();
    by_segment.retain(|_, (_, new)| new.len() >= rows_min);
    let small = n_all - by_segment.len();
    let measured = by_segment.into_iter().filter_map(|(segment, (old, new))| {
        let (rows, old, new) = (new.len(), mean(&old)?, mean(&new)?);
        let (rule, off_by, limit) = apart(old, new, of);
        let segment = segments.map(|(feature, _)| format!("{feature}={segment}"));
        Some(Measured { segment, ..Measured::against((old, new), rows, rule, off_by, limit) })
    });
    (measured.collect(), left_out, small)
}

/// A figure of labels, how it is computed and what it must be.
struct Labelled {
    of: fn(&[f64], &[bool]) -> Option<f64>,
    /// How much worse the second is than the first.
    worse: fn(f64, f64) -> f64,
    rule: &'static str,
    bound: Option<f64>,
    worse_by: Option<f64>,
}

impl Labelled {
    /// Over rows with their labels: what is asked of the new version alone over those that it answers, what is asked of both over
    /// those that both answer. `None` where nothing of it can be judged.
    fn measured(&self, old: Option<&Said>, new: &Said, labels: &[(usize, bool)]) -> Option<(Vec<Measured>, usize)> {
        let of = |sides: &[&Said]| {
            let rows = labels.iter().filter(|(row, _)| sides.iter().all(|side| side[*row].is_some()));
            rows.copied().collect::<Vec<(usize, bool)>>()
        };
        let figure = |side: &Said, rows: &[(usize, bool)]| {
            let said: Vec<f64> = rows.iter().filter_map(|(row, _)| side[*row]).collect();
            let labels: Vec<bool> = rows.iter().map(|(_, label)| *label).collect();
            (self.of)(&said, &labels)
        };
        let own = of(&[new]);
        let alone = self.bound.and_then(|bound| Some(Measured::alone(own.len(), figure(new, &own)?, self.rule, bound)));
        let against = self.worse_by.zip(old).and_then(|(limit, old)| {
            let both = of(&[old, new]);
            let (before, after) = (figure(old, &both)?, figure(new, &both)?);
            let off_by = (self.worse)(before, after);
            Some(Measured::against((before, after), both.len(), "worse_by", off_by, limit))
        });
        let all: Vec<Measured> = alone.into_iter().chain(against).collect();
        (!all.is_empty()).then(|| (all, labels.len() - own.len()))
    }
}

/// Golden rows that have a label, with it.
fn labels(rows: &ProbeRows, label: &str) -> Vec<(usize, bool)> {
    let of = |row: usize| Some((row, *rows.beside[row].as_ref()?.labels.get(label)?));
    (0..rows.len()).filter(|row| rows.sorts[*row] == Sort::Golden).filter_map(of).collect()
}

/// What is judged at one service version.
struct At<'a> {
    new: &'a Binding,
    rows: &'a ProbeRows,
    contract: &'a ResponseContract,
    /// What the version before says; none where it does not answer this service version.
    before: Option<&'a [RowAnswer]>,
    after: &'a [RowAnswer],
}

impl At<'_> {
    fn judge(&self, aggregate: &Aggregate, none: &str) -> Outcome {
        let skipped = |why: String| Outcome::Skipped { why };
        let place = self.contract.outputs.keys().position(|name| *name == aggregate.output).unwrap_or(0);
        let said = |answers: &[RowAnswer]| -> Vec<Option<f64>> {
            answers.iter().map(|row| number(row.get(place)?, aggregate.class.as_deref())).collect()
        };
        let (old, new) = (self.before.map(said), said(self.after));
        let (figures, left_out, small) = match &aggregate.figure {
            Figure::Mean { segment, apart, rows_min } => {
                let Some(old) = &old else { return skipped(none.to_owned()) };
                let service = &self.new.service;
                let named = |feature: &str| segments::of_feature(service, &self.rows.columns, feature);
                let segments = match segment.as_ref().map(|feature| (feature.as_str(), named(feature.as_str()))) {
                    None => None,
                    Some((feature, Some(names))) => Some((feature, names)),
                    Some((feature, None)) => return skipped(format!("it has no feature `{feature}`")),
                };
                let is_sampled = |row: &usize| self.rows.sorts[*row] == Sort::Sampled;
                let sampled: Vec<usize> = (0..self.rows.len()).filter(is_sampled).collect();
                let segments = segments.as_ref().map(|(feature, names)| (*feature, &names[..]));
                means((*apart, *rows_min), (old, &new), &sampled, segments)
            }
            Figure::Auc { label, at_least: bound, worse_by }
            | Figure::Calibration { label, at_most: bound, worse_by } => {
                let labels = labels(self.rows, label);
                if labels.is_empty() {
                    return skipped(format!("no golden row has `label.{label}`"));
                }
                let (bound, worse_by) = (*bound, *worse_by);
                let labelled = match aggregate.figure {
                    Figure::Auc { .. } => {
                        Labelled { of: auc, worse: |old, new| old - new, rule: "at_least", bound, worse_by }
                    }
                    _ => Labelled {
                        of: calibration_error,
                        worse: |old, new| new - old,
                        rule: "at_most",
                        bound,
                        worse_by,
                    },
                };
                match labelled.measured(old.as_deref(), &new, &labels) {
                    Some((figures, left_out)) => (figures, left_out, 0),
                    None if bound.is_none() && old.is_none() => return skipped(none.to_owned()),
                    None => {
                        return skipped(format!("of {} golden rows with `label.{label}` there is none", labels.len()));
                    }
                }
            }
        };
        if figures.is_empty() {
            let why = if small > 0 { "no segment has rows enough" } else { "no sampled row is answered by both" };
            return skipped(why.to_owned());
        }
        Outcome::Computed { figures, left_out, small, hint: None }
    }
}

impl Prepared {
    /// All conditions of the contract: at the candidate's own service version, and wherever else they can be looked at.
    pub(super) fn aggregates(&self, asked: &Asked) -> Result<Vec<Judged>, OnnxError> {
        let mut all = Vec::new();
        if self.contract.aggregates.is_empty() {
            return Ok(all);
        }
        let candidate = &self.sides.candidate;
        let own = candidate.model.compiled.service.id();
        let holder = self.sides.holder.as_ref().ok().zip(self.holder.as_ref());
        for new in &self.candidate.bindings {
            let id = new.id();
            let rows = &asked.rows[&id];
            let after = asked.sessions.answers(new, candidate, rows, &self.contract)?;
            let old = holder.and_then(|(side, release)| Some((side, release.binding(&id)?)));
            let before = old.map(|(side, old)| asked.sessions.answers(old, side, rows, &self.contract)).transpose()?;
            let none = match (&self.sides.holder, &before) {
                (Err(why), _) => why.clone(),
                (Ok(side), _) => format!("{} does not answer it", side.name),
            };
            let between = match old {
                Some((side, _)) => format!("{} against {}", side.name, candidate.name),
                None => candidate.name.clone(),
            };
            let at = At { new, rows, contract: &self.contract, before: before.as_deref(), after: &after };
            for aggregate in &self.contract.aggregates {
                let mut found = at.judge(aggregate, &none);
                let passed = found.passed();
                if let Outcome::Computed { figures, hint, .. } = &mut found {
                    let refused = figures.iter().find(|figure| !figure.passed);
                    *hint = refused.map(|figure| self.hint(figure.rule));
                }
                // What is left out is said once.
                if id == own || matches!(found, Outcome::Computed { .. }) {
                    let (name, at, between) = (aggregate.to_string(), id.to_string(), between.clone());
                    all.push(Judged { name, at, between, passed, found });
                }
            }
        }
        Ok(all)
    }
}

impl Outcome {
    fn passed(&self) -> bool {
        match self {
            Self::Skipped { .. } => true,
            Self::Computed { figures, .. } => figures.iter().all(|figure| figure.passed),
        }
    }
}

impl Judged {
    /// Whether anything was computed.
    pub fn was_made(&self) -> bool {
        matches!(self.found, Outcome::Computed { .. })
    }

    /// The figure that refuses the version, in a line, and what to do.
    pub fn refused(&self) -> Option<(String, &str)> {
        let Outcome::Computed { figures, hint, .. } = &self.found else { return None };
        let refused = figures.iter().find(|figure| !figure.passed)?;
        Some((format!("{}: {refused}", self.name), hint.as_deref().unwrap_or_default()))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, rows, old, new, rule, off_by, limit, .. } = self;
        if let Some(segment) = segment {
            write!(f, "{segment} ")?;
        }
        match old {
            Some(old) => write!(f, "old {}, new {}", short(*old), short(*new))?,
            None => write!(f, "{}", short(*new))?,
        }
        let share = |value: f64| format!("{} %", short(100.0 * value));
        let (off, most) = match (*rule, off_by) {
            ("relative", Some(off)) => (format!(", off by {}", share(*off)), share(*limit)),
            ("relative", None) => (", the old one is 0".to_owned(), share(*limit)),
            ("absolute", Some(off)) => (format!(", off by {}", short(*off)), short(*limit)),
            ("worse_by", Some(off)) => (format!(", worse by {}", short(off.max(0.0))), short(*limit)),
            ("at_least", _) => (String::new(), format!("at least {}", short(*limit))),
            ("at_most", _) => (String::new(), format!("at most {}", short(*limit))),
            _ => (String::new(), short(*limit)),
        };
        write!(f, "{off} (limit {most}), {rows} rows")
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, at, between, passed, found } = self;
        let sign = match (found, passed) {
            (Outcome::Skipped { .. }, _) => "- ",
            (_, true) => "ok",
            (_, false) => "x ",
        };
        write!(f, "  {sign}  {CHECK:<15} {at}: {name}")?;
        let Outcome::Computed { figures, left_out, small, hint } = found else {
            let Outcome::Skipped { why } = found else { return Ok(()) };
            return writeln!(f, " not looked at, {why}");
        };
        writeln!(f, ", {between}")?;
        let in_order =
            figures.iter().filter(|figure| !figure.passed).chain(figures.iter().filter(|figure| figure.passed));
        for figure in in_order.take(SHOWN_MAX) {
            writeln!(f, "        {} {figure}", if figure.passed { "ok" } else { "x " })?;
        }
        if let Some(more) = figures.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
            writeln!(f, "        and {more} more")?;
        }
        for (n, what) in [(*small, "segments have too few rows to be judged"), (*left_out, "rows have no number")] {
            if n > 0 {
                writeln!(f, "        {n} {what}")?;
            }
        }
        match hint {
            Some(hint) => writeln!(f, "        try: {hint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [&str; 6] = ["FR", "FR", "FR", "DE", "DE", "NL"];

    fn by_country(of: Apart, rows_min: u32, old: &[f64], new: &[f64]) -> (Vec<String>, usize, usize) {
        let said = |values: &[f64]| values.iter().map(|value| value.is_finite().then_some(*value)).collect::<Vec<_>>();
        let names: Vec<String> = ROWS.iter().map(|name| (*name).to_owned()).collect();
        let rows: Vec<usize> = (0..ROWS.len()).collect();
        let (found, left_out, small) =
            means((of, rows_min), (&said(old), &said(new)), &rows, Some(("country", &names)));
        let line = |figure: &Measured| format!("{} {figure}", if figure.passed { "ok" } else { "x" });
        (found.iter().map(line).collect(), left_out, small)
    }

    #[test]
    fn a_segment_is_refused_though_all_rows_together_are_near() {
        let (old, new) = ([1.0, 2.0, 3.0, 4.0, 4.0, 9.0], [1.0, 2.0, 3.3, 4.0, 3.7, 99.0]);
        let (found, left_out, small) = by_country(Apart::Relative(0.04), 2, &old, &new);
        let want = [
            "ok country=DE old 4, new 3.85, off by 3.75 % (limit 4 %), 2 rows",
            "x country=FR old 2, new 2.1, off by 5 % (limit 4 %), 3 rows",
        ];
        assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>(), left_out, small), (want.to_vec(), 0, 1));
        let all = means((Apart::Relative(0.04), 9), (&old.map(Some), &new.map(Some)), &[0, 1, 2, 3, 4], None);
        assert!(all.0.len() == 1 && all.0[0].passed, "{all:?}");
    }

    #[test]
    fn a_row_that_one_side_does_not_answer_is_in_neither_mean() {
        let old = [1.0, 2.0, f64::NAN, 4.0, 4.0, 1.0];
        let (found, left_out, _) = by_country(Apart::Absolute(0.5), 1, &old, &[1.0, 2.0, 50.0, 5.0, f64::NAN, 1.0]);
        let want = [
            "x country=DE old 4, new 5, off by 1 (limit 0.5), 1 rows",
            "ok country=FR old 1.5, new 1.5, off by 0 (limit 0.5), 2 rows",
            "ok country=NL old 1, new 1, off by 0 (limit 0.5), 1 rows",
        ];
        assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>(), left_out), (want.to_vec(), 2));
    }

    #[test]
    fn nothing_is_near_to_a_mean_of_zero_but_itself() {
        let zero = by_country(Apart::Relative(9.0), 3, &[0.0; 6], &[0.0; 6]).0;
        assert_eq!(zero, ["ok country=FR old 0, new 0, off by 0 % (limit 900 %), 3 rows"]);
        let other = by_country(Apart::Relative(9.0), 3, &[0.0; 6], &[0.1; 6]).0;
        assert_eq!(other, ["x country=FR old 0, new 0.1, the old one is 0 (limit 900 %), 3 rows"]);
    }

    #[test]
    fn an_area_may_not_be_small_nor_much_smaller_than_before() {
        let of = |bound, worse_by| Labelled { of: auc, worse: |old, new| old - new, rule: "at_least", bound, worse_by };
        let labels = [(0, true), (1, false), (2, true), (3, false)];
        // Before, three of four pairs are in order; now two are.
        let (old, new) = ([0.9, 0.1, 0.4, 0.6].map(Some), [0.9, 0.7, 0.4, 0.6].map(Some));
        let found = |of: Labelled, old: Option<&Said>, new: &Said| {
            let (all, left_out) = of.measured(old, new, &labels)?;
            Some((all.iter().map(|one| format!("{} {one}", one.passed)).collect::<Vec<_>>(), left_out))
        };
        let said = found(of(Some(0.5), Some(0.2)), Some(&old), &new).unwrap();
        let want =
            ["true 0.5 (limit at least 0.5), 4 rows", "false old 0.75, new 0.5, worse by 0.25 (limit 0.2), 4 rows"];
        assert_eq!((said.0.iter().map(String::as_str).collect::<Vec<_>>(), said.1), (want.to_vec(), 0));
        // Without a version before the area stands alone; to be better is no fault.
        assert_eq!(found(of(Some(0.6), Some(0.2)), None, &new).unwrap().0, ["false 0.5 (limit at least 0.6), 4 rows"]);
        let better = found(of(None, Some(0.0)), Some(&new), &old).unwrap().0;
        assert_eq!(better, ["true old 0.5, new 0.75, worse by 0 (limit 0), 4 rows"]);
        assert_eq!(found(of(None, Some(0.2)), None, &new), None);
        // Rows that are not answered are in neither; of one label alone there is no area.
        assert_eq!(found(of(Some(0.5), None), None, &[Some(0.1), None, Some(0.2), None]), None);
        // What the version before does not answer says nothing for the new one.
        let unanswered = [None, Some(0.1), None, Some(0.6)];
        let said = found(of(Some(0.8), Some(0.1)), Some(&unanswered), &new).unwrap().0;
        assert_eq!(said, ["false 0.5 (limit at least 0.8), 4 rows"]);
    }
}
