//! Hooks in the schema of a log in PostgreSQL, for several processes of several machines.
//!
//! Each call is one transaction over one connection, with a deadline. Every call may be made again ([`WebhookStore`]), so
//! one whose connection broke is, until its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Client, Row};

use super::row::{number, seq, topics_of_text, topics_to_text};
use super::{
    DELIVERIES_MAX, Delivery, HOOKS_MAX, Lease, Outcome, Secret, Status, Step, Topic, Webhook, WebhookError,
    WebhookStore,
};
use crate::postgres::fault::{Place, is_final, is_rival};
use crate::postgres::link::{Door, Link};
use crate::postgres::{MAKING, PostgresConfig, tables};
use crate::store::StoreError;

/// Format of the tables of hooks; the log's and that of the runs are their own.
const FORMAT: u32 = 1;
/// The key of the format in `meta`.
const FORMAT_KEY: &str = "format of webhooks";
/// How often a call is begun: once more after the connection that was left broke, and when another process was first.
const ATTEMPTS: u32 = 4;

/// As in SQLite.
const TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS {s}.meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS {s}.webhooks (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text COLLATE "C" NOT NULL UNIQUE, name text NOT NULL,
    url text NOT NULL, topics text NOT NULL, description text, status text NOT NULL, secret text, created bigint NOT NULL,
    updated bigint NOT NULL, cursor bigint NOT NULL, attempts bigint NOT NULL, next_attempt bigint NOT NULL,
    holder text, token text, held_until bigint
);
CREATE TABLE IF NOT EXISTS {s}.webhook_deliveries (
    hook text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, seq bigint NOT NULL, topic text COLLATE "C" NOT NULL,
    outcome text NOT NULL, attempts bigint NOT NULL, first bigint NOT NULL, last bigint NOT NULL, response bigint,
    error text, PRIMARY KEY (hook, id)
);
CREATE INDEX IF NOT EXISTS webhook_deliveries_in_order ON {s}.webhook_deliveries (hook, seq);
"#;

const COLUMNS: &str =
    "id, name, url, topics, description, status, secret, created, updated, cursor, attempts, next_attempt,
     holder, token, held_until";

/// Hooks in PostgreSQL.
#[derive(Debug)]
pub struct PostgresWebhooks {
    place: Place,
    door: Door,
    schema: String,
    /// The schema, in quotes.
    quoted: String,
    timeout: Duration,
    /// Whether the tables are known to be there.
    made: AtomicBool,
    /// Taken out for the time of a call, so a call that is given up takes it along.
    link: Mutex<Option<Arc<Link>>>,
}

/// What one call does, or the reason that the server gives.
type Done<T> = Result<T, Fault>;

/// Why a call failed.
#[derive(Debug)]
enum Fault {
    Server(tokio_postgres::Error),
    Webhook(WebhookError),
    /// What is in a row was not written by us.
    Word(String),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(why: tokio_postgres::Error) -> Self {
        Self::Server(why)
    }
}

impl From<WebhookError> for Fault {
    fn from(why: WebhookError) -> Self {
        Self::Webhook(why)
    }
}

impl PostgresWebhooks {
    /// Hooks at a place where nobody looked yet: the first call connects, and makes the tables when they are not there.
    ///
    /// # Errors
    /// The settings cannot be.
    pub fn new(config: &PostgresConfig) -> Result<Self, StoreError> {
        let (place, schema, door) = config.ready()?;
        let (quoted, made) = (format!("\"{schema}\""), AtomicBool::new(false));
        Ok(Self { place, door, schema, quoted, timeout: config.timeout, made, link: Mutex::default() })
    }

