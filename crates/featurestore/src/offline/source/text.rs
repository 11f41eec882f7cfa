//! Texts as sources: CSV and JSON lines, converted once per state of a file into a typed Parquet copy.
//!
//! Types are those that the source declares; a column without one has the least type that holds all its values in all
//! files (`text/guess.rs`). A value becomes its type's exactly or is an error with file, line and column
//! (`text/cell.rs`); with `bad_rows: reject` its row is left out, and kept beside the copy with the reason.

mod cell;
mod column;
mod csv;
mod guess;
mod json_lines;
mod reader;
mod scan;
mod stream;

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schema::definitions::{BadRows, Format, Source};
use schema::{Dtype, Fingerprint, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use transform::cast::Zone;

use super::super::{OfflineError, seal};
use super::find::Found;
use super::kept::{Kept, REASONS, write_error};
use super::{SourceFile, column_in_file, open_named, read_error};
use guess::Guess;
use reader::Reader;

pub(crate) use cell::of_text;
pub(crate) use column::column as typed_column;
pub(crate) use reader::{Cell, Form};
pub(crate) use scan::Rows;
pub(crate) use stream::Streamed;

/// In a copy's metadata: how many rows of the text it left out.
const BAD_ROWS: &str = "plumb.n_bad_rows";
/// Format of what is kept beside texts; part of their names.
const FORMAT: u32 = 1;
/// Rows converted at a time, and bytes of them.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 32 << 20;

/// A row that does not parse.
#[derive(Debug)]
struct BadRow {
    line: u64,
    column: Option<String>,
    why: String,
}

impl BadRow {
    fn new(line: u64, why: &str) -> Self {
        Self { line, column: None, why: why.to_owned() }
    }
}

/// What stops the reading of a text.
#[derive(Debug)]
enum Trouble {
    /// One row.
    Bad(BadRow),
    /// The text as a whole.
    File { line: u64, why: String },
    /// The file.
    Io(std::io::Error),
}

impl From<std::io::Error> for Trouble {
    fn from(why: std::io::Error) -> Self {
        Self::Io(why)
    }
}

/// The columns of a text, in the order in which they come, and the types that are possible for them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Columns(Vec<(String, Guess)>);

/// A column and its type; `None` where it has no value in any file.
type Typed = (String, Option<Dtype>);

/// Opens the typed copies of a source's texts, made now where they do not exist.
pub(super) fn open(source: &Source, kept: &Kept, files: &[Found]) -> Result<Vec<SourceFile>, OfflineError> {
    let columns = super::super::parallel(files, |file| columns_of(source, kept, file))?;
    let types = types_of(source, &columns);
    let each: Vec<(&Found, Columns)> = files.iter().zip(columns).collect();
    super::super::parallel(&each, |(file, columns)| {
        let mine: Vec<Typed> = match source.format {
            // What an object does not name is null.
            Format::JsonLines => types.clone(),
            Format::Csv | Format::Parquet | Format::Delta => {
                let of = |name: &String| types.iter().find(|(known, _)| known == name).cloned();
                columns.0.iter().filter_map(|(name, _)| of(name)).collect()
            }
        };
        copy(source, kept, file, &mine)
    })
}

/// The types of all columns: declared, or those of times and marks, or guessed.
fn types_of(source: &Source, files: &[Columns]) -> Vec<Typed> {
    let mut met: Vec<(String, Guess)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (name, guess) in files.iter().flat_map(|columns| &columns.0) {
        match places.get(name.as_str()) {
            Some(at) => met[*at].1.meet(guess),
            None => {
                places.insert(name, met.len());
                met.push((name.clone(), guess.clone()));
            }
        }
    }
    let declared = source.columns.iter().filter(|column| !places.contains_key(column.name.as_str()));
    let missing: Vec<Typed> = match source.format {
        Format::JsonLines => declared.map(|column| (column.name.clone(), Some(column.dtype))).collect(),
        Format::Csv | Format::Parquet | Format::Delta => Vec::new(),
    };
    let known: HashMap<String, Dtype> = known_types(source);
    let typed = met.into_iter().map(|(name, guess)| {
        let dtype = known.get(&name).copied().or_else(|| guess.dtype());
        (name, dtype)
    });
    typed.chain(missing).collect()
}

/// Types that need no guess, by the columns' names in the files.
fn known_types(source: &Source) -> HashMap<String, Dtype> {
    let times = [Some(&source.event_time), source.created_time.as_ref()].into_iter().flatten();
    let roles = times.map(|name| (name, Dtype::Timestamp)).chain(source.deleted.iter().map(|name| (name, Dtype::Bool)));
    let roles = roles.map(|(name, dtype)| (column_in_file(source, name), dtype));
    roles.chain(source.columns.iter().map(|column| (column.name.clone(), column.dtype))).collect()
}

/// The columns of one text. Guessing reads all of it, once per state of the file.
fn columns_of(source: &Source, kept: &Kept, file: &Found) -> Result<Columns, OfflineError> {
    let name = format!("{}.columns{FORMAT}.json", file.state());
    let known = std::fs::read(kept.path(&name)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(columns) = known {
        return Ok(columns);
    }
    let types = known_types(source);
    let mut reader = Reader::open(source, file)?;
    let mut columns = Columns::default();
    let mut places: HashMap<String, usize> = HashMap::new();
    if let Reader::Csv { header, .. } = &reader {
        columns.0.extend(header.iter().map(|name| (name.clone(), Guess::nothing())));
        places.extend(header.iter().enumerate().map(|(at, name)| (name.clone(), at)));
        if header.iter().all(|name| types.contains_key(name)) {
            return Ok(columns);
        }
    }
    let zone = zone_of(source)?;
    loop {
        let next = reader.next(|name, cell| {
            let at = places.get(name).copied().unwrap_or_else(|| {
                places.insert(name.to_owned(), columns.0.len());
                columns.0.push((name.to_owned(), Guess::nothing()));
                columns.0.len() - 1
            });
            match cell {
                _ if types.contains_key(name) => {}
                Cell::Text(text) => columns.0[at].1.see_text(text, zone),
                Cell::Json(raw) => columns.0[at].1.see_json(raw, zone),
            }
        });
        match next {
            Ok(None) => break,
            Ok(Some(_)) => {}
            // The copy keeps the row aside, with the reason.
            Err(Trouble::Bad(_)) if source.bad_rows == BadRows::Reject => {}
            Err(trouble) => return Err(stopped(source, file, trouble)),
        }
    }
    file.unchanged()?;
    let bytes = serde_json::to_vec(&columns).map_err(|why| write_error(&kept.path(&name), why))?;
    kept.write(&name, |out| out.write_all(&bytes).map_err(|why| write_error(&kept.path(&name), why)))?;
    Ok(columns)
}

fn zone_of(source: &Source) -> Result<Zone, OfflineError> {
    Zone::named(source.timezone.as_deref()).map_err(|why| read_error(&source.path, why))
}

fn stopped(source: &Source, file: &Found, trouble: Trouble) -> OfflineError {
    match trouble {
        Trouble::Bad(row) => bad_text(&file.name, row.line, row.column, &row.why, source.bad_rows),
        Trouble::File { line, why } => bad_text(&file.name, line, None, &why, BadRows::Reject),
        Trouble::Io(why) => read_error(&file.name, why),
    }
}

fn bad_text(name: &str, line: u64, column: Option<String>, why: &str, rule: BadRows) -> OfflineError {
    OfflineError::Text {
        path: name.to_owned(),
        line,
        column: column.map(String::into_boxed_str),
        why: why.to_owned(),
        hint: match rule {
            BadRows::Refuse => "correct it, or leave such rows out by `bad_rows: reject` in the source",
            BadRows::Reject => "correct the file",
        },
    }
}

/// The typed copy of one text.
fn copy(source: &Source, kept: &Kept, file: &Found, types: &[Typed]) -> Result<SourceFile, OfflineError> {
    let typing = types.iter().map(|(name, dtype)| json!([name, dtype])).collect::<Vec<_>>();
    let stem = format!("{}-{}", file.state(), Fingerprint::of(&json!([FORMAT, typing])).short());
    let path = kept.path(&format!("{stem}.parquet"));
    // A copy can be made again: one that is damaged is.
    if let Ok(opened) = open_copy(file, path.clone()) {
        return Ok(opened);
    }
    convert(source, kept, file, types, &stem)?;
    open_copy(file, path)
}

fn open_copy(file: &Found, path: PathBuf) -> Result<SourceFile, OfflineError> {
    let mut opened = open_named(path.clone(), file.name.clone(), 0)?;
    let about = opened.metadata.metadata().file_metadata().key_value_metadata();
    let found = about.into_iter().flatten().find(|entry| entry.key == BAD_ROWS);
    opened.n_left_out = found.and_then(|entry| entry.value.as_ref()?.parse().ok()).unwrap_or(0);
    opened.left_out = (opened.n_left_out > 0).then(|| path.with_extension(&REASONS[1..]));
    opened.of(file.identity());
    Ok(opened)
}

fn convert(source: &Source, kept: &Kept, file: &Found, types: &[Typed], stem: &str) -> Result<(), OfflineError> {
    let path = kept.path(&format!("{stem}.parquet"));
    let rejected_path = path.with_extension(&REASONS[1..]);
    let mut reader = Reader::open(source, file)?;
    let mut out = kept.new_file(&format!("{stem}.parquet"))?;
    let schema = schema_of(types);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let writing = |why: parquet::errors::ParquetError| write_error(&path, why);
    let mut writer =
        ArrowWriter::try_new(out.as_file_mut(), SchemaRef::clone(&schema), Some(properties)).map_err(writing)?;
    let mut rejected = None;
    let mut n_rejected: u64 = 0;
    let places = places_of(types);
    let zone = zone_of(source)?;
    let mut batch = Batch::new(types);
    loop {
        let bad = match typed_row(&mut reader, &places, types, zone) {
            Ok(None) => break,
            Ok(Some((row, n_bytes))) => {
                batch.push(row, n_bytes);
                if batch.is_full() {
                    writer.write(&batch.take(&schema).map_err(|why| write_error(&path, why))?).map_err(writing)?;
                }
                continue;
            }
            Err(Trouble::Bad(bad)) => bad,
            Err(trouble) => return Err(stopped(source, file, trouble)),
        };
        if source.bad_rows == BadRows::Refuse {
            return Err(stopped(source, file, Trouble::Bad(bad)));
        }
        let aside = match &mut rejected {
            Some(aside) => aside,
            empty => empty.insert(kept.new_file(&format!("{stem}{REASONS}"))?),
        };
        let entry = json!({ "file": file.name, "line": bad.line, "column": bad.column, "why": bad.why });
        writeln!(aside, "{entry}").map_err(|why| write_error(&rejected_path, why))?;
        n_rejected += 1;
    }
    writer.write(&batch.take(&schema).map_err(|why| write_error(&path, why))?).map_err(writing)?;
    writer.append_key_value_metadata(KeyValue::new(BAD_ROWS.to_owned(), n_rejected.to_string()));
    writer.append_key_value_metadata(seal::place());
    writer.close().map_err(writing)?;
    seal::seal(out.as_file_mut()).map_err(|why| write_error(&path, why))?;
    file.unchanged()?;
    // The reasons first: where the copy is, they are.
    if let Some(aside) = rejected {
        kept.persist(aside, &rejected_path)?;
    }
    kept.persist(out, &path)
}

fn schema_of(types: &[Typed]) -> SchemaRef {
    let field = |(name, dtype): &Typed| Field::new(name, dtype.map_or(DataType::Null, Dtype::to_arrow), true);
    Arc::new(Schema::new(types.iter().map(field).collect::<Vec<_>>()))
}

fn places_of(types: &[Typed]) -> HashMap<&str, usize> {
    types.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect()
}

/// The next row in its types, and the bytes of its values; `None` at the end. A value that does not fit makes it bad.
fn typed_row(
    reader: &mut Reader,
    places: &HashMap<&str, usize>,
    types: &[Typed],
    zone: Zone,
) -> Result<Option<(Vec<Value>, usize)>, Trouble> {
    let mut row = vec![Value::Null; types.len()];
    let (mut n_bytes, mut bad) = (0, None);
    let line = reader.next(|name, cell| {
        let Some((at, dtype)) = places.get(name).and_then(|at| Some((*at, types[*at].1?))) else { return };
        let (Cell::Text(text) | Cell::Json(text)) = cell;
        n_bytes += text.len();
        match cell.read(dtype, zone) {
            Ok(value) => row[at] = value,
            Err(why) => bad = bad.take().or_else(|| Some((name.to_owned(), why))),
        }
    })?;
    match (line, bad) {
        (None, _) => Ok(None),
        (Some(_), None) => Ok(Some((row, n_bytes))),
        (Some(line), Some((column, why))) => Err(Trouble::Bad(BadRow { line, column: Some(column), why })),
    }
}

/// Hands on the values of the rows of a text, as they stand there, with their lines; rows that are no rows at all are passed
/// over.
pub(crate) fn each_row(
    source: &Source,
    file: &Found,
    mut each: impl FnMut(u64, Map<String, Json>) -> Result<(), OfflineError>,
) -> Result<(), OfflineError> {
    let mut reader = Reader::open(source, file)?;
    loop {
        let mut row = Map::new();
        let next = reader.next(|name, cell| {
            let value = match cell {
                Cell::Text(text) => Json::from(text),
                Cell::Json(raw) => serde_json::from_str(raw).unwrap_or_else(|_| Json::from(raw)),
            };
            row.insert(name.to_owned(), value);
        });
        match next {
            Ok(None) => break,
            Ok(Some(line)) => each(line, row)?,
            Err(Trouble::Bad(_)) => {}
            Err(trouble) => return Err(stopped(source, file, trouble)),
        }
    }
    file.unchanged()
}

/// Rows that are not yet written.
struct Batch<'t> {
    types: &'t [Typed],
    columns: Vec<Vec<Value>>,
    n_rows: usize,
    n_bytes: usize,
}

impl<'t> Batch<'t> {
    fn new(types: &'t [Typed]) -> Self {
        Self { types, columns: vec![Vec::new(); types.len()], n_rows: 0, n_bytes: 0 }
    }

    fn push(&mut self, row: Vec<Value>, n_bytes: usize) {
        self.columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        self.n_rows += 1;
        self.n_bytes += n_bytes;
    }

    fn is_full(&self) -> bool {
        self.n_rows >= BATCH_ROWS || self.n_bytes >= BATCH_BYTES
    }

    fn take(&mut self, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
        let columns = self.columns.iter().zip(self.types).map(|(values, (_, dtype))| column::column(values, *dtype));
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(self.n_rows));
        self.columns.iter_mut().for_each(Vec::clear);
        (self.n_rows, self.n_bytes) = (0, 0);
        RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &options)
    }
}
