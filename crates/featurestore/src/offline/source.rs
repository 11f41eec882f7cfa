//! A source's files: found or fetched, opened, their schemas compared, their state digested.
//!
//! Everything downstream reads local Parquet. Parquet files of this machine are read in place; texts are converted into
//! typed copies (`source/text.rs`), objects fetched (`source/remote.rs`), both once per state. Names in messages are the
//! user's own, never those of copies.

mod columns;
mod find;
mod kept;
mod look;
mod partition;
mod pattern;
mod place;
mod remote;
mod text;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use schema::Fingerprint;
use schema::definitions::{Format, Source};
use serde_json::{Value as Json, json};
use transform::cast::Zone;

use super::{OfflineError, OfflineStore};
pub use columns::SourceColumn;
pub(crate) use kept::Kept;
pub(crate) use look::{Look, look};
pub(crate) use partition::Constant;
use place::Place;

/// One Parquet file, opened.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path as messages name it: relative to the project, or the URL; of a copy, that of what was copied.
    pub name: String,
    /// Its footer.
    pub metadata: ArrowReaderMetadata,
    /// Rows.
    pub n_rows: u64,
    /// Arrival number of its first row.
    pub first_row: u64,
    /// Rows that were left out when it was made: a text's bad ones, those of a query without a key or an event time.
    pub n_left_out: u64,
    /// Where these rows and the reasons are.
    pub left_out: Option<PathBuf>,
    /// Columns that the file does not hold, with one value for all its rows.
    pub(crate) constants: Vec<Constant>,
    layout: String,
    state: Json,
    identity: (u64, Option<u128>),
}

/// The files of a source in arrival order.
#[derive(Debug, Clone)]
pub struct SourceFiles {
    /// The source.
    pub source: Source,
    /// The files.
    pub files: Vec<SourceFile>,
    /// The columns of all of them.
    pub columns: Vec<SourceColumn>,
    /// Keeps copies from being removed while they are read.
    kept: Option<Kept>,
}

/// What is wanted of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Its columns and the number of its rows: of Parquet objects only footers are fetched.
    Footers,
    /// Its rows.
    Rows,
}

/// Opens the files of a source.
///
/// # Errors
/// [`OfflineError::NoFile`]; [`OfflineError::Read`] for what is not Parquet, [`OfflineError::Text`] for what does not
/// parse; [`OfflineError::Schemas`] if a column vanished or has another type; [`OfflineError::Storage`].
pub async fn open(store: &OfflineStore, source: &Source) -> Result<SourceFiles, OfflineError> {
    open_for(store, source, Want::Rows).await
}

/// As [`open`]; with [`Want::Footers`] the rows may not be there to be read.
pub(crate) async fn open_for(store: &OfflineStore, source: &Source, want: Want) -> Result<SourceFiles, OfflineError> {
    let place = Place::parse(&source.path).map_err(|why| find::path_error(source, why))?;
    let (files, kept) = match (source.format, place) {
        (Format::Delta, _) => {
            return Err(OfflineError::Path {
                source_name: source.name.to_string(),
                why: "sources in Delta tables are not supported".to_owned(),
            });
        }
        (Format::Parquet, Place::Local(path)) => {
            let found = find::local(store.project(), source, &path)?;
            (super::parallel(&found, |file| open_named(file.path.clone(), file.name.clone(), 0))?, None)
        }
        (Format::Csv | Format::JsonLines, Place::Local(path)) => {
            let found = find::local(store.project(), source, &path)?;
            let kept = Kept::open(store.folder(), source, &found.iter().map(find::Found::state).collect())?;
            (text::open(source, &kept, &found)?, Some(kept))
        }
        (Format::Parquet, Place::Remote(place)) => {
            let objects = remote::list(store, source, &place).await?;
            let kept = Kept::open(store.folder(), source, &objects.states())?;
            (objects.open(&kept, want).await?, Some(kept))
        }
        (Format::Csv | Format::JsonLines, Place::Remote(place)) => {
            let objects = remote::list(store, source, &place).await?;
            let kept = Kept::open(store.folder(), source, &objects.states())?;
            let found = objects.fetch(&kept).await?;
            (text::open(source, &kept, &found)?, Some(kept))
        }
    };
    SourceFiles::new(source, files, kept)
}

