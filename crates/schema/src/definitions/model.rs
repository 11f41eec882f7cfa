//! What a project declares of its models.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::applied::model::PromotionPolicy;
use crate::contract::{ResponseAdapter, ResponseContract};
use crate::migration::MigrateFrom;
use crate::name::ModelName;
use crate::yaml::Place;

/// A model: who still asks it, what it promises, and what a promotion of it needs. Versions are registered, not declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredModel {
    /// Its name.
    pub name: ModelName,
    /// The service versions that clients still send; of a name alone the declared version.
    pub accepts: Vec<NamedService>,
    /// What it promises of its answers.
    pub contract: Option<ResponseContract>,
    /// How answers change along migrations.
    pub adapters: Vec<DeclaredAdapter>,
    /// What a promotion needs.
    pub promotion: PromotionPolicy,
    /// For people.
    pub description: Option<String>,
    /// For people.
    pub owner: Option<String>,
    /// For people.
    pub tags: BTreeMap<String, String>,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

impl DeclaredModel {
    /// The service versions that it names, in order.
    pub fn services(&self) -> impl Iterator<Item = &NamedService> {
        let ends = self.adapters.iter().flat_map(|adapter| [&adapter.from, &adapter.to]);
        self.accepts.iter().chain(ends)
    }
}

/// A service version, as a model names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedService {
    /// What it names.
    #[serde(flatten)]
    pub named: MigrateFrom,
    /// Where.
    #[serde(skip)]
    pub place: Place,
}

/// How answers change along one declared migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredAdapter {
    /// Where the migration starts.
    pub from: NamedService,
    /// Where it ends.
    pub to: NamedService,
    /// What becomes of answers.
    pub adapter: ResponseAdapter,
}
