//! Leases: of processes that would do the same work on the same data, one does.
//!
//! There is one per view version, for building its generations, and one per table, for rewriting it (`table/lease.rs`). A
//! lease is a lock on a file, so a process that is killed gives it up.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use schema::FeatureView;

use super::{OfflineError, folder_of};

/// The right to maintain what is made of one view version; given up when dropped.
#[derive(Debug)]
pub struct Lease {
    file: File,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Closing alone gives it up only when no child process that is just being started has the file as well.
        let _ = self.file.unlock();
    }
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
        let fail = |source: io::Error| OfflineError::Write { path: shown.clone(), source: source.into() };
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(fail)?;
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(fail)?;
        match try_take(&file) {
            Ok(true) => Ok(Self::Held(Lease { file })),
            Ok(false) => Ok(Self::Taken(Waiting { file, path: shown })),
            Err(why) => Err(fail(why)),
        }
    }
}

/// Locks a file, unless somebody has it: whether it is ours now. Who only looks ([`is_held`]) locks it too, shared and for a moment.
fn try_take(file: &File) -> io::Result<bool> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(why)) => return Err(why),
        }
        match file.try_lock_shared() {
            Ok(()) => file.unlock()?,
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(why)) => return Err(why),
        }
        std::thread::yield_now();
    }
}

impl Waiting {
    /// Waits, blocking, until the other process is done.
    ///
    /// # Errors
    /// [`OfflineError::Write`] if the file system has no locks.
    pub fn wait(self) -> Result<Lease, OfflineError> {
        self.file.lock().map_err(|why| OfflineError::Write { path: self.path, source: why.into() })?;
        Ok(Lease { file: self.file })
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Takes a lease again and again, while `meanwhile` is done on another thread; whether it was ever said to be taken.
    fn is_ever_taken(meanwhile: impl Fn(&Path) + Send + Sync) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    meanwhile(folder.path());
                }
            });
            let is_taken = |_| matches!(Leasing::of_file(&path).unwrap(), Leasing::Taken(_));
            let ever = (0..20_000).any(is_taken);
            over.store(true, Ordering::Relaxed);
            ever
        })
    }

    #[test]
    fn who_looks_takes_nothing() {
        assert!(!is_ever_taken(|folder| {
            is_held(folder);
        }));
    }

    /// A child has its parent's files until it is another program.
    #[test]
    fn what_is_given_up_is_free_though_a_process_is_being_started() {
        assert!(!is_ever_taken(|_| assert!(Command::new("true").status().unwrap().success())));
    }

    #[test]
    fn what_is_held_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert!(!is_held(folder.path()));
        let Leasing::Held(lease) = Leasing::of_file(&path).unwrap() else { panic!("nobody else has it") };
        assert!(is_held(folder.path()));
        let Leasing::Taken(waiting) = Leasing::of_file(&path).unwrap() else { panic!("it is held") };
        drop(lease);
        let lease = waiting.wait().unwrap();
        assert!(is_held(folder.path()));
        drop(lease);
        assert!(!is_held(folder.path()));
    }
}
