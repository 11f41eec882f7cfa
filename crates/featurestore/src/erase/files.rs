//! Parquet files without some rows: written beside, synced, renamed, everything else as it was.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, RecordBatch, Scalar, StringArray};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{CastOptions, and, cast_with_options, filter_record_batch, not, or, prep_null_mask_filter};
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, ParquetMetaData};
use parquet::file::properties::WriterProperties;
use schema::{BoxError, Dtype, Value};

use super::subject::typed;
use super::{Folders, Subject, folders};
use crate::caught::caught;
use crate::ipc::{IpcFile, Limits};
use crate::offline::{OfflineError, projection, seal, whole};

const BATCH_ROWS: usize = 32_768;
/// What the Arrow schema is called in a file's metadata; the writer writes it anew.
const ARROW_SCHEMA: &str = "ARROW:schema";

/// Rows of a file, and those that are a subject's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rows {
    /// All rows.
    pub n_rows: u64,
    /// Of these, the subject's.
    pub n_found: u64,
}

impl std::ops::AddAssign for Rows {
    fn add_assign(&mut self, other: Self) {
        self.n_rows += other.n_rows;
        self.n_found += other.n_found;
    }
}

/// Which rows are a subject's: those with its values in one of the lists of columns.
#[derive(Debug)]
struct Columns<'a> {
    subject: &'a Subject,
    lists: Vec<&'a Vec<String>>,
    folders: &'a Folders,
}

/// Of files whose folders say nothing.
static NO_FOLDERS: Folders = Folders::NONE;

/// The rows of a Parquet file that are a subject's: those with its values in one of `lists`, each with a column for each
/// of the subject's names. `None` if the file has the columns of none of them.
///
/// # Errors
/// [`OfflineError::Read`] if it is no Parquet file.
pub fn count(path: &Path, subject: &Subject, lists: &[Vec<String>]) -> Result<Option<Rows>, OfflineError> {
    count_in(&NO_FOLDERS, path, subject, lists)
}

/// As [`count`], of a file whose folders have columns too. One that is the subject's by these counts as a row at least.
///
/// # Errors
/// As [`count`].
pub fn count_in(
    folders: &Folders,
    path: &Path,
    subject: &Subject,
    lists: &[Vec<String>],
) -> Result<Option<Rows>, OfflineError> {
    let run = || -> Result<Option<Rows>, BoxError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        let Some(columns) = Columns::of(subject, lists, builder.schema(), folders) else { return Ok(None) };
        let wanted = columns.lists.iter().copied().flatten().map(String::as_str);
        let mask = projection::named(builder.parquet_schema(), wanted);
        let mut rows = Rows::default();
        for batch in builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()? {
            let batch = batch?;
            rows.n_rows += batch.num_rows() as u64;
            rows.n_found += columns.mask(&batch)?.true_count() as u64;
        }
        if folders.are(subject, lists) {
            // Without rows the folder still names them.
            rows.n_found = rows.n_found.max(1);
        }
        Ok(Some(rows))
    };
    caught(run).map_err(|why| crate::offline::source::read_error(&path.display().to_string(), why))
}

/// As [`count`], of an Arrow file.
///
/// # Errors
/// [`OfflineError::Read`] if it is no Arrow file.
pub fn count_arrow(path: &Path, subject: &Subject, lists: &[Vec<String>]) -> Result<Option<Rows>, OfflineError> {
    let run = || -> Result<Option<Rows>, BoxError> {
        let reader = IpcFile::open(path, Limits { plain_bytes: u64::MAX, compressed: true })?;
        let Some(columns) = Columns::of(subject, lists, &reader.schema(), &NO_FOLDERS) else { return Ok(None) };
        let mut rows = Rows::default();
        for batch in reader {
            let batch = batch?;
            rows.n_rows += batch.num_rows() as u64;
            rows.n_found += columns.mask(&batch)?.true_count() as u64;
        }
        Ok(Some(rows))
    };
    caught(run).map_err(|why| crate::offline::source::read_error(&path.display().to_string(), why))
}

/// Writes a file without the rows that [`count`] counts; a file without such rows is not touched. Rows that stay keep
/// their order; schema, metadata, compression and permissions stay as they are.
///
/// # Errors
/// [`OfflineError::Read`] or [`OfflineError::Write`]; the file then is as it was.
pub fn rewrite(path: &Path, subject: &Subject, lists: &[Vec<String>]) -> Result<Rows, OfflineError> {
    rewrite_in(&NO_FOLDERS, path, subject, lists)
}

/// As [`rewrite`], of a file whose folders have columns too: one of which they say that all of it is the subject's is
/// removed, with folders that have nothing else.
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_in(
    folders: &Folders,
    path: &Path,
    subject: &Subject,
    lists: &[Vec<String>],
) -> Result<Rows, OfflineError> {
    let found = count_in(folders, path, subject, lists)?.unwrap_or_default();
    if found.n_found == 0 {
        return Ok(found);
    }
    if folders.are(subject, lists) {
        folders::remove(path)?;
        return Ok(found);
    }
    let keep = |batch: &RecordBatch| -> Result<BooleanArray, BoxError> {
        let columns = Columns::of(subject, lists, &batch.schema(), folders).ok_or("its columns changed")?;
        Ok(not(&columns.mask(batch)?)?)
    };
    caught(|| rewrite_rows(path, keep))
        .map_err(|source| OfflineError::Write { path: path.display().to_string(), source })?;
    Ok(found)
}

