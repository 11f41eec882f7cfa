//! Definitions with versions: what a project has applied, each view and service complete in itself.
//!
//! A version is an integer that grows when the meaning changes. Versions live side by side, so a model trained on view
//! version 1 is served version 1 for as long as it lives.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::definitions::{Definitions, Entity, JoinKey, Service, Source, View};
use crate::dtype::Dtype;
use crate::fingerprint::{Fingerprint, normal_sql};
use crate::name::{EntityName, FeatureName, ServiceName, SourceName, ViewName};
use crate::order::Visibility;
use crate::value::Value;

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
}

/// One column that a service hands to its model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceColumn {
    /// Its name in the service.
    pub name: FeatureName,
    /// The view version it comes from.
    pub view: ViewId,
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
    /// Services by name.
    pub services: BTreeMap<ServiceName, Versions<FeatureService>>,
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
    json!({
        "format": 1,
        "keys": entity.keys.iter().map(|k| json!([k.name, k.dtype])).collect::<Vec<_>>(),
        "source": {
            "name": source.name, "path": source.path, "timezone": source.timezone, "field_mapping": source.field_mapping,
        },
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

impl FeatureService {
    /// `version` of the declared service over the current versions in `views`.
    fn new(service: &Service, views: &BTreeMap<ViewName, Versions<FeatureView>>, version: u32) -> Option<Self> {
        let column = |feature: &crate::definitions::ServiceFeature| {
            let view = views.get(feature.view.as_str())?.current()?;
            let dtype = view.definition.dtype_of(feature.feature.as_str())?;
            let fill = service.fill.get(feature.name.as_str());
            let fill = fill.map(|value| value.canonical(dtype)).transpose().ok()?;
            let (name, feature) = (feature.name.clone(), feature.feature.clone());
            Some((ServiceColumn { name, view: view.id.clone(), feature, dtype, fill }, view.fingerprint))
        };
        let columns = service.features.iter().map(column).collect::<Option<Vec<_>>>()?;
        let meaning: Vec<_> = columns
            .iter()
            .map(|(c, view)| json!({ "name": c.name, "dtype": c.dtype, "view": view, "feature": c.feature, "fill": c.fill }))
            .collect();
        let fingerprint = Fingerprint::of(&json!({ "format": 1, "columns": meaning }));
        let columns = columns.into_iter().map(|(column, _)| column).collect();
        Some(Self { name: service.name.clone(), version, fingerprint, definition: service.clone(), columns })
    }

    /// The view versions it pins, each once, in order of first use.
    pub fn views(&self) -> Vec<&ViewId> {
        let mut views: Vec<&ViewId> = Vec::new();
        for column in &self.columns {
            if !views.contains(&&column.view) {
                views.push(&column.view);
            }
        }
        views
    }
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
            services: self.services.clone(),
        };
        next.views.values_mut().for_each(|versions| versions.current = None);
        next.services.values_mut().for_each(|versions| versions.current = None);
        for (name, view) in &declared.views {
            let versions = next.views.entry(name.clone()).or_insert(Versions { current: None, all: Vec::new() });
            let count = u32::try_from(versions.all.len()).unwrap_or(u32::MAX);
            if let Some(mut found) = FeatureView::new(view, declared, count + 1) {
                adopt(versions, &mut found, |v| v.fingerprint, |v, n| v.id.version = n);
            }
        }
        for (name, service) in &declared.services {
            let count = next.services.get(name.as_str()).map_or(0, |versions| versions.all.len());
            let version = u32::try_from(count).unwrap_or(u32::MAX) + 1;
            if let Some(mut found) = FeatureService::new(service, &next.views, version) {
                let versions = next.services.entry(name.clone()).or_insert(Versions { current: None, all: Vec::new() });
                // A view that was renamed means the same but stands elsewhere: a version that serves must not move there.
                let place = |s: &FeatureService| (s.fingerprint, s.views().into_iter().cloned().collect::<Vec<_>>());
                adopt(versions, &mut found, place, |s, n| s.version = n);
            }
        }
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

    /// The current version of a view.
    pub fn current_view(&self, name: &str) -> Option<&FeatureView> {
        self.views.get(name)?.current()
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
}

#[cfg(test)]
mod tests;
