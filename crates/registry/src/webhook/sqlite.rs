//! Hooks in one SQLite file beside the log, for several processes of one machine. The file is its owner's alone: it holds
//! secrets, so it is neither the log's nor that of the runs, which people copy.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::row::{number, seq, topics_of_text, topics_to_text};
use super::{
    DELIVERIES_MAX, Delivery, HOOKS_MAX, Lease, Outcome, Secret, Status, Step, Topic, Webhook, WebhookError,
    WebhookStore,
};
use crate::durable;
use crate::sqlite;
use crate::store::StoreError;

/// Format of the tables.
const FORMAT: u32 = 1;
/// How long a write waits for another process. It takes milliseconds, so ten seconds mean that one hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Times are in milliseconds since the epoch, topics are `entity.action@since`, apart by spaces.
const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE webhooks (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, url TEXT NOT NULL,
    topics TEXT NOT NULL, description TEXT, status TEXT NOT NULL, secret TEXT, created INTEGER NOT NULL,
    updated INTEGER NOT NULL, cursor INTEGER NOT NULL, attempts INTEGER NOT NULL, next_attempt INTEGER NOT NULL,
    holder TEXT, token TEXT, held_until INTEGER
) STRICT;
CREATE TABLE deliveries (
    hook TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, topic TEXT NOT NULL, outcome TEXT NOT NULL,
    attempts INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, response INTEGER, error TEXT,
    PRIMARY KEY (hook, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_in_order ON deliveries (hook, seq);
";

const COLUMNS: &str =
    "id, name, url, topics, description, status, secret, created, updated, cursor, attempts, next_attempt,
     holder, token, held_until";

/// Hooks in a SQLite file.
#[derive(Debug)]
pub struct SqliteWebhooks {
    location: String,
    /// As with the log, calls are made on the caller's thread: each reads or writes a few rows of a small local file, and
    /// none is on the path of a prediction.
    connection: Mutex<Connection>,
}

impl SqliteWebhooks {
    /// Opens the file at `path`; makes it, and the folders above it, when it is not there.
    ///
    /// # Errors
    /// [`StoreError`] if the file is something else or of another format, or cannot be opened. A file that is refused
    /// has not been changed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let location = path.display().to_string();
        make_private(path).map_err(|why| StoreError::Io {
            doing: "opening",
            location: location.clone(),
            source: why.into(),
        })?;
        let mut connection = sqlite::open(path, BUSY_TIMEOUT)?;
        if !sqlite::has_tables(&connection, &location, &["meta", "webhooks", "deliveries"])? {
            create(&mut connection).map_err(|why| sqlite::fault(&location, "opening", why))?;
        }
        sqlite::check_format(&connection, &location, FORMAT)?;
        Ok(Self { location, connection: Mutex::new(connection) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that was open when a thread died has been rolled back by its destructor.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, WebhookError> {
        read(&self.lock()).map_err(|why| self.fault("reading", why))
    }

    /// `write` in one transaction that has the file's write lock.
    fn write<T>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<Result<T, WebhookError>>,
    ) -> Result<T, WebhookError> {
        let fault = |why| self.fault("writing to", why);
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
        let done = write(&transaction).map_err(fault)??;
        transaction.commit().map_err(fault)?;
        Ok(done)
    }

    fn fault(&self, doing: &'static str, why: rusqlite::Error) -> WebhookError {
        sqlite::fault(&self.location, doing, why).into()
    }
}

/// The file, readable by its owner alone. What SQLite puts beside it has the rights of the file.
fn make_private(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        durable::create_dirs(folder)?;
    }
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(why) if why.kind() != std::io::ErrorKind::AlreadyExists => Err(why),
        _ => Ok(()),
    }
}

/// Makes the tables. Two processes may do so at once: one of them finds them made.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    sqlite::switch_to_wal(connection)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if sqlite::tables(&transaction)?.is_empty() {
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO meta (key, value) VALUES ('format', ?1)", [FORMAT.to_string()])?;
    }
    transaction.commit()
}

#[async_trait]
impl WebhookStore for SqliteWebhooks {
    async fn insert(&self, hook: &Webhook) -> Result<(), WebhookError> {
        self.write(|t| {
            let n: i64 = t.query_row("SELECT count(*) FROM webhooks", (), |row| row.get(0))?;
            if usize::try_from(n).unwrap_or(usize::MAX) >= HOOKS_MAX {
                return Ok(Err(WebhookError::TooMany));
            }
            let sql =
                format!("INSERT INTO webhooks ({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)");
            put(t, &sql, hook)?;
            Ok(Ok(()))
        })
    }

    async fn get(&self, id: &str) -> Result<Webhook, WebhookError> {
        self.read(|c| find(c, id))?.ok_or_else(|| unknown(id))
    }

    async fn all(&self) -> Result<Vec<Webhook>, WebhookError> {
        self.read(|c| {
            let sql = format!("SELECT {COLUMNS} FROM webhooks ORDER BY place DESC");
            c.prepare_cached(&sql)?.query_map((), read_hook)?.collect()
        })
    }

