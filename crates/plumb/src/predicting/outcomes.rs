//! Labels on their way to disk: kept beside the prediction log, and of nobody who was erased.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::ArrayRef;
use featurestore::erase::Tombstones;
use schema::definitions::JoinKey;
use schema::error::chain;
use schema::{ErrorKind, Timestamp};
use serving::labels::{Added, Label, LabelError, Labels};

use crate::failure::Failure;

/// The labels of a project; their file is made by the first.
#[derive(Debug)]
pub struct Outcomes {
    /// Of the prediction log.
    folder: PathBuf,
    /// The offline store's, which knows who was erased.
    offline: PathBuf,
    labels: OnceLock<Arc<Labels>>,
}

impl Outcomes {
    /// Those beside the prediction log in `folder`.
    pub fn new(folder: PathBuf, offline: PathBuf) -> Self {
        Self { folder, offline, labels: OnceLock::new() }
    }

    /// The offline store's folder.
    pub fn offline(&self) -> &Path {
        &self.offline
    }

    /// Keeps labels, all or none.
    ///
    /// # Errors
    /// They cannot be written.
    pub async fn add(&self, labels: Vec<Label>, now: Timestamp) -> Result<Added, Failure> {
        let store = self.opened()?;
        #[expect(clippy::disallowed_methods, reason = "a commit waits for the disk")]
        let added = tokio::task::spawn_blocking(move || store.add(&labels, now)).await;
        let added = added.map_err(|stopped| Failure::new(ErrorKind::Internal, stopped.to_string()))?;
        added.map_err(|why| unwritten(&why))
    }

    fn opened(&self) -> Result<Arc<Labels>, Failure> {
        if let Some(labels) = self.labels.get() {
            return Ok(Arc::clone(labels));
        }
        let opened = Arc::new(Labels::open(&self.folder).map_err(|why| unwritten(&why))?);
        Ok(Arc::clone(self.labels.get_or_init(|| opened)))
    }
}

/// That none of `n` rows is of somebody who was erased.
///
/// # Errors
/// `erased`; who was erased cannot be read.
pub fn not_erased(offline: &Path, keys: &[JoinKey], columns: &[ArrayRef], n: usize) -> Result<(), Failure> {
    let tombstones = Tombstones::load(offline)?;
    let erased = tombstones.filter(keys).and_then(|filter| filter.erased(columns, n)).unwrap_or_default();
    match erased.iter().position(|erased| *erased) {
        None => Ok(()),
        Some(row) => {
            let message = format!("row {row} is of an entity that was erased");
            Err(Failure::new(ErrorKind::Conflict, message).code("erased").hint("leave the row out"))
        }
    }
}

fn unwritten(why: &LabelError) -> Failure {
    Failure::new(why.kind(), chain(why)).code("environment")
}
