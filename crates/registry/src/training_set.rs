//! Training sets that were built: where they are and what they pin. The rows are in files, or with whoever asked for them:
//! nobody here reads them.

use schema::{Fingerprint, ServiceName, ViewId};
use serde::{Deserialize, Serialize};

/// A training set, as the log records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSet {
    /// The file, absolute; of an answer, a name of its own.
    pub path: String,
    /// The protocol, where it was no file but an answer, whose rows are with whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<String>,
    /// Digest of what it was made of: equal for the same rows of the same meaning.
    pub id: Fingerprint,
    /// Rows.
    pub n_rows: u64,
    /// The service.
    pub service: ServiceName,
    /// Its version.
    pub service_version: u32,
    /// Its meaning.
    pub service_fingerprint: Fingerprint,
    /// The feature view versions whose rows are in it.
    pub views: Vec<ViewId>,
    /// For each entity, the columns that hold its keys.
    pub keys: Vec<EntityColumns>,
}

/// Where the keys of an entity stand in a training set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityColumns {
    /// The entity.
    pub entity: String,
    /// Its join keys and the columns that hold them, in the entity's order.
    pub columns: Vec<(String, String)>,
}
