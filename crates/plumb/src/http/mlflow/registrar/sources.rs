//! What a version is made of: its source is checked against what the client says of it, and what can be read is copied.
//!
//! Copies are kept by digest, so what somebody writes to the source later changes nothing. A source that this server does not
//! read is kept by reference: everything works with it but serving.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use registry::alias::LATEST;
use registry::artifact_tree::{TreeError, TreePath};
use registry::search::is_prompt;
use registry::source::{Source, Which};
use registry::{Catalog, Model, Origin, PinnedFile, Servable, Tags, VersionState};
use schema::ErrorKind;
use serving::pinned::graph_of;
use storage::Bucket;

use super::Registrar;
use super::asked::called;
use super::copied;
use super::errors::no_model;
use crate::failure::Failure;
use crate::http::mlflow::Refusal;
use crate::http::mlflow::artifacts::blocking;
use crate::registering::{self, Candidate};

/// What stands in place of a prompt's source.
const OF_PROMPTS: [&str; 2] = ["dummy-source", "prompt-template"];
/// How many copies of copies are followed to what they are copies of.
const COPIES_MAX: usize = 100;

/// What the client says of the version.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) source: String,
    pub(super) run_id: String,
    pub(super) model_id: String,
    pub(super) run_link: String,
    pub(super) tags: Tags,
}

/// A version to be, whose source has been checked.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) origin: Origin,
    pub(super) tags: Tags,
    pub(super) at: At,
}

/// Where the files of a version to be are.
#[derive(Debug)]
pub(super) enum At {
    /// They are another version's.
    Kept(Made),
    /// Below this URI of ours.
    Ours(String),
    /// In a bucket that versions may be copied from.
    Bucket(Bucket),
    /// Nowhere that this server reads.
    Elsewhere,
}

/// What a version is made of.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) files: Vec<PinnedFile>,
    pub(super) servable: Option<Servable>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Checks what `wanted` says of its source; copies nothing.
pub(super) async fn locate(
    this: &Registrar,
    catalog: &Catalog,
    wanted: Wanted,
    headers: &HeaderMap,
) -> Result<Located, Refusal> {
    let Wanted { source, run_id, model_id, run_link, tags } = wanted;
    let mut origin = Origin { source, run_id, run_link, model_id };
    // Prompts have texts in their tags, and a word in place of a source.
    if is_prompt(&tags) {
        if !OF_PROMPTS.contains(&origin.source.as_str()) {
            let said = origin.source.escape_debug();
            return Err(Refusal::invalid(format!(
                "Invalid prompt source: '{said}'. A prompt's text is in its tags, and its source is one of {OF_PROMPTS:?}."
            )));
        }
        return Ok(Located { origin, tags, at: At::Elsewhere });
    }
    let invalid = |source: &str, why: &str| {
        Refusal::invalid(format!("Invalid model version source: '{}'. {why}", source.escape_debug()))
    };
    let refused = |why: &str| Err(invalid(&origin.source, why));
    let parsed = match Source::parse(&origin.source) {
        Ok(parsed) => own(parsed, &origin.source, headers),
        Err(why) => return refused(&why.to_string()),
    };
    // What it may read of a bucket is copied as what it has.
    let stored = this.copied.find(&origin.source);
    // Where the files are, for what this server has.
    let at: Option<String> = match parsed {
        Source::Run { run, path } => {
            if origin.run_id != run || !origin.model_id.is_empty() {
                return refused("A source of a run needs the run_id of this run, and no model_id.");
            }
            let run = this.tracker.run(&run).await?;
            Some(below(&run.info.artifact_uri, &path))
        }
        Source::LoggedModel { id } => {
            if origin.model_id != id {
                return refused("A source of a logged model needs its model_id.");
            }
            Some(this.tracker.logged_model(&id).await?.artifact_uri)
        }
        Source::Version { model, which } => {
            let model = catalog.model(model.as_str()).ok_or_else(|| no_model(model.as_str()))?;
            return copy(model, of(model, &which)?, origin, tags);
        }
        Source::Proxied { path } => {
            let uri = below("mlflow-artifacts:", &path);
            let root = if !origin.model_id.is_empty() {
                this.tracker.logged_model(&origin.model_id).await.map(|logged| logged.artifact_uri)
            } else if !origin.run_id.is_empty() {
                this.tracker.run(&origin.run_id).await.map(|run| run.info.artifact_uri)
            } else {
                return refused(
                    "It must lie inside the artifacts of a run or of a logged model: send its run_id or model_id.",
                );
            };
            // In what is not there nothing lies.
            let root = match root {
                Err(why) if why.kind() == ErrorKind::NotFound => None,
                root => Some(root?),
            };
            let inside = |root| uri.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let inside = root.as_deref().is_some_and(inside);
            if !inside {
                return refused(
                    "It does not lie inside the artifacts of the run or logged model that was sent with it.",
                );
            }
            Some(uri)
        }
        Source::Local => {
            return refused(
                "To use a local path as a model version source, the run_id request parameter has to be specified and the local \
                 path has to be contained within the artifact directory of the run specified by the run_id.",
            );
        }
        Source::Connects { .. } | Source::Elsewhere if stored.is_some() => None,
        Source::Connects { scheme } if this.allowed_schemes.contains(&scheme) => None,
        Source::Connects { scheme } => {
            return refused(&format!("This server connects to no `{scheme}` address that a client names."));
        }
        Source::Elsewhere => None,
    };
    if !origin.model_id.is_empty() && origin.run_id.is_empty() {
        origin.run_id = this.tracker.logged_model(&origin.model_id).await?.source_run.unwrap_or_default();
    }
    let at = match (at, stored) {
        (Some(uri), _) => At::Ours(uri),
        (None, Some(bucket)) => At::Bucket(bucket),
        (None, None) => At::Elsewhere,
    };
    Ok(Located { origin, tags, at })
}

