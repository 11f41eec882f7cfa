//! Rows that arrive in a table: in files of any format, as `plumb ingest` takes them, which is interrupted, and repeated.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use featurestore::offline::ingest::{Ingest, Ingested, Rules};
use plumb::commands::ingest::rules;
use proptest::prelude::*;
use schema::definitions::Format;

use super::rows::{Row, held, text};
use super::source::{SILENT, key_of, write_parquet};
use super::world::{Ways, World};

/// What becomes of the first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// It is done.
    No,
    /// It ends after the first file.
    Between,
    /// It ends within a file, when rows of it were read.
    Within,
}

/// How rows come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ingesting {
    /// CSV and lines of JSON hold what texts can hold.
    pub format: Format,
    /// How many of the rows are in a first file of two.
    pub first: usize,
    pub cut: Cut,
    /// Whether the same is said again when it is done.
    pub again: bool,
}

pub(super) fn ingesting() -> impl Strategy<Value = Ingesting> {
    let formats = prop_oneof![3 => Just(Format::Parquet), 1 => Just(Format::Csv), 1 => Just(Format::JsonLines)];
    let cuts = prop_oneof![3 => Just(Cut::No), 1 => Just(Cut::Between), 1 => Just(Cut::Within)];
    (formats, 0..6_usize, cuts, any::<bool>()).prop_map(|(format, first, cut, again)| Ingesting {
        format,
        first,
        cut,
        again,
    })
}

const FOLDER: &str = "new";

impl World<'_> {
    /// Rows arrive in the table.
    pub(super) async fn ingest(&mut self, rows: Vec<Row>, how: Ingesting) {
        let rows = self.source.numbered(rows);
        if rows.is_empty() {
            return;
        }
        let format = if self.shape.plain { how.format } else { Format::Parquet };
        let folder = self.source.folder().join(FOLDER);
        std::fs::create_dir(&folder).unwrap();
        let (first, second) = rows.split_at(how.first.min(rows.len()));
        let files: Vec<&[Row]> = [first, second].into_iter().filter(|rows| !rows.is_empty()).collect();
        for (at, rows) in files.iter().enumerate() {
            self.write_new(&folder.join(format!("{at}.{}", ending(format))), format, rows);
        }
        // Whoever was erased is left out, of tables that queries read by the names of the key's columns.
        let is_left_out = |row: &&Row| self.erased.contains(&key_of(self.shape, row.who));
        let taken = |rows: &[Row]| -> Vec<Row> { rows.iter().filter(|row| !is_left_out(row)).cloned().collect() };
        let want: Vec<Vec<Row>> = files.iter().map(|rows| taken(rows)).collect();
        let n_done = self.begin_ingest(format, how.cut).await;
        let done = self.run_ingest(format).await;
        assert_eq!(done.len(), want.len(), "{done:?}");
        let already: Vec<bool> = done.iter().map(|file| file.already).collect();
        assert_eq!(already, (0..want.len()).map(|at| at < n_done.len()).collect::<Vec<_>>());
        let versions = n_done.into_iter().chain(done.iter().filter_map(|file| file.version));
        for ((version, file), rows) in versions.zip(&done).zip(want) {
            assert!(file.already || (file.n_rows, file.n_bad) == (rows.len() as u64, 0), "{file:?}");
            self.source.grew(rows, version);
        }
        if how.again {
            // The same files, by other names.
            for at in 0..files.len() {
                let name = |name: &str| folder.join(format!("{name}{at}.{}", ending(format)));
                std::fs::rename(name(""), name("again-")).unwrap();
            }
            let table = self.offline.table(&self.view().source).unwrap();
            let before = table.state(None).unwrap().version;
            assert!(self.run_ingest(format).await.iter().all(|file| file.already));
            assert_eq!(table.state(None).unwrap().version, before);
            Ways::count(&self.ways.ingested_again);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn write_new(&self, path: &Path, format: Format, rows: &[Row]) {
        let rows = held(self.shape, rows, false);
        match format {
            Format::Csv | Format::JsonLines => {
                std::fs::write(path, text(self.shape, &rows, format == Format::Csv)).unwrap();
            }
            Format::Parquet | Format::Delta => write_parquet(path, &rows),
        }
    }

    async fn open_ingest<T>(&self, format: Format, run: impl FnOnce(&Ingest<'_>) -> T) -> T {
        let (project, declared) = (self.project().await, self.shape.declared());
        let rules = Rules { format: Some(format), ..rules(&project, &declared, &self.view().source).unwrap() };
        let source = self.view().source.clone();
        let path = format!("{FOLDER}/*.{}", ending(format));
        run(&Ingest::open(&self.offline, &source, &path, rules).await.unwrap())
    }

    async fn run_ingest(&self, format: Format) -> Vec<Ingested> {
        self.open_ingest(format, |ingest| ingest.run(&|_| {}, SILENT).map(Result::unwrap).collect()).await
    }

    /// An attempt that ends before its end: the versions that hold the files that were done.
    async fn begin_ingest(&self, format: Format, cut: Cut) -> Vec<u64> {
        if cut == Cut::No {
            return Vec::new();
        }
        Ways::count(&self.ways.ingest_cut);
        let run = |ingest: &Ingest<'_>| {
            if cut == Cut::Between {
                return ingest.run(&|_| {}, SILENT).take(1).map(|file| file.unwrap().version.unwrap()).collect();
            }
            // Unwinds like a panic, and nobody is told.
            let end = |_: u64| resume_unwind(Box::new("the process ended"));
            let files = AssertUnwindSafe(|| ingest.run(&end, SILENT).for_each(|file| drop(file.unwrap())));
            assert!(catch_unwind(files).is_err());
            Vec::new()
        };
        self.open_ingest(format, run).await
    }
}

fn ending(format: Format) -> &'static str {
    match format {
        Format::Csv => "csv",
        Format::JsonLines => "jsonl",
        Format::Parquet | Format::Delta => "parquet",
    }
}
