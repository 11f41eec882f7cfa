//! Definitions with versions: what a project has applied, each view and service complete in itself.
//!
//! A version is an integer that grows when the meaning changes. Versions live side by side, so a model trained on view
//! version 1 is served version 1 for as long as it lives.

pub mod compatibility;
pub mod migrations;
pub mod model;
mod on_demand;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::definitions::{BadRows, Definitions, Entity, Format, JoinKey, Service, ServiceFeature, Source, View};
use crate::dtype::Dtype;
use crate::fingerprint::{Fingerprint, normal_sql};
use crate::name::{EntityName, FeatureName, ModelName, ServiceName, SourceName, ViewName};
use crate::order::Visibility;
use crate::value::Value;
pub use migrations::Chain;
pub use model::ModelDefinition;
pub use on_demand::{OnDemandInput, OnDemandView};
pub use uses::{InputSource, OnDemandUse, ViewUse};

/// A view and its version: `user_features@v1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ViewId {
    /// The view.
    pub name: ViewName,
    /// Its version, from 1.
    pub version: u32,
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@v{}", self.name, self.version)
    }
}

/// One version of a feature view, with the entity and source as they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureView {
    /// Name and version.
    pub id: ViewId,
    /// Digest of the meaning.
    pub fingerprint: Fingerprint,
    /// The declaration.
    pub definition: View,
    /// Its entity.
    pub entity: Entity,
    /// Its source.
    pub source: Source,
}

/// One version of a feature service, with the view versions it pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureService {
    /// Its name.
    pub name: ServiceName,
    /// Its version, from 1.
    pub version: u32,
    /// Digest of the meaning: the columns and the meaning of their views, not the name, so that it is the same in every
    /// project that declares the same.
    pub fingerprint: Fingerprint,
    /// The declaration.
    pub definition: Service,
    /// Its columns, in the model's order.
    pub columns: Vec<ServiceColumn>,
    /// The feature views it reads, itself or through on-demand views. Empty where each is read under its own name and
    /// keys and there are no on-demand views: [`Self::view_uses`] says it in every case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<ViewUse>,
    /// The on-demand views it reads; what one reads stands before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_demand: Vec<OnDemandUse>,
}

/// One column that a service hands to its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceColumn {
    /// Its name in the service.
    pub name: FeatureName,
    /// The view version it comes from, stored or on-demand.
    pub view: ViewId,
    /// What the service calls that view, if not by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<ViewName>,
    /// Its name in the view.
    pub feature: FeatureName,
    /// Its type.
    pub dtype: Dtype,
    /// What the model sees in place of null.
    pub fill: Option<Value>,
}

/// All versions of one thing, and the one that is declared now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions<T> {
    /// Version number of the declared meaning; `None` when nobody declares it any more.
    pub current: Option<u32>,
    /// Every version, oldest first.
    pub all: Vec<T>,
    /// Numbers of versions that were removed: what they mean is still known, their data is gone, and nobody may use them
    /// until the same meaning is declared again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removed: BTreeSet<u32>,
}

impl<T> Default for Versions<T> {
    fn default() -> Self {
        Self { current: None, all: Vec::new(), removed: BTreeSet::new() }
    }
}

/// What is applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedDefinitions {
    /// Entities as declared now.
    pub entities: BTreeMap<EntityName, Entity>,
    /// Sources as declared now.
    pub sources: BTreeMap<SourceName, Source>,
    /// Views by name.
    pub views: BTreeMap<ViewName, Versions<FeatureView>>,
    /// On-demand views by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub on_demand: BTreeMap<ViewName, Versions<OnDemandView>>,
    /// Services by name.
    pub services: BTreeMap<ServiceName, Versions<FeatureService>>,
    /// What is declared of models, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<ModelName, ModelDefinition>,
}

impl FeatureView {
    /// The declared meaning as version `version`; `definitions` holds its entity and source.
    fn new(view: &View, definitions: &Definitions, version: u32) -> Option<Self> {
        let entity = definitions.entities.get(view.entity.as_str())?.clone();
        let source = definitions.sources.get(view.source.as_str())?.clone();
        let mut definition = view.clone();
        // Without a query the view's rows are the source's: its time columns are the view's.
        if definition.event_time.is_empty() {
            definition.event_time.clone_from(&source.event_time);
        }
        if definition.sql.is_none() {
            definition.created_time = definition.created_time.or_else(|| source.created_time.clone());
            definition.deleted = definition.deleted.or_else(|| source.deleted.clone());
        }
        let fingerprint = Fingerprint::of(&meaning(&definition, &entity, &source));
        let id = ViewId { name: view.name.clone(), version };
        Some(Self { id, fingerprint, definition, entity, source })
    }

