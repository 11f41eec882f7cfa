//! The source of a history: files of any format or a Delta table, and what it is expected to hold.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use featurestore::OfflineStore;
use featurestore::offline::table::{KeySet, Table, TableError};
use parquet::arrow::ArrowWriter;
use schema::EntityKey;
use schema::definitions::{Format, Source as Declared};

use super::rows::{Row, held, keys, text};
use super::shape::Shape;

#[derive(Debug)]
pub(super) struct Source {
    folder: PathBuf,
    /// By file; of a table all of them are one.
    files: Vec<Vec<Row>>,
    /// What a table held, by version.
    versions: Vec<(u64, Vec<Row>)>,
    /// Rows that there ever were.
    n_rows: i64,
    /// How many versions there were when files of older ones were taken away.
    n_swept: usize,
}

pub(super) const SILENT: &dyn Fn(&str) = &|_| {};

impl Source {
    pub(super) fn new(folder: &Path) -> Self {
        std::fs::create_dir(folder.join("rows")).unwrap();
        Self { folder: folder.to_owned(), files: Vec::new(), versions: Vec::new(), n_rows: 0, n_swept: 0 }
    }

    /// What it holds, in the order in which it arrived.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.files.iter().flatten()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A table has taken rows.
    pub(super) fn grew(&mut self, rows: Vec<Row>, version: u64) {
        self.files.resize(1, Vec::new());
        self.files[0].extend(rows);
        self.note(version);
    }

    /// Rows that are about to arrive, each with a number that no other has.
    pub(super) fn numbered(&mut self, mut rows: Vec<Row>) -> Vec<Row> {
        for row in &mut rows {
            row.number = (row.number << 16) + self.n_rows;
            self.n_rows += 1;
        }
        rows
    }

    /// Rows arrive in files; in a table by what is in `ingesting.rs`.
    pub(super) fn arrive(&mut self, shape: &Shape, rows: Vec<Row>) {
        let rows = self.numbered(rows);
        if self.files.is_empty() {
            self.files.push(rows);
            // What has the last column must be there, or no file has it.
            self.files.extend(shape.widens.then(Vec::new));
        } else if shape.grows {
            self.files.push(rows);
            return self.write(shape, self.files.len() - 1);
        } else {
            self.files[0].extend(rows);
        }
        self.write_all(shape);
    }

    /// Every row through `with`, in its place; `None` takes it out.
    pub(super) fn rewrite(&mut self, shape: &Shape, declared: &Declared, with: impl Fn(Row) -> Option<Row>) {
        for file in &mut self.files {
            *file = std::mem::take(file).into_iter().filter_map(&with).collect();
        }
        if shape.format == Format::Delta {
            self.replace(shape, declared);
        } else {
            self.write_all(shape);
        }
    }

    pub(super) fn drop_person(&mut self, shape: &Shape, offline: &OfflineStore, declared: &Declared, who: usize) {
        let key = key_of(shape, who);
        if shape.format != Format::Delta {
            return self.rewrite(shape, declared, |row| (key_of(shape, row.who) != key).then_some(row));
        }
        let table = offline.table(declared).unwrap();
        if table.exists() {
            let columns =
                shape.keys.iter().enumerate().map(|(i, dtype)| (shape.in_file(&format!("k{i}")), *dtype)).collect();
            let lease = table.lease(SILENT).unwrap();
            let before = self.rows().count();
            let done = table.delete_keys(KeySet { columns, keys: HashSet::from([key.clone()]) }, &lease).unwrap();
            self.files[0].retain(|row| key_of(shape, row.who) != key);
            assert_eq!(done.n_rows, (before - self.rows().count()) as u64);
            self.note(done.version);
        }
    }

    pub(super) fn overwrite(&mut self, shape: &Shape, offline: &OfflineStore, declared: &Declared, rows: Vec<Row>) {
        let rows = self.numbered(rows);
        if shape.format == Format::Delta {
            if offline.table(declared).unwrap().exists() {
                self.files = vec![rows];
                self.replace(shape, declared);
            }
            return;
        }
        for at in 0..self.files.len() {
            std::fs::remove_file(self.path(shape, at)).unwrap();
        }
        self.files = vec![rows];
        self.files.extend(shape.widens.then(Vec::new));
        self.write_all(shape);
    }

