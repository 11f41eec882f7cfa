//! The plumb line: for any history, the value served online as of t is the value that a training row at t gets, bit for
//! bit, with status and event time. Histories hold ties, late rows, corrections, deletions, nulls, NaN and rows of the
//! future; they arrive in random portions, by materialize and by push in any order, to both online stores. Features are
//! of every kind of type, JSON among them that the source holds as structs. On the way the store fails: before, during and
//! after what it was told to do, or its caller is killed; whoever was told so tries again, as people and clients do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampNanosecondArray,
};
use arrow::compute::concat;
use arrow::datatypes::Field;
use featurestore::materialize::{How, Materializer};
use featurestore::offline::OfflineStore;
use featurestore::online::testing::TestRedis;
use featurestore::online::{EmbeddedStore, OnlineReader, OnlineStore, RedisStore};
use featurestore::push::{To, push};
use featurestore::retrieve::{EntityRows, retrieve};
use featurestore::training::features_at;
use featurestore::{CompiledService, FeatureRows};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schema::definitions::File;
use schema::{AppliedDefinitions, Definitions, Dtype, Scalar, Timestamp, Value};

use crate::faulty::{Fault, Faulty, KINDS, Met, faults};
use crate::types;

/// Generated histories; every run checks as many on both stores.
const HISTORIES: u32 = 1_000;
const KEYS: i64 = 4;
/// Features of types that have no column of their own in [`Row`].
const MORE: [(&str, Dtype); 10] = [
    ("price", Dtype::Decimal { precision: 20, scale: 4 }),
    ("embedding", Dtype::FixedList(Scalar::Float32, 3)),
    ("visits", Dtype::List(Scalar::Int64)),
    ("tags", Dtype::List(Scalar::String)),
    ("gap", Dtype::Duration),
    ("digest", Dtype::Bytes),
    ("day", Dtype::Date),
    ("big", Dtype::Uint64),
    ("single", Dtype::Float32),
    ("seen", Dtype::Timestamp),
];

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
    /// One for each of [`MORE`].
    more: Vec<types::Cell>,
}

#[derive(Debug, Clone)]
struct History {
    rows: Vec<Row>,
    ttl: Option<i64>,
    as_of: bool,
    strict: bool,
    /// For each row, whether it is pushed besides; and the order in which pushes arrive.
    pushed: Vec<bool>,
    shuffle: Vec<u32>,
    /// How many rows are in the source at the first materialization, and the instants of both.
    first: usize,
    horizons: (i64, i64),
    /// Whether the view is a query, read through its snapshot.
    query: bool,
    /// Whether the first materialization saw other values in the same rows: recomputed since.
    revised: bool,
    /// Rows that only the first materialization saw: vanished since, and with them the places of the rows behind.
    ghosts: Vec<Row>,
    /// Whether the source is a folder to which a file is added; one file is written anew otherwise.
    grows: bool,
    /// What goes wrong meanwhile.
    faults: Vec<Fault>,
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
        MORE.iter().map(|(_, dtype)| types::cell(*dtype)).collect::<Vec<_>>(),
    )
        .prop_map(|(key, event, created, deleted, count, amount, name, flag, more)| Row {
            key,
            event,
            created,
            deleted,
            count,
            amount,
            name,
            flag,
            more,
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
            // Sources mostly grow, so that the way of appending is taken often: it is only where nothing else changed.
            (any::<bool>(), proptest::bool::weighted(0.3), proptest::bool::weighted(0.8)),
            (prop_oneof![2 => Just(Vec::new()), 1 => proptest::collection::vec(self::rows(), 1..4)], faults()),
        )
            .prop_map(
                |(
                    rows,
                    ttl,
                    as_of,
                    strict,
                    pushed,
                    shuffle,
                    first,
                    (h1, more),
                    (query, revised, grows),
                    (ghosts, faults),
                )| {
                    let horizons = (h1, h1 + more);
                    History {
                        rows,
                        ttl,
                        as_of,
                        strict,
                        pushed,
                        shuffle,
                        first,
                        horizons,
                        query,
                        revised,
                        ghosts,
                        grows,
                        faults,
                    }
                },
            )
    })
}