/// Copies and reads what is there.
pub(super) async fn gather(
    this: &Arc<Registrar>,
    catalog: &Arc<Catalog>,
    at: At,
    tags: &Tags,
) -> Result<Made, Refusal> {
    let files = match at {
        At::Kept(made) => return Ok(made),
        At::Ours(uri) => pin(this, &uri).await?,
        At::Bucket(bucket) => copied::pin(this, bucket).await?,
        At::Elsewhere => return Ok(Made::default()),
    };
    if let Some(service) = tags.get(registering::SERVICE)
        && graph_of(&files).is_none()
    {
        let what = if files.is_empty() { "nothing lies there" } else { "there is not one ONNX file at its top" };
        return Err(Refusal::invalid(format!(
            "Invalid model version source: the version is to be served on feature service '{}', and {what}. Log the model first, or leave tag `{}` out.",
            service.escape_debug(),
            registering::SERVICE
        )));
    }
    let (servable, metadata) = servable(this, catalog, &files, tags).await?;
    Ok(Made { files, servable, metadata })
}

/// An address of this server's own artifact route is what lies behind it.
fn own(source: Source, uri: &str, headers: &HeaderMap) -> Source {
    const ROUTE: &str = "/api/2.0/mlflow-artifacts/artifacts/";
    let Source::Connects { scheme } = &source else { return source };
    let Some((_, rest)) = uri.split_once("://") else { return source };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host_is_ours = headers.get(header::HOST).and_then(|value| value.to_str().ok()) == Some(host);
    let path = format!("/{path}");
    let found = match scheme.as_str() {
        "mlflow-artifacts" => Some(path.trim_start_matches('/')),
        "http" | "https" => path.split_once(ROUTE).map(|(_, path)| path),
        _ => None,
    };
    match found.filter(|_| host_is_ours).map(|path| Source::parse(&format!("mlflow-artifacts:/{path}"))) {
        Some(Ok(own)) => own,
        _ => source,
    }
}

fn below(root: &str, path: &str) -> String {
    let (root, path) = (root.trim_end_matches('/'), path.trim_matches('/'));
    if path.is_empty() { root.to_owned() } else { format!("{root}/{path}") }
}

fn of<'m>(model: &'m Model, which: &Which) -> Result<&'m VersionState, Refusal> {
    let name = &model.name;
    match which {
        Which::Number(number) => {
            model.version(*number).ok_or_else(|| super::errors::no_version(name.as_str(), *number))
        }
        Which::Stage(stage) => {
            let none = || Refusal::not_found(format!("no version of model '{name}' is in stage {stage}"));
            model.holder(*stage).ok_or_else(none)
        }
        Which::Alias(alias) => called(model, alias),
        Which::Latest => called(model, LATEST),
    }
}

