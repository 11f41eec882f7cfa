//! Killing `materialize` with -9 at any moment, or stopping it with Ctrl-C, and running it again gives the same store as one
//! run that nobody disturbed; killing a server loses no push that it acknowledged.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use featurestore::online::testing::TestRedis;
use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::harness::{Plumb, Server};

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

/// FT 5 and 19: what was answered with 200 is in history and online, whenever the server dies.
#[test]
fn no_acknowledged_push_is_lost_with_the_server() {
    const WRITERS: i64 = 4;
    let plumb = Plumb::demo_online();
    let mut acknowledged: Vec<(i64, i64)> = Vec::new();
    for round in 0..3_i64 {
        let server = plumb.serve();
        let url = server.url.clone();
        let n_done = AtomicUsize::new(0);
        let push = |writer: i64| {
            let mut done = Vec::new();
            for i in 1.. {
                let user = 100_000 + (round * WRITERS + writer) * 10_000 + i;
                let at = "1998-06-30T12:00:00Z";
                let rows = json!({
                    "user_id": [user], "event_time": [at], "total_orders": [i], "avg_order_value": [0.5],
                    "last_order_at": [at], "total_cds": [3],
                });
                let body = json!({ "rows": rows }).to_string();
                // Each writer ends with a push in flight: whether that one is there is unknown.
                match Server::try_post(&url, "/v1/views/user_features/push", &body) {
                    Ok((status, answer)) => assert_eq!(status, 200, "{answer}"),
                    Err(_) => return done,
                }
                done.push((user, i));
                n_done.fetch_add(1, Ordering::Relaxed);
            }
            done
        };
        let push = &push;
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || push(writer))).collect();
            while n_done.load(Ordering::Relaxed) < 20 && !writers.iter().any(ScopedJoinHandle::is_finished) {
                std::thread::yield_now();
            }
            server.kill();
            for writer in writers {
                acknowledged.extend(writer.join().unwrap());
            }
        });
    }
    assert!(acknowledged.len() >= 60, "{} pushes were acknowledged", acknowledged.len());
    let look = |what: &str| {
        let server = plumb.serve();
        let users: Vec<i64> = acknowledged.iter().map(|(user, _)| *user).collect();
        let body = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": users } });
        let (status, answer) = server.post("/v1/features", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        let want: Vec<i64> = acknowledged.iter().map(|(_, orders)| *orders).collect();
        assert_eq!(answer["features"]["total_orders"]["values"], json!(want), "{what}");
    };
    look("online after the restart");
    std::fs::remove_dir_all(plumb.path().join(".plumb/online")).unwrap();
    plumb.run("materialize").ok();
    look("made again from history");
}

/// The status of a program that was interrupted is 130; what it had done is no hindrance.
/// FT 5: a server that is killed under load fails what is in flight, and nothing after it: started again on its port it answers
/// whoever asks.
#[test]
fn a_killed_server_fails_what_is_in_flight_and_no_more() {
    const CLIENTS: usize = 4;
    const ROUNDS: usize = 3;
    const AFTER: usize = 30;
    let plumb = Plumb::demo_online();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = || {
        let command = plumb.command(&format!("serve --http 127.0.0.1:{port} --grpc 127.0.0.1:0"));
        Server::start_logging(command, &plumb.path().join("serve.log"))
    };
    let body = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": [4] } }).to_string();
    let url = format!("http://127.0.0.1:{port}");
    for _ in 0..ROUNDS {
        let server = start();
        let (n_answered, is_back) = (AtomicUsize::new(0), AtomicBool::new(false));
        let client = || {
            // Those that were connected and got no answer; a port that nobody listens on is no request.
            let (mut n_broken, mut n_since) = (0, 0);
            while n_since < AFTER {
                let began_after = is_back.load(Ordering::SeqCst);
                match Server::try_post(&url, "/v1/features", &body) {
                    Ok((status, answer)) => {
                        assert_eq!(status, 200, "{answer}");
                        n_answered.fetch_add(1, Ordering::SeqCst);
                        n_since += usize::from(began_after);
                    }
                    Err(why) => {
                        assert!(!began_after, "it was started again, and failed: {why}");
                        let refused = matches!(&why, ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused)
                            || matches!(why, ureq::Error::ConnectionFailed);
                        n_broken += usize::from(!refused);
                    }
                }
            }
            n_broken
        };
        std::thread::scope(|threads| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| threads.spawn(client)).collect();
            while n_answered.load(Ordering::SeqCst) < 40 {
                std::thread::yield_now();
            }
            server.kill();
            let again = start();
            is_back.store(true, Ordering::SeqCst);
            for client in clients {
                let n_broken = client.join().unwrap();
                // The one in flight, and one that was connected while the process was on its way out: nobody took it.
                assert!(n_broken <= 2, "a client had one request in flight, and {n_broken} broke");
            }
            again.stop();
        });
    }
}

#[test]
fn an_interrupted_materialize_says_so_and_the_next_completes() {
    const ATTEMPTS: u32 = 8;
    let whole = Plumb::demo();
    whole.run("apply --yes").ok();
    let started = Instant::now();
    whole.run("materialize").ok();
    let (mut took, want) = (started.elapsed(), dump(&whole));
    for part in 1..6 {
        let is_interrupted = (0..ATTEMPTS).any(|attempt| {
            let plumb = Plumb::demo();
            plumb.run("apply --yes").ok();
            let mut child = plumb.command("materialize").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let started = Instant::now();
            while started.elapsed() < took * (2 * part + attempt) / 20 && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            let waited = started.elapsed();
            // By this process itself: another one that was started for it would come late on a busy machine.
            let had_ended = child.try_wait().unwrap().is_some();
            if !had_ended {
                rustix::process::kill_process(Pid::from_child(&child), Signal::INT).unwrap();
            }
            let status = child.wait().unwrap();
            // A shell calls a signal 130 too.
            let is_interrupted = status.code() == Some(130) || status.signal() == Some(2);
            assert!(is_interrupted || status.success(), "{status:?}");
            if had_ended {
                // The machine is quicker than it was. One that came too early, where signals are ignored, comes later next time.
                took = took.min(waited);
            }
            plumb.run("materialize").ok();
            assert!(dump(&plumb) == want, "interrupted after {waited:?} of {took:?}");
            is_interrupted
        });
        assert!(is_interrupted, "{ATTEMPTS} runs had ended after {part}/10 of {took:?}");
    }
}
