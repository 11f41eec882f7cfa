//! A master and its replicas, watched by sentinels: the sentinels are asked who the master is, again whenever it fails,
//! falls silent or turns out to be one no more, and once a second besides: a master that lost its replicas and sentinels
//! but not us would go on taking writes that are lost when it comes back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::{Pipeline, Value};
use tokio::task::JoinSet;

use super::address::Address;
use super::failed::{Deadline, Failed, Why};
use super::link::Link;
use super::node::{Node, Purpose};
use super::patience::Patience;
use super::wire::Door;
use crate::online::Refusal;

/// How often the sentinels are asked while all is well.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A master by its name at the sentinels.
pub(super) struct Sentinels {
    shared: Arc<Shared>,
    /// Asks while all is well; ends with the store.
    _watch: JoinSet<()>,
}

struct Shared {
    name: String,
    sentinels: Vec<Link>,
    door: Arc<Door>,
    replicas: u32,
    timeout: Duration,
    master: Mutex<Master>,
    /// Held while looking, so that callers who find no master look together.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Master {
    node: Option<Arc<Node>>,
    /// Counts masters, so that a failure lets go of the one it happened on.
    number: u64,
}

impl Sentinels {
    pub(super) fn new(
        name: &str,
        sentinels: Vec<Address>,
        watch: &Arc<Door>,
        door: Arc<Door>,
        replicas: u32,
        timeout: Duration,
    ) -> Self {
        let sentinels = sentinels.into_iter().map(|address| Link::new(address, Arc::clone(watch))).collect();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            sentinels,
            door,
            replicas,
            timeout,
            master: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        });
        let mut watch = JoinSet::new();
        let watched = Arc::clone(&shared);
        watch.spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                watched.look_again().await;
            }
        });
        Self { shared, _watch: watch }
    }

    /// Finds the master, and sees that it answers.
    pub(super) async fn check(&self) -> Result<(), Failed> {
        let deadline = Deadline::after(self.shared.timeout);
        let mut patience = Patience::default();
        loop {
            match self.shared.ping(deadline).await {
                Err(failed) if failed.may_pass() && patience.troubled(deadline).await => {}
                other => return other,
            }
        }
    }

    pub(super) fn addresses(&self) -> String {
        self.shared.addresses()
    }

    /// The reply to each command, of the present master.
    pub(super) async fn ask(&self, purpose: Purpose, commands: Pipeline) -> Result<Vec<Value>, Failed> {
        let deadline = Deadline::after(self.shared.timeout);
        let mut patience = Patience::default();
        loop {
            let failed = match self.shared.ask(purpose, &commands, deadline).await {
                Ok(replies) => return Ok(replies),
                Err(failed) => failed,
            };
            if !(failed.may_pass() || failed.may_pass_here()) || !patience.troubled(deadline).await {
                return Err(failed);
            }
        }
    }
}

impl Shared {
    async fn ping(&self, deadline: Deadline) -> Result<(), Failed> {
        let (number, node) = self.master(deadline).await?;
        let answer = node.ask_one(&["PING"], deadline).await;
        if let Err(failed) = &answer
            && (failed.may_pass() || matches!(failed.why, Why::Slow { .. }))
        {
            self.let_go(number);
        }
        answer.map(|_| ())
    }

    async fn ask(&self, purpose: Purpose, commands: &Pipeline, deadline: Deadline) -> Result<Vec<Value>, Failed> {
        let (number, node) = self.master(deadline).await?;
        let answer = node.ask(purpose, commands, deadline).await;
        let answer = answer.and_then(|replies| Failed::in_replies(node.address(), &replies).map(|()| replies));
        if let Err(failed) = &answer
            && (failed.may_pass() || matches!(failed.why, Why::Slow { .. }))
        {
            self.let_go(number);
        }
        answer
    }

