//! The offline store: where the history of a view is read from.
//!
//! A source's Parquet files are read in place, texts and objects through copies of theirs ([`source`]). A view with a query gets a *snapshot*: its result, run once per state of
//! the source and kept as a Parquet file, so that training, materialize, skew and replay all read the very same rows.
//! Nothing here joins: see [`crate::point_in_time`].

pub(crate) mod batches;
pub mod history;
pub mod ingest;
pub mod lease;
pub mod personal;
pub(crate) mod projection;
pub mod query;
pub(crate) mod seal;
pub mod snapshot;
pub mod source;
pub mod standing;
pub mod table;
pub mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::definitions::{Format, Source};
use schema::{BoxError, ErrorKind, FeatureView, Ttl};
use storage::StorageConfig;

use history::{Held, History};
use lease::Leasing;
use personal::Personal;
use query::QueryLimits;
use table::{Table, TableError};

use crate::erase::Tombstones;
use crate::push::log::PushLog;
use crate::push::segments;
use crate::ties::Tie;

/// What went wrong while reading or writing history.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OfflineError {
    #[error("{context}: there is no file `{path}`")]
    NoFile { context: String, path: String },
    #[error("reading `{path}`")]
    Read {
        path: String,
        #[source]
        source: BoxError,
    },
    #[error("writing `{path}`")]
    Write {
        path: String,
        #[source]
        source: BoxError,
    },
    #[error("`{path}` has no column `{column}`, which {needed_by} needs")]
    NoColumn { path: String, column: String, needed_by: String, hint: String },
    #[error("column `{column}` of `{path}`: {why}")]
    Column { path: String, column: String, why: String },
    #[error("files of source `{source_name}` differ in column `{column}`: {why}")]
    Schemas { source_name: String, column: String, why: String },
    #[error("source `{source_name}`")]
    Table {
        source_name: String,
        #[source]
        source: Box<TableError>,
    },
    #[error("the path of source `{source_name}`: {why}")]
    Path { source_name: String, why: String },
    #[error("`{path}`, line {line}: {why}{}", in_column(column.as_deref()))]
    Text { path: String, line: u64, column: Option<Box<str>>, why: String, hint: &'static str },
    #[error("{doing} `{url}`")]
    Storage {
        doing: &'static str,
        url: String,
        kind: ErrorKind,
        hint: &'static str,
        #[source]
        source: BoxError,
    },
    #[error("`{path}`: {n_bad} of {n_rows} rows cannot be taken: {why}")]
    Bad { path: String, n_bad: u64, n_rows: u64, why: String },
    #[error("the query of feature view `{view}`: {why}")]
    Query { view: String, why: String },
    #[error("{what}: {why}")]
    Spine { what: String, why: String, hint: String },
    #[error("feature view `{view}` has two rows of {tie}")]
    Tie { view: String, tie: Box<Tie> },
    #[error("row {row} is of an entity that was erased")]
    Erased { row: usize },
    #[error("computing features of {what}")]
    Compute {
        what: String,
        #[source]
        source: transform::ExprError,
    },
}

