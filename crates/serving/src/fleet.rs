//! Which model versions are loaded, and the swap between them.
//!
//! Declare, diff, do: [`wanted`](wanted::wanted) says what is to be loaded by the catalog and by what was asked of this
//! server; [`Fleet::sync`] loads what is new, warm and checked, *before* it swaps one pointer, so no request meets a
//! half-loaded model. What is in flight keeps its version alive until it is done.

mod error;
mod index;
mod loading;
mod meters;
mod shelf;
pub mod wanted;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use featurestore::CompiledService;
use registry::{Artifacts, Catalog, ModelVersion, PinnedFile, Servable};
use schema::error::chain;
use schema::{ModelName, Timestamp};
use tracing::{info, warn};

use crate::class_order::ClassOrder;
use crate::infer::{Statistics, TensorModel};
use crate::onnx::SessionOptions;
use crate::onnx::inspect::ModelFile;
use crate::onnx::plan::InputPlan;
use crate::onnx::pool::SessionPool;
use crate::promised::Promised;
pub use error::LoadError;
pub use index::{Indexed, State};
use loading::{order_of, promised_of};
pub use meters::Meters;
pub use shelf::NotLoaded;
use shelf::{Entry, Held, Shelf};
use wanted::{Policy, Wanted, Wish};

/// A model version ready to answer.
#[derive(Debug)]
pub struct LoadedModel {
    /// What the registry says of it.
    pub version: ModelVersion,
    /// What of that serving needs.
    pub servable: Servable,
    /// Its features.
    pub compiled: CompiledService,
    /// How they go into its inputs.
    pub plan: InputPlan,
    /// The names of its classes, in the order of its probabilities, where its file names them.
    pub classes: Option<Vec<String>>,
    /// What puts these in the order of the model's contract, where it is another.
    pub order: Option<ClassOrder>,
    /// What the contract of its model promises of each answer.
    pub promised: Option<Promised>,
    /// Its sessions.
    pub pool: SessionPool,
    /// Whether its rows may share a run.
    pub batching: bool,
    /// Counts what it answers.
    pub meters: Meters,
    /// What answers for its own inputs, with the same sessions.
    pub tensors: Arc<TensorModel>,
}

/// Reads a model that was not read when it was registered, somewhere where it can do no harm.
pub trait Inspect: fmt::Debug + Send + Sync {
    /// What the graph `graph` of `files` says of itself. Blocks.
    ///
    /// # Errors
    /// Why it is not run.
    fn inspect(&self, files: &[PinnedFile], graph: &PinnedFile) -> Result<ModelFile, Uninspected>;
}

/// A version that could not be loaded.
#[derive(Debug)]
pub struct Unloaded {
    /// Its model.
    pub name: ModelName,
    /// Why.
    pub why: LoadError,
    /// Whether it is to predict: others were never promised to answer.
    pub predicts: bool,
}

/// Why a model is not run.
#[derive(Debug)]
pub struct Uninspected {
    /// In words.
    pub why: String,
    /// Whether trying again may do.
    pub passes: bool,
}

/// The versions that answer.
#[derive(Debug)]
pub struct Fleet {
    runtime: RuntimeSlot,
    artifacts: Artifacts,
    sessions: usize,
    options: SessionOptions,
    cache_bytes: usize,
    inspect: Option<Arc<dyn Inspect>>,
    shelf: RwLock<Arc<Shelf>>,
    /// One at a time compares and swaps.
    changing: Mutex<Changing>,
}

/// What whoever changes the shelf knows besides.
#[derive(Debug, Default)]
struct Changing {
    wishes: BTreeMap<ModelName, Wish>,
    /// The most rows of one request, where somebody asked for fewer.
    rows_max: BTreeMap<ModelName, usize>,
    /// Why versions that are wanted are not loaded.
    failed: BTreeMap<(ModelName, u32), Failed>,
    /// Counts of versions, also of those that are not loaded any more: they never go back.
    statistics: BTreeMap<(ModelName, u32), Arc<Statistics>>,
}

#[derive(Debug)]
struct Failed {
    why: String,
    passes: bool,
    /// What failed: another version of this number is tried.
    registered_at: Timestamp,
}

/// The runtime is opened when the first model needs it: features can be served without ONNX Runtime.
#[derive(Debug)]
struct RuntimeSlot {
    explicit: Option<PathBuf>,
}

impl Fleet {
    /// An empty fleet. `library` names ONNX Runtime's file where the user did; each version gets `sessions` sessions.
    pub fn new(library: Option<PathBuf>, artifacts: Artifacts, sessions: usize) -> Self {
        let (shelf, changing) = (RwLock::default(), Mutex::default());
        let (runtime, options) = (RuntimeSlot { explicit: library }, SessionOptions::default());
        Self { runtime, artifacts, sessions, options, cache_bytes: 0, inspect: None, shelf, changing }
    }

