//! What this server answers of its models, for both transports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use registry::{Catalog, Registry};
use schema::ModelName;
use serving::Fleet;
use serving::fleet::wanted::{Policy, VERSIONS_MAX, can_answer};
use serving::fleet::{Indexed, State};
use serving::infer::statistics::{Batch, Snapshot, Tally};
use serving::infer::{Port, Rank, TensorModel};
use serving::onnx::{Datatype, Tensor};

use super::classify::classify;
use super::load::Load;
use super::messages::config::{
    DataType, DynamicBatching, InstanceGroup, Kind, ModelConfig, ModelInput, ModelOutput, TransactionPolicy,
};
use super::messages::repository::ModelIndex;
use super::messages::statistics::{
    BatchStatistics, Duration as Took, InferStatistics, ModelStatistics, ModelStatisticsResponse,
};
use super::messages::{ModelMetadata, ServerMetadata, TensorMetadata};
use super::options::{Options, Output};
use super::{BACKEND, EXTENSIONS, PLATFORM, Refusal};
use crate::config::{InferenceConfig, NonFiniteFloat};
use crate::http::health::Readiness;
use crate::trace::part;

/// The models of this server.
#[derive(Debug)]
pub struct Inference {
    fleet: Arc<Fleet>,
    registry: Arc<Registry>,
    readiness: Arc<Readiness>,
    config: InferenceConfig,
}

/// A request for tensors.
#[derive(Debug)]
pub struct Request {
    /// What is asked of the whole.
    pub options: Options,
    /// What the model is given.
    pub inputs: Vec<Tensor>,
    /// What it is to give; all, if none is named.
    pub outputs: Vec<Output>,
    /// By when it must have begun, if the transport says.
    pub deadline: Option<Instant>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// What was asked for, in the order of the asking, and whether it is to be raw.
    pub outputs: Vec<(Tensor, bool)>,
}

impl Inference {
    /// The models of `fleet`.
    pub fn new(fleet: Arc<Fleet>, registry: Arc<Registry>, readiness: Arc<Readiness>, config: InferenceConfig) -> Self {
        Self { fleet, registry, readiness, config }
    }

    /// The longest request, in bytes, decompressed.
    pub fn bytes_max(&self) -> usize {
        self.config.bytes_max
    }

    /// How a float that JSON lacks is written.
    pub fn non_finite(&self) -> NonFiniteFloat {
        self.config.non_finite
    }

    /// Whether the server answers for all of its models.
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// What it does not answer for, with the reasons.
    pub fn failing(&self) -> Vec<String> {
        self.readiness.failing()
    }

    /// What the server is.
    pub fn server(&self) -> ServerMetadata {
        let extensions = EXTENSIONS.map(str::to_owned).to_vec();
        ServerMetadata {
            name: self.config.server_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions,
        }
    }

