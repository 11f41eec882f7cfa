//! What carries events to hooks while a server runs: looks what is due, takes a hook for a while, sends, and writes down what
//! came of it. Every rule is elsewhere and pure; here is the loop.
//!
//! Of several servers on one registry one serves a hook at a time: it has the hook's lease, which it holds while it sends
//! and which ends by itself when it is killed. What it sent and could not write down is sent again, under the same id.
//! The events of a hook are sent one after the other, in the order of the log; hooks do not wait for each other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use registry::webhook::retry::{Attempt, Next};
use registry::webhook::{
    About, Delivery, Hooks, Lease, Message, Outcome, Settlement, Status, Step, Webhook, WebhookError, ids, message,
};
use registry::{Event, Registry, Seq};
use schema::Timestamp;
use schema::error::chain;
use tokio::task::{Id, JoinSet};
use tracing::{debug, warn};

use super::now_ms;
use super::sender::{Parcel, Sender};

/// How often it is looked what is due.
const POLL: Duration = Duration::from_millis(200);
/// How long a hook of a server that was killed waits for another one.
const LEASE_MS: i64 = 10_000;
/// How often a lease is prolonged while a receiver takes its time.
const HOLD_EVERY: Duration = Duration::from_secs(3);
/// How many receivers are waited for at once; hooks beyond that wait for one of these.
const AT_ONCE: usize = 64;
/// How many events a hook is sent before others get its place.
const IN_A_ROW: usize = 50;
/// Events that are read at once.
const PAGE: usize = 256;

/// What carries events to hooks.
#[derive(Debug, Clone)]
pub struct Courier {
    registry: Arc<Registry>,
    hooks: Hooks,
    sender: Arc<Sender>,
    /// Who holds leases, for people.
    holder: String,
}

/// An event for a hook, and what it is told of it.
struct Due {
    seq: Seq,
    at: Timestamp,
    messages: Vec<Message>,
}

/// What the loop knows.
#[derive(Default)]
struct Round {
    tasks: JoinSet<Result<(), WebhookError>>,
    /// Hooks that are served here, by task.
    serving: HashMap<Id, String>,
    /// Up to where the log has nothing for a hook, beyond what its row says: no row is written for that.
    nothing_until: HashMap<String, Seq>,
    /// Whether the last look failed: it is said once.
    failing: bool,
}

impl Courier {
    /// What carries the events of this registry.
    pub fn new(registry: Arc<Registry>, hooks: Hooks, sender: Arc<Sender>) -> Self {
        Self { registry, hooks, sender, holder: format!("process {}", std::process::id()) }
    }