    pub(super) fn compact(&mut self, offline: &OfflineStore, declared: &Declared) {
        let table = offline.table(declared).unwrap();
        if declared.format == Format::Delta && table.exists() {
            let done = table.compact(u64::MAX, &table.lease(SILENT).unwrap()).unwrap();
            self.note(done.version);
        }
    }

    pub(super) fn restore(&mut self, offline: &OfflineStore, declared: &Declared, at: u8) {
        if self.versions.is_empty() {
            return;
        }
        let at = usize::from(at) % self.versions.len();
        let (version, rows) = self.versions[at].clone();
        let table = offline.table(declared).unwrap();
        match table.restore(version, &table.lease(SILENT).unwrap()) {
            Ok(now) => {
                self.files = vec![rows];
                self.note(now);
            }
            Err(TableError::DataFile { .. }) => assert!(at < self.n_swept, "nobody took its files away"),
            Err(why) => panic!("{why}"),
        }
    }

    /// Takes away the files of older versions, as `plumb table vacuum` does; whether there was a table.
    pub(super) fn vacuum(&mut self, offline: &OfflineStore, declared: &Declared, now: bool) -> bool {
        if declared.format != Format::Delta || !offline.table(declared).unwrap().exists() {
            return false;
        }
        let table = offline.table(declared).unwrap();
        let retention = if now { Duration::ZERO } else { Duration::from_secs(7 * 86_400) };
        let done = table.vacuum(retention, false, &table.lease(SILENT).unwrap(), SILENT).unwrap();
        assert!(now || done.files.is_empty(), "all files are younger: {done:?}");
        if now {
            self.n_swept = self.versions.len();
        }
        true
    }

    /// The table holds the rows that are expected, and no others.
    fn replace(&mut self, shape: &Shape, declared: &Declared) {
        let table = Table::at(&self.folder, &declared.path).unwrap();
        if !table.exists() {
            return;
        }
        let rows = held(shape, &self.files.concat(), false);
        let mut appender = table.appender(None, SILENT).unwrap().unwrap();
        let columns: Vec<_> =
            appender.columns().iter().map(|c| ArrayRef::clone(rows.column_by_name(&c.name).unwrap())).collect();
        appender.push(&columns).unwrap();
        let done = appender.replace(&table.lease(SILENT).unwrap()).unwrap();
        self.note(done.version);
    }

    fn note(&mut self, version: u64) {
        self.versions.push((version, self.files.concat()));
    }

    fn path(&self, shape: &Shape, at: usize) -> PathBuf {
        let end = match shape.format {
            Format::Csv => "csv",
            Format::JsonLines => "jsonl",
            Format::Parquet | Format::Delta => "parquet",
        };
        self.folder.join(format!("rows/{at:03}.{end}"))
    }

    fn write_all(&mut self, shape: &Shape) {
        for at in 0..self.files.len() {
            self.write(shape, at);
        }
    }

    /// Files appear whole, as careful writers make them.
    fn write(&mut self, shape: &Shape, at: usize) {
        let narrow = shape.widens && at == 0;
        if narrow {
            for row in &mut self.files[0] {
                *row.cells.last_mut().unwrap() = None;
            }
        }
        let rows = held(shape, &self.files[at], narrow);
        let beside = self.folder.join("beside");
        match shape.format {
            Format::Parquet | Format::Delta => write_parquet(&beside, &rows),
            Format::Csv => std::fs::write(&beside, text(shape, &rows, true)).unwrap(),
            Format::JsonLines => std::fs::write(&beside, text(shape, &rows, false)).unwrap(),
        }
        std::fs::rename(&beside, self.path(shape, at)).unwrap();
    }
}

pub(super) fn write_parquet(path: &Path, rows: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// The key of a person. Two of them may have one.
pub(super) fn key_of(shape: &Shape, who: usize) -> EntityKey {
    EntityKey::from_columns(&keys(shape, &[Some(who)]), 1).remove(0).unwrap()
}