    /// Does `work` in one transaction; again where the connection breaks.
    async fn transact<T: Send, F>(
        &self,
        doing: &'static str,
        work: impl Fn(Arc<Link>) -> F + Send,
    ) -> Result<T, WebhookError>
    where
        F: Future<Output = Done<T>> + Send,
    {
        let deadline = Instant::now() + self.timeout;
        let elapsed = || WebhookError::from(self.place.timeout(doing, self.timeout));
        let mut turn = timeout_at(deadline, self.link.lock()).await.map_err(|_elapsed| elapsed())?;
        let mut attempt = 1;
        loop {
            let left = turn.take().filter(|link| !link.client.is_closed());
            let trying = async {
                let link = match left {
                    Some(link) => link,
                    None => Arc::new(self.connect().await?),
                };
                link.client.batch_execute("BEGIN").await?;
                let done = work(Arc::clone(&link)).await;
                link.client.batch_execute(if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
                Ok::<_, Fault>((link, done))
            };
            let why = match timeout_at(deadline, trying).await.map_err(|_elapsed| elapsed())? {
                Ok((link, done)) => {
                    *turn = Some(link);
                    match done {
                        Ok(done) => return Ok(done),
                        Err(why) => why,
                    }
                }
                Err(why) => why,
            };
            match why {
                Fault::Server(why) if attempt < ATTEMPTS && (is_rival(&why) || !is_final(&why)) => {
                    tracing::debug!("a call to the registry is made again: {}", schema::error::chain(&why));
                    attempt += 1;
                }
                Fault::Server(why) => return Err(self.place.fault(doing, why).into()),
                Fault::Webhook(why) => return Err(why),
                Fault::Word(said) => {
                    let location = self.place.location.clone();
                    return Err(StoreError::Damaged { doing, location, source: said.into() }.into());
                }
            }
        }
    }

    /// A connection to tables that are there.
    async fn connect(&self) -> Done<Link> {
        let link = self.door.connect_patiently().await?;
        if !self.made.load(Ordering::Acquire) {
            if !self.are_there(&link).await? {
                let (tables, s) = (TABLES.replace("{s}", &format!("\"{}\"", self.schema)), &self.schema);
                let sql = format!(
                    "BEGIN;
                     SELECT pg_advisory_xact_lock({MAKING});
                     CREATE SCHEMA IF NOT EXISTS \"{s}\";
                     {tables}
                     INSERT INTO \"{s}\".meta (key, value) VALUES ('{FORMAT_KEY}', '{FORMAT}') ON CONFLICT DO NOTHING;
                     COMMIT"
                );
                link.client.batch_execute(&sql).await?;
            }
            self.made.store(true, Ordering::Release);
        }
        Ok(link)
    }

    /// Whether the tables are there, of the format that we read. Changes nothing.
    async fn are_there(&self, link: &Link) -> Done<bool> {
        let found = tables::of(&link.client, &self.schema).await?;
        let needed = ["meta", "webhooks", "webhook_deliveries"];
        if !found.hold(&needed, &self.place).map_err(WebhookError::from)? {
            return Ok(false);
        }
        let sql = format!("SELECT value FROM \"{}\".meta WHERE key = '{FORMAT_KEY}'", self.schema);
        let row = link.client.query_opt(&sql, &[]).await?;
        let found: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
        if found.as_deref() == Some(FORMAT.to_string().as_str()) {
            return Ok(true);
        }
        let found = found.map_or_else(|| "none of webhooks".to_owned(), |found| format!("`{found}` of webhooks"));
        let location = self.place.location.clone();
        Err(WebhookError::from(StoreError::Format { location, found, reads: FORMAT }).into())
    }
}

#[async_trait]
impl WebhookStore for PostgresWebhooks {
    async fn insert(&self, hook: &Webhook) -> Result<(), WebhookError> {
        let s = &self.quoted;
        self.transact("writing to", move |link| async move {
            // One after the other, so that two cannot both be the last one.
            link.client.batch_execute(&format!("LOCK TABLE {s}.webhooks IN SHARE ROW EXCLUSIVE MODE")).await?;
            let sql = format!("SELECT count(*) FROM {s}.webhooks WHERE id <> $1");
            let n: i64 = link.client.query_one(&sql, &[&hook.id]).await?.try_get(0)?;
            if usize::try_from(n).unwrap_or(usize::MAX) >= HOOKS_MAX {
                return Err(WebhookError::TooMany.into());
            }
            let sql = format!(
                "INSERT INTO {s}.webhooks ({COLUMNS})
                 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15) ON CONFLICT (id) DO NOTHING"
            );
            put(&link.client, &sql, hook).await
        })
        .await
    }

