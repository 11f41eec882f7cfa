//! A Redis Cluster: requests go to the nodes that serve their slots, in parallel, and follow when slots move.
//!
//! The map of slots is asked for when there is none, after a redirection, and after a node was in trouble or silent;
//! callers who need a new one ask together. A request may thus be sent more than once, to more than one node: all that
//! is asked here may be done twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{StreamExt, future};
use redis::{Cmd, Pipeline, ServerErrorKind, Value};

use super::address::Address;
use super::failed::{CORRUPT, Deadline, Failed, Why};
use super::node::{Node, Purpose};
use super::patience::Patience;
use super::servers::Keyed;
use super::slot_map::{SlotMap, redirection};
use super::wire::Door;
use crate::online::Refusal;

/// Nodes that are asked for the map at once.
const ASKED_AT_ONCE: usize = 4;

/// The nodes of a cluster, and who serves what.
pub(super) struct Cluster {
    /// The nodes that were named; asked when no known one answers.
    seeds: Vec<Address>,
    door: Arc<Door>,
    replicas: u32,
    timeout: Duration,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    map: Mutex<Versioned>,
    /// Held while asking for the map.
    asking: tokio::sync::Mutex<()>,
    /// A node kept silent: the next request asks for the map first, since its slots may be elsewhere by now.
    doubtful: AtomicBool,
}

#[derive(Clone, Default)]
struct Versioned {
    /// Counts the maps, so that callers who saw the same old one ask for one new.
    number: u64,
    map: Option<Arc<SlotMap>>,
}

/// A command that has no reply yet.
struct Waiting {
    /// Its place in the batch.
    at: usize,
    slot: u16,
    command: Cmd,
    /// The node that an `ASK` sent it to, for this time only.
    asked: Option<Address>,
}

/// What one node is sent.
#[derive(Default)]
struct Share {
    commands: Pipeline,
    /// Place in the batch and slot of each command; `None` for an `ASKING` before one.
    places: Vec<Option<(usize, u16)>>,
}

