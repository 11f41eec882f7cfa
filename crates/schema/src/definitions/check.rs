//! What needs two definitions: references, names that clash, constants of the right type, migrations that arrive.

mod aliases;
mod model;
mod on_demand;

use std::collections::BTreeSet;

use super::read::Broken;
use super::{Definitions, REQUEST_TIME, Service, ServiceFeature, View};
use crate::applied::AppliedDefinitions;
use crate::dtype::Dtype;
use crate::migration::{FeatureSchema, Field, MigrateFrom, Migration};
use crate::name::CONSTANT_KEY;
use crate::order::Known;
use crate::yaml::{Mistake, suggest};

type Mistakes = Vec<Mistake>;

/// The types of join keys in Feast.
const FEAST_KEYS: [Dtype; 5] = [Dtype::Bytes, Dtype::String, Dtype::Int32, Dtype::Int64, Dtype::Timestamp];

pub(super) fn check(all: &Definitions, broken: &Broken, mistakes: &mut Mistakes) {
    // Types are only compared where all of them could be read.
    let typed = mistakes.is_empty();
    for entity in all.entities.values() {
        let mut seen = BTreeSet::new();
        for key in entity.keys.iter().filter(|key| !seen.insert(&key.name)) {
            mistakes.push(Mistake::new(&entity.place, format!("join key `{}` is named twice", key.name)));
        }
        let constant = entity.keys.iter().any(super::JoinKey::is_constant);
        if constant && (entity.keys.len() > 1 || entity.keys.iter().any(|key| key.dtype != Dtype::String)) {
            let message = format!("`{CONSTANT_KEY}` is the key of entities without keys, and stands alone");
            let hint = format!("write `join_key: {CONSTANT_KEY}` and `type: string`, or call the key otherwise");
            mistakes.push(Mistake::new(&entity.place, message).hint(hint));
        }
    }
    for view in all.views.values() {
        check_view(all, view, broken, mistakes);
    }
    for view in all.on_demand.values() {
        on_demand::check(all, view, broken, mistakes);
    }
    on_demand::check_circles(all, mistakes);
    for service in all.services.values() {
        check_service(all, service, broken, mistakes);
        if typed {
            check_types(all, service, mistakes);
        }
    }
    for declared in all.models.values() {
        model::check(all, declared, broken, mistakes);
    }
}

/// That versions which are named may be there.
pub(super) fn check_versions(
    all: &Definitions,
    applied: &AppliedDefinitions,
    broken: &Broken,
    mistakes: &mut Mistakes,
) {
    for declared in all.models.values() {
        model::check_versions(all, declared, applied, broken, mistakes);
    }
}

fn check_view(all: &Definitions, view: &View, broken: &Broken, mistakes: &mut Mistakes) {
    if !all.entities.contains_key(view.entity.as_str()) && !broken.contains(view.entity.as_str()) {
        let hint = suggest(view.entity.as_str(), all.entities.keys().map(super::super::name::EntityName::as_str));
        let message = format!("feature view `{}` is about entity `{}`, which nobody declares", view.name, view.entity);
        mistakes.push(Mistake::new(&view.place, message).hint(hint));
    }
    if !all.sources.contains_key(view.source.as_str()) && !broken.contains(view.source.as_str()) {
        let hint = suggest(view.source.as_str(), all.sources.keys().map(super::super::name::SourceName::as_str));
        let message = format!("feature view `{}` reads source `{}`, which nobody declares", view.name, view.source);
        mistakes.push(Mistake::new(&view.place, message).hint(hint));
    }
    if view.event_time.is_empty() && view.sql.is_some() {
        let message = format!("feature view `{}` has no event time", view.name);
        let hint = "say which column of the query's result it is: `event_time: <column>`";
        mistakes.push(Mistake::new(&view.place, message).hint(hint));
    }
    let source = all.sources.get(view.source.as_str());
    if view.sql.is_some()
        && view.created_time.is_none()
        && view.known == Known::AsOf
        && let Some(created) = source.and_then(|source| source.created_time.as_deref())
    {
        let message = format!(
            "source `{}` says when rows became known (`{created}`), but the query of feature view `{}` does not pass it on",
            view.source, view.name
        );
        let hint = "select it and say `created_time: <column>`, or say `known: event` to use everything known today";
        mistakes.push(Mistake::new(&view.place, message).hint(hint));
    }
    if view.features.is_empty() {
        mistakes.push(Mistake::new(&view.place, format!("feature view `{}` has no features", view.name)));
    }
    let keys = all.entities.get(view.entity.as_str()).map(|e| e.keys.as_slice()).unwrap_or_default();
    if view.online.feast().is_some()
        && let Some(key) = keys.iter().find(|key| !FEAST_KEYS.contains(&key.dtype))
    {
        let message = format!(
            "feature view `{}` is served from Feast's Redis, which has no join keys of type {} (`{}`)",
            view.name, key.dtype, key.name
        );
        mistakes.push(Mistake::new(&view.place, message).hint("Feast has bytes, string, int32, int64 and timestamp"));
    }
    let mut taken: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    taken.insert(REQUEST_TIME);
    let places = view.features.iter().map(|f| &f.place).chain(view.computed.iter().map(|c| &c.place));
    for (name, place) in view.feature_names().zip(places) {
        if name.as_str() == CONSTANT_KEY {
            let message = format!("`{CONSTANT_KEY}` is the key of entities without keys");
            mistakes.push(Mistake::new(place, message).hint("rename the feature"));
        }
        if !taken.insert(name.as_str()) {
            let message = if name.as_str() == REQUEST_TIME {
                "`request_time` is the name of the request's time".to_owned()
            } else {
                format!("feature view `{}` uses the name `{name}` twice (join keys included)", view.name)
            };
            mistakes.push(Mistake::new(place, message).hint("rename the feature"));
        }
    }
}