impl OfflineError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoFile { .. } => ErrorKind::NotFound,
            Self::Write { .. } => ErrorKind::Unavailable,
            Self::Table { source, .. } => source.kind(),
            Self::Storage { kind, .. } => *kind,
            Self::Erased { .. } => ErrorKind::Conflict,
            Self::Bad { .. } => ErrorKind::CheckFailed,
            Self::Read { .. }
            | Self::NoColumn { .. }
            | Self::Column { .. }
            | Self::Schemas { .. }
            | Self::Path { .. }
            | Self::Text { .. }
            | Self::Query { .. }
            | Self::Spine { .. }
            | Self::Tie { .. }
            | Self::Compute { .. } => ErrorKind::Invalid,
        }
    }

    /// Whether an older version of a table was asked for whose files are gone.
    fn is_vacuumed(&self) -> bool {
        matches!(self, Self::Table { source, .. } if matches!(**source, TableError::DataFile { .. }))
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoFile { .. } => Some("paths are relative to the project's folder".to_owned()),
            Self::Table { source, .. } => source.hint(),
            Self::NoColumn { hint, .. } | Self::Spine { hint, .. } => Some(hint.clone()),
            Self::Text { hint, .. } | Self::Storage { hint, .. } => Some((*hint).to_owned()),
            Self::Schemas { .. } => Some(
                "newer files have the columns of older ones, in the same types or wider, and may have more: rewrite the \
                 file, or give it a source of its own"
                    .to_owned(),
            ),
            Self::Bad { .. } => {
                Some("nothing of it was taken: correct it, or the declared types; `--max-bad` allows more".to_owned())
            }
            Self::Erased { .. } => {
                Some("leave it out; what was erased comes again only after `plumb erase --allow-again`".to_owned())
            }
            Self::Tie { tie, .. } if tie.sequence.is_some() => Some(
                "the view's `sequence` column must order rows of one key and time; leave it out to use row order"
                    .to_owned(),
            ),
            Self::Tie { .. } => Some(
                "take one of them out, or give the one that counts a later created time; without `ties: error` in the view \
                 the last row counts"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

fn in_column(name: Option<&str>) -> String {
    name.map(|name| format!(", column `{name}`")).unwrap_or_default()
}

/// The offline store of one project.
#[derive(Debug, Clone)]
pub struct OfflineStore {
    project: Arc<Path>,
    folder: Arc<Path>,
    storage: Arc<StorageConfig>,
    limits: QueryLimits,
    /// How far ahead of now rows may come, where a view does not say.
    max_skew: Option<Ttl>,
    /// Versions of tables, by the names of their sources.
    pinned: Arc<BTreeMap<String, u64>>,
}

impl OfflineStore {
    /// Sources are read relative to `project`; snapshots are kept under `folder`.
    pub fn new(project: &Path, folder: &Path) -> Self {
        let (project, folder) = (project.into(), folder.into());
        let (storage, limits, pinned) = (Arc::default(), QueryLimits::default(), Arc::default());
        Self { project, folder, storage, limits, max_skew: None, pinned }
    }

    /// With limits of every query, of views and of spines.
    #[must_use]
    pub fn with_limits(mut self, limits: QueryLimits) -> Self {
        self.limits = limits;
        self
    }

    /// With a limit of how far ahead of now rows may come, for views that say nothing of it.
    #[must_use]
    pub fn with_max_skew(mut self, max_skew: Option<Ttl>) -> Self {
        self.max_skew = max_skew;
        self
    }

    /// How far ahead of now rows may come, where a view does not say.
    pub fn max_skew(&self) -> Option<Ttl> {
        self.max_skew
    }

    /// What one query may take.
    pub fn limits(&self) -> QueryLimits {
        self.limits
    }

    /// With what is said of object stores.
    #[must_use]
    pub fn with_storage(mut self, storage: StorageConfig) -> Self {
        self.storage = Arc::new(storage);
        self
    }

    /// Reads the Delta tables of these sources as they were at a version, all others as they are.
    #[must_use]
    pub fn with_tables_at(mut self, versions: BTreeMap<String, u64>) -> Self {
        self.pinned = Arc::new(versions);
        self
    }

    /// The project's folder.
    pub fn project(&self) -> &Path {
        &self.project
    }

    pub(crate) fn storage(&self) -> &StorageConfig {
        &self.storage
    }

    /// Asks for the lease of a view version.
    ///
    /// # Errors
    /// [`OfflineError::Write`] if its file cannot be made.
    pub fn lease(&self, view: &FeatureView) -> Result<Leasing, OfflineError> {
        Leasing::ask(&self.folder, view)
    }

    /// The Delta table of a source, whether it exists yet or not.
    ///
    /// # Errors
    /// [`OfflineError::Table`] if the source's path is no name for one, [`OfflineError::Path`] if it is elsewhere.
    pub fn table(&self, source: &Source) -> Result<Table, OfflineError> {
        table::source::table(&self.project, source)
    }

    /// The history of a view version as its source stands now. A query is run if its snapshot does not exist yet.
    ///
    /// # Errors
    /// [`OfflineError`] if the source cannot be read or does not have the declared columns.
    pub async fn history(&self, view: &FeatureView) -> Result<History, OfflineError> {
        let hidden = |why| Personal::of_view(view).hide(why);
        let files = source::open(self, &view.source).await.map_err(hidden)?;
        let erased = self.tombstones()?.filter(view.keys());
        let history = if view.definition.sql.is_none() {
            History::in_place(view, files)?
        } else {
            let path = snapshot::ensure(&self.folder, view, &files, erased.as_ref(), self.limits).await?;
            History::of_snapshot(view, path, &files)?
        };
        let history = history.without(erased).beside(&self.folder);
        match PushLog::existing(&self.folder)? {
            Some(log) => history.with_pushes(segments::ensure(&self.folder_of(view), view, &log)?),
            None => Ok(history),
        }
    }

    /// Whose rows may not come back.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if that cannot be known.
    pub fn tombstones(&self) -> Result<Arc<Tombstones>, OfflineError> {
        Tombstones::load(&self.folder)
    }

    /// The folder of what is kept beside the sources.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log of pushes, if anything was ever pushed.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    pub fn existing_pushes(&self) -> Result<Option<PushLog>, OfflineError> {
        PushLog::existing(&self.folder)
    }

    /// The history of a view version as it was when something was made from it; `None` if that is no longer there.
    ///
    /// # Errors
    /// As [`Self::history`].
    pub async fn history_when(&self, view: &FeatureView, held: &Held) -> Result<Option<History>, OfflineError> {
        let today = self.history(view).await?;
        if let Some(then) = today.when(held) {
            return Ok(Some(then));
        }
        if view.source.format == Format::Delta
            && let Some(version) = table::source::version_where(&self.project, &view.source, |rows| held.is(rows))?
        {
            let then = self.clone().with_tables_at(BTreeMap::from([(view.source.name.to_string(), version)]));
            return match then.history(view).await {
                Ok(history) => Ok(history.when(held)),
                Err(why) if why.is_vacuumed() => Ok(None),
                Err(why) => Err(why),
            };
        }
        // The result of a query may still be in its file.
        let Some(path) = snapshot::kept(&self.folder_of(view), held).filter(|_| view.definition.sql.is_some()) else {
            return Ok(None);
        };
        let hidden = |why| Personal::of_view(view).hide(why);
        let files = source::open(self, &view.source).await.map_err(hidden)?;
        let then = History::of_snapshot(view, path, &files)?.without(self.tombstones()?.filter(view.keys()));
        match PushLog::existing(&self.folder)? {
            Some(log) => then.with_pushes(segments::ensure(&self.folder_of(view), view, &log)?).map(Some),
            None => Ok(Some(then)),
        }
    }

    /// The log of pushes.
    ///
    /// # Errors
    /// [`OfflineError::Write`] if it cannot be made.
    pub fn pushes(&self) -> Result<PushLog, OfflineError> {
        Ok(PushLog::open(&self.folder)?.with_max_skew(self.max_skew))
    }

    /// Where what was made of a view version's history is kept: snapshots and files of pushes, which can be made again.
    pub fn folder_of(&self, view: &FeatureView) -> PathBuf {
        folder_of(&self.folder, view)
    }
}

/// Of a view version, in the folder of an offline store.
fn folder_of(folder: &Path, view: &FeatureView) -> PathBuf {
    folder.join("views").join(view.id.name.as_str()).join(view.fingerprint.short())
}

/// Row groups dealt to as many workers as there are cores: each holds what it finds for itself.
pub(crate) fn split<T: Copy>(units: &[T]) -> Vec<Vec<T>> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(units.len()).max(1);
    (0..workers).map(|w| units.iter().copied().skip(w).step_by(workers).collect()).collect()
}

/// Runs `work` over `items` on all cores, results in order; the first error wins.
pub(crate) fn parallel<I: Sync, T: Send, E: Send>(
    items: &[I],
    work: impl Fn(&I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else { return Ok(done) };
            done.push((i, work(item)?));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let mut all = Vec::with_capacity(items.len());
        for worker in workers {
            match worker.join() {
                Ok(part) => all.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })?;
    all.sort_unstable_by_key(|(i, _)| *i);
    Ok(all.into_iter().map(|(_, value)| value).collect())
}
