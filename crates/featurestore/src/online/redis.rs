//! The online store on a Redis server, for teams.
//!
//! One hash per entity, one field per table: a request's views come in one `HMGET`, a batch in one pipeline.
//! Writes go through `merge.lua`, which merges on the server, so that writers on many machines need no lock. Redis is
//! never the record: losing it loses nothing that materialize does not bring back.

mod link;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Client, Cmd, IntoConnectionInfo, Pipeline, RedisError, Script, ServerErrorKind, Value};
use schema::{EntityKey, Timestamp};

use super::{Cell, Doing, OnlineError, OnlineRows, OnlineStore, OnlineTable, WriteReport, views_of};
use link::{Failed, Link};

const MERGE: &str = include_str!("merge.lua");
/// Cells of one round trip.
const CELLS_PER_PIPELINE: usize = 500;
/// Keys that the server looks at in one step of a scan: others wait for it.
const KEYS_PER_SCAN: usize = 1_000;
/// Cells of one run of the script: more means less overhead, and a longer wait for every other client.
const CELLS_PER_SCRIPT: usize = 50;

/// The online store of one project on a Redis server.
pub struct RedisStore {
    link: Link,
    /// `plumb:PROJECT:`, before the bytes of the entity key. No two projects share a key: an entity key starts with its
    /// format byte, which is no character of a name.
    prefix: Vec<u8>,
    merge: Script,
}

