//! Models and versions as MLflow's client reads them. What is empty is left out, but for texts of a version.

use registry::{Model, Stage, Tags, VersionState};
use schema::Timestamp;
use serde_json::{Value, json};

/// A model, with the version that each of its stages resolves to.
pub(super) fn model(of: &Model) -> Value {
    let mut json = json!({
        "name": of.name, "creation_timestamp": millis(of.created_at), "last_updated_timestamp": millis(of.updated_at),
        "user_id": of.created_by,
    });
    if let Some(description) = &of.description {
        json["description"] = description.as_str().into();
    }
    let latest = latest_versions(of, &Stage::ALL);
    let aliases = of.aliases.iter().map(|(alias, to)| json!({ "alias": alias.as_str(), "version": to.to_string() }));
    put(&mut json, "latest_versions", latest);
    put(&mut json, "tags", tags(&of.tags));
    put(&mut json, "aliases", aliases.collect());
    json
}

/// For each of these stages that has versions, the one that it resolves to.
pub(super) fn latest_versions(of: &Model, stages: &[Stage]) -> Vec<Value> {
    stages.iter().filter_map(|stage| of.holder(*stage)).map(|state| version(of, state)).collect()
}

/// A version.
pub(super) fn version(model: &Model, of: &VersionState) -> Value {
    let it = &of.version;
    let mut json = json!({
        "name": model.name, "version": it.version.to_string(), "creation_timestamp": millis(it.registered_at),
        "last_updated_timestamp": millis(of.updated_at), "user_id": it.registered_by, "current_stage": of.stage.as_str(),
        "description": of.description.as_deref().unwrap_or_default(), "source": it.origin.source,
        "run_id": it.origin.run_id, "run_link": it.origin.run_link, "status": "READY",
    });
    if !it.origin.model_id.is_empty() {
        json["model_id"] = it.origin.model_id.as_str().into();
    }
    put(&mut json, "tags", tags(&of.tags));
    put(&mut json, "aliases", model.aliases_of(it.version).map(|alias| alias.as_str().into()).collect());
    json
}

fn tags(of: &Tags) -> Vec<Value> {
    of.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn put(json: &mut Value, name: &str, list: Vec<Value>) {
    if !list.is_empty() {
        json[name] = list.into();
    }
}

/// Of the epoch, as MLflow counts.
pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_nanos().div_euclid(1_000_000)
}
