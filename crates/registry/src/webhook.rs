//! Hooks: addresses on the web that are told what happens to models, each event at least once.
//!
//! The registry's log is the outbox (docs/decisions/0075): an event is due for a hook when it comes after the hook's cursor
//! and is of a topic that the hook asked for, so nothing is written beside the event itself. A hook is an operator's
//! setting and not history: it is a row of a [`WebhookStore`], a file beside the log or tables in its schema.
//!
//! What is due ([`message`]), when it is tried again ([`retry`]), what becomes of a row ([`Step`]) and where messages may go
//! ([`address`]) are pure. Who sends is not here: the registry knows no HTTP.

pub mod address;
mod error;
pub mod ids;
pub mod message;
pub mod retry;
mod secret;
mod step;
mod topic;

mod hooks;
mod postgres;
mod row;
mod sqlite;

#[cfg(any(test, feature = "testing"))]
pub mod conformance;

use std::fmt;

use async_trait::async_trait;

use crate::seq::Seq;

pub use address::{AddressError, AddressRules, Network};
pub use error::WebhookError;
pub use hooks::{Hooks, NewWebhook};
pub use message::{About, Message};
pub use postgres::PostgresWebhooks;
pub use secret::Secret;
pub use sqlite::SqliteWebhooks;
pub use step::{Lease, Settlement, Step, TopicsChange, WebhookChange};
pub use topic::Topic;

/// How many hooks a registry may have: every server looks at all of them several times a second.
pub const HOOKS_MAX: usize = 1_000;
/// How many deliveries of a hook are remembered.
pub const DELIVERIES_MAX: u32 = 200;

/// A hook, and how far it was served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// A UUID.
    pub id: String,
    /// For people; others may have it too.
    pub name: String,
    /// Where messages go.
    pub url: String,
    /// What it is told.
    pub topics: Vec<Subscription>,
    /// For people.
    pub description: Option<String>,
    /// Whether it is told anything.
    pub status: Status,
    /// What messages are signed with.
    pub secret: Option<Secret>,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When somebody changed it last.
    pub updated_ms: i64,
    /// The last event that it is done with.
    pub cursor: Seq,
    /// How often the event after it was tried.
    pub attempts: u32,
    /// When it is tried again, in milliseconds since the epoch; 0 for at once.
    pub next_attempt_ms: i64,
    /// Who serves it now.
    pub lease: Option<Lease>,
}

/// A topic, and since when it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: Topic,
    /// The last event before somebody asked for it.
    pub since: Seq,
}

/// Whether a hook is told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is.
    Active,
    /// It is not; what happens meanwhile it is not told later either.
    Disabled,
}

impl Status {
    /// As MLflow writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Disabled => "DISABLED",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Disabled].into_iter().find(|status| status.as_str() == word)
    }
}

/// What became of one message to one hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// A UUID, the same for each attempt: see [`ids::of_delivery`].
    pub id: String,
    /// The event.
    pub seq: Seq,
    /// What it was told as.
    pub topic: Topic,
    /// What became of it.
    pub outcome: Outcome,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was sent first, in milliseconds since the epoch.
    pub first_ms: i64,
    /// When it was sent last.
    pub last_ms: i64,
    /// The status of the last answer.
    pub response_status: Option<u16>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Delivered,
    /// It will be tried again.
    Retrying,
    /// The receiver does not take it, and said so.
    Refused,
    /// It was tried as often as things are tried.
    GaveUp,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Delivered, Self::Retrying, Self::Refused, Self::GaveUp];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retrying => "retrying",
            Self::Refused => "refused",
            Self::GaveUp => "gave_up",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

impl Webhook {
    /// Whether it is told of this topic, for an event at `seq`.
    pub fn wants(&self, topic: Topic, seq: Seq) -> bool {
        let asked = |one: &Subscription| one.topic == topic && seq > one.since;
        self.status == Status::Active && seq > self.cursor && self.topics.iter().any(asked)
    }
}

/// Where hooks are kept. Several processes may use one.
///
/// Each call is one transaction: done whole and on disk when it returns, or not at all. A call whose answer was lost may be
/// made again.
#[async_trait]
pub trait WebhookStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps a new hook; refuses the one after [`HOOKS_MAX`].
    async fn insert(&self, hook: &Webhook) -> Result<(), WebhookError>;
    /// A hook.
    async fn get(&self, id: &str) -> Result<Webhook, WebhookError>;
    /// All hooks, newest first.
    async fn all(&self) -> Result<Vec<Webhook>, WebhookError>;
    /// What the row becomes by [`Step::apply`], under a lock; `None` where the step does not apply any more. Nobody else's
    /// step is between reading the row and writing it.
    async fn step(&self, id: &str, step: &Step) -> Result<Option<Webhook>, WebhookError>;
    /// Takes a hook away with its deliveries.
    async fn delete(&self, id: &str) -> Result<(), WebhookError>;
    /// What became of the last messages, newest first.
    async fn deliveries(&self, id: &str, rows_max: u32) -> Result<Vec<Delivery>, WebhookError>;
}
