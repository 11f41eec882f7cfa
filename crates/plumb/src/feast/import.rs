//! A Feast registry as our definitions: what means the same here is written as YAML, what does not is named.
//!
//! Python functions are never carried over: their text means nothing without Python. Nothing is dropped in silence: an
//! object, or a service of one, that is not in the text is in the list of what was left out, with the reason.

mod entities;
mod services;
mod sources;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use schema::{Dtype, FeatureName, Ttl, ViewName};

use super::ValueType;
use super::messages::core::{FeatureView, FeatureViewSpec, Registry};
use super::value_type::name_of;
use entities::About;
use sources::Source;
use yaml::Document;

/// Numbers of Feast's types that are JSON here: map, list of maps, struct, list of structs, list of lists.
const JSON_HERE: [i32; 5] = [20, 21, 34, 35, 42];

/// What came of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Definitions, as a YAML file of a project.
    pub yaml: String,
    /// What is not in them, each with the reason.
    pub left_out: Vec<String>,
}

/// The projects that a registry holds objects of.
pub fn projects(registry: &Registry) -> BTreeSet<&str> {
    let views = registry.feature_views.iter().filter_map(|view| view.spec.as_ref()).map(|spec| spec.project.as_str());
    let entities = registry.entities.iter().filter_map(|entity| entity.spec.as_ref()).map(|spec| spec.project.as_str());
    let declared = registry.projects.iter().map(super::messages::core::Project::name);
    views.chain(entities).chain(declared).collect()
}

/// The definitions of one project of a registry.
pub fn import(registry: &Registry, project: &str) -> Imported {
    let mut import = Import {
        registry,
        project,
        entities: BTreeMap::new(),
        sources: BTreeMap::new(),
        views: BTreeMap::new(),
        services: Vec::new(),
        features: BTreeMap::new(),
        keys: BTreeMap::new(),
        left_out: Vec::new(),
    };
    import.views();
    import.unsupported();
    import.services();
    import.finish()
}

/// What has been imported so far, by our names.
struct Import<'a> {
    registry: &'a Registry,
    project: &'a str,
    entities: BTreeMap<String, Document>,
    sources: BTreeMap<String, Document>,
    views: BTreeMap<String, Document>,
    services: Vec<Document>,
    /// Features of the views that came over.
    features: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// And their join keys.
    keys: BTreeMap<&'a str, Vec<&'a str>>,
    left_out: Vec<String>,
}

impl<'a> Import<'a> {
    fn views(&mut self) {
        let registry = self.registry;
        for view in &registry.feature_views {
            if view.spec.as_ref().is_none_or(|spec| spec.project != self.project) {
                continue;
            }
            if let Err(why) = self.view(view) {
                self.left_out.push(format!("feature view `{}`: {why}", view.name()));
            }
        }
    }

