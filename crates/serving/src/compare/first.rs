//! Where two sides part: of a feature that differs, the first transform on its way from the source whose square fails
//! (natural transformations, section 6). That is the line to mend.

use std::fmt;

use featurestore::CompiledService;
use featurestore::compiled::ColumnSource;
use serde::Serialize;

use super::FeatureComparison;

/// The first step at which both sides differ, as far as its inputs were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstFailing {
    /// The feature, as `view:feature`.
    pub feature: String,
    /// What makes it.
    pub step: Step,
    /// Its inputs that were not compared, for the service has them not: it may be one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
}

/// What makes a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is stored: the row that is online is not the row of history.
    Stored,
    /// A computed feature of a view.
    Computed,
    /// A feature of an on-demand view.
    OnDemand,
}

/// Tells of each feature that is not equal where it first differs.
pub(super) fn find(compiled: &CompiledService, features: &mut [FeatureComparison]) {
    let failing: Vec<bool> = features.iter().map(|feature| !feature.is_equal()).collect();
    for (i, feature) in features.iter_mut().enumerate().filter(|(i, _)| failing[*i]) {
        feature.first_failing = compiled.sources.get(i).map(|source| walk(compiled, *source, &failing));
    }
}

fn walk(compiled: &CompiledService, source: ColumnSource, failing: &[bool]) -> FirstFailing {
    let mut not_compared = Vec::new();
    for input in compiled.inputs(source) {
        match compiled.sources.iter().position(|other| *other == input) {
            Some(column) if failing[column] => return walk(compiled, input, failing),
            Some(_) => {}
            None => not_compared.push(compiled.reference(input)),
        }
    }
    let step = match source {
        ColumnSource::OnDemand { .. } => Step::OnDemand,
        ColumnSource::Stored { view, feature } => {
            let is_stored = feature < compiled.views[view].view.definition.features.len();
            if is_stored { Step::Stored } else { Step::Computed }
        }
    };
    FirstFailing { feature: compiled.reference(source), step, not_compared }
}

impl fmt::Display for FirstFailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Stored => "what is stored is not what history has",
            Step::Computed => "a computed feature",
            Step::OnDemand => "a feature of an on-demand view",
        };
        write!(f, "`{}`: {step}", self.feature)?;
        if self.not_compared.is_empty() {
            return Ok(());
        }
        write!(f, "; not compared, for the service lacks them: `{}`", self.not_compared.join("`, `"))
    }
}
