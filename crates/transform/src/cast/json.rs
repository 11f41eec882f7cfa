//! JSON: texts are brought to their canonical form, structs, maps and lists are written as it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use schema::json::{Cell, canonical};

use super::{CastError, cast};

/// A column of texts, structs, maps or lists as canonical JSON.
pub(super) fn json(column: &ArrayRef) -> Result<ArrayRef, CastError> {
    let texts: Result<StringArray, CastError> = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(column, &DataType::Utf8)?;
            let read =
                |text: Option<&str>| text.map(|text| canonical(text).map_err(|why| wrong(text, why))).transpose();
            texts.as_string::<i32>().iter().map(read).collect()
        }
        _ => (0..column.len()).map(|row| written(column, row)).collect(),
    };
    Ok(Arc::new(texts?))
}

fn written(column: &ArrayRef, row: usize) -> Result<Option<String>, CastError> {
    if column.is_null(row) {
        return Ok(None);
    }
    let text = serde_json::to_string(&Cell::of_arrow(column, row)).map_err(CastError::value)?;
    canonical(&text).map(Some).map_err(CastError::value)
}

fn wrong(text: &str, why: impl std::fmt::Display) -> CastError {
    const LETTERS: usize = 60;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = text.chars().take(LETTERS).map(plain).collect();
    let more = if text.chars().count() > LETTERS { "…" } else { "" };
    CastError::value(format!("the text `{shown}{more}` is {why}"))
}
