//! What is asked of models: cards, histories, differences, searches.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use registry::search::{self, Query};
use registry::{Alias, Event, EventBody, Model, Stage, VersionState, evidence};
use schema::error::chain;
use schema::{Clock, ModelName, Timestamp};
use serde_json::{Value, json};
use serving::prediction_log::traffic::traffic;

use super::{card, model_named, version_named};
use crate::cli::{DiffArgs, Format, SearchArgs, ShowArgs};
use crate::failure::Failure;
use crate::output;
use crate::project::Project;
use crate::promoting::{found, says};

/// Prints a version's card.
pub(super) async fn show(project: &Project, format: Format, args: &ShowArgs) -> Result<ExitCode, Failure> {
    let catalog = project.registry.catalog();
    let model = model_named(&catalog, &args.name)?;
    let state = match &args.version {
        Some(text) => version_named(model, text)?,
        None => match model.holder(Stage::Production).or_else(|| model.latest()) {
            Some(state) => state,
            None => version_named(model, "latest")?,
        },
    };
    let mut card = card::json(&catalog, model, state);
    card["named"] = named_by(project, model, state.version.version).await?;
    card["traffic"] = lately(project, &model.name, state.version.version);
    output::answer(format, &card, || card::text(&card));
    Ok(ExitCode::SUCCESS)
}

/// How a version came by its aliases: for each the event that moved it there last, as the log has it.
async fn named_by(project: &Project, model: &Model, number: u32) -> Result<Value, Failure> {
    let mut named: BTreeMap<&Alias, Value> = BTreeMap::new();
    let aliases: Vec<&Alias> = model.aliases_of(number).collect();
    if aliases.is_empty() {
        return Ok(json!([]));
    }
    let events = project.registry.history_of(model).await?;
    for event in &events {
        let EventBody::AliasMoved { alias, from, to, evidence, approved_by, overridden, .. } = &event.body else {
            continue;
        };
        // A newer event than the catalog's may have moved it elsewhere meanwhile.
        if *to == Some(number) && aliases.contains(&alias) {
            let moved = json!({ "alias": alias.as_str(), "event": event.seq, "at": event.at, "actor": event.actor, "from": from,
                                "approved_by": approved_by, "overridden": overridden, "evidence": evidence,
                                "digest": evidence::digest(evidence) });
            named.insert(alias, moved);
        }
    }
    Ok(named.into_values().collect())
}

/// The hours of the log that are called now.
const TRAFFIC_HOURS: i64 = 24;

/// What a version answered of what its model was asked lately, as the log has it.
fn lately(project: &Project, model: &ModelName, version: u32) -> Value {
    let now = Clock::wall().as_nanos();
    let since = Timestamp::from_nanos(now.saturating_sub(TRAFFIC_HOURS * 3_600_000_000_000));
    let (found, damaged) = match traffic(&project.config.predictions, model, since) {
        Ok(found) => found,
        Err(why) => {
            output::note(&format!("its traffic is not known: {}", chain(&why)));
            return Value::Null;
        }
    };
    for why in damaged {
        output::note(&format!("not counted: {}", chain(&why)));
    }
    let (own, all) =
        (found.get(&version).copied().unwrap_or_default(), found.values().map(|one| one.n_rows).sum::<u64>());
    json!({ "hours": TRAFFIC_HOURS, "predictions": own.n_rows, "of_model": all, "last_at": own.last })
}

/// Prints what happened to a model.
pub(super) async fn history(project: &Project, format: Format, name: &str) -> Result<ExitCode, Failure> {
    let catalog = project.registry.refresh().await?;
    let model = model_named(&catalog, name)?;
    let events = project.registry.history_of(model).await?;
    let entry = |event: &Event| {
        json!({ "event": event.seq, "at": event.at, "actor": event.actor, "says": says(event),
                "evidence": found(event).and_then(evidence::digest), "body": event.body })
    };
    output::answer(format, &json!({ "events": events.iter().map(entry).collect::<Vec<_>>() }), || {
        let row = |event: &Event| [event.seq.to_string(), event.at.to_string(), event.actor.clone(), says(event)];
        output::table(["EVENT", "AT", "BY", "WHAT"], events.iter().map(row))
    });
    Ok(ExitCode::SUCCESS)
}

