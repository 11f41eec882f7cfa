//! The registry of a process: the catalog in memory, and the loop that turns a command into an event.
//!
//! Reading takes no query: [`Registry::catalog`] is what was last read. Writing is read, decide, append, and again from
//! the start when another writer was first; every rule is in [`Catalog::decide`].
//!
//! A long log is read from its newest snapshot on. Whether it is still what was written before that, a server looks for
//! afterwards: see [`Registry::check_past`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use schema::{Fingerprint, Timestamp};

use crate::catalog::Catalog;
use crate::command::Command;
use crate::error::RegistryError;
use crate::event::Event;
use crate::lineage::Lineage;
use crate::log::LogError;
use crate::model::Model;
use crate::seq::Seq;
use crate::snapshot;
use crate::store::{AppendError, PAGE, RegistryStore, StoreError, Stored};

/// How often a command is decided before it gives way. Writers of one process take turns, so this many other processes
/// would have to be first in a row.
const ATTEMPTS_MAX: u32 = 16;

/// How many events of the past are looked at without a rest: half a millisecond's work.
const CHECKED_AT_ONCE: usize = 16;

/// How long a store that failed is left alone by who looks back: nobody waits for that.
const LOOK_AGAIN: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(2) };

/// A log and the catalog folded from it.
#[derive(Debug)]
pub struct Registry {
    store: Arc<dyn RegistryStore>,
    /// Held for the time of a pointer copy.
    current: RwLock<Arc<Catalog>>,
    /// The writers of this process, one at a time: they would only take each other's places.
    writing: tokio::sync::Mutex<()>,
    /// The event as of which it was opened from a snapshot; [`Seq::START`] where the whole log was read.
    restored: (Seq, Fingerprint),
    /// The event of the newest snapshot that this process read or wrote.
    kept: AtomicU64,
    /// What was found to be wrong with events before [`Self::restored`]: nothing is written after it.
    past: OnceLock<(Seq, String)>,
}

/// Whether the events that a snapshot stands for are what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Past {
    /// They are.
    Whole,
    /// They are not: the first event that is wrong, and what is wrong with it.
    Edited(Seq, String),
}

impl Registry {
    /// Reads and checks the log, from its newest snapshot on if there is one.
    ///
    /// # Errors
    /// [`RegistryError`] if it cannot be read, or is not what was written.
    pub async fn open(store: Arc<dyn RegistryStore>) -> Result<Self, RegistryError> {
        let restored = snapshot::restore(&*store).await.unwrap_or_default();
        Self::open_at(store, restored).await
    }

