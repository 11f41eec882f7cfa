//! What the server speaks over gRPC, on a port of its own: the Open Inference Protocol, Feast's registry, its offline store
//! (Arrow Flight) and the health of the server.
//!
//! There is no protoc: messages are structs with their field numbers, methods are routes. A route is axum's, as HTTP's
//! are; tonic reads and writes the frames. What nobody implements answers `UNIMPLEMENTED`.

mod attend;
mod deadline;
pub mod feast;
pub mod flight;
mod frames;
pub mod health;
pub mod oip;
mod streaming;
mod unary;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::response::Response;
use registry::Registry;
use tonic::Status;

use crate::http::building::Building;
use crate::http::health::Readiness;
use crate::http::pusher::Pusher;
use crate::oip::Inference;
use crate::trace::Tracer;

/// What the services are made of.
#[derive(Debug)]
pub struct Parts {
    /// The project's name.
    pub project: String,
    /// The definitions.
    pub registry: Arc<Registry>,
    /// What builds training sets.
    pub building: Building,
    /// What takes rows into the history of a view.
    pub pusher: Pusher,
    /// Whether all wanted models are loaded.
    pub readiness: Arc<Readiness>,
    /// The models.
    pub inference: Arc<Inference>,
    /// Which calls are traced.
    pub tracer: Tracer,
}

/// All methods.
pub fn router(parts: Parts) -> Router {
    let Parts { project, registry, building, pusher, readiness, inference, tracer } = parts;
    let methods = Router::new()
        .merge(flight::router(Arc::new(flight::Flight::new(project.clone(), building, pusher))))
        .merge(feast::router(Arc::new(feast::FeastRegistry::new(project, registry))))
        .merge(oip::router(inference))
        .merge(health::router(readiness));
    attended(methods, tracer)
}

/// Methods with what all have: names for requests, an answer for what nobody implements, and for what panics.
fn attended(methods: Router, tracer: Tracer) -> Router {
    methods.fallback(unimplemented).layer(axum::middleware::from_fn_with_state(tracer, attend::attend))
}

async fn unimplemented(uri: Uri) -> Response {
    Status::unimplemented(format!("plumb does not implement {}", uri.path())).into_http()
}