fn definitions(history: &History) -> AppliedDefinitions {
    let ttl = history.ttl.map(|ttl| format!("ttl: {ttl}ns")).unwrap_or_default();
    let known = if history.as_of { "as_of" } else { "event" };
    let query =
        "sql: SELECT *, _row AS n FROM rows\nevent_time: ts\ncreated_time: created\ndeleted: gone\nsequence: n\n";
    let query = if history.query { query } else { "" };
    let more: String = MORE.iter().map(|(name, dtype)| format!("- {{name: {name}, type: \"{dtype}\"}}\n")).collect();
    let served: String = MORE.iter().map(|(name, _)| format!(", 'f:{name}'")).collect();
    let text = format!(
        "kind: entity\nname: e\njoin_key: k\ntype: int64\n---\n\
         kind: source\nname: rows\npath: rows\nevent_time: ts\ncreated_time: created\ndeleted: gone\n---\n\
         kind: feature_view\nname: f\nentity: e\nsource: rows\n{query}{ttl}\nknown: {known}\nstrict_before: {}\nfeatures:\n\
         - {{name: count, type: int64}}\n- {{name: amount, type: float64}}\n- {{name: name, type: string}}\n- {{name: flag, type: bool}}\n- {{name: at, type: timestamp}}\n\
         - {{name: profile, type: json}}\n{more}\
         computed:\n- {{name: age, type: float64, expr: \"date_part('epoch', request_time) - date_part('epoch', at)\"}}\n\
         - {{name: known_amount, type: float64, expr: 'coalesce(amount, 0.0) * 0.1'}}\n---\n\
         kind: on_demand_view\nname: both\n\
         views: [{{view: f, as: other, join_keys: {{k: other_k}}}}]\n\
         inputs: ['f:amount', 'f:name', 'f:flag', 'f:age', {{feature: 'other:amount', as: other_amount}}]\n\
         request: [{{name: fee, type: float64}}, {{name: tag, type: string}}]\nfeatures:\n\
         - {{name: total, type: float64, expr: amount + other_amount * fee}}\n\
         - {{name: label, type: string, expr: case when flag then name else tag end}}\n\
         - {{name: unknown, type: bool, expr: amount is null and other_amount is null}}\n\
         - {{name: waited, type: float64, expr: \"date_part('epoch', request_time) - coalesce(age, fee)\"}}\n---\n\
         kind: feature_service\nname: s\nviews: [{{view: f, as: that, join_keys: {{k: other_k}}}}]\n\
         features: ['f:count', 'f:amount', 'f:name', 'f:flag', 'f:age', 'f:known_amount', 'f:profile'{served}, {{feature: that:amount, as: that_amount}}, {{feature: that:age, as: that_age}}, 'both:*']\n",
        history.strict
    );
    let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text }]).unwrap();
    AppliedDefinitions::default().after(&declared)
}

/// The features in the order of the view, as its source holds them.
fn columns(rows: &[Row]) -> Vec<(&'static str, ArrayRef)> {
    let count: Int64Array = rows.iter().map(|r| r.count).collect();
    let amount: Float64Array = rows.iter().map(|r| r.amount.map(f64::from_bits)).collect();
    let name: StringArray = rows.iter().map(|r| r.name.clone()).collect();
    let flag: BooleanArray = rows.iter().map(|r| r.flag).collect();
    let at = TimestampNanosecondArray::from_iter_values(rows.iter().map(|r| r.event)).with_timezone("UTC");
    let parts: [(&str, ArrayRef); 2] = [("n", Arc::new(count.clone())), ("amount", Arc::new(amount.clone()))];
    let field =
        |(name, column): (&str, ArrayRef)| (Arc::new(Field::new(name, column.data_type().clone(), true)), column);
    let profile = StructArray::from(parts.map(field).to_vec());
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("count", Arc::new(count)),
        ("amount", Arc::new(amount)),
        ("name", Arc::new(name)),
        ("flag", Arc::new(flag)),
        ("at", Arc::new(at)),
        ("profile", Arc::new(profile)),
    ];
    columns.extend(MORE.iter().enumerate().map(|(i, (name, dtype))| {
        let cells: Vec<types::Cell> = rows.iter().map(|row| row.more[i].clone()).collect();
        (*name, types::column(*dtype, &cells))
    }));
    columns
}

