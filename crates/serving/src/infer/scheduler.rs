//! Who runs what when: at once where a session is free and nobody waits, else in a batch with whoever waits as well.
//!
//! Work-conserving: no session is idle while somebody waits, and nobody waits for company. A run that is shorter than a hop
//! to another thread is made where it was asked for; a longer one on a thread of the model's own, so that no model holds up
//! what is asked of another. Those threads come when there is work for them, and go when there was none for a while.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::Asked;
use super::meters::Meters;
use super::model::InferError;
use super::pace::Pace;
use super::queue::{BatchQueue, Limits, Next, Rank, Speed, Waiting, Why};
use super::statistics::{Statistics, Timings};
use crate::onnx::session::Ran;
use crate::onnx::{Lease, ModelSession, OnnxError, SessionPool, Tensor};

/// Runs up to this are made where they are asked for: a hop to another thread takes as long.
const INLINE: Duration = Duration::from_micros(50);
/// How long a request may wait, or ten runs of the model where that is longer.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);
/// Bytes that count as one row where shapes are taken as they are.
const BYTES_OF_ONE: usize = 256;
/// What may wait for one model.
const LIMITS: Limits = Limits { rows_max: 65_536, bytes_max: 256 << 20 };

/// The sessions of a model version, and who waits for them.
#[derive(Debug)]
pub(super) struct Scheduler {
    core: Arc<Core>,
}

#[derive(Debug)]
struct Core {
    model: String,
    version: u32,
    n_outputs: usize,
    /// Changed by whoever tunes, as a whole.
    pool: RwLock<SessionPool>,
    statistics: Arc<Statistics>,
    meters: Meters,
    /// Whether tensors begin with rows.
    has_rows: bool,
    /// Whether requests may share a run.
    is_shared: AtomicBool,
    /// How many wait.
    waiting: AtomicUsize,
    state: Mutex<State>,
    /// Somebody waits, or all has ended.
    came: Condvar,
}

#[derive(Debug)]
struct State {
    queue: BatchQueue<Job>,
    pace: Pace,
    workers: usize,
    has_ended: bool,
}

#[derive(Debug)]
struct Job {
    asked: Asked,
    deadline: Option<Instant>,
    answer: oneshot::Sender<Result<Answer, InferError>>,
    /// Taken once: by whoever runs it, or by whoever asked, who waits no longer.
    is_taken: Arc<AtomicBool>,
}

/// What a run gave a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub outputs: Vec<Tensor>,
    pub queue: Duration,
    pub run: Timings,
}

/// What a [`Scheduler`] is made of.
pub(super) struct Parts {
    pub model: String,
    pub version: u32,
    pub n_outputs: usize,
    pub pool: SessionPool,
    pub statistics: Arc<Statistics>,
    /// The most rows that may share a run; one request a run where there is none.
    pub rows_max: Option<usize>,
}

// === impl Scheduler ===

