//! Tables under test: one of three columns in a folder of its own.

mod damage;
mod hazards;
mod killed;
mod model;
mod through_source;
mod vacuumed;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Int64Type, TimestampNanosecondType};
use schema::{Dtype, EntityKey, Timestamp};
use tempfile::TempDir;

use super::*;

/// A row: key, nanoseconds of its time, text.
type Row = (i64, i64, String);

struct Fixture {
    folder: TempDir,
    table: Table,
}

fn columns() -> Vec<TableColumn> {
    [("user", Dtype::Int64), ("at", Dtype::Timestamp), ("note", Dtype::String)]
        .map(|(name, dtype)| TableColumn { name: name.to_owned(), dtype })
        .to_vec()
}

fn arrays(rows: &[Row]) -> Vec<ArrayRef> {
    vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.1)).collect::<TimestampNanosecondArray>().with_timezone("UTC")),
        Arc::new(rows.iter().map(|row| Some(row.2.as_str())).collect::<StringArray>()),
    ]
}

fn silent(_: &str) {}

fn row(user: i64) -> Row {
    (user, user * 1_000_000_007 + 1, format!("note of {user}"))
}

fn rows(users: std::ops::Range<i64>) -> Vec<Row> {
    users.map(row).collect()
}

fn keys(users: &[i64]) -> KeySet {
    let column: ArrayRef = Arc::new(users.iter().copied().collect::<Int64Array>());
    let keys: HashSet<EntityKey> = EntityKey::from_columns(&[column], users.len()).into_iter().flatten().collect();
    KeySet { columns: vec![("user".to_owned(), Dtype::Int64)], keys }
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let table = Table::at(folder.path(), "t").unwrap();
        table.create(&columns()).unwrap();
        Self { folder, table }
    }

    /// Of so many commits of two rows each.
    fn of_commits(n: i64) -> Self {
        let fixture = Self::new();
        for i in 0..n {
            fixture.table.add(&rows(2 * i..2 * i + 2)).unwrap();
        }
        fixture
    }
}

impl Table {
    fn add(&self, rows: &[Row]) -> Result<Appended, TableError> {
        let mut appender = self.appender(None, &silent)?.unwrap();
        appender.push(&arrays(rows))?;
        appender.commit(json!({}))
    }

    /// All rows with their arrival numbers, in the order in which a source reads them.
    fn rows(&self, version: Option<u64>) -> Result<Vec<(i64, Row)>, TableError> {
        let snapshot = self.log.load(version)?;
        let (_, files) = self.open_files(Path::new(""), &snapshot)?;
        let names = ["user", "at", "note", ARRIVAL_COLUMN];
        let mut all = Vec::new();
        for file in files {
            let opened = file.reopen().unwrap();
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(opened).unwrap();
            let reader = reader.with_projection(file.mask(&names)).build().unwrap();
            for batch in reader {
                let batch = file.shaped(&names, batch.unwrap()).unwrap();
                let column = |name: &str| batch.column_by_name(name).unwrap();
                for i in 0..batch.num_rows() {
                    let user = column("user").as_primitive::<Int64Type>().value(i);
                    let at = column("at").as_primitive::<TimestampNanosecondType>().value(i);
                    let note = column("note").as_string::<i32>().value(i).to_owned();
                    all.push((column(ARRIVAL_COLUMN).as_primitive::<Int64Type>().value(i), (user, at, note)));
                }
            }
        }
        Ok(all)
    }

    fn users(&self) -> Vec<i64> {
        self.rows(None).unwrap().into_iter().map(|(_, row)| row.0).collect()
    }

    /// Files of rows on the disk.
    fn n_files_on_disk(&self) -> usize {
        let entries = std::fs::read_dir(&self.root).unwrap().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "parquet")).count()
    }
}
