//! The columns of a source's files taken together, under the BACKWARD rule: what reads the newest file reads all of them.
//!
//! A column that only newer files have is null in the older ones. One that a newer file lacks, or has in a type that is
//! not exactly the same or wider, is an error that names both files.

use arrow::datatypes::{DataType, Schema};
use schema::Dtype;
use schema::definitions::{Column, Source};
use transform::cast::{conforms, describe};

use super::super::OfflineError;
use super::SourceFile;

/// A column of a source.
#[derive(Debug, Clone)]
pub struct SourceColumn {
    /// Its name in the files.
    pub in_file: String,
    /// Its name in the product.
    pub name: String,
    /// Its type, where all files have one; else the dtype that has all their values.
    pub arrow: DataType,
}

/// A column, and the file that had it last.
struct Met<'f> {
    name: &'f str,
    arrow: DataType,
    file: &'f SourceFile,
}

/// The columns of all files, in the order in which they first come; partitions last.
pub(super) fn unite(source: &Source, files: &[SourceFile]) -> Result<Vec<SourceColumn>, OfflineError> {
    let mut met: Vec<Met<'_>> = Vec::new();
    for file in files {
        let schema = file.metadata.schema();
        for known in &mut met {
            let Ok(field) = schema.field_with_name(known.name) else {
                let was = describe(&known.arrow);
                return Err(differ(
                    source,
                    known.name,
                    &format!("it is {was} in `{}` and missing", known.file.name),
                    file,
                ));
            };
            let found = field.data_type();
            let Some(both) = wider(&known.arrow, found) else {
                let (was, is) = (describe(&known.arrow), describe(found));
                return Err(differ(
                    source,
                    known.name,
                    &format!("it is {was} in `{}` and {is}", known.file.name),
                    file,
                ));
            };
            (known.arrow, known.file) = (both, file);
        }
        for field in schema.fields() {
            if met.iter().all(|known| known.name != field.name()) {
                met.push(Met { name: field.name(), arrow: field.data_type().clone(), file });
            }
        }
    }
    declared(source, files, &mut met)?;
    let file = files.last().map(|file| file.name.as_str()).unwrap_or_default();
    let constants = files.first().map(|file| file.constants.as_slice()).unwrap_or_default();
    let partitions = constants.iter().map(|constant| (constant.column.as_str(), constant.dtype.to_arrow()));
    let in_files = met.iter().map(|known| (known.name, known.arrow.clone()));
    renamed(source, file, in_files.chain(partitions))
}

/// The columns of a table, without the one that numbers its rows.
pub(super) fn of_table(
    source: &Source,
    schema: &Schema,
    numbers: Option<&str>,
) -> Result<Vec<SourceColumn>, OfflineError> {
    let fields = schema.fields().iter().filter(|field| Some(field.name().as_str()) != numbers);
    renamed(source, &source.path, fields.map(|field| (field.name().as_str(), field.data_type().clone())))
}

/// Columns with the product's names.
fn renamed<'c>(
    source: &Source,
    path: &str,
    found: impl Iterator<Item = (&'c str, DataType)>,
) -> Result<Vec<SourceColumn>, OfflineError> {
    let mut columns: Vec<SourceColumn> = Vec::new();
    for (in_file, arrow) in found {
        if columns.iter().any(|known| known.in_file == in_file) {
            let why = "it is a partition, and in the file too: leave it out of `partitions`, or out of the files";
            return Err(column_error(path, in_file, why));
        }
        let name = source.field_mapping.get(in_file).map_or(in_file, String::as_str);
        if let Some(other) = columns.iter().find(|known| known.name == name) {
            let why = format!("after `field_mapping` it is called `{name}`, and so is `{}`", other.in_file);
            return Err(column_error(path, in_file, &why));
        }
        columns.push(SourceColumn { in_file: in_file.to_owned(), name: name.to_owned(), arrow });
    }
    Ok(columns)
}

/// Brings what the source declares to bear.
fn declared(source: &Source, files: &[SourceFile], met: &mut [Met<'_>]) -> Result<(), OfflineError> {
    for Column { name, dtype } in &source.columns {
        let Some(known) = met.iter_mut().find(|known| known.name == name) else {
            let names =
                files.iter().flat_map(|file| file.metadata.schema().fields()).map(|field| field.name().as_str());
            return Err(OfflineError::NoColumn {
                path: files.last().map(|file| file.name.clone()).unwrap_or_default(),
                column: name.clone(),
                needed_by: format!("source `{}`", source.name),
                hint: schema::yaml::suggest(name, names.collect::<std::collections::BTreeSet<_>>()),
            });
        };
        if !conforms(&known.arrow, *dtype) {
            let why = format!("it is {}, declared {dtype} in source `{}`", describe(&known.arrow), source.name);
            return Err(column_error(&known.file.name, name, &why));
        }
        known.arrow = dtype.to_arrow();
    }
    Ok(())
}

/// The type that has the values of both: one of theirs, exactly.
fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    if a == b || *b == DataType::Null {
        return Some(a.clone());
    }
    if *a == DataType::Null {
        return Some(b.clone());
    }
    let (a, b) = (Dtype::from_arrow(a)?, Dtype::from_arrow(b)?);
    let both = if a.widens_to(b) { Some(b) } else { b.widens_to(a).then_some(a) };
    both.map(Dtype::to_arrow)
}

fn differ(source: &Source, column: &str, what: &str, file: &SourceFile) -> OfflineError {
    let (source_name, column) = (source.name.to_string(), column.to_owned());
    OfflineError::Schemas { source_name, column, why: format!("{what} in `{}`", file.name) }
}

fn column_error(path: &str, column: &str, why: &str) -> OfflineError {
    OfflineError::Column { path: path.to_owned(), column: column.to_owned(), why: why.to_owned() }
}
