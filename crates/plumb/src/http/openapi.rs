//! `GET /openapi.json`: what the server takes and answers, for programs; `GET /docs`: the same for people.
//!
//! The document is made of one list of operations for each protocol. A test compares these lists with the routes of the
//! sources, so that none is forgotten, and the interop tests send a server what the document allows.

mod feast;
mod mlflow;
mod native;
mod oip;
mod operation;
mod page;
mod schema;

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value as Json, json};

use super::body::of_json;
use operation::Operation;

/// What the page may do: show itself.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");

static DOCUMENT: LazyLock<Json> = LazyLock::new(document);
static WRITTEN: LazyLock<Vec<u8>> = LazyLock::new(|| DOCUMENT.to_string().into_bytes());
static PAGE: LazyLock<String> = LazyLock::new(|| page::page(&DOCUMENT));

/// The routes.
pub fn router() -> Router {
    Router::new().route("/openapi.json", get(openapi)).route("/docs", get(docs))
}

async fn openapi() -> Response {
    of_json(WRITTEN.as_slice())
}

async fn docs() -> Response {
    const KIND: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    ([(header::CONTENT_SECURITY_POLICY, POLICY), KIND], Html(PAGE.as_str())).into_response()
}

/// All operations, by protocol.
fn operations() -> impl Iterator<Item = Operation> {
    native::operations().into_iter().chain(oip::operations()).chain(feast::operations()).chain(mlflow::operations())
}

fn document() -> Json {
    let mut paths: Map<String, Json> = Map::new();
    for operation in operations() {
        let (path, method) = (operation.path(), operation.method);
        let place = paths.entry(path).or_insert_with(|| json!({}));
        place[method] = operation.to_json();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "plumb",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Features and predictions by entity keys, tensors over the Open Inference Protocol, and what the clients \
                of Feast and of MLflow speak. A caller's mistake is never a 5xx.",
        },
        "tags": [
            { "name": native::TAG, "description": "Features, predictions, training sets, pushes." },
            { "name": native::SERVER, "description": "How the server is." },
            { "name": native::WEBHOOKS, "description": "Who is told what happens to models." },
            { "name": oip::TAG, "description": "The Open Inference Protocol, version 2: models by their own inputs." },
            { "name": feast::TAG, "description": "What Feast's remote online store sends." },
            { "name": mlflow::REGISTRY, "description": "Models, versions, stages and aliases, for MLflow's client. Also below \
                /ajax-api." },
            { "name": mlflow::TRACKING, "description": "Experiments, runs and logged models, for MLflow's client." },
        ],
        "paths": paths,
        "components": { "schemas": schema::components() },
    })
}

#[cfg(test)]
mod tests;
