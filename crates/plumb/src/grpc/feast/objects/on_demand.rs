//! On-demand views. Feast's are functions of Python, which its client runs; ours are computed here, so to the client each is
//! a feature view that is only read: docs/decisions/0030.

use schema::OnDemandView;

use super::{Objects, duration, number};
use crate::feast::messages::core;

impl Objects<'_> {
    pub(super) fn on_demand_view(&self, view: &OnDemandView) -> core::FeatureView {
        let definition = &view.definition;
        let mut tags = definition.tags.clone();
        let request: Vec<String> =
            definition.request.iter().map(|field| format!("{}: {}", field.name, field.dtype)).collect();
        if !request.is_empty() {
            tags.insert("plumb.request".to_owned(), request.join(", "));
        }
        let spec = core::FeatureViewSpec {
            name: view.id.name.to_string(),
            project: self.project.to_owned(),
            features: definition.features.iter().filter_map(|f| feature(view, f.name.as_str())).collect(),
            tags,
            ttl: Some(duration(None)),
            online: true,
            description: definition.description.clone().unwrap_or_default(),
            owner: definition.owner.clone().unwrap_or_default(),
            ..core::FeatureViewSpec::default()
        };
        let version = i32::try_from(view.id.version).unwrap_or(i32::MAX);
        let meta = core::FeatureViewMeta { current_version_number: version, ..core::FeatureViewMeta::default() };
        core::FeatureView { spec: Some(spec), meta: Some(meta) }
    }
}

/// One of its features.
pub(super) fn feature(view: &OnDemandView, name: &str) -> Option<core::FeatureSpec> {
    let feature = view.definition.features.iter().find(|feature| feature.name.as_str() == name)?;
    Some(core::FeatureSpec {
        name: name.to_owned(),
        value_type: number(feature.dtype),
        description: feature.description.clone().unwrap_or_default(),
        ..core::FeatureSpec::default()
    })
}
