//! `ModelConfig`, as far as clients and load generators read it.

use prost::{Enumeration, Message};
use serde::{Serialize, Serializer};

/// `ModelConfigResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModelConfigResponse {
    /// It.
    #[prost(message, optional, tag = "1")]
    pub config: Option<ModelConfig>,
}

/// `ModelConfig`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub struct ModelConfig {
    /// The model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What its files are.
    #[prost(string, tag = "2")]
    pub platform: String,
    /// What runs it.
    #[prost(string, tag = "17")]
    pub backend: String,
    /// The most rows of a request; 0 if shapes are taken as they are.
    #[prost(int32, tag = "4")]
    pub max_batch_size: i32,
    /// Its inputs.
    #[prost(message, repeated, tag = "5")]
    pub input: Vec<ModelInput>,
    /// Its outputs.
    #[prost(message, repeated, tag = "6")]
    pub output: Vec<ModelOutput>,
    /// Its sessions.
    #[prost(message, repeated, tag = "7")]
    pub instance_group: Vec<InstanceGroup>,
    /// That requests may share a run.
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_batching: Option<DynamicBatching>,
    /// How requests and answers go together.
    #[prost(message, optional, tag = "19")]
    pub model_transaction_policy: Option<TransactionPolicy>,
}

/// `ModelInput`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub struct ModelInput {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its element type.
    #[prost(enumeration = "DataType", tag = "2")]
    #[serde(serialize_with = "spelled")]
    pub data_type: i32,
    /// Its dimensions without the rows.
    #[prost(int64, repeated, tag = "4")]
    pub dims: Vec<i64>,
}

/// `ModelOutput`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub struct ModelOutput {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its element type.
    #[prost(enumeration = "DataType", tag = "2")]
    #[serde(serialize_with = "spelled")]
    pub data_type: i32,
    /// Its dimensions without the rows.
    #[prost(int64, repeated, tag = "3")]
    pub dims: Vec<i64>,
}

/// `ModelInstanceGroup`.
#[derive(Clone, PartialEq, Eq, Message, Serialize)]
pub struct InstanceGroup {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How many sessions.
    #[prost(int32, tag = "2")]
    pub count: i32,
    /// Where they run: `KIND_CPU`.
    #[prost(enumeration = "Kind", tag = "4")]
    #[serde(serialize_with = "kind")]
    pub kind: i32,
}

/// `ModelInstanceGroup.Kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum Kind {
    Auto = 0,
    Gpu = 1,
    Cpu = 2,
    Model = 3,
}

/// `ModelDynamicBatching`: there is nothing to say of it.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
pub struct DynamicBatching {}

/// `ModelTransactionPolicy`.
#[derive(Clone, Copy, PartialEq, Eq, Message, Serialize)]
pub struct TransactionPolicy {
    /// Whether one request may have several answers: never.
    #[prost(bool, tag = "1")]
    pub decoupled: bool,
}

/// `DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are the protocol's")]
pub enum DataType {
    Invalid = 0,
    Bool = 1,
    Uint8 = 2,
    Uint16 = 3,
    Uint32 = 4,
    Uint64 = 5,
    Int8 = 6,
    Int16 = 7,
    Int32 = 8,
    Int64 = 9,
    Fp16 = 10,
    Fp32 = 11,
    Fp64 = 12,
    String = 13,
    Bf16 = 14,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn spelled<S: Serializer>(data_type: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let known = DataType::try_from(*data_type).unwrap_or(DataType::Invalid);
    serializer.serialize_str(&format!("TYPE_{known:?}").to_uppercase())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn kind<S: Serializer>(kind: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let known = Kind::try_from(*kind).unwrap_or(Kind::Auto);
    serializer.serialize_str(&format!("KIND_{known:?}").to_uppercase())
}
