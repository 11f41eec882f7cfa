//! Which model versions are loaded, and the swap between them.
//!
//! Declare, diff, do: [`plan`] compares the versions that the catalog wants with those that are loaded; [`Fleet::sync`]
//! loads what is new, warm and checked, *before* it swaps one pointer, so no request meets a half-loaded model. What is in
//! flight keeps its version alive until it is done.

mod meters;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use featurestore::CompiledService;
use registry::{Artifacts, Catalog, ModelVersion, Servable, Stage};
use schema::error::chain;
use schema::migration::ServiceVersion;
use schema::{ErrorKind, ModelName};
use tracing::{info, warn};

use crate::batch_check::{ProbeSet, check_batches};
use crate::class_order::ClassOrder;
use crate::onnx::OnnxError;
use crate::onnx::inspect::classes;
use crate::onnx::plan::InputPlan;
use crate::onnx::pool::SessionPool;
use crate::onnx::runtime::Runtime;
use crate::pinned::{self, PinnedError};
use crate::squares::golden::{self, GoldenFile};
use crate::squares::{Pinned, words};
pub use meters::Meters;

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
}

/// Why a version cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LoadError {
    #[error("model `{model}` version {version} is kept and not served: it was registered without a feature service")]
    NotServable { model: String, version: u32 },
    #[error(
        "loading model `{model}` version {version}: its feature service `{service}` with fingerprint {fingerprint} is not applied"
    )]
    NoService { model: String, version: u32, service: String, fingerprint: String },
    #[error("loading model `{model}` version {version}")]
    Compile {
        model: String,
        version: u32,
        #[source]
        source: featurestore::compiled::CompileError,
    },
    #[error("loading model `{model}` version {version}")]
    Artifact {
        model: String,
        version: u32,
        #[source]
        source: registry::ArtifactError,
    },
    #[error("loading model `{model}` version {version}")]
    Onnx {
        model: String,
        version: u32,
        #[source]
        source: OnnxError,
    },
    #[error("model `{model}` version {version} does not fit its feature service: {why}")]
    Misfit { model: String, version: u32, why: String },
}

impl LoadError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoService { .. } | Self::NotServable { .. } => ErrorKind::Conflict,
            Self::Compile { .. } | Self::Misfit { .. } => ErrorKind::Invalid,
            Self::Artifact { .. } => ErrorKind::Unavailable,
            Self::Onnx { source, .. } => source.kind(),
        }
    }
}

type Models = BTreeMap<ModelName, Arc<LoadedModel>>;

/// What `sync` is to do.
#[derive(Debug, PartialEq, Eq)]
pub struct FleetPlan {
    /// Versions to load.
    pub load: Vec<(ModelName, u32)>,
    /// Models to take away.
    pub unload: Vec<ModelName>,
}

/// Compares what is wanted with what is loaded: model name to version number.
pub fn plan(wanted: &BTreeMap<ModelName, u32>, loaded: &BTreeMap<ModelName, u32>) -> FleetPlan {
    let load = wanted.iter().filter(|(name, version)| loaded.get(*name) != Some(*version));
    let unload = loaded.keys().filter(|name| !wanted.contains_key(*name));
    FleetPlan { load: load.map(|(n, v)| (n.clone(), *v)).collect(), unload: unload.cloned().collect() }
}

/// The versions in Production, loaded.
#[derive(Debug)]
pub struct Fleet {
    runtime: RuntimeSlot,
    artifacts: Artifacts,
    sessions: usize,
    models: RwLock<Arc<Models>>,
}

/// The runtime is opened when the first model needs it: features can be served without ONNX Runtime.
#[derive(Debug)]
struct RuntimeSlot {
    explicit: Option<PathBuf>,
}

impl Fleet {
    /// An empty fleet. `library` names ONNX Runtime's file where the user did; each version gets `sessions` sessions.
    pub fn new(library: Option<PathBuf>, artifacts: Artifacts, sessions: usize) -> Self {
        Self { runtime: RuntimeSlot { explicit: library }, artifacts, sessions, models: RwLock::default() }
    }

