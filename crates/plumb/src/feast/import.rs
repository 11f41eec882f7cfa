//! A Feast registry as our definitions: what means the same here is written as YAML, what does not is named.
//!
//! Python functions are never carried over: their text means nothing without Python. Nothing is dropped in silence: an
//! object, or a service of one, that is not in the text is in the list of what was left out, with the reason.

mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use schema::{Dtype, EntityName, FeatureName, ServiceName, SourceName, Ttl, ViewName};

use super::ValueType;
use super::messages::core::{DataSource, FeatureService, FeatureView, FeatureViewSpec, Registry, SourceType};
use yaml::Document;

/// The entity of views that have none.
const NO_ENTITY: &str = "__dummy";

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
    left_out: Vec<String>,
}

/// One join key of a view.
struct Key<'a> {
    name: &'a str,
    dtype: Dtype,
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
        let features = spec.features.iter().map(|feature| {
            FeatureName::new(feature.name.as_str()).map_err(|why| why.to_string())?;
            let dtype = dtype(feature.value_type).map_err(|why| format!("feature `{}` {why}", feature.name))?;
            Ok((feature, dtype))
        });
        let features = features.collect::<Result<Vec<_>, String>>()?;
        if features.is_empty() {
            return Err("it has no features".to_owned());
        }
        let (entity, entity_document) = self.entity(spec)?;
        let (source, source_document) = source(spec)?;
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
        if let Some(ttl) = ttl(spec)? {
            document.text("ttl", &ttl.to_string());
        }
        document.features(features.iter().map(|(f, dtype)| (f.name.as_str(), *dtype, f.description.as_str())));
        self.features.insert(&spec.name, features.iter().map(|(feature, _)| feature.name.as_str()).collect());
        self.entities.insert(entity, entity_document);
        self.sources.insert(source, source_document);
        self.views.insert(spec.name.clone(), document);
        Ok(())
    }

    /// Feast's entities are join keys: a view of several becomes a view of one entity with several keys.
    fn entity(&self, spec: &'a FeatureViewSpec) -> Result<(String, Document), String> {
        if spec.entities.is_empty() || spec.entities.iter().any(|name| name == NO_ENTITY) {
            return Err("it has no entity; give it one with a constant key".to_owned());
        }
        let keys = spec.entities.iter().map(|name| self.key(name, spec)).collect::<Result<Vec<_>, _>>()?;
        let name = spec.entities.join("_");
        EntityName::new(name.as_str()).map_err(|why| why.to_string())?;
        let mut document = Document::new("entity");
        document.text("name", &name);
        match keys.as_slice() {
            [key] => {
                document.text("join_key", key.name);
                document.text("type", &key.dtype.to_string());
            }
            keys => document.features_as("join_keys", keys.iter().map(|key| (key.name, key.dtype, ""))),
        }
        Ok((name, document))
    }

    /// The join key of an entity, with the type that the view gives it.
    fn key(&self, entity: &str, spec: &'a FeatureViewSpec) -> Result<Key<'a>, String> {
        let ours = |found: &&'a super::messages::core::Entity| {
            found.spec.as_ref().is_some_and(|s| s.name == entity && s.project == self.project)
        };
        let found = self.registry.entities.iter().find(ours).and_then(|found| found.spec.as_ref());
        let found = found.ok_or_else(|| format!("its entity `{entity}` is not in the registry"))?;
        let column = spec.entity_columns.iter().find(|column| column.name == found.join_key);
        let number = column.map_or(found.value_type, |column| column.value_type);
        FeatureName::new(found.join_key.as_str()).map_err(|why| why.to_string())?;
        let dtype = dtype(number).map_err(|why| format!("join key `{}` {why}", found.join_key))?;
        if !dtype.is_key() {
            return Err(format!("join key `{}` is {dtype}, which cannot be a key", found.join_key));
        }
        Ok(Key { name: &found.join_key, dtype })
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

    fn services(&mut self) {
        let registry = self.registry;
        for service in &registry.feature_services {
            if service.spec.as_ref().is_none_or(|spec| spec.project != self.project) {
                continue;
            }
            match self.service(service) {
                Ok(document) => self.services.push(document),
                Err(why) => self.left_out.push(format!("feature service `{}`: {why}", service.name())),
            }
        }
    }

    fn service(&self, service: &FeatureService) -> Result<Document, String> {
        let spec = service.spec.as_ref().ok_or("it has no specification")?;
        ServiceName::new(spec.name.as_str()).map_err(|why| why.to_string())?;
        let mut references = Vec::new();
        for projection in &spec.features {
            let view = projection.feature_view_name.as_str();
            let known = self.features.get(view).ok_or_else(|| format!("its view `{view}` was left out"))?;
            if !projection.join_key_map.is_empty() {
                return Err(format!("it joins view `{view}` by other keys"));
            }
            if projection.version_tag.is_some() {
                return Err(format!("it pins a version of view `{view}`; versions are counted anew here"));
            }
            for column in &projection.feature_columns {
                if !known.contains(column.name.as_str()) {
                    return Err(format!("view `{view}` has no feature `{}`", column.name));
                }
                references.push((view, column.name.as_str()));
            }
        }
        if references.is_empty() {
            return Err("it has no features".to_owned());
        }
        let mut document = Document::new("feature_service");
        document.text("name", &spec.name);
        document.text("description", &spec.description);
        document.text("owner", &spec.owner);
        document.tags(&spec.tags);
        document.references(&references);
        Ok(document)
    }

    fn finish(self) -> Imported {
        let documents = self.entities.into_values().chain(self.sources.into_values()).chain(self.views.into_values());
        let documents: Vec<String> = documents.chain(self.services).map(Document::finish).collect();
        Imported { yaml: documents.join("---\n"), left_out: self.left_out }
    }
}

