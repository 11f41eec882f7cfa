//! `webhooks…`: hooks as MLflow's clients make and read them.
//!
//! A client fails at a name that it does not know, so topics of ours are not shown here, and hooks that have no others are not
//! there. See `http/native/webhooks.rs` for all of them.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use registry::webhook::{NewWebhook, Secret, Status, Topic, TopicsChange, Webhook, WebhookChange, WebhookError};
use serde_json::{Value, json};

use super::wire;
use super::{Fields, Named, Refusal, Sent};
use crate::webhooks::{Tried, Webhooks};

type Answer = Result<Json<Value>, Refusal>;
type This = State<Arc<Webhooks>>;

/// How many hooks a page has, where nobody says, and at most.
const PAGE: i64 = 100;
const PAGE_MAX: i64 = 1_000;

/// The routes.
pub(super) fn router(webhooks: Arc<Webhooks>) -> Router {
    const AT: &str = "/2.0/mlflow/webhooks";
    Router::new()
        .route(AT, get(list).post(create))
        .route(&format!("{AT}/{{id}}"), get(by_id).patch(update).delete(remove))
        .route(&format!("{AT}/{{id}}/test"), post(try_out))
        .with_state(webhooks)
}

async fn create(State(this): This, Sent(fields): Sent) -> Answer {
    let name = fields.required("name")?.to_owned();
    let url = fields.required("url")?.to_owned();
    if !fields.has("events") {
        return Err(fields.missing("events"));
    }
    let new = NewWebhook {
        name,
        url,
        topics: topics(&fields)?,
        description: fields.text("description")?.map(ToOwned::to_owned),
        status: status(&fields)?.unwrap_or(Status::Active),
        secret: fields.text("secret")?.and_then(Secret::new),
    };
    answer(&this.create(new).await?)
}

async fn list(State(this): This, Sent(fields): Sent) -> Answer {
    let n = fields.int("max_results")?.filter(|n| *n != 0).unwrap_or(PAGE);
    let Some(n) = usize::try_from(n).ok().filter(|_| (1..=PAGE_MAX).contains(&n)) else {
        return Err(Refusal::invalid(format!("max_results must be between 1 and {PAGE_MAX}, got {n}")));
    };
    let after = fields.text("page_token")?.filter(|text| !text.is_empty()).map(Place::parse).transpose()?;
    let mut places: Vec<(Place, Value)> =
        this.all().await?.iter().filter_map(|hook| Some((Place::of(hook), entity(hook)?))).collect();
    places.sort_by(|a, b| a.0.cmp(&b.0));
    places.retain(|(place, _)| after.as_ref().is_none_or(|after| place > after));
    let next = (places.len() > n).then(|| places[n - 1].0.to_text());
    places.truncate(n);
    Ok(Json(wire::page("webhooks", places.into_iter().map(|(_, hook)| hook).collect(), next)))
}

async fn by_id(State(this): This, Named(id): Named<String>) -> Answer {
    answer(&visible(&this, &id).await?)
}

async fn update(State(this): This, Named(id): Named<String>, Sent(fields): Sent) -> Answer {
    visible(&this, &id).await?;
    let filled = |name: &str| -> Result<Option<String>, Refusal> {
        Ok(fields.text(name)?.filter(|text| !text.is_empty()).map(ToOwned::to_owned))
    };
    let wanted = topics(&fields)?;
    let change = WebhookChange {
        name: filled("name")?,
        url: filled("url")?,
        topics: (!wanted.is_empty()).then_some(TopicsChange { wanted, of_mlflow: true }),
        description: fields.text("description")?.map(ToOwned::to_owned),
        status: status(&fields)?,
        secret: fields.text("secret")?.map(Secret::new),
        ..WebhookChange::default()
    };
    answer(&this.change(&id, change).await?)
}

async fn remove(State(this): This, Named(id): Named<String>) -> Answer {
    visible(&this, &id).await?;
    this.delete(&id).await?;
    Ok(Json(json!({})))
}

