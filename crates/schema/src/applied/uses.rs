//! Which views a service reads, under which names and keys: its own and those behind its on-demand views.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AppliedDefinitions, OnDemandInput, ServiceColumn, ViewId};
use crate::definitions::{JoinKey, ViewAlias};
use crate::name::FeatureName;

/// One use of a feature view: the same view may be used several times, by other keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewUse {
    /// What answers and logs call it, unique within the service: the view's name, its alias, or `on_demand_view.name`
    /// where an on-demand view reads something else by a name that the service knows already.
    pub name: String,
    /// The view version.
    pub view: ViewId,
    /// Join keys of the view that requests and spines call otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub join_keys: BTreeMap<FeatureName, FeatureName>,
}

/// One use of an on-demand view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemandUse {
    /// What answers call it, unique among all uses of the service.
    pub name: String,
    /// The on-demand view version.
    pub view: ViewId,
    /// Where each of its inputs comes from, in the view's order.
    pub inputs: Vec<InputSource>,
    /// Join keys that requests call otherwise: what was said of the view as a whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub join_keys: BTreeMap<FeatureName, FeatureName>,
}

/// A feature of one of the service's uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSource {
    /// The use's name.
    pub of: String,
    /// The feature.
    pub feature: FeatureName,
}

impl ViewUse {
    /// A view under its own name and keys.
    pub fn plain(view: &ViewId) -> Self {
        Self { name: view.name.to_string(), view: view.clone(), join_keys: BTreeMap::new() }
    }

    /// The keys as requests and spines name them, from the view's own.
    pub fn keys(&self, own: &[JoinKey]) -> Vec<JoinKey> {
        let renamed = |key: &JoinKey| JoinKey { name: renamed(&self.join_keys, &key.name), dtype: key.dtype };
        own.iter().map(renamed).collect()
    }
}

type Renames = BTreeMap<FeatureName, FeatureName>;

fn renamed(join_keys: &Renames, key: &FeatureName) -> FeatureName {
    join_keys.get(key).unwrap_or(key).clone()
}

/// First `inner`, then `outer`, on the keys that are there.
fn then(inner: &Renames, outer: &Renames, keys: &[FeatureName]) -> Renames {
    let through = keys.iter().map(|key| (key.clone(), renamed(outer, &renamed(inner, key))));
    through.filter(|(key, column)| key != column).collect()
}

/// The uses of a service with these columns; both empty where there is nothing to say that the columns do not.
pub(super) fn resolve(
    columns: &[ServiceColumn],
    aliases: &[ViewAlias],
    all: &AppliedDefinitions,
) -> Option<(Vec<ViewUse>, Vec<OnDemandUse>)> {
    let mut uses = Uses { all, views: Vec::new(), on_demand: Vec::new() };
    let join_keys = |column: &ServiceColumn| {
        let alias = aliases.iter().find(|alias| alias.name.as_str() == column.use_name());
        alias.map(|alias| alias.join_keys.clone()).unwrap_or_default()
    };
    // The service's own words come first: views behind on-demand views take the names that are left.
    for column in columns.iter().filter(|column| !all.is_on_demand(&column.view)) {
        if uses.taken(column.use_name()) {
            continue;
        }
        let (name, view, join_keys) = (column.use_name().to_owned(), column.view.clone(), join_keys(column));
        uses.views.push(ViewUse { name, view, join_keys });
    }
    let own = |column: &&ServiceColumn| all.is_on_demand(&column.view);
    let names: Vec<&str> = columns.iter().filter(own).map(ServiceColumn::use_name).collect();
    for column in columns.iter().filter(own) {
        if !uses.on_demand.iter().any(|used| used.name == column.use_name()) {
            uses.on_demand(column.use_name().to_owned(), &column.view, &join_keys(column), &names)?;
        }
    }
    let plain = |used: &ViewUse| used.name == used.view.name.as_str() && used.join_keys.is_empty();
    if uses.on_demand.is_empty() && uses.views.iter().all(plain) {
        uses.views.clear();
    }
    Some((uses.views, uses.on_demand))
}

struct Uses<'a> {
    all: &'a AppliedDefinitions,
    views: Vec<ViewUse>,
    on_demand: Vec<OnDemandUse>,
}

impl Uses<'_> {
    fn taken(&self, name: &str) -> bool {
        self.views.iter().any(|used| used.name == name) || self.on_demand.iter().any(|used| used.name == name)
    }

    /// A name for what `of` calls `wanted`; `reserved` are names that the service itself uses.
    fn free(&self, wanted: &str, of: &str, reserved: &[&str]) -> String {
        if !self.taken(wanted) && !reserved.contains(&wanted) {
            return wanted.to_owned();
        }
        let name = format!("{of}.{wanted}");
        let numbered = (2_u32..).map(|n| format!("{name}.{n}"));
        std::iter::once(name.clone()).chain(numbered).find(|name| !self.taken(name)).unwrap_or(name)
    }

    /// Adds an on-demand view after everything that it reads.
    fn on_demand(&mut self, name: String, id: &ViewId, join_keys: &Renames, reserved: &[&str]) -> Option<()> {
        let all = self.all;
        let view = all.on_demand_view(id)?;
        let mut inputs = Vec::with_capacity(view.inputs.len());
        for input in &view.inputs {
            let of = self.input(&name, input, join_keys, reserved)?;
            inputs.push(InputSource { of, feature: input.feature.clone() });
        }
        self.on_demand.push(OnDemandUse { name, view: id.clone(), inputs, join_keys: join_keys.clone() });
        Some(())
    }

    /// The name of the use behind one input of the on-demand view that is used as `of`.
    fn input(&mut self, of: &str, input: &OnDemandInput, outer: &Renames, reserved: &[&str]) -> Option<String> {
        let keys = self.all.key_names(&input.view)?;
        let join_keys = then(&input.join_keys, outer, &keys);
        let wanted = input.alias.as_ref().unwrap_or(&input.view.name).as_str();
        if self.all.is_on_demand(&input.view) {
            let same = |used: &&OnDemandUse| used.view == input.view && used.join_keys == join_keys;
            if let Some(known) = self.on_demand.iter().find(same) {
                return Some(known.name.clone());
            }
            let name = self.free(wanted, of, reserved);
            self.on_demand(name.clone(), &input.view, &join_keys, reserved)?;
            return Some(name);
        }
        let same = |used: &&ViewUse| used.view == input.view && used.join_keys == join_keys;
        if let Some(known) = self.views.iter().find(same) {
            return Some(known.name.clone());
        }
        let name = self.free(wanted, of, reserved);
        self.views.push(ViewUse { name: name.clone(), view: input.view.clone(), join_keys });
        Some(name)
    }
}

impl AppliedDefinitions {
    /// Whether a view version is an on-demand view's. A name is a feature view's or an on-demand view's, never both at
    /// once; over time it may have been both, and then the one that is current counts.
    fn is_on_demand(&self, id: &ViewId) -> bool {
        match self.views.get(id.name.as_str()) {
            Some(versions) if versions.current.is_some() => false,
            _ => self.on_demand_view(id).is_some(),
        }
    }

    /// The join keys of a view version of either kind, as requests name them.
    fn key_names(&self, id: &ViewId) -> Option<Vec<FeatureName>> {
        if !self.is_on_demand(id) {
            return Some(self.view(id)?.keys().iter().map(|key| key.name.clone()).collect());
        }
        let mut names = Vec::new();
        for input in &self.on_demand_view(id)?.inputs {
            for key in self.key_names(&input.view)? {
                let name = renamed(&input.join_keys, &key);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Some(names)
    }
}
