//! Bad days of the online store: it is absent, dies, hangs, is full, or does not let us in. The server stays up, says what
//! is wrong, gives what it can, and is well again without a restart. And any answer can be computed again from history.

use std::time::{Duration, Instant};

use featurestore::online::testing::TestRedis;
use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};

/// Long enough for a busy machine.
const PATIENT: Duration = Duration::from_secs(60);

/// The demo on a Redis of its own, applied.
fn on_redis(redis: &TestRedis) -> Plumb {
    let plumb = Plumb::demo();
    let online = format!("online: {{kind: redis, url: \"{}\", timeout: 1s}}", redis.url());
    plumb.edit("plumb.yaml", "online: {kind: embedded, path: .plumb/online}", &online);
    plumb.run("apply --yes").ok();
    plumb
}

fn ask(server: &Server, more: Json) -> (u16, Json) {
    let mut body = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": [4] } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.post("/v1/features", &body.to_string())
}

fn status(answer: &Json) -> &str {
    answer["features"]["total_orders"]["statuses"][0].as_str().unwrap_or("none")
}

fn readyz(server: &Server) -> (u16, Json) {
    let (status, text) = server.get("/readyz");
    (status, serde_json::from_str(&text).unwrap())
}

/// Asks until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENT, "waited in vain until {what}");
    }
}

fn is_degraded(server: &Server) -> bool {
    readyz(server).1["degraded"] == json!(["online_store"])
}

/// Row 6, and recovery without a restart.
#[test]
fn a_server_starts_without_its_store_and_serves_when_it_comes() {
    let mut redis = TestRedis::spawn();
    let plumb = on_redis(&redis);
    redis.kill();
    let server = plumb.serve();
    let (ready, body) = readyz(&server);
    assert_eq!((ready, &body["degraded"]), (200, &json!(["online_store"])), "{body}");
    let (code, answer) = ask(&server, json!({}));
    assert_eq!((code, &answer["error"]["retryable"]), (503, &json!(true)), "{answer}");
    // What needs no online store works; a command that does says so.
    let out = plumb.path().join("t.parquet");
    plumb
        .run(&format!("training-set build --service repeat_purchase_v1 --spine spine.sql --out {}", out.display()))
        .ok();
    plumb.run("materialize").fails(6, &["opening the online store"]);
    redis.restart();
    plumb.run("materialize").ok();
    until("the server found the store", || ask(&server, json!({})).0 == 200);
    until("it says so", || !is_degraded(&server));
    server.stop();
}

/// Rows 7 and 46: a store that dies while the server answers.
#[test]
fn a_view_that_can_be_done_without_is_unknown_while_the_store_is_dead() {
    let mut redis = TestRedis::spawn();
    let plumb = on_redis(&redis);
    plumb.run("materialize").ok();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    let (code, well) = ask(&server, json!({}));
    assert_eq!((code, status(&well)), (200, "PRESENT"), "{well}");
    let (code, predicted) = server.predict("m", &[4]);
    assert_eq!(code, 200, "{predicted}");

    redis.kill();
    let (code, answer) = ask(&server, json!({}));
    assert_eq!((code, &answer["error"]["code"]), (503, &json!("unavailable")), "{answer}");
    // Who asks may do without.
    let (code, answer) = ask(&server, json!({ "partial": true }));
    assert_eq!((code, status(&answer)), (200, "UNAVAILABLE"), "{answer}");
    assert_eq!(answer["features"]["total_orders"]["values"], json!([null]));
    // Or the view says so: no new version, for its meaning is the same.
    plumb.edit("features/user_features.yaml", "entity: user\n", "entity: user\non_error: null\n");
    plumb.run("apply --yes").ok();
    until("the server knows", || ask(&server, json!({})).0 == 200);
    let (_, answer) = ask(&server, json!({}));
    assert_eq!((status(&answer), &answer["views"]["user_features"]["version"]), ("UNAVAILABLE", &json!(1)), "{answer}");
    let (code, answer) = ask(&server, json!({ "partial": false }));
    assert_eq!(code, 503, "{answer}");
    // A model sees what its service fills in, and its log that this was not known.
    until("the model knows", || server.predict("m", &[4]).0 == 200);
    let (_, filled) = server.predict("m", &[4]);
    assert_eq!(filled["features"]["total_orders"]["statuses"], json!(["UNAVAILABLE"]), "{filled}");
    assert_ne!(filled["outputs"], predicted["outputs"]);
    until("it says so", || is_degraded(&server));
    assert_eq!(readyz(&server).0, 200);

    redis.restart();
    // An empty store is no better than none, until it is filled again.
    plumb.run("materialize").ok();
    until("the store is found again", || status(&ask(&server, json!({})).1) == "PRESENT");
    let (_, again) = ask(&server, json!({}));
    assert_eq!(again["features"], well["features"]);
    server.stop();
}

