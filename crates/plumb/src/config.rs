//! `plumb.yaml`: which stores a project uses, and its clock. The only place that reads the environment.

mod artifacts;
mod feast_answers;
mod hosts;
mod inference;
mod predictions;
mod query;
mod redis;
mod registry;
mod storage;
mod traces;
mod webhooks;

use std::path::{Path, PathBuf};

use ::registry::webhook::AddressRules;
use ::storage::StorageConfig;
use featurestore::offline::query::QueryLimits;
use featurestore::online::RedisConfig;
use schema::yaml::{Mistake, Place, documents, suggest};
use schema::{Clock, Timestamp, Ttl};
use serving::prediction_log::LogConfig;

use crate::failure::Failure;
pub use artifacts::ArtifactsConfig;
pub use feast_answers::NonFinite;
pub use hosts::{HostPattern, Hosts};
pub use inference::{InferenceConfig, NonFiniteFloat, Tuning};
pub use registry::RegistryConfig;
pub use traces::TracesConfig;

/// The name of a project's main file.
pub const MAIN_FILE: &str = "plumb.yaml";

/// A project's configuration; paths are absolute or relative to the project's folder.
#[derive(Debug, Clone)]
pub struct Config {
    /// The project's name; it separates projects that share a Redis.
    pub project: String,
    /// Where "now" comes from.
    pub clock: Clock,
    /// Folder of snapshots.
    pub offline: PathBuf,
    /// The online store.
    pub online: OnlineConfig,
    /// The Redis that Feast fills, for views that are served from there.
    pub feast: Option<FeastConfig>,
    /// What answers in Feast's protocol say of a float that JSON lacks.
    pub non_finite: NonFinite,
    /// The registry's log.
    pub registry: RegistryConfig,
    /// Files of models.
    pub artifacts: ArtifactsConfig,
    /// Folder of the prediction log.
    pub predictions: PathBuf,
    /// How it is kept.
    pub prediction_log: LogConfig,
    /// Where the rows are kept that promotions asked.
    pub probes: PathBuf,
    /// Object stores that sources are in.
    pub storage: StorageConfig,
    /// What one query may take.
    pub limits: QueryLimits,
    /// How far ahead of now rows may come, where a view does not say.
    pub max_skew: Option<Ttl>,
    /// Where webhooks may point.
    pub webhooks: AddressRules,
    /// What the server is called.
    pub hosts: Hosts,
    /// Where the Open Inference Protocol leaves a choice.
    pub inference: InferenceConfig,
    /// Where traces go, if anywhere.
    pub traces: Option<TracesConfig>,
}

/// Which online store.
#[derive(Debug, Clone)]
pub enum OnlineConfig {
    /// LMDB in a folder: nothing to install, several processes at once.
    Embedded {
        /// The folder.
        path: PathBuf,
    },
    /// Redis: one server, a cluster, or a master that sentinels watch.
    Redis(Box<RedisConfig>),
}

/// A Redis that Feast fills.
#[derive(Debug, Clone)]
pub struct FeastConfig {
    /// Where it is.
    pub redis: Box<RedisConfig>,
    /// Feast's name of the project.
    pub project: String,
}

impl Config {
    /// Reads a project's main file.
    ///
    /// # Errors
    /// All mistakes of the file, with their places.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(MAIN_FILE);
        let text = std::fs::read_to_string(&path).map_err(|why| {
            let message = format!("there is no project in `{}`: reading `{MAIN_FILE}`: {why}", folder.display());
            Failure::new(schema::ErrorKind::NotFound, message)
                .code("no_project")
                .hint("name the project's folder with --project DIR, or make one: plumb init DIR")
        })?;
        let mut mistakes = Vec::new();
        let text = with_environment(&text, environment, &mut mistakes);
        let config = parse(&text, folder, &all_of_environment(), &mut mistakes);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes.into()),
        }
    }

    /// As [`Self::read`], with the registry that the command line names in place of the file's.
    ///
    /// # Errors
    /// As [`Self::read`], and that it names none.
    pub fn read_with(folder: &Path, registry: Option<&str>) -> Result<Self, Failure> {
        let mut config = Self::read(folder)?;
        if let Some(named) = registry {
            config.registry = RegistryConfig::named(named, &config.project)?;
        }
        Ok(config)
    }
}

