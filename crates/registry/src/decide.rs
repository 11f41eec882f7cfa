//! Every rule of the registry, pure: a command and a catalog give an event, nothing, or a refusal.
//!
//! The same command on the same catalog always gives the same answer, and a command whose effect is there already gives
//! nothing: every write may be repeated.

use schema::yaml::suggest;
use schema::{AppliedDefinitions, ModelName, ServiceName, Timestamp, ViewId, ViewName};
use serde_json::Value;

use crate::catalog::Catalog;
use crate::command::Command;
use crate::error::RegistryError;
use crate::event::EventBody;
use crate::model::{Model, VersionState};
use crate::seq::Seq;
use crate::stage::Stage;
use crate::transition::Transition;
use crate::version::ModelVersion;

impl Catalog {
    /// What comes of `command`, asked by `actor` at `at`; `None` when there is nothing to do.
    ///
    /// # Errors
    /// [`RegistryError`] says which rule stands against it.
    pub fn decide(&self, command: &Command, at: Timestamp, actor: &str) -> Result<Option<EventBody>, RegistryError> {
        match command {
            Command::ApplyDefinitions { based_on, definitions, summary } => {
                self.decide_definitions(*based_on, definitions, summary)
            }
            Command::RemoveView { view } => self.decide_removal(view),
            Command::RegisterModel {
                name,
                digest,
                size_bytes,
                signature,
                service,
                service_version,
                service_fingerprint,
                description,
                metadata,
            } => self.decide_registration(ModelVersion {
                name: name.clone(),
                version: self.model(name.as_str()).map_or(1, Model::next_number),
                digest: *digest,
                size_bytes: *size_bytes,
                signature: signature.clone(),
                service: service.clone(),
                service_version: *service_version,
                service_fingerprint: *service_fingerprint,
                description: description.clone(),
                metadata: metadata.clone(),
                registered_at: at,
                registered_by: actor.to_owned(),
            }),
            Command::Transition { model, version, to, evidence } => {
                self.decide_transition(model, *version, *to, evidence)
            }
            Command::Refuse { model, version, to, evidence } => {
                self.find(model, *version)?;
                let (model, version, to, evidence) = (model.clone(), *version, *to, evidence.clone());
                Ok(Some(EventBody::PromotionRefused { model, version, to, evidence }))
            }
            Command::Rollback { model, stage } => self.decide_rollback(model, *stage),
            Command::RecordTrainingSet(set) => {
                let known = self.training_set(&set.path).is_some_and(|known| known == set);
                Ok((!known).then(|| EventBody::TrainingSetBuilt(set.clone())))
            }
        }
    }

    fn decide_definitions(
        &self,
        based_on: Seq,
        definitions: &AppliedDefinitions,
        summary: &[String],
    ) -> Result<Option<EventBody>, RegistryError> {
        // Compared as stored: places in files are not. Identity comes before the conflict, so that whoever applies what
        // is applied already, a second time or after a colleague, has nothing to do.
        let stored = |definitions| {
            serde_json::to_value(definitions).map_err(|why| RegistryError::Definitions { source: why.into() })
        };
        if stored(definitions)? == stored(self.definitions())? {
            return Ok(None);
        }
        let now = self.definitions_seq();
        if based_on != now {
            return Err(RegistryError::StaleDefinitions { based_on, now });
        }
        Ok(Some(EventBody::DefinitionsApplied { definitions: definitions.clone(), summary: summary.to_vec() }))
    }

    fn decide_removal(&self, view: &ViewId) -> Result<Option<EventBody>, RegistryError> {
        let definitions = self.definitions();
        let Some(found) = definitions.view(view) else {
            let names = definitions.views.keys().map(ViewName::as_str);
            let hint = match definitions.views.get(view.name.as_str()).map(|versions| versions.all.len()) {
                None => suggest(view.name.as_str(), names),
                Some(1) => "there is version 1".to_owned(),
                Some(n) => format!("there are versions 1 to {n}"),
            };
            return Err(RegistryError::UnknownView { view: view.clone(), hint });
        };
        if definitions.is_removed(view) {
            return Ok(None);
        }
        let pins = self.pins(view);
        if !pins.is_empty() {
            return Err(RegistryError::ViewInUse { view: view.clone(), pins: pins.join(", ") });
        }
        Ok(Some(EventBody::ViewRemoved { view: view.clone(), fingerprint: found.fingerprint }))
    }

