//! The log in one SQLite file, for several processes of one machine.
//!
//! An append is one transaction that takes the write lock first and is on disk when it returns (`synchronous = FULL`);
//! readers go on meanwhile (WAL). A process killed at any point leaves the events that it had committed. The snapshot is in
//! a file beside it.

mod beside;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use schema::{BoxError, Fingerprint};

use super::{AppendError, RegistryStore, StoreError, Stored, check_next};
use crate::event::Event;
use crate::log::LogError;
use crate::seq::Seq;
use crate::sqlite::{self, fault, switch_to_wal};

/// Format of the tables; the events in them carry their own.
const FORMAT: u32 = 1;
/// How long a write waits for another process. An append takes milliseconds, so ten seconds mean that one hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A log in a SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    location: String,
    snapshot: PathBuf,
    /// The calls are made on the caller's thread, under a lock of the standard library: each reads a page of a local file, or
    /// writes one row and syncs it, some milliseconds. No prediction waits for one; who changes models does, and what may
    /// wait longer (ten seconds, for another process) is rarer than a thread hop is dear. A snapshot is not written here.
    connection: Mutex<Connection>,
}

impl SqliteLog {
    /// Opens the log at `path`; makes it, and the folders above it, when it is not there.
    ///
    /// # Errors
    /// [`StoreError`] if the file is something else or of another format, or cannot be opened. A file that is refused
    /// has not been changed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_patiently(path, BUSY_TIMEOUT)
    }

    fn open_patiently(path: &Path, busy_timeout: Duration) -> Result<Self, StoreError> {
        let location = path.display().to_string();
        let mut connection = sqlite::open(path, busy_timeout)?;
        let fault = |why| fault(&location, "opening", why);
        if !sqlite::has_tables(&connection, &location, &["events", "meta"])? {
            create(&mut connection).map_err(fault)?;
        }
        sqlite::check_format(&connection, &location, FORMAT)?;
        Ok(Self { location, snapshot: beside::path_of(path), connection: Mutex::new(connection) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that was open when a thread died has been rolled back by its destructor.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot_fault(&self, doing: &'static str, why: std::io::Error) -> StoreError {
        StoreError::Io { doing, location: self.location.clone(), source: why.into() }
    }

    fn fault(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
        move |why| fault(&self.location, doing, why)
    }
}

#[async_trait]
impl RegistryStore for SqliteLog {
    async fn read_page(&self, seq: Seq, n_max: usize) -> Result<Vec<Stored>, StoreError> {
        let fault = self.fault("reading");
        let connection = self.lock();
        let mut rows = connection
            .prepare_cached("SELECT seq, json FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2")
            .map_err(&fault)?;
        // No log has more events than SQLite has numbers: after the largest there is nothing.
        let (after, n_max) = (i64::try_from(seq.0).unwrap_or(i64::MAX), i64::try_from(n_max).unwrap_or(i64::MAX));
        let mut rows = rows.query([after, n_max]).map_err(&fault)?;
        let mut page = Vec::new();
        while let Some(row) = rows.next().map_err(&fault)? {
            page.push(read_row(row)?);
        }
        Ok(page)
    }

    async fn read_snapshot(&self) -> Result<Option<Vec<u8>>, StoreError> {
        beside::read(&self.snapshot).map_err(|why| self.snapshot_fault("reading the snapshot of", why))
    }

    async fn write_snapshot(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let (path, bytes) = (self.snapshot.clone(), bytes.to_vec());
        #[expect(clippy::disallowed_methods, reason = "tens of megabytes are written and synced")]
        let written = tokio::task::spawn_blocking(move || beside::write(&path, &bytes)).await;
        let written = written.unwrap_or_else(|why| Err(std::io::Error::other(why)));
        written.map_err(|why| self.snapshot_fault("writing a snapshot of", why))
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    async fn append(&self, event: &Event) -> Result<(), AppendError> {
        let fault = self.fault("writing to");
        let mut connection = self.lock();
        // The write lock is taken before the last event is read, so nobody else gets between the two.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&fault)?;
        let (last, head) =
            last_event(&transaction, &fault)?.map_or((Seq::START, Fingerprint::of_bytes(b"")), |e| (e.seq, e.hash));
        check_next(event, last, head)?;
        let seq = i64::try_from(event.seq.0)
            .map_err(|why| StoreError::from(LogError::Unwritable { seq: event.seq, source: why.into() }))?;
        transaction.execute("INSERT INTO events (seq, json) VALUES (?1, ?2)", (seq, event.json())).map_err(&fault)?;
        transaction.commit().map_err(&fault)?;
        Ok(())
    }
}

fn last_event(
    transaction: &Transaction<'_>,
    fault: impl Fn(rusqlite::Error) -> StoreError,
) -> Result<Option<Event>, StoreError> {
    let mut rows =
        transaction.prepare_cached("SELECT seq, json FROM events ORDER BY seq DESC LIMIT 1").map_err(&fault)?;
    let mut rows = rows.query(()).map_err(&fault)?;
    let Some(row) = rows.next().map_err(&fault)? else { return Ok(None) };
    Ok(Some(read_row(row)?.event()?))
}

fn read_row(row: &rusqlite::Row<'_>) -> Result<Stored, StoreError> {
    let unreadable = |seq, source: BoxError| LogError::Unreadable { seq, source };
    let seq: i64 = row.get(0).map_err(|why| unreadable(Seq::START, why.into()))?;
    // Only positive places are asked for; a log whose last place is not positive was not written by us.
    let seq = Seq(u64::try_from(seq).map_err(|why| unreadable(Seq::START, why.into()))?);
    let text = row.get_ref(1).map_err(|why| unreadable(seq, why.into()))?;
    let text = text.as_bytes().map_err(|why| unreadable(seq, why.into()))?.to_vec();
    Ok(Stored { seq, text })
}

/// Makes the tables. Two processes may do so at once: one of them finds them made.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    switch_to_wal(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
         CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT;",
    )?;
    transaction.execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('format', ?1)", [FORMAT.to_string()])?;
    transaction.commit()
}

#[cfg(test)]
mod tests;
