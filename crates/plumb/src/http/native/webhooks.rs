//! `/v1/webhooks`: hooks with every topic that there is, how far they were told, and what became of what was sent.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use registry::webhook::{DELIVERIES_MAX, NewWebhook, Secret, Status, Topic, TopicsChange, WebhookChange};
use serde::Deserialize;
use serde_json::json;

use crate::failure::Failure;
use crate::http::body::{ApiBytes, ApiJson, ApiPath, json as answer, parse};
use crate::webhooks::{Webhooks, shown};

type This = State<Arc<Webhooks>>;

/// The routes.
pub fn router(webhooks: Arc<Webhooks>) -> Router {
    Router::new()
        .route("/v1/webhooks", get(list).post(create))
        .route("/v1/webhooks/{id}", get(by_id).patch(change).delete(remove))
        .route("/v1/webhooks/{id}/deliveries", get(deliveries))
        .route("/v1/webhooks/{id}/test", post(try_out))
        .with_state(webhooks)
}

// No `Debug`: it would show the secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBody {
    name: String,
    url: String,
    topics: Vec<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    enabled: Option<bool>,
}

/// What is not named stays; an empty description or secret is taken away.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ChangeBody {
    name: Option<String>,
    url: Option<String>,
    topics: Option<Vec<String>>,
    description: Option<String>,
    secret: Option<String>,
    enabled: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestBody {
    topic: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Limit {
    limit: Option<u32>,
}

async fn list(State(this): This) -> Result<Response, Failure> {
    let hooks: Vec<_> = this.all().await?.iter().map(shown::hook).collect();
    answer(&json!({ "webhooks": hooks }))
}

async fn create(State(this): This, ApiJson(body): ApiJson<NewBody>) -> Result<Response, Failure> {
    let NewBody { name, url, topics, description, secret, enabled } = body;
    let (topics, secret) = (topics_of(&topics)?, secret.and_then(Secret::new));
    let status = status(enabled.unwrap_or(true));
    answer(&shown::hook(&this.create(NewWebhook { name, url, topics, description, status, secret }).await?))
}

async fn by_id(State(this): This, ApiPath(id): ApiPath) -> Result<Response, Failure> {
    answer(&shown::hook(&this.get(&id).await?))
}

async fn change(
    State(this): This,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<ChangeBody>,
) -> Result<Response, Failure> {
    let ChangeBody { name, url, topics, description, secret, enabled } = body;
    let wanted = topics.map(|names| topics_of(&names)).transpose()?;
    let change = WebhookChange {
        name,
        url,
        topics: wanted.map(|wanted| TopicsChange { wanted, of_mlflow: false }),
        description,
        status: enabled.map(status),
        secret: secret.map(Secret::new),
        ..WebhookChange::default()
    };
    answer(&shown::hook(&this.change(&id, change).await?))
}

async fn remove(State(this): This, ApiPath(id): ApiPath) -> Result<Response, Failure> {
    this.delete(&id).await?;
    answer(&json!({ "deleted": id }))
}

async fn deliveries(
    State(this): This,
    ApiPath(id): ApiPath,
    limit: Result<Query<Limit>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Failure> {
    let Query(Limit { limit }) = limit.map_err(|why| Failure::invalid(format!("the address: {}", why.body_text())))?;
    let rows = this.deliveries(&id, limit.unwrap_or(DELIVERIES_MAX)).await?;
    answer(&json!({ "deliveries": rows.iter().map(shown::delivery).collect::<Vec<_>>() }))
}

async fn try_out(State(this): This, ApiPath(id): ApiPath, ApiBytes(bytes): ApiBytes) -> Result<Response, Failure> {
    let TestBody { topic } = if bytes.is_empty() { TestBody::default() } else { parse(&bytes)? };
    let topic = topic.map(|name| shown::topic(&name)).transpose()?;
    answer(&shown::tried(&this.try_out(&id, topic).await?))
}

fn topics_of(names: &[String]) -> Result<Vec<Topic>, Failure> {
    names.iter().map(|name| shown::topic(name)).collect()
}

fn status(enabled: bool) -> Status {
    if enabled { Status::Active } else { Status::Disabled }
}
