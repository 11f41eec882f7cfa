//! The Open Inference Protocol, as both of its transports share it: [`messages`], the [`options`] of a request, raw
//! [`bytes`] of tensors, and what a server answers, [`Inference`].
//!
//! Invariant: what this server says that it does ([`EXTENSIONS`]) it does over both transports.

pub mod bytes;
pub mod classify;
pub mod inference;
pub mod load;
pub mod messages;
pub mod options;
pub mod refusal;
#[cfg(test)]
pub(crate) mod testing;

pub use inference::Inference;
pub use refusal::{Cause, Refusal};

/// What a model's files are, in the words of the protocol.
pub const PLATFORM: &str = "onnxruntime_onnx";

/// What runs them.
pub const BACKEND: &str = "onnxruntime";

/// Extensions that are implemented, in Triton's order.
pub const EXTENSIONS: [&str; 6] =
    ["classification", "model_repository", "model_configuration", "binary_tensor_data", "parameters", "statistics"];
