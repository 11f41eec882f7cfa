//! Webhooks with what the registry does not know of them: HTTP, and names of hosts.
//!
//! [`Webhooks`] is what routes and commands ask; [`courier`] is what a server does all the time. Both send through one
//! [`sender`], which connects to no address that was not checked.

pub mod courier;
pub mod names;
pub mod sender;
pub mod shown;

use std::sync::Arc;

use registry::Registry;
use registry::webhook::{Delivery, Hooks, Message, NewWebhook, Topic, Webhook, WebhookChange, WebhookError, ids};
use schema::Clock;

use crate::failure::Failure;
use sender::{Answer, Parcel, Sender};

/// All hooks of a project.
#[derive(Debug, Clone)]
pub struct Webhooks {
    registry: Arc<Registry>,
    hooks: Hooks,
    sender: Arc<Sender>,
}

/// What came of trying a hook out.
#[derive(Debug, Clone)]
pub struct Tried {
    /// Whether the receiver took the message.
    pub success: bool,
    /// What it answered.
    pub answer: Option<Answer>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Webhooks {
    /// The hooks of a registry.
    pub fn new(registry: Arc<Registry>, hooks: Hooks, sender: Arc<Sender>) -> Self {
        Self { registry, hooks, sender }
    }

    /// Makes a hook. It is told what comes after what is known now.
    ///
    /// # Errors
    /// Something of it is not allowed, its host has no address or one that is refused, the store failed.
    pub async fn create(&self, new: NewWebhook) -> Result<Webhook, Failure> {
        self.sender.check(&new.url).await?;
        let head = self.registry.refresh().await?.seq();
        Ok(self.hooks.create(new, head, Clock::wall()).await?)
    }

    /// Changes a hook; of `change`, the place in the log and the time are set here.
    ///
    /// # Errors
    /// There is none, and as [`Self::create`].
    pub async fn change(&self, id: &str, change: WebhookChange) -> Result<Webhook, Failure> {
        self.hooks.get(id).await?;
        if let Some(url) = &change.url {
            self.sender.check(url).await?;
        }
        let head = self.registry.refresh().await?.seq();
        Ok(self.hooks.change(id, WebhookChange { head, now_ms: now_ms(), ..change }).await?)
    }

    /// A hook.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn get(&self, id: &str) -> Result<Webhook, WebhookError> {
        self.hooks.get(id).await
    }

    /// All hooks, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn all(&self) -> Result<Vec<Webhook>, WebhookError> {
        self.hooks.all().await
    }

    /// Takes a hook away.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn delete(&self, id: &str) -> Result<(), WebhookError> {
        self.hooks.delete(id).await
    }

    /// What became of the last messages to a hook, newest first.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn deliveries(&self, id: &str, rows_max: u32) -> Result<Vec<Delivery>, WebhookError> {
        self.hooks.deliveries(id, rows_max).await
    }

    /// Sends an example to a hook, once and now, whether it is active or not.
    ///
    /// # Errors
    /// There is no such hook, the store failed. That the receiver fails is an answer.
    pub async fn try_out(&self, id: &str, topic: Option<Topic>) -> Result<Tried, WebhookError> {
        let hook = self.hooks.get(id).await?;
        let first = hook.topics.first().map_or(Topic::VersionCreated, |one| one.topic);
        let message = Message::example(topic.unwrap_or(first));
        let body = message.body(Clock::wall());
        let parcel = Parcel { id: ids::random()?, topic: message.topic, body };
        Ok(match self.sender.send(&hook, &parcel).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                Tried { success: true, answer: Some(answer), error: None }
            }
            Ok(answer) => Tried { success: false, error: Some(answer.refusal()), answer: Some(answer) },
            Err(why) => Tried { success: false, answer: None, error: Some(why) },
        })
    }
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    Clock::wall().as_nanos().div_euclid(1_000_000)
}
