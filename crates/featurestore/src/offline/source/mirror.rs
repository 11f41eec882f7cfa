//! A Delta table in an object store: its log and its live files, fetched into a folder of this machine and read there.
//!
//! Entries and files of a table never change, so what is there in its size is not fetched again. The folder's log is not
//! called as Delta calls it: to other programs, and to whoever erases, these are files and no table.

use std::path::Path;

use schema::definitions::Source;

use super::super::table::source::Loaded;
use super::super::{OfflineError, OfflineStore};
use super::kept::{Kept, write_error};
use super::place::RemotePlace;
use super::remote::{Below, Folder};
use super::{Look, SourceFiles, Want};

/// Of the table's folder in the store.
const LOG: &str = "_delta_log";
/// Of the folder here.
const LOG_HERE: &str = "log";

/// Opens a table as it is in the store, or was at `version`.
pub(super) async fn open(
    store: &OfflineStore,
    source: &Source,
    place: &RemotePlace,
    want: Want,
    version: Option<u64>,
) -> Result<SourceFiles, OfflineError> {
    // Which files belong to it is known when its log is here.
    let kept = Kept::open(store.folder(), source, &std::collections::BTreeSet::new())?;
    let root = kept.path("table");
    let folder = Folder::open(store, source, place)?;
    let entries = entries(&folder).await?;
    let here = root.join(LOG_HERE);
    std::fs::create_dir_all(&here).map_err(|why| write_error(&here, why))?;
    let each = entries.iter().map(|entry| (entry.below.clone(), entry.size, here.join(&entry.below)));
    folder.fetch(&kept, LOG, each.collect()).await?;
    let table = Loaded::mirrored(source, &root, LOG_HERE, version)?;
    let files = table.files(source)?.into_iter().map(|(name, size)| (name.clone(), size, root.join(name)));
    let files: Vec<_> = files.collect();
    if want == Want::Rows || !files.iter().all(|(_, _, path)| path.exists()) {
        for (_, _, path) in &files {
            let above = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(above).map_err(|why| write_error(above, why))?;
        }
        folder.fetch(&kept, "", files).await?;
    }
    table.open(store.project(), source, Some(kept))
}

/// Looks at a table: its log is listed, and nothing fetched.
pub(super) async fn look(store: &OfflineStore, source: &Source, place: &RemotePlace) -> Result<Look, OfflineError> {
    let entries = entries(&Folder::open(store, source, place)?).await?;
    let Some(kept) = Kept::look(store.folder(), source)? else { return Ok(Look::Unread { n_files: entries.len() }) };
    let root = kept.path("table");
    let here = root.join(LOG_HERE);
    let is_here = |path: &Path, size: u64| path.metadata().is_ok_and(|about| about.len() == size);
    let n_new = entries.iter().filter(|entry| !is_here(&here.join(&entry.below), entry.size)).count();
    if n_new > 0 || entries.is_empty() {
        return Ok(Look::Unread { n_files: entries.len() });
    }
    let table = Loaded::mirrored(source, &root, LOG_HERE, None)?;
    let files = table.files(source)?;
    if !files.iter().all(|(name, size)| is_here(&root.join(name), *size)) {
        return Ok(Look::Unread { n_files: files.len() });
    }
    table.open(store.project(), source, Some(kept)).map(Look::whole)
}

async fn entries(folder: &Folder<'_>) -> Result<Vec<Below>, OfflineError> {
    let is_entry = |name: &str| !name.contains('/') && (name.ends_with(".json") || name.ends_with(".parquet"));
    folder.list(LOG, is_entry).await
}
