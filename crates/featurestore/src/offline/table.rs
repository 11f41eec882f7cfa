//! Delta tables: rows that `plumb` keeps, in files that other engines read too.
//!
//! A table is a folder of Parquet files and a log ([Delta's protocol](https://github.com/delta-io/delta/blob/master/PROTOCOL.md)).
//! The log is ours to read and write (decision 0016): a commit is one file that appears under its number or not at all, synced
//! before it is acknowledged. Tables that are made here number their rows in the order of arrival, in a column of each
//! file, so whatever is compacted, the one ordering stays as it was (decision 0017).
//!
//! Read `log.rs` (what a table is at a version), `commit.rs` (how writers meet), `append.rs`, `rewrite.rs`, `vacuum.rs`,
//! `lease.rs` (who may do which), `source.rs` (a table as a source), `types.rs` (what Delta has no type for).

mod action;
mod append;
mod checkpoint;
mod commit;
mod data_file;
mod disk;
mod error;
mod lease;
mod log;
mod protocol;
mod rewrite;
mod selected;
pub(crate) mod source;
mod types;
mod vacuum;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schema::{Clock, Timestamp};
use serde::Serialize;
use serde_json::{Value as Json, json};

use action::{Action, FileFormat, Metadata, Protocol};
use disk::Disk;
use log::{LOG, Log, Snapshot, write_error};

pub use append::{Appended, Appender, IdempotencyKey};
pub use error::TableError;
pub use lease::{OnWait, RewriteLease};
pub use protocol::ARRIVAL_COLUMN;
pub use rewrite::{Compacted, Deleted};
pub use selected::{KeySet, Selected, TimeRange};
pub use types::TableColumn;
pub use vacuum::Vacuumed;

/// The application whose transaction version is the next arrival number.
const NEXT: &str = "plumb.next";
/// The application whose transaction version counts the times that rows were taken out.
const EPOCH: &str = "plumb.epoch";
/// Files are closed when they have about so many bytes.
pub const TARGET_BYTES: u64 = 128 * 1024 * 1024;

/// A Delta table in a folder.
#[derive(Debug, Clone)]
pub struct Table {
    root: PathBuf,
    name: String,
    log: Log,
    disk: Disk,
}

/// What a table is at a version.
#[derive(Debug, Clone, Serialize)]
pub struct TableState {
    /// The version.
    pub version: u64,
    /// What makes it this table and no other.
    pub id: String,
    /// Its declared columns; `None` if another program made it.
    pub columns: Option<Vec<TableColumn>>,
    /// Files that hold its rows.
    pub n_files: usize,
    /// Their bytes.
    pub size_bytes: u64,
    /// Rows, where all files tell.
    pub n_rows: Option<u64>,
    /// Which rows it holds; `None` if another program made it.
    pub arrivals: Option<Arrivals>,
    /// The newest checkpoint.
    pub checkpoint: Option<u64>,
    /// Checkpoints that cannot be read.
    pub damaged: Vec<String>,
}

/// Which rows a table holds: as long as no row is taken out, all that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Arrivals {
    /// How often rows were taken out.
    pub epoch: u64,
    /// The number that the next row gets.
    pub next: u64,
}

/// One entry of a table's log.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryEntry {
    /// The version that it made.
    pub version: u64,
    /// When, by the writer's clock.
    pub at: Option<Timestamp>,
    /// What was done.
    pub operation: String,
    /// With which counts.
    pub metrics: BTreeMap<String, String>,
    /// Files that it added and took away.
    pub n_added: usize,
    /// Files that it took away.
    pub n_removed: usize,
}

impl Serialize for TableColumn {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        json!({ "name": self.name, "type": self.dtype.to_string() }).serialize(out)
    }
}

impl Table {
    /// The table in the folder `path`, relative to `project`, whether it exists yet or not.
    ///
    /// # Errors
    /// [`TableError::Path`] for names that some engine would take for something else.
    pub fn at(project: &Path, path: &str) -> Result<Self, TableError> {
        let refuse = |why| Err(TableError::Path { table: path.to_owned(), why });
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        if path.is_empty() {
            return refuse("it is empty");
        }
        if path.contains("://") {
            return refuse("tables are folders of this machine");
        }
        if !path.chars().all(plain) {
            return refuse("engines disagree about its characters");
        }
        if path.split('/').any(|part| part == "..") {
            return refuse("it leaves its folder");
        }
        let root = project.join(path);
        let name = path.trim_end_matches('/').to_owned();
        let disk = Disk::default();
        let log = Log { folder: root.join(LOG), table: name.clone(), disk: disk.clone() };
        Ok(Self { root, name, log, disk })
    }

    /// Its path, as messages name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there is a table.
    pub fn exists(&self) -> bool {
        self.log.exists()
    }