    async fn get(&self, id: &str) -> Result<Webhook, WebhookError> {
        let s = &self.quoted;
        self.transact("reading", move |link| async move {
            find(&link.client, s, id, "").await?.ok_or_else(|| unknown(id).into())
        })
        .await
    }

    async fn all(&self) -> Result<Vec<Webhook>, WebhookError> {
        let s = &self.quoted;
        self.transact("reading", move |link| async move {
            let rows =
                link.client.query(&format!("SELECT {COLUMNS} FROM {s}.webhooks ORDER BY place DESC"), &[]).await?;
            rows.iter().map(read_hook).collect()
        })
        .await
    }

    async fn step(&self, id: &str, step: &Step) -> Result<Option<Webhook>, WebhookError> {
        let s = &self.quoted;
        self.transact("writing to", move |link| async move {
            let hook = find(&link.client, s, id, "FOR UPDATE").await?.ok_or_else(|| unknown(id))?;
            let Some(next) = step.apply(&hook) else { return Ok(None) };
            let sql = format!(
                "UPDATE {s}.webhooks SET name = $2, url = $3, topics = $4, description = $5, status = $6, secret = $7,
                 created = $8, updated = $9, cursor = $10, attempts = $11, next_attempt = $12, holder = $13, token = $14,
                 held_until = $15 WHERE id = $1"
            );
            put(&link.client, &sql, &next).await?;
            for delivery in step.deliveries() {
                remember(&link.client, s, id, delivery).await?;
            }
            Ok(Some(next))
        })
        .await
    }

    async fn delete(&self, id: &str) -> Result<(), WebhookError> {
        let s = &self.quoted;
        self.transact("writing to", move |link| async move {
            if link.client.execute(&format!("DELETE FROM {s}.webhooks WHERE id = $1"), &[&id]).await? == 0 {
                return Err(unknown(id).into());
            }
            link.client.execute(&format!("DELETE FROM {s}.webhook_deliveries WHERE hook = $1"), &[&id]).await?;
            Ok(())
        })
        .await
    }

    async fn deliveries(&self, id: &str, rows_max: u32) -> Result<Vec<Delivery>, WebhookError> {
        let s = &self.quoted;
        self.transact("reading", move |link| async move {
            let sql = format!(
                "SELECT id, seq, topic, outcome, attempts, first, last, response, error FROM {s}.webhook_deliveries
                 WHERE hook = $1 ORDER BY seq DESC, topic LIMIT $2"
            );
            let rows = link.client.query(&sql, &[&id, &i64::from(rows_max)]).await?;
            rows.iter().map(read_delivery).collect()
        })
        .await
    }
}

fn unknown(id: &str) -> WebhookError {
    WebhookError::Unknown { id: id.chars().take(80).collect() }
}

async fn find(t: &Client, s: &str, id: &str, lock: &str) -> Done<Option<Webhook>> {
    // No id of ours has NUL, which the server cannot be asked for.
    if id.contains('\0') {
        return Ok(None);
    }
    let row = t.query_opt(&format!("SELECT {COLUMNS} FROM {s}.webhooks WHERE id = $1 {lock}"), &[&id]).await?;
    row.as_ref().map(read_hook).transpose()
}