/// What has to be sent again, and why.
#[derive(Default)]
struct Again {
    waiting: Vec<Waiting>,
    moved: Vec<(u16, Address)>,
    trouble: Option<Failed>,
    /// What no other try would change.
    refused: Option<Failed>,
    /// The last redirection, in case there are too many.
    redirected: Option<Failed>,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Address>, door: Arc<Door>, replicas: u32, timeout: Duration) -> Self {
        Self {
            seeds,
            door,
            replicas,
            timeout,
            nodes: Mutex::default(),
            map: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            doubtful: AtomicBool::new(false),
        }
    }

    /// Asks for the map.
    pub(super) async fn check(&self) -> Result<(), Failed> {
        self.fetch(self.current().number, None, Deadline::after(self.timeout)).await.map(|_| ())
    }

    pub(super) fn n_masters(&self) -> usize {
        self.current().map.map_or(1, |map| map.masters().len().max(1))
    }

    pub(super) fn addresses(&self) -> String {
        self.seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The masters as the map has them.
    pub(super) async fn masters(&self) -> Result<Vec<Address>, Failed> {
        let map = self.map(Deadline::after(self.timeout)).await?;
        Ok(map.map.map(|map| map.masters().to_vec()).unwrap_or_default())
    }

    /// One round trip to one node, for commands that are about no slot.
    pub(super) async fn ask_master(&self, master: &Address, commands: &Pipeline) -> Result<Vec<Value>, Failed> {
        self.node(master).ask_all(commands, Deadline::after(self.timeout)).await
    }

    /// The reply to each command, errors of single commands among them.
    pub(super) async fn ask(&self, purpose: Purpose, commands: Vec<Keyed>) -> Result<Vec<Value>, Failed> {
        let deadline = Deadline::after(self.timeout);
        let mut replies = vec![Value::Nil; commands.len()];
        let mut patience = Patience::default();
        let numbered = commands.into_iter().enumerate();
        let mut waiting: Vec<Waiting> =
            numbered.map(|(at, Keyed { slot, command })| Waiting { at, slot, command, asked: None }).collect();
        loop {
            let map = self.map(deadline).await?;
            let Again { waiting: left, moved, trouble, redirected, .. } =
                self.send(purpose, &map, waiting, &mut replies, deadline).await?;
            if left.is_empty() {
                return Ok(replies);
            }
            waiting = left;
            if let Some(trouble) = trouble {
                if !patience.troubled(deadline).await {
                    return Err(trouble);
                }
                self.learn(map.number, moved, deadline).await;
            } else {
                let follow = patience.redirected(deadline).await;
                if let (false, Some(failed)) = (follow, redirected) {
                    return Err(failed);
                }
                if !moved.is_empty() {
                    self.learn(map.number, moved, deadline).await;
                }
            }
        }
    }

    /// Sends each command to its node, all nodes at once, and sorts the replies.
    async fn send(
        &self,
        purpose: Purpose,
        map: &Versioned,
        waiting: Vec<Waiting>,
        replies: &mut [Value],
        deadline: Deadline,
    ) -> Result<Again, Failed> {
        let mut again = Again::default();
        let mut shares: HashMap<Address, Share> = HashMap::new();
        for one in waiting {
            let owner = map.map.as_ref().and_then(|map| map.owner(one.slot));
            let Some(address) = one.asked.as_ref().or(owner).cloned() else {
                let nobody = format!("nobody serves slot {}", one.slot);
                again.trouble = Some(Failed::refused(self.addresses(), Refusal::ClusterDown, nobody));
                again.waiting.push(one);
                continue;
            };
            let share = shares.entry(address).or_default();
            if one.asked.is_some() {
                share.commands.cmd("ASKING");
                share.places.push(None);
            }
            share.commands.add_command(one.command);
            share.places.push(Some((one.at, one.slot)));
        }
        let asks = shares.into_iter().map(|(address, share)| async move {
            let node = self.node(&address);
            let answer = node.ask(purpose, &share.commands, deadline).await;
            (address, share, answer)
        });
        for (address, share, answer) in future::join_all(asks).await {
            match answer {
                Ok(found) => again.sort(&address, share, found, replies),
                Err(failed) if failed.may_pass() => {
                    again.trouble = Some(failed);
                    again.put_back(share, |_| true);
                }
                Err(failed) => {
                    if matches!(failed.why, Why::Slow { .. }) {
                        self.doubtful.store(true, Ordering::Relaxed);
                    }
                    return Err(failed);
                }
            }
        }
        again.refused.take().map_or(Ok(again), Err)
    }

    /// The map, asked for if there is none or it is in doubt.
    async fn map(&self, deadline: Deadline) -> Result<Versioned, Failed> {
        let current = self.current();
        if current.map.is_none() {
            return self.fetch(current.number, None, deadline).await;
        }
        if self.doubtful.swap(false, Ordering::Relaxed) {
            // If nobody answers, the old one has to do.
            return Ok(self.fetch(current.number, None, deadline.part(2)).await.unwrap_or(current));
        }
        Ok(current)
    }

    /// Replaces the map that a request failed with. Where nobody tells a new one, what was said of single slots has to
    /// do; that is also newer than what other nodes say.
    async fn learn(&self, failed_with: u64, moved: Vec<(u16, Address)>, deadline: Deadline) {
        let told_by = moved.first().map(|(_, address)| address);
        // Its error is not the request's: that tries again first.
        let _ = self.fetch(failed_with, told_by, deadline.part(2)).await;
        if moved.is_empty() {
            return;
        }
        let mut current = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(map) = &current.map else { return };
        let mut map = SlotMap::clone(map);
        for (slot, owner) in moved {
            map.assign(slot, owner);
        }
        *current = Versioned { number: current.number + 1, map: Some(Arc::new(map)) };
    }

    /// A newer map than number `seen`, first from `told_by`.
    async fn fetch(&self, seen: u64, told_by: Option<&Address>, deadline: Deadline) -> Result<Versioned, Failed> {
        let _turn = deadline.turn(&self.asking, self.addresses()).await?;
        let current = self.current();
        if current.number > seen && current.map.is_some() {
            return Ok(current);
        }
        let mut candidates: Vec<Address> = Vec::new();
        let known = current.map.as_deref();
        let known = known.into_iter().flat_map(|map| map.masters().iter().chain(map.replicas()));
        for address in told_by.into_iter().chain(known).chain(&self.seeds) {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        let map = self.race(candidates, deadline).await?;
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|address, _| map.masters().contains(address));
        drop(nodes);
        let mut current = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Versioned { number: current.number + 1, map: Some(Arc::new(map)) };
        Ok(current.clone())
    }

    /// The first map from a node that thinks the cluster works; else the one with the most slots served.
    async fn race(&self, candidates: Vec<Address>, deadline: Deadline) -> Result<SlotMap, Failed> {
        // One that is silent must not use up the time of the others.
        let part = deadline.part(2);
        let mut left = candidates.into_iter();
        let mut asked: FuturesUnordered<_> =
            left.by_ref().take(ASKED_AT_ONCE).map(|address| self.ask_for_map(address, part)).collect();
        let (mut best, mut failed): (Option<SlotMap>, Option<Failed>) = (None, None);
        while let Some(answer) = asked.next().await {
            match answer {
                Ok((map, true)) => return Ok(map),
                Ok((map, false)) => {
                    if best.as_ref().is_none_or(|best| best.n_served() < map.n_served()) {
                        best = Some(map);
                    }
                }
                // A refusal says more than silence.
                Err(why) if matches!(why.why, Why::Refused(..)) => failed = Some(why),
                Err(why) => failed = failed.or(Some(why)),
            }
            asked.extend(left.next().map(|address| self.ask_for_map(address, part)));
        }
        best.ok_or_else(|| failed.unwrap_or_else(|| deadline.missed(self.addresses())))
    }

    /// A node's map, and whether it thinks that the cluster works.
    async fn ask_for_map(&self, address: Address, deadline: Deadline) -> Result<(SlotMap, bool), Failed> {
        let node = self.node(&address);
        let mut questions = Pipeline::with_capacity(2);
        questions.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("INFO");
        let replies = node.ask_all(&questions, deadline).await?;
        let [slots, info] = replies.as_slice() else {
            return Err(Failed::unexpected(&address, &Value::Array(replies)));
        };
        let map = SlotMap::parse(slots, &address).ok_or_else(|| Failed::unexpected(&address, slots))?;
        // One that may not be asked is taken at its word.
        let down = matches!(info, Value::BulkString(info) if !info.starts_with(b"cluster_state:ok"));
        Ok((map, !down))
    }

    fn node(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Node::new(address.clone(), &self.door, self.replicas));
        Arc::clone(nodes.entry(address.clone()).or_insert_with(new))
    }

    fn current(&self) -> Versioned {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Again {
    /// Keeps what is answered, and takes back what is not.
    fn sort(&mut self, address: &Address, share: Share, found: Vec<Value>, replies: &mut [Value]) {
        let mut asks: HashMap<usize, Address> = HashMap::new();
        let mut back = BTreeSet::new();
        for (place, reply) in share.places.iter().zip(found) {
            let Some((at, _)) = *place else { continue };
            let Value::ServerError(error) = &reply else {
                replies[at] = reply;
                continue;
            };
            let sent_on = redirection(error.details().unwrap_or_default(), address);
            match (error.kind(), sent_on) {
                (Some(ServerErrorKind::Moved), Some(to)) => self.moved.push(to),
                (Some(ServerErrorKind::Ask), Some((_, to))) => {
                    asks.insert(at, to);
                }
                (Some(ServerErrorKind::TryAgain), _) => {}
                _ => {
                    let failed = Failed::said(address, error);
                    if !failed.may_pass() {
                        if error.code() != CORRUPT {
                            self.refused = Some(failed);
                        }
                        replies[at] = reply;
                        continue;
                    }
                    self.trouble = Some(failed);
                    back.insert(at);
                    continue;
                }
            }
            self.redirected = Some(Failed::said(address, error));
            back.insert(at);
        }
        if back.is_empty() {
            return;
        }
        let first = self.waiting.len();
        self.put_back(share, |at| back.contains(&at));
        for one in &mut self.waiting[first..] {
            one.asked = asks.remove(&one.at);
        }
    }

    fn put_back(&mut self, share: Share, which: impl Fn(usize) -> bool) {
        let commands = share.commands.cmd_iter().zip(&share.places);
        let back = commands.filter_map(|(command, place)| place.map(|(at, slot)| (command, at, slot)));
        let back = back.filter(|(_, at, _)| which(*at));
        let waiting = back.map(|(command, at, slot)| Waiting { at, slot, command: command.clone(), asked: None });
        self.waiting.extend(waiting);
    }
}
