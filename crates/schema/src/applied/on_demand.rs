//! On-demand views with versions: what each reads is pinned, so a version means the same for ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AppliedDefinitions, ViewId, adopt};
use crate::definitions::{Definitions, OnDemand, ServiceFeature, ViewAlias};
use crate::dtype::Dtype;
use crate::fingerprint::{Fingerprint, normal_sql};
use crate::name::{FeatureName, ViewName};

/// One version of an on-demand view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemandView {
    /// Name and version.
    pub id: ViewId,
    /// Digest of the meaning: expressions, types, request fields, and the meaning of what it reads.
    pub fingerprint: Fingerprint,
    /// The declaration.
    pub definition: OnDemand,
    /// What it reads, in the order of the declaration's inputs.
    pub inputs: Vec<OnDemandInput>,
}

/// One input, resolved to a view version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemandInput {
    /// Its name in the expressions.
    pub name: FeatureName,
    /// The view version it comes from, stored or on-demand.
    pub view: ViewId,
    /// What the on-demand view calls that view, if not by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<ViewName>,
    /// Its name there.
    pub feature: FeatureName,
    /// Its type.
    pub dtype: Dtype,
    /// Join keys of the view that requests call otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub join_keys: BTreeMap<FeatureName, FeatureName>,
}

impl OnDemandView {
    /// The declared meaning as version `version`, once everything it reads has its own version in `all`.
    fn new(view: &OnDemand, all: &AppliedDefinitions, version: u32) -> Option<Self> {
        let resolved = view.inputs.iter().map(|feature| input(&view.views, feature, all));
        let resolved = resolved.collect::<Option<Vec<_>>>()?;
        let inputs: Vec<_> =
            resolved.iter().map(|(i, view)| json!([i.name, view, i.feature, i.dtype, i.join_keys])).collect();
        let meaning = json!({
            "format": 1,
            "kind": "on_demand_view",
            "inputs": inputs,
            "request": view.request.iter().map(|f| json!([f.name, f.dtype])).collect::<Vec<_>>(),
            "features": view.features.iter().map(|f| json!([f.name, f.dtype, normal_sql(&f.expr)])).collect::<Vec<_>>(),
        });
        Some(Self {
            id: ViewId { name: view.name.clone(), version },
            fingerprint: Fingerprint::of(&meaning),
            definition: view.clone(),
            inputs: resolved.into_iter().map(|(input, _)| input).collect(),
        })
    }

    fn pins(&self) -> Vec<ViewId> {
        self.inputs.iter().map(|input| input.view.clone()).collect()
    }
}

/// What a reference names among these aliases and the current versions, and the meaning of its view.
pub(super) fn input(
    aliases: &[ViewAlias],
    feature: &ServiceFeature,
    all: &AppliedDefinitions,
) -> Option<(OnDemandInput, Fingerprint)> {
    let alias = aliases.iter().find(|alias| alias.name == feature.view);
    let name = alias.map_or(&feature.view, |alias| &alias.view).as_str();
    let (view, fingerprint, dtype) = match (all.current_view(name), all.current_on_demand(name)) {
        (Some(view), _) => (&view.id, view.fingerprint, view.definition.dtype_of(feature.feature.as_str())?),
        (None, Some(view)) => (&view.id, view.fingerprint, view.definition.dtype_of(feature.feature.as_str())?),
        (None, None) => return None,
    };
    let input = OnDemandInput {
        name: feature.name.clone(),
        view: view.clone(),
        alias: alias.map(|alias| alias.name.clone()).filter(|alias| *alias != view.name),
        feature: feature.feature.clone(),
        dtype,
        join_keys: alias.map(|alias| alias.join_keys.clone()).unwrap_or_default(),
    };
    Some((input, fingerprint))
}

impl AppliedDefinitions {
    /// Gives every declared on-demand view its version, those that others read first. What reads itself in a circle gets
    /// none; declared definitions are checked, so that is nobody's.
    pub(super) fn adopt_on_demand(&mut self, declared: &Definitions) {
        let mut waiting: Vec<&OnDemand> = declared.on_demand.values().collect();
        loop {
            let before = waiting.len();
            // What a view reads must have today's version, not last time's.
            let ready = |view: &OnDemand, waiting: &[&OnDemand]| {
                let target = |name: &ViewName| {
                    let alias = view.views.iter().find(|alias| alias.name == *name);
                    alias.map_or(name, |alias| &alias.view).clone()
                };
                !view.inputs.iter().any(|input| waiting.iter().any(|other| other.name == target(&input.view)))
            };
            let now: Vec<&OnDemand> = waiting.iter().copied().filter(|view| ready(view, &waiting)).collect();
            waiting.retain(|view| !now.iter().any(|done| done.name == view.name));
            for view in now {
                let count = self.on_demand.get(view.name.as_str()).map_or(0, |versions| versions.all.len());
                let version = u32::try_from(count).unwrap_or(u32::MAX) + 1;
                let Some(mut found) = OnDemandView::new(view, self, version) else { continue };
                let versions = self.on_demand.entry(view.name.clone());
                let versions = versions.or_default();
                adopt(versions, &mut found, |v| (v.fingerprint, v.pins()), |v, n| v.id.version = n);
            }
            if waiting.is_empty() || waiting.len() == before {
                return;
            }
        }
    }
}
