//! What becomes of a hook's row: changed by people, taken, held and settled by a server. Pure, so both stores do the same.

use super::{Delivery, Secret, Status, Subscription, Topic, Webhook, WebhookError, ids};
use crate::seq::Seq;

/// That one server serves a hook, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who, for people.
    pub holder: String,
    /// What tells this lease from every other.
    pub token: String,
    /// Until when, in milliseconds since the epoch. A server that was killed holds it no longer.
    pub until_ms: i64,
}

impl Lease {
    /// A lease that nobody has.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(holder: &str, until_ms: i64) -> Result<Self, WebhookError> {
        Ok(Self { holder: holder.to_owned(), token: ids::random()?, until_ms })
    }
}

/// What people change.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// Another name.
    pub name: Option<String>,
    /// Another address.
    pub url: Option<String>,
    /// Other topics.
    pub topics: Option<TopicsChange>,
    /// Another description; an empty one takes it away.
    pub description: Option<String>,
    /// Whether it is told anything.
    pub status: Option<Status>,
    /// Another secret; `Some(None)` takes it away.
    pub secret: Option<Option<Secret>>,
    /// The end of the log: what is new is told from here on.
    pub head: Seq,
    /// Now.
    pub now_ms: i64,
}

/// Other topics.
#[derive(Debug, Clone)]
pub struct TopicsChange {
    /// What it is told.
    pub wanted: Vec<Topic>,
    /// Whether topics that MLflow does not have stay as they are: its clients do not see them.
    pub of_mlflow: bool,
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The last event that the hook is done with.
    pub cursor: Seq,
    /// How often the one after it was tried.
    pub attempts: u32,
    /// When it is tried again.
    pub next_attempt_ms: i64,
    /// Until when the lease is held on; `None` gives it back.
    pub hold_until_ms: Option<i64>,
    /// To be remembered.
    pub deliveries: Vec<Delivery>,
}

/// One step of a row.
#[derive(Debug, Clone)]
pub enum Step {
    /// Somebody changes it.
    Change(Box<WebhookChange>),
    /// A server takes it, if nobody has it and something may be due.
    Claim {
        /// How it takes it.
        lease: Lease,
        /// Now.
        now_ms: i64,
    },
    /// A server holds it longer.
    Hold {
        /// Of its lease.
        token: String,
        /// Until when.
        until_ms: i64,
    },
    /// A server is done with an attempt.
    Settle {
        /// Of its lease.
        token: String,
        /// What came of it.
        settlement: Settlement,
    },
}

impl Step {
    /// The row after it; `None` where it does not apply: another has the lease, or nothing is due.
    pub fn apply(&self, hook: &Webhook) -> Option<Webhook> {
        let has = |token: &str| hook.lease.as_ref().is_some_and(|lease| lease.token == token);
        let mut next = hook.clone();
        match self {
            Self::Change(change) => change.apply(&mut next),
            Self::Claim { lease, now_ms } => {
                let taken = hook.lease.as_ref().is_some_and(|held| held.until_ms > *now_ms) && !has(&lease.token);
                if taken || hook.status != Status::Active || hook.next_attempt_ms > *now_ms {
                    return None;
                }
                next.lease = Some(lease.clone());
            }
            Self::Hold { token, until_ms } => {
                next.lease.as_mut().filter(|lease| lease.token == *token)?.until_ms = *until_ms;
            }
            Self::Settle { token, settlement } => {
                if !has(token) {
                    return None;
                }
                let Settlement { cursor, attempts, next_attempt_ms, hold_until_ms, deliveries: _ } = settlement;
                // Backwards never: what was done is done.
                next.cursor = hook.cursor.max(*cursor);
                (next.attempts, next.next_attempt_ms) = (*attempts, *next_attempt_ms);
                match (hold_until_ms, &mut next.lease) {
                    (Some(until_ms), Some(lease)) => lease.until_ms = *until_ms,
                    _ => next.lease = None,
                }
            }
        }
        Some(next)
    }

    /// What is to be remembered with it.
    pub(super) fn deliveries(&self) -> &[Delivery] {
        match self {
            Self::Settle { settlement, .. } => &settlement.deliveries,
            Self::Change(_) | Self::Claim { .. } | Self::Hold { .. } => &[],
        }
    }
}

impl WebhookChange {
    fn apply(&self, hook: &mut Webhook) {
        let Self { name, url, topics, description, status, secret, head, now_ms } = self;
        if let Some(name) = name {
            hook.name.clone_from(name);
        }
        if let Some(url) = url {
            hook.url.clone_from(url);
        }
        if let Some(description) = description {
            hook.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
        if let Some(secret) = secret {
            hook.secret.clone_from(secret);
        }
        if let Some(TopicsChange { wanted, of_mlflow }) = topics {
            let kept = |topic: Topic| wanted.contains(&topic) || (*of_mlflow && !topic.is_of_mlflow());
            hook.topics.retain(|one| kept(one.topic));
            for topic in wanted {
                if !hook.topics.iter().any(|one| one.topic == *topic) {
                    hook.topics.push(Subscription { topic: *topic, since: *head });
                }
            }
        }
        // Who changes a hook that fails wants to see at once whether it works now.
        (hook.attempts, hook.next_attempt_ms) = (0, 0);
        hook.updated_ms = *now_ms;
        match (hook.status, status) {
            (Status::Disabled, Some(Status::Active)) => {
                hook.status = Status::Active;
                // What happened meanwhile it is not told; who serves it still must not set that back.
                hook.cursor = hook.cursor.max(*head);
                hook.lease = None;
            }
            (_, Some(to)) => hook.status = *to,
            (_, None) => {}
        }
    }
}
