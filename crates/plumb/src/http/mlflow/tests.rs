//! What all routes of MLflow have.

mod entities;
mod limits;
mod lost_answers;
mod registrar;
mod registrations;
mod searches;
mod sources;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::response::Response;
use featurestore::online::embedded::EmbeddedStore;
use featurestore::{OfflineStore, OnlineReader};
use registry::tracking::SqliteTracking;
use registry::webhook::{AddressRules, Hooks, SqliteWebhooks};
use registry::{AppendError, Event, EventBody, MemoryLog, Registry, RegistryStore, Seq, StoreError, Stored};
use schema::{Clock, ErrorKind, Timestamp};
use serde_json::{Value, json};
use serving::Fleet;
use tokio::sync::Semaphore;
use tonic::codegen::Service;

use super::*;
use crate::failure::Failure;
use crate::webhooks::names::SystemNames;
use crate::webhooks::sender::Sender;

/// A server's routes, over stores in a folder of their own.
pub(super) struct Served {
    pub folder: tempfile::TempDir,
    ongoing: Arc<Ongoing>,
    router: Router,
}

impl Served {
    pub(super) async fn new() -> Self {
        Self::over(Arc::new(MemoryLog::default())).await
    }

    /// Over a log of the test's.
    pub(super) async fn over(log: Arc<dyn RegistryStore>) -> Self {
        Self::made(log, PROMPT, Vec::new()).await
    }

    /// One that does not wait that long for registrations.
    pub(super) async fn prompt(log: Arc<dyn RegistryStore>, prompt: Duration) -> Self {
        Self::made(log, prompt, Vec::new()).await
    }

    /// As [`Self::over`]; versions may be copied from these folders.
    pub(super) async fn copying(log: Arc<dyn RegistryStore>, copied: Vec<Bucket>) -> Self {
        Self::made(log, PROMPT, copied).await
    }

    async fn made(log: Arc<dyn RegistryStore>, prompt: Duration, copied: Vec<Bucket>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteTracking::open(&folder.path().join("tracking.db")).unwrap();
        let clock = Clock::Fixed(Timestamp::from_nanos(5_000_000));
        let tracker = Tracker::new(Arc::new(store), clock);
        let tree = ArtifactTree::at(&folder.path().join("runs")).unwrap();
        let artifacts = Arc::new(Artifacts::open(&folder.path().join("artifacts")).unwrap());
        let checking = Arc::new(Fleet::new(None, Artifacts::open(&folder.path().join("artifacts")).unwrap(), 1));
        let registry = Arc::new(Registry::open(log).await.unwrap());
        let gate = gate(folder.path(), clock, &checking, registry);
        let inspector = Inspector::new(None, Vec::new(), crate::registering::Limits::default());
        let hooks = SqliteWebhooks::open(&folder.path().join("webhooks.db")).unwrap();
        let hooks = Hooks::new(Arc::new(hooks), AddressRules::default());
        let sender = Arc::new(Sender::new(AddressRules::default(), Arc::new(SystemNames)));
        let webhooks = Arc::new(Webhooks::new(Arc::clone(&gate.registry), hooks, sender));
        let ongoing = Arc::<Ongoing>::default();
        let parts = Parts {
            tracker,
            tree,
            artifacts,
            copied,
            allowed_schemes: vec!["viewfs".to_owned()],
            upload_bytes_max: 3_000_000,
            inspector,
            checking,
            log: PathBuf::new(),
            probes: PathBuf::new(),
            webhooks,
            ongoing: Arc::clone(&ongoing),
            prompt,
        };
        let router = router(parts, gate);
        Self { folder, ongoing, router }
    }

    /// The answer, of which nobody has read the body yet.
    async fn answer(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.router.clone().call(request.body(body.into()).unwrap()).await.unwrap()
    }

