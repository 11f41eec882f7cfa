//! A source's files: found or fetched, opened, their schemas compared, their state digested.
//!
//! Everything downstream reads local Parquet. Parquet files of this machine are read in place; texts are converted into
//! typed copies (`source/text.rs`), objects fetched (`source/remote.rs`), both once per state. Names in messages are the
//! user's own, never those of copies.

mod columns;
mod find;
mod kept;
mod look;
mod mirror;
mod partition;
mod pattern;
mod place;
mod remote;
pub(crate) mod text;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use schema::Fingerprint;
use schema::definitions::{Format, Source};
use serde_json::{Value as Json, json};
use transform::cast::Zone;

use super::table::ARRIVAL_COLUMN;
use super::table::source::{OfTable, Shape};
use super::{OfflineError, OfflineStore, projection};
use crate::caught::caught;
pub use columns::SourceColumn;
pub(crate) use find::Found;
pub(crate) use kept::Kept;
pub use kept::{forget, objects, reasons};
pub use look::known_version;
pub(crate) use look::{Look, look};
pub(crate) use partition::{Constant, constants};
use place::Place;
pub(crate) use text::{Cell, Form, Rows, each_row, of_text, typed_column};

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
    /// How its columns become those of the table that it is of.
    shape: Option<Arc<Shape>>,
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
    /// The table that they are of.
    pub(crate) table: Option<OfTable>,
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
/// parse; [`OfflineError::Schemas`] if a column vanished or has another type; [`OfflineError::Storage`];
/// [`OfflineError::Table`].
pub async fn open(store: &OfflineStore, source: &Source) -> Result<SourceFiles, OfflineError> {
    open_for(store, source, Want::Rows).await
}

/// As [`open`]; with [`Want::Footers`] the rows may not be there to be read.
pub(crate) async fn open_for(store: &OfflineStore, source: &Source, want: Want) -> Result<SourceFiles, OfflineError> {
    let place = Place::parse(&source.path).map_err(|why| find::path_error(source, why))?;
    let (files, kept) = match (source.format, place) {
        (Format::Delta, place) => {
            let version = store.pinned.get(source.name.as_str()).copied();
            return match place {
                Place::Local(_) => super::table::source::open(store.project(), source, version),
                Place::Remote(place) => mirror::open(store, source, &place, want, version).await,
            };
        }
        (Format::Parquet, Place::Local(path)) => {
            let found = find::local(store.project(), source, &path)?;
            (super::parallel(&found, |file| open_named(file.path.clone(), file.name.clone(), 0))?, None)
        }
        (Format::Csv | Format::JsonLines, Place::Local(path)) => {
            let found = find::local(store.project(), source, &path)?;
            let kept = Kept::open(store.folder(), source, &found.iter().map(Found::state).collect())?;
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
            let files = match text::open(source, &kept, &found) {
                // What is damaged here is fetched again.
                Err(_) if !objects.are_sound(&kept) => text::open(source, &kept, &objects.fetch_sound(&kept).await?)?,
                opened => opened?,
            };
            (files, Some(kept))
        }
    };
    SourceFiles::new(source, files, kept)
}

/// The files at `path` that are in the format of `source`, which says how they are read; objects are fetched, and their
/// bytes kept as long as what is returned.
///
/// # Errors
/// As [`open`].
pub(crate) async fn find_files(
    store: &OfflineStore,
    source: &Source,
    path: &str,
) -> Result<(Vec<Found>, Kept), OfflineError> {
    // Copies of all that is ingested are kept in one place, so that the next time clears those of a killed process.
    let copies = Source { path: "(ingested)".to_owned(), ..source.clone() };
    let asked = Source { path: path.to_owned(), ..source.clone() };
    match Place::parse(path).map_err(|why| find::path_error(&asked, why))? {
        Place::Local(path) => {
            let found = find::local(store.project(), &asked, &path)?;
            let kept = Kept::open(store.folder(), &copies, &found.iter().map(Found::state).collect())?;
            Ok((found, kept))
        }
        Place::Remote(place) => {
            let objects = remote::list(store, &asked, &place).await?;
            let kept = Kept::open(store.folder(), &copies, &objects.states())?;
            Ok((objects.fetch_sound(&kept).await?, kept))
        }
    }
}

