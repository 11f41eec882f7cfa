//! What a contract says of many answers together: no relation between two answers to one row, so it stands beside those
//! (natural transformations, section 2).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::FeatureName;

/// The fewest rows of a segment that is judged, unless said: of fewer a mean is mostly one of them.
pub const SEGMENT_ROWS_MIN: u32 = 30;

/// A condition on a figure of many rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The output that it is of.
    pub output: String,
    /// Of probabilities, the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The figure, and what it must be.
    #[serde(flatten)]
    pub figure: Figure,
}

/// A figure of many rows, and what it must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "figure")]
pub enum Figure {
    /// The mean over sampled rows, near that of the version before.
    Mean {
        /// A feature: each of its values has a mean of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        segment: Option<FeatureName>,
        /// How near.
        apart: Apart,
        /// The fewest rows of a segment that is judged.
        rows_min: u32,
    },
    /// The share of pairs of golden rows, one of either label, that are in the right order; ties count half.
    Auc {
        /// The label of golden rows: 1 or true where the class or the high score is right.
        label: String,
        /// The least that it may be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<f64>,
        /// How much less than that of the version before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worse_by: Option<f64>,
    },
    /// The expected calibration error over golden rows: in ten bins of equal width, how far the mean probability is from the
    /// share that it was right in, weighted by rows.
    Calibration {
        /// As of [`Self::Auc`].
        label: String,
        /// The most that it may be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<f64>,
        /// How much more than that of the version before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worse_by: Option<f64>,
    },
}

/// How far two means may be apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "most")]
pub enum Apart {
    /// Relative to the mean of the version before: 0.02 is two in a hundred.
    Relative(f64),
    /// In the output's own unit.
    Absolute(f64),
}

/// Numbers of a declaration are finite, so each equals itself.
impl Eq for Aggregate {}

impl Aggregate {
    /// Its name, as YAML and reports have it.
    pub fn kind(&self) -> &'static str {
        match self.figure {
            Figure::Mean { .. } => "mean",
            Figure::Auc { .. } => "auc",
            Figure::Calibration { .. } => "calibration",
        }
    }

    /// The feature whose values it looks at one by one.
    pub fn segment(&self) -> Option<&FeatureName> {
        match &self.figure {
            Figure::Mean { segment, .. } => segment.as_ref(),
            Figure::Auc { .. } | Figure::Calibration { .. } => None,
        }
    }
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of `{}`", self.kind(), self.output)?;
        if let Some(class) = &self.class {
            write!(f, " `{class}`")?;
        }
        match &self.figure {
            Figure::Mean { segment: Some(segment), .. } => write!(f, " by `{segment}`"),
            Figure::Mean { segment: None, .. } => Ok(()),
            Figure::Auc { label, .. } | Figure::Calibration { label, .. } => write!(f, " for `{label}`"),
        }
    }
}