impl Scheduler {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { model, version, n_outputs, pool, statistics, rows_max } = parts;
        let state = State {
            queue: BatchQueue::new(LIMITS),
            pace: Pace::new(rows_max.unwrap_or(1)),
            workers: 0,
            has_ended: false,
        };
        let core = Core {
            meters: Meters::of(&model, version),
            model,
            version,
            n_outputs,
            pool: RwLock::new(pool),
            statistics,
            has_rows: rows_max.is_some(),
            is_shared: AtomicBool::new(rows_max.is_some()),
            waiting: AtomicUsize::new(0),
            state: Mutex::new(state),
            came: Condvar::new(),
        };
        Self { core: Arc::new(core) }
    }

    pub(super) fn pool(&self) -> SessionPool {
        self.core.pool()
    }

    /// Runs on other sessions from here on, whose times are these: the sessions and times of before. What is running ends
    /// where it began, and what waits is not lost.
    pub(super) fn switch(&self, pool: SessionPool, pace: Pace) -> (SessionPool, Pace) {
        let mut current = self.core.pool.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, pool);
        let pace = std::mem::replace(&mut self.core.state().pace, pace);
        drop(current);
        self.core.came.notify_all();
        (before, pace)
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.core.waiting.load(Ordering::Relaxed)
    }

    /// The rows of a batch that are worth it.
    pub(super) fn knee(&self) -> usize {
        self.core.state().pace.knee()
    }

    /// What a run of so many rows takes, where that is known.
    pub(super) fn takes(&self, rows: usize) -> Option<Duration> {
        self.core.state().pace.mean(rows)
    }

    /// Whether requests may share a run.
    pub(super) fn is_shared(&self) -> bool {
        self.core.is_shared.load(Ordering::Relaxed)
    }

    /// Answers a request that came at `since`, if it can begin by `deadline`.
    ///
    /// # Errors
    /// [`InferError`] but for [`InferError::Refused`].
    pub(super) async fn run(
        &self,
        asked: Asked,
        rank: Rank,
        since: Instant,
        deadline: Option<Instant>,
    ) -> Result<Answer, InferError> {
        let core = &self.core;
        if deadline.is_some_and(|deadline| deadline <= since) {
            return Err(core.why(Why::Expired));
        }
        let takes = core.state().pace.mean(core.size(&asked));
        // Who waits is before whoever comes.
        if takes.is_some_and(|takes| takes <= INLINE)
            && core.waiting.load(Ordering::Relaxed) == 0
            && let Some(mut lease) = core.pool().try_checkout()
        {
            let queue = since.elapsed();
            let Ran { outputs, took } = core.alone(&mut lease, &asked)?;
            core.meters.answered(queue, took.infer);
            return Ok(Answer { outputs, queue, run: took });
        }
        let (answer, mut answered) = oneshot::channel();
        let is_taken = Arc::new(AtomicBool::new(false));
        let job = Job { asked, deadline, answer, is_taken: Arc::clone(&is_taken) };
        let patience = core.enqueue(job, rank, since)?;
        let by_then = deadline.map_or(since + patience, |deadline| deadline.min(since + patience));
        let told = match tokio::time::timeout_at(by_then.into(), &mut answered).await {
            Ok(told) => told,
            // Nobody has begun, and nobody will.
            Err(_elapsed) if !is_taken.swap(true, Ordering::AcqRel) => {
                let is_late = deadline.is_some_and(|deadline| deadline <= by_then);
                return Err(core.why(if is_late { Why::Expired } else { Why::Shed }));
            }
            Err(_elapsed) => answered.await,
        };
        let answer = told.map_err(|_gone| core.failed(OnnxError::Ended))??;
        core.meters.answered(answer.queue, answer.run.infer);
        Ok(answer)
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.core.state().has_ended = true;
        self.core.came.notify_all();
    }
}

