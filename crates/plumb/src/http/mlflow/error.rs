//! Refusals on the wire: `{"error_code": .., "message": ..}`.
//!
//! The client knows the names of [`Code`] and takes any other for the server's fault. It tries again after 408, 429 and
//! 5xx, for minutes: what the user did wrong is never one of those.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use registry::artifact_tree::TreeError;
use registry::tracking::TrackingError;
use registry::webhook::WebhookError;
use schema::ErrorKind;
use schema::error::chain;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// The names of MLflow that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// A field is missing, of another type, or not allowed.
    InvalidParameterValue,
    /// The name is taken.
    ResourceAlreadyExists,
    /// The request is none.
    BadRequest,
    /// Who asks may not.
    PermissionDenied,
    /// What is named does not exist.
    ResourceDoesNotExist,
    /// No such route, or another method.
    EndpointNotFound,
    /// The state does not allow it; a gate refuses.
    ResourceConflict,
    /// A queue is full: the client waits and tries again.
    ResourceExhausted,
    /// A bug or a broken disk.
    InternalError,
    /// MLflow has it, this server does not.
    NotImplemented,
    /// A store is away: the client tries again.
    TemporarilyUnavailable,
    /// The deadline passed first.
    DeadlineExceeded,
}

impl Code {
    /// As it is on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            Self::ResourceAlreadyExists => "RESOURCE_ALREADY_EXISTS",
            Self::BadRequest => "BAD_REQUEST",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceDoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            Self::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Self::ResourceConflict => "RESOURCE_CONFLICT",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::InternalError => "INTERNAL_ERROR",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
        }
    }

    /// The HTTP status that MLflow gives it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::InvalidParameterValue | Self::ResourceAlreadyExists | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::ResourceDoesNotExist | Self::EndpointNotFound => StatusCode::NOT_FOUND,
            Self::ResourceConflict => StatusCode::CONFLICT,
            Self::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

impl From<ErrorKind> for Code {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid => Self::InvalidParameterValue,
            ErrorKind::NotFound => Self::ResourceDoesNotExist,
            ErrorKind::Conflict | ErrorKind::CheckFailed => Self::ResourceConflict,
            ErrorKind::Denied => Self::PermissionDenied,
            ErrorKind::Overloaded => Self::ResourceExhausted,
            ErrorKind::Timeout => Self::DeadlineExceeded,
            ErrorKind::Unavailable => Self::TemporarilyUnavailable,
            ErrorKind::Internal => Self::InternalError,
        }
    }
}

/// Why a request is not done.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What the client branches on.
    pub code: Code,
    /// For people.
    pub message: String,
    /// More keys of the body, which the client hands on as `RestException.json`.
    more: Map<String, Value>,
    /// Whether it may have been done all the same.
    is_open: bool,
}

/// Of an answer: it may have been done all the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open;

impl Refusal {
    /// A refusal.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), more: Map::new(), is_open: false }
    }

    /// Whether the same request, of the same state, is refused again.
    pub fn is_settled(&self) -> bool {
        !matches!(self.code.status().as_u16(), 403 | 429 | 500..)
    }

    /// The user's mistake.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// What is named does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceDoesNotExist, message)
    }

    /// Said where the store did not come back in time to tell whether it was done.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// With another key of the body, for programs.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let message = match &failure.hint {
            Some(hint) => format!("{} ({hint})", failure.message),
            None => failure.message,
        };
        Self::new(failure.kind.into(), message)
    }
}

impl From<TrackingError> for Refusal {
    fn from(error: TrackingError) -> Self {
        let code = match &error {
            TrackingError::ExperimentExists { .. } => Code::ResourceAlreadyExists,
            other => other.kind().into(),
        };
        let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        let refusal = Self::new(code, format!("{}{hint}", chain(&error)));
        if let TrackingError::Unknown { .. } = error { refusal.open() } else { refusal }
    }
}

impl From<WebhookError> for Refusal {
    fn from(error: WebhookError) -> Self {
        let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        Self::new(error.kind().into(), format!("{}{hint}", chain(&error)))
    }
}

impl From<TreeError> for Refusal {
    fn from(error: TreeError) -> Self {
        Self::new(error.kind().into(), chain(&error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.code.status();
        if status.is_server_error() && self.code != Code::NotImplemented {
            tracing::error!("{}: {}", self.code.name(), self.message);
        }
        let mut body = self.more;
        body.insert("error_code".to_owned(), self.code.name().into());
        body.insert("message".to_owned(), self.message.into());
        let mut response = (status, Json(Value::Object(body))).into_response();
        if self.is_open {
            response.extensions_mut().insert(Open);
        }
        if matches!(self.code, Code::ResourceExhausted | Code::TemporarilyUnavailable) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// No such route, or not with this method, in the form after which the client tries another.
pub(super) async fn no_endpoint(method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::new(Code::EndpointNotFound, format!("there is no endpoint {method} {path}"))
}
