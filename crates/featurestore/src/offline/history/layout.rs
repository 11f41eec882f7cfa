//! Where a view's columns are in its files.

use schema::{Dtype, FeatureView};

use super::super::snapshot;

/// What a view's columns are called in its files.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) keys: Vec<(String, Dtype)>,
    pub(super) event_time: String,
    pub(super) created_time: Option<String>,
    pub(super) sequence: Option<String>,
    pub(super) deleted: Option<String>,
    pub(super) features: Vec<(String, Dtype)>,
    pub(super) timezone: Option<String>,
}

impl Layout {
    /// Of the files of a view's pushes.
    pub(super) fn of_pushes(view: &FeatureView) -> Self {
        Self {
            keys: view.keys().iter().map(|k| (k.name.to_string(), k.dtype)).collect(),
            event_time: snapshot::EVENT_TIME.to_owned(),
            created_time: Some(snapshot::CREATED_TIME.to_owned()),
            sequence: Some(snapshot::SEQUENCE.to_owned()),
            deleted: Some(snapshot::DELETED.to_owned()),
            features: view.definition.features.iter().map(|f| (f.name.to_string(), f.dtype)).collect(),
            timezone: None,
        }
    }
}
