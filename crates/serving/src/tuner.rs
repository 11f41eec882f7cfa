//! How versions are run, found out while they answer: never worse than the default, or no longer than it takes to see it.
//!
//! A file is measured once on a machine ([`measure`]), which says what may be better at all ([`candidates`]). Each of these is
//! tried on a share of the requests ([`budget`]) against what is in use, in turns ([`trial`]), and adopted when the evidence
//! holds at whatever time it is looked at ([`crate::sequential`]). What was adopted is looked at again each day, and when the
//! load is another. Every decision is written down with its evidence ([`history`]); docs/decisions/0105.
//!
//! One thread, which sleeps most of the time; requests see one pointer swapped.

pub mod arm;
pub mod budget;
pub mod candidates;
mod config;
pub mod history;
mod known;
pub mod machine;
pub mod measure;
pub mod record;
mod running;
pub mod trial;

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use schema::error::chain;
use schema::{Clock, ModelName};
use tracing::{error, info, warn};

use crate::fleet::Fleet;
use crate::infer::TensorModel;
use crate::infer::model::Way;
use crate::onnx::SessionOptions;
pub use arm::Arm;
use candidates::{Measured, candidates};
pub use config::{Mode, TunerConfig};
pub use history::{Decision, Entry, History};
use known::{Known, REQUESTS_MIN};
use record::{Record, Records};
use running::Running;
use trial::{Question, Rules};

/// The probability of ever adopting a way for a file that is not better, all trials together.
const ALPHA: f64 = 0.05;
/// Blocks of a trial, at most.
const BLOCKS_MAX: u32 = 60;
/// Blocks in which what was adopted shows that it is still better.
const BLOCKS_AGAIN: u32 = 24;
/// Runs that nobody asked for, of all ways together.
const MEASURING: Duration = Duration::from_millis(300);

/// A tuner at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Tuner {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    ends: Arc<AtomicBool>,
}

/// Why a way is not tried.
#[derive(Debug)]
enum Not {
    /// It answers otherwise, or may: it never is.
    Ever(String),
    /// Something was in the way: later it may be.
    Now(String),
}

/// How long nothing is tried again after something was in the way.
const REST: Duration = Duration::from_secs(60);
/// How long answers may be compared.
const COMPARING: Duration = Duration::from_secs(2);

/// What the thread has.
#[derive(Debug)]
struct Tuning {
    config: TunerConfig,
    fleet: Arc<Fleet>,
    cores: usize,
    machine: String,
    records: Records,
    history: History,
    known: BTreeMap<(ModelName, u32), Known>,
    /// One trial at a time: the processor's time is the whole process's.
    running: Option<Running>,
    /// Till when nothing begins.
    rests: Option<Instant>,
    /// Told from outside.
    ends: Arc<AtomicBool>,
}

// === impl Tuner ===

impl Tuner {
    /// Starts to tune what `fleet` has loaded.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(fleet: Arc<Fleet>, config: TunerConfig) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let mut tuning = Tuning::new(fleet, config);
        let ends = Arc::clone(&tuning.ends);
        let run = move || {
            while stopped.recv_timeout(tuning.config.look) == Err(RecvTimeoutError::Timeout) {
                // What was tried ends with the trial.
                let looked = catch_unwind(AssertUnwindSafe(|| tuning.look(Instant::now())));
                if looked.is_err() {
                    error!(
                        "the tuner panicked: versions are run as they were before what it tried, and nothing is tried any more"
                    );
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("tuner".to_owned()).spawn(run)?;
        Ok(Self { stop: Some(stop), thread: Some(thread), ends })
    }
}

impl Drop for Tuner {
    fn drop(&mut self) {
        self.stop = None;
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whether it panicked it has said itself.
            let _ = thread.join();
        }
    }
}

// === impl Tuning ===

impl Tuning {
    fn new(fleet: Arc<Fleet>, config: TunerConfig) -> Self {
        let (_, cores) = fleet.options();
        let (records, history) = (Records::new(&config.folder), History::new(&config.folder));
        let machine = machine::name(cores);
        let (known, ends) = (BTreeMap::new(), Arc::default());
        Self { config, fleet, cores, machine, records, history, known, running: None, rests: None, ends }
    }

