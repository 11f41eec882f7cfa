//! A Redis filled as Feast 0.67 fills it, byte for byte, read through a service.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array};
use expect_test::{Expect, expect};
use schema::definitions::JoinKey;
use schema::{AppliedDefinitions, Dtype, ErrorKind, Status, Timestamp, Value};

use super::FeastRedis;
use crate::CompiledService;
use crate::erase::Subject;
use crate::online::feast_redis::{encode_time, encode_value, entity_key, field, time_field, versioned};
use crate::online::redis::RedisServers;
use crate::online::redis::node::Purpose;
use crate::online::redis::servers::Keyed;
use crate::online::testing::{TestCluster, TestRedis};
use crate::online::{MemoryStore, OnlineReader, RedisConfig};
use crate::retrieve::{EntityRows, RetrieveError, retrieve};
use crate::testing::applied;

const DEFINITIONS: &str = "
{kind: entity, name: driver, join_key: driver_id, type: int64}
---
{kind: entity, name: driver32, join_key: driver_id, type: int32}
---
{kind: entity, name: ride, join_keys: [{name: driver_id, type: int64}, {name: customer_id, type: int64}]}
---
{kind: source, name: rows, path: rows.parquet, event_time: ts}
---
kind: feature_view
name: ds
entity: driver
source: rows
ttl: 1h
online: {kind: feast}
features:
- {name: conv, type: float64}
- {name: trips, type: int64}
- {name: tag, type: string}
- {name: single, type: float32}
- {name: vector, type: list<float32>}
computed: [{name: twice, type: float64, expr: conv * 2.0}]
---
{kind: feature_view, name: newer, entity: driver, source: rows, online: {kind: feast, view: ds, version: 2}, features: [{name: conv, type: float64}]}
---
{kind: feature_view, name: narrow, entity: driver32, source: rows, online: {kind: feast, view: ds}, features: [{name: conv, type: float64}]}
---
{kind: feature_view, name: rides, entity: ride, source: rows, online: {kind: feast}, on_error: null, features: [{name: fare, type: float64}]}
---
{kind: entity, name: everything, join_key: __dummy_id, type: string}
---
{kind: feature_view, name: rates, entity: everything, source: rows, online: {kind: feast}, features: [{name: eur, type: float64}]}
---
{kind: feature_service, name: rates, features: ['rates:eur']}
---
{kind: feature_service, name: one, features: ['ds:conv']}
---
{kind: feature_service, name: all, features: ['ds:*']}
---
{kind: feature_service, name: two, features: [{feature: 'ds:conv', as: old}, {feature: 'newer:conv', as: new}]}
---
{kind: feature_service, name: by_int32, features: ['narrow:conv']}
---
kind: feature_service
name: by_other_names
views: [{view: rides, as: mine, join_keys: {driver_id: me}}]
features: ['mine:fare']
";

const NOW: &str = "2026-11-22T18:00:00Z";

struct World {
    server: TestRedis,
    reader: OnlineReader,
    definitions: AppliedDefinitions,
}

fn definitions() -> AppliedDefinitions {
    applied(DEFINITIONS)
}

fn patient(config: RedisConfig) -> Arc<FeastRedis> {
    let config = RedisConfig { timeout: Duration::from_secs(20), ..config };
    Arc::new(FeastRedis::new(&config, "proj").unwrap())
}

fn reader(feast: Arc<FeastRedis>) -> OnlineReader {
    OnlineReader::new(Arc::new(MemoryStore::default())).with_feast(Some(feast))
}

impl World {
    fn new() -> Self {
        let server = TestRedis::spawn();
        let reader = reader(patient(RedisConfig::one(server.url()).unwrap()));
        Self { server, reader, definitions: definitions() }
    }

    /// `HSET` as Feast's online store does it.
    fn write(&self, key: &[(&str, Dtype, i64)], view: &str, time: Option<&str>, features: &[(&str, Vec<u8>)]) {
        let parts: Vec<_> = key.iter().map(|(name, dtype, v)| (*name, *dtype, Value::Int(*v))).collect();
        let mut command = redis::cmd("HSET");
        command.arg(entity_key("proj", &parts).unwrap());
        if let Some(time) = time {
            command.arg(time_field(view)).arg(encode_time(Timestamp::parse(time).unwrap()));
        }
        for (name, bytes) in features {
            command.arg(field(view, name).as_slice()).arg(bytes.as_slice());
        }
        let mut client = redis::Client::open(self.server.url()).unwrap().get_connection().unwrap();
        command.exec(&mut client).unwrap();
    }

