//! `POST /v1/views/{view}/push`: rows from a stream or a service into a view's history, and online.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use featurestore::push::To;
use serde::{Deserialize, Serialize};

use super::entities::unique_keys;
use crate::failure::Failure;
use crate::http::body::{ApiBytes, ApiPath, json, parse};
use crate::http::pusher::{Pusher, columns, exact};

/// The route.
pub fn router(pusher: Arc<Pusher>) -> Router {
    Router::new().route("/v1/views/{view}/push", post(push)).with_state(pusher)
}

/// Lists by column: join keys, the event time, features, and where the rows have them created time and deletion mark.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushBody {
    #[serde(deserialize_with = "unique_keys")]
    rows: serde_json::Map<String, serde_json::Value>,
    /// Tells a repeated push from a new one; the digest of the rows unless given.
    #[serde(default)]
    push_id: Option<String>,
    #[serde(default)]
    to: Target,
}

/// Where the rows are visible at once; history has them in any case.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    /// In history alone until the next materialize.
    Offline,
    #[default]
    Online,
}

#[derive(Debug, Serialize)]
struct PushReply {
    view: String,
    rows: usize,
    repeated: bool,
    online_changed: usize,
}

async fn push(
    State(pusher): State<Arc<Pusher>>,
    ApiPath(view): ApiPath,
    ApiBytes(bytes): ApiBytes,
) -> Result<Response, Failure> {
    let body: PushBody = parse(&bytes)?;
    let view = pusher.view(&view)?;
    let rows = columns(&view, &body.rows, &exact::of_body(&view, &bytes)?)?;
    let to = match body.to {
        Target::Offline => To::Offline,
        Target::Online => To::Online,
    };
    let done = pusher.push(&view, &rows, body.push_id.as_deref(), to).await?;
    json(&PushReply {
        view: view.id.to_string(),
        rows: done.n_rows,
        repeated: done.repeated,
        online_changed: done.n_written,
    })
}
