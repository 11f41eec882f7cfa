//! A model version, asked by its own inputs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use schema::{Clock, ErrorKind, Fingerprint, ModelName};

use super::queue::Rank;
use super::scheduler::{self, Answer, Scheduler};
use super::statistics::{Statistics, Told};
use super::{Asked, Port, Refused, Takes};
use crate::batch_check::{BatchCheck, MadeRows, check_made};
use crate::onnx::session::Ran;
use crate::onnx::{OnnxError, SessionPool, Tensor, TensorData};

/// The most rows of one request. More are no request but a job.
pub const ROWS_MAX: usize = 4096;

/// How long rows are tried: requests of a model that takes longer share no run.
const TRIED_FOR: Duration = Duration::from_secs(2);
/// How long runs may take that nobody asked for, when a version is loaded.
const WARM: Duration = Duration::from_millis(100);
/// The largest batch of them.
const WARM_ROWS: usize = 64;
/// Runs of each size, the first aside.
const RUNS: u32 = 3;
/// Elements of one input of such a run.
const ZEROS_MAX: usize = 1 << 22;

/// A model version that answers tensors.
#[derive(Debug)]
pub struct TensorModel {
    name: ModelName,
    version: u32,
    digest: Fingerprint,
    takes: Takes,
    labels: Option<Vec<String>>,
    statistics: Arc<Statistics>,
    scheduler: Scheduler,
}

/// What a [`TensorModel`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The model's name.
    pub name: ModelName,
    /// The version's number.
    pub version: u32,
    /// The digest of its file.
    pub digest: Fingerprint,
    /// Its inputs, in its order.
    pub inputs: Vec<Port>,
    /// Its outputs, in its order.
    pub outputs: Vec<Port>,
    /// The names of its classes, where its file has them.
    pub labels: Option<Vec<String>>,
    /// Whether an answer is the same in whatever company, where that is known: otherwise it is found out.
    pub batching: Option<bool>,
    /// The most rows of one request, if fewer than [`ROWS_MAX`]; 0 for shapes as they are.
    pub rows_max: Option<usize>,
    /// Its sessions.
    pub pool: SessionPool,
    /// Where its answers are counted.
    pub statistics: Arc<Statistics>,
}

/// What a model answered.
#[derive(Debug)]
pub struct Answered {
    /// The outputs that were asked for, in the order of the asking.
    pub outputs: Vec<Tensor>,
    /// What was counted of it.
    pub told: Told,
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum InferError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("Exceeds maximum queue size: model '{model}' has more to do than it can")]
    QueueFull { model: String },
    #[error("Request timeout expired before model '{model}' had a free session")]
    Expired { model: String },
    #[error("running model '{model}' version {version}")]
    Run {
        model: String,
        version: u32,
        #[source]
        source: OnnxError,
    },
}

impl InferError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(why) => why.kind(),
            Self::QueueFull { .. } => ErrorKind::Overloaded,
            Self::Expired { .. } => ErrorKind::Timeout,
            Self::Run { source, .. } => source.kind(),
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Run { source, .. } => source.hint(),
            Self::Refused(_) | Self::QueueFull { .. } | Self::Expired { .. } => None,
        }
    }
}

// === impl TensorModel ===

impl TensorModel {
    /// The version of these parts, warm. It takes batches where all of its inputs and outputs begin with rows and no row
    /// depends on another. Takes some runs of the model.
    pub fn new(parts: Parts) -> Self {
        let Parts { name, version, digest, inputs, outputs, labels, batching, rows_max, pool, statistics } = parts;
        let has_rows = !inputs.is_empty() && inputs.iter().chain(&outputs).all(Port::has_rows);
        let batching = has_rows && batching.unwrap_or_else(|| tried(&pool, &inputs, outputs.len()).batching());
        let rows_max = batching.then_some(rows_max.unwrap_or(ROWS_MAX).min(ROWS_MAX)).filter(|rows| *rows > 0);
        let scheduler = Scheduler::new(scheduler::Parts {
            model: name.to_string(),
            version,
            n_outputs: outputs.len(),
            pool,
            statistics: Arc::clone(&statistics),
            rows_max,
        });
        let takes = Takes { model: name.to_string(), inputs, outputs, rows_max };
        let model = Self { name, version, digest, takes, labels, statistics, scheduler };
        model.warm();
        model
    }