    fn driver(&self, id: i64, time: Option<&str>, features: &[(&str, Vec<u8>)]) {
        self.write(&[("driver_id", Dtype::Int64, id)], "ds", time, features);
    }

    async fn ask(&self, service: &str, keys: &[(&str, &[Option<i64>])], now: &str) -> Result<String, RetrieveError> {
        let service = self.definitions.current_service(service).unwrap();
        let compiled = CompiledService::new(service, &self.definitions).unwrap();
        let n = keys[0].1.len();
        let column = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let narrow = compiled.keys().iter().any(|key| key.dtype == Dtype::Int32);
        let cast = |array: ArrayRef| {
            if narrow { arrow::compute::cast(&array, &Dtype::Int32.to_arrow()).unwrap() } else { array }
        };
        let columns = keys.iter().map(|(name, values)| ((*name).to_owned(), cast(column(values)))).collect();
        let entities = EntityRows { n, columns };
        let rows = retrieve(&self.reader, &compiled, &entities, Timestamp::parse(now).unwrap()).await?;
        let mut text = String::new();
        for row in 0..n {
            for (i, column) in compiled.service.columns.iter().enumerate() {
                let value = Value::at(&rows.columns[i], row);
                text += &format!("{row} {} {value} {}\n", column.name, rows.statuses[i][row]);
            }
            text += &format!("{row} of {:?}\n", rows.event_times[0][row]);
        }
        Ok(text)
    }

    #[track_caller]
    fn check(answer: Result<String, RetrieveError>, want: &Expect) {
        want.assert_eq(&answer.unwrap_or_else(|why| format!("{why}")));
    }
}

fn float(v: f64) -> Vec<u8> {
    encode_value(&Value::Float(v), Dtype::Float64).unwrap()
}