/// A version made of another one: its files and its lineage. What the client sends beside must not contradict them.
fn copy(model: &Model, state: &VersionState, origin: Origin, tags: Tags) -> Result<Located, Refusal> {
    let from = &state.version;
    let source = format!("models:/{}/{}", model.name, from.version);
    let mut why = (is_prompt(&state.tags) || is_prompt(&model.tags)).then_some("It is a prompt.");
    if !state.registration.is_done() {
        why = Some("It is not registered yet, or could not be: its status says which.");
    }
    if !origin.run_id.is_empty() && origin.run_id != from.origin.run_id {
        why = Some("Its run is not the run_id that was sent.");
    }
    if !origin.model_id.is_empty() && origin.model_id != from.origin.model_id {
        why = Some("Its logged model is not the model_id that was sent.");
    }
    if let Some(why) = why {
        return Err(Refusal::invalid(format!("Invalid model version source: '{source}'. {why}")));
    }
    let Origin { run_link, .. } = origin;
    let origin =
        Origin { source, run_link, run_id: from.origin.run_id.clone(), model_id: from.origin.model_id.clone() };
    let (files, servable, metadata) = (from.pinned(), from.servable.clone(), from.metadata.clone());
    Ok(Located { origin, tags, at: At::Kept(Made { files, servable, metadata }) })
}

/// Where the files of a version are that were not copied: at its source. That of a copy is another version, whose own source
/// counts, also when it was deleted since.
pub(super) fn elsewhere<'c>(catalog: &'c Catalog, of: &'c VersionState) -> &'c str {
    let mut source = of.version.origin.source.as_str();
    // Names are given anew: copies may come to name each other.
    for _ in 0..COPIES_MAX {
        let Ok(Source::Version { model, which: Which::Number(number) }) = Source::parse(source) else { break };
        let Some(model) = catalog.model(model.as_str()) else { break };
        let deleted = || model.deleted().find(|state| state.version.version == number);
        let Some(copied) = model.version(number).or_else(deleted) else { break };
        source = &copied.version.origin.source;
    }
    source
}

/// Copies the files below a URI; none where nothing lies there yet.
async fn pin(this: &Arc<Registrar>, uri: &str) -> Result<Vec<PinnedFile>, Refusal> {
    let Some(path) = uri.strip_prefix("mlflow-artifacts:/") else { return Ok(Vec::new()) };
    let path = TreePath::parse(path)?;
    let this = Arc::clone(this);
    let copy = move || -> Result<Vec<PinnedFile>, Failure> {
        let put = |name: String, mut file| -> Result<PinnedFile, Failure> {
            let (digest, size_bytes) = this.artifacts.put_from(&mut file)?;
            Ok(PinnedFile { path: name, digest, size_bytes })
        };
        // A source may be one file.
        if let (Some(name), Ok(file)) = (path.name(), this.tree.open(&path)) {
            return Ok(vec![put(name.to_owned(), file)?]);
        }
        let entries = match this.tree.files_below(&path) {
            Err(TreeError::Missing { .. }) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let at = TreePath::parse(&format!("{path}/{}", entry.name))?;
            files.push(put(entry.name, this.tree.open(&at)?)?);
        }
        Ok(files)
    };
    Ok(blocking(copy).await??)
}

/// What serving needs of these files, where a feature service is named: by the tag, or inside the file.
async fn servable(
    this: &Arc<Registrar>,
    catalog: &Arc<Catalog>,
    files: &[PinnedFile],
    tags: &Tags,
) -> Result<(Option<Servable>, BTreeMap<String, String>), Refusal> {
    let Some(graph) = graph_of(files).cloned() else { return Ok((None, BTreeMap::new())) };
    let (files, named) = (files.to_vec(), tags.get(registering::SERVICE).cloned());
    let (this, catalog) = (Arc::clone(this), Arc::clone(catalog));
    let look = move || -> Result<_, Failure> {
        let (shown, service) = (graph.path.as_str(), named.as_deref());
        let candidate = Candidate { shown, files: &files, graph: &graph, service, without_service: false };
        if service.is_none() && !registering::names_its_service(&this.artifacts, &graph)? {
            // Without a service it is kept and not served, whatever it is.
            return Ok(None);
        }
        let read = registering::read(&this.inspector, &this.artifacts, &catalog, candidate)?;
        let servable = registering::fit(&catalog, candidate, &read)?;
        Ok(Some((servable, read.metadata)))
    };
    Ok(match blocking(look).await?? {
        Some((servable, metadata)) => (Some(servable), metadata),
        None => (None, BTreeMap::new()),
    })
}