    /// The join keys.
    pub fn keys(&self) -> &[JoinKey] {
        &self.entity.keys
    }

    /// Which rows an instant may use.
    pub fn visibility(&self) -> Visibility {
        Visibility { known: self.definition.known, strict_before: self.definition.strict_before }
    }
}

fn meaning(view: &View, entity: &Entity, source: &Source) -> serde_json::Value {
    let mut from = json!({
        "name": source.name, "path": source.path, "timezone": source.timezone, "field_mapping": source.field_mapping,
    });
    // Said only where it is not the default, so that what was fingerprinted before keeps its fingerprint.
    if source.format != Format::Parquet {
        from["format"] = json!(source.format);
    }
    if !source.columns.is_empty() {
        from["columns"] = json!(source.columns);
    }
    if !source.partitions.is_empty() {
        from["partitions"] = json!(source.partitions);
    }
    if let Some(delimiter) = source.delimiter {
        from["delimiter"] = json!(delimiter);
    }
    if source.bad_rows != BadRows::Refuse {
        from["bad_rows"] = json!(source.bad_rows);
    }
    json!({
        "format": 1,
        "keys": entity.keys.iter().map(|k| json!([k.name, k.dtype])).collect::<Vec<_>>(),
        "source": from,
        "sql": view.sql.as_deref().map(normal_sql),
        "event_time": view.event_time,
        "created_time": view.created_time,
        "sequence": view.sequence,
        "deleted": view.deleted,
        "ttl": view.ttl,
        "known": view.known,
        "strict_before": view.strict_before,
        "features": view.features.iter().map(|f| json!([f.name, f.dtype])).collect::<Vec<_>>(),
        "computed": view.computed.iter().map(|c| json!([c.name, c.dtype, normal_sql(&c.expr)])).collect::<Vec<_>>(),
    })
}

impl ServiceColumn {
    /// What the service calls the view.
    pub fn use_name(&self) -> &str {
        self.alias.as_ref().unwrap_or(&self.view.name).as_str()
    }
}

impl FeatureService {
    /// `version` of the declared service over the current versions in `all`.
    fn new(service: &Service, all: &AppliedDefinitions, version: u32) -> Option<Self> {
        let mut columns = Vec::with_capacity(service.features.len());
        let mut meaning = Vec::with_capacity(service.features.len());
        for feature in &service.features {
            let (column, said) = column(service, feature, all)?;
            columns.push(column);
            meaning.push(said);
        }
        let (uses, on_demand) = uses::resolve(&columns, &service.views, all)?;
        let mut meaning = json!({ "format": 1, "columns": meaning });
        // The log of what was answered names views as the service does, and is found by the fingerprint.
        let named: Vec<_> = uses.iter().filter(|used| used.name != used.view.name.as_str()).collect();
        if !named.is_empty() {
            let said = |used: &&ViewUse| Some(json!([used.name, all.view(&used.view)?.fingerprint, used.join_keys]));
            meaning["uses"] = json!(named.iter().map(said).collect::<Option<Vec<_>>>()?);
        }
        let fingerprint = Fingerprint::of(&meaning);
        let (name, definition) = (service.name.clone(), service.clone());
        Some(Self { name, version, fingerprint, definition, columns, uses, on_demand })
    }

    /// The feature views it reads, by the names that answers and logs use, in order of first use.
    pub fn view_uses(&self) -> Vec<ViewUse> {
        if !self.uses.is_empty() || !self.on_demand.is_empty() {
            return self.uses.clone();
        }
        let mut uses: Vec<ViewUse> = Vec::new();
        for column in &self.columns {
            if !uses.iter().any(|known| known.view == column.view) {
                uses.push(ViewUse::plain(&column.view));
            }
        }
        uses
    }

