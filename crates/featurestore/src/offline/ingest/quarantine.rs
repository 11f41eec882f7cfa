//! Rows that are not the table's: kept beside it, as they were, with the reasons.
//!
//! A file of a quarantine has a JSON object a line: the row's values under the names of its columns, and where it was and
//! why it is there under names that start with `_plumb_`. Corrected, it can be ingested as it is.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use schema::definitions::{Format, Source};
use schema::json::Cell;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use tempfile::NamedTempFile;
use transform::cast::Zone;

use super::super::personal::NOT_SHOWN;
use super::super::source::{Found, SourceFile, each_row, of_text, read_error};
use super::super::table::Table;
use super::super::{OfflineError, whole};
use super::rows::{Bad, NULL};

/// Names of what is said of a row start so.
const OURS: &str = "_plumb_";
/// Folder of the files, beside a table.
const FOLDER: &str = "quarantine";

/// Why rows are bad: those of one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The column; `None` where the row as a whole is no row.
    pub column: Option<String>,
    /// How many.
    pub n_rows: u64,
    /// Why the first of them is.
    pub first: String,
}

/// Rows of one file on their way into quarantine.
#[derive(Debug)]
pub(super) struct Quarantine {
    path: PathBuf,
    file: String,
    out: Option<BufWriter<NamedTempFile>>,
    reasons: Vec<Reason>,
    /// Columns whose values no reason shows.
    personal: Vec<String>,
}

/// Whether a name is one of those that say why a row is in quarantine.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

/// The files of quarantined rows of a table, by name.
///
/// # Errors
/// [`OfflineError::Read`] if they cannot be listed.
pub fn files(table: &Table) -> Result<Vec<PathBuf>, OfflineError> {
    let folder = table.beside().join(FOLDER);
    let fail = |why: std::io::Error| read_error(&folder.display().to_string(), why);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(fail(why)),
    };
    let mut paths = entries.map(|entry| Ok(entry.map_err(fail)?.path())).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "jsonl"));
    paths.sort();
    Ok(paths)
}

impl Quarantine {
    pub(super) fn new(table: &Table, digest: &str, file: &str, personal: &[String]) -> Self {
        let short = &digest[..digest.len().min(16)];
        let path = table.beside().join(FOLDER).join(format!("{short}.jsonl"));
        Self { path, file: file.to_owned(), out: None, reasons: Vec::new(), personal: personal.to_vec() }
    }

    /// How many there are.
    pub(super) fn n_rows(&self) -> u64 {
        self.reasons.iter().map(|reason| reason.n_rows).sum()
    }

    /// Why, in words.
    pub(super) fn told(&self) -> String {
        let said = self.reasons.iter().take(3).map(|reason| {
            let column = reason.column.as_deref().map(|name| format!("column `{name}`: ")).unwrap_or_default();
            format!("{} rows, {column}{}", reason.n_rows, reason.first)
        });
        said.collect::<Vec<_>>().join("; ")
    }

    /// Adds rows of a text that do not parse, which its typed copy left out.
    pub(super) fn add_unparsed(
        &mut self,
        source: &Source,
        found: &Found,
        copy: &SourceFile,
    ) -> Result<(), OfflineError> {
        let mut told = told(found, copy)?.peekable();
        if told.peek().is_none() {
            return Ok(());
        }
        let zone = Zone::named(source.timezone.as_deref()).map_err(|why| read_error(&found.name, why))?;
        // Both are in the order of the text. Of rows that are no rows at all only the reason is there.
        each_row(source, found, |line, row| {
            let mut row = Some(row);
            while let Some(next) = told.next_if(|next| next.as_ref().map_or(true, |(at, _)| *at <= line)) {
                let (at, entry) = next?;
                let mut row = row.take_if(|_| at == line).unwrap_or_default();
                if source.format == Format::Csv {
                    row.iter_mut().for_each(|(name, value)| as_json(source, zone, name, value));
                }
                self.keep_told(row, at, &entry)?;
            }
            Ok(())
        })?;
        told.try_for_each(|next| next.and_then(|(at, entry)| self.keep_told(Map::new(), at, &entry)))
    }

    fn keep_told(&mut self, row: Map<String, Json>, line: u64, entry: &Json) -> Result<(), OfflineError> {
        self.keep(row, ("line", line), entry["column"].as_str(), entry["why"].as_str().unwrap_or_default())
    }

