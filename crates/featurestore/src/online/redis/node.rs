//! One server that holds data: a connection for reads and one for writes, the merge script, and its replicas.
//!
//! Two connections, because a server answers a connection in order: a request of one key must not wait for a batch of
//! writes, nor for replicas.

use std::sync::Arc;

use redis::{Pipeline, Script, ServerErrorKind, Value};

use super::address::Address;
use super::failed::{Deadline, Failed};
use super::link::Link;
use super::wire::Door;
use crate::online::Refusal;

const MERGE: &str = include_str!("../merge.lua");

/// What a batch does; each has a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// One server that holds data.
pub(super) struct Node {
    reads: Link,
    writes: Link,
    /// So many must have a write before it counts.
    replicas: u32,
}

/// The merge script, by its name at servers that have loaded it.
pub(super) fn merge() -> Script {
    Script::new(MERGE)
}

impl Node {
    pub(super) fn new(address: Address, door: &Arc<Door>, replicas: u32) -> Self {
        let link = || Link::new(address.clone(), Arc::clone(door));
        Self { reads: link(), writes: link(), replicas }
    }

    pub(super) fn address(&self) -> &Address {
        self.reads.address()
    }

    /// One round trip: the reply to each command, errors of single commands among them. A server that does not know
    /// the merge script is told it, and asked again.
    pub(super) async fn ask(
        &self,
        purpose: Purpose,
        commands: &Pipeline,
        deadline: Deadline,
    ) -> Result<Vec<Value>, Failed> {
        let link = match purpose {
            Purpose::Read => return self.reads.ask(commands, deadline).await,
            Purpose::Write => &self.writes,
        };
        let n_commands = commands.len();
        let waiting;
        let commands = if self.replicas > 0 {
            // Early enough for a second time within the deadline: the answer says what is missing.
            let limit = (deadline.left() / 3).as_millis().max(1).to_string();
            let mut with_wait = commands.clone();
            with_wait.cmd("WAIT").arg(self.replicas).arg(limit);
            waiting = with_wait;
            &waiting
        } else {
            commands
        };
        let mut replies = link.ask(commands, deadline).await?;
        if replies.iter().any(is_no_script) {
            // A server that has just started, or whose scripts were flushed.
            link.ask_one(&["SCRIPT", "LOAD", MERGE], deadline).await?;
            replies = link.ask(commands, deadline).await?;
        }
        if replies.len() > n_commands
            && let Some(reply) = replies.pop()
        {
            self.check_replicas(&reply)?;
        }
        Ok(replies)
    }

    /// Connects anew with the next call: the address may lead to another server by now.
    pub(super) fn renew(&self) {
        self.reads.renew();
        self.writes.renew();
    }

    /// One command on the connection for reads.
    pub(super) async fn ask_one(&self, words: &[&str], deadline: Deadline) -> Result<Value, Failed> {
        self.reads.ask_one(words, deadline).await
    }

    /// Several commands on the connection for reads.
    pub(super) async fn ask_all(&self, commands: &Pipeline, deadline: Deadline) -> Result<Vec<Value>, Failed> {
        self.reads.ask(commands, deadline).await
    }

    fn check_replicas(&self, reply: &Value) -> Result<(), Failed> {
        match reply {
            Value::Int(found) if *found >= i64::from(self.replicas) => Ok(()),
            Value::Int(found) => {
                let why = format!("{found} of {} replicas have it", self.replicas);
                Err(Failed::refused(self.address(), Refusal::NotReplicated, why))
            }
            other => Err(Failed::unexpected(self.address(), other)),
        }
    }
}

fn is_no_script(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}
