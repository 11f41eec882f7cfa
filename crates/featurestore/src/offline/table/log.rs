//! Delta's log: entries numbered from 0, each a set of actions, folded into what the table is at a version.
//!
//! An entry is written under its number or not at all, whoever else writes: that is the only place where writers meet.
//! Checkpoints shorten the fold and are never needed: one that cannot be read is passed over.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::seal;
use super::action::{Action, Add, Metadata, Protocol};
use super::disk::Disk;
use super::error::TableError;
use super::protocol;
use crate::caught::caught;

/// Folder of the log in a table's folder.
pub(super) const LOG: &str = "_delta_log";

/// The log of one table.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) folder: PathBuf,
    /// The table's path, as messages name it.
    pub(super) table: String,
    pub(super) disk: Disk,
}

/// What a table is at a version.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) version: u64,
    pub(super) protocol: Protocol,
    pub(super) metadata: Metadata,
    /// In arrival order as the log tells it: by the entry that added them, then by their place in it.
    pub(super) files: Vec<LiveFile>,
    pub(super) txns: BTreeMap<String, i64>,
    /// When files were taken away, by path, in milliseconds since the epoch.
    pub(super) removed: HashMap<String, i64>,
    /// Checkpoints that could not be read.
    pub(super) damaged: Vec<String>,
    /// The newest checkpoint that could be read.
    pub(super) checkpoint: Option<u64>,
}

/// A file whose rows the table holds.
#[derive(Debug, Clone)]
pub(super) struct LiveFile {
    pub(super) add: Add,
    /// The entry that added it; `None` where only a checkpoint tells of it.
    pub(super) commit: Option<u64>,
    place: usize,
}

/// The log's files.
#[derive(Debug, Default)]
struct Listing {
    entries: Vec<u64>,
    checkpoints: Vec<Checkpoint>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Checkpoint {
    version: u64,
    files: Vec<String>,
}

/// A fold under way.
#[derive(Debug, Default)]
struct Fold {
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    files: HashMap<String, LiveFile>,
    txns: BTreeMap<String, i64>,
    removed: HashMap<String, i64>,
    n_seen: usize,
}

impl Log {
    pub(super) fn entry(&self, version: u64) -> PathBuf {
        self.folder.join(format!("{version:020}.json"))
    }

    /// Whether there is a table.
    pub(super) fn exists(&self) -> bool {
        self.list().is_ok_and(|list| !list.entries.is_empty() || !list.checkpoints.is_empty())
    }

    /// What the table is at `version`, or now.
    pub(super) fn load(&self, version: Option<u64>) -> Result<Snapshot, TableError> {
        let list = self.list()?;
        let table = || self.table.clone();
        let newest = list.entries.last().copied().max(list.checkpoints.last().map(|c| c.version));
        let latest = newest.ok_or_else(|| TableError::NoTable { table: table() })?;
        let version = version.unwrap_or(latest);
        if version > latest {
            return Err(TableError::NoVersion { table: table(), version, latest });
        }
        let mut damaged = Vec::new();
        let mut start = None;
        for checkpoint in list.checkpoints.iter().rev().filter(|checkpoint| checkpoint.version <= version) {
            // Damage of whatever kind: the fold is made anew.
            match caught(|| Ok::<_, schema::BoxError>(self.read_checkpoint(checkpoint)?)) {
                Ok(fold) => {
                    start = Some((checkpoint.version, fold));
                    break;
                }
                Err(_torn) => damaged.extend(checkpoint.files.iter().cloned()),
            }
        }
        let is_ours = start.as_ref().is_none_or(|(_, fold)| fold.metadata.as_ref().is_some_and(Metadata::is_ours));
        if !is_ours && list.entries.first() == Some(&0) && list.has_all(0, version) {
            // Only the entries tell in which order the files of another program's table came.
            start = None;
        }
        let checkpoint = start.as_ref().map(|(version, _)| *version);
        let (from, mut fold) = match start {
            Some((version, fold)) => (version + 1, fold),
            None => (0, Fold::default()),
        };
        for version in from..=version {
            let actions = self.read_entry(version, &damaged)?;
            fold.apply(&actions, Some(version));
        }
        let incomplete = |what| TableError::Incomplete { table: table(), what };
        let protocol = fold.protocol.ok_or_else(|| incomplete("protocol"))?;
        let metadata = fold.metadata.ok_or_else(|| incomplete("schema"))?;
        let mut files: Vec<LiveFile> = fold.files.into_values().collect();
        files.sort_by(|a, b| arrival(a).cmp(&arrival(b)));
        let (txns, removed) = (fold.txns, fold.removed);
        let snapshot = Snapshot { version, protocol, metadata, files, txns, removed, damaged, checkpoint };
        protocol::check_readable(&self.table, &snapshot)?;
        Ok(snapshot)
    }

