//! What a reference such as `origin:population` names: a feature view or an on-demand view, perhaps by an alias.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Definitions, OnDemand, RequestField, View};
use crate::definitions::JoinKey;
use crate::dtype::Dtype;
use crate::name::{FeatureName, ViewName};
use crate::yaml::Place;

/// A view under another name, or by other names of its join keys: origin and destination of one trip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewAlias {
    /// What references call it; the view's own name unless given.
    pub name: ViewName,
    /// The view, stored or on-demand.
    pub view: ViewName,
    /// Join key of the view to the column of the spine, or the entity of the request, that holds it. Keys that are not
    /// named keep their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub join_keys: BTreeMap<FeatureName, FeatureName>,
    /// Where it is declared.
    #[serde(skip)]
    pub place: Place,
}

/// A feature view or an on-demand view: they share their names' space, so that a reference names one thing.
#[derive(Debug, Clone, Copy)]
pub enum AnyView<'d> {
    /// A feature view.
    Stored(&'d View),
    /// An on-demand view.
    OnDemand(&'d OnDemand),
}

impl<'d> AnyView<'d> {
    /// The dtype of one of its features.
    pub fn dtype_of(self, feature: &str) -> Option<Dtype> {
        match self {
            Self::Stored(view) => view.dtype_of(feature),
            Self::OnDemand(view) => view.dtype_of(feature),
        }
    }

    /// All feature names, in declared order.
    pub fn feature_names(self) -> Vec<&'d FeatureName> {
        match self {
            Self::Stored(view) => view.feature_names().collect(),
            Self::OnDemand(view) => view.features.iter().map(|f| &f.name).collect(),
        }
    }
}

/// What a request must say for a view: its join keys, by the names that requests use, and request fields.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) keys: Vec<JoinKey>,
    pub(crate) fields: Vec<RequestField>,
}

impl Definitions {
    /// A view of either kind.
    pub fn any_view(&self, name: &str) -> Option<AnyView<'_>> {
        let stored = self.views.get(name).map(AnyView::Stored);
        stored.or_else(|| self.on_demand.get(name).map(AnyView::OnDemand))
    }

    /// The view that `name` stands for among these aliases.
    pub fn view_as(&self, aliases: &[ViewAlias], name: &str) -> Option<AnyView<'_>> {
        self.any_view(alias_of(aliases, name).map_or(name, |alias| alias.view.as_str()))
    }

    /// The dtype of `name:feature` among these aliases.
    pub fn dtype_as(&self, aliases: &[ViewAlias], name: &str, feature: &str) -> Option<Dtype> {
        self.view_as(aliases, name)?.dtype_of(feature)
    }

    /// The names that a reference may start with: aliases, then views.
    pub(super) fn view_names<'d>(&'d self, aliases: &'d [ViewAlias]) -> impl Iterator<Item = &'d str> {
        let names = aliases.iter().map(|alias| &alias.name);
        names.chain(self.views.keys()).chain(self.on_demand.keys()).map(ViewName::as_str)
    }

    /// What a request must say for `name` among these aliases. What is not declared, or goes round in circles, needs
    /// nothing: that is reported elsewhere.
    pub(crate) fn needs_of(&self, aliases: &[ViewAlias], name: &str) -> Needs {
        self.needs(aliases, name, &mut Vec::new())
    }

    fn needs<'d>(&'d self, aliases: &'d [ViewAlias], name: &'d str, path: &mut Vec<&'d str>) -> Needs {
        let alias = alias_of(aliases, name);
        let view = alias.map_or(name, |alias| alias.view.as_str());
        let mut needs = match self.any_view(view) {
            Some(AnyView::Stored(view)) => {
                let entity = self.entities.get(view.entity.as_str());
                Needs { keys: entity.map(|e| e.keys.clone()).unwrap_or_default(), fields: Vec::new() }
            }
            Some(AnyView::OnDemand(view)) if !path.contains(&view.name.as_str()) => {
                path.push(view.name.as_str());
                let mut all = Needs { keys: Vec::new(), fields: view.request.clone() };
                for input in &view.inputs {
                    let one = self.needs(&view.views, input.view.as_str(), path);
                    let known = |key: &JoinKey| all.keys.contains(key);
                    let keys: Vec<JoinKey> = one.keys.into_iter().filter(|key| !known(key)).collect();
                    all.keys.extend(keys);
                    all.fields.extend(one.fields);
                }
                path.pop();
                all
            }
            Some(AnyView::OnDemand(_)) | None => Needs::default(),
        };
        for key in &mut needs.keys {
            if let Some(name) = alias.and_then(|alias| alias.join_keys.get(key.name.as_str())) {
                key.name = name.clone();
            }
        }
        needs
    }
}

/// The alias of this name.
pub(crate) fn alias_of<'a>(aliases: &'a [ViewAlias], name: &str) -> Option<&'a ViewAlias> {
    aliases.iter().find(|alias| alias.name.as_str() == name)
}