/// Row 8: of two stores one hangs. Views of the other are answered as before, and who asks for both may do without the one.
#[test]
fn a_store_that_hangs_holds_up_no_view_of_another() {
    let (ours, feasts) = (TestRedis::spawn(), TestRedis::spawn());
    let plumb = Plumb::empty();
    plumb.write(
        "plumb.yaml",
        &format!(
            "project: two\nonline: {{kind: redis, url: \"{}\", timeout: 1s}}\n\
             feast: {{project: two, url: \"{}\", timeout: 1s}}\n",
            ours.url(),
            feasts.url()
        ),
    );
    plumb.write("rows.csv", "user_id,at,x\n4,2024-01-01,7\n");
    plumb.write(
        "features.yaml",
        "{kind: entity, name: user, join_key: user_id, type: int64}\n---\n\
         {kind: source, name: rows, path: rows.csv, event_time: at}\n---\n\
         {kind: feature_view, name: mine, entity: user, source: rows, features: [{name: x, type: int64}]}\n---\n\
         {kind: feature_view, name: theirs, entity: user, source: rows, features: [{name: x, type: int64}], \
          online: {kind: feast}}\n---\n\
         {kind: feature_service, name: both, features: ['mine:x', {feature: 'theirs:x', as: y}]}\n",
    );
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    let ask = |more: Json| {
        let mut body = json!({ "entities": { "user_id": [4] } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post("/v1/features", &body.to_string())
    };
    let mine = || ask(json!({ "features": ["mine:x"] }));
    let (code, answer) = ask(json!({ "service": "both" }));
    assert_eq!((code, &answer["features"]["y"]["statuses"]), (200, &json!(["NOT_FOUND"])), "{answer}");

    feasts.pause();
    for _ in 0..30 {
        // Beside those that wait for the other store.
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| ask(json!({ "service": "both" })));
            let (code, answer) = mine();
            assert_eq!((code, &answer["features"]["x"]["values"]), (200, &json!([7])), "{answer}");
            let (code, answer) = waiting.join().unwrap();
            assert!([503, 504].contains(&code), "{answer}");
            assert_eq!(answer["error"]["retryable"], json!(true), "{answer}");
        });
    }
    let (code, answer) = ask(json!({ "service": "both", "partial": true }));
    assert_eq!(code, 200, "{answer}");
    let statuses =
        ["x", "y"].map(|name| answer["features"][name]["statuses"][0].as_str().unwrap_or_default().to_owned());
    assert_eq!(statuses, ["PRESENT", "UNAVAILABLE"]);
    let (ready, body) = readyz(&server);
    assert_eq!((ready, &body["degraded"]), (200, &json!(["feast_redis"])), "{body}");
    // What is ours is written as well.
    plumb.write("rows.csv", "user_id,at,x\n4,2024-01-01,8\n");
    plumb.run("materialize").ok();
    until("the server sees what was written", || mine().1["features"]["x"]["values"] == json!([8]));

    feasts.resume();
    until("the other store is found again", || ask(json!({ "service": "both" })).0 == 200);
    until("it says so", || readyz(&server).1["degraded"].is_null());
    server.stop();
}

