//! `/livez` (the process answers), `/readyz` (every wanted model is loaded; `degraded` names stores that do not answer),
//! `/health` (as `/readyz`, in the form that clients of other servers know).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};

/// What keeps the server from being ready.
#[derive(Debug, Default)]
pub struct Readiness {
    failing: RwLock<Vec<String>>,
    /// What works in part, with the reason.
    degraded: RwLock<BTreeMap<&'static str, String>>,
}

impl Readiness {
    /// Replaces the reasons; none means ready.
    pub fn set(&self, failing: Vec<String>) {
        *self.failing.write().unwrap_or_else(PoisonError::into_inner) = failing;
    }

    /// Whether nothing is wanting.
    pub fn is_ready(&self) -> bool {
        self.failing().is_empty()
    }

    /// Says that a part of the server does not work, and why; or that it does.
    pub fn degrade(&self, part: &'static str, why: Option<String>) {
        let mut degraded = self.degraded.write().unwrap_or_else(PoisonError::into_inner);
        match why {
            Some(why) => drop(degraded.insert(part, why)),
            None => drop(degraded.remove(part)),
        }
    }

    fn degraded(&self) -> BTreeMap<&'static str, String> {
        self.degraded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is wanting.
    pub fn failing(&self) -> Vec<String> {
        self.failing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The routes.
pub fn router(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/livez", get(|| std::future::ready("OK")))
        .route("/health", get(health))
        .route("/readyz", get(readyz))
        .with_state(readiness)
}

async fn readyz(State(readiness): State<Arc<Readiness>>) -> (StatusCode, Json<serde_json::Value>) {
    let failing = readiness.failing();
    let status = if failing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let degraded = readiness.degraded();
    let mut body = serde_json::json!({ "ready": failing.is_empty(), "reasons": failing });
    if !degraded.is_empty() {
        body["degraded"] = degraded.keys().copied().collect();
        body["because"] = degraded.values().map(String::as_str).collect();
    }
    (status, Json(body))
}

/// MLflow's client wants the word, Feast's and load balancers the status alone.
async fn health(State(readiness): State<Arc<Readiness>>) -> (StatusCode, &'static str) {
    if readiness.is_ready() { (StatusCode::OK, "OK") } else { (StatusCode::SERVICE_UNAVAILABLE, "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn health_is_told_as_readiness_is() {
        let readiness = Arc::new(Readiness::default());
        assert_eq!(health(State(Arc::clone(&readiness))).await, (StatusCode::OK, "OK"));
        readiness.set(vec!["model `m` version 1 is not loaded".to_owned()]);
        assert_eq!(health(State(Arc::clone(&readiness))).await, (StatusCode::SERVICE_UNAVAILABLE, ""));
        assert_eq!(readyz(State(Arc::clone(&readiness))).await.0, StatusCode::SERVICE_UNAVAILABLE);
        // A store that all servers share is no reason to take this one away.
        readiness.set(Vec::new());
        readiness.degrade("online_store", Some("it does not answer".to_owned()));
        assert_eq!(health(State(readiness)).await.0, StatusCode::OK);
    }
}
