//! Files of registered versions, below `registered/<model>/<version>/` of the artifact routes: read, and never written.

use std::fs::File;
use std::sync::Arc;

use registry::artifact_tree::{Entry, TreePath};
use registry::{Artifacts, Model, PinnedFile, Registry, Seq};

use super::Refusal;
use super::error::Code;
use crate::failure::Failure;

/// The first name of their paths. Experiments have numbers for names.
const ROOT: &str = "registered";

/// Files of versions.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    pub(super) registry: Arc<Registry>,
    pub(super) artifacts: Arc<Artifacts>,
}

/// Where the files of a version are. A model is known by its number: another name of it changes nothing.
pub(super) fn uri(model: &Model, version: u32) -> String {
    format!("mlflow-artifacts:/{ROOT}/{}/{version}", model.id)
}

/// Whether a path is of these files.
pub(super) fn is_ours(path: &TreePath) -> bool {
    path.parts().next() == Some(ROOT)
}

/// Why nobody writes there.
pub(super) fn read_only(path: &TreePath) -> Refusal {
    Refusal::new(Code::PermissionDenied, format!("`{path}` is a file of a registered version, which never changes"))
}

impl Registered {
    /// What is in a folder of a version; nothing where there is none.
    pub(super) fn list(&self, path: &TreePath) -> Vec<Entry> {
        let Some((files, below)) = self.files(path) else { return Vec::new() };
        let prefix = if below.is_empty() { String::new() } else { format!("{below}/") };
        let mut entries: Vec<Entry> = Vec::new();
        for file in files {
            let Some(rest) = file.path.strip_prefix(&prefix) else { continue };
            let entry = match rest.split_once('/') {
                None => Entry { name: rest.to_owned(), size_bytes: Some(file.size_bytes) },
                Some((folder, _)) => Entry { name: folder.to_owned(), size_bytes: None },
            };
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// A file of a version and its length, looked through before it is given.
    pub(super) fn open(&self, path: &TreePath) -> Result<(File, u64), Refusal> {
        let missing = || Refusal::not_found(format!("there is no artifact `{path}`"));
        let (files, below) = self.files(path).ok_or_else(missing)?;
        let file = files.into_iter().find(|file| file.path == below).ok_or_else(missing)?;
        let opened = self.artifacts.open_checked(&file.digest).map_err(Failure::from)?;
        Ok((opened, file.size_bytes))
    }

    /// The files of the version that a path is of, and the path below it.
    fn files(&self, path: &TreePath) -> Option<(Vec<PinnedFile>, String)> {
        let mut parts = path.parts().skip(1);
        let (model, version) = (parts.next()?.parse::<u64>().ok()?, parts.next()?.parse::<u32>().ok()?);
        let catalog = self.registry.catalog();
        let model = catalog.model_by_id(Seq(model))?;
        let files = model.version(version)?.version.pinned();
        Some((files, parts.collect::<Vec<_>>().join("/")))
    }
}
