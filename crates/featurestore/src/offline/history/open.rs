//! A history over the files of a source, or over a view's snapshot, with pushes behind.

use std::path::{Path, PathBuf};

use schema::definitions::Ties;
use schema::{FeatureView, Fingerprint};

use super::layout::Layout;
use super::{History, Rejected, check};
use crate::erase::KeyFilter;
use crate::offline::source::{SourceFile, SourceFiles, open_file};
use crate::offline::{OfflineError, snapshot};
use crate::push::segments::Segments;
use crate::ties::Tied;

impl History {
    /// The rows of a source, read in place.
    ///
    /// # Errors
    /// [`OfflineError::NoColumn`] or [`OfflineError::Column`] if the files do not have what the view declares.
    pub fn in_place(view: &FeatureView, files: SourceFiles) -> Result<Self, OfflineError> {
        let d = &view.definition;
        named(view, &files)?;
        let column = |name: &str| files.column_in_file(name);
        let layout = Layout {
            keys: view.keys().iter().map(|k| (column(k.name.as_str()), k.dtype)).collect(),
            event_time: column(&d.event_time),
            created_time: d.created_time.as_deref().map(column),
            sequence: d.sequence.as_deref().map(column).or(files.row_column().map(str::to_owned)),
            deleted: d.deleted.as_deref().map(column),
            features: d.features.iter().map(|f| (column(f.name.as_str()), f.dtype)).collect(),
            timezone: files.source.timezone.clone(),
        };
        let data_version = files.version();
        check::check(&layout, &files, &format!("feature view `{}`", view.id.name))?;
        Ok(Self {
            n_base: files.files.len(),
            tied: tied(view),
            layout,
            pushed: Layout::of_pushes(view),
            data_version,
            in_place: true,
            made_of: states(&files.files),
            erased: None,
            n_pushed: 0,
            log: None,
            rejected: rejected(&files),
            _kept: files.kept(),
            _pushes: None,
            table: files.table,
            files: files.files,
        })
    }

    /// The rows of a view's snapshot, which was made of `source`.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if the snapshot is damaged.
    pub fn of_snapshot(view: &FeatureView, path: PathBuf, source: &SourceFiles) -> Result<Self, OfflineError> {
        let d = &view.definition;
        let layout = Layout {
            keys: view.keys().iter().map(|k| (k.name.to_string(), k.dtype)).collect(),
            event_time: snapshot::EVENT_TIME.to_owned(),
            created_time: d.created_time.as_ref().map(|_| snapshot::CREATED_TIME.to_owned()),
            sequence: Some(snapshot::SEQUENCE.to_owned()),
            deleted: d.deleted.as_ref().map(|_| snapshot::DELETED.to_owned()),
            features: d.features.iter().map(|f| (f.name.to_string(), f.dtype)).collect(),
            timezone: None,
        };
        let pushed = Layout::of_pushes(view);
        let mut file = open_file(Path::new(""), path, 0)?;
        let n_bad: u64 = source.files.iter().map(|file| file.n_left_out).sum();
        file.n_left_out = snapshot::n_left_out(&file) + n_bad;
        Ok(Self {
            files: vec![file],
            n_base: 1,
            table: source.table.clone(),
            layout,
            pushed,
            data_version: source.version(),
            tied: tied(view),
            in_place: false,
            rejected: rejected(source),
            _kept: None,
            _pushes: None,
            made_of: states(&source.files),
            erased: None,
            n_pushed: 0,
            log: None,
        })
    }

    /// Without the rows of erased keys: nothing that reads it meets them.
    pub(in super::super) fn without(mut self, erased: Option<KeyFilter>) -> Self {
        self.erased = erased;
        self
    }

    /// Knows where the log of pushes is, so that [`Self::pushed_since`] can look.
    pub(in super::super) fn beside(mut self, folder: &Path) -> Self {
        self.log = Some(folder.to_owned());
        self
    }

    /// Where what was made of a view's history is kept; `None` for one that no store opened.
    pub(crate) fn folder_of(&self, view: &FeatureView) -> Option<PathBuf> {
        self.log.as_deref().map(|folder| crate::offline::folder_of(folder, view))
    }

    /// With the rows that were pushed, behind all others.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if a file is damaged.
    pub(in super::super) fn with_pushes(mut self, pushes: Segments) -> Result<Self, OfflineError> {
        (self.n_pushed, self._pushes) = (pushes.n_rows, pushes.lease);
        for path in pushes.paths {
            let file = open_file(Path::new(""), path, self.n_rows())?;
            self.files.push(file);
        }
        Ok(self)
    }
}

fn tied(view: &FeatureView) -> Option<Tied> {
    let d = &view.definition;
    let by_times = (d.ties == Ties::Error).then_some(Tied::Times);
    if d.sequence.is_some() { Some(Tied::Order) } else { by_times }
}

fn states(files: &[SourceFile]) -> Vec<(String, Fingerprint)> {
    files.iter().map(|file| (file.name.clone(), Fingerprint::of(file.state()))).collect()
}

/// That the source has what the view declares, by the product's names: a column is not found by the name it had before
/// the source's `field_mapping`.
fn named(view: &FeatureView, files: &SourceFiles) -> Result<(), OfflineError> {
    let d = &view.definition;
    let keys = view.keys().iter().map(|key| key.name.as_str());
    let features = d.features.iter().map(|feature| feature.name.as_str());
    let times = [Some(&d.event_time), d.created_time.as_ref(), d.sequence.as_ref(), d.deleted.as_ref()];
    for name in keys.chain(features).chain(times.into_iter().flatten().map(String::as_str)) {
        if files.columns.iter().all(|column| column.name != name) {
            return Err(OfflineError::NoColumn {
                path: files.newest().to_owned(),
                column: name.to_owned(),
                needed_by: format!("feature view `{}`", view.id.name),
                hint: schema::yaml::suggest(name, files.columns.iter().map(|column| column.name.as_str())),
            });
        }
    }
    Ok(())
}

fn rejected(files: &SourceFiles) -> Vec<Rejected> {
    let of = |file: &SourceFile| {
        let reasons = file.left_out.clone()?;
        Some(Rejected { file: file.name.clone(), n_rows: file.n_left_out, reasons })
    };
    files.files.iter().filter_map(of).collect()
}
