//! Runs: what is logged of them, and their pages.

use super::{pairs, point};
use crate::tracking::{
    Batch, ExperimentId, Lifecycle, Metric, NewRun, Page, PageToken, RunChange, RunStatus, RunsWanted, Tracker,
    TrackingError,
};

pub(super) async fn a_run_is_kept_as_it_was_made(tracker: &Tracker, other: &Tracker) {
    let new = NewRun {
        name: Some("first".to_owned()),
        user: "ann".to_owned(),
        start_ms: Some(77),
        tags: pairs(&[("z", "1"), ("a", "2")]),
    };
    let made = tracker.create_run(ExperimentId::DEFAULT, new).await.expect("a run");
    assert_eq!(made.tags, pairs(&[("a", "2"), ("mlflow.runName", "first"), ("z", "1")]));
    assert_eq!(made.info.artifact_uri, format!("mlflow-artifacts:/0/{}/artifacts", made.info.id));
    assert_eq!((made.info.start_ms, made.info.status), (77, RunStatus::Running));
    assert_eq!(other.run(&made.info.id).await.expect("every handle sees it"), made);
    let nameless = other.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run without a name");
    assert_eq!(nameless.tags, pairs(&[("mlflow.runName", &nameless.info.name)]));
    assert_ne!(nameless.info.id, made.info.id);
    let tags = pairs(&[("mlflow.runName", "tagged")]);
    let two = NewRun { name: Some("said".to_owned()), tags, ..NewRun::default() };
    let why = other.create_run(ExperimentId::DEFAULT, two).await.expect_err("two names");
    assert!(matches!(why, TrackingError::Invalid(_)), "{why}");
}

pub(super) async fn a_run_changes_where_it_is_told(tracker: &Tracker) {
    let id = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let change = RunChange { status: Some(RunStatus::Finished), end_ms: Some(99), ..RunChange::default() };
    let info = tracker.change_run(&id, change).await.expect("it ends");
    assert_eq!((info.status, info.end_ms), (RunStatus::Finished, Some(99)));
    let info = tracker.change_run(&id, RunChange { name: Some("new".to_owned()), ..RunChange::default() }).await;
    let info = info.expect("it is renamed");
    assert_eq!((info.name.as_str(), info.status, info.end_ms), ("new", RunStatus::Finished, Some(99)));
    assert_eq!(tracker.run(&id).await.expect("it is there").tags, pairs(&[("mlflow.runName", "new")]));
    tracker
        .log(&id, Batch { tags: pairs(&[("mlflow.runName", "by tag"), ("x", "1")]), ..Batch::default() })
        .await
        .expect("tags");
    let change = RunChange { without_tag: Some("x".to_owned()), ..RunChange::default() };
    assert_eq!(tracker.change_run(&id, change).await.expect("a tag goes").name, "by tag");
    let run = tracker.run(&id).await.expect("it is there");
    assert_eq!(run.tags, pairs(&[("mlflow.runName", "by tag")]));
}

pub(super) async fn a_parameter_keeps_its_first_value_and_a_batch_is_whole(tracker: &Tracker) {
    let id = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let first = Batch { params: pairs(&[("b", "1"), ("a", "")]), tags: pairs(&[("t", "old")]), ..Batch::default() };
    tracker.log(&id, first.clone()).await.expect("new parameters");
    tracker.log(&id, first).await.expect("the same once more");
    let wrong = Batch {
        params: pairs(&[("c", "3"), ("b", "2")]),
        metrics: vec![point("m", 1.0, 1, 1)],
        tags: pairs(&[("t", "new")]),
        ..Batch::default()
    };
    let why = tracker.log(&id, wrong.clone()).await.expect_err("another value");
    assert!(matches!(&why, TrackingError::ParamChanged { key, logged, .. } if key == "b" && logged == "1"), "{why}");
    let run = tracker.run(&id).await.expect("it is there");
    assert_eq!(run.params, pairs(&[("a", ""), ("b", "1")]));
    assert_eq!(run.tags.last(), Some(&("t".to_owned(), "old".to_owned())));
    assert_eq!(run.metrics, []);
    tracker.log(&id, Batch { params: pairs(&[("c", "3")]), ..wrong }).await.expect("without the other value");
    let run = tracker.run(&id).await.expect("it is there");
    assert_eq!(run.tags.last(), Some(&("t".to_owned(), "new".to_owned())));
    assert_eq!(run.metrics, [point("m", 1.0, 1, 1)]);
}

/// Whatever the order of arrival; then the largest time, then the largest value.
pub(super) async fn the_latest_point_is_of_the_largest_step(tracker: &Tracker) {
    let points = [
        point("m", 0.1, 10, 3),
        point("m", 0.2, 90, 1),
        point("m", 0.3, 5, 3),
        point("m", 0.4, 10, 3),
        point("m", 0.25, 10, 3),
        point("m", f64::NAN, 10, 3),
        point("m", -5.0, 10, 3),
    ];
    for turn in 0..points.len() {
        let id = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
        let mut points = points.to_vec();
        points.rotate_left(turn);
        tracker.log(&id, Batch { metrics: points[..4].to_vec(), ..Batch::default() }).await.expect("points");
        for metric in &points[4..] {
            tracker.log(&id, Batch { metrics: vec![metric.clone()], ..Batch::default() }).await.expect("a point");
        }
        assert_eq!(tracker.run(&id).await.expect("it is there").metrics, [point("m", 0.4, 10, 3)], "turn {turn}");
    }
}

