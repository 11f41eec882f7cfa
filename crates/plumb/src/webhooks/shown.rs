//! Hooks as our own API and the command line show them. The secret is not among what is shown.

use registry::webhook::{Delivery, Status, Topic, Webhook};
use schema::Timestamp;
use schema::yaml::suggest;
use serde_json::{Value, json};

use super::Tried;
use crate::failure::Failure;

/// A hook.
pub fn hook(of: &Webhook) -> Value {
    let topics: Vec<String> = of.topics.iter().map(|one| one.topic.to_string()).collect();
    let waits = (of.attempts > 0).then(|| time(of.next_attempt_ms));
    json!({
        "id": of.id, "name": of.name, "url": of.url, "topics": topics, "description": of.description,
        "enabled": of.status == Status::Active, "signed": of.secret.is_some(), "created_at": time(of.created_ms),
        "updated_at": time(of.updated_ms), "done_to_event": of.cursor, "failed_attempts": of.attempts,
        "next_attempt_at": waits,
    })
}

/// What became of a message.
pub fn delivery(of: &Delivery) -> Value {
    json!({
        "id": of.id, "event": of.seq, "topic": of.topic.to_string(), "outcome": of.outcome.as_str(),
        "attempts": of.attempts, "first_at": time(of.first_ms), "last_at": time(of.last_ms),
        "response_status": of.response_status, "error": of.error,
    })
}

/// What came of trying a hook out.
pub fn tried(of: &Tried) -> Value {
    json!({
        "success": of.success, "response_status": of.answer.as_ref().map(|answer| answer.status),
        "response_body": of.answer.as_ref().map(|answer| answer.body.as_str()), "error": of.error,
    })
}

/// The topic of a name.
///
/// # Errors
/// There is none.
pub fn topic(name: &str) -> Result<Topic, Failure> {
    Topic::parse(name).ok_or_else(|| {
        let names: Vec<String> = Topic::all().map(|topic| topic.to_string()).collect();
        let shown: String = name.chars().take(80).collect();
        Failure::invalid(format!("there is no topic `{shown}`")).hint(suggest(name, names.iter().map(String::as_str)))
    })
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_nanos(ms.saturating_mul(1_000_000))
}
