//! Failures as people and programs meet them: a stable code, a message with its causes, a hint. The only place that
//! knows exit codes and HTTP status codes.

pub mod codes;
mod machine;
mod panicked;
#[cfg(test)]
mod tests;

use std::fmt;

use axum::http::StatusCode;
use featurestore::retrieve::RetrieveError;
use schema::ErrorKind;
use schema::error::chain;
use schema::migration::MigrationError;
use schema::yaml::Mistake;
use serving::ScoreError;

pub use panicked::panicked;

/// The online store does not let us in: asking again changes nothing.
pub const ONLINE_STORE_AUTH: &str = "online_store_auth";
/// The registry's server does not let us in.
pub const REGISTRY_AUTH: &str = "registry_auth";
const ENVIRONMENT: &str = "environment";
/// What was asked for was there, and is no more.
pub const GONE: &str = "gone";

/// Anything that ends a command or a request.
#[derive(Debug)]
pub struct Failure {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// Stable, lower snake case.
    pub code: &'static str,
    /// What was being done, to what, and why it failed.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// All mistakes of a folder, where that is what failed.
    pub mistakes: Vec<Mistake>,
}

impl Failure {
    /// A failure with its kind's own code.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: code_of(kind), message: message.into(), hint: None, mistakes: Vec::new() }
    }

    /// The user's mistake.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what else is to be known.
    #[must_use]
    pub fn note(mut self, what: &str) -> Self {
        self.message = format!("{}; {what}", self.message);
        self
    }

    /// With a code of its own.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// The process's exit status: 0 done, 1 a check failed, 2 invalid input, 3 environment, 4 conflict, 5 not allowed,
    /// 6 unavailable, 7 for a record that is gone. Schedulers branch on them: never renumber.
    ///
    /// A name that nobody declared is invalid input: the call is wrong and will stay wrong (decision 0007).
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::CheckFailed => 1,
            ErrorKind::NotFound if self.code == GONE => 7,
            ErrorKind::Invalid | ErrorKind::NotFound => 2,
            ErrorKind::Unavailable if [ENVIRONMENT, ONLINE_STORE_AUTH, REGISTRY_AUTH].contains(&self.code) => 3,
            ErrorKind::Internal => 3,
            ErrorKind::Conflict => 4,
            ErrorKind::Denied => 5,
            ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Unavailable => 6,
        }
    }

    /// The HTTP status. A user's mistake is never a 5xx: clients retry those.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            ErrorKind::Invalid if self.code == "body_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Invalid if self.code == "not_acceptable" => StatusCode::NOT_ACCEPTABLE,
            ErrorKind::Invalid if self.code == "unsupported_encoding" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorKind::Invalid if self.code == "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Conflict | ErrorKind::CheckFailed => StatusCode::CONFLICT,
            ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the code is in the table of all codes, and of the kind that it has there.
    fn is_listed(&self) -> bool {
        codes::find(self.code).is_some_and(|code| code.kinds.contains(&self.kind))
    }

    /// Whether the same may succeed later, with nothing changed.
    pub fn is_retryable(&self) -> bool {
        let passes = matches!(self.kind, ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::Unavailable);
        passes && ![ONLINE_STORE_AUTH, REGISTRY_AUTH].contains(&self.code)
    }

    /// As JSON, the same for the command line and HTTP.
    pub fn to_json(&self) -> serde_json::Value {
        debug_assert!(self.is_listed(), "`{}` of kind {:?} is not in failure/codes.rs", self.code, self.kind);
        let retryable = self.is_retryable();
        let mut error = serde_json::json!({
            "code": self.code, "message": self.message, "hint": self.hint, "retryable": retryable,
        });
        if !self.mistakes.is_empty() {
            let one = |m: &Mistake| {
                serde_json::json!({
                    "file": m.place.file, "line": m.place.line, "column": m.place.column,
                    "message": m.message, "hint": m.hint,
                })
            };
            error["mistakes"] = self.mistakes.iter().map(one).collect();
        }
        serde_json::json!({ "error": error })
    }
}