    fn view(&mut self, view: &'a FeatureView) -> Result<(), String> {
        let spec = view.spec.as_ref().ok_or("it has no specification")?;
        ViewName::new(spec.name.as_str()).map_err(|why| why.to_string())?;
        if let Some(transformation) = &spec.feature_transformation {
            let name = transformation.user_defined_function.as_ref().map_or("", |function| function.name.as_str());
            return Err(format!("it is computed by the Python function `{name}`; write it as SQL"));
        }
        let mut features = Vec::new();
        for feature in &spec.features {
            let named =
                FeatureName::new(feature.name.as_str()).map_err(|why| format!("cannot be called so here: {why}"));
            match named.and_then(|_| dtype(feature.value_type)) {
                Ok(dtype) => features.push((feature, dtype)),
                Err(why) => self.left_out.push(format!("feature `{}:{}`: it {why}", spec.name, feature.name)),
            }
        }
        if features.is_empty() {
            return Err("it has no features that can be had here".to_owned());
        }
        let About { name: entity, document: entity_document, keys } = self.entity(spec)?;
        let Source { name: source, document: source_document, times } = sources::source(spec)?;
        if self.sources.get(&source).is_some_and(|other| *other != source_document) {
            return Err(format!("another view's source is called `{source}` too, and differs"));
        }
        if self.entities.get(&entity).is_some_and(|other| *other != entity_document) {
            return Err(format!("another view gives the keys of `{entity}` other types"));
        }

        let mut document = Document::new("feature_view");
        document.text("name", &spec.name);
        document.text("description", &spec.description);
        document.text("owner", &spec.owner);
        document.tags(&spec.tags);
        document.text("entity", &entity);
        document.text("source", &source);
        if keys.is_empty() {
            let columns = times.columns().chain(features.iter().map(|(feature, _)| feature.name.as_str()));
            document.text("sql", &entities::without_keys(&source, columns));
            document.text("event_time", times.event);
            document.text("created_time", times.created);
        }
        if let Some(ttl) = ttl(spec)? {
            document.text("ttl", &ttl.to_string());
        }
        document.features(features.iter().map(|(f, dtype)| (f.name.as_str(), *dtype, f.description.as_str())));
        self.keys.insert(&spec.name, keys);
        self.features.insert(&spec.name, features.iter().map(|(feature, _)| feature.name.as_str()).collect());
        self.entities.insert(entity, entity_document);
        self.sources.insert(source, source_document);
        self.views.insert(spec.name.clone(), document);
        Ok(())
    }

    /// Kinds of views that stay in Feast.
    fn unsupported(&mut self) {
        for view in &self.registry.on_demand_feature_views {
            let Some(spec) = view.spec.as_ref().filter(|spec| spec.project == self.project) else { continue };
            let modern = spec.feature_transformation.as_ref().and_then(|t| t.user_defined_function.as_ref());
            let function = modern.or(spec.user_defined_function.as_ref()).map_or("", |function| function.name.as_str());
            let why = format!("it is the Python function `{function}`; write its features as SQL expressions");
            self.left_out.push(format!("on-demand feature view `{}`: {why}", spec.name));
        }
        let kinds =
            [("stream feature view", &self.registry.stream_feature_views), ("label view", &self.registry.label_views)];
        for (kind, views) in kinds {
            for spec in views.iter().filter_map(|view| view.spec.as_ref()).filter(|spec| spec.project == self.project) {
                self.left_out.push(format!("{kind} `{}`: there is no such kind here", spec.name));
            }
        }
    }

    fn finish(self) -> Imported {
        let documents = self.entities.into_values().chain(self.sources.into_values()).chain(self.views.into_values());
        let documents: Vec<String> = documents.chain(self.services).map(Document::finish).collect();
        Imported { yaml: documents.join("---\n"), left_out: self.left_out }
    }
}

/// Maps and structs, and lists of them, are JSON here, as they are where a source has them.
fn dtype(number: i32) -> Result<Dtype, String> {
    let json = JSON_HERE.contains(&number).then_some(Dtype::Json);
    let found = json.or_else(|| ValueType::from_number(number).map(ValueType::dtype));
    found.ok_or_else(|| match name_of(number) {
        Some(name) => format!("has Feast's type {name}, for which there is none here"),
        None => format!("has a type of Feast, number {number}, that is not known here"),
    })
}

fn ttl(spec: &FeatureViewSpec) -> Result<Option<Ttl>, String> {
    let Some(ttl) = spec.ttl.filter(|ttl| ttl.seconds != 0 || ttl.nanos != 0) else { return Ok(None) };
    let nanos = ttl.seconds.checked_mul(1_000_000_000).and_then(|nanos| nanos.checked_add(i64::from(ttl.nanos)));
    let ttl = nanos.and_then(Ttl::from_nanos).ok_or("its ttl is negative or longer than 292 years")?;
    Ok(Some(ttl))
}

#[cfg(test)]
mod tests;