    fn look(&mut self, now: Instant) {
        let loaded = self.fleet.all_tensors();
        let is_loaded =
            |known: &Known| loaded.iter().any(|model| std::ptr::eq(known.model.as_ptr(), Arc::as_ptr(model)));
        self.known.retain(|_, known| is_loaded(known));
        if self.running.as_ref().is_some_and(|running| !self.known.contains_key(&running.of)) {
            self.running = None;
        }
        let is_resting = self.rests.is_some_and(|until| now < until);
        let new = loaded.iter().find(|model| !self.known.contains_key(&(model.name().clone(), model.version())));
        // One model a look, which takes a while, and none while another is tried: its turns are to be looked at.
        if let Some(model) = new.filter(|_| !is_resting && self.running.as_ref().is_none_or(Running::is_resting)) {
            match self.get_to_know(model, now) {
                Some(known) => drop(self.known.insert((model.name().clone(), model.version()), known)),
                None => self.rests = now.checked_add(REST),
            }
            return;
        }
        for (of, known) in &mut self.known {
            let is_tried = self.running.as_ref().is_some_and(|running| running.of == *of && running.is_exploring);
            known.count(now, is_tried);
        }
        match self.running.take() {
            Some(running) => self.go_on(running, now),
            None if self.config.mode == Mode::On && !is_resting => self.begin(now),
            None => {}
        }
    }

    /// Measures a file, unless that was done before; runs it in the way that was adopted for it, if one was.
    fn get_to_know(&self, model: &Arc<TensorModel>, now: Instant) -> Option<Known> {
        let runtime = self.fleet.runtime().map(|runtime| runtime.version.to_string()).unwrap_or_default();
        let providers: Vec<&str> = self.fleet.options().0.providers.iter().map(|provider| provider.as_str()).collect();
        let of = format!(
            "{}, batches {:?} of {:?} rows, ONNX Runtime {runtime} with {providers:?}, {}",
            model.digest(),
            model.batch().is_some(),
            model.rows_max(),
            self.machine
        );
        let record = self.records.get(&of).or_else(|| self.measured(model, of))?;
        let mut known =
            Known::new(Arc::downgrade(model), record, Arm::default_of(self.cores), self.config.explore, now);
        if let Some(adopted) = known.record.adopted.filter(|_| self.config.mode == Mode::On) {
            match self.way(model, &adopted.arm) {
                Ok(way) => {
                    known.default = Some(model.switch(way));
                    known.arm = adopted.arm;
                    let why = "it was adopted, and the file, the runtime and the machine are the same".to_owned();
                    self.say(model, Decision::Uses { arm: adopted.arm, why });
                }
                Err(Not::Now(why)) => {
                    warn!(model.name = %model.name(), "tuner: {} is not in use now: {why}", adopted.arm);
                    return None;
                }
                Err(Not::Ever(why)) => {
                    self.say(model, Decision::LeftOut { arm: adopted.arm, why });
                    known.record.adopted = None;
                    self.keep(&known.record);
                }
            }
        }
        Some(known)
    }

    /// Nothing where something was in the way.
    fn measured(&self, model: &Arc<TensorModel>, of: String) -> Option<Record> {
        let all = measure::options(self.fleet.options().0, self.cores);
        let lasts = MEASURING / u32::try_from(all.len()).unwrap_or(u32::MAX);
        let mut measured: Vec<Measured> = Vec::new();
        for options in &all {
            let pool = self.fleet.sessions_of(model, 1, options).ok().flatten()?;
            let mut session = pool.try_checkout().filter(|_| !self.ends.load(Ordering::Relaxed))?;
            measured.extend(measure::measure(model, &mut session, options, lasts));
        }
        let candidates = candidates(&measured, self.cores);
        let record = Record::new(of, measured.clone(), candidates.clone());
        self.keep(&record);
        self.say(model, Decision::Measured { measured, candidates });
        Some(record)
    }

    /// Sessions for an arm, warm, that answer as those do which are there.
    fn way(&self, model: &Arc<TensorModel>, arm: &Arm) -> Result<Way, Not> {
        let gone = || Not::Now("the version is loaded no more".to_owned());
        let sessions = |n: usize, options: &SessionOptions| {
            let made = self.fleet.sessions_of(model, n, options).map_err(|why| Not::Now(chain(&why)))?;
            made.ok_or_else(gone)
        };
        let pool = sessions(arm.sessions, &arm.options(self.fleet.options().0))?;
        // A session of its own to compare with: those that answer may all be busy.
        let default = sessions(1, self.fleet.options().0)?;
        let (mut one, mut other) = default.try_checkout().zip(pool.try_checkout()).ok_or_else(gone)?;
        let goes_on = || !self.ends.load(Ordering::Relaxed);
        measure::alike(model, &mut one, &mut other, COMPARING, goes_on).map_err(Not::Ever)?;
        if !goes_on() {
            return Err(gone());
        }
        drop(other);
        Ok(model.warmed(pool, arm.rows_max))
    }

