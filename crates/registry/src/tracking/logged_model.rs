//! Logged models: files that a run made, with an id of their own, before anybody registers them.

use super::{ExperimentId, Metric, PageToken, Pair};

/// How far the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelStatus {
    /// They are coming.
    Pending,
    /// They are there.
    Ready,
    /// They did not come.
    UploadFailed,
}

/// A logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedModel {
    /// `m-` and 32 hexadecimal digits.
    pub id: String,
    /// Where it is.
    pub experiment: ExperimentId,
    /// For people; several may have one name.
    pub name: String,
    /// The URI below which its files are.
    pub artifact_uri: String,
    /// How far its files are.
    pub status: ModelStatus,
    /// What the user calls its kind, or nothing.
    pub model_type: String,
    /// The run that made it.
    pub source_run: Option<String>,
    /// In milliseconds since the epoch.
    pub created_ms: i64,
    /// In milliseconds since the epoch.
    pub updated_ms: i64,
    /// In the order of their keys.
    pub params: Vec<Pair>,
    /// In the order of their keys.
    pub tags: Vec<Pair>,
    /// All points that runs measured of it, with the run of each.
    pub metrics: Vec<(String, Metric)>,
}

/// What changes of a logged model.
#[derive(Debug, Clone, Default)]
pub struct LoggedModelChange {
    /// How far its files are.
    pub status: Option<ModelStatus>,
    /// Parameters that are added; none gets another value.
    pub params: Vec<Pair>,
    /// Tags that are set.
    pub tags: Vec<Pair>,
    /// A tag that goes.
    pub without_tag: Option<String>,
    /// Whether it is deleted.
    pub delete: bool,
    /// Now.
    pub now_ms: i64,
}

/// Which logged models.
#[derive(Debug, Clone)]
pub struct ModelsWanted {
    /// Of these experiments.
    pub experiments: Vec<ExperimentId>,
    /// Of this name.
    pub name: Option<String>,
    /// Made by this run.
    pub source_run: Option<String>,
    /// Behind a page.
    pub after: Option<PageToken>,
    /// How many at most.
    pub rows_max: u32,
}

impl ModelStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Ready, Self::UploadFailed];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "LOGGED_MODEL_PENDING",
            Self::Ready => "LOGGED_MODEL_READY",
            Self::UploadFailed => "LOGGED_MODEL_UPLOAD_FAILED",
        }
    }

    /// The state of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}
