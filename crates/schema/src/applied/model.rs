//! What is declared of a model: who still asks it, what it promises, and what a promotion of it needs. Its versions are the
//! registry's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AppliedDefinitions;
use crate::contract::{CheckName, ResponseAdapter, ResponseContract};
use crate::migration::ServiceVersion;
use crate::name::ModelName;

/// A model as declared now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDefinition {
    /// Its name.
    pub name: ModelName,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The service versions that clients still send; a model version's own is always answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<ServiceVersion>,
    /// What it promises of its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ResponseContract>,
    /// How answers change along migrations; the identity where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<Adapter>,
    /// What a promotion needs.
    #[serde(default)]
    pub promotion: PromotionPolicy,
}

/// How answers change along one declared migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// Where the migration starts.
    pub from: ServiceVersion,
    /// Where it ends.
    pub to: ServiceVersion,
    /// What becomes of answers.
    pub adapter: ResponseAdapter,
}

/// What a version needs before a stage or an alias may resolve to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionPolicy {
    /// How many people must approve.
    #[serde(default)]
    pub approvals: u32,
    /// Who may approve, and override; anybody may approve and nobody override where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// Checks that must have been made: one that could not be does not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<CheckName>,
}

impl AppliedDefinitions {
    /// What is declared of a model.
    pub fn model(&self, name: &str) -> Option<&ModelDefinition> {
        self.models.get(name)
    }
}