/// Where the user says ONNX Runtime's library is.
pub fn onnxruntime_library() -> Option<PathBuf> {
    environment("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// What the loader of ONNX Runtime's library goes by: all that a process is given which reads a model.
pub fn loader_environment() -> Vec<(String, String)> {
    const NAME: &str = "LD_LIBRARY_PATH";
    environment(NAME).map(|value| (NAME.to_owned(), value)).into_iter().collect()
}

/// Who is acting, for the audit trail.
pub fn actor() -> String {
    let named = ["PLUMB_ACTOR", "USER", "LOGNAME"].into_iter().find_map(environment);
    named.map(|name| one_line(&name)).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// The longest name that is kept of whoever acts, in characters.
const ACTOR_MAX: usize = 128;

/// A name as a line of a log has it: it is kept for ever.
pub(crate) fn one_line(name: &str) -> String {
    name.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(ACTOR_MAX).collect()
}

#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// All variables that are texts.
fn all_of_environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Replaces `${NAME}`; comments stay as they are.
fn with_environment(text: &str, get: impl Fn(&str) -> Option<String>, mistakes: &mut Vec<Mistake>) -> String {
    let mut out = String::with_capacity(text.len());
    for (number, line) in (1..).zip(text.lines()) {
        let mut rest = line;
        let is_comment = line.trim_start().starts_with('#');
        let code_ends = if is_comment { 0 } else { line.find(" #").unwrap_or(line.len()) };
        while let Some(start) = rest.find("${") {
            let at = line.len() - rest.len() + start;
            let Some(length) = rest[start..].find('}').filter(|_| at < code_ends) else { break };
            let name = &rest[start + 2..start + length];
            out.push_str(&rest[..start]);
            match get(name) {
                Some(value) => out.push_str(&value),
                None => {
                    let place = Place { file: MAIN_FILE.to_owned(), line: number, column: at + 1 };
                    let message = format!("the environment has no variable `{name}`");
                    mistakes.push(Mistake::new(&place, message).hint(format!("export {name}=... first")));
                }
            }
            rest = &rest[start + length + 1..];
        }
        out.push_str(rest);
        out.push('\n');
    }
    out
}

fn parse(text: &str, folder: &Path, environment: &[(String, String)], mistakes: &mut Vec<Mistake>) -> Option<Config> {
    let parsed = documents(MAIN_FILE, text).map_err(|mistake| mistakes.push(mistake)).ok()?;
    let Some(document) = parsed.first() else {
        let place = Place { file: MAIN_FILE.to_owned(), line: 0, column: 0 };
        mistakes.push(Mistake::new(&place, "the file is empty").hint("it needs at least `project: <name>`"));
        return None;
    };
    let mut fields = schema::yaml::Node::new(MAIN_FILE, document).fields("a project", mistakes);
    let project = fields
        .required("project", mistakes)
        .and_then(|node| node.parse(mistakes, |text| schema::ServiceName::new(text).map(|name| name.to_string())));
    let clock = match fields.optional("clock") {
        None => Clock::System,
        Some(node) => {
            let mut clock = node.fields("the clock", mistakes);
            let now = clock.required("now", mistakes).and_then(|n| n.parse(mistakes, Timestamp::parse));
            clock.finish(mistakes);
            now.map_or(Clock::System, Clock::Fixed)
        }
    };
    let mut path = |name: &'static str, default: &str, fields: &mut schema::yaml::Fields<'_>| {
        let mut found = None;
        if let Some(node) = fields.optional(name) {
            let mut inner = node.fields("a store", mistakes);
            found = inner.text("path", mistakes);
            inner.finish(mistakes);
        }
        folder.join(found.unwrap_or_else(|| default.to_owned()))
    };
    let offline = path("offline", ".plumb/offline", &mut fields);
    let probes = path("probes", ".plumb/probes", &mut fields);
    let (predictions, prediction_log) = predictions::read(&mut fields, folder, mistakes);
    let artifacts = artifacts::read(&mut fields, folder, mistakes);
    let registry = registry::read(&mut fields, folder, project.as_deref(), mistakes);
    let online = online(&mut fields, folder, mistakes);
    let storage = storage::read(&mut fields, environment, mistakes);
    let limits = query::read(&mut fields, mistakes);
    let max_skew = fields.optional("max_skew").and_then(|node| node.parse(mistakes, Ttl::parse));
    let feast = feast(&mut fields, folder, mistakes);
    let non_finite = feast_answers::read(&mut fields, mistakes);
    let webhooks = webhooks::read(&mut fields, mistakes);
    let hosts = hosts::read(&mut fields, mistakes);
    let inference = inference::read(&mut fields, mistakes);
    let traces = traces::read(&mut fields, mistakes);
    fields.finish(mistakes);
    let (project, online, registry) = (project?, online?, registry?);
    Some(Config {
        project,
        clock,
        offline,
        online,
        feast,
        non_finite,
        registry,
        artifacts,
        predictions,
        prediction_log,
        probes,
        storage,
        limits,
        max_skew,
        webhooks,
        hosts,
        inference,
        traces,
    })
}

fn online(fields: &mut schema::yaml::Fields<'_>, folder: &Path, mistakes: &mut Vec<Mistake>) -> Option<OnlineConfig> {
    let default = OnlineConfig::Embedded { path: folder.join(".plumb/online") };
    let Some(node) = fields.optional("online") else { return Some(default) };
    let mut inner = node.fields("the online store", mistakes);
    let kind = inner.required("kind", mistakes)?;
    let config = match kind.text(mistakes)?.as_str() {
        "embedded" => {
            let path = inner.text("path", mistakes).unwrap_or_else(|| ".plumb/online".to_owned());
            Some(OnlineConfig::Embedded { path: folder.join(path) })
        }
        "redis" => redis::read(&mut inner, folder, mistakes).map(|config| OnlineConfig::Redis(Box::new(config))),
        other => {
            let message = format!("`{other}` is not a kind of online store");
            mistakes.push(Mistake::new(&kind.place(), message).hint(suggest(other, ["embedded", "redis"])));
            None
        }
    };
    inner.finish(mistakes);
    config
}

/// `feast: {project: .., url: ..}`: as `online: {kind: redis}`, and the project's name there.
fn feast(fields: &mut schema::yaml::Fields<'_>, folder: &Path, mistakes: &mut Vec<Mistake>) -> Option<FeastConfig> {
    let mut inner = fields.optional("feast")?.fields("Feast's Redis", mistakes);
    let project = inner.required("project", mistakes).and_then(|node| node.text(mistakes));
    let redis = redis::read(&mut inner, folder, mistakes);
    inner.finish(mistakes);
    Some(FeastConfig { redis: Box::new(redis?), project: project? })
}

#[cfg(test)]
mod tests;
