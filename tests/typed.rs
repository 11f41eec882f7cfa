//! Features of every kind of type, from a Parquet file to a client that reads Arrow, and to one that reads JSON; and the
//! times and types that are refused.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, FixedSizeListArray, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Int8Type};
use arrow::ipc::reader::StreamReader;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use crate::harness::{Plumb, Server};

const DEFINITIONS: &str = "kind: entity
name: item
join_key: item_id
type: decimal(20,0)
---
kind: source
name: items
path: items.parquet
event_time: seen_at
timezone: America/New_York
---
kind: feature_view
name: item_features
entity: item
source: items
features:
- {name: price, type: \"decimal(12,2)\"}
- {name: embedding, type: \"list<float32, 3>\"}
- {name: profile, type: json}
- {name: note, type: string}
---
kind: feature_service
name: ranking
features: ['item_features:price', 'item_features:embedding', 'item_features:profile', 'item_features:note']
";

/// Local times of two rows, in microseconds.
fn project(seen_at: [i64; 2]) -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: typed\n");
    plumb.write("items.yaml", DEFINITIONS);
    let decimals = |values: Vec<Option<i128>>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    let embedding = [Some(vec![Some(0.5), None, Some(f32::NAN)]), None];
    let count: ArrayRef = Arc::new(Int64Array::from(vec![(1 << 53) + 1, 0]));
    let field = Arc::new(Field::new("count", DataType::Int64, true));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("item_id", decimals(vec![Some(1), Some(2)], 10, 0), true),
        ("seen_at", Arc::new(TimestampMicrosecondArray::from(seen_at.to_vec())), true),
        ("price", decimals(vec![Some(1_250), None], 10, 2), true),
        ("embedding", Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(embedding, 3)), true),
        ("profile", Arc::new(StructArray::from(vec![(field, count)])), true),
        ("note", Arc::new(StringArray::from(vec!["a", "b"])), true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let file = std::fs::File::create(plumb.path().join("items.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    plumb
}

fn ask(server: &Server, accept: &str) -> (u16, String, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let body = json!({ "service": "ranking", "entities": { "item_id": ["1", 2, 3] }, "as_of": "2024-06-01T00:00:00Z" });
    let request = agent.post(format!("{}/v1/features", server.url)).header("Accept", accept);
    let mut response = request.send(body.to_string()).unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    (response.status().as_u16(), kind, response.body_mut().read_to_vec().unwrap())
}

/// A winter's noon in New York, 17:00 UTC.
const NOON: i64 = 1_704_110_400_000_000;

#[test]
fn integers_in_json_keep_all_their_digits() {
    let plumb = project([NOON, NOON]);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    let exact = r#"{"list":[-170141183460469231731687303715884105729],"n":123456789012345678901234567890}"#;
    let push = |profile: &str| {
        let rows = format!(
            r#"{{"rows": {{"item_id": ["1"], "event_time": ["2024-05-01T00:00:00Z"], "profile": [{profile}]}}}}"#
        );
        server.post("/v1/views/item_features/push", &rows)
    };
    let (status, answer) = push(exact);
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = push(r#"{"n": 1, "n": 2}"#);
    assert_eq!((status, answer["error"]["code"].as_str()), (422, Some("wrong_value_type")), "{answer}");
    let printed = plumb.run("features get item_features:profile --entity item_id=1 --output json").ok().stdout;
    assert!(printed.contains(exact), "{printed}");
}

#[test]
fn an_arrow_client_gets_every_value_in_its_type() {
    let plumb = project([NOON, NOON]);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();

    let (status, kind, body) = ask(&server, "application/vnd.apache.arrow.stream");
    assert_eq!((status, kind.as_str()), (200, "application/vnd.apache.arrow.stream"));
    let mut reader = StreamReader::try_new(body.as_slice(), None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    let schema = batch.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let features = ["price", "embedding", "profile", "note"];
    let mut want = vec!["item_id".to_owned()];
    want.extend(features.iter().flat_map(|name| [(*name).to_owned(), format!("{name}__status")]));
    want.push("item_features__event_time".to_owned());
    assert_eq!(names, want);
    assert_eq!(schema.metadata()["plumb.effective_time"], "2024-06-01T00:00:00Z");
    assert_eq!(schema.metadata()["plumb.views"], r#"{"item_features":1}"#);
    let column = |name: &str| Arc::clone(batch.column_by_name(name).unwrap());
    assert_eq!(*column("price").data_type(), DataType::Decimal128(12, 2));
    assert_eq!(
        column("embedding").as_fixed_size_list().value(0).as_primitive::<Float32Type>().value(0).to_bits(),
        0x3f00_0000
    );
    assert_eq!(column("profile").as_string::<i32>().value(0), r#"{"count":9007199254740993}"#);
    assert_eq!(schema.field_with_name("profile").unwrap().metadata()["ARROW:extension:name"], "arrow.json");
    let shown = |name: &str| {
        let statuses = column(name);
        let statuses = statuses.as_dictionary::<Int8Type>();
        let names = statuses.downcast_dict::<StringArray>().unwrap();
        names.into_iter().map(|name| name.unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown("price__status"), "PRESENT NULL_VALUE NOT_FOUND");
    let times = column("item_features__event_time");
    assert_eq!(times.null_count(), 1);
    let noon = times.as_primitive::<arrow::datatypes::TimestampNanosecondType>().value(0);
    assert_eq!(noon, (NOON + 5 * 3_600_000_000) * 1_000);

    // JSON says the same, as far as it can.
    let (status, kind, body) = ask(&server, "application/json;q=0.9, text/html;q=0.1");
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let body = String::from_utf8(body).unwrap();
    for text in [
        r#""values":["12.50",null,null]"#,
        r#""values":[[0.5,null,"NaN"],null,null]"#,
        r#""values":[{"count":9007199254740993},{"count":0},null]"#,
    ] {
        assert!(body.contains(text), "{text} is not in {body}");
    }

    let (status, kind, body) = ask(&server, "text/csv");
    assert_eq!((status, kind.as_str()), (406, "application/json"));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], "not_acceptable");

    // A training set holds the same types.
    plumb.write("spine.csv", "item_id,event_time\n1,2024-06-01T00:00:00Z\n");
    let (spine, out) = (plumb.path().join("spine.csv"), plumb.path().join("set.parquet"));
    let build = format!("training-set build --service ranking --spine {} --out {}", spine.display(), out.display());
    plumb.run(&build).ok();
    let file = std::fs::File::open(out).unwrap();
    let set = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
    for name in features {
        let (there, here) = (set.column_by_name(name).unwrap(), column(name).slice(0, 1));
        assert_eq!(there.to_data(), here.to_data(), "{name}");
    }
}

#[test]
fn a_time_that_clocks_skip_is_named() {
    // Half past two in the night of the change, and the hour that came twice in autumn.
    let skipped = 1_710_037_800_000_000;
    let plumb = project([NOON, skipped]);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").fails(
        2,
        &[
            "`seen_at`",
            "items.parquet",
            "2024-03-10T02:30:00 does not exist in America/New_York",
            "clocks were put forward",
        ],
    );
    let twice = 1_730_597_400_000_000;
    let plumb = project([NOON, twice]);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let found = plumb.json("features get --service ranking --entity item_id=2");
    assert_eq!(found["views"]["item_features"]["event_times"][0], "2024-11-03T05:30:00Z");
}

#[test]
fn misspelt_types_say_what_was_meant() {
    let check = |from: &str, to: &str, words: &[&str]| {
        let plumb = project([NOON, NOON]);
        plumb.edit("items.yaml", from, to);
        plumb.run("plan").fails(2, words);
    };
    check("list<float32, 3>", "list<flaot32, 3>", &["items.yaml:18:27:", "did you mean `list<float32, 3>`?"]);
    check("\"list<float32, 3>\"", "list<float32, 3>", &["a comma ends the value", "quote the type"]);
    check("type: decimal(20,0)", "type: json", &["a join key cannot be json: it is made of parts"]);
    check("list<float32, 3>", "list<float32, 4>", &["it is list<float32, 3>, declared list<float32, 4>"]);
    check("decimal(12,2)", "decimal(9,2)", &["it is decimal(10,2), declared decimal(9,2)"]);
}

#[test]
fn a_text_that_is_no_json_is_named() {
    let plumb = project([NOON, NOON]);
    plumb.edit("items.yaml", "name: note, type: string", "name: note, type: json");
    plumb.run("apply --yes").ok();
    plumb
        .run("materialize")
        .fails(2, &["`note`", "items.parquet", "the text `a` is not JSON at byte 0: expected a value"]);
}