    /// A fleet whose sessions are made like this.
    #[must_use]
    pub fn with_options(self, options: SessionOptions) -> Self {
        Self { options, ..self }
    }

    /// A fleet whose versions give answers again, of which each may keep so many bytes.
    #[must_use]
    pub fn with_cache(self, cache_bytes: usize) -> Self {
        Self { cache_bytes, ..self }
    }

    /// How sessions are made, and how many for each version.
    pub fn options(&self) -> (&SessionOptions, usize) {
        (&self.options, self.sessions)
    }

    /// A fleet that also loads what was registered without a feature service, when `inspect` has read it.
    #[must_use]
    pub fn inspecting(self, inspect: Arc<dyn Inspect>) -> Self {
        Self { inspect: Some(inspect), ..self }
    }

    /// The version that predicts for `model` now.
    pub fn get(&self, model: &str) -> Option<Arc<LoadedModel>> {
        self.snapshot().models.get(model)?.serving.clone()
    }

    /// All versions that predict.
    pub fn loaded(&self) -> Vec<Arc<LoadedModel>> {
        self.snapshot().models.values().filter_map(|entry| entry.serving.clone()).collect()
    }

    /// What answers tensors for `model`: its `version`, or the one in Production or else the highest.
    ///
    /// # Errors
    /// [`NotLoaded`].
    pub fn tensors(&self, model: &str, version: Option<u32>) -> Result<Arc<TensorModel>, NotLoaded> {
        let (shelf, model_name) = (self.snapshot(), || model.to_owned());
        let entry = shelf.models.get(model).ok_or_else(|| NotLoaded::Model { model: model_name() })?;
        entry.tensors(version).cloned().ok_or_else(|| match version {
            Some(version) => NotLoaded::Version { model: model_name(), version: version.to_string() },
            None => NotLoaded::Nothing { model: model_name() },
        })
    }

    /// The versions of `model` that answer tensors.
    pub fn versions(&self, model: &str) -> Vec<u32> {
        self.snapshot().models.get(model).map(|entry| entry.versions.keys().copied().collect()).unwrap_or_default()
    }

    /// All versions that answer tensors, by model and number.
    pub fn all_tensors(&self) -> Vec<Arc<TensorModel>> {
        let shelf = self.snapshot();
        shelf.models.values().flat_map(|entry| entry.versions.values().map(|held| Arc::clone(held.tensors()))).collect()
    }

