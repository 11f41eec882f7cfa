//! Bytes that nobody would send by mistake: damaged Arrow streams, JSON without end, files that are not what they say. Each
//! is an error that names what is wrong; the server and the command go on.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int8Array, Int64Array, NullArray, RecordBatch, StringArray};
use arrow::array::{ListArray, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use serde_json::Value as Json;
use serving::onnx::toy::{Graph, Node, STRING};

use crate::harness::{Answer, Plumb, Server};

/// Numbers from a seed, the same each time.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

fn stream(spine: &RecordBatch, options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &spine.schema(), options).unwrap();
    writer.write(spine).unwrap();
    writer.into_inner().unwrap()
}

fn spine(n: usize, label: ArrayRef) -> RecordBatch {
    let ids: Int64Array = (0..n).map(|i| Some(i64::try_from(i).unwrap())).collect();
    let times = TimestampMicrosecondArray::from(vec![883_656_000_000_000; n]).with_timezone("UTC");
    let columns =
        [("user_id", Arc::new(ids) as _, true), ("event_time", Arc::new(times) as _, true), ("label", label, true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn ask(server: &Server, body: &[u8]) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let asked = agent.post(format!("{}/v1/training-sets?service=repeat_purchase_v1", server.url));
    let mut response = asked.content_type("application/vnd.apache.arrow.stream").send(body).unwrap();
    let body = response.body_mut().read_to_vec().unwrap();
    (response.status().as_u16(), String::from_utf8_lossy(&body).into_owned())
}

/// FT 28, 31, T16.
#[test]
fn a_server_takes_no_harm_from_damaged_or_exploding_streams() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let server = plumb.serve();
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None, Some(vec![])]);
    let whole = stream(&spine(3, Arc::new(lists)), IpcWriteOptions::default());
    assert_eq!(ask(&server, &whole).0, 200);
    let seed = 20_261_126;
    let mut dice = Dice(seed);
    let mut n_refused = 0;
    for _ in 0..150 {
        let mut damaged = whole.clone();
        for _ in 0..=dice.below(3) {
            let at = dice.below(damaged.len());
            damaged[at] ^= u8::try_from(1 + dice.below(255)).unwrap();
        }
        damaged.truncate(if dice.below(4) == 0 { dice.below(damaged.len()) } else { damaged.len() });
        let (status, body) = ask(&server, &damaged);
        assert!([200, 404, 422].contains(&status), "seed {seed}: {status} {body}");
        n_refused += usize::from(status != 200);
    }
    assert!(n_refused > 30, "{n_refused}");

    let refused = |spine: &RecordBatch, options: IpcWriteOptions, words: &str| {
        let (status, body) = ask(&server, &stream(spine, options));
        assert_eq!(status, 422, "{body}");
        assert!(body.contains(words) && body.contains("wrong_spine"), "{body}");
    };
    let lz4 = IpcWriteOptions::default().try_with_compression(Some(arrow::ipc::CompressionType::LZ4_FRAME)).unwrap();
    refused(&spine(100_000, Arc::new(Int64Array::from(vec![0; 100_000]))), lz4, "without compression");
    let long = StringArray::from(vec!["x".repeat(1 << 20)]);
    let bomb = DictionaryArray::try_new(Int8Array::from(vec![0; 10_000]), Arc::new(long)).unwrap();
    refused(&spine(10_000, Arc::new(bomb)), IpcWriteOptions::default(), "more than 1024 MB");
    let nothing = |name: &'static str| (name, Arc::new(NullArray::new(1 << 40)) as ArrayRef, true);
    let nobody = RecordBatch::try_from_iter_with_nullable([nothing("user_id"), nothing("event_time")]).unwrap();
    refused(&nobody, IpcWriteOptions::default(), "announces 1099511627776 rows");

    assert_eq!(ask(&server, &whole).0, 200);
    let (_, metrics) = server.get("/metrics");
    assert!(!metrics.contains("plumb_panics_total"), "{metrics}");
    server.stop();
}