/// What says which generation of a view answers is damaged: it is an error that says what to do, for it vouches for rows that
/// would be built over, and building anew uses no number again.
#[test]
fn marks_that_are_damaged_are_no_reason_to_begin_anew_in_silence() {
    let plumb = Plumb::empty();
    let rows = |users: &[i64]| {
        let rows: String = users.iter().map(|user| format!("{user},2024-01-01,{user}\n")).collect();
        plumb.write("rows.csv", &format!("user_id,at,x\n{rows}"));
    };
    plumb.write("plumb.yaml", "project: marks\n");
    plumb.write(
        "features.yaml",
        "{kind: entity, name: user, join_key: user_id, type: int64}\n---\n\
         {kind: source, name: rows, path: rows.csv, event_time: at}\n---\n\
         {kind: feature_view, name: f, entity: user, source: rows, features: [{name: x, type: int64}]}\n---\n\
         {kind: feature_view, name: g, entity: user, source: rows, features: [{name: x, type: int64}]}\n",
    );
    rows(&[1, 2, 3]);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    // Somebody is history no more: a generation that was numbered from 1 again would have them still.
    rows(&[1, 2]);
    damage_marks(&plumb, "f");
    let said = ["`f@v1`", "what says which of its generations answers is damaged", "plumb materialize VIEW --fresh"];
    plumb.run("features get f:x --entity user_id=1").fails(3, &said);
    plumb.run("materialize f").fails(3, &said);
    plumb.run("materialize").fails(3, &[&said[..], &["; 1 other view is online"]].concat());
    plumb.run("materialize f --rollback").fails(3, &said);
    let server = plumb.serve();
    let ask = |view: &str| {
        let body = json!({ "features": [format!("{view}:x")], "entities": { "user_id": [1, 3] } });
        server.post("/v1/features", &body.to_string())
    };
    let (code, answer) = ask("f");
    assert_eq!((code, &answer["error"]["code"]), (500, &json!("internal")), "{answer}");
    let (code, answer) = ask("g");
    assert_eq!((code, &answer["features"]["x"]["values"]), (200, &json!([1, null])), "{answer}");
    let looked = plumb.run("doctor --output json");
    assert!(looked.code == 1 && looked.stdout.contains("which of its generations answers is damaged"), "{looked:?}");

    plumb.run("materialize f --fresh").ok();
    until("the server knows", || ask("f").0 == 200);
    assert_eq!(ask("f").1["features"]["x"]["values"], json!([1, null]));
    assert_eq!(plumb.json("materialize f")["materialized"][0]["how"], "unchanged");
    server.stop();
}

/// Puts something that is no JSON where the marks of a view are.
fn damage_marks(plumb: &Plumb, view: &str) {
    use featurestore::OnlineStore;
    use featurestore::online::{Cell, EmbeddedStore, OnlineRow, OnlineTable};
    use registry::{Registry, SqliteLog};
    use schema::{Clock, EntityKey, RowOrder, Timestamp};

    let store = EmbeddedStore::open(&plumb.path().join(".plumb/online")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let log = SqliteLog::open(&plumb.path().join(".plumb/registry.db")).unwrap();
        let catalog = Registry::open(std::sync::Arc::new(log)).await.unwrap().catalog();
        let table = OnlineTable::marks(catalog.definitions().current_view(view).unwrap());
        let at = Timestamp::from_nanos(0);
        // Later than those that are there, as whoever writes marks does it.
        let sequence = u64::try_from(Clock::wall().as_nanos()).unwrap();
        let order = RowOrder { event_time: at, created_time: None, sequence };
        let row = OnlineRow::new(order, at, Some(b"{\"format\":1,\"next\"".to_vec()));
        let cells = [(EntityKey::from_bytes(b"\0marks"), Cell::of([&row], at))];
        store.put_many(&table, &cells, at).await.unwrap();
    });
}

/// Row 11.
#[test]
fn who_may_not_come_in_is_told_before_the_server_starts() {
    let redis = TestRedis::with(&["--requirepass", "s3cret"]);
    let plumb = on_redis(&redis);
    for line in ["serve --http 127.0.0.1:0", "materialize"] {
        let answer = plumb.run(line);
        answer.fails(3, &["online_store_auth", "asks for a password", "${NAME}"]);
    }
    let json = plumb.run("materialize --output json").json();
    assert_eq!(json["error"]["retryable"], json!(false), "{json}");
}

/// Row 12: nothing is marked as done that is not.
#[test]
fn a_store_that_is_full_stops_materialize_and_moves_nothing() {
    let redis = TestRedis::with(&["--maxmemory", "1600kb"]);
    let plumb = on_redis(&redis);
    let stopped = plumb.run("materialize");
    stopped.fails(6, &["keys are written, and none of them answers yet", "its memory is full", "maxmemory"]);
    plumb.run("features get user_features:total_orders --entity user_id=4").fails(4, &["not_materialized"]);
    redis.server().ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let done = plumb.json("materialize");
    assert_eq!(done["materialized"][0]["how"], "built", "{done}");
    plumb.run("features get user_features:total_orders --entity user_id=4").ok();
}

