//! One view by two keys, and features made of them and of the request: trained on, served, replayed.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Float64Type, Int64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use crate::harness::Plumb;

const DAY: i64 = 86_400_000_000;

fn write(path: &std::path::Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn times(days: &[i64]) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(days.iter().map(|day| day * DAY)).with_timezone("UTC"))
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Cities grow; trips go from one to another.
fn project() -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: trips\nclock: {now: 1970-01-11T00:00:00Z}\n");
    write(
        &plumb.path().join("cities.parquet"),
        vec![
            ("city_id", ints(&[1, 2, 1, 2, 3])),
            ("at", times(&[0, 0, 5, 6, 1])),
            ("people", ints(&[100, 200, 150, 260, 7])),
        ],
    );
    plumb.write(
        "features.yaml",
        "kind: entity\nname: city\njoin_key: city_id\ntype: int64\n---\n\
         kind: source\nname: cities\npath: cities.parquet\nevent_time: at\n---\n\
         kind: feature_view\nname: city_stats\nentity: city\nsource: cities\nfeatures: [{name: people, type: int64}]\n---\n\
         kind: on_demand_view\nname: trip\n\
         views:\n- {view: city_stats, as: origin, join_keys: {city_id: origin_id}}\n\
         - {view: city_stats, as: destination, join_keys: {city_id: destination_id}}\n\
         inputs:\n- {feature: 'origin:people', as: from_people}\n- {feature: 'destination:people', as: to_people}\n\
         request: [{name: km, type: float64}]\n\
         features:\n- {name: pull, type: float64, expr: 'cast(coalesce(from_people * to_people, 0) as double) / km'}\n---\n\
         kind: feature_service\nname: trips_v1\n\
         views:\n- {view: city_stats, as: origin, join_keys: {city_id: origin_id}}\n\
         - {view: city_stats, as: destination, join_keys: {city_id: destination_id}}\n\
         features:\n- {feature: 'origin:people', as: from_people}\n- {feature: 'destination:people', as: to_people}\n- 'trip:*'\n\
         fill: {from_people: 0, to_people: 0, pull: 0.0}\n",
    );
    plumb
}

