//! Loading one version: its files, its sessions, and the features that it eats.

use std::sync::Arc;

use featurestore::CompiledService;
use registry::{Catalog, ModelVersion, PinnedFile, Servable};
use schema::error::chain;
use schema::migration::ServiceVersion;
use schema::signature::{Signature, TensorSpec};
use tracing::warn;

use super::shelf::Held;
use super::{Changing, Fleet, LoadError, LoadedModel, Meters, Uninspected};
use crate::batch_check::{ProbeSet, check_batches};
use crate::class_order::ClassOrder;
use crate::infer::{self, Port, Statistics, TensorModel};
use crate::onnx::inspect::classes;
use crate::onnx::{InputPlan, OnnxError, Runtime, SessionOptions, SessionPool};
use crate::pinned::{self, PinnedError};
use crate::promised::Promised;
use crate::squares::golden::{self, GoldenFile};
use crate::squares::{Pinned, words};

/// What a model's answers for its own inputs share with its other answers.
struct Sharing {
    labels: Option<Vec<String>>,
    batching: Option<bool>,
    pool: SessionPool,
    statistics: Arc<Statistics>,
    rows_max: Option<usize>,
}

impl Fleet {
    pub(super) fn hold(
        &self,
        version: &ModelVersion,
        catalog: &Catalog,
        changing: &mut Changing,
    ) -> Result<Held, LoadError> {
        let rows_max = changing.rows_max.get(&version.name).copied();
        let key = (version.name.clone(), version.version);
        let statistics = Arc::clone(changing.statistics.entry(key).or_default());
        if version.servable.is_some() {
            let model = self.load_counted(version, catalog, statistics, rows_max)?;
            return Ok(Held::Served(Arc::new(model)));
        }
        let model = self.load_tensors(version, statistics, rows_max)?;
        Ok(Held::Tensors(Arc::new(model), Arc::new(version.clone())))
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
        if file.batching == Some(false) {
            warn!(model.name = %model, model.version = number, "served one request at a time: rows that were made did not answer alike in company, or not in time");
        }
        let labels = classes::read(&file.metadata);
        let sharing = Sharing { labels, batching: file.batching, pool, statistics, rows_max };
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
            cache_bytes: self.cache_bytes,
            statistics,
        }))
    }

    /// The sessions of a graph whose files are pinned.
    fn pool(&self, version: &ModelVersion, files: &[PinnedFile], graph: &PinnedFile) -> Result<SessionPool, LoadError> {
        self.pool_with(version, files, graph, self.sessions, &self.options)
    }

    /// Sessions of a version that is loaded, made in another way; none if it is loaded no more, or anew since.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn sessions_of(
        &self,
        model: &Arc<TensorModel>,
        n: usize,
        options: &SessionOptions,
    ) -> Result<Option<SessionPool>, LoadError> {
        let shelf = self.snapshot();
        let held = shelf.models.get(model.name()).and_then(|entry| entry.versions.get(&model.version()));
        let Some(held) = held.filter(|held| Arc::ptr_eq(held.tensors(), model)) else { return Ok(None) };
        let version = held.version();
        let files = version.pinned();
        let of_digest = files.iter().find(|file| file.digest == *model.digest()).cloned();
        let graph = of_digest.or_else(|| version.servable.as_ref().map(Servable::file));
        let Some(graph) = graph else { return Ok(None) };
        self.pool_with(version, &files, &graph, n, options).map(Some)
    }

    fn pool_with(
        &self,
        version: &ModelVersion,
        files: &[PinnedFile],
        graph: &PinnedFile,
        n: usize,
        options: &SessionOptions,
    ) -> Result<SessionPool, LoadError> {
        let (model, number) = (version.name.to_string(), version.version);
        let onnx = |source| LoadError::Onnx { model: model.clone(), version: number, source };
        let bytes = pinned::model(&self.artifacts, files, graph).map_err(|why| match why {
            PinnedError::Artifact(source) => LoadError::Artifact { model: model.clone(), version: number, source },
            PinnedError::Onnx(source) => onnx(source),
        })?;
        let runtime = self.runtime().map_err(onnx)?;
        SessionPool::load_with(&runtime, &bytes, n, options).map_err(onnx)
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
        let promised = promised_of(version, &service.id(), catalog);
        let sharing =
            Sharing { labels: classes.clone(), batching: Some(batching), pool: pool.clone(), statistics, rows_max };
        let tensors = Arc::new(self.tensor_model(version, &graph, &servable.signature, sharing)?);
        let (meters, version) = (Meters::of(version), version.clone());
        Ok(LoadedModel { version, servable, compiled, plan, classes, order, promised, pool, batching, meters, tensors })
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
pub(super) fn order_of(model: &ModelVersion, service: &ServiceVersion, catalog: &Catalog) -> Option<ClassOrder> {
    let definition = catalog.definitions().model(model.name.as_str())?;
    let (contract, named) = (definition.contract.as_ref()?, classes::read(&model.metadata)?);
    // Migrations that are applied compose.
    let words = words::to_contract(Some(definition), service, catalog.definitions()).ok()?;
    ClassOrder::of(&words.older_kinds(&contract.kinds()), &named)
}

/// What the contract of the version's model promises of each answer, where it is in the words of the version.
pub(super) fn promised_of(model: &ModelVersion, service: &ServiceVersion, catalog: &Catalog) -> Option<Promised> {
    let definition = catalog.definitions().model(model.name.as_str())?;
    // Promises are in the contract's words. What answers in others was held against them in those.
    let words = words::to_contract(Some(definition), service, catalog.definitions()).ok()?;
    Promised::of(model, definition.contract.as_ref().filter(|_| words.is_identity())?)
}

/// Whether the batch square of the version's promotion, which saw sampled rows besides, found a row that depends on its
/// company.
fn found_unsafe(version: &ModelVersion, catalog: &Catalog) -> bool {
    let history = catalog.model(version.name.as_str()).into_iter().flat_map(registry::Model::history);
    let mut judged = history.rev().map(|entry| &entry.3).filter(|t| t.version == version.version);
    judged.find_map(|t| t.evidence["batches"]["verdict"].as_str()).is_some_and(|verdict| verdict == "unsafe")
}
