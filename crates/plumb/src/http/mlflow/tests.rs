//! What all routes of MLflow have.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use tonic::codegen::Service;

use super::*;

async fn ask(method: &str, path: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let response = router().call(request).await.unwrap();
    let status = response.status().as_u16();
    (status, String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap())
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
