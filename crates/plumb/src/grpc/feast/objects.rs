//! Applied definitions as Feast's objects: pure, and made anew for every answer.
//!
//! Feast's entity is one join key: an entity of ours with several becomes one for each, named `entity.key`. A view's
//! source to push to, which Feast wants named, is `<view>_push`.

mod on_demand;
mod projections;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use schema::definitions::{Entity, JoinKey};
use schema::{AppliedDefinitions, Dtype, FeatureService, FeatureView, Ttl};

use crate::feast::messages::core;
use crate::feast::{NO_ENTITY, ValueType};
use crate::http::services::version_named;
use on_demand::feature as feature_of_on_demand;

const NANOS: i64 = 1_000_000_000;

/// What is applied in a project.
#[derive(Debug)]
pub struct Objects<'a> {
    project: &'a str,
    definitions: &'a AppliedDefinitions,
}

impl<'a> Objects<'a> {
    /// The objects of `project`.
    pub fn new(project: &'a str, definitions: &'a AppliedDefinitions) -> Self {
        Self { project, definitions }
    }

    /// All entities, by name.
    pub fn entities(&self) -> Vec<core::Entity> {
        let of = |entity: &'a Entity| entity.keys.iter().map(move |key| self.entity(entity, key));
        let mut entities: Vec<core::Entity> = self.definitions.entities.values().flat_map(of).collect();
        // Feast has one entity without keys, whatever we call ours.
        let mut seen = BTreeSet::new();
        entities.retain(|entity| seen.insert(entity.name().to_owned()));
        entities
    }

    /// The current version of every view, by name.
    pub fn feature_views(&self) -> Vec<core::FeatureView> {
        self.views().map(|view| self.view(view)).collect()
    }

    /// The current version of a view.
    pub fn feature_view(&self, name: &str) -> Option<core::FeatureView> {
        self.definitions.current_view(name).map(|view| self.view(view))
    }

    /// As [`Self::feature_view`], with the features that it computes when asked: for who reads features, and writes none.
    /// An on-demand view is one too.
    pub fn feature_view_to_read(&self, name: &str) -> Option<core::FeatureView> {
        let Some(view) = self.definitions.current_view(name) else {
            return self.definitions.current_on_demand(name).map(|view| self.on_demand_view(view));
        };
        let mut object = self.view(view);
        let computed = view.definition.computed.iter().filter_map(|computed| feature(view, computed.name.as_str()));
        object.spec.as_mut()?.features.extend(computed);
        Some(object)
    }

    /// The current version of every service, by name.
    pub fn feature_services(&self) -> Vec<core::FeatureService> {
        self.definitions.services.values().filter_map(|versions| Some(self.service(versions.current()?))).collect()
    }

    /// The version of a service that a text names, the current one unless it says `name@v2`. The answer has the name
    /// that was asked for: the client asks for features by it.
    pub fn feature_service(&self, name: &str) -> Option<core::FeatureService> {
        let mut service = self.service(version_named(self.definitions, name).ok()?);
        service.spec.as_mut()?.name = name.to_owned();
        Some(service)
    }

    /// What views read, each view's once, and what can be pushed to.
    pub fn data_sources(&self) -> Vec<core::DataSource> {
        self.views().flat_map(|view| [self.batch_source(view), self.push_source(view)]).collect()
    }

    /// All of it, as a registry file holds it.
    pub fn registry(&self) -> core::Registry {
        core::Registry {
            entities: self.entities(),
            registry_schema_version: "1".to_owned(),
            feature_views: self.feature_views(),
            feature_services: self.feature_services(),
            data_sources: self.data_sources(),
            projects: vec![project(self.project)],
            ..core::Registry::default()
        }
    }

