//! A thread that owns a connection and does one call after the other.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{Done, Fault, TrackingError};
use crate::sqlite::fault;
use crate::store::StoreError;

/// How many calls may wait. One takes milliseconds, so whoever is behind so many waits for seconds: better told at once.
const WAITING_MAX: usize = 1_024;

type Call = Box<dyn FnOnce(&mut Connection) + Send>;

/// A thread and its connection. The thread ends when this is dropped and what waits is done.
pub(super) struct Lane {
    calls: mpsc::Sender<Call>,
    location: String,
    doing: &'static str,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("location", &self.location).field("doing", &self.doing).finish_non_exhaustive()
    }
}

impl Lane {
    /// Starts the thread.
    pub(super) fn start(
        name: &str,
        doing: &'static str,
        location: String,
        mut connection: Connection,
    ) -> Result<Self, StoreError> {
        let (calls, mut waiting) = mpsc::channel::<Call>(WAITING_MAX);
        let work = move || {
            while let Some(call) = waiting.blocking_recv() {
                call(&mut connection);
            }
        };
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        started.map_err(|why| StoreError::Io {
            doing: "starting a thread for",
            location: location.clone(),
            source: why.into(),
        })?;
        Ok(Self { calls, location, doing })
    }

    /// Does a call, in its turn. One whose caller is gone before its turn is not done.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Connection) -> Done<T> + Send + 'static,
    ) -> Result<T, TrackingError> {
        let (answer, answered) = oneshot::channel();
        let call: Call = Box::new(move |connection| {
            if !answer.is_closed() {
                // A transaction that was open when a call panicked has been rolled back by its destructor.
                if let Ok(done) = catch_unwind(AssertUnwindSafe(|| call(connection))) {
                    drop(answer.send(done));
                }
            }
        });
        match self.calls.try_send(call) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(TrackingError::Overloaded { waiting: WAITING_MAX }),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.stopped("its thread ended")),
        }
        match answered.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Fault::Tracking(why))) => Err(why),
            Ok(Err(Fault::Sqlite(why))) => Err(fault(&self.location, self.doing, why).into()),
            Err(_gone) => Err(self.stopped("the call panicked")),
        }
    }

    fn stopped(&self, why: &str) -> TrackingError {
        TrackingError::Internal {
            doing: "using the tracking store",
            source: format!("{}: {why}", self.location).into(),
        }
    }
}
