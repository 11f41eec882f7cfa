//! Sources that are texts, CSV and JSON lines: read as history reads them, so that whoever is a person there is one here.
//!
//! Lines that stay keep their bytes. A line that is no row says of nobody who they are, and is never removed: one that
//! names the person is told.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use schema::definitions::Source;
use schema::{BoxError, Dtype, FeatureView, Value};
use transform::cast::Zone;

use super::subject::typed;
use super::{Folders, Rows, Subject, folders};
use crate::offline::OfflineError;
use crate::offline::source::{self, Cell, Form};
use crate::offline::whole;

/// Lines that are told, of those that are no rows and name the person.
const TOLD: usize = 5;

/// Whose rows, and how they are read.
#[derive(Debug)]
pub struct Wanted<'a> {
    subject: &'a Subject,
    /// For each of its names the types that view versions give the key, and the value in each.
    values: Vec<Vec<(Dtype, Value)>>,
    form: Form,
    zone: Zone,
    folders: Folders,
}

/// What a text has of a subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Its rows.
    pub rows: Rows,
    /// The first lines that are no rows, and name it.
    pub unclear: Vec<u64>,
}

impl<'a> Wanted<'a> {
    /// The subject's rows in texts of a source; `views` are those whose keys have the subject's.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if the source's time zone is unknown.
    pub fn new(subject: &'a Subject, views: &[&FeatureView], source: &Source) -> Result<Self, OfflineError> {
        let zone = Zone::named(source.timezone.as_deref()).map_err(|why| source::read_error(&source.path, why))?;
        let dtypes = |name: &String| {
            let keys = views.iter().flat_map(|view| view.keys()).filter(|key| key.name.as_str() == name);
            let mut dtypes: Vec<Dtype> = Vec::new();
            for key in keys {
                if !dtypes.contains(&key.dtype) {
                    dtypes.push(key.dtype);
                }
            }
            let text = subject.text(name).unwrap_or_default();
            let value = |dtype: Dtype| Some((dtype, typed(text, dtype)?.canonical(dtype).ok()?));
            dtypes.into_iter().filter_map(value).collect()
        };
        Ok(Self {
            subject,
            values: subject.names().iter().map(dtypes).collect(),
            form: Form::of(source),
            zone,
            folders: Folders::NONE,
        })
    }

    /// The same in JSON lines, whatever the source is: quarantined rows.
    #[must_use]
    pub fn in_json_lines(self) -> Self {
        Self { form: Form::JsonLines, ..self }
    }

    /// The same in a file whose folders have columns too.
    #[must_use]
    pub fn in_folders(self, folders: Folders) -> Self {
        Self { folders, ..self }
    }

    /// Whether a value is the subject's, of its name at a place: the same value of the key's type, or the same letters.
    fn is_value(&self, at: usize, cell: Cell<'_>) -> bool {
        let text = self.subject.text_at(at);
        let is_same = match cell {
            Cell::Text(found) => found == text,
            Cell::Json(raw) => raw == text || serde_json::from_str::<String>(raw).is_ok_and(|found| found == text),
        };
        let is_equal = |(dtype, value): &(Dtype, Value)| {
            let found = cell.read(*dtype, self.zone).and_then(|found| found.canonical(*dtype));
            found.is_ok_and(|found| found == *value)
        };
        is_same || self.values[at].iter().any(is_equal)
    }

    /// Whether a line that is no row has all its texts, each as a word.
    fn is_named(&self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        let is_word = |text: &str| {
            let mut found = line.match_indices(text);
            !text.is_empty()
                && found.any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    let after = line[at + text.len()..].chars().next();
                    ![before, after].iter().flatten().any(|c| c.is_alphanumeric() || *c == '_')
                })
        };
        (0..self.values.len()).all(|at| is_word(self.subject.text_at(at)))
    }
}

/// The rows of a text that are a subject's: those with its values in one of `lists`, each with a column for each of the
/// subject's names.
///
/// `None` if the text has the columns of none of them. One that is the subject's by its folders counts as a row at least.
///
/// # Errors
/// [`OfflineError::Read`] if it is no such text.
pub fn count(path: &Path, wanted: &Wanted<'_>, lists: &[Vec<String>]) -> Result<Option<Found>, OfflineError> {
    Ok(search(path, wanted, lists)?.map(|(found, _)| found))
}