    /// Begins a trial, if there is one to be made and the load allows it.
    fn begin(&mut self, now: Instant) {
        let due = self.known.iter().find_map(|(of, known)| Some((of.clone(), known.due(&self.config)?)));
        let Some((of, question)) = due else { return };
        let Some(known) = self.known.get_mut(&of) else { return };
        let (Some(model), Some(late_after)) = (known.model.upgrade(), known.late_after(&self.config)) else { return };
        let arm = match question {
            Question::IsBetter => known.record.candidates.first().copied(),
            Question::IsStill => Some(known.arm),
        };
        let Some(arm) = arm else { return };
        let other = match question {
            Question::IsBetter => None,
            Question::IsStill => known.default.take(),
        };
        let against = if question == Question::IsBetter { known.arm } else { known.default_arm };
        let other = match other.map_or_else(|| self.way(&model, &arm), Ok) {
            Ok(way) => way,
            Err(Not::Now(why)) => {
                warn!(model.name = %model.name(), "tuner: {arm} is not tried now: {why}");
                self.rests = now.checked_add(REST);
                return;
            }
            Err(Not::Ever(why)) => {
                self.left_out(&of, arm);
                return self.say(&model, Decision::LeftOut { arm, why });
            }
        };
        let trial = self.next_trial(&of, question);
        let alpha = crate::sequential::share(ALPHA, trial);
        let blocks_max = if question == Question::IsBetter { BLOCKS_MAX } else { BLOCKS_AGAIN };
        let rules = Rules { alpha, alpha_late: ALPHA, blocks_max, gain_min: 0.02, requests_min: REQUESTS_MIN };
        self.say(&model, Decision::TrialBegan { trial, arm, against, alpha });
        let loaded = Arc::downgrade(&model);
        self.running = Some(Running::new(of, loaded, (trial, arm), (question, rules), other, late_after));
    }

    fn go_on(&mut self, mut running: Running, now: Instant) {
        let Some(known) = self.known.get_mut(&running.of) else { return };
        let Some(model) = known.model.upgrade() else { return };
        let Some(verdict) = running.go_on(&model, known, now, &self.config) else {
            self.running = Some(running);
            return;
        };
        let (used, why) = running.end(&model, known, verdict);
        let arm = known.arm;
        let (record, decision) = (known.record.clone(), running.told(verdict));
        self.keep(&record);
        self.say(&model, decision);
        if used {
            self.say(&model, Decision::Uses { arm, why });
        }
    }

    /// The number of a trial that begins. What it may spend of the probability to be wrong is spent by that, also by another
    /// version, or another server, of this file; a look at what is in use spends nothing.
    fn next_trial(&mut self, of: &(ModelName, u32), question: Question) -> u32 {
        let Some(known) = self.known.get_mut(of) else { return 1 };
        if question == Question::IsBetter {
            let elsewhere = self.records.get(&known.record.of).map_or(0, |record| record.trials);
            known.record.trials = known.record.trials.max(elsewhere) + 1;
        }
        let record = known.record.clone();
        self.keep(&record);
        record.trials
    }

    /// A way that is not to be tried.
    fn left_out(&mut self, of: &(ModelName, u32), arm: Arm) {
        let Some(known) = self.known.get_mut(of) else { return };
        known.record.candidates.retain(|candidate| *candidate != arm);
        let record = known.record.clone();
        self.keep(&record);
    }

    fn keep(&self, record: &Record) {
        if let Err(why) = self.records.put(record) {
            warn!("keeping what the tuner measured in `{}`: {why}", self.config.folder.display());
        }
    }

    fn say(&self, model: &TensorModel, decision: Decision) {
        let (name, version) = (model.name(), model.version());
        info!(model.name = %name, model.version = version, "tuner: {decision}");
        let entry = Entry { at: Clock::wall(), model: name.to_string(), version, decision };
        if let Err(why) = self.history.add(&entry) {
            warn!("writing what the tuner decided in `{}`: {why}", self.config.folder.display());
        }
    }
}

#[cfg(test)]
mod tests;
