//! Which model versions are loaded, and the swap between them.
//!
//! Declare, diff, do: [`wanted`](wanted::wanted) says what is to be loaded by the catalog and by what was asked of this
//! server; [`Fleet::sync`] loads what is new, warm and checked, *before* it swaps one pointer, so no request meets a
//! half-loaded model. What is in flight keeps its version alive until it is done.

mod error;
mod index;
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
use schema::migration::ServiceVersion;
use schema::signature::{Signature, TensorSpec};
use schema::{ModelName, Timestamp};
use tracing::{info, warn};

use crate::batch_check::{ProbeSet, check_batches};
use crate::class_order::ClassOrder;
use crate::infer::{self, Port, Statistics, TensorModel};
use crate::onnx::OnnxError;
use crate::onnx::inspect::{ModelFile, classes};
use crate::onnx::plan::InputPlan;
use crate::onnx::pool::SessionPool;
use crate::onnx::runtime::Runtime;
use crate::pinned::{self, PinnedError};
use crate::squares::golden::{self, GoldenFile};
use crate::squares::{Pinned, words};
pub use error::LoadError;
pub use index::{Indexed, State};
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
        Self { runtime: RuntimeSlot { explicit: library }, artifacts, sessions, inspect: None, shelf, changing }
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
    /// in place; the error of one that has a feature service is returned beside its model's name.
    pub fn sync(&self, catalog: &Catalog) -> Vec<(ModelName, LoadError)> {
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
        let failed = failed.into_iter().find(|(name, _)| name == model).map(|(_, why)| why);
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
        let (changing, shelf) = (self.changing(), self.snapshot());
        index::index(&shelf, &changing.failed_words(), &changing.wishes, catalog)
    }

    /// What `version` of `model` has answered since the server started.
    pub fn statistics(&self, model: &ModelName, version: u32) -> Option<Arc<Statistics>> {
        self.changing().statistics.get(&(model.clone(), version)).cloned()
    }

    fn bring(
        &self,
        changing: &mut Changing,
        catalog: &Catalog,
        again: Option<&ModelName>,
    ) -> Vec<(ModelName, LoadError)> {
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
        failed: &mut Vec<(ModelName, LoadError)>,
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
                    if version.servable.is_some() || anew {
                        failed.push((name.clone(), why));
                    }
                }
            }
        }
        let holder = wanted.holder.and_then(|number| versions.get(&number));
        let serving = match (holder, &before.serving) {
            (Some(held), _) => held.served().cloned(),
            // The version before answers on.
            (None, Some(model)) if wanted.holder.is_some() => {
                versions.entry(model.version.version).or_insert_with(|| Held::Served(Arc::clone(model)));
                Some(Arc::clone(model))
            }
            (None, _) => None,
        };
        let default = wanted.holder.filter(|number| versions.contains_key(number));
        let default = default.or(serving.as_ref().map(|model| model.version.version));
        let default = default.or_else(|| versions.keys().next_back().copied());
        Entry { serving, versions, default }
    }

    fn hold(&self, version: &ModelVersion, catalog: &Catalog, changing: &mut Changing) -> Result<Held, LoadError> {
        let rows_max = changing.rows_max.get(&version.name).copied();
        let key = (version.name.clone(), version.version);
        let statistics = Arc::clone(changing.statistics.entry(key).or_default());
        if version.servable.is_some() {
            let model = self.load_counted(version, catalog, statistics, rows_max)?;
            return Ok(Held::Served(Arc::new(model)));
        }
        Ok(Held::Tensors(Arc::new(self.load_tensors(version, statistics, rows_max)?)))
    }

    /// A version that has no feature service.
    fn load_tensors(
        &self,
        version: &ModelVersion,
        statistics: Arc<Statistics>,
        rows_max: Option<usize>,
    ) -> Result<TensorModel, LoadError> {
        let (model, number) = (version.name.to_string(), version.version);
        let not_servable = || LoadError::NotServable { model: model.clone(), version: number };
        let inspect = self.inspect.as_ref().ok_or_else(not_servable)?;
        let graph = pinned::graph_of(&version.files);
        let graph = graph.ok_or_else(|| LoadError::NoGraph { model: model.clone(), version: number })?;
        let file = inspect.inspect(&version.files, graph).map_err(|uninspected| {
            let Uninspected { why, passes } = uninspected;
            LoadError::Inspected { model: model.clone(), version: number, why, passes }
        })?;
        let pool = self.pool(version, &version.files, graph)?;
        let labels = classes::read(&file.metadata);
        let sharing = Sharing { labels, batching: None, pool, statistics, rows_max };
        self.tensor_model(version, graph, &file.signature, sharing)
    }

    fn tensor_model(
        &self,
        version: &ModelVersion,
        graph: &PinnedFile,
        signature: &Signature,
        sharing: Sharing,
    ) -> Result<TensorModel, LoadError> {
        let ports = |side: &'static str, specs: &[TensorSpec]| {
            let port = |spec: &TensorSpec| {
                Port::of(spec).ok_or_else(|| LoadError::Onnx {
                    model: version.name.to_string(),
                    version: version.version,
                    source: OnnxError::ElementType { side, name: spec.name.clone(), element: spec.datatype.clone() },
                })
            };
            specs.iter().map(port).collect::<Result<Vec<_>, _>>()
        };
        let (inputs, outputs) = (ports("input", &signature.inputs)?, ports("output", &signature.outputs)?);
        let Sharing { labels, batching, pool, statistics, rows_max } = sharing;
        Ok(TensorModel::new(infer::model::Parts {
            name: version.name.clone(),
            version: version.version,
            digest: graph.digest,
            inputs,
            outputs,
            labels,
            batching,
            rows_max,
            pool,
            statistics,
        }))
    }

    /// The sessions of a graph whose files are pinned.
    fn pool(&self, version: &ModelVersion, files: &[PinnedFile], graph: &PinnedFile) -> Result<SessionPool, LoadError> {
        let (model, number) = (version.name.to_string(), version.version);
        let onnx = |source| LoadError::Onnx { model: model.clone(), version: number, source };
        let bytes = pinned::model(&self.artifacts, files, graph).map_err(|why| match why {
            PinnedError::Artifact(source) => LoadError::Artifact { model: model.clone(), version: number, source },
            PinnedError::Onnx(source) => onnx(source),
        })?;
        let runtime = self.runtime().map_err(onnx)?;
        SessionPool::load(&runtime, &bytes, self.sessions).map_err(onnx)
    }

    /// Loads one version, whatever its stage; promotion checks candidates with it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, version: &ModelVersion, catalog: &Catalog) -> Result<LoadedModel, LoadError> {
        self.load_counted(version, catalog, Arc::default(), None)
    }

    fn load_counted(
        &self,
        version: &ModelVersion,
        catalog: &Catalog,
        statistics: Arc<Statistics>,
        rows_max: Option<usize>,
    ) -> Result<LoadedModel, LoadError> {
        let (model, number) = (version.name.to_string(), version.version);
        let Some(servable) = version.servable.clone() else {
            return Err(LoadError::NotServable { model, version: number });
        };
        let definitions = catalog.definitions();
        let service = definitions
            .service_by_fingerprint(servable.service.as_str(), &servable.service_fingerprint)
            .ok_or_else(|| LoadError::NoService {
                model: model.clone(),
                version: number,
                service: servable.service.to_string(),
                fingerprint: servable.service_fingerprint.short(),
            })?;
        let compiled = CompiledService::new(service, definitions).map_err(|source| LoadError::Compile {
            model: model.clone(),
            version: number,
            source,
        })?;
        let plan = InputPlan::fit(&servable.signature, &service.columns).map_err(|why| LoadError::Misfit {
            model: model.clone(),
            version: number,
            why: why.to_string(),
        })?;
        let onnx = |source| LoadError::Onnx { model: model.clone(), version: number, source };
        let files = version.pinned();
        let graph = files.iter().find(|file| file.digest == servable.digest);
        let graph = graph.cloned().unwrap_or_else(|| servable.file());
        let pool = self.pool(version, &files, &graph)?;
        let probes = ProbeSet::new(&service.columns, &[]).map_err(onnx)?;
        // The batch square warms a session besides; the others warm in their first microseconds of work.
        let batches = {
            // Nobody else has seen this pool yet, so this waits for nobody.
            let Some(mut lease) = pool.try_checkout() else { unreachable!("a new pool has all its sessions") };
            check_batches(&mut lease, &plan, &probes)
        };
        let batching = batches.batching() && !found_unsafe(version, catalog);
        if !batching {
            warn!(model.name = %model, model.version = number, "served one row at a time: {batches}");
        }
        let classes = classes::read(&version.metadata);
        let order = order_of(version, &service.id(), catalog);
        let sharing =
            Sharing { labels: classes.clone(), batching: Some(batching), pool: pool.clone(), statistics, rows_max };
        let tensors = Arc::new(self.tensor_model(version, &graph, &servable.signature, sharing)?);
        let (meters, version) = (Meters::of(version), version.clone());
        Ok(LoadedModel { version, servable, compiled, plan, classes, order, pool, batching, meters, tensors })
    }

    /// The rows that are pinned with some versions: of the files that have some, as far as they are of its features. An input
    /// example that is not, as a tensor's is not, is no row. A file that several versions have is read once, and of many
    /// files the first are.
    ///
    /// # Errors
    /// [`LoadError::Artifact`] if a file cannot be read now, or one of the version that is `judged` not any more.
    pub fn pinned<'v>(
        &self,
        judged: u32,
        versions: impl IntoIterator<Item = &'v ModelVersion>,
        catalog: &'v Catalog,
    ) -> Result<Vec<Pinned>, LoadError> {
        let mut all = Vec::new();
        for GoldenFile { version, service, file } in golden::files(versions, catalog.definitions()) {
            let (model, number) = (&version.name, version.version);
            let bytes = match self.artifacts.get(&file.digest) {
                Ok(bytes) => bytes,
                // Nobody can bring back what other versions lost, and they must be possible to replace.
                Err(why) if number != judged && !why.passes() => {
                    warn!(model.name = %model, model.version = number, "its golden rows are lost: {}", chain(&why));
                    continue;
                }
                Err(source) => return Err(LoadError::Artifact { model: model.to_string(), version: number, source }),
            };
            match golden::read(&bytes, &service.columns) {
                Ok(rows) => all.push(Pinned { service: service.id(), rows }),
                Err(why) => {
                    warn!(model.name = %model, model.version = number, "no golden rows in `{}`: {why}", file.path);
                }
            }
        }
        Ok(all)
    }

    /// ONNX Runtime, opened on first use.
    ///
    /// # Errors
    /// [`OnnxError`] if there is none.
    pub fn runtime(&self) -> Result<Runtime, OnnxError> {
        Runtime::load(self.runtime.explicit.as_deref())
    }
}

