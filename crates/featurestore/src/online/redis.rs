//! The online store on Redis, for teams: one server, a cluster, or a master that sentinels watch.
//!
//! One hash per entity, one field per table: a request's views come in one `HMGET`, a batch in one pipeline.
//! Writes go through `merge.lua`, which merges on the server, so that writers on many machines need no lock. Redis is
//! never the record: losing it loses nothing that materialize does not bring back. Everything that is sent may be sent
//! twice, which is what makes following failovers and moving slots simple; `servers` is where that starts.

mod address;
mod cluster;
mod condition;
mod config;
mod failed;
mod feast;
mod link;
mod node;
mod patience;
mod per_runtime;
mod scan;
mod sentinel;
mod servers;
mod slot;
mod slot_map;
mod spread;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Script, Value};
use schema::{EntityKey, Timestamp};

pub use address::{Address, Login, RedisUrl};
pub use condition::Condition;
pub use config::{DEFAULT_TIMEOUT, RedisConfig, RedisServers, TlsFiles};
pub use feast::FeastRedis;

use super::{Cell, Doing, EraseReport, OnlineError, OnlineRows, OnlineStore, OnlineTable, WriteReport, views_of};
use crate::erase::KeyMatch;
use failed::{CORRUPT, Failed};
use node::Purpose;
use servers::{Keyed, Servers};

/// Cells of one round trip to one server.
const CELLS_PER_PIPELINE: usize = 500;
/// Cells of one round trip that needs no script.
const CELLS_PER_LOAD: usize = 1_000;
/// Cells of one run of the script: more means less overhead, and a longer wait for every other client.
const CELLS_PER_SCRIPT: usize = 50;

/// The online store of one project on Redis.
pub struct RedisStore {
    servers: Servers,
    /// `plumb:{}:PROJECT:`, before the bytes of the entity key. No two projects share a key: an entity key starts with
    /// its format byte, which is no character of a name. The braces are for clusters: see `slot`.
    prefix: Vec<u8>,
    merge: Script,
}

impl RedisStore {
    /// Connects to one server at `url`, such as `redis://user:password@host:6379/0`, with nothing else configured. Each
    /// round trip has `timeout`: a server that is gone fails calls at once, one that hangs fails them after it, and
    /// calls succeed again when the server is back.
    ///
    /// # Errors
    /// [`OnlineError::Address`], and as [`RedisStore::open`].
    pub async fn connect(url: &str, project: &str, timeout: Duration) -> Result<Self, OnlineError> {
        Self::open(&RedisConfig { timeout, ..RedisConfig::one(url)? }, project).await
    }

    /// Connects to the servers of `config`, and sees that they answer.
    ///
    /// # Errors
    /// [`OnlineError::Settings`], [`OnlineError::Open`], [`OnlineError::Refused`] or [`OnlineError::Timeout`].
    pub async fn open(config: &RedisConfig, project: &str) -> Result<Self, OnlineError> {
        let store = Self::new(config, project)?;
        store.check().await?;
        Ok(store)
    }

    /// The store on the servers of `config`, whether or not they are there yet: it connects when it is asked.
    ///
    /// # Errors
    /// [`OnlineError::Settings`].
    pub fn new(config: &RedisConfig, project: &str) -> Result<Self, OnlineError> {
        let prefix = format!("plumb:{{}}:{project}:").into_bytes();
        Ok(Self { servers: Servers::new(config)?, prefix, merge: node::merge() })
    }

    /// A warning if the server removes keys by itself when its memory is full: what is missing then looks like an entity
    /// that nobody knows. `None` if it does not, or does not say.
    pub async fn evicts(&self) -> Option<String> {
        let reply = self.servers.ask_any(&["INFO", "memory"]).await.ok()?;
        let text: String = redis::from_redis_value(reply).ok()?;
        let said = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let (policy, limit) = (said("maxmemory_policy:")?, said("maxmemory:").unwrap_or("0"));
        (policy != "noeviction").then(|| {
            let when = if limit == "0" { "would be, once it has a `maxmemory`, " } else { "" };
            format!(
                "the online store at `{}` has `maxmemory-policy {policy}`: keys {when}removed when its memory is full look \
                 like entities that nobody knows (NOT_FOUND); CONFIG SET maxmemory-policy noeviction",
                self.servers.address()
            )
        })
    }

