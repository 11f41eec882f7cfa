//! Files of rows: written in the stored form and synced, read back in it.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{Int64Type, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use schema::Clock;
use serde_json::json;

use super::super::{projection, seal};
use super::action::Add;
use super::disk::{Disk, unique};
use super::error::TableError;
use super::log::{LiveFile, write_error};
use super::protocol::ARRIVAL_COLUMN;
use super::{Table, millis, types};

/// Rows of a row group: what is read at once by one thread, and held while writing.
const GROUP_ROWS: usize = 131_072;
/// Rows decoded at a time.
pub(super) const BATCH_ROWS: usize = 32_768;

/// Writes one file after the other, each closed at about `target` bytes.
#[derive(Debug)]
pub(super) struct FileWriter {
    root: PathBuf,
    disk: Disk,
    schema: SchemaRef,
    target: u64,
    data_change: bool,
    open: Option<Open>,
    done: Vec<Add>,
}

#[derive(Debug)]
struct Open {
    name: String,
    writer: ArrowWriter<File>,
    n_rows: u64,
    numbers: Option<(i64, i64)>,
}

impl FileWriter {
    pub(super) fn new(table: &Table, schema: SchemaRef, target: u64, data_change: bool) -> Self {
        let (root, disk) = (table.root.clone(), table.disk.clone());
        Self { root, disk, schema, target, data_change, open: None, done: Vec::new() }
    }

    /// Writes rows in the stored form.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), TableError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let root = self.root.clone();
        let fail = |why: schema::BoxError| write_error(&root, why);
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.create()?,
        };
        open.writer.write(rows).map_err(|why| fail(why.into()))?;
        open.n_rows += rows.num_rows() as u64;
        let numbers = rows.column_by_name(ARRIVAL_COLUMN).map(AsArray::as_primitive::<Int64Type>);
        let (low, high) = numbers.map_or((None, None), |n| (arrow::compute::min(n), arrow::compute::max(n)));
        if let (Some(low), Some(high)) = (low, high) {
            let (a, b) = open.numbers.unwrap_or((low, high));
            open.numbers = Some((a.min(low), b.max(high)));
        }
        let size = open.writer.bytes_written() + open.writer.in_progress_size();
        self.open = Some(open);
        if size as u64 >= self.target {
            self.close()?;
        }
        Ok(())
    }

    fn create(&self) -> Result<Open, TableError> {
        let name = format!("part-{}.parquet", unique());
        let path = self.root.join(&name);
        let file = self.disk.create(&path).map_err(|why| write_error(&path, why))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, SchemaRef::clone(&self.schema), Some(properties))
            .map_err(|why| write_error(&path, why))?;
        Ok(Open { name, writer, n_rows: 0, numbers: None })
    }

    fn close(&mut self) -> Result<(), TableError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let path = self.root.join(&open.name);
        let fail = |why: schema::BoxError| write_error(&path, why);
        let mut writer = open.writer;
        writer.append_key_value_metadata(seal::place());
        let mut file = writer.into_inner().map_err(|why| fail(why.into()))?;
        seal::seal(&mut file).map_err(|why| fail(why.into()))?;
        self.disk.sync(&file).map_err(|why| fail(why.into()))?;
        let size = file.metadata().map_err(|why| fail(why.into()))?.len();
        let mut stats = json!({ "numRecords": open.n_rows });
        if let Some((low, high)) = open.numbers {
            stats["minValues"] = json!({ ARRIVAL_COLUMN: low });
            stats["maxValues"] = json!({ ARRIVAL_COLUMN: high });
            stats["nullCount"] = json!({ ARRIVAL_COLUMN: 0 });
        }
        self.done.push(Add {
            path: open.name,
            partition_values: std::collections::BTreeMap::new(),
            size,
            modification_time: millis(Clock::wall()),
            data_change: self.data_change,
            stats: Some(stats.to_string()),
            deletion_vector: None,
        });
        Ok(())
    }

    /// Ends the current file, so that what is written next is in another.
    pub(super) fn cut(&mut self) -> Result<(), TableError> {
        self.close()
    }

    /// The files, durable.
    pub(super) fn finish(mut self) -> Result<Vec<Add>, TableError> {
        self.close()?;
        if !self.done.is_empty() {
            self.disk.sync_folder(&self.root).map_err(|why| write_error(&self.root, why))?;
        }
        Ok(std::mem::take(&mut self.done))
    }

    /// Takes away what was written; best effort, for vacuum takes away the rest.
    pub(super) fn abandon(mut self) {
        let open = self.open.take().map(|open| open.name);
        discard(&self.root, &self.disk, self.done.iter().map(|add| add.path.as_str()).chain(open.as_deref()));
    }
}

/// Takes away files that no commit names; best effort, for vacuum takes away the rest.
pub(super) fn discard<'a>(root: &Path, disk: &Disk, files: impl Iterator<Item = &'a str>) {
    for file in files {
        drop(disk.remove(&root.join(file)));
    }
}

impl Table {
    /// Opens a live file, all columns or those of `names`.
    pub(super) fn read(
        &self,
        version: u64,
        file: &LiveFile,
        names: Option<&[String]>,
    ) -> Result<ParquetRecordBatchReader, TableError> {
        let name = file.add.file().unwrap_or_default();
        let fail = |why: String| self.data_file_error(version, &name, why);
        let path = self.root.join(&name);
        let mut opened = File::open(&path).map_err(|why| fail(why.to_string()))?;
        seal::check(&mut opened, &path).map_err(|why| fail(why.to_string()))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|why| fail(why.to_string()))?;
        let mask = match names {
            Some(names) => projection::named(reader.parquet_schema(), names.iter().map(String::as_str)),
            None => ProjectionMask::all(),
        };
        reader.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|why| fail(why.to_string()))
    }
}

/// Rows of an older file, or of another program's compaction, in the stored form: columns that came later are null.
pub(super) fn in_stored_form(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef, String> {
        match rows.column_by_name(field.name()) {
            Some(column) => types::as_delta(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(SchemaRef::clone(schema), columns).map_err(|why| why.to_string())
}
