//! Failures as HTTP answers.

use axum::Json;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use schema::ErrorKind;

use crate::failure::Failure;
use crate::request_id::RequestId;

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        if self.status().is_server_error() {
            tracing::error!("{self}");
        }
        let mut body = self.to_json();
        let id = RequestId::current();
        body["error"]["request_id"] = id.as_ref().map(ToString::to_string).into();
        if let Some(trace) = id.and_then(|id| id.trace_id()) {
            body["error"]["trace_id"] = trace.into();
        }
        let mut response = (self.status(), Json(body)).into_response();
        if self.is_retryable() && self.kind != ErrorKind::Timeout {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// No such route.
pub async fn no_route(method: Method, uri: Uri) -> Failure {
    let routes = "POST /v1/models/{model}/predict, POST /v1/features, POST /v1/labels, POST /v1/views/{view}/push, POST /v1/materialize, \
         POST /v1/training-sets, GET /v1/models, GET and POST /v1/webhooks, /livez, /readyz, /health, /metrics, and of Feast POST \
         /get-online-features, /push, /write-to-online-store, /materialize, /materialize-incremental";
    Failure::new(ErrorKind::NotFound, format!("there is no route {method} {}", uri.path()))
        .hint(format!("there is {routes}"))
}

/// The route takes another method.
pub async fn no_method(method: Method, uri: Uri) -> Failure {
    Failure::invalid(format!("{} does not take {method}", uri.path())).code("method_not_allowed")
}
