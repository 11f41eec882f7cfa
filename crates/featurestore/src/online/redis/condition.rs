//! What a Redis server says of itself: its version, its memory, whether it can save, and its clock.

use redis::{Pipeline, Value};
use schema::Timestamp;

use super::RedisStore;
use super::failed::Failed;
use crate::online::{Doing, OnlineError};

/// One server that holds data, as it says it is. What it does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Without credentials.
    pub address: String,
    /// `7.0.15`.
    pub version: Option<String>,
    /// What happens when its memory is full.
    pub maxmemory_policy: Option<String>,
    /// Bytes that it may take; 0 for all there are.
    pub maxmemory: Option<u64>,
    /// Bytes that it takes.
    pub used_memory: Option<u64>,
    /// Keys that it removed by itself since it started.
    pub evicted_keys: Option<u64>,
    /// Whether it writes a log of its writes.
    pub aof_enabled: Option<bool>,
    /// Whether the last write of that log succeeded.
    pub aof_is_well: Option<bool>,
    /// Whether the last snapshot of its data succeeded.
    pub rdb_is_well: Option<bool>,
    /// Its clock.
    pub clock: Option<Timestamp>,
}

impl RedisStore {
    /// What each server that holds data says of itself, in one round trip to each.
    ///
    /// # Errors
    /// [`OnlineError`] if one does not answer. One that may not be asked says nothing.
    pub async fn conditions(&self) -> Result<Vec<Condition>, OnlineError> {
        let failed = |failed: Failed| failed.while_doing(Doing::Opening);
        let mut all = Vec::new();
        for server in self.servers.masters().await.map_err(failed)? {
            let mut commands = Pipeline::with_capacity(2);
            commands.cmd("INFO");
            commands.cmd("TIME");
            let replies = self.servers.ask_server(server.as_ref(), commands).await.map_err(failed)?;
            let address = server.map_or_else(|| self.servers.address(), |server| server.to_string());
            let [info, time] = <[Value; 2]>::try_from(replies).unwrap_or_default();
            let text: String = redis::from_redis_value(info).unwrap_or_default();
            let clock = redis::from_redis_value::<(i64, i64)>(time).ok();
            let nanos = clock.and_then(|(s, us)| s.checked_mul(1_000_000)?.checked_add(us)?.checked_mul(1_000));
            all.push(Condition { clock: nanos.map(Timestamp::from_nanos), ..Condition::parse(address, &text) });
        }
        Ok(all)
    }
}

impl Condition {
    /// Reads the answer to `INFO`.
    fn parse(address: String, text: &str) -> Self {
        let said = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(|value| value.trim().to_owned())
        };
        let number = |name: &str| said(name)?.parse().ok();
        let is = |name: &str, well: &str| said(name).map(|value| value == well);
        Self {
            address,
            version: said("redis_version"),
            maxmemory_policy: said("maxmemory_policy"),
            maxmemory: number("maxmemory"),
            used_memory: number("used_memory"),
            evicted_keys: number("evicted_keys"),
            aof_enabled: is("aof_enabled", "1"),
            aof_is_well: is("aof_last_write_status", "ok"),
            rdb_is_well: is("rdb_last_bgsave_status", "ok"),
            clock: None,
        }
    }

    /// Whether it removes keys by itself when its memory is full.
    pub fn evicts(&self) -> bool {
        self.maxmemory_policy.as_deref().is_some_and(|policy| policy != "noeviction")
    }

    /// How much of the memory that it may take it takes, in percent; `None` where there is no limit.
    pub fn memory_percent(&self) -> Option<u64> {
        let limit = self.maxmemory.filter(|limit| *limit > 0)?;
        Some(self.used_memory?.saturating_mul(100) / limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read_by_whole_names() {
        let text = "# Memory\r\nused_memory_human:9M\r\nused_memory:900\r\nmaxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n\
                    aof_enabled:0\r\nrdb_last_bgsave_status:err\r\n";
        let found = Condition::parse("here".to_owned(), text);
        assert_eq!((found.memory_percent(), found.evicts()), (Some(90), true));
        assert_eq!((found.aof_enabled, found.aof_is_well, found.rdb_is_well), (Some(false), None, Some(false)));
        assert!(!Condition::parse("here".to_owned(), "").evicts());
    }
}