/// Rows as a source holds them and as clients push them.
fn table(rows: &[Row]) -> RecordBatch {
    let utc = |array: TimestampNanosecondArray| Arc::new(array.with_timezone("UTC")) as ArrayRef;
    let mut all: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(rows.iter().map(|r| Some(r.key)).collect::<Int64Array>())),
        ("ts", utc(rows.iter().map(|r| Some(r.event)).collect())),
        ("created", utc(rows.iter().map(|r| r.created).collect())),
        ("gone", Arc::new(rows.iter().map(|r| Some(r.deleted)).collect::<BooleanArray>())),
    ];
    all.extend(columns(rows));
    RecordBatch::try_from_iter_with_nullable(all.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn write(path: &std::path::Path, rows: &[Row]) {
    let batch = table(rows);
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn said(rows: &FeatureRows, row: usize) -> Vec<String> {
    let value = |(i, column): (usize, &ArrayRef)| match Value::at(column, row) {
        // Bits, not text: zero has a sign, and NaNs have payloads, of which arrays are compared besides.
        Value::Float(v) => format!("{:016x} {}", v.to_bits(), rows.statuses[i][row]),
        other => format!("{other} {}", rows.statuses[i][row]),
    };
    let mut all: Vec<String> = rows.columns.iter().enumerate().map(value).collect();
    all.extend(rows.event_times.iter().map(|times| format!("{:?}", times[row])));
    all
}

/// How often each way of bringing history online was taken.
#[derive(Debug, Default)]
struct Ways {
    appended: AtomicUsize,
    built: AtomicUsize,
    unchanged: AtomicUsize,
    met: Arc<Met>,
}

/// Where history is kept: in memory where the machine has such a folder, for what is tested here is no disk.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_no_memory| tempfile::tempdir()).unwrap()
}

/// What every request says: two keys, which are sometimes one, and fields of which some are null or odd.
fn asked(history: &History, keys: &ArrayRef) -> EntityRows {
    let n = keys.len();
    let other: Int64Array = (0..n).rev().map(|row| i64::try_from(row).ok().filter(|key| *key <= KEYS)).collect();
    let odd = [Some(0.5), None, Some(f64::NAN), Some(-0.0), Some(f64::INFINITY), Some(3.25)];
    let turn = history.rows.len();
    let fee: Float64Array = (0..n).map(|row| odd[(row + turn) % odd.len()]).collect();
    let tag: StringArray = (0..n).map(|row| (row % 3 > 0).then(|| format!("tag {row}"))).collect();
    let columns: [(&str, ArrayRef); 4] =
        [("k", Arc::clone(keys)), ("other_k", Arc::new(other)), ("fee", Arc::new(fee)), ("tag", Arc::new(tag))];
    EntityRows { n, columns: columns.map(|(name, column)| (name.to_owned(), column)).into() }
}

/// A request's rows, so many times.
fn repeated(entities: &EntityRows, times: usize) -> EntityRows {
    let column = |column: &ArrayRef| concat(&vec![column.as_ref(); times]).unwrap();
    let columns = entities.columns.iter().map(|(name, values)| (name.clone(), column(values)));
    EntityRows { n: entities.n * times, columns: columns.collect() }
}

/// One row of a request alone.
fn alone(entities: &EntityRows, row: usize) -> EntityRows {
    let columns = entities.columns.iter().map(|(name, column)| (name.clone(), column.slice(row, 1)));
    EntityRows { n: 1, columns: columns.collect() }
}

async fn compare(history: &History, store: &Arc<dyn OnlineStore>, ways: &Ways) -> Result<(), TestCaseError> {
    let folder = folder();
    let source = folder.path().join("rows");
    std::fs::create_dir(&source).unwrap();
    let definitions = definitions(history);
    let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
    let view = definitions.current_view("f").unwrap();
    let offline = OfflineStore::new(folder.path(), folder.path());
    let (h1, h2) = (Timestamp::from_nanos(history.horizons.0), Timestamp::from_nanos(history.horizons.1));
    let faulty = Faulty::new(Arc::clone(store), &history.faults, &ways.met);
    let bring = async |horizon| {
        let all = offline.history(view).await.unwrap();
        let run = async || Materializer::new(view, &all, &faulty, horizon).run(false, &|_| {}).await;
        let done = faulty.until_done(run).await;
        match done.how {
            How::Appended => &ways.appended,
            How::Built => &ways.built,
            How::Unchanged => &ways.unchanged,
            How::Ranged => unreachable!("nothing asks for a range"),
        }
        .fetch_add(1, Ordering::Relaxed);
    };

    // The first rows are materialized; then pushes come in any order; then the whole source, and once more.
    let mut rows = [&history.ghosts[..], &history.rows[..history.first]].concat();
    for row in rows.iter_mut().filter(|_| history.revised) {
        row.count = row.count.map(|count| !count);
        row.deleted ^= row.event % 3 == 0;
        row.flag = None;
    }
    write(&source.join("a.parquet"), &rows);
    bring(h1).await;
    let mut order: Vec<usize> = (0..history.rows.len()).filter(|i| history.pushed[*i]).collect();
    order.sort_by_key(|i| history.shuffle[*i]);
    let log = offline.pushes().unwrap();
    for i in order {
        // Some come online later, some come twice: clients repeat what they are not sure of.
        let to = if history.shuffle[i].is_multiple_of(5) { To::Offline } else { To::Online };
        for _ in 0..1 + history.shuffle[i] % 2 {
            let row = table(&history.rows[i..=i]);
            faulty.until_done(async || push(view, &row, None, to, &log, &faulty, h1).await).await;
        }
    }
    if history.grows {
        if history.revised || !history.ghosts.is_empty() {
            write(&source.join("a.parquet"), &history.rows[..history.first]);
        }
        write(&source.join("b.parquet"), &history.rows[history.first..]);
    } else {
        write(&source.join("a.parquet"), &history.rows);
    }
    bring(h2).await;
    bring(h2).await;

    let keys: ArrayRef = Arc::new((0..=KEYS).map(Some).chain([None]).collect::<Int64Array>());
    let n = keys.len();
    let entities = asked(history, &keys);
    let reader = OnlineReader::new(Arc::clone(store));
    // Offline all instants are asked for at once, as rows of one spine.
    let instants: Vec<Timestamp> = (h2.as_nanos()..=40).map(Timestamp::from_nanos).collect();
    let times: Vec<Option<Timestamp>> = instants.iter().flat_map(|t| vec![Some(*t); n]).collect();
    let all = repeated(&entities, instants.len());
    let (there, _) = features_at(&offline, &compiled, &all, &times).await.unwrap();
    for (i, t) in instants.into_iter().enumerate() {
        let here = retrieve(&reader, &compiled, &entities, t).await.unwrap();
        for (here, there) in here.columns.iter().zip(&there.columns) {
            prop_assert_eq!(here.to_data(), there.slice(i * n, n).to_data(), "as of {} ns", t.as_nanos());
        }
        for row in 0..n {
            prop_assert_eq!(said(&here, row), said(&there, i * n + row), "key {} as of {} ns", row, t.as_nanos());
        }
        // Neither does an answer depend on the rows it is computed with.
        let row = usize::try_from(t.as_nanos()).unwrap() % n;
        let lone = retrieve(&reader, &compiled, &alone(&entities, row), t).await.unwrap();
        prop_assert_eq!(said(&lone, 0), said(&there, i * n + row), "key {} alone as of {} ns", row, t.as_nanos());
    }
    Ok(())
}

fn laws(store_for: impl Fn(u32) -> Arc<dyn OnlineStore>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: HISTORIES, failure_persistence: None, ..Config::default() });
    let (case, ways) = (std::cell::Cell::new(0), Ways::default());
    let result = runner.run(&histories(), |history| {
        case.set(case.get() + 1);
        let _inside = runtime.enter();
        let store = store_for(case.get());
        runtime.block_on(compare(&history, &store, &ways))
    });
    if let Err(why) = result {
        panic!("{why}");
    }
    assert!(case.get() >= HISTORIES, "{} histories", case.get());
    let times = |n: &AtomicUsize| n.load(Ordering::Relaxed);
    assert!(times(&ways.appended) > 100 && times(&ways.built) > 1_000 && times(&ways.unchanged) > 900, "{ways:?}");
    // A fault that was never met proves nothing.
    for kind in KINDS {
        let (reads, writes) = (times(&ways.met.reads[kind as usize]), times(&ways.met.writes[kind as usize]));
        assert!(reads > 50 && writes > 50, "{kind:?} was met {reads} times while reading, {writes} while writing");
    }
}

#[test]
fn online_value_equals_offline_value_as_of_in_the_embedded_store() {
    let folder = folder();
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