    /// Carries until it is dropped; what is under way then is sent again by the next server.
    pub async fn run(self) {
        let mut timer = tokio::time::interval(POLL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = Round::default();
        loop {
            timer.tick().await;
            while let Some(done) = round.tasks.try_join_next_with_id() {
                let id = match &done {
                    Ok((id, _)) => *id,
                    Err(why) => why.id(),
                };
                let hook = round.serving.remove(&id).unwrap_or_default();
                match done {
                    Ok((_, Ok(()))) => {}
                    Ok((_, Err(WebhookError::Unknown { .. }))) => debug!(webhook.id = hook, "a webhook was deleted"),
                    Ok((_, Err(why))) => warn!(webhook.id = hook, "serving a webhook: {}", chain(&why)),
                    Err(why) => tracing::error!(webhook.id = hook, "serving a webhook failed by a bug: {why}"),
                }
            }
            match self.look(&mut round).await {
                Ok(()) => round.failing = false,
                Err(why) if round.failing => debug!("looking for what webhooks are due: {}", chain(&why)),
                Err(why) => {
                    warn!("looking for what webhooks are due: {}; it is tried on", chain(&why));
                    round.failing = true;
                }
            }
        }
    }

    /// Starts to serve what is due, as far as there is room.
    async fn look(&self, round: &mut Round) -> Result<(), WebhookError> {
        let head = self.registry.catalog().seq();
        let hooks = self.hooks.all().await?;
        let known: HashSet<&str> = hooks.iter().map(|hook| hook.id.as_str()).collect();
        round.nothing_until.retain(|id, _| known.contains(id.as_str()));
        let now = now_ms();
        for hook in hooks.iter().rev() {
            let waits = hook.status == Status::Disabled || hook.next_attempt_ms > now;
            let held = hook.lease.as_ref().is_some_and(|lease| lease.until_ms > now);
            if waits || held || round.serving.values().any(|id| *id == hook.id) {
                continue;
            }
            let from = round.nothing_until.get(&hook.id).map_or(hook.cursor, |until| hook.cursor.max(*until));
            if from >= head {
                continue;
            }
            if self.due(hook, from, head).await?.is_none() {
                round.nothing_until.insert(hook.id.clone(), head);
                continue;
            }
            if round.tasks.len() >= AT_ONCE {
                return Ok(());
            }
            let (courier, id) = (self.clone(), hook.id.clone());
            let task = round.tasks.spawn(async move { courier.serve(&id).await });
            round.serving.insert(task.id(), hook.id.clone());
        }
        Ok(())
    }

    /// The first event after `from`, and not after `head`, that has something for a hook.
    async fn due(&self, hook: &Webhook, mut from: Seq, head: Seq) -> Result<Option<Due>, WebhookError> {
        while from < head {
            let page = self.registry.events_after(from, PAGE).await?;
            let Some(last) = page.last().map(|stored| stored.seq) else { return Ok(None) };
            let catalog = self.registry.catalog();
            for stored in page.iter().filter(|stored| stored.seq <= head) {
                let event: Event = stored.event().map_err(registry::StoreError::from)?;
                let mut messages = message::messages(&event, About::of(&event, &catalog));
                messages.retain(|message| hook.wants(message.topic, event.seq));
                if !messages.is_empty() {
                    return Ok(Some(Due { seq: event.seq, at: event.at, messages }));
                }
            }
            from = last;
        }
        Ok(None)
    }

    /// Takes a hook, if nobody else has it, and sends what is due for it, until something fails.
    async fn serve(&self, id: &str) -> Result<(), WebhookError> {
        let store = self.hooks.store();
        let now = now_ms();
        let lease = Lease::new(&self.holder, now + LEASE_MS)?;
        let token = lease.token.clone();
        let Some(mut hook) = store.step(id, &Step::Claim { lease, now_ms: now }).await? else { return Ok(()) };
        for _ in 0..IN_A_ROW {
            let head = self.registry.catalog().seq();
            let Some(due) = self.due(&hook, hook.cursor, head).await? else {
                let done = Settlement { hold_until_ms: None, ..at(hook.cursor.max(head)) };
                return self.settle(id, &token, done).await.map(drop);
            };
            let Some(settlement) = self.tell(&hook, &due, &token).await? else { return Ok(()) };
            match self.settle(id, &token, settlement).await? {
                Some(next) if next.lease.is_some() && next.status == Status::Active => hook = next,
                _ => return Ok(()),
            }
        }
        let done = Settlement { hold_until_ms: None, ..at(hook.cursor) };
        self.settle(id, &token, done).await.map(drop)
    }

    async fn settle(&self, id: &str, token: &str, settlement: Settlement) -> Result<Option<Webhook>, WebhookError> {
        let settled = self.hooks.store().step(id, &Step::Settle { token: token.to_owned(), settlement }).await?;
        if settled.is_none() {
            debug!(webhook.id = id, "another server serves this webhook now");
        }
        Ok(settled)
    }

    /// Sends the messages of one event in order; what is to be written down, or `None` if another server has the hook now.
    async fn tell(&self, hook: &Webhook, due: &Due, token: &str) -> Result<Option<Settlement>, WebhookError> {
        let attempts = hook.attempts.saturating_add(1);
        let mut deliveries = Vec::new();
        for message in &due.messages {
            let id = ids::of_delivery(&hook.id, due.seq, message.topic);
            let parcel = Parcel { id, topic: message.topic, body: message.body(due.at) };
            let first_ms = now_ms();
            let Some(attempt) = self.attempt(hook, &parcel, token).await? else { return Ok(None) };
            let next = attempt.next(attempts, chance()?);
            let (outcome, response_status, error) = match (attempt, next) {
                (Attempt::Taken { status }, _) => (Outcome::Delivered, Some(status), None),
                (Attempt::Refused { status, why }, _) => (Outcome::Refused, Some(status), Some(why)),
                (Attempt::Failed { status, why, .. }, Next::GaveUp) => (Outcome::GaveUp, status, Some(why)),
                (Attempt::Failed { status, why, .. }, _) => (Outcome::Retrying, status, Some(why)),
            };
            say(hook, due.seq, message, attempts, outcome, error.as_deref());
            let (seq, topic, last_ms) = (due.seq, message.topic, now_ms());
            let Parcel { id, .. } = parcel;
            deliveries.push(Delivery { id, seq, topic, outcome, attempts, first_ms, last_ms, response_status, error });
            if let Next::Again(pause) = next {
                let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
                return Ok(Some(Settlement {
                    cursor: hook.cursor,
                    attempts,
                    next_attempt_ms: now_ms().saturating_add(pause_ms),
                    hold_until_ms: None,
                    deliveries,
                }));
            }
        }
        Ok(Some(Settlement { deliveries, ..at(due.seq) }))
    }

    /// One request, with the hook held meanwhile; `None` if it was lost to another server.
    async fn attempt(&self, hook: &Webhook, parcel: &Parcel, token: &str) -> Result<Option<Attempt>, WebhookError> {
        let mut sending = std::pin::pin!(self.sender.send(hook, parcel));
        loop {
            tokio::select! {
                sent = &mut sending => return Ok(Some(match sent {
                    Ok(answer) => Attempt::of_status(answer.status, || answer.refusal(), answer.retry_after),
                    Err(why) => Attempt::Failed { status: None, why, retry_after: None },
                })),
                () = tokio::time::sleep(HOLD_EVERY) => {
                    let hold = Step::Hold { token: token.to_owned(), until_ms: now_ms() + LEASE_MS };
                    if self.hooks.store().step(&hook.id, &hold).await?.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// That a hook is done with everything up to a place, and held on.
fn at(cursor: Seq) -> Settlement {
    Settlement {
        cursor,
        attempts: 0,
        next_attempt_ms: 0,
        hold_until_ms: Some(now_ms() + LEASE_MS),
        deliveries: Vec::new(),
    }
}

fn say(hook: &Webhook, seq: Seq, message: &Message, attempts: u32, outcome: Outcome, error: Option<&str>) {
    let (id, name, topic, seq) = (hook.id.as_str(), hook.name.as_str(), message.topic, seq.0);
    let why = error.unwrap_or_default();
    match outcome {
        Outcome::Delivered => debug!(webhook.id = id, seq, attempts, "webhook `{name}` was told {topic}"),
        Outcome::Retrying if attempts > 1 => {
            debug!(webhook.id = id, seq, attempts, "webhook `{name}` was not told {topic}: {why}");
        }
        Outcome::Retrying => {
            warn!(webhook.id = id, seq, attempts, "webhook `{name}` was not told {topic}, and is tried on: {why}");
        }
        Outcome::Refused | Outcome::GaveUp => {
            warn!(webhook.id = id, seq, attempts, "webhook `{name}` is not told {topic}: {why}");
        }
    }
}

/// Any number.
fn chance() -> Result<u64, WebhookError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|why| WebhookError::Internal { doing: "asking the system for random numbers", source: why.into() })?;
    Ok(u64::from_le_bytes(bytes))
}
