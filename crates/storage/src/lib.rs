//! Object stores: S3, Google Cloud Storage and Azure.
//!
//! What is said of them ([`StorageConfig`]), where something is in them ([`Place`]) and what their failures mean ([`Fault`])
//! are one thing for whoever keeps something there: sources of history, files of models. [`Bucket`] is one folder of a store,
//! asked by calls that block.

mod bucket;
mod config;
mod fault;
mod place;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use bucket::{Bucket, BucketError, Listed, Reader};
pub use config::{Patience, Scheme, Settings, StorageConfig};
pub use fault::Fault;
pub use place::Place;
