//! Errors as Feast's client raises them again: a class of `feast.errors` and a message.

use schema::ErrorKind;
use serde_json::json;

use crate::failure::Failure;
use crate::http::services::ServiceError;

/// An error of Feast. What a caller can do about it decides the status code; the class, what the client raises.
#[derive(Debug)]
pub struct FeastError {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// What the client raises.
    pub class: Class,
    /// For people.
    pub message: String,
}

/// The classes of `feast.errors` that we raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are their names")]
pub enum Class {
    FeatureViewNotFoundException,
    FeatureViewVersionNotFound,
    FeatureServiceNotFoundException,
    EntityNotFoundException,
    DataSourceObjectNotFoundException,
    ProjectObjectNotFoundException,
    /// The base of what is not found; for features, which have no class of their own.
    FeastObjectNotFoundException,
    FeatureNameCollisionError,
    PushSourceNotFoundException,
    RequestDataNotFoundInEntityRowsException,
    /// The base class: it carries any message.
    FeastError,
}

impl Class {
    /// The name in `feast.errors`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FeatureViewNotFoundException => "FeatureViewNotFoundException",
            Self::FeatureViewVersionNotFound => "FeatureViewVersionNotFound",
            Self::FeatureServiceNotFoundException => "FeatureServiceNotFoundException",
            Self::EntityNotFoundException => "EntityNotFoundException",
            Self::DataSourceObjectNotFoundException => "DataSourceObjectNotFoundException",
            Self::ProjectObjectNotFoundException => "ProjectObjectNotFoundException",
            Self::FeastObjectNotFoundException => "FeastObjectNotFoundException",
            Self::FeatureNameCollisionError => "FeatureNameCollisionError",
            Self::PushSourceNotFoundException => "PushSourceNotFoundException",
            Self::RequestDataNotFoundInEntityRowsException => "RequestDataNotFoundInEntityRowsException",
            Self::FeastError => "FeastError",
        }
    }
}

impl FeastError {
    /// The object that the client reads, as text: the body of a gRPC error, and of an HTTP error once more encoded.
    pub fn detail(&self) -> String {
        json!({ "module": "feast.errors", "class": self.class.as_str(), "message": self.message }).to_string()
    }

    /// Two columns of an answer have one name.
    pub fn collision(name: &str, full_names: bool) -> Self {
        let advice = if full_names {
            "ask for each feature once"
        } else {
            "either use the full feature name by setting 'full_feature_names=True', or ensure that the features in \
             question have different names"
        };
        let message = format!("Duplicate features named {name} found.\nTo resolve this collision, {advice}.");
        Self { kind: ErrorKind::Invalid, class: Class::FeatureNameCollisionError, message }
    }

    /// What a request names and `project` does not have, in Feast's own words.
    pub fn unknown(error: &ServiceError, project: &str) -> Self {
        let of = |what: &str, name: &str, class: Class| {
            let hint = error.hint().map(|hint| format!(": {hint}")).unwrap_or_default();
            let message = format!("{what} {name} does not exist in project {project}{hint}");
            Self { kind: ErrorKind::NotFound, class, message }
        };
        match error {
            ServiceError::NoService { name, .. } => of("Feature service", name, Class::FeatureServiceNotFoundException),
            ServiceError::NoView { name, .. } => of("Feature view", name, Class::FeatureViewNotFoundException),
            ServiceError::NoVersion { name, version, .. } => {
                of(&format!("Version {version} of feature view"), name, Class::FeatureViewVersionNotFound)
            }
            ServiceError::NoFeature { view, feature, .. } => {
                of("Feature", &format!("{feature} of feature view {view}"), Class::FeastObjectNotFoundException)
            }
            ServiceError::NoReference { .. }
            | ServiceError::Versions { .. }
            | ServiceError::Unresolved { .. }
            | ServiceError::Compile { .. } => {
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                let message = format!("{}{hint}", schema::error::chain(error));
                Self { kind: error.kind(), class: Class::FeastError, message }
            }
        }
    }
}

impl From<Failure> for FeastError {
    fn from(failure: Failure) -> Self {
        let hint = failure.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        Self { kind: failure.kind, class: Class::FeastError, message: format!("{}{hint}", failure.message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_feasts() {
        let error = ServiceError::NoView { name: "nope".to_owned(), hint: "there is `txn`".to_owned() };
        let error = FeastError::unknown(&error, "p");
        assert_eq!(
            error.detail(),
            r#"{"module":"feast.errors","class":"FeatureViewNotFoundException","message":"Feature view nope does not exist in project p: there is `txn`"}"#
        );
    }
}