#[test]
fn what_was_trained_on_is_served_and_replayed() {
    let plumb = project();
    let plan = plumb.run("plan").ok().stdout;
    assert!(plan.contains("on-demand view trip v1: new"), "{plan}");
    plumb.run("apply --yes").ok();
    // Rows: before the cities grew, between, after; a city nobody knows.
    write(
        &plumb.path().join("spine.parquet"),
        vec![
            ("origin_id", ints(&[1, 1, 2, 9])),
            ("destination_id", ints(&[2, 2, 1, 1])),
            ("event_time", times(&[4, 5, 9, 9])),
            ("km", Arc::new(Float64Array::from(vec![10.0, 10.0, 4.0, 2.0]))),
        ],
    );
    let (spine, out) = (plumb.path().join("spine.parquet"), plumb.path().join("train.parquet"));
    plumb
        .run(&format!("training-set build --service trips_v1 --spine {} --out {}", spine.display(), out.display()))
        .ok();
    let file = std::fs::File::open(&out).unwrap();
    let rows = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next().unwrap().unwrap();
    let pull = rows.column_by_name("pull").unwrap().as_primitive::<Float64Type>();
    assert_eq!(pull.values().to_vec(), [2_000.0, 3_000.0, 9_750.0, 0.0]);
    let from = rows.column_by_name("from_people").unwrap().as_primitive::<Int64Type>();
    assert_eq!(from.iter().collect::<Vec<_>>(), [Some(100), Some(150), Some(260), None]);

    plumb.run("materialize trip").fails(2, &["`trip` is an on-demand view", "the feature views that it reads"]);
    plumb.run("materialize").ok();
    let file = plumb.model("test/linear.onnx");
    plumb.run(&format!("model register pull {} --service trips_v1", file.display())).ok();
    plumb.run("model promote pull 1").ok();
    let server = plumb.serve();
    let body = json!({
        "entities": { "origin_id": [2, 9, null], "destination_id": [1, 1, 1] },
        "context": { "km": [4.0, 2.0, 1.0] },
    });
    let (status, answer) = server.post("/v1/models/pull/predict", &body.to_string());
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["features"]["pull"],
        json!({ "values": [9_750.0, 0.0, 0.0], "statuses": ["PRESENT", "PRESENT", "PRESENT"], "view": "trip" })
    );
    assert_eq!(answer["features"]["from_people"]["statuses"], json!(["PRESENT", "NOT_FOUND", "NOT_FOUND"]));
    assert_eq!(answer["views"]["destination"]["version"], 1);
    // One value for all rows, over HTTP and on the command line.
    let body = json!({
        "service": "trips_v1", "entities": { "origin_id": [1, 2], "destination_id": [2, 3] }, "context": { "km": 10 },
    });
    let (_, answer) = server.post("/v1/features", &body.to_string());
    assert_eq!(answer["features"]["pull"]["values"], json!([3_900.0, 182.0]));
    for (context, code) in [
        (json!({}), "missing_context"),
        (json!({ "km": "far" }), "wrong_context_type"),
        (json!({ "km": [1.0] }), "unequal_lists"),
        (json!({ "km": 1.0, "miles": 1.0 }), "unknown_context"),
    ] {
        let body = json!({ "service": "trips_v1", "entities": { "origin_id": [1, 2], "destination_id": [2, 3] }, "context": context });
        let (status, answer) = server.post("/v1/features", &body.to_string());
        assert_eq!((status, answer["error"]["code"].as_str()), (422, Some(code)), "{answer}");
    }
    server.stop();
    let got =
        plumb.json("features get --service trips_v1 --entity origin_id=1 --entity destination_id=2 --context km=10");
    assert_eq!(got["features"]["pull"]["values"], json!([3_900.0]));
    let skew = plumb.json("skew");
    assert_eq!((&skew["in_plumb"], &skew["predictions"]), (&json!(true), &json!(3)), "{skew}");
    let pull = skew["services"][0]["features"].as_array().unwrap().iter().find(|f| f["feature"] == "pull").unwrap();
    assert_eq!((&pull["compared"], &pull["equal"]), (&json!(3), &json!(3)));
}

#[test]
fn a_spine_without_what_the_request_says_is_refused_before_any_work() {
    let plumb = project();
    plumb.run("apply --yes").ok();
    for (km, words) in [
        (None, ["no column `km`", "on-demand view `trip`"]),
        (Some(Arc::new(arrow::array::StringArray::from(vec!["far"])) as ArrayRef), ["column `km`", "float64"]),
    ] {
        let mut columns = vec![("origin_id", ints(&[1])), ("destination_id", ints(&[2])), ("event_time", times(&[4]))];
        columns.extend(km.map(|km| ("km", km)));
        write(&plumb.path().join("spine.parquet"), columns);
        let (spine, out) = (plumb.path().join("spine.parquet"), plumb.path().join("train.parquet"));
        plumb
            .run(&format!("training-set build --service trips_v1 --spine {} --out {}", spine.display(), out.display()))
            .fails(2, &words);
        assert!(!out.exists());
    }
}

#[test]
fn what_cannot_be_computed_is_refused_when_it_is_planned() {
    for (from, to, words) in [
        ("/ km", "/ miles", ["No field named miles", "on-demand feature `pull`"]),
        ("/ km", "/ random()", ["random", "another answer"]),
        (
            "as: from_people}\n- {feature: 'destination",
            "as: to_people}\n- {feature: 'destination",
            ["to_people", "twice"],
        ),
        (
            "origin:people', as: from_people}\n- {feature: 'destination:people', as: to_people}\nrequest",
            "trip:pull', as: from_people}\n- {feature: 'destination:people', as: to_people}\nrequest",
            ["in a circle", "`trip` reads `trip`"],
        ),
    ] {
        let plumb = project();
        plumb.edit("features.yaml", from, to);
        let answer = plumb.run("plan");
        assert_eq!(answer.code, 2, "{answer:?}");
        for word in words {
            assert!(answer.stderr.contains(word), "`{word}` is not in {}", answer.stderr);
        }
    }
}
