//! The plumb line: for any history, the value served online as of t is the value that a training row at t gets, bit for
//! bit, with status and event time. Histories hold ties, late rows, corrections, deletions, nulls, NaN and rows of the
//! future; they arrive in random portions, by materialize and by push in any order, to both online stores.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use featurestore::codec::RowCodec;
use featurestore::materialize::{materialize, online_row};
use featurestore::offline::OfflineStore;
use featurestore::online::testing::TestRedis;
use featurestore::online::{Cell, EmbeddedStore, OnlineStore, RedisStore};
use featurestore::retrieve::{EntityRows, retrieve};
use featurestore::training::features_at;
use featurestore::{CompiledService, FeatureRows};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schema::definitions::File;
use schema::{AppliedDefinitions, Definitions, EntityKey, RowOrder, Timestamp, Value};

/// Generated histories; every run checks as many on both stores.
const HISTORIES: u32 = 1_000;
const KEYS: i64 = 4;

#[derive(Debug, Clone)]
struct Row {
    key: i64,
    event: i64,
    created: Option<i64>,
    deleted: bool,
    count: Option<i64>,
    amount: Option<u64>,
    name: Option<String>,
    flag: Option<bool>,
}

#[derive(Debug, Clone)]
struct History {
    rows: Vec<Row>,
    ttl: Option<i64>,
    as_of: bool,
    strict: bool,
    /// For each row, whether it is also pushed; and the order in which pushes arrive.
    pushed: Vec<bool>,
    shuffle: Vec<u32>,
    /// How many rows are in the source at the first materialization, and the instants of both.
    first: usize,
    horizons: (i64, i64),
    /// Whether the view is a query, read through its snapshot.
    query: bool,
    /// Whether the first materialization saw other values in the same rows: recomputed since.
    revised: bool,
}

fn rows() -> impl Strategy<Value = Row> {
    let amounts = prop_oneof![
        Just(f64::NAN.to_bits()),
        Just((-0.0_f64).to_bits()),
        Just(f64::INFINITY.to_bits()),
        Just(0x7ff0_0000_dead_beef_u64),
        any::<u64>(),
        (-9..9_i32).prop_map(|v| f64::from(v).to_bits()),
    ];
    let names = prop_oneof![Just(String::new()), "[a-z]{1,3}", Just("naïve 𝄞".to_owned())];
    (
        0..KEYS,
        0..20_i64,
        proptest::option::weighted(0.6, 0..24_i64),
        proptest::bool::weighted(0.12),
        proptest::option::weighted(0.8, prop_oneof![any::<i64>(), 0..5_i64]),
        proptest::option::weighted(0.8, amounts),
        proptest::option::weighted(0.8, names),
        proptest::option::weighted(0.8, any::<bool>()),
    )
        .prop_map(|(key, event, created, deleted, count, amount, name, flag)| Row {
            key,
            event,
            created,
            deleted,
            count,
            amount,
            name,
            flag,
        })
}

fn histories() -> impl Strategy<Value = History> {
    proptest::collection::vec(rows(), 0..20).prop_flat_map(|rows| {
        let n = rows.len();
        (
            Just(rows),
            proptest::option::weighted(0.7, 1..12_i64),
            any::<bool>(),
            proptest::bool::weighted(0.2),
            proptest::collection::vec(any::<bool>(), n),
            proptest::collection::vec(any::<u32>(), n),
            0..=n,
            (0..20_i64, 0..10_i64),
            (any::<bool>(), any::<bool>()),
        )
            .prop_map(|(rows, ttl, as_of, strict, pushed, shuffle, first, (h1, more), (query, revised))| {
                History { rows, ttl, as_of, strict, pushed, shuffle, first, horizons: (h1, h1 + more), query, revised }
            })
    })
}

fn definitions(history: &History) -> AppliedDefinitions {
    let ttl = history.ttl.map(|ttl| format!("ttl: {ttl}ns")).unwrap_or_default();
    let known = if history.as_of { "as_of" } else { "event" };
    let query =
        "sql: SELECT *, _row AS n FROM rows\nevent_time: ts\ncreated_time: created\ndeleted: gone\nsequence: n\n";
    let query = if history.query { query } else { "" };
    let text = format!(
        "kind: entity\nname: e\njoin_key: k\ntype: int64\n---\n\
         kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\ncreated_time: created\ndeleted: gone\n---\n\
         kind: feature_view\nname: f\nentity: e\nsource: rows\n{query}{ttl}\nknown: {known}\nstrict_before: {}\nfeatures:\n\
         - {{name: count, type: int64}}\n- {{name: amount, type: float64}}\n- {{name: name, type: string}}\n- {{name: flag, type: bool}}\n- {{name: at, type: timestamp}}\n\
         computed:\n- {{name: age, type: float64, expr: \"date_part('epoch', request_time) - date_part('epoch', at)\"}}\n\
         - {{name: known_amount, type: float64, expr: 'coalesce(amount, 0.0) * 0.1'}}\n---\n\
         kind: feature_service\nname: s\nfeatures: ['f:count', 'f:amount', 'f:name', 'f:flag', 'f:age', 'f:known_amount']\n",
        history.strict
    );
    let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text }]).unwrap();
    AppliedDefinitions::default().after(&declared)
}

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let count: Int64Array = rows.iter().map(|r| r.count).collect();
    let amount: Float64Array = rows.iter().map(|r| r.amount.map(f64::from_bits)).collect();
    let name: StringArray = rows.iter().map(|r| r.name.clone()).collect();
    let flag: BooleanArray = rows.iter().map(|r| r.flag).collect();
    let at = TimestampNanosecondArray::from_iter_values(rows.iter().map(|r| r.event)).with_timezone("UTC");
    vec![Arc::new(count), Arc::new(amount), Arc::new(name), Arc::new(flag), Arc::new(at)]
}