    /// One round trip of writes; no cell is empty.
    async fn put_chunk(
        &self,
        table: &OnlineTable,
        cells: &[&(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let failed =
            |failed: Failed| failed.while_doing(Doing::Writing { view: table.view().clone(), n_keys: cells.len() });
        let replies = self.servers.ask(Purpose::Write, self.scripts(table, cells, horizon)).await.map_err(failed)?;
        let mut report = WriteReport::default();
        for (reply, cells) in replies.into_iter().zip(cells.chunks(self.cells_per_script())) {
            match reply {
                Value::Int(changed) => {
                    let written = usize::try_from(changed).unwrap_or(0).min(cells.len());
                    report += WriteReport { written, unchanged: cells.len() - written };
                }
                other => {
                    if let Value::ServerError(error) = &other
                        && let (CORRUPT, Some(key)) = (error.code(), key_of(error.details(), cells))
                    {
                        // The reader says which part of it.
                        self.get_each(std::slice::from_ref(table), std::slice::from_ref(key)).await?;
                    }
                    return Err(failed(Failed::unexpected(self.servers.address(), &other)));
                }
            }
        }
        Ok(report)
    }

    fn scripts(&self, table: &OnlineTable, cells: &[&(EntityKey, Cell)], horizon: Timestamp) -> Vec<Keyed> {
        let field = table.name();
        let script = |cells: &[&(EntityKey, Cell)]| {
            let n_bytes = cells.iter().map(|(key, cell)| key.as_bytes().len() + cell.as_bytes().len() + 64);
            let mut command = Cmd::with_capacity(5 + 2 * cells.len(), n_bytes.sum());
            command.arg("EVALSHA").arg(self.merge.get_hash()).arg(cells.len());
            let mut slot = 0;
            for (key, _) in cells {
                let place = self.place(key);
                slot = self.servers.slot_of(&place);
                command.arg(place);
            }
            command.arg(field).arg(&horizon.to_ordered_bytes());
            for (_, cell) in cells {
                // Where there is none yet, the script keeps the cell as it comes.
                command.arg(cell.settled(horizon).as_bytes());
            }
            Keyed { slot, command }
        };
        cells.chunks(self.cells_per_script()).map(script).collect()
    }

    /// In a cluster a script's keys must be of one slot, and only a script of one key runs while its slot moves.
    fn cells_per_script(&self) -> usize {
        if self.servers.is_cluster() { 1 } else { CELLS_PER_SCRIPT }
    }

    fn place(&self, key: &EntityKey) -> Vec<u8> {
        [&self.prefix, key.as_bytes()].concat()
    }

    fn parse(&self, table: &OnlineTable, key: &EntityKey, bytes: Vec<u8>) -> Result<Cell, OnlineError> {
        Cell::parse(bytes).map_err(|source| OnlineError::Corrupt {
            view: table.view().clone(),
            key: key.clone(),
            address: self.servers.address(),
            source,
        })
    }

    async fn get_each(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        if tables.is_empty() || keys.is_empty() {
            return Ok(OnlineRows::new(Vec::new(), tables.len()));
        }
        let failed =
            |failed: Failed| failed.while_doing(Doing::Reading { views: views_of(tables), n_keys: keys.len() });
        let unexpected = |reply: &Value| failed(Failed::unexpected(self.servers.address(), reply));
        let fields: Vec<&str> = tables.iter().map(OnlineTable::name).collect();
        let n_bytes = self.prefix.len() + fields.iter().map(|field| field.len()).sum::<usize>() + 8;
        let lookup = |key: &EntityKey| {
            let place = self.place(key);
            let slot = self.servers.slot_of(&place);
            let mut command = Cmd::with_capacity(2 + fields.len(), n_bytes + key.as_bytes().len());
            command.arg("HMGET").arg(place).arg(&fields);
            Keyed { slot, command }
        };
        let lookups = keys.iter().map(lookup).collect();
        let replies = self.servers.ask(Purpose::Read, lookups).await.map_err(failed)?;
        let mut cells = Vec::with_capacity(keys.len() * tables.len());
        for (key, reply) in keys.iter().zip(replies) {
            let row = match reply {
                Value::Array(row) if row.len() == tables.len() => row,
                other => return Err(unexpected(&other)),
            };
            for (table, value) in tables.iter().zip(row) {
                cells.push(match value {
                    Value::Nil => None,
                    Value::BulkString(bytes) => Some(self.parse(table, key, bytes)?),
                    other => return Err(unexpected(&other)),
                });
            }
        }
        Ok(OnlineRows::new(cells, tables.len()))
    }

    async fn put_each(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let some: Vec<_> = cells.iter().filter(|(_, cell)| !cell.is_empty()).collect();
        let mut report = WriteReport { written: 0, unchanged: cells.len() - some.len() };
        for chunk in some.chunks(CELLS_PER_PIPELINE * self.servers.n_masters()) {
            report += self.put_chunk(table, chunk, horizon).await?;
        }
        Ok(report)
    }

    /// Counts, and unless `dry_run` removes, the fields of some tables in the hashes at `places`.
    async fn erase_at(&self, places: Vec<Vec<u8>>, tables: &[OnlineTable], dry_run: bool) -> Result<usize, Failed> {
        let fields: Vec<&str> = tables.iter().map(OnlineTable::name).collect();
        let mut found = 0;
        for places in places.chunks(CELLS_PER_LOAD) {
            for fields in fields.chunks(CELLS_PER_LOAD) {
                let command = |place: &Vec<u8>| {
                    let mut command = Cmd::new();
                    command.arg(if dry_run { "HMGET" } else { "HDEL" }).arg(place).arg(fields);
                    Keyed { slot: self.servers.slot_of(place), command }
                };
                // The master is asked in both cases: a replica may be behind.
                let replies = self.servers.ask(Purpose::Write, places.iter().map(command).collect()).await?;
                for reply in replies {
                    found += match reply {
                        Value::Int(removed) => usize::try_from(removed).unwrap_or(0),
                        Value::Array(cells) => cells.iter().filter(|cell| **cell != Value::Nil).count(),
                        other => return Err(Failed::unexpected(self.servers.address(), &other)),
                    };
                }
            }
        }
        Ok(found)
    }

    /// Whether any of these is kept on every node.
    fn is_spread<'a>(&self, mut keys: impl Iterator<Item = &'a EntityKey>) -> bool {
        self.servers.is_cluster() && keys.any(spread::is_own)
    }
}

#[async_trait]
impl OnlineStore for RedisStore {
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        if !self.is_spread(keys.iter()) {
            return self.get_each(tables, keys).await;
        }
        let mut cells = Vec::with_capacity(keys.len() * tables.len());
        for key in keys {
            let copies = if spread::is_own(key) { spread::copies(&self.prefix, key) } else { vec![key.clone()] };
            let rows = self.get_each(tables, &copies).await?;
            cells.extend((0..tables.len()).map(|v| spread::oldest((0..copies.len()).map(|k| rows.get(k, v)))));
        }
        Ok(OnlineRows::new(cells, tables.len()))
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        if !self.is_spread(cells.iter().map(|(key, _)| key)) {
            return self.put_each(table, cells, horizon).await;
        }
        let mut report = WriteReport::default();
        for one in cells {
            let (key, cell) = one;
            if spread::is_own(key) {
                let copies = spread::copies(&self.prefix, key).into_iter().map(|copy| (copy, cell.clone()));
                let copies: Vec<_> = copies.collect();
                report.count(self.put_each(table, &copies, horizon).await?.written > 0);
            } else {
                report += self.put_each(table, std::slice::from_ref(one), horizon).await?;
            }
        }
        Ok(report)
    }

