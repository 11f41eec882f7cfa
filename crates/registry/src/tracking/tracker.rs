//! The rules of tracking: what new things are called and where their files are, and what is too large.

use std::sync::Arc;

use schema::Clock;

use super::{
    Batch, Experiment, ExperimentChange, ExperimentId, Lifecycle, LoggedModel, LoggedModelChange, Metric, ModelStatus,
    ModelsWanted, NewExperiment, Page, PageToken, Pair, Run, RunChange, RunInfo, RunStatus, RunsWanted, TrackingError,
    TrackingStore, limits, names,
};

/// The tag that holds a run's name.
pub(super) const RUN_NAME: &str = "mlflow.runName";

/// Experiments, runs and logged models.
#[derive(Debug, Clone)]
pub struct Tracker {
    store: Arc<dyn TrackingStore>,
    clock: Clock,
}

/// A run to be made.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    /// For people; one is made up where none is given.
    pub name: Option<String>,
    /// Who starts it.
    pub user: String,
    /// In milliseconds since the epoch; now where it is not given.
    pub start_ms: Option<i64>,
    /// The last one of a key counts.
    pub tags: Vec<Pair>,
}

/// A logged model to be made.
#[derive(Debug, Clone, Default)]
pub struct NewLoggedModel {
    /// For people; one is made up where none is given.
    pub name: Option<String>,
    /// What the user calls its kind.
    pub model_type: String,
    /// The run that makes it.
    pub source_run: Option<String>,
    /// Of different keys.
    pub params: Vec<Pair>,
    /// The last one of a key counts.
    pub tags: Vec<Pair>,
}

impl Tracker {
    /// Over a store.
    pub fn new(store: Arc<dyn TrackingStore>, clock: Clock) -> Self {
        Self { store, clock }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().as_nanos().div_euclid(1_000_000)
    }

    /// Makes an experiment.
    ///
    /// # Errors
    /// Its name is taken or no name, a tag is too long, the store failed.
    pub async fn create_experiment(
        &self,
        name: String,
        artifact_location: Option<String>,
        tags: Vec<Pair>,
    ) -> Result<Experiment, TrackingError> {
        limits::experiment_name(&name)?;
        limits::tags(&tags)?;
        if let Some(location) = &artifact_location {
            limits::length("the artifact location", location, limits::EXPERIMENT_NAME_CHARS_MAX)?;
        }
        let tags = last_of_each(tags);
        self.store.create_experiment(NewExperiment { name, artifact_location, tags, now_ms: self.now_ms() }).await
    }

