//! Taking from the disk what no live file needs: files of older versions, of writers that were killed, and what was
//! quarantined long ago. For whom holds the lease; the append lock is taken, so no file under way is hit.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use schema::{Clock, Timestamp};
use serde::Serialize;

use super::action::file_of;
use super::error::TableError;
use super::lease::{AppendLock, BESIDE, OnWait, RewriteLease};
use super::log::{LOG, Snapshot, read_error, write_error};
use super::protocol::check_writable;
use super::{Table, millis};

/// Folder of quarantined rows, beside a table.
pub(crate) const QUARANTINE: &str = "quarantine";

/// What a vacuum may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Files of rows, and leftovers of writers that were killed.
    Rows,
    /// Files of quarantined rows as well.
    All,
}

/// What a vacuum took away, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vacuumed {
    /// The version that it was done at; older ones may not be readable any more.
    pub version: u64,
    /// Files, relative to the table's folder.
    pub files: Vec<String>,
    /// Their bytes.
    pub size_bytes: u64,
}

impl Table {
    /// Removes files that no version needs which is younger than `retention`. With zero, only the present one stays.
    ///
    /// `dry_run` tells what would go.
    ///
    /// # Errors
    /// [`TableError`] if the table cannot be read, or a file not removed.
    pub fn vacuum(
        &self,
        retention: Duration,
        dry_run: bool,
        lease: &RewriteLease,
        on_wait: OnWait<'_>,
    ) -> Result<Vacuumed, TableError> {
        self.take_away(retention, Extent::All, dry_run, lease, on_wait)
    }

    /// Leaves no rows on the disk but those of the present version, and what is quarantined.
    ///
    /// # Errors
    /// As [`Self::vacuum`].
    pub fn vacuum_rows(&self, lease: &RewriteLease, on_wait: OnWait<'_>) -> Result<Vacuumed, TableError> {
        self.take_away(Duration::ZERO, Extent::Rows, false, lease, on_wait)
    }

    fn take_away(
        &self,
        retention: Duration,
        extent: Extent,
        dry_run: bool,
        lease: &RewriteLease,
        on_wait: OnWait<'_>,
    ) -> Result<Vacuumed, TableError> {
        let _lock = AppendLock::take(&self.root, &self.name, on_wait)?;
        let snapshot = self.log.load(None)?;
        check_writable(&self.name, &snapshot)?;
        lease.check()?;
        let live: HashSet<String> = snapshot.files.iter().filter_map(|file| file.add.file()).collect();
        let keep_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let from = millis(Clock::wall()).saturating_sub(keep_ms);
        // With zero nothing is asked of the past.
        let taken = if retention.is_zero() { Taken::of(&snapshot) } else { self.taken(&snapshot)? };
        // A file that was taken away is as old as its removal, any other as its last change.
        let is_old = |name: &str, changed: i64| {
            let known = taken.removed.get(name).copied();
            known.unwrap_or(changed.max(taken.unknown_until)) <= from
        };
        let mut done = Vacuumed { version: snapshot.version, files: Vec::new(), size_bytes: 0 };
        let mut folders: HashSet<PathBuf> = HashSet::new();
        for found in self.files(extent)? {
            if live.contains(&found.name) || !is_old(&found.name, found.changed_ms) {
                continue;
            }
            let path = self.root.join(&found.name);
            if !dry_run {
                self.disk.remove(&path).map_err(|why| write_error(&path, why))?;
                folders.extend(path.parent().map(Path::to_path_buf));
            }
            done.size_bytes += found.size;
            done.files.push(found.name);
        }
        for folder in folders {
            self.disk.sync_folder(&folder).map_err(|why| write_error(&folder, why))?;
        }
        Ok(done)
    }

    /// As the log's entries tell it: checkpoints forget what was taken away a week ago.
    fn taken(&self, snapshot: &Snapshot) -> Result<Taken, TableError> {
        let mut taken = Taken::of(snapshot);
        let mut next = 0;
        for version in self.log.versions()? {
            // One that cannot be read tells as much as one that is gone.
            let Ok(actions) = self.log.read_entry(version, &[]) else { continue };
            if version != next {
                taken.unknown_until = self.log.written_ms(version)?;
            }
            next = version + 1;
            actions.into_iter().filter_map(|action| action.remove).for_each(|remove| {
                taken.note(&remove.path, remove.deletion_timestamp.unwrap_or(0));
            });
        }
        if next <= snapshot.version {
            taken.unknown_until = i64::MAX;
        }
        Ok(taken)
    }

    /// All files of rows in the table's folder, whichever version holds them, and none.
    ///
    /// # Errors
    /// [`TableError::Read`] if the folder cannot be listed.
    pub fn data_files(&self) -> Result<Vec<PathBuf>, TableError> {
        let files = self.files(Extent::Rows)?.into_iter().map(|found| self.root.join(found.name));
        Ok(files.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect())
    }

    fn files(&self, extent: Extent) -> Result<Vec<Found>, TableError> {
        let mut found = Vec::new();
        let named = |path: &Path| path.extension().is_some_and(|end| end == "parquet");
        let leftover = |path: &Path| path.extension().is_some_and(|end| end == "tmp");
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for (path, is_folder) in entries(&folder)? {
                let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(['_', '.']));
                match is_folder {
                    true if !hidden => folders.push(path),
                    false if !hidden && named(&path) => found.extend(self.found(&path)),
                    _ => {}
                }
            }
        }
        for folder in [self.root.join(LOG), self.root.join(BESIDE)] {
            let leftovers = entries(&folder)?.into_iter().filter(|(path, is_folder)| !is_folder && leftover(path));
            found.extend(leftovers.filter_map(|(path, _)| self.found(&path)));
        }
        let is_whole = |path: &Path| path.extension().is_some_and(|end| end == "jsonl");
        let quarantined = entries(&self.beside().join(QUARANTINE))?.into_iter().filter(|(_, is_folder)| !is_folder);
        let quarantined = quarantined.filter(|(path, _)| extent == Extent::All || !is_whole(path));
        found.extend(quarantined.filter_map(|(path, _)| self.found(&path)));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn found(&self, path: &Path) -> Option<Found> {
        let about = path.metadata().ok()?;
        let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let changed = Timestamp::from_nanos(i64::try_from(changed.as_nanos()).ok()?);
        let name = path.strip_prefix(&self.root).ok()?.to_str()?.to_owned();
        Some(Found { name, size: about.len(), changed_ms: millis(changed) })
    }
}

/// When files were taken away, in milliseconds since the epoch.
#[derive(Debug, Default)]
struct Taken {
    removed: HashMap<String, i64>,
    /// Entries are gone that may have told of any file that it was taken away, up to this time.
    unknown_until: i64,
}

impl Taken {
    fn of(snapshot: &Snapshot) -> Self {
        let mut taken = Self::default();
        snapshot.removed.iter().for_each(|(path, at)| taken.note(path, *at));
        taken
    }

    fn note(&mut self, path: &str, at: i64) {
        if let Some(name) = file_of(path) {
            let known = self.removed.entry(name).or_insert(at);
            *known = at.max(*known);
        }
    }
}

struct Found {
    name: String,
    size: u64,
    changed_ms: i64,
}

/// Paths in a folder, and whether they are folders; none if there is no such folder.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>, TableError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(read_error(folder, why)),
    };
    let one = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.path(), entry.file_type()?.is_dir()))
    };
    entries.map(|entry| one(entry).map_err(|why: std::io::Error| read_error(folder, why))).collect()
}
