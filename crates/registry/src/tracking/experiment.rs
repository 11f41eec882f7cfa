//! Experiments: names under which runs are kept.

use std::fmt;

use super::{Lifecycle, Pair, TrackingError};

/// The number of an experiment; 0 is that of `Default`, which is always there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExperimentId(pub i64);

impl ExperimentId {
    /// The experiment of runs that name none.
    pub const DEFAULT: Self = Self(0);

    /// Reads a number.
    ///
    /// # Errors
    /// [`TrackingError::UnknownExperiment`]: what is no number is no experiment's either.
    pub fn parse(text: &str) -> Result<Self, TrackingError> {
        let number = text.parse().ok().filter(|number| *number >= 0);
        number.map(Self).ok_or_else(|| TrackingError::UnknownExperiment { id: text.chars().take(50).collect() })
    }
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// Its number, which no other one gets.
    pub id: ExperimentId,
    /// Its name, unique.
    pub name: String,
    /// A URI below which files of its runs are.
    pub artifact_location: String,
    /// Whether it is deleted.
    pub lifecycle: Lifecycle,
    /// In milliseconds since the epoch.
    pub created_ms: i64,
    /// In milliseconds since the epoch.
    pub updated_ms: i64,
    /// In the order of their keys.
    pub tags: Vec<Pair>,
}

/// An experiment to be made.
#[derive(Debug, Clone)]
pub struct NewExperiment {
    /// Its name.
    pub name: String,
    /// Where files are, if not at the place of its number.
    pub artifact_location: Option<String>,
    /// Of different keys.
    pub tags: Vec<Pair>,
    /// Now.
    pub now_ms: i64,
}

/// What changes of an experiment.
#[derive(Debug, Clone, Default)]
pub struct ExperimentChange {
    /// Its name.
    pub name: Option<String>,
    /// Deletes or restores it.
    pub lifecycle: Option<Lifecycle>,
    /// Tags that are set.
    pub tags: Vec<Pair>,
    /// Now.
    pub now_ms: i64,
}
