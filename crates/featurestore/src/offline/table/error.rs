//! What goes wrong with a table, always with its path.

use schema::{BoxError, ErrorKind};

/// What went wrong with a Delta table.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TableError {
    #[error("there is no Delta table in `{table}`")]
    NoTable { table: String },
    #[error("table `{table}` has no version {version}; its versions end with {latest}")]
    NoVersion { table: String, version: u64, latest: u64 },
    #[error("`{table}` is not a name for a table's folder: {why}")]
    Path { table: String, why: &'static str },
    #[error("entry {version} of the log of table `{table}` is missing{}", told(.damaged))]
    Missing { table: String, version: u64, damaged: Vec<String> },
    #[error("entry {version} of the log of table `{table}` is garbled in line {line}: {why}{}", told(.damaged))]
    Garbled { table: String, version: u64, line: usize, why: String, damaged: Vec<String> },
    #[error("table `{table}` has no {what} in its log")]
    Incomplete { table: String, what: &'static str },
    #[error("table `{table}` needs {what}, which is not known here")]
    Unknown { table: String, what: String },
    #[error("table `{table}` was made by another program: it is read here, and not written")]
    Foreign { table: String },
    #[error("file `{file}` of table `{table}` at version {version}: {why}")]
    DataFile { table: String, version: u64, file: String, why: String },
    #[error("table `{table}` cannot have these columns: {why}")]
    Columns { table: String, why: String },
    #[error("table `{table}` has a row that `{what}` cannot take: {why}")]
    Value { table: String, what: String, why: String },
    #[error("{what} table `{table}`: {why}")]
    Conflict { table: String, what: &'static str, why: String },
    #[error(
        "compacting table `{table}` changed its rows, {before} before and {after} after; version {restored} restores them"
    )]
    Broken { table: String, before: u64, after: u64, restored: u64 },
    #[error("reading `{path}`")]
    Read {
        path: String,
        #[source]
        source: BoxError,
    },
    #[error("writing `{path}`")]
    Write {
        path: String,
        #[source]
        source: BoxError,
    },
}

fn told(damaged: &[String]) -> String {
    match damaged {
        [] => String::new(),
        names => format!("; and checkpoints are damaged: {}", names.join(", ")),
    }
}

impl TableError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoTable { .. } | Self::NoVersion { .. } => ErrorKind::NotFound,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Broken { .. } => ErrorKind::Internal,
            Self::Write { .. } => ErrorKind::Unavailable,
            _ => ErrorKind::Invalid,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoTable { .. } => {
                "declare the `columns` of its source: until the table is made, it is one without rows".to_owned()
            }
            Self::NoVersion { latest, .. } => format!("ask for a version from 0 to {latest}"),
            Self::Path { .. } => "use letters, digits, `_`, `-`, `.` and `/`".to_owned(),
            Self::Missing { version, .. } => format!(
                "bring `_delta_log/{version:020}.json` back from a backup; versions before it can still be read"
            ),
            Self::Garbled { version, .. } => format!(
                "bring `_delta_log/{version:020}.json` back from a backup. If it is the last entry and nobody was told \
                 that it was written, moving it away leaves the table as it was before"
            ),
            Self::Incomplete { .. } => "entry 0 of its log must say them; bring it back from a backup".to_owned(),
            Self::Unknown { .. } => "write the table without it, or copy its rows into a table without it".to_owned(),
            Self::Foreign { .. } => "copy its rows into a table of a source with another path".to_owned(),
            Self::DataFile { .. } => {
                "bring the file back from a backup, or read a version that does not need it: files that no version \
                 holds any more go when the table is vacuumed"
                    .to_owned()
            }
            Self::Conflict { .. } => "look at the newest entries of its log, then try again".to_owned(),
            Self::Broken { .. } => "another program writes to this table: let one program write it".to_owned(),
            Self::Columns { .. } | Self::Value { .. } | Self::Read { .. } | Self::Write { .. } => return None,
        })
    }
}
