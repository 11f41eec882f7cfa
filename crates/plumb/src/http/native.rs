//! plumb's own protocol, `/v1/...`: predictions and features by entity keys.

pub mod columns;
mod context;
pub mod entities;
pub mod features;
pub mod labels;
pub mod materialize;
pub mod models;
pub mod older;
pub mod predict;
pub mod push;
pub mod scored;
pub mod sent;
pub mod stream;
pub mod training_sets;
pub mod tuner;
pub mod webhooks;
