//! Refusals on the wire. The client parses every body of an error as JSON; what is a text holding an object of module,
//! class and message, it raises again as that class.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schema::ErrorKind;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::feast::FeastError;

/// Why a request is not answered.
#[derive(Debug)]
pub enum Refusal {
    /// The body does not have the shape: a list of what is wrong where, as Feast's web framework gives it.
    Shape(Vec<Value>),
    /// An error of Feast, and the HTTP status of what it came from.
    Feast(StatusCode, FeastError),
}

impl From<FeastError> for Refusal {
    fn from(error: FeastError) -> Self {
        Self::Feast(Failure::new(error.kind, "").status(), error)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Feast(failure.status(), failure.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Shape(wrong) => {
                return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": wrong }))).into_response();
            }
            Self::Feast(status, error) => (status, error),
        };
        if status.is_server_error() {
            tracing::error!("{}", error.message);
        }
        let mut response = (status, Json(Value::String(error.detail()))).into_response();
        if matches!(error.kind, ErrorKind::Overloaded | ErrorKind::Unavailable) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// No such route, in the words after which the client tries another.
pub(super) async fn not_found() -> (StatusCode, Json<Value>) {
    (StatusCode::NOT_FOUND, Json(json!({ "detail": "Not Found" })))
}

/// The route takes another method.
pub(super) async fn no_method() -> (StatusCode, Json<Value>) {
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({ "detail": "Method Not Allowed" })))
}