/// The files of a source that are on this machine, in arrival order; `None` for one in an object store.
///
/// # Errors
/// [`OfflineError::Path`] or [`OfflineError::Read`]; a source without files has none.
pub fn local_files(project: &Path, source: &Source) -> Result<Option<Vec<PathBuf>>, OfflineError> {
    match Place::parse(&source.path).map_err(|why| find::path_error(source, why))? {
        Place::Remote(_) => Ok(None),
        Place::Local(path) => match find::local(project, source, &path) {
            Ok(found) => Ok(Some(found.into_iter().map(|file| file.path).collect())),
            Err(OfflineError::NoFile { .. }) => Ok(Some(Vec::new())),
            Err(why) => Err(why),
        },
    }
}

/// Opens one Parquet file; `first_row` is its place in the arrival order.
///
/// # Errors
/// [`OfflineError::Read`] if it is not Parquet.
pub fn open_file(project: &Path, path: PathBuf, first_row: u64) -> Result<SourceFile, OfflineError> {
    let name = path.strip_prefix(project).unwrap_or(&path).display().to_string();
    open_named(path, name, first_row)
}

/// As [`open_file`], for a file that messages call otherwise.
pub(crate) fn open_named(path: PathBuf, name: String, first_row: u64) -> Result<SourceFile, OfflineError> {
    let file = File::open(&path).map_err(|why| read_error(&name, why))?;
    let identity = state_of(&file).map_err(|why| read_error(&name, why))?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|why| read_error(&name, why))?;
    Ok(SourceFile::new(path, name, metadata, first_row, identity))
}

impl SourceFile {
    fn new(
        path: PathBuf,
        name: String,
        metadata: ArrowReaderMetadata,
        first_row: u64,
        identity: (u64, Option<u128>),
    ) -> Self {
        let n_rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        // The sizes and places of all column chunks change with nearly every edit; the time of change catches the rest.
        let chunks: Vec<_> = metadata
            .metadata()
            .row_groups()
            .iter()
            .map(|group| {
                json!([
                    group.num_rows(),
                    group
                        .columns()
                        .iter()
                        .map(parquet::file::metadata::ColumnChunkMetaData::byte_range)
                        .collect::<Vec<_>>()
                ])
            })
            .collect();
        let layout = Fingerprint::of(&json!(chunks)).short();
        let state = json!([name, identity.0, identity.1.map(|nanos| nanos.to_string()), layout]);
        let (n_left_out, left_out, constants) = (0, None, Vec::new());
        Self { path, name, metadata, n_rows, first_row, n_left_out, left_out, constants, layout, state, identity }
    }

    /// It is a copy, whose state is that of what was copied and the types that were made of it.
    fn of(&mut self, original: Json) {
        let types = self.metadata.schema().fields().iter().map(|f| json!([f.name(), f.data_type().to_string()]));
        self.state = json!([self.name, original, self.layout, types.collect::<Vec<_>>()]);
    }

    /// The type of a column, by its name in the files; of a column of folders too.
    pub(crate) fn type_of(&self, column: &str) -> Option<DataType> {
        let constant = || self.constants.iter().find(|constant| constant.column == column);
        let field = self.metadata.schema().field_with_name(column).ok().map(|field| field.data_type().clone());
        field.or_else(|| constant().map(|constant| constant.dtype.to_arrow()))
    }

