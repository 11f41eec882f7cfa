//! What a source holds no more is online no more: after a row was removed, or a whole customer, `materialize` gives the
//! store that history would, and readers meanwhile see the old one or the new one, never a mixture.

use std::sync::atomic::{AtomicBool, Ordering};

use featurestore::online::testing::TestRedis;
use serde_json::json;

use crate::harness::{Plumb, Server};

/// A project over one CSV-like table: `n` users with one row each, written by the values of the `round`.
fn write(plumb: &Plumb, users: std::ops::Range<i64>, round: i64) {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
    use std::sync::Arc;

    let n = usize::try_from(users.end - users.start).unwrap();
    let user: ArrayRef = Arc::new(users.collect::<Int64Array>());
    let columns = [
        ("user_id", user),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_000_000_i64; n]).with_timezone("UTC"))),
        ("left", Arc::new(Int64Array::from(vec![round; n])) as ArrayRef),
        ("right", Arc::new(Int64Array::from(vec![round; n])) as ArrayRef),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = plumb.path().join("rows.parquet.new");
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    std::fs::rename(path, plumb.path().join("rows.parquet")).unwrap();
}

fn project() -> Plumb {
    project_on("")
}

/// With these lines about the online store.
fn project_on(online: &str) -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", &format!("project: vanished\n{online}"));
    plumb.write(
        "features.yaml",
        "kind: entity\nname: user\njoin_key: user_id\ntype: int64\n---\n\
         kind: source\nname: rows\npath: rows.parquet\nevent_time: at\n---\n\
         kind: feature_view\nname: f\nentity: user\nsource: rows\n\
         features: [{name: left, type: int64}, {name: right, type: int64}]\n---\n\
         kind: feature_service\nname: s\nfeatures: ['f:left', 'f:right']\n",
    );
    plumb
}

fn ask(server: &Server, users: &[i64]) -> serde_json::Value {
    let body = json!({ "service": "s", "entities": { "user_id": users } });
    let (status, answer) = server.post("/v1/features", &body.to_string());
    assert_eq!(status, 200, "{answer}");
    answer["features"].clone()
}

#[test]
fn a_customer_who_left_the_source_leaves_the_store() {
    let plumb = project();
    write(&plumb, 0..10, 1);
    plumb.run("apply --yes").ok();
    assert_eq!(plumb.json("materialize")["materialized"][0]["how"], "built");
    let server = plumb.serve();
    assert_eq!(ask(&server, &[9])["left"], json!({ "values": [1], "statuses": ["PRESENT"] }));
    write(&plumb, 0..9, 1);
    assert_eq!(plumb.json("materialize")["materialized"][0]["how"], "built");
    let gone = json!({ "values": [null], "statuses": ["NOT_FOUND"] });
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while ask(&server, &[9])["left"] != gone {
        assert!(std::time::Instant::now() < until, "the server still answers from the generation before");
    }
    assert_eq!(ask(&server, &[8])["left"]["values"], json!([1]));

    // The generation before is kept, and can be gone back to.
    plumb.run("materialize f --rollback").ok();
    assert_eq!(plumb.json("features get f:left --entity user_id=9")["features"]["left"]["values"], json!([1]));
    plumb.run("materialize f --rollback").ok();
    assert_eq!(plumb.json("features get f:left --entity user_id=9")["features"]["left"], gone);
    assert_eq!(plumb.json("materialize")["materialized"][0]["how"], "unchanged");
    assert_eq!(plumb.json("materialize --fresh")["materialized"][0]["how"], "built");
    server.stop();
}

#[test]
fn readers_of_the_embedded_store_see_one_generation_or_the_other() {
    one_generation_or_the_other(&project());
}

#[test]
fn readers_of_redis_see_one_generation_or_the_other() {
    let redis = TestRedis::spawn();
    one_generation_or_the_other(&project_on(&format!("online: {{kind: redis, url: \"{}\"}}\n", redis.url())));
}

fn one_generation_or_the_other(plumb: &Plumb) {
    const USERS: i64 = 20_000;
    write(plumb, 0..USERS, 0);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    let done = AtomicBool::new(false);
    let users: Vec<i64> = (0..64).map(|i| i * USERS / 64).collect();
    std::thread::scope(|threads| {
        let reading = threads.spawn(|| {
            let mut newest = 0;
            let mut asked = 0;
            while !done.load(Ordering::SeqCst) {
                let features = ask(&server, &users);
                let (left, right) = (&features["left"], &features["right"]);
                assert_eq!(left, right, "a row is whole");
                let rounds = left["values"].as_array().unwrap();
                assert!(rounds.iter().all(|round| round == &rounds[0]), "all rows are of one generation: {rounds:?}");
                let round = rounds[0].as_i64().unwrap();
                assert!(round >= newest, "it never goes back");
                (newest, asked) = (round, asked + 1);
            }
            (newest, asked)
        });
        for round in 1..=6 {
            write(plumb, 0..USERS, round);
            plumb.run("materialize").ok();
        }
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while ask(&server, &[1])["left"]["values"] != json!([6]) {
            assert!(std::time::Instant::now() < until, "the last generation is never seen");
        }
        done.store(true, Ordering::SeqCst);
        let (newest, asked) = reading.join().unwrap();
        assert!(newest > 0 && asked > 6, "{newest} after {asked}");
    });
    server.stop();
}

