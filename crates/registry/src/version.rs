//! One version of a registered model, as it was when it was registered.

use std::collections::BTreeMap;

use schema::signature::Signature;
use schema::{Fingerprint, ModelName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};

/// A model version. Nothing in it ever changes: its stage is kept beside it, in [`crate::VersionState`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The model.
    pub name: ModelName,
    /// Its number, from 1 without gaps.
    pub version: u32,
    /// SHA-256 of the artifact, which is its name in [`crate::Artifacts`].
    pub digest: Fingerprint,
    /// Length of the artifact.
    pub size_bytes: u64,
    /// What the model takes and gives.
    pub signature: Signature,
    /// The feature service whose rows it eats.
    pub service: ServiceName,
    /// The version of that service.
    pub service_version: u32,
    /// The meaning of that service version. Serving refuses to pair the model with any other.
    pub service_fingerprint: Fingerprint,
    /// For people.
    pub description: Option<String>,
    /// Whatever the registrant wants to keep beside it.
    pub metadata: BTreeMap<String, String>,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// Who registered it.
    pub registered_by: String,
}
