//! The online store: it answers, lets us in, keeps what it is given, and has room.

use std::sync::Arc;

use featurestore::OnlineStore;
use featurestore::online::embedded::EmbeddedStore;
use featurestore::online::redis::{Condition, RedisStore};
use featurestore::online::{FeastRedis, OnlineError, RedisConfig};
use schema::Timestamp;

use super::finding::{Findings, Level};
use crate::config::{Config, OnlineConfig};

const CHECK: &str = "online store";
const FEAST: &str = "Feast's Redis";
/// Percent of the memory that a server may take.
const NEARLY_FULL: u64 = 90;

/// What the other checks need of it.
#[derive(Default)]
pub(super) struct Found {
    /// The store; `None` where it cannot be asked, or nothing was ever written to it.
    pub(super) store: Option<Arc<dyn OnlineStore>>,
    /// Whether it failed.
    pub(super) failed: bool,
    /// What its servers say that the time is.
    pub(super) clocks: Vec<(String, Timestamp)>,
}

/// Looks.
pub(super) async fn look(config: &Config, found: &mut Findings) -> Found {
    let online = match &config.online {
        OnlineConfig::Embedded { path } => {
            let about = path.display().to_string();
            // To open it would make it.
            if !path.is_dir() {
                found.add(Level::Ok, CHECK, about, "it is not there yet: nothing was brought online");
                Found::default()
            } else {
                match EmbeddedStore::open(path) {
                    Ok(store) => {
                        found.add(Level::Ok, CHECK, about, "it opens");
                        Found { store: Some(Arc::new(store)), ..Found::default() }
                    }
                    Err(why) => {
                        found.failed(CHECK, about, why);
                        Found { failed: true, ..Found::default() }
                    }
                }
            }
        }
        OnlineConfig::Redis(redis) => match servers(redis, &config.project, found).await {
            Ok((store, clocks)) => Found { store: Some(Arc::new(store)), failed: false, clocks },
            Err(why) => {
                found.failed(CHECK, addresses(redis), why);
                Found { failed: true, ..Found::default() }
            }
        },
    };
    if let Some(feast) = &config.feast {
        let asked = async { FeastRedis::new(&feast.redis, &feast.project)?.check().await };
        match asked.await {
            Ok(()) => found.add(Level::Ok, FEAST, addresses(&feast.redis), "it answers"),
            Err(why) => found.failed(FEAST, addresses(&feast.redis), why),
        }
    }
    online
}

fn addresses(redis: &RedisConfig) -> String {
    redis.urls().iter().map(|url| url.address().to_string()).collect::<Vec<_>>().join(", ")
}

async fn servers(
    redis: &RedisConfig,
    project: &str,
    found: &mut Findings,
) -> Result<(RedisStore, Vec<(String, Timestamp)>), OnlineError> {
    let store = RedisStore::open(redis, project).await?;
    let conditions = store.conditions().await?;
    for condition in &conditions {
        server(condition, found);
    }
    let clocks = conditions.into_iter().filter_map(|one| Some((one.address, one.clock?))).collect();
    Ok((store, clocks))
}

fn server(one: &Condition, found: &mut Findings) {
    let about = || one.address.clone();
    let Some(version) = &one.version else {
        let says = "it answers, and does not let this user ask how it is";
        found.advise(Level::Unknown, CHECK, about(), says, "ACL SETUSER the user with +info +time");
        return;
    };
    found.add(Level::Ok, CHECK, about(), format!("it answers: Redis {version}"));
    if one.evicts() {
        let policy = one.maxmemory_policy.as_deref().unwrap_or_default();
        let gone = one.evicted_keys.filter(|n| *n > 0).map(|n| format!("; {n} are gone already")).unwrap_or_default();
        let (level, when) = match one.maxmemory {
            Some(limit) if limit > 0 => (Level::Failed, "when its memory is full"),
            _ => (Level::Warning, "when its memory is full, once it has a `maxmemory`"),
        };
        let says = format!(
            "`maxmemory-policy {policy}`: {when} it removes keys, which then look like entities that nobody knows{gone}"
        );
        let todo = match gone.is_empty() {
            true => "CONFIG SET maxmemory-policy noeviction",
            false => "CONFIG SET maxmemory-policy noeviction, then plumb materialize --fresh",
        };
        found.advise(level, CHECK, about(), says, todo);
    }
    if let Some(percent) = one.memory_percent().filter(|percent| *percent >= NEARLY_FULL) {
        let says = format!("it takes {percent} % of its `maxmemory`; a full one takes no writes");
        found.advise(
            Level::Warning,
            CHECK,
            about(),
            says,
            "raise `maxmemory`, or remove view versions that nothing uses",
        );
    }
    if one.rdb_is_well == Some(false) || one.aof_is_well == Some(false) {
        let says = "it could not save its data the last time it tried; it may take no writes until it can";
        found.advise(
            Level::Failed,
            CHECK,
            about(),
            says,
            "see the server's log; free disk space, or turn its saving off",
        );
    }
}
