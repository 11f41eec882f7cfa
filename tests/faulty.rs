//! The real online store, failing now and then: before it did anything, after it did half, after it did all, or never
//! answering, as when its caller is killed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use featurestore::OnlineStore;
use featurestore::erase::KeyMatch;
use featurestore::online::{Cell, Doing, EraseReport, OnlineError, OnlineRows, OnlineTable, TableSize, WriteReport};
use proptest::prelude::*;
use schema::{EntityKey, Timestamp};
use tokio::sync::Notify;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is not done.
    NotDone,
    /// The first half of its keys is written.
    Half,
    /// It is done, and nobody is told: the outcome is unknown.
    Unknown,
    /// It is done, and its caller is gone before the answer.
    Killed,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::NotDone, Kind::Half, Kind::Unknown, Kind::Killed];

/// A fault, so many calls after the one before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub after: u8,
    pub kind: Kind,
}

pub(crate) fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let kind = (0..KINDS.len()).prop_map(|at| KINDS[at]);
    proptest::collection::vec((0_u8..7, kind).prop_map(|(after, kind)| Fault { after, kind }), 0..6)
}

/// How often each fault was met, by what was being done.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub reads: [AtomicUsize; 4],
    pub writes: [AtomicUsize; 4],
}

/// The store, and the faults to come.
#[derive(Debug)]
pub(crate) struct Faulty {
    store: Mutex<Arc<dyn OnlineStore>>,
    to_come: Mutex<VecDeque<Fault>>,
    /// Whether whoever calls is a thread, which nobody can kill alone.
    is_called_by_threads: AtomicBool,
    killed: Notify,
    met: Arc<Met>,
}

impl Faulty {
    pub(crate) fn new(store: Arc<dyn OnlineStore>, faults: &[Fault], met: &Arc<Met>) -> Self {
        let to_come = Mutex::new(faults.iter().copied().collect());
        let is_called_by_threads = AtomicBool::new(false);
        Self { store: Mutex::new(store), to_come, is_called_by_threads, killed: Notify::new(), met: Arc::clone(met) }
    }

    /// Does something until it succeeds, as whoever is told to run it again.
    pub(crate) async fn until_done<T, E: std::fmt::Debug>(&self, mut work: impl AsyncFnMut() -> Result<T, E>) -> T {
        let mut last = None;
        for _ in 0..32 {
            tokio::select! {
                biased;
                () = self.killed.notified() => last = None,
                done = work() => match done {
                    Ok(done) => return done,
                    Err(why) => last = Some(why),
                },
            }
        }
        panic!("there are fewer faults than tries: {last:?}")
    }

    /// From now on it is called by threads, or no more: they are told that the outcome is unknown instead of being killed.
    pub(crate) fn called_by_threads(&self, are: bool) {
        self.is_called_by_threads.store(are, Ordering::Relaxed);
    }

    /// Another store is in the place of this one.
    pub(crate) fn replace(&self, store: Arc<dyn OnlineStore>) {
        *self.store.lock().unwrap() = store;
    }

    /// The store, after a turn of whoever else works with it.
    async fn store(&self) -> Arc<dyn OnlineStore> {
        tokio::task::yield_now().await;
        Arc::clone(&self.store.lock().unwrap())
    }

    /// Returns when a caller is killed.
    pub(crate) async fn killed_once(&self) {
        self.killed.notified().await;
    }

    fn next(&self) -> Option<Kind> {
        let mut to_come = self.to_come.lock().unwrap();
        let fault = to_come.front_mut()?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        match to_come.pop_front()?.kind {
            Kind::Killed if self.is_called_by_threads.load(Ordering::Relaxed) => Some(Kind::Unknown),
            kind => Some(kind),
        }
    }

    fn failed(doing: Doing) -> OnlineError {
        OnlineError::Timeout { doing, address: "a store that fails".to_owned(), limit: Duration::ZERO }
    }

    async fn killed(&self) -> ! {
        self.killed.notify_one();
        std::future::pending().await
    }

    async fn put(
        &self,
        new: bool,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let put = async |cells: &[(EntityKey, Cell)]| match new {
            true => self.store().await.put_new(table, cells, horizon).await,
            false => self.store().await.put_many(table, cells, horizon).await,
        };
        let Some(kind) = self.next() else { return put(cells).await };
        self.met.writes[kind as usize].fetch_add(1, Ordering::Relaxed);
        match kind {
            Kind::NotDone => {}
            Kind::Half => drop(put(&cells[..cells.len() / 2]).await?),
            Kind::Unknown => drop(put(cells).await?),
            Kind::Killed => {
                put(cells).await?;
                self.killed().await;
            }
        }
        Err(Self::failed(Doing::Writing { view: table.view().clone(), n_keys: cells.len() }))
    }
}

#[async_trait]
impl OnlineStore for Faulty {
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        let Some(kind) = self.next() else { return self.store().await.get_many(tables, keys).await };
        self.met.reads[kind as usize].fetch_add(1, Ordering::Relaxed);
        if kind == Kind::Killed {
            self.killed().await;
        }
        Err(Self::failed(Doing::Opening))
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        self.put(false, table, cells, horizon).await
    }

    async fn put_new(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        self.put(true, table, cells, horizon).await
    }

    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        self.store().await.erase(tables, keys, dry_run).await
    }

    async fn size_of(&self, table: &OnlineTable) -> Result<Option<TableSize>, OnlineError> {
        self.store().await.size_of(table).await
    }

    async fn check(&self) -> Result<(), OnlineError> {
        self.store().await.check().await
    }

    async fn drop_tables(&self, tables: &[OnlineTable]) -> Result<(), OnlineError> {
        let kind = self.next();
        if let Some(kind) = kind {
            self.met.writes[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
        match kind {
            None => return self.store().await.drop_tables(tables).await,
            Some(Kind::NotDone) => {}
            Some(Kind::Half | Kind::Unknown) => self.store().await.drop_tables(tables).await?,
            Some(Kind::Killed) => {
                self.store().await.drop_tables(tables).await?;
                self.killed().await;
            }
        }
        Err(Self::failed(Doing::Dropping { tables: tables.to_vec() }))
    }
}