    /// The version of a model that answers; its number, if it is said, must be one.
    ///
    /// # Errors
    /// None does, or the version is no number.
    pub fn model(&self, name: &str, version: &str) -> Result<Arc<TensorModel>, Refusal> {
        let not_found = || {
            let (model, version) = (name.to_owned(), version.to_owned());
            Refusal::from(serving::fleet::NotLoaded::Version { model, version })
        };
        let number = match version {
            "" => None,
            version if version.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(version.parse().map_err(|_why| not_found())?)
            }
            other => {
                let other = other.escape_debug();
                return Err(Refusal::invalid(format!(
                    "failed to get model version from specified version string '{other}', version should be an integral value > 0"
                )));
            }
        };
        Ok(self.fleet.tensors(name, number)?)
    }

    /// What a model takes and gives.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn metadata(&self, name: &str, version: &str) -> Result<ModelMetadata, Refusal> {
        let model = self.model(name, version)?;
        let versions = match version {
            "" => self.fleet.versions(name).iter().map(ToString::to_string).collect(),
            _ => vec![model.version().to_string()],
        };
        let tensors = |ports: &[Port]| ports.iter().map(tensor).collect();
        Ok(ModelMetadata {
            name: model.name().to_string(),
            versions,
            platform: PLATFORM.to_owned(),
            inputs: tensors(model.inputs()),
            outputs: tensors(model.outputs()),
        })
    }

    /// How a model is run.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn config(&self, name: &str, version: &str) -> Result<ModelConfig, Refusal> {
        let model = self.model(name, version)?;
        let rows_max = model.rows_max();
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        // Rows are no dimension of a model that takes batches.
        let dims = |port: &Port| port.shape.iter().skip(usize::from(rows_max.is_some())).copied().collect();
        let data_type = |port: &Port| i32::from(data_type(port.datatype));
        let input = |port: &Port| ModelInput { name: name_of(port), data_type: data_type(port), dims: dims(port) };
        let output = |port: &Port| ModelOutput { name: name_of(port), data_type: data_type(port), dims: dims(port) };
        Ok(ModelConfig {
            name: model.name().to_string(),
            platform: PLATFORM.to_owned(),
            backend: BACKEND.to_owned(),
            max_batch_size: rows_max.map_or(0, count),
            input: model.inputs().iter().map(input).collect(),
            output: model.outputs().iter().map(output).collect(),
            instance_group: vec![InstanceGroup {
                name: model.name().to_string(),
                count: count(model.n_sessions()),
                kind: Kind::Cpu.into(),
            }],
            dynamic_batching: rows_max.map(|_| DynamicBatching {}),
            model_transaction_policy: Some(TransactionPolicy { decoupled: false }),
        })
    }

    /// What a model has answered, or every one that answers.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub fn statistics(&self, name: &str, version: &str) -> Result<ModelStatisticsResponse, Refusal> {
        let models = match (name, version) {
            ("", _) => self.fleet.all_tensors(),
            (name, "") => {
                self.model(name, "")?;
                self.fleet.all_tensors().into_iter().filter(|model| model.name().as_str() == name).collect()
            }
            (name, version) => vec![self.model(name, version)?],
        };
        Ok(ModelStatisticsResponse { model_stats: models.iter().map(|model| statistics(model)).collect() })
    }

    /// Every model, and whether it answers; only those that do, if `ready`.
    pub fn index(&self, ready: bool) -> Vec<ModelIndex> {
        let indexed = self.fleet.index(&self.registry.catalog()).into_iter();
        let line = |Indexed { name, version, state, reason }: Indexed| ModelIndex {
            name,
            version: version.map(|version| version.to_string()).unwrap_or_default(),
            state: match state {
                State::Ready => "READY".to_owned(),
                State::Unavailable => "UNAVAILABLE".to_owned(),
            },
            reason,
        };
        indexed.filter(|indexed| !ready || indexed.state == State::Ready).map(line).collect()
    }

    /// Loads a model, anew if it is loaded. What answers goes on until the new is ready. Blocks, where another thread can take
    /// over what this one would do.
    ///
    /// # Errors
    /// In the words of Triton: there is no such model, or it cannot be loaded.
    pub async fn load(&self, name: &str, load: Load) -> Result<(), Refusal> {
        let catalog = self.catalog().await;
        let failed = |why: &str| format!("failed to load '{}', {why}", name.escape_debug());
        let model = known(name, &catalog).ok_or_else(|| Refusal::invalid(failed("there is no model of this name")))?;
        let Load { policy, rows_max } = load;
        possible(&policy, &model, &catalog).map_err(|why| Refusal::invalid(failed(&why)))?;
        let load = || self.fleet.load_model(&model, policy, rows_max, &catalog).map_err(Box::new);
        let loaded = tokio::task::block_in_place(load);
        match loaded {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::invalid(failed("no version of it that is asked for has an ONNX file"))),
            Err(why) => {
                let Refusal { cause, message } = Refusal::from(&*why);
                Err(Refusal::new(cause, failed(&message)))
            }
        }
    }

    /// Takes a model away, until it is loaded again. What is not loaded is away already.
    ///
    /// # Errors
    /// There is no such model.
    pub async fn unload(&self, name: &str) -> Result<(), Refusal> {
        let catalog = self.catalog().await;
        let unknown =
            || Refusal::invalid(format!("failed to unload '{}', there is no model of this name", name.escape_debug()));
        let model = known(name, &catalog).ok_or_else(unknown)?;
        tokio::task::block_in_place(|| self.fleet.unload_model(&model, &catalog));
        Ok(())
    }

    /// The catalog with what others wrote, or the one that is known where the registry does not answer.
    async fn catalog(&self) -> Arc<Catalog> {
        match self.registry.refresh().await {
            Ok(catalog) => catalog,
            Err(why) => {
                tracing::warn!("reading the registry: {}", schema::error::chain(&why));
                self.registry.catalog()
            }
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// It does not fit the model, did not get its turn, or the model failed on it.
    pub async fn infer(&self, model: &TensorModel, request: Request) -> Result<Answer, Refusal> {
        let Request { options, inputs, outputs, deadline } = request;
        let timeout = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let deadline = deadline.into_iter().chain(timeout).min();
        let asked = model.ask(inputs, outputs.iter().map(|output| output.name.as_str()))?;
        let answered = model.infer(asked, Rank::of_priority(options.priority), deadline).await?;
        let (ended, told) = (Instant::now(), answered.told);
        let ran = told.run.input + told.run.infer + told.run.output;
        let of = || {
            let rows = i64::try_from(told.rows).unwrap_or(i64::MAX);
            vec![
                ("plumb.model", model.name().as_str().into()),
                ("plumb.model.version", i64::from(model.version()).into()),
                ("plumb.rows", rows.into()),
            ]
        };
        let before = |took: Duration| ended.checked_sub(took).unwrap_or(ended);
        // Nothing ran for an answer that was given before.
        if !ran.is_zero() {
            part("queue", before(ran + told.queue), before(ran), of);
            part("infer", before(ran), ended, of);
        }
        let mut wanted = outputs.into_iter();
        let outputs = answered.outputs.into_iter().map(|tensor| {
            let output = wanted.next().unwrap_or_default();
            let tensor = match output.classes {
                Some(k) => classify(&tensor, k, model.labels(), model.rows_max().is_some())?,
                None => tensor,
            };
            Ok((tensor, output.is_binary.unwrap_or(options.is_binary)))
        });
        Ok(Answer { outputs: outputs.collect::<Result<_, Refusal>>()? })
    }
}

/// Whether the versions that are named are there, and no more than may be loaded.
fn possible(policy: &Policy, model: &ModelName, catalog: &Catalog) -> Result<(), String> {
    let Policy::Specific(numbers) = policy else { return Ok(()) };
    if numbers.len() > VERSIONS_MAX {
        return Err(format!("more than {VERSIONS_MAX} versions are asked for"));
    }
    let version = |number: u32| catalog.model(model.as_str())?.version(number).map(|state| &state.version);
    match numbers.iter().find(|number| !version(**number).is_some_and(can_answer)) {
        Some(number) => Err(format!("there is no version {number} of it that has an ONNX file")),
        None => Ok(()),
    }
}

/// The name of a model that the catalog has.
fn known(name: &str, catalog: &Catalog) -> Option<ModelName> {
    catalog.model(name).map(|model| model.name.clone())
}

fn name_of(port: &Port) -> String {
    port.name.as_ref().to_owned()
}

fn tensor(port: &Port) -> TensorMetadata {
    TensorMetadata { name: name_of(port), datatype: port.datatype.to_string(), shape: port.shape.clone() }
}

fn data_type(datatype: Datatype) -> DataType {
    match datatype {
        Datatype::Bool => DataType::Bool,
        Datatype::Uint8 => DataType::Uint8,
        Datatype::Uint16 => DataType::Uint16,
        Datatype::Uint32 => DataType::Uint32,
        Datatype::Uint64 => DataType::Uint64,
        Datatype::Int8 => DataType::Int8,
        Datatype::Int16 => DataType::Int16,
        Datatype::Int32 => DataType::Int32,
        Datatype::Int64 => DataType::Int64,
        Datatype::Fp16 => DataType::Fp16,
        Datatype::Bf16 => DataType::Bf16,
        Datatype::Fp32 => DataType::Fp32,
        Datatype::Fp64 => DataType::Fp64,
        Datatype::Bytes => DataType::String,
    }
}

fn statistics(model: &TensorModel) -> ModelStatistics {
    let snapshot = model.statistics().snapshot();
    let Snapshot { last_inference, rows, runs, success, fail, queue, input, infer, output, .. } = snapshot;
    let Snapshot { cache_hit, cache_miss, batches, .. } = snapshot;
    let took = |Tally { count, ns }: Tally| Some(Took { count, ns });
    let last_inference = last_inference.and_then(|at| u64::try_from(at.as_nanos()).ok());
    let last_inference = last_inference.map(Duration::from_nanos).unwrap_or_default().as_millis();
    let batch = |(rows, batch): (usize, Batch)| BatchStatistics {
        batch_size: u64::try_from(rows).unwrap_or(u64::MAX),
        compute_input: took(batch.input),
        compute_infer: took(batch.infer),
        compute_output: took(batch.output),
    };
    ModelStatistics {
        name: model.name().to_string(),
        version: model.version().to_string(),
        last_inference: u64::try_from(last_inference).unwrap_or(u64::MAX),
        inference_count: rows,
        execution_count: runs,
        inference_stats: Some(InferStatistics {
            success: took(success),
            fail: took(fail),
            queue: took(queue),
            compute_input: took(input),
            compute_infer: took(infer),
            compute_output: took(output),
            cache_hit: took(cache_hit),
            cache_miss: took(cache_miss),
        }),
        response_stats: std::collections::BTreeMap::new(),
        batch_stats: batches.into_iter().map(batch).collect(),
        memory_usage: Vec::new(),
    }
}
