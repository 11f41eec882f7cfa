//! Experiments: their names, their life, their pages.

use super::pairs;
use crate::tracking::{
    Batch, ExperimentChange, ExperimentId, Lifecycle, NewLoggedModel, NewRun, RunChange, RunStatus, Tracker,
    TrackingError,
};

pub(super) async fn there_is_a_default_experiment(tracker: &Tracker) {
    let default = tracker.experiment(ExperimentId::DEFAULT).await.expect("it is there from the start");
    assert_eq!((default.name.as_str(), default.lifecycle), ("Default", Lifecycle::Active));
    assert_eq!(default.artifact_location, "mlflow-artifacts:/0");
    assert_eq!(tracker.experiment_named("Default").await.expect("by its name too"), default);
}

pub(super) async fn experiments_have_names_and_numbers_of_their_own(tracker: &Tracker, other: &Tracker) {
    let tags = pairs(&[("b", "2"), ("a", "1"), ("b", "3")]);
    let made = tracker.create_experiment("größe'; --".to_owned(), None, tags).await.expect("a new name");
    assert_eq!(made.artifact_location, format!("mlflow-artifacts:/{}", made.id));
    assert_eq!((made.created_ms, made.updated_ms), (1_234, 1_234));
    assert_eq!(made.tags, pairs(&[("a", "1"), ("b", "3")]));
    assert_eq!(other.experiment(made.id).await.expect("every handle sees it"), made);
    assert_eq!(other.experiment_named("größe'; --").await.expect("by its name too"), made);
    let why = other.create_experiment("größe'; --".to_owned(), None, Vec::new()).await.expect_err("the name is taken");
    assert!(matches!(why, TrackingError::ExperimentExists { deleted: false, .. }), "{why}");
    let upper = other.create_experiment("GRÖSSE'; --".to_owned(), None, Vec::new()).await.expect("another name");
    assert!(upper.id > made.id);
    let elsewhere = tracker.create_experiment("far".to_owned(), Some("s3://b/x".to_owned()), Vec::new()).await;
    let run = tracker.create_run(elsewhere.expect("a new name").id, NewRun::default()).await.expect("a run");
    assert_eq!(run.info.artifact_uri, format!("s3://b/x/{}/artifacts", run.info.id));
}

pub(super) async fn experiments_go_and_come_back_with_their_runs(tracker: &Tracker) {
    let id = tracker.create_experiment("to go".to_owned(), None, Vec::new()).await.expect("a new name").id;
    let run = tracker.create_run(id, NewRun::default()).await.expect("a run").info.id;
    let to = |lifecycle| ExperimentChange { lifecycle: Some(lifecycle), ..ExperimentChange::default() };
    tracker.change_experiment(id, to(Lifecycle::Deleted)).await.expect("it goes");
    tracker.change_experiment(id, to(Lifecycle::Deleted)).await.expect("once more changes nothing");
    assert_eq!(tracker.experiment(id).await.expect("it is still known").lifecycle, Lifecycle::Deleted);
    assert_eq!(tracker.run(&run).await.expect("so is its run").info.lifecycle, Lifecycle::Deleted);
    let why = tracker.create_experiment("to go".to_owned(), None, Vec::new()).await.expect_err("the name stays taken");
    assert!(matches!(why, TrackingError::ExperimentExists { deleted: true, .. }), "{why}");
    let rename = ExperimentChange { name: Some("other".to_owned()), ..ExperimentChange::default() };
    for refused in [
        tracker.create_run(id, NewRun::default()).await.map(drop),
        tracker.create_logged_model(id, NewLoggedModel::default()).await.map(drop),
        tracker.change_experiment(id, rename.clone()).await,
        tracker.log(&run, Batch { tags: pairs(&[("a", "1")]), ..Batch::default() }).await,
        tracker.change_run(&run, RunChange { status: Some(RunStatus::Failed), ..RunChange::default() }).await.map(drop),
    ] {
        let why = refused.expect_err("what is deleted does not change");
        assert!(matches!(why, TrackingError::Deleted { .. }), "{why}");
    }
    tracker.change_experiment(id, to(Lifecycle::Active)).await.expect("it comes back");
    tracker.log(&run, Batch { tags: pairs(&[("a", "1")]), ..Batch::default() }).await.expect("and its run");
    let taken = ExperimentChange { name: Some("Default".to_owned()), ..ExperimentChange::default() };
    let why = tracker.change_experiment(id, taken).await.expect_err("the name is taken");
    assert!(matches!(why, TrackingError::ExperimentExists { .. }), "{why}");
    tracker.change_experiment(id, rename).await.expect("another name");
    assert_eq!(tracker.experiment_named("other").await.expect("it has it").id, id);
}

pub(super) async fn experiments_come_in_pages(tracker: &Tracker) {
    let all = tracker.experiments(&[Lifecycle::Active, Lifecycle::Deleted], None, 1_000).await.expect("all of them");
    assert_eq!(all.next, None);
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = tracker.experiments(&[Lifecycle::Active, Lifecycle::Deleted], after, 2).await.expect("a page");
        assert!(page.rows.len() <= 2);
        paged.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.rows);
    assert!(all.rows.windows(2).all(|two| two[0].id > two[1].id), "newest first");
}
