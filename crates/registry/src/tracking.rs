//! What people try before they register a model: experiments, their runs with params, metrics and tags, and the models that
//! runs log. MLflow's names, none of its protocol.
//!
//! Not in the registry's log: a run is written thousands of times, its points are measurements and not decisions, and
//! nothing that is served depends on one. So it is rows of a [`TrackingStore`]: one file of SQLite beside the log, or tables
//! in the schema of a log in PostgreSQL. [`Tracker`]
//! holds the rules: what may be written ([`limits`]), and what a new thing is called.

mod error;
mod experiment;
mod kind;
mod logged_model;
mod names;
mod page;
mod run;

pub mod limits;
mod postgres;
mod sqlite;
mod tracker;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;

use std::fmt;

use async_trait::async_trait;

pub use error::TrackingError;
pub use experiment::{Experiment, ExperimentChange, ExperimentId, NewExperiment};
pub use logged_model::{LoggedModel, LoggedModelChange, ModelStatus, ModelsWanted};
pub use page::{Page, PageToken};
pub use postgres::PostgresTracking;
pub use run::{Batch, Metric, ModelOutput, Run, RunChange, RunInfo, RunStatus, RunsWanted};
pub use sqlite::SqliteTracking;
pub use tracker::{NewLoggedModel, NewRun, Tracker};

/// A tag or a parameter.
pub type Pair = (String, String);

/// Whether a thing is there for everybody, or put away until it is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// There.
    Active,
    /// Put away.
    Deleted,
}

impl Lifecycle {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }

    /// The state of a word.
    fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Deleted].into_iter().find(|lifecycle| lifecycle.as_str() == word)
    }
}

/// Where tracking is kept. Several processes may use one.
///
/// Each call is one transaction: done whole and on disk when it returns, or not at all. A call may be made again when its
/// answer was lost; all but the `create_` calls then change nothing more.
#[async_trait]
pub trait TrackingStore: fmt::Debug + Send + Sync + 'static {
    /// Makes an experiment and gives it a number; refuses a name that is taken, also by a deleted one.
    async fn create_experiment(&self, new: NewExperiment) -> Result<Experiment, TrackingError>;
    /// The experiment of this number, deleted or not.
    async fn experiment(&self, id: ExperimentId) -> Result<Experiment, TrackingError>;
    /// The experiment of this name, deleted or not.
    async fn experiment_named(&self, name: &str) -> Result<Experiment, TrackingError>;
    /// Changes what `change` names.
    async fn change_experiment(&self, id: ExperimentId, change: ExperimentChange) -> Result<(), TrackingError>;
    /// Experiments of these states, newest first.
    async fn experiments(
        &self,
        lifecycles: &[Lifecycle],
        after: Option<PageToken>,
        rows_max: u32,
    ) -> Result<Page<Experiment>, TrackingError>;

    /// Keeps a run that has no data yet but tags; its experiment must be active.
    async fn create_run(&self, run: Run) -> Result<(), TrackingError>;
    /// A run with the latest point of each metric.
    async fn run(&self, id: &str) -> Result<Run, TrackingError>;
    /// Changes what `change` names.
    async fn change_run(&self, id: &str, change: RunChange) -> Result<RunInfo, TrackingError>;
    /// Adds to a run that is not deleted. A parameter keeps its first value: another one is refused, and with it all of
    /// the batch. A tag takes its newest value. A point of a metric that is there is not added again.
    async fn log(&self, run: &str, batch: Batch) -> Result<(), TrackingError>;
    /// All points of a metric in the order of their times, steps and arrival.
    async fn history(
        &self,
        run: &str,
        metric: &str,
        after: Option<PageToken>,
        rows_max: u32,
    ) -> Result<Page<Metric>, TrackingError>;
    /// Runs of some experiments, those that were started last first.
    async fn runs(&self, wanted: RunsWanted) -> Result<Page<Run>, TrackingError>;

    /// Keeps a model that has no data yet but params and tags; its experiment must be active.
    async fn create_logged_model(&self, model: LoggedModel) -> Result<(), TrackingError>;
    /// A model that is not deleted.
    async fn logged_model(&self, id: &str) -> Result<LoggedModel, TrackingError>;
    /// Changes what `change` names.
    async fn change_logged_model(&self, id: &str, change: LoggedModelChange) -> Result<LoggedModel, TrackingError>;
    /// Models of some experiments that are not deleted, newest first.
    async fn logged_models(&self, wanted: ModelsWanted) -> Result<Page<LoggedModel>, TrackingError>;
}
