//! Texts and numbers, to their ends, of all that is kept.

use super::{pairs, point};
use crate::tracking::{
    Batch, ExperimentId, Lifecycle, Metric, ModelOutput, ModelsWanted, NewLoggedModel, NewRun, Pair, RunChange,
    RunsWanted, Tracker, TrackingError,
};

/// Also what no database likes.
pub(super) async fn text_is_kept_character_by_character(tracker: &Tracker, other: &Tracker) {
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
pub(super) async fn names_are_told_apart_byte_by_byte(tracker: &Tracker) {
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

pub(super) async fn numbers_go_to_their_ends(tracker: &Tracker) {
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
