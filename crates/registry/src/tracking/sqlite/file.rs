//! The file: what is in it, and that it is ours.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::sqlite;
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
    let mut connection = sqlite::open(path, busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(64);
    if !sqlite::has_tables(&connection, &location, &["meta", "experiments", "runs"])? {
        create(&mut connection).map_err(|why| sqlite::fault(&location, "opening", why))?;
    }
    sqlite::check_format(&connection, &location, FORMAT)?;
    Ok(connection)
}

/// Makes the tables. Two processes may do so at once: one of them finds them made.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    sqlite::switch_to_wal(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if sqlite::tables(&transaction)?.is_empty() {
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO meta (key, value) VALUES ('format', ?1)", [FORMAT.to_string()])?;
        super::experiments::create_default(&transaction)?;
    }
    transaction.commit()
}
