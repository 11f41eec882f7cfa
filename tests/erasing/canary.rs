//! A key and a value go through every path that rows take: ingested, quarantined, rejected, pushed by both protocols,
//! brought online, trained on in files and in answers, predicted with, explained, and refused to be promoted on. Then they
//! are erased, and looked for in every file and every key. What remains is named.

use featurestore::online::testing::TestRedis;
use serde_json::{Value as Json, json};

use super::search;
use crate::harness::{Plumb, Server};

const KEY: &str = "canary-key-90125";
const VALUE: &str = "canary-value-5150";
const BOTH: [&str; 2] = [KEY, VALUE];

/// Rows of a table, of its query and of texts; a service for a model of three numbers, and one with the value.
fn project(settings: &str) -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", settings);
    let columns = "columns: [{name: user, type: string}, {name: at, type: timestamp}, {name: n, type: int64}, \
                   {name: note, type: string}]";
    let definitions = "{kind: entity, name: user, join_key: user, type: string}\n---\n\
         {kind: source, name: rows, path: tables/rows, format: delta, event_time: at, COLUMNS}\n---\n\
         {kind: source, name: texts, path: texts, format: csv, event_time: at, bad_rows: reject, COLUMNS}\n---\n\
         {kind: feature_view, name: plain, entity: user, source: rows, \
          features: [{name: n, type: int64}, {name: note, type: string}]}\n---\n\
         {kind: feature_view, name: summed, entity: user, source: rows, event_time: at, \
          sql: 'SELECT \"user\", at, n + 1 AS more FROM rows', features: [{name: more, type: int64}]}\n---\n\
         {kind: feature_view, name: said, entity: user, source: texts, \
          features: [{name: n, type: int64}, {name: note, type: string}]}\n---\n\
         {kind: feature_service, name: scored, features: [plain:n, summed:more, {feature: said:n, as: said_n}], \
          fill: {n: 0, more: 0, said_n: 0}}\n---\n\
         {kind: feature_service, name: told, features: [plain:n, plain:note, summed:more, \
          {feature: said:note, as: said_note}]}\n";
    plumb.write("features.yaml", &definitions.replace("COLUMNS", columns));
    plumb
}

fn csv(rows: &[(&str, &str, &str)]) -> String {
    let note = |user: &str| if user == KEY { VALUE } else { "nothing" };
    let row = |(user, at, n): &(&str, &str, &str)| format!("{user},{at},{n},{}\n", note(user));
    format!("user,at,n,note\n{}", rows.iter().map(row).collect::<String>())
}

/// Into the table, its quarantine, the texts and their reasons, and online.
fn arrived(plumb: &Plumb) {
    let day = "2024-01-01";
    plumb.write("a.csv", &csv(&[(KEY, day, "1"), ("somebody", day, "2"), (KEY, "never", "3")]));
    plumb.write("texts/a.csv", &csv(&[(KEY, day, "4"), ("somebody", day, "5"), (KEY, day, VALUE)]));
    let done = plumb.json(&format!("ingest rows {}", plumb.path().join("a.csv").display()));
    assert_eq!((&done["rows"], &done["quarantined"]), (&json!(2), &json!(1)), "{done}");
    // The caller's own file.
    std::fs::remove_file(plumb.path().join("a.csv")).unwrap();
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb.run(&format!("model register m {} --service scored", plumb.model("test/linear.onnx").display())).ok();
    // History goes on without the store, and a promotion is refused on what differs.
    plumb.write("b.csv", &csv(&[(KEY, "2024-02-01", "6"), ("somebody", "2024-02-01", "7")]));
    plumb.run(&format!("ingest rows {}", plumb.path().join("b.csv").display())).ok();
    std::fs::remove_file(plumb.path().join("b.csv")).unwrap();
    let refused = plumb.run("model promote m 1 --output json");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stdout.contains(KEY), "whoever promotes is shown the rows: {refused:?}");
    plumb.run("materialize").ok();
    plumb.run("model promote m 1").ok();
}

/// Through a server: what it answered, and the token of it.
fn served(plumb: &Plumb, server: &Server) -> String {
    let at = "2024-03-01T00:00:00Z";
    let rows = json!({ "user": [KEY], "event_time": [at], "n": [8], "note": [VALUE] });
    let (code, answer) = server.post("/v1/views/plain/push", &json!({ "rows": rows, "push_id": "once" }).to_string());
    assert_eq!(code, 200, "{answer}");
    let frame = json!({ "user": [KEY], "at": ["2024-03-02T00:00:00Z"], "n": [9], "note": [VALUE] });
    let write = json!({ "feature_view_name": "said", "df": frame });
    let (code, answer) = server.post("/write-to-online-store", &write.to_string());
    assert_eq!(code, 200, "{answer}");
    let (code, answer) = server.post("/v1/models/m/predict", &json!({ "entities": { "user": [KEY] } }).to_string());
    assert_eq!((code, &answer["features"]["n"]["values"]), (200, &json!([8])), "{answer}");
    let order = json!({ "service": "told", "spine": [{ "user": KEY, "event_time": "2024-04-01T00:00:00Z" }] });
    let answer = answered(server, &order);
    let holds = |word: &str| answer.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(holds(KEY) && holds(VALUE), "the answer is the training set");
    let (_, got) =
        server.post("/v1/features", &json!({ "service": "told", "entities": { "user": [KEY] } }).to_string());
    assert_eq!(got["features"]["note"]["values"], json!([VALUE]), "{got}");
    for end in ["parquet", "arrow"] {
        plumb.write("spine.csv", &format!("user,event_time\n{KEY},2024-04-01T00:00:00Z\n"));
        let (spine, out) = (plumb.path().join("spine.csv"), plumb.path().join(format!("train.{end}")));
        plumb
            .run(&format!("training-set build --service told --spine {} --out {}", spine.display(), out.display()))
            .ok();
        std::fs::remove_file(&spine).unwrap();
    }
    let explained = plumb.run(&format!("features explain plain --entity user={KEY}")).ok();
    assert!(explained.stdout.contains("/pushes/"), "{explained:?}");
    got["replay_token"].as_str().unwrap().to_owned()
}

