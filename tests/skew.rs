//! `plumb skew` replays what was served: silent while training and serving agree, and exact about the rows where not.

use std::sync::Arc;

use crate::harness::Plumb;

#[test]
fn a_store_that_was_tampered_with_is_found_out() {
    let plumb = Plumb::demo_online();
    let file = plumb.model("repeat_purchase_v1.onnx");
    plumb.run(&format!("model register repeat_purchase {}", file.display())).ok();
    plumb.run("model promote repeat_purchase 1").ok();
    assert!(plumb.run("skew").ok().stdout.contains("no predictions are logged yet"));

    let server = plumb.serve();
    let (status, _) = server.predict("repeat_purchase", &[4, 18, 21, 99_999_999]);
    assert_eq!(status, 200);
    server.stop();
    let report = plumb.run("skew").ok();
    assert!(report.stdout.contains("in plumb: 4 predictions"), "{report:?}");

    // Somebody writes another row into the online store: newer than any order, and known to nobody else.
    tamper(&plumb, 4, Some(1_000));
    let server = plumb.serve();
    server.predict("repeat_purchase", &[4, 18]);
    server.stop();
    let report = plumb.run("skew");
    assert_eq!(report.code, 1, "{report:?}");
    assert!(report.stdout.contains("out of plumb: of 6 predictions"), "{report:?}");
    let json = plumb.run("skew --output json").json();
    let features = json["services"][0]["features"].as_array().unwrap();
    let orders = features.iter().find(|f| f["feature"] == "total_orders").unwrap();
    assert_eq!((&orders["compared"], &orders["equal"], &orders["mismatched"]), (&6.into(), &5.into(), &1.into()));
    assert_eq!(orders["examples"][0]["online"], "1000 PRESENT");
    assert_eq!(
        (&orders["numbers"]["difference"]["p50"], &orders["numbers"]["online"]["max"]),
        (&0.0.into(), &1000.0.into())
    );
    assert_eq!(orders["first_failing"]["step"], "stored");
    assert!(report.stdout.contains("total_orders differs first at `user_features:total_orders`"), "{report:?}");

    // Of some entities: all predictions of each, or none.
    let compared = |percent: &str| {
        let report = plumb.run(&format!("skew --sample {percent} --output json")).json();
        report["predictions"].as_u64().unwrap()
    };
    assert_eq!((compared("100"), compared("0")), (6, 0));
    let some = [10, 20, 30, 40, 50, 60, 70, 80, 90].map(|percent| compared(&percent.to_string()));
    assert!(some.is_sorted() && some.iter().any(|n| (1..6).contains(n)), "{some:?}");
    plumb.run("skew --sample 101").fails(2, &["--sample 101", "from 0 to 100"]);

    // A damaged file of the log is named, and hides no other.
    plumb.write(".plumb/predictions/repeat_purchase/torn.parquet", "PAR1");
    let json = plumb.run("skew --output json").json();
    assert_eq!(json["predictions"], 6);
    assert!(json["unreadable"][0].as_str().unwrap().contains("torn.parquet"), "{json}");
}

/// A row that only the store lost is missing, one that only the store has is extra.
#[test]
fn a_deleted_and_an_added_row_are_told_apart() {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    tamper(&plumb, 4, None);
    tamper(&plumb, 99_999_999, Some(7));
    let server = plumb.serve();
    assert_eq!(server.predict("m", &[4, 18, 99_999_999]).0, 200);
    server.stop();
    let report = plumb.run("skew --output json");
    assert_eq!(report.code, 1, "{report:?}");
    let json = report.json();
    let features = json["services"][0]["features"].as_array().unwrap();
    let orders = features.iter().find(|f| f["feature"] == "total_orders").unwrap();
    let counts = ["compared", "equal", "missing", "extra", "mismatched"].map(|name| orders[name].as_u64().unwrap());
    assert_eq!(counts, [3, 1, 1, 1, 0], "{orders}");
    let said = [0, 1].map(|i| (orders["examples"][i]["offline"].clone(), orders["examples"][i]["online"].clone()));
    assert_eq!(said[0].1, "null NOT_FOUND");
    assert_eq!(said[1], ("null NOT_FOUND".into(), "7 PRESENT".into()));
}

