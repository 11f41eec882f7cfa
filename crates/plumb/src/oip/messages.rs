//! Messages of package `inference`: the fields that clients read and write, with their numbers. What is not known is skipped
//! when it is read.
//!
//! Configuration and statistics are JSON too, under the names of the fields.

pub mod config;
pub mod infer;
pub mod repository;
pub mod statistics;

use prost::Message;

/// A message without fields.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Empty {}

/// `ServerLiveResponse`, `ServerReadyResponse`, `ModelReadyResponse`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Is {
    /// Whether it is.
    #[prost(bool, tag = "1")]
    pub so: bool,
}

/// What asks of one model: `ModelReadyRequest`, `ModelMetadataRequest`, `ModelConfigRequest`, `ModelStatisticsRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OfModel {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version, or nothing.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// `ServerMetadataResponse`.
#[derive(Clone, PartialEq, Eq, Message, serde::Serialize)]
pub struct ServerMetadata {
    /// What the server is.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// What it does besides the protocol.
    #[prost(string, repeated, tag = "3")]
    pub extensions: Vec<String>,
}

/// `ModelMetadataResponse`.
#[derive(Clone, PartialEq, Eq, Message, serde::Serialize)]
pub struct ModelMetadata {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Versions of it that answer.
    #[prost(string, repeated, tag = "2")]
    pub versions: Vec<String>,
    /// What its files are.
    #[prost(string, tag = "3")]
    pub platform: String,
    /// Its inputs.
    #[prost(message, repeated, tag = "4")]
    pub inputs: Vec<TensorMetadata>,
    /// Its outputs.
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<TensorMetadata>,
}

/// `ModelMetadataResponse.TensorMetadata`.
#[derive(Clone, PartialEq, Eq, Message, serde::Serialize)]
pub struct TensorMetadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its element type.
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Its dimensions, -1 for a free one, rows included.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
}
