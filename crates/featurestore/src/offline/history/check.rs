//! A view's columns against those of its source's files, before any row is read.

use arrow::datatypes::{DataType, Schema};
use schema::Dtype;
use transform::cast;

use super::super::OfflineError;
use super::super::source::{SourceFile, SourceFiles};
use super::layout::Layout;

/// What has columns: a file, or a table, whose files all come to have the same.
#[derive(Clone, Copy)]
enum Holder<'h> {
    File(&'h SourceFile),
    Table { path: &'h str, schema: &'h Schema },
}

impl<'h> Holder<'h> {
    fn name(self) -> &'h str {
        match self {
            Self::File(file) => &file.name,
            Self::Table { path, .. } => path,
        }
    }

    fn type_of(self, column: &str) -> Option<DataType> {
        match self {
            Self::File(file) => file.type_of(column),
            Self::Table { schema, .. } => schema.field_with_name(column).ok().map(|field| field.data_type().clone()),
        }
    }
}

/// That every file has every column in a type that conforms. A feature, a created time or a deletion mark that only newer
/// files have is null in the older ones; keys, event times and sequences are in all of them. Of a table also a feature
/// that came later is a column of all.
pub(super) fn check(layout: &Layout, files: &SourceFiles, needed_by: &str) -> Result<(), OfflineError> {
    let holders: Vec<Holder<'_>> = match &files.table {
        Some(table) => vec![Holder::Table { path: &files.source.path, schema: &table.schema }],
        None => files.files.iter().map(Holder::File).collect(),
    };
    for file in holders {
        for (name, dtype) in &layout.keys {
            conforms(files, file, name, *dtype, present(file, name, needed_by)?)?;
        }
        let flag = layout.deleted.as_ref().map(|name| (name.clone(), Dtype::Bool));
        for (name, dtype) in layout.features.iter().chain(&flag) {
            if let Some(found) = file.type_of(name) {
                conforms(files, file, name, *dtype, found)?;
            }
        }
        is_time(file, &layout.event_time, &present(file, &layout.event_time, needed_by)?)?;
        if let Some(name) = &layout.created_time
            && let Some(found) = file.type_of(name)
        {
            is_time(file, name, &found)?;
        }
        if let Some(name) = &layout.sequence {
            let found = present(file, name, needed_by)?;
            if !found.is_integer() {
                let why = format!("it is {}, but a sequence is an integer", cast::describe(&found));
                return Err(refuse(file, name, why));
            }
        }
    }
    Ok(())
}

fn present(file: Holder<'_>, name: &str, needed_by: &str) -> Result<DataType, OfflineError> {
    file.type_of(name).ok_or_else(|| OfflineError::NoColumn {
        path: file.name().to_owned(),
        column: name.to_owned(),
        needed_by: needed_by.to_owned(),
        hint: "keys, event times and sequences are in all files of a source, also in those from before they were added"
            .to_owned(),
    })
}

fn conforms(
    files: &SourceFiles,
    file: Holder<'_>,
    name: &str,
    dtype: Dtype,
    found: DataType,
) -> Result<(), OfflineError> {
    if cast::conforms(&found, dtype) {
        return Ok(());
    }
    let source = &files.source;
    let guessed = source.format.is_text() && source.columns.iter().all(|column| column.name != name);
    let advice = if guessed {
        format!("; say so in the source: `columns: [{{name: {name}, type: \"{dtype}\"}}]`")
    } else {
        String::new()
    };
    let as_text = if guessed { " by its values" } else { "" };
    let why = format!("it is {}{as_text}, declared {dtype}{advice}", cast::describe(&found));
    // A type that was guessed has the values of all files, whichever of them made it so.
    match guessed && files.files.len() > 1 {
        true => Err(OfflineError::Column { path: source.path.clone(), column: name.to_owned(), why }),
        false => Err(refuse(file, name, why)),
    }
}

fn is_time(file: Holder<'_>, name: &str, found: &DataType) -> Result<(), OfflineError> {
    let text = Dtype::from_arrow(found);
    if *found == DataType::Null || matches!(text, Some(Dtype::Timestamp | Dtype::Date | Dtype::String)) {
        return Ok(());
    }
    Err(refuse(file, name, format!("it is {}, but a time is needed", cast::describe(found))))
}

fn refuse(file: Holder<'_>, name: &str, why: String) -> OfflineError {
    OfflineError::Column { path: file.name().to_owned(), column: name.to_owned(), why }
}
