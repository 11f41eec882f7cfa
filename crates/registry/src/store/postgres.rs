//! The log in a schema of a PostgreSQL database, for several processes of several machines.
//!
//! An append is one statement, and so one transaction: it writes the event if the one before it is the last, and the
//! primary key lets one of two writers through. How safe an acknowledged event is, the server's `synchronous_commit`
//! says. Each call has a deadline; a connection that broke is made again by the next call. Where one breaks in the middle
//! of an append, the session that may still be at it is ended and the log is looked at ([`PostgresLog::find_out`]): what
//! happened is found out, not guessed (docs/decisions/0062).

use std::time::Duration;

use async_trait::async_trait;
use schema::Fingerprint;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::{AppendError, RegistryStore, StoreError, Stored, check_next};
use crate::event::Event;
use crate::log::LogError;
use crate::postgres::fault::{self, Place};
use crate::postgres::link::{self, Door, Link, PAUSE, Session};
use crate::postgres::{MAKING, PostgresConfig, tables};
use crate::seq::Seq;

/// Format of the tables; the events in them carry their own.
const FORMAT: u32 = 1;

/// A log in PostgreSQL.
#[derive(Debug)]
pub struct PostgresLog {
    place: Place,
    door: Door,
    schema: String,
    timeout: Duration,
    sql: Statements,
    /// One connection: the writers of a process take turns anyway, and a page is read in milliseconds. It is taken out for
    /// the time of a call, so a call that is given up takes it along.
    link: Mutex<Option<Link>>,
}

/// What is asked of the server, with the schema's name in it.
#[derive(Debug)]
struct Statements {
    create: String,
    format: String,
    page: String,
    last: String,
    at: String,
    append: String,
    snapshot: String,
    keep_snapshot: String,
    make_snapshots: String,
}

impl Statements {
    fn of(schema: &str) -> Self {
        // Letters, digits, `_` and `-`, so nothing in it ends the quotes.
        let s = format!("\"{schema}\"");
        Self {
            // The lock lets one process at a time make them.
            create: format!(
                "BEGIN;
                 SELECT pg_advisory_xact_lock({MAKING});
                 CREATE SCHEMA IF NOT EXISTS {s};
                 CREATE TABLE IF NOT EXISTS {s}.meta (key text PRIMARY KEY, value text NOT NULL);
                 CREATE TABLE IF NOT EXISTS {s}.events (seq bigint PRIMARY KEY CHECK (seq > 0), json text NOT NULL);
                 INSERT INTO {s}.meta (key, value) VALUES ('format', '{FORMAT}') ON CONFLICT DO NOTHING;
                 COMMIT"
            ),
            format: format!("SELECT value FROM {s}.meta WHERE key = 'format'"),
            page: format!("SELECT seq, json FROM {s}.events WHERE seq > $1 ORDER BY seq LIMIT $2"),
            last: format!("SELECT seq, json FROM {s}.events ORDER BY seq DESC LIMIT 1"),
            at: format!("SELECT json FROM {s}.events WHERE seq = $1"),
            append: format!(
                "INSERT INTO {s}.events (seq, json) SELECT $1::bigint, $2::text
                 WHERE (SELECT coalesce(max(seq), 0) FROM {s}.events) = $1::bigint - 1"
            ),
            snapshot: format!("SELECT bytes FROM {s}.snapshots WHERE id = 1"),
            keep_snapshot: format!(
                "INSERT INTO {s}.snapshots AS kept (id, bytes) VALUES (1, $1)
                 ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes WHERE octet_length(kept.bytes) > 0"
            ),
            // Stored as they are: they hardly shrink.
            make_snapshots: format!(
                "BEGIN;
                 SELECT pg_advisory_xact_lock({MAKING});
                 CREATE TABLE IF NOT EXISTS {s}.snapshots (id int PRIMARY KEY CHECK (id = 1), bytes bytea NOT NULL);
                 ALTER TABLE {s}.snapshots ALTER COLUMN bytes SET STORAGE EXTERNAL;
                 COMMIT"
            ),
        }
    }
}

impl PostgresLog {
    /// Opens the log; makes its schema and tables when they are not there.
    ///
    /// # Errors
    /// [`StoreError`] if the server does not answer or does not let us in, or the schema holds something else. A schema
    /// that is refused has not been changed.
    pub async fn open(config: &PostgresConfig) -> Result<Self, StoreError> {
        let log = Self::new(config)?;
        let mut link = log.ready(Instant::now() + log.timeout, "opening").await?;
        let made = log.is_registry(&link).await?;
        if !made {
            let doing = "making the tables of";
            let creating = link.client.batch_execute(&log.sql.create);
            log.in_time(Instant::now() + log.timeout, doing, creating).await??;
        }
        log.check_format(&mut link).await?;
        *log.link.lock().await = Some(link);
        Ok(log)
    }

