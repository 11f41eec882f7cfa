//! A training set over HTTP: the same rows as the command writes, with what they were made of; whatever is wrong is said
//! before the first byte, and a build ends when nobody waits for it. Method: the demo's spine by every way it can come.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Float64Type, Int64Type, Schema};
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::ipc::writer::StreamWriter;
use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};

const ROUTE: &str = "/v1/training-sets";
const ARROW: &str = "application/vnd.apache.arrow.stream";
const SERVICE: &str = "repeat_purchase_v1";

fn applied() -> Plumb {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    plumb
}

/// Status and bytes of a POST.
fn post(server: &Server, query: &str, kind: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let asked = agent.post(format!("{}{ROUTE}{query}", server.url)).content_type(kind);
    let mut response = asked.send(body).unwrap();
    let bytes = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
    (response.status().as_u16(), bytes)
}

fn rows(answer: (u16, Vec<u8>)) -> RecordBatch {
    assert_eq!(answer.0, 200, "{}", String::from_utf8_lossy(&answer.1));
    let reader = StreamReader::try_new(answer.1.as_slice(), None).unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

#[track_caller]
fn refused(answer: (u16, Vec<u8>), status: u16, code: &str, words: &[&str]) {
    let text = String::from_utf8_lossy(&answer.1).into_owned();
    assert_eq!(answer.0, status, "{text}");
    let error: Json = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    assert_eq!(error["error"]["code"], code, "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

/// A spine as an Arrow stream.
fn stream(spine: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &spine.schema()).unwrap();
    writer.write(spine).unwrap();
    writer.into_inner().unwrap()
}

/// Users at noon of New Year 1998, as many as wanted.
fn users(ids: impl IntoIterator<Item = Option<i64>>) -> RecordBatch {
    let ids: Int64Array = ids.into_iter().collect();
    let times = TimestampMicrosecondArray::from(vec![883_656_000_000_000; ids.len()]).with_timezone("UTC");
    let columns = [("user_id", Arc::new(ids) as _, true), ("event_time", Arc::new(times) as _, true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[test]
fn the_stream_has_the_rows_of_the_file() {
    let plumb = applied();
    let out = plumb.path().join("train.arrow");
    plumb.run(&format!("training-set build --service {SERVICE} --spine spine.sql --out {}", out.display())).ok();
    let file = FileReader::try_new(std::fs::File::open(&out).unwrap(), None).unwrap();
    let (schema, about) = (file.schema(), file.custom_metadata().clone());
    let batches: Vec<RecordBatch> = file.map(Result::unwrap).collect();
    let want = concat_batches(&schema, &batches).unwrap();
    assert_eq!(want.num_rows(), 282_840);
    let lineage = |text: &str| -> Json { serde_json::from_str(text).unwrap() };
    let of_file = lineage(&about["plumb.lineage"]);

    // As a query.
    let server = plumb.serve();
    let sql = json!({ "service": SERVICE, "spine": { "sql": plumb.read("spine.sql") } });
    let got = rows(post(&server, "", "application/json", sql.to_string().as_bytes()));
    assert!(got.columns() == want.columns());
    let of_stream = lineage(&got.schema().metadata["plumb.lineage"]);
    for part in ["service", "views", "options", "plumb"] {
        assert_eq!(of_stream[part], of_file[part], "{part}");
    }
    assert_eq!(of_stream["spine"]["digest"], Json::Null);
    assert_eq!(got.schema().metadata["plumb.service_fingerprint"], of_file["service"]["fingerprint"]);

    // As rows of Arrow, of this version of the service; the spine is in memory, so its digest is known at once.
    let spine = want.project(&[0, 1, 2]).unwrap();
    let got = rows(post(&server, &format!("?service={SERVICE}%40v1"), ARROW, &stream(&spine)));
    assert!(got.columns() == want.columns());
    assert_eq!(lineage(&got.schema().metadata["plumb.lineage"])["spine"]["digest"], of_file["spine"]["digest"]);

    // As rows of JSON, the last one first.
    let last = json!([
        { "user_id": 4, "event_time": "1998-01-01T12:00:00Z", "label": 1 },
        { "user_id": null, "event_time": "1998-01-01T12:00:00Z", "label": null },
        { "user_id": 4, "event_time": null, "label": 0 },
    ]);
    let ask = json!({ "features": ["user_features:total_orders", "user_features:avg_order_value"], "spine": last });
    let got = rows(post(&server, "", "application/json", ask.to_string().as_bytes()));
    let orders = got.column_by_name("total_orders").unwrap().as_primitive::<Int64Type>();
    assert_eq!(orders.iter().collect::<Vec<_>>(), [Some(4), None, None]);
    let labels = got.column_by_name("label").unwrap().as_primitive::<Int64Type>();
    assert_eq!(labels.iter().collect::<Vec<_>>(), [Some(1), None, Some(0)]);
    let empty = json!({ "service": SERVICE, "spine": [] });
    let got = rows(post(&server, "", "application/json", empty.to_string().as_bytes()));
    assert_eq!((got.num_rows(), got.num_columns()), (0, 2 + want.num_columns() - 3));

    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains(r#"plumb_training_sets_total{protocol="http",ended="whole"} 4"#), "{metrics}");
    server.stop();
}

#[test]
fn whatever_is_wrong_is_said_before_the_first_byte() {
    let plumb = applied();
    let server = plumb.serve();
    let send = |body: Json| post(&server, "", "application/json", body.to_string().as_bytes());
    let row = json!({ "user_id": 4, "event_time": "1998-01-01T12:00:00Z" });
    let spine = json!([row]);
    for (body, status, code, words) in [
        (json!({ "service": "nope", "spine": spine }), 404, "unknown_service", &["`nope`", SERVICE][..]),
        (json!({ "service": "repeat_purchase_v1@v9", "spine": spine }), 404, "unknown_service", &["@v9"]),
        (json!({ "features": ["user_features:nope"], "spine": spine }), 404, "unknown_feature", &["`nope`"]),
        (json!({ "spine": spine }), 422, "no_features", &["service"]),
        (json!({ "service": SERVICE }), 422, "wrong_json", &["spine"]),
        (json!({ "service": SERVICE, "spine": "SELECT 1" }), 422, "wrong_json", &["list of rows", "sql"]),
        (json!({ "service": SERVICE, "spine": spine, "memory": 1 }), 422, "wrong_json", &["memory"]),
        (json!({ "service": SERVICE, "spine": [{ "user_id": 4 }] }), 422, "wrong_spine", &["`event_time`"]),
        (json!({ "service": SERVICE, "spine": [{ "event_time": "1998-01-01" }] }), 422, "wrong_spine", &["`user_id`"]),
        (json!({ "service": SERVICE, "spine": [row, { "user_id": 4 }] }), 422, "wrong_spine", &["`spine[1]` lacks"]),
        (
            json!({ "service": SERVICE, "spine": [{ "user_id": "four", "event_time": "1998-01-01" }] }),
            422,
            "wrong_spine",
            &["`spine[0].user_id` is the text", "int64"],
        ),
        (
            json!({ "service": SERVICE, "spine": [row, { "user_id": 4, "event_time": "yesterday" }] }),
            422,
            "wrong_spine",
            &["`event_time`", "yesterday"],
        ),
        (
            json!({ "service": SERVICE, "spine": spine, "label_time": "known_at" }),
            422,
            "wrong_spine",
            &["no column `known_at`"],
        ),
        (
            json!({ "service": SERVICE, "spine": [{ "user_id": 4, "event_time": "1998-01-01", "total_orders": 1 }] }),
            422,
            "wrong_spine",
            &["column `total_orders` has the name of a feature"],
        ),
        (json!({ "service": SERVICE, "spine": { "sql": "SELECT * FROM nope" } }), 422, "wrong_spine", &["nope"]),
        (json!({ "service": SERVICE, "spine": { "sql": "DROP TABLE orders" } }), 422, "wrong_spine", &["DDL"]),
    ] {
        let text = body.to_string();
        let answer = send(body);
        assert!(answer.0 == status, "{text}: {} {}", answer.0, String::from_utf8_lossy(&answer.1));
        refused(answer, status, code, words);
    }
    let arrow = |query: &str, body: &[u8]| post(&server, query, ARROW, body);
    refused(arrow("", b""), 422, "no_features", &["?service=name"]);
    refused(arrow(&format!("?service={SERVICE}&spin=1"), b""), 422, "wrong_query", &["spin", "label_time"]);
    let query = format!("?service={SERVICE}");
    refused(arrow(&query, b""), 422, "wrong_spine", &["no Arrow stream"]);
    refused(arrow(&query, b"PAR1PAR1PAR1"), 422, "wrong_spine", &["no Arrow stream"]);
    let whole = stream(&users((0..1000).map(Some)));
    refused(arrow(&query, &whole[..whole.len() / 2]), 422, "wrong_spine", &["no Arrow stream"]);
    let texts = arrow::array::StringArray::from(vec!["4"]);
    let times = TimestampMicrosecondArray::from(vec![0]);
    let columns = [("user_id", Arc::new(texts) as _, true), ("event_time", Arc::new(times) as _, true)];
    let typed = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    refused(arrow(&query, &stream(&typed)), 422, "wrong_spine", &["column `user_id` is string", "int64"]);
    refused(
        post(&server, "?service=x", "application/json", b"{}"),
        422,
        "wrong_query",
        &["say everything in the body"],
    );
    let large = format!("{{\"service\": \"{}\"}}", "x".repeat(3 << 20));
    refused(post(&server, "", "application/json", large.as_bytes()), 413, "body_too_large", &["2 MB"]);

    // A body that says that it will be too large is not waited for.
    let mut raw = connect(&server);
    write!(
        raw,
        "POST {ROUTE}{query} HTTP/1.1\r\nHost: x\r\nContent-Type: {ARROW}\r\nContent-Length: 300000000\r\n\r\n"
    )
    .unwrap();
    let mut head = [0; 12];
    raw.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
    server.stop();
}

#[test]
fn a_label_that_is_a_feature_ends_the_build_where_asked_for() {
    let plumb = applied();
    let server = plumb.serve();
    let leak = "SELECT user_id, TIMESTAMP '1997-12-01' AT TIME ZONE 'UTC' AS event_time, count(*) AS n_orders FROM orders \
                WHERE ordered_at <= TIMESTAMP '1997-12-01' AT TIME ZONE 'UTC' GROUP BY user_id ORDER BY user_id";
    let ask = |sql: &str, fail: bool| {
        let body = json!({ "service": SERVICE, "spine": { "sql": sql }, "fail_on_leakage": fail });
        post(&server, "", "application/json", body.to_string().as_bytes())
    };
    let recorded = || {
        let log = plumb.json("registry log");
        log["events"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event.to_string().contains("answered over http"))
            .count()
    };
    refused(ask(leak, true), 409, "leakage", &["feature `total_orders` equals `n_orders`"]);
    assert_eq!(recorded(), 0, "nobody has it");
    let told = rows(ask(leak, false));
    assert_eq!(recorded(), 1);
    assert!(told.num_rows() > 1000 && !told.schema().metadata.contains_key("plumb.report"));
    let spine = plumb.read("spine.sql");
    let (kept, streamed) = (rows(ask(&spine, true)), rows(ask(&spine, false)));
    assert!(kept.columns() == streamed.columns());
    let report: Json = serde_json::from_str(&kept.schema().metadata["plumb.report"]).unwrap();
    assert_eq!((&report["n_rows"], &report["leakage"]["labels"]), (&json!(282_840), &json!([])), "{report}");
    server.stop();
}

#[test]
fn a_frame_of_pandas_has_its_integers_back() {
    let plumb = applied();
    let server = plumb.serve();
    let plain = users([Some(4), None, Some(9)]);
    let floats = Float64Array::from(vec![Some(4.0), None, Some(9.0)]);
    let index = Int64Array::from(vec![7, 8, 9]);
    let fields = [
        Field::new("user_id", arrow::datatypes::DataType::Float64, true),
        Field::clone(plain.schema().field(1)),
        Field::new("__index_level_0__", arrow::datatypes::DataType::Int64, true),
    ];
    let columns = || vec![Arc::new(floats.clone()) as _, Arc::clone(plain.column(1)), Arc::new(index.clone()) as _];
    let noted = [("pandas".to_owned(), "{}".to_owned())].into();
    let query = format!("?service={SERVICE}");
    let pandas = Schema::new(fields.to_vec()).with_metadata(noted);
    let frame = RecordBatch::try_new(Arc::new(pandas), columns()).unwrap();
    let got = rows(post(&server, &query, ARROW, &stream(&frame)));
    let want = rows(post(&server, &query, ARROW, &stream(&plain)));
    assert!(got.columns() == want.columns(), "{got:?}");
    assert_eq!(want.column(0).null_count(), 1);
    // Floats of anybody else are a mistake.
    let frame = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns()).unwrap();
    refused(post(&server, &query, ARROW, &stream(&frame)), 422, "wrong_spine", &["`user_id` is float64"]);
    server.stop();
}

#[test]
fn a_spine_of_millions_streams_and_one_that_nobody_waits_for_ends() {
    let plumb = applied();
    let server = plumb.serve();
    let query = format!("?service={SERVICE}");
    // More rows than a block: users come again and again, and every time with the same features.
    let n = 3_000_000_i64;
    let spine = stream(&users((0..n).map(|i| Some(i % 1000))));
    let got = rows(post(&server, &query, ARROW, &spine));
    assert_eq!(got.num_rows(), usize::try_from(n).unwrap());
    let first = rows(post(&server, &query, ARROW, &stream(&users((0..1000).map(Some)))));
    for at in [0, 1, 1_499, 2_999] {
        assert!(got.slice(at * 1000, 1000).columns() == first.columns(), "{at}");
    }
    let value = got.column_by_name("avg_order_value").unwrap().as_primitive::<Float64Type>();
    assert!(value.null_count() < value.len());

    // Two clients that read no further than the status fill all places; a third is told to come again, even if it sends more
    // than the server would read.
    let ask = |kind: &str, body: &[u8]| {
        let mut raw = connect(&server);
        let length = body.len();
        let query = if kind == ARROW { query.as_str() } else { "" };
        let head = format!(
            "POST {ROUTE}{query} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        raw.write_all(head.as_bytes()).unwrap();
        raw.write_all(body).unwrap();
        raw
    };
    let hold = || {
        let started = Instant::now();
        loop {
            let mut raw = ask(ARROW, &spine);
            let mut status = [0; 12];
            raw.read_exact(&mut status).unwrap();
            if &status == b"HTTP/1.1 200" {
                return raw;
            }
            assert_eq!(&status, b"HTTP/1.1 429");
            assert!(started.elapsed() < Duration::from_secs(20), "a build goes on though nobody waits for it");
        }
    };
    let both = (hold(), hold());
    refused(post(&server, &query, ARROW, &spine), 429, "too_many_builds", &["2 training sets"]);
    // When they are gone, in the middle of the answer, their places are free: one for a third, and one beside it.
    drop(both);
    let small = stream(&users([Some(4)]));
    let held = hold();
    free(&server, &query, &small);
    drop(held);

    // So are those of clients that go before the first row is there, though what they asked for takes long: billions of pairs.
    let long = "SELECT a.user_id, max(b.ordered_at) AS event_time FROM orders a CROSS JOIN orders b GROUP BY a.user_id";
    let long = json!({ "service": SERVICE, "spine": { "sql": long } }).to_string();
    let mut asked = Vec::new();
    let started = Instant::now();
    // Many times in a row: the places are not taken by what is about to end.
    while !(0..20).all(|_| post(&server, &query, ARROW, &small).0 == 429) {
        asked.push(ask("application/json", long.as_bytes()));
        assert!(started.elapsed() < Duration::from_secs(20), "a long query ends at once");
    }
    drop(asked);
    let held = hold();
    free(&server, &query, &small);
    drop(held);
    server.stop();
}

/// Waits until a build finds a place.
fn free(server: &Server, query: &str, spine: &[u8]) {
    let started = Instant::now();
    loop {
        let answer = post(server, query, ARROW, spine);
        if answer.0 != 429 {
            assert_eq!(rows(answer).num_rows(), 1);
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "a build goes on though nobody waits for it");
        std::thread::yield_now();
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}
