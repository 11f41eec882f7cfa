//! What a table asks of its readers and writers, and whether we have it. What we lack is refused by its name.

use serde_json::Value as Json;

use super::action::Metadata;
use super::error::TableError;
use super::log::Snapshot;

/// In the configuration of tables that are made here: the number of the format of what we add to Delta's.
pub(super) const OURS: &str = "plumb.format";
/// The number that is written.
pub(super) const FORMAT: &str = "1";
/// The column of arrival numbers in tables that are made here.
pub const ARRIVAL_COLUMN: &str = "_plumb_seq";

/// Features of readers that change nothing for us, or that we have.
const KNOWN: [&str; 3] = ["timestampNtz", "vacuumProtocolCheck", "deletionVectors"];

/// Refuses what cannot be read rightly.
pub(super) fn check_readable(table: &str, snapshot: &Snapshot) -> Result<(), TableError> {
    let unknown = |what: String| Err(TableError::Unknown { table: table.to_owned(), what });
    let protocol = &snapshot.protocol;
    if protocol.min_reader_version > 3 {
        return unknown(format!("readers of version {}", protocol.min_reader_version));
    }
    let features = protocol.reader_features.iter().flatten();
    let strangers: Vec<&str> = features.map(String::as_str).filter(|feature| !KNOWN.contains(feature)).collect();
    if !strangers.is_empty() {
        return unknown(format!("the reader features {}", schema::yaml::list(&strangers)));
    }
    let metadata = &snapshot.metadata;
    let mapping = metadata.setting("delta.columnMapping.mode").unwrap_or("none");
    if mapping != "none" {
        return unknown(format!("column mapping by {mapping}"));
    }
    if metadata.format.provider != "parquet" {
        return unknown(format!("files of format {}", metadata.format.provider));
    }
    if let Some(file) = snapshot.files.iter().find(|file| file.add.deletion_vector.is_some()) {
        return unknown(format!("deletion vectors (file `{}` has one)", file.add.path));
    }
    if let Some(file) = snapshot.files.iter().find(|file| file.add.file().is_none()) {
        return unknown(format!("files outside its folder (`{}`)", file.add.path));
    }
    match metadata.setting(OURS) {
        Some(FORMAT) | None => Ok(()),
        Some(newer) => unknown(format!("format {newer} of {OURS}")),
    }
}

/// Refuses tables that are not made here, and what their writers must know.
pub(super) fn check_writable(table: &str, snapshot: &Snapshot) -> Result<(), TableError> {
    let unknown = |what: String| Err(TableError::Unknown { table: table.to_owned(), what });
    if !snapshot.metadata.is_ours() {
        return Err(TableError::Foreign { table: table.to_owned() });
    }
    let features: Vec<&str> = snapshot.protocol.writer_features.iter().flatten().map(String::as_str).collect();
    if !features.is_empty() {
        return unknown(format!("the writer features {}", schema::yaml::list(&features)));
    }
    if snapshot.protocol.min_writer_version > 2 {
        return unknown(format!("writers of version {}", snapshot.protocol.min_writer_version));
    }
    let schema: Json = serde_json::from_str(&snapshot.metadata.schema_string).unwrap_or_default();
    let invariant = |field: &&Json| field["metadata"].get("delta.invariants").is_some();
    if let Some(field) = schema["fields"].as_array().into_iter().flatten().find(invariant) {
        return unknown(format!("the invariant of column {}", field["name"]));
    }
    Ok(())
}

/// Refuses to take rows out of a table that says it only grows.
pub(super) fn check_removable(table: &str, snapshot: &Snapshot) -> Result<(), TableError> {
    check_writable(table, snapshot)?;
    if snapshot.metadata.setting("delta.appendOnly") == Some("true") {
        let why = "its setting `delta.appendOnly` forbids it".to_owned();
        return Err(TableError::Conflict { table: table.to_owned(), what: "taking rows out of", why });
    }
    Ok(())
}

impl Metadata {
    pub(super) fn is_ours(&self) -> bool {
        self.setting(OURS).is_some()
    }

    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.configuration.get(name)?.as_deref()
    }
}