    async fn master(&self, deadline: Deadline) -> Result<(u64, Arc<Node>), Failed> {
        if let Some(found) = self.current() {
            return Ok(found);
        }
        let _turn = deadline.turn(&self.looking, self.addresses()).await?;
        if let Some(found) = self.current() {
            return Ok(found);
        }
        let address = self.look(deadline).await?;
        let node = Arc::new(Node::new(address, &self.door, self.replicas));
        self.check_role(&node, deadline).await?;
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        master.number += 1;
        master.node = Some(Arc::clone(&node));
        Ok((master.number, node))
    }

    /// Sentinels learn of a failover one after the other, and a server that was master yesterday says so itself.
    async fn check_role(&self, node: &Node, deadline: Deadline) -> Result<(), Failed> {
        let reply = node.ask_one(&["ROLE"], deadline).await?;
        let Value::Array(words) = &reply else {
            return Err(Failed::unexpected(node.address(), &reply));
        };
        match words.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(()),
            _ => {
                let why = format!("the sentinels name it as the master `{}`", self.name);
                Err(Failed::refused(node.address(), Refusal::ReadOnly, why))
            }
        }
    }

    /// Who the master is: what the sentinel with the newest configuration says, of a majority or of all that answer.
    async fn look(&self, deadline: Deadline) -> Result<Address, Failed> {
        let part = deadline.part(3);
        let mut asked: FuturesUnordered<_> =
            self.sentinels.iter().map(|sentinel| self.ask_sentinel(sentinel, part)).collect();
        let enough = self.sentinels.len() / 2 + 1;
        let mut newest: Option<(u64, Address)> = None;
        let mut failed = None;
        let mut n_answers = 0;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(found) => {
                    n_answers += 1;
                    if newest.as_ref().is_none_or(|newest| newest.0 < found.0) {
                        newest = Some(found);
                    }
                }
                Err(why) if matches!(why.why, Why::Refused(..)) => failed = Some(why),
                Err(why) => failed = failed.or(Some(why)),
            }
            if n_answers == enough {
                break;
            }
        }
        let address = newest.map(|(_, address)| address);
        address.ok_or_else(|| failed.unwrap_or_else(|| deadline.missed(self.addresses())))
    }

    /// What one sentinel knows: the number of its configuration, which every failover raises, and the master's address.
    async fn ask_sentinel(&self, sentinel: &Link, deadline: Deadline) -> Result<(u64, Address), Failed> {
        let said = |why: String| Failed::refused(sentinel.address(), Refusal::NoMaster, why);
        let reply = match sentinel.ask_one(&["SENTINEL", "MASTER", &self.name], deadline).await {
            Err(Failed { why: Why::Said(why), .. }) => return Err(said(why.to_string())),
            other => other?,
        };
        let facts = facts(&reply).ok_or_else(|| Failed::unexpected(sentinel.address(), &reply))?;
        let fact = |name: &str| facts.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let address = (|| Some(Address::Tcp(fact("ip")?.to_owned(), fact("port")?.parse().ok()?)))();
        let address = address.ok_or_else(|| said("it does not say where the master is".to_owned()))?;
        let epoch = fact("config-epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        Ok((epoch, address))
    }

    /// Lets go of a master that the sentinels no longer name.
    async fn look_again(&self) {
        let Some((number, node)) = self.current() else { return };
        if let Ok(address) = self.look(Deadline::after(self.timeout)).await
            && address != *node.address()
        {
            self.let_go(number);
        }
    }

    fn current(&self) -> Option<(u64, Arc<Node>)> {
        let master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        master.node.as_ref().map(|node| (master.number, Arc::clone(node)))
    }

    fn let_go(&self, number: u64) {
        let mut master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        if master.number == number {
            master.node = None;
        }
    }

    fn addresses(&self) -> String {
        self.sentinels.iter().map(|sentinel| sentinel.address().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// Names and values, one after the other in RESP2, a map in RESP3.
fn facts(reply: &Value) -> Option<Vec<(&str, &str)>> {
    match reply {
        Value::Array(words) => {
            words.as_chunks().0.iter().map(|[name, value]| Some((text_of(name)?, text_of(value)?))).collect()
        }
        Value::Map(pairs) => pairs.iter().map(|(name, value)| Some((text_of(name)?, text_of(value)?))).collect(),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
