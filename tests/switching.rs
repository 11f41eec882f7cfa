//! A version promoted by the command line while the server runs is served within a second, and no request fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Plumb, Server};
use crate::squares::{linear, register};

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

/// Asks for one row without a pause until told to stop: how many answers each version gave. Each is what the version says that it
/// names.
fn infer(server: &Server, stop: &AtomicBool) -> [u64; 2] {
    let row = json!({ "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1, 10, 100] }] });
    let mut answered = [0; 2];
    while !stop.load(Ordering::Relaxed) {
        let (status, answer) = server.post("/v2/models/m/infer", &row.to_string());
        assert_eq!(status, 200, "{answer}");
        let (version, said) = (answer["model_version"].as_str().unwrap(), &answer["outputs"][0]["data"][0]);
        assert_eq!(said, if version == "1" { 111.0 } else { 222.0 }, "{answer}");
        answered[usize::from(version == "2")] += 1;
    }
    answered
}

/// Versions are loaded in turn, a thousand times, while they are asked: nobody is refused, no answer is another version's, and
/// what was loaded is given back.
#[test]
fn a_thousand_switches_under_load_fail_nobody_and_keep_no_memory() {
    const SWITCHES: u32 = 1_000;
    // By then what is kept for good is there: threads, caches, arenas.
    const WARM: u32 = 300;
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 1.0, 1.0], 0.0), "repeat_purchase_v1");
    register(&plumb, &linear(&plumb, "two.onnx", &[2.0, 2.0, 2.0], 0.0), "repeat_purchase_v1");
    let server = plumb.serve();
    let switch = |n: u32| {
        let config = json!({ "version_policy": { "specific": { "versions": [1 + n % 2] } } }).to_string();
        let body = json!({ "parameters": { "config": config } }).to_string();
        assert_eq!(server.post_status("/v2/repository/models/m/load", &body), 200);
    };
    switch(0);
    let stop = AtomicBool::new(false);
    let (answered, resident) = std::thread::scope(|scope| {
        let asking = [(); 3].map(|()| scope.spawn(|| infer(&server, &stop)));
        let mut resident = Vec::new();
        for n in 1..=SWITCHES {
            switch(n);
            if n % 100 == 0 {
                resident.push(server.resident_kb());
            }
        }
        stop.store(true, Ordering::Relaxed);
        (asking.map(|asking| asking.join().unwrap()), resident)
    });
    let of = |version: usize| answered.iter().map(|answered| answered[version]).sum::<u64>();
    assert!(of(0) > u64::from(SWITCHES) / 10 && of(1) > u64::from(SWITCHES) / 10, "{answered:?}");
    let before = &resident[..usize::try_from(WARM / 100).unwrap()];
    let (most, last) = (before.iter().max().unwrap(), resident.last().unwrap());
    println!("{} answers, resident {resident:?} KB after each hundred switches", of(0) + of(1));
    assert!(*last * 100 <= *most * 105, "resident {resident:?} KB after each hundred switches");
}
