//! The invariants that the product promises of features (I1 to I4 of its fault tables), each as a property of generated
//! histories on both real stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Float64Type;
use featurestore::FeatureRows;
use featurestore::materialize::Materializer;
use featurestore::online::marks::Marks;
use featurestore::online::testing::{TestRedis, unique_project};
use featurestore::online::{Cell, EmbeddedStore, OnlineReader, OnlineRow, OnlineTable, RedisStore};
use featurestore::retrieve::{EntityRows, retrieve};
use featurestore::training::features_at;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use schema::{EntityKey, RowOrder, Status, Timestamp, Value};

use crate::faulty::{Fault, Faulty, KINDS, Met};
use crate::nine_scenarios::{MINUTE, Row, World};

const KEYS: i64 = 3;
const TTL: i64 = 60;

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let one = (0..KEYS, 0..100_i64, 0..30_i64, proptest::option::weighted(0.8, 0..9_i32));
    let row = one.prop_map(|(key, event, late, v)| Row { key, event, created: event + late, v: v.map(f64::from) });
    proptest::collection::vec(row, 1..12)
}

fn property<S: Strategy>(cases: u32, strategy: S, mut check: impl AsyncFnMut(S::Value) -> Result<(), TestCaseError>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let check = std::cell::RefCell::new(&mut check);
    let done = runner.run(&strategy, |value| runtime.block_on((*check.borrow_mut())(value)));
    done.unwrap_or_else(|why| panic!("{why}"));
}

/// Where worlds have their online stores.
enum Stores {
    Embedded(tempfile::TempDir),
    Redis(TestRedis),
}

impl Stores {
    async fn world(&self) -> World {
        let name = unique_project();
        World::new(match self {
            Self::Embedded(folder) => Arc::new(EmbeddedStore::open(&folder.path().join(name)).unwrap()),
            Self::Redis(redis) => {
                Arc::new(RedisStore::connect(redis.url(), &name, Duration::from_secs(20)).await.unwrap())
            }
        })
    }
}

macro_rules! on_both_stores {
    ($($name:ident),+) => {
        mod in_the_embedded_store {
            $(#[test]
            fn $name() {
                super::$name(&super::Stores::Embedded(tempfile::tempdir().unwrap()));
            })+
        }

        mod in_redis {
            $(#[test]
            fn $name() {
                super::$name(&super::Stores::Redis(featurestore::online::testing::TestRedis::start()));
            })+
        }
    };
}

on_both_stores!(
    i1_no_value_comes_from_the_future_or_from_before_its_ttl,
    i2_delivery_order_and_repeats_do_not_matter,
    i3_a_reader_sees_one_version_of_a_row,
    i4_the_watermark_moves_after_the_data
);

fn everyone() -> EntityRows {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..KEYS));
    EntityRows { n: keys.len(), columns: [("k".to_owned(), keys)].into() }
}

async fn online(world: &World, at: Timestamp) -> FeatureRows {
    let reader = OnlineReader::new(Arc::clone(&world.store));
    retrieve(&reader, &world.compiled(), &everyone(), at).await.unwrap()
}

fn number(n: i64) -> f64 {
    f64::from(i32::try_from(n).unwrap())
}

/// The row that counts, by the words of the rule.
fn winner(rows: &[Row], key: i64, at: i64) -> Option<(i64, Status)> {
    let seen = rows.iter().enumerate().filter(|(_, row)| row.key == key && row.event <= at && row.created <= at);
    let (_, best) = seen.max_by_key(|(place, row)| (row.event, row.created, *place))?;
    let status = match best.v {
        _ if best.event < at - TTL => Status::OutsideMaxAge,
        None => Status::NullValue,
        Some(_) => Status::Present,
    };
    Some((best.event, status))
}

fn i1_no_value_comes_from_the_future_or_from_before_its_ttl(stores: &Stores) {
    property(60, (rows(), 0..60_i64), async |(rows, now)| {
        let world = stores.world().await;
        world.file("a.parquet", &rows);
        world.materialize(now).await;
        for at in (now..200).step_by(7) {
            let t = Timestamp::from_nanos(at * MINUTE);
            let times = vec![Some(t); usize::try_from(KEYS).unwrap()];
            let (offline, _) = features_at(&world.offline, &world.compiled(), &everyone(), &times).await.unwrap();
            for found in [online(&world, t).await, offline] {
                for key in 0..KEYS {
                    let row = usize::try_from(key).unwrap();
                    let said = found.event_times[0][row].map(|time| (time.as_nanos() / MINUTE, found.statuses[0][row]));
                    prop_assert_eq!(said, winner(&rows, key, at), "key {} at minute {}", key, at);
                    if found.statuses[0][row] == Status::Present {
                        let event = found.event_times[0][row].unwrap();
                        prop_assert!(event <= t && t.as_nanos() - event.as_nanos() <= TTL * MINUTE);
                    }
                }
            }
        }
        Ok(())
    });
}

