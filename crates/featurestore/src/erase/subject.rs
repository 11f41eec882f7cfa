//! Who is to be erased: values of join keys, as texts until a view or a file says their types.

use std::collections::{BTreeSet, HashSet};

use schema::definitions::JoinKey;
use schema::json::read;
use schema::{AppliedDefinitions, Dtype, EntityKey, FeatureView, Value};
use serde_json::Value as Json;

use crate::offline::table::{KeySet, TableColumn};

/// One person, or whatever else has a key: the names of the join keys that say so, and their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Names and texts of the values, sorted by name.
    parts: Vec<(String, String)>,
}

/// Keys of one view version that are, or are a part of, a subject's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMatch {
    /// Places among the view's join keys, and the values there, as [`EntityKey::parts`] gives them.
    parts: Vec<(usize, Value)>,
    n_parts: usize,
    exact: Option<EntityKey>,
}

impl Subject {
    /// A subject of these names and values; each name once.
    pub fn new(mut parts: Vec<(String, String)>) -> Self {
        parts.sort();
        Self { parts }
    }

    /// Its names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.parts.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The value's text by the name of the join key.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.parts.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// The value's text by the place of its name.
    pub(super) fn text_at(&self, place: usize) -> &str {
        self.parts.get(place).map_or("", |(_, text)| text)
    }

    /// Which keys of a view version are meant; `None` if its join keys lack one of the names, or cannot hold the value.
    pub fn in_view(&self, view: &FeatureView) -> Option<KeyMatch> {
        self.in_keys(view.keys())
    }

    /// As [`Self::in_view`], by the join keys alone.
    pub fn in_keys(&self, keys: &[JoinKey]) -> Option<KeyMatch> {
        self.in_columns(keys, &self.names())
    }

    /// As [`Self::in_keys`], where its names are called otherwise: one of the lists of [`Self::columns`].
    pub fn in_columns(&self, keys: &[JoinKey], called: &[String]) -> Option<KeyMatch> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for ((_, text), name) in self.parts.iter().zip(called) {
            let place = keys.iter().position(|key| key.name.as_str() == name)?;
            parts.push((place, typed(text, keys[place].dtype)?));
        }
        parts.sort_by_key(|(place, _)| *place);
        let exact = (parts.len() == keys.len()).then(|| key_of(keys.iter(), parts.iter().map(|(_, value)| value)));
        let canonical = |(place, value): (usize, Value)| {
            let alone = key_of(std::iter::once(&keys[place]), std::iter::once(&value))?;
            Some((place, alone.parts().pop()?))
        };
        let parts = parts.into_iter().map(canonical).collect::<Option<Vec<_>>>()?;
        Some(KeyMatch { parts, n_parts: keys.len(), exact: exact.flatten() })
    }

    /// The key itself, its parts in the order of the names, in the types that a view version gives them.
    pub fn key_in(&self, view: &FeatureView) -> Option<EntityKey> {
        let find = |(name, text): &(String, String)| {
            let key = view.keys().iter().find(|key| key.name.as_str() == name)?;
            Some((key, typed(text, key.dtype)?))
        };
        let found = self.parts.iter().map(find).collect::<Option<Vec<_>>>()?;
        key_of(found.iter().map(|(key, _)| *key), found.iter().map(|(_, value)| value))
    }

    /// The lists of columns that hold its values in files of a project, in the order of [`Self::names`]: under the
    /// names of the join keys, and under those that sources and services give them.
    pub fn columns(&self, definitions: &AppliedDefinitions) -> Vec<Vec<String>> {
        let names = self.names();
        let mut lists = BTreeSet::from([names.clone()]);
        for source in self.sources(definitions) {
            let in_file = |name: &String| {
                let mapped = source.field_mapping.iter().find(|(_, to)| to.as_str() == name.as_str());
                mapped.map_or_else(|| name.clone(), |(from, _)| from.clone())
            };
            lists.insert(names.iter().map(in_file).collect());
        }
        for service in definitions.services.values().flat_map(|versions| &versions.all) {
            for used in service.view_uses() {
                let holds = |name: &String| {
                    let view = definitions.view(&used.view);
                    view.is_some_and(|view| view.keys().iter().any(|key| key.name.as_str() == name))
                };
                if names.iter().all(holds) {
                    let called = |name: &String| {
                        let renamed = used.join_keys.iter().find(|(own, _)| own.as_str() == name);
                        renamed.map_or_else(|| name.clone(), |(_, column)| column.to_string())
                    };
                    lists.insert(names.iter().map(called).collect());
                }
            }
        }
        lists.into_iter().collect()
    }

    /// Its key among the columns of a table, of which `list` names one for each of [`Self::names`]; `None` if the table
    /// lacks one, or its type cannot hold the value.
    pub fn key_set(&self, list: &[String], columns: &[TableColumn]) -> Option<KeySet> {
        let mut keys = Vec::with_capacity(list.len());
        let mut values = Vec::with_capacity(list.len());
        for ((_, text), name) in self.parts.iter().zip(list) {
            let dtype = columns.iter().find(|column| column.name == *name)?.dtype;
            keys.push((name.clone(), dtype));
            values.push(typed(text, dtype)?.to_array(dtype, 1).ok()?);
        }
        let key = EntityKey::from_columns(&values, 1).pop()??;
        Some(KeySet { columns: keys, keys: HashSet::from([key]) })
    }

    /// The sources that view versions with its keys read, in all their versions, and those that are declared now.
    pub fn sources<'d>(&self, definitions: &'d AppliedDefinitions) -> Vec<&'d schema::definitions::Source> {
        let views = definitions.views.values().flat_map(|versions| &versions.all);
        let mut sources = Vec::new();
        for view in views.filter(|view| self.in_view(view).is_some()) {
            if !sources.contains(&&view.source) {
                sources.push(&view.source);
            }
        }
        sources
    }
}

