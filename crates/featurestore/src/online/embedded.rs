//! The online store on this machine's disk: LMDB through `heed`. The default, with nothing to install.
//!
//! Several processes may have it open. A read is a walk through mapped memory and waits for nobody; writes take turns,
//! across processes too, and are on disk when they return: after `kill -9` nothing acknowledged is lost.
//!
//! One LMDB table: the key is a digest of the online table, then the entity key; the value is the cell.

mod cells;
mod compact;
mod environment;
mod place;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use schema::{EntityKey, Timestamp};
use tokio::task::JoinError;

use super::{Cell, Doing, EraseReport, OnlineError, OnlineRows, OnlineStore, OnlineTable, TableSize, WriteReport};
use crate::erase::KeyMatch;
pub use compact::compact;
use environment::Environment;

/// The online store in a folder. Clones, and every [`EmbeddedStore::open`] of the folder, share one handle.
#[derive(Clone)]
pub struct EmbeddedStore {
    environment: Arc<Environment>,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, making both if they are not there. Blocks for some milliseconds: for start-up.
    ///
    /// # Errors
    /// [`OnlineError::Open`] if the folder cannot be made, or holds something else.
    pub fn open(folder: &Path) -> Result<Self, OnlineError> {
        let environment =
            Environment::open(folder).map_err(|source| Doing::Opening.failed(&folder.display().to_string(), source))?;
        Ok(Self { environment })
    }
}

/// Whether LMDB says that its file is something else, or broken.
pub(super) fn is_damage(why: &(dyn std::error::Error + 'static)) -> bool {
    use heed::MdbError::{Corrupted, Invalid, PageNotFound, VersionMismatch};
    let found = why.downcast_ref::<heed::Error>();
    matches!(found, Some(heed::Error::Mdb(Corrupted | Invalid | PageNotFound | VersionMismatch)))
}

#[async_trait]
impl OnlineStore for EmbeddedStore {
    /// On the caller's thread: a handful of lookups in mapped memory take less than a hop to another thread.
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        if tables.is_empty() || keys.is_empty() {
            return Ok(OnlineRows::new(Vec::new(), tables.len()));
        }
        self.environment.get_many(tables, keys)
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        if cells.is_empty() {
            return Ok(WriteReport::default());
        }
        // Not on the caller's thread: a commit waits for the disk, and for the writers of other processes.
        let (environment, table, cells) = (Arc::clone(&self.environment), table.clone(), cells.to_vec());
        let doing = Doing::Writing { view: table.view().clone(), n_keys: cells.len() };
        match on_a_file_thread(move || environment.put_many(&table, &cells, horizon)).await {
            Ok(done) => done,
            Err(stopped) => Err(doing.failed(&self.environment.address(), stopped)),
        }
    }

    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        let (environment, tables, keys) = (Arc::clone(&self.environment), tables.to_vec(), keys.clone());
        let all = on_a_file_thread(move || {
            let mut report = EraseReport::default();
            for table in &tables {
                let found = environment.erase(table, &keys, dry_run)?;
                report.found += found.found;
                report.unreadable += found.unreadable;
            }
            Ok(report)
        });
        all.await.map_err(|stopped| Doing::Erasing.failed(&self.environment.address(), stopped))?
    }

    /// A walk through mapped memory: some millions of keys a second.
    async fn size_of(&self, table: &OnlineTable) -> Result<Option<TableSize>, OnlineError> {
        let (environment, counted) = (Arc::clone(&self.environment), table.clone());
        let doing = || Doing::Reading { views: vec![table.view().clone()], n_keys: 0 };
        match on_a_file_thread(move || environment.size_of(&counted)).await {
            Ok(Ok(size)) => Ok(Some(size)),
            Ok(Err(why)) => Err(doing().failed(&self.environment.address(), why)),
            Err(stopped) => Err(doing().failed(&self.environment.address(), stopped)),
        }
    }

    async fn drop_tables(&self, tables: &[OnlineTable]) -> Result<(), OnlineError> {
        for table in tables {
            loop {
                let (environment, dropped) = (Arc::clone(&self.environment), table.clone());
                let more = on_a_file_thread(move || environment.drop_some(&dropped)).await;
                let doing = Doing::Dropping { tables: vec![table.clone()] };
                // Other writers have their turn between two portions.
                if !more.map_err(|stopped| doing.failed(&self.environment.address(), stopped))?? {
                    break;
                }
            }
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "it waits for a file; threads of our own would only idle")]
async fn on_a_file_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(work).await
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddedStore(`{}`)", self.environment.address())
    }
}