    /// Makes the table, empty, if there is none.
    ///
    /// # Errors
    /// [`TableError::Columns`] for names that meet; [`TableError::Write`].
    pub fn create(&self, columns: &[TableColumn]) -> Result<(), TableError> {
        types::check_names(&self.name, columns)?;
        self.disk.make_folder(&self.log.folder).map_err(|why| write_error(&self.log.folder, why))?;
        let schema = types::delta_schema(columns).to_string();
        let metadata = Metadata {
            id: uuid::Uuid::now_v7().to_string(),
            name: None,
            description: None,
            format: FileFormat::default(),
            schema_string: schema,
            partition_columns: Vec::new(),
            configuration: BTreeMap::from([(protocol::OURS.to_owned(), Some(protocol::FORMAT.to_owned()))]),
            created_time: Some(millis(Clock::wall())),
        };
        let protocol =
            Protocol { min_reader_version: 1, min_writer_version: 2, reader_features: None, writer_features: None };
        let actions = [
            commit_info("CREATE TABLE", json!({}), json!({})),
            Action { protocol: Some(protocol), ..Action::default() },
            Action { meta_data: Some(metadata), ..Action::default() },
            Action::txn(NEXT, 0),
            Action::txn(EPOCH, 0),
        ];
        // If somebody else was first, that is the table.
        self.log.append(0, &actions).map(drop)
    }

    /// What the table is at `version`, or now.
    ///
    /// # Errors
    /// [`TableError`] if its log cannot be read or asks for what is not known here.
    pub fn state(&self, version: Option<u64>) -> Result<TableState, TableError> {
        let snapshot = self.log.load(version)?;
        let n_rows = snapshot.files.iter().map(|file| file.add.n_rows()).sum();
        Ok(TableState {
            version: snapshot.version,
            id: snapshot.metadata.id.clone(),
            columns: self.columns_of(&snapshot)?,
            n_files: snapshot.files.len(),
            size_bytes: snapshot.files.iter().map(|file| file.add.size).sum(),
            n_rows,
            arrivals: snapshot.arrivals(),
            checkpoint: snapshot.checkpoint,
            damaged: snapshot.damaged,
        })
    }

    /// The newest entries of the log, newest first.
    ///
    /// # Errors
    /// [`TableError`] if an entry cannot be read.
    pub fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, TableError> {
        if !self.exists() {
            return Err(TableError::NoTable { table: self.name.clone() });
        }
        let versions = self.log.versions()?;
        let told = |version: &u64| {
            let actions = self.log.read_entry(*version, &[])?;
            let info = actions.iter().find_map(|action| action.commit_info.clone()).unwrap_or_default();
            let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let metrics = info["operationMetrics"].as_object().into_iter().flatten();
            let nanos = info["timestamp"].as_i64().and_then(|ms| ms.checked_mul(1_000_000));
            Ok(HistoryEntry {
                version: *version,
                at: nanos.map(Timestamp::from_nanos),
                operation: info["operation"].as_str().unwrap_or("unknown").to_owned(),
                metrics: metrics.map(|(name, value)| (name.clone(), text(value))).collect(),
                n_added: actions.iter().filter(|action| action.add.is_some()).count(),
                n_removed: actions.iter().filter(|action| action.remove.is_some()).count(),
            })
        };
        versions.iter().rev().take(limit).map(told).collect()
    }

    /// Takes the lease for rewriting; waits, after a call of `on_wait`, while another process holds it.
    ///
    /// # Errors
    /// [`TableError::Write`] if the file system has no locks.
    pub fn lease(&self, on_wait: OnWait<'_>) -> Result<RewriteLease, TableError> {
        if !self.exists() {
            return Err(TableError::NoTable { table: self.name.clone() });
        }
        self.disk.make_folder(&self.beside()).map_err(|why| write_error(&self.root, why))?;
        RewriteLease::take(&self.root, &self.name, &self.disk, on_wait)
    }

    /// Folder of what is kept beside the rows.
    pub fn beside(&self) -> PathBuf {
        self.root.join(lease::BESIDE)
    }

    fn columns_of(&self, snapshot: &Snapshot) -> Result<Option<Vec<TableColumn>>, TableError> {
        let ours = snapshot.metadata.is_ours();
        ours.then(|| types::declared(&self.name, &snapshot.metadata.schema_string)).transpose()
    }

    fn data_file_error(&self, version: u64, file: &str, why: impl ToString) -> TableError {
        TableError::DataFile { table: self.name.clone(), version, file: file.to_owned(), why: why.to_string() }
    }
}

impl Snapshot {
    fn arrivals(&self) -> Option<Arrivals> {
        let number = |app: &str| self.txns.get(app).and_then(|version| u64::try_from(*version).ok());
        self.metadata.is_ours().then(|| Arrivals { epoch: number(EPOCH).unwrap_or(0), next: number(NEXT).unwrap_or(0) })
    }
}

/// What was done, for people and other engines.
fn commit_info(operation: &str, parameters: Json, metrics: Json) -> Action {
    // Delta's values here are texts.
    let texts = |values: Json| {
        let text = |value: Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match values {
            Json::Object(map) => map.into_iter().map(|(name, value)| (name, Json::String(text(value)))).collect(),
            other => other,
        }
    };
    let info = json!({
        "timestamp": millis(Clock::wall()),
        "operation": operation,
        "operationParameters": texts(parameters),
        "operationMetrics": texts(metrics),
        "engineInfo": concat!("plumb/", env!("CARGO_PKG_VERSION")),
    });
    Action { commit_info: Some(info), ..Action::default() }
}

fn millis(time: Timestamp) -> i64 {
    time.as_nanos().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests;