/// A word as a value of a key's type: what is no text there is written as JSON writes it, and bytes are hexadecimal.
pub(super) fn typed(text: &str, dtype: Dtype) -> Option<Value> {
    let value = read(&Json::String(text.to_owned()), dtype)
        .or_else(|| serde_json::from_str(text).ok().and_then(|json: Json| read(&json, dtype)));
    // What its type cannot hold is in no row.
    value.filter(|value| *value != Value::Null && value.to_array(dtype, 1).is_ok())
}

fn key_of<'a>(keys: impl Iterator<Item = &'a JoinKey>, values: impl Iterator<Item = &'a Value>) -> Option<EntityKey> {
    let columns = keys.zip(values).map(|(key, value)| value.to_array(key.dtype, 1)).collect::<Result<Vec<_>, _>>();
    EntityKey::from_columns(&columns.ok()?, 1).pop()?
}

impl KeyMatch {
    /// One key, whole.
    pub fn of(key: EntityKey) -> Self {
        let parts: Vec<(usize, Value)> = key.parts().into_iter().enumerate().collect();
        Self { n_parts: parts.len(), parts, exact: Some(key) }
    }

    /// The one key that is meant; `None` where keys have further parts.
    pub fn exact(&self) -> Option<&EntityKey> {
        self.exact.as_ref()
    }

    /// Whether a key of the view is meant.
    pub fn matches(&self, key: &EntityKey) -> bool {
        if let Some(exact) = &self.exact {
            return exact == key;
        }
        let parts = key.parts();
        parts.len() == self.n_parts && self.parts.iter().all(|(place, value)| parts[*place] == *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_hexadecimal_and_texts_keep_their_commas_and_spaces() {
        assert_eq!(typed("aB01", Dtype::Bytes), Some(Value::Bytes(vec![0xab, 1])));
        assert_eq!([typed("ab0", Dtype::Bytes), typed("device-7", Dtype::Bytes)], [None, None]);
        assert_eq!(typed(" Smith, Anna ", Dtype::String), Some(Value::String(" Smith, Anna ".to_owned())));
        assert_eq!(typed("2024-01-01", Dtype::Date), Some(Value::Int(19_723)));
    }
}
