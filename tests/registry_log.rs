//! The registry's log as its users meet it: any change of it is found, the past can be looked at, it moves between SQLite and
//! PostgreSQL byte for byte, runs are where it is, and of two that promote at once one wins and the other is told.

use std::process::Stdio;

use registry::testing::{PASSWORD, TestPostgres};
use serde_json::Value as Json;

use crate::harness::{Answer, Plumb};

/// The demo applied, with two versions of a model, the first in Staging: four events.
pub(crate) fn registered() -> Plumb {
    let plumb = Plumb::demo_online();
    for file in ["repeat_purchase_v1.onnx", "repeat_purchase_v2.onnx"] {
        plumb.run(&format!("model register m {}", plumb.model(file).display())).ok();
    }
    plumb.run("model promote m 1 --to staging").ok();
    plumb
}

/// The exported log, a line each, without the header.
fn events(plumb: &Plumb) -> Vec<String> {
    let text = plumb.run("registry export -").ok().stdout;
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Runs statements on the SQLite file through another program, as somebody who edits it would.
fn edit(plumb: &Plumb, python: &str) {
    let script = format!("import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n{python}\ndb.commit()\n");
    let path = plumb.path().join(".plumb/registry.db");
    let done = std::process::Command::new("python3").args(["-c", &script]).arg(path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn whatever_is_changed_in_the_log_is_found_and_the_last_good_event_is_named() {
    let plumb = registered();
    let n = events(&plumb).len();
    assert_eq!(n, 4);
    let sound = plumb.json("registry verify");
    assert_eq!((&sound["whole"], &sound["events"], &sound["files"]), (&true.into(), &4.into(), &2.into()), "{sound}");
    let head = sound["head"].as_str().unwrap();
    plumb.run(&format!("registry verify --head {head}")).ok();
    let path = plumb.path().join(".plumb/registry.db");
    // The log is moved into the file itself first, so that a copy is all of it.
    edit(&plumb, "db.execute('pragma wal_checkpoint(truncate)')");
    let kept = std::fs::read(&path).unwrap();
    // What is done, and the event where it shows.
    let edits = [
        ("db.execute(\"update events set json = replace(json, 'actor', 'actox') where seq = 2\")", 2),
        ("db.execute(\"update events set json = json || ' ' where seq = 3\")", 3),
        ("db.execute('delete from events where seq = 3')", 3),
        ("db.execute('delete from events where seq = 1')", 1),
        (
            "a, b = [db.execute('select json from events where seq = ?', (n,)).fetchone()[0] for n in (2, 3)]
for n, text in ((2, b), (3, a)): db.execute('update events set json = ? where seq = ?', (text, n))",
            2,
        ),
        ("db.execute(\"update events set json = substr(json, 1, length(json) / 2) where seq = 4\")", 4),
    ];
    for (python, shows) in edits {
        edit(&plumb, python);
        let answer = plumb.run("registry verify --output json");
        assert_eq!(answer.code, 1, "{python}: {answer:?}");
        let said = answer.json();
        assert_eq!(said["fault"]["event"], shows, "{python}: {said}");
        assert_eq!(said["events"], shows - 1, "{python}");
        let until = shows - 1;
        assert!(said["fault"]["hint"].as_str().unwrap().contains(&format!("--until {until}")), "{said}");
        // Nothing else starts, and says why.
        plumb.run("model list").fails(3, &[&format!("event {shows}"), "of the registry's log", "registry export"]);
        plumb.run("registry log").ok();
        // The good ones can be taken, and a registry of them works.
        plumb
            .run(
                &format!("registry export good.jsonl --until {until}")
                    .replace("good", plumb.path().join("good").to_str().unwrap()),
            )
            .ok();
        let good = plumb.path().join("good.jsonl");
        // The damaged one is not mended by them.
        plumb
            .run(&format!("registry import {}", good.display()))
            .fails(3, &[&format!("event {shows}"), "--registry NEW.db"]);
        let rescued = plumb.path().join(format!("rescued{shows}.db"));
        drop(std::fs::remove_file(&rescued));
        let to = format!("--registry {}", rescued.display());
        plumb.run(&format!("registry import {} {to}", good.display())).ok();
        assert_eq!(plumb.json(&format!("registry verify {to}"))["events"], until);
        plumb.run(&format!("model list {to}")).ok();
        for beside in ["registry.db-wal", "registry.db-shm"] {
            drop(std::fs::remove_file(path.with_file_name(beside)));
        }
        std::fs::write(&path, &kept).unwrap();
    }
    // Without its last event the log is one of an earlier time: only who knows a later hash can tell.
    edit(&plumb, "db.execute('delete from events where seq = 4')");
    plumb.run("registry verify").ok();
    let answer = plumb.run(&format!("registry verify --head {head}"));
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.stdout.contains("cut off"), "{answer:?}");
}

#[test]
fn any_byte_of_any_event_that_is_changed_is_found() {
    let plumb = registered();
    // Of each event some bytes all over it, the first and the last among them.
    let file = plumb.path().join("log.jsonl");
    plumb.run(&format!("registry export {}", file.display())).ok();
    let text = std::fs::read(&file).unwrap();
    let first = text.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let step = (text.len() - first) / 40;
    let fresh = plumb.path().join("fresh.db");
    for at in (first..text.len()).step_by(step).chain([first, text.len() - 2]) {
        let mut changed = text.clone();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        std::fs::write(&file, &changed).unwrap();
        let answer = plumb.run(&format!("registry import {} --registry {}", file.display(), fresh.display()));
        answer.fails(2, &["log.jsonl"]);
        assert!(!fresh.exists(), "nothing of it was imported");
    }
}

#[test]
fn what_held_before_is_shown_as_it_was() {
    let plumb = registered();
    let log = plumb.json("registry log");
    let at = |i: usize| log["events"][i]["at"].as_str().unwrap().to_owned();
    let stages = |time: &str| -> Vec<String> {
        let then = plumb.json(&format!("registry at {time}"));
        let versions = then["versions"].as_array().unwrap();
        versions.iter().map(|v| format!("{} {}", v["version"], v["stage"].as_str().unwrap())).collect()
    };
    assert_eq!(stages(&at(0)), Vec::<String>::new());
    assert_eq!(stages(&at(1)), ["1 None"]);
    assert_eq!(stages(&at(2)), ["1 None", "2 None"]);
    assert_eq!(stages(&at(3)), ["1 Staging", "2 None"]);
    let said = plumb.run("registry at 1999-01-01T00:00").ok().stdout;
    assert!(said.contains("1999-01-01T00:00:00Z the registry had no event yet"), "{said}");
    let said = plumb.run("registry at 2200-01-01").ok().stdout;
    assert!(said.contains("repeat_purchase_v1") && said.contains("Staging"), "{said}");
    plumb.run("registry at yesterday").fails(2, &["`yesterday` is not a time"]);
    assert_eq!(plumb.json("registry log --model m")["events"].as_array().unwrap().len(), 3);
    assert_eq!(plumb.json("registry log --after 1 --limit 2")["events"][0]["seq"], 2);
    plumb.run("registry log --model n").fails(2, &["no event is of a model `n`"]);
}

#[test]
fn the_log_of_a_model_has_what_happened_under_its_other_names() {
    let plumb = registered();
    plumb.run("model rename m n").ok();
    plumb.run("model tag n team=risk").ok();
    let seqs = |line: &str| -> Vec<u64> {
        plumb.json(line)["events"].as_array().unwrap().iter().filter_map(|event| event["seq"].as_u64()).collect()
    };
    assert_eq!(seqs("registry log --model n"), [2, 3, 4, 5, 6]);
    assert_eq!(seqs("registry log --model n --after 3 --limit 2"), [4, 5]);
    // Nobody has this name now: what names it is found.
    assert_eq!(seqs("registry log --model m"), [2, 3, 4, 5]);
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    assert_eq!(seqs("registry log --model m"), [7]);
    plumb.run("model delete n").ok();
    assert_eq!(seqs("registry log --model n"), [6, 8]);
}

#[test]
fn events_that_are_missing_are_marked_in_the_log() {
    let plumb = registered();
    edit(&plumb, "db.execute('delete from events where seq = 3')");
    let log = plumb.run("registry log").ok().stdout;
    assert!(log.contains("DAMAGED: event 3 of the registry's log is missing: the next one there is 4"), "{log}");
    let log = plumb.json("registry log");
    let seqs: Vec<&Json> = log["events"].as_array().unwrap().iter().map(|event| &event["seq"]).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    let page = plumb.json("registry log --after 1 --limit 2");
    assert_eq!((&page["events"][1]["until"], &page["more"]), (&3.into(), &true.into()), "{page}");
    assert_eq!(plumb.json("registry log --after 3")["events"].as_array().unwrap().len(), 1);
    edit(&plumb, "db.execute('delete from events where seq < 3')");
    let log = plumb.json("registry log");
    assert_eq!((&log["events"][0]["seq"], &log["events"][0]["until"]), (&1.into(), &3.into()), "{log}");
}

#[test]
fn a_file_that_is_no_whole_log_is_the_callers_mistake_and_makes_no_registry() {
    let plumb = registered();
    let path = |name: &str| plumb.path().join(name).display().to_string();
    plumb.run(&format!("registry export {}", path("log.jsonl"))).ok();
    let damaged = plumb.read("log.jsonl").replacen("repeat_purchase_v1", "repeat_purchase_v9", 1);
    plumb.write("damaged.jsonl", &damaged);
    for (file, says) in [("damaged.jsonl", "was damaged or edited"), ("nofile", "reading `"), (".plumb", "reading `")] {
        let refused = plumb.run(&format!("registry import {} --registry {}", path(file), path("new.db")));
        refused.fails(2, &["error[invalid_input]", file, says]);
        assert!(!plumb.path().join("new.db").exists(), "{file}");
    }
    plumb.run("registry export /nonexistent/x").fails(2, &["error[invalid_input]", "/nonexistent/x"]);
    plumb.run(&format!("registry export {}", path(".plumb"))).fails(2, &["error[invalid_input]"]);
    plumb.run(&format!("registry import {} --registry {}", path("log.jsonl"), path("new.db"))).ok();
}

#[test]
fn a_log_moves_to_postgresql_and_back_byte_for_byte() {
    let server = TestPostgres::start();
    let plumb = registered();
    let [one, two] = ["one.jsonl", "two.jsonl"].map(|name| plumb.path().join(name));
    plumb.run(&format!("registry export {}", one.display())).ok();
    let there = format!("--registry {}", server.url());
    plumb.run(&format!("registry verify {there}")).fails(2, &["there is no registry"]);
    let done = plumb.json(&format!("registry import {} {there}", one.display()));
    assert_eq!((&done["written"], &done["skipped"]), (&4.into(), &0.into()));
    plumb.run(&format!("registry export {} {there}", two.display())).ok();
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    // The product works on from there.
    plumb.run(&format!("model promote m 2 --to production {there}")).ok();
    let report = plumb.json(&format!("registry verify {there}"));
    assert_eq!((&report["whole"], &report["events"]), (&true.into(), &5.into()), "{report}");
    plumb.run(&format!("registry import {} {there}", one.display())).ok();
    // The old one went its own way meanwhile: neither is imported over the other.
    plumb.run("model promote m 1 --to production").ok();
    plumb.run(&format!("registry export {}", two.display())).ok();
    plumb.run(&format!("registry import {} {there}", two.display())).fails(4, &["has another history", "event 5"]);
}

#[test]
fn a_project_lives_in_postgresql_and_never_says_its_password() {
    let server = TestPostgres::start();
    let plumb = Plumb::demo();
    in_postgres(&plumb, "${REGISTRY_URL}");
    let run = |line: &str, url: &str| -> Answer {
        let answer: Answer = plumb.command(line).env("REGISTRY_URL", url).output().unwrap().into();
        assert!(!format!("{answer:?}").contains(PASSWORD), "{answer:?}");
        answer
    };
    let url = server.url();
    run("apply --yes", &url).ok();
    run("materialize", &url).ok();
    run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display()), &url).ok();
    run("model promote m 1", &url).ok();
    assert!(!plumb.path().join(".plumb/registry.db").exists());
    let doctor = run("doctor --output json", &url).json();
    let checks = doctor["findings"].as_array().or(doctor["checks"].as_array()).unwrap().clone();
    let registry = checks.iter().find(|check| check["check"] == "registry").unwrap();
    assert_eq!(registry["level"], "ok", "{registry}");
    assert!(registry.to_string().contains("postgres://plumb@127.0.0.1"), "{registry}");
    run("model list", &url.replace(PASSWORD, "wr0ng")).fails(3, &["registry_auth", "password authentication failed"]);
    run("model list", "postgres://ann:wr0ng@127.0.0.1:1/shop")
        .fails(6, &["postgres://ann@127.0.0.1:1/shop", "refused"]);
    run("model list", "postgres://ann:wr0ng@127.0.0.1").fails(2, &["plumb.yaml", "names no database"]);
}