    /// Reads and checks the whole log.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_whole(store: Arc<dyn RegistryStore>) -> Result<Self, RegistryError> {
        Self::open_at(store, Catalog::default()).await
    }

    async fn open_at(store: Arc<dyn RegistryStore>, restored: Catalog) -> Result<Self, RegistryError> {
        let as_of = (restored.seq(), restored.head());
        let registry = Self {
            store,
            current: RwLock::new(Arc::new(restored)),
            writing: tokio::sync::Mutex::default(),
            restored: as_of,
            kept: AtomicU64::new(as_of.0.0),
            past: OnceLock::new(),
        };
        registry.refresh().await?;
        registry.keep_snapshot().await;
        Ok(registry)
    }

    /// Looks whether the events that this registry was opened without reading are what was written: each has its hash, and
    /// follows the one before, up to the one of the snapshot. Where one does not, nothing is written any more, and what is
    /// in memory is still read; [`Self::give_up_snapshot`] is to be called then.
    ///
    /// After every few events it rests `rests` times as long as it worked, so that others get their turns. That the log cannot
    /// be read says nothing about what is in it: it looks again until it can.
    pub async fn check_past(&self, rests: u32) -> Past {
        let (mut last, mut head) = (Seq::START, Catalog::default().head());
        let (until, stated) = self.restored;
        let mut complaint = Complaint::default();
        while last < until {
            let began = Instant::now();
            let page = match self.store.read_page(last, CHECKED_AT_ONCE).await {
                Ok(page) => Ok(page),
                Err(StoreError::Log(fault)) => Err(fault),
                Err(why) => {
                    complaint.of("looking at the registry's log from before its snapshot", &why);
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
            };
            match page.and_then(|page| chained(&page, (last, head), until)) {
                Ok(end) => (last, head) = end,
                Err(fault) => return self.found(&fault),
            }
            tokio::time::sleep(began.elapsed() * rests).await;
        }
        match head == stated {
            true => Past::Whole,
            false => self.found(&LogError::Chain { seq: until, stated, found: head }),
        }
    }

    /// Before anything else is done about it: nobody appends to this log any more.
    fn found(&self, fault: &LogError) -> Past {
        let (seq, why) = self.past.get_or_init(|| (fault.seq(), schema::error::chain(fault)));
        Past::Edited(*seq, why.clone())
    }

    /// Gives up the snapshot that the log does not go with, however long the store is away: then the next start reads the
    /// whole log, and refuses it. No other process writes a snapshot in its place.
    pub async fn give_up_snapshot(&self) {
        let mut complaint = Complaint::default();
        while let Err(why) = self.store.write_snapshot(snapshot::GIVEN_UP).await {
            complaint.of("giving up a snapshot of the registry", &why);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Writes a snapshot where one is due. That it could not be written is said, and changes nothing else.
    async fn keep_snapshot(&self) {
        let catalog = self.catalog();
        let (last, now) = (self.kept.load(Ordering::Relaxed), catalog.seq());
        if !snapshot::is_due(Seq(last), now) || self.past.get().is_some() {
            return;
        }
        // Of two writers of this process one does it.
        if self.kept.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let location = self.store.location();
        // A fifth of a second's work for 100,000 versions.
        #[expect(clippy::disallowed_methods, reason = "whoever asked waits for it, others do not")]
        let encoded = tokio::task::spawn_blocking(move || snapshot::write(&catalog)).await;
        match encoded.unwrap_or_else(|why| Err(why.to_string())) {
            Ok(bytes) => match self.store.write_snapshot(&bytes).await {
                Ok(()) => tracing::debug!(seq = now.0, "a snapshot of the registry `{location}` as of event {now}"),
                Err(why) => tracing::warn!(seq = now.0, "{}; the log has all of it", schema::error::chain(&why)),
            },
            Err(why) => {
                tracing::warn!(seq = now.0, "no snapshot of the registry `{location}`: {why}; the log has all of it");
            }
        }
    }

    /// What was true when the log was last read. Memory only.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The events of a model, oldest first, under whatever names it had.
    ///
    /// # Errors
    /// [`RegistryError`] if the log cannot be read.
    pub async fn history_of(&self, model: &Model) -> Result<Vec<Event>, RegistryError> {
        let mut events = self.store.read_after(Seq(model.id.0.saturating_sub(1))).await?;
        let mut lineage = Lineage::default();
        events.retain(|event| lineage.follow(event) == Some(model.id));
        Ok(events)
    }

    /// What is stored after `seq`, oldest first, at most `n_max` of it.
    ///
    /// # Errors
    /// [`StoreError`] if the log cannot be read.
    pub async fn events_after(&self, seq: Seq, n_max: usize) -> Result<Vec<Stored>, StoreError> {
        self.store.read_page(seq, n_max).await
    }

    /// Reads what other processes wrote.
    ///
    /// # Errors
    /// [`RegistryError`]; the catalog then stays as it was.
    pub async fn refresh(&self) -> Result<Arc<Catalog>, RegistryError> {
        let known = self.catalog();
        let mut next = Catalog::clone(&known);
        loop {
            let page = self.store.read_page(next.seq(), PAGE).await?;
            if page.is_empty() {
                break;
            }
            for stored in &page {
                next.apply(&stored.event()?)?;
            }
            tracing::debug!(seq = next.seq().0, "read {} events of the registry", page.len());
        }
        if next.seq() == known.seq() {
            return Ok(known);
        }
        Ok(self.publish(next))
    }

    /// Does what `command` asks, on fresh facts: the event it made, if there was anything to do, and the catalog after.
    ///
    /// Of two writers at once one is first; the other decides anew on what the first one did.
    ///
    /// # Errors
    /// [`RegistryError`] if a rule stands against it or the store fails; then nothing was written.
    pub async fn execute(
        &self,
        command: Command,
        at: Timestamp,
        actor: &str,
    ) -> Result<(Option<Event>, Arc<Catalog>), RegistryError> {
        let done = self.write(&command, at, actor).await?;
        // After the turn: who waits to write does not wait for this.
        self.keep_snapshot().await;
        Ok(done)
    }

    async fn write(
        &self,
        command: &Command,
        at: Timestamp,
        actor: &str,
    ) -> Result<(Option<Event>, Arc<Catalog>), RegistryError> {
        let _turn = self.writing.lock().await;
        if let Some((seq, why)) = self.past.get() {
            return Err(RegistryError::Past { seq: *seq, why: why.clone() });
        }
        for _ in 0..ATTEMPTS_MAX {
            let catalog = self.refresh().await?;
            let Some(body) = catalog.decide(command, at, actor)? else {
                return Ok((None, catalog));
            };
            let event = Event::new(catalog.seq().next(), at, actor, catalog.head(), body)?;
            // Folded before it is written: what no reader could fold must not reach the log.
            let mut next = Catalog::clone(&catalog);
            next.apply(&event)?;
            match self.store.append(&event).await {
                Ok(()) => {
                    tracing::info!(seq = event.seq.0, actor, "{}", event.body);
                    return Ok((Some(event), self.publish(next)));
                }
                Err(AppendError::Taken { seq }) => tracing::debug!(seq = seq.0, "another writer was first"),
                Err(AppendError::Store(why)) => return Err(why.into()),
                Err(unknown @ AppendError::Unknown { .. }) => return Err(RegistryError::Unknown(unknown)),
            }
        }
        Err(RegistryError::Contended { attempts: ATTEMPTS_MAX })
    }

    /// Makes `next` the current catalog unless a newer one is there already, and returns the newest. There is one log,
    /// so the newer of two catalogs has all that the older one has.
    fn publish(&self, next: Catalog) -> Arc<Catalog> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if next.seq() > current.seq() {
            *current = Arc::new(next);
        }
        Arc::clone(&current)
    }
}

/// Says once that a store failed, however often it does.
#[derive(Debug, Default)]
struct Complaint(bool);

impl Complaint {
    fn of(&mut self, doing: &str, why: &StoreError) {
        if !std::mem::replace(&mut self.0, true) {
            tracing::warn!("{doing}: {}; it is tried until it is done", schema::error::chain(why));
        }
    }
}

/// The last of these events that is not after `until`, and its hash, where they follow each other from `last` on.
fn chained(page: &[Stored], last: (Seq, Fingerprint), until: Seq) -> Result<(Seq, Fingerprint), LogError> {
    let mut at = last;
    let before = page.iter().take_while(|stored| stored.seq <= until);
    for stored in before {
        let (expected, found) = (at.0.next(), stored.seq);
        if found != expected {
            return Err(LogError::Gap { expected, found });
        }
        let event = stored.event()?;
        if event.previous != at.1 {
            return Err(LogError::Chain { seq: found, stated: event.previous, found: at.1 });
        }
        at = (found, event.hash);
    }
    // What was there when the log was opened is not there any more.
    if at == last {
        return Err(LogError::Gap { expected: at.0.next(), found: page.first().map_or(until, |stored| stored.seq) });
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