fn write(path: &std::path::Path, rows: &[Row]) {
    let utc = |array: TimestampNanosecondArray| Arc::new(array.with_timezone("UTC")) as ArrayRef;
    let mut all: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(rows.iter().map(|r| Some(r.key)).collect::<Int64Array>())),
        ("ts", utc(rows.iter().map(|r| Some(r.event)).collect())),
        ("created", utc(rows.iter().map(|r| r.created).collect())),
        ("gone", Arc::new(rows.iter().map(|r| Some(r.deleted)).collect::<BooleanArray>())),
    ];
    all.extend(["count", "amount", "name", "flag", "at"].into_iter().zip(columns(rows)));
    let batch = RecordBatch::try_from_iter_with_nullable(all.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A pushed row is the very row that the source holds: same values, same place in the order of arrival.
fn push(view: &schema::FeatureView, rows: &[Row], i: usize, horizon: Timestamp) -> (EntityKey, Cell) {
    let row = &rows[i];
    let order = RowOrder {
        event_time: Timestamp::from_nanos(row.event),
        created_time: row.created.map(Timestamp::from_nanos),
        sequence: i as u64,
    };
    let codec = RowCodec::new(view.definition.features.iter().map(|f| f.dtype));
    let packed = (!row.deleted).then(|| codec.encode(&columns(rows), i));
    let visible_from = view.visibility().visible_from(&order);
    let key: ArrayRef = Arc::new(Int64Array::from(vec![row.key]));
    let key = EntityKey::from_columns(&[key], 1).remove(0).unwrap();
    (key, Cell::of(&[online_row(order, visible_from, 0, packed.as_deref())], horizon))
}

fn said(rows: &FeatureRows, row: usize) -> Vec<String> {
    let value = |(i, column): (usize, &ArrayRef)| match Value::at(column, row) {
        // Bits, not text: NaNs have payloads, and zero has a sign.
        Value::Float(v) => format!("{:016x} {}", v.to_bits(), rows.statuses[i][row]),
        other => format!("{other} {}", rows.statuses[i][row]),
    };
    let mut all: Vec<String> = rows.columns.iter().enumerate().map(value).collect();
    all.push(format!("{:?}", rows.event_times[0][row]));
    all
}

async fn compare(history: &History, store: &dyn OnlineStore) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("rows.parquet");
    let definitions = definitions(history);
    let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
    let view = definitions.current_view("f").unwrap();
    let offline = OfflineStore::new(folder.path(), folder.path());
    let (h1, h2) = (Timestamp::from_nanos(history.horizons.0), Timestamp::from_nanos(history.horizons.1));
    let quiet = |_| {};

    // The first rows are materialized; then pushes come in any order; then the whole source, and once more.
    let mut rows = history.rows[..history.first].to_vec();
    for row in rows.iter_mut().filter(|_| history.revised) {
        row.count = row.count.map(|count| !count);
        row.deleted ^= row.event % 3 == 0;
        row.flag = None;
    }
    write(&source, &rows);
    materialize(view, &offline.history(view).await.unwrap(), store, h1, &quiet).await.unwrap();
    let mut order: Vec<usize> = (0..history.rows.len()).filter(|i| history.pushed[*i]).collect();
    order.sort_by_key(|i| history.shuffle[*i]);
    for i in order {
        store.put_many(&view.id, &[push(view, &history.rows, i, h1)], h1).await.unwrap();
    }
    write(&source, &history.rows);
    let all = offline.history(view).await.unwrap();
    materialize(view, &all, store, h2, &quiet).await.unwrap();
    materialize(view, &all, store, h2, &quiet).await.unwrap();

    let keys: ArrayRef = Arc::new((0..=KEYS).map(Some).chain([None]).collect::<Int64Array>());
    let n = keys.len();
    let entities = EntityRows { n, columns: [("k".to_owned(), Arc::clone(&keys))].into() };
    for t in h2.as_nanos()..=40 {
        let t = Timestamp::from_nanos(t);
        let here = retrieve(store, &compiled, &entities, t).await.unwrap();
        let times = vec![Some(t); n];
        let (there, _) = features_at(&offline, &compiled, &entities, &times).await.unwrap();
        for row in 0..n {
            prop_assert_eq!(said(&here, row), said(&there, row), "key {} as of {} ns", row, t.as_nanos());
        }
    }
    Ok(())
}

fn laws(store_for: impl Fn(u32) -> Arc<dyn OnlineStore>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: HISTORIES, failure_persistence: None, ..Config::default() });
    let case = std::cell::Cell::new(0);
    let result = runner.run(&histories(), |history| {
        case.set(case.get() + 1);
        let _inside = runtime.enter();
        let store = store_for(case.get());
        runtime.block_on(compare(&history, store.as_ref()))
    });
    if let Err(why) = result {
        panic!("{why}");
    }
    assert!(case.get() >= HISTORIES, "{} histories", case.get());
}

#[test]
fn online_value_equals_offline_value_as_of_in_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    laws(|case| Arc::new(EmbeddedStore::open(&folder.path().join(case.to_string())).unwrap()));
}

#[test]
fn online_value_equals_offline_value_as_of_in_redis() {
    let redis = TestRedis::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let timeout = Duration::from_secs(10);
    let prefix = uuid::Uuid::now_v7().simple().to_string();
    laws(|case| {
        let project = format!("line-{prefix}-{case}");
        let connecting = RedisStore::connect(redis.url(), &project, timeout);
        let store = std::thread::scope(|s| s.spawn(|| runtime.block_on(connecting)).join().unwrap().unwrap());
        Arc::new(store)
    });
}
