//! A version promoted by the command line while the server runs is served within a second, and no request fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Plumb, Server};

/// Asks without a pause until told to stop; every answer must be good. Returns the versions seen, in order.
fn ask(server: &Server, stop: &AtomicBool) -> Vec<i64> {
    let mut seen: Vec<i64> = Vec::new();
    let mut last = false;
    while !last {
        // One more after the stop: what was served to others by then is served here too.
        last = stop.load(Ordering::Relaxed);
        let (status, answer) = server.predict("repeat_purchase", &[4, 18, 21]);
        assert_eq!(status, 200, "{answer}");
        let version = answer["version"].as_i64().unwrap();
        // The answer names the version that computed it: they have different features.
        let features = answer["features"].as_object().unwrap().len();
        assert_eq!(features, if version == 1 { 3 } else { 4 });
        if seen.last() != Some(&version) {
            seen.push(version);
        }
    }
    seen
}

#[test]
fn promoted_and_rolled_back_under_load() {
    let plumb = Plumb::demo_online();
    for version in 1..=2 {
        let file = plumb.model(&format!("repeat_purchase_v{version}.onnx"));
        plumb.run(&format!("model register repeat_purchase {}", file.display())).ok();
    }
    plumb.run("model promote repeat_purchase 1").ok();
    let server = plumb.serve();
    let stop = AtomicBool::new(false);
    let served = |wanted: i64| {
        let started = Instant::now();
        loop {
            let (_, answer) = server.predict("repeat_purchase", &[4]);
            if answer["version"] == wanted {
                return started.elapsed();
            }
            assert!(started.elapsed() < Duration::from_secs(30), "version {wanted} is never served");
        }
    };
    let seen = std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&server, &stop));
        served(1);
        plumb.run("model promote repeat_purchase 2").ok();
        served(2);
        plumb.run("model rollback repeat_purchase").ok();
        served(1);
        stop.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    assert_eq!(seen, [1, 2, 1], "a request never sees a version come back that was replaced");
    server.stop();
    let skew = plumb.json("skew");
    assert_eq!(skew["in_plumb"], true, "{skew:#}");
    assert_eq!(skew["services"].as_array().unwrap().len(), 2);
}

#[test]
fn promoting_the_holder_changes_nothing() {
    let plumb = Plumb::demo_online();
    let file = plumb.model("repeat_purchase_v1.onnx");
    plumb.run(&format!("model register repeat_purchase {}", file.display())).ok();
    let first = plumb.json("model promote repeat_purchase 1");
    assert_eq!((&first["passed"], &first["changed"]), (&true.into(), &true.into()));
    let again = plumb.json("model promote repeat_purchase 1");
    assert_eq!((&again["passed"], &again["changed"]), (&true.into(), &false.into()));
    // Nothing was there before: there is nothing to go back to.
    plumb.run("model rollback nobody").fails(2, &["nobody"]);
}

#[test]
fn a_version_whose_features_are_not_online_is_refused() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let file = plumb.model("repeat_purchase_v1.onnx");
    plumb.run(&format!("model register repeat_purchase {}", file.display())).ok();
    let refused = plumb.run("model promote repeat_purchase 1");
    assert_eq!(refused.code, 1, "{refused:?}");
    for word in ["REFUSED", "feature square", "run `plumb materialize user_features`"] {
        assert!(refused.stdout.contains(word), "`{word}` is not in {}", refused.stdout);
    }
    assert_eq!(plumb.json("model list")["versions"][0]["stage"], "None");
    plumb.run("materialize").ok();
    plumb.run("model promote repeat_purchase 1").ok();
}

#[test]
fn a_model_whose_answers_depend_on_their_batch_is_served_row_by_row() {
    let plumb = Plumb::demo_online();
    let file = plumb.model("test/batch_mean.onnx");
    plumb.run(&format!("model register moody {} --service repeat_purchase_v1", file.display())).ok();
    let promoted = plumb.json("model promote moody 1");
    assert_eq!(promoted["evidence"]["batches"]["verdict"], "unsafe", "{promoted:#}");
    let server = plumb.serve();
    let (_, together) = server.predict("moody", &[4, 18, 21]);
    for (row, user) in [4, 18, 21].into_iter().enumerate() {
        let (_, alone) = server.predict("moody", &[user]);
        assert_eq!(alone["outputs"]["score"][0], together["outputs"]["score"][row]);
    }
}
