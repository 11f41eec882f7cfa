//! What is kept of a source under the offline folder: objects that were fetched, texts that were converted. All of it can
//! be made again.
//!
//! Whoever uses a source holds its lease, shared; what no listing names any more is removed by whoever gets it alone.
//! A killed process gives the lease up.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::definitions::Source;
use schema::{BoxError, Fingerprint};
use serde_json::json;

use super::super::{OfflineError, seal, whole};

/// The lease's file.
const LEASE: &str = "lease";
/// How the names of files end that say which rows do not parse.
pub(super) const REASONS: &str = ".rejected.jsonl";
/// And those of objects, as they were fetched.
pub(super) const OBJECT: &str = ".object";

/// The folder of one source as it is declared, and a share of its lease.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    folder: Arc<Path>,
    lease: Arc<File>,
    /// Whether copies may be made; not for whoever only looks.
    makes: bool,
}

impl Kept {
    /// Takes a share of the lease. Files that belong to none of `states`, the present states of the source's files, are
    /// removed first, unless somebody may still read them.
    pub(super) fn open(offline: &Path, source: &Source, states: &BTreeSet<String>) -> Result<Self, OfflineError> {
        let folder = offline.join("sources").join(source.name.as_str()).join(meaning(source));
        let path = folder.join(LEASE);
        let fail =
            |source: std::io::Error| OfflineError::Write { path: path.display().to_string(), source: source.into() };
        std::fs::create_dir_all(&folder).map_err(fail)?;
        let lease = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        if lease.try_lock().is_ok() {
            clear(&folder, states);
            lease.unlock().map_err(fail)?;
        }
        lease.lock_shared().map_err(fail)?;
        Ok(Self { folder: folder.into(), lease: Arc::new(lease), makes: true })
    }

    /// Takes a share of the lease of what is there, and makes and removes nothing; `None` if nothing was ever kept.
    pub(super) fn look(offline: &Path, source: &Source) -> Result<Option<Self>, OfflineError> {
        let folder = offline.join("sources").join(source.name.as_str()).join(meaning(source));
        let path = folder.join(LEASE);
        if !path.is_file() {
            return Ok(None);
        }
        let lease = File::open(&path).map_err(|why| super::read_error(&path.display().to_string(), why))?;
        lease.lock_shared().map_err(|why| super::read_error(&path.display().to_string(), why))?;
        Ok(Some(Self { folder: folder.into(), lease: Arc::new(lease), makes: false }))
    }

    /// Whether something is kept of a file in each of these states.
    pub(super) fn holds_all(&self, states: &BTreeSet<String>) -> bool {
        let Ok(found) = std::fs::read_dir(&self.folder) else { return false };
        let names = found.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let names = names.filter(|name| !name.ends_with(seal::BESIDE));
        let held: BTreeSet<String> =
            names.filter_map(|name| name.split(['-', '.']).next().map(str::to_owned)).collect();
        states.is_subset(&held)
    }

    /// Where a file of this name is, or would be. Names begin with the state that the file was made of.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes all of it, unless somebody else uses it too; for whom has no copy of this any more.
    pub(crate) fn discard(self) {
        drop(self.lease.unlock());
        if self.lease.try_lock().is_ok() {
            clear(&self.folder, &BTreeSet::new());
            drop(self.lease.unlock());
        }
    }

    /// Makes a file: written beside, synced, renamed.
    pub(super) fn write<T>(
        &self,
        name: &str,
        write: impl FnOnce(&mut File) -> Result<T, OfflineError>,
    ) -> Result<T, OfflineError> {
        let path = self.path(name);
        let mut new = self.new_file(name)?;
        let done = write(new.as_file_mut())?;
        self.persist(new, &path)?;
        Ok(done)
    }

    /// A file beside, which [`Self::persist`] gives its name.
    pub(super) fn new_file(&self, name: &str) -> Result<tempfile::NamedTempFile, OfflineError> {
        if !self.makes {
            return Err(write_error(&self.path(name), "copies are only looked at"));
        }
        whole::begin(&self.folder).map_err(|why| write_error(&self.path(name), why))
    }

    /// Syncs a new file and gives it its name.
    pub(super) fn persist(&self, new: tempfile::NamedTempFile, path: &Path) -> Result<(), OfflineError> {
        let made = new.path().to_owned();
        whole::finish_new(new, path, |there| whole::are_same(there, &made).unwrap_or(false))
            .map_err(|why| write_error(path, why))
    }
}

/// The files that say which rows of a source's texts do not parse, of whatever the source was declared to be, and of what
/// was ingested into it. They quote values, and nobody can say whose.
pub fn reasons(offline: &Path, source: &Source) -> Vec<PathBuf> {
    ending_in(REASONS, offline, source)
}