    /// The actions of an entry.
    pub(super) fn read_entry(&self, version: u64, damaged: &[String]) -> Result<Vec<Action>, TableError> {
        let path = self.entry(version);
        let (table, damaged) = (|| self.table.clone(), || damaged.to_vec());
        let bytes = std::fs::read(&path).map_err(|why| match why.kind() {
            std::io::ErrorKind::NotFound => TableError::Missing { table: table(), version, damaged: damaged() },
            _ => read_error(&path, why),
        })?;
        let garbled =
            |line, why: String| TableError::Garbled { table: table(), version, line, why, damaged: damaged() };
        let text = String::from_utf8(bytes).map_err(|why| garbled(1, why.to_string()))?;
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let actions = lines
            .map(|(line, number)| serde_json::from_str(line).map_err(|why| garbled(number, why.to_string())))
            .collect::<Result<Vec<Action>, _>>()?;
        if !actions.iter().any(Action::is_known) {
            return Err(garbled(1, "it holds no action".to_owned()));
        }
        Ok(actions)
    }

    /// Versions that have an entry, oldest first.
    pub(super) fn versions(&self) -> Result<Vec<u64>, TableError> {
        Ok(self.list()?.entries)
    }

    /// When entry `version` was written, in milliseconds since the epoch.
    pub(super) fn written_ms(&self, version: u64) -> Result<i64, TableError> {
        let path = self.entry(version);
        let changed = path.metadata().and_then(|about| about.modified()).map_err(|why| read_error(&path, why))?;
        let since = changed.duration_since(UNIX_EPOCH).map_err(|why| read_error(&path, why))?;
        i64::try_from(since.as_millis()).map_err(|why| read_error(&path, why))
    }

    /// Writes entry `version`, durable; `false` if somebody wrote it before.
    pub(super) fn append(&self, version: u64, actions: &[Action]) -> Result<bool, TableError> {
        let path = self.entry(version);
        let mut text = String::new();
        for action in actions {
            let line = serde_json::to_string(action).map_err(|why| write_error(&path, why))?;
            text.push_str(&line);
            text.push('\n');
        }
        self.disk.put_if_absent(&path, text.as_bytes()).map_err(|why| write_error(&path, why))
    }

    fn list(&self) -> Result<Listing, TableError> {
        let mut list = Listing::default();
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(list),
            Err(why) => return Err(read_error(&self.folder, why)),
        };
        let mut parts: BTreeMap<(u64, usize), Vec<String>> = BTreeMap::new();
        for entry in entries {
            let name = entry.map_err(|why| read_error(&self.folder, why))?.file_name();
            let Some(name) = name.to_str() else { continue };
            match named(name) {
                Some((version, Named::Entry)) => list.entries.push(version),
                Some((version, Named::Checkpoint { parts: n })) => {
                    parts.entry((version, n)).or_default().push(name.to_owned());
                }
                None => {}
            }
        }
        for ((version, n), mut files) in parts {
            files.sort();
            if files.len() == n {
                list.checkpoints.push(Checkpoint { version, files });
            }
        }
        list.entries.sort_unstable();
        list.checkpoints.sort();
        Ok(list)
    }

    fn read_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Fold, TableError> {
        const COLUMNS: [&str; 16] = [
            "protocol",
            "metaData",
            "txn",
            "remove.path",
            "remove.deletionTimestamp",
            "remove.dataChange",
            "remove.size",
            "remove.partitionValues",
            "remove.deletionVector",
            "add.path",
            "add.partitionValues",
            "add.size",
            "add.modificationTime",
            "add.dataChange",
            "add.stats",
            "add.deletionVector",
        ];
        let mut fold = Fold::default();
        for name in &checkpoint.files {
            let path = self.folder.join(name);
            let fail = |why: schema::BoxError| read_error(&path, why);
            let mut file = File::open(&path).map_err(|why| fail(why.into()))?;
            seal::check(&mut file, &path).map_err(|why| fail(why.into()))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|why| fail(why.into()))?;
            let mask = ProjectionMask::columns(reader.parquet_schema(), COLUMNS);
            let reader = reader.with_projection(mask).build().map_err(|why| fail(why.into()))?;
            for batch in reader {
                let batch = batch.map_err(|why| fail(why.into()))?;
                let mut lines = arrow::json::LineDelimitedWriter::new(Vec::new());
                lines.write(&batch).map_err(|why| fail(why.into()))?;
                lines.finish().map_err(|why| fail(why.into()))?;
                let lines = lines.into_inner();
                let actions = serde_json::Deserializer::from_slice(&lines).into_iter::<Action>();
                let actions = actions.collect::<Result<Vec<_>, _>>().map_err(|why| fail(why.into()))?;
                fold.apply(&actions, None);
            }
        }
        match (&fold.protocol, &fold.metadata) {
            (Some(_), Some(_)) => Ok(fold),
            _ => Err(read_error(&self.folder, "the checkpoint lacks the protocol or the schema")),
        }
    }
}