    /// Runs what nobody asked for, to know how long the model takes: of sizes that may be a batch, as long as there is time.
    fn warm(&self) {
        let begun = Instant::now();
        let sizes = std::iter::successors(Some(1), |rows| Some(rows * 2)).take_while(|rows| *rows <= WARM_ROWS);
        let sizes = sizes.take_while(|rows| *rows == 1 || self.rows_max().is_some_and(|max| *rows <= max));
        for rows in sizes {
            let Some(inputs) = self.zeros(rows) else { return };
            for run in 0..=RUNS {
                let Some(mut lease) = self.scheduler.pool().try_checkout() else { return };
                // What fails on nothing at all may answer something.
                let Ok(Ran { took, .. }) = lease.infer(&inputs, &[], rows) else { return };
                // The first run of a size allocates.
                if run > 0 {
                    self.scheduler.learn(rows, took.input + took.infer + took.output);
                }
                if begun.elapsed() > WARM {
                    return;
                }
            }
        }
    }

    /// So many rows of nothing; none where a dimension besides the rows is free.
    fn zeros(&self, rows: usize) -> Option<Vec<Tensor>> {
        let zeros = |port: &Port| {
            let (_, rest) = port.shape.split_first().filter(|_| port.has_rows())?;
            let width = rest.iter().try_fold(1_usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))?;
            let n = rows.checked_mul(width).filter(|n| *n <= ZEROS_MAX)?;
            let shape = [&[i64::try_from(rows).ok()?], rest].concat();
            let data = TensorData::zeros(port.datatype, n);
            Some(Tensor { name: Arc::clone(&port.name), shape, data })
        };
        self.takes.inputs.iter().map(zeros).collect()
    }

    /// The model's name.
    pub fn name(&self) -> &ModelName {
        &self.name
    }

    /// The version's number.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The digest of its file.
    pub fn digest(&self) -> &Fingerprint {
        &self.digest
    }

    /// Its inputs, in its order.
    pub fn inputs(&self) -> &[Port] {
        &self.takes.inputs
    }

    /// Its outputs, in its order.
    pub fn outputs(&self) -> &[Port] {
        &self.takes.outputs
    }

    /// The names of its classes, where its file has them.
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// The most rows of one request; `None` if shapes are taken as they are.
    pub fn rows_max(&self) -> Option<usize> {
        self.takes.rows_max
    }

    #[cfg(test)]
    pub(super) fn pool(&self) -> &SessionPool {
        self.scheduler.pool()
    }

    /// How many sessions it has.
    pub fn n_sessions(&self) -> usize {
        self.scheduler.pool().n_sessions()
    }

    /// Whether requests share a run, and how many rows are worth it.
    pub fn batch(&self) -> Option<usize> {
        self.scheduler.is_shared().then(|| self.scheduler.knee())
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.scheduler.waiting()
    }

    /// What it has answered.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// A request of `inputs`, in any order, for the outputs of these names, or for all where none is named.
    ///
    /// # Errors
    /// [`InferError::Refused`] for what does not fit the model, which counts as a failed request.
    pub fn ask<'o>(
        &self,
        inputs: Vec<Tensor>,
        outputs: impl IntoIterator<Item = &'o str>,
    ) -> Result<Asked, InferError> {
        let started = Instant::now();
        self.takes.check(inputs, outputs).map_err(|why| {
            self.statistics.failed(started.elapsed());
            why.into()
        })
    }

    /// Answers `asked`, which must have begun to run by `deadline`.
    ///
    /// # Errors
    /// [`InferError`] but for [`InferError::Refused`].
    pub async fn infer(&self, asked: Asked, rank: Rank, deadline: Option<Instant>) -> Result<Answered, InferError> {
        let (started, rows) = (Instant::now(), asked.rows);
        match self.scheduler.run(asked, rank, started, deadline).await {
            Ok(Answer { outputs, queue, run }) => {
                let told = Told { rows, total: started.elapsed(), queue, run, at: Clock::wall() };
                self.statistics.answered(told);
                Ok(Answered { outputs, told })
            }
            Err(why) => {
                self.statistics.failed(started.elapsed());
                Err(why)
            }
        }
    }
}

/// Whether rows that are made from the inputs may share a run. Of no session, and of rows that are too large, nothing is known.
pub fn tried(pool: &SessionPool, inputs: &[Port], n_outputs: usize) -> BatchCheck {
    let unknown = |reason: &str| BatchCheck::unchecked(reason);
    let Some(rows) = MadeRows::of(inputs, n_outputs) else { return unknown("its rows are too large to be tried") };
    let Some(mut session) = pool.try_checkout() else { return unknown("no session is free to try it") };
    check_made(&mut session, &rows, TRIED_FOR)
}

#[cfg(test)]
mod tests;
