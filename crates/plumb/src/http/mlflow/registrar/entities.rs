//! Models and versions as MLflow's client reads them. What is empty is left out, but for texts of a version.
//!
//! They are written from where they are in the catalog: a page of a hundred models has thousands of texts, and no copy of them
//! is made.

use registry::{Alias, Model, Registration, Stage, Tags, VersionState};
use schema::{ModelName, Timestamp};
use serde::{Serialize, Serializer};

/// A model, with the version that each of its stages resolves to.
#[derive(Debug, Serialize)]
pub(super) struct ModelEntity<'a> {
    name: &'a ModelName,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latest_versions: Vec<VersionEntity<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<Points<'a>>,
}

/// A version.
#[derive(Debug, Serialize)]
pub(super) struct VersionEntity<'a> {
    name: &'a ModelName,
    version: Number,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    user_id: &'a str,
    current_stage: &'static str,
    description: &'a str,
    source: &'a str,
    run_id: &'a str,
    run_link: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    model_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Debug, Serialize)]
struct Points<'a> {
    alias: &'a str,
    version: Number,
}

/// A number of a version: a text, to MLflow.
#[derive(Debug)]
struct Number(u32);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

pub(super) fn model(of: &Model) -> ModelEntity<'_> {
    ModelEntity {
        name: &of.name,
        creation_timestamp: millis(of.created_at),
        last_updated_timestamp: millis(of.updated_at),
        user_id: &of.created_by,
        description: of.description.as_deref(),
        latest_versions: latest_versions(of, &Stage::ALL),
        tags: tags(&of.tags),
        aliases: of.aliases.iter().map(|(alias, to)| Points { alias: alias.as_str(), version: Number(*to) }).collect(),
    }
}

/// For each of these stages that has versions, the one that it resolves to.
pub(super) fn latest_versions<'a>(of: &'a Model, stages: &[Stage]) -> Vec<VersionEntity<'a>> {
    stages.iter().filter_map(|stage| of.holder(*stage)).map(|state| version(of, state)).collect()
}

pub(super) fn version<'a>(model: &'a Model, of: &'a VersionState) -> VersionEntity<'a> {
    let it = &of.version;
    let (status, status_message) = match &of.registration {
        Registration::Done => ("READY", None),
        Registration::Pending => ("PENDING_REGISTRATION", None),
        Registration::Failed { reason } => ("FAILED_REGISTRATION", Some(reason.as_str())),
    };
    VersionEntity {
        name: &model.name,
        version: Number(it.version),
        creation_timestamp: millis(it.registered_at),
        last_updated_timestamp: millis(of.updated_at),
        user_id: &it.registered_by,
        current_stage: of.stage.as_str(),
        description: of.description.as_deref().unwrap_or_default(),
        source: &it.origin.source,
        run_id: &it.origin.run_id,
        run_link: &it.origin.run_link,
        status,
        status_message,
        model_id: &it.origin.model_id,
        tags: tags(&of.tags),
        aliases: model.aliases_of(it.version).map(Alias::as_str).collect(),
    }
}

fn tags(of: &Tags) -> Vec<Tag<'_>> {
    of.iter().map(|(key, value)| Tag { key, value }).collect()
}

/// Of the epoch, as MLflow counts.
pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_nanos().div_euclid(1_000_000)
}
