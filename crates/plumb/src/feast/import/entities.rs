//! Entities: Feast's are join keys, ours have several, and a view may have none.

use schema::name::CONSTANT_KEY;
use schema::{Dtype, EntityName, FeatureName};

use super::yaml::Document;
use super::{Import, dtype};
use crate::feast::NO_ENTITY;
use crate::feast::messages::core::{self, EntitySpec, FeatureViewSpec};

/// What a view is about.
pub(super) struct About<'a> {
    pub name: String,
    pub document: Document,
    /// Its join keys; none of a view without an entity.
    pub keys: Vec<&'a str>,
}

/// One join key of a view.
struct Key<'a> {
    name: &'a str,
    dtype: Dtype,
}

/// A query that gives the rows of a source the constant key.
pub(super) fn without_keys<'a>(source: &str, columns: impl Iterator<Item = &'a str>) -> String {
    let columns: Vec<String> = columns.map(|column| format!("\"{column}\"")).collect();
    format!("SELECT '' AS {CONSTANT_KEY}, {} FROM \"{source}\"", columns.join(", "))
}

impl<'a> Import<'a> {
    /// Feast's entities are join keys: a view of several becomes a view of one entity with several keys.
    pub(super) fn entity(&self, spec: &'a FeatureViewSpec) -> Result<About<'a>, String> {
        if spec.entities.iter().all(|name| name == NO_ENTITY) {
            return Ok(self.no_entity());
        }
        let keys = spec.entities.iter().map(|name| self.key(name, spec)).collect::<Result<Vec<_>, _>>()?;
        let name = spec.entities.join("_");
        EntityName::new(name.as_str()).map_err(|why| why.to_string())?;
        let mut document = Document::new("entity");
        document.text("name", &name);
        if let [one] = spec.entities.as_slice()
            && let Ok(found) = self.found(one)
        {
            document.text("description", &found.description);
            document.text("owner", &found.owner);
            document.tags(&found.tags);
        }
        match keys.as_slice() {
            [key] => {
                document.text("join_key", key.name);
                document.text("type", &key.dtype.to_string());
            }
            keys => document.features_as("join_keys", keys.iter().map(|key| (key.name, key.dtype, ""))),
        }
        Ok(About { name, document, keys: keys.iter().map(|key| key.name).collect() })
    }

    /// The entity of views without one: it has a single, constant key.
    fn no_entity(&self) -> About<'a> {
        let mut name = "everything".to_owned();
        while self.registry.entities.iter().any(|known| known.name() == name) {
            name.push('_');
        }
        let mut document = Document::new("entity");
        document.text("name", &name);
        document.text("description", "What views without an entity are about.");
        document.text("join_key", CONSTANT_KEY);
        document.text("type", &Dtype::String.to_string());
        About { name, document, keys: Vec::new() }
    }

    fn found(&self, entity: &str) -> Result<&'a EntitySpec, String> {
        let ours = |found: &&'a core::Entity| {
            found.spec.as_ref().is_some_and(|s| s.name == entity && s.project == self.project)
        };
        let found = self.registry.entities.iter().find(ours).and_then(|found| found.spec.as_ref());
        found.ok_or_else(|| format!("its entity `{entity}` is not in the registry"))
    }

    /// The join key of an entity, with the type that the view gives it.
    fn key(&self, entity: &str, spec: &'a FeatureViewSpec) -> Result<Key<'a>, String> {
        let found = self.found(entity)?;
        let column = spec.entity_columns.iter().find(|column| column.name == found.join_key);
        let number = column.map_or(found.value_type, |column| column.value_type);
        FeatureName::new(found.join_key.as_str()).map_err(|why| why.to_string())?;
        let dtype = dtype(number).map_err(|why| format!("join key `{}` {why}", found.join_key))?;
        if !dtype.is_key() {
            return Err(format!("join key `{}` is {dtype}, which cannot be a key", found.join_key));
        }
        Ok(Key { name: &found.join_key, dtype })
    }
}
