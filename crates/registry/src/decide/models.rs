//! The rules of models and versions, but for their stages.

use std::collections::{BTreeMap, BTreeSet};

use schema::yaml::suggest;
use schema::{ModelName, ServiceName, Timestamp};
use serde_json::Value;

use crate::alias::Alias;
use crate::catalog::Catalog;
use crate::command::NewVersion;
use crate::error::RegistryError;
use crate::event::EventBody;
use crate::model::{Model, VersionState};
use crate::registration::Registration;
use crate::stage::Stage;
use crate::tag::{self, Tags};
use crate::version::{ModelVersion, PinnedFile, Servable};

/// Longest description, in characters.
const DESCRIPTION_MAX: usize = 5_000;
/// Longest URI of a source, and of a page about a run, in characters.
const URI_MAX: usize = 500;
/// Longest id of a run, in characters.
const RUN_ID_MAX: usize = 32;
/// What is kept of the reason why a version could not be registered, in characters: as many as MLflow's server keeps.
const REASON_MAX: usize = 500;

impl Catalog {
    pub(super) fn decide_registration(
        &self,
        new: &NewVersion,
        at: Timestamp,
        actor: &str,
    ) -> Result<Option<ModelVersion>, RegistryError> {
        let NewVersion { name, once, origin, files, servable, description, metadata, tags } = new.clone();
        let model = if once { self.model(name.as_str()) } else { Some(self.find_model(&name)?) };
        if let Some(Servable { digest, service_fingerprint, .. }) = servable.as_ref().filter(|_| once)
            && model.is_some_and(|model| model.same(digest, service_fingerprint, &files).is_some())
        {
            return Ok(None);
        }
        if let Some(servable) = &servable {
            self.has_its_service(servable)?;
        }
        within("source", &origin.source, URI_MAX)?;
        within("run_link", &origin.run_link, URI_MAX)?;
        within("run_id", &origin.run_id, RUN_ID_MAX)?;
        within("description", description.as_deref().unwrap_or_default(), DESCRIPTION_MAX)?;
        check_tags(&tags)?;
        let version = model.map_or(1, Model::next_number);
        let (registered_at, registered_by) = (at, actor.to_owned());
        Ok(Some(ModelVersion {
            name,
            version,
            origin,
            files,
            servable,
            description,
            metadata,
            tags,
            registered_at,
            registered_by,
        }))
    }