#[test]
fn json_without_end_in_files_is_a_bad_row() {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: deep\n");
    plumb.write(
        "features.yaml",
        "kind: entity\nname: user\njoin_key: user_id\ntype: int64\n---\n\
         kind: source\nname: rows\npath: tables/rows\nformat: delta\nevent_time: at\n\
         columns: [{name: user_id, type: int64}, {name: at, type: timestamp}, {name: note, type: json}]\n---\n\
         kind: feature_view\nname: v\nentity: user\nsource: rows\nfeatures: [{name: note, type: json}]\n---\n\
         kind: feature_service\nname: s\nfeatures: ['v:note']\n",
    );
    plumb.run("apply --yes").ok();
    let row = |user: i64, note: &str| {
        format!("{{\"user_id\": {user}, \"at\": \"2024-01-01T00:00:00Z\", \"note\": {note}}}\n")
    };
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    plumb.write(
        "in.jsonl",
        &(row(1, "{\"a\": [1]}")
            + &row(2, &deep)
            + &row(3, &deep.replace('[', "{\"a\":").replace(']', "}"))
            + &row(4, "2")),
    );
    let told = plumb.run("ingest rows in.jsonl --output json");
    let done: Json = told.json();
    assert_eq!(done["rows"], 2, "{done}");
    assert_eq!(done["quarantined"], 2, "{done}");
    let quoted = deep.replace('"', "\"\"");
    plumb.write("in.csv", &format!("user_id,at,note\n5,2024-01-01T00:00:00Z,\"{quoted}\"\n6,2024-01-01T00:00:00Z,1\n"));
    let done: Json = plumb.run("ingest rows in.csv --output json").json();
    assert_eq!((&done["rows"], &done["quarantined"]), (&1.into(), &1.into()), "{done}");
}

/// T29: what a terminal would obey.
#[test]
fn a_terminal_is_shown_no_escapes_of_data_and_of_models() {
    /// What a model calls its output.
    const SAID: &str = "said\x1b[2J";
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: escapes\nclock: {now: \"2024-01-05T00:00:00Z\"}\n");
    plumb.write(
        "features.yaml",
        "{kind: entity, name: user, join_key: user_id, type: string}
---
{kind: source, name: rows, path: rows.csv, event_time: at}
---
kind: feature_view
name: words
entity: user
source: rows
features: [{name: word, type: string}]
---
{kind: feature_service, name: texts, features: ['words:word']}
",
    );
    plumb.write("rows.csv", "user_id,at,word\n\x1b[5mann,2024-01-01,\x1b]0;title\x07\n");
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let echo = Graph::new().input("word", STRING, &[-1, 1]).output(SAID, STRING, &[-1, 1]);
    std::fs::write(plumb.path().join("echo.onnx"), echo.node(Node::new("Identity", &["word"], &[SAID])).model())
        .unwrap();
    let model = plumb.path().join("echo.onnx");
    is_plain(&plumb.run(&format!("model register m {} --service texts", model.display())).ok());
    // What is online is not what history says any more.
    plumb.write("rows.csv", "user_id,at,word\n\x1b[5mann,2024-01-01,\x1b[2Jcleared\n");
    for line in
        ["model promote m 1 --to production", "model alias m champion 1", "model promote m 1 --to staging --dry-run"]
    {
        let answer = plumb.run(line);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.stdout.contains("REFUSED"), "{answer:?}");
        // Values are quoted. Names in a model's file are not, and have a sign in place of what a terminal would obey.
        for shown in
            [r"\u{1b}]0;title\u{7}", r"\u{1b}[2Jcleared", r#"user_id="\u{1b}[5mann""#, "(said\u{fffd}[2J: BYTES"]
        {
            assert!(answer.stdout.contains(shown), "{line}: {answer:?}");
        }
        is_plain(&answer);
    }
    for line in ["model show m", "model history m", "registry log"] {
        is_plain(&plumb.run(line).ok());
    }
    // A program is given all of it, escaped as JSON does.
    let answer = plumb.run("model promote m 1 --to production --output json");
    assert!(answer.stdout.contains(r"(said\u001b[2J: BYTES"), "{answer:?}");
}

#[track_caller]
fn is_plain(answer: &Answer) {
    let said = [&answer.stdout[..], &answer.stderr].concat();
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
}