    /// Opens the log if there is one; changes nothing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_existing(config: &PostgresConfig) -> Result<Option<Self>, StoreError> {
        let log = Self::new(config)?;
        let mut link = log.ready(Instant::now() + log.timeout, "opening").await?;
        if !log.is_registry(&link).await? {
            return Ok(None);
        }
        log.check_format(&mut link).await?;
        *log.link.lock().await = Some(link);
        Ok(Some(log))
    }

    fn new(config: &PostgresConfig) -> Result<Self, StoreError> {
        let (place, schema, door) = config.ready()?;
        let sql = Statements::of(&schema);
        Ok(Self { place, door, schema, timeout: config.timeout, sql, link: Mutex::default() })
    }

    /// A connection. A server that is just starting is waited for.
    async fn ready(&self, deadline: Instant, doing: &'static str) -> Result<Link, StoreError> {
        self.in_time(deadline, doing, self.door.connect_patiently()).await?
    }

    /// What `work` gives before the deadline, faults told in our words.
    async fn in_time<T>(
        &self,
        deadline: Instant,
        doing: &'static str,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        match timeout_at(deadline, work).await {
            Ok(done) => Ok(done.map_err(|why| self.place.fault(doing, why))),
            Err(_elapsed) => Err(self.place.timeout(doing, self.timeout)),
        }
    }

    /// Whether the tables are there; `false` for a schema that is not there, or has nothing but runs. Reads only.
    async fn is_registry(&self, link: &Link) -> Result<bool, StoreError> {
        let asking = tables::of(&link.client, &self.schema);
        let found = self.in_time(Instant::now() + self.timeout, "opening", asking).await??;
        found.hold(&["events", "meta"], &self.place)
    }

    async fn check_format(&self, link: &mut Link) -> Result<(), StoreError> {
        let asking = link.client.query_opt(&self.sql.format, &[]);
        let row = self.in_time(Instant::now() + self.timeout, "opening", asking).await??;
        let found: Option<String> = row.map(|row| row.get(0));
        if found.as_deref() == Some(FORMAT.to_string().as_str()) {
            return Ok(());
        }
        let found = found.map_or_else(|| "none".to_owned(), |found| format!("`{found}`"));
        Err(StoreError::Format { location: self.place.location.clone(), found, reads: FORMAT })
    }

    /// The turn of a call, and the connection that the last one left.
    async fn turn(
        &self,
        deadline: Instant,
        doing: &'static str,
    ) -> Result<(MutexGuard<'_, Option<Link>>, Option<Link>), StoreError> {
        let turn = timeout_at(deadline, self.link.lock()).await;
        let mut turn = turn.map_err(|_elapsed| self.place.timeout(doing, self.timeout))?;
        let left = turn.take().filter(|link| !link.client.is_closed());
        Ok((turn, left))
    }

    /// Asks what may be asked twice; once more over a new connection where the one that was left had broken.
    async fn ask(
        &self,
        deadline: Instant,
        doing: &'static str,
        left: Option<Link>,
        question: &str,
        numbers: &[i64],
    ) -> Result<(Link, Vec<Row>), StoreError> {
        let numbers: Vec<&(dyn ToSql + Sync)> = numbers.iter().map(|number| number as _).collect();
        if let Some(link) = left {
            match timeout_at(deadline, link.client.query(question, &numbers)).await {
                Ok(Ok(answer)) => return Ok((link, answer)),
                Ok(Err(why)) if fault::is_final(&why) => return Err(self.place.fault(doing, why)),
                Ok(Err(why)) => tracing::debug!("the connection to the registry broke: {}", schema::error::chain(&why)),
                Err(_elapsed) => return Err(self.place.timeout(doing, self.timeout)),
            }
        }
        let link = self.ready(deadline, doing).await?;
        let answer = self.in_time(deadline, doing, link.client.query(question, &numbers)).await??;
        Ok((link, answer))
    }

    /// Whether `event` was written by a session that we lost: the session is ended first, so that nothing can come of it
    /// any more, then its place is read. Takes no longer than one call more.
    async fn find_out(&self, event: &Event, seq: i64, lost: Session, why: StoreError) -> Result<Link, AppendError> {
        let looking = async {
            loop {
                match self.look(seq, lost).await {
                    Ok(found) => return found,
                    Err(why) => tracing::debug!("looking for event {seq}: {}", schema::error::chain(&why)),
                }
                sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(self.timeout, looking).await {
            Ok((link, Some(text))) if text == event.json() => Ok(link),
            Ok((_, Some(_))) => Err(AppendError::Taken { seq: event.seq }),
            Ok((_, None)) => Err(why.into()),
            Err(_elapsed) => {
                let location = self.place.location.clone();
                Err(AppendError::Unknown { seq: event.seq, location, source: why.into() })
            }
        }
    }

    /// One look: ends the session, waits until it is gone, and reads the place.
    async fn look(&self, seq: i64, lost: Session) -> Result<(Link, Option<String>), tokio_postgres::Error> {
        let link = self.door.connect().await?;
        link::end(&link.client, lost).await?;
        let row = link.client.query_opt(&self.sql.at, &[&seq]).await?;
        Ok((link, row.map(|row| row.get(0))))
    }

    /// Does `work` over a connection of its own, so that no append of this process waits for a snapshot.
    async fn aside<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.timeout;
        let link = self.ready(deadline, doing).await?;
        self.in_time(deadline, doing, work(&link.client)).await?
    }
}