async fn try_out(State(this): This, Named(id): Named<String>, Sent(fields): Sent) -> Answer {
    let hook = visible(&this, &id).await?;
    let asked = fields.object("event")?.map(|event| topic(&event)).transpose()?;
    let first = hook.topics.iter().map(|one| one.topic).find(|topic| topic.is_of_mlflow());
    let Tried { success, answer, error } = this.try_out(&id, asked.or(first)).await?;
    let mut result = json!({ "success": success });
    if let Some(answer) = answer {
        result["response_status"] = answer.status.into();
        result["response_body"] = answer.body.into();
    }
    if let Some(error) = error {
        result["error_message"] = error.into();
    }
    Ok(Json(json!({ "result": result })))
}

/// A hook that clients of MLflow see.
async fn visible(this: &Webhooks, id: &str) -> Result<Webhook, Refusal> {
    let hook = this.get(id).await?;
    if hook.topics.iter().any(|one| one.topic.is_of_mlflow()) {
        return Ok(hook);
    }
    Err(WebhookError::Unknown { id: hook.id }.into())
}

fn answer(hook: &Webhook) -> Answer {
    Ok(Json(json!({ "webhook": entity(hook) })))
}

/// As clients read it; `None` where there is nothing of it that they know.
fn entity(hook: &Webhook) -> Option<Value> {
    let known = hook.topics.iter().map(|one| one.topic).filter(|topic| topic.is_of_mlflow());
    let event = |topic: Topic| json!({ "entity": topic.entity().to_ascii_uppercase(), "action": topic.action().to_ascii_uppercase() });
    let events: Vec<Value> = known.map(event).collect();
    if events.is_empty() {
        return None;
    }
    let mut json = json!({
        "webhook_id": hook.id, "name": hook.name, "url": hook.url, "events": events, "status": hook.status.as_str(),
        "creation_timestamp": hook.created_ms, "last_updated_timestamp": hook.updated_ms,
    });
    if let Some(description) = &hook.description {
        json["description"] = description.as_str().into();
    }
    Some(json)
}

fn status(fields: &Fields) -> Result<Option<Status>, Refusal> {
    let Some(said) = fields.text("status")?.filter(|said| !said.is_empty()) else { return Ok(None) };
    let shown: String = said.chars().take(80).collect();
    let wrong = || Refusal::invalid(format!("Invalid webhook status '{shown}': it is ACTIVE or DISABLED"));
    Status::parse(said).map(Some).ok_or_else(wrong)
}

fn topics(fields: &Fields) -> Result<Vec<Topic>, Refusal> {
    fields.objects("events")?.iter().map(topic).collect()
}

/// `{entity, action}`, in capitals.
fn topic(fields: &Fields) -> Result<Topic, Refusal> {
    let (entity, action) = (fields.required("entity")?, fields.required("action")?);
    let is_loud = !(entity.to_owned() + action).contains(|c: char| c.is_ascii_lowercase());
    let found = Topic::of(&entity.to_ascii_lowercase(), &action.to_ascii_lowercase());
    found.filter(|topic| is_loud && topic.is_of_mlflow()).ok_or_else(|| {
        let shown = |text: &str| text.chars().take(80).collect::<String>();
        Refusal::invalid(format!(
            "Invalid action '{}' for entity '{}' of a webhook event",
            shown(action),
            shown(entity)
        ))
    })
}

/// The place of a hook in the list, newest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place(Reverse<i64>, String);

impl Place {
    fn of(hook: &Webhook) -> Self {
        Self(Reverse(hook.created_ms), hook.id.clone())
    }

    fn to_text(&self) -> String {
        let Self(Reverse(created_ms), id) = self;
        format!("{created_ms}.{id}")
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let parts = text.split_once('.').and_then(|(created, id)| Some((created.parse().ok()?, id)));
        let (created_ms, id) = parts.ok_or_else(|| Refusal::invalid("Invalid page token"))?;
        Ok(Self(Reverse(created_ms), id.to_owned()))
    }
}
