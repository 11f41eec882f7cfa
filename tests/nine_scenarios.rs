//! The nine ways in which features served and features trained on came apart elsewhere (point-in-time semantics, section
//! 7). Each is played on both stores, and both ways round give the answer that the table has.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use featurestore::materialize::Materializer;
use featurestore::offline::OfflineStore;
use featurestore::online::testing::{TestRedis, unique_project};
use featurestore::online::{EmbeddedStore, OnlineReader, OnlineStore, RedisStore};
use featurestore::push::{To, push};
use featurestore::retrieve::{EntityRows, retrieve};
use featurestore::training::features_at;
use featurestore::{CompiledService, FeatureRows};
use parquet::arrow::ArrowWriter;
use schema::definitions::File;
use schema::{AppliedDefinitions, Definitions, Timestamp, Value};

const DEFINITIONS: &str = "
{kind: entity, name: e, join_key: k, type: int64}
---
{kind: source, name: rows, path: rows, event_time: ts, created_time: created}
---
kind: feature_view
name: f
entity: e
source: rows
ttl: 1h
features: [{name: v, type: float64}, {name: single, type: float32}, {name: at, type: timestamp}]
---
{kind: feature_service, name: s, features: ['f:*']}
";

pub(crate) const MINUTE: i64 = 60_000_000_000;

/// One row; times in minutes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub key: i64,
    pub event: i64,
    pub created: i64,
    pub v: Option<f64>,
}

pub(crate) const fn row(key: i64, event: i64, created: i64, v: f64) -> Row {
    Row { key, event, created, v: Some(v) }
}

