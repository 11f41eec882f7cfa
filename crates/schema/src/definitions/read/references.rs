//! References to features, `view:feature`, with wildcards and aliases; wildcards are written out once every view is read.

use std::collections::BTreeMap;

use saphyr::Scalar;

use super::{Broken, Mistakes, name};
use crate::definitions::{Definitions, OnDemand, Service, ServiceFeature, ViewAlias};
use crate::name::{FeatureName, NameError, ServiceName, ViewName};
use crate::yaml::{Mistake, Node, Place, suggest};

/// A feature, or all features of a view.
#[derive(Debug)]
pub(super) enum Reference {
    One(ServiceFeature),
    /// `view:*`; `pattern` names each, with `*` for the feature's own name.
    All {
        view: ViewName,
        pattern: Option<String>,
        place: Place,
    },
}

/// The references of everything that has some.
#[derive(Debug, Default)]
pub(super) struct References {
    services: BTreeMap<ServiceName, Vec<Reference>>,
    on_demand: BTreeMap<ViewName, Vec<Reference>>,
}

impl References {
    /// Keeps the references of a service; of two with one name the first one's.
    pub(super) fn of_service(&mut self, read: Option<(Service, Vec<Reference>)>) -> Option<Service> {
        let (service, features) = read?;
        self.services.entry(service.name.clone()).or_insert(features);
        Some(service)
    }

    /// As [`Self::of_service`], for an on-demand view.
    pub(super) fn of_view(&mut self, read: Option<(OnDemand, Vec<Reference>)>) -> Option<OnDemand> {
        let (view, inputs) = read?;
        self.on_demand.entry(view.name.clone()).or_insert(inputs);
        Some(view)
    }

    /// Gives every service its features and every on-demand view its inputs.
    pub(super) fn write_out(self, all: &mut Definitions, broken: &Broken, mistakes: &mut Mistakes) {
        let mut inputs = Vec::new();
        for (name, references) in self.on_demand {
            let aliases = all.on_demand.get(name.as_str()).map(|view| view.views.as_slice()).unwrap_or_default();
            inputs.push((name, written_out(references, aliases, all, broken, mistakes)));
        }
        let mut features = Vec::new();
        for (name, references) in self.services {
            let aliases = all.services.get(name.as_str()).map(|s| s.views.as_slice()).unwrap_or_default();
            features.push((name, written_out(references, aliases, all, broken, mistakes)));
        }
        for (name, inputs) in inputs {
            if let Some(view) = all.on_demand.get_mut(name.as_str()) {
                view.inputs = inputs;
            }
        }
        for (name, features) in features {
            if let Some(service) = all.services.get_mut(name.as_str()) {
                service.features = features;
            }
        }
    }
}

fn written_out(
    references: Vec<Reference>,
    aliases: &[ViewAlias],
    all: &Definitions,
    broken: &Broken,
    mistakes: &mut Mistakes,
) -> Vec<ServiceFeature> {
    let mut features = Vec::new();
    for reference in references {
        let (view, pattern, place) = match reference {
            Reference::One(feature) => {
                features.push(feature);
                continue;
            }
            Reference::All { view, pattern, place } => (view, pattern, place),
        };
        let Some(found) = all.view_as(aliases, view.as_str()) else {
            if !broken.contains(view.as_str()) {
                let message = format!("`{view}:*` names a view that nobody declares");
                let hint = suggest(view.as_str(), all.view_names(aliases));
                mistakes.push(Mistake::new(&place, message).hint(hint));
            }
            continue;
        };
        for feature in found.feature_names() {
            let name = match &pattern {
                None => Ok(feature.clone()),
                Some(pattern) => pattern.replace('*', feature.as_str()).parse(),
            };
            let (view, feature, place) = (view.clone(), feature.clone(), place.clone());
            match name {
                Ok(name) => features.push(ServiceFeature { view, feature, name, place }),
                Err(why) => {
                    let why: NameError = why;
                    mistakes.push(Mistake::new(&place, why.to_string()));
                }
            }
        }
    }
    features
}

/// `view:feature`, `{feature: view:feature, as: name}`, `view:*` or `{feature: view:*, as: prefix_*}`.
pub(super) fn reference(node: Node<'_>, mistakes: &mut Mistakes) -> Option<Reference> {
    let place = node.place();
    let (reference, name) = if matches!(node.scalar(), Some(Scalar::String(_))) {
        (node, None)
    } else {
        let mut fields = node.fields("a reference to a feature", mistakes);
        let reference = fields.required("feature", mistakes);
        let name = fields.optional("as");
        fields.finish(mistakes);
        (reference?, name)
    };
    let text = reference.text(mistakes)?;
    let Some((view, feature)) = text.split_once(':') else {
        let message = format!("`{text}` does not name a feature");
        mistakes.push(Mistake::new(&place, message).hint("write view:feature, such as user_features:total_orders"));
        return None;
    };
    let view = named::<ViewName>(view, &place, mistakes);
    if feature.trim() == "*" {
        let pattern = name.and_then(|name| {
            name.parse(mistakes, |text| match text.matches('*').count() {
                1 => Ok(text.to_owned()),
                _ => Err(format!(
                    "`{text}` names all features of a view: write one `*` for the name of each, such as a_*"
                )),
            })
        });
        return Some(Reference::All { view: view?, pattern, place });
    }
    let feature = named::<FeatureName>(feature, &place, mistakes);
    let name = name.and_then(|name| name.parse(mistakes, str::parse::<FeatureName>));
    let feature = feature?;
    let name = name.unwrap_or_else(|| feature.clone());
    Some(Reference::One(ServiceFeature { view: view?, name, feature, place }))
}

fn named<N: std::str::FromStr<Err = NameError>>(text: &str, place: &Place, mistakes: &mut Mistakes) -> Option<N> {
    text.trim().parse().map_err(|why: NameError| mistakes.push(Mistake::new(place, why.to_string()))).ok()
}

/// `{view: city_stats, as: origin, join_keys: {city_id: origin_city_id}}`.
pub(super) fn alias(node: Node<'_>, mistakes: &mut Mistakes) -> Option<ViewAlias> {
    let mut fields = node.fields("a view under another name", mistakes);
    let view: Option<ViewName> = name(&mut fields, "view", mistakes);
    let alias = fields.optional("as").and_then(|node| node.parse(mistakes, str::parse::<ViewName>));
    let mut join_keys = BTreeMap::new();
    if let Some(map) = fields.optional("join_keys") {
        for (key, column) in map.entries(mistakes) {
            let key = key.parse(mistakes, str::parse::<FeatureName>);
            let column = column.parse(mistakes, str::parse::<FeatureName>);
            if let (Some(key), Some(column)) = (key, column) {
                join_keys.insert(key, column);
            }
        }
    }
    let place = fields.place().clone();
    fields.finish(mistakes);
    let view = view?;
    // A key that keeps its name is not renamed: two ways to write one thing mean the same.
    join_keys.retain(|key, column| key != column);
    Some(ViewAlias { name: alias.unwrap_or_else(|| view.clone()), view, join_keys, place })
}
