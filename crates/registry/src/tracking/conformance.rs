//! What every [`TrackingStore`] must do, as one test to run over each.

use std::sync::Arc;

use schema::Clock;
use tokio::task::JoinSet;

use super::{
    Batch, ExperimentChange, ExperimentId, Lifecycle, LoggedModelChange, Metric, ModelOutput, ModelStatus,
    ModelsWanted, NewLoggedModel, NewRun, Page, PageToken, Pair, RunChange, RunStatus, RunsWanted, Tracker,
    TrackingError, TrackingStore,
};

/// Runs the suite. Each call of `open` gives a handle on one and the same store, which is new at first.
///
/// # Panics
/// If the store does anything else than the trait says.
pub async fn tracking_store(open: impl Fn() -> Arc<dyn TrackingStore>) {
    let clock = Clock::Fixed(schema::Timestamp::from_nanos(1_234_567_890));
    let one = || Tracker::new(open(), clock);
    there_is_a_default_experiment(&one()).await;
    experiments_have_names_and_numbers_of_their_own(&one(), &one()).await;
    experiments_go_and_come_back_with_their_runs(&one()).await;
    experiments_come_in_pages(&one()).await;
    a_run_is_kept_as_it_was_made(&one(), &one()).await;
    a_run_changes_where_it_is_told(&one()).await;
    a_parameter_keeps_its_first_value_and_a_batch_is_whole(&one()).await;
    the_latest_point_is_of_the_largest_step(&one()).await;
    a_point_is_there_once(&one()).await;
    history_comes_in_pages(&one()).await;
    runs_come_in_pages_newest_first(&one()).await;
    a_logged_model_has_the_points_of_all_its_runs(&one(), &one()).await;
    logged_models_are_found_by_name_and_run(&one()).await;
    what_is_not_there_is_said(&one()).await;
    models_of_older_clients_are_a_list(&one()).await;
    text_is_kept_character_by_character(&one(), &one()).await;
    names_are_told_apart_byte_by_byte(&one()).await;
    numbers_go_to_their_ends(&one()).await;
    of_many_writers_none_is_lost(&one).await;
}

async fn there_is_a_default_experiment(tracker: &Tracker) {
    let default = tracker.experiment(ExperimentId::DEFAULT).await.expect("it is there from the start");
    assert_eq!((default.name.as_str(), default.lifecycle), ("Default", Lifecycle::Active));
    assert_eq!(default.artifact_location, "mlflow-artifacts:/0");
    assert_eq!(tracker.experiment_named("Default").await.expect("by its name too"), default);
}

