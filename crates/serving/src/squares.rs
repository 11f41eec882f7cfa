//! The squares between an old and a new way to the same answers (natural transformations, sections 2, 3, 9, 10).
//!
//! Compatibility: of each migration between service versions that clients still send, migrating a row and asking the new
//! side gives what asking the old side and adapting its answer gives. Contract: at each of those versions, what holds the
//! stage and what is to hold it differ by no more than the model's contract allows. Anchor: neither does the version that a
//! person approved last. All rows run through the code that serves.

mod aggregates;
mod answers;
mod checks;
mod compare;
mod figures;
pub mod gather;
pub mod golden;
mod judge;
mod outside;
mod prepared;
pub mod probe_set;
mod promises;
pub mod release;
mod report;
mod rows;
pub(crate) mod segments;
mod sessions;
mod shrink;
mod statistics;
pub(crate) mod strata;
mod typical;
mod ways;
pub(crate) mod words;

use std::sync::Arc;

use schema::ErrorKind;
use schema::contract::CheckName;
use schema::migration::ServiceVersion;
use serde::Serialize;

pub use aggregates::{Judged, Measured, Outcome};
pub(crate) use answers::{answer, classifier, in_words};
pub use answers::{fits, undeclared};
pub use judge::{Tally, Verdict};
pub use prepared::Prepared;
pub use promises::Promise;
pub(crate) use report::short;
pub use report::{Compared, Counterexample, Found, MovedBy, Square};
pub use rows::{ProbeRows, Sort};
pub use statistics::upper_bound;
pub use strata::{Stratum, StratumOf};

use crate::fleet::LoadedModel;
use crate::onnx::OnnxError;
use release::ReleaseError;

/// Why the squares could not be made; one that was made and does not commute is no error.
#[derive(Debug, thiserror::Error)]
pub enum SquareError {
    /// What is applied is not understood.
    #[error("finding out what answers older clients")]
    Release(#[from] ReleaseError),
    /// Rows cannot be made or run.
    #[error("running the squares")]
    Run(#[from] OnnxError),
}

impl SquareError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Release(_) => ErrorKind::Internal,
            Self::Run(why) => why.kind(),
        }
    }
}

/// A version with a name for reports.
#[derive(Debug, Clone)]
pub struct Side {
    /// It, ready to answer.
    pub model: Arc<LoadedModel>,
    /// What it is in the comparison: `version 6`.
    pub name: String,
}

/// Rows that are pinned with a version.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// The service version that they are of.
    pub service: ServiceVersion,
    /// They.
    pub rows: ProbeRows,
}

/// What is judged, and what it is held against.
#[derive(Debug, Clone)]
pub struct Sides {
    /// The version that a stage is to have.
    pub candidate: Side,
    /// The one that it has, or why there is none to compare with.
    pub holder: Result<Side, String>,
    /// The one that a person approved last, or why there is none to compare with.
    pub anchor: Result<Side, String>,
    /// Rows that all of them are asked, where they answer this service version.
    pub pinned: Vec<Pinned>,
}

impl Sides {
    /// All that there are.
    fn all(&self) -> impl Iterator<Item = &Side> {
        [Some(&self.candidate), self.holder.as_ref().ok(), self.anchor.as_ref().ok()].into_iter().flatten()
    }
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Squares {
    /// Each square.
    pub squares: Vec<Square>,
    /// Figures of many rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<Judged>,
    /// What older clients are promised.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promises: Vec<Promise>,
}

impl Squares {
    /// Whether none refuses the version.
    pub fn passed(&self) -> bool {
        self.squares.iter().all(|square| square.passed) && self.aggregates.iter().all(|judged| judged.passed)
    }

    /// Whether a check was made at all.
    pub fn made(&self, check: CheckName) -> bool {
        if check == CheckName::Aggregates {
            let first =
                |judged: &Judged| self.aggregates.iter().any(|other| other.name == judged.name && other.was_made());
            return !self.aggregates.is_empty() && self.aggregates.iter().all(first);
        }
        let check = check.as_str();
        self.squares.iter().any(|square| square.check == check && square.was_made())
    }
}