    /// Rows read from the file, with columns that are not in it: of one value, or null.
    pub(crate) fn with_absent(&self, batch: RecordBatch, absent: &[&str]) -> Result<RecordBatch, schema::BoxError> {
        if absent.is_empty() {
            return Ok(batch);
        }
        let n = batch.num_rows();
        let mut fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
        let mut columns = batch.columns().to_vec();
        for name in absent {
            let constant = self.constants.iter().find(|constant| constant.column == *name);
            let column: ArrayRef = match constant {
                Some(constant) => constant.value.to_array(constant.dtype, n)?,
                None => Arc::new(NullArray::new(n)),
            };
            fields.push(Arc::new(Field::new(*name, column.data_type().clone(), true)));
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }

    /// What tells one state of the file from another.
    pub fn state(&self) -> &serde_json::Value {
        &self.state
    }

    /// Opens the file again, which must still be the one whose footer was read.
    ///
    /// # Errors
    /// It cannot be opened, or was replaced meanwhile: row numbers of one file must not be applied to another.
    pub fn reopen(&self) -> Result<File, schema::BoxError> {
        let file = File::open(&self.path)?;
        if state_of(&file)? != self.identity {
            return Err("the file changed while it was read; try again".into());
        }
        Ok(file)
    }
}

/// Digest of the state of some files.
pub(crate) fn version_of(files: &[SourceFile]) -> Fingerprint {
    Fingerprint::of(&json!(files.iter().map(|file| &file.state).collect::<Vec<_>>()))
}

/// Length and time of change of an open file.
fn state_of(file: &File) -> std::io::Result<(u64, Option<u128>)> {
    let about = file.metadata()?;
    let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((about.len(), modified.map(|m| m.as_nanos())))
}

pub(crate) fn read_error(path: &str, why: impl Into<schema::BoxError>) -> OfflineError {
    OfflineError::Read { path: path.to_owned(), source: why.into() }
}

impl SourceFiles {
    /// Numbers the rows of `files`, which stand in arrival order, and unites their columns.
    pub(crate) fn new(source: &Source, mut files: Vec<SourceFile>, kept: Option<Kept>) -> Result<Self, OfflineError> {
        let mut first_row = 0;
        let zone = Zone::named(source.timezone.as_deref()).map_err(|why| read_error(&source.path, why))?;
        for file in &mut files {
            file.first_row = first_row;
            first_row += file.n_rows;
            if !source.partitions.is_empty() {
                let constants = partition::constants(&file.name, &source.partitions, zone);
                file.constants = constants.map_err(|why| read_error(&file.name, why))?;
            }
        }
        let columns = columns::unite(source, &files)?;
        Ok(Self { source: source.clone(), files, columns, kept })
    }

    /// Rows of all files.
    pub fn n_rows(&self) -> u64 {
        self.files.iter().map(|file| file.n_rows).sum()
    }

    /// Digest of the files' state: the data version of everything read from them.
    pub fn version(&self) -> Fingerprint {
        version_of(&self.files)
    }

    /// The schema as the product sees it: renamed, and timestamps as nanoseconds in UTC.
    pub fn schema(&self) -> SchemaRef {
        let field = |column: &SourceColumn| {
            let dtype = match &column.arrow {
                DataType::Timestamp(_, _) => schema::dtype::timestamp_type(),
                other => other.clone(),
            };
            Field::new(&column.name, dtype, true)
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// The file's name of a column.
    pub fn column_in_file(&self, column: &str) -> String {
        let known = self.columns.iter().find(|known| known.name == column);
        known.map_or_else(|| column_in_file(&self.source, column), |known| known.in_file.clone())
    }

    /// The lease of what these files are copies of, for whoever reads them longer than this value lives.
    pub(crate) fn kept(&self) -> Option<Kept> {
        self.kept.clone()
    }
}

/// The files' name of a column, as the source's mapping has it.
fn column_in_file(source: &Source, column: &str) -> String {
    let mapped = source.field_mapping.iter().find(|(_, to)| to.as_str() == column);
    mapped.map_or_else(|| column.to_owned(), |(from, _)| from.clone())
}

#[cfg(test)]
mod tests;
