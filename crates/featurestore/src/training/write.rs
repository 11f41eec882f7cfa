//! A training set as a file that says what it was made of: Parquet, or an Arrow IPC file. It appears whole or not at all.
//!
//! Rows come in chunks of one size, so the same rows are the same bytes however they were joined. Lineage and report stand
//! in the file's metadata (`plumb.*`), and beside it in `<file>.report.json`.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowWriter, encode_arrow_schema};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use tempfile::NamedTempFile;

use super::chunks::{canonical, tidy};
use super::hashes::hashes;
use super::lineage::{KEY, Lineage};
use super::{MEMORY_DEFAULT, Report, Sink};
use crate::ipc::{IpcFile, Limits};
use crate::offline::{OfflineError, whole};

/// Rows of a row group: what a writer holds in memory. A multiple of a chunk.
const ROW_GROUP_ROWS: usize = 262_144;
/// In a file's metadata, the report.
pub const REPORT_KEY: &str = "plumb.report";

/// How a training set is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet.
    Parquet,
    /// An Arrow IPC file.
    Arrow,
}

impl Format {
    /// What a file's ending says.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "arrow" | "feather" | "ipc" => Some(Self::Arrow),
            _ => None,
        }
    }
}

/// A training set on its way to a file.
pub struct FileSink {
    path: PathBuf,
    format: Format,
    writing: Option<Writing>,
}

enum Writing {
    /// Parquet, without rows yet.
    Begun {
        schema: SchemaRef,
        out: NamedTempFile,
    },
    Parquet {
        schema: SchemaRef,
        writer: Box<ArrowWriter<NamedTempFile>>,
    },
    Arrow(Box<FileWriter<BufWriter<NamedTempFile>>>),
}

impl std::fmt::Debug for FileSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSink").field("path", &self.path).field("format", &self.format).finish_non_exhaustive()
    }
}

/// Where the report of a file stands.
pub fn report_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".report.json");
    name.into()
}

impl FileSink {
    /// Writes to `path`.
    pub fn new(path: &Path, format: Format) -> Self {
        Self { path: path.to_path_buf(), format, writing: None }
    }

    fn fail(&self, why: impl Into<schema::BoxError>) -> OfflineError {
        OfflineError::Write { path: self.path.display().to_string(), source: why.into() }
    }