async fn experiments_have_names_and_numbers_of_their_own(tracker: &Tracker, other: &Tracker) {
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

async fn experiments_go_and_come_back_with_their_runs(tracker: &Tracker) {
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

async fn experiments_come_in_pages(tracker: &Tracker) {
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

async fn a_run_is_kept_as_it_was_made(tracker: &Tracker, other: &Tracker) {
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

async fn a_run_changes_where_it_is_told(tracker: &Tracker) {
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

async fn a_parameter_keeps_its_first_value_and_a_batch_is_whole(tracker: &Tracker) {
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
async fn the_latest_point_is_of_the_largest_step(tracker: &Tracker) {
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

async fn a_point_is_there_once(tracker: &Tracker) {
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

async fn history_comes_in_pages(tracker: &Tracker) {
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

async fn runs_come_in_pages_newest_first(tracker: &Tracker) {
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

async fn a_logged_model_has_the_points_of_all_its_runs(tracker: &Tracker, other: &Tracker) {
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

async fn logged_models_are_found_by_name_and_run(tracker: &Tracker) {
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

async fn models_of_older_clients_are_a_list(tracker: &Tracker) {
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

/// Also what no database likes.
async fn text_is_kept_character_by_character(tracker: &Tracker, other: &Tracker) {
    let odd = "a\0b\u{1}\u{2}\0 '\\\"%_\n\u{feff}\u{10ffff}e\u{301} ";
    let tags = pairs(&[("t", odd)]);
    let made = tracker.create_experiment(format!("x{odd}"), Some(odd.to_owned()), tags.clone()).await.expect("a name");
    assert_eq!(other.experiment_named(&format!("x{odd}")).await.expect("by its name"), made);
    assert_eq!((made.artifact_location.as_str(), &made.tags), (odd, &tags));
    let new = NewRun { name: Some(odd.to_owned()), user: odd.to_owned(), tags, ..NewRun::default() };
    let run = tracker.create_run(made.id, new).await.expect("a run");
    assert_eq!(other.run(&run.info.id).await.expect("it is there"), run);
    assert_eq!((run.info.name.as_str(), run.info.user.as_str()), (odd, odd));
    let of_model = Metric {
        model: Some(odd.to_owned()),
        dataset: Some((odd.to_owned(), odd.to_owned())),
        ..point("m", 1.0, 1, 1)
    };
    let batch = Batch { params: pairs(&[("p", odd)]), metrics: vec![of_model.clone()], ..Batch::default() };
    for _ in 0..2 {
        tracker.log(&run.info.id, batch.clone()).await.expect("the same twice");
    }
    let read = other.run(&run.info.id).await.expect("it is there");
    assert_eq!((read.params, read.metrics), (batch.params, vec![of_model]));
    let changed = Batch { params: pairs(&[("p", &odd.replace('\0', ""))]), ..Batch::default() };
    let why = tracker.log(&run.info.id, changed).await.expect_err("another value");
    assert!(matches!(&why, TrackingError::ParamChanged { logged, .. } if logged == odd), "{why}");
    // A model of a name as long as it may be, measured on a data set of such a name.
    let long = Metric {
        key: "\u{20000}".repeat(250),
        model: Some("\u{20000}".repeat(3_000)),
        dataset: Some(("\u{20000}".repeat(500), "\u{20000}".repeat(36))),
        ..point("", 1.0, 1, 1)
    };
    let output = ModelOutput { model: "\u{20000}".repeat(3_000), step: 1 };
    let batch = Batch { metrics: vec![long.clone()], outputs: vec![output.clone()], ..Batch::default() };
    for _ in 0..2 {
        tracker.log(&run.info.id, batch.clone()).await.expect("long ones");
    }
    let read = other.run(&run.info.id).await.expect("it is there");
    assert_eq!((read.metrics.last(), read.outputs), (Some(&long), vec![output]));
    let missing = other.run("a\0b").await.expect_err("no run is called so");
    assert!(matches!(missing, TrackingError::UnknownRun { .. }), "{missing}");
}

/// Neither case nor accents nor spaces at the end are one and the same, and the order is that of the bytes.
async fn names_are_told_apart_byte_by_byte(tracker: &Tracker) {
    let names = ["Name", "name", "name ", "näme", "na\u{308}me", "Näme"];
    for name in names {
        tracker.create_experiment(name.to_owned(), None, Vec::new()).await.expect("another name");
    }
    let id = tracker.create_run(ExperimentId::DEFAULT, NewRun::default()).await.expect("a run").info.id;
    let keys = ["_", "a", "B", "a b", "a.b", "ab", "Z", "ä", "zz", "\u{fb01}", "\u{20000}", "1", "-"];
    let params: Vec<Pair> = keys.iter().map(|key| ((*key).to_owned(), String::new())).collect();
    let metrics = keys.iter().map(|key| point(key, 1.0, 1, 1)).collect();
    let batch = Batch { params: params.clone(), tags: params.clone(), metrics, ..Batch::default() };
    tracker.log(&id, batch).await.expect("all of them");
    let run = tracker.run(&id).await.expect("it is there");
    let mut sorted = params;
    sorted.sort();
    assert_eq!(run.params, sorted);
    assert!(run.tags.is_sorted_by(|a, b| a.0.as_bytes() < b.0.as_bytes()), "{:?}", run.tags);
    assert!(run.metrics.is_sorted_by(|a, b| a.key.as_bytes() < b.key.as_bytes()), "{:?}", run.metrics);
    let experiment = tracker.create_experiment("case".to_owned(), None, Vec::new()).await.expect("a new name").id;
    for name in ["Name", "name", "name ", "näme"] {
        let new = NewLoggedModel { name: Some(name.to_owned()), ..NewLoggedModel::default() };
        tracker.create_logged_model(experiment, new).await.expect("a model");
    }
    for (name, n) in [("name", 1), ("NAME", 0), ("name ", 1), ("nam_", 0), ("name\0", 0)] {
        let name = Some(name.to_owned());
        let wanted = ModelsWanted { experiments: vec![experiment], name, source_run: None, after: None, rows_max: 9 };
        assert_eq!(tracker.logged_models(wanted).await.expect("some").rows.len(), n);
    }
}

async fn numbers_go_to_their_ends(tracker: &Tracker) {
    let experiment = tracker.create_experiment("ends".to_owned(), None, Vec::new()).await.expect("a new name").id;
    let mut made = Vec::new();
    for start in [i64::MIN, -1, 0, i64::MAX] {
        let new = NewRun { start_ms: Some(start), ..NewRun::default() };
        let id = tracker.create_run(experiment, new).await.expect("a run").info.id;
        let change = RunChange { end_ms: Some(start), ..RunChange::default() };
        assert_eq!(tracker.change_run(&id, change).await.expect("it ends").end_ms, Some(start));
        made.push(id);
    }
    made.reverse();
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let wanted =
            RunsWanted { experiments: vec![experiment], lifecycles: vec![Lifecycle::Active], after, rows_max: 1 };
        let page = tracker.runs(wanted).await.expect("a page");
        paged.extend(page.rows.into_iter().map(|run| run.info.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, made);
    let points = [
        point("m", f64::MAX, 0, i64::MIN),
        point("m", f64::NEG_INFINITY, 0, i64::MAX),
        point("m", f64::INFINITY, i64::MAX, i64::MIN),
        point("m", 5e-324, i64::MAX, i64::MAX),
    ];
    tracker.log(&made[0], Batch { metrics: points.to_vec(), ..Batch::default() }).await.expect("points");
    assert_eq!(tracker.history(&made[0], "m", None, u32::MAX).await.expect("all").rows, points);
    assert_eq!(tracker.run(&made[0]).await.expect("it is there").metrics, points[3..]);
    for id in [i64::MAX, i64::MIN, -1] {
        let why = tracker.experiment(ExperimentId(id)).await.expect_err("there is none");
        assert!(matches!(why, TrackingError::UnknownExperiment { .. }), "{why}");
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
