//! The plumb line: for any history, the value served online as of t is the value that a training row at t gets, bit for
//! bit, with status and event time, and both are what a naive loop over all rows gives.
//!
//! A history is random in everything: the types of keys and features, the rules of the view, the form of its source
//! (`shape.rs`), its rows (`rows.rs`), and what happens (`history.rs`): rows arrive, late, changed, deleted or of the future;
//! they are materialized, pushed, erased, gone back from, in any order and at once. On the way the store fails: before,
//! during and after what it was told to do, or its caller is killed; whoever was told so tries again, as people and
//! clients do. `controls.rs` breaks the store in ways that the line must find.
//!
//! `PLUMB_HISTORIES=20000` plays so many on each store, for a night. A failure prints the history, shrunk, and the seed;
//! `PLUMB_SEED` plays those of a seed again.

mod bringing;
mod broken;
mod compare;
mod controls;
mod flight;
mod frames;
mod history;
mod ingesting;
mod log;
mod oracle;
mod pushing;
mod replays;
mod restarted;
mod rows;
mod server;
mod shape;
mod source;
mod via;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use featurestore::materialize::How;
use featurestore::online::testing::TestRedis;
use featurestore::online::{EmbeddedStore, OnlineStore, RedisStore};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::faulty::KINDS;
use compare::{compare, compare_failing};
use history::{Action, History, histories};
use via::By;
use world::{MakeStore, Ways, World, folder};

/// Generated histories of each store, unless `PLUMB_HISTORIES` says how many.
const HISTORIES: u32 = 400;

fn n_histories() -> u32 {
    std::env::var("PLUMB_HISTORIES").map_or(HISTORIES, |n| n.parse().unwrap())
}

/// `PLUMB_SEED`, or one that was never played.
fn seed() -> u64 {
    std::env::var("PLUMB_SEED").map_or_else(|_| getrandom::u64().unwrap(), |seed| seed.parse().unwrap())
}

/// The histories of a seed.
fn runner(seed: u64, cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Plays a history; whenever all of it is online, answers are compared.
async fn play(history: &History, make_store: MakeStore<'_>, ways: &Ways) -> Result<(), TestCaseError> {
    play_in(World::new(history, make_store, ways), history, ways).await
}

async fn play_in(mut world: World<'_>, history: &History, ways: &Ways) -> Result<(), TestCaseError> {
    let mut answers = Vec::new();
    for (i, action) in history.actions.iter().enumerate() {
        world.act(action).await;
        let now = world.now;
        if world.synced && !matches!(action, Action::Arrive(..)) {
            compare(&world, &[now, now + 1, history.instants[i % 12]], ways).await?;
            answers.extend(replays::answer(&world).await);
        }
    }
    let later = Action::Materialize { fresh: false, later: history.instants[0].rem_euclid(7), by: By::Call };
    world.act(&later).await;
    prop_assert_eq!(world.bring(false, By::Call).await, How::Unchanged);
    compare(&world, &history.instants, ways).await?;
    for answer in &answers {
        replays::replay(&world, answer, ways).await?;
    }
    compare_failing(&world, history, &ways.met).await
}

fn laws(make_store: MakeStore<'_>) -> Ways {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (cases, seed) = (n_histories(), seed());
    let mut runner = runner(seed, cases);
    let ways = Ways::default();
    let result = runner.run(&histories(), |history| {
        let _inside = runtime.enter();
        runtime.block_on(play(&history, make_store, &ways))
    });
    if let Err(why) = result {
        panic!("of PLUMB_SEED={seed}: {why}");
    }
    let n = |n: &AtomicUsize| n.load(Ordering::Relaxed);
    // Whatever was never taken or never met proves nothing.
    let least = [
        (&ways.appended, 60),
        (&ways.built, 300),
        (&ways.unchanged, 400),
        (&ways.ranged, 10),
        (&ways.rolled_back, 10),
        (&ways.refused_pushes, 40),
        (&ways.pushed_while_building, 4),
        (&ways.erased, 10),
        (&ways.too_old, 100),
        (&ways.checks, 500),
        (&ways.replayed, 120),
        (&ways.gone, 10),
        (&ways.brought, 10),
        (&ways.rebatched, 25),
        (&ways.ingested_again, 20),
        (&ways.ingest_cut, 20),
        (&ways.vacuumed, 10),
    ];
    let by_push = ways.via.iter().map(|count| (count, 40));
    let by_run = ways.by.iter().map(|count| (count, 40));
    for (way, (count, least)) in least.into_iter().chain(by_push).chain(by_run).enumerate() {
        let least = least * cases as usize / HISTORIES as usize;
        let taken = n(count);
        assert!(taken >= least, "way {way} was taken {taken} times, not {least}, by PLUMB_SEED={seed}: {ways:?}");
    }
    for kind in KINDS {
        let (reads, writes) = (n(&ways.met.reads[kind as usize]), n(&ways.met.writes[kind as usize]));
        assert!(
            reads > 20 && writes > 20,
            "{kind:?} was met {reads} times while reading, {writes} while writing, by PLUMB_SEED={seed}"
        );
    }
    ways
}

#[test]
fn online_value_equals_offline_value_as_of_in_the_embedded_store() {
    let (folder, next) = (folder(), AtomicUsize::new(0));
    laws(&|| {
        let name = next.fetch_add(1, Ordering::Relaxed).to_string();
        Arc::new(EmbeddedStore::open(&folder.path().join(name)).unwrap())
    });
}

/// Stores on one server, each a project of its own.
fn on_redis(runtime: &tokio::runtime::Runtime, url: &str) -> Arc<dyn OnlineStore> {
    let timeout = Duration::from_secs(10);
    let project = format!("line-{}", uuid::Uuid::now_v7().simple());
    let connecting = RedisStore::connect(url, &project, timeout);
    let store = std::thread::scope(|s| s.spawn(|| runtime.block_on(connecting)).join().unwrap().unwrap());
    Arc::new(store)
}

#[test]
fn online_value_equals_offline_value_as_of_in_redis() {
    let redis = TestRedis::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    laws(&|| on_redis(&runtime, redis.url()));
}
