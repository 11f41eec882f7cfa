//! The rows of a text and where they stand in it, for whoever changes the text.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use super::super::read_error;
use super::reader::Reader;
use super::{Cell, Form, OfflineError, Trouble};

/// The rows of a text, bad ones too.
pub(crate) struct Rows {
    name: String,
    reader: Reader,
}

/// Where a row of a text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// With its line end, in bytes from the start of the file.
    pub(crate) bytes: Range<u64>,
    /// The line on which it starts, from 1.
    pub(crate) line: u64,
    /// Whether it is a row; the values of one that is not are not known.
    pub(crate) is_row: bool,
}

impl Rows {
    /// Opens a text.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if it cannot be read, or a CSV has no header.
    pub(crate) fn open(path: &Path, form: Form) -> Result<Self, OfflineError> {
        let name = path.display().to_string();
        let opened = File::open(path).map_err(Trouble::Io).and_then(|file| Reader::over(file, form));
        let reader = opened.map_err(|why| failed(&name, why))?;
        Ok(Self { name, reader })
    }

    /// The names of a CSV's columns; of JSON lines each row has its own.
    pub(crate) fn header(&self) -> Option<&[String]> {
        match &self.reader {
            Reader::Csv { header, .. } => Some(header),
            Reader::JsonLines(_) => None,
        }
    }

    /// Hands on the values of the next row that are not null; where it stands, `None` at the end.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if the text cannot be read, or from here on holds no rows.
    pub(crate) fn next(&mut self, each: impl FnMut(&str, Cell<'_>)) -> Result<Option<Place>, OfflineError> {
        let (line, is_row) = match self.reader.next(each) {
            Ok(None) => return Ok(None),
            Ok(Some(line)) => (line, true),
            Err(Trouble::Bad(row)) => (row.line, false),
            Err(trouble) => return Err(failed(&self.name, trouble)),
        };
        Ok(Some(Place { bytes: self.reader.last().0, line, is_row }))
    }

    /// The row that was read last, as it stands there.
    pub(crate) fn text(&self) -> &[u8] {
        self.reader.last().1
    }
}

fn failed(name: &str, trouble: Trouble) -> OfflineError {
    match trouble {
        Trouble::Io(why) => read_error(name, why),
        Trouble::File { line, why } => read_error(name, format!("line {line}: {why}")),
        Trouble::Bad(row) => read_error(name, format!("line {}: {}", row.line, row.why)),
    }
}
