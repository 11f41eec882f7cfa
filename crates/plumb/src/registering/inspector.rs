//! Models looked at in a process of their own, within limits.
//!
//! The process is this program again ([`super::worker`]). It gets a task on its standard input and answers in one line of
//! JSON; whatever else becomes of it is a refusal that says what. One runs at a time, so that no crowd of models has more
//! memory than one.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use schema::ErrorKind;
use serving::onnx::inspect::ModelFile;

use super::worker::{Answer, Task};
use crate::failure::{Failure, codes};

/// This program, even where the file that it was started from has been replaced since.
const PROGRAM: &str = "/proc/self/exe";
/// The longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// What reading a model may take: `artifacts: {inspect_seconds: 30, inspect_memory_mb: 4096}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time of a processor. Waiting may take as long again. Longer is a longer wait for whoever registers beside a model
    /// that does not end.
    pub seconds: u32,
    /// Addresses that the process may use: its weights, its work, and some 300 MB for the program and the runtime. More than
    /// the machine has lets a model bring the machine down.
    pub memory_mb: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { seconds: 30, memory_mb: 4_096 }
    }
}

/// Starts the processes.
#[derive(Debug)]
pub struct Inspector {
    library: Option<PathBuf>,
    environment: Vec<(String, String)>,
    limits: Limits,
    turns: Turns,
}

/// Whose turn it is. Who waits too long is told to come again, within the time that a client of MLflow waits for an answer.
#[derive(Debug, Default)]
struct Turns {
    is_taken: Mutex<bool>,
    given_back: Condvar,
}

/// Given back when it is dropped.
#[derive(Debug)]
struct Turn<'t>(&'t Turns);

impl Turns {
    fn wait(&self, at_most: Duration) -> Option<Turn<'_>> {
        let taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.given_back.wait_timeout_while(taken, at_most, |taken| *taken);
        let (mut taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_ours = !std::mem::replace(&mut *taken, true);
        is_ours.then(|| Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.given_back.notify_one();
    }
}

impl Inspector {
    /// `library` is the ONNX Runtime that the user named, `environment` all that its loader needs.
    pub fn new(library: Option<PathBuf>, environment: Vec<(String, String)>, limits: Limits) -> Self {
        Self { library, environment, limits, turns: Turns::default() }
    }

    /// Reads a model, and runs it once. Blocks.
    ///
    /// # Errors
    /// Of kind `Invalid` what is wrong with the model, its crashing and its taking too much among that; `Unavailable` if
    /// there is no runtime or no process can be started; `Overloaded` when it did not get its turn.
    pub fn inspect(&self, task: &Task) -> Result<ModelFile, Failure> {
        let turn = self.turns.wait(Duration::from_secs(u64::from(self.limits.seconds)));
        let Some(_turn) = turn else {
            return Err(Failure::new(
                ErrorKind::Overloaded,
                "other models are being read, and this one did not get its turn",
            )
            .hint("try again in a moment"));
        };
        let failed = |why: std::io::Error| {
            Failure::new(ErrorKind::Unavailable, format!("starting a process to read the model in: {why}"))
                .code("environment")
        };
        let mut child = self.start().map_err(failed)?;
        let said = self.wait(&mut child, task);
        // Nobody is left behind: killing one that ended already changes nothing of how it ended.
        drop(child.kill());
        let status = child.wait().map_err(failed)?;
        match said {
            None => Err(self.late()),
            Some(said) => self.told(&said, status),
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let Limits { seconds, memory_mb } = self.limits;
        let mut command = Command::new(PROGRAM);
        command.arg("inspect-model").args(["--seconds", &seconds.to_string(), "--memory-mb", &memory_mb.to_string()]);
        command.args(["--parent", &std::process::id().to_string()]);
        if let Some(library) = &self.library {
            command.arg("--library").arg(library);
        }
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    }

    /// All that it says; nothing where it says on for too long.
    fn wait(&self, child: &mut Child, task: &Task) -> Option<Vec<u8>> {
        let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
        let task = serde_json::to_vec(task).unwrap_or_default();
        // One answer, taken or not.
        let (send, answer) = sync_channel(1);
        std::thread::spawn(move || {
            // A process that is gone is seen by what it does not say.
            drop(input.write_all(&task));
            drop(input);
            let mut said = Vec::new();
            drop(output.take(ANSWER_BYTES_MAX).read_to_end(&mut said));
            drop(send.send(said));
        });
        answer.recv_timeout(Duration::from_secs(u64::from(self.limits.seconds) * 2)).ok()
    }

    fn told(&self, said: &[u8], status: ExitStatus) -> Result<ModelFile, Failure> {
        // Killed by us as soon as it had said all.
        let has_ended = status.success() || status.signal() == Some(KILLED);
        match serde_json::from_slice(said).ok().filter(|_| has_ended) {
            Some(Answer::Read(file)) => Ok(*file),
            Some(Answer::Refused { code, message, hint }) => {
                let known = codes::find(&code).unwrap_or(&codes::CODES[0]);
                let kind = known.kinds.first().copied().unwrap_or(ErrorKind::Internal);
                Err(Failure { hint, ..Failure::new(kind, message).code(known.name) })
            }
            None => Err(self.broken(status)),
        }
    }

    fn late(&self) -> Failure {
        let seconds = self.limits.seconds * 2;
        Failure::invalid(format!("reading the model and running it once did not end within {seconds} s"))
            .hint(MORE_TIME)
    }

    /// It ended without an answer: a crash, or a limit.
    fn broken(&self, status: ExitStatus) -> Failure {
        let Limits { seconds, memory_mb } = self.limits;
        let Some(signal) = status.signal() else {
            let code = status.code().unwrap_or_default();
            return Failure::invalid(format!(
                "reading the model and running it once ended with status {code} and no answer"
            ));
        };
        match (signal, NAMES.iter().find(|(number, _)| *number == signal)) {
            (TOO_LONG, _) => Failure::invalid(format!(
                "reading the model and running it once took more than {seconds} s of a processor"
            ))
            .hint(MORE_TIME),
            (KILLED, _) => Failure::invalid(
                "reading the model and running it once was killed (SIGKILL), as the system does when memory runs out",
            ),
            (_, Some((_, name))) => Failure::invalid(format!(
                "ONNX Runtime crashed on the model ({name}) when it was read and run once, with {memory_mb} MB to use"
            )),
            (_, None) => Failure::invalid(format!("signal {signal} ended the reading of the model")),
        }
    }
}

const MORE_TIME: &str = "a model that needs more than that: `artifacts: {inspect_seconds: N}` in plumb.yaml";
const KILLED: i32 = 9;
/// SIGXCPU.
const TOO_LONG: i32 = 24;
/// Signals of crashes, as Linux numbers them.
const NAMES: [(i32, &str); 6] =
    [(4, "SIGILL"), (5, "SIGTRAP"), (6, "SIGABRT"), (7, "SIGBUS"), (8, "SIGFPE"), (11, "SIGSEGV")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nobody_waits_for_ever() {
        let turns = Turns::default();
        let first = turns.wait(Duration::ZERO).unwrap();
        assert!(turns.wait(Duration::from_millis(1)).is_none());
        // Whoever gave up has not taken it.
        std::thread::scope(|scope| {
            let second = scope.spawn(|| turns.wait(Duration::from_secs(60)).is_some());
            drop(first);
            assert!(second.join().unwrap());
        });
        assert!(turns.wait(Duration::ZERO).is_some());
    }
}