/// A token is enough to compute an answer again, and to tell where history says otherwise.
#[test]
fn an_answer_is_replayed_from_its_token() {
    let plumb = Plumb::demo_online();
    let server = plumb.serve();
    let body = json!({ "service": "repeat_purchase_v1", "entities": { "user_id": [4, 18, 999_999, null] } });
    let (code, answer) = server.post("/v1/features", &body.to_string());
    assert_eq!(code, 200, "{answer}");
    let token = answer["replay_token"].as_str().unwrap().to_owned();
    let feast = json!({ "entities": { "user_id": [4] }, "features": ["user_features:total_orders"] });
    let (_, feast) = server.post("/get-online-features", &feast.to_string());
    let feast = feast["metadata"]["replay_token"].as_str().unwrap().to_owned();
    for token in [&token, &feast] {
        let replayed = plumb.json(&format!("replay {token}"));
        assert_eq!(replayed["equal"], json!(true), "{replayed}");
    }
    let replayed = plumb.json(&format!("replay {token}"));
    for (name, said) in replayed["features"].as_object().unwrap() {
        assert_eq!(said["values"], answer["features"][name]["values"], "{name}");
        assert_eq!(said["statuses"], answer["features"][name]["statuses"], "{name}");
    }

    // A row that was known before the answer, and was not there: history says otherwise, and where.
    let late = json!({
        "rows": {
            "user_id": [18], "event_time": ["1998-06-30T12:00:00Z"], "total_orders": [60], "avg_order_value": [12.5],
            "last_order_at": ["1998-06-30T12:00:00Z"], "total_cds": [3],
        },
        "to": "offline",
    });
    let (code, pushed) = server.post("/v1/views/user_features/push", &late.to_string());
    assert_eq!(code, 200, "{pushed}");
    let differs = plumb.run(&format!("replay {token}"));
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(differs.stdout.contains("row 1") && differs.stdout.contains("1998-06-30T12:00:00Z"), "{}", differs.stdout);
    plumb.run(&format!("replay {feast}")).ok();
    server.stop();

    plumb.run("replay hello").fails(2, &["wrong_token", "does not begin with `pl1.`"]);
    // The data is gone, and what was made of it.
    std::fs::remove_dir_all(plumb.path().join(".plumb/offline/views")).unwrap();
    let orders = plumb.path().join("data/orders.parquet");
    let moved = std::fs::read(&orders).unwrap();
    std::fs::remove_file(&orders).unwrap();
    std::fs::write(&orders, moved).unwrap();
    plumb.run(&format!("replay {token}")).fails(7, &["gone", "no longer there"]);
}

/// Row 16: an embedded store that is damaged is named, and made again from history.
#[test]
fn an_embedded_store_that_is_damaged_is_made_again_from_history() {
    const MARK: f64 = 1_234_567.890_625;
    let plumb = Plumb::demo_online();
    let server = plumb.serve();
    let at = "1998-06-30T12:00:00Z";
    let rows = json!({
        "user_id": [4], "event_time": [at], "total_orders": [60], "avg_order_value": [MARK], "last_order_at": [at],
        "total_cds": [3],
    });
    let (code, pushed) = server.post("/v1/views/user_features/push", &json!({ "rows": rows }).to_string());
    assert_eq!(code, 200, "{pushed}");
    server.stop();
    let get = || plumb.run("features get user_features:avg_order_value --entity user_id=4");
    // Without the token, which names the generation and what it was made of.
    let told = || get().ok().stdout.split("plumb replay").next().unwrap_or_default().to_owned();
    let before = told();
    assert!(before.contains("1234567.89"), "{before}");
    let file = plumb.path().join(".plumb/online/data.mdb");
    let remake = || {
        std::fs::remove_dir_all(plumb.path().join(".plumb/online")).unwrap();
        plumb.run("materialize").ok();
        assert_eq!(told(), before);
    };

    // A flipped bit of a value: not another value.
    let mut bytes = std::fs::read(&file).unwrap();
    let places: Vec<usize> =
        bytes.windows(8).enumerate().filter(|(_, part)| **part == MARK.to_le_bytes()).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + 3] ^= 0x10;
    }
    std::fs::write(&file, &bytes).unwrap();
    let refused = get();
    assert_ne!(refused.code, 0, "{refused:?}");
    for word in ["`user_features@v1`", "damaged", "empty the online store and materialize again"] {
        assert!(refused.stderr.contains(word), "`{word}` is not in: {}", refused.stderr);
    }
    // Others are sound.
    plumb.run("features get user_features:avg_order_value --entity user_id=18").ok();
    remake();

    // Something else in its place, or nothing.
    for garbage in [b"no database ".repeat(10_000), vec![0; 64 << 10]] {
        std::fs::write(&file, &garbage).unwrap();
        let refused = get();
        assert_ne!(refused.code, 0, "{refused:?}");
        for word in [".plumb/online", "remove its folder and run `plumb materialize`"] {
            assert!(refused.stderr.contains(word), "`{word}` is not in: {}", refused.stderr);
        }
        remake();
    }
}
