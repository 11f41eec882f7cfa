//! The log in one SQLite file, for several processes of one machine.
//!
//! An append is one transaction that takes the write lock first and is on disk when it returns (`synchronous = FULL`);
//! readers go on meanwhile (WAL). A process killed at any point leaves the events that it had committed.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use schema::{BoxError, Fingerprint};

use super::{AppendError, RegistryStore, StoreError, Stored, check_next};
use crate::durable;
use crate::event::Event;
use crate::log::LogError;
use crate::seq::Seq;

/// Format of the tables; the events in them carry their own.
const FORMAT: u32 = 1;
/// How long a write waits for another process. An append takes milliseconds, so ten seconds mean that one hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A log in a SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    location: String,
    /// The calls are made on the caller's thread, under a lock of the standard library: each reads or writes a few rows
    /// of a small local file, none is on the path of a request, and what may wait (ten seconds, for another process) is
    /// rarer than a thread hop is dear.
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
        if let Some(folder) = path.parent() {
            durable::create_dirs(folder).map_err(|why| StoreError::Io {
                doing: "making the folder of",
                location: location.clone(),
                source: why.into(),
            })?;
        }
        if was_emptied(path) {
            let what = "it is empty, but the files of its write-ahead log are beside it: somebody emptied it";
            return Err(StoreError::NotARegistry { location, what });
        }
        // Not `SQLITE_OPEN_URI`: a path is a path, also when it starts with `file:`.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let fault = |why| fault(&location, "opening", why);
        let mut connection = Connection::open_with_flags(path, flags).map_err(fault)?;
        connection.busy_timeout(busy_timeout).map_err(fault)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
        if !is_registry(&connection, &location)? {
            create(&mut connection).map_err(fault)?;
        }
        check_format(&connection, &location)?;
        Ok(Self { location, connection: Mutex::new(connection) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that was open when a thread died has been rolled back by its destructor.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Whether the file at `path` is empty though it was a log before. SQLite would take it for a new one, and wait for ever
/// for a process that still has the old one open.
fn was_emptied(path: &Path) -> bool {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        Path::new(&name).exists()
    };
    // SQLite makes the first page before the log of later ones, so an empty file that has one is no file in the making.
    let empty = || path.metadata().is_ok_and(|about| about.len() == 0);
    empty() && (beside("-wal") || beside("-shm")) && empty()
}

/// Whether the tables are there; `false` for an empty file. Reads only.
fn is_registry(connection: &Connection, location: &str) -> Result<bool, StoreError> {
    let names = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .and_then(|mut query| query.query_map((), |row| row.get(0))?.collect::<Result<Vec<String>, _>>())
        .map_err(|why| fault(location, "opening", why))?;
    let has = |name: &str| names.iter().any(|found| found == name);
    if has("events") && has("meta") {
        return Ok(true);
    }
    if names.is_empty() {
        return Ok(false);
    }
    Err(StoreError::NotARegistry { location: location.to_owned(), what: "it is a SQLite database of something else" })
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

/// WAL is written into the file, so it is asked for once. A file system that has none keeps the log as safe; readers then
/// wait for writers.
fn switch_to_wal(connection: &mut Connection) -> rusqlite::Result<()> {
    // Of processes that switch at once one goes on, and SQLite fails the others without waiting: they would wait for each
    // other. So they wait here, as writers, and find it switched. Each round at least one of them is done.
    const ROUNDS_MAX: u32 = 100;
    let mut round = 0;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(why) if why.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && round < ROUNDS_MAX => round += 1,
            done => return done,
        }
        connection.transaction_with_behavior(TransactionBehavior::Immediate)?.rollback()?;
    }
}

fn check_format(connection: &Connection, location: &str) -> Result<(), StoreError> {
    let found: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'format'", (), |row| row.get(0))
        .optional()
        .map_err(|why| fault(location, "opening", why))?;
    match found {
        Some(found) if found == FORMAT.to_string() => Ok(()),
        found => {
            let found = found.map_or_else(|| "none".to_owned(), |found| format!("`{found}`"));
            Err(StoreError::Format { location: location.to_owned(), found, reads: FORMAT })
        }
    }
}

/// What a failure of SQLite means to whoever called.
fn fault(location: &str, doing: &'static str, why: rusqlite::Error) -> StoreError {
    let location = location.to_owned();
    match why.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotARegistry { location, what: "it is not a SQLite database" },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { doing, location },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { doing, location, source: why.into() },
        _ => StoreError::Io { doing, location, source: why.into() },
    }
}

#[cfg(test)]
mod tests;
