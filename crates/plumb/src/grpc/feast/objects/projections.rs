//! What a service takes from each of its views: Feast's projections, one for each name that the service has for a view.
//!
//! A projection has the view's names of features: Feast's services do not rename.

use std::collections::BTreeMap;

use schema::{FeatureName, FeatureService, ServiceColumn};

use super::{Objects, feature, feature_of_on_demand};
use crate::feast::messages::core;

impl Objects<'_> {
    /// The service's uses of views, in order of first use, each with its features in the service's order. A view that
    /// only an on-demand view reads is not among them.
    pub(super) fn projections(&self, service: &FeatureService) -> Vec<core::FeatureViewProjection> {
        let mut uses: Vec<&ServiceColumn> = Vec::new();
        for column in &service.columns {
            if !uses.iter().any(|known| known.use_name() == column.use_name()) {
                uses.push(column);
            }
        }
        uses.into_iter().map(|first| self.projection(first, service)).collect()
    }

    /// The use of a view that `first` is the first column of.
    fn projection(&self, first: &ServiceColumn, service: &FeatureService) -> core::FeatureViewProjection {
        let (id, name) = (&first.view, first.use_name());
        let columns = service.columns.iter().filter(|column| column.use_name() == name);
        let stored = self.definitions.view(id).filter(|_| !service.on_demand.iter().any(|used| used.name == name));
        let on_demand = self.definitions.on_demand_view(id).filter(|_| stored.is_none());
        let feature = |column: &ServiceColumn| {
            let name = column.feature.as_str();
            stored.and_then(|view| feature(view, name)).or_else(|| feature_of_on_demand(on_demand?, name))
        };
        let current = match stored {
            Some(_) => self.definitions.current_view(id.name.as_str()).map(|now| now.id.version),
            None => self.definitions.current_on_demand(id.name.as_str()).map(|now| now.id.version),
        };
        let times = stored.map(|view| &view.definition);
        core::FeatureViewProjection {
            feature_view_name: id.name.to_string(),
            feature_columns: columns.filter_map(feature).collect(),
            feature_view_name_alias: first.alias.as_ref().map(ToString::to_string).unwrap_or_default(),
            join_key_map: join_keys(service, name),
            timestamp_field: times.map(|view| view.event_time.clone()).unwrap_or_default(),
            created_timestamp_column: times.and_then(|view| view.created_time.clone()).unwrap_or_default(),
            version_tag: if current == Some(id.version) { None } else { i32::try_from(id.version).ok() },
            view_type: "featureView".to_owned(),
        }
    }
}

/// The view's join keys that the service calls otherwise, as the columns that hold them.
fn join_keys(service: &FeatureService, name: &str) -> BTreeMap<String, String> {
    let text = |(key, column): (&FeatureName, &FeatureName)| (key.to_string(), column.to_string());
    let stored = service.uses.iter().find(|used| used.name == name).map(|used| &used.join_keys);
    let on_demand = || service.on_demand.iter().find(|used| used.name == name).map(|used| &used.join_keys);
    stored.or_else(on_demand).map(|keys| keys.iter().map(text).collect()).unwrap_or_default()
}
