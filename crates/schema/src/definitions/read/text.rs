//! What a source says of texts and of folders: separators, rows that do not parse, columns of both.

use std::collections::BTreeSet;

use super::{Column, Format, Mistakes};
use crate::definitions::BadRows;
use crate::yaml::{Mistake, Place, suggest};

/// One character that no field holds unquoted.
pub(super) fn delimiter(text: &str) -> Result<char, String> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some('"' | '\n' | '\r'), None) => Err("quotes and ends of lines cannot separate fields".to_owned()),
        (Some(one), None) if one.is_ascii() => Ok(one),
        _ => Err(format!(
            "`{}` is no delimiter; it is one ASCII character, such as ';', '|' or \"\\t\" in double quotes",
            text.escape_debug()
        )),
    }
}

pub(super) fn bad_rows(text: &str) -> Result<BadRows, String> {
    match text {
        "refuse" => Ok(BadRows::Refuse),
        "reject" => Ok(BadRows::Reject),
        other => {
            let hint = suggest(other, ["refuse", "reject"]);
            Err(format!("`{other}` is nothing that happens to bad rows; {hint}"))
        }
    }
}

/// What does not go together.
pub(super) fn check(
    format: Format,
    columns: &[Column],
    partitions: &[Column],
    delimiter: Option<char>,
    bad_rows: Option<BadRows>,
    place: &Place,
    mistakes: &mut Mistakes,
) {
    let mut wrong = |message: String, hint: &str| mistakes.push(Mistake::new(place, message).hint(hint));
    if delimiter.is_some() && format != Format::Csv {
        wrong("only CSV files have a `delimiter`".to_owned(), "leave it out, or say `format: csv`");
    }
    if bad_rows.is_some() && !format.is_text() {
        wrong("`bad_rows` is about texts, CSV and JSON lines".to_owned(), "leave it out, or say the format");
    }
    if !partitions.is_empty() && format == Format::Delta {
        wrong("a Delta table knows its own partitions".to_owned(), "leave `partitions` out");
    }
    let mut seen = BTreeSet::new();
    for column in columns.iter().chain(partitions) {
        if column.name.is_empty() {
            wrong("a column has no name".to_owned(), "name it as the files do");
        } else if !seen.insert(column.name.as_str()) {
            wrong(format!("column `{}` is declared twice", column.name), "a column of folders is none of the files");
        }
    }
    for column in partitions.iter().filter(|column| column.dtype.is_list()) {
        wrong(format!("partition `{}` is a list", column.name), "names of folders hold single values");
    }
}