    /// That a version which is to answer has the view versions that it was trained on.
    fn has_its_views(&self, version: &ModelVersion, to: Stage) -> Result<(), RegistryError> {
        let removed = self.views_of(version).into_iter().find(|view| self.definitions().is_removed(view));
        match removed.filter(|_| to.has_one_holder()) {
            None => Ok(()),
            Some(view) => Err(RegistryError::ViewIsRemoved {
                view: view.clone(),
                model: version.name.clone(),
                version: version.version,
            }),
        }
    }

    fn decide_registration(&self, candidate: ModelVersion) -> Result<Option<EventBody>, RegistryError> {
        let ModelVersion { name, digest, service, service_version, service_fingerprint, .. } = &candidate;
        if self.model(name.as_str()).is_some_and(|model| model.same(digest, service_fingerprint).is_some()) {
            return Ok(None);
        }
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
            Some(_) => Ok(Some(EventBody::ModelVersionRegistered(candidate))),
        }
    }

    fn decide_transition(
        &self,
        name: &ModelName,
        version: u32,
        to: Stage,
        evidence: &Value,
    ) -> Result<Option<EventBody>, RegistryError> {
        let (model, state) = self.find(name, version)?;
        if state.stage == to {
            return Ok(None);
        }
        self.has_its_views(&state.version, to)?;
        Ok(Some(EventBody::Transitioned(Transition {
            model: name.clone(),
            version,
            from: state.stage,
            to,
            archived: model.displaced(to, version),
            evidence: evidence.clone(),
            undoes: None,
        })))
    }

    fn decide_rollback(&self, name: &ModelName, stage: Stage) -> Result<Option<EventBody>, RegistryError> {
        if !stage.has_one_holder() {
            return Err(RegistryError::NoRelease { stage });
        }
        let model = self.find_model(name)?;
        let nothing = |why| RegistryError::NothingToRollBack {
            model: name.clone(),
            stage,
            why,
            hint: format!("move a version by its number; {}", model.numbers()),
        };
        let Some((undone, .., newest)) = model.newest_standing(stage) else {
            return Err(nothing("no version was ever moved there".to_owned()));
        };
        // The stage has one holder, so the transition displaced one version or none.
        let before = newest.archived.last().and_then(|number| model.version(*number));
        let Some(VersionState { version: restored, stage: from, .. }) = before else {
            return Err(nothing(format!("when version {} was moved there, no version held it", newest.version)));
        };
        self.has_its_views(restored, stage)?;
        let earlier = model.history().iter().rev().find(|(seq, .., transition)| {
            seq < undone && transition.to == stage && transition.version == restored.version
        });
        Ok(Some(EventBody::Transitioned(Transition {
            model: name.clone(),
            version: restored.version,
            from: *from,
            to: stage,
            archived: model.displaced(stage, restored.version),
            evidence: earlier.map_or(Value::Null, |(.., transition)| transition.evidence.clone()),
            undoes: Some(*undone),
        })))
    }

    fn find_model(&self, name: &ModelName) -> Result<&Model, RegistryError> {
        self.model(name.as_str()).ok_or_else(|| RegistryError::UnknownModel {
            model: name.clone(),
            hint: suggest(name.as_str(), self.models().map(|(name, _)| name.as_str())),
        })
    }

    fn find(&self, name: &ModelName, version: u32) -> Result<(&Model, &VersionState), RegistryError> {
        let model = self.find_model(name)?;
        let state = model.version(version).ok_or_else(|| RegistryError::UnknownVersion {
            model: name.clone(),
            version,
            hint: model.numbers(),
        })?;
        Ok((model, state))
    }
}

#[cfg(test)]
mod tests;