    /// The experiment of a number, deleted or not.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn experiment(&self, id: ExperimentId) -> Result<Experiment, TrackingError> {
        self.store.experiment(id).await
    }

    /// The experiment of a name, deleted or not.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn experiment_named(&self, name: &str) -> Result<Experiment, TrackingError> {
        self.store.experiment_named(name).await
    }

    /// Changes an experiment.
    ///
    /// # Errors
    /// There is none, its name is taken or no name, a tag is too long, the store failed.
    pub async fn change_experiment(&self, id: ExperimentId, change: ExperimentChange) -> Result<(), TrackingError> {
        change.name.as_deref().map_or(Ok(()), limits::experiment_name)?;
        limits::tags(&change.tags)?;
        self.store.change_experiment(id, ExperimentChange { now_ms: self.now_ms(), ..change }).await
    }

    /// A page of experiments, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn experiments(
        &self,
        lifecycles: &[Lifecycle],
        after: Option<PageToken>,
        rows_max: u32,
    ) -> Result<Page<Experiment>, TrackingError> {
        self.store.experiments(lifecycles, after, rows_max).await
    }

    /// Starts a run.
    ///
    /// # Errors
    /// Its experiment is not there or deleted, a tag is too long, its name is given twice, the store failed.
    pub async fn create_run(&self, experiment: ExperimentId, new: NewRun) -> Result<Run, TrackingError> {
        limits::tags(&new.tags)?;
        limits::length("the user id", &new.user, limits::NAME_CHARS_MAX)?;
        let mut tags = last_of_each(new.tags);
        let tagged = tags.iter().find(|(key, _)| key == RUN_NAME).map(|(_, name)| name.clone());
        let given = new.name.filter(|name| !name.is_empty());
        if let (Some(given), Some(tagged)) = (&given, &tagged)
            && given != tagged
        {
            let message = format!("`run_name` is `{given}`, but the tag `{RUN_NAME}` is `{tagged}`");
            return Err(TrackingError::Invalid(message));
        }
        let name = match given.or(tagged.clone()) {
            Some(name) => name,
            None => names::sayable()?,
        };
        limits::length("the name of a run", &name, limits::NAME_CHARS_MAX)?;
        if tagged.is_none() {
            tags.push((RUN_NAME.to_owned(), name.clone()));
            tags.sort();
        }
        let location = self.store.experiment(experiment).await?.artifact_location;
        let id = names::id()?;
        let info = RunInfo {
            artifact_uri: below(&location, &format!("{id}/artifacts")),
            id,
            experiment,
            name,
            user: new.user,
            status: RunStatus::Running,
            start_ms: new.start_ms.unwrap_or_else(|| self.now_ms()),
            end_ms: None,
            lifecycle: Lifecycle::Active,
        };
        let run = Run { info, params: Vec::new(), tags, metrics: Vec::new(), outputs: Vec::new() };
        self.store.create_run(run.clone()).await?;
        Ok(run)
    }

    /// A run with the latest point of each metric.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn run(&self, id: &str) -> Result<Run, TrackingError> {
        self.store.run(id).await
    }

    /// Changes a run.
    ///
    /// # Errors
    /// There is none, it is deleted, the store failed.
    pub async fn change_run(&self, id: &str, change: RunChange) -> Result<RunInfo, TrackingError> {
        change
            .name
            .as_deref()
            .map_or(Ok(()), |name| limits::length("the name of a run", name, limits::NAME_CHARS_MAX))?;
        self.store.change_run(id, change).await
    }

    /// Adds to a run.
    ///
    /// # Errors
    /// There is none, it is deleted, a parameter has another value, something is too long or too much, the store failed.
    pub async fn log(&self, run: &str, batch: Batch) -> Result<(), TrackingError> {
        limits::batch(&batch)?;
        self.store.log(run, batch).await
    }

    /// A page of all points of a metric.
    ///
    /// # Errors
    /// There is no such run, the store failed.
    pub async fn history(
        &self,
        run: &str,
        metric: &str,
        after: Option<PageToken>,
        rows_max: u32,
    ) -> Result<Page<Metric>, TrackingError> {
        self.store.history(run, metric, after, rows_max).await
    }

    /// A page of runs.
    ///
    /// # Errors
    /// The store failed.
    pub async fn runs(&self, wanted: RunsWanted) -> Result<Page<Run>, TrackingError> {
        self.store.runs(wanted).await
    }

    /// Announces a model whose files are to come.
    ///
    /// # Errors
    /// Its experiment is not there or deleted, its name is none, something is too long, the store failed.
    pub async fn create_logged_model(
        &self,
        experiment: ExperimentId,
        new: NewLoggedModel,
    ) -> Result<LoggedModel, TrackingError> {
        limits::params(&new.params)?;
        limits::tags(&new.tags)?;
        limits::length("the type of a model", &new.model_type, limits::NAME_CHARS_MAX)?;
        let name = match new.name.filter(|name| !name.is_empty()) {
            Some(name) => name,
            None => names::sayable()?,
        };
        limits::logged_model_name(&name)?;
        let location = self.store.experiment(experiment).await?.artifact_location;
        let id = format!("m-{}", names::id()?);
        let now_ms = self.now_ms();
        let mut params = new.params;
        params.sort();
        let model = LoggedModel {
            artifact_uri: below(&location, &format!("models/{id}/artifacts")),
            id,
            experiment,
            name,
            status: ModelStatus::Pending,
            model_type: new.model_type,
            source_run: new.source_run.filter(|run| !run.is_empty()),
            created_ms: now_ms,
            updated_ms: now_ms,
            params,
            tags: last_of_each(new.tags),
            metrics: Vec::new(),
        };
        self.store.create_logged_model(model.clone()).await?;
        Ok(model)
    }

    /// A logged model.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn logged_model(&self, id: &str) -> Result<LoggedModel, TrackingError> {
        self.store.logged_model(id).await
    }

    /// Changes a logged model.
    ///
    /// # Errors
    /// There is none, a parameter has another value, something is too long, the store failed.
    pub async fn change_logged_model(&self, id: &str, change: LoggedModelChange) -> Result<LoggedModel, TrackingError> {
        limits::params(&change.params)?;
        limits::tags(&change.tags)?;
        self.store.change_logged_model(id, LoggedModelChange { now_ms: self.now_ms(), ..change }).await
    }

    /// A page of logged models.
    ///
    /// # Errors
    /// The store failed.
    pub async fn logged_models(&self, wanted: ModelsWanted) -> Result<Page<LoggedModel>, TrackingError> {
        self.store.logged_models(wanted).await
    }
}

/// In the order of their keys; the last one of a key.
fn last_of_each(tags: Vec<Pair>) -> Vec<Pair> {
    tags.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter().collect()
}

/// A URI below another one, before what follows its path.
fn below(location: &str, path: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    format!("{}/{path}{}", location[..end].trim_end_matches('/'), &location[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_thing_are_below_its_experiments() {
        assert_eq!(below("mlflow-artifacts:/1", "r/artifacts"), "mlflow-artifacts:/1/r/artifacts");
        assert_eq!(below("s3://bucket/a/?x=1", "r/artifacts"), "s3://bucket/a/r/artifacts?x=1");
    }

    #[test]
    fn the_last_tag_of_a_key_counts() {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(
            last_of_each(vec![pair("b", "1"), pair("a", "2"), pair("b", "3")]),
            [pair("a", "2"), pair("b", "3")]
        );
    }
}
