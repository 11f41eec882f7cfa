//! Registrations that take longer than clients wait.

use serde_json::{Value, json};

use super::*;

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts/0";

/// A server that waits for nothing, with model `m` and a run with these files.
async fn impatient(files: &[(&'static str, &'static str)]) -> (Served, String) {
    impatient_over(Arc::new(MemoryLog::default()), files).await
}

async fn impatient_over(log: Arc<dyn RegistryStore>, files: &[(&'static str, &'static str)]) -> (Served, String) {
    let served = Served::prompt(log, Duration::ZERO).await;
    served.model("m", &[]).await;
    let run = served.run().await;
    for (path, text) in files {
        let path = format!("{FILES}/{run}/artifacts/{path}");
        assert_eq!(served.send("PUT", &path, *text).await.0, 200);
    }
    (served, run)
}

/// Begins to register what lies in a run's `m`: what the client is told at once, and what it is told in the end.
async fn registered(served: &Served, run: &str, tags: Value) -> (Value, Value) {
    let body = json!({ "name": "m", "source": format!("runs:/{run}/m"), "run_id": run, "tags": tags });
    let begun = served.done("POST", "model-versions/create", body).await["model_version"].take();
    let route = format!("model-versions/get?name=m&version={}", begun["version"].as_str().unwrap());
    loop {
        let now = served.done("GET", &route, Value::Null).await["model_version"].take();
        if now["status"] != "PENDING_REGISTRATION" {
            return (begun, now);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_version_is_pending_until_its_files_are_kept() {
    let (served, run) = impatient(&[("m/MLmodel", "flavors: {}"), ("m/deep/weights", "1 2 3")]).await;
    let (begun, ended) = registered(&served, &run, json!([])).await;
    assert_eq!((&begun["version"], &begun["status"]), (&json!("1"), &json!("PENDING_REGISTRATION")));
    assert_eq!((&ended["status"], &ended["run_id"]), (&json!("READY"), &json!(run)));
    assert_eq!(ended.get("status_message"), None);
    let route = "model-versions/get-download-uri?name=m&version=1";
    let uri = served.done("GET", route, Value::Null).await["artifact_uri"].take();
    let root = uri.as_str().unwrap().strip_prefix("mlflow-artifacts:/").unwrap().to_owned();
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/{root}/deep/weights");
    assert_eq!(served.send("GET", &path, "").await, (200, b"1 2 3".to_vec()));
}

/// The files are kept and sound: a store that is away for a moment is no reason to fail for ever.
#[tokio::test]
async fn an_end_that_the_store_does_not_take_is_told_again() {
    let log = Odd::log();
    log.may_append.add_permits(99);
    log.refuses.store(1, Ordering::SeqCst);
    let (served, run) = impatient_over(Arc::clone(&log) as _, &[("m/MLmodel", "flavors: {}")]).await;
    let (begun, ended) = registered(&served, &run, json!([])).await;
    assert_eq!((&begun["status"], &ended["status"]), (&json!("PENDING_REGISTRATION"), &json!("READY")));
    assert_eq!(log.refuses.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn one_that_cannot_be_kept_says_why_and_answers_for_nothing() {
    let (served, run) = impatient(&[("m/model.onnx", "no model")]).await;
    let (begun, ended) = registered(&served, &run, json!([{ "key": "plumb.service", "value": "s" }])).await;
    assert_eq!(begun["status"], "PENDING_REGISTRATION");
    assert_eq!(ended["status"], "FAILED_REGISTRATION");
    let why = ended["status_message"].as_str().unwrap();
    assert!(why.contains("model.onnx"), "{why}");
    for (method, route, body) in [
        ("POST", "model-versions/transition-stage", json!({ "name": "m", "version": "1", "stage": "Staging" })),
        ("POST", "registered-models/alias", json!({ "name": "m", "alias": "champion", "version": "1" })),
    ] {
        let (status, answer) = served.ask(method, &format!("{API}/{route}"), body).await;
        assert_eq!((status, &answer["error_code"]), (409, &json!("RESOURCE_CONFLICT")), "{answer}");
        let said = answer["message"].as_str().unwrap();
        assert!(
            said.starts_with("version 1 of model `m` is not registered: ") && said.contains("model.onnx"),
            "{said}"
        );
    }
    // Nor is it copied.
    let copy = json!({ "name": "m", "source": "models:/m/1" });
    let (status, answer) = served.ask("POST", &format!("{API}/model-versions/create"), copy).await;
    assert_eq!((status, &answer["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{answer}");
    // Its number is its own for ever, and it can be taken away.
    served.done("DELETE", "model-versions/delete", json!({ "name": "m", "version": "1" })).await;
    assert_eq!(registered(&served, &run, json!([])).await.1["version"], "2");
}

#[tokio::test]
async fn what_is_wrong_with_a_source_is_told_at_once() {
    let (served, run) = impatient(&[]).await;
    let body = json!({ "name": "m", "source": format!("runs:/{run}/m"), "run_id": "" });
    let (status, answer) = served.ask("POST", &format!("{API}/model-versions/create"), body).await;
    assert_eq!((status, &answer["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{answer}");
    // A pending version has what a version has at once, its run among it.
    let logged = served.logged_model(json!({ "source_run_id": run })).await;
    let body = json!({ "name": "m", "source": format!("models:/{logged}"), "model_id": logged });
    let begun = served.done("POST", "model-versions/create", body).await["model_version"].take();
    assert_eq!((&begun["version"], &begun["run_id"], &begun["model_id"]), (&json!("1"), &json!(run), &json!(logged)));
}

/// Of those that take long not more are begun than the server has places for; what takes no time needs none.
#[tokio::test]
async fn who_comes_when_all_places_are_taken_is_told_to_come_again() {
    let (served, run) = impatient(&[("m/MLmodel", "flavors: {}")]).await;
    let places: Vec<_> = std::iter::from_fn(|| served.ongoing.enter()).collect();
    let body = json!({ "name": "m", "source": format!("runs:/{run}/m"), "run_id": run });
    let (status, code, message) = served.refused("POST", "model-versions/create", body).await;
    assert_eq!((status, code.as_str()), (429, "RESOURCE_EXHAUSTED"), "{message}");
    let made = served.done("POST", "model-versions/create", json!({ "name": "m", "source": "s3://b/1" })).await;
    assert_eq!(made["model_version"]["version"], "1", "what was refused used no number");
    drop(places);
    assert_eq!(registered(&served, &run, json!([])).await.1["status"], "READY");
    assert!(served.ongoing.enter().is_some());
}