/// The code of an error without one of its own.
fn code_for(kind: ErrorKind, error: &(dyn std::error::Error + 'static)) -> &'static str {
    if kind == ErrorKind::Unavailable && machine::forbids(error) { ENVIRONMENT } else { code_of(kind) }
}

fn code_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid_input",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::CheckFailed => "check_failed",
        ErrorKind::Denied => "denied",
        ErrorKind::Overloaded => "overloaded",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Internal => "internal",
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        for mistake in &self.mistakes {
            write!(f, "\n{mistake}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<Vec<Mistake>> for Failure {
    fn from(mistakes: Vec<Mistake>) -> Self {
        let message = match mistakes.len() {
            1 => "the definitions hold a mistake".to_owned(),
            n => format!("the definitions hold {n} mistakes"),
        };
        Self { mistakes, ..Self::invalid(message).code("invalid_definitions") }
    }
}

macro_rules! from_errors {
    ($($error:ty { $hint:expr }),* $(,)?) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let hint: fn(&$error) -> Option<String> = $hint;
                let failure = Self::new(error.kind(), chain(&error)).code(code_for(error.kind(), &error));
                match hint(&error) {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
        }
    )*};
}

from_errors! {
    featurestore::OfflineError { featurestore::OfflineError::hint },
    featurestore::offline::table::TableError { featurestore::offline::table::TableError::hint },
    registry::TransferError { registry::TransferError::hint },
    registry::ArtifactError { registry::ArtifactError::hint },
    registry::artifact_tree::TreeError { |_| None },
    storage::BucketError { |why| Some(why.hint().to_owned()) },
    featurestore::explain::ExplainError { |_| None },
    serving::promotion::PromotionError { |_| None },
    serving::skew::SkewError { |_| None },
}

impl From<registry::StoreError> for Failure {
    fn from(error: registry::StoreError) -> Self {
        Self { hint: error.hint(), code: code_of_store(&error), ..Self::new(error.kind(), chain(&error)) }
    }
}

impl From<registry::tracking::TrackingError> for Failure {
    fn from(error: registry::tracking::TrackingError) -> Self {
        let code = match &error {
            registry::tracking::TrackingError::Store(why) => code_of_store(why),
            other => code_for(other.kind(), other),
        };
        Self { hint: error.hint(), code, ..Self::new(error.kind(), chain(&error)) }
    }
}

impl From<registry::webhook::WebhookError> for Failure {
    fn from(error: registry::webhook::WebhookError) -> Self {
        let code = match &error {
            registry::webhook::WebhookError::Store(why) => code_of_store(why),
            other => code_for(other.kind(), other),
        };
        Self { hint: error.hint(), code, ..Self::new(error.kind(), chain(&error)) }
    }
}

impl From<registry::RegistryError> for Failure {
    fn from(error: registry::RegistryError) -> Self {
        let code = match &error {
            registry::RegistryError::Store(why) => code_of_store(why),
            other => code_for(other.kind(), other),
        };
        Self { hint: error.hint(), code, ..Self::new(error.kind(), chain(&error)) }
    }
}

fn code_of_store(error: &registry::StoreError) -> &'static str {
    match error {
        _ if error.is_auth() => REGISTRY_AUTH,
        registry::StoreError::Forbidden { .. } => ENVIRONMENT,
        other => code_for(other.kind(), other),
    }
}

impl From<featurestore::OnlineError> for Failure {
    fn from(error: featurestore::OnlineError) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, code: code_of_online(&error), ..Self::new(error.kind(), chain(&error)) }
    }
}

fn code_of_online(error: &featurestore::OnlineError) -> &'static str {
    match error.refusal() {
        Some(refusal) if refusal.is_auth() => ONLINE_STORE_AUTH,
        _ => code_for(error.kind(), error),
    }
}

impl From<RetrieveError> for Failure {
    fn from(error: RetrieveError) -> Self {
        Self { hint: error.hint(), code: code_of_features(&error), ..Self::new(error.kind(), chain(&error)) }
    }
}

impl From<ScoreError> for Failure {
    fn from(error: ScoreError) -> Self {
        let code = match &error {
            ScoreError::Features { source, .. } => code_of_features(source),
            ScoreError::Migrate { source: MigrationError::Refused { .. }, .. } => "cannot_migrate",
            ScoreError::Outside { .. } => "outside_contract",
            other => code_for(other.kind(), other),
        };
        Self { hint: error.hint(), code, ..Self::new(error.kind(), chain(&error)) }
    }
}

fn code_of_features(error: &RetrieveError) -> &'static str {
    match error {
        RetrieveError::NotOnline { .. } => "not_materialized",
        RetrieveError::Online { source, .. } => code_of_online(source),
        other => code_for(other.kind(), other),
    }
}

impl From<featurestore::materialize::MaterializeError> for Failure {
    fn from(error: featurestore::materialize::MaterializeError) -> Self {
        use featurestore::materialize::MaterializeError::{Changed, Feast, Offline, Online, Stopped};
        let message = chain(&error);
        match error {
            Offline { source, .. } => Self { hint: source.hint(), ..Self::new(source.kind(), message) },
            Online { source, .. } | Stopped { source, .. } => Self { message, ..source.into() },
            Changed { .. } => Self::new(ErrorKind::Conflict, message).hint("leave out --from and --to"),
            Feast { .. } => Self::invalid(message)
                .code("read_only_view")
                .hint("leave out `online:` of the view to bring it online here"),
        }
    }
}

impl From<serving::fleet::LoadError> for Failure {
    fn from(error: serving::fleet::LoadError) -> Self {
        let hint = match &error {
            serving::fleet::LoadError::Onnx { source, .. } => source.hint(),
            serving::fleet::LoadError::Artifact { source, .. } => source.hint(),
            _ => None,
        };
        Self { hint, ..Self::new(error.kind(), chain(&error)) }
    }
}

impl From<serving::onnx::OnnxError> for Failure {
    fn from(error: serving::onnx::OnnxError) -> Self {
        let failure = Self::new(error.kind(), chain(&error));
        let failure = match error.kind() {
            // The runtime library is part of the environment, not a service that may come back.
            ErrorKind::Unavailable => failure.code("environment"),
            _ => failure,
        };
        Self { hint: error.hint(), ..failure }
    }
}

impl From<featurestore::compiled::CompileError> for Failure {
    fn from(error: featurestore::compiled::CompileError) -> Self {
        Self::invalid(chain(&error))
    }
}
