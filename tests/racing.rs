//! Goal: of two clients of MLflow that want a model otherwise at once, one gets what it asked for and the other is told, and
//! no stage ever has two holders. Method: pairs of requests to a server whose gate has something to check, so that one changes
//! the model while the other is checked, with the registry in a file and in PostgreSQL.

use std::sync::Barrier;

use registry::testing::TestPostgres;
use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};
use crate::registry_log::{in_postgres, registered};

const API: &str = "/api/2.0/mlflow";
/// Pairs of one kind on one store.
const PAIRS: usize = 25;

/// A server of a project with two versions that can be served, the registry in a file, and one of a project with the
/// registry in PostgreSQL.
fn both_stores() -> [(Plumb, Option<TestPostgres>); 2] {
    let (in_file, moved, postgres) = (registered(), registered(), TestPostgres::start());
    let file = moved.path().join("log.jsonl").display().to_string();
    moved.run(&format!("registry export {file}")).ok();
    moved.run(&format!("registry import {file} --registry {}", postgres.url())).ok();
    in_postgres(&moved, &postgres.url());
    [(in_file, None), (moved, Some(postgres))]
}

/// Status and body of a POST, or of a DELETE, which has a body too.
fn ask(server: &Server, method: &str, route: &str, body: &Json) -> (u16, Json) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let (at, body) = (format!("{}{API}/{route}", server.url), body.to_string());
    let request = match method {
        "DELETE" => agent.delete(at).force_send_body(),
        _ => agent.post(at),
    };
    let mut response = request.content_type("application/json").send(body).unwrap();
    (response.status().as_u16(), response.body_mut().read_json().unwrap())
}

fn done(server: &Server, method: &str, route: &str, body: &Json) -> Json {
    let (status, answer) = ask(server, method, route, body);
    assert_eq!(status, 200, "{method} {route} {body}: {answer}");
    answer
}

fn to_production(version: &str) -> (&'static str, &'static str, Json) {
    let body = json!({ "name": "m", "version": version, "stage": "Production", "archive_existing_versions": true });
    ("POST", "model-versions/transition-stage", body)
}

/// Both at once.
fn race(server: &Server, requests: &[(&str, &str, Json); 2]) -> [(u16, Json); 2] {
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        let [one, other] = requests.each_ref().map(|(method, route, body)| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                ask(server, method, route, body)
            })
        });
        [one.join().unwrap(), other.join().unwrap()]
    })
}

/// The numbers of the versions in Production.
fn holders(server: &Server) -> Vec<String> {
    let (status, text) = server.get(&format!("{API}/model-versions/search"));
    assert_eq!(status, 200, "{text}");
    let found: Json = serde_json::from_str(&text).unwrap();
    let held = found["model_versions"].as_array().unwrap().iter().filter(|it| it["current_stage"] == "Production");
    held.map(|it| it["version"].as_str().unwrap().to_owned()).collect()
}

/// That who was refused was told why, and is no reason to try again.
fn is_told(answer: &(u16, Json)) {
    assert_eq!((answer.0, &answer.1["error_code"]), (409, &json!("RESOURCE_CONFLICT")), "{answer:?}");
    assert!(answer.1["message"].as_str().unwrap().contains("model `m` changed while it was checked"), "{answer:?}");
}

#[test]
fn of_two_transitions_at_once_one_is_done_and_the_other_is_told() {
    for (plumb, postgres) in both_stores() {
        let server = plumb.serve();
        let mut told = 0;
        for pair in 0..PAIRS {
            let both = race(&server, &[to_production("1"), to_production("2")]);
            let refused: Vec<&(u16, Json)> = both.iter().filter(|answer| answer.0 != 200).collect();
            assert!(refused.len() < 2, "one is done: {both:?}");
            refused.iter().for_each(|answer| is_told(answer));
            told += refused.len();
            let held = holders(&server);
            assert_eq!(held.len(), 1, "pair {pair}: {both:?}");
            if let Some(winner) = both.iter().find(|answer| answer.0 == 200).filter(|_| refused.len() == 1) {
                assert_eq!(winner.1["model_version"]["version"], held[0].as_str(), "pair {pair}");
            }
            let aside = json!({ "name": "m", "version": held[0], "stage": "Archived" });
            done(&server, "POST", "model-versions/transition-stage", &aside);
        }
        assert!(told > 0, "{PAIRS} pairs never met, in {}", store(postgres.as_ref()));
        server.stop();
        plumb.run("registry verify").ok();
    }
}

#[test]
fn a_transition_and_the_deletion_of_who_held_the_stage_leave_one_holder_or_none() {
    for (plumb, postgres) in both_stores() {
        let server = plumb.serve();
        let mut told = 0;
        for pair in 0..PAIRS {
            // A third version holds the stage, and goes.
            let copy = json!({ "name": "m", "source": "models:/m/1" });
            let made = done(&server, "POST", "model-versions/create", &copy);
            let third = made["model_version"]["version"].as_str().unwrap().to_owned();
            let (method, route, body) = to_production(&third);
            done(&server, method, route, &body);
            let gone = ("DELETE", "model-versions/delete", json!({ "name": "m", "version": third }));
            let [moved, deleted] = race(&server, &[to_production("2"), gone]);
            assert_eq!(deleted.0, 200, "a deletion that leaves nobody the stage needs no check: {deleted:?}");
            let held = holders(&server);
            if moved.0 == 200 {
                assert_eq!(held, ["2"], "pair {pair}");
                let aside = json!({ "name": "m", "version": "2", "stage": "Archived" });
                done(&server, "POST", "model-versions/transition-stage", &aside);
            } else {
                is_told(&moved);
                told += 1;
                assert!(held.is_empty(), "pair {pair}: {held:?}");
            }
            let (status, said) = ask(&server, "POST", "model-versions/transition-stage", &to_production(&third).2);
            assert_eq!(status, 404, "what was deleted holds nothing: {said}");
        }
        assert!(told > 0, "{PAIRS} pairs never met, in {}", store(postgres.as_ref()));
        server.stop();
        plumb.run("registry verify").ok();
    }
}

fn store(postgres: Option<&TestPostgres>) -> &'static str {
    if postgres.is_some() { "PostgreSQL" } else { "a file" }
}
