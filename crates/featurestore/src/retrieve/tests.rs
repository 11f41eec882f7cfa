//! How many round trips a request takes, and what an on-demand feature makes of values that are not there.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use async_trait::async_trait;
use expect_test::{Expect, expect};
use schema::{AppliedDefinitions, Value};

use super::*;
use crate::materialize::Materializer;
use crate::offline::OfflineStore;
use crate::online::testing::InFront;
use crate::online::{MemoryStore, OnlineRows, OnlineStore};
use crate::testing::{applied, parquet};
use crate::training::features_at;

const TRIPS: &str = "
{kind: entity, name: city, join_keys: [{name: country, type: string}, {name: city_id, type: int64}]}
---
{kind: entity, name: user, join_key: user_id, type: int64}
---
{kind: source, name: rows, path: rows.parquet, event_time: ts}
---
{kind: feature_view, name: city_stats, entity: city, source: rows, ttl: 10ns, features: [{name: people, type: int64}]}
---
{kind: feature_view, name: city_size, entity: city, source: rows, features: [{name: area, type: float64}]}
---
{kind: feature_view, name: user_stats, entity: user, source: rows, features: [{name: people, type: int64}]}
---
kind: on_demand_view
name: trip
views:
  - {view: city_stats, as: origin, join_keys: {city_id: origin_id}}
  - {view: city_stats, as: destination, join_keys: {city_id: destination_id}}
inputs:
  - {feature: origin:people, as: from_people}
  - {feature: destination:people, as: to_people}
request: [{name: km, type: float64}]
features:
  - {name: pull, type: float64, expr: cast(from_people * to_people as double) / km}
  - {name: known, type: bool, expr: from_people is not null and to_people is not null}
---
kind: feature_service
name: trips
views:
  - {view: city_stats, as: origin, join_keys: {city_id: origin_id}}
  - {view: city_stats, as: destination, join_keys: {city_id: destination_id}}
  - {view: city_size, as: size, join_keys: {city_id: origin_id}}
features:
  - {feature: origin:people, as: from_people}
  - {feature: destination:people, as: to_people}
  - size:area
  - trip:*
---
{kind: feature_service, name: users_too, features: [city_size:area, user_stats:people]}
";

/// The real store, counted.
#[derive(Debug, Default)]
struct Counted {
    store: MemoryStore,
    reads: AtomicUsize,
    cells: AtomicUsize,
}

#[async_trait]
impl InFront for Counted {
    fn behind(&self) -> &dyn OnlineStore {
        &self.store
    }

    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.cells.fetch_add(tables.len() * keys.len(), Ordering::Relaxed);
        self.store.get_many(tables, keys).await
    }
}

fn write(path: &Path) {
    let times = TimestampNanosecondArray::from(vec![0, 20, 20]).with_timezone("UTC");
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("country", Arc::new(StringArray::from(vec!["de", "de", "fr"])) as ArrayRef, true),
        ("city_id", Arc::new(Int64Array::from(vec![1, 2, 2])), true),
        ("user_id", Arc::new(Int64Array::from(vec![1, 2, 3])), true),
        ("ts", Arc::new(times), true),
        ("people", Arc::new(Int64Array::from(vec![Some(10), Some(20), None])), true),
        ("area", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0])), true),
    ])
    .unwrap();
    parquet(path, &batch);
}

struct World {
    store: Arc<Counted>,
    reader: OnlineReader,
    offline: OfflineStore,
    definitions: AppliedDefinitions,
    _folder: tempfile::TempDir,
}

const NOW: Timestamp = Timestamp::from_nanos(22);

async fn world() -> World {
    world_of(TRIPS).await
}

async fn world_of(text: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("rows.parquet"));
    let definitions = applied(text);
    let offline = OfflineStore::new(folder.path(), folder.path());
    let store = Arc::new(Counted::default());
    let reader = OnlineReader::new(Arc::<Counted>::clone(&store));
    let views: Vec<_> = definitions.views.values().filter_map(|versions| versions.current()).collect();
    for view in &views {
        let history = offline.history(view).await.unwrap();
        Materializer::new(view, &history, store.as_ref(), NOW).run(false, &|_| {}).await.unwrap();
    }
    // Which generations answer is known: only what a request asks is counted.
    reader.served(&views).await.unwrap();
    store.reads.store(0, Ordering::Relaxed);
    store.cells.store(0, Ordering::Relaxed);
    World { store, reader, offline, definitions, _folder: folder }
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

/// Origin, destination, kilometres.
fn trips(rows: &[(Option<i64>, Option<i64>, Option<f64>)]) -> EntityRows {
    let columns: [(&str, ArrayRef); 4] = [
        ("country", Arc::new(StringArray::from(vec!["de"; rows.len()]))),
        ("origin_id", ints(&rows.iter().map(|row| row.0).collect::<Vec<_>>())),
        ("destination_id", ints(&rows.iter().map(|row| row.1).collect::<Vec<_>>())),
        ("km", Arc::new(Float64Array::from(rows.iter().map(|row| row.2).collect::<Vec<_>>()))),
    ];
    EntityRows { n: rows.len(), columns: columns.map(|(name, column)| (name.to_owned(), column)).into() }
}

