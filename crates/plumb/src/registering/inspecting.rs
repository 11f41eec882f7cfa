//! Models that were registered without a feature service, read when they are first loaded: as all others, in a process of
//! their own.

use registry::{Artifacts, PinnedFile};
use schema::ErrorKind;
use schema::error::chain;
use serving::fleet::{Inspect, Uninspected};
use serving::onnx::inspect::ModelFile;

use super::inspector::Inspector;
use super::worker::Task;

/// What a fleet has such models read by.
#[derive(Debug)]
pub struct Inspecting {
    inspector: Inspector,
    artifacts: Artifacts,
}

impl Inspecting {
    /// Models whose files are in `artifacts`.
    pub fn new(inspector: Inspector, artifacts: Artifacts) -> Self {
        Self { inspector, artifacts }
    }
}

impl Inspect for Inspecting {
    fn inspect(&self, files: &[PinnedFile], graph: &PinnedFile) -> Result<ModelFile, Uninspected> {
        let brought = self.artifacts.bring(files.iter().map(|file| file.digest));
        brought.map_err(|why| Uninspected { passes: why.passes(), why: chain(&why) })?;
        let (artifacts, files) = (self.artifacts.root().to_owned(), files.to_vec());
        let task = Task { artifacts, files, graph: graph.clone(), columns: None };
        self.inspector.inspect(&task).map_err(|why| Uninspected {
            passes: matches!(why.kind, ErrorKind::Unavailable | ErrorKind::Overloaded | ErrorKind::Timeout),
            why: match why.hint {
                Some(hint) => format!("{}; {hint}", why.message),
                None => why.message,
            },
        })
    }
}
