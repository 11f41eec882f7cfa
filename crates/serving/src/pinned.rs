//! The bytes of a model whose files are pinned: the graph, with the weights that it keeps in files beside it.
//!
//! Every file is read by its digest, each time anew: what runs is what was registered, or nothing.

use std::collections::BTreeMap;

use registry::{ArtifactError, Artifacts, PinnedFile};
use schema::ErrorKind;

use crate::onnx::OnnxError;
use crate::onnx::inspect::external;

/// Why a model is not given.
#[derive(Debug, thiserror::Error)]
pub enum PinnedError {
    /// A file is not kept, or damaged.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The graph names what is not there.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

impl PinnedError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Artifact(_) => ErrorKind::Unavailable,
            Self::Onnx(why) => why.kind(),
        }
    }
}

/// The graph of a folder of files: the one ONNX file at its top, or the one that is called `model.onnx` there. Which of
/// several is meant, nobody knows.
pub fn graph_of(files: &[PinnedFile]) -> Option<&PinnedFile> {
    let mut at_top = files.iter().filter(|file| is_at_top(file));
    let named = files.iter().find(|file| file.path == registry::MODEL_FILE);
    named.or_else(|| at_top.next().filter(|_| at_top.next().is_none()))
}

/// Whether a file is an ONNX file at the top of its folder.
pub fn is_at_top(file: &PinnedFile) -> bool {
    file.path.ends_with(".onnx") && !file.path.contains('/')
}

/// The model of the graph `graph`, which is one of `files`, with all of its weights in it.
///
/// # Errors
/// A file is not kept as it was, or the graph names one that is not among `files` or in another folder.
pub fn model(artifacts: &Artifacts, files: &[PinnedFile], graph: &PinnedFile) -> Result<Vec<u8>, PinnedError> {
    let bytes = artifacts.get(&graph.digest)?;
    let folder = graph.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let mut weights = BTreeMap::new();
    for location in external::locations(&bytes)? {
        let path = format!("{folder}{location}");
        // What is not there is told with the tensor that needs it.
        if let Some(file) = files.iter().find(|file| file.path == path) {
            weights.insert(location, artifacts.get(&file.digest)?);
        }
    }
    if weights.is_empty() && files.len() < 2 {
        return Ok(bytes);
    }
    Ok(external::gather(&bytes, &weights)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::toy::{FLOAT, Graph, Node};

    fn kept(artifacts: &Artifacts, path: &str, bytes: &[u8]) -> PinnedFile {
        PinnedFile { path: path.to_owned(), digest: artifacts.put(bytes).unwrap(), size_bytes: bytes.len() as u64 }
    }

    #[test]
    fn a_model_is_the_bytes_that_were_pinned_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let graph = Graph::new().input("x", FLOAT, &[-1, 2]).external("w", "w.bin");
        let graph = graph.node(Node::new("Add", &["x", "w"], &["y"])).output("y", FLOAT, &[-1, 2]).model();
        let graph = kept(&artifacts, "model.onnx", &graph);
        let right = kept(&artifacts, "w.bin", &[0, 0, 128, 63, 0, 0, 0, 64]);
        let other = kept(&artifacts, "sub/w.bin", &[0; 8]);
        let files = [other.clone(), right.clone(), graph.clone()];
        assert_eq!(graph_of(&files), Some(&graph));
        let whole = model(&artifacts, &files, &graph).unwrap();
        assert!(whole.windows(8).any(|part| part == [0, 0, 128, 63, 0, 0, 0, 64]));
        // A file elsewhere is another file.
        let error = model(&artifacts, &[other, graph.clone()], &graph).unwrap_err();
        assert!(error.to_string().ends_with("it is not one of the model's files"), "{error}");
        let error = model(&artifacts, std::slice::from_ref(&graph), &graph).map(|bytes| external::locations(&bytes));
        assert_eq!(error.unwrap().unwrap().len(), 1, "a lone file stays as it is, to be refused as a whole");
        // Whoever changes a file that is kept changes no answer.
        std::fs::write(artifacts.path(&right.digest), [0; 8]).unwrap();
        let error = model(&artifacts, &files, &graph).unwrap_err();
        assert!(matches!(error, PinnedError::Artifact(ArtifactError::Damaged { .. })), "{error}");
        std::fs::remove_file(artifacts.path(&right.digest)).unwrap();
        let error = model(&artifacts, &files, &graph).unwrap_err();
        assert!(matches!(error, PinnedError::Artifact(ArtifactError::Missing { .. })), "{error}");
    }
}