/// Opens one of [`find_files`]; of a text, its typed copy.
pub(crate) fn open_found(source: &Source, kept: &Kept, found: &Found) -> Result<SourceFile, OfflineError> {
    match source.format {
        Format::Csv | Format::JsonLines => {
            let mut copies = text::open(source, kept, std::slice::from_ref(found))?;
            copies.pop().ok_or_else(|| read_error(&found.name, "it has no copy"))
        }
        Format::Parquet | Format::Delta => open_named(found.path.clone(), found.name.clone(), 0),
    }
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

/// The path of a source that can only be on this machine, as a table is that is written.
pub(crate) fn local_path(source: &Source) -> Result<String, OfflineError> {
    match Place::parse(&source.path).map_err(|why| find::path_error(source, why))? {
        Place::Local(path) => Ok(path),
        Place::Remote(_) => {
            let why = format!("`{}` is not on this machine: tables elsewhere are read, and not written", source.path);
            Err(find::path_error(source, why))
        }
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
    let mut file = File::open(&path).map_err(|why| read_error(&name, why))?;
    super::seal::check(&mut file, &path).map_err(|why| read_error(&name, why))?;
    let identity = state_of(&file).map_err(|why| read_error(&name, why))?;
    let metadata = caught(|| Ok::<_, schema::BoxError>(ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?));
    let metadata = metadata.map_err(|why| read_error(&name, why))?;
    let named = name.clone();
    caught(|| Ok::<_, schema::BoxError>(SourceFile::new(path, name, metadata, first_row, identity)))
        .map_err(|why| read_error(&named, why))
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
        Self {
            path,
            name,
            metadata,
            n_rows,
            first_row,
            n_left_out: 0,
            left_out: None,
            constants: Vec::new(),
            shape: None,
            layout,
            state,
            identity,
        }
    }

    /// It is a copy, whose state is that of what was copied and the types that were made of it.
    fn of(&mut self, original: Json) {
        let types = self.metadata.schema().fields().iter().map(|f| json!([f.name(), f.data_type().to_string()]));
        self.state = json!([self.name, original, self.layout, types.collect::<Vec<_>>()]);
    }

    /// As a file of a table, whose `state` says which it is.
    pub(crate) fn of_table(self, shape: Arc<Shape>, state: Json) -> Self {
        Self { shape: Some(shape), state, ..self }
    }

    /// The columns that are read from the file, as the source has them; those of folders are not among them.
    fn schema(&self) -> &SchemaRef {
        self.shape.as_ref().map_or_else(|| self.metadata.schema(), |shape| shape.schema())
    }

    /// The type of a column, by its name in the files; of a column of folders too.
    pub(crate) fn type_of(&self, column: &str) -> Option<DataType> {
        let constant = || self.constants.iter().find(|constant| constant.column == column);
        let field = self.schema().field_with_name(column).ok().map(|field| field.data_type().clone());
        field.or_else(|| constant().map(|constant| constant.dtype.to_arrow()))
    }

    /// What to read for some of the source's columns.
    pub(crate) fn mask(&self, columns: &[&str]) -> ProjectionMask {
        match &self.shape {
            Some(shape) => shape.mask(&self.metadata, columns),
            None => {
                let here = columns.iter().copied().filter(|name| self.holds(name));
                projection::named(self.metadata.parquet_schema(), here)
            }
        }
    }

    /// What was read by [`Self::mask`] as the source's columns: in a table's types, and with those that are not in the
    /// file, of one value or null.
    pub(crate) fn shaped(&self, columns: &[&str], rows: RecordBatch) -> Result<RecordBatch, schema::BoxError> {
        match &self.shape {
            Some(shape) => Ok(shape.shaped(columns, &rows)?),
            None => self.with_absent(columns, rows),
        }
    }

    fn holds(&self, column: &str) -> bool {
        self.metadata.schema().field_with_name(column).is_ok()
    }

    fn with_absent(&self, columns: &[&str], rows: RecordBatch) -> Result<RecordBatch, schema::BoxError> {
        let mut absent = columns.iter().filter(|name| !self.holds(name)).peekable();
        if absent.peek().is_none() {
            return Ok(rows);
        }
        let n = rows.num_rows();
        let mut fields: Vec<FieldRef> = rows.schema().fields().iter().cloned().collect();
        let mut columns = rows.columns().to_vec();
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
                let constants = constants(&file.name, &source.partitions, zone);
                file.constants = constants.map_err(|why| read_error(&file.name, why))?;
            }
        }
        let columns = columns::unite(source, &files)?;
        Ok(Self { source: source.clone(), files, columns, table: None, kept })
    }

    /// The files of a table, numbered already.
    pub(crate) fn of_table(
        source: &Source,
        files: Vec<SourceFile>,
        table: OfTable,
        kept: Option<Kept>,
    ) -> Result<Self, OfflineError> {
        // A query sees arrival numbers as `_row`.
        let numbers = table.next().map(|_| ARRIVAL_COLUMN);
        let columns = columns::of_table(source, &table.schema, numbers)?;
        Ok(Self { source: source.clone(), files, columns, table: Some(table), kept })
    }

    /// What messages name when they say what the rows have: the newest file, which has all columns, or the table.
    pub(crate) fn newest(&self) -> &str {
        match (&self.table, self.files.last()) {
            (None, Some(file)) => &file.name,
            _ => &self.source.path,
        }
    }

    /// Rows of all files.
    pub fn n_rows(&self) -> u64 {
        self.files.iter().map(|file| file.n_rows).sum()
    }

    /// Digest of the rows' state: the data version of everything read from them.
    pub fn version(&self) -> Fingerprint {
        match &self.table {
            Some(table) => table.rows_digest(|| version_of(&self.files)),
            None => version_of(&self.files),
        }
    }

    /// The version of the table that the rows are of.
    pub fn table_version(&self) -> Option<u64> {
        self.table.as_ref().map(|table| table.version)
    }

    /// The column that numbers the rows; where there is none, their places do.
    pub(crate) fn row_column(&self) -> Option<&'static str> {
        self.table.as_ref().and_then(OfTable::next).map(|_| ARRIVAL_COLUMN)
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
pub(crate) fn column_in_file(source: &Source, column: &str) -> String {
    let mapped = source.field_mapping.iter().find(|(_, to)| to.as_str() == column);
    mapped.map_or_else(|| column.to_owned(), |(from, _)| from.clone())
}

#[cfg(test)]
pub(crate) mod tests;
