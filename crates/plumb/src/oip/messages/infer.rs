//! `ModelInferRequest`, `ModelInferResponse` and what they are made of.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

/// `InferParameter`.
#[derive(Clone, PartialEq, Message)]
pub struct Parameter {
    /// What it is.
    #[prost(oneof = "ParameterChoice", tags = "1, 2, 3, 4, 5")]
    pub choice: Option<ParameterChoice>,
}

/// `InferParameter.parameter_choice`.
#[derive(Clone, PartialEq, Oneof)]
#[expect(missing_docs, reason = "the variants are their types")]
pub enum ParameterChoice {
    #[prost(bool, tag = "1")]
    Bool(bool),
    #[prost(int64, tag = "2")]
    Int64(i64),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(uint64, tag = "5")]
    Uint64(u64),
}

/// `map<string, InferParameter>`.
pub type Parameters = BTreeMap<String, Parameter>;

/// `InferTensorContents`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the fields are their types")]
pub struct Contents {
    #[prost(bool, repeated, tag = "1")]
    pub bools: Vec<bool>,
    #[prost(int32, repeated, tag = "2")]
    pub ints: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    pub int64s: Vec<i64>,
    #[prost(uint32, repeated, tag = "4")]
    pub uints: Vec<u32>,
    #[prost(uint64, repeated, tag = "5")]
    pub uint64s: Vec<u64>,
    #[prost(float, repeated, tag = "6")]
    pub fp32s: Vec<f32>,
    #[prost(double, repeated, tag = "7")]
    pub fp64s: Vec<f64>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub bytes: Vec<Vec<u8>>,
}

/// `InferInputTensor` and `InferOutputTensor`.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its element type.
    #[prost(string, tag = "2")]
    pub datatype: String,
    /// Its dimensions.
    #[prost(int64, repeated, tag = "3")]
    pub shape: Vec<i64>,
    /// What is asked, or said, of it.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: Parameters,
    /// Its elements, unless they are raw.
    #[prost(message, optional, tag = "5")]
    pub contents: Option<Contents>,
}

/// `InferRequestedOutputTensor`.
#[derive(Clone, PartialEq, Message)]
pub struct RequestedOutput {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What is asked of it.
    #[prost(btree_map = "string, message", tag = "2")]
    pub parameters: Parameters,
}

/// `ModelInferRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferRequest {
    /// Which model is asked.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// Which version of it, or nothing.
    #[prost(string, tag = "2")]
    pub model_version: String,
    /// The client's name for the request.
    #[prost(string, tag = "3")]
    pub id: String,
    /// What is asked of the whole.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: Parameters,
    /// What the model is given.
    #[prost(message, repeated, tag = "5")]
    pub inputs: Vec<Tensor>,
    /// What it is to give; all, if none is named.
    #[prost(message, repeated, tag = "6")]
    pub outputs: Vec<RequestedOutput>,
    /// The elements of all inputs, in their order, where no input has its own.
    #[prost(bytes = "bytes", repeated, tag = "7")]
    pub raw: Vec<prost::bytes::Bytes>,
}

/// `ModelInferResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ModelInferResponse {
    /// The model that answered.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// The version that answered.
    #[prost(string, tag = "2")]
    pub model_version: String,
    /// The client's name for the request.
    #[prost(string, tag = "3")]
    pub id: String,
    /// What is said of the whole.
    #[prost(btree_map = "string, message", tag = "4")]
    pub parameters: Parameters,
    /// What the model gave.
    #[prost(message, repeated, tag = "5")]
    pub outputs: Vec<Tensor>,
    /// The elements of all outputs, in their order.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub raw: Vec<Vec<u8>>,
}

/// `ModelStreamInferResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ModelStreamInferResponse {
    /// Why there is no answer.
    #[prost(string, tag = "1")]
    pub error_message: String,
    /// The answer.
    #[prost(message, optional, tag = "2")]
    pub infer_response: Option<ModelInferResponse>,
}