/// What differs is counted and measured; whose it is, and what it is, stays untold where it is personal.
#[test]
fn personal_values_are_in_no_report_and_in_no_evidence() {
    let plumb = Plumb::demo();
    plumb.edit(
        "features/user_features.yaml",
        "{name: total_orders, type: int64",
        "{name: total_orders, pii: true, type: int64",
    );
    plumb.edit("features/user_features.yaml", "join_key: user_id", "pii: true\njoin_key: user_id");
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    tamper(&plumb, 4, Some(987_654));
    let server = plumb.serve();
    assert_eq!(server.predict("m", &[4, 18]).0, 200);
    server.stop();
    for output in ["", " --output json"] {
        let told = plumb.run(&format!("skew{output}"));
        assert!(told.code == 1 && told.stdout.contains("***") && !told.stdout.contains("987654"), "{told:?}");
    }
    let json = plumb.run("skew --output json").json();
    let features = json["services"][0]["features"].as_array().unwrap();
    let of = |name: &str| features.iter().find(|f| f["feature"] == name).unwrap();
    assert_eq!((&of("total_orders")["mismatched"], of("total_orders").get("numbers")), (&1.into(), None));
    assert_eq!(of("total_orders")["first_failing"]["feature"], "user_features:total_orders");
    // What is not personal is measured.
    let value = &of("avg_order_value")["numbers"];
    assert!(value["online"]["min"] == 1.0 && value["difference"]["min"].as_f64().unwrap() < 0.0, "{value}");

    // Every sampled entity is wrong now, so that the refusal has an example of each.
    tamper_all(&plumb, &(1..=30_000).collect::<Vec<_>>(), Some(987_654));
    for output in ["", " --output json"] {
        let told = plumb.run(&format!("model promote m 1 --to staging{output}"));
        let all = told.stdout + &told.stderr;
        assert!(told.code == 1 && all.contains("user_id=*** (row ") && !all.contains("987654"), "{all}");
    }
    // What is not personal is somebody's value all the same, and the log is never edited.
    let bytes = std::fs::read(plumb.path().join(".plumb/registry.db")).unwrap();
    let holds = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(holds("mismatched"), "the refusal is recorded");
    for word in ["987654", "\"numbers\"", "user_id="] {
        assert!(!holds(word), "the evidence holds rows: {word}");
    }
}

/// Gives a user other orders in the online store alone, or deletes the user there.
fn tamper(plumb: &Plumb, user: i64, orders: Option<i64>) {
    tamper_all(plumb, &[user], orders);
}

fn tamper_all(plumb: &Plumb, users: &[i64], orders: Option<i64>) {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, TimestampNanosecondArray};
    use featurestore::OnlineStore;
    use featurestore::codec::RowCodec;
    use featurestore::online::marks::Marks;
    use featurestore::online::{Cell, EmbeddedStore, OnlineRow};
    use registry::{Registry, SqliteLog};
    use schema::{Dtype, EntityKey, RowOrder, Timestamp};

    let store = EmbeddedStore::open(&plumb.path().join(".plumb/online")).unwrap();
    let at = Timestamp::parse("1998-06-30T12:00:00Z").unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![orders])),
        Arc::new(Float64Array::from(vec![1.0])),
        Arc::new(TimestampNanosecondArray::from(vec![at.as_nanos()]).with_timezone("UTC")),
        Arc::new(Int64Array::from(vec![1])),
    ];
    let codec = RowCodec::new([Dtype::Int64, Dtype::Float64, Dtype::Timestamp, Dtype::Int64]);
    let order = RowOrder { event_time: at, created_time: None, sequence: 0 };
    let row = OnlineRow::new(order, at, orders.map(|_| codec.encode(&columns, 0)));
    let keys: ArrayRef = Arc::new(Int64Array::from(users.to_vec()));
    let keys = EntityKey::from_columns(&[keys], users.len()).into_iter().flatten();
    let cells: Vec<_> = keys.map(|key| (key, Cell::of(std::slice::from_ref(&row), at))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let log = SqliteLog::open(&plumb.path().join(".plumb/registry.db")).unwrap();
        let catalog = Registry::open(Arc::new(log)).await.unwrap().catalog();
        let view = catalog.definitions().current_view("user_features").unwrap();
        let table = Marks::read(&store, view).await.unwrap().table(view).unwrap();
        store.put_many(&table, &cells, at).await.unwrap();
    });
}

