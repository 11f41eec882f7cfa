//! Rows whose features would be others under the other rule of what is known: `as_of`, by when a row arrived, or `event`,
//! by when it happened.

use std::cmp::Ordering;
use std::fmt;

use arrow::array::make_comparator;
use arrow::compute::SortOptions;
use schema::order::Known;
use serde::Serialize;

use super::{SHOWN, told};
use crate::assemble::FeatureRows;
use crate::compiled::{ColumnSource, CompiledService};

/// A feature that hindsight would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hindsight {
    /// The feature.
    pub feature: String,
    /// The rule of its view: `as_of`, `event`, or `both` for a feature of views with either.
    pub known: &'static str,
    /// Training rows that would have another value.
    pub rows: u64,
    /// The first of them.
    pub first: Vec<HindsightRow>,
}

/// One row with both values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HindsightRow {
    /// Its number in the training set, from 0.
    pub row: u64,
    /// What it has.
    pub value: String,
    /// What it would have.
    pub other: String,
}

impl fmt::Display for Hindsight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { feature, known, rows, first } = self;
        match *known {
            "event" => write!(f, "LEAK `{feature}` has values in {rows} rows that were not known yet")?,
            _ => write!(f, "kept out: `{feature}` would have known {rows} rows better with hindsight (known: event)")?,
        }
        match first.first() {
            Some(HindsightRow { row, value, other }) => write!(f, "; row {row}: {value}, otherwise {other}"),
            None => Ok(()),
        }
    }
}

/// The differences found so far.
#[derive(Debug)]
pub(in super::super) struct Differences {
    features: Vec<Hindsight>,
    /// Whose values are not shown.
    personal: Vec<bool>,
}

impl Differences {
    pub(super) fn new(compiled: &CompiledService) -> Self {
        let feature = |(column, source): (&schema::ServiceColumn, &ColumnSource)| Hindsight {
            feature: column.name.to_string(),
            known: known(compiled, *source),
            rows: 0,
            first: Vec::new(),
        };
        let features: Vec<Hindsight> = compiled.service.columns.iter().zip(&compiled.sources).map(feature).collect();
        Self { personal: (0..features.len()).map(|i| compiled.is_personal(i)).collect(), features }
    }

    /// Compares what rows have with what they would have; `numbers[i]` is the number of row `i` of `other`, and
    /// `rows[i]` its place in `has`.
    pub(in super::super) fn add(&mut self, first_row: u64, rows: &[u32], has: &FeatureRows, other: &FeatureRows) {
        for (i, feature) in self.features.iter_mut().enumerate() {
            let (a, b) = (&has.columns[i], &other.columns[i]);
            let personal = self.personal[i];
            let Ok(compare) = make_comparator(a, b, SortOptions::default()) else { continue };
            for (at, row) in rows.iter().enumerate() {
                let row = *row as usize;
                let statuses = (has.statuses[i][row], other.statuses[i][at]);
                if statuses.0 == statuses.1 && compare(row, at) == Ordering::Equal {
                    continue;
                }
                feature.rows += 1;
                if feature.first.len() < SHOWN {
                    feature.first.push(HindsightRow {
                        row: first_row + row as u64,
                        value: told(a, row, statuses.0, personal),
                        other: told(b, at, statuses.1, personal),
                    });
                }
            }
        }
    }

    pub(super) fn end(self) -> Vec<Hindsight> {
        self.features.into_iter().filter(|feature| feature.rows > 0).collect()
    }
}

/// The rule of the views that a feature is made of.
fn known(compiled: &CompiledService, source: ColumnSource) -> &'static str {
    let mut rules = Vec::new();
    collect(compiled, source, &mut rules);
    match (rules.contains(&Known::AsOf), rules.contains(&Known::Event)) {
        (true, true) => "both",
        (false, true) => "event",
        _ => "as_of",
    }
}

fn collect(compiled: &CompiledService, source: ColumnSource, rules: &mut Vec<Known>) {
    match source {
        ColumnSource::Stored { view, .. } => rules.push(compiled.views[view].view.definition.known),
        ColumnSource::OnDemand { view, .. } => {
            compiled.on_demand[view].inputs.iter().for_each(|input| collect(compiled, *input, rules));
        }
    }
}