fn check_service(all: &Definitions, service: &Service, broken: &Broken, mistakes: &mut Mistakes) {
    let who = format!("feature service `{}`", service.name);
    aliases::check(all, &who, &service.views, broken, mistakes);
    aliases::check_references(all, &who, &service.views, &service.features, broken, mistakes);
    let needs = aliases::check_needs(all, &who, &service.views, &service.features, &service.place, mistakes);
    let mut names = BTreeSet::new();
    for feature in &service.features {
        if needs.keys.iter().any(|key| key.name == feature.name) {
            let message = format!("{who} calls a feature `{}`, which is a join key", feature.name);
            mistakes.push(Mistake::new(&feature.place, message).hint("choose another name after `as:`"));
        }
        if needs.fields.iter().any(|field| field.name == feature.name) {
            let message = format!("{who} calls a feature `{}`, which is a field of the request", feature.name);
            mistakes.push(Mistake::new(&feature.place, message).hint("choose another name after `as:`"));
        }
        if !names.insert(feature.name.as_str()) {
            let message = format!("{who} uses the name `{}` twice", feature.name);
            let hint = "rename one: {feature: view:feature, as: name}, or all of a view: {feature: view:*, as: a_*}";
            mistakes.push(Mistake::new(&feature.place, message).hint(hint));
        }
    }
    let resolves = |f: &ServiceFeature| all.dtype_as(&service.views, f.view.as_str(), f.feature.as_str()).is_some();
    if service.features.iter().all(resolves) {
        for name in service.fill.keys().filter(|name| !service.features.iter().any(|f| f.name == **name)) {
            let hint = suggest(name.as_str(), service.features.iter().map(|f| f.name.as_str()));
            let message = format!("`fill` names `{name}`, which is no feature of the service");
            mistakes.push(Mistake::new(&service.place, message).hint(hint));
        }
    }
    // Versions are known to whoever knows what is applied: see `applied::migrations`.
    for MigrateFrom { service: from, version } in service.migrate_from.keys() {
        if version.is_some() {
            continue;
        }
        if !all.services.contains_key(from.as_str()) && !broken.contains(from.as_str()) {
            let hint = suggest(from.as_str(), all.services.keys().map(crate::name::ServiceName::as_str));
            let message = format!("`migrate_from` names feature service `{from}`, which nobody declares");
            mistakes.push(Mistake::new(&service.place, message).hint(hint));
        }
    }
}

/// Constants and migrations, which depend on the types of features.
fn check_types(all: &Definitions, service: &Service, mistakes: &mut Mistakes) {
    for (name, value) in &service.fill {
        if let Some(dtype) = service_dtype(all, service, name.as_str())
            && let Err(why) = value.canonical(dtype)
        {
            mistakes.push(Mistake::new(&service.place, format!("`fill` of `{name}`: {why}")));
        }
    }
    for (from, steps) in &service.migrate_from {
        let declared = from.version.is_none().then(|| all.services.get(from.service.as_str()));
        let Some(older) = declared.flatten() else { continue };
        let (Some(start), Some(end)) = (schema_of(all, older), schema_of(all, service)) else { continue };
        // The dtype of an added field is the one that the new service gives it.
        let typed = steps.iter().map(|step| step.typed(&end)).collect::<Result<Vec<_>, _>>();
        match typed.and_then(|typed| Migration::from_steps(&start, &typed)) {
            Ok(migration) if migration.target() == &end => {}
            Ok(migration) => {
                let message =
                    format!("the migration from `{from}` ends at {}, but the service is {end}", migration.target());
                mistakes.push(
                    Mistake::new(&service.place, message).hint("add, drop, rename, widen or reorder until both agree"),
                );
            }
            Err(why) => mistakes.push(Mistake::new(&service.place, format!("the migration from `{from}`: {why}"))),
        }
    }
}

fn service_dtype(all: &Definitions, service: &Service, name: &str) -> Option<Dtype> {
    let feature = service.features.iter().find(|f| f.name.as_str() == name)?;
    all.dtype_as(&service.views, feature.view.as_str(), feature.feature.as_str())
}

/// The row type that a service hands to its model, if all its references hold.
pub(crate) fn schema_of(all: &Definitions, service: &Service) -> Option<FeatureSchema> {
    let fields = service.features.iter().map(|feature| {
        let dtype = all.dtype_as(&service.views, feature.view.as_str(), feature.feature.as_str())?;
        Some(Field { name: feature.name.clone(), dtype })
    });
    fields.collect::<Option<Vec<_>>>().and_then(|fields| FeatureSchema::new(fields).ok())
}