/// Rows that came after a prediction was made: it was right, and is told to be late rather than wrong.
#[test]
fn rows_that_came_after_a_prediction_make_it_stale_and_not_wrong() {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    let (status, early) = server.predict("m", &[4, 18]);
    assert_eq!(status, 200);
    server.stop();
    // An order of user 4 from before the prediction's instant, which nobody had sent yet.
    arrive_late(&plumb.path().join("data/orders.parquet"));
    let report = plumb.run("skew").ok();
    assert!(report.stdout.contains("in plumb: 2 predictions") && report.stdout.contains("stale: "), "{report:?}");
    let orders = || {
        let json = plumb.run("skew --output json").json();
        let features = json["services"][0]["features"].as_array().unwrap();
        features.iter().find(|f| f["feature"] == "total_orders").unwrap().clone()
    };
    let found = orders();
    assert_eq!((&found["compared"], &found["equal"], &found["stale"]), (&2.into(), &1.into(), &1.into()), "{found}");
    assert_eq!((&found["mismatched"], found["examples"].as_array().unwrap().len()), (&0.into(), 0));
    let replayed = |answer: &serde_json::Value| {
        let id = answer["prediction_ids"][0].as_str().unwrap();
        let done = plumb.run(&format!("replay {id} -o json"));
        let orders =
            done.json()["features"].as_array().unwrap().iter().find(|f| f["feature"] == "total_orders").cloned();
        (done.code, done.json()["differing_outputs"].clone(), orders.unwrap()["history"].clone())
    };
    assert_eq!(replayed(&early), (0, serde_json::json!({}), "late".into()));

    // Negative control: what is wrong stays wrong, whatever came late.
    plumb.run("materialize").ok();
    tamper(&plumb, 4, Some(1_000));
    let server = plumb.serve();
    let (status, wrong) = server.predict("m", &[4]);
    assert_eq!(status, 200);
    server.stop();
    assert_eq!(plumb.run("skew").code, 1);
    // The model said what it says of such features; they were wrong.
    assert_eq!(replayed(&wrong), (1, serde_json::json!({}), "differs".into()));
    let found = orders();
    assert_eq!(
        (&found["compared"], &found["stale"], &found["mismatched"]),
        (&3.into(), &1.into(), &1.into()),
        "{found}"
    );
}

/// Writes the file again with one more order of user 4, of the middle of June.
fn arrive_late(path: &std::path::Path) {
    use arrow::array::{ArrayRef, AsArray, RecordBatch};
    use arrow::compute::{cast, concat_batches};
    use arrow::datatypes::Int64Type;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use schema::Timestamp;

    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let users = cast(all.column_by_name("user_id").unwrap(), &arrow::datatypes::DataType::Int64).unwrap();
    let row = users.as_primitive::<Int64Type>().iter().position(|user| user == Some(4)).unwrap();
    let one = all.slice(row, 1);
    let at = Timestamp::parse("1998-06-15T12:00:00Z").unwrap();
    let time: ArrayRef = Arc::new(arrow::array::TimestampNanosecondArray::from(vec![at.as_nanos()]));
    let schema = all.schema();
    let columns = schema.fields().iter().zip(one.columns()).map(|(field, column)| match field.name().as_str() {
        "ordered_at" => cast(&time, field.data_type()).unwrap(),
        _ => ArrayRef::clone(column),
    });
    let late = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    let whole = concat_batches(&schema, [&all, &late]).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), schema, None).unwrap();
    writer.write(&whole).unwrap();
    writer.close().unwrap();
}
