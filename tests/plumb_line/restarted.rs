//! A Redis server that dies in the middle of a history and comes back empty, while the store that speaks to it stays.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use featurestore::OnlineStore;
use featurestore::online::testing::TestRedis;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};

use super::history::{Action, histories};
use super::via::By;
use super::world::Ways;
use super::{on_redis, play};

/// Each of them waits for a server to start.
const HISTORIES: usize = 12;

#[test]
fn a_server_that_comes_back_empty_is_filled_again() {
    let redis = RefCell::new(TestRedis::spawn());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let (ways, n_restarts) = (Ways::default(), Cell::new(0));
    for _ in 0..HISTORIES {
        let mut history = histories().new_tree(&mut runner).unwrap().current();
        history.actions.retain(|action| !matches!(action, Action::Lost));
        history.actions.insert(1, Action::Materialize { fresh: false, later: 1, by: By::Call });
        let middle = history.actions.len().div_ceil(2).max(2);
        history.actions.insert(middle, Action::Lost);
        let store = on_redis(&runtime, redis.borrow().url());
        let asked_for = Cell::new(0);
        let same_store = || {
            asked_for.set(asked_for.get() + 1);
            if asked_for.get() > 1 {
                redis.borrow_mut().kill();
                redis.borrow_mut().restart();
                n_restarts.set(n_restarts.get() + 1);
            }
            Arc::clone(&store) as Arc<dyn OnlineStore>
        };
        runtime.block_on(play(&history, &same_store, &ways)).unwrap_or_else(|why| panic!("{why} in {history:?}"));
    }
    assert_eq!(n_restarts.get(), HISTORIES);
}
