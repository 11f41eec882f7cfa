//! Ingesting: rows of files become rows of a source's Delta table, typed, each file once.
//!
//! A file is one append. Its digest is the append's key in the table's log, so a file that was ingested is passed over
//! whatever it is called, and after a kill the same command goes on where it stopped. A row that does not become the table's
//! types exactly, or has null where a row must not, is quarantined: kept beside the table, as it was, with the reason.

mod digest;
mod quarantine;
mod rows;

use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::compute::filter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use schema::definitions::{BadRows, Column, Format, Source};
use schema::{Dtype, Timestamp, Ttl};
use serde::Serialize;
use serde_json::json;

use super::batches::{self, Caught};
use super::source::{self, Found, Kept, SourceFile, read_error};
use super::table::source::of_source;
use super::table::{IdempotencyKey, OnWait, Table, TableColumn};
use super::{OfflineError, OfflineStore};
use crate::erase::KeyFilter;
use quarantine::Quarantine;
pub use quarantine::{Reason, files as quarantined};

/// Rows read at a time.
const BATCH_ROWS: usize = 8_192;

/// How rows are taken into a table.
#[derive(Debug, Default)]
pub struct Rules {
    /// The format of the files; that of their endings unless given.
    pub format: Option<Format>,
    /// Columns of the table in which null makes a row a bad one.
    pub required: Vec<String>,
    /// Keys whose rows are left out, and the columns of the table that hold them.
    pub erased: Vec<(Vec<String>, KeyFilter)>,
    /// Columns of the table whose values no message shows.
    pub personal: Vec<String>,
    /// The column of event times and the limit of how far they may be ahead of an instant: a row beyond is a bad one.
    pub ahead: Option<(String, Timestamp, Ttl)>,
    /// Bad rows that a file may have; any number unless given, but not all of its rows.
    pub max_bad: Option<u64>,
}

/// What became of a file.
#[derive(Debug, Clone, Serialize)]
pub struct Ingested {
    /// The file.
    pub file: String,
    /// Whether it was ingested before: then nothing was done.
    pub already: bool,
    /// The version of the table that holds its rows; `None` if it was ingested before.
    pub version: Option<u64>,
    /// Rows taken.
    pub n_rows: u64,
    /// Rows quarantined.
    pub n_bad: u64,
    /// Rows left out because their key was erased.
    pub n_erased: u64,
    /// Why rows are bad, by column.
    pub reasons: Vec<Reason>,
    /// The quarantined rows, a JSON object a line: correct them and ingest the file.
    pub quarantine: Option<PathBuf>,
    /// Columns of the file that the table does not have.
    pub unknown: Vec<String>,
}

/// Files on their way into the table of a source.
#[derive(Debug)]
pub struct Ingest<'s> {
    source: &'s Source,
    /// How the files are read: as the source, in the types of the table.
    reading: Source,
    table: Table,
    rules: Rules,
    kept: Kept,
    found: Vec<Found>,
}

impl<'s> Ingest<'s> {
    /// Finds the files at `path`: a file, a folder, a pattern or a URL, as a source has it. Objects are fetched.
    ///
    /// # Errors
    /// [`OfflineError::Table`] if the source is no Delta table, or another program's; [`OfflineError`] if there are no files.
    pub async fn open(
        store: &'s OfflineStore,
        source: &'s Source,
        path: &str,
        rules: Rules,
    ) -> Result<Self, OfflineError> {
        let format = rules.format.unwrap_or_else(|| Format::of_path(path));
        let table = store.table(source)?;
        let columns = match table.exists() {
            true => table.state(None).map_err(|why| of_source(source, why))?.columns.unwrap_or_default(),
            false => Vec::new(),
        };
        let columns = with_declared(columns, source);
        let columns = columns.into_iter().map(|c| Column { name: c.name, dtype: c.dtype }).collect();
        let bad_rows = BadRows::Reject;
        let reading = Source { format, columns, bad_rows, partitions: Vec::new(), ..source.clone() };
        let (found, kept) = source::find_files(store, &reading, path).await?;
        Ok(Self { source, reading, table, rules, kept, found })
    }

    /// Removes what was made on the way, which a later [`Self::open`] would do otherwise.
    pub fn close(self) {
        self.kept.discard();
    }

