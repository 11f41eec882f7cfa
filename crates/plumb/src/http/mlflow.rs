//! MLflow's server, so that an unmodified `mlflow` client registers and loads models here: `mlflow.set_tracking_uri(..)`.
//!
//! The client tries seven times whatever it takes for the server's fault, POST included, and reads names of errors and of
//! states from fixed lists: [`error`] is shaped by that. See docs/mlflow.md.

mod actor;
mod artifacts;
mod error;
mod fields;
mod once;
mod registered;
mod registrar;
mod server;
mod tasks;
mod tracking;
mod webhooks;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use registry::tracking::Tracker;
use registry::{ArtifactTree, Artifacts};
use serving::Fleet;
use storage::Bucket;

use crate::promoting::Gate;
use crate::registering::{Inspector, Ongoing};
use crate::webhooks::Webhooks;
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
    /// What of buckets versions may be copied from.
    pub copied: Vec<Bucket>,
    /// Schemes that a source may have though whoever reads it connects to a host that it names.
    pub allowed_schemes: Vec<String>,
    /// The largest file that is taken.
    pub upload_bytes_max: u64,
    /// What reads models that are registered.
    pub inspector: Inspector,
    /// What loads versions to be checked before they answer.
    pub checking: Arc<Fleet>,
    /// The folder of the prediction log, whose requests they are asked.
    pub log: PathBuf,
    /// Where the rows are kept that they were asked.
    pub probes: PathBuf,
    /// Who is told what happens.
    pub webhooks: Arc<Webhooks>,
    /// Registrations that go on.
    pub ongoing: Arc<Ongoing>,
    /// How long a registration may take before its client is told to ask again.
    pub prompt: Duration,
}

/// How long clients wait at once for a version that they register (mlflow-registry, section 11).
pub const PROMPT: Duration = Duration::from_secs(2);

/// Whether a route is one of MLflow's, whose errors are MLflow's too.
pub(super) fn is_ours(route: &str) -> bool {
    route == "/version" || ["/api/", "/ajax-api/"].iter().any(|prefix| route.starts_with(prefix))
}

/// The routes, under the prefix that clients use and under that of browsers. Each part gives its routes without the prefix:
/// `/2.0/mlflow/runs/create`.
pub fn router(parts: Parts, gate: Gate) -> Router {
    let Parts {
        tracker,
        tree,
        artifacts,
        copied,
        allowed_schemes,
        upload_bytes_max,
        inspector,
        checking: _,
        log: _,
        probes: _,
        webhooks,
        ongoing,
        prompt,
    } = parts;
    let registry = Arc::clone(&gate.registry);
    let registered = registered::Registered { registry: Arc::clone(&registry), artifacts: Arc::clone(&artifacts) };
    let files = artifacts::ArtifactFiles { tree: tree.clone(), registered, upload_bytes_max };
    let (of_runs, of_files) = (tracker.clone(), tree.clone());
    let registrar = registrar::Registrar {
        registry,
        gate,
        checks: registrar::Checks::default(),
        tracker: of_runs,
        tree: of_files,
        artifacts,
        copied: registrar::Copied { buckets: copied, file_bytes_max: upload_bytes_max },
        allowed_schemes,
        inspector: Arc::new(inspector),
        tasks: tasks::Tasks::default(),
        ongoing,
        prompt,
        written: registrar::Written::default(),
    };
    let api = Router::new()
        .merge(server::router())
        .merge(registrar::router(Arc::new(registrar)))
        .merge(tracking::router(Arc::new(tracking::Tracking { tracker, tree })))
        .merge(artifacts::router(Arc::new(files)))
        .merge(webhooks::router(webhooks))
        .layer(axum::middleware::from_fn(actor::named))
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
