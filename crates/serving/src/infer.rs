//! Tensors in, tensors out: what a client asks of a model by its own inputs, without features.
//!
//! Invariant: what reaches a session fits the model's inputs in number, name, datatype, rank and every fixed dimension, so
//! what the runtime still refuses is a value. Words of refusals are those that clients of the Open Inference Protocol look
//! for.
//!
//! Read [`check`] for what a request must be, [`model`] for what it is asked of, [`scheduler`] for who runs what when,
//! [`queue`] and [`pace`] for its rules, [`crate::batch_check`] for whose rows may share a run,
//! [`statistics`] and [`latency`] for what is counted.

mod cache;
pub mod check;
pub mod latency;
mod meters;
pub mod model;
pub mod pace;
pub mod port;
pub mod queue;
mod scheduler;
pub mod statistics;

pub use check::{Asked, Refused, Takes};
pub use model::{Answered, InferError, TensorModel};
pub use port::Port;
pub use queue::Rank;
pub use statistics::{Snapshot, Statistics};
