//! Columns of what is marked `pii: true`, by their names in files: messages about them do not show their values.

use std::collections::BTreeSet;

use schema::definitions::{Definitions, Entity, OnDemand, Source, View};
use schema::{AppliedDefinitions, FeatureView};

use super::OfflineError;
use super::source::column_in_file;

/// What stands in a message for what a value is, and why it does not fit.
pub const NOT_SHOWN: &str = "its value does not fit, and is not shown";

/// Names of columns with personal values.
#[derive(Debug, Clone, Default)]
pub struct Personal(BTreeSet<String>);

impl Personal {
    /// Those of a source's files.
    pub fn of_source(definitions: &Definitions, source: &Source) -> Self {
        let mut found = Self::default();
        for view in definitions.views.values().filter(|view| view.source == source.name) {
            if let Some(entity) = definitions.entities.get(&view.entity) {
                found.add(view, entity, source);
            }
        }
        found
    }

    /// Those of the files of a view's source, as far as the view reads them.
    pub fn of_view(view: &FeatureView) -> Self {
        let mut found = Self::default();
        found.add(&view.definition, &view.entity, &view.source);
        found
    }

    /// Those of a spine, and of any source that its query reads: whatever has a name that is personal anywhere.
    pub fn of_all(definitions: &AppliedDefinitions) -> Self {
        let mut found = Self::default();
        for view in definitions.views.values().flat_map(|versions| &versions.all) {
            found.add(&view.definition, &view.entity, &view.source);
            found.0.extend(names(&view.definition, &view.entity).map(str::to_owned));
        }
        for service in definitions.services.values().flat_map(|versions| &versions.all) {
            // A service may call a view's join keys otherwise.
            for used in service.view_uses() {
                let view = definitions.view(&used.view).filter(|view| view.entity.pii);
                let keys = view.into_iter().flat_map(|_| used.join_keys.values());
                found.0.extend(keys.map(ToString::to_string));
            }
        }
        for view in definitions.on_demand.values().flat_map(|versions| &versions.all) {
            found.0.extend(fields(&view.definition).map(str::to_owned));
        }
        found
    }

    /// Whether the values of a column are.
    pub fn has(&self, column: &str) -> bool {
        self.0.contains(column)
    }

    /// The message, without the value that does not fit where that is personal.
    #[must_use]
    pub fn hide(&self, why: OfflineError) -> OfflineError {
        match why {
            OfflineError::Text { path, line, column: Some(column), hint, .. } if self.has(&column) => {
                OfflineError::Text { path, line, column: Some(column), why: NOT_SHOWN.to_owned(), hint }
            }
            why => why,
        }
    }

    fn add(&mut self, view: &View, entity: &Entity, source: &Source) {
        self.0.extend(names(view, entity).map(|name| column_in_file(source, name)));
    }
}

fn names<'d>(view: &'d View, entity: &'d Entity) -> impl Iterator<Item = &'d str> {
    let features = view.features.iter().filter(|feature| feature.pii).map(|feature| feature.name.as_str());
    let keys = entity.keys.iter().filter(|_| entity.pii).map(|key| key.name.as_str());
    features.chain(keys)
}

fn fields(view: &OnDemand) -> impl Iterator<Item = &str> {
    view.request.iter().filter(|field| field.pii).map(|field| field.name.as_str())
}