#[async_trait]
impl RegistryStore for PostgresLog {
    async fn read_page(&self, seq: Seq, n_max: usize) -> Result<Vec<Stored>, StoreError> {
        let deadline = Instant::now() + self.timeout;
        // No log has more events than `bigint` has numbers: after the largest there is nothing.
        let (after, n_max) = (i64::try_from(seq.0).unwrap_or(i64::MAX), i64::try_from(n_max).unwrap_or(i64::MAX));
        let (mut turn, left) = self.turn(deadline, "reading").await?;
        let (link, rows) = self.ask(deadline, "reading", left, &self.sql.page, &[after, n_max]).await?;
        *turn = Some(link);
        Ok(rows.iter().filter_map(stored).collect())
    }

    async fn append(&self, event: &Event) -> Result<(), AppendError> {
        let seq = i64::try_from(event.seq.0)
            .map_err(|why| StoreError::from(LogError::Unwritable { seq: event.seq, source: why.into() }))?;
        let deadline = Instant::now() + self.timeout;
        let (mut turn, left) = self.turn(deadline, DOING).await?;
        let (link, last) = self.ask(deadline, DOING, left, &self.sql.last, &[]).await?;
        let last = last.first().and_then(stored).map(|stored| stored.event()).transpose().map_err(StoreError::from);
        let checked = last.map_err(AppendError::from).and_then(|last| {
            let (last, head) = last.map_or((Seq::START, Fingerprint::of_bytes(b"")), |e| (e.seq, e.hash));
            check_next(event, last, head)
        });
        if let Err(why) = checked {
            *turn = Some(link);
            return Err(why);
        }
        let text = event.json();
        let written = timeout_at(deadline, link.client.execute(&self.sql.append, &[&seq, &text])).await;
        let lost = link.session;
        let (left, done) = match written {
            Ok(Ok(1)) => (link, Ok(())),
            // Somebody wrote since we looked, or is done writing just now.
            Ok(Ok(_)) => (link, Err(AppendError::Taken { seq: event.seq })),
            Ok(Err(why)) if fault::is_rival(&why) => (link, Err(AppendError::Taken { seq: event.seq })),
            Ok(Err(why)) if fault::is_final(&why) => (link, Err(self.place.fault(DOING, why).into())),
            Ok(Err(why)) => {
                drop(link);
                (self.find_out(event, seq, lost, self.place.fault(DOING, why)).await?, Ok(()))
            }
            Err(_elapsed) => {
                drop(link);
                (self.find_out(event, seq, lost, self.place.timeout(DOING, self.timeout)).await?, Ok(()))
            }
        };
        *turn = Some(left);
        done
    }

    async fn read_snapshot(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.aside("reading the snapshot of", async |client| match client.query_opt(&self.sql.snapshot, &[]).await {
            Ok(row) => Ok(row.map(|row| row.get(0))),
            // A registry gets the table with its first snapshot.
            Err(why) if why.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
            Err(why) => Err(why),
        })
        .await
    }

    async fn write_snapshot(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.aside("writing a snapshot of", async |client| {
            match client.execute(&self.sql.keep_snapshot, &[&bytes]).await {
                Err(why) if why.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                    client.batch_execute(&self.sql.make_snapshots).await?;
                    client.execute(&self.sql.keep_snapshot, &[&bytes]).await.map(drop)
                }
                done => done.map(drop),
            }
        })
        .await
    }

    fn location(&self) -> String {
        self.place.location.clone()
    }
}

const DOING: &str = "writing to";

/// `None` for a place that is no number of ours, which the table's check keeps out.
fn stored(row: &Row) -> Option<Stored> {
    let seq = u64::try_from(row.get::<_, i64>(0)).ok()?;
    Some(Stored { seq: Seq(seq), text: row.get::<_, &str>(1).as_bytes().to_vec() })
}

#[cfg(test)]
mod tests;
