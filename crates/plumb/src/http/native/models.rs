//! `GET /v1/models`: what is loaded.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use serving::{LoadedModel, Scorer};

/// The route.
pub fn router(scorer: Arc<Scorer>) -> Router {
    Router::new().route("/v1/models", get(models)).with_state(scorer)
}

async fn models(State(scorer): State<Arc<Scorer>>) -> Json<serde_json::Value> {
    let one = |model: &Arc<LoadedModel>| {
        let (version, servable) = (&model.version, &model.servable);
        json!({
            "name": version.name, "version": version.version, "stage": "Production", "digest": servable.digest,
            "service": servable.service, "signature": servable.signature,
        })
    };
    Json(json!({ "models": scorer.fleet().loaded().iter().map(one).collect::<Vec<_>>() }))
}