// === impl Core ===

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> SessionPool {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn why(&self, why: Why) -> InferError {
        self.meters.refused(why);
        let model = self.model.clone();
        match why {
            Why::Expired => InferError::Expired { model },
            Why::Shed => InferError::QueueFull { model },
        }
    }

    fn failed(&self, source: OnnxError) -> InferError {
        InferError::Run { model: self.model.clone(), version: self.version, source }
    }

    /// How large a request is, as far as its time goes: rows, or what it holds where shapes are taken as they are.
    fn size(&self, asked: &Asked) -> usize {
        if self.has_rows {
            return asked.rows;
        }
        let bytes: usize = asked.inputs.iter().map(|input| input.data.n_bytes_held()).sum();
        bytes.div_ceil(BYTES_OF_ONE)
    }

    /// How long it may wait.
    fn enqueue(self: &Arc<Self>, job: Job, rank: Rank, since: Instant) -> Result<Duration, InferError> {
        let shape = job.asked.inputs.iter().flat_map(|input| {
            // Where one ends is seen by what no dimension is.
            input.shape.iter().skip(1).copied().chain([-1])
        });
        let shape = shape.collect();
        let bytes = job.asked.inputs.iter().map(|input| input.data.n_bytes_held()).sum();
        let (rows, size, deadline) = (job.asked.rows, self.size(&job.asked), job.deadline);
        let n_sessions = self.pool().n_sessions();
        let mut state = self.state();
        let speed = speed(&state.pace, self.rows_at_once(&state.pace));
        // A model that takes long by itself is not overloaded by that.
        let patience = speed.patience.max(state.pace.mean(size).unwrap_or_default() * 10);
        let run = state.pace.mean(speed.rows).unwrap_or_default();
        let wait = state.queue.wait(rank, speed.rows, run, n_sessions);
        if deadline.is_some_and(|deadline| since + wait > deadline) {
            return Err(self.why(Why::Expired));
        }
        if wait > patience {
            return Err(self.why(Why::Shed));
        }
        let waiting = Waiting { rows, bytes, shape, rank, deadline, since, patience, item: job };
        let gone = state.queue.push(waiting).map_err(|_job| self.why(Why::Shed))?;
        self.waiting.store(state.queue.len(), Ordering::Relaxed);
        let is_wanted = state.workers < n_sessions;
        state.workers += usize::from(is_wanted);
        drop(state);
        gone.into_iter().for_each(|gone| self.refuse(gone.item, Why::Shed));
        if is_wanted {
            self.hire();
        }
        self.came.notify_one();
        Ok(patience)
    }

    /// Tells whoever still waits.
    fn refuse(&self, job: Job, why: Why) {
        if !job.is_taken.swap(true, Ordering::AcqRel) {
            // Whoever does not listen any more need not be told.
            let _ = job.answer.send(Err(self.why(why)));
        }
    }

    fn rows_at_once(&self, pace: &Pace) -> usize {
        if self.is_shared.load(Ordering::Relaxed) { pace.knee() } else { 1 }
    }

    /// Another thread for this model's runs, which is counted already.
    fn hire(self: &Arc<Self>) {
        let mut breaks_off = BreaksOff { core: Arc::clone(self), ends: Ends::Unstarted };
        let work = move || {
            // Only to wait with: a session is given in the order of asking.
            match Builder::new_current_thread().build() {
                Ok(runtime) => {
                    breaks_off.ends = Ends::Midway;
                    breaks_off.core.work(&runtime);
                    breaks_off.ends = Ends::Done;
                }
                Err(why) => tracing::error!("starting a thread: {why}"),
            }
        };
        // A closure that is not run is dropped, and with it what breaks off.
        if let Err(why) = std::thread::Builder::new().name(format!("infer {}", self.model)).spawn(work) {
            tracing::error!(model.name = self.model, "starting a thread: {why}");
        }
    }

    /// Refuses all who wait: nobody is there to answer them.
    fn give_up(&self, mut state: MutexGuard<'_, State>) {
        let waiting = state.queue.drain();
        self.waiting.store(0, Ordering::Relaxed);
        drop(state);
        waiting.into_iter().for_each(|waiting| self.refuse(waiting.item, Why::Shed));
    }

    fn work(&self, runtime: &Runtime) {
        while self.is_wanted() {
            // Its place in the line for a session is before whoever comes.
            let mut lease = runtime.block_on(self.pool().checkout());
            let now = Instant::now();
            let mut state = self.state();
            let speed = speed(&state.pace, self.rows_at_once(&state.pace));
            let Next { batch, refused } = state.queue.pop(now, speed);
            self.waiting.store(state.queue.len(), Ordering::Relaxed);
            drop(state);
            refused.into_iter().for_each(|(waiting, why)| self.refuse(waiting.item, why));
            // Whoever gave up, or hung up, is not run for.
            let batch = batch.into_iter().filter(|waiting| {
                !waiting.item.answer.is_closed() && !waiting.item.is_taken.swap(true, Ordering::AcqRel)
            });
            self.answer(&mut lease, batch.map(|waiting| (now - waiting.since, waiting.item)).collect());
        }
    }

    /// Waits until there is work. Where none comes for a while, or never, this thread is counted no more.
    fn is_wanted(&self) -> bool {
        let none = |state: &mut State| state.queue.is_empty() && !state.has_ended;
        let waited = self.came.wait_timeout_while(self.state(), IDLE, none);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_wanted = !state.queue.is_empty();
        state.workers -= usize::from(!is_wanted);
        is_wanted
    }

    /// Runs a batch, and each of its requests alone where that fails: a row that the model cannot take is answered for by
    /// nobody but who sent it.
    fn answer(&self, lease: &mut Lease, batch: Vec<(Duration, Job)>) {
        if batch.len() > 1
            && let Some(answers) = self.together(lease, &batch)
        {
            for ((queue, job), (outputs, run)) in batch.into_iter().zip(answers) {
                let _ = job.answer.send(Ok(Answer { outputs, queue, run }));
            }
            return;
        }
        for (queue, Job { asked, deadline, answer, .. }) in batch {
            if answer.is_closed() {
                continue;
            }
            // Others of a batch that failed have run meanwhile.
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                let _ = answer.send(Err(self.why(Why::Expired)));
                continue;
            }
            let answered = self.alone(lease, &asked);
            let _ = answer.send(answered.map(|Ran { outputs, took }| Answer { outputs, queue, run: took }));
        }
    }

    fn alone(&self, session: &mut ModelSession, asked: &Asked) -> Result<Ran, InferError> {
        let ran = session.infer(&asked.inputs, &asked.outputs, asked.rows).map_err(|source| self.failed(source))?;
        self.ran(asked.rows, self.size(asked), ran.took);
        Ok(ran)
    }

    /// The outputs of each request; nothing if they cannot be told apart, or the run fails.
    fn together(&self, session: &mut ModelSession, batch: &[(Duration, Job)]) -> Option<Vec<(Vec<Tensor>, Timings)>> {
        let n_inputs = batch.first()?.1.asked.inputs.len();
        let inputs = (0..n_inputs).map(|at| {
            let tensors: Vec<&Tensor> = batch.iter().map(|(_, job)| &job.asked.inputs[at]).collect();
            Tensor::concat(&tensors)
        });
        let inputs = inputs.collect::<Option<Vec<_>>>()?;
        let rows = batch.iter().map(|(_, job)| job.asked.rows).sum();
        let all: Vec<usize> = (0..self.n_outputs).collect();
        let Ran { outputs, took } = session.infer(&inputs, &all, rows).ok()?;
        if let Some(other) = outputs.iter().find(|output| output.rows() != rows || output.shape.is_empty()) {
            self.is_shared.store(false, Ordering::Relaxed);
            let (name, shape) = (&other.name, &other.shape);
            tracing::warn!(
                model.name = self.model,
                model.version = self.version,
                "output `{name}` has shape {shape:?} for {rows} rows: requests share no run any more"
            );
            return None;
        }
        self.ran(rows, rows, took);
        let mut from = 0;
        let answers = batch.iter().map(|(_, Job { asked, .. })| {
            let range = from..from + asked.rows;
            from = range.end;
            let own =
                asked.outputs.iter().filter_map(|at| outputs.get(*at)).map(|output| output.rows_of(range.clone()));
            (own.collect(), took)
        });
        Some(answers.collect())
    }

    fn ran(&self, rows: usize, size: usize, took: Timings) {
        self.statistics.ran(rows, took);
        self.meters.ran(rows);
        self.state().pace.ran(size, took.input + took.infer + took.output);
    }
}

/// How fast the model is, as the queue must know.
fn speed(pace: &Pace, rows: usize) -> Speed {
    let run = pace.p99(rows).unwrap_or_default();
    Speed { rows, patience: PATIENCE.max(run * 10), impatience: (PATIENCE / 20).max(run * 2) }
}

/// A thread of a model, which may end before it should.
struct BreaksOff {
    core: Arc<Core>,
    ends: Ends,
}

/// How far a thread came.
enum Ends {
    Unstarted,
    Midway,
    Done,
}

impl Drop for BreaksOff {
    fn drop(&mut self) {
        let mut state = self.core.state();
        match self.ends {
            Ends::Done => {}
            // Another one takes over what waits.
            Ends::Midway if !state.queue.is_empty() => {
                drop(state);
                self.core.hire();
            }
            Ends::Midway | Ends::Unstarted => {
                state.workers -= 1;
                if state.workers == 0 {
                    self.core.give_up(state);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
