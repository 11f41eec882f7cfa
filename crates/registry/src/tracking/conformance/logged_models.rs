//! Logged models: whose points they have, and how they are found.

use super::{pairs, point};
use crate::tracking::{
    Batch, ExperimentId, LoggedModelChange, Metric, ModelOutput, ModelStatus, ModelsWanted, NewLoggedModel, NewRun,
    Tracker, TrackingError,
};

pub(super) async fn a_logged_model_has_the_points_of_all_its_runs(tracker: &Tracker, other: &Tracker) {
    let run = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let new = NewLoggedModel {
        name: Some("model".to_owned()),
        model_type: "onnx".to_owned(),
        source_run: Some(run.clone()),
        params: pairs(&[("p", "1")]),
        tags: pairs(&[("t", "1")]),
    };
    let made = tracker.create_logged_model(ExperimentId::DEFAULT, new).await.expect("a model");
    assert_eq!(made.artifact_uri, format!("mlflow-artifacts:/0/models/{}/artifacts", made.id));
    assert_eq!(made.status, ModelStatus::Pending);
    assert_eq!(other.logged_model(&made.id).await.expect("every handle sees it"), made);
    let outputs = vec![ModelOutput { model: made.id.clone(), step: 2 }];
    for _ in 0..2 {
        other.log(&run, Batch { outputs: outputs.clone(), ..Batch::default() }).await.expect("the run says so");
    }
    assert_eq!(tracker.run(&run).await.expect("it is there").outputs, outputs);
    let second = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let of_model = Metric { model: Some(made.id.clone()), ..point("auc", 0.5, 1, 0) };
    for run in [&run, &second] {
        let metrics = vec![of_model.clone(), point("auc", 0.1, 1, 0)];
        tracker.log(run, Batch { metrics, ..Batch::default() }).await.expect("points");
    }
    let change = LoggedModelChange {
        status: Some(ModelStatus::Ready),
        params: pairs(&[("p", "1"), ("q", "2")]),
        tags: pairs(&[("t", "2"), ("u", "3")]),
        ..LoggedModelChange::default()
    };
    let changed = tracker.change_logged_model(&made.id, change).await.expect("it changes");
    assert_eq!(changed.status, ModelStatus::Ready);
    assert_eq!(changed.params, pairs(&[("p", "1"), ("q", "2")]));
    assert_eq!(changed.tags, pairs(&[("t", "2"), ("u", "3")]));
    assert_eq!(changed.metrics, [(run, of_model.clone()), (second, of_model)]);
    let other_value = LoggedModelChange { params: pairs(&[("p", "2")]), ..LoggedModelChange::default() };
    let why = tracker.change_logged_model(&made.id, other_value).await.expect_err("another value");
    assert!(matches!(why, TrackingError::ParamChanged { .. }), "{why}");
    let without = LoggedModelChange { without_tag: Some("t".to_owned()), ..LoggedModelChange::default() };
    let changed = tracker.change_logged_model(&made.id, without).await.expect("a tag goes");
    assert_eq!((changed.tags, changed.status), (pairs(&[("u", "3")]), ModelStatus::Ready));
    let gone = LoggedModelChange { delete: true, ..LoggedModelChange::default() };
    tracker.change_logged_model(&made.id, gone).await.expect("it goes");
    let why = tracker.logged_model(&made.id).await.expect_err("it went");
    assert!(matches!(why, TrackingError::UnknownLoggedModel { .. }), "{why}");
}

pub(super) async fn logged_models_are_found_by_name_and_run(tracker: &Tracker) {
    let experiment = tracker.create_experiment("models".to_owned(), None, Vec::new()).await.expect("a new name").id;
    let mut made = Vec::new();
    for (name, run) in [("a", "r1"), ("b", "r1"), ("a", "r2")] {
        let new = NewLoggedModel {
            name: Some(name.to_owned()),
            source_run: Some(run.to_owned()),
            ..NewLoggedModel::default()
        };
        made.push(tracker.create_logged_model(experiment, new).await.expect("a model"));
    }
    let wanted =
        ModelsWanted { experiments: vec![experiment], name: None, source_run: None, after: None, rows_max: 10 };
    let all = tracker.logged_models(wanted.clone()).await.expect("all of them");
    assert_eq!(all.rows, [made[2].clone(), made[1].clone(), made[0].clone()], "newest first");
    let named = ModelsWanted { name: Some("a".to_owned()), ..wanted.clone() };
    let page = tracker.logged_models(ModelsWanted { rows_max: 1, ..named.clone() }).await.expect("a page");
    assert_eq!(page.rows, made[2..]);
    let page = tracker.logged_models(ModelsWanted { after: page.next, ..named.clone() }).await.expect("the rest");
    assert_eq!((page.rows.as_slice(), page.next), (&made[..1], None));
    let both = ModelsWanted { source_run: Some("r1".to_owned()), ..named };
    assert_eq!(tracker.logged_models(both).await.expect("by both").rows, made[..1]);
    let elsewhere = ModelsWanted { experiments: vec![ExperimentId(987_654)], ..wanted };
    assert_eq!(tracker.logged_models(elsewhere).await.expect("none").rows, []);
}
