//! Feature services, what the model sees in place of null, and the steps by which older clients are answered.

use std::collections::BTreeMap;

use saphyr::Scalar;

use super::references::{self, Reference};
use super::{Mistakes, list_of, name, tags, type_of};
use crate::definitions::Service;
use crate::migration::{MigrateFrom, MigrationStep, OnCastError};
use crate::name::{FeatureName, NameError, ServiceName};
use crate::value::Value;
use crate::yaml::{Fields, Mistake, Node};

pub(super) fn service(node: Node<'_>, mistakes: &mut Mistakes) -> Option<(Service, Vec<Reference>)> {
    let mut fields = node.fields("a feature service", mistakes);
    fields.optional("kind");
    let service_name: Option<ServiceName> = name(&mut fields, "name", mistakes);
    let views = list_of(&mut fields, "views", mistakes, references::alias);
    let has_features = fields.required("features", mistakes).is_some();
    let features = list_of(&mut fields, "features", mistakes, references::reference);
    let mut fill = BTreeMap::new();
    if let Some(map) = fields.optional("fill") {
        for (key, value) in map.entries(mistakes) {
            if let (Some(key), Some(value)) = (key.parse(mistakes, str::parse), constant(value, mistakes)) {
                fill.insert(key, value);
            }
        }
    }
    let mut migrate_from = BTreeMap::new();
    if let Some(map) = fields.optional("migrate_from") {
        for (from, steps) in map.entries(mistakes) {
            let key = from.setting(mistakes);
            let from = key.and_then(|key| match older(&key, service_name.as_ref()) {
                Ok(from) => Some(from),
                Err(why) => {
                    mistakes.push(Mistake::new(&from.place(), why.to_string()));
                    None
                }
            });
            let steps: Vec<_> = steps.items(mistakes).into_iter().filter_map(|s| step(s, mistakes)).collect();
            if let Some(from) = from {
                migrate_from.insert(from, steps);
            }
        }
    }
    let description = fields.text("description", mistakes);
    let owner = fields.text("owner", mistakes);
    let tags = tags(&mut fields, mistakes);
    let place = fields.place().clone();
    fields.finish(mistakes);
    if has_features && features.is_empty() {
        mistakes.push(Mistake::new(&place, "the feature service names no features"));
    }
    // The features are written out once every view is read.
    let (name, unread) = (service_name?, Vec::new());
    let service = Service { name, views, features: unread, fill, migrate_from, description, owner, tags, place };
    Some((service, features))
}

/// `name`, `name@v2`, or the number of an earlier version of the service itself.
fn older(text: &str, own: Option<&ServiceName>) -> Result<MigrateFrom, NameError> {
    match (text.parse::<u32>(), own) {
        (Ok(version), Some(own)) => Ok(MigrateFrom { service: own.clone(), version: Some(version) }),
        _ => text.parse(),
    }
}

fn constant(node: Node<'_>, mistakes: &mut Mistakes) -> Option<Value> {
    match node.scalar() {
        Some(Scalar::Null) => Some(Value::Null),
        Some(Scalar::Boolean(v)) => Some(Value::Bool(*v)),
        Some(Scalar::Integer(v)) => Some(Value::Int(*v)),
        Some(Scalar::FloatingPoint(v)) => Some(Value::Float(v.into_inner())),
        Some(Scalar::String(v)) => Some(Value::String(v.to_string())),
        None if node.is_list() => {
            let items = node.items(mistakes);
            items.into_iter().map(|item| constant(item, mistakes)).collect::<Option<Vec<_>>>().map(Value::List)
        }
        None => {
            let json = "JSON is written as a text: '{\"a\": 1}'";
            mistakes.push(node.expected("a constant").hint(json));
            None
        }
    }
}

/// What a cast does with values that the type cannot hold: it must say so.
fn on_cast_error(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Option<OnCastError> {
    if fields.says_null("on_error") {
        return Some(OnCastError::Null);
    }
    let node = fields.required("on_error", mistakes)?;
    match constant(node, mistakes)? {
        Value::String(word) if word == "reject" => Some(OnCastError::Reject),
        value => Some(OnCastError::Value(value)),
    }
}

fn step(node: Node<'_>, mistakes: &mut Mistakes) -> Option<MigrationStep> {
    let mut fields = node.fields("a migration step", mistakes);
    let place = node.place();
    let read = if let Some(field) = fields.optional("add") {
        let field = field.parse(mistakes, str::parse::<FeatureName>);
        let default = fields.required("default", mistakes).and_then(|n| constant(n, mistakes));
        let missing = fields.optional("when_missing").and_then(|n| constant(n, mistakes)).unwrap_or(Value::Null);
        let dtype = fields.optional("type").and_then(|node| type_of(node, mistakes));
        let restore = fields.flag("restore", mistakes).unwrap_or(false);
        let add = |(name, default)| MigrationStep::Add { name, dtype, default, when_missing: missing, restore };
        field.zip(default).map(add)
    } else if let Some(field) = fields.optional("drop") {
        field.parse(mistakes, str::parse::<FeatureName>).map(|name| MigrationStep::Drop { name })
    } else if let Some(map) = fields.optional("rename") {
        let entries = map.entries(mistakes);
        match entries.as_slice() {
            [(from, to)] => {
                let from = from.parse(mistakes, str::parse::<FeatureName>);
                let to = to.parse(mistakes, str::parse::<FeatureName>);
                from.zip(to).map(|(from, to)| MigrationStep::Rename { from, to })
            }
            _ => {
                mistakes.push(Mistake::new(&map.place(), "`rename` takes one {old: new}"));
                None
            }
        }
    } else if let Some(map) = fields.optional("widen") {
        let entries = map.entries(mistakes);
        match entries.as_slice() {
            [(field, to)] => {
                let name = field.parse(mistakes, str::parse::<FeatureName>);
                let to = type_of(*to, mistakes);
                name.zip(to).map(|(name, to)| MigrationStep::Widen { name, to })
            }
            _ => {
                mistakes.push(Mistake::new(&map.place(), "`widen` takes one {field: type}"));
                None
            }
        }
    } else if let Some(map) = fields.optional("cast") {
        let on_error = on_cast_error(&mut fields, mistakes);
        let entries = map.entries(mistakes);
        match entries.as_slice() {
            [(field, to)] => {
                let name = field.parse(mistakes, str::parse::<FeatureName>);
                let to = type_of(*to, mistakes);
                let cast = |((name, to), on_error)| MigrationStep::LossyCast { name, to, on_error };
                name.zip(to).zip(on_error).map(cast)
            }
            _ => {
                mistakes.push(Mistake::new(&map.place(), "`cast` takes one {field: type}"));
                None
            }
        }
    } else if let Some(order) = fields.optional("reorder") {
        let names = order.items(mistakes).into_iter().map(|n| n.parse(mistakes, str::parse::<FeatureName>));
        names.collect::<Option<Vec<_>>>().map(|names| MigrationStep::Reorder { names })
    } else {
        let message = "a migration step is one of add, drop, rename, widen, cast and reorder";
        mistakes.push(Mistake::new(&place, message));
        return None;
    };
    fields.finish(mistakes);
    read
}
