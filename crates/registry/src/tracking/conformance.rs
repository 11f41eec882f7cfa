//! What every [`TrackingStore`] must do, as one test to run over each.

mod experiments;
mod logged_models;
mod runs;
mod values;

use std::sync::Arc;

use schema::Clock;
use tokio::task::JoinSet;

use super::{
    Batch, ExperimentChange, ExperimentId, LoggedModelChange, Metric, NewLoggedModel, NewRun, Pair, RunChange, Tracker,
    TrackingError, TrackingStore,
};

/// Runs the suite. Each call of `open` gives a handle on one and the same store, which is new at first.
///
/// # Panics
/// If the store does anything else than the trait says.
pub async fn tracking_store(open: impl Fn() -> Arc<dyn TrackingStore>) {
    let clock = Clock::Fixed(schema::Timestamp::from_nanos(1_234_567_890));
    let one = || Tracker::new(open(), clock);
    experiments::there_is_a_default_experiment(&one()).await;
    experiments::experiments_have_names_and_numbers_of_their_own(&one(), &one()).await;
    experiments::experiments_go_and_come_back_with_their_runs(&one()).await;
    experiments::experiments_come_in_pages(&one()).await;
    runs::a_run_is_kept_as_it_was_made(&one(), &one()).await;
    runs::a_run_changes_where_it_is_told(&one()).await;
    runs::a_parameter_keeps_its_first_value_and_a_batch_is_whole(&one()).await;
    runs::the_latest_point_is_of_the_largest_step(&one()).await;
    runs::a_point_is_there_once(&one()).await;
    runs::history_comes_in_pages(&one()).await;
    runs::runs_come_in_pages_newest_first(&one()).await;
    logged_models::a_logged_model_has_the_points_of_all_its_runs(&one(), &one()).await;
    logged_models::logged_models_are_found_by_name_and_run(&one()).await;
    what_is_not_there_is_said(&one()).await;
    runs::models_of_older_clients_are_a_list(&one()).await;
    values::text_is_kept_character_by_character(&one(), &one()).await;
    values::names_are_told_apart_byte_by_byte(&one()).await;
    values::numbers_go_to_their_ends(&one()).await;
    of_many_writers_none_is_lost(&one).await;
}

async fn what_is_not_there_is_said(tracker: &Tracker) {
    let nowhere = ExperimentId(987_654);
    let experiments = [
        tracker.experiment(nowhere).await.map(drop),
        tracker.create_run(nowhere, NewRun::default()).await.map(drop),
        tracker.create_logged_model(nowhere, NewLoggedModel::default()).await.map(drop),
        tracker.change_experiment(nowhere, ExperimentChange::default()).await,
    ];
    for said in experiments {
        let why = said.expect_err("there is no such experiment");
        assert!(matches!(why, TrackingError::UnknownExperiment { .. }), "{why}");
    }
    let why = tracker.experiment_named("nobody's").await.expect_err("no such name");
    assert!(matches!(why, TrackingError::UnknownExperimentName { .. }), "{why}");
    let runs = [
        tracker.run("none").await.map(drop),
        tracker.change_run("none", RunChange::default()).await.map(drop),
        tracker.log("none", Batch::default()).await,
        tracker.history("none", "m", None, 1).await.map(drop),
    ];
    for said in runs {
        let why = said.expect_err("there is no such run");
        assert!(matches!(why, TrackingError::UnknownRun { .. }), "{why}");
    }
    let change = tracker.change_logged_model("none", LoggedModelChange::default()).await;
    for said in [tracker.logged_model("none").await, change] {
        let why = said.expect_err("there is no such model");
        assert!(matches!(why, TrackingError::UnknownLoggedModel { .. }), "{why}");
    }
}

async fn of_many_writers_none_is_lost(open: &impl Fn() -> Tracker) {
    const WRITERS: i64 = 4;
    const EACH: i64 = 8;
    let tracker = open();
    let id = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (tracker, id) = (open(), id.clone());
        writers.spawn(async move {
            for step in 0..EACH {
                let batch = Batch {
                    metrics: vec![point("m", 0.5, writer, step)],
                    params: pairs(&[(&format!("p{writer}.{step}"), "1")]),
                    ..Batch::default()
                };
                tracker.log(&id, batch).await.expect("everybody gets their turn");
            }
            tracker.create_experiment("wanted by all".to_owned(), None, Vec::new()).await.map(|made| made.id)
        });
    }
    let made = writers.join_all().await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "one name is one experiment: {made:?}");
    let run = tracker.run(&id).await.expect("it is there");
    assert_eq!(run.params.len(), 32);
    assert_eq!(run.metrics, [point("m", 0.5, WRITERS - 1, EACH - 1)]);
    assert_eq!(tracker.history(&id, "m", None, 100).await.expect("all").rows.len(), 32);
}

fn pairs(of: &[(&str, &str)]) -> Vec<Pair> {
    of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn point(key: &str, value: f64, at_ms: i64, step: i64) -> Metric {
    Metric { key: key.to_owned(), value, at_ms, step, model: None, dataset: None }
}
