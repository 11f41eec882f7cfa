//! `ModelStatistics` and what it is made of.

use std::collections::BTreeMap;

use prost::Message;
use serde::Serialize;

/// `ModelStatisticsResponse`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub struct ModelStatisticsResponse {
    /// A version each.
    #[prost(message, repeated, tag = "1")]
    pub model_stats: Vec<ModelStatistics>,
}

/// `ModelStatistics`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub struct ModelStatistics {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// When it answered last, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub last_inference: u64,
    /// Rows.
    #[prost(uint64, tag = "4")]
    pub inference_count: u64,
    /// Runs.
    #[prost(uint64, tag = "5")]
    pub execution_count: u64,
    /// Requests.
    #[prost(message, optional, tag = "6")]
    pub inference_stats: Option<InferStatistics>,
    /// Answers of models that have several to a request; there are none.
    #[prost(btree_map = "string, message", tag = "9")]
    pub response_stats: BTreeMap<String, ResponseStatistics>,
    /// Runs by their size.
    #[prost(message, repeated, tag = "7")]
    pub batch_stats: Vec<BatchStatistics>,
    /// The memory that it takes; not measured.
    #[prost(message, repeated, tag = "8")]
    pub memory_usage: Vec<MemoryUsage>,
}

/// `StatisticDuration`.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
pub struct Duration {
    /// How often.
    #[prost(uint64, tag = "1")]
    pub count: u64,
    /// How long together, in nanoseconds.
    #[prost(uint64, tag = "2")]
    pub ns: u64,
}

/// `InferStatistics`.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub struct InferStatistics {
    #[prost(message, optional, tag = "1")]
    pub success: Option<Duration>,
    #[prost(message, optional, tag = "2")]
    pub fail: Option<Duration>,
    #[prost(message, optional, tag = "3")]
    pub queue: Option<Duration>,
    #[prost(message, optional, tag = "4")]
    pub compute_input: Option<Duration>,
    #[prost(message, optional, tag = "5")]
    pub compute_infer: Option<Duration>,
    #[prost(message, optional, tag = "6")]
    pub compute_output: Option<Duration>,
    #[prost(message, optional, tag = "7")]
    pub cache_hit: Option<Duration>,
    #[prost(message, optional, tag = "8")]
    pub cache_miss: Option<Duration>,
}

/// `InferBatchStatistics`.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub struct BatchStatistics {
    #[prost(uint64, tag = "1")]
    pub batch_size: u64,
    #[prost(message, optional, tag = "2")]
    pub compute_input: Option<Duration>,
    #[prost(message, optional, tag = "3")]
    pub compute_infer: Option<Duration>,
    #[prost(message, optional, tag = "4")]
    pub compute_output: Option<Duration>,
}

/// `InferResponseStatistics`.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub struct ResponseStatistics {
    #[prost(message, optional, tag = "1")]
    pub compute_infer: Option<Duration>,
    #[prost(message, optional, tag = "2")]
    pub compute_output: Option<Duration>,
    #[prost(message, optional, tag = "3")]
    pub success: Option<Duration>,
    #[prost(message, optional, tag = "4")]
    pub fail: Option<Duration>,
    #[prost(message, optional, tag = "5")]
    pub empty_response: Option<Duration>,
    #[prost(message, optional, tag = "6")]
    pub cancel: Option<Duration>,
}

/// `MemoryUsage`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub struct MemoryUsage {
    /// Of what kind.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// Of which device.
    #[prost(int64, tag = "2")]
    pub id: i64,
    /// How much.
    #[prost(uint64, tag = "3")]
    pub byte_size: u64,
}
