//! Which servers, how to log in, and how long to wait.

use std::path::PathBuf;
use std::time::Duration;

use schema::BoxError;

use super::address::{Login, RedisUrl};
use crate::online::OnlineError;

/// Longest wait for one round trip where none is configured.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// The Redis of a project. Prints without passwords.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// Where it is.
    pub servers: RedisServers,
    /// For the servers that hold data, where their URLs say nothing.
    pub login: Login,
    /// The database of the servers that hold data, where their URLs say nothing. A cluster has only 0.
    pub database: Option<i64>,
    /// Files for `rediss://`.
    pub tls: TlsFiles,
    /// Longest wait for one round trip, connecting and following redirections included.
    pub timeout: Duration,
    /// A write counts as done when so many replicas have it too. More lose less in a failover, and a server with fewer
    /// replicas takes no writes.
    pub replicas: u32,
}

/// How the servers stand to each other.
#[derive(Debug, Clone)]
pub enum RedisServers {
    /// One server.
    One(RedisUrl),
    /// A Redis Cluster; any of its nodes tells the rest.
    Cluster(Vec<RedisUrl>),
    /// A master and its replicas, watched by sentinels.
    Sentinel {
        /// The master's name at the sentinels.
        master: String,
        /// The sentinels.
        sentinels: Vec<RedisUrl>,
        /// For the sentinels, where their URLs say nothing.
        login: Login,
    },
}

/// PEM files for TLS.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Who may have signed the servers' certificates; without it, whom the operating system trusts.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl RedisConfig {
    /// One server, with nothing said but its URL.
    ///
    /// # Errors
    /// [`OnlineError::Address`].
    pub fn one(url: &str) -> Result<Self, OnlineError> {
        let url = url.parse().map_err(|source: BoxError| OnlineError::Address { source })?;
        Ok(Self::of(RedisServers::One(url)))
    }

    /// These servers, and defaults.
    pub fn of(servers: RedisServers) -> Self {
        let (login, tls) = (Login::default(), TlsFiles::default());
        Self { servers, login, database: None, tls, timeout: DEFAULT_TIMEOUT, replicas: 0 }
    }

    /// What contradicts itself, if anything does.
    ///
    /// # Errors
    /// [`OnlineError::Settings`].
    pub fn check(&self) -> Result<(), OnlineError> {
        let wrong = |problem: &str| Err(OnlineError::Settings { problem: problem.to_owned() });
        let urls = self.urls();
        let Some(first) = urls.first() else {
            return wrong("there is no URL");
        };
        if urls.iter().any(|url| url.tls != first.tls) {
            return wrong(
                "some URLs are `redis://` and some `rediss://`: either all connections are encrypted or none",
            );
        }
        if !first.tls && (self.tls.ca.is_some() || self.tls.identity.is_some()) {
            return wrong("`tls` is given, and the URL is `redis://`, which is not encrypted: write `rediss://`");
        }
        let logins: Vec<&Login> = urls.iter().map(|url| &url.login).filter(|login| !login.is_empty()).collect();
        if logins.iter().any(|login| *login != logins[0]) {
            return wrong("the URLs name different users or passwords");
        }
        let databases = urls.iter().filter_map(|url| url.database).chain(self.database);
        match self.servers {
            RedisServers::Cluster(_) if databases.into_iter().any(|database| database != 0) => {
                wrong("a cluster has only database 0")
            }
            RedisServers::Sentinel { .. } if urls.iter().any(|url| url.database.is_some()) => {
                wrong("a sentinel has no databases: name the master's beside the URLs, as `database`")
            }
            _ if self.timeout.is_zero() => wrong("`timeout` is zero: no call would be answered"),
            RedisServers::One(_) | RedisServers::Cluster(_) | RedisServers::Sentinel { .. } => Ok(()),
        }
    }

    /// The servers that are named; at least one, or [`Self::check`] fails.
    pub fn urls(&self) -> &[RedisUrl] {
        match &self.servers {
            RedisServers::One(url) => std::slice::from_ref(url),
            RedisServers::Cluster(urls) | RedisServers::Sentinel { sentinels: urls, .. } => urls,
        }
    }

    /// Of the URLs, else `beside` them.
    pub(super) fn login_of(urls: &[RedisUrl], beside: &Login) -> Login {
        let named = urls.iter().map(|url| &url.login).find(|login| !login.is_empty());
        named.unwrap_or(beside).clone()
    }
}
