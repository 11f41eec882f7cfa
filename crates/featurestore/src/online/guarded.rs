//! A store behind circuit breakers, one for reads and one for writes: a full server takes no writes and answers reads.
//!
//! For servers: a command that is run once should ask the store and say what is wrong with it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use schema::error::chain;
use schema::{EntityKey, ErrorKind, Timestamp};

use super::circuit::{Change, Circuit, Outcome, Pass};
use super::{
    Cell, Doing, EraseReport, OnlineError, OnlineRows, OnlineStore, OnlineTable, Refusal, TableSize, WriteReport,
    views_of,
};
use crate::erase::KeyMatch;

/// A store that is left alone while it is in trouble.
#[derive(Debug)]
pub struct GuardedStore {
    store: Arc<dyn OnlineStore>,
    reads: Guard,
    writes: Guard,
}

/// Why a store is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The last failure, as it was said.
    pub why: Arc<str>,
    /// Its kind.
    pub kind: ErrorKind,
    /// The refusal that it was, if it was one.
    pub refusal: Option<Refusal>,
}

/// A circuit in front of one kind of calls.
#[derive(Debug)]
pub(super) struct Guard {
    /// Closed without a failure: calls need look at nothing else.
    well: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    circuit: Circuit,
    trouble: Option<Trouble>,
}

/// A call that asks the store. When it is dropped before it has landed, nobody waited for it.
struct Flight<'g> {
    guard: &'g Guard,
    pass: Pass,
    landed: bool,
}

impl GuardedStore {
    /// Guards `store`.
    pub fn new(store: Arc<dyn OnlineStore>) -> Self {
        Self { store, reads: Guard::default(), writes: Guard::default() }
    }
}

#[async_trait]
impl OnlineStore for GuardedStore {
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        let doing = || Doing::Reading { views: views_of(tables), n_keys: keys.len() };
        self.reads.call(doing, self.store.get_many(tables, keys)).await
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let doing = || Doing::Writing { view: table.view().clone(), n_keys: cells.len() };
        self.writes.call(doing, self.store.put_many(table, cells, horizon)).await
    }

    async fn put_new(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let doing = || Doing::Writing { view: table.view().clone(), n_keys: cells.len() };
        self.writes.call(doing, self.store.put_new(table, cells, horizon)).await
    }

    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        self.writes.call(|| Doing::Erasing, self.store.erase(tables, keys, dry_run)).await
    }

    async fn drop_tables(&self, tables: &[OnlineTable]) -> Result<(), OnlineError> {
        let doing = || Doing::Dropping { tables: tables.to_vec() };
        self.writes.call(doing, self.store.drop_tables(tables)).await
    }

    async fn size_of(&self, table: &OnlineTable) -> Result<Option<TableSize>, OnlineError> {
        self.reads.call(|| Doing::Opening, self.store.size_of(table)).await
    }

    async fn check(&self) -> Result<(), OnlineError> {
        self.reads.call(|| Doing::Opening, self.store.check()).await
    }
}

impl Guard {
    /// Asks the store, unless it is in trouble.
    pub(super) async fn call<T>(
        &self,
        doing: impl Fn() -> Doing,
        ask: impl Future<Output = Result<T, OnlineError>>,
    ) -> Result<T, OnlineError> {
        let mut flight =
            Flight { guard: self, pass: self.pass().map_err(|why| why.while_doing(doing()))?, landed: false };
        let answer = ask.await;
        match &answer {
            Err(why) if why.is_trouble() => {
                let trouble = Trouble { why: chain(why).into(), kind: why.kind(), refusal: why.refusal() };
                flight.land(Outcome::Failed, Some(trouble));
            }
            Ok(_) | Err(_) => flight.land(Outcome::Answered, None),
        }
        answer
    }

    fn pass(&self) -> Result<Pass, Trouble> {
        if self.well.load(Ordering::Acquire) {
            return Ok(Pass::Through);
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match (held.circuit.pass(Instant::now()), &held.trouble) {
            (Pass::Refused, Some(trouble)) => Err(trouble.clone()),
            (pass, _) => Ok(pass),
        }
    }

    fn record(&self, pass: Pass, outcome: Outcome, trouble: Option<Trouble>) {
        if outcome != Outcome::Failed && self.well.load(Ordering::Acquire) {
            return;
        }
        // The standard library's own seed; nothing depends on its quality.
        let spread = f32::from(RandomState::new().build_hasher().finish().to_le_bytes()[0]) / 255.0;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.trouble = trouble.or_else(|| held.trouble.take());
        let change = held.circuit.record(pass, outcome, Instant::now(), spread);
        self.well.store(held.circuit == Circuit::default(), Ordering::Release);
        match change {
            Some(Change::Opened) => {
                let why = held.trouble.as_ref().map(|trouble| Arc::clone(&trouble.why)).unwrap_or_default();
                tracing::warn!("the online store is left alone, with a probe at least twice a second: {why}");
            }
            Some(Change::Closed) => tracing::warn!("the online store answers again"),
            None => {}
        }
    }
}

impl Flight<'_> {
    fn land(&mut self, outcome: Outcome, trouble: Option<Trouble>) {
        self.landed = true;
        self.guard.record(self.pass, outcome, trouble);
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.landed {
            self.guard.record(self.pass, Outcome::Abandoned, None);
        }
    }
}

impl Trouble {
    fn while_doing(self, doing: Doing) -> OnlineError {
        OnlineError::Resting { doing, trouble: self }
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self { well: AtomicBool::new(true), held: Mutex::default() }
    }
}

#[cfg(test)]
mod tests;
