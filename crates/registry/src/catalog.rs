//! What is true after some event: a pure fold of the log, held in memory.
//!
//! Folding the log from its start gives the same catalog as folding it piece by piece; "as of last Tuesday" is a fold
//! that stops early. A clone is cheap: models and definitions are shared until they change.

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::{AppliedDefinitions, Fingerprint, ModelName};

use crate::event::{Event, EventBody};
use crate::log::LogError;
use crate::model::{Model, Refusal};
use crate::seq::Seq;
use crate::version::ModelVersion;

/// Definitions and models as of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    seq: Seq,
    head: Fingerprint,
    definitions: Arc<AppliedDefinitions>,
    definitions_seq: Seq,
    models: BTreeMap<ModelName, Arc<Model>>,
}

impl Default for Catalog {
    /// Before the first event.
    fn default() -> Self {
        Self {
            seq: Seq::START,
            head: Fingerprint::of_bytes(b""),
            definitions: Arc::default(),
            definitions_seq: Seq::START,
            models: BTreeMap::new(),
        }
    }
}

impl Catalog {
    /// The last event that is in it.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The hash of that event: two catalogs with the same head are the same.
    pub fn head(&self) -> Fingerprint {
        self.head
    }

    /// What is applied.
    pub fn definitions(&self) -> &AppliedDefinitions {
        &self.definitions
    }

    /// The event that applied it, for [`crate::Command::ApplyDefinitions`].
    pub fn definitions_seq(&self) -> Seq {
        self.definitions_seq
    }

    /// Every model, by name.
    pub fn models(&self) -> impl Iterator<Item = (&ModelName, &Model)> {
        self.models.iter().map(|(name, model)| (name, &**model))
    }

    /// A model.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.get(name).map(|model| &**model)
    }

    /// Folds the next event in.
    ///
    /// # Errors
    /// [`LogError`] if it is not the next one, does not follow the last one's hash, or says what cannot be. The catalog
    /// then stays as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), LogError> {
        let seq = self.seq.next();
        if event.seq < seq {
            return Err(LogError::Misplaced { seq, says: event.seq });
        }
        if event.seq > seq {
            return Err(LogError::Gap { expected: seq, found: event.seq });
        }
        if event.previous != self.head {
            return Err(LogError::Chain { seq, stated: event.previous, found: self.head });
        }
        self.fold(event).map_err(|why| LogError::Impossible { seq, why })?;
        (self.seq, self.head) = (event.seq, event.hash);
        Ok(())
    }

    /// Checks everything before it changes anything.
    fn fold(&mut self, event: &Event) -> Result<(), String> {
        match &event.body {
            EventBody::DefinitionsApplied { definitions, .. } => {
                self.definitions = Arc::new(definitions.clone());
                self.definitions_seq = event.seq;
            }
            EventBody::ModelVersionRegistered(version) => self.register(version, event.seq)?,
            EventBody::Transitioned(transition) => {
                let model = self.known(&transition.model)?;
                if let Some(why) = model.contradiction(transition) {
                    return Err(format!("{why} (model `{}`)", transition.model));
                }
                Arc::make_mut(model).record((event.seq, event.at, event.actor.clone(), transition.clone()));
            }
            EventBody::PromotionRefused { model, version, to, evidence } => {
                let known = self.known(model)?;
                if known.version(*version).is_none() {
                    return Err(format!("there is no version {version} of model `{model}` to refuse"));
                }
                let (seq, at, actor) = (event.seq, event.at, event.actor.clone());
                let refusal = Refusal { seq, at, actor, version: *version, to: *to, evidence: evidence.clone() };
                Arc::make_mut(known).refuse(refusal);
            }
        }
        Ok(())
    }

    fn register(&mut self, version: &ModelVersion, seq: Seq) -> Result<(), String> {
        let next = self.models.get(&version.name).map_or(1, |model| model.next_number());
        if version.version != next {
            let ModelVersion { name, version, .. } = version;
            return Err(format!("version {version} of model `{name}` is registered, but the next one is {next}"));
        }
        let model = self.models.entry(version.name.clone()).or_default();
        Arc::make_mut(model).add(version.clone(), seq);
        Ok(())
    }

    fn known(&mut self, name: &ModelName) -> Result<&mut Arc<Model>, String> {
        self.models.get_mut(name).ok_or_else(|| format!("there is no model `{name}`"))
    }
}

#[cfg(test)]
mod tests;
