//! What all routes have, on routes that fail as no route of the product should.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::Response;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusBuilder;
use schema::ErrorKind;
use serde_json::Value as Json;
use tonic::codegen::Service;

use super::*;
use crate::failure::Failure;
use crate::output::OfRequest;

fn routes() -> Router {
    let boom = || async {
        if true {
            panic!("the secret of user 7")
        }
    };
    let broken = || async { Err::<(), _>(Failure::new(ErrorKind::Unavailable, "the disk is away")) };
    let routes = Router::new().route("/boom", get(boom)).route("/push", post(boom)).route("/broken", get(broken));
    attended(routes.route("/fine", post(|_: String| async { "fine" })), Hosts::default(), Tracer::default())
}

async fn ask(request: axum::http::request::Builder) -> (Response<()>, String) {
    let (head, body) = routes().call(request.body(Body::from("body")).unwrap()).await.unwrap().into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    (Response::from_parts(head, ()), body)
}

/// A log that a test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// FT 37: the request fails with a code, its client learns nothing of the inside, the log and the counter do.
#[tokio::test]
async fn a_panic_fails_one_request_and_is_told() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _counting = ::metrics::set_default_local_recorder(&recorder);
    let log = Log::default();
    let to = log.clone();
    let format = OfRequest(tracing_subscriber::fmt::format().with_ansi(false));
    let subscriber = tracing_subscriber::fmt().event_format(format).with_writer(move || to.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    // While there is only one, what a test on another thread logs first is believed to interest nobody.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());

    let (response, body) = ask(Request::get("/boom").header("x-request-id", "mine-1")).await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["x-request-id"], "mine-1");
    let error: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(error["error"]["code"], "panicked");
    assert_eq!(error["error"]["retryable"], false);
    assert_eq!(error["error"]["request_id"], "mine-1");
    assert!(!body.contains("secret"), "{body}");

    // In the words of Feast's client where it is Feast's client that asks.
    let (response, body) = ask(Request::post("/push")).await;
    assert_eq!(response.status(), 500);
    let text: String = serde_json::from_str(&body).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&text).unwrap()["module"], "feast.errors");

    let (response, _) = ask(Request::get("/broken").header("x-request-id", "mine-2")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(ask(Request::post("/fine")).await.0.status(), 200);

    assert!(metrics.render().contains("plumb_panics_total{protocol=\"http\"} 2"), "{}", metrics.render());
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = |with: &str| log.lines().find(|line| line.contains(with)).unwrap_or_else(|| panic!("{log}")).to_owned();
    assert!(line("the secret of user 7").starts_with("request.id=mine-1 "), "{log}");
    assert!(line("the disk is away").starts_with("request.id=mine-2 "), "{log}");
}

#[tokio::test]
async fn a_name_that_could_forge_a_log_is_replaced() {
    for given in ["a b", "x\tERROR", "<b>", ""] {
        let (response, body) = ask(Request::get("/broken").header("x-request-id", given)).await;
        let name = response.headers()["x-request-id"].to_str().unwrap();
        assert_ne!(name, given);
        assert_eq!(serde_json::from_str::<Json>(&body).unwrap()["error"]["request_id"], name);
    }
}

/// FT 31: a limit that holds only before decompression is none.
#[tokio::test]
async fn compressed_bodies_are_refused() {
    for encoding in ["gzip", "identity, br", "GZIP", "x\u{e9}"] {
        let value = axum::http::HeaderValue::from_bytes(encoding.as_bytes()).unwrap();
        let (response, body) = ask(Request::post("/fine").header("content-encoding", value)).await;
        assert_eq!(response.status(), 415, "{encoding}");
        assert_eq!(serde_json::from_str::<Json>(&body).unwrap()["error"]["code"], "unsupported_encoding");
    }
    assert_eq!(ask(Request::post("/fine").header("content-encoding", "identity")).await.0.status(), 200);
}
