//! The ground floor: names, dtypes, definitions, time and fingerprints. No IO, no clock but [`time::Clock`].
//!
//! Everything above shares these types, so training and serving cannot disagree about what a feature *is*.
//! Read [`definitions`] for what a project declares, [`applied`] for what it becomes once versions are assigned,
//! and [`order`] for the one rule that decides which row wins.

pub mod applied;
pub mod contract;
pub mod date;
pub mod decimal;
pub mod definitions;
pub mod dtype;
pub mod duration;
pub mod error;
pub mod fingerprint;
pub mod json;
pub mod key;
pub mod migration;
pub mod name;
pub mod order;
pub mod pii;
pub mod sampling;
pub mod signature;
pub mod status;
pub mod time;
pub mod value;
pub mod yaml;

pub use applied::{
    AppliedDefinitions, FeatureService, FeatureView, ModelDefinition, OnDemandView, ServiceColumn, ViewId, ViewUse,
};
pub use date::Date;
pub use decimal::Decimal;
pub use definitions::Definitions;
pub use dtype::{Dtype, Scalar};
pub use duration::Duration;
pub use error::{BoxError, ErrorKind};
pub use fingerprint::{Fingerprint, Hashing};
pub use key::EntityKey;
pub use name::{EntityName, FeatureName, ModelName, ServiceName, SourceName, ViewName};
pub use order::RowOrder;
pub use status::Status;
pub use time::{Clock, Timestamp, Ttl};
pub use value::Value;
