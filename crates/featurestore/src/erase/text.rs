//! Sources that are texts, a row a line: CSV with a header, and JSON lines. Lines that stay keep their bytes.

use std::io::Write;
use std::path::Path;

use schema::BoxError;
use serde_json::Value as Json;

use super::{Rows, Subject};
use crate::offline::OfflineError;
use crate::offline::whole::sync_folder;

/// How a text holds rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Comma-separated, names in the first line.
    Csv,
    /// A JSON object a line.
    Json,
}

/// As [`super::files::count`], for texts.
///
/// # Errors
/// [`OfflineError::Read`] if it cannot be read.
pub fn count(
    path: &Path,
    lines: Lines,
    subject: &Subject,
    lists: &[Vec<String>],
) -> Result<Option<Rows>, OfflineError> {
    let text = std::fs::read(path).map_err(|why| failed(path, why.into()))?;
    Ok(sort(&text, lines, subject, lists).map(|(rows, _)| rows))
}

/// As [`super::files::rewrite`], for texts.
///
/// # Errors
/// [`OfflineError::Read`] or [`OfflineError::Write`]; the file then is as it was.
pub fn rewrite(path: &Path, lines: Lines, subject: &Subject, lists: &[Vec<String>]) -> Result<Rows, OfflineError> {
    let text = std::fs::read(path).map_err(|why| failed(path, why.into()))?;
    let Some((rows, kept)) = sort(&text, lines, subject, lists) else { return Ok(Rows::default()) };
    if rows.n_found > 0 {
        let write = || -> Result<(), BoxError> {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut out = tempfile::Builder::new().prefix(".erasing-").tempfile_in(folder)?;
            out.as_file_mut().write_all(&kept)?;
            out.as_file().set_permissions(std::fs::metadata(path)?.permissions())?;
            out.as_file().sync_all()?;
            out.persist(path)?;
            Ok(sync_folder(folder)?)
        };
        write().map_err(|source| OfflineError::Write { path: path.display().to_string(), source })?;
    }
    Ok(rows)
}

fn failed(path: &Path, why: BoxError) -> OfflineError {
    crate::offline::source::read_error(&path.display().to_string(), why)
}

/// The rows, and the text without those of the subject; `None` if the text has the columns of none of `lists`.
fn sort(text: &[u8], lines: Lines, subject: &Subject, lists: &[Vec<String>]) -> Option<(Rows, Vec<u8>)> {
    let names = subject.names();
    let wanted: Vec<&str> = names.iter().map(|name| subject.text(name).unwrap_or_default()).collect();
    let (mut rows, mut kept) = (Rows::default(), Vec::with_capacity(text.len()));
    match lines {
        Lines::Csv => {
            let mut records = records(text);
            let header = records.next()?;
            let columns = cells(header);
            let place = |name: &String| columns.iter().position(|column| column == name);
            let lists: Vec<Vec<usize>> =
                lists.iter().filter_map(|list| list.iter().map(place).collect::<Option<_>>()).collect();
            if lists.is_empty() {
                return None;
            }
            kept.extend(header);
            for record in records {
                let cells = cells(record);
                let cell = |at: &usize| cells.get(*at).map(String::as_str);
                let found = lists.iter().any(|list| list.iter().map(cell).eq(wanted.iter().map(|text| Some(*text))));
                rows += Rows { n_rows: 1, n_found: u64::from(found) };
                if !found {
                    kept.extend(record);
                }
            }
        }
        Lines::Json => {
            let mut known = false;
            for line in text.split_inclusive(|byte| *byte == b'\n') {
                let json: Option<Json> = serde_json::from_slice(line).ok();
                let value = |name: &String| Some(plain(json.as_ref()?.get(name)?));
                let values = |list: &Vec<String>| list.iter().map(value).collect::<Option<Vec<String>>>();
                let there: Vec<Vec<String>> = lists.iter().filter_map(values).collect();
                known |= !there.is_empty();
                let found = there.iter().any(|values| values.iter().map(String::as_str).eq(wanted.iter().copied()));
                rows += Rows { n_rows: u64::from(json.is_some()), n_found: u64::from(found) };
                if !found {
                    kept.extend(line);
                }
            }
            if !known {
                return None;
            }
        }
    }
    Some((rows, kept))
}

fn plain(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The records of a CSV text with the ends of their lines; a quoted cell may hold line ends.
fn records(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut quoted = false;
        let ends = |byte: &u8| {
            quoted ^= *byte == b'"';
            *byte == b'\n' && !quoted
        };
        let end = rest.iter().position(ends).map_or(rest.len(), |at| at + 1);
        let (record, tail) = rest.split_at(end);
        rest = tail;
        Some(record)
    })
}

/// The cells of a record, without quotes.
fn cells(record: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(record);
    let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
    let mut cells = vec![String::new()];
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cells.last_mut().expect("there is always a cell").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().expect("there is always a cell").push(c),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject::new(vec![("user_id".to_owned(), "42".to_owned())])
    }

    fn check(lines: Lines, text: &str, n_found: u64, kept: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        std::fs::write(&path, text).unwrap();
        let lists = [vec!["user_id".to_owned()], vec!["customer".to_owned()]];
        let counted = count(&path, lines, &subject(), &lists).unwrap().unwrap_or_default();
        assert_eq!(rewrite(&path, lines, &subject(), &lists).unwrap(), counted);
        assert_eq!((counted.n_found, std::fs::read_to_string(&path).unwrap().as_str()), (n_found, kept));
    }

    #[test]
    fn lines_of_the_subject_go_and_others_keep_their_bytes() {
        let text = "user_id,note\r\n42,\"a, \"\"b\"\"\nand 43\"\r\n43,\"42\"\n\"42\",x\n142,y";
        check(Lines::Csv, text, 2, "user_id,note\r\n43,\"42\"\n142,y");
        check(Lines::Csv, "note,customer\n42,7\n7,42\n", 1, "note,customer\n42,7\n");
        check(Lines::Csv, "a,b\n42,42\n", 0, "a,b\n42,42\n");
        let json = "{\"user_id\": 42}\n{\"user_id\":\"42\", \"x\": 1}\n{\"user_id\": 421}\nnot json\n";
        check(Lines::Json, json, 2, "{\"user_id\": 421}\nnot json\n");
    }
}