    /// The version that answers for `model` now.
    pub fn get(&self, model: &str) -> Option<Arc<LoadedModel>> {
        self.snapshot().get(model).cloned()
    }

    /// All loaded versions.
    pub fn loaded(&self) -> Vec<Arc<LoadedModel>> {
        self.snapshot().values().cloned().collect()
    }

    fn snapshot(&self) -> Arc<Models> {
        Arc::clone(&self.models.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Loads what the catalog wants and is not loaded, then swaps. A version that cannot be loaded leaves the one before
    /// in place; its error is returned beside its model's name.
    pub fn sync(&self, catalog: &Catalog) -> Vec<(ModelName, LoadError)> {
        let mut wanted = BTreeMap::new();
        for (name, model) in catalog.models() {
            // What clients of MLflow keep here may have nothing to serve.
            if let Some(holder) = model.holder(Stage::Production).filter(|state| state.version.servable.is_some()) {
                wanted.insert(name.clone(), holder.version.version);
            }
        }
        let before = self.snapshot();
        // A version whose views are served, or whose classes are ordered, in another way since is as good as another
        // version, and so is one of a model that was deleted, when another has its name; none has the number 0.
        let is_known = |model: &LoadedModel| {
            let found =
                catalog.model(model.version.name.as_str()).and_then(|known| known.version(model.version.version));
            found.is_none_or(|state| state.version == model.version)
        };
        let is_current = |model: &LoadedModel| {
            is_known(model)
                && !is_stale(model, catalog)
                && model.order == order_of(&model.version, &model.compiled.service.id(), catalog)
        };
        let number = |model: &LoadedModel| if is_current(model) { model.version.version } else { 0 };
        let loaded = before.iter().map(|(name, model)| (name.clone(), number(model))).collect();
        let todo = plan(&wanted, &loaded);
        if todo.load.is_empty() && todo.unload.is_empty() {
            return Vec::new();
        }
        let mut next = Models::clone(&before);
        let mut failed = Vec::new();
        for (name, number) in todo.load {
            let version = catalog.model(name.as_str()).and_then(|model| model.version(number));
            let Some(version) = version.map(|state| &state.version) else { continue };
            let started = Instant::now();
            match self.load(version, catalog) {
                Ok(model) => {
                    let took_ms = started.elapsed().as_millis();
                    info!(model.name = %name, model.version = number, took_ms, "loaded `{name}` version {number}");
                    next.insert(name, Arc::new(model));
                }
                Err(why) => {
                    warn!(model.name = %name, model.version = number, "{}", chain(&why));
                    failed.push((name, why));
                }
            }
        }
        for name in todo.unload {
            info!(model.name = %name, "unloaded `{name}`: no version is in Production");
            next.remove(&name);
        }
        *self.models.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        failed
    }

    /// Loads one version, whatever its stage; promotion checks candidates with it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, version: &ModelVersion, catalog: &Catalog) -> Result<LoadedModel, LoadError> {
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
        let bytes = pinned::model(&self.artifacts, &files, &graph).map_err(|why| match why {
            PinnedError::Artifact(source) => LoadError::Artifact { model: model.clone(), version: number, source },
            PinnedError::Onnx(source) => onnx(source),
        })?;
        let runtime = self.runtime().map_err(onnx)?;
        let pool = SessionPool::load(&runtime, &bytes, self.sessions).map_err(onnx)?;
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
        let (meters, version) = (Meters::of(version), version.clone());
        Ok(LoadedModel { version, servable, compiled, plan, classes, order, pool, batching, meters })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(of: &[(&str, u32)]) -> BTreeMap<ModelName, u32> {
        of.iter().map(|(name, version)| (name.parse().unwrap(), *version)).collect()
    }

    #[test]
    fn only_the_difference_is_loaded() {
        let todo = plan(&versions(&[("a", 2), ("b", 1)]), &versions(&[("a", 1), ("b", 1), ("c", 4)]));
        assert_eq!(todo.load, vec![("a".parse().unwrap(), 2)]);
        assert_eq!(todo.unload, vec!["c".parse().unwrap()]);
    }
}
