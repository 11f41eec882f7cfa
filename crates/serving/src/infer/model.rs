//! A model version, asked by its own inputs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use schema::{Clock, ErrorKind, Fingerprint, ModelName};

use super::cache::{Looked, ResponseCache};
use super::latency::Latencies;
use super::pace::Pace;
use super::queue::Rank;
use super::scheduler::{self, Answer, Scheduler};
use super::statistics::{Statistics, Timings, Told};
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
    latencies: Latencies,
    /// Answers of before, where the version is known to give them again.
    cache: Option<ResponseCache>,
    scheduler: Scheduler,
}

/// Sessions, and how long their runs take.
#[derive(Debug, Clone)]
pub struct Way {
    /// The sessions.
    pub pool: SessionPool,
    /// How long runs take, and how many rows a batch may have.
    pub pace: Pace,
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
    /// Bytes that its answers may take, to be given again; 0 for none.
    pub cache_bytes: usize,
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
        let Parts { name, version, digest, inputs, outputs, labels, batching, rows_max, pool, statistics, .. } = parts;
        let cache_bytes = parts.cache_bytes;
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
        let latencies = Latencies::default();
        let cache = (batching && cache_bytes > 0).then(|| ResponseCache::of_bytes(cache_bytes));
        let model = Self { name, version, digest, takes, labels, statistics, latencies, cache, scheduler };
        model.switch(model.warmed(model.scheduler.pool(), ROWS_MAX));
        model
    }

    /// Sessions, of which it is known how long they take: they run what nobody asked for, of sizes that may be a batch of at most
    /// so many rows, as long as there is time.
    pub(crate) fn warmed(&self, pool: SessionPool, rows_max: usize) -> Way {
        let (begun, rows_max) = (Instant::now(), self.rows_max().unwrap_or(1).min(rows_max));
        let mut pace = Pace::new(rows_max);
        let sizes = std::iter::successors(Some(1), |rows| Some(rows * 2)).take_while(|rows| *rows <= WARM_ROWS);
        for rows in sizes.take_while(|rows| *rows == 1 || *rows <= rows_max) {
            let Some(inputs) = self.zeros(rows) else { break };
            for run in 0..=RUNS {
                // What fails on nothing at all may answer something.
                let ran = pool.try_checkout().and_then(|mut lease| lease.infer(&inputs, &[], rows).ok());
                let Some(Ran { took, .. }) = ran else { return Way { pool, pace } };
                // The first run of a size allocates.
                if run > 0 {
                    pace.ran(rows, took.input + took.infer + took.output);
                }
                if begun.elapsed() > WARM {
                    return Way { pool, pace };
                }
            }
        }
        Way { pool, pace }
    }

    /// So many rows of nothing; none where a dimension besides the rows is free.
    pub(crate) fn zeros(&self, rows: usize) -> Option<Vec<Tensor>> {
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
    pub(super) fn pool(&self) -> SessionPool {
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

    /// Whether answers of before are given again: nothing of a version that keeps none.
    pub fn is_cached(&self) -> Option<bool> {
        self.cache.as_ref().map(ResponseCache::is_on)
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.scheduler.waiting()
    }

    /// Runs in this way from here on: the one before. No request is lost, and none is answered by both.
    pub fn switch(&self, to: Way) -> Way {
        let (pool, pace) = self.scheduler.switch(to.pool, to.pace);
        Way { pool, pace }
    }

    /// How long requests took, those that waited for too long included.
    pub fn latencies(&self) -> &Latencies {
        &self.latencies
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
        // A version that turned out to depend on company gives no answer again.
        let cache = self.cache.as_ref().filter(|_| self.scheduler.is_shared());
        let looked = cache.and_then(|cache| cache.look(&asked, || self.scheduler.takes(rows)));
        if let Some(Looked::Found(outputs)) = looked {
            let total = started.elapsed();
            let told = Told { rows, total, queue: Duration::ZERO, run: Timings::default(), at: Clock::wall() };
            self.statistics.answered_again(told);
            self.latencies.answered(total);
            return Ok(Answered { outputs: outputs.to_vec(), told });
        }
        let mut unanswered = Unanswered(Some(&self.latencies));
        let ran = self.scheduler.run(asked, rank, started, deadline).await;
        unanswered.0 = None;
        match ran {
            Ok(Answer { outputs, queue, run }) => {
                let told = Told { rows, total: started.elapsed(), queue, run, at: Clock::wall() };
                self.statistics.answered(told);
                self.latencies.answered(told.total);
                if let (Some(cache), Some(Looked::Absent(key, took))) = (&self.cache, looked) {
                    cache.keep(key, took, &outputs);
                    self.statistics.kept(took);
                }
                Ok(Answered { outputs, told })
            }
            Err(why) => {
                self.statistics.failed(started.elapsed());
                self.latencies.failed();
                if let (Some(cache), Some(Looked::Absent(_, took))) = (&self.cache, looked) {
                    cache.missed(took);
                }
                Err(why)
            }
        }
    }
}

/// Counts a request as not answered, unless it was: whoever asked may hang up.
struct Unanswered<'m>(Option<&'m Latencies>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(latencies) = self.0 {
            latencies.failed();
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
pub(super) mod tests;