/// What a client of Feast asks for a view while generations of it are built and switched to is answered with 200, each time,
/// by whole rows of one generation. Feast's server answers with 500 meanwhile.
#[test]
fn a_client_of_feast_is_answered_while_generations_are_built() {
    const USERS: i64 = 5_000;
    const ROUNDS: i64 = 5;
    let plumb = project();
    write(&plumb, 0..USERS, 0);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    let asked: Vec<i64> = (0..64).map(|i| i * USERS / 64).collect();
    let body = json!({ "entities": { "user_id": asked }, "features": ["f:left", "f:right"] }).to_string();
    let ask = || {
        let (status, answer) = server.post("/get-online-features", &body);
        assert_eq!(status, 200, "{answer}");
        let columns: Vec<_> = (1..=2).map(|at| answer["results"][at].clone()).collect();
        for column in &columns {
            let statuses = column["statuses"].as_array().unwrap();
            assert!(statuses.len() == 64 && statuses.iter().all(|status| status == "PRESENT"), "{answer}");
        }
        assert_eq!(columns[0]["values"], columns[1]["values"], "a row is whole");
        let rounds = columns[0]["values"].as_array().unwrap();
        assert!(rounds.iter().all(|round| round == &rounds[0]), "all rows are of one generation: {rounds:?}");
        rounds[0].as_i64().unwrap()
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let read = || {
            let (mut newest, mut n_asked) = (0, 0_usize);
            while !done.load(Ordering::SeqCst) {
                let round = ask();
                assert!(round >= newest, "it never goes back");
                (newest, n_asked) = (round, n_asked + 1);
            }
            (newest, n_asked)
        };
        let readers = [threads.spawn(read), threads.spawn(read)];
        let force = json!({ "disable_event_timestamp": true }).to_string();
        for round in 1..=ROUNDS {
            write(&plumb, 0..USERS, round);
            // By the server itself, and by another process; a second build has nothing new to say.
            let (status, answer) = server.post("/materialize?force=true", &force);
            assert_eq!((status, &answer), (200, &serde_json::Value::Null));
            plumb.run("materialize --fresh").ok();
        }
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while ask() != ROUNDS {
            assert!(std::time::Instant::now() < until, "the last generation is never seen");
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            let (newest, n_asked) = reader.join().unwrap();
            assert!(newest > 0 && n_asked > 10, "round {newest} after {n_asked}");
        }
    });
    server.stop();
}

#[test]
fn of_two_that_materialize_at_once_both_succeed() {
    let plumb = project();
    write(&plumb, 0..50_000, 1);
    plumb.run("apply --yes").ok();
    let mut both: Vec<_> = (0..3).map(|_| plumb.command("materialize --fresh").spawn().unwrap()).collect();
    for one in &mut both {
        assert!(one.wait().unwrap().success());
    }
    let answer = plumb.json("features get f:left --entity user_id=49999");
    assert_eq!(answer["features"]["left"]["values"], json!([1]));
    assert_eq!(plumb.json("materialize")["materialized"][0]["how"], "unchanged");
}

/// A range brings its rows online and marks nothing as done: what it left out comes with the next run, late rows too.
#[test]
fn a_range_of_event_times_is_brought_online_and_nothing_else_is_lost() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let first = plumb.json("materialize --from 1998-06-01 --to 1998-07-01");
    let (how, n_keys) = (&first["materialized"][0]["how"], first["materialized"][0]["n_keys"].as_u64().unwrap());
    assert_eq!(how, "ranged", "{first}");
    let again = plumb.json("materialize --from 1998-06-01 --to 1998-07-01");
    assert_eq!(again["materialized"][0]["n_written"], 0, "{again}");
    let whole = plumb.json("materialize --jobs 4");
    assert_eq!(whole["materialized"][0]["how"], "built", "{whole}");
    let all = whole["materialized"][0]["n_keys"].as_u64().unwrap();
    assert!(0 < n_keys && n_keys < all, "{n_keys} of {all}");
    assert_eq!(plumb.json("materialize")["materialized"][0]["how"], "unchanged");
    plumb.run("materialize --from 1998-06-01 --to 1998-06-01").fails(2, &["is not before"]);
    plumb.run("materialize --from yesterday").fails(2, &["yesterday"]);
}