/// By entry, then by place in it. What only a checkpoint tells came first, by the time that its file was written.
fn arrival(file: &LiveFile) -> (Option<u64>, i64, usize, &str) {
    let time = if file.commit.is_none() { file.add.modification_time } else { 0 };
    let place = if file.commit.is_none() { 0 } else { file.place };
    (file.commit, time, place, &file.add.path)
}

impl Listing {
    fn has_all(&self, from: u64, to: u64) -> bool {
        let known = self.entries.iter().filter(|version| (from..=to).contains(*version)).count();
        u64::try_from(known).is_ok_and(|known| known == to - from + 1)
    }
}

impl Fold {
    fn apply(&mut self, actions: &[Action], commit: Option<u64>) {
        for action in actions {
            if let Some(protocol) = &action.protocol {
                self.protocol = Some(protocol.clone());
            }
            if let Some(metadata) = &action.meta_data {
                self.metadata = Some(metadata.clone());
            }
            if let Some(txn) = &action.txn {
                self.txns.insert(txn.app_id.clone(), txn.version);
            }
            if let Some(remove) = &action.remove {
                self.files.remove(&remove.path);
                self.removed.insert(remove.path.clone(), remove.deletion_timestamp.unwrap_or(0));
            }
        }
        // Of one entry, what is added counts whatever stands before it.
        for add in actions.iter().filter_map(|action| action.add.as_ref()) {
            self.removed.remove(&add.path);
            let (add, place) = (add.clone(), self.n_seen);
            self.files.insert(add.path.clone(), LiveFile { add, commit, place });
            self.n_seen += 1;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Entry,
    Checkpoint { parts: usize },
}

/// What a file of the log is, by its name. Checkpoints of the second kind are not named so: their table says that it needs
/// them.
fn named(name: &str) -> Option<(u64, Named)> {
    let (version, rest) = name.split_once('.')?;
    if version.len() != 20 {
        return None;
    }
    let version = version.parse().ok()?;
    let of_parts = |text: &str| -> Option<usize> {
        let (_, n) = text.strip_prefix("checkpoint.")?.strip_suffix(".parquet")?.split_once('.')?;
        n.parse().ok().filter(|_| n.len() == 10)
    };
    match rest {
        "json" => Some((version, Named::Entry)),
        "checkpoint.parquet" => Some((version, Named::Checkpoint { parts: 1 })),
        other => of_parts(other).map(|parts| (version, Named::Checkpoint { parts })),
    }
}

pub(super) fn read_error(path: &Path, why: impl Into<schema::BoxError>) -> TableError {
    TableError::Read { path: path.display().to_string(), source: why.into() }
}

pub(super) fn write_error(path: &Path, why: impl Into<schema::BoxError>) -> TableError {
    TableError::Write { path: path.display().to_string(), source: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_log_are_known_by_their_names() {
        let n = "00000000000000000007";
        assert_eq!(named(&format!("{n}.json")), Some((7, Named::Entry)));
        assert_eq!(named(&format!("{n}.checkpoint.parquet")), Some((7, Named::Checkpoint { parts: 1 })));
        let part = format!("{n}.checkpoint.0000000001.0000000003.parquet");
        assert_eq!(named(&part), Some((7, Named::Checkpoint { parts: 3 })));
        for other in ["7.json", "_last_checkpoint", &format!("{n}.crc"), &format!("{n}.{n}.compacted.json"), ".x.tmp"] {
            assert_eq!(named(other), None, "{other}");
        }
        assert_eq!(named(&format!("{n}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet")), None);
    }
}
