mod answered;
mod fuzzed;
mod refused;
mod told;

use axum::body::to_bytes;
use flate2::read::GzDecoder;
use serde_json::Value as Json;
use std::io::Read;
use tonic::codegen::Service;

use super::*;
use crate::config::{Hosts, InferenceConfig, NonFiniteFloat};
use crate::http::attended;
use crate::oip::testing::World;

struct Served {
    world: World,
    router: Router,
}

/// What was answered.
struct Told {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Told {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&self.body)))
    }

    #[track_caller]
    fn refused(&self, status: u16, why: &str) {
        let said = self.json();
        assert_eq!((self.status, said["error"].as_str()), (status, Some(why)), "{said}");
        assert_eq!(said.as_object().unwrap().len(), 1);
    }

    /// The JSON and the raw tensors behind it.
    fn parts(&self) -> (Json, &[u8]) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/octet-stream");
        let length: usize = self.headers[JSON_LENGTH].to_str().unwrap().parse().unwrap();
        let (json, raw) = self.body.split_at(length);
        (serde_json::from_slice(json).unwrap(), raw)
    }
}

impl Served {
    async fn new() -> Self {
        Self::with(InferenceConfig::default()).await
    }

    async fn with(config: InferenceConfig) -> Self {
        let world = World::new(config).await;
        let router = attended(router(Arc::clone(&world.inference)), Hosts::default(), crate::trace::Tracer::default());
        Self { world, router }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Told {
        let request = axum::http::Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.router.clone().call(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Told { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn get(&self, path: &str) -> Told {
        self.send("GET", path, &[], Body::empty()).await
    }

    async fn infer(&self, model: &str, body: impl Into<Body>) -> Told {
        self.send("POST", &format!("/v2/models/{model}/infer"), &[], body).await
    }

    /// JSON with raw bytes behind it.
    async fn binary(&self, model: &str, json: &Json, raw: &[u8]) -> Told {
        let json = json.to_string();
        let body = [json.as_bytes(), raw].concat();
        let length = json.len().to_string();
        self.send("POST", &format!("/v2/models/{model}/infer"), &[("Inference-Header-Content-Length", &length)], body)
            .await
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn linear(data: &Json) -> Json {
    json!({ "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32", "data": data }] })
}
