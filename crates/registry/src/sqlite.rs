//! SQLite files that several processes of one machine share: opened, made and told from others in one way.
//!
//! A commit is on disk when it returns (`synchronous = FULL`); readers go on while somebody writes (WAL).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::durable;
use crate::store::StoreError;

/// Opens the file at `path`; makes it, and the folders above it, when it is not there.
///
/// # Errors
/// [`StoreError`] if it cannot be opened, or was emptied. Nothing has been changed then.
pub(crate) fn open(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
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
    let connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.busy_timeout(busy_timeout).map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    Ok(connection)
}

/// Whether the file at `path` is empty though it had something before. SQLite would take it for a new one, and wait for ever
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

/// Whether the tables named are there; `false` for an empty file. Reads only.
///
/// # Errors
/// [`StoreError::NotARegistry`] if there are others.
pub(crate) fn has_tables(connection: &Connection, location: &str, needed: &[&str]) -> Result<bool, StoreError> {
    let names = tables(connection).map_err(|why| fault(location, "opening", why))?;
    if needed.iter().all(|name| names.iter().any(|found| found == name)) {
        return Ok(true);
    }
    if names.is_empty() {
        return Ok(false);
    }
    Err(StoreError::NotARegistry { location: location.to_owned(), what: "it is a SQLite database of something else" })
}

/// The names of all tables.
pub(crate) fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
        .query_map((), |row| row.get(0))?
        .collect()
}

/// WAL is written into the file, so it is asked for once. A file system that has none keeps the file as safe; readers then
/// wait for writers.
pub(crate) fn switch_to_wal(connection: &mut Connection) -> rusqlite::Result<()> {
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

/// That the tables are of the format that this program reads.
///
/// # Errors
/// [`StoreError::Format`] if they are of another one.
pub(crate) fn check_format(connection: &Connection, location: &str, reads: u32) -> Result<(), StoreError> {
    let found: Option<String> = connection
        .query_row("SELECT value FROM meta WHERE key = 'format'", (), |row| row.get(0))
        .optional()
        .map_err(|why| fault(location, "opening", why))?;
    match found {
        Some(found) if found == reads.to_string() => Ok(()),
        found => {
            let found = found.map_or_else(|| "none".to_owned(), |found| format!("`{found}`"));
            Err(StoreError::Format { location: location.to_owned(), found, reads })
        }
    }
}

/// What a failure of SQLite means to whoever called.
pub(crate) fn fault(location: &str, doing: &'static str, why: rusqlite::Error) -> StoreError {
    let location = location.to_owned();
    match why.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotARegistry { location, what: "it is not a SQLite database" },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { doing, location },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { doing, location, source: why.into() },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::Forbidden { doing, location, source: why.into() }
        }
        _ => StoreError::Io { doing, location, source: why.into() },
    }
}
