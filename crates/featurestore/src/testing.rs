//! What tests of many areas start with: a project of one text, and a file of rows.

use std::path::Path;

use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use schema::definitions::File;
use schema::{AppliedDefinitions, Definitions};

/// A project's definitions.
#[track_caller]
pub(crate) fn declared(text: impl Into<String>) -> Definitions {
    let file = File { path: "p.yaml".to_owned(), text: text.into() };
    Definitions::read(&[file]).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// A project's definitions, applied for the first time.
#[track_caller]
pub(crate) fn applied(text: impl Into<String>) -> AppliedDefinitions {
    AppliedDefinitions::default().after(&declared(text))
}

/// Writes rows as Parquet.
pub(crate) fn parquet(path: &Path, rows: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}
