//! Every rule of the registry, pure: a command and a catalog give an event, nothing, or a refusal.
//!
//! The same command on the same catalog always gives the same answer, and a command whose effect is there already gives
//! nothing: every write may be repeated.

use schema::yaml::suggest;
use schema::{AppliedDefinitions, ModelName, Timestamp, ViewId, ViewName};
use serde_json::Value;

use crate::catalog::Catalog;
use crate::command::Command;
use crate::error::RegistryError;
use crate::event::{Event, EventBody};
use crate::model::{Model, VersionState};
use crate::seq::Seq;
use crate::stage::Stage;
use crate::transition::Transition;
use crate::version::ModelVersion;

mod approvals;
mod models;

use models::is_registered;

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
            Command::RegisterVersion(new) => {
                let version = self.decide_registration(new, at, actor)?;
                Ok(version.map(|version| EventBody::ModelVersionRegistered(Box::new(version))))
            }
            Command::BeginRegistration(new) => {
                let version = self.decide_registration(new, at, actor)?;
                Ok(version.map(|version| EventBody::RegistrationBegun(Box::new(version))))
            }
            Command::EndRegistration { model, version, files, servable, metadata } => {
                self.decide_end(model, *version, files, servable.as_ref(), metadata)
            }
            Command::FailRegistration { model, version, reason } => self.decide_failure(model, *version, reason),
            Command::Transition { model, version, to, archive_existing, evidence } => {
                self.decide_transition(model, *version, *to, *archive_existing, evidence)
            }
            Command::AsChecked { model, id, names_seq, command } => {
                // A command whose effect is there already gives nothing, whoever did it.
                let decided = self.decide(command, at, actor)?;
                let known = self.find_model(model)?;
                // The name may be another model's meanwhile, whose newest change may be older.
                if decided.is_some() && (known.id, known.names_seq) != (*id, *names_seq) {
                    let what = known.newest_naming();
                    return Err(RegistryError::StaleModel { model: model.clone(), checked: *names_seq, what });
                }
                Ok(decided)
            }
            Command::Override { model, reason, command } => {
                self.may_override(model, actor, reason)?;
                Ok(self.decide(command, at, actor)?.map(|body| approvals::overridden(body, reason)))
            }
            Command::Approve { model, version, comment } => {
                self.decide_approval(model, *version, comment.as_ref(), actor)
            }
            Command::Refuse { model, version, to, alias, evidence } => {
                self.find(model, *version)?;
                let (model, version, to, alias) = (model.clone(), *version, *to, alias.clone());
                Ok(Some(EventBody::PromotionRefused { model, version, to, alias, evidence: evidence.clone() }))
            }
            Command::Rollback { model, stage } => self.decide_rollback(model, *stage),
            Command::CreateModel { model, description, tags } => {
                self.decide_creation(model, description.as_ref(), tags)
            }
            Command::RenameModel { model, to, evidence } => self.decide_renaming(model, to, evidence),
            Command::DeleteModel { model } => {
                self.find_model(model)?;
                Ok(Some(EventBody::ModelDeleted { model: model.clone() }))
            }
            Command::RestoreModel { model } => self.decide_model_back(model),
            Command::Describe { model, version, description } => self.decide_description(model, *version, description),
            Command::Tag { model, version, key, value } => self.decide_tag(model, *version, key, value.as_ref()),
            Command::MoveAlias { model, alias, to, evidence } => self.decide_alias(model, alias, *to, evidence),
            Command::DeleteVersion { model, version, evidence } => {
                self.find(model, *version)?;
                let (model, version, evidence) = (model.clone(), *version, evidence.clone());
                Ok(Some(EventBody::VersionDeleted { model, version, evidence }))
            }
            Command::RestoreVersion { model, version } => self.decide_version_back(model, *version),
            Command::RecordTrainingSet(set) => {
                let known = self.training_set(&set.path).is_some_and(|known| known == set);
                Ok((!known).then(|| EventBody::TrainingSetBuilt(set.clone())))
            }
        }
    }

    /// What would hold if `command` were done now and all had approved it; `None` when there is nothing to do. Nothing is
    /// written.
    ///
    /// # Errors
    /// As [`Self::decide`], but for approvals that are missing.
    pub fn after(&self, command: &Command, at: Timestamp, actor: &str) -> Result<Option<Self>, RegistryError> {
        let decided = match self.decide(command, at, actor) {
            Err(RegistryError::NotApproved { .. }) => self.without_approvals().decide(command, at, actor),
            decided => decided,
        };
        let Some(body) = decided? else { return Ok(None) };
        let event = Event::new(self.seq().next(), at, actor, self.head(), body)?;
        let mut after = self.clone();
        after.apply(&event)?;
        Ok(Some(after))
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

    fn decide_transition(
        &self,
        name: &ModelName,
        version: u32,
        to: Stage,
        archive_existing: bool,
        evidence: &Value,
    ) -> Result<Option<EventBody>, RegistryError> {
        let (model, state) = self.find(name, version)?;
        let archived = if archive_existing { model.displaced(to, version) } else { Vec::new() };
        if state.stage == to && archived.is_empty() {
            return Ok(None);
        }
        is_registered(state)?;
        self.has_its_views(&state.version, to)?;
        let approved_by = if to == Stage::Production { self.approved(model, version)? } else { Vec::new() };
        Ok(Some(EventBody::Transitioned(Transition {
            model: name.clone(),
            version,
            from: state.stage,
            to,
            archived,
            evidence: evidence.clone(),
            undoes: None,
            approved_by,
            overridden: None,
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
        // What was checked then was checked by what is declared of that name.
        if newest.model != *name {
            return Err(nothing(format!(
                "version {} was moved there while it was called `{}`",
                newest.version, newest.model
            )));
        }
        // Of several that made room the highest number spoke for the stage.
        let before = newest.archived.last().and_then(|number| model.version(*number));
        let Some(VersionState { version: restored, stage: from, .. }) = before.filter(|state| state.stage != stage)
        else {
            let leaving = self.decide_leaving(model, stage, (*undone, newest))?;
            return leaving.map(Some).ok_or_else(|| nothing(why_nothing(model, stage, (*undone, newest))));
        };
        self.has_its_views(restored, stage)?;
        let earlier = model.history().rev().find(|(seq, .., transition)| {
            seq < undone && transition.to == stage && transition.version == restored.version
        });
        Ok(Some(EventBody::Transitioned(Transition {
            model: name.clone(),
            version: restored.version,
            from: *from,
            to: stage,
            // Who shared the stage before and then had it for itself shares it again.
            archived: if newest.from == stage { Vec::new() } else { model.displaced(stage, restored.version) },
            evidence: earlier.map_or(Value::Null, |(.., transition)| transition.evidence.clone()),
            undoes: Some(*undone),
            approved_by: Vec::new(),
            overridden: None,
        })))
    }

    /// What takes a transition back that made nobody leave the stage: the version that came leaves it, and those that were
    /// there stay. `None` where nobody else is there, or it left already.
    fn decide_leaving(
        &self,
        model: &Model,
        stage: Stage,
        (undone, newest): (Seq, &Transition),
    ) -> Result<Option<EventBody>, RegistryError> {
        let came = model.version(newest.version).filter(|state| state.stage == stage);
        let others = model.displaced(stage, newest.version);
        let holder = others.last().and_then(|number| model.version(*number));
        let (Some(came), Some(holder)) = (came, holder) else { return Ok(None) };
        self.has_its_views(&holder.version, stage)?;
        Ok(Some(EventBody::Transitioned(Transition {
            model: model.name.clone(),
            version: came.version.version,
            from: stage,
            to: Stage::Archived,
            archived: Vec::new(),
            evidence: Value::Null,
            undoes: Some(undone),
            approved_by: Vec::new(),
            overridden: None,
        })))
    }

    fn find_model(&self, name: &ModelName) -> Result<&Model, RegistryError> {
        let missing = || RegistryError::UnknownModel { model: name.clone(), among: Box::new(self.clone()) };
        self.model(name.as_str()).ok_or_else(missing)
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

/// Why `newest`, the newest transition into a stage, cannot be taken back.
fn why_nothing(model: &Model, stage: Stage, (undone, newest): (Seq, &Transition)) -> String {
    let Transition { version, archived, .. } = newest;
    let stays = |number: u32| model.version(number).is_some_and(|state| state.stage == stage);
    // Who was archived for it, and did not come back meanwhile.
    if let Some(gone) = archived.last().filter(|gone| !stays(**gone)) {
        return format!("version {gone}, which held it before, was deleted");
    }
    let others = model.displaced(stage, *version);
    let before = model.held_before(stage, undone);
    let left = match model.version(*version) {
        None => "was deleted".to_owned(),
        Some(state) => format!("is in {} now", state.stage),
    };
    let last = format!("version {version}, which was moved there last, {left}");
    match (&others[..], &before[..]) {
        ([], []) => format!("when version {version} was moved there, no version held it"),
        ([], held) => {
            format!("{}, which held it when version {version} was moved there, left it since", numbered(held))
        }
        ([_], _) => format!("{last}; {} holds the stage", numbered(&others)),
        _ => format!("{last}; {} share the stage and hold it", numbered(&others)),
    }
}

/// "version 1", "versions 1 and 2", "versions 1, 2 and 3".
fn numbered(numbers: &[u32]) -> String {
    match numbers {
        [] => "no version".to_owned(),
        [one] => format!("version {one}"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(u32::to_string).collect();
            format!("versions {} and {last}", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
