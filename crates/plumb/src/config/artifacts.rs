//! `artifacts: {path: .., url: .., copy_from: [..], ..}`: where files of models are, and what is taken as one.

use std::path::{Path, PathBuf};

use registry::source::CONNECTING;
use schema::yaml::{Fields, Mistake, Node};
use storage::Place;

use crate::registering::Limits;

/// Files of models are rarely larger than these 10 GB, and a disk that is filled by mistake is worse than a refusal.
const UPLOAD_MB: u64 = 10_240;

/// Where files of models are.
#[derive(Debug, Clone)]
pub struct ArtifactsConfig {
    /// The folder of files: of runs, and of model versions, unless a bucket has those. Then it has copies of them.
    pub path: PathBuf,
    /// The folder of a bucket that files of model versions are in.
    pub bucket: Option<Place>,
    /// Folders of buckets that a client may name as the source of a version. More are more that whoever reaches the server can
    /// read through it.
    pub copy_from: Vec<Place>,
    /// Schemes of [`CONNECTING`] that the source of a version may have though nothing is read there. Whoever loads the version
    /// connects to the host that its source names.
    pub allowed_schemes: Vec<String>,
    /// The largest file that clients of MLflow may send or name.
    pub upload_bytes_max: u64,
    /// What reading a model may take.
    pub inspection: Limits,
}

impl ArtifactsConfig {
    /// A folder, and what is usual.
    pub fn at(path: PathBuf) -> Self {
        let (upload_bytes_max, inspection) = (UPLOAD_MB << 20, Limits::default());
        Self { path, bucket: None, copy_from: Vec::new(), allowed_schemes: Vec::new(), upload_bytes_max, inspection }
    }
}

/// Reads `artifacts`.
pub(super) fn read(fields: &mut Fields<'_>, folder: &Path, mistakes: &mut Vec<Mistake>) -> ArtifactsConfig {
    let mut config = ArtifactsConfig::at(folder.join(".plumb/artifacts"));
    let Some(node) = fields.optional("artifacts") else { return config };
    let mut inner = node.fields("a store", mistakes);
    if let Some(path) = inner.text("path", mistakes) {
        config.path = folder.join(path);
    }
    config.bucket = inner.optional("url").and_then(|node| place(node, "url", mistakes));
    let sources = inner.optional("copy_from").map(|node| node.items(mistakes)).unwrap_or_default();
    config.copy_from = sources.into_iter().filter_map(|node| place(node, "copy_from", mistakes)).collect();
    let schemes = inner.optional("allowed_schemes").map(|node| node.items(mistakes)).unwrap_or_default();
    config.allowed_schemes = schemes.into_iter().filter_map(|node| node.parse(mistakes, scheme)).collect();
    if let Some(megabytes) = inner.optional("upload_mb").and_then(|node| node.count(mistakes)) {
        config.upload_bytes_max = u64::from(megabytes) << 20;
    }
    config.inspection = limits(&mut inner, mistakes);
    inner.finish(mistakes);
    config
}

fn scheme(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    match CONNECTING.contains(&lower.as_str()) {
        true => Ok(lower),
        false => {
            let (text, known) = (text.escape_debug(), CONNECTING.join(", "));
            Err(format!("`allowed_schemes` names `{text}`: of {known} some may be allowed, all others are"))
        }
    }
}

/// What is wrong is told without what stands there: it may hold a password.
fn place(node: Node<'_>, name: &str, mistakes: &mut Vec<Mistake>) -> Option<Place> {
    node.parse(mistakes, |text| Place::plain(text).map_err(|why| format!("`{name}` of artifacts: {why}")))
}

/// `artifacts: {inspect_seconds: .., inspect_memory_mb: ..}`; none of them is 0.
fn limits(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Limits {
    let default = Limits::default();
    let mut count = |name: &'static str, default: u32| {
        let Some(node) = fields.optional(name) else { return default };
        let place = node.place();
        match node.count(mistakes) {
            Some(0) => {
                mistakes.push(Mistake::new(&place, format!("`{name}` is 0, and no model can be read with nothing")));
                default
            }
            given => given.unwrap_or(default),
        }
    };
    Limits {
        seconds: count("inspect_seconds", default.seconds),
        memory_mb: count("inspect_memory_mb", default.memory_mb),
    }
}
