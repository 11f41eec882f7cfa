//! The Open Inference Protocol over HTTP, with Triton's binary tensors, repository, configuration and statistics.
//!
//! A request is read in [`request`]: its JSON by its shape, the elements of each tensor by its datatype in [`data`], raw
//! bytes behind the JSON. An answer is written in [`reply`]. What is refused is `{"error": ".."}`, never anything else.

mod data;
mod encoding;
mod lenient;
mod reply;
mod repository;
mod request;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;
use crate::oip::{Cause, Inference, Refusal};
use crate::request_id::RequestId;

/// What says how much of a body is JSON, where raw tensors follow it.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// How long the client waits, in milliseconds.
const TIMEOUT: HeaderName = HeaderName::from_static("plumb-timeout-ms");

/// Whether errors of a route are written as clients of this protocol read them.
pub fn is_ours(route: &str) -> bool {
    route == "/v2" || route.starts_with("/v2/")
}

type Served = State<Arc<Inference>>;

/// The routes.
pub fn router(inference: Arc<Inference>) -> Router {
    let of_version =
        |end: &str| [format!("/v2/models/{{model}}{end}"), format!("/v2/models/{{model}}/versions/{{version}}{end}")];
    let mut router = Router::new()
        .route("/v2", only(get(server)))
        .route("/v2/", only(get(server)))
        .route("/v2/health/live", only(get(live)))
        .route("/v2/health/ready", only(get(ready)))
        .route("/v2/models/stats", only(get(all_statistics)))
        .route("/v2/repository/index", only(post(repository::index)))
        .route("/v2/repository/{repository}/index", only(post(repository::index)));
    for path in of_version("") {
        router = router.route(&path, only(get(metadata)));
    }
    for path in of_version("/ready") {
        router = router.route(&path, only(get(model_ready)));
    }
    for path in of_version("/config") {
        router = router.route(&path, only(get(config)));
    }
    for path in of_version("/stats") {
        router = router.route(&path, only(get(statistics)));
    }
    for path in of_version("/infer") {
        router = router.route(&path, only(post(infer)));
    }
    for end in ["/generate", "/generate_stream", "/trace/setting"] {
        for path in of_version(end) {
            router = router.route(&path, any(absent));
        }
    }
    for before in ["/v2/repository", "/v2/repository/{repository}"] {
        router = router
            .route(&format!("{before}/models/{{model}}/load"), only(post(repository::load)))
            .route(&format!("{before}/models/{{model}}/unload"), only(post(repository::unload)));
    }
    for path in ["/v2/trace/setting", "/v2/logging", "/v2/systemsharedmemory/{*rest}", "/v2/cudasharedmemory/{*rest}"] {
        router = router.route(path, any(absent));
    }
    router.route("/v2/{*rest}", any(no_route)).with_state(inference)
}

/// A route that takes its methods alone, and says so in this protocol's words.
fn only(methods: MethodRouter<Arc<Inference>>) -> MethodRouter<Arc<Inference>> {
    methods.fallback(no_method)
}

async fn no_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(Cause::Method, format!("{} does not take {method}", uri.path()))
}

async fn no_route(method: Method, uri: Uri) -> Refusal {
    Refusal::new(Cause::NotFound, format!("there is no route {method} {}", uri.path()))
}

async fn absent(uri: Uri) -> Refusal {
    Refusal::new(
        Cause::Unsupported,
        format!("{} is not implemented: GET /v2 names the extensions that are", uri.path()),
    )
}

async fn server(State(inference): Served) -> Response {
    Json(inference.server()).into_response()
}

async fn live() -> Response {
    Json(json!({ "live": true })).into_response()
}

