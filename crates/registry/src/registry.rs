//! The registry of a process: the catalog in memory, and the loop that turns a command into an event.
//!
//! Reading takes no query: [`Registry::catalog`] is what was last read. Writing is read, decide, append, and again from
//! the start when another writer was first; every rule is in [`Catalog::decide`].

use std::sync::{Arc, PoisonError, RwLock};

use schema::{ModelName, Timestamp};

use crate::catalog::Catalog;
use crate::command::Command;
use crate::error::RegistryError;
use crate::event::{Event, EventBody};
use crate::model::Model;
use crate::seq::Seq;
use crate::store::{AppendError, PAGE, RegistryStore};

/// How often a command is decided before it gives way. Writers of one process take turns, so this many other processes
/// would have to be first in a row.
const ATTEMPTS_MAX: u32 = 16;

/// A log and the catalog folded from it.
#[derive(Debug)]
pub struct Registry {
    store: Arc<dyn RegistryStore>,
    /// Held for the time of a pointer copy.
    current: RwLock<Arc<Catalog>>,
    /// The writers of this process, one at a time: they would only take each other's places.
    writing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Reads and checks the whole log.
    ///
    /// # Errors
    /// [`RegistryError`] if it cannot be read, or is not what was written.
    pub async fn open(store: Arc<dyn RegistryStore>) -> Result<Self, RegistryError> {
        let registry = Self { store, current: RwLock::default(), writing: tokio::sync::Mutex::default() };
        registry.refresh().await?;
        Ok(registry)
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
        let events = self.store.read_after(Seq(model.id.0.saturating_sub(1))).await?;
        let mut name: Option<ModelName> = None;
        let mut deleted = false;
        let mut history = Vec::new();
        for event in events {
            let Some(of) = event.body.model() else { continue };
            let name = name.get_or_insert_with(|| of.clone());
            let is_back = matches!(&event.body, EventBody::ModelRestored { id, .. } if *id == model.id);
            if of != name || (deleted && !is_back) {
                continue;
            }
            match &event.body {
                EventBody::ModelRenamed { to, .. } => *name = to.clone(),
                EventBody::ModelDeleted { .. } => deleted = true,
                EventBody::ModelRestored { .. } => deleted = false,
                _ => {}
            }
            history.push(event);
        }
        Ok(history)
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
        let _turn = self.writing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let catalog = self.refresh().await?;
            let Some(body) = catalog.decide(&command, at, actor)? else {
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

#[cfg(test)]
mod tests;