fn rewrite_rows(path: &Path, keep: impl Fn(&RecordBatch) -> Result<BooleanArray, BoxError>) -> Result<(), BoxError> {
    let file = File::open(path)?;
    let permissions = file.metadata()?.permissions();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH_ROWS);
    let mut out = whole::begin_erasing(whole::folder_of(path))?;
    let properties = properties(builder.metadata());
    let is_sealed = seal::is_sealed(builder.metadata());
    let mut writer = ArrowWriter::try_new(out.as_file_mut(), SchemaRef::clone(builder.schema()), Some(properties))?;
    for batch in builder.build()? {
        let batch = batch?;
        writer.write(&filter_record_batch(&batch, &keep(&batch)?)?)?;
    }
    if is_sealed {
        writer.append_key_value_metadata(seal::place());
    }
    writer.close()?;
    if is_sealed {
        seal::seal(out.as_file_mut())?;
    }
    out.as_file().set_permissions(permissions)?;
    Ok(whole::finish(out, path)?)
}

/// Those of the file that is rewritten.
fn properties(file: &ParquetMetaData) -> WriterProperties {
    let about = file.file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let about: Vec<KeyValue> =
        about.into_iter().filter(|entry| entry.key != ARROW_SCHEMA && entry.key != seal::KEY).collect();
    let codec =
        file.row_groups().first().and_then(|group| group.columns().first()).map(ColumnChunkMetaData::compression);
    WriterProperties::builder()
        .set_compression(codec.unwrap_or(Compression::UNCOMPRESSED))
        .set_key_value_metadata((!about.is_empty()).then_some(about))
        .build()
}

impl<'a> Columns<'a> {
    fn of(
        subject: &'a Subject,
        lists: &'a [Vec<String>],
        schema: &arrow::datatypes::Schema,
        folders: &'a Folders,
    ) -> Option<Self> {
        let is_there = |name: &String| schema.column_with_name(name).is_some() || folders.is(name, "").is_some();
        let lists: Vec<&Vec<String>> = lists.iter().filter(|list| list.iter().all(is_there)).collect();
        (!lists.is_empty()).then_some(Self { subject, lists, folders })
    }

    fn mask(&self, batch: &RecordBatch) -> Result<BooleanArray, BoxError> {
        let mut any = BooleanArray::from(vec![false; batch.num_rows()]);
        for list in &self.lists {
            let mut all = BooleanArray::from(vec![true; batch.num_rows()]);
            for (name, column) in self.subject.names().iter().zip(list.iter()) {
                let text = self.subject.text(name).unwrap_or_default();
                let is_equal = match self.folders.is(column, text) {
                    Some(is_equal) => BooleanArray::from(vec![is_equal; batch.num_rows()]),
                    None => equal(batch.column_by_name(column).ok_or("its columns changed")?, text)?,
                };
                all = and(&all, &is_equal)?;
            }
            any = or(&any, &all)?;
        }
        Ok(any)
    }
}

/// Where a column has the value that a text says, in whatever type the column has: bytes in hexadecimal digits. Null is no
/// value.
fn equal(column: &ArrayRef, text: &str) -> Result<BooleanArray, BoxError> {
    let plain = match column.data_type() {
        DataType::Dictionary(_, values) => arrow::compute::cast(column, values)?,
        DataType::Utf8View | DataType::LargeUtf8 => arrow::compute::cast(column, &DataType::Utf8)?,
        _ => ArrayRef::clone(column),
    };
    let one: ArrayRef = match plain.data_type() {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            let bytes = match typed(text, Dtype::Bytes) {
                Some(Value::Bytes(bytes)) => Some(bytes),
                _ => None,
            };
            Arc::new(BinaryArray::from_iter([bytes]))
        }
        _ => Arc::new(StringArray::from(vec![text])),
    };
    let options = CastOptions { safe: true, ..CastOptions::default() };
    // A text that is no value of the type is in no row of it.
    let value = cast_with_options(&one, plain.data_type(), &options).ok().filter(|value| value.is_valid(0));
    let Some(value) = value else { return Ok(BooleanArray::from(vec![false; column.len()])) };
    let found = eq(&plain, &Scalar::new(value))?;
    Ok(if found.null_count() > 0 { prep_null_mask_filter(&found) } else { found })
}

/// All Parquet files under a folder; see [`under`].
///
/// # Errors
/// As [`under`].
pub fn parquet_under(folder: &Path) -> Result<Vec<PathBuf>, OfflineError> {
    under(folder, &["parquet"])
}

/// All files under a folder whose names end in one of `ends`, in order of their paths. Folders of Delta tables are left out: their log would not
/// know what became of a file.
///
/// # Errors
/// [`OfflineError::Read`] if a folder cannot be listed.
pub fn under(folder: &Path, ends: &[&str]) -> Result<Vec<PathBuf>, OfflineError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        if !next.is_dir() || next.join("_delta_log").is_dir() {
            continue;
        }
        let fail = |why: std::io::Error| crate::offline::source::read_error(&next.display().to_string(), why);
        for entry in std::fs::read_dir(&next).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let path = entry.path();
            // Links are not followed: what they name is somewhere else's.
            if entry.file_type().map_err(fail)?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| ends.iter().any(|wanted| end == *wanted)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
