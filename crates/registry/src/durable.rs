//! Making files and folders that are still there after the power fails.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes `folder` and what is missing above it, and writes down in each parent that it was made.
pub(crate) fn create_dirs(folder: &Path) -> io::Result<()> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    missing.into_iter().try_for_each(|made| match made.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    })
}

/// Writes the names in `folder` to disk: a new name is not durable before.
pub(crate) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