/// What puts a version's answers in the order of its model's contract.
fn order_of(model: &ModelVersion, service: &ServiceVersion, catalog: &Catalog) -> Option<ClassOrder> {
    let definition = catalog.definitions().model(model.name.as_str())?;
    let (contract, named) = (definition.contract.as_ref()?, classes::read(&model.metadata)?);
    // Migrations that are applied compose.
    let words = words::to_contract(Some(definition), service, catalog.definitions()).ok()?;
    ClassOrder::of(&words.older_kinds(&contract.kinds()), &named)
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

/// Whether the batch square of the version's promotion, which saw sampled rows besides, found a row that depends on its
/// company.
fn found_unsafe(version: &ModelVersion, catalog: &Catalog) -> bool {
    let history = catalog.model(version.name.as_str()).into_iter().flat_map(registry::Model::history);
    let mut judged = history.rev().map(|entry| &entry.3).filter(|t| t.version == version.version);
    judged.find_map(|t| t.evidence["batches"]["verdict"].as_str()).is_some_and(|verdict| verdict == "unsafe")
}

/// What a model's answers for its own inputs share with its other answers.
struct Sharing {
    labels: Option<Vec<String>>,
    batching: Option<bool>,
    pool: SessionPool,
    statistics: Arc<Statistics>,
    rows_max: Option<usize>,
}

/// Whether what is loaded is what the catalog has: a version whose views are served, or whose classes are ordered, in another
/// way since is as good as another version, and so is one of a model that was deleted, when another has its name.
fn is_current(held: &Held, version: &ModelVersion, catalog: &Catalog) -> bool {
    match held {
        Held::Served(model) => {
            model.version == *version
                && !is_stale(model, catalog)
                && model.order == order_of(version, &model.compiled.service.id(), catalog)
        }
        Held::Tensors(model) => {
            let graph = pinned::graph_of(&version.files);
            version.servable.is_none() && graph.is_some_and(|graph| graph.digest == *model.digest())
        }
    }
}

impl Changing {
    fn failed_words(&self) -> BTreeMap<(&ModelName, u32), &str> {
        self.failed.iter().map(|((name, number), failed)| ((name, *number), failed.why.as_str())).collect()
    }
}

#[cfg(test)]
mod tests;
