//! The history of one view version: Parquet row groups with the columns that order rows and those that hold features.
//!
//! A row is named by its number across the files, in arrival order. Reading is blocking and columnar; callers spread row
//! groups over threads.

mod check;
mod held;
mod layout;
mod open;
mod order_batch;
mod read;
mod sample;
mod since;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use schema::Fingerprint;

use super::source::{Kept, SourceFile};
use super::table::source::OfTable;
use crate::erase::KeyFilter;
use crate::ties::Tied;
pub use held::Held;
use layout::Layout;
pub use order_batch::OrderBatch;
pub(crate) use read::sequence_column;

/// Where a view's rows are, and what its columns are called there.
#[derive(Debug, Clone)]
pub struct History {
    /// The source's or the snapshot's, then those of pushes.
    files: Vec<SourceFile>,
    n_base: usize,
    /// The table that the source is.
    table: Option<OfTable>,
    layout: Layout,
    /// Of files of pushes.
    pushed: Layout,
    data_version: Fingerprint,
    /// Which ties are errors.
    tied: Option<Tied>,
    in_place: bool,
    rejected: Vec<Rejected>,
    /// Keeps copies from being removed while they are read.
    _kept: Option<Kept>,
    /// As well, files of pushes.
    _pushes: Option<Arc<File>>,
    /// Whose rows are as if they were not there.
    erased: Option<KeyFilter>,
    /// Numbers given to pushed rows, those of rows that were erased since included.
    n_pushed: u64,
    /// Where the log of pushes is, or will be.
    log: Option<PathBuf>,
    /// The source's files, with a digest of the state of each.
    made_of: Vec<(String, Fingerprint)>,
}

/// Rows of a text that do not parse, and were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The text.
    pub file: String,
    /// How many.
    pub n_rows: u64,
    /// The file that has line, column and reason of each.
    pub reasons: PathBuf,
}

/// One row group.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    file: usize,
    group: usize,
    /// Number of its first row.
    pub first_row: u64,
    /// Rows.
    pub n_rows: usize,
}

impl History {
    /// The version of the Delta table that the source is.
    pub fn table_version(&self) -> Option<u64> {
        self.table.as_ref().map(|table| table.version)
    }

    /// Rows that were pushed, those that were erased since included.
    pub fn n_pushed(&self) -> u64 {
        self.n_pushed
    }

    /// The files of the source that it is made of, with a digest of the state of each; those of pushes are told by
    /// [`Self::n_pushed`].
    pub fn files(&self) -> &[(String, Fingerprint)] {
        &self.made_of
    }

    /// The file that holds a row, relative to the project, and the row's number in it, from 0.
    pub fn locate(&self, row: u64) -> Option<(&str, u64)> {
        let file = self.files.iter().rfind(|file| file.first_row <= row)?;
        Some((&file.name, row - file.first_row))
    }

    fn layout(&self, unit: Unit) -> &Layout {
        if unit.file < self.n_base { &self.layout } else { &self.pushed }
    }

    /// Rows that are not in its files: those of texts that do not parse, and those that its query yielded without a key
    /// or an event time. Such rows of a source read in place are met while scanning.
    pub fn n_left_out(&self) -> u64 {
        self.files.iter().map(|file| file.n_left_out).sum()
    }

    /// As [`Self::n_left_out`], of the files of some row groups.
    pub fn n_left_out_of(&self, units: &[Unit]) -> u64 {
        let files: BTreeSet<usize> = units.iter().map(|unit| unit.file).collect();
        files.iter().map(|file| self.files[*file].n_left_out).sum()
    }

    /// The rows of texts that do not parse, by file.
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Rows, rejected ones included.
    pub fn n_rows(&self) -> u64 {
        self.files.iter().map(|f| f.n_rows).sum()
    }

    /// Which rows of one key are tied, where that is an error if it matters: those of one place where the sequence is the
    /// user's column, those of one time where the view says so.
    pub(crate) fn refuses_ties(&self) -> Option<Tied> {
        self.tied
    }

    /// The row groups, in arrival order.
    pub fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        for (file, opened) in self.files.iter().enumerate() {
            let mut first_row = opened.first_row;
            for (group, about) in opened.metadata.metadata().row_groups().iter().enumerate() {
                let n_rows = usize::try_from(about.num_rows()).unwrap_or(0);
                units.push(Unit { file, group, first_row, n_rows });
                first_row += n_rows as u64;
            }
        }
        units
    }
}
