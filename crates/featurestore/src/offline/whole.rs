//! Files that appear whole or not at all: written beside, synced, renamed, and the folder synced after.
//!
//! Every change of the disk is one step of this file, so that a test can let any of them fail.

#[cfg(test)]
pub(crate) mod faults;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file without its name, in the folder where it is to have one. Dropped, it is gone.
pub(crate) fn begin(folder: &Path) -> io::Result<NamedTempFile> {
    step(folder)?;
    NamedTempFile::new_in(folder)
}

/// Gives a file its name, durably, in place of another of that name.
pub(crate) fn finish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    step(path)?;
    file.as_file().sync_all()?;
    step(path)?;
    file.persist(path).map_err(|why| why.error)?;
    sync_folder(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
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