    async fn step(&self, id: &str, step: &Step) -> Result<Option<Webhook>, WebhookError> {
        self.write(|t| {
            let Some(hook) = find(t, id)? else { return Ok(Err(unknown(id))) };
            let Some(next) = step.apply(&hook) else { return Ok(Ok(None)) };
            put(
                t,
                "UPDATE webhooks SET name = ?2, url = ?3, topics = ?4, description = ?5, status = ?6, secret = ?7,
                 created = ?8, updated = ?9, cursor = ?10, attempts = ?11, next_attempt = ?12, holder = ?13, token = ?14,
                 held_until = ?15 WHERE id = ?1",
                &next,
            )?;
            for delivery in step.deliveries() {
                remember(t, id, delivery)?;
            }
            Ok(Ok(Some(next)))
        })
    }

    async fn delete(&self, id: &str) -> Result<(), WebhookError> {
        self.write(|t| {
            t.execute("DELETE FROM deliveries WHERE hook = ?1", [id])?;
            Ok(match t.execute("DELETE FROM webhooks WHERE id = ?1", [id])? {
                0 => Err(unknown(id)),
                _ => Ok(()),
            })
        })
    }

    async fn deliveries(&self, id: &str, rows_max: u32) -> Result<Vec<Delivery>, WebhookError> {
        self.read(|c| {
            let sql = "SELECT id, seq, topic, outcome, attempts, first, last, response, error FROM deliveries
                 WHERE hook = ?1 ORDER BY seq DESC, topic LIMIT ?2";
            c.prepare_cached(sql)?.query_map(params![id, rows_max], read_delivery)?.collect()
        })
    }
}

fn unknown(id: &str) -> WebhookError {
    WebhookError::Unknown { id: id.chars().take(80).collect() }
}

fn find(connection: &Connection, id: &str) -> rusqlite::Result<Option<Webhook>> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id], read_hook).optional()
}

fn put(t: &Transaction<'_>, sql: &str, hook: &Webhook) -> rusqlite::Result<()> {
    let Webhook { id, name, url, topics, description, status, secret, created_ms, updated_ms, .. } = hook;
    let lease = hook.lease.as_ref();
    t.execute(
        sql,
        params![
            id,
            name,
            url,
            topics_to_text(topics),
            description,
            status.as_str(),
            secret.as_ref().map(Secret::stored),
            created_ms,
            updated_ms,
            number(hook.cursor),
            hook.attempts,
            hook.next_attempt_ms,
            lease.map(|lease| lease.holder.as_str()),
            lease.map(|lease| lease.token.as_str()),
            lease.map(|lease| lease.until_ms),
        ],
    )?;
    Ok(())
}

fn remember(t: &Transaction<'_>, hook: &str, delivery: &Delivery) -> rusqlite::Result<()> {
    let Delivery { id, seq, topic, outcome, attempts, first_ms, last_ms, response_status, error } = delivery;
    t.execute(
        "INSERT INTO deliveries (hook, id, seq, topic, outcome, attempts, first, last, response, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (hook, id) DO UPDATE SET outcome = excluded.outcome, attempts = excluded.attempts,
         last = excluded.last, response = excluded.response, error = excluded.error",
        params![
            hook,
            id,
            number(*seq),
            topic.to_string(),
            outcome.as_str(),
            attempts,
            first_ms,
            last_ms,
            response_status,
            error
        ],
    )?;
    t.execute(
        "DELETE FROM deliveries WHERE hook = ?1 AND seq <
         (SELECT seq FROM deliveries WHERE hook = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        params![hook, DELIVERIES_MAX - 1],
    )?;
    Ok(())
}

fn read_hook(row: &Row<'_>) -> rusqlite::Result<Webhook> {
    let lease = match (row.get(12)?, row.get(13)?, row.get(14)?) {
        (Some(holder), Some(token), Some(until_ms)) => Some(Lease { holder, token, until_ms }),
        _ => None,
    };
    Ok(Webhook {
        id: row.get(0)?,
        name: row.get(1)?,
        url: row.get(2)?,
        topics: word(row, 3, topics_of_text)?,
        description: row.get(4)?,
        status: word(row, 5, Status::parse)?,
        secret: row.get::<_, Option<String>>(6)?.and_then(Secret::new),
        created_ms: row.get(7)?,
        updated_ms: row.get(8)?,
        cursor: place(row, 9)?,
        attempts: row.get(10)?,
        next_attempt_ms: row.get(11)?,
        lease,
    })
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: row.get(0)?,
        seq: place(row, 1)?,
        topic: word(row, 2, Topic::parse)?,
        outcome: word(row, 3, Outcome::parse)?,
        attempts: row.get(4)?,
        first_ms: row.get(5)?,
        last_ms: row.get(6)?,
        response_status: row.get(7)?,
        error: row.get(8)?,
    })
}

/// A word of ours in a row, of a row that was written by us.
fn word<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let said: String = row.get(column)?;
    parse(&said).ok_or_else(|| {
        let why = format!("`{}` is not a word of this column", said.escape_debug());
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
    })
}

fn place(row: &Row<'_>, column: usize) -> rusqlite::Result<crate::seq::Seq> {
    let said: i64 = row.get(column)?;
    seq(said).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, said))
}

#[cfg(test)]
mod tests;
