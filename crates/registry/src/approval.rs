//! That a person agrees to a step: a version in place of the one that holds Production today.

use schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::seq::Seq;

/// The longest comment, and the longest reason of an override, in characters.
pub const COMMENT_MAX: usize = 1_000;

/// One approval that counts still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its place in the log.
    pub seq: Seq,
    /// When.
    pub at: Timestamp,
    /// Who approved.
    pub actor: String,
    /// The version.
    pub version: u32,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
