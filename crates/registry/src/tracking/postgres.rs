//! Tracking in a schema of a PostgreSQL database, for several processes of several machines: beside the registry's log, over
//! the same way to connect.
//!
//! Each call is one transaction with a deadline ([`call`]). What two must not do at once they do one after the other, for
//! whoever writes to a run, an experiment or a model locks its row first. Reads and writes have a connection each, so that
//! a page of runs keeps no run waiting.

mod call;
mod experiments;
mod logged_models;
mod metrics;
mod pairs;
mod runs;
mod tables;
mod talk;
mod text;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Batch, Experiment, ExperimentChange, ExperimentId, Lifecycle, LoggedModel, LoggedModelChange, Metric, ModelsWanted,
    NewExperiment, Page, PageToken, Run, RunChange, RunInfo, RunsWanted, TrackingError, TrackingStore, names,
};
use crate::postgres::PostgresConfig;
use crate::postgres::fault::Place;
use crate::postgres::link::Door;
use call::Lane;
use talk::Talk;

/// Tracking in PostgreSQL.
#[derive(Debug)]
pub struct PostgresTracking {
    place: Place,
    door: Door,
    schema: String,
    timeout: Duration,
    /// Whose transactions are numbered.
    writer: String,
    /// Whether the tables are known to be there.
    made: AtomicBool,
    reads: Lane,
    writes: Lane,
}

/// What one call does, or the reason that the server gives.
type Done<T> = Result<T, Fault>;
/// A row and its place in the order of its list.
type Line<T> = (PageToken, T);

/// Why a call failed.
#[derive(Debug)]
enum Fault {
    Server(tokio_postgres::Error),
    Tracking(TrackingError),
    /// What is in a row was not written by us.
    Word(String),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(why: tokio_postgres::Error) -> Self {
        Self::Server(why)
    }
}

impl From<TrackingError> for Fault {
    fn from(why: TrackingError) -> Self {
        Self::Tracking(why)
    }
}

impl PostgresTracking {
    /// Tracking at a place where nobody looked yet: the first call connects, and makes the tables when they are not there.
    ///
    /// # Errors
    /// The settings cannot be.
    pub fn new(config: &PostgresConfig) -> Result<Self, TrackingError> {
        let (place, schema, door) = config.ready()?;
        Ok(Self {
            place,
            door,
            schema,
            timeout: config.timeout,
            writer: names::id()?,
            made: AtomicBool::new(false),
            reads: Lane::default(),
            writes: Lane::default(),
        })
    }

    /// Looks whether runs can be tracked there; makes the tables when they are not there.
    ///
    /// # Errors
    /// The server does not answer or does not let us in, or the schema holds something else, or tables of another time.
    pub async fn check(&self) -> Result<(), TrackingError> {
        self.experiment(ExperimentId::DEFAULT).await.map(drop)
    }

    /// How many runs there are; `None` where there are no tables of runs. Changes nothing.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn count(&self) -> Result<Option<i64>, TrackingError> {
        const DOING: &str = "reading";
        let counting = async {
            let link = self.door.connect_patiently().await?;
            if !tables::are_there(&link, &self.schema, &self.place).await? {
                return Ok(None);
            }
            let row =
                link.client.query_one(&format!("SELECT count(*) FROM \"{}\".tracked_runs", self.schema), &[]).await?;
            Ok(Some(row.try_get(0)?))
        };
        let counted = self.in_time(Instant::now() + self.timeout, DOING, counting).await?;
        counted.map_err(|why: Fault| self.told(DOING, why))
    }

    /// A connection to tables that are there.
    async fn connect(&self, deadline: Instant, doing: &'static str) -> Result<Talk, TrackingError> {
        let connecting = async {
            let link = self.door.connect_patiently().await?;
            if !self.made.load(Ordering::Acquire) {
                if !tables::are_there(&link, &self.schema, &self.place).await? {
                    tables::make(&link, &self.schema).await?;
                }
                self.made.store(true, Ordering::Release);
            }
            Ok(Talk { link, schema: format!("\"{}\"", self.schema) })
        };
        let connected = self.in_time(deadline, doing, connecting).await?;
        connected.map_err(|why: Fault| self.told(doing, why))
    }
}

#[async_trait]
impl TrackingStore for PostgresTracking {
    async fn create_experiment(&self, new: NewExperiment) -> Result<Experiment, TrackingError> {
        let new = &new;
        self.write(move |t| async move { experiments::create(&t, new).await }).await
    }

    async fn experiment(&self, id: ExperimentId) -> Result<Experiment, TrackingError> {
        self.read(move |t| async move { experiments::get(&t, id).await }).await
    }

    async fn experiment_named(&self, name: &str) -> Result<Experiment, TrackingError> {
        self.read(move |t| async move { experiments::named(&t, name).await }).await
    }

    async fn change_experiment(&self, id: ExperimentId, change: ExperimentChange) -> Result<(), TrackingError> {
        let change = &change;
        self.write(move |t| async move { experiments::change(&t, id, change).await }).await
    }

    async fn experiments(
        &self,
        lifecycles: &[Lifecycle],
        after: Option<PageToken>,
        rows_max: u32,
    ) -> Result<Page<Experiment>, TrackingError> {
        self.read(move |t| async move { experiments::page(&t, lifecycles, after, rows_max).await }).await
    }

    async fn create_run(&self, run: Run) -> Result<(), TrackingError> {
        let run = &run;
        self.write(move |t| async move { runs::create(&t, run).await }).await
    }

    async fn run(&self, id: &str) -> Result<Run, TrackingError> {
        self.read(move |t| async move { runs::get(&t, id).await }).await
    }

    async fn change_run(&self, id: &str, change: RunChange) -> Result<RunInfo, TrackingError> {
        let change = &change;
        self.write(move |t| async move { runs::change(&t, id, change).await }).await
    }

    async fn log(&self, run: &str, batch: Batch) -> Result<(), TrackingError> {
        let batch = &batch;
        self.write(move |t| async move { runs::log(&t, run, batch).await }).await
    }

    async fn history(
        &self,
        run: &str,
        metric: &str,
        after: Option<PageToken>,
        rows_max: u32,
    ) -> Result<Page<Metric>, TrackingError> {
        self.read(move |t| async move {
            runs::info(&t, run).await?;
            metrics::history(&t, run, metric, after, rows_max).await
        })
        .await
    }

    async fn runs(&self, wanted: RunsWanted) -> Result<Page<Run>, TrackingError> {
        let wanted = &wanted;
        self.read(move |t| async move { runs::page(&t, wanted).await }).await
    }

    async fn create_logged_model(&self, model: LoggedModel) -> Result<(), TrackingError> {
        let model = &model;
        self.write(move |t| async move { logged_models::create(&t, model).await }).await
    }

    async fn logged_model(&self, id: &str) -> Result<LoggedModel, TrackingError> {
        self.read(move |t| async move { logged_models::get(&t, id).await }).await
    }

    async fn change_logged_model(&self, id: &str, change: LoggedModelChange) -> Result<LoggedModel, TrackingError> {
        let change = &change;
        self.write(move |t| async move { logged_models::change(&t, id, change).await }).await
    }

    async fn logged_models(&self, wanted: ModelsWanted) -> Result<Page<LoggedModel>, TrackingError> {
        let wanted = &wanted;
        self.read(move |t| async move { logged_models::page(&t, wanted).await }).await
    }
}

#[cfg(test)]
mod tests;
