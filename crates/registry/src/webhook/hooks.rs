//! The rules of hooks: what they are called, where they point, what they are told.

use std::sync::Arc;

use schema::Timestamp;

use super::{
    AddressError, AddressRules, Delivery, Secret, Status, Step, Subscription, Topic, Webhook, WebhookChange,
    WebhookError, WebhookStore, ids,
};
use crate::seq::Seq;

/// Longest name, in characters: as a label of DNS.
const NAME_MAX: usize = 63;
/// Longest description and longest secret, in characters.
const TEXT_MAX: usize = 1_000;

/// A hook to be made.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// For people.
    pub name: String,
    /// Where messages go.
    pub url: String,
    /// What it is told.
    pub topics: Vec<Topic>,
    /// For people.
    pub description: Option<String>,
    /// Whether it is told anything.
    pub status: Status,
    /// What messages are signed with.
    pub secret: Option<Secret>,
}

/// All hooks of a registry.
#[derive(Debug, Clone)]
pub struct Hooks {
    store: Arc<dyn WebhookStore>,
    rules: AddressRules,
}

impl Hooks {
    /// Over a store.
    pub fn new(store: Arc<dyn WebhookStore>, rules: AddressRules) -> Self {
        Self { store, rules }
    }

    /// Where messages may go.
    pub fn rules(&self) -> &AddressRules {
        &self.rules
    }

    /// Where they are kept.
    pub fn store(&self) -> &dyn WebhookStore {
        &*self.store
    }

    /// Makes a hook that is told what comes after `head`. The addresses of its host are for the caller to check.
    ///
    /// # Errors
    /// Something of it is not allowed, there are too many, the store failed.
    pub async fn create(&self, new: NewWebhook, head: Seq, now: Timestamp) -> Result<Webhook, WebhookError> {
        let NewWebhook { name, url, topics, description, status, secret } = new;
        let change = WebhookChange {
            name: Some(name.clone()),
            url: Some(url.clone()),
            description: description.clone(),
            secret: Some(secret.clone()),
            ..WebhookChange::default()
        };
        self.check(&change)?;
        check_topics(&topics)?;
        let now_ms = now.as_nanos().div_euclid(1_000_000);
        let hook = Webhook {
            id: ids::random()?,
            name,
            url,
            topics: once_each(&topics).map(|topic| Subscription { topic, since: head }).collect(),
            description: description.filter(|text| !text.is_empty()),
            status,
            secret,
            created_ms: now_ms,
            updated_ms: now_ms,
            cursor: head,
            attempts: 0,
            next_attempt_ms: 0,
            lease: None,
        };
        self.store.insert(&hook).await?;
        Ok(hook)
    }

    /// Changes a hook. The addresses of another host are for the caller to check.
    ///
    /// # Errors
    /// There is none, something is not allowed, the store failed.
    pub async fn change(&self, id: &str, change: WebhookChange) -> Result<Webhook, WebhookError> {
        self.check(&change)?;
        if let Some(topics) = &change.topics {
            check_topics(&topics.wanted)?;
        }
        let changed = self.store.step(id, &Step::Change(Box::new(change))).await?;
        changed.ok_or_else(|| WebhookError::Unknown { id: id.to_owned() })
    }

    /// A hook.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn get(&self, id: &str) -> Result<Webhook, WebhookError> {
        self.store.get(id).await
    }

    /// All hooks, newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn all(&self) -> Result<Vec<Webhook>, WebhookError> {
        self.store.all().await
    }

    /// Takes a hook away.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn delete(&self, id: &str) -> Result<(), WebhookError> {
        self.store.delete(id).await
    }

    /// What became of the last messages to a hook, newest first.
    ///
    /// # Errors
    /// There is none, the store failed.
    pub async fn deliveries(&self, id: &str, rows_max: u32) -> Result<Vec<Delivery>, WebhookError> {
        self.store.get(id).await?;
        self.store.deliveries(id, rows_max).await
    }

    fn check(&self, change: &WebhookChange) -> Result<(), WebhookError> {
        if let Some(name) = &change.name {
            check_name(name)?;
        }
        if let Some(url) = &change.url {
            self.rules.check_url(url).map_err(|why| refused_url(&why))?;
        }
        check_text("description", change.description.as_deref())?;
        check_text("secret", change.secret.as_ref().and_then(Option::as_ref).map(Secret::stored))
    }
}

/// Why an address is refused, without repeating it: it may hold a password.
pub(super) fn refused_url(why: &AddressError) -> WebhookError {
    WebhookError::Invalid(format!("Invalid webhook URL: {why}"))
}

/// 1 to 63 letters, digits, `.`, `_` and `-`, a letter or digit at both ends.
fn check_name(name: &str) -> Result<(), WebhookError> {
    let bytes = name.as_bytes();
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let ends = [bytes.first(), bytes.last()].into_iter().flatten().all(u8::is_ascii_alphanumeric);
    if (1..=NAME_MAX).contains(&bytes.len()) && ends && bytes.iter().all(is_good) {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_MAX + 1).collect();
    Err(WebhookError::Invalid(format!(
        "Invalid webhook name '{}': it has 1 to {NAME_MAX} letters, digits, '.', '_' and '-', and a letter or digit at both ends",
        shown.escape_debug()
    )))
}

fn check_topics(topics: &[Topic]) -> Result<(), WebhookError> {
    if topics.is_empty() {
        return Err(WebhookError::Invalid("Webhook events cannot be empty".to_owned()));
    }
    Ok(())
}

fn check_text(what: &str, text: Option<&str>) -> Result<(), WebhookError> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > TEXT_MAX {
        return Err(WebhookError::Invalid(format!("the {what} of a webhook has at most {TEXT_MAX} characters")));
    }
    if text.contains('\0') {
        return Err(WebhookError::Invalid(format!("the {what} of a webhook has no character NUL")));
    }
    Ok(())
}

fn once_each(topics: &[Topic]) -> impl Iterator<Item = Topic> {
    topics.iter().enumerate().filter(|(i, topic)| !topics[..*i].contains(topic)).map(|(_, topic)| *topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_words() {
        for good in ["a", "7", "My-hook_1.2", "a..b", &"x".repeat(63)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", ".a", "a_", "a b", "a/b", "ä", "a\0b", "a\n", "\na", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn texts_have_limits() {
        assert!(check_text("description", Some(&"ü".repeat(TEXT_MAX))).is_ok());
        assert!(check_text("description", Some(&"ü".repeat(TEXT_MAX + 1))).is_err());
        assert!(check_text("description", Some("a\0b")).is_err());
        let why = check_text("secret", Some("canary\0")).unwrap_err().to_string();
        assert!(!why.contains("canary"), "{why}");
    }

    #[test]
    fn a_refused_address_is_not_repeated() {
        let why = AddressRules::default().check_url("https://user:canary@example.com/").unwrap_err();
        assert!(!refused_url(&why).to_string().contains("canary"));
    }
}