    pub(super) fn decide_end(
        &self,
        model: &ModelName,
        version: u32,
        files: &[PinnedFile],
        servable: Option<&Servable>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Option<EventBody>, RegistryError> {
        let (_, state) = self.find(model, version)?;
        if state.registration != Registration::Pending {
            return Ok(None);
        }
        if let Some(servable) = servable {
            self.has_its_service(servable)?;
        }
        let (files, servable, metadata) = (files.to_vec(), servable.cloned(), metadata.clone());
        let version = ModelVersion { files, servable, metadata, ..state.version.clone() };
        Ok(Some(EventBody::RegistrationEnded(Box::new(version))))
    }

    pub(super) fn decide_failure(
        &self,
        model: &ModelName,
        version: u32,
        reason: &str,
    ) -> Result<Option<EventBody>, RegistryError> {
        let (_, state) = self.find(model, version)?;
        if state.registration != Registration::Pending {
            return Ok(None);
        }
        let reason: String = reason.chars().take(REASON_MAX).collect();
        Ok(Some(EventBody::RegistrationFailed { model: model.clone(), version, reason }))
    }

    fn has_its_service(&self, servable: &Servable) -> Result<(), RegistryError> {
        let Servable { service, service_version, service_fingerprint, .. } = servable;
        let unknown = |found| {
            let (service, version, fingerprint) = (service.clone(), *service_version, *service_fingerprint);
            Err(RegistryError::UnknownService { service, version, fingerprint, found })
        };
        let services = &self.definitions().services;
        let Some(versions) = services.get(service.as_str()) else {
            let there = suggest(service.as_str(), services.keys().map(ServiceName::as_str));
            return unknown(format!("no service has this name; {there}"));
        };
        match versions.all.iter().find(|version| version.version == *service_version) {
            None => unknown(format!("its newest version is {}", versions.all.len())),
            Some(version) if version.fingerprint != *service_fingerprint => {
                unknown(format!("this version has `{}`", version.fingerprint.short()))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn decide_creation(
        &self,
        model: &ModelName,
        description: Option<&String>,
        tags: &Tags,
    ) -> Result<Option<EventBody>, RegistryError> {
        self.is_free(model)?;
        within("description", description.map_or("", String::as_str), DESCRIPTION_MAX)?;
        check_tags(tags)?;
        let (model, description, tags) = (model.clone(), description.cloned(), tags.clone());
        Ok(Some(EventBody::ModelCreated { model, description, tags }))
    }

    /// A model keeps a declared name while clients are answered by it: what is declared there would be of nothing, and what
    /// answers would be under no policy. Under its new name it needs the approvals that this name asks for.
    pub(super) fn decide_renaming(
        &self,
        name: &ModelName,
        to: &ModelName,
        evidence: &Value,
    ) -> Result<Option<EventBody>, RegistryError> {
        let model = self.find_model(name)?;
        if name == to {
            return Ok(None);
        }
        self.is_free(to)?;
        let (holder, called) = (model.holder(Stage::Production), model.aliases.values().copied());
        let answering: BTreeSet<u32> = holder.map(|state| state.version.version).into_iter().chain(called).collect();
        if self.definitions().model(name.as_str()).is_some() && !answering.is_empty() {
            return Err(RegistryError::NameIsDeclared { model: name.clone(), to: to.clone() });
        }
        let mut approved_by = Vec::new();
        for version in answering {
            let by = self.approved_for(to, model, version)?;
            if holder.is_some_and(|state| state.version.version == version) {
                approved_by = by;
            }
        }
        let (model, to, evidence, overridden) = (name.clone(), to.clone(), evidence.clone(), None);
        Ok(Some(EventBody::ModelRenamed { model, to, evidence, approved_by, overridden }))
    }

    pub(super) fn decide_model_back(&self, model: &ModelName) -> Result<Option<EventBody>, RegistryError> {
        let deleted = self.deleted_models().rev().find(|deleted| deleted.name == *model);
        let Some(deleted) = deleted else {
            // What is there already need not come back.
            return self.find_model(model).map(|_| None);
        };
        self.is_free(model)?;
        Ok(Some(EventBody::ModelRestored { model: model.clone(), id: deleted.id }))
    }

    pub(super) fn decide_description(
        &self,
        model: &ModelName,
        version: Option<u32>,
        description: &str,
    ) -> Result<Option<EventBody>, RegistryError> {
        match version {
            None => self.find_model(model).map(|_| ())?,
            Some(version) => self.find(model, version).map(|_| ())?,
        }
        within("description", description, DESCRIPTION_MAX)?;
        // Also when the text is what it was: the time moves.
        let (model, description) = (model.clone(), description.to_owned());
        Ok(Some(EventBody::Described { model, version, description }))
    }

    pub(super) fn decide_tag(
        &self,
        model: &ModelName,
        version: Option<u32>,
        key: &str,
        value: Option<&String>,
    ) -> Result<Option<EventBody>, RegistryError> {
        let tags = match version {
            None => &self.find_model(model)?.tags,
            Some(version) => &self.find(model, version)?.1.tags,
        };
        match value {
            Some(value) => tag::check(key, value)?,
            None => tag::check_key(key)?,
        }
        if tags.get(key) == value {
            return Ok(None);
        }
        let (model, key, value) = (model.clone(), key.to_owned(), value.cloned());
        Ok(Some(EventBody::Tagged { model, version, key, value }))
    }

    pub(super) fn decide_alias(
        &self,
        name: &ModelName,
        alias: &Alias,
        to: Option<u32>,
        evidence: &Value,
    ) -> Result<Option<EventBody>, RegistryError> {
        let model = match to {
            None => self.find_model(name)?,
            Some(version) => {
                let (model, state) = self.find(name, version)?;
                is_registered(state)?;
                model
            }
        };
        let from = model.aliases.get(alias).copied();
        if from == to {
            return Ok(None);
        }
        let approved_by = to.map(|version| self.approved(model, version)).transpose()?.unwrap_or_default();
        let (alias, evidence, overridden) = (alias.clone(), evidence.clone(), None);
        Ok(Some(EventBody::AliasMoved { model: name.clone(), alias, from, to, evidence, approved_by, overridden }))
    }

    pub(super) fn decide_version_back(
        &self,
        name: &ModelName,
        version: u32,
    ) -> Result<Option<EventBody>, RegistryError> {
        let model = self.find_model(name)?;
        match model.ever(version).map(|state| state.deleted) {
            Some(Some(_)) => Ok(Some(EventBody::VersionRestored { model: name.clone(), version })),
            // What is there already need not come back.
            _ => self.find(name, version).map(|_| None),
        }
    }

    fn is_free(&self, model: &ModelName) -> Result<(), RegistryError> {
        match self.model(model.as_str()) {
            None => Ok(()),
            Some(_) => Err(RegistryError::ModelExists { model: model.clone() }),
        }
    }
}

/// That it is known what a version is made of.
pub(super) fn is_registered(state: &VersionState) -> Result<(), RegistryError> {
    let VersionState { version: ModelVersion { name, version, .. }, registration, .. } = state;
    match registration.is_done() {
        true => Ok(()),
        false => Err(RegistryError::NotRegistered {
            model: name.clone(),
            version: *version,
            registration: registration.clone(),
        }),
    }
}

fn check_tags(tags: &Tags) -> Result<(), RegistryError> {
    Ok(tags.iter().try_for_each(|(key, value)| tag::check(key, value))?)
}

pub(super) fn within(field: &'static str, text: &str, limit: usize) -> Result<(), RegistryError> {
    match text.chars().count() {
        characters if characters > limit => Err(RegistryError::TooLong { field, characters, limit }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
