//! Killing `materialize` with -9 at any moment and running it again gives the same store as one run that nobody
//! disturbed.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Instant;

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

#[test]
fn killed_at_any_moment_and_run_again() {
    let whole = Plumb::demo();
    whole.run("apply --yes").ok();
    let started = Instant::now();
    whole.run("materialize").ok();
    let took = started.elapsed();
    let want = dump(&whole);

    // Moments spread over the run: before, during the snapshot, during the writes, at the end.
    let mut interrupted = 0;
    for part in 0..10_u32 {
        let plumb = Plumb::demo();
        plumb.run("apply --yes").ok();
        let mut child = plumb.command("materialize").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + took * part / 9;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        interrupted += usize::from(child.wait().unwrap().signal() == Some(9));
        plumb.run("materialize").ok();
        assert!(dump(&plumb) == want, "killed after {part}/9 of {took:?}");
        // No half-written file is left where history is read.
        let report = plumb.json("materialize");
        assert_eq!(report["materialized"][0]["n_written"], 0, "running again changes nothing: {report}");
    }
    assert!(interrupted > 0, "every run had ended before it was killed: nothing was tested");
}
