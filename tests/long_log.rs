//! A registry with a long log starts from a snapshot, and nothing depends on it: what is edited before it is found all the
//! same, a process killed while it writes one or a disk that has no room for it costs nothing but time.
//!
//! The log is made long through the registry itself, by writing tags on one model.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use registry::{Command, Registry, SqliteLog, snapshot};
use schema::{ModelName, Timestamp};
use serde_json::Value as Json;

use crate::harness::{Plumb, Server};

/// Events that are worth a snapshot.
pub(crate) const LONG: u64 = 4_096;

/// A registry with that many events, whose last ones set `n_texts` tags of 100,000 characters.
pub(crate) fn long(n_texts: u32) -> Plumb {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let log = SqliteLog::open(&plumb.path().join(".plumb/registry.db")).unwrap();
        let registry = Registry::open(Arc::new(log)).await.unwrap();
        let model = ModelName::new("m").unwrap();
        let made = Command::CreateModel { model: model.clone(), description: None, tags: [].into() };
        registry.execute(made, Timestamp::EPOCH, "ann").await.unwrap();
        for n in 0.. {
            let left = LONG - registry.catalog().seq().0;
            if left == 0 {
                break;
            }
            let (key, value) = match u32::try_from(left).unwrap() {
                left if left <= n_texts => (format!("text {left}"), "x".repeat(100_000)),
                _ => ("n".to_owned(), n.to_string()),
            };
            let tag = Command::Tag { model: model.clone(), version: None, key, value: Some(value) };
            registry.execute(tag, Timestamp::EPOCH, "ann").await.unwrap();
        }
    });
    plumb
}

fn snapshot_of(plumb: &Plumb) -> PathBuf {
    plumb.path().join(".plumb/registry.db.snapshot")
}

/// The event that a snapshot is of; `None` for one that is none.
fn as_of(path: &Path) -> Option<u64> {
    snapshot::read(&std::fs::read(path).ok()?).ok().map(|catalog| catalog.seq().0)
}

fn edit(plumb: &Plumb, sql: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute(sys.argv[2]); db.commit()";
    let path = plumb.path().join(".plumb/registry.db");
    let done = std::process::Command::new("python3").args(["-c", script]).arg(path).arg(sql).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// What `/readyz` says once the server has looked back over the log.
fn looked_back(server: &Server) -> Json {
    let until = Instant::now() + Duration::from_secs(60);
    while !server.get("/metrics").1.contains("\nplumb_registry_log_edited ") {
        assert!(Instant::now() < until, "it never says whether the log was edited");
        std::thread::yield_now();
    }
    serde_json::from_str(&server.get("/readyz").1).unwrap()
}

/// Status and body of a tag that is set.
fn set_tag(server: &Server, value: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let asked = agent.post(format!("{}/api/2.0/mlflow/registered-models/set-tag", server.url));
    let body = serde_json::json!({ "name": "m", "key": "k", "value": value }).to_string();
    let mut answer = asked.header("Content-Type", "application/json").send(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn what_was_edited_before_the_snapshot_is_found_while_the_server_answers_and_then_it_does_not_start_again() {
    let plumb = long(0);
    assert_eq!(as_of(&snapshot_of(&plumb)), Some(LONG));
    let server = plumb.serve();
    let ready = looked_back(&server);
    assert_eq!((&ready["ready"], ready.get("degraded")), (&true.into(), None), "{ready}");
    assert!(server.get("/metrics").1.contains("\nplumb_registry_log_edited 0\n"));
    let (status, answer) = set_tag(&server, "v");
    assert_eq!(status, 200, "{answer}");
    server.stop();

    edit(&plumb, "UPDATE events SET json = replace(json, '\"ann\"', '\"eve\"') WHERE seq = 7");
    // What trusts no snapshot says it at once.
    let said = plumb.run("registry verify --output json");
    assert_eq!((said.code, &said.json()["fault"]["event"]), (1, &7.into()), "{said:?}");
    let said = plumb.run("doctor");
    assert!(said.code != 0 && said.stdout.contains("event 7 of the registry's log was edited"), "{said:?}");
    // A server starts, and tells it.
    let log = plumb.path().join("serve.log");
    let server = Server::start_logging(plumb.command("serve --http 127.0.0.1:0"), &log);
    let ready = looked_back(&server);
    assert_eq!((&ready["ready"], &ready["degraded"][0]), (&true.into(), &"registry_log".into()), "{ready}");
    assert!(ready["because"][0].as_str().unwrap().contains("event 7 of the registry's log was edited"), "{ready}");
    assert!(server.get("/metrics").1.contains("\nplumb_registry_log_edited 1\n"));
    assert_eq!(server.get("/api/2.0/mlflow/registered-models/get?name=m").0, 200, "what is known is still answered");
    let (status, answer) = set_tag(&server, "w");
    assert_eq!(status, 500, "{answer}");
    server.stop();
    assert!(std::fs::read_to_string(log).unwrap().contains("event 7 of the registry's log was edited"));
    plumb.run("model list").fails(3, &["event 7 of the registry's log was edited", "--until 6"]);
}

#[test]
fn whoever_is_killed_while_it_writes_a_snapshot_leaves_a_registry_that_works() {
    const MOMENTS: u64 = 6;
    let plumb = long(100);
    let path = snapshot_of(&plumb);
    let part = plumb.path().join(".plumb/registry.db.snapshot.part");
    let size = path.metadata().unwrap().len();
    let want = plumb.json("model search");
    let mut n_killed = 0;
    for moment in 0..MOMENTS {
        // Without one, whoever opens the registry writes one.
        std::fs::remove_file(&path).unwrap();
        let mut child = plumb.command("model list").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let written = || part.metadata().map_or(0, |about| about.len());
        while written() * MOMENTS <= size * moment && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        n_killed += usize::from(!path.exists());
        assert!(!path.exists() || as_of(&path) == Some(LONG), "a snapshot is there whole, or not");
        assert_eq!(plumb.json("model search"), want);
        assert_eq!(as_of(&path), Some(LONG), "the next one wrote it");
        assert!(!part.exists(), "and left nothing beside it");
    }
    assert!(n_killed > 0, "every snapshot was there already: nothing was tested");
}
