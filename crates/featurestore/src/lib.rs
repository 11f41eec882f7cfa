//! The feature store: definitions planned and checked, history read, the point-in-time join, the online store.
//!
//! Read in this order: [`plan`] (declared against applied), [`offline`] (where rows come from), [`point_in_time`] (which
//! row counts), [`training`] (a spine joined with a service), [`online`] (the current rows), [`materialize`] (history to
//! online), [`retrieve`] (a request's features). [`assemble`] is the one path from stored rows to a service's columns:
//! training and serving both end in it. [`erase`] takes a person out of all of it.

pub mod assemble;
pub mod caught;
pub mod check;
mod checksum;
pub mod codec;
pub mod compiled;
pub mod erase;
pub mod explain;
#[cfg(test)]
mod golden;
pub mod ipc;
pub mod materialize;
pub mod migrate;
pub mod offline;
pub mod online;
pub mod plan;
pub mod point_in_time;
pub mod push;
pub mod replay;
pub mod retrieve;
#[cfg(test)]
mod testing;
mod ties;
pub mod training;

pub use assemble::{FeatureRows, Statuses};
pub use compiled::CompiledService;
pub use offline::{OfflineError, OfflineStore};
pub use online::{OnlineError, OnlineReader, OnlineStore};
