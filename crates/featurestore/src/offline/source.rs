//! A source's files: found, opened, their schemas compared, their state digested.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use schema::Fingerprint;
use schema::definitions::Source;
use serde_json::json;
use transform::cast::describe;

use super::OfflineError;

/// One Parquet file, opened.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path as messages name it: relative to the project.
    pub name: String,
    /// Its footer.
    pub metadata: ArrowReaderMetadata,
    /// Rows.
    pub n_rows: u64,
    /// Arrival number of its first row.
    pub first_row: u64,
    state: serde_json::Value,
    identity: (u64, Option<u128>),
}

/// The files of a source in arrival order.
#[derive(Debug, Clone)]
pub struct SourceFiles {
    /// The source.
    pub source: Source,
    /// The files; their schemas agree.
    pub files: Vec<SourceFile>,
}

/// Opens the files of a source under `project`.
///
/// # Errors
/// [`OfflineError::NoFile`], [`OfflineError::Read`] for what is not Parquet, [`OfflineError::Schemas`].
pub fn open(project: &Path, source: &Source) -> Result<SourceFiles, OfflineError> {
    let root = project.join(&source.path);
    let missing = || OfflineError::NoFile { context: format!("source `{}`", source.name), path: source.path.clone() };
    let mut paths = Vec::new();
    if root.is_dir() {
        let entries = std::fs::read_dir(&root).map_err(|why| read_error(&source.path, why))?;
        for entry in entries {
            let path = entry.map_err(|why| read_error(&source.path, why))?.path();
            if path.extension().is_some_and(|end| end == "parquet") {
                paths.push(path);
            }
        }
        paths.sort();
    } else if root.is_file() {
        paths.push(root);
    }
    if paths.is_empty() {
        return Err(missing());
    }
    let mut files: Vec<SourceFile> = Vec::with_capacity(paths.len());
    let mut first_row = 0;
    for path in paths {
        let file = open_file(project, path, first_row)?;
        if let Some(first) = files.first() {
            same_schema(source, first, &file)?;
        }
        first_row += file.n_rows;
        files.push(file);
    }
    Ok(SourceFiles { source: source.clone(), files })
}

/// Opens one Parquet file; `first_row` is its place in the arrival order.
///
/// # Errors
/// [`OfflineError::Read`] if it is not Parquet.
pub fn open_file(project: &Path, path: PathBuf, first_row: u64) -> Result<SourceFile, OfflineError> {
    let name = path.strip_prefix(project).unwrap_or(&path).display().to_string();
    let file = File::open(&path).map_err(|why| read_error(&name, why))?;
    let identity = state_of(&file).map_err(|why| read_error(&name, why))?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|why| read_error(&name, why))?;
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
    let digest = Fingerprint::of(&json!(chunks)).short();
    let state = json!([name, identity.0, identity.1.map(|nanos| nanos.to_string()), digest]);
    Ok(SourceFile { path, name, metadata, n_rows, first_row, state, identity })
}

impl SourceFile {
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

fn same_schema(source: &Source, first: &SourceFile, file: &SourceFile) -> Result<(), OfflineError> {
    let (expected, found) = (first.metadata.schema(), file.metadata.schema());
    let differ = |column: &str, was: String, is: String| OfflineError::Schemas {
        source_name: source.name.to_string(),
        column: column.to_owned(),
        why: format!("it is {was} in `{}` and {is} in `{}`", first.name, file.name),
    };
    for field in expected.fields() {
        match found.field_with_name(field.name()) {
            Ok(other) if other.data_type() == field.data_type() => {}
            Ok(other) => return Err(differ(field.name(), describe(field.data_type()), describe(other.data_type()))),
            Err(_) => return Err(differ(field.name(), describe(field.data_type()), "missing".to_owned())),
        }
    }
    match found.fields().iter().find(|f| expected.field_with_name(f.name()).is_err()) {
        Some(extra) => Err(differ(extra.name(), "missing".to_owned(), describe(extra.data_type()))),
        None => Ok(()),
    }
}

impl SourceFiles {
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
        let Some(first) = self.files.first() else { return Arc::new(Schema::empty()) };
        let field = |field: &arrow::datatypes::FieldRef| {
            let name = self.renamed(field.name());
            let dtype = match field.data_type() {
                DataType::Timestamp(_, _) => schema::dtype::timestamp_type(),
                other => other.clone(),
            };
            Field::new(name, dtype, true)
        };
        Arc::new(Schema::new(first.metadata.schema().fields().iter().map(field).collect::<Vec<_>>()))
    }

    /// The product's name of a file's column.
    fn renamed<'a>(&'a self, column: &'a str) -> &'a str {
        self.source.field_mapping.get(column).map_or(column, String::as_str)
    }

    /// The file's name of a column.
    pub fn column_in_file(&self, column: &str) -> String {
        let mapped = self.source.field_mapping.iter().find(|(_, to)| to.as_str() == column);
        mapped.map_or_else(|| column.to_owned(), |(from, _)| from.clone())
    }
}