fn answered(server: &Server, order: &Json) -> Vec<u8> {
    let asked = ureq::post(format!("{}/v1/training-sets", server.url)).content_type("application/json");
    let mut response = asked.send(order.to_string()).unwrap();
    response.body_mut().read_to_vec().unwrap()
}

fn places<'j>(erased: &'j Json, kind: &str) -> Vec<&'j Json> {
    let places = erased["erased"][0]["places"].as_array().unwrap();
    places.iter().filter(|place| place["kind"] == kind).collect()
}

/// Everything but what stays by design, which is named.
fn is_gone(plumb: &Plumb, done: &Json, token: &str) {
    for kind in ["pushes", "table", "cache", "predictions", "online", "source"] {
        let of = places(done, kind);
        assert!(of.iter().any(|place| place["found"].as_u64() > Some(0)), "nothing was found in {kind}: {done}");
        assert!(of.iter().all(|place| place["left"] == 0), "{kind}: {done}");
    }
    assert!(places(done, "registry").is_empty(), "the log has rows: {done}");
    let sets = places(done, "training_set");
    let names: Vec<&str> = sets.iter().map(|place| place["name"].as_str().unwrap()).collect();
    assert_eq!(&names[..2], ["train.arrow", "train.parquet"], "{done}");
    assert!(names[2].starts_with("answered over http: ") && names.len() == 3, "{names:?}");
    assert_eq!(done["never_searched"].as_array().unwrap().len(), 3);
    assert!(BOTH.iter().all(|word| !done.to_string().contains(word)), "the answer names nobody: {done}");
    // The files that were named are the only ones.
    let sets = ["train.arrow", "train.arrow.report.json", "train.parquet", "train.parquet.report.json"];
    assert_eq!(search::files(plumb.path(), &BOTH), sets, "{done}");
    let replayed = plumb.run(&format!("replay {token}"));
    assert!(replayed.code != 0 && !format!("{replayed:?}").contains(VALUE), "{replayed:?}");
}

fn erase(plumb: &Plumb, flags: &str) -> (i32, Json) {
    let answer = plumb.run(&format!("erase --entity user={KEY} --output json {flags}"));
    (answer.code, answer.json())
}

#[test]
fn a_canary_that_went_every_way_is_gone_from_the_folder() {
    let plumb = project("project: canary\n");
    arrived(&plumb);
    let server = plumb.serve();
    let token = served(&plumb, &server);
    server.stop();
    plumb.run("materialize").ok();
    let before = search::files(plumb.path(), &[KEY]);
    for part in
        ["pushes.db", "quarantine/", "predictions/", "online/", "part-", "texts/a.csv", "offline/sources/texts/"]
    {
        assert!(before.iter().any(|file| file.contains(part)), "it never came to {part}: {before:?}");
    }
    let values = search::files(plumb.path(), &[VALUE]);
    assert!(values.iter().any(|file| file.ends_with(".rejected.jsonl")), "{values:?}");
    assert!(before.iter().all(|file| !file.contains("registry")), "the log of the registry has it: {before:?}");
    let (code, done) = erase(&plumb, "--yes --rewrite-sources");
    assert_eq!((code, &done["complete"]), (0, &json!(true)), "{done}");
    is_gone(&plumb, &done, &token);
}

/// The server goes on beside the erasure, and holds nothing back in memory.
#[test]
fn a_canary_that_went_every_way_is_gone_from_redis_and_a_running_server() {
    // Of its own, so that all of it is searched.
    let redis = TestRedis::spawn();
    let online = format!("online: {{kind: redis, url: \"{}\", timeout: 10s}}", redis.url());
    let plumb = project(&format!("project: {}\n{online}\n", redis.project()));
    arrived(&plumb);
    let server = plumb.serve();
    let token = served(&plumb, &server);
    server.stop();
    let server = plumb.serve();
    let ask =
        || server.post("/v1/features", &json!({ "service": "told", "entities": { "user": [KEY] } }).to_string()).1;
    assert_eq!(ask()["features"]["note"]["values"], json!([VALUE]));
    assert_ne!(search::redis(&redis, &[KEY]), "", "the search finds what is there");
    let (code, done) = erase(&plumb, "--yes --rewrite-sources");
    assert_eq!((code, &done["complete"]), (0, &json!(true)), "{done}");
    assert_eq!(search::redis(&redis, &[KEY]), "");
    let answer = ask();
    assert_eq!(answer["features"]["note"]["statuses"], json!(["NOT_FOUND"]), "{answer}");
    let (code, answer) = server.post("/v1/models/m/predict", &json!({ "entities": { "user": [KEY] } }).to_string());
    assert_eq!(code, 200, "{answer}");
    let order = json!({ "service": "told", "spine": [{ "user": KEY, "event_time": "2024-04-01T00:00:00Z" }] });
    let holds = answered(&server, &order).windows(VALUE.len()).any(|window| window == VALUE.as_bytes());
    assert!(!holds, "a training set has the row of one who was erased");
    let push = json!({ "rows": { "user": [KEY], "event_time": ["2024-05-01T00:00:00Z"], "n": [1], "note": [VALUE] } });
    assert_eq!(server.post("/v1/views/plain/push", &push.to_string()).0, 409);
    // What it had in its queues is written down now.
    server.stop();
    is_gone(&plumb, &done, &token);
}