fn hexed(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[tokio::test]
async fn what_feast_wrote_is_read_with_our_statuses() {
    let world = World::new();
    let trips = encode_value(&Value::Int(10), Dtype::Int64).unwrap();
    let whole: Vec<(&str, Vec<u8>)> = vec![
        ("conv", float(0.5)),
        ("trips", trips),
        ("tag", hexed("1200")),
        ("single", hexed("35cdcccc3d")),
        ("vector", hexed("8201060a04cdcccc3d")),
    ];
    world.driver(1, Some("2026-11-22T17:58:24Z"), &whole);
    // A null is an empty string; a field that is not there is nobody's value.
    world.driver(2, Some("2026-11-22T17:00:00Z"), &[("conv", Vec::new()), ("trips", hexed("980100"))]);
    world.driver(3, Some("2026-11-22T16:59:59Z"), &whole);
    world.driver(4, None, &whole);
    let ids = [Some(1), Some(2), Some(3), Some(4), Some(5), None];
    World::check(
        world.ask("all", &[("driver_id", &ids)], NOW).await,
        &expect![[r#"
        0 conv 0.5 PRESENT
        0 trips 10 PRESENT
        0 tag "" PRESENT
        0 single 0.10000000149011612 PRESENT
        0 vector [0.10000000149011612] PRESENT
        0 twice 1.0 PRESENT
        0 of Some(2026-11-22T17:58:24Z)
        1 conv null NULL_VALUE
        1 trips null NULL_VALUE
        1 tag null NOT_FOUND
        1 single null NOT_FOUND
        1 vector null NOT_FOUND
        1 twice null NULL_VALUE
        1 of Some(2026-11-22T17:00:00Z)
        2 conv null OUTSIDE_MAX_AGE
        2 trips null OUTSIDE_MAX_AGE
        2 tag null OUTSIDE_MAX_AGE
        2 single null OUTSIDE_MAX_AGE
        2 vector null OUTSIDE_MAX_AGE
        2 twice null OUTSIDE_MAX_AGE
        2 of Some(2026-11-22T16:59:59Z)
        3 conv null NOT_FOUND
        3 trips null NOT_FOUND
        3 tag null NOT_FOUND
        3 single null NOT_FOUND
        3 vector null NOT_FOUND
        3 twice null NOT_FOUND
        3 of None
        4 conv null NOT_FOUND
        4 trips null NOT_FOUND
        4 tag null NOT_FOUND
        4 single null NOT_FOUND
        4 vector null NOT_FOUND
        4 twice null NOT_FOUND
        4 of None
        5 conv null NOT_FOUND
        5 trips null NOT_FOUND
        5 tag null NOT_FOUND
        5 single null NOT_FOUND
        5 vector null NOT_FOUND
        5 twice null NOT_FOUND
        5 of None
    "#]],
    );
    // Feast keeps one row: what was before it nobody knows.
    let early = world.ask("all", &[("driver_id", &[Some(1)])], "2026-11-22T17:58:23Z").await.unwrap_err();
    assert!(matches!(early, RetrieveError::TooOld { .. }), "{early}");
}

#[tokio::test]
async fn versions_composite_keys_and_key_types_are_feasts() {
    let world = World::new();
    let (day, time) = ("ds", Some("2026-11-22T17:59:00Z"));
    world.driver(1, time, &[("conv", float(1.0))]);
    world.write(&[("driver_id", Dtype::Int64, 1)], &versioned(day, 2), time, &[("conv", float(2.0))]);
    World::check(
        world.ask("two", &[("driver_id", &[Some(1)])], NOW).await,
        &expect![[r#"
        0 old 1.0 PRESENT
        0 new 2.0 PRESENT
        0 of Some(2026-11-22T17:59:00Z)
    "#]],
    );
    // The key of an int32 entity is another key.
    World::check(
        world.ask("by_int32", &[("driver_id", &[Some(1)])], NOW).await,
        &expect![[r#"
        0 conv null NOT_FOUND
        0 of None
    "#]],
    );
    world.write(&[("driver_id", Dtype::Int32, 1)], day, time, &[("conv", float(32.0))]);
    World::check(
        world.ask("by_int32", &[("driver_id", &[Some(1)])], NOW).await,
        &expect![[r#"
        0 conv 32.0 PRESENT
        0 of Some(2026-11-22T17:59:00Z)
    "#]],
    );
    world.write(
        &[("driver_id", Dtype::Int64, 1), ("customer_id", Dtype::Int64, 23)],
        "rides",
        time,
        &[("fare", float(9.0))],
    );
    let keys: [(&str, &[Option<i64>]); 2] = [("me", &[Some(1), Some(23)]), ("customer_id", &[Some(23), Some(1)])];
    World::check(
        world.ask("by_other_names", &keys, NOW).await,
        &expect![[r#"
        0 fare 9.0 PRESENT
        0 of Some(2026-11-22T17:59:00Z)
        1 fare null NOT_FOUND
        1 of None
    "#]],
    );
}

#[tokio::test]
async fn what_does_not_fit_its_declaration_is_refused_and_a_view_may_do_without() {
    let mut world = World::new();
    world.driver(1, Some("2026-11-22T17:59:00Z"), &[("conv", hexed("120161"))]);
    let why = world.ask("all", &[("driver_id", &[Some(1)])], NOW).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Conflict);
    assert!(why.to_string().contains("feature `conv`: \"a\" is not a value of float64"), "{why}");
    // Without the server, the view that says `on_error: null` is unknown, and the other an error.
    world.server.kill();
    let why = world.ask("all", &[("driver_id", &[Some(1)])], NOW).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Unavailable, "{why}");
    let keys: [(&str, &[Option<i64>]); 2] = [("me", &[Some(1)]), ("customer_id", &[Some(23)])];
    World::check(
        world.ask("by_other_names", &keys, NOW).await,
        &expect![[r#"
        0 fare null UNAVAILABLE
        0 of None
    "#]],
    );
}

#[tokio::test]
async fn a_view_without_an_entity_has_feasts_key() {
    let world = World::new();
    let key = hexed("01000000020000000a0000005f5f64756d6d795f6964020000000000000070726f6a");
    let mut command = redis::cmd("HSET");
    command.arg(key).arg("_ts:rates").arg(encode_time(Timestamp::parse("2026-11-22T17:59:00Z").unwrap()));
    command.arg(field("rates", "eur").as_slice()).arg(float(1.25));
    let mut client = redis::Client::open(world.server.url()).unwrap().get_connection().unwrap();
    command.exec(&mut client).unwrap();
    let service = world.definitions.current_service("rates").unwrap();
    let compiled = CompiledService::new(service, &world.definitions).unwrap();
    let entities = EntityRows { n: 2, columns: [("__dummy_id".to_owned(), JoinKey::constants(2))].into() };
    let rows = retrieve(&world.reader, &compiled, &entities, Timestamp::parse(NOW).unwrap()).await.unwrap();
    assert_eq!(Value::at(&rows.columns[0], 0), Value::Float(1.25));
    assert_eq!(rows.statuses[0].as_slice(), [Status::Present, Status::Present]);
}

/// Feast's keys carry no hash tag, so those of one request are on every node.
#[tokio::test]
async fn in_a_cluster_each_key_is_asked_for_where_it_is() {
    let cluster = TestCluster::start(3, 0, 10_000);
    let urls = cluster.urls()[..1].iter().map(|url| url.parse().unwrap()).collect();
    let feast = patient(RedisConfig::of(RedisServers::Cluster(urls)));
    let time = encode_time(Timestamp::parse("2026-11-22T17:59:00Z").unwrap());
    let ids: Vec<i64> = (0..200).collect();
    let write = |id: i64| {
        let key = entity_key("proj", &[("driver_id", Dtype::Int64, Value::Int(id))]).unwrap();
        let slot = feast.servers.slot_of(&key);
        let mut command = redis::cmd("HSET");
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let value = float(id as f64);
        command.arg(key).arg("_ts:ds").arg(time.as_slice()).arg(field("ds", "conv").as_slice()).arg(value);
        Keyed { slot, command }
    };
    feast.servers.ask(Purpose::Write, ids.iter().map(|id| write(*id)).collect()).await.unwrap();
    for node in &cluster.nodes {
        assert_ne!(node.ask(&["DBSIZE"]), redis::Value::Int(0), "keys went to all nodes");
    }
    let definitions = definitions();
    let compiled = CompiledService::new(definitions.current_service("one").unwrap(), &definitions).unwrap();
    let columns = [("driver_id".to_owned(), Arc::new(Int64Array::from(ids.clone())) as ArrayRef)].into();
    let entities = EntityRows { n: ids.len(), columns };
    let rows = retrieve(&reader(feast), &compiled, &entities, Timestamp::parse(NOW).unwrap()).await.unwrap();
    for (row, id) in ids.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let want = Value::Float(*id as f64);
        assert_eq!(Value::at(&rows.columns[0], row), want, "in the order of the request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_whoever_is_to_be_erased_are_found_and_stay() {
    let world = World::new();
    let feast = patient(RedisConfig::one(world.server.url()).unwrap());
    world.driver(7, Some(NOW), &[]);
    // Another view's row of the same entity, and those of keys of two parts.
    world.write(&[("driver_id", Dtype::Int64, 8)], "ds_v2", Some(NOW), &[]);
    for (driver, customer) in [(7, 1), (7, 2), (9, 1)] {
        let key = [("driver_id", Dtype::Int64, driver), ("customer_id", Dtype::Int64, customer)];
        world.write(&key, "rides", Some(NOW), &[]);
    }
    let subject = |parts: &[(&str, &str)]| {
        Subject::new(parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    };
    for (view, parts, want) in [
        ("ds", vec![("driver_id", "7")], 1),
        ("ds", vec![("driver_id", "8")], 0),
        ("newer", vec![("driver_id", "8")], 1),
        ("narrow", vec![("driver_id", "7")], 0),
        ("rides", vec![("driver_id", "7")], 2),
        ("rides", vec![("customer_id", "1")], 2),
        ("rides", vec![("customer_id", "1"), ("driver_id", "9")], 1),
        ("rides", vec![("customer_id", "3")], 0),
    ] {
        let of = world.definitions.current_view(view).unwrap();
        let keys = subject(&parts).in_view(of).unwrap();
        for _ in 0..2 {
            assert_eq!(feast.count(of, &keys).await.unwrap(), want, "{view} {parts:?}");
        }
    }
}
