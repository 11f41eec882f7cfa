//! Rows of a file or of an Arrow stream are answered as rows of JSON are, value by value.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float32Type, Int64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};

const ARROW: &str = "application/vnd.apache.arrow.stream";

/// A command line with `@/` for the project's folder.
pub(crate) fn placed(plumb: &Plumb, line: &str) -> String {
    line.replace("@/", &format!("{}/", plumb.path().display()))
}

fn in_production() -> Plumb {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register repeat_purchase {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote repeat_purchase 1").ok();
    plumb
}

fn keys(users: impl IntoIterator<Item = i64>) -> RecordBatch {
    let users: Vec<i64> = users.into_iter().collect();
    let notes: StringArray = users.iter().map(|user| (user % 3 > 0).then(|| format!("note {user}"))).collect();
    let columns: [(&str, ArrayRef); 2] = [("note", Arc::new(notes)), ("user_id", Arc::new(Int64Array::from(users)))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn features(users: i64) -> RecordBatch {
    let some = |user: i64, value: f64| (user % 4 > 0).then_some(value);
    let floats = |scale: f64| -> ArrayRef {
        Arc::new(
            (0..users)
                .map(|user| some(user, f64::from(u16::try_from(user).unwrap()) * scale))
                .collect::<Float64Array>(),
        )
    };
    let orders: ArrayRef = Arc::new((0..users).map(|user| (user % 5 > 0).then_some(user)).collect::<Int64Array>());
    let columns = [("avg_order_value", floats(1.5)), ("total_orders", orders), ("days_since_last_order", floats(2.0))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

pub(crate) fn write(path: &Path, rows: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

pub(crate) fn read(path: &Path) -> RecordBatch {
    let batches = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = batches.map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// Rows of an output as JSON has them.
fn as_json(rows: &RecordBatch, output: &str) -> Vec<Json> {
    let column = rows.column_by_name(&format!("output.{output}")).unwrap();
    let floats = |values: &ArrayRef| values.as_primitive::<Float32Type>().values().iter().map(|v| json!(v)).collect();
    match column.data_type() {
        DataType::FixedSizeList(..) => {
            (0..rows.num_rows()).map(|row| floats(&column.as_fixed_size_list().value(row))).collect()
        }
        DataType::Int64 => column.as_primitive::<Int64Type>().values().iter().map(|label| json!(label)).collect(),
        DataType::Utf8 => column.as_string::<i32>().iter().map(|label| json!(label)).collect(),
        // `[N, 1]`, which JSON has as lists of one.
        other => panic!("{output} is {other}"),
    }
}

/// Every output is what JSON answers for the same rows.
fn same(rows: &RecordBatch, answer: &Json) {
    let outputs = answer["outputs"].as_object().unwrap();
    assert!(!outputs.is_empty());
    for (name, wanted) in outputs {
        let number = |value: &Json| value.as_f64();
        let close = |(a, b): (&Json, &Json)| match (a.as_array(), b.as_array()) {
            // A float32 that was widened is not the shortest text of it.
            (Some(a), Some(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| number(a).zip(number(b)).is_some_and(|(a, b)| (a - b).abs() < 1e-7))
            }
            _ => a == b,
        };
        let found = as_json(rows, name);
        let wanted = wanted.as_array().unwrap();
        assert_eq!(found.len(), wanted.len());
        assert!(found.iter().zip(wanted).all(close), "{name}: {found:?} for {wanted:?}");
    }
}

#[test]
fn a_file_of_keys_is_answered_as_requests_are_and_stands_in_the_log() {
    let plumb = in_production();
    let rows = keys((1..=2_500).chain([-7, 1]));
    write(&plumb.path().join("rows.parquet"), &rows);
    // Without the name of the one model, as without the number of its version.
    let done =
        plumb.run(&placed(&plumb, "predict --input @/rows.parquet --output @/scores.parquet -o json")).ok().json();
    assert_eq!((&done["rows"], &done["by"], &done["version"]), (&json!(2_502), &json!("keys"), &json!(1)));
    assert!(done["absent"]["total_orders"]["NOT_FOUND"].as_u64().unwrap() >= 1, "{done}");
    let scored = read(&plumb.path().join("scores.parquet"));
    for name in ["note", "user_id"] {
        assert_eq!(scored.column_by_name(name), rows.column_by_name(name), "{name}");
    }
    let server = plumb.serve();
    for from in [0, 1_200, 2_482] {
        let part = scored.slice(from, 20);
        let users = part.column_by_name("user_id").unwrap().as_primitive::<Int64Type>().values().to_vec();
        let (status, answer) = server.predict("repeat_purchase", &users);
        assert_eq!(status, 200, "{answer}");
        same(&part, &answer);
    }
    server.stop();
    let skew = plumb.json("skew");
    assert_eq!((&skew["predictions"], &skew["in_plumb"]), (&json!(2_502 + 60), &json!(true)), "{skew}");
    // Nobody is told twice of rows that nobody asked for.
    plumb
        .run(&placed(
            &plumb,
            "predict repeat_purchase --input @/rows.parquet --output @/scores.parquet --no-log --rows 7",
        ))
        .ok();
    assert_eq!(plumb.json("skew")["predictions"], json!(2_502 + 60));
    let again = read(&plumb.path().join("scores.parquet"));
    for name in ["output.label", "output.probabilities"] {
        assert_eq!(again.column_by_name(name), scored.column_by_name(name), "{name}");
    }
}

#[test]
fn a_file_of_features_is_scored_for_what_it_holds() {
    let plumb = in_production();
    let rows = features(300);
    write(&plumb.path().join("rows.parquet"), &rows);
    let done = plumb
        .run(&placed(&plumb, "predict repeat_purchase --input @/rows.parquet --output @/out.parquet -o json"))
        .ok()
        .json();
    assert_eq!((&done["rows"], &done["by"]), (&json!(300), &json!("features")));
    assert_eq!(done["absent"]["total_orders"]["NULL_VALUE"], json!(60));
    let scored = read(&plumb.path().join("out.parquet"));
    let server = plumb.serve();
    let list = |name: &str| -> Json {
        let column = rows.column_by_name(name).unwrap();
        match column.as_primitive_opt::<Int64Type>() {
            Some(whole) => whole.iter().map(|v| json!(v)).collect(),
            None => column.as_primitive::<arrow::datatypes::Float64Type>().iter().map(|v| json!(v)).collect(),
        }
    };
    let names = ["avg_order_value", "total_orders", "days_since_last_order"];
    let sent: serde_json::Map<String, Json> = names.iter().map(|name| ((*name).to_owned(), list(name))).collect();
    let (status, answer) = server.post("/v1/models/repeat_purchase/predict", &json!({ "features": sent }).to_string());
    assert_eq!(status, 200, "{answer}");
    same(&scored, &answer);
    server.stop();
}

#[test]
fn what_cannot_be_scored_is_refused_before_or_leaves_no_file() {
    let plumb = in_production();
    let file = |name: &str, rows: &RecordBatch| write(&plumb.path().join(name), rows);
    let column = |name: &str, column: ArrayRef| RecordBatch::try_from_iter([(name, column)]).unwrap();
    file("rows.parquet", &keys(1..=10));
    file("none.parquet", &keys([]));
    file("others.parquet", &column("client_id", Arc::new(Int64Array::from(vec![1]))));
    file("texts.parquet", &column("user_id", Arc::new(StringArray::from(vec!["1"]))));
    std::fs::write(plumb.path().join("text.parquet"), "user_id\n1\n").unwrap();
    let fails = |line: &str, words: &[&str]| plumb.run(&placed(&plumb, &format!("predict {line}"))).fails(2, words);
    fails("--input @/rows.parquet", &["where the rows go", "--output scores.parquet"]);
    fails("--input @/rows.parquet --output @/scores.csv", &[".parquet"]);
    fails("--input @/rows.parquet --output @/rows.parquet", &["the file that is read"]);
    fails("--input @/nothing.parquet --output @/s.parquet", &["nothing.parquet"]);
    fails("--input @/text.parquet --output @/s.parquet", &["cannot be read as Parquet"]);
    fails("--input @/none.parquet --output @/s.parquet", &["has no rows"]);
    fails("--input @/others.parquet --output @/s.parquet", &["no column `user_id`", "int64", "lack"]);
    fails("--input @/texts.parquet --output @/s.parquet", &["column `user_id` is string", "int64"]);
    fails("--input @/rows.parquet --output @/s.parquet --by features", &["no column `total_orders`"]);
    fails("nobody --input @/rows.parquet --output @/s.parquet", &["no model `nobody`"]);
    fails("repeat_purchase 9 --input @/rows.parquet --output @/s.parquet", &["no version `9`"]);
    assert!(!plumb.path().join("s.parquet").exists());
    // Scored once, its answers are columns of the file.
    plumb.run(&placed(&plumb, "predict --input @/rows.parquet --output @/s.parquet")).ok();
    fails("--input @/s.parquet --output @/t.parquet", &["`prediction_id` already"]);
    assert!(!plumb.path().join("t.parquet").exists());
    // A format is said once, and to other commands nothing but a format.
    plumb.run("skew -o table -o table").fails(2, &["twice"]);
    plumb.run("skew --output scores.parquet").fails(2, &["scores.parquet", "json"]);
    plumb.run("skew --output yaml").fails(2, &["table, json"]);
}

fn stream(rows: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref()).unwrap();
    writer.write(rows).unwrap();
    writer.into_inner().unwrap()
}

fn ask(server: &Server, query: &str, accept: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let url = format!("{}/v1/models/repeat_purchase/predict{query}", server.url);
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.post(url).header("content-type", ARROW).header("accept", accept).send(body).unwrap();
    (response.status().as_u16(), response.body_mut().read_to_vec().unwrap())
}

#[test]
fn an_arrow_stream_is_answered_as_json_is() {
    let plumb = in_production();
    let server = plumb.serve();
    let users = [1, 2, 3, 4, -1];
    let (_, wanted) = server.predict("repeat_purchase", &users);
    let (status, body) = ask(&server, "", "*/*", &stream(&keys(users)));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let mut reader = StreamReader::try_new(&body[..], None).unwrap();
    let about = reader.schema().metadata().clone();
    assert_eq!((about["plumb.model"].as_str(), about["plumb.version"].as_str()), ("repeat_purchase", "1"));
    let answer = reader.next().unwrap().unwrap();
    same(&answer, &wanted);
    let orders = answer.column_by_name("feature.total_orders").unwrap().as_primitive::<Int64Type>();
    let orders: Vec<Json> = orders.iter().map(|v| json!(v)).collect();
    assert_eq!(json!(orders), wanted["features"]["total_orders"]["values"]);
    // Who wants JSON has it.
    let (status, body) = ask(&server, "", "application/json", &stream(&keys(users)));
    let told: Json = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &told["outputs"]), (200, &wanted["outputs"]));
    let (status, _) = ask(&server, "?by=features", "*/*", &stream(&features(9)));
    assert_eq!(status, 200);
    for (query, rows, words) in [
        ("?by=magic", stream(&keys([1])), "`by` is `magic`"),
        ("?spin=1", stream(&keys([1])), "spin"),
        ("?as_of=2024-01-01", stream(&features(9)), "as_of"),
        ("", stream(&keys([])), "no rows"),
        ("", stream(&keys(0..10_001)), "at most 10000"),
        ("", b"{}".to_vec(), "no Arrow stream"),
        ("", stream(&keys([1]))[..100].to_vec(), "no Arrow stream"),
    ] {
        let (status, body) = ask(&server, query, "*/*", &rows);
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status, 422, "{query}: {body}");
        assert!(body.contains(words), "{query}: {body}");
    }
    server.stop();
}