/// The registry's setting replaced by one in PostgreSQL.
pub(crate) fn in_postgres(plumb: &Plumb, url: &str) {
    let text = plumb.read("plumb.yaml");
    let kept: String =
        text.lines().filter(|line| !line.starts_with("registry:")).map(|line| format!("{line}\n")).collect();
    plumb.write("plumb.yaml", &format!("{kept}registry: {{kind: postgres, url: \"{url}\"}}\n"));
}

#[test]
fn runs_are_tracked_where_the_registry_is_by_servers_of_several_machines_at_once() {
    const MLFLOW: &str = "/api/2.0/mlflow";
    const EACH: usize = 40;
    let server = TestPostgres::start();
    // Two folders, as on two machines: they have nothing in common but the database.
    let [one, two] = [Plumb::demo(), Plumb::demo()];
    for plumb in [&one, &two] {
        in_postgres(plumb, &server.url());
    }
    let findings = |plumb: &Plumb| -> Vec<String> {
        let said = plumb.run("doctor --output json").json();
        let all = said["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == "runs");
        all.map(|f| format!("{} {}", f["level"].as_str().unwrap(), f["says"].as_str().unwrap())).collect()
    };
    one.run("apply --yes").ok();
    assert_eq!(findings(&one), Vec::<String>::new(), "to look makes nothing");
    let servers = [one.serve(), two.serve()];
    let made = servers[0].post(&format!("{MLFLOW}/runs/create"), r#"{"experiment_id": "0", "start_time": 1}"#);
    let id = made.1["run"]["info"]["run_id"].as_str().unwrap_or_else(|| panic!("{made:?}")).to_owned();
    std::thread::scope(|scope| {
        for (n, server) in servers.iter().enumerate() {
            let id = &id;
            scope.spawn(move || {
                for step in 0..EACH {
                    let log = serde_json::json!({
                        "run_id": id,
                        "metrics": [{"key": "m", "value": 0.5, "timestamp": n, "step": step}],
                        "params": [{"key": format!("p{n}.{}", step % 20), "value": "1"}, {"key": "shared", "value": "x"}],
                        "tags": [{"key": "shared", "value": format!("{n}.{step}\0")}],
                    });
                    let said = server.post(&format!("{MLFLOW}/runs/log-batch"), &log.to_string());
                    assert_eq!(said.0, 200, "{said:?}");
                }
            });
        }
    });
    let [said, other] = [&servers[0], &servers[1]].map(|server| {
        let (status, text) = server.get(&format!("{MLFLOW}/runs/get?run_id={id}"));
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Json>(&text).unwrap()
    });
    assert_eq!(said, other);
    assert_eq!(said["run"]["data"]["params"].as_array().unwrap().len(), 41);
    let tags = said["run"]["data"]["tags"].as_array().unwrap();
    let last = tags.iter().find(|tag| tag["key"] == "shared").unwrap()["value"].as_str().unwrap();
    assert!(["0.39\0", "1.39\0"].contains(&last), "{last:?}");
    let (_, text) = servers[1].get(&format!("{MLFLOW}/metrics/get-history?run_id={id}&metric_key=m"));
    let history: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(history["metrics"].as_array().unwrap().len(), 2 * EACH);
    for server in servers {
        server.stop();
    }
    for plumb in [&one, &two] {
        assert!(!plumb.path().join(".plumb/tracking.db").exists(), "nothing is beside the database");
    }
    assert_eq!(findings(&one), ["ok 1 can be read"]);
    // Whoever comes from SQLite is told of the runs that stay behind.
    one.write(".plumb/tracking.db", "");
    assert_eq!(
        findings(&one)[1..],
        ["warning it has the runs of a time when the registry was a file, and nobody reads them"]
    );
    server.sql(&format!("UPDATE {}.meta SET value = '9' WHERE key = 'format of runs'", server.schema()));
    let said = findings(&one).remove(0);
    assert!(said.starts_with("failed") && said.contains("has format `9` of runs"), "{said}");
    two.run("serve --http 127.0.0.1:0").fails(2, &["has format `9` of runs"]);
}

#[test]
fn a_server_whose_role_may_only_read_serves_and_refuses_what_is_to_be_tracked() {
    let server = TestPostgres::start();
    let plumb = Plumb::demo();
    in_postgres(&plumb, &server.url());
    plumb.run("apply --yes").ok();
    let (schema, reader) = (server.schema(), format!("{}_reader", server.schema()));
    server.sql(&format!(
        "CREATE ROLE {reader} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA {schema} TO {reader};
         GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}"
    ));
    in_postgres(&plumb, &server.url().replace(&format!("plumb:{PASSWORD}"), &format!("{reader}:x")));
    let serving = plumb.serve();
    let create = || serving.post("/api/2.0/mlflow/runs/create", r#"{"experiment_id": "0", "start_time": 1}"#);
    let (status, said) = create();
    assert!(status >= 500 && said["message"].as_str().unwrap().contains("refuses"), "{status} {said}");
    // With the right it works at once.
    server.sql(&format!("GRANT plumb TO {reader}"));
    assert_eq!(create().0, 200, "{:?}", create());
    serving.stop();
}

#[test]
fn of_two_that_promote_at_once_one_wins_and_the_other_is_told() {
    const ROUNDS: usize = 20;
    let server = TestPostgres::start();
    let plumb = registered();
    let file = plumb.path().join("log.jsonl");
    plumb.run(&format!("registry export {}", file.display())).ok();
    let postgres = format!(" --registry {}", server.url());
    plumb.run(&format!("registry import {}{postgres}", file.display())).ok();
    for place in ["", postgres.as_str()] {
        let start = |version: usize| {
            let line = format!("model promote m {version} --to production{place}");
            plumb.command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let collided = (0..ROUNDS).any(|_| {
            let both: [Answer; 2] =
                [start(1), start(2)].map(|child| child.wait_with_output().unwrap()).map(Answer::from);
            assert!(both.iter().any(|answer| answer.code == 0), "one wins: {both:?}");
            let told = both.iter().find(|answer| answer.code != 0);
            if let Some(told) = told {
                told.fails(4, &["model `m` changed while it was checked", "moved `m` version", "promote again"]);
            }
            told.is_some()
        });
        assert!(collided, "{ROUNDS} pairs never met");
        let list: Json = plumb.json(&format!("model list{place}"));
        let versions = list["versions"].as_array().unwrap();
        assert_eq!(versions.iter().filter(|v| v["stage"] == "Production").count(), 1, "{list}");
        plumb.run(&format!("registry verify{place}")).ok();
    }
}