    fn snapshot(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads what the catalog wants and is not loaded, then swaps. A version that cannot be loaded leaves the one before
    /// in place. What could not be, and is tried again by the next call; without a feature service only what may be loaded then.
    pub fn sync(&self, catalog: &Catalog) -> Vec<Unloaded> {
        self.bring(&mut self.changing(), catalog, None)
    }

    /// Loads `model` as `policy` says, anew where it is loaded: what answers goes on until the new is ready. Whether any
    /// version of it could be; what was asked for stays asked for.
    ///
    /// # Errors
    /// Why a version of it is not loaded.
    pub fn load_model(
        &self,
        model: &ModelName,
        policy: Policy,
        rows_max: Option<usize>,
        catalog: &Catalog,
    ) -> Result<bool, LoadError> {
        let mut changing = self.changing();
        changing.wishes.insert(model.clone(), Wish::Load(policy));
        match rows_max {
            Some(rows) => changing.rows_max.insert(model.clone(), rows),
            None => changing.rows_max.remove(model),
        };
        changing.failed.retain(|(name, _), _| name != model);
        let failed = self.bring(&mut changing, catalog, Some(model));
        let failed = failed.into_iter().find(|unloaded| unloaded.name == *model).map(|unloaded| unloaded.why);
        match failed {
            Some(why) => Err(why),
            None => Ok(self.snapshot().models.contains_key(model.as_str())),
        }
    }

    /// Takes all versions of `model` away, until somebody asks for it again. What is in flight is answered.
    pub fn unload_model(&self, model: &ModelName, catalog: &Catalog) {
        let mut changing = self.changing();
        changing.wishes.insert(model.clone(), Wish::Unload);
        changing.rows_max.remove(model);
        changing.failed.retain(|(name, _), _| name != model);
        self.bring(&mut changing, catalog, None);
    }

    /// Every model of the catalog: its versions that are loaded, those that could not be, or else the one that would be.
    pub fn index(&self, catalog: &Catalog) -> Vec<Indexed> {
        index::index(&self.snapshot(), catalog)
    }

    /// What `version` of `model` has answered since the server started.
    #[cfg(test)]
    fn statistics(&self, model: &ModelName, version: u32) -> Option<Arc<Statistics>> {
        self.changing().statistics.get(&(model.clone(), version)).cloned()
    }

    fn bring(&self, changing: &mut Changing, catalog: &Catalog, again: Option<&ModelName>) -> Vec<Unloaded> {
        let before = self.snapshot();
        let wanted = wanted::wanted(catalog, &changing.wishes);
        changing
            .failed
            .retain(|(name, number), _| wanted.get(name).is_some_and(|wanted| wanted.versions.contains(number)));
        let mut next = Shelf::default();
        let mut failed = Vec::new();
        for (name, wanted) in &wanted {
            let entry = before.models.get(name).cloned().unwrap_or_default();
            let anew = again == Some(name);
            let entry = self.bring_model(changing, catalog, wanted, (name, entry), anew, &mut failed);
            if !entry.versions.is_empty() {
                next.models.insert(name.clone(), entry);
            }
        }
        for name in before.models.keys().filter(|name| !wanted.contains_key(*name)) {
            info!(model.name = %name, "unloaded `{name}`: none of its versions is wanted");
        }
        next.failed = changing.failed.iter().map(|(known, failed)| (known.clone(), failed.why.clone())).collect();
        let taken_away = changing.wishes.iter().filter(|(_, wish)| **wish == Wish::Unload);
        next.taken_away = taken_away.map(|(name, _)| name.clone()).collect();
        *self.shelf.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        failed
    }

    fn bring_model(
        &self,
        changing: &mut Changing,
        catalog: &Catalog,
        wanted: &Wanted,
        (name, before): (&ModelName, Entry),
        anew: bool,
        failed: &mut Vec<Unloaded>,
    ) -> Entry {
        let mut versions = BTreeMap::new();
        for number in &wanted.versions {
            let version = catalog.model(name.as_str()).and_then(|model| model.version(*number));
            let Some(version) = version.map(|state| &state.version) else { continue };
            let held = before.versions.get(number).filter(|held| !anew && is_current(held, version, catalog));
            if let Some(held) = held {
                versions.insert(*number, held.clone());
                continue;
            }
            let known = (name.clone(), *number);
            let is_known = |failed: &Failed| !failed.passes && failed.registered_at == version.registered_at;
            if version.servable.is_none() && changing.failed.get(&known).is_some_and(is_known) {
                continue;
            }
            let started = Instant::now();
            match self.hold(version, catalog, changing) {
                Ok(held) => {
                    let took_ms = started.elapsed().as_millis();
                    info!(model.name = %name, model.version = number, took_ms, "loaded `{name}` version {number}");
                    changing.failed.remove(&known);
                    versions.insert(*number, held);
                }
                Err(why) => {
                    warn!(model.name = %name, model.version = number, "{}", chain(&why));
                    let (passes, registered_at) = (why.passes(), version.registered_at);
                    changing.failed.insert(known, Failed { why: chain(&why), passes, registered_at });
                    // What was loaded answers on.
                    if let Some(held) = before.versions.get(number) {
                        versions.insert(*number, held.clone());
                    }
                    let predicts = version.servable.is_some();
                    if predicts || passes || anew {
                        failed.push(Unloaded { name: name.clone(), why, predicts });
                    }
                }
            }
        }
        // The version before answers on where the one in Production cannot be loaded.
        let is_missing = wanted.holder.is_some_and(|number| !versions.contains_key(&number));
        let kept = before.default.filter(|_| is_missing);
        if let Some((number, held)) = kept.and_then(|number| Some((number, before.versions.get(&number)?))) {
            versions.entry(number).or_insert_with(|| held.clone());
        }
        let holder = wanted.holder.and_then(|number| versions.get(&number));
        let serving = match holder {
            Some(held) => held.served().cloned(),
            None => before.serving.filter(|_| is_missing),
        };
        if let Some(model) = &serving {
            versions.entry(model.version.version).or_insert_with(|| Held::Served(Arc::clone(model)));
        }
        let default = wanted.holder.filter(|number| versions.contains_key(number));
        let default = default.or(kept).or(serving.as_ref().map(|model| model.version.version));
        let default = default.or_else(|| versions.keys().next_back().copied());
        Entry { serving, versions, default }
    }
}

/// Whether what is loaded is what the catalog has: a version whose views are served, whose classes are
/// ordered or whose answers are promised in another way since is as good as another version, and so is one of a model that was deleted, when another has its name.
fn is_current(held: &Held, version: &ModelVersion, catalog: &Catalog) -> bool {
    match held {
        Held::Served(model) => {
            model.version == *version
                && !is_stale(model, catalog)
                && model.order == order_of(version, &model.compiled.service.id(), catalog)
                && model.promised == promised_of(version, &model.compiled.service.id(), catalog)
        }
        Held::Tensors(_, known) => **known == *version,
    }
}

/// Whether a view that the model reads is served from elsewhere since it was loaded, or fails in another way. Its meaning
/// never changes.
fn is_stale(model: &LoadedModel, catalog: &Catalog) -> bool {
    let definitions = catalog.definitions();
    model.compiled.views.iter().any(|used| {
        let loaded = &used.view.definition;
        let now = definitions.view(&used.view.id).map(|view| &view.definition);
        now.is_some_and(|now| (now.on_error, &now.online) != (loaded.on_error, &loaded.online))
    })
}

#[cfg(test)]
pub(crate) mod tests;