    /// What is not there yet needs no merge: the server takes it several times as fast without the script. A key that
    /// somebody wrote meanwhile, a push, is left as it is and merged after.
    async fn put_new(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        if self.is_spread(cells.iter().map(|(key, _)| key)) {
            return self.put_many(table, cells, horizon).await;
        }
        let some: Vec<_> = cells.iter().filter(|(_, cell)| !cell.is_empty()).collect();
        let mut report = WriteReport { written: 0, unchanged: cells.len() - some.len() };
        let failed =
            |failed: Failed| failed.while_doing(Doing::Writing { view: table.view().clone(), n_keys: cells.len() });
        for chunk in some.chunks(CELLS_PER_LOAD * self.servers.n_masters()) {
            let set = |(key, cell): &&(EntityKey, Cell)| {
                let place = self.place(key);
                let slot = self.servers.slot_of(&place);
                let mut command = Cmd::with_capacity(4, place.len() + cell.as_bytes().len() + 64);
                command.arg("HSETNX").arg(place).arg(table.name()).arg(cell.settled(horizon).as_bytes());
                Keyed { slot, command }
            };
            let replies = self.servers.ask(Purpose::Write, chunk.iter().map(set).collect()).await.map_err(failed)?;
            let mut there = Vec::new();
            for (reply, cell) in replies.into_iter().zip(chunk) {
                match reply {
                    Value::Int(1) => report.count(true),
                    Value::Int(0) => there.push((*cell).clone()),
                    other => return Err(failed(Failed::unexpected(self.servers.address(), &other))),
                }
            }
            if !there.is_empty() {
                report += self.put_each(table, &there, horizon).await?;
            }
        }
        Ok(report)
    }

    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        let failed = |failed: Failed| failed.while_doing(Doing::Erasing);
        let mut report = EraseReport::default();
        if tables.is_empty() {
            return Ok(report);
        }
        if let Some(key) = keys.exact() {
            report.found = self.erase_at(vec![self.place(key)], tables, dry_run).await.map_err(failed)?;
            return Ok(report);
        }
        let mut scan = self.servers.scan(&self.prefix).await.map_err(failed)?;
        while let Some(mut places) = scan.next().await.map_err(failed)? {
            places.retain(|place| keys.matches(&EntityKey::from_bytes(&place[self.prefix.len()..])));
            if !places.is_empty() {
                report.found += self.erase_at(places, tables, dry_run).await.map_err(failed)?;
            }
        }
        Ok(report)
    }

    async fn check(&self) -> Result<(), OnlineError> {
        self.servers.check().await.map_err(|failed| failed.while_doing(Doing::Opening))
    }

    async fn drop_tables(&self, tables: &[OnlineTable]) -> Result<(), OnlineError> {
        let failed = |failed: Failed| failed.while_doing(Doing::Dropping { tables: tables.to_vec() });
        if tables.is_empty() {
            return Ok(());
        }
        let fields: Vec<&str> = tables.iter().map(OnlineTable::name).collect();
        let mut scan = self.servers.scan(&self.prefix).await.map_err(failed)?;
        while let Some(places) = scan.next().await.map_err(failed)? {
            let remove = |place: Vec<u8>| {
                let slot = self.servers.slot_of(&place);
                let mut command = Cmd::new();
                command.arg("HDEL").arg(place).arg(&fields);
                Keyed { slot, command }
            };
            let removals: Vec<Keyed> = places.into_iter().map(remove).collect();
            if !removals.is_empty() {
                self.servers.ask(Purpose::Write, removals).await.map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// The key that the script names by its position, from 1.
fn key_of<'a>(position: Option<&str>, cells: &[&'a (EntityKey, Cell)]) -> Option<&'a EntityKey> {
    let position: usize = position?.parse().ok()?;
    cells.get(position.checked_sub(1)?).map(|(key, _)| key)
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore(`{}`, `{}`)", self.servers.address(), String::from_utf8_lossy(&self.prefix))
    }
}
