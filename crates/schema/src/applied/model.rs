//! What is declared of a model: who still asks it, what it promises, and what a promotion of it needs. Its versions are the
//! registry's.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::AppliedDefinitions;
use crate::contract::{CheckName, ResponseAdapter, ResponseContract};
use crate::definitions::{DeclaredAdapter, DeclaredModel, NamedService};
use crate::migration::{MigrateFrom, ServiceVersion};
use crate::name::{FeatureName, ModelName, ServiceName};
use crate::yaml::suggest;

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
    /// The feature or the key by whose values sampled rows are told apart: each is sampled and judged by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stratify_by: Option<FeatureName>,
}

impl PromotionPolicy {
    /// Whether somebody may approve.
    pub fn may_approve(&self, actor: &str) -> bool {
        self.approvers.is_empty() || self.approvers.iter().any(|person| person == actor)
    }
}

/// What a model names that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ModelFault {
    #[error("model `{model}` names feature service `{service}`, of which there is no such version")]
    NoService { model: ModelName, service: ServiceVersion, hint: String },
    #[error("model `{model}` adapts answers from `{from}` to `{to}`, between which no migration is declared")]
    NoMigration { model: ModelName, from: ServiceVersion, to: ServiceVersion },
}

impl ModelFault {
    /// The model that says it.
    pub fn model(&self) -> &ModelName {
        match self {
            Self::NoService { model, .. } | Self::NoMigration { model, .. } => model,
        }
    }

    /// The service version that it names.
    pub fn names(&self) -> &ServiceVersion {
        match self {
            Self::NoService { service, .. } => service,
            Self::NoMigration { from, .. } => from,
        }
    }

    /// What to do.
    pub fn hint(&self) -> &str {
        match self {
            Self::NoService { hint, .. } => hint,
            Self::NoMigration { .. } => {
                "adapters stand beside single migrations: declare `migrate_from` on the newer service"
            }
        }
    }
}

impl AppliedDefinitions {
    /// A declared model, with the service versions that it means today.
    pub(super) fn adopt_model(&self, declared: &DeclaredModel) -> ModelDefinition {
        let version = |NamedService { named, .. }: &NamedService| {
            let current = self.current_service(named.service.as_str()).map_or(0, |service| service.version);
            ServiceVersion { name: named.service.clone(), version: named.version.unwrap_or(current) }
        };
        let adapter = |of: &DeclaredAdapter| Adapter {
            from: version(&of.from),
            to: version(&of.to),
            adapter: of.adapter.clone(),
        };
        ModelDefinition {
            name: declared.name.clone(),
            description: declared.description.clone(),
            owner: declared.owner.clone(),
            tags: declared.tags.clone(),
            accepts: declared.accepts.iter().map(version).collect(),
            contract: declared.contract.clone(),
            adapters: declared.adapters.iter().map(adapter).collect(),
            promotion: declared.promotion.clone(),
        }
    }

    /// What models say of service versions and of migrations that there are not.
    pub fn model_faults(&self) -> Vec<ModelFault> {
        let (migrations, _) = self.migrations();
        let mut faults = Vec::new();
        for model in self.models.values() {
            let ends = model.adapters.iter().flat_map(|adapter| [&adapter.from, &adapter.to]);
            let named: BTreeSet<&ServiceVersion> = model.accepts.iter().chain(ends).collect();
            for id in named.into_iter().filter(|id| self.service(id).is_none()) {
                let (model, service, hint) = (model.name.clone(), id.clone(), self.versions_of(&id.name));
                faults.push(ModelFault::NoService { model, service, hint });
            }
            for Adapter { from, to, .. } in &model.adapters {
                if !migrations.has(from, to) && self.service(from).is_some() && self.service(to).is_some() {
                    let (model, from, to) = (model.name.clone(), from.clone(), to.clone());
                    faults.push(ModelFault::NoMigration { model, from, to });
                }
            }
        }
        faults
    }

    /// Which versions there are of a service, for hints.
    fn versions_of(&self, service: &ServiceName) -> String {
        match self.services.get(service.as_str()).map_or(0, |versions| versions.all.len()) {
            0 => suggest(service.as_str(), self.services.keys().map(ServiceName::as_str)),
            1 => "there is version 1".to_owned(),
            n => format!("there are versions 1 to {n}"),
        }
    }

    /// That a service version which a declared model names may be there once `declared` is applied, of which not everything
    /// could be read: it is applied, or it may be the one that is declared.
    pub(crate) fn may_have(
        &self,
        model: &DeclaredModel,
        named: &MigrateFrom,
        is_declared: bool,
    ) -> Result<(), ModelFault> {
        // Of a name alone the declared version.
        let Some(version) = named.version else { return Ok(()) };
        let applied = self.services.get(named.service.as_str()).map_or(0, |versions| versions.all.len());
        let most = if is_declared { applied + 1 } else { applied };
        if (1..=most).contains(&(version as usize)) {
            return Ok(());
        }
        let hint = match (applied, is_declared) {
            (0, true) => "there will be version 1".to_owned(),
            _ => self.versions_of(&named.service),
        };
        let service = ServiceVersion { name: named.service.clone(), version };
        Err(ModelFault::NoService { model: model.name.clone(), service, hint })
    }

    /// What is declared of a model.
    pub fn model(&self, name: &str) -> Option<&ModelDefinition> {
        self.models.get(name)
    }
}
