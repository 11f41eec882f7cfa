//! Killing `materialize` with -9 at any moment and running it again gives the same store as one run that nobody
//! disturbed.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Instant;

use featurestore::online::testing::TestRedis;

use crate::harness::Plumb;

/// Everything that the store answers: all users, all features, with statuses and event times.
fn dump(plumb: &Plumb) -> Vec<String> {
    let server = plumb.serve();
    let users: Vec<i64> = (1..=23_570).collect();
    let ask = |chunk: &[i64]| {
        let body = serde_json::json!({
            "features": ["user_features:total_orders", "user_features:avg_order_value", "user_features:last_order_at",
                         "user_features:total_cds", "user_features:days_since_last_order"],
            "entities": { "user_id": chunk },
        });
        let (status, answer) = server.post("/v1/features", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        answer["features"].to_string()
    };
    users.chunks(5_000).map(ask).collect()
}

/// Kills a run at `moments` moments spread over the time that a whole one takes: before it, during the snapshot, during
/// the writes, at the end. `make(n)` is a project of its own, with a store of its own.
fn killed_and_run_again(moments: u32, make: impl Fn(u32) -> Plumb) {
    let whole = make(0);
    whole.run("apply --yes").ok();
    let started = Instant::now();
    whole.run("materialize").ok();
    let took = started.elapsed();
    let want = dump(&whole);

    let mut interrupted = 0;
    for part in 0..moments {
        let plumb = make(part + 1);
        plumb.run("apply --yes").ok();
        let mut child = plumb.command("materialize").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + took * part / (moments - 1);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        interrupted += usize::from(child.wait().unwrap().signal() == Some(9));
        plumb.run("materialize").ok();
        assert!(dump(&plumb) == want, "killed after {part}/{} of {took:?}", moments - 1);
        // No half-written file is left where history is read.
        let report = plumb.json("materialize");
        assert_eq!(report["materialized"][0]["how"], "unchanged", "{report}");
    }
    assert!(interrupted > 0, "every run had ended before it was killed: nothing was tested");
}

#[test]
fn the_embedded_store_is_the_same_after_a_kill() {
    killed_and_run_again(10, |_| Plumb::demo());
}

#[test]
fn redis_is_the_same_after_a_kill() {
    let redis = TestRedis::start();
    killed_and_run_again(6, |n| {
        let plumb = Plumb::demo();
        plumb.edit("plumb.yaml", "project: repeat_purchase", &format!("project: {}_{n}", redis.project()));
        let store = format!("online: {{kind: redis, url: \"{}\", timeout: 10s}}", redis.url());
        plumb.edit("plumb.yaml", "online: {kind: embedded, path: .plumb/online}", &store);
        plumb
    });
}
