//! What reads and writes of an online store address: the rows of one view version in one generation.

use std::fmt;
use std::sync::Arc;

use schema::{FeatureView, Fingerprint, ViewId};

/// One generation of one view version. Its name, such as `user_features@v1#1a2b3c4d.7`, is what stores write.
///
/// The meaning is part of the name, so that two registries which number their views on their own, and share a store,
/// never read each other's rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OnlineTable {
    view: Arc<ViewId>,
    name: Arc<str>,
}

impl OnlineTable {
    /// Generation `number` of a view version, from 1.
    pub fn generation(view: &FeatureView, number: u64) -> Self {
        Self::new(view.id.clone(), &view.fingerprint, Some(number))
    }

    /// Where the [`Marks`](super::marks::Marks) of a view version are kept.
    pub fn marks(view: &FeatureView) -> Self {
        Self::new(view.id.clone(), &view.fingerprint, None)
    }

    /// The table of a view version with this meaning.
    pub fn new(view: ViewId, meaning: &Fingerprint, generation: Option<u64>) -> Self {
        // Eight digits tell apart what one name and version number mean: a handful of registries, not all views.
        let meaning: String = meaning.to_string().chars().take(8).collect();
        let name = match generation {
            Some(number) => format!("{view}#{meaning}.{number}"),
            None => format!("{view}#{meaning}"),
        };
        Self { view: view.into(), name: name.into() }
    }

    /// The view version.
    pub fn view(&self) -> &ViewId {
        &self.view
    }

    /// Its name in the store: ASCII without spaces, and no other table's.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for OnlineTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
