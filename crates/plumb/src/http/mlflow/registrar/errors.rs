//! Errors of the registry, in the words and codes that clients of MLflow look at.

use std::fmt::Display;

use registry::{AliasError, RegistryError};
use schema::error::chain;

use crate::failure::Failure;
use crate::http::mlflow::{Code, Refusal};

impl From<RegistryError> for Refusal {
    fn from(error: RegistryError) -> Self {
        match &error {
            RegistryError::ModelExists { .. } => Self::new(Code::ResourceAlreadyExists, error.to_string()),
            RegistryError::UnknownModel { model, .. } => no_model(model.as_str()),
            RegistryError::UnknownVersion { model, version, .. } => no_version(model.as_str(), *version),
            RegistryError::TooLong { .. } | RegistryError::Tag(_) => Self::invalid(chain(&error)),
            RegistryError::Unknown(_) => Self::from(Failure::from(error)).open(),
            _ => Failure::from(error).into(),
        }
    }
}

impl From<AliasError> for Refusal {
    fn from(error: AliasError) -> Self {
        Self::invalid(error.to_string())
    }
}

pub(super) fn no_model(name: &str) -> Refusal {
    Refusal::not_found(format!("Registered Model with name={name} not found"))
}

pub(super) fn no_version(name: &str, version: impl Display) -> Refusal {
    Refusal::not_found(format!("Model Version (name={name}, version={version}) not found"))
}