fn table(rows: &[Row]) -> RecordBatch {
    let times = |of: fn(&Row) -> i64| -> ArrayRef {
        let nanos = rows.iter().map(|row| of(row) * MINUTE);
        Arc::new(TimestampNanosecondArray::from_iter_values(nanos).with_timezone("UTC"))
    };
    // Not a whole second, not even a whole microsecond.
    let odd = rows.iter().map(|row| row.event * MINUTE + 1_234_567_891);
    let columns: [(&str, ArrayRef); 6] = [
        ("k", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.key)))),
        ("ts", times(|row| row.event)),
        ("created", times(|row| row.created)),
        ("v", Arc::new(rows.iter().map(|row| row.v).collect::<Float64Array>())),
        ("single", Arc::new(Float32Array::from(vec![0.1; rows.len()]))),
        ("at", Arc::new(TimestampNanosecondArray::from_iter_values(odd).with_timezone("UTC"))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn write(path: &Path, rows: &[Row]) {
    let batch = table(rows);
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub definitions: AppliedDefinitions,
    pub offline: OfflineStore,
    pub store: Arc<dyn OnlineStore>,
}

impl World {
    pub(crate) fn new(store: Arc<dyn OnlineStore>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rows")).unwrap();
        let file = File { path: "p.yaml".to_owned(), text: DEFINITIONS.to_owned() };
        let definitions = AppliedDefinitions::default().after(&Definitions::read(&[file]).unwrap());
        let offline = OfflineStore::new(folder.path(), folder.path());
        Self { folder, definitions, offline, store }
    }

    /// The source gets a file, or another in its place.
    pub(crate) fn file(&self, name: &str, rows: &[Row]) {
        write(&self.folder.path().join("rows").join(name), rows);
    }

    pub(crate) async fn materialize(&self, now: i64) {
        self.bring(now, false).await;
    }

    /// A generation, whatever is online.
    async fn materialize_fresh(&self, now: i64) {
        self.bring(now, true).await;
    }

    async fn bring(&self, now: i64, fresh: bool) {
        let view = self.definitions.current_view("f").unwrap();
        let history = self.offline.history(view).await.unwrap();
        let now = Timestamp::from_nanos(now * MINUTE);
        Materializer::new(view, &history, self.store.as_ref(), now).run(fresh, &|_| {}).await.unwrap();
    }

    pub(crate) async fn push(&self, one: Row, now: i64) {
        let view = self.definitions.current_view("f").unwrap();
        let (log, now) = (self.offline.pushes().unwrap(), Timestamp::from_nanos(now * MINUTE));
        push(view, &table(&[one]), None, To::Online, &log, self.store.as_ref(), now).await.unwrap();
    }

    pub(crate) fn compiled(&self) -> CompiledService {
        CompiledService::new(self.definitions.current_service("s").unwrap(), &self.definitions).unwrap()
    }

    /// What key 1 has at an instant: both ways round must say it.
    async fn check(&self, at: i64, want: &str) {
        let compiled = self.compiled();
        let key: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let entities = EntityRows { n: 1, columns: [("k".to_owned(), key)].into() };
        let at = Timestamp::from_nanos(at * MINUTE);
        let reader = OnlineReader::new(Arc::clone(&self.store));
        let online = retrieve(&reader, &compiled, &entities, at).await.unwrap();
        let (offline, _) = features_at(&self.offline, &compiled, &entities, &[Some(at)]).await.unwrap();
        let said = |rows: &FeatureRows| {
            let one = |i: usize| format!("{} {}", Value::at(&rows.columns[i], 0), rows.statuses[i][0]);
            format!("{}, {}, {}, of {:?}", one(0), one(1), one(2), rows.event_times[0][0])
        };
        assert_eq!(said(&online), said(&offline), "the two ways round differ");
        for (a, b) in online.columns.iter().zip(&offline.columns) {
            assert_eq!(a.to_data(), b.to_data(), "not bit for bit");
        }
        assert!(said(&online).starts_with(want), "{} is not {want}", said(&online));
    }
}

async fn value_older_than_ttl(world: World) {
    world.file("a.parquet", &[row(1, 0, 0, 1.0)]);
    world.materialize(10).await;
    world.check(60, "1.0 PRESENT").await;
    world.check(61, "null OUTSIDE_MAX_AGE").await;
}

async fn correction_of_the_same_event(world: World) {
    world.file("a.parquet", &[row(1, 0, 0, 1.0)]);
    world.materialize(2).await;
    world.file("b.parquet", &[row(1, 0, 5, 2.0)]);
    world.materialize(10).await;
    world.check(10, "2.0 PRESENT").await;
}

/// As the table has it: the file is written anew, and all of it is materialized.
async fn correction_by_a_whole_new_file(world: World) {
    world.file("a.parquet", &[row(1, 0, 0, 1.0), row(2, 0, 0, 3.0)]);
    world.materialize(2).await;
    world.file("a.parquet", &[row(1, 0, 5, 2.0), row(2, 0, 0, 3.0)]);
    world.materialize(10).await;
    world.check(10, "2.0 PRESENT").await;
    // Whatever is online already, and with the row that it replaces still there.
    world.file("a.parquet", &[row(1, 0, 6, 4.0), row(1, 0, 5, 2.0), row(1, 0, 0, 1.0)]);
    world.materialize_fresh(11).await;
    world.check(11, "4.0 PRESENT").await;
}

async fn late_row_after_the_watermark(world: World) {
    world.file("a.parquet", &[row(2, 30, 30, 1.0)]);
    world.materialize(31).await;
    world.file("b.parquet", &[row(1, 5, 40, 7.0)]);
    world.materialize(41).await;
    world.check(41, "7.0 PRESENT").await;
}

async fn row_removed_at_the_source(world: World) {
    world.file("a.parquet", &[row(1, 0, 0, 1.0), row(2, 0, 0, 1.0)]);
    world.materialize(1).await;
    world.file("a.parquet", &[row(2, 0, 0, 1.0)]);
    world.materialize(2).await;
    world.check(2, "null NOT_FOUND").await;
}

async fn push_newer_then_older(world: World) {
    world.file("a.parquet", &[row(2, 0, 0, 1.0)]);
    world.materialize(1).await;
    world.push(row(1, 10, 11, 10.0), 11).await;
    world.push(row(1, 9, 12, 9.0), 12).await;
    world.check(12, "10.0 PRESENT").await;
}

async fn missing_entity(world: World) {
    world.file("a.parquet", &[row(2, 0, 0, 1.0)]);
    world.materialize(1).await;
    world.check(1, "null NOT_FOUND").await;
}

async fn latest_value_is_null(world: World) {
    world.file("a.parquet", &[row(1, 0, 0, 1.0), Row { key: 1, event: 1, created: 1, v: None }]);
    world.materialize(2).await;
    world.check(2, "null NULL_VALUE, 0.10000000149011612 PRESENT").await;
}

async fn float32_keeps_its_bits(world: World) {
    world.file("a.parquet", &[row(1, 0, 0, 1.0)]);
    world.materialize(1).await;
    world.check(1, "1.0 PRESENT, 0.10000000149011612 PRESENT").await;
}

async fn timestamp_feature_keeps_its_nanoseconds(world: World) {
    world.file("a.parquet", &[row(1, 0, 0, 1.0)]);
    world.materialize(1).await;
    world.check(1, "1.0 PRESENT, 0.10000000149011612 PRESENT, 1970-01-01T00:00:01.234567891Z PRESENT").await;
}

async fn all_nine(store: impl AsyncFn() -> Arc<dyn OnlineStore>) {
    value_older_than_ttl(World::new(store().await)).await;
    correction_of_the_same_event(World::new(store().await)).await;
    correction_by_a_whole_new_file(World::new(store().await)).await;
    late_row_after_the_watermark(World::new(store().await)).await;
    row_removed_at_the_source(World::new(store().await)).await;
    push_newer_then_older(World::new(store().await)).await;
    missing_entity(World::new(store().await)).await;
    latest_value_is_null(World::new(store().await)).await;
    float32_keeps_its_bits(World::new(store().await)).await;
    timestamp_feature_keeps_its_nanoseconds(World::new(store().await)).await;
}

#[tokio::test]
async fn the_nine_scenarios_of_skew_do_not_happen_in_the_embedded_store() {
    let folder = tempfile::tempdir().unwrap();
    all_nine(async || {
        let path = folder.path().join(unique_project());
        Arc::new(EmbeddedStore::open(&path).unwrap()) as Arc<dyn OnlineStore>
    })
    .await;
}

#[tokio::test]
async fn the_nine_scenarios_of_skew_do_not_happen_in_redis() {
    let redis = TestRedis::start();
    all_nine(async || {
        let timeout = Duration::from_secs(20);
        let store = RedisStore::connect(redis.url(), &unique_project(), timeout).await.unwrap();
        Arc::new(store) as Arc<dyn OnlineStore>
    })
    .await;
}