    /// Adds rows of a batch whose first row is number `first` of those that were read.
    pub(super) fn add(&mut self, batch: &RecordBatch, bad: &[Bad], first: u64) -> Result<(), OfflineError> {
        for Bad { row, column, why } in bad {
            let mut values = Map::new();
            for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
                let cell = Cell::of_arrow(array.as_ref(), *row);
                let holds = Cell::holds(field.data_type());
                let value = holds.then(|| serde_json::to_value(cell).ok()).flatten().unwrap_or_default();
                values.insert(field.name().clone(), value);
            }
            self.keep(values, ("row", first + *row as u64 + 1), Some(column), why)?;
        }
        Ok(())
    }

    fn count(&mut self, (unit, number): (&str, u64), column: Option<&str>, why: &str) {
        match self.reasons.iter_mut().find(|reason| reason.column.as_deref() == column) {
            Some(reason) => reason.n_rows += 1,
            None => {
                let personal = column.is_some_and(|column| self.personal.iter().any(|name| name == column));
                let why = if personal && why != NULL { NOT_SHOWN } else { why };
                let first = format!("{why} ({unit} {number})");
                self.reasons.push(Reason { column: column.map(str::to_owned), n_rows: 1, first });
            }
        }
    }

    fn keep(
        &mut self,
        mut row: Map<String, Json>,
        (unit, number): (&str, u64),
        column: Option<&str>,
        why: &str,
    ) -> Result<(), OfflineError> {
        row.retain(|name, _| !is_ours(name));
        let said = [
            ("file", Json::from(self.file.as_str())),
            (unit, Json::from(number)),
            ("column", Json::from(column)),
            ("why", Json::from(why)),
        ];
        row.extend(said.into_iter().map(|(name, value)| (format!("{OURS}{name}"), value)));
        self.count((unit, number), column, why);
        let path = self.path.clone();
        let fail = |why: std::io::Error| write_error(&path, why);
        let out = match &mut self.out {
            Some(out) => out,
            none => {
                let folder = path.parent().unwrap_or(Path::new("."));
                std::fs::create_dir_all(folder).map_err(fail)?;
                none.insert(BufWriter::new(whole::begin(folder).map_err(fail)?))
            }
        };
        writeln!(out, "{}", Json::Object(row)).map_err(fail)
    }

    /// Makes the rows durable; the file, if there are any.
    pub(super) fn finish(self) -> Result<(Option<PathBuf>, Vec<Reason>), OfflineError> {
        let Some(out) = self.out else { return Ok((None, self.reasons)) };
        let fail = |why: std::io::Error| write_error(&self.path, why);
        let out = out.into_inner().map_err(|why| fail(why.into_error()))?;
        whole::finish(out, &self.path).map_err(fail)?;
        Ok((Some(self.path), self.reasons))
    }
}

/// Why rows of a text do not parse, with their lines, one after the other.
fn told<'f>(
    found: &'f Found,
    copy: &SourceFile,
) -> Result<impl Iterator<Item = Result<(u64, Json), OfflineError>> + 'f, OfflineError> {
    let fail = |why: std::io::Error| read_error(&found.name, why);
    let reasons = copy.left_out.as_ref().map(|path| File::open(path).map_err(fail)).transpose()?;
    let lines = reasons.into_iter().flat_map(|reasons| BufReader::new(reasons).lines());
    Ok(lines.map(move |line| {
        let entry: Json = serde_json::from_str(&line.map_err(fail)?).map_err(|why| read_error(&found.name, why))?;
        Ok((entry["line"].as_u64().unwrap_or_default(), entry))
    }))
}

/// The text of a value as JSON has the value, so that what is right needs no correction; a wrong one stays as it is.
fn as_json(source: &Source, zone: Zone, name: &str, value: &mut Json) {
    let declared = source.columns.iter().find(|column| column.name == name);
    let (Some(column), Some(text)) = (declared, value.as_str()) else { return };
    let typed = of_text(text, column.dtype, zone).ok().and_then(|value| value.to_array(column.dtype, 1).ok());
    let json = typed.and_then(|typed| serde_json::to_value(Cell::new(typed.as_ref(), 0, column.dtype)).ok());
    if let Some(json) = json {
        *value = json;
    }
}

fn write_error(path: &Path, why: std::io::Error) -> OfflineError {
    OfflineError::Write { path: path.display().to_string(), source: why.into() }
}