async fn put(t: &Client, sql: &str, hook: &Webhook) -> Done<()> {
    let Webhook { id, name, url, topics, description, status, secret, created_ms, updated_ms, .. } = hook;
    let lease = hook.lease.as_ref();
    t.execute(
        sql,
        &[
            id,
            name,
            url,
            &topics_to_text(topics),
            description,
            &status.as_str(),
            &secret.as_ref().map(Secret::stored),
            created_ms,
            updated_ms,
            &number(hook.cursor),
            &i64::from(hook.attempts),
            &hook.next_attempt_ms,
            &lease.map(|lease| lease.holder.as_str()),
            &lease.map(|lease| lease.token.as_str()),
            &lease.map(|lease| lease.until_ms),
        ],
    )
    .await?;
    Ok(())
}

async fn remember(t: &Client, s: &str, hook: &str, delivery: &Delivery) -> Done<()> {
    let Delivery { id, seq, topic, outcome, attempts, first_ms, last_ms, response_status, error } = delivery;
    // What a receiver answered may have what the server cannot keep.
    let error = error.as_ref().map(|text| text.replace('\0', "\u{fffd}"));
    let sql = format!(
        "INSERT INTO {s}.webhook_deliveries (hook, id, seq, topic, outcome, attempts, first, last, response, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (hook, id) DO UPDATE SET outcome = excluded.outcome, attempts = excluded.attempts,
         last = excluded.last, response = excluded.response, error = excluded.error"
    );
    let (attempts, response) = (i64::from(*attempts), response_status.map(i64::from));
    let (number, topic, outcome) = (number(*seq), topic.to_string(), outcome.as_str());
    t.execute(&sql, &[&hook, id, &number, &topic, &outcome, &attempts, first_ms, last_ms, &response, &error]).await?;
    let sql = format!(
        "DELETE FROM {s}.webhook_deliveries WHERE hook = $1 AND seq <
         (SELECT seq FROM {s}.webhook_deliveries WHERE hook = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)"
    );
    t.execute(&sql, &[&hook, &i64::from(DELIVERIES_MAX - 1)]).await?;
    Ok(())
}

fn read_hook(row: &Row) -> Done<Webhook> {
    let lease = match (row.try_get(12)?, row.try_get(13)?, row.try_get(14)?) {
        (Some(holder), Some(token), Some(until_ms)) => Some(Lease { holder, token, until_ms }),
        _ => None,
    };
    Ok(Webhook {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        url: row.try_get(2)?,
        topics: word(row, 3, topics_of_text)?,
        description: row.try_get(4)?,
        status: word(row, 5, Status::parse)?,
        secret: row.try_get::<_, Option<String>>(6)?.and_then(Secret::new),
        created_ms: row.try_get(7)?,
        updated_ms: row.try_get(8)?,
        cursor: count(row, 9, seq)?,
        attempts: count(row, 10, |n| u32::try_from(n).ok())?,
        next_attempt_ms: row.try_get(11)?,
        lease,
    })
}

fn read_delivery(row: &Row) -> Done<Delivery> {
    let response: Option<i64> = row.try_get(7)?;
    Ok(Delivery {
        id: row.try_get(0)?,
        seq: count(row, 1, seq)?,
        topic: word(row, 2, Topic::parse)?,
        outcome: word(row, 3, Outcome::parse)?,
        attempts: count(row, 4, |n| u32::try_from(n).ok())?,
        first_ms: row.try_get(5)?,
        last_ms: row.try_get(6)?,
        response_status: response.and_then(|status| u16::try_from(status).ok()),
        error: row.try_get(8)?,
    })
}

/// A word of ours in a row, of a row that was written by us.
fn word<T>(row: &Row, column: usize, parse: impl Fn(&str) -> Option<T>) -> Done<T> {
    let said: &str = row.try_get(column)?;
    parse(said).ok_or_else(|| Fault::Word(format!("`{}` is not a word of this column", said.escape_debug())))
}

fn count<T>(row: &Row, column: usize, read: impl Fn(i64) -> Option<T>) -> Done<T> {
    let said: i64 = row.try_get(column)?;
    read(said).ok_or_else(|| Fault::Word(format!("`{said}` is not a number of this column")))
}

#[cfg(test)]
mod tests;
