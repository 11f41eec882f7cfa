//! Labels: what came of what was predicted, told later, by the prediction's id or by the entity and a time.
//!
//! Invariant: a label that was taken is on disk, and the same label again is the same label. What a label says of a prediction
//! is decided when both are joined ([`join`]), so the order in which they come does not matter, and a correction is a label.

pub mod join;
mod store;

use schema::definitions::JoinKey;
use schema::{EntityKey, FeatureName, ModelName, Timestamp};
use serde_json::Value as Json;
use uuid::Uuid;

pub use store::{Added, FILE, LabelError, Labels, Named};

/// One label.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// What is told: `purchased`.
    pub name: FeatureName,
    /// Of whom.
    pub of: Of,
    /// When it happened. Of a prediction it may be left out: then it counts as of when it arrived.
    pub at: Option<Timestamp>,
    /// A number, a truth value or a text.
    pub value: Json,
}

/// What a label is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// A prediction, by its id.
    Prediction(Uuid),
    /// The predictions of a model for an entity.
    Entity {
        /// The model.
        model: ModelName,
        /// Names and types of the keys, in their order, as the model's service has them.
        keys: Vec<JoinKey>,
        /// Their values.
        key: EntityKey,
    },
}
