//! What goes wrong with hooks.

use schema::{BoxError, ErrorKind};

use super::HOOKS_MAX;
use crate::store::StoreError;

/// Why a hook was not kept, changed or found.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random numbers.
    #[error("{doing}")]
    Internal {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
    /// No such hook.
    #[error("there is no webhook with id `{id}`")]
    Unknown {
        /// What was asked for.
        id: String,
    },
    /// More than are looked after.
    #[error("there are {HOOKS_MAX} webhooks already: delete one first")]
    TooMany,
    /// No name, no address that messages may go to, beyond a limit.
    #[error("{0}")]
    Invalid(String),
}

impl WebhookError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(why) => why.kind(),
            Self::Internal { .. } => ErrorKind::Internal,
            Self::Unknown { .. } => ErrorKind::NotFound,
            Self::TooMany | Self::Invalid(_) => ErrorKind::Invalid,
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(why) => why.hint(),
            _ => None,
        }
    }
}
