//! The offline folder: it can be written to, no writer that was killed left half a file, no erasure is unfinished.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use featurestore::OfflineStore;
use featurestore::offline::whole;

use super::finding::{Findings, Level};
use crate::commands::erase::unfinished;

const CHECK: &str = "offline folder";
const ERASURES: &str = "erasures";
/// A file without its name that was not written to for so long is nobody's any more.
const LEFT_AFTER: Duration = Duration::from_secs(3_600);

/// Looks.
pub(super) fn look(offline: &OfflineStore, found: &mut Findings) {
    let folder = offline.folder();
    let about = folder.display().to_string();
    let at = existing(folder);
    match writes(&at) {
        Ok(()) if at == folder => found.add(Level::Ok, CHECK, about.clone(), "it can be written to"),
        Ok(()) => found.add(Level::Ok, CHECK, about.clone(), "it is not there yet, and can be made"),
        Err(why) => {
            let says = format!("nothing can be written to `{}`: {why}", at.display());
            found.advise(
                Level::Failed,
                CHECK,
                about.clone(),
                says,
                "give the user who runs plumb the right to write there",
            );
        }
    }
    let left = unnamed(folder, LEFT_AFTER);
    if !left.is_empty() {
        let bytes: u64 = left.iter().filter_map(|path| path.metadata().ok()).map(|about| about.len()).sum();
        let names: Vec<String> = left.iter().map(|path| path.display().to_string()).collect();
        let says = format!("{} files that writers left when they were killed, {bytes} bytes", left.len());
        found.advise(Level::Warning, CHECK, about, says, format!("remove {}", names.join(", ")));
    }
    match unfinished(offline) {
        Ok(begun) if begun.is_empty() => found.add(Level::Ok, ERASURES, "", "none is unfinished"),
        Ok(begun) => {
            for one in begun {
                let says = format!("it was begun, and not all of it is gone: {one}");
                found.advise(Level::Failed, ERASURES, "", says, "run the same plumb erase again");
            }
        }
        Err(why) => found.failed(ERASURES, "", why),
    }
}

/// The folder, or the nearest one above it that there is.
pub(super) fn existing(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find(|folder| folder.exists()).map(Path::to_owned);
    match there {
        Some(there) if there == absolute => folder.to_owned(),
        Some(there) => there,
        None => folder.to_owned(),
    }
}

/// Writes a file without a name, which is gone when it is closed.
fn writes(folder: &Path) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(b"plumb doctor")?;
    file.sync_all()
}

/// Files below a folder that have no name yet and were not written to for so long.
pub(in crate::commands) fn unnamed(folder: &Path, for_long: Duration) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut left = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            left.extend(unnamed(&path, for_long));
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let age = path.metadata().and_then(|about| about.modified()).ok().and_then(|time| time.elapsed().ok());
        if whole::is_unnamed(&name) && age.is_some_and(|age| age >= for_long) {
            left.push(path);
        }
    }
    left.sort();
    left
}