pub(super) async fn a_point_is_there_once(tracker: &Tracker) {
    let id = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MIN_POSITIVE, 0.1 + 0.2, f64::MAX];
    let mut metrics: Vec<Metric> = odd.iter().map(|value| point("m", *value, 1, 1)).collect();
    metrics.push(Metric { model: Some("m-1".to_owned()), ..point("m", 0.0, 1, 1) });
    metrics.push(Metric { dataset: Some(("d".to_owned(), "e".to_owned())), ..point("m", 0.0, 1, 1) });
    metrics.push(point("m", -0.0, 1, 1));
    for _ in 0..2 {
        tracker.log(&id, Batch { metrics: metrics.clone(), ..Batch::default() }).await.expect("points");
    }
    let Page { rows, next } = tracker.history(&id, "m", None, 100).await.expect("they are there");
    assert_eq!((rows.len(), next), (odd.len() + 2, None), "zero is zero");
    for (row, value) in rows.iter().zip(odd) {
        assert!(row.value.to_bits() == value.to_bits() || (row.value.is_nan() && value.is_nan()), "{row:?}");
    }
    assert_eq!(rows[odd.len()..], metrics[odd.len()..odd.len() + 2]);
    assert_eq!(tracker.history(&id, "none", None, 100).await.expect("a metric that nobody logged").rows, []);
}

pub(super) async fn history_comes_in_pages(tracker: &Tracker) {
    let id = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let wanted: Vec<Metric> =
        (0..7).map(|n| point("m", f64::from(n), 10 + i64::from(n / 3), i64::from(n % 3) - 1)).collect();
    let mut sent = wanted.clone();
    sent.reverse();
    tracker.log(&id, Batch { metrics: sent, ..Batch::default() }).await.expect("points");
    for rows_max in [1, 2, 3, 6, 7, 8] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = tracker.history(&id, "m", after, rows_max).await.expect("a page");
            assert!(page.rows.len() <= rows_max as usize && !page.rows.is_empty());
            read.extend(page.rows);
            after = page.next.map(|token| PageToken::parse(&token.to_text()).expect("a token is read back"));
            if after.is_none() {
                break;
            }
        }
        assert_eq!(read, wanted, "{rows_max} at once");
    }
}

pub(super) async fn runs_come_in_pages_newest_first(tracker: &Tracker) {
    let experiment = tracker.create_experiment("pages".to_owned(), None, Vec::new()).await.expect("a new name").id;
    let mut made = Vec::new();
    for start in [5, 3, 5, 9, 1] {
        let new = NewRun { start_ms: Some(start), ..NewRun::default() };
        made.push(tracker.create_run(experiment, new).await.expect("a run"));
    }
    let wanted = |after, rows_max| RunsWanted {
        experiments: vec![experiment, ExperimentId(987_654)],
        lifecycles: vec![Lifecycle::Active],
        after,
        rows_max,
    };
    let first = tracker.runs(wanted(None, 2)).await.expect("a page");
    assert_eq!(first.rows, [made[3].clone(), made[2].clone()], "of one start the one that was made last");
    // One that comes meanwhile changes nothing behind it.
    let new = NewRun { start_ms: Some(7), ..NewRun::default() };
    tracker.create_run(experiment, new).await.expect("a run");
    let second = tracker.runs(wanted(first.next, 10)).await.expect("the rest");
    assert_eq!(second.rows, [made[0].clone(), made[1].clone(), made[4].clone()]);
    assert_eq!(second.next, None);
    let gone = RunChange { lifecycle: Some(Lifecycle::Deleted), ..RunChange::default() };
    tracker.change_run(&made[4].info.id, gone).await.expect("it goes");
    assert_eq!(tracker.runs(wanted(first.next, 10)).await.expect("the rest").rows.len(), 2);
    let deleted = RunsWanted { lifecycles: vec![Lifecycle::Deleted], ..wanted(None, 10) };
    assert_eq!(tracker.runs(deleted).await.expect("the deleted").rows.len(), 1);
    let none = RunsWanted { experiments: Vec::new(), ..wanted(None, 10) };
    assert_eq!(tracker.runs(none).await.expect("none").rows, []);
}

pub(super) async fn models_of_older_clients_are_a_list(tracker: &Tracker) {
    let id = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let log = |json: &str| tracker.log(&id, Batch { model_json: Some(json.to_owned()), ..Batch::default() });
    for json in [r#"{"a": 1}"#, r#"{"a": 1}"#, r#"{"a": 2}"#, r#"{"a": 1}"#] {
        log(json).await.expect("a model");
    }
    assert!(matches!(log("{").await, Err(TrackingError::Invalid(_))));
    let run = tracker.run(&id).await.expect("it is there");
    let history = run.tags.iter().find(|(key, _)| key == "mlflow.log-model.history").map(|(_, value)| value.as_str());
    assert_eq!(history, Some(r#"[{"a":1},{"a":2},{"a":1}]"#), "what comes twice in a row came once");
}
