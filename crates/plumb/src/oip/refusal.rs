//! Why a request is not answered, as clients of the protocol are told: a text, and a status of either transport.

use axum::http::StatusCode;
use schema::ErrorKind;
use schema::error::chain;
use serving::fleet::{LoadError, NotLoaded};
use serving::infer::InferError;
use tonic::{Code, Status};

use crate::failure::Failure;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of reason.
    pub cause: Cause,
    /// In words: those of Triton where clients look for them.
    pub message: String,
}

/// Kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The client's mistake.
    Invalid,
    /// Too much of it.
    TooLarge,
    /// No such model, version or route.
    NotFound,
    /// The route takes another method.
    Method,
    /// The server does not go by the name that it was called.
    Denied,
    /// Not by the deadline that the client gave.
    Expired,
    /// Not now.
    Unavailable,
    /// Never: not implemented.
    Unsupported,
    /// A bug.
    Internal,
}

impl Cause {
    /// The status of HTTP.
    pub fn http(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Expired | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The status of gRPC.
    pub fn grpc(self) -> Code {
        match self {
            Self::Invalid | Self::TooLarge => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::Method | Self::Unsupported => Code::Unimplemented,
            Self::Denied => Code::PermissionDenied,
            Self::Expired => Code::DeadlineExceeded,
            Self::Unavailable => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }

    /// Whether the same may be answered later.
    pub fn passes(self) -> bool {
        matches!(self, Self::Expired | Self::Unavailable)
    }

    fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::CheckFailed => Self::Invalid,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::Timeout => Self::Expired,
            ErrorKind::Overloaded | ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

impl Refusal {
    /// A refusal.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into() }
    }

    /// The client's mistake.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Cause::Invalid, message)
    }
}

impl From<InferError> for Refusal {
    fn from(why: InferError) -> Self {
        Self::new(Cause::of(why.kind()), chain(&why))
    }
}

impl From<NotLoaded> for Refusal {
    fn from(why: NotLoaded) -> Self {
        Self::new(Cause::NotFound, why.to_string())
    }
}

impl From<&LoadError> for Refusal {
    fn from(why: &LoadError) -> Self {
        Self::new(Cause::of(why.kind()), chain(why))
    }
}

/// What every route may fail by.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let cause = match failure.code {
            "body_too_large" => Cause::TooLarge,
            "method_not_allowed" => Cause::Method,
            _ => Cause::of(failure.kind),
        };
        let message = match failure.hint {
            Some(hint) => format!("{}; {hint}", failure.message),
            None => failure.message,
        };
        Self { cause, message }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        if refusal.cause == Cause::Internal {
            tracing::error!("{}", refusal.message);
        }
        Self::new(refusal.cause.grpc(), refusal.message)
    }
}
