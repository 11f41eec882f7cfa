//! What all routes of MLflow have.

use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use featurestore::online::embedded::EmbeddedStore;
use featurestore::{OfflineStore, OnlineReader};
use registry::tracking::SqliteTracking;
use registry::{MemoryLog, Registry};
use schema::{Clock, ErrorKind, Timestamp};
use serde_json::{Value, json};
use serving::Fleet;
use tonic::codegen::Service;

use super::*;
use crate::failure::Failure;

/// A server's routes, over stores in a folder of their own.
pub(super) struct Served {
    pub folder: tempfile::TempDir,
    router: Router,
}

impl Served {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteTracking::open(&folder.path().join("tracking.db")).unwrap();
        let clock = Clock::Fixed(Timestamp::from_nanos(5_000_000));
        let tracker = Tracker::new(Arc::new(store), clock);
        let tree = ArtifactTree::at(&folder.path().join("runs")).unwrap();
        let artifacts = Arc::new(Artifacts::open(&folder.path().join("artifacts")).unwrap());
        let checking = Arc::new(Fleet::new(None, Artifacts::open(&folder.path().join("artifacts")).unwrap(), 1));
        let gate = gate(folder.path(), clock, &checking).await;
        let parts = Parts {
            tracker,
            tree,
            artifacts,
            upload_bytes_max: 3_000_000,
            checking,
            log: PathBuf::new(),
            probes: PathBuf::new(),
        };
        let router = router(parts, gate);
        Self { folder, router }
    }

    pub(super) async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> (u16, Vec<u8>) {
        let json = ("content-type", "application/json");
        let request = Request::builder().method(method).uri(path).header(json.0, json.1).body(body.into()).unwrap();
        let response = self.router.clone().call(request).await.unwrap();
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let (status, body) = self.send(method, path, body).await;
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{method} {path}: {body:?}")))
    }
}

/// A registry without anything that could be checked, behind its gate.
async fn gate(folder: &Path, clock: Clock, checking: &Arc<Fleet>) -> Gate {
    let online = EmbeddedStore::open(&folder.join("online")).unwrap();
    Gate {
        registry: Arc::new(Registry::open(Arc::new(MemoryLog::default())).await.unwrap()),
        fleet: Arc::clone(checking),
        offline: OfflineStore::new(folder, &folder.join("offline")),
        online: Arc::new(OnlineReader::new(Arc::new(online))),
        log: folder.join("predictions"),
        probes: folder.join("probes"),
        again: None,
        clock,
    }
}

async fn ask(method: &str, path: &str) -> (u16, String) {
    let (status, body) = Served::new().await.send(method, path, Body::empty()).await;
    (status, String::from_utf8(body).unwrap())
}

/// What the user did wrong is never what a client tries again.
#[test]
fn every_kind_of_failure_has_a_code_that_the_client_knows() {
    let codes = |kind| Refusal::from(Failure::new(kind, "it failed")).code;
    let said = |kind| (codes(kind).name(), codes(kind).status().as_u16());
    assert_eq!(said(ErrorKind::Invalid), ("INVALID_PARAMETER_VALUE", 400));
    assert_eq!(said(ErrorKind::NotFound), ("RESOURCE_DOES_NOT_EXIST", 404));
    assert_eq!(said(ErrorKind::Conflict), ("RESOURCE_CONFLICT", 409));
    assert_eq!(said(ErrorKind::CheckFailed), ("RESOURCE_CONFLICT", 409));
    assert_eq!(said(ErrorKind::Denied), ("PERMISSION_DENIED", 403));
    assert_eq!(said(ErrorKind::Overloaded), ("RESOURCE_EXHAUSTED", 429));
    assert_eq!(said(ErrorKind::Timeout), ("DEADLINE_EXCEEDED", 504));
    assert_eq!(said(ErrorKind::Unavailable), ("TEMPORARILY_UNAVAILABLE", 503));
    assert_eq!(said(ErrorKind::Internal), ("INTERNAL_ERROR", 500));
}

#[tokio::test]
async fn a_refusal_hands_on_what_programs_read() {
    use axum::response::IntoResponse;
    let report = json!({ "id": "pr-1" });
    let refusal = Refusal::new(Code::ResourceConflict, "no").with("promotion_report", report.clone());
    let body = to_bytes(refusal.into_response().into_body(), usize::MAX).await.unwrap();
    let want = json!({ "promotion_report": report, "error_code": "RESOURCE_CONFLICT", "message": "no" });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), want);
}

/// A run as the client reads it: what is empty is left out, numbers are numbers, odd ones are texts.
#[tokio::test]
async fn a_run_has_the_form_that_clients_read() {
    let served = Served::new().await;
    let (status, made) = served.ask("POST", "/api/2.0/mlflow/runs/create", json!({ "experiment_id": "0" })).await;
    assert_eq!(status, 200);
    let id = made["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let name = made["run"]["info"]["run_name"].as_str().unwrap().to_owned();
    let batch = json!({
        "run_id": id, "metrics": [{ "key": "m", "value": "NaN", "timestamp": 3 }], "params": [{ "key": "p", "value": "1" }],
    });
    assert_eq!(served.ask("POST", "/api/2.0/mlflow/runs/log-batch", batch).await, (200, json!({})));
    let update = json!({ "run_uuid": id, "status": "FINISHED", "end_time": "9" });
    let (_, updated) = served.ask("POST", "/api/2.0/mlflow/runs/update", update).await;
    let (_, read) = served.ask("GET", &format!("/ajax-api/2.0/mlflow/runs/get?run_id={id}"), Value::Null).await;
    let want = json!({ "run": {
        "info": {
            "run_id": id, "run_uuid": id, "run_name": name, "experiment_id": "0", "user_id": "", "status": "FINISHED",
            "start_time": 5, "end_time": 9, "artifact_uri": format!("mlflow-artifacts:/0/{id}/artifacts"),
            "lifecycle_stage": "active",
        },
        "data": {
            "metrics": [{ "key": "m", "value": "NaN", "timestamp": 3, "step": 0 }],
            "params": [{ "key": "p", "value": "1" }],
            "tags": [{ "key": "mlflow.runName", "value": name }],
        },
        "inputs": {}, "outputs": {},
    }});
    assert_eq!(read, want);
    assert_eq!(updated["run_info"], want["run"]["info"]);
}

#[tokio::test]
async fn an_unknown_route_is_told_in_json_for_any_method() {
    let wrong = [
        ("GET", "/api/2.0/mlflow/nothing"),
        ("POST", "/api/3.0/mlflow/traces"),
        ("DELETE", "/api/3.0/mlflow/server-info"),
        ("PATCH", "/ajax-api/2.0/mlflow/runs"),
        ("POST", "/version"),
    ];
    for (method, path) in wrong {
        let (status, body) = ask(method, path).await;
        assert_eq!(status, 404, "{method} {path}");
        let error: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{method} {path}: {body}"));
        assert_eq!(error["error_code"], "ENDPOINT_NOT_FOUND", "{method} {path}");
    }
}

#[tokio::test]
async fn the_server_says_what_it_can() {
    let (status, body) = ask("GET", "/api/3.0/mlflow/server-info").await;
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["multipart_downloads_enabled"], false);
    assert_eq!(ask("GET", "/ajax-api/3.0/mlflow/server-info").await.1, body);
    assert_eq!(ask("GET", "/version").await, (200, env!("CARGO_PKG_VERSION").to_owned()));
}
