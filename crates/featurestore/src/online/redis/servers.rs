//! One server, a cluster, or a master that sentinels name: whichever it is, a batch goes in and its replies come out.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

use super::address::{Address, Login};
use super::cluster::Cluster;
use super::config::{RedisConfig, RedisServers};
use super::failed::{Deadline, Failed, Why};
use super::node::{Node, Purpose};
use super::patience::Patience;
use super::scan::Scan;
use super::sentinel::Sentinels;
use super::slot::slot_of;
use super::tls;
use super::wire::Door;
use crate::online::{OnlineError, Refusal};

/// A command about one key. It may be done twice.
pub(super) struct Keyed {
    /// The key's slot; zero where nobody asks for it.
    pub(super) slot: u16,
    pub(super) command: Cmd,
}

/// Where the data is.
pub(super) enum Servers {
    One { node: Box<Node>, timeout: Duration },
    Cluster(Box<Cluster>),
    Sentinels(Box<Sentinels>),
}

impl Servers {
    /// Reads the files that the configuration names; connects to nothing.
    pub(super) fn new(config: &RedisConfig) -> Result<Self, OnlineError> {
        config.check()?;
        let urls = config.urls();
        let tls = if urls.iter().any(|url| url.tls) { Some(tls::client(&config.tls)?) } else { None };
        let resp3 = urls.iter().any(|url| url.resp3);
        let addresses = urls.iter().map(|url| url.address.clone()).collect();
        let door = |login: &Login, database: i64| {
            Arc::new(Door { settings: login.settings(database, resp3), tls: tls.clone() })
        };
        let (timeout, replicas) = (config.timeout, config.replicas);
        let beside = config.database.unwrap_or(0);
        Ok(match &config.servers {
            RedisServers::One(url) => {
                let login = RedisConfig::login_of(urls, &config.login);
                let door = door(&login, url.database.unwrap_or(beside));
                Self::One { node: Box::new(Node::new(url.address.clone(), &door, replicas)), timeout }
            }
            RedisServers::Cluster(_) => {
                let door = door(&RedisConfig::login_of(urls, &config.login), 0);
                Self::Cluster(Box::new(Cluster::new(addresses, door, replicas, timeout)))
            }
            RedisServers::Sentinel { master, login, .. } => {
                let watch = door(&RedisConfig::login_of(urls, login), 0);
                let data = door(&config.login, beside);
                Self::Sentinels(Box::new(Sentinels::new(master, addresses, &watch, data, replicas, timeout)))
            }
        })
    }

    /// Finds the servers and sees that they answer.
    pub(super) async fn check(&self) -> Result<(), Failed> {
        match self {
            Self::One { node, timeout } => node.ask_one(&["PING"], Deadline::after(*timeout)).await.map(|_| ()),
            Self::Cluster(cluster) => cluster.check().await,
            Self::Sentinels(sentinels) => sentinels.check().await,
        }
    }

    /// One round trip: the reply to each command, errors of single commands among them.
    pub(super) async fn ask(&self, purpose: Purpose, commands: Vec<Keyed>) -> Result<Vec<Value>, Failed> {
        match self {
            Self::One { node, timeout } => {
                let (commands, deadline) = (pipeline(commands), Deadline::after(*timeout));
                let mut patience = Patience::default();
                loop {
                    let answer = node.ask(purpose, &commands, deadline).await;
                    let answer =
                        answer.and_then(|replies| Failed::in_replies(node.address(), &replies).map(|()| replies));
                    match answer {
                        Err(failed) if failed.may_pass_here() => {
                            if !patience.troubled(deadline).await {
                                return Err(failed);
                            }
                            if matches!(failed.why, Why::Refused(Refusal::ReadOnly, _)) {
                                // The name may stand for another server since a failover.
                                node.renew();
                            }
                        }
                        other => return other,
                    }
                }
            }
            Self::Cluster(cluster) => cluster.ask(purpose, commands).await,
            Self::Sentinels(sentinels) => sentinels.ask(purpose, pipeline(commands)).await,
        }
    }

    /// A walk over all keys that start with `prefix`.
    pub(super) async fn scan(&self, prefix: &[u8]) -> Result<Scan<'_>, Failed> {
        Ok(Scan::new(self, prefix, self.masters().await?))
    }

    /// Who holds data, for [`Self::ask_server`]: `None` for the only one.
    pub(super) async fn masters(&self) -> Result<Vec<Option<Address>>, Failed> {
        Ok(match self {
            Self::One { .. } | Self::Sentinels(_) => vec![None],
            Self::Cluster(cluster) => cluster.masters().await?.into_iter().map(Some).collect(),
        })
    }

    /// One round trip to one server: a master of the cluster, or the only one.
    pub(super) async fn ask_server(&self, server: Option<&Address>, commands: Pipeline) -> Result<Vec<Value>, Failed> {
        match (self, server) {
            (Self::Cluster(cluster), Some(server)) => cluster.ask_master(server, &commands).await,
            (Self::One { node, timeout }, _) => node.ask_all(&commands, Deadline::after(*timeout)).await,
            (Self::Sentinels(sentinels), _) => sentinels.ask(Purpose::Read, commands).await,
            (Self::Cluster(cluster), None) => {
                let nobody = "a cluster has no server for everything";
                Err(Failed::refused(cluster.addresses(), Refusal::ClusterDown, nobody))
            }
        }
    }

    /// What one server replies to a command that is about no key.
    pub(super) async fn ask_any(&self, words: &[&str]) -> Result<Value, Failed> {
        let mut command = Pipeline::with_capacity(1);
        if let Some((name, arguments)) = words.split_first() {
            command.cmd(name).arg(arguments);
        }
        let server = match self {
            Self::One { .. } | Self::Sentinels(_) => None,
            Self::Cluster(cluster) => cluster.masters().await?.into_iter().next(),
        };
        Ok(self.ask_server(server.as_ref(), command).await?.pop().unwrap_or_default())
    }

    /// The slot of a key, where it matters.
    pub(super) fn slot_of(&self, key: &[u8]) -> u16 {
        match self {
            Self::Cluster(_) => slot_of(key),
            Self::One { .. } | Self::Sentinels(_) => 0,
        }
    }

    /// Whether keys have slots: then one command is about the keys of one slot.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Servers that work at the same time.
    pub(super) fn n_masters(&self) -> usize {
        match self {
            Self::Cluster(cluster) => cluster.n_masters(),
            Self::One { .. } | Self::Sentinels(_) => 1,
        }
    }

    /// For messages about the whole.
    pub(super) fn address(&self) -> String {
        match self {
            Self::One { node, .. } => node.address().to_string(),
            Self::Cluster(cluster) => cluster.addresses(),
            Self::Sentinels(sentinels) => sentinels.addresses(),
        }
    }
}

fn pipeline(commands: Vec<Keyed>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for keyed in commands {
        pipeline.add_command(keyed.command);
    }
    pipeline
}
