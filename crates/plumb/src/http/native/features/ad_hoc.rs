//! A service of the features that a request names, over the current views.

use std::collections::BTreeMap;

use schema::applied::Versions;
use schema::definitions::{Service, ServiceFeature};
use schema::yaml::{Place, suggest};
use schema::{AppliedDefinitions, ErrorKind, FeatureName, FeatureService, ViewName};

use crate::failure::Failure;

pub(super) fn service(definitions: &AppliedDefinitions, references: &[String]) -> Result<FeatureService, Failure> {
    let mut features: Vec<ServiceFeature> = Vec::new();
    for reference in references {
        let Some((view, feature)) = reference.split_once(':') else {
            return Err(Failure::invalid(format!("`{reference}` does not name a feature"))
                .code("wrong_reference")
                .hint("write view:feature, such as user_features:total_orders"));
        };
        let (view, names) = names_of(definitions, view)?;
        let Some(name) = names.iter().find(|name| name.as_str() == feature) else {
            let message = format!("feature view `{view}` has no feature `{feature}`");
            let hint = suggest(feature, names.iter().map(|name| name.as_str()));
            return Err(Failure::new(ErrorKind::NotFound, message).code("unknown_feature").hint(hint));
        };
        if features.iter().any(|known| known.name == **name) {
            let message = format!("two features are called `{name}`");
            return Err(Failure::invalid(message)
                .code("name_collision")
                .hint("ask for a feature service that renames one"));
        }
        let (view, feature, name) = (view.clone(), (*name).clone(), (*name).clone());
        features.push(ServiceFeature { view, feature, name, place: Place::default() });
    }
    let name = "features".parse().map_err(|why: schema::name::NameError| Failure::invalid(why.to_string()))?;
    let service = Service {
        name,
        views: Vec::new(),
        features,
        fill: BTreeMap::new(),
        migrate_from: BTreeMap::new(),
        description: None,
        owner: None,
        tags: BTreeMap::new(),
        place: Place::default(),
    };
    let unresolved = || Failure::new(ErrorKind::Internal, "the features that were found are not there");
    definitions.ad_hoc(&service).ok_or_else(unresolved)
}

/// A current view's name and its features.
fn names_of<'d>(
    definitions: &'d AppliedDefinitions,
    wanted: &str,
) -> Result<(&'d ViewName, Vec<&'d FeatureName>), Failure> {
    if let Some(view) = definitions.current_view(wanted) {
        return Ok((&view.id.name, view.definition.feature_names().collect()));
    }
    if let Some(view) = definitions.current_on_demand(wanted) {
        return Ok((&view.id.name, view.definition.features.iter().map(|f| &f.name).collect()));
    }
    fn current<T>((name, versions): (&ViewName, &Versions<T>)) -> Option<String> {
        versions.current().map(|_| name.to_string())
    }
    let stored = definitions.views.iter().filter_map(current);
    let known: Vec<String> = stored.chain(definitions.on_demand.iter().filter_map(current)).collect();
    let message = format!("feature view `{wanted}` is not applied");
    let hint = suggest(wanted, known.iter().map(String::as_str));
    Err(Failure::new(ErrorKind::NotFound, message).code("unknown_view").hint(hint))
}
