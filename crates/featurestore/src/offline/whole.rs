//! Files that appear whole or not at all: written beside, synced, renamed, and the folder synced after.
//!
//! Every change of the disk is one step of this file, so that a test can let any of them fail.

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use tempfile::NamedTempFile;

/// How the names begin of files that have none yet.
const WRITING: &str = ".writing-";
/// And of those that take the place of one from which somebody is erased: they lack its subject, and may hold another's.
const ERASING: &str = ".erasing-";
/// As they began before.
const BEFORE: &str = ".tmp";

/// Whether a file of this name has none yet: it is being written, or was left by a writer that was killed.
pub fn is_unnamed(name: &str) -> bool {
    [WRITING, ERASING, BEFORE].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether it is an erasure's.
pub fn is_of_erasure(name: &str) -> bool {
    name.starts_with(ERASING)
}

/// A file without its name, in the folder where it is to have one. Dropped, it is gone.
///
/// # Errors
/// It cannot be made.
pub fn begin(folder: &Path) -> io::Result<NamedTempFile> {
    begin_as(WRITING, folder)
}

/// As [`begin`], of what takes the place of a file from which somebody is erased.
///
/// # Errors
/// It cannot be made.
pub fn begin_erasing(folder: &Path) -> io::Result<NamedTempFile> {
    begin_as(ERASING, folder)
}

/// As [`begin`], of what is the user's: whoever the user lets read files may read it.
///
/// # Errors
/// It cannot be made.
pub fn begin_of_user(folder: &Path) -> io::Result<NamedTempFile> {
    step(folder)?;
    let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    tempfile::Builder::new().prefix(WRITING).permissions(anybody).tempfile_in(folder)
}

fn begin_as(prefix: &str, folder: &Path) -> io::Result<NamedTempFile> {
    step(folder)?;
    tempfile::Builder::new().prefix(prefix).tempfile_in(folder)
}

/// Gives a file its name, durably, in place of another of that name.
///
/// # Errors
/// It has no name then, or one that a crash may take.
pub fn finish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    step(path)?;
    file.as_file().sync_all()?;
    step(path)?;
    file.persist(path).map_err(|why| why.error)?;
    sync_folder(folder_of(path))
}

/// As [`finish`], of what another process may have made meanwhile: it made the same, and may be reading its own already.
/// What is there then stays, unless it is damaged.
pub(crate) fn finish_new(file: NamedTempFile, path: &Path, is_sound: impl FnOnce(&Path) -> bool) -> io::Result<()> {
    step(path)?;
    file.as_file().sync_all()?;
    step(path)?;
    if let Err(refused) = file.persist_noclobber(path) {
        if refused.error.kind() != io::ErrorKind::AlreadyExists {
            return Err(refused.error);
        }
        if !is_sound(path) {
            refused.file.persist(path).map_err(|why| why.error)?;
        }
    }
    sync_folder(folder_of(path))
}

/// Whether two files hold the same bytes.
pub(crate) fn are_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    loop {
        let (a, b) = (one.fill_buf()?, other.fill_buf()?);
        let n = a.len().min(b.len());
        if a[..n] != b[..n] || (n == 0 && a.len() != b.len()) {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
        one.consume(n);
        other.consume(n);
    }
}

/// The folder that a file is in, or will be.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    step(folder)?;
    File::open(folder)?.sync_all()
}

#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "in tests it fails when it is told to")]
fn step(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
fn step(path: &Path) -> io::Result<()> {
    faults::step(path)
}
