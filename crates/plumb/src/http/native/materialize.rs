//! `POST /v1/materialize`: history to the online store, as `plumb materialize` does.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use featurestore::materialize::Materialized;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::http::body::{ApiJson, json};
use crate::http::materializing::Materializing;

/// The route.
pub fn router(materializing: Arc<Materializing>) -> Router {
    Router::new().route("/v1/materialize", post(materialize)).with_state(materializing)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaterializeBody {
    /// Current versions of these; every version in use unless given.
    #[serde(default)]
    views: Vec<String>,
    /// Build everything again.
    #[serde(default)]
    fresh: bool,
}

#[derive(Debug, Serialize)]
struct MaterializeReply {
    materialized: Vec<Materialized>,
}

async fn materialize(
    State(materializing): State<Arc<Materializing>>,
    ApiJson(body): ApiJson<MaterializeBody>,
) -> Result<Response, Failure> {
    let views = materializing.views(&body.views)?;
    json(&MaterializeReply { materialized: materializing.run(views, body.fresh).await? })
}
