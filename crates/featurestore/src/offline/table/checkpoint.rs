//! Checkpoints: the log so far in one Parquet file, so that readers do not read it from its start. Written by whom holds the
//! lease, and by nobody else; the file is durable before it is pointed at. Entries stay: a damaged checkpoint costs time only.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use parquet::arrow::ArrowWriter;
use schema::Clock;
use serde_json::{Value as Json, json};

use super::super::seal;
use super::action::{Action, Remove};
use super::error::TableError;
use super::lease::RewriteLease;
use super::log::{Snapshot, write_error};
use super::protocol::check_writable;
use super::{Table, millis};

/// Entries after which another checkpoint is worth its writing.
pub(super) const EVERY: u64 = 50;
/// Files that were taken away are told of for a week, as Delta's default is.
const TOLD_MS: i64 = 7 * 24 * 3_600 * 1_000;

impl Table {
    /// Writes a checkpoint of the present version if the last one is old enough; whether it did.
    ///
    /// # Errors
    /// [`TableError`] if the log cannot be read or written.
    pub fn checkpoint(&self, lease: &RewriteLease) -> Result<bool, TableError> {
        let snapshot = self.log.load(None)?;
        check_writable(&self.name, &snapshot)?;
        let since = snapshot.version - snapshot.checkpoint.unwrap_or(0);
        // A damaged one is written anew at once, if it is of this very version.
        let damaged = snapshot.damaged.iter().any(|name| name.starts_with(&format!("{:020}.", snapshot.version)));
        if since < EVERY && !damaged {
            return Ok(false);
        }
        lease.check()?;
        self.write_checkpoint(&snapshot)?;
        Ok(true)
    }

    pub(super) fn write_checkpoint(&self, snapshot: &Snapshot) -> Result<(), TableError> {
        let path = self.log.folder.join(format!("{:020}.checkpoint.parquet", snapshot.version));
        let fail = |why: schema::BoxError| write_error(&path, why);
        let actions = actions(snapshot);
        let mut decoder = ReaderBuilder::new(checkpoint_schema())
            .with_batch_size(actions.len().max(1))
            .build_decoder()
            .map_err(|why| fail(why.into()))?;
        decoder.serialize(&actions).map_err(|why| fail(why.into()))?;
        let mut writer = ArrowWriter::try_new(Vec::new(), checkpoint_schema(), None).map_err(|why| fail(why.into()))?;
        while let Some(rows) = decoder.flush().map_err(|why| fail(why.into()))? {
            writer.write(&rows).map_err(|why| fail(why.into()))?;
        }
        writer.append_key_value_metadata(seal::place());
        let mut bytes = writer.into_inner().map_err(|why| fail(why.into()))?;
        seal::seal_bytes(&mut bytes).map_err(|why| fail(why.into()))?;
        self.disk.put(&path, &bytes).map_err(|why| fail(why.into()))?;
        let pointer = json!({ "version": snapshot.version, "size": actions.len() });
        let last = self.log.folder.join("_last_checkpoint");
        self.disk.put(&last, pointer.to_string().as_bytes()).map_err(|why| write_error(&last, why))
    }
}

/// What makes the table from nothing.
fn actions(snapshot: &Snapshot) -> Vec<Json> {
    let mut actions = vec![
        Action { protocol: Some(snapshot.protocol.clone()), ..Action::default() },
        Action { meta_data: Some(snapshot.metadata.clone()), ..Action::default() },
    ];
    actions.extend(snapshot.txns.iter().map(|(app, version)| Action::txn(app, *version)));
    let from = millis(Clock::wall()) - TOLD_MS;
    let mut removed: Vec<_> = snapshot.removed.iter().filter(|(_, at)| **at >= from).collect();
    removed.sort();
    actions.extend(removed.into_iter().map(|(path, at)| {
        let remove = Remove {
            path: path.clone(),
            deletion_timestamp: Some(*at),
            data_change: false,
            extended_file_metadata: None,
            partition_values: None,
            size: None,
            deletion_vector: None,
        };
        Action { remove: Some(remove), ..Action::default() }
    }));
    let live = snapshot.files.iter().map(|file| super::action::Add { data_change: false, ..file.add.clone() });
    actions.extend(live.map(Action::add));
    actions.iter().map(|action| json!(action)).collect()
}

fn checkpoint_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let long = |name: &str| Field::new(name, DataType::Int64, true);
    let int = |name: &str| Field::new(name, DataType::Int32, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let map = |name: &str| {
        let entry = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
        let entries = Field::new("key_value", DataType::Struct(Fields::from(entry)), false);
        Field::new(name, DataType::Map(Arc::new(entries), false), true)
    };
    let list =
        |name: &str| Field::new(name, DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))), true);
    let record = |name: &str, fields: Vec<Field>| Field::new(name, DataType::Struct(Fields::from(fields)), true);
    Arc::new(Schema::new(vec![
        record("txn", vec![text("appId"), long("version"), long("lastUpdated")]),
        record(
            "add",
            vec![
                text("path"),
                map("partitionValues"),
                long("size"),
                long("modificationTime"),
                flag("dataChange"),
                text("stats"),
            ],
        ),
        record("remove", vec![text("path"), long("deletionTimestamp"), flag("dataChange")]),
        record(
            "metaData",
            vec![
                text("id"),
                text("name"),
                text("description"),
                record("format", vec![text("provider"), map("options")]),
                text("schemaString"),
                list("partitionColumns"),
                map("configuration"),
                long("createdTime"),
            ],
        ),
        record(
            "protocol",
            vec![int("minReaderVersion"), int("minWriterVersion"), list("readerFeatures"), list("writerFeatures")],
        ),
    ]))
}
