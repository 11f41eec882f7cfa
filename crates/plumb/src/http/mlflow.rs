//! MLflow's server, so that an unmodified `mlflow` client registers and loads models here: `mlflow.set_tracking_uri(..)`.
//!
//! The client tries seven times whatever it takes for the server's fault, POST included, and reads names of errors and of
//! states from fixed lists: [`error`] is shaped by that. See docs/mlflow.md.

mod artifacts;
mod error;
mod fields;
mod once;
mod registered;
mod registrar;
mod server;
mod tracking;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use registry::tracking::Tracker;
use registry::{ArtifactTree, Artifacts};
use serving::Fleet;

use crate::promoting::Gate;
pub use error::{Code, Refusal};
pub use fields::{Fields, Named, Sent};

/// What the routes are made of.
#[derive(Debug)]
pub struct Parts {
    /// Experiments, runs and logged models.
    pub tracker: Tracker,
    /// Their files.
    pub tree: ArtifactTree,
    /// Files of registered versions.
    pub artifacts: Arc<Artifacts>,
    /// The largest file that is taken.
    pub upload_bytes_max: u64,
    /// What loads versions to be checked before they answer.
    pub checking: Arc<Fleet>,
    /// The folder of the prediction log, whose requests they are asked.
    pub log: PathBuf,
    /// Where the rows are kept that they were asked.
    pub probes: PathBuf,
}

/// Whether a route is one of MLflow's, whose errors are MLflow's too.
pub(super) fn is_ours(route: &str) -> bool {
    route == "/version" || ["/api/", "/ajax-api/"].iter().any(|prefix| route.starts_with(prefix))
}

/// The routes, under the prefix that clients use and under that of browsers. Each part gives its routes without the prefix:
/// `/2.0/mlflow/runs/create`.
pub fn router(parts: Parts, gate: Gate) -> Router {
    let Parts { tracker, tree, artifacts, upload_bytes_max, checking: _, log: _, probes: _ } = parts;
    let registry = Arc::clone(&gate.registry);
    let registered = registered::Registered { registry: Arc::clone(&registry), artifacts: Arc::clone(&artifacts) };
    let files = artifacts::ArtifactFiles { tree: tree.clone(), registered, upload_bytes_max };
    let registrar = registrar::Registrar { registry, gate, tracker: tracker.clone(), tree: tree.clone(), artifacts };
    let api = Router::new()
        .merge(server::router())
        .merge(registrar::router(Arc::new(registrar)))
        .merge(tracking::router(Arc::new(tracking::Tracking { tracker, tree })))
        .merge(artifacts::router(Arc::new(files)))
        .layer(axum::middleware::from_fn_with_state(Arc::new(once::Once::default()), once::once))
        .fallback(error::no_endpoint)
        .method_not_allowed_fallback(error::no_endpoint);
    Router::new()
        .nest("/api", api.clone())
        .nest("/ajax-api", api)
        .route("/version", get(server::version).fallback(error::no_endpoint))
}

#[cfg(test)]
mod tests;
