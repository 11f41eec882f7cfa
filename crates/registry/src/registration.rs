//! How far the registration of a version has come.
//!
//! Copying and reading the files of a version may take longer than a client should wait for an answer. Then its number is
//! given first, and what it is made of follows, or the reason why that cannot be kept. Until it has followed the version is
//! one by number alone: no stage and no alias resolves to it, for nobody knows yet what would answer.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far the registration of a version has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Registration {
    /// What the version is made of is kept, and will not change.
    #[default]
    Done,
    /// It is being copied and read.
    Pending,
    /// It cannot be kept, and will not be.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Registration {
    /// Whether the version is one that can answer, or be copied.
    pub fn is_done(&self) -> bool {
        *self == Self::Done
    }
}

impl fmt::Display for Registration {
    /// One word for a person, and the reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("registered"),
            Self::Pending => f.write_str("still being registered"),
            Self::Failed { reason } => write!(f, "not registered: {}", reason.escape_debug()),
        }
    }
}
