//! The file: what is in it, and that it is ours.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::durable;
use crate::store::StoreError;

/// Format of the tables.
const FORMAT: u32 = 1;

/// Times are in milliseconds since the epoch. A metric's value is kept twice: as its bits, for NaN is no number of SQLite's
/// and two of one value must be one row, and as a number, to compare by.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE experiments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, artifact_location TEXT NOT NULL,
    lifecycle TEXT NOT NULL, created INTEGER NOT NULL, updated INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, experiment INTEGER NOT NULL REFERENCES experiments,
    name TEXT NOT NULL, user TEXT NOT NULL, status TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER,
    artifact_uri TEXT NOT NULL, lifecycle TEXT NOT NULL
) STRICT;
CREATE INDEX runs_by_start ON runs (experiment, started, place);
CREATE TABLE logged_models (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, experiment INTEGER NOT NULL REFERENCES experiments,
    name TEXT NOT NULL, artifact_uri TEXT NOT NULL, status TEXT NOT NULL, model_type TEXT NOT NULL, source_run TEXT,
    created INTEGER NOT NULL, updated INTEGER NOT NULL, lifecycle TEXT NOT NULL
) STRICT;
CREATE INDEX logged_models_by_name ON logged_models (experiment, name);
CREATE TABLE pairs (
    kind TEXT NOT NULL, of TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, of, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE metrics (
    place INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, step INTEGER NOT NULL,
    bits INTEGER NOT NULL, value REAL, model TEXT NOT NULL, dataset TEXT NOT NULL, digest TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX metrics_once ON metrics (run, key, at, step, bits, model, dataset, digest);
CREATE INDEX metrics_by_model ON metrics (model, place) WHERE model <> '';
CREATE TABLE latest_metrics (
    run TEXT NOT NULL, key TEXT NOT NULL, place INTEGER NOT NULL REFERENCES metrics, PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE outputs (
    place INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, model TEXT NOT NULL, step INTEGER NOT NULL, UNIQUE (run, model)
) STRICT;
";

/// Opens the file at `path`; makes it, and the folders above it, when it is not there.
pub(super) fn open(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let location = path.display().to_string();
    if let Some(folder) = path.parent() {
        durable::create_dirs(folder).map_err(|why| StoreError::Io {
            doing: "making the folder of",
            location: location.clone(),
            source: why.into(),
        })?;
    }
    let fault = |why| fault(&location, "opening", why);
    // Not `SQLITE_OPEN_URI`: a path is a path, also when it starts with `file:`.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    connection.busy_timeout(busy_timeout).map_err(fault)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(64);
    let names = tables(&connection).map_err(fault)?;
    if names.is_empty() {
        create(&mut connection).map_err(fault)?;
    } else if !["meta", "experiments", "runs"].iter().all(|name| names.iter().any(|found| found == name)) {
        return Err(StoreError::NotARegistry { location, what: "it is a SQLite database of something else" });
    }
    check_format(&connection, &location)?;
    Ok(connection)
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
        .query_map((), |row| row.get(0))?
        .collect()
}

/// Makes the tables. Two processes may do so at once: one of them finds them made.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    switch_to_wal(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if tables(&transaction)?.is_empty() {
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO meta (key, value) VALUES ('format', ?1)", [FORMAT.to_string()])?;
        super::experiments::create_default(&transaction)?;
    }
    transaction.commit()
}

/// WAL is written into the file, so it is asked for once.
fn switch_to_wal(connection: &mut Connection) -> rusqlite::Result<()> {
    // Of processes that switch at once one goes on, and SQLite fails the others without waiting. So they wait here, as
    // writers, and find it switched. Each round at least one of them is done.
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
pub(super) fn fault(location: &str, doing: &'static str, why: rusqlite::Error) -> StoreError {
    let location = location.to_owned();
    match why.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotARegistry { location, what: "it is not a SQLite database" },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { doing, location },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { doing, location, source: why.into() },
        _ => StoreError::Io { doing, location, source: why.into() },
    }
}
