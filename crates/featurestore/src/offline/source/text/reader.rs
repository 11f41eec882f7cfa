//! A text of either form, row by row, as its values are written there.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;

use schema::definitions::{Format, Source};
use schema::{Dtype, Value};
use transform::cast::Zone;

use super::super::super::OfflineError;
use super::super::find::Found;
use super::super::read_error;
use super::{BadRow, Trouble, cell, csv, json_lines, of_text, stopped};

/// How a text holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Values between delimiters, the names of their columns in the first line.
    Csv { delimiter: char },
    /// A JSON object a line.
    JsonLines,
}

impl Form {
    /// That of a source of texts.
    pub(crate) fn of(source: &Source) -> Self {
        match source.format {
            Format::JsonLines => Self::JsonLines,
            Format::Csv | Format::Parquet | Format::Delta => Self::Csv { delimiter: source.delimiter.unwrap_or(',') },
        }
    }
}

/// A text, row by row.
pub(super) enum Reader {
    Csv { records: csv::Records<BufReader<Whole>>, header: Vec<String> },
    JsonLines(json_lines::Lines<BufReader<Whole>>),
}

/// A file that gives as many bytes as it has. A disk that ends it before is an error: a text has no end of its own, so it
/// would be fewer rows, the last of them with half a number.
#[derive(Debug)]
pub(super) struct Whole {
    file: File,
    /// Bytes that are still to come.
    left: u64,
}

impl Whole {
    fn of(file: File) -> io::Result<Self> {
        let left = file.metadata()?.len();
        Ok(Self { file, left })
    }
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        if n == 0 && !buffer.is_empty() && self.left > 0 {
            let why = format!("the disk gives it without its last {} bytes", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

/// A value as its text has it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'t> {
    Text(&'t str),
    Json(&'t str),
}

impl Cell<'_> {
    /// The value of a type that it says.
    ///
    /// # Errors
    /// A sentence that names the text and the type.
    pub(crate) fn read(self, dtype: Dtype, zone: Zone) -> Result<Value, String> {
        match self {
            Self::Text(text) => of_text(text, dtype, zone),
            Self::Json(raw) => cell::of_json(raw, dtype, zone),
        }
    }
}

impl Reader {
    pub(super) fn open(source: &Source, file: &Found) -> Result<Self, OfflineError> {
        let opened = file.open().map_err(|why| read_error(&file.name, why))?;
        Self::over(opened, Form::of(source)).map_err(|trouble| stopped(source, file, trouble))
    }

    /// Reads a file, of CSV its header first. Troubles with that are the file's.
    pub(super) fn over(file: File, form: Form) -> Result<Self, Trouble> {
        let input = BufReader::with_capacity(1 << 16, Whole::of(file)?);
        let delimiter = match form {
            Form::JsonLines => return Ok(Self::JsonLines(json_lines::Lines::new(input))),
            Form::Csv { delimiter } => delimiter,
        };
        let mut records = csv::Records::new(input, delimiter);
        let fail = |line: u64, why: String| Err(Trouble::File { line, why });
        let header = match records.next() {
            Ok(Some(header)) => header,
            Ok(None) => {
                return fail(1, "the file is empty: a CSV file starts with the names of its columns".to_owned());
            }
            Err(Trouble::Bad(row)) => return fail(row.line, format!("the names of columns: {}", row.why)),
            Err(trouble) => return Err(trouble),
        };
        let line = header.line;
        let mut names: Vec<String> = Vec::with_capacity(header.fields.len());
        for (i, name) in header.fields.into_iter().enumerate() {
            match name {
                Some(name) if names.contains(&name) => return fail(line, format!("two columns are called `{name}`")),
                Some(name) => names.push(name),
                None => return fail(line, format!("column {} has no name", i + 1)),
            }
        }
        Ok(Self::Csv { records, header: names })
    }

    /// Where the row stands that was read last, in bytes of the file, and its text.
    pub(super) fn last(&self) -> (Range<u64>, &[u8]) {
        match self {
            Self::Csv { records, .. } => (records.bytes(), records.text()),
            Self::JsonLines(lines) => (lines.bytes(), lines.text()),
        }
    }

    /// Hands on the values of the next row that are not null; its line, `None` at the end.
    pub(super) fn next(&mut self, mut each: impl FnMut(&str, Cell<'_>)) -> Result<Option<u64>, Trouble> {
        match self {
            Self::Csv { records, header } => {
                let Some(record) = records.next()? else { return Ok(None) };
                let (n, wanted) = (record.fields.len(), header.len());
                if n != wanted {
                    let why = format!("it has {n} fields, and the file {wanted} columns");
                    return Err(Trouble::Bad(BadRow::new(record.line, &why)));
                }
                for (name, field) in header.iter().zip(&record.fields) {
                    if let Some(text) = field {
                        each(name, Cell::Text(text));
                    }
                }
                Ok(Some(record.line))
            }
            Self::JsonLines(lines) => {
                let Some(line) = lines.next()? else { return Ok(None) };
                line.entries.iter().for_each(|(name, raw)| each(name, Cell::Json(raw)));
                Ok(Some(line.line))
            }
        }
    }
}
