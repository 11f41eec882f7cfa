//! What events do to models: each is checked against what is there before it changes anything.

use std::sync::Arc;

use imbl::ordmap::Entry;
use schema::ModelName;

use super::Catalog;
use crate::approval::Approval;
use crate::event::{Event, EventBody};
use crate::model::{Model, Refusal, VersionState};
use crate::registration::Registration;
use crate::version::ModelVersion;

impl Catalog {
    pub(super) fn fold_models(&mut self, event: &Event) -> Result<(), String> {
        let (seq, at) = (event.seq, event.at);
        match &event.body {
            EventBody::DefinitionsApplied { .. } | EventBody::ViewRemoved { .. } | EventBody::TrainingSetBuilt(_) => {}
            EventBody::ModelVersionRegistered(version) => self.register(version, event, Registration::Done)?,
            EventBody::RegistrationBegun(version) => self.register(version, event, Registration::Pending)?,
            EventBody::RegistrationEnded(version) => {
                Arc::make_mut(self.known(&version.name)?).registered(version, at)?;
            }
            EventBody::RegistrationFailed { model, version, reason } => {
                Arc::make_mut(self.known(model)?).not_registered(*version, reason, at)?;
            }
            EventBody::Transitioned(transition) => {
                let model = self.known(&transition.model)?;
                if let Some(why) = model.contradiction(transition) {
                    return Err(format!("{why} (model `{}`)", transition.model));
                }
                Arc::make_mut(model).record((seq, at, event.actor.clone(), transition.clone()));
            }
            EventBody::PromotionRefused { model, version, to, alias: _, evidence } => {
                let known = self.known(model)?;
                if known.version(*version).is_none() {
                    return Err(format!("there is no version {version} of model `{model}` to refuse"));
                }
                let actor = event.actor.clone();
                let refusal = Refusal { seq, at, actor, version: *version, to: *to, evidence: evidence.clone() };
                Arc::make_mut(known).refuse(refusal);
            }
            EventBody::Approved { model, version, comment } => {
                let known = self.known(model)?;
                if known.version(*version).is_none() {
                    return Err(format!("there is no version {version} of model `{model}` to approve"));
                }
                let (actor, version, comment) = (event.actor.clone(), *version, comment.clone());
                Arc::make_mut(known).approve(Approval { seq, at, actor, version, comment });
            }
            EventBody::ModelCreated { model, description, tags } => {
                let Entry::Vacant(free) = self.models.entry(model.clone()) else { return Err(taken(model)) };
                let mut made = Model::new(seq, model.clone(), at, &event.actor);
                (made.description, made.tags) = (description.clone(), tags.clone());
                free.insert(Arc::new(made));
                self.names.insert(seq, model.clone());
            }
            EventBody::ModelRenamed { model, to, approved_by, .. } => {
                if self.models.contains_key(to) {
                    return Err(taken(to));
                }
                let mut renamed = self.models.remove(model).ok_or_else(|| unknown(model))?;
                Arc::make_mut(&mut renamed).rename(to.clone(), !approved_by.is_empty(), seq, at);
                self.names.insert(renamed.id, to.clone());
                self.models.insert(to.clone(), renamed);
            }
            EventBody::ModelDeleted { model } => {
                let deleted = self.models.remove(model).ok_or_else(|| unknown(model))?;
                self.names.remove(&deleted.id);
                self.deleted_models.insert(deleted.id, deleted);
            }
            EventBody::ModelRestored { model, id } => {
                let Entry::Vacant(free) = self.models.entry(model.clone()) else { return Err(taken(model)) };
                let deleted = self.deleted_models.get(id).filter(|deleted| deleted.name == *model);
                let deleted = deleted.ok_or_else(|| format!("no model `{model}` of event {id} was deleted"))?;
                let mut restored = Model::clone(deleted);
                restored.returned(seq, at);
                free.insert(Arc::new(restored));
                self.names.insert(*id, model.clone());
                self.deleted_models.remove(id);
            }
            EventBody::Described { model, version, description } => {
                let known = self.known(model)?;
                match version {
                    None => {
                        let known = Arc::make_mut(known);
                        (known.description, known.updated_at) = (Some(description.clone()), at);
                    }
                    Some(version) => {
                        let state = version_of(known, *version)?;
                        (state.description, state.updated_at) = (Some(description.clone()), at);
                    }
                }
            }
            EventBody::Tagged { model, version, key, value } => {
                let known = self.known(model)?;
                let tags = match version {
                    None => &mut Arc::make_mut(known).tags,
                    Some(version) => &mut version_of(known, *version)?.tags,
                };
                match value {
                    Some(value) => tags.insert(key.clone(), value.clone()),
                    None => tags.remove(key),
                };
            }
            EventBody::AliasMoved { model, alias, from, to, .. } => {
                let known = self.known(model)?;
                if known.aliases.get(alias) != from.as_ref() {
                    let points = known.aliases.get(alias);
                    return Err(format!("alias `{alias}` of `{model}` is moved from {from:?}, but it is {points:?}"));
                }
                if let Some(missing) = to.filter(|to| known.version(*to).is_none()) {
                    return Err(format!(
                        "alias `{alias}` is to point to version {missing} of `{model}`, which is not there"
                    ));
                }
                let known = Arc::make_mut(known);
                match to {
                    Some(to) => known.aliases.insert(alias.clone(), *to),
                    None => known.aliases.remove(alias),
                };
                known.names_seq = seq;
            }
            EventBody::VersionDeleted { model, version, .. } => {
                let known = self.known(model)?;
                if known.version(*version).is_none() {
                    return Err(format!("there is no version {version} of model `{model}` to delete"));
                }
                Arc::make_mut(known).delete(*version, seq, at)?;
            }
            EventBody::VersionRestored { model, version } => {
                let known = self.known(model)?;
                if known.ever(*version).is_none_or(|state| state.deleted.is_none()) {
                    return Err(format!("version {version} of model `{model}` was not deleted"));
                }
                Arc::make_mut(known).restore(*version, at)?;
            }
        }
        Ok(())
    }

    fn register(&mut self, version: &ModelVersion, event: &Event, registration: Registration) -> Result<(), String> {
        let next = self.models.get(&version.name).map_or(1, |model| model.next_number());
        if version.version != next {
            let ModelVersion { name, version, .. } = version;
            return Err(format!("version {version} of model `{name}` is registered, but the next one is {next}"));
        }
        let made = || Arc::new(Model::new(event.seq, version.name.clone(), event.at, &event.actor));
        let model = self.models.entry(version.name.clone()).or_insert_with(made);
        self.names.insert(model.id, version.name.clone());
        Arc::make_mut(model).add(version.clone(), event.seq, registration);
        Ok(())
    }
}

fn version_of(model: &mut Arc<Model>, number: u32) -> Result<&mut VersionState, String> {
    // Looked for before the model is copied.
    if model.version(number).is_none() {
        return Err(format!("there is no version {number} of model `{}`", model.name));
    }
    Arc::make_mut(model).change(number)
}

fn unknown(model: &ModelName) -> String {
    format!("there is no model `{model}`")
}

fn taken(model: &ModelName) -> String {
    format!("there is a model `{model}` already")
}
