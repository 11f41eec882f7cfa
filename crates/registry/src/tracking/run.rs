//! Runs: what was tried, with which parameters, and what was measured.

use super::{ExperimentId, Lifecycle, PageToken, Pair, TrackingError};

/// The tag that has what clients of MLflow 2 say of models, as a JSON list.
pub(super) const MODEL_HISTORY: &str = "mlflow.log-model.history";

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "MLflow's words")]
pub enum RunStatus {
    Running,
    Scheduled,
    Finished,
    Failed,
    Killed,
}

/// What is known of a run besides its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Where it is.
    pub experiment: ExperimentId,
    /// For people; also its tag `mlflow.runName`.
    pub name: String,
    /// Who started it.
    pub user: String,
    /// How far it is.
    pub status: RunStatus,
    /// In milliseconds since the epoch.
    pub start_ms: i64,
    /// In milliseconds since the epoch.
    pub end_ms: Option<i64>,
    /// The URI below which its files are.
    pub artifact_uri: String,
    /// Whether it is deleted.
    pub lifecycle: Lifecycle,
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What it is.
    pub info: RunInfo,
    /// In the order of their keys.
    pub params: Vec<Pair>,
    /// In the order of their keys.
    pub tags: Vec<Pair>,
    /// The latest point of each, in the order of their keys.
    pub metrics: Vec<Metric>,
    /// Models that it made, in the order in which it said so.
    pub outputs: Vec<ModelOutput>,
}

/// A point of a metric. The latest of several is that of the largest step, then time, then value.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Which metric.
    pub key: String,
    /// May be NaN or infinite.
    pub value: f64,
    /// In milliseconds since the epoch.
    pub at_ms: i64,
    /// Of the training.
    pub step: i64,
    /// The logged model that was measured.
    pub model: Option<String>,
    /// Name and digest of the data set that it was measured on.
    pub dataset: Option<Pair>,
}

/// A model that a run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOutput {
    /// Its id.
    pub model: String,
    /// At which step.
    pub step: i64,
}

/// What is added to a run at once.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Points.
    pub metrics: Vec<Metric>,
    /// Of different keys.
    pub params: Vec<Pair>,
    /// The last one of a key counts.
    pub tags: Vec<Pair>,
    /// Models that the run made.
    pub outputs: Vec<ModelOutput>,
    /// An entry of the tag `mlflow.log-model.history`, a JSON list: what clients of MLflow 2 say of a model.
    pub model_json: Option<String>,
}

/// What changes of a run.
#[derive(Debug, Clone, Default)]
pub struct RunChange {
    /// Its name, and the tag that has it.
    pub name: Option<String>,
    /// How far it is.
    pub status: Option<RunStatus>,
    /// When it ended.
    pub end_ms: Option<i64>,
    /// Deletes or restores it. A deleted one changes in no other way.
    pub lifecycle: Option<Lifecycle>,
    /// A tag that goes.
    pub without_tag: Option<String>,
}

/// Which runs.
#[derive(Debug, Clone)]
pub struct RunsWanted {
    /// Of these experiments.
    pub experiments: Vec<ExperimentId>,
    /// In these states.
    pub lifecycles: Vec<Lifecycle>,
    /// Behind a page.
    pub after: Option<PageToken>,
    /// How many at most.
    pub rows_max: u32,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

impl Metric {
    /// Its value: one of all NaNs, and one of both zeros, for what is equal, or no number, is one point.
    pub(super) fn bits(&self) -> i64 {
        let one = if self.value.is_nan() { f64::NAN } else { self.value + 0.0 };
        one.to_bits().cast_signed()
    }
}

/// The list `before` with `json` behind it, unless it ends with the same: the client asked twice.
///
/// # Errors
/// [`TrackingError::Invalid`] if `json` is none.
pub(super) fn with_model(before: &str, json: &str) -> Result<String, TrackingError> {
    let said: serde_json::Value = serde_json::from_str(json)
        .map_err(|why| TrackingError::Invalid(format!("`model_json` is not valid JSON: {why}")))?;
    let mut all: Vec<serde_json::Value> = serde_json::from_str(before).unwrap_or_default();
    if all.last() != Some(&said) {
        all.push(said);
    }
    Ok(serde_json::Value::Array(all).to_string())
}