/// Prints what two versions differ in.
pub(super) fn diff(project: &Project, format: Format, args: &DiffArgs) -> Result<ExitCode, Failure> {
    let catalog = project.registry.catalog();
    let model = model_named(&catalog, &args.name)?;
    let side = |text: &str| version_named(model, text).map(|state| card::json(&catalog, model, state));
    let (from, to) = (side(&args.from)?, side(&args.to)?);
    let mut differences = Vec::new();
    // What every two versions differ in says nothing of them.
    let told = ["version", "transitions", "registered_at", "model_description"];
    let keys = |value: &Value| value.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default();
    let all: BTreeSet<String> = keys(&from);
    for key in all.iter().filter(|key| !told.contains(&key.as_str())) {
        differing(key, &from[key], &to[key], &mut differences);
    }
    let entry = |(what, old, new): &(String, Value, Value)| json!({ "what": what, "from": old, "to": new });
    let list: Vec<Value> = differences.iter().map(entry).collect();
    let json = json!({ "model": model.name, "from": from["version"], "to": to["version"], "differences": list });
    output::answer(format, &json, || {
        if differences.is_empty() {
            return "no difference\n".to_owned();
        }
        let row = |(what, old, new): &(String, Value, Value)| [what.clone(), shown(old), shown(new)];
        output::table(["WHAT", "FROM", "TO"], differences.iter().map(row))
    });
    Ok(ExitCode::SUCCESS)
}

/// Walks into objects and into lists of what has names, and compares the rest whole.
fn differing(what: &str, old: &Value, new: &Value, found: &mut Vec<(String, Value, Value)>) {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                differing(&format!("{what}.{key}"), &old[key], &new[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if old != new && !(a.is_empty() && b.is_empty()) => {
            let (Some(a), Some(b)) = (named(a), named(b)) else {
                found.push((what.to_owned(), old.clone(), new.clone()));
                return;
            };
            let find = |list: &[(&str, &Value)], name: &str| {
                list.iter().find(|(other, _)| *other == name).map_or(Value::Null, |(_, value)| (*value).clone())
            };
            let names: BTreeSet<&str> = a.iter().chain(&b).map(|(name, _)| *name).collect();
            for name in names {
                differing(&format!("{what}[{name}]"), &find(&a, name), &find(&b, name), found);
            }
            // The order of inputs and features is a part of what they mean.
            let order = |list: &[(&str, &Value)], other: &[(&str, &Value)]| {
                let common = list.iter().map(|(name, _)| *name).filter(|name| other.iter().any(|(one, _)| one == name));
                common.map(Value::from).collect::<Vec<_>>()
            };
            let (old, new) = (order(&a, &b), order(&b, &a));
            if old != new {
                found.push((format!("{what} (order)"), old.into(), new.into()));
            }
        }
        _ if old != new => found.push((what.to_owned(), old.clone(), new.clone())),
        _ => {}
    }
}

/// The entries of a list by their names, where all have one of their own.
fn named(list: &[Value]) -> Option<Vec<(&str, &Value)>> {
    ["name", "path"].into_iter().find_map(|key| {
        let entries: Option<Vec<_>> = list.iter().map(|entry| Some((entry.get(key)?.as_str()?, entry))).collect();
        let entries = entries?;
        let names: BTreeSet<&str> = entries.iter().map(|(name, _)| *name).collect();
        (names.len() == entries.len()).then_some(entries)
    })
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => output::printable(text),
        other => output::printable(&other.to_string()),
    }
}

