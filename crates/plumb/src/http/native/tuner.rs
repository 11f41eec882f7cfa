//! `GET /admin/tuner/history`: what the tuner decided, with its evidence.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use schema::ErrorKind;
use serde::Deserialize;
use serde_json::json;
use serving::tuner::History;

use crate::failure::Failure;
use crate::http::body;

/// The route.
pub fn router(history: Arc<History>) -> Router {
    Router::new().route("/admin/tuner/history", get(told)).with_state(history)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    model: Option<String>,
    limit: Option<usize>,
}

/// Decisions that one answer has, unless fewer are asked for.
const LIMIT: usize = 1_000;

async fn told(
    State(history): State<Arc<History>>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked.map_err(|why| Failure::invalid(why.body_text()).code("wrong_query"))?;
    let limit = asked.limit.unwrap_or(LIMIT).min(LIMIT);
    let read = tokio::task::block_in_place(|| history.last(asked.model.as_deref(), limit));
    let decisions =
        read.map_err(|why| Failure::new(ErrorKind::Unavailable, format!("reading what the tuner decided: {why}")))?;
    body::json(&json!({ "decisions": decisions }))
}