    pub(super) async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> (u16, Vec<u8>) {
        let response = self.answer(method, path, &[], body).await;
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec())
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let (status, body) = self.send(method, path, body).await;
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{method} {path}: {body:?}")))
    }

    /// The answer to what must be done, by a route like `model-versions/create`.
    async fn done(&self, method: &str, route: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, &format!("{API}/{route}"), body.clone()).await;
        assert_eq!(status, 200, "{method} {route} {body}: {answer}");
        answer
    }

    /// The status, the code and the message of what must not be done.
    async fn refused(&self, method: &str, route: &str, body: Value) -> (u16, String, String) {
        let shown: String = body.to_string().chars().take(200).collect();
        let (status, answer) = self.ask(method, &format!("{API}/{route}"), body).await;
        assert_ne!(status, 200, "{method} {route} {shown}: {answer}");
        let text = |key: &str| answer[key].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        (status, text("error_code"), text("message"))
    }

    /// A model, with the versions of these sources.
    async fn model(&self, name: &str, sources: &[&str]) {
        self.done("POST", "registered-models/create", json!({ "name": name })).await;
        for source in sources {
            self.done("POST", "model-versions/create", json!({ "name": name, "source": source })).await;
        }
    }

    /// The id of a new run.
    async fn run(&self) -> String {
        let made = self.done("POST", "runs/create", json!({ "experiment_id": "0" })).await;
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    }

    /// The id of a new logged model.
    async fn logged_model(&self, more: Value) -> String {
        let mut body = json!({ "experiment_id": "0", "name": "m" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = self.done("POST", "logged-models", body).await;
        made["model"]["info"]["model_id"].as_str().unwrap().to_owned()
    }
}

const API: &str = "/api/2.0/mlflow";

/// A registry without anything that could be checked, behind its gate.
fn gate(folder: &Path, clock: Clock, checking: &Arc<Fleet>, registry: Arc<Registry>) -> Gate {
    let online = EmbeddedStore::open(&folder.join("online")).unwrap();
    Gate {
        registry,
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
    // Whatever is true here makes clients ask for what is not.
    let want = json!({
        "store_type": "SqlStore", "workspaces_enabled": false, "trace_archival_enabled": false,
        "multipart_uploads_enabled": false, "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": false, "presigned_upload_model_id_supported": false, "features_enabled": {},
    });
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), want);
    assert_eq!(ask("GET", "/ajax-api/3.0/mlflow/server-info").await.1, body);
    assert_eq!(ask("GET", "/version").await, (200, env!("CARGO_PKG_VERSION").to_owned()));
}