fn dtype(number: i32) -> Result<Dtype, String> {
    let found = ValueType::from_number(number).map(ValueType::dtype);
    found.ok_or_else(|| format!("has Feast's type {number}, for which there is none here"))
}

fn ttl(spec: &FeatureViewSpec) -> Result<Option<Ttl>, String> {
    let Some(ttl) = spec.ttl.filter(|ttl| ttl.seconds != 0 || ttl.nanos != 0) else { return Ok(None) };
    let nanos = ttl.seconds.checked_mul(1_000_000_000).and_then(|nanos| nanos.checked_add(i64::from(ttl.nanos)));
    let ttl = nanos.and_then(Ttl::from_nanos).ok_or("its ttl is negative or longer than 292 years")?;
    Ok(Some(ttl))
}

/// The file that a view is materialized from; a push source's own.
fn source(spec: &FeatureViewSpec) -> Result<(String, Document), String> {
    let source = spec.batch_source.as_ref().ok_or("it has no batch source")?;
    let source =
        if source.r#type() == SourceType::Push { source.batch_source.as_deref().unwrap_or(source) } else { source };
    let Some(file) = source.file_options.as_ref().filter(|_| source.r#type() == SourceType::BatchFile) else {
        return Err(format!("its source `{}` is {:?}, not a file", source.name, source.r#type()));
    };
    if file.file_format.is_some_and(|format| format.delta_format.is_some()) {
        return Err(format!("its source `{}` is a Delta table; only Parquet is read", source.name));
    }
    if file.uri.contains("://") && !file.uri.starts_with("file://") {
        return Err(format!("its source `{}` is not a local file: {}", source.name, file.uri));
    }
    let name = source_name(source, &spec.name);
    let mut document = Document::new("source");
    document.text("name", &name);
    document.text("description", &source.description);
    document.text("path", file.uri.strip_prefix("file://").unwrap_or(&file.uri));
    document.text("event_time", &source.timestamp_field);
    document.text("created_time", &source.created_timestamp_column);
    document.map("field_mapping", &source.field_mapping);
    Ok((name, document))
}

/// Feast names a source by its path unless told otherwise.
fn source_name(source: &DataSource, view: &str) -> String {
    match SourceName::new(source.name.as_str()) {
        Ok(name) => name.to_string(),
        Err(_) => format!("{view}_source"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::messages::core::*;
    use super::*;

    fn column(name: &str, value_type: ValueType) -> FeatureSpec {
        FeatureSpec { name: name.to_owned(), value_type: value_type.number(), ..FeatureSpec::default() }
    }

    fn entity(name: &str, join_key: &str) -> Entity {
        let (name, join_key, project) = (name.to_owned(), join_key.to_owned(), "p".to_owned());
        Entity { spec: Some(EntitySpec { name, join_key, project, ..EntitySpec::default() }), meta: None }
    }

    fn view(name: &str, entities: &[&str], source: SourceType) -> FeatureView {
        let batch_source = DataSource {
            r#type: source.into(),
            name: "data/rides.parquet".to_owned(),
            timestamp_field: "at".to_owned(),
            file_options: Some(FileOptions { uri: "data/rides.parquet".to_owned(), ..FileOptions::default() }),
            ..DataSource::default()
        };
        let spec = FeatureViewSpec {
            name: name.to_owned(),
            project: "p".to_owned(),
            entities: entities.iter().map(|&entity| entity.to_owned()).collect(),
            features: vec![column("trips", ValueType::Int64), column("yes", ValueType::Float)],
            entity_columns: vec![column("driver_id", ValueType::Int32), column("city_id", ValueType::String)],
            ttl: Some(Duration { seconds: 129_600, nanos: 0 }),
            batch_source: Some(batch_source),
            tags: [("tier".to_owned(), "gold: \"yes\"".to_owned())].into(),
            ..FeatureViewSpec::default()
        };
        FeatureView { spec: Some(spec), meta: None }
    }

    #[test]
    fn a_registry_reads_as_definitions() {
        let projection = |view: &str| FeatureViewProjection {
            feature_view_name: view.to_owned(),
            feature_columns: vec![column("trips", ValueType::Int64)],
            ..FeatureViewProjection::default()
        };
        let service = |name: &str, views: &[&str]| {
            let features = views.iter().map(|view| projection(view)).collect();
            let (name, project) = (name.to_owned(), "p".to_owned());
            FeatureService {
                spec: Some(FeatureServiceSpec { name, project, features, ..Default::default() }),
                meta: None,
            }
        };
        let registry = Registry {
            entities: vec![entity("driver", "driver_id"), entity("city", "city_id")],
            feature_views: vec![
                view("stats", &["driver"], SourceType::BatchFile),
                view("pairs", &["driver", "city"], SourceType::BatchFile),
                view("lake", &["driver"], SourceType::BatchSnowflake),
                view("global", &["__dummy"], SourceType::BatchFile),
            ],
            feature_services: vec![service("both", &["stats", "pairs"]), service("cold", &["lake"])],
            ..Registry::default()
        };
        let Imported { yaml, left_out } = import(&registry, "p");
        expect![[r#"
            kind: entity
            name: driver
            join_key: driver_id
            type: int32
            ---
            kind: entity
            name: driver_city
            join_keys:
              - {name: driver_id, type: int32}
              - {name: city_id, type: string}
            ---
            kind: source
            name: pairs_source
            path: data/rides.parquet
            event_time: at
            ---
            kind: source
            name: stats_source
            path: data/rides.parquet
            event_time: at
            ---
            kind: feature_view
            name: pairs
            tags: {tier: "gold: \"yes\""}
            entity: driver_city
            source: pairs_source
            ttl: "1d12h"
            features:
              - {name: trips, type: int64}
              - {name: "yes", type: float32}
            ---
            kind: feature_view
            name: stats
            tags: {tier: "gold: \"yes\""}
            entity: driver
            source: stats_source
            ttl: "1d12h"
            features:
              - {name: trips, type: int64}
              - {name: "yes", type: float32}
            ---
            kind: feature_service
            name: both
            features:
              - {feature: stats:trips, as: stats__trips}
              - {feature: pairs:trips, as: pairs__trips}
        "#]]
        .assert_eq(&yaml);
        expect![[r#"
            feature view `lake`: its source `data/rides.parquet` is BatchSnowflake, not a file
            feature view `global`: it has no entity; give it one with a constant key
            feature service `cold`: its view `lake` was left out"#]]
        .assert_eq(&left_out.join("\n"));
        assert_eq!(import(&registry, "another"), Imported { yaml: String::new(), left_out: Vec::new() });
    }
}
