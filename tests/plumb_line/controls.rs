//! Negative controls: a law that no broken store breaks says nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use featurestore::OnlineStore;
use proptest::strategy::{Strategy, ValueTree};

use super::broken::{Broken, Fault};
use super::history::histories;
use super::world::{Ways, World};
use super::{play_in, runner, seed};

/// Histories that a sound store must pass, and the most that a broken one may.
const SOUND: usize = 60;
const UNNOTICED: usize = 1_000;

/// How many histories of a seed a store with a fault passes before it is found out, of so many; in a world that is spoiled.
fn n_passed(fault: Fault, spoil: fn(&mut World<'_>), seed: u64, histories_max: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = runner(seed, 0);
    let ways = Ways::default();
    let is_passed = |_: &usize| {
        let history = histories().new_tree(&mut runner).unwrap().current();
        let (ttl, strict) = (history.shape.ttl, history.shape.strict);
        let store = || Arc::new(Broken::new(fault, ttl, strict)) as Arc<dyn OnlineStore>;
        let _inside = runtime.enter();
        let mut world = World::new(&history, &store, &ways);
        spoil(&mut world);
        // What the world asserts on the way finds a fault too.
        let playing = AssertUnwindSafe(|| runtime.block_on(play_in(world, &history, &ways)));
        catch_unwind(playing).is_ok_and(|played| played.is_ok())
    };
    (0..histories_max).take_while(is_passed).count()
}

#[track_caller]
fn is_found(fault: Fault) {
    let seed = seed();
    let n = n_passed(fault, |_| {}, seed, UNNOTICED);
    assert!(n < UNNOTICED, "{fault:?} is found in none of {UNNOTICED} histories of PLUMB_SEED={seed}");
}

#[test]
fn a_store_that_ignores_the_created_time_is_found() {
    is_found(Fault::CreatedTimeIgnored);
}

#[test]
fn a_store_that_forgets_tombstones_is_found() {
    is_found(Fault::TombstoneForgotten);
}

#[test]
fn a_store_that_applies_the_ttl_at_write_is_found() {
    is_found(Fault::TtlAtWrite);
}

#[test]
fn a_store_that_overwrites_blindly_is_found() {
    is_found(Fault::BlindOverwrite);
}

#[test]
fn a_store_of_microseconds_is_found() {
    is_found(Fault::Microseconds);
}

#[test]
fn a_watermark_by_event_time_is_found() {
    is_found(Fault::WatermarkByEventTime);
}

fn lose_pushes(world: &mut World<'_>) {
    world.lose_pushes();
}

/// Whoever pushes is told that it is done, and it is online; but history has it not.
#[test]
fn pushes_that_are_acknowledged_but_not_logged_are_found() {
    let seed = seed();
    let n = n_passed(Fault::None, lose_pushes, seed, UNNOTICED);
    assert!(n < UNNOTICED, "lost pushes are found in none of {UNNOTICED} histories of PLUMB_SEED={seed}");
}

/// What is found is the fault, and not the way in which it is put in.
#[test]
fn the_same_store_without_a_fault_is_sound() {
    let seed = seed();
    let n = n_passed(Fault::None, |_| {}, seed, SOUND);
    assert_eq!(n, SOUND, "history {n} of PLUMB_SEED={seed} finds a fault where there is none");
}