    fn views(&self) -> impl Iterator<Item = &'a FeatureView> {
        self.definitions.views.values().filter_map(|versions| versions.current())
    }

    fn entity(&self, entity: &Entity, key: &JoinKey) -> core::Entity {
        let spec = core::EntitySpec {
            name: entity_name(entity, key),
            value_type: number(key.dtype),
            description: entity.description.clone().unwrap_or_default(),
            join_key: key.name.to_string(),
            tags: entity.tags.clone(),
            project: self.project.to_owned(),
            owner: entity.owner.clone().unwrap_or_default(),
        };
        core::Entity { spec: Some(spec), meta: Some(core::Meta::default()) }
    }

    fn view(&self, view: &FeatureView) -> core::FeatureView {
        let definition = &view.definition;
        let column = |key: &JoinKey| core::FeatureSpec {
            name: key.name.to_string(),
            value_type: number(key.dtype),
            ..core::FeatureSpec::default()
        };
        let spec = core::FeatureViewSpec {
            name: view.id.name.to_string(),
            project: self.project.to_owned(),
            entities: view.keys().iter().map(|key| entity_name(&view.entity, key)).collect(),
            // Those that are written: the client refuses a frame that lacks one.
            features: definition.features.iter().filter_map(|f| feature(view, f.name.as_str())).collect(),
            tags: tags(view),
            ttl: Some(duration(definition.ttl)),
            batch_source: Some(self.batch_source(view)),
            online: true,
            stream_source: Some(self.push_source(view)),
            description: definition.description.clone().unwrap_or_default(),
            owner: definition.owner.clone().unwrap_or_default(),
            entity_columns: view.keys().iter().map(column).collect(),
            feature_transformation: None,
        };
        let version = i32::try_from(view.id.version).unwrap_or(i32::MAX);
        let meta = core::FeatureViewMeta { current_version_number: version, ..core::FeatureViewMeta::default() };
        core::FeatureView { spec: Some(spec), meta: Some(meta) }
    }

    fn service(&self, service: &FeatureService) -> core::FeatureService {
        let spec = core::FeatureServiceSpec {
            name: service.name.to_string(),
            project: self.project.to_owned(),
            features: self.projections(service),
            tags: service.definition.tags.clone(),
            description: service.definition.description.clone().unwrap_or_default(),
            owner: service.definition.owner.clone().unwrap_or_default(),
        };
        core::FeatureService { spec: Some(spec), meta: Some(core::Meta::default()) }
    }
}

/// The view's tags, and which features it computes when asked: they are asked for like the others, but never written.
fn tags(view: &FeatureView) -> BTreeMap<String, String> {
    let mut tags = view.definition.tags.clone();
    let computed: Vec<String> =
        view.definition.computed.iter().map(|computed| format!("{}: {}", computed.name, computed.dtype)).collect();
    if !computed.is_empty() {
        tags.insert("plumb.computed".to_owned(), computed.join(", "));
    }
    tags
}

/// A project.
pub fn project(name: &str) -> core::Project {
    let spec = core::ProjectSpec { name: name.to_owned(), description: String::new() };
    core::Project { spec: Some(spec), meta: Some(core::Meta::default()) }
}

fn entity_name(entity: &Entity, key: &JoinKey) -> String {
    match entity.keys.as_slice() {
        [key] if key.is_constant() => NO_ENTITY.to_owned(),
        [_] => entity.name.to_string(),
        _ => format!("{}.{}", entity.name, key.name),
    }
}

fn feature(view: &FeatureView, name: &str) -> Option<core::FeatureSpec> {
    let definition = &view.definition;
    let stored = definition.features.iter().find(|f| f.name.as_str() == name).map(|f| (f.dtype, &f.description));
    let computed = || definition.computed.iter().find(|c| c.name.as_str() == name).map(|c| (c.dtype, &c.description));
    let (dtype, description) = stored.or_else(computed)?;
    Some(core::FeatureSpec {
        name: name.to_owned(),
        value_type: number(dtype),
        description: description.clone().unwrap_or_default(),
        ..core::FeatureSpec::default()
    })
}

fn number(dtype: Dtype) -> i32 {
    ValueType::from(dtype).number()
}

/// Zero is for ever.
fn duration(ttl: Option<Ttl>) -> core::Duration {
    let nanos = ttl.map_or(0, Ttl::as_nanos);
    core::Duration { seconds: nanos / NANOS, nanos: i32::try_from(nanos % NANOS).unwrap_or(0) }
}
