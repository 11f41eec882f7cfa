//! Leases: of processes that would do the same work on the same data, one does.
//!
//! There is one per view version, for building its generations, and one per table, for rewriting it (`table/lease.rs`). A
//! lease is a lock on a file, so a process that is killed gives it up.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use schema::FeatureView;

use super::{OfflineError, folder_of};

/// The right to maintain what is made of one view version; given up when dropped.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

/// A lease, or how to wait for it.
#[derive(Debug)]
pub enum Leasing {
    /// It is ours.
    Held(Lease),
    /// Another process has it.
    Taken(Waiting),
}

/// A lease that another process has.
#[derive(Debug)]
pub struct Waiting {
    file: File,
    path: String,
}

/// The lease's file in a view version's folder.
const FILE: &str = "lease";

/// Whether a process holds the lease that is kept in `folder`. Makes nothing.
pub(super) fn is_held(folder: &Path) -> bool {
    File::open(folder.join(FILE)).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

impl Leasing {
    /// Asks for the lease of a view version under `folder`.
    pub(super) fn ask(folder: &Path, view: &FeatureView) -> Result<Self, OfflineError> {
        Self::of_file(&folder_of(folder, view).join(FILE))
    }

    /// Asks for the lease that a file stands for; the file is made if it does not exist.
    pub(super) fn of_file(path: &Path) -> Result<Self, OfflineError> {
        let shown = path.display().to_string();
        let fail = |source: std::io::Error| OfflineError::Write { path: shown.clone(), source: source.into() };
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(fail)?;
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Self::Held(Lease { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(Self::Taken(Waiting { file, path: shown })),
            Err(TryLockError::Error(why)) => Err(fail(why)),
        }
    }
}

impl Waiting {
    /// Waits, blocking, until the other process is done.
    ///
    /// # Errors
    /// [`OfflineError::Write`] if the file system has no locks.
    pub fn wait(self) -> Result<Lease, OfflineError> {
        self.file.lock().map_err(|why| OfflineError::Write { path: self.path, source: why.into() })?;
        Ok(Lease { _file: self.file })
    }
}
