//! What is true after some event: a pure fold of the log, held in memory.
//!
//! Folding the log from its start gives the same catalog as folding it piece by piece; "as of last Tuesday" is a fold
//! that stops early. A clone is cheap, however much there is: a copy shares what is not changed in it. A catalog is kept as
//! a snapshot ([`stored`]) so that a long log need not be folded from its start.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;
use schema::migration::ServiceVersion;
use schema::{AppliedDefinitions, FeatureService, FeatureView, Fingerprint, ModelName, ViewId};

use crate::event::{Event, EventBody};
use crate::log::LogError;
use crate::model::{Model, VersionState};
use crate::seq::Seq;
use crate::stage::Stage;
use crate::training_set::TrainingSet;
use crate::version::ModelVersion;

mod models;
mod stored;

/// Definitions and models as of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    seq: Seq,
    head: Fingerprint,
    definitions: Arc<AppliedDefinitions>,
    definitions_seq: Seq,
    models: OrdMap<ModelName, Arc<Model>>,
    /// The names of these models, by the events that made them.
    names: OrdMap<Seq, ModelName>,
    /// Deleted ones, by the event that made them.
    deleted_models: OrdMap<Seq, Arc<Model>>,
    /// By path.
    training_sets: OrdMap<String, Arc<TrainingSet>>,
}

impl Default for Catalog {
    /// Before the first event.
    fn default() -> Self {
        Self {
            seq: Seq::START,
            head: Fingerprint::of_bytes(b""),
            definitions: Arc::default(),
            definitions_seq: Seq::START,
            models: OrdMap::new(),
            names: OrdMap::new(),
            deleted_models: OrdMap::new(),
            training_sets: OrdMap::new(),
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

    /// Changes what is applied, for a question; no event says so.
    pub(crate) fn change_definitions(&mut self, change: impl FnOnce(&mut AppliedDefinitions)) {
        change(Arc::make_mut(&mut self.definitions));
    }

    /// Every model, by name.
    pub fn models(&self) -> impl Iterator<Item = (&ModelName, &Model)> {
        self.models.iter().map(|(name, model)| (name, &**model))
    }

    /// Every model from `name` on, by name.
    pub fn models_from<'c>(&'c self, name: &str) -> impl Iterator<Item = (&'c ModelName, &'c Model)> {
        let from = (Bound::Included(name), Bound::<&str>::Unbounded);
        self.models.range::<_, str>(from).map(|(name, model)| (name, &**model))
    }

    /// The models that were deleted, oldest first.
    pub fn deleted_models(&self) -> impl DoubleEndedIterator<Item = &Model> {
        self.deleted_models.values().map(|model| &**model)
    }

    /// A model.
    pub fn model(&self, name: &str) -> Option<&Model> {
        self.models.get(name).map(|model| &**model)
    }

    /// A model by what it is known by, whatever its name.
    pub fn model_by_id(&self, id: Seq) -> Option<&Model> {
        self.model(self.names.get(&id)?.as_str())
    }

    /// Every training set that was built, by path. A file that was written again is there once, as it is now.
    pub fn training_sets(&self) -> impl Iterator<Item = &TrainingSet> {
        self.training_sets.values().map(|set| &**set)
    }

    /// The training set in a file.
    pub fn training_set(&self, path: &str) -> Option<&TrainingSet> {
        self.training_sets.get(path).map(|set| &**set)
    }

    /// What uses a view version: definitions, and model versions on services that pin it. Of archived versions only one
    /// that a rollback would bring back counts.
    pub fn pins(&self, view: &ViewId) -> Vec<String> {
        let mut pins = self.definitions.users_of(view);
        // Many versions pin few services, and who is older than one is told by all migrations.
        let mut read_by_older: HashMap<ServiceVersion, bool> = HashMap::new();
        let mut older_read = |service: &FeatureService| {
            let older = || self.definitions.older_than(&[service]).iter().any(|older| older.views().contains(&view));
            *read_by_older.entry(service.id()).or_insert_with(older)
        };
        for (name, model) in self.models() {
            let restorable: Vec<u32> = [Stage::Staging, Stage::Production]
                .into_iter()
                .filter_map(|stage| model.newest_standing(stage)?.3.archived.last().copied())
                .collect();
            for VersionState { version, stage, .. } in model.versions() {
                let called = model.aliases_of(version.version).next().is_some();
                let live = *stage != Stage::Archived || called || restorable.contains(&version.version);
                if !live {
                    continue;
                }
                let Some(service) = self.service_of(version) else { continue };
                let says = format!("model `{name}` version {} ({stage})", version.version);
                if service.views().contains(&view) {
                    pins.push(says);
                } else if older_read(service) {
                    pins.push(format!("older clients of {says}"));
                }
            }
        }
        pins
    }

    /// The view versions that a model version's service pins.
    pub(crate) fn views_of(&self, version: &ModelVersion) -> Vec<&ViewId> {
        self.service_of(version).map(|service| service.views()).unwrap_or_default()
    }

    /// The service version that a model version pins.
    pub fn service_of(&self, version: &ModelVersion) -> Option<&FeatureService> {
        let servable = version.servable.as_ref()?;
        self.definitions.service_by_fingerprint(servable.service.as_str(), &servable.service_fingerprint)
    }

    /// Every view version that answers are made of: what is current, what model versions pin (one that waits for its
    /// promotion needs its features, and so does one that a rollback brings back), and what older clients of both read.
    pub fn served_views(&self) -> Vec<&FeatureView> {
        let definitions = &self.definitions;
        let mut views: Vec<&FeatureView> = definitions.views.values().filter_map(|view| view.current()).collect();
        let current = definitions.services.values().filter_map(|service| service.current());
        let versions = self.models().flat_map(|(_, model)| model.versions());
        let pinned: Vec<&FeatureService> = versions.filter_map(|state| self.service_of(&state.version)).collect();
        let answered: Vec<&FeatureService> = current.chain(pinned.iter().copied()).collect();
        let read = pinned.into_iter().chain(definitions.older_than(&answered));
        for view in read.flat_map(|service| service.views()).filter_map(|id| definitions.view(id)) {
            if !views.iter().any(|known| known.id == view.id) {
                views.push(view);
            }
        }
        views.retain(|view| !definitions.is_removed(&view.id));
        views
    }

    /// View versions that nothing uses and that were not removed, in order.
    pub fn unused_views(&self) -> Vec<&FeatureView> {
        let all = self.definitions.views.values().flat_map(|versions| &versions.all);
        all.filter(|view| !self.definitions.is_removed(&view.id) && self.pins(&view.id).is_empty()).collect()
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
            EventBody::ViewRemoved { view, fingerprint } => {
                let known = self.definitions.view(view).map(|view| view.fingerprint);
                if known != Some(*fingerprint) {
                    return Err(format!(
                        "there is no feature view `{view}` with fingerprint `{}`",
                        fingerprint.short()
                    ));
                }
                Arc::make_mut(&mut self.definitions).remove(view)?;
                self.definitions_seq = event.seq;
            }
            EventBody::TrainingSetBuilt(set) => {
                self.training_sets.insert(set.path.clone(), Arc::new(set.clone()));
            }
            _ => self.fold_models(event)?,
        }
        Ok(())
    }

    fn known(&mut self, name: &ModelName) -> Result<&mut Arc<Model>, String> {
        self.models.get_mut(name).ok_or_else(|| format!("there is no model `{name}`"))
    }
}

#[cfg(test)]
mod tests;
