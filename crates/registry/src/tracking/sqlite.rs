//! Tracking in one SQLite file, for several processes of one machine.
//!
//! A write is one transaction that takes the write lock first and is on disk when it returns (`synchronous = FULL`);
//! readers go on meanwhile (WAL). Each of the two has a thread and a connection of its own ([`lane`]), so that no worker of
//! the server waits for a disk.

mod experiments;
mod file;
mod lane;
mod logged_models;
mod metrics;
mod pairs;
mod runs;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{
    Batch, Experiment, ExperimentChange, ExperimentId, Lifecycle, LoggedModel, LoggedModelChange, Metric, ModelsWanted,
    NewExperiment, Page, PageToken, Run, RunChange, RunInfo, RunsWanted, TrackingError, TrackingStore,
};
use crate::store::StoreError;
use lane::Lane;

/// How long a write waits for another process. It takes milliseconds, so ten seconds mean that one hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Tracking in a SQLite file.
#[derive(Debug)]
pub struct SqliteTracking {
    reads: Lane,
    writes: Lane,
}

/// What one call does, or the reason that SQLite gives.
type Done<T> = Result<T, Fault>;

/// Why a call failed.
#[derive(Debug)]
enum Fault {
    Sqlite(rusqlite::Error),
    Tracking(TrackingError),
}

impl From<rusqlite::Error> for Fault {
    fn from(why: rusqlite::Error) -> Self {
        Self::Sqlite(why)
    }
}

impl From<TrackingError> for Fault {
    fn from(why: TrackingError) -> Self {
        Self::Tracking(why)
    }
}

impl SqliteTracking {
    /// Opens the file at `path`; makes it, and the folders above it, when it is not there.
    ///
    /// # Errors
    /// [`StoreError`] if the file is something else or of another format, or cannot be opened. A file that is refused
    /// has not been changed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_patiently(path, BUSY_TIMEOUT)
    }

    fn open_patiently(path: &Path, busy_timeout: Duration) -> Result<Self, StoreError> {
        let writes = file::open(path, busy_timeout)?;
        let reads = file::open(path, busy_timeout)?;
        let location = path.display().to_string();
        Ok(Self {
            reads: Lane::start("tracking-reads", "reading", location.clone(), reads)?,
            writes: Lane::start("tracking-writes", "writing to", location, writes)?,
        })
    }

    /// Several reads of one state.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Transaction<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T, TrackingError> {
        self.reads
            .run(move |connection: &mut Connection| {
                read(&connection.transaction_with_behavior(TransactionBehavior::Deferred)?)
            })
            .await
    }

    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Done<T> + Send + 'static,
    ) -> Result<T, TrackingError> {
        self.writes
            .run(move |connection: &mut Connection| {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let done = write(&transaction)?;
                transaction.commit()?;
                Ok(done)
            })
            .await
    }
}

#[async_trait]
impl TrackingStore for SqliteTracking {
    async fn create_experiment(&self, new: NewExperiment) -> Result<Experiment, TrackingError> {
        self.write(move |t| experiments::create(t, &new)).await
    }

    async fn experiment(&self, id: ExperimentId) -> Result<Experiment, TrackingError> {
        self.read(move |t| experiments::get(t, id)).await
    }

    async fn experiment_named(&self, name: &str) -> Result<Experiment, TrackingError> {
        let name = name.to_owned();
        self.read(move |t| experiments::named(t, &name)).await
    }

    async fn change_experiment(&self, id: ExperimentId, change: ExperimentChange) -> Result<(), TrackingError> {
        self.write(move |t| experiments::change(t, id, &change)).await
    }

    async fn experiments(
        &self,
        lifecycles: &[Lifecycle],
        after: Option<PageToken>,
        rows_max: u32,
    ) -> Result<Page<Experiment>, TrackingError> {
        let lifecycles = lifecycles.to_vec();
        self.read(move |t| experiments::page(t, &lifecycles, after, rows_max)).await
    }

    async fn create_run(&self, run: Run) -> Result<(), TrackingError> {
        self.write(move |t| runs::create(t, &run)).await
    }

    async fn run(&self, id: &str) -> Result<Run, TrackingError> {
        let id = id.to_owned();
        self.read(move |t| runs::get(t, &id)).await
    }

    async fn change_run(&self, id: &str, change: RunChange) -> Result<RunInfo, TrackingError> {
        let id = id.to_owned();
        self.write(move |t| runs::change(t, &id, &change)).await
    }

    async fn log(&self, run: &str, batch: Batch) -> Result<(), TrackingError> {
        let run = run.to_owned();
        self.write(move |t| runs::log(t, &run, &batch)).await
    }

    async fn history(
        &self,
        run: &str,
        metric: &str,
        after: Option<PageToken>,
        rows_max: u32,
    ) -> Result<Page<Metric>, TrackingError> {
        let (run, metric) = (run.to_owned(), metric.to_owned());
        self.read(move |t| {
            runs::info(t, &run)?;
            metrics::history(t, &run, &metric, after, rows_max)
        })
        .await
    }

    async fn runs(&self, wanted: RunsWanted) -> Result<Page<Run>, TrackingError> {
        self.read(move |t| runs::page(t, &wanted)).await
    }

    async fn create_logged_model(&self, model: LoggedModel) -> Result<(), TrackingError> {
        self.write(move |t| logged_models::create(t, &model)).await
    }

    async fn logged_model(&self, id: &str) -> Result<LoggedModel, TrackingError> {
        let id = id.to_owned();
        self.read(move |t| logged_models::get(t, &id)).await
    }

    async fn change_logged_model(&self, id: &str, change: LoggedModelChange) -> Result<LoggedModel, TrackingError> {
        let id = id.to_owned();
        self.write(move |t| logged_models::change(t, &id, &change)).await
    }

    async fn logged_models(&self, wanted: ModelsWanted) -> Result<Page<LoggedModel>, TrackingError> {
        self.read(move |t| logged_models::page(t, &wanted)).await
    }
}

/// A word of ours in a row, of a row that was written by us.
fn word<T>(row: &rusqlite::Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let said: String = row.get(column)?;
    parse(&said).ok_or_else(|| {
        let why = format!("`{}` is not a word of this column", said.escape_debug());
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
    })
}

/// `?,?,?`, for so many values.
fn marks(n: usize) -> String {
    vec!["?"; n].join(",")
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