fn said(compiled: &CompiledService, rows: &FeatureRows) -> String {
    let n = rows.statuses[0].len();
    let cell = |row: usize, i: usize| format!("{} {}", Value::at(&rows.columns[i], row), rows.statuses[i][row]);
    let line = |row: usize| (0..rows.columns.len()).map(|i| cell(row, i)).collect::<Vec<_>>().join(" | ");
    let names: Vec<&str> = compiled.service.columns.iter().map(|column| column.name.as_str()).collect();
    std::iter::once(names.join(" | ")).chain((0..n).map(line)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn one_view_by_two_keys_is_one_round_trip() {
    let world = world().await;
    let compiled = CompiledService::new(world.definitions.current_service("trips").unwrap(), &world.definitions);
    let compiled = compiled.unwrap();
    let keys: Vec<&str> = compiled.keys().iter().map(|key| key.name.as_str()).collect();
    assert_eq!(keys, ["country", "origin_id", "destination_id"]);
    let rows = trips(&[(Some(2), Some(2), Some(4.0)), (Some(2), None, Some(4.0))]);
    retrieve(&world.reader, &compiled, &rows, NOW).await.unwrap();
    assert_eq!(world.store.reads.load(Ordering::Relaxed), 1);
    // Two views for four keys, of which one is null and not asked for.
    assert_eq!(world.store.cells.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn every_entity_is_one_round_trip() {
    let world = world().await;
    let compiled = CompiledService::new(world.definitions.current_service("users_too").unwrap(), &world.definitions);
    let mut rows = trips(&[(Some(2), Some(2), None)]);
    rows.columns.insert("city_id".to_owned(), ints(&[Some(2)]));
    rows.columns.insert("user_id".to_owned(), ints(&[Some(2)]));
    let compiled = compiled.unwrap();
    let found = retrieve(&world.reader, &compiled, &rows, NOW).await.unwrap();
    assert_eq!(world.store.reads.load(Ordering::Relaxed), 2);
    expect![[r#"
        area | people
        2.0 PRESENT | 20 PRESENT"#]]
    .assert_eq(&said(&compiled, &found));
}

#[track_caller]
fn check(world: &World, rows: &EntityRows, found: &FeatureRows, want: Expect) {
    let compiled = CompiledService::new(world.definitions.current_service("trips").unwrap(), &world.definitions);
    let compiled = compiled.unwrap();
    want.assert_eq(&said(&compiled, found));
    let times = vec![Some(NOW); rows.n];
    let there = futures::executor::block_on(features_at(&world.offline, &compiled, rows, &times)).unwrap().0;
    assert_eq!(said(&compiled, found), said(&compiled, &there), "online and offline");
}

/// Rows by city: 2 is there, 1 is too old, 9 is unknown, null matches nothing.
#[tokio::test]
async fn an_expression_sees_null_for_whatever_is_not_there() {
    let world = world().await;
    let compiled = CompiledService::new(world.definitions.current_service("trips").unwrap(), &world.definitions);
    let rows = trips(&[
        (Some(2), Some(2), Some(4.0)),
        (Some(2), Some(1), Some(4.0)),
        (Some(9), Some(2), Some(4.0)),
        (Some(2), None, Some(4.0)),
        (Some(2), Some(2), None),
        (Some(2), Some(2), Some(0.0)),
    ]);
    let found = retrieve(&world.reader, &compiled.unwrap(), &rows, NOW).await.unwrap();
    check(
        &world,
        &rows,
        &found,
        expect![[r#"
        from_people | to_people | area | pull | known
        20 PRESENT | 20 PRESENT | 2.0 PRESENT | 100.0 PRESENT | true PRESENT
        20 PRESENT | null OUTSIDE_MAX_AGE | 2.0 PRESENT | null NULL_VALUE | false PRESENT
        null NOT_FOUND | 20 PRESENT | null NOT_FOUND | null NULL_VALUE | false PRESENT
        20 PRESENT | null NOT_FOUND | 2.0 PRESENT | null NULL_VALUE | false PRESENT
        20 PRESENT | 20 PRESENT | 2.0 PRESENT | null NULL_VALUE | true PRESENT
        20 PRESENT | 20 PRESENT | 2.0 PRESENT | inf PRESENT | true PRESENT"#]],
    );
}

#[tokio::test]
async fn a_request_without_its_fields_is_refused_before_any_read() {
    let world = world().await;
    let compiled = CompiledService::new(world.definitions.current_service("trips").unwrap(), &world.definitions);
    let mut rows = trips(&[(Some(2), Some(2), Some(4.0))]);
    rows.columns.remove("km");
    let why = retrieve(&world.reader, &compiled.unwrap(), &rows, NOW).await.unwrap_err();
    assert_eq!(why.to_string(), "field `km` of the request, which on-demand view `trip` reads, is missing");
    assert_eq!(world.store.reads.load(Ordering::Relaxed), 0);
}

/// Five views of one entity, of which the third can be done without by its own word.
fn five() -> String {
    let mut text = "{kind: entity, name: user, join_key: user_id, type: int64}\n---\n\
                    {kind: source, name: rows, path: rows.parquet, event_time: ts}\n"
        .to_owned();
    for (i, more) in ["", "", ", on_error: null", "", ""].into_iter().enumerate() {
        text += &format!(
            "---\n{{kind: feature_view, name: v{i}, entity: user, source: rows{more}, \
             features: [{{name: people, type: int64}}]}}\n"
        );
    }
    text + "---\n{kind: feature_service, name: all, features: [\
            {feature: v0:people, as: a}, {feature: v1:people, as: b}, {feature: v2:people, as: c}, \
            {feature: v3:people, as: d}, {feature: v4:people, as: e}]}\n"
}

/// A store in which cells of some views are damaged, as the real ones say it: by the first that a read meets.
#[derive(Debug)]
struct Damaged {
    store: Arc<Counted>,
    views: Vec<&'static str>,
}

#[async_trait]
impl InFront for Damaged {
    fn behind(&self) -> &dyn OnlineStore {
        self.store.as_ref()
    }

    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        // Marks are sound.
        let of_rows = |table: &&OnlineTable| table.name().rsplit('#').next().is_some_and(|name| name.contains('.'));
        let hit = |table: &&OnlineTable| self.views.contains(&table.view().name.as_str());
        match tables.iter().filter(of_rows).find(hit) {
            Some(table) => Err(OnlineError::Corrupt {
                view: table.view().clone(),
                key: keys[0].clone(),
                address: "here".to_owned(),
                source: Cell::parse(vec![9]).unwrap_err(),
            }),
            None => self.behind().get_many(tables, keys).await,
        }
    }
}

/// FT 46: what each tolerance makes of damaged views.
#[tokio::test]
async fn one_of_five_views_is_damaged() {
    let world = world_of(&five()).await;
    let compiled = CompiledService::new(world.definitions.current_service("all").unwrap(), &world.definitions).unwrap();
    let rows = EntityRows { n: 1, columns: [("user_id".to_owned(), ints(&[Some(2)]))].into() };
    let check = async |views: &[&'static str], tolerance: Tolerance, want: Result<&str, &str>| {
        let store = Damaged { store: Arc::clone(&world.store), views: views.to_vec() };
        let reader = OnlineReader::new(Arc::new(store));
        let found = retrieve_with(&reader, &compiled, &rows, NOW, tolerance).await;
        match (found, want) {
            (Ok(found), Ok(want)) => {
                let there: String = said(&compiled, &found.rows);
                let there = there.lines().last().unwrap();
                let short = there.replace("20 PRESENT", "20").replace("null UNAVAILABLE", "?");
                assert_eq!(short, want, "{views:?}, {tolerance:?}");
                // What did not answer is not said to have answered.
                let silent = found.served.iter().filter(|served| served.is_none()).count();
                assert_eq!(silent, views.len(), "{views:?}, {tolerance:?}");
            }
            (Err(why), Err(want)) => {
                assert!(matches!(&why, RetrieveError::Online { source: OnlineError::Corrupt { .. }, .. }), "{why:?}");
                // Asking again changes nothing: no 503, which clients repeat.
                assert_eq!(why.kind(), ErrorKind::Internal, "{why:?}");
                let said = schema::error::chain(&why);
                assert!(said.contains(&format!("`{want}@v1`")), "{views:?}, {tolerance:?}: {said}");
            }
            (found, want) => panic!("{views:?}, {tolerance:?}: {found:?}, not {want:?}"),
        }
    };
    use Tolerance::{AsDeclared, Partial, Strict};
    for tolerance in [AsDeclared, Strict, Partial] {
        check(&[], tolerance, Ok("20 | 20 | 20 | 20 | 20")).await;
    }
    check(&["v1"], Strict, Err("v1")).await;
    check(&["v1"], AsDeclared, Err("v1")).await;
    check(&["v1"], Partial, Ok("20 | ? | 20 | 20 | 20")).await;
    check(&["v2"], Strict, Err("v2")).await;
    check(&["v2"], AsDeclared, Ok("20 | 20 | ? | 20 | 20")).await;
    check(&["v2"], Partial, Ok("20 | 20 | ? | 20 | 20")).await;
    // What the view that may be missing hides is no reason to pass over another.
    check(&["v2", "v4"], AsDeclared, Err("v4")).await;
    check(&["v0", "v2", "v4"], Partial, Ok("? | 20 | ? | 20 | ?")).await;
    check(&["v0", "v1", "v2", "v3", "v4"], Partial, Ok("? | ? | ? | ? | ?")).await;
}
