//! What a version is made of: its source is checked against what the client says of it, and what can be read is copied.
//!
//! Copies are kept by digest, so what somebody writes to the source later changes nothing. A source that this server does not
//! read is kept by reference: everything works with it but serving.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use registry::artifact_tree::{TreeError, TreePath};
use registry::search::is_prompt;
use registry::source::{Source, Which};
use registry::{Catalog, Model, Origin, PinnedFile, Servable, Tags, VersionState};

use super::Registrar;
use super::errors::no_model;
use crate::failure::Failure;
use crate::http::mlflow::Refusal;
use crate::http::mlflow::artifacts::blocking;
use crate::registering;

/// What the client says of the version.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) source: String,
    pub(super) run_id: String,
    pub(super) model_id: String,
    pub(super) run_link: String,
    pub(super) tags: Tags,
}

/// What there is of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) origin: Origin,
    pub(super) files: Vec<PinnedFile>,
    pub(super) servable: Option<Servable>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) tags: Tags,
}

/// Finds and copies what `wanted` names.
pub(super) async fn find(
    this: &Arc<Registrar>,
    catalog: &Arc<Catalog>,
    wanted: Wanted,
    headers: &HeaderMap,
) -> Result<Found, Refusal> {
    let Wanted { source, run_id, model_id, run_link, tags } = wanted;
    let mut origin = Origin { source, run_id, run_link, model_id };
    // Prompts have texts in their tags, and a word in place of a source.
    if is_prompt(&tags) {
        return Ok(Found { origin, files: Vec::new(), servable: None, metadata: BTreeMap::new(), tags });
    }
    let invalid = |source: &str, why: &str| {
        Refusal::invalid(format!("Invalid model version source: '{}'. {why}", source.escape_debug()))
    };
    let refused = |why: &str| Err(invalid(&origin.source, why));
    let parsed = match Source::parse(&origin.source) {
        Ok(parsed) => own(parsed, &origin.source, headers),
        Err(why) => return refused(&why.to_string()),
    };
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
            let logged = this.tracker.logged_model(&id).await?;
            if origin.run_id.is_empty() {
                origin.run_id = logged.source_run.unwrap_or_default();
            }
            Some(logged.artifact_uri)
        }
        Source::Version { model, which } => {
            let model = catalog.model(model.as_str()).ok_or_else(|| no_model(model.as_str()))?;
            return copy(model, of(model, &which)?, origin, tags);
        }
        Source::Proxied { path } => {
            let uri = below("mlflow-artifacts:", &path);
            let root = if !origin.run_id.is_empty() {
                this.tracker.run(&origin.run_id).await?.info.artifact_uri
            } else if !origin.model_id.is_empty() {
                this.tracker.logged_model(&origin.model_id).await?.artifact_uri
            } else {
                return refused(
                    "It must lie inside the artifacts of a run or of a logged model: send its run_id or model_id.",
                );
            };
            let inside = uri.strip_prefix(&root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
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
        Source::Connects { scheme } => {
            return refused(&format!("This server connects to no `{scheme}` address that a client names."));
        }
        Source::Elsewhere => None,
    };
    let files = match at {
        Some(at) => pin(this, &at).await?,
        None => Vec::new(),
    };
    let (servable, metadata) = servable(this, catalog, &files, &tags).await?;
    Ok(Found { origin, files, servable, metadata, tags })
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
    let missing = |what: String| Refusal::not_found(format!("no version of model '{name}' {what}"));
    match which {
        Which::Number(number) => {
            model.version(*number).ok_or_else(|| super::errors::no_version(name.as_str(), *number))
        }
        Which::Stage(stage) => model.holder(*stage).ok_or_else(|| missing(format!("is in stage {stage}"))),
        Which::Alias(alias) => {
            model.aliased(alias).ok_or_else(|| Refusal::invalid(format!("Registered model alias {alias} not found.")))
        }
        Which::Latest => model.latest().ok_or_else(|| missing("exists".to_owned())),
    }
}

/// A version made of another one: its files and its lineage. What the client sends beside must not contradict them.
fn copy(model: &Model, state: &VersionState, origin: Origin, tags: Tags) -> Result<Found, Refusal> {
    let from = &state.version;
    let source = format!("models:/{}/{}", model.name, from.version);
    let mut why = (is_prompt(&state.tags) || is_prompt(&model.tags)).then_some("It is a prompt.");
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
    Ok(Found { origin, files, servable, metadata, tags })
}

/// Copies the files below a URI; none where nothing lies there yet.
async fn pin(this: &Arc<Registrar>, uri: &str) -> Result<Vec<PinnedFile>, Refusal> {
    let Some(path) = uri.strip_prefix("mlflow-artifacts:/") else { return Ok(Vec::new()) };
    let path = TreePath::parse(path)?;
    let this = Arc::clone(this);
    let copy = move || -> Result<Vec<PinnedFile>, Failure> {
        let entries = match this.tree.files_below(&path) {
            Err(TreeError::Missing { .. }) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let at = TreePath::parse(&format!("{path}/{}", entry.name))?;
            let (digest, size_bytes) = this.artifacts.put_from(&mut this.tree.open(&at)?)?;
            files.push(PinnedFile { path: entry.name, digest, size_bytes });
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
    let at_root = |file: &&PinnedFile| file.path.ends_with(".onnx") && !file.path.contains('/');
    let Some(file) = files.iter().find(at_root).cloned() else { return Ok((None, BTreeMap::new())) };
    let named = tags.get(registering::SERVICE).cloned();
    let (this, catalog) = (Arc::clone(this), Arc::clone(catalog));
    let look = move || -> Result<_, Failure> {
        let bytes = this.artifacts.get(&file.digest)?;
        let read = match registering::read(&this.gate.fleet, &file.path, &bytes) {
            // Without a service it is kept and not served, whatever it is.
            Err(_) if named.is_none() => return Ok(None),
            read => read?,
        };
        if named.is_none() && !read.metadata.contains_key(registering::SERVICE) {
            return Ok(None);
        }
        let servable = registering::fit(&catalog, &file.path, &read, &bytes, named.as_deref())?;
        Ok(Some((servable, read.metadata)))
    };
    Ok(match blocking(look).await?? {
        Some((servable, metadata)) => (Some(servable), metadata),
        None => (None, BTreeMap::new()),
    })
}
