//! Pushes as Parquet files, which history reads like those of a source. They are made from the log when they are needed
//! and can be made again: the log is the record.
//!
//! Whoever reads them holds their lease, shared; what no state of the log names any more is removed by whoever gets it alone.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use schema::FeatureView;

use super::log::{Entry, PushLog};
use super::rows::schema_of;
use crate::offline::source::open_file;
use crate::offline::whole;
use crate::offline::{OfflineError, seal};

/// Beside the snapshots of a view version.
const FOLDER: &str = "pushes";
/// A file is closed when it has this many rows; the last one is written anew for every state of the log.
const ROWS_PER_FILE: u64 = 65_536;
/// The lease's file.
const LEASE: &str = "lease";

/// The files of a view's pushes.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// In their order.
    pub(crate) paths: Vec<PathBuf>,
    /// Rows that were pushed, those that were erased since included: it only grows.
    pub(crate) n_rows: u64,
    /// Keeps them from being removed while they are read.
    pub(crate) lease: Option<Arc<File>>,
}

/// The files of all pushes to a view up to now, in their order; `folder` is the view version's.
pub(crate) fn ensure(folder: &Path, view: &FeatureView, log: &PushLog) -> Result<Segments, OfflineError> {
    let entries = log.entries(view)?;
    if entries.is_empty() {
        return Ok(Segments::default());
    }
    let folder = folder.join(FOLDER);
    let fail = |why: schema::BoxError| OfflineError::Write { path: folder.display().to_string(), source: why };
    std::fs::create_dir_all(&folder).map_err(|why| fail(why.into()))?;
    let parts = parts(&entries);
    let paths: Vec<PathBuf> = parts.iter().map(|part| folder.join(name(part))).collect();
    let lease = share(&folder, &paths).map_err(|why| fail(why.into()))?;
    for (part, path) in parts.into_iter().zip(&paths) {
        // One that is damaged is made again.
        if !is_sound(path) {
            write(path, &folder, view, log, part)?;
        }
    }
    let n_rows = entries.iter().map(|entry| entry.n_rows).sum();
    Ok(Segments { paths, n_rows, lease: Some(Arc::new(lease)) })
}

/// A share of the lease. Files that are not wanted are removed first, unless somebody may still read them.
fn share(folder: &Path, wanted: &[PathBuf]) -> std::io::Result<File> {
    let lease = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join(LEASE))?;
    if lease.try_lock().is_ok() {
        // Best effort: what cannot be removed now is removed later.
        drop(clear(folder, wanted));
        lease.unlock()?;
    }
    lease.lock_shared()?;
    Ok(lease)
}

/// Removes all files of a view version's pushes: the log changed, and they are made again from it.
pub(crate) fn discard(folder: &Path) -> std::io::Result<()> {
    match clear(&folder.join(FOLDER), &[]) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(why),
        _ => Ok(()),
    }
}

/// Removes all files but those that are wanted, and the lease's: it must stay the same file.
fn clear(folder: &Path, wanted: &[PathBuf]) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != LEASE) && !wanted.contains(&path) {
            match std::fs::remove_file(&path) {
                Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(why),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Consecutive pushes that make a file each; the same for every later state of the log, but for the last.
fn parts(entries: &[Entry]) -> Vec<&[Entry]> {
    let mut parts = Vec::new();
    let (mut start, mut n_rows) = (0, 0);
    for (i, entry) in entries.iter().enumerate() {
        n_rows += entry.n_rows;
        if n_rows >= ROWS_PER_FILE || i + 1 == entries.len() {
            parts.push(&entries[start..=i]);
            (start, n_rows) = (i + 1, 0);
        }
    }
    parts
}

fn name(part: &[Entry]) -> String {
    let seq = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.seq);
    format!("{:012}-{:012}.parquet", seq(part.first()), seq(part.last()))
}

fn write(path: &Path, folder: &Path, view: &FeatureView, log: &PushLog, part: &[Entry]) -> Result<(), OfflineError> {
    let fail = |why: schema::BoxError| OfflineError::Write { path: path.display().to_string(), source: why };
    let mut out = whole::begin(folder).map_err(|why| fail(why.into()))?;
    let mut writer = ArrowWriter::try_new(out.as_file_mut(), schema_of(view), None).map_err(|why| fail(why.into()))?;
    for entry in part {
        writer.write(log.rows(view, entry.seq)?.batch()).map_err(|why| fail(why.into()))?;
    }
    writer.append_key_value_metadata(seal::place());
    writer.close().map_err(|why| fail(why.into()))?;
    seal::seal(out.as_file_mut()).map_err(|why| fail(why.into()))?;
    whole::finish_new(out, path, is_sound).map_err(|why| fail(why.into()))
}

fn is_sound(path: &Path) -> bool {
    open_file(Path::new(""), path.to_owned(), 0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_full_stay_as_they_are() {
        let entries = |n: i64| (0..n).map(|seq| Entry { seq, n_rows: 40_000 }).collect::<Vec<_>>();
        let names = |n| parts(&entries(n)).into_iter().map(name).collect::<Vec<_>>();
        assert_eq!(names(3), ["000000000000-000000000001.parquet", "000000000002-000000000002.parquet"]);
        assert_eq!(names(5)[..2], ["000000000000-000000000001.parquet", "000000000002-000000000003.parquet"]);
        assert_eq!(parts(&[]), Vec::<&[Entry]>::new());
    }
}
