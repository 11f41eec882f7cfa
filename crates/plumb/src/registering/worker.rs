//! What the process does that a model is read in: it limits itself, reads a task, and answers in one line.
//!
//! The limits come first and can only be lowered, so nothing of the model is touched without them. The process ends with the
//! one that started it.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use registry::{Artifacts, PinnedFile};
use rustix::process::{Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};
use schema::{ErrorKind, ServiceColumn};
use serde::{Deserialize, Serialize};
use serving::batch_check::ProbeSet;
use serving::infer::Port;
use serving::infer::model::tried;
use serving::onnx::inspect::ModelFile;
use serving::onnx::{InputPlan, Runtime, SessionPool, inspect};
use serving::pinned::{self, PinnedError};

use super::Limits;
use crate::cli::InspectArgs;
use crate::failure::Failure;

/// Files that are open at once: the runtime's library, and one of the model.
const FILES_MAX: u64 = 64;
/// Rows that are tried until the model has an answer to one.
const ROWS: usize = 8;

/// A model to read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// The folder that its files are kept in.
    pub artifacts: PathBuf,
    /// Its files.
    pub files: Vec<PinnedFile>,
    /// The ONNX file among them.
    pub graph: PinnedFile,
    /// The columns of the service whose rows it eats; without, it is run on rows that are made from its datatypes.
    pub columns: Option<Vec<ServiceColumn>>,
}

/// What is said of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// What its file says.
    Read(Box<ModelFile>),
    /// Why it cannot be served, as a [`Failure`] has it.
    Refused {
        /// Of [`crate::failure::codes`].
        code: String,
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// Reads the model that standard input names.
///
/// # Errors
/// The process cannot limit itself, or has no task. What is wrong with the model is its answer.
pub fn work(args: &InspectArgs) -> Result<ExitCode, Failure> {
    let limits = Limits { seconds: args.seconds, memory_mb: args.memory_mb };
    let environment =
        |what: &str, why: io::Error| Failure::new(ErrorKind::Unavailable, format!("{what}: {why}")).code("environment");
    confine(limits, args.parent).map_err(|why| environment("limiting the process", why))?;
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|why| environment("reading the task", why))?;
    let task: Task = serde_json::from_str(&text).map_err(|why| Failure::invalid(format!("reading the task: {why}")))?;
    let answer = match look(&task, args.library.as_deref()) {
        Ok(file) => Answer::Read(Box::new(file)),
        Err(why) => {
            let Failure { code, message, hint, .. } = enough(why, limits);
            Answer::Refused { code: code.to_owned(), message, hint }
        }
    };
    let mut line = serde_json::to_vec(&answer).unwrap_or_default();
    line.push(b'\n');
    io::stdout().write_all(&line).map_err(|why| environment("writing the answer", why))?;
    Ok(ExitCode::SUCCESS)
}

/// Takes away what a model must not have. None of it can be had again.
fn confine(limits: Limits, parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have gone before it was listened for.
    let there = getppid().map(|parent| parent.as_raw_nonzero().get());
    if there.and_then(|there| u32::try_from(there).ok()) != Some(parent) {
        return Err(io::Error::other("the process that started this one is gone"));
    }
    rustix::thread::set_no_new_privs(true)?;
    let most =
        |resource, most: u64, then: u64| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(then) });
    let seconds = u64::from(limits.seconds);
    // At the first a signal that says why, at the second the end.
    most(Resource::Cpu, seconds, seconds + 1)?;
    let memory = u64::from(limits.memory_mb) << 20;
    most(Resource::As, memory, memory)?;
    most(Resource::Core, 0, 0)?;
    most(Resource::Nofile, FILES_MAX, FILES_MAX)?;
    Ok(())
}

fn look(task: &Task, library: Option<&Path>) -> Result<ModelFile, Failure> {
    let artifacts = Artifacts::at(&task.artifacts);
    let bytes = pinned::model(&artifacts, &task.files, &task.graph).map_err(|why| match why {
        PinnedError::Artifact(why) => Failure::from(why),
        PinnedError::Onnx(why) => why.into(),
    })?;
    let runtime = Runtime::load(library)?;
    let mut file = inspect(&runtime, &bytes)?;
    match &task.columns {
        Some(columns) => run(&runtime, &bytes, &file, columns)?,
        None => file.batching = Some(try_rows(&runtime, &bytes, &file)?),
    }
    Ok(file)
}

/// Runs it on rows that are made from its datatypes: what brings a process down when it is run brings down this one. Whether its
/// rows may share a run; what it has no answer to is no reason against it.
fn try_rows(runtime: &Runtime, bytes: &[u8], file: &ModelFile) -> Result<bool, Failure> {
    let inputs: Option<Vec<Port>> = file.signature.inputs.iter().map(Port::of).collect();
    let pool = SessionPool::load(runtime, bytes, 1)?;
    Ok(inputs.is_some_and(|inputs| tried(&pool, &inputs, file.signature.outputs.len()).batching()))
}

/// Runs it once, on the first of some generated rows that it has an answer to. What it says of values is its own affair; what
/// it cannot do with any is not.
fn run(runtime: &Runtime, bytes: &[u8], file: &ModelFile, columns: &[ServiceColumn]) -> Result<(), Failure> {
    // Who registers it tells the misfit with the service's name.
    let Ok(plan) = InputPlan::fit(&file.signature, columns) else { return Ok(()) };
    let rows = ProbeSet::new(columns, &[])?;
    let pool = SessionPool::load(runtime, bytes, 1)?;
    let Some(mut session) = pool.try_checkout() else { return Ok(()) };
    for row in 0..rows.rows().min(ROWS) {
        match session.run(&plan, rows.columns(), &[row]) {
            Ok(_) => return Ok(()),
            Err(why) if why.kind() == ErrorKind::Invalid => {}
            Err(why) => {
                let hint = why.hint();
                let message = format!("a row of ordinary values has no answer: {why}");
                return Err(Failure { hint, ..Failure::invalid(message) });
            }
        }
    }
    Ok(())
}

/// A failure to get memory, in words.
fn enough(failure: Failure, limits: Limits) -> Failure {
    const SAID: [&str; 3] = ["bad_alloc", "failed to allocate memory", "bad allocation"];
    if !SAID.iter().any(|said| failure.message.contains(said)) {
        return failure;
    }
    let message = format!("reading the model and running it once takes more than {} MB of memory", limits.memory_mb);
    Failure::invalid(message).hint("a model that needs more: `artifacts: {inspect_memory_mb: N}` in plumb.yaml")
}
