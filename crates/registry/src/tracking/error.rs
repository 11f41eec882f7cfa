//! What goes wrong when runs are tracked.

use schema::{BoxError, ErrorKind};

use super::ExperimentId;
use crate::store::StoreError;

/// Why something was not tracked, or not found.
#[derive(Debug, thiserror::Error)]
pub enum TrackingError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server was lost while it wrote, and did not come back in time to tell whether it did.
    #[error("whether a call was written to the registry `{location}` is not known")]
    Unknown {
        /// The address.
        location: String,
        /// What the store says.
        #[source]
        source: BoxError,
    },
    /// More calls wait for the store than may.
    #[error("{waiting} calls wait for the tracking store")]
    Overloaded {
        /// How many.
        waiting: usize,
    },
    /// The system has no random numbers, or a call was stopped by a bug.
    #[error("{doing}")]
    Internal {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
    /// No such experiment.
    #[error("there is no experiment with id `{id}`")]
    UnknownExperiment {
        /// What was asked for.
        id: String,
    },
    /// No experiment of this name.
    #[error("could not find experiment with name `{name}`")]
    UnknownExperimentName {
        /// What was asked for.
        name: String,
    },
    /// The name is taken.
    #[error("experiment `{name}` already exists{}", if *.deleted { ", deleted: restore it, or choose another name" } else { "" })]
    ExperimentExists {
        /// The name.
        name: String,
        /// Whether the one that has it is deleted.
        deleted: bool,
    },
    /// No such run.
    #[error("run with id `{id}` not found")]
    UnknownRun {
        /// What was asked for.
        id: String,
    },
    /// No such logged model.
    #[error("logged model with id `{id}` not found")]
    UnknownLoggedModel {
        /// What was asked for.
        id: String,
    },
    /// What was put away does not change.
    #[error("the {what} `{id}` is deleted: restore it first")]
    Deleted {
        /// "run", "experiment".
        what: &'static str,
        /// Which.
        id: String,
    },
    /// A parameter has its value already.
    #[error(
        "changing param values is not allowed: param `{key}` of `{of}` was already logged with value `{logged}`, not `{sent}`"
    )]
    ParamChanged {
        /// The run or the model.
        of: String,
        /// The parameter.
        key: String,
        /// Its value.
        logged: String,
        /// The other value.
        sent: String,
    },
    /// Beyond a limit, or no name.
    #[error("{0}")]
    Invalid(String),
}

impl TrackingError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(why) => why.kind(),
            Self::Unknown { .. } => ErrorKind::Unavailable,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Internal { .. } => ErrorKind::Internal,
            Self::UnknownExperiment { .. }
            | Self::UnknownExperimentName { .. }
            | Self::UnknownRun { .. }
            | Self::UnknownLoggedModel { .. } => ErrorKind::NotFound,
            Self::ExperimentExists { .. } => ErrorKind::Conflict,
            Self::Deleted { .. } | Self::ParamChanged { .. } | Self::Invalid(_) => ErrorKind::Invalid,
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(why) => why.hint(),
            _ => None,
        }
    }

    pub(super) fn unknown_experiment(id: ExperimentId) -> Self {
        Self::UnknownExperiment { id: id.to_string() }
    }
}
