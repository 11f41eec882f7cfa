//! Appending rows: numbered in the order of arrival, all or nothing, durable before the version is told.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use schema::Clock;
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::sync::Arc;

use super::action::Action;
use super::commit::{Intent, commit};
use super::data_file::{FileWriter, discard};
use super::error::TableError;
use super::lease::{AppendLock, OnWait, RewriteLease};
use super::log::Snapshot;
use super::types::{TableColumn, delta_schema, stored_schema, to_stored};
use super::{EPOCH, NEXT, TARGET_BYTES, Table, commit_info, millis, protocol, types};

/// Says that an append was done already.
///
/// The log keeps it as a transaction of an application: the same key with the same or a lower number is not appended again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The application.
    pub app: String,
    /// Its number of this append.
    pub number: i64,
}

impl IdempotencyKey {
    fn is_in(&self, snapshot: &Snapshot) -> bool {
        snapshot.txns.get(&self.app).is_some_and(|done| *done >= self.number)
    }
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// The version that holds the rows.
    pub version: u64,
    /// Rows.
    pub n_rows: u64,
}

/// Rows on their way into a table. Dropped without [`Self::commit`], nothing of them is in the table.
#[derive(Debug)]
pub struct Appender<'t> {
    table: &'t Table,
    _lock: AppendLock,
    base: Snapshot,
    columns: Vec<TableColumn>,
    schema: SchemaRef,
    writer: Option<FileWriter>,
    key: Option<IdempotencyKey>,
    /// New columns of the table.
    widened: Option<Action>,
    next: u64,
    n_rows: u64,
}

impl Table {
    /// Whether the append of this key was done.
    ///
    /// # Errors
    /// [`TableError`] if the log cannot be read.
    pub fn has(&self, key: &IdempotencyKey) -> Result<bool, TableError> {
        Ok(self.exists() && key.is_in(&self.log.load(None)?))
    }

    /// Begins an append under the append lock; waits, after a call of `on_wait`, while another process holds it. `None` if
    /// the key says that it was done.
    ///
    /// # Errors
    /// [`TableError::Foreign`] if another program made the table; [`TableError`] if its log cannot be read.
    pub fn appender(
        &self,
        key: Option<IdempotencyKey>,
        on_wait: OnWait<'_>,
    ) -> Result<Option<Appender<'_>>, TableError> {
        if !self.exists() {
            return Err(TableError::NoTable { table: self.name.clone() });
        }
        let lock = AppendLock::take(&self.root, &self.name, on_wait)?;
        let base = self.log.load(None)?;
        protocol::check_writable(&self.name, &base)?;
        if key.as_ref().is_some_and(|key| key.is_in(&base)) {
            return Ok(None);
        }
        let columns = types::declared(&self.name, &base.metadata.schema_string)?;
        let schema = stored_schema(&columns);
        let writer = Some(FileWriter::new(self, SchemaRef::clone(&schema), TARGET_BYTES, true));
        let next = base.arrivals().map_or(0, |arrivals| arrivals.next);
        let appender =
            Appender { table: self, _lock: lock, base, columns, schema, writer, key, widened: None, next, n_rows: 0 };
        Ok(Some(appender))
    }
}