async fn ready(State(inference): Served) -> Response {
    let failing = inference.failing();
    if failing.is_empty() {
        return Json(json!({ "ready": true, "live": true })).into_response();
    }
    let body = json!({ "ready": false, "live": true, "error": failing.join("; ") });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// A model, and perhaps its version, of the address.
#[derive(Debug, serde::Deserialize)]
struct OfModel {
    model: String,
    #[serde(default)]
    version: String,
}

impl OfModel {
    /// What could be read as a path is none of our names.
    fn checked(self) -> Result<Self, Refusal> {
        let Self { model, .. } = &self;
        match model.parse::<schema::ModelName>() {
            Ok(_) => Ok(self),
            Err(why) => Err(Refusal::invalid(why.to_string())),
        }
    }
}

async fn model_ready(State(inference): Served, Path(of): Path<OfModel>) -> Result<Response, Refusal> {
    let OfModel { model, version } = of.checked()?;
    match inference.model(&model, &version) {
        Ok(_) => Ok(Json(json!({ "name": model, "ready": true })).into_response()),
        Err(Refusal { cause: Cause::NotFound, message }) => {
            let body = json!({ "name": model, "ready": false, "error": message });
            Ok((StatusCode::NOT_FOUND, Json(body)).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

async fn metadata(State(inference): Served, Path(of): Path<OfModel>) -> Result<Response, Refusal> {
    let OfModel { model, version } = of.checked()?;
    told(&inference.metadata(&model, &version)?)
}

async fn config(State(inference): Served, Path(of): Path<OfModel>) -> Result<Response, Refusal> {
    let OfModel { model, version } = of.checked()?;
    told(&inference.config(&model, &version)?)
}

async fn statistics(State(inference): Served, Path(of): Path<OfModel>) -> Result<Response, Refusal> {
    let OfModel { model, version } = of.checked()?;
    told(&inference.statistics(&model, &version)?)
}

async fn all_statistics(State(inference): Served) -> Result<Response, Refusal> {
    told(&inference.statistics("", "")?)
}

fn told(answer: &impl Serialize) -> Result<Response, Refusal> {
    crate::http::body::json(answer).map_err(Refusal::from)
}

async fn infer(State(inference): Served, Path(of): Path<OfModel>, request: Request) -> Result<Response, Refusal> {
    let OfModel { model, version } = of.checked()?;
    let model = inference.model(&model, &version)?;
    let (head, body) = request.into_parts();
    let deadline = deadline(&head.headers)?;
    let body = read(&head.headers, body, inference.bytes_max()).await?;
    let request::Asked { id, request } = request::read(&body, json_length(&head.headers)?, &model, deadline)?;
    let answer = inference.infer(&model, request).await?;
    let reply = reply::write(&model, &id, &answer, inference.non_finite())?;
    Ok(encoding::fitting(&head.headers, reply))
}

/// A body, decompressed.
async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<axum::body::Bytes, Refusal> {
    let too_large = || Refusal::new(Cause::TooLarge, format!("the request is larger than {} MB", bytes_max >> 20));
    if crate::http::body::announced(headers) > bytes_max {
        return Err(too_large());
    }
    let bytes = axum::body::to_bytes(body, bytes_max).await.map_err(|why| {
        let is_limit =
            std::error::Error::source(&why).is_some_and(|source| source.to_string().contains("length limit"));
        if is_limit { too_large() } else { Refusal::invalid(format!("reading the body: {why}")) }
    })?;
    encoding::plain(headers, bytes, bytes_max)
}

/// How much of the body is JSON, if it is said.
fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(JSON_LENGTH) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let digits = text.trim();
    let length = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let wrong = || Refusal::invalid(format!("Inference-Header-Content-Length is no length: '{}'", text.escape_debug()));
    length.ok_or_else(wrong).map(Some)
}

fn deadline(headers: &HeaderMap) -> Result<Option<Instant>, Refusal> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let ms = value.to_str().ok().and_then(|value| value.trim().parse().ok());
    let wrong = || Refusal::invalid(format!("{TIMEOUT} is no number of milliseconds"));
    Ok(Instant::now().checked_add(Duration::from_millis(ms.ok_or_else(wrong)?)))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // What is refused under load is counted, and no line each.
        if self.cause == Cause::Internal {
            tracing::error!(request.id = RequestId::current().map(|id| id.to_string()), "{}", self.message);
        }
        let mut response = (self.cause.http(), Json(json!({ "error": self.message }))).into_response();
        if self.cause.passes() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// As [`Refusal`], of what every route may fail by.
pub fn refused(failure: Failure) -> Response {
    Refusal::from(failure).into_response()
}

#[cfg(test)]
mod tests;
