//! MLflow's server, so that an unmodified `mlflow` client registers and loads models here: `mlflow.set_tracking_uri(..)`.
//!
//! The client tries seven times whatever it takes for the server's fault, POST included, and reads names of errors and of
//! states from fixed lists: [`error`] is shaped by that. See docs/mlflow.md.

mod error;
mod fields;
mod server;

use axum::Router;
use axum::routing::get;

pub use error::{Code, Refusal};
pub use fields::{Fields, Sent};

/// Whether a route is one of MLflow's, whose errors are MLflow's too.
pub(super) fn is_ours(route: &str) -> bool {
    ["/api/", "/ajax-api/"].iter().any(|prefix| route.starts_with(prefix))
}

/// The routes, under the prefix that clients use and under that of browsers. Each part gives its routes without the prefix:
/// `/2.0/mlflow/runs/create`.
pub fn router() -> Router {
    let api = Router::new()
        .merge(server::router())
        .fallback(error::no_endpoint)
        .method_not_allowed_fallback(error::no_endpoint);
    Router::new()
        .nest("/api", api.clone())
        .nest("/ajax-api", api)
        .route("/version", get(server::version).fallback(error::no_endpoint))
}

#[cfg(test)]
mod tests;