/// Writes a text without the rows that [`count`] counts; a text without such rows is not touched, and one of which its
/// folders say that all of it is the subject's is removed.
///
/// # Errors
/// [`OfflineError::Read`] or [`OfflineError::Write`]; the file then is as it was.
pub fn rewrite(path: &Path, wanted: &Wanted<'_>, lists: &[Vec<String>]) -> Result<Found, OfflineError> {
    let Some((found, theirs)) = search(path, wanted, lists)? else { return Ok(Found::default()) };
    if wanted.folders.are(wanted.subject, lists) {
        folders::remove(path)?;
    } else if found.rows.n_found > 0 {
        without(path, &theirs).map_err(|source| OfflineError::Write { path: path.display().to_string(), source })?;
    }
    Ok(found)
}

/// Where a subject's rows stand, in bytes from the start of the file, in order.
type Theirs = Vec<Range<u64>>;

/// What there is, and where.
fn search(path: &Path, wanted: &Wanted<'_>, lists: &[Vec<String>]) -> Result<Option<(Found, Theirs)>, OfflineError> {
    let mut rows = source::Rows::open(path, wanted.form)?;
    let is_whole = wanted.folders.are(wanted.subject, lists);
    let in_folder = |name: &str| wanted.folders.is(name, "").is_some();
    let has = |names: &[String], list: &Vec<String>| list.iter().all(|name| names.contains(name) || in_folder(name));
    // What folders say holds in every row.
    let of_folder = |(at, name): (usize, &String)| {
        wanted.folders.is(name, wanted.subject.text_at(at)).map_or((false, false), |is_equal| (true, is_equal))
    };
    let nothing: Vec<Vec<(bool, bool)>> =
        lists.iter().map(|list| list.iter().enumerate().map(of_folder).collect()).collect();
    let mut known = rows.header().is_some_and(|header| lists.iter().any(|list| has(header, list)));
    if rows.header().is_some() && !known {
        return Ok(None);
    }
    let (mut found, mut theirs) = (Found::default(), Theirs::new());
    loop {
        // By list and name: whether the column is there, and whether it has the subject's value.
        let mut met = nothing.clone();
        let place = rows.next(|name, cell| {
            // What a folder says is said of every row, whatever a column of its name has.
            if in_folder(name) {
                return;
            }
            for (list, met) in lists.iter().zip(&mut met) {
                for (at, _) in list.iter().enumerate().filter(|(_, column)| *column == name) {
                    met[at] = (true, wanted.is_value(at, cell));
                }
            }
        })?;
        let Some(place) = place else { break };
        if !place.is_row {
            if !is_whole && found.unclear.len() < TOLD && wanted.is_named(rows.text()) {
                found.unclear.push(place.line);
            }
            continue;
        }
        known |= met.iter().any(|met| met.iter().all(|(is_there, _)| *is_there));
        let is_theirs = met.iter().any(|met| met.iter().all(|(_, is_equal)| *is_equal));
        found.rows += Rows { n_rows: 1, n_found: u64::from(is_theirs) };
        if is_theirs {
            theirs.push(place.bytes);
        }
    }
    if is_whole {
        // Without rows, or with such as nobody reads, the folder still names them.
        found.rows.n_found = found.rows.n_found.max(1);
        known = true;
    }
    Ok(known.then_some((found, theirs)))
}

/// Writes the file anew without some of its bytes.
fn without(path: &Path, left_out: &[Range<u64>]) -> Result<(), BoxError> {
    let mut input = BufReader::new(File::open(path)?);
    let permissions = input.get_ref().metadata()?.permissions();
    let mut out = whole::begin_erasing(whole::folder_of(path))?;
    let mut from = 0;
    for bytes in left_out {
        input.seek(SeekFrom::Start(from))?;
        std::io::copy(&mut input.by_ref().take(bytes.start - from), out.as_file_mut())?;
        from = bytes.end;
    }
    input.seek(SeekFrom::Start(from))?;
    std::io::copy(&mut input, out.as_file_mut())?;
    out.as_file().set_permissions(permissions)?;
    Ok(whole::finish(out, path)?)
}

#[cfg(test)]
mod tests;