/// Prints what matches a filter.
pub(super) fn search(project: &Project, format: Format, args: &SearchArgs) -> Result<ExitCode, Failure> {
    let catalog = project.registry.catalog();
    let order_by = args.order_by.iter().map(String::as_str).collect();
    let query = Query { filter: &args.filter, order_by, max_results: args.limit as usize, page_token: None };
    let wrong = |why: search::SearchError| Failure::invalid(why.to_string());
    let holder = |model: &Model, stage| model.holder(stage).map(|state| state.version.version);
    if args.versions {
        let page = search::versions(&catalog, &query).map_err(wrong)?;
        let entry = |(model, state): &(&Model, &VersionState)| {
            json!({ "model": model.name, "version": state.version.version, "stage": state.stage, "source": state.version.origin.source,
                    "run_id": state.version.origin.run_id, "tags": state.tags, "registered_at": state.version.registered_at })
        };
        let json =
            json!({ "versions": page.entries.iter().map(entry).collect::<Vec<_>>(), "more": page.next.is_some() });
        output::answer(format, &json, || {
            let row = |(model, state): &(&Model, &VersionState)| {
                let version = &state.version;
                let (number, stage) = (version.version.to_string(), state.stage.to_string());
                [
                    model.name.to_string(),
                    number,
                    stage,
                    version.registered_at.to_string(),
                    version.origin.source.clone(),
                ]
            };
            output::table(["MODEL", "VERSION", "STAGE", "REGISTERED", "SOURCE"], page.entries.iter().map(row))
        });
        return Ok(ExitCode::SUCCESS);
    }
    let page = search::models(&catalog, &query).map_err(wrong)?;
    let entry = |model: &&Model| {
        json!({ "model": model.name, "versions": model.versions().count(), "production": holder(model, Stage::Production),
                "staging": holder(model, Stage::Staging), "tags": model.tags, "description": model.description,
                "updated_at": model.updated_at })
    };
    let json = json!({ "models": page.entries.iter().map(entry).collect::<Vec<_>>(), "more": page.next.is_some() });
    output::answer(format, &json, || {
        let number = |version: Option<u32>| version.map(|number| number.to_string()).unwrap_or_default();
        let row = |model: &&Model| {
            let (production, staging) = (holder(model, Stage::Production), holder(model, Stage::Staging));
            let versions = model.versions().count().to_string();
            [model.name.to_string(), versions, number(production), number(staging), model.updated_at.to_string()]
        };
        output::table(["MODEL", "VERSIONS", "PRODUCTION", "STAGING", "UPDATED"], page.entries.iter().map(row))
    });
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(old: &Value, new: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differing("x", old, new, &mut found);
        found.iter().map(|(what, old, new)| format!("{what}: {} -> {}", shown(old), shown(new))).collect()
    }

    #[test]
    fn lists_of_what_has_names_differ_by_name() {
        let field = |name: &str, dtype: &str| json!({ "name": name, "dtype": dtype });
        let (a, b, c) = (field("a", "int64"), field("b", "string"), field("c", "bool"));
        let a_other = field("a", "float64");
        assert_eq!(found(&json!([a, b]), &json!([a, b])), Vec::<String>::new());
        assert_eq!(found(&json!([a, b]), &json!([a_other, b])), [r"x[a].dtype: int64 -> float64"]);
        assert_eq!(
            found(&json!([a, b]), &json!([c, a])),
            [r#"x[b]: {"name":"b","dtype":"string"} -> -"#, r#"x[c]: - -> {"name":"c","dtype":"bool"}"#]
        );
        assert_eq!(found(&json!([a, b]), &json!([b, a])), [r#"x (order): ["a","b"] -> ["b","a"]"#]);
        assert_eq!(found(&json!([]), &json!([a])), [r#"x[a]: - -> {"name":"a","dtype":"int64"}"#]);
        // Lists of other things, and names that come twice, are compared whole.
        assert_eq!(found(&json!([1, 2]), &json!([1, 3])), ["x: [1,2] -> [1,3]"]);
        assert_eq!(found(&json!([a, a]), &json!([a])).len(), 1);
        let file = |path: &str, digest: &str| json!({ "path": path, "digest": digest });
        assert_eq!(found(&json!([file("m", "1")]), &json!([file("m", "2")])), ["x[m].digest: 1 -> 2"]);
    }
}