impl RedisStore {
    /// Connects to `url`, such as `redis://user:password@host:6379/0`. Each round trip has `timeout`: a server that
    /// is gone fails calls at once, one that hangs fails them after it, and calls succeed again when the server is
    /// back.
    ///
    /// # Errors
    /// [`OnlineError::Address`], [`OnlineError::Open`], or [`OnlineError::Timeout`].
    pub async fn connect(url: &str, project: &str, timeout: Duration) -> Result<Self, OnlineError> {
        let not_an_address = |source: RedisError| OnlineError::Address { source: source.into() };
        let info = url.into_connection_info().map_err(not_an_address)?;
        // This client leaves it off: the last packet of a request would wait for the server's acknowledgement.
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp)).map_err(not_an_address)?;
        let link = Link::new(client, timeout);
        let store = Self { link, prefix: format!("plumb:{project}:").into_bytes(), merge: Script::new(MERGE) };
        store.ask_one("PING", &[]).await.map_err(|failed| store.failed(Doing::Opening, failed))?;
        Ok(store)
    }

    async fn ask_one(&self, name: &str, words: &[&str]) -> Result<Value, Failed> {
        let mut command = Pipeline::new();
        command.cmd(name).arg(words);
        match self.link.ask(&command).await?.pop() {
            Some(Value::ServerError(error)) => Err(error.into()),
            reply => Ok(reply.unwrap_or_default()),
        }
    }

    /// One round trip of writes; no cell is empty.
    async fn put_chunk(
        &self,
        table: &OnlineTable,
        cells: &[&(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let failed = |failed| self.failed(Doing::Writing { view: table.view().clone(), n_keys: cells.len() }, failed);
        let scripts = self.scripts(table, cells, horizon);
        let mut replies = self.link.ask(&scripts).await.map_err(failed)?;
        if replies.iter().any(|reply| has_kind(reply, ServerErrorKind::NoScript)) {
            // A server that has just started, or whose scripts were flushed.
            self.ask_one("SCRIPT", &["LOAD", MERGE]).await.map_err(failed)?;
            replies = self.link.ask(&scripts).await.map_err(failed)?;
        }
        let mut report = WriteReport::default();
        for (reply, cells) in replies.into_iter().zip(cells.chunks(CELLS_PER_SCRIPT)) {
            match reply {
                Value::Int(changed) => {
                    let written = usize::try_from(changed).unwrap_or(0).min(cells.len());
                    report += WriteReport { written, unchanged: cells.len() - written };
                }
                Value::ServerError(error) => {
                    if let ("CORRUPT", Some(key)) = (error.code(), key_of(error.details(), cells)) {
                        // The reader says which part of it.
                        self.get_many(std::slice::from_ref(table), std::slice::from_ref(key)).await?;
                    }
                    return Err(failed(error.into()));
                }
                other => return Err(failed(unexpected(&other))),
            }
        }
        Ok(report)
    }

    fn scripts(&self, table: &OnlineTable, cells: &[&(EntityKey, Cell)], horizon: Timestamp) -> Pipeline {
        let field = table.name();
        let mut scripts = Pipeline::with_capacity(cells.len().div_ceil(CELLS_PER_SCRIPT));
        for cells in cells.chunks(CELLS_PER_SCRIPT) {
            let n_bytes = cells.iter().map(|(key, cell)| key.as_bytes().len() + cell.as_bytes().len() + 64);
            let mut script = Cmd::with_capacity(5 + 2 * cells.len(), n_bytes.sum());
            script.arg("EVALSHA").arg(self.merge.get_hash()).arg(cells.len());
            for (key, _) in cells {
                script.arg(self.place(key));
            }
            script.arg(field).arg(&horizon.to_ordered_bytes());
            for (_, cell) in cells {
                // Where there is none yet, the script keeps the cell as it comes.
                script.arg(cell.settled(horizon).as_bytes());
            }
            scripts.add_command(script);
        }
        scripts
    }

    fn place(&self, key: &EntityKey) -> Vec<u8> {
        [&self.prefix, key.as_bytes()].concat()
    }

    fn parse(&self, table: &OnlineTable, key: &EntityKey, bytes: Vec<u8>) -> Result<Cell, OnlineError> {
        Cell::parse(bytes).map_err(|source| OnlineError::Corrupt {
            view: table.view().clone(),
            key: key.clone(),
            address: self.link.address(),
            source,
        })
    }

    fn failed(&self, doing: Doing, failed: Failed) -> OnlineError {
        match failed {
            Failed::Slow { limit } => OnlineError::Timeout { doing, address: self.link.address(), limit },
            Failed::Refused(source) => doing.failed(&self.link.address(), source),
        }
    }
}

#[async_trait]
impl OnlineStore for RedisStore {
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        if tables.is_empty() || keys.is_empty() {
            return Ok(OnlineRows::new(Vec::new(), tables.len()));
        }
        let failed = |failed| self.failed(Doing::Reading { views: views_of(tables), n_keys: keys.len() }, failed);
        let fields: Vec<&str> = tables.iter().map(OnlineTable::name).collect();
        let n_bytes = self.prefix.len() + fields.iter().map(|field| field.len()).sum::<usize>() + 8;
        let mut lookups = Pipeline::with_capacity(keys.len());
        for key in keys {
            let mut lookup = Cmd::with_capacity(2 + fields.len(), n_bytes + key.as_bytes().len());
            lookup.arg("HMGET").arg(self.place(key)).arg(&fields);
            lookups.add_command(lookup);
        }
        let replies = self.link.ask(&lookups).await.map_err(failed)?;
        let mut cells = Vec::with_capacity(keys.len() * tables.len());
        for (key, reply) in keys.iter().zip(replies) {
            let row = match reply {
                Value::Array(row) if row.len() == tables.len() => row,
                Value::ServerError(error) => return Err(failed(error.into())),
                other => return Err(failed(unexpected(&other))),
            };
            for (table, value) in tables.iter().zip(row) {
                cells.push(match value {
                    Value::Nil => None,
                    Value::BulkString(bytes) => Some(self.parse(table, key, bytes)?),
                    other => return Err(failed(unexpected(&other))),
                });
            }
        }
        Ok(OnlineRows::new(cells, tables.len()))
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let some: Vec<_> = cells.iter().filter(|(_, cell)| !cell.is_empty()).collect();
        let mut report = WriteReport { written: 0, unchanged: cells.len() - some.len() };
        for chunk in some.chunks(CELLS_PER_PIPELINE) {
            report += self.put_chunk(table, chunk, horizon).await?;
        }
        Ok(report)
    }

    async fn drop_table(&self, table: &OnlineTable) -> Result<(), OnlineError> {
        let failed = |failed| self.failed(Doing::Dropping { table: table.to_string() }, failed);
        let mut pattern = escaped(&self.prefix);
        pattern.push(b'*');
        let mut cursor = b"0".to_vec();
        loop {
            let mut scan = Pipeline::new();
            scan.cmd("SCAN").arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(KEYS_PER_SCAN);
            let (next, keys) = scanned(self.link.ask(&scan).await.map_err(failed)?).map_err(failed)?;
            let mut removals = Pipeline::with_capacity(keys.len());
            for key in &keys {
                removals.cmd("HDEL").arg(key).arg(table.name());
            }
            if !keys.is_empty() {
                let replies = self.link.ask(&removals).await.map_err(failed)?;
                if let Some(Value::ServerError(error)) =
                    replies.into_iter().find(|reply| matches!(reply, Value::ServerError(_)))
                {
                    return Err(failed(error.into()));
                }
            }
            if next == b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }
}

/// A text that a pattern of `SCAN` matches as it is.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(text.len() + 1);
    for byte in text {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'^' | b'-' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

/// The next cursor of a scan, and the keys it found.
fn scanned(mut replies: Vec<Value>) -> Result<(Vec<u8>, Vec<Vec<u8>>), Failed> {
    let bytes = |value: Value| match value {
        Value::BulkString(bytes) => Ok(bytes),
        other => Err(unexpected(&other)),
    };
    match replies.pop() {
        Some(Value::Array(mut parts)) if parts.len() == 2 => match (parts.pop(), parts.pop()) {
            (Some(Value::Array(keys)), Some(cursor)) => {
                Ok((bytes(cursor)?, keys.into_iter().map(bytes).collect::<Result<_, _>>()?))
            }
            _ => Err(unexpected(&Value::Nil)),
        },
        Some(Value::ServerError(error)) => Err(error.into()),
        other => Err(unexpected(&other.unwrap_or_default())),
    }
}

fn has_kind(reply: &Value, kind: ServerErrorKind) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(kind))
}

/// The key that the script names by its position, from 1.
fn key_of<'a>(position: Option<&str>, cells: &[&'a (EntityKey, Cell)]) -> Option<&'a EntityKey> {
    let position: usize = position?.parse().ok()?;
    cells.get(position.checked_sub(1)?).map(|(key, _)| key)
}

fn unexpected(reply: &Value) -> Failed {
    let what = match reply {
        Value::Nil => "nothing",
        Value::Array(_) => "a list of another length",
        _ => "another type of value",
    };
    Failed::Refused(format!("the server replied with {what}").into())
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore(`{}`, `{}`)", self.link.address(), String::from_utf8_lossy(&self.prefix))
    }
}
