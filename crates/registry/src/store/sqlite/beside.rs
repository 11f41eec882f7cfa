//! The snapshot of a log in a file, in a file beside it: so nothing that happens to it happens to the log, and nobody who
//! appends waits while it is written.
//!
//! It appears whole or not at all: written under another name, synced, renamed. What a killed process left under that name
//! is written over by the next one; of two processes at once one goes on, and the other has nothing to do. An empty file
//! gives it up: that waits for its turn, and stays.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::durable;

/// `registry.db` has its snapshot in `registry.db.snapshot`.
pub(super) fn path_of(log: &Path) -> PathBuf {
    with_end(log, ".snapshot")
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The bytes, if there is a file.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// Writes the file anew; not at all where another process is at it, or where it was given up.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = with_end(path, ".part");
    let gives_up = bytes.is_empty();
    let mut file = loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&part)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if gives_up => file.lock()?,
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(why)) => return Err(why),
        }
        // Whoever held the lock before may have renamed the file since we opened it: then it is the snapshot of now.
        match is_at(&file, &part)? {
            true => break file,
            false if gives_up => {}
            false => return Ok(()),
        }
    };
    // Whoever gave it up held this lock.
    if fs::metadata(path).is_ok_and(|there| there.len() == 0) {
        return fs::remove_file(&part);
    }
    let written = file.set_len(0).and_then(|()| file.write_all(bytes)).and_then(|()| file.sync_all());
    if let Err(why) = written {
        // A full disk gets its room back.
        fs::remove_file(&part)?;
        return Err(why);
    }
    fs::rename(&part, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => durable::sync_dir(folder),
        _ => durable::sync_dir(Path::new(".")),
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(why) => Err(why),
    }
}
