//! Labels on their way to disk: kept beside the prediction log, and of nobody who was erased.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::ArrayRef;
use featurestore::CompiledService;
use featurestore::erase::Tombstones;
use featurestore::erase::tombstones::filters_for;
use featurestore::retrieve::EntityRows;
use schema::error::chain;
use schema::{Clock, ErrorKind};
use serving::labels::{Added, Label, LabelError, Labels};
use tokio::sync::Semaphore;

use crate::failure::Failure;

/// Requests that may wait for the file; each waits for the disk.
const WAITING_MAX: usize = 64;

/// The labels of a project; their file is made by the first.
#[derive(Debug)]
pub struct Outcomes {
    /// Of the prediction log.
    folder: PathBuf,
    /// The offline store's, which knows who was erased.
    offline: PathBuf,
    labels: Arc<OnceLock<Labels>>,
    waiting: Arc<Semaphore>,
}

/// Whom labels are of, to be asked for once more before they are kept.
#[derive(Debug)]
pub struct Whose {
    /// Of each view, the names of its keys, and what they are called in `rows`.
    uses: Vec<(Vec<String>, Vec<String>)>,
    rows: EntityRows,
}

impl Whose {
    /// The entities of `rows`, whose columns are called as `compiled` calls its keys.
    pub fn of(compiled: &CompiledService, rows: EntityRows) -> Self {
        let uses = compiled.views.iter().map(|view| {
            let names = view.view.keys().iter().map(|key| key.name.to_string()).collect();
            (names, view.keys.iter().map(|key| key.name.to_string()).collect())
        });
        Self { uses: uses.collect(), rows }
    }

    /// That none of them was erased.
    fn not_erased(&self, offline: &Path) -> Result<(), Failure> {
        let tombstones = Tombstones::load(offline)?;
        let uses =
            self.uses.iter().map(|(names, columns)| (names.iter().map(String::as_str).collect(), columns.clone()));
        for (columns, filter) in filters_for(&tombstones, uses) {
            let keys: Option<Vec<ArrayRef>> =
                columns.iter().map(|name| self.rows.columns.get(name).map(ArrayRef::clone)).collect();
            let erased = keys.and_then(|keys| filter.erased(&keys, self.rows.n)).unwrap_or_default();
            if let Some(row) = erased.iter().position(|erased| *erased) {
                let message = format!("row {row} is of an entity that was erased");
                return Err(Failure::new(ErrorKind::Conflict, message).code("erased").hint("leave the row out"));
            }
        }
        Ok(())
    }
}

impl Outcomes {
    /// Those beside the prediction log in `folder`.
    pub fn new(folder: PathBuf, offline: PathBuf) -> Self {
        let waiting = Arc::new(Semaphore::new(WAITING_MAX));
        Self { folder, offline, labels: Arc::default(), waiting }
    }

    /// Keeps labels, all or none. They come when the machine's clock says, as predictions are answered, whatever clock the project
    /// fixes: that is their age.
    ///
    /// # Errors
    /// `erased`; too many wait already; they cannot be written.
    pub async fn add(&self, labels: Vec<Label>, whose: Option<Whose>) -> Result<Added, Failure> {
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_full| {
            Failure::new(ErrorKind::Overloaded, "too many labels wait to be written")
                .hint("send them again in a moment")
        })?;
        let (kept, folder, offline) = (Arc::clone(&self.labels), self.folder.clone(), self.offline.clone());
        let write = move || {
            let _place = place;
            let store = match kept.get() {
                Some(store) => store,
                None => {
                    let opened = Labels::open(&folder).map_err(|why| unwritten(&why))?;
                    kept.get_or_init(|| opened)
                }
            };
            let allowed = || whose.map_or(Ok(()), |whose| whose.not_erased(&offline));
            store.add(&labels, Clock::wall(), allowed).map_err(|why| unwritten(&why))?
        };
        #[expect(clippy::disallowed_methods, reason = "a commit waits for the disk")]
        let added = tokio::task::spawn_blocking(write).await;
        added.map_err(|stopped| Failure::new(ErrorKind::Internal, stopped.to_string()))?
    }
}

fn unwritten(why: &LabelError) -> Failure {
    Failure::new(why.kind(), chain(why)).code("environment")
}