impl Appender<'_> {
    /// The table's columns, which rows are given in.
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// Adds columns that the table lacks; rows that are there have null in them. Before the first row only.
    ///
    /// # Errors
    /// [`TableError::Columns`] if the table has one of another type.
    pub fn widen(&mut self, declared: &[TableColumn]) -> Result<(), TableError> {
        let refuse = |why: String| TableError::Columns { table: self.table.name.clone(), why };
        let mut columns = self.columns.clone();
        for column in declared {
            match columns.iter().find(|known| known.name == column.name) {
                Some(known) if known.dtype == column.dtype => {}
                Some(known) => {
                    let why = format!("`{}` is {} in the table, declared {}", column.name, known.dtype, column.dtype);
                    return Err(refuse(why));
                }
                None => columns.push(column.clone()),
            }
        }
        if columns.len() == self.columns.len() {
            return Ok(());
        }
        types::check_names(&self.table.name, &columns)?;
        let metadata =
            super::Metadata { schema_string: delta_schema(&columns).to_string(), ..self.base.metadata.clone() };
        self.widened = Some(Action { meta_data: Some(metadata), ..Action::default() });
        self.schema = stored_schema(&columns);
        self.writer = Some(FileWriter::new(self.table, SchemaRef::clone(&self.schema), TARGET_BYTES, true));
        self.columns = columns;
        Ok(())
    }

    /// Adds rows: one column for each of [`Self::columns`], in its declared type.
    ///
    /// # Errors
    /// [`TableError::Value`] for a column of another type; [`TableError::Write`].
    pub fn push(&mut self, columns: &[ArrayRef]) -> Result<(), TableError> {
        let refuse =
            |what: &str, why: String| TableError::Value { table: self.table.name.clone(), what: what.to_owned(), why };
        let n_rows = columns.first().map_or(0, |column| column.len());
        let mut stored = Vec::with_capacity(self.schema.fields().len());
        for (column, declared) in columns.iter().zip(&self.columns) {
            if *column.data_type() != declared.dtype.to_arrow() {
                return Err(refuse(&declared.name, format!("it is {}", column.data_type())));
            }
            stored.extend(to_stored(column, declared.dtype).map_err(|why| refuse(&declared.name, why))?);
        }
        let first = i64::try_from(self.next).map_err(|why| refuse("the arrival number", why.to_string()))?;
        stored.push(Arc::new(Int64Array::from_iter_values((first..).take(n_rows))));
        let rows = RecordBatch::try_new(SchemaRef::clone(&self.schema), stored);
        let rows = rows.map_err(|why| refuse("the file", why.to_string()))?;
        if let Some(writer) = &mut self.writer {
            writer.write(&rows)?;
        }
        self.next += n_rows as u64;
        self.n_rows += n_rows as u64;
        Ok(())
    }

    /// Makes the rows the table's, durably. `about` says for people where they are from.
    ///
    /// # Errors
    /// [`TableError`]; then nothing of them is in the table.
    pub fn commit(mut self, about: Json) -> Result<Appended, TableError> {
        let adds = self.writer.take().map(FileWriter::finish).transpose()?.unwrap_or_default();
        let files: Vec<String> = adds.iter().map(|add| add.path.clone()).collect();
        let metrics = json!({ "numFiles": files.len(), "numOutputRows": self.n_rows });
        let mut parameters = json!({ "mode": "Append" });
        for (name, value) in about.as_object().into_iter().flatten() {
            parameters[name.as_str()] = value.clone();
        }
        let mut actions = vec![commit_info("WRITE", parameters, metrics)];
        actions.extend(self.widened.take());
        actions.push(Action::txn(NEXT, number(self.next)));
        actions.extend(self.key.as_ref().map(|key| Action::txn(&key.app, key.number)));
        actions.extend(adds.into_iter().map(Action::add));
        let app = self.key.as_ref().map(|key| key.app.as_str());
        let done = commit(&self.table.log, &self.base, Intent::Append { app }, &actions);
        if matches!(done, Err(TableError::Conflict { .. })) {
            discard(&self.table.root, &self.table.disk, files.iter().map(String::as_str));
        }
        Ok(Appended { version: done?, n_rows: self.n_rows })
    }

    /// Makes the rows the table's in place of all others, for whom holds the lease.
    ///
    /// # Errors
    /// As [`Self::commit`]; and [`TableError::Conflict`] if anything was written since the append began.
    pub fn replace(mut self, lease: &RewriteLease) -> Result<Appended, TableError> {
        protocol::check_removable(&self.table.name, &self.base)?;
        let adds = self.writer.take().map(FileWriter::finish).transpose()?.unwrap_or_default();
        let files: Vec<String> = adds.iter().map(|add| add.path.clone()).collect();
        let epoch = self.base.arrivals().map_or(0, |arrivals| arrivals.epoch) + 1;
        let metrics = json!({ "numFiles": files.len(), "numOutputRows": self.n_rows });
        let mut actions = vec![commit_info("WRITE", json!({ "mode": "Overwrite" }), metrics)];
        actions.extend(self.widened.take());
        actions.push(Action::txn(NEXT, number(self.next)));
        actions.push(Action::txn(EPOCH, number(epoch)));
        let now = millis(Clock::wall());
        actions.extend(self.base.files.iter().map(|file| Action::remove(&file.add, now, true)));
        actions.extend(adds.into_iter().map(Action::add));
        let done = commit(&self.table.log, &self.base, Intent::Replace(lease), &actions);
        if matches!(done, Err(TableError::Conflict { .. })) {
            discard(&self.table.root, &self.table.disk, files.iter().map(String::as_str));
        }
        Ok(Appended { version: done?, n_rows: self.n_rows })
    }
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.abandon();
        }
    }
}

/// As the log's numbers are; both stay far below 63 bits.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