    /// Ingests one file after the other; what was done before a failure stays done.
    ///
    /// `on_rows` is told of rows that were read, `on_wait` why nothing happens.
    ///
    /// # Errors
    /// [`OfflineError::Bad`] if a file has too many bad rows: nothing of it is in the table then.
    pub fn run<'a>(
        &'a self,
        on_rows: &'a dyn Fn(u64),
        on_wait: OnWait<'a>,
    ) -> impl Iterator<Item = Result<Ingested, OfflineError>> + 'a {
        self.found.iter().map(move |found| self.one(found, on_rows, on_wait))
    }

    fn one(&self, found: &Found, on_rows: &dyn Fn(u64), on_wait: OnWait<'_>) -> Result<Ingested, OfflineError> {
        let fail = |why| of_source(self.source, why);
        let digest = digest::of(found)?;
        let key = IdempotencyKey { app: format!("plumb.ingest.{digest}"), number: 1 };
        let mut done = Ingested {
            file: found.name.clone(),
            already: true,
            version: None,
            n_rows: 0,
            n_bad: 0,
            n_erased: 0,
            reasons: Vec::new(),
            quarantine: None,
            unknown: Vec::new(),
        };
        if self.table.has(&key).map_err(fail)? {
            return Ok(done);
        }
        // What takes long is done before anybody has to wait for it.
        let file = source::open_found(&self.reading, &self.kept, found)?;
        self.ensure_table(&file)?;
        let Some(mut appender) = self.table.appender(Some(key), on_wait).map_err(fail)? else { return Ok(done) };
        let declared: Vec<TableColumn> = self.source.columns.iter().map(TableColumn::from).collect();
        appender.widen(&declared).map_err(fail)?;
        let columns = appender.columns().to_vec();
        self.all_required(&file, &columns)?;
        let mut quarantine = Quarantine::new(&self.table, &digest, &found.name, &self.rules.personal);
        quarantine.add_unparsed(&self.reading, found, &file)?;
        done.unknown = unknown(&file, &columns);
        let mut n_read = 0;
        for batch in reader(&file)? {
            let batch = batch.map_err(|why| read_error(&file.name, why))?;
            let zone = self.reading.timezone.as_deref();
            let typed = rows::typed(&file.name, &batch, &columns, &self.rules, zone)?;
            quarantine.add(&batch, &typed.bad, n_read)?;
            n_read += batch.num_rows() as u64;
            on_rows(batch.num_rows() as u64);
            let taken = self.without_erased(&columns, typed.columns, typed.good, &mut done.n_erased)?;
            done.n_rows += taken.first().map_or(0, |column| column.len() as u64);
            appender.push(&taken).map_err(fail)?;
        }
        done.n_bad = quarantine.n_rows();
        self.not_too_many(&done, &quarantine)?;
        (done.quarantine, done.reasons) = quarantine.finish()?;
        found.unchanged()?;
        let about = json!({ "file": done.file, "quarantined": done.n_bad.to_string() });
        let appended = appender.commit(about).map_err(fail)?;
        done.version = Some(appended.version);
        done.already = false;
        Ok(done)
    }

    /// Makes the table where there is none, with the declared columns, or else with those of the first file.
    fn ensure_table(&self, file: &SourceFile) -> Result<(), OfflineError> {
        if self.table.exists() {
            return Ok(());
        }
        let declared = with_declared(Vec::new(), self.source);
        let columns = if self.source.columns.is_empty() { of_file(file, self.source)? } else { declared };
        self.table.create(&columns).map_err(|why| of_source(self.source, why))
    }

    /// That the file has every column in which null is bad.
    fn all_required(&self, file: &SourceFile, columns: &[TableColumn]) -> Result<(), OfflineError> {
        let has = |name: &str| file.metadata.schema().field_with_name(name).is_ok();
        let in_table = |name: &str| columns.iter().any(|column| column.name == name);
        let Some(missing) = self.rules.required.iter().find(|name| in_table(name) && !has(name)) else {
            return Ok(());
        };
        let names = file.metadata.schema().fields().iter().map(|field| field.name().as_str());
        Err(OfflineError::NoColumn {
            path: file.name.clone(),
            column: missing.clone(),
            needed_by: format!("source `{}`", self.source.name),
            hint: schema::yaml::suggest(missing, names.collect::<Vec<_>>()),
        })
    }

    fn without_erased(
        &self,
        columns: &[TableColumn],
        rows: Vec<ArrayRef>,
        good: BooleanArray,
        n_erased: &mut u64,
    ) -> Result<Vec<ArrayRef>, OfflineError> {
        let mut keep = good;
        for (names, erased) in &self.rules.erased {
            let at = |name: &String| columns.iter().position(|column| column.name == *name);
            let Some(places) = names.iter().map(at).collect::<Option<Vec<_>>>() else { continue };
            let keys: Vec<ArrayRef> = places.iter().map(|at| ArrayRef::clone(&rows[*at])).collect();
            let Some(gone) = erased.erased(&keys, keep.len()) else { continue };
            let left = keep.iter().zip(&gone).map(|(keep, gone)| keep.unwrap_or(false) && !gone);
            let left: BooleanArray = left.map(Some).collect();
            *n_erased += (keep.true_count() - left.true_count()) as u64;
            keep = left;
        }
        if keep.true_count() == keep.len() {
            return Ok(rows);
        }
        let kept = rows.iter().map(|column| filter(column, &keep)).collect::<Result<Vec<_>, _>>();
        kept.map_err(|why| read_error(&self.source.path, why))
    }

    fn not_too_many(&self, done: &Ingested, quarantine: &Quarantine) -> Result<(), OfflineError> {
        let all = done.n_bad > 0 && done.n_rows + done.n_erased == 0;
        if !all && self.rules.max_bad.is_none_or(|max| done.n_bad <= max) {
            return Ok(());
        }
        let (n_bad, n_rows) = (done.n_bad, done.n_rows + done.n_erased + done.n_bad);
        Err(OfflineError::Bad { path: done.file.clone(), n_bad, n_rows, why: quarantine.told() })
    }
}