/// The copies of objects that are kept of a source, whatever it was declared to be.
pub fn objects(offline: &Path, source: &Source) -> Vec<PathBuf> {
    ending_in(OBJECT, offline, source)
}

fn ending_in(end: &str, offline: &Path, source: &Source) -> Vec<PathBuf> {
    let folders = folders(offline, source);
    let files = folders.iter().flat_map(|folder| files_of(folder));
    let mut found: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    found.sort();
    found
}

/// Removes all that is kept of a source, of whatever it was declared to be, but for what somebody is reading.
///
/// # Errors
/// [`OfflineError::Write`] if a lease cannot be looked at.
pub fn forget(offline: &Path, source: &Source) -> Result<(), OfflineError> {
    for folder in folders(offline, source) {
        let path = folder.join(LEASE);
        let fail = |why: std::io::Error| write_error(&path, why);
        let lease = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(fail)?;
        if lease.try_lock().is_ok() {
            clear(&folder, &BTreeSet::new());
            lease.unlock().map_err(fail)?;
        }
    }
    Ok(())
}

/// One for each way in which the source was declared.
fn folders(offline: &Path, source: &Source) -> Vec<PathBuf> {
    files_of(&offline.join("sources").join(source.name.as_str())).into_iter().filter(|path| path.is_dir()).collect()
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

pub(super) fn write_error(path: &Path, why: impl Into<BoxError>) -> OfflineError {
    OfflineError::Write { path: path.display().to_string(), source: why.into() }
}

/// What decides how files are read: another declaration keeps files of its own.
fn meaning(source: &Source) -> String {
    let columns = |columns: &[schema::definitions::Column]| {
        columns.iter().map(|column| json!([column.name, column.dtype])).collect::<Vec<_>>()
    };
    let roles = json!([source.event_time, source.created_time, source.deleted, source.field_mapping]);
    let text = json!([source.timezone, source.delimiter, source.bad_rows, columns(&source.columns), roles]);
    let of = json!([1, source.path, source.format, columns(&source.partitions), text]);
    Fingerprint::of(&of).short()
}

/// Best effort: what cannot be removed now is removed later.
fn clear(folder: &Path, states: &BTreeSet<String>) {
    let Ok(found) = std::fs::read_dir(folder) else { return };
    for path in found.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let state = name.split(['-', '.']).next().unwrap_or_default();
        if name != LEASE && !states.contains(state) {
            drop(std::fs::remove_file(&path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::tests::source;
    use super::*;

    #[test]
    fn what_nobody_names_is_removed_when_nobody_reads() {
        let offline = tempfile::tempdir().unwrap();
        let source = source("rows.csv");
        let open = |states: &[&str]| {
            Kept::open(offline.path(), &source, &states.iter().map(|s| (*s).to_owned()).collect()).unwrap()
        };
        let kept = open(&["a"]);
        for name in ["a-1.parquet", "b-1.parquet", "b.columns.json"] {
            kept.write(name, |file| file.write_all(b"x").map_err(|why| write_error(Path::new(name), why))).unwrap();
        }
        // The leftover of a process that was killed.
        std::fs::write(kept.path(".tmpX"), "").unwrap();
        let there = |kept: &Kept| {
            let names = std::fs::read_dir(&kept.folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names.join(" ")
        };
        let another = open(&["a"]);
        assert_eq!(there(&another), ".tmpX a-1.parquet b-1.parquet b.columns.json lease", "somebody may read it");
        drop((kept, another));
        assert_eq!(there(&open(&["a"])), "a-1.parquet lease");
    }

    #[test]
    fn a_copy_that_another_process_made_meanwhile_is_left_as_it_is() {
        let offline = tempfile::tempdir().unwrap();
        let kept = Kept::open(offline.path(), &source("rows.csv"), &BTreeSet::new()).unwrap();
        let path = kept.path("a-1.parquet");
        let make = |bytes: &[u8]| {
            let mut new = kept.new_file("a-1.parquet").unwrap();
            new.write_all(bytes).unwrap();
            kept.persist(new, &path).unwrap();
        };
        make(b"rows");
        let before = path.metadata().unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        make(b"rows");
        assert_eq!(path.metadata().unwrap().modified().unwrap(), before, "who reads it would be told that it changed");
        for damaged in [&b"ro"[..], b"rowz", b"rows and more"] {
            std::fs::write(&path, damaged).unwrap();
            make(b"rows");
            assert_eq!(std::fs::read(&path).unwrap(), b"rows");
        }
    }
}