#[tokio::test]
async fn what_is_sent_of_who_asks_changes_nothing() {
    let served = Served::new().await;
    let path = format!("{API}/registered-models/search");
    for header in [
        ("x-mlflow-workspace", "other"),
        ("authorization", "Basic YTpi"),
        ("authorization", "Bearer abc"),
        ("x-mlflow-client-version", "3.17.2"),
    ] {
        let create = json!({ "name": format!("{} {}", header.0, header.1) }).to_string();
        let made = served.answer("POST", &format!("{API}/registered-models/create"), &[header], create).await;
        assert_eq!(made.status(), 200, "{header:?}");
        let found = served.answer("GET", &path, &[header], Body::empty()).await;
        let found = to_bytes(found.into_body(), usize::MAX).await.unwrap();
        assert_eq!(found, served.send("GET", &path, Body::empty()).await.1, "{header:?}");
    }
    let all = served.done("GET", "registered-models/search", Value::Null).await;
    assert_eq!(all["registered_models"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn files_go_through_this_server_in_one_request_each() {
    let served = Served::new().await;
    for (method, route, want) in [
        ("GET", "presigned/x", "Presigned URLs are not supported for the current artifact repository"),
        ("POST", "mpu/create/x", "Multipart upload is not supported for the current artifact repository"),
        ("POST", "mpu/complete/x", "Multipart upload is not supported for the current artifact repository"),
        ("POST", "mpu/abort/x", "Multipart upload is not supported for the current artifact repository"),
    ] {
        let (status, said) = served.ask(method, &format!("/api/2.0/mlflow-artifacts/{route}"), Value::Null).await;
        assert_eq!((status, said), (501, json!({ "error_code": "NOT_IMPLEMENTED", "message": want })), "{route}");
    }
}

/// A log whose appends take as long as the test wants, or are written and not acknowledged.
#[derive(Debug)]
struct Odd {
    log: MemoryLog,
    appends: AtomicUsize,
    may_append: Semaphore,
    loses: AtomicBool,
    /// Ends of registrations that it does not take.
    refuses: AtomicUsize,
}

impl Odd {
    fn log() -> Arc<Self> {
        let (log, appends, loses) = (MemoryLog::default(), AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { log, appends, may_append: Semaphore::new(0), loses, refuses: AtomicUsize::new(0) })
    }
}

#[async_trait::async_trait]
impl RegistryStore for Odd {
    async fn read_page(&self, seq: Seq, n_max: usize) -> Result<Vec<Stored>, StoreError> {
        self.log.read_page(seq, n_max).await
    }

    async fn append(&self, event: &Event) -> Result<(), AppendError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        self.may_append.acquire().await.unwrap().forget();
        let is_end = matches!(event.body, EventBody::RegistrationEnded(_));
        if is_end && self.refuses.try_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            let (doing, location, limit) = ("writing to", self.location(), Duration::from_secs(1));
            return Err(StoreError::Timeout { doing, location, limit }.into());
        }
        self.log.append(event).await?;
        if self.loses.swap(false, Ordering::SeqCst) {
            let source = "connection reset".into();
            return Err(AppendError::Unknown { seq: event.seq, location: self.location(), source });
        }
        Ok(())
    }

    async fn read_snapshot(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.log.read_snapshot().await
    }

    async fn write_snapshot(&self, bytes: &[u8]) -> Result<(), StoreError> {
        self.log.write_snapshot(bytes).await
    }

    fn location(&self) -> String {
        self.log.location()
    }
}

const MODELS: &str = "/api/2.0/mlflow/registered-models";
const VERSIONS: &str = "/api/2.0/mlflow/model-versions";

/// The client hangs up after two minutes and asks again: what it began goes on, and whoever asks is told what came of it.
#[tokio::test]
async fn a_transition_goes_on_when_its_client_hangs_up() {
    let log = Odd::log();
    log.may_append.add_permits(2);
    let served = Served::over(Arc::clone(&log) as _).await;
    served.ask("POST", &format!("{MODELS}/create"), json!({ "name": "m" })).await;
    let version = json!({ "name": "m", "source": "s3://bucket/model" });
    assert_eq!(served.ask("POST", &format!("{VERSIONS}/create"), version).await.0, 200);
    let route = format!("{VERSIONS}/transition-stage");
    let wish = json!({ "name": "m", "version": "1", "stage": "Production" });
    let ask = || Box::pin(served.ask("POST", &route, wish.clone()));
    let mut first = ask();
    while log.appends.load(Ordering::SeqCst) < 3 {
        assert!(futures::poll!(&mut first).is_pending());
        tokio::task::yield_now().await;
    }
    drop(first);
    let (mut second, mut third) = (ask(), ask());
    for _ in 0..50 {
        assert!(futures::poll!(&mut second).is_pending() && futures::poll!(&mut third).is_pending());
        tokio::task::yield_now().await;
    }
    log.may_append.add_permits(9);
    for (status, said) in [second.await, third.await] {
        assert_eq!((status, &said["model_version"]["current_stage"]), (200, &"Production".into()), "{said}");
    }
    assert_eq!((log.appends.load(Ordering::SeqCst), log.log.read_after(Seq(2)).await.unwrap().len()), (3, 1));
}

/// PostgreSQL went away with the answer: it was made, and the client must not make it again by itself.
#[tokio::test]
async fn a_version_whose_append_was_not_acknowledged_is_not_made_twice() {
    let log = Odd::log();
    log.may_append.add_permits(9);
    let served = Served::over(Arc::clone(&log) as _).await;
    served.ask("POST", &format!("{MODELS}/create"), json!({ "name": "m" })).await;
    log.loses.store(true, Ordering::SeqCst);
    let version = json!({ "name": "m", "source": "s3://bucket/model" });
    let (status, said) = served.ask("POST", &format!("{VERSIONS}/create"), version).await;
    assert_eq!((status, &said["error_code"]), (409, &"RESOURCE_CONFLICT".into()), "{said}");
    assert!(said["message"].as_str().unwrap().ends_with("look for it before you ask again"), "{said}");
    // What may be given twice is tried again by the client.
    log.loses.store(true, Ordering::SeqCst);
    let tag = json!({ "name": "m", "key": "team", "value": "risk" });
    assert_eq!(served.ask("POST", &format!("{MODELS}/set-tag"), tag.clone()).await.0, 503);
    assert_eq!(served.ask("POST", &format!("{MODELS}/set-tag"), tag).await, (200, json!({})));
    let (_, found) = served.ask("GET", &format!("{VERSIONS}/get?name=m&version=1"), Value::Null).await;
    assert_eq!(found["model_version"]["version"], "1");
    assert_eq!(served.ask("GET", &format!("{VERSIONS}/get?name=m&version=2"), Value::Null).await.0, 404);
}
