//! What is loaded: versions by model, and which of them answers where none is named.
//!
//! A shelf is a value: readers hold the one that was there when they looked, and a swap is one pointer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use registry::ModelVersion;
use schema::ModelName;

use super::LoadedModel;
use crate::infer::TensorModel;

/// What is loaded.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    pub models: BTreeMap<ModelName, Entry>,
    /// Why versions that are wanted are not here.
    pub failed: BTreeMap<(ModelName, u32), String>,
    /// Models that somebody took away.
    pub taken_away: BTreeSet<ModelName>,
}

/// Of one model.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    /// The version that predicts: the one in Production, or the one before it where that cannot be loaded.
    pub serving: Option<Arc<LoadedModel>>,
    /// All versions, that one included.
    pub versions: BTreeMap<u32, Held>,
    /// The version that answers where none is named.
    pub default: Option<u32>,
}

/// A version.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// With its features.
    Served(Arc<LoadedModel>),
    /// One that has no feature service, and what the registry says of it.
    Tensors(Arc<TensorModel>, Arc<ModelVersion>),
}

/// Why no version answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it, in the words that clients of Triton look for")]
pub enum NotLoaded {
    #[error("Request for unknown model: '{model}' is not found")]
    Model { model: String },
    #[error("Request for unknown model: '{model}' version {version} is not found")]
    Version { model: String, version: String },
    #[error("Request for unknown model: '{model}' has no available versions")]
    Nothing { model: String },
}

// === impl Held ===

impl Held {
    pub(super) fn tensors(&self) -> &Arc<TensorModel> {
        match self {
            Self::Served(model) => &model.tensors,
            Self::Tensors(model, _) => model,
        }
    }

    /// What the registry says of it.
    pub(super) fn version(&self) -> &ModelVersion {
        match self {
            Self::Served(model) => &model.version,
            Self::Tensors(_, version) => version,
        }
    }

    pub(super) fn served(&self) -> Option<&Arc<LoadedModel>> {
        match self {
            Self::Served(model) => Some(model),
            Self::Tensors(..) => None,
        }
    }
}

// === impl Entry ===

impl Entry {
    /// Who answers for this version, or where none is named.
    pub(super) fn tensors(&self, version: Option<u32>) -> Option<&Arc<TensorModel>> {
        self.versions.get(&version.or(self.default)?).map(Held::tensors)
    }
}