/// The table's columns and those that the source declares besides, of its roles too.
fn with_declared(mut columns: Vec<TableColumn>, source: &Source) -> Vec<TableColumn> {
    let mut add = |name: String, dtype| {
        if columns.iter().all(|known| known.name != name) {
            columns.push(TableColumn { name, dtype });
        }
    };
    for column in &source.columns {
        add(column.name.clone(), column.dtype);
    }
    if !source.columns.is_empty() {
        let times = [Some(&source.event_time), source.created_time.as_ref()].into_iter().flatten();
        times.for_each(|name| add(source::column_in_file(source, name), Dtype::Timestamp));
        source.deleted.iter().for_each(|name| add(source::column_in_file(source, name), Dtype::Bool));
    }
    columns
}

/// The columns of a file as those of a table.
fn of_file(file: &SourceFile, source: &Source) -> Result<Vec<TableColumn>, OfflineError> {
    let times = [Some(&source.event_time), source.created_time.as_ref()].into_iter().flatten();
    let times: Vec<String> = times.map(|name| source::column_in_file(source, name)).collect();
    let column = |field: &arrow::datatypes::FieldRef| {
        let name = field.name().clone();
        if times.contains(&name) {
            return Ok(TableColumn { name, dtype: Dtype::Timestamp });
        }
        let dtype = Dtype::from_arrow(field.data_type()).ok_or_else(|| OfflineError::Column {
            path: file.name.clone(),
            column: name.clone(),
            why: format!(
                "it is {}, from which the table's type cannot be told: declare the `columns` of source `{}`",
                transform::cast::describe(field.data_type()),
                source.name
            ),
        })?;
        Ok(TableColumn { name, dtype })
    };
    file.metadata.schema().fields().iter().map(column).collect()
}

/// Columns of the file that the table does not have; those that a quarantine added are none.
fn unknown(file: &SourceFile, columns: &[TableColumn]) -> Vec<String> {
    let names = file.metadata.schema().fields().iter().map(|field| field.name().clone());
    names.filter(|name| !quarantine::is_ours(name) && columns.iter().all(|column| column.name != *name)).collect()
}

fn reader(file: &SourceFile) -> Result<Caught<ParquetRecordBatchReader>, OfflineError> {
    let opened = file.reopen().map_err(|why| read_error(&file.name, why))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, file.metadata.clone());
    // Columns that the table lacks are read too: a quarantined row is kept whole.
    batches::build(builder.with_batch_size(BATCH_ROWS)).map_err(|why| read_error(&file.name, why))
}

#[cfg(test)]
mod tests;