fn i2_delivery_order_and_repeats_do_not_matter(stores: &Stores) {
    let strategy = (rows(), proptest::collection::vec((any::<u32>(), 1..4_usize), 12));
    property(60, strategy, async |(rows, turns)| {
        let world = stores.world().await;
        let view = world.definitions.current_view("f").unwrap();
        let horizon = Timestamp::from_nanos(50);
        let (one, other) = (OnlineTable::generation(view, 1), OnlineTable::generation(view, 2));
        let key = |row: &Row| EntityKey::from_bytes(&row.key.to_be_bytes());
        let cell = |(at, row): (usize, &Row)| {
            let (event, created) = (Timestamp::from_nanos(row.event), Timestamp::from_nanos(row.created));
            let order = RowOrder { event_time: event, created_time: Some(created), sequence: at as u64 };
            let visible_from = view.visibility().visible_from(&order);
            let payload = vec![u8::try_from(at).unwrap_or_default()].into();
            (key(row), Cell::of([&OnlineRow { order, visible_from, deleted: row.v.is_none(), payload }], horizon))
        };
        let cells: Vec<_> = rows.iter().enumerate().map(cell).collect();
        world.store.put_many(&one, &cells, horizon).await.unwrap();
        // Shuffled, and some of them several times, one by one.
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.sort_by_key(|at| turns[*at].0);
        for at in order {
            for _ in 0..turns[at].1 {
                world.store.put_many(&other, &cells[at..=at], horizon).await.unwrap();
            }
        }
        let keys: Vec<EntityKey> = (0..KEYS).map(|key| EntityKey::from_bytes(&key.to_be_bytes())).collect();
        let found = world.store.get_many(&[one, other], &keys).await.unwrap();
        for key in 0..keys.len() {
            prop_assert_eq!(found.get(key, 0), found.get(key, 1), "key {}", key);
        }
        Ok(())
    });
}

/// A writer tags every feature of a row with one number; whoever reads sees one number, while rows are pushed, and while
/// generations are built and switched to.
fn i3_a_reader_sees_one_version_of_a_row(stores: &Stores) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(one_version_of_a_row(stores));
}

async fn one_version_of_a_row(stores: &Stores) {
    const ROUNDS: i64 = 40;
    let world = Arc::new(stores.world().await);
    let tagged = |n: i64| Row { key: 1, event: n, created: n, v: Some(number(n)) };
    world.file("a.parquet", &[tagged(0)]);
    world.materialize(0).await;
    let (done, n_read) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (world, done, n_read) = (Arc::clone(&world), Arc::clone(&done), Arc::clone(&n_read));
        readers.spawn(async move {
            let reader = OnlineReader::new(Arc::clone(&world.store));
            let compiled = world.compiled();
            let at = Timestamp::from_nanos(30 * MINUTE);
            while !done.load(Ordering::Acquire) {
                reader.refresh().await.unwrap();
                let rows = retrieve(&reader, &compiled, &everyone(), at).await.unwrap();
                let v = rows.columns[0].as_primitive::<Float64Type>().value(1);
                let Value::Timestamp(seen) = Value::at(&rows.columns[2], 1) else { panic!("a row without its time") };
                let event = rows.event_times[0][1].unwrap();
                // `at` is the row's own event time and some nanoseconds.
                let tags = [v, number(seen.as_nanos() / MINUTE), number(event.as_nanos() / MINUTE)];
                assert!(tags.iter().all(|tag| tag.to_bits() == v.to_bits()), "a mixed row: {tags:?}");
                n_read.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
    }
    for n in 1..=ROUNDS {
        let n = n.min(29);
        if n % 3 == 0 {
            world.file("a.parquet", &[tagged(n)]);
            world.materialize(n).await;
        } else {
            world.push(tagged(n), n).await;
        }
    }
    while n_read.load(Ordering::Relaxed) < 20 {
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::Release);
    while let Some(reader) = readers.join_next().await {
        reader.unwrap();
    }
}

/// Materialize fails at every call of the store in turn, in every way; what the marks vouch for is there, and running again
/// gives what would have been without the fault.
fn i4_the_watermark_moves_after_the_data(stores: &Stores) {
    let met = Arc::new(Met::default());
    property(25, (rows(), rows(), any::<bool>()), async |(first, then, grows)| {
        for kind in KINDS {
            let mut after = 0;
            loop {
                let world = stores.world().await;
                world.file("a.parquet", &first);
                world.materialize(40).await;
                world.file(if grows { "b.parquet" } else { "a.parquet" }, &then);
                let view = world.definitions.current_view("f").unwrap();
                let history = world.offline.history(view).await.unwrap();
                let faulty = Faulty::new(Arc::clone(&world.store), &[Fault { after, kind }], &met);
                let now = Timestamp::from_nanos(80 * MINUTE);
                let run = || async { Materializer::new(view, &history, &faulty, now).run(false, &|_| {}).await };
                let failed = tokio::select! {
                    biased;
                    () = faulty.killed_once() => true,
                    done = run() => done.is_err(),
                };
                let marks = Marks::read(world.store.as_ref(), view).await.unwrap();
                let whole = marks.current.as_ref().is_some_and(|current| current.contents == history.contents());
                if whole {
                    agree(&world, now).await?;
                } else {
                    prop_assert!(failed, "it says that it is done, and the marks do not");
                }
                if !failed {
                    break;
                }
                run().await.unwrap();
                agree(&world, now).await?;
                after += 1;
            }
            prop_assert!(after > 2, "{:?} was met {} times", kind, after);
        }
        Ok(())
    });
}

async fn agree(world: &World, now: Timestamp) -> Result<(), TestCaseError> {
    let times = vec![Some(now); usize::try_from(KEYS).unwrap()];
    let (offline, _) = features_at(&world.offline, &world.compiled(), &everyone(), &times).await.unwrap();
    let online = online(world, now).await;
    prop_assert_eq!(&online.statuses, &offline.statuses);
    prop_assert_eq!(&online.event_times, &offline.event_times);
    for (a, b) in online.columns.iter().zip(&offline.columns) {
        prop_assert_eq!(a.to_data(), b.to_data());
    }
    Ok(())
}
