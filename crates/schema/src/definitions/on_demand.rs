//! On-demand views: expressions over features of several views and over fields of the request itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Computed, ServiceFeature, ViewAlias};
use crate::dtype::Dtype;
use crate::name::{FeatureName, ViewName};
use crate::yaml::Place;

/// An on-demand view. It stores nothing: its features are computed for every training row and every request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemand {
    /// Its name.
    pub name: ViewName,
    /// Views that it reads under another name, or by other names of their join keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewAlias>,
    /// The features that it reads; wildcards are written out. What is not `PRESENT` is null to the expressions.
    pub inputs: Vec<ServiceFeature>,
    /// What the request itself must say: columns of a spine, fields of `context`.
    pub request: Vec<RequestField>,
    /// Its features, in order.
    pub features: Vec<Computed>,
    /// For people.
    pub description: Option<String>,
    /// For people.
    pub owner: Option<String>,
    /// For people.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

/// A field of the request that an on-demand view reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestField {
    /// Its name: a spine's column, a field of `context`.
    pub name: FeatureName,
    /// Its type.
    pub dtype: Dtype,
    /// For people.
    pub description: Option<String>,
    /// Whether it says something of a person; recorded, no part of the meaning.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub pii: bool,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

impl OnDemand {
    /// The dtype of one of its features.
    pub fn dtype_of(&self, feature: &str) -> Option<Dtype> {
        self.features.iter().find(|f| f.name.as_str() == feature).map(|f| f.dtype)
    }
}
