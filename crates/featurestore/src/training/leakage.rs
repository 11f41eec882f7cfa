//! The leakage report: signs that a training row knows what serving will not.
//!
//! | finding | is a leak |
//! |---|---|
//! | a feature equals the label, or determines it | yes |
//! | a feature's row is of a later time than the label | yes |
//! | a view that says `known: event` used rows that were not yet known | yes |
//! | a view that says `known: as_of` kept such rows out | no: it says what would have leaked |
//! | most rows use a feature row of their very own instant | a suspicion: the feature may come from the event that is predicted |

mod hindsight;
mod labels;

use std::fmt;

use arrow::array::{ArrayRef, RecordBatch};
use schema::{Status, Timestamp, pii};
use serde::Serialize;

use super::profile::{Profiler, Role, Seen, shown};
use crate::assemble::FeatureRows;
use crate::compiled::CompiledService;
pub(super) use hindsight::Differences;
pub use hindsight::{Hindsight, HindsightRow};
use labels::Pairs;
pub use labels::{Grounds, LabelLeak};

/// Rows that a finding shows.
pub(super) const SHOWN: usize = 5;

/// What was looked for and found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Leakage {
    /// Features that equal a label or determine it.
    pub labels: Vec<LabelLeak>,
    /// Features that would differ under the other rule of what is known.
    pub hindsight: Vec<Hindsight>,
    /// Views of which most rows use a row of their own instant.
    pub same_instant: Vec<SameInstant>,
    /// Views with rows later than the label.
    pub after_label: Vec<AfterLabel>,
}

/// A view whose rows stand at the very instants of the training rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SameInstant {
    /// The view, as the service calls it.
    pub view: String,
    /// Training rows that use a row of their own instant.
    pub rows: u64,
    /// Training rows that use any row.
    pub of: u64,
}

/// A view with rows of a later time than the label has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AfterLabel {
    /// The view, as the service calls it.
    pub view: String,
    /// Training rows that use such a row.
    pub rows: u64,
    /// The first of them, by number in the training set.
    pub first: Vec<u64>,
}

impl Leakage {
    /// Whether something is a leak, not only a suspicion.
    pub fn leaks(&self) -> bool {
        let used = self.hindsight.iter().any(|found| found.known == "event");
        !self.labels.is_empty() || !self.after_label.is_empty() || used
    }
}

impl fmt::Display for Leakage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for found in &self.labels {
            writeln!(f, "LEAK {found}")?;
        }
        for found in &self.after_label {
            let AfterLabel { view, rows, first } = found;
            writeln!(
                f,
                "LEAK {rows} rows use a row of feature view `{view}` later than the label, first row {first:?}"
            )?;
        }
        for found in &self.hindsight {
            writeln!(f, "{found}")?;
        }
        for SameInstant { view, rows, of } in &self.same_instant {
            writeln!(
                f,
                "look at `{view}`: {rows} of {of} rows use a row of their own instant; is it part of what is predicted?"
            )?;
        }
        Ok(())
    }
}

/// What the rows that stream by say of leaks.
#[derive(Debug)]
pub(super) struct Finder {
    pairs: Pairs,
    differences: Differences,
    /// Per view: rows of their own instant, rows found, rows after the label and the first of them.
    views: Vec<(String, u64, u64, AfterLabel)>,
}

impl Finder {
    pub(super) fn new(compiled: &CompiledService, roles: &[Role]) -> Self {
        let view = |name: &String| (name.clone(), 0, 0, AfterLabel { view: name.clone(), rows: 0, first: Vec::new() });
        Self {
            pairs: Pairs::new(roles),
            differences: Differences::new(compiled),
            views: compiled.views.iter().map(|used| view(&used.name)).collect(),
        }
    }

    /// Looks at the times of a block's rows; `first_row` is its first row's number.
    pub(super) fn times(
        &mut self,
        first_row: u64,
        times: &[Option<Timestamp>],
        label_times: Option<&[Option<Timestamp>]>,
        features: &FeatureRows,
    ) {
        for ((_, same, found, after), events) in self.views.iter_mut().zip(&features.event_times) {
            for (row, event) in events.iter().enumerate() {
                let Some(event) = *event else { continue };
                *found += 1;
                *same += u64::from(times[row] == Some(event));
                if label_times.and_then(|labels| labels[row]).is_some_and(|label| event > label) {
                    after.rows += 1;
                    if after.first.len() < SHOWN {
                        after.first.push(first_row + row as u64);
                    }
                }
            }
        }
    }

    pub(super) fn differences(&mut self) -> &mut Differences {
        &mut self.differences
    }

    /// Looks at a chunk's labels and features.
    pub(super) fn chunk(&mut self, chunk: &RecordBatch, seen: &[Seen]) {
        self.pairs.add(chunk, seen);
    }

    pub(super) fn end(self, names: &[String], profiler: &Profiler) -> Leakage {
        let same = |(view, rows, of, _): &(String, u64, u64, AfterLabel)| {
            (*of > 0 && rows * 2 > *of).then(|| SameInstant { view: view.clone(), rows: *rows, of: *of })
        };
        Leakage {
            labels: self.pairs.end(names, profiler),
            hindsight: self.differences.end(),
            same_instant: self.views.iter().filter_map(same).collect(),
            after_label: self.views.into_iter().map(|(.., after)| after).filter(|after| after.rows > 0).collect(),
        }
    }
}

/// A value and its status for people.
fn told(column: &ArrayRef, row: usize, status: Status, personal: bool) -> String {
    match status {
        Status::Present => pii::shown(shown(column, row), personal).into_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