    /// The writer; `first` are the first rows, which say how columns are best written.
    fn parquet(
        &self,
        schema: SchemaRef,
        out: NamedTempFile,
        first: Option<&RecordBatch>,
    ) -> Result<Writing, OfflineError> {
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        for column in first.map(spread).unwrap_or_default() {
            properties = properties.set_column_dictionary_enabled(ColumnPath::new(vec![column]), false);
        }
        // The schema's own metadata is written at the end, when all of it is known.
        let options = ArrowWriterOptions::new().with_properties(properties.build()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, SchemaRef::clone(&schema), options);
        let writer = Box::new(writer.map_err(|why| self.fail(why))?);
        Ok(Writing::Parquet { schema, writer })
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

/// Names of the columns of numbers whose first values hardly repeat: a dictionary of them would be built to be thrown away.
fn spread(first: &RecordBatch) -> Vec<String> {
    const LOOKED_AT: usize = 4_096;
    let schema = first.schema();
    let named = schema.fields().iter().zip(first.columns());
    let is_spread = |column: &ArrayRef| {
        let mut hashes = hashes(&column.slice(0, column.len().min(LOOKED_AT)));
        let n = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.len() * 2 > n
    };
    let of_numbers = named.filter(|(field, _)| field.data_type().is_primitive());
    of_numbers.filter(|(_, column)| is_spread(column)).map(|(field, _)| field.name().clone()).collect()
}

/// What the file says of itself before its rows are known.
fn about(lineage: &Lineage) -> Vec<(&'static str, String)> {
    vec![
        ("plumb.service", lineage.service.name.clone()),
        ("plumb.service_version", lineage.service.version.to_string()),
        ("plumb.service_fingerprint", lineage.service.fingerprint.to_string()),
        ("plumb.filled", lineage.options.filled.to_string()),
    ]
}

/// The schema of an answer that streams: it says what its rows are made of, as far as that is known before they are. Rows
/// and digest of the spine are there if it is in memory.
pub fn stream_schema(schema: &SchemaRef, lineage: &Lineage) -> SchemaRef {
    let mut about = about(lineage);
    about.push((KEY, lineage.to_json()));
    with_metadata(schema, &about)
}

fn with_metadata(schema: &SchemaRef, about: &[(&'static str, String)]) -> SchemaRef {
    let owned = about.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Arc::new(schema.as_ref().clone().with_metadata(owned))
}

impl Sink for FileSink {
    fn begin(&mut self, schema: &SchemaRef, lineage: &Lineage) -> Result<(), OfflineError> {
        let out = whole::begin_of_user(self.folder()).map_err(|why| self.fail(why))?;
        self.writing = Some(match self.format {
            Format::Parquet => Writing::Begun { schema: SchemaRef::clone(schema), out },
            Format::Arrow => {
                let schema = with_metadata(schema, &about(lineage));
                let writer = FileWriter::try_new(BufWriter::new(out), &schema).map_err(|why| self.fail(why))?;
                Writing::Arrow(Box::new(writer))
            }
        });
        Ok(())
    }

    fn write(&mut self, chunk: &RecordBatch) -> Result<(), OfflineError> {
        self.writing = match self.writing.take() {
            Some(Writing::Begun { schema, out }) => Some(self.parquet(schema, out, Some(chunk))?),
            other => other,
        };
        let written = match &mut self.writing {
            None | Some(Writing::Begun { .. }) => Err("nothing was begun".into()),
            Some(Writing::Parquet { writer, .. }) => writer.write(&tidy(chunk)?).map_err(schema::BoxError::from),
            Some(Writing::Arrow(writer)) => writer.write(&canonical(chunk)?).map_err(schema::BoxError::from),
        };
        written.map_err(|why| self.fail(why))
    }

    fn finish(&mut self, report: &Report) -> Result<(), OfflineError> {
        let text = serde_json::to_string(report).map_err(|why| self.fail(why))?;
        let mut about = about(&report.lineage);
        about.push((KEY, report.lineage.to_json()));
        about.push((REPORT_KEY, text));
        let writing = match self.writing.take() {
            Some(Writing::Begun { schema, out }) => Some(self.parquet(schema, out, None)?),
            other => other,
        };
        let out = match writing {
            None | Some(Writing::Begun { .. }) => return Err(self.fail("nothing was begun")),
            Some(Writing::Parquet { schema, mut writer }) => {
                // Readers of Arrow look into the schema's metadata, others into the file's.
                let schema = encode_arrow_schema(&with_metadata(&schema, &about));
                for (key, value) in about.into_iter().chain([(ARROW_SCHEMA_META_KEY, schema)]) {
                    writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
                }
                writer.into_inner().map_err(|why| self.fail(why))?
            }
            Some(Writing::Arrow(mut writer)) => {
                for (key, value) in about {
                    writer.write_metadata(key, value);
                }
                writer.finish().map_err(|why| self.fail(why))?;
                let buffered = writer.into_inner().map_err(|why| self.fail(why))?;
                buffered.into_inner().map_err(|why| self.fail(why.into_error()))?
            }
        };
        whole::finish(out, &self.path).map_err(|why| self.fail(why))?;
        let pretty = serde_json::to_string_pretty(report).map_err(|why| self.fail(why))? + "\n";
        let mut beside = whole::begin_of_user(self.folder()).map_err(|why| self.fail(why))?;
        std::io::Write::write_all(&mut beside, pretty.as_bytes()).map_err(|why| self.fail(why))?;
        whole::finish(beside, &report_path(&self.path)).map_err(|why| self.fail(why))
    }
}

/// The lineage and the report that a training set's file holds; beside it, if the file is gone or not ours.
///
/// # Errors
/// [`OfflineError::NoFile`]; [`OfflineError::Read`] for what is no training set of ours.
pub fn read_about(path: &Path) -> Result<(Lineage, serde_json::Value), OfflineError> {
    let shown = path.display().to_string();
    let fail = |why: schema::BoxError| OfflineError::Read { path: shown.clone(), source: why };
    let found = if path.is_file() { inside(path).map_err(fail)? } else { None };
    let (lineage, report) = match found {
        Some((lineage, report)) => {
            let report = report.as_deref().map(serde_json::from_str).transpose().map_err(|why| fail(why.into()))?;
            (lineage, report.unwrap_or_default())
        }
        None => {
            let beside = report_path(path);
            if !beside.is_file() {
                if path.is_file() {
                    return Err(fail(format!("it does not say what it was made of (`{KEY}`)").into()));
                }
                return Err(OfflineError::NoFile { context: "the training set".to_owned(), path: shown });
            }
            let text = std::fs::read_to_string(&beside).map_err(|why| fail(why.into()))?;
            let report: serde_json::Value = serde_json::from_str(&text).map_err(|why| fail(why.into()))?;
            (report["lineage"].to_string(), report)
        }
    };
    let lineage = Lineage::parse(&lineage).map_err(|why| fail(format!("its lineage: {why}").into()))?;
    Ok((lineage, report))
}

fn inside(path: &Path) -> Result<Option<(String, Option<String>)>, schema::BoxError> {
    let pick = |get: &dyn Fn(&str) -> Option<String>| get(KEY).map(|lineage| (lineage, get(REPORT_KEY)));
    if Format::of(path) == Some(Format::Arrow) {
        let limits = Limits { plain_bytes: MEMORY_DEFAULT as u64, compressed: true };
        let file = IpcFile::open(path, limits)?;
        return Ok(pick(&|key| file.about(key).map(str::to_owned)));
    }
    let opened = crate::offline::source::open_file(Path::new(""), path.to_path_buf(), 0)?;
    let about = opened.metadata.metadata().file_metadata().key_value_metadata();
    let get = |key: &str| about.into_iter().flatten().find(|entry| entry.key == key)?.value.clone();
    Ok(pick(&get))
}