    /// The feature view versions it pins, each once, in order of first use; on-demand views are not among them.
    pub fn views(&self) -> Vec<&ViewId> {
        let used = self.uses.iter().map(|used| &used.view);
        let plain = self.columns.iter().map(|column| &column.view).filter(|_| !self.has_uses());
        let mut views: Vec<&ViewId> = Vec::new();
        for view in used.chain(plain) {
            if !views.contains(&view) {
                views.push(view);
            }
        }
        views
    }

    fn has_uses(&self) -> bool {
        !self.uses.is_empty() || !self.on_demand.is_empty()
    }

    /// Everything that it pins: feature views and on-demand views.
    fn pins(&self) -> Vec<ViewId> {
        let on_demand = self.on_demand.iter().map(|used| &used.view);
        self.views().into_iter().chain(on_demand).cloned().collect()
    }
}

/// One column of a service, and what it means.
fn column(
    service: &Service,
    feature: &ServiceFeature,
    all: &AppliedDefinitions,
) -> Option<(ServiceColumn, serde_json::Value)> {
    let (input, fingerprint) = on_demand::input(&service.views, feature, all)?;
    let OnDemandInput { name, view, alias, feature, dtype, join_keys } = input;
    let fill = service.fill.get(name.as_str()).map(|value| value.canonical(dtype)).transpose().ok()?;
    let mut meaning = json!({ "name": name, "dtype": dtype, "view": fingerprint, "feature": feature, "fill": fill });
    if !join_keys.is_empty() {
        meaning["join_keys"] = json!(join_keys);
    }
    Some((ServiceColumn { name, view, alias, feature, dtype, fill }, meaning))
}

impl<T> Versions<T> {
    fn number(&self, version: u32) -> Option<&T> {
        self.all.get(usize::try_from(version).ok()?.checked_sub(1)?)
    }

    /// The declared version.
    pub fn current(&self) -> Option<&T> {
        self.number(self.current?)
    }
}

impl AppliedDefinitions {
    /// What is applied after `declared` is: new meanings get the next version, known meanings the version they had, and
    /// what is no longer declared keeps its versions but is current no more.
    pub fn after(&self, declared: &Definitions) -> Self {
        let mut next = Self {
            entities: declared.entities.clone(),
            sources: declared.sources.clone(),
            views: self.views.clone(),
            on_demand: self.on_demand.clone(),
            services: self.services.clone(),
            models: BTreeMap::new(),
        };
        next.views.values_mut().for_each(|versions| versions.current = None);
        next.on_demand.values_mut().for_each(|versions| versions.current = None);
        next.services.values_mut().for_each(|versions| versions.current = None);
        for (name, view) in &declared.views {
            let versions = next.views.entry(name.clone()).or_default();
            let count = u32::try_from(versions.all.len()).unwrap_or(u32::MAX);
            if let Some(mut found) = FeatureView::new(view, declared, count + 1) {
                adopt(versions, &mut found, |v| v.fingerprint, |v, n| v.id.version = n);
            }
        }
        next.adopt_on_demand(declared);
        for (name, service) in &declared.services {
            let count = next.services.get(name.as_str()).map_or(0, |versions| versions.all.len());
            let version = u32::try_from(count).unwrap_or(u32::MAX) + 1;
            if let Some(mut found) = FeatureService::new(service, &next, version) {
                let versions = next.services.entry(name.clone()).or_default();
                // A view that was renamed means the same but stands elsewhere: a version that serves must not move there.
                let place = |s: &FeatureService| (s.fingerprint, s.pins());
                adopt(versions, &mut found, place, |s, n| s.version = n);
            }
        }
        next.models = declared.models.values().map(|model| (model.name.clone(), next.adopt_model(model))).collect();
        next.into_stored()
    }

    /// As it comes back from the log: places in files are no part of what is applied, and must not look like changes.
    fn into_stored(self) -> Self {
        let stored = serde_json::to_value(&self).and_then(serde_json::from_value);
        stored.unwrap_or(self)
    }

    /// A view version.
    pub fn view(&self, id: &ViewId) -> Option<&FeatureView> {
        self.views.get(id.name.as_str())?.number(id.version)
    }

    /// Whether a view version was removed.
    pub fn is_removed(&self, id: &ViewId) -> bool {
        self.views.get(id.name.as_str()).is_some_and(|versions| versions.removed.contains(&id.version))
    }

