//! `RepositoryIndex`, `RepositoryModelLoad`, `RepositoryModelUnload`.

use std::collections::BTreeMap;

use prost::{Message, Oneof};
use serde::Serialize;

/// `RepositoryIndexRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IndexRequest {
    /// There is one repository, whatever it is called.
    #[prost(string, tag = "1")]
    pub repository_name: String,
    /// Only what is ready to infer.
    #[prost(bool, tag = "2")]
    pub ready: bool,
}

/// `RepositoryIndexResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct IndexResponse {
    /// A version each, or a model without one that is loaded.
    #[prost(message, repeated, tag = "1")]
    pub models: Vec<ModelIndex>,
}

/// `RepositoryIndexResponse.ModelIndex`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub struct ModelIndex {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The version.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// `READY` or `UNAVAILABLE`.
    #[prost(string, tag = "3")]
    pub state: String,
    /// Why it is not ready.
    #[prost(string, tag = "4")]
    pub reason: String,
}

/// `RepositoryModelLoadRequest` and `RepositoryModelUnloadRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LoadRequest {
    /// There is one repository, whatever it is called.
    #[prost(string, tag = "1")]
    pub repository_name: String,
    /// The model.
    #[prost(string, tag = "2")]
    pub model_name: String,
    /// How.
    #[prost(btree_map = "string, message", tag = "3")]
    pub parameters: BTreeMap<String, Parameter>,
}

/// `ModelRepositoryParameter`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Parameter {
    /// What it is.
    #[prost(oneof = "ParameterChoice", tags = "1, 2, 3, 4")]
    pub choice: Option<ParameterChoice>,
}

/// `ModelRepositoryParameter.parameter_choice`.
#[derive(Clone, PartialEq, Eq, Oneof)]
#[expect(missing_docs, reason = "the variants are their types")]
pub enum ParameterChoice {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(int64, tag = "2")]
    Int64(i64),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(bytes = "vec", tag = "4")]
    Bytes(Vec<u8>),
}