    /// The other versions of a view that were not removed.
    pub fn other_versions(&self, id: &ViewId) -> Vec<FeatureView> {
        let all = self.views.get(id.name.as_str()).into_iter().flat_map(|versions| &versions.all);
        all.filter(|view| view.id != *id && !self.is_removed(&view.id)).cloned().collect()
    }

    /// Marks a view version as removed.
    ///
    /// # Errors
    /// There is no such version, or it is the current one.
    pub fn remove(&mut self, id: &ViewId) -> Result<(), String> {
        let versions = self.views.get_mut(id.name.as_str()).filter(|versions| versions.number(id.version).is_some());
        let versions = versions.ok_or_else(|| format!("there is no feature view `{id}` to remove"))?;
        if versions.current == Some(id.version) {
            return Err(format!("feature view `{id}` is the current version"));
        }
        versions.removed.insert(id.version);
        Ok(())
    }

    /// What of the definitions uses a view version: being current itself, current services and older ones whose clients
    /// they answer, current on-demand views.
    pub fn users_of(&self, id: &ViewId) -> Vec<String> {
        let mut users = Vec::new();
        if self.current_view(id.name.as_str()).is_some_and(|view| view.id == *id) {
            users.push("the project's files, which declare it".to_owned());
        }
        let services: Vec<&FeatureService> = self.services.values().filter_map(Versions::current).collect();
        let named =
            |service: &FeatureService| format!("feature service `{}` version {}", service.name, service.version);
        let reads = |service: &&FeatureService| service.views().contains(&id);
        let older = self.older_than(&services);
        users.extend(services.into_iter().filter(reads).map(named));
        users.extend(older.into_iter().filter(reads).map(|service| format!("clients of {}", named(service))));
        let on_demand = self.on_demand.values().filter_map(Versions::current);
        let reads = |view: &&OnDemandView| view.inputs.iter().any(|input| input.view == *id);
        users.extend(on_demand.filter(reads).map(|view| format!("on-demand view `{}`", view.id)));
        users
    }

    /// The current version of a view.
    pub fn current_view(&self, name: &str) -> Option<&FeatureView> {
        self.views.get(name)?.current()
    }

    /// An on-demand view version.
    pub fn on_demand_view(&self, id: &ViewId) -> Option<&OnDemandView> {
        self.on_demand.get(id.name.as_str())?.number(id.version)
    }

    /// The current version of an on-demand view.
    pub fn current_on_demand(&self, name: &str) -> Option<&OnDemandView> {
        self.on_demand.get(name)?.current()
    }

    /// A service that nobody applied, over the current views: version 0.
    pub fn ad_hoc(&self, service: &Service) -> Option<FeatureService> {
        FeatureService::new(service, self, 0)
    }

    /// The current version of a service.
    pub fn current_service(&self, name: &str) -> Option<&FeatureService> {
        self.services.get(name)?.current()
    }

    /// The newest version of any service with this meaning, `name` first.
    pub fn service_by_fingerprint(&self, name: &str, fingerprint: &Fingerprint) -> Option<&FeatureService> {
        fn find<'a>(versions: &'a Versions<FeatureService>, fingerprint: &Fingerprint) -> Option<&'a FeatureService> {
            versions.all.iter().rev().find(|service| &service.fingerprint == fingerprint)
        }
        let named = self.services.get(name).and_then(|versions| find(versions, fingerprint));
        named.or_else(|| self.services.values().find_map(|versions| find(versions, fingerprint)))
    }
}

/// Makes `found` current: the version that has its meaning already, with today's words, or a new one.
fn adopt<T: Clone, M: PartialEq>(
    versions: &mut Versions<T>,
    found: &mut T,
    fingerprint: impl Fn(&T) -> M,
    renumber: impl Fn(&mut T, u32),
) {
    let known = versions.all.iter().position(|version| fingerprint(version) == fingerprint(found));
    let at = known.unwrap_or(versions.all.len());
    let number = u32::try_from(at).unwrap_or(u32::MAX) + 1;
    renumber(found, number);
    match known {
        Some(at) => versions.all[at] = found.clone(),
        None => versions.all.push(found.clone()),
    }
    versions.current = Some(number);
    versions.removed.remove(&number);
}

#[cfg(test)]
mod tests;
