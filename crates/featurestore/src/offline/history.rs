//! The history of one view version: Parquet row groups with the columns that order rows and those that hold features.
//!
//! A row is named by its number across the files, in arrival order. Reading is blocking and columnar; callers spread row
//! groups over threads.

mod check;
mod held;
mod layout;
mod order_batch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, UInt64Type};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use schema::{Dtype, EntityKey, FeatureView, Fingerprint};
use transform::cast;

use super::OfflineError;
use super::snapshot;
use super::source::{Kept, SourceFile, SourceFiles, open_file, read_error, version_of};
use super::standing::Arrived;
use super::table::source::{OfTable, arrivals};
use crate::erase::KeyFilter;
use crate::erase::tombstones::state_without;
use crate::online::marks::Contents;
use crate::push::log::PushLog;
use crate::push::rows::PushedRows;
use crate::push::segments::Segments;
pub use held::Held;
use layout::Layout;
pub use order_batch::OrderBatch;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 32_768;

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
    explicit_sequence: bool,
    in_place: bool,
    rejected: Vec<Rejected>,
    /// Keeps copies from being removed while they are read.
    _kept: Option<Kept>,
    /// Whose rows are as if they were not there.
    erased: Option<KeyFilter>,
    /// Numbers given to pushed rows, those of rows that were erased since included.
    n_pushed: u64,
    /// Where the log of pushes is, or will be.
    log: Option<PathBuf>,
    /// The source's files, with a digest of the state of each.
    made_of: Vec<(String, Fingerprint)>,
}

fn states(files: &[SourceFile]) -> Vec<(String, Fingerprint)> {
    files.iter().map(|file| (file.name.clone(), Fingerprint::of(file.state()))).collect()
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
    /// The rows of a source, read in place.
    ///
    /// # Errors
    /// [`OfflineError::NoColumn`] or [`OfflineError::Column`] if the files do not have what the view declares.
    pub fn in_place(view: &FeatureView, files: SourceFiles) -> Result<Self, OfflineError> {
        let d = &view.definition;
        named(view, &files)?;
        let column = |name: &str| files.column_in_file(name);
        let layout = Layout {
            keys: view.keys().iter().map(|k| (column(k.name.as_str()), k.dtype)).collect(),
            event_time: column(&d.event_time),
            created_time: d.created_time.as_deref().map(column),
            sequence: d.sequence.as_deref().map(column).or(files.row_column().map(str::to_owned)),
            deleted: d.deleted.as_deref().map(column),
            features: d.features.iter().map(|f| (column(f.name.as_str()), f.dtype)).collect(),
            timezone: files.source.timezone.clone(),
        };
        let data_version = files.version();
        check::check(&layout, &files, &format!("feature view `{}`", view.id.name))?;
        Ok(Self {
            n_base: files.files.len(),
            explicit_sequence: d.sequence.is_some(),
            layout,
            pushed: Layout::of_pushes(view),
            data_version,
            in_place: true,
            made_of: states(&files.files),
            erased: None,
            n_pushed: 0,
            log: None,
            rejected: rejected(&files),
            _kept: files.kept(),
            table: files.table,
            files: files.files,
        })
    }

    /// The rows of a view's snapshot, which was made of `source`.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if the snapshot is damaged.
    pub fn of_snapshot(view: &FeatureView, path: PathBuf, source: &SourceFiles) -> Result<Self, OfflineError> {
        let d = &view.definition;
        let layout = Layout {
            keys: view.keys().iter().map(|k| (k.name.to_string(), k.dtype)).collect(),
            event_time: snapshot::EVENT_TIME.to_owned(),
            created_time: d.created_time.as_ref().map(|_| snapshot::CREATED_TIME.to_owned()),
            sequence: Some(snapshot::SEQUENCE.to_owned()),
            deleted: d.deleted.as_ref().map(|_| snapshot::DELETED.to_owned()),
            features: d.features.iter().map(|f| (f.name.to_string(), f.dtype)).collect(),
            timezone: None,
        };
        let pushed = Layout::of_pushes(view);
        let mut file = open_file(Path::new(""), path, 0)?;
        let n_bad: u64 = source.files.iter().map(|file| file.n_left_out).sum();
        file.n_left_out = snapshot::n_left_out(&file) + n_bad;
        Ok(Self {
            files: vec![file],
            n_base: 1,
            table: source.table.clone(),
            layout,
            pushed,
            data_version: source.version(),
            explicit_sequence: d.sequence.is_some(),
            in_place: false,
            rejected: rejected(source),
            _kept: None,
            made_of: states(&source.files),
            erased: None,
            n_pushed: 0,
            log: None,
        })
    }

    /// Without the rows of erased keys: nothing that reads it meets them.
    pub(super) fn without(mut self, erased: Option<KeyFilter>) -> Self {
        self.erased = erased;
        self
    }

    /// Knows where the log of pushes is, so that [`Self::pushed_since`] can look.
    pub(super) fn beside(mut self, folder: &Path) -> Self {
        self.log = Some(folder.to_owned());
        self
    }

    /// Rows that were pushed since it was opened.
    ///
    /// # Errors
    /// [`OfflineError::Write`] if the log cannot be read.
    pub(crate) fn pushed_since(&self, view: &FeatureView) -> Result<Vec<PushedRows>, OfflineError> {
        let log = self.log.as_deref().map(PushLog::existing).transpose()?.flatten();
        log.map_or_else(|| Ok(Vec::new()), |log| log.rows_since(view, self.n_pushed))
    }

    /// With the rows that were pushed, behind all others.
    ///
    /// # Errors
    /// [`OfflineError::Read`] if a file is damaged.
    pub(super) fn with_pushes(mut self, pushes: Segments) -> Result<Self, OfflineError> {
        self.n_pushed = pushes.n_rows;
        for path in pushes.paths {
            let file = open_file(Path::new(""), path, self.n_rows())?;
            self.files.push(file);
        }
        Ok(self)
    }

    /// Digest of the state of the data that this is a history of.
    pub fn data_version(&self) -> Fingerprint {
        let base = state_without(self.data_version, self.erased.as_ref());
        match self.n_pushed() {
            0 => base,
            n => Fingerprint::of(&serde_json::json!([base, n])),
        }
    }

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

    /// What of the data a generation made from this history holds.
    pub fn contents(&self) -> Contents {
        // Rows that a user's column orders may tie across files, and a query gives other rows each time.
        let grows = self.in_place && !self.explicit_sequence;
        let n_files = if grows { self.n_known() } else { 0 };
        Contents { version: self.data_version, n_files, n_pushed: self.n_pushed() }
    }

    /// How many there are of what only grows in number: rows that arrived in a table that numbers them, else files.
    fn n_known(&self) -> usize {
        let arrived = self.table.as_ref().and_then(OfTable::next).and_then(|next| usize::try_from(next).ok());
        arrived.unwrap_or(self.n_base)
    }

    /// The row groups that may hold what came after `before`, if all of `before` is still there, unchanged, and came
    /// first. What was there before may be among them.
    pub fn since(&self, before: &Contents) -> Option<Vec<Unit>> {
        let (known, grew) = (before.n_files, self.arrived_since(before).is_some());
        let units = self.units().into_iter();
        match () {
            () if before.n_pushed > self.n_pushed() => None,
            () if before.version == self.data_version => Some(units.filter(|unit| unit.file >= self.n_base).collect()),
            () if grew => Some(units.filter(|unit| self.is_behind(*unit, known)).collect()),
            () => None,
        }
    }

    /// What the source has behind `before`, if all of that is still there, unchanged, and came first.
    pub(super) fn arrived_since(&self, before: &Contents) -> Option<Arrived> {
        let known = before.n_files;
        let more = self.contents().n_files.checked_sub(known)?;
        let grew = known > 0 && self.version_of_first(known) == before.version;
        let is_numbered = self.table.as_ref().is_some_and(|table| table.next().is_some());
        grew.then_some(if is_numbered { Arrived::Rows(more) } else { Arrived::Files(more) })
    }

    /// The data version of the first `known` of [`Self::n_known`].
    fn version_of_first(&self, known: usize) -> Fingerprint {
        match &self.table {
            Some(table) if table.next().is_some() => table.digest_up_to(known as u64),
            _ => version_of(&self.files[..known]),
        }
    }

    /// Whether a row group may hold what came behind the first `known`.
    fn is_behind(&self, unit: Unit, known: usize) -> bool {
        let numbered = self.table.as_ref().is_some_and(|table| table.next().is_some());
        if unit.file >= self.n_base || !numbered {
            return unit.file >= known.min(self.n_base);
        }
        let numbers = arrivals(&self.files[unit.file].metadata, unit.group..unit.group + 1);
        numbers.is_none_or(|(_, last)| last >= known as u64)
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

    /// Whether the sequence is the user's column, so that two rows may stand at one place: an error if they matter.
    pub fn has_explicit_sequence(&self) -> bool {
        self.explicit_sequence
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

    /// Reads the keys and times of a row group and hands them on, batch by batch.
    ///
    /// # Errors
    /// [`OfflineError`] if the file cannot be read, or `each` says so.
    pub fn scan_order(
        &self,
        unit: Unit,
        mut each: impl FnMut(OrderBatch) -> Result<(), OfflineError>,
    ) -> Result<(), OfflineError> {
        let l = self.layout(unit);
        let wanted = l.keys.iter().map(|(name, _)| name).chain([&l.event_time]);
        let wanted = wanted.chain(&l.created_time).chain(&l.sequence).chain(&l.deleted);
        let mut first_row = unit.first_row;
        self.read(unit, wanted.map(String::as_str), None, |batch| {
            let n = batch.num_rows() as u64;
            each(self.order_batch(unit, first_row, &batch)?)?;
            first_row += n;
            Ok(())
        })
    }

    fn order_batch(&self, unit: Unit, first_row: u64, batch: &RecordBatch) -> Result<OrderBatch, OfflineError> {
        let l = self.layout(unit);
        let zone = l.timezone.as_deref();
        let times = |name: &String| {
            cast::times(self.column(unit, batch, name)?, zone).map_err(|why| self.column_error(unit, name, &why))
        };
        let keys = l.keys.iter().map(|(name, dtype)| self.conformed(unit, batch, name, *dtype));
        let sequence = l.sequence.as_ref().map(|name| {
            let column = self.column(unit, batch, name)?;
            sequence_column(column).map_err(|why| self.column_error(unit, name, &why))
        });
        let deleted = l
            .deleted
            .as_ref()
            .map(|name| self.conformed(unit, batch, name, Dtype::Bool).map(|column| column.as_boolean().clone()));
        let keys: Vec<ArrayRef> = keys.collect::<Result<_, _>>()?;
        let erased = self.erased.as_ref().and_then(|filter| filter.erased(&keys, batch.num_rows()));
        Ok(OrderBatch {
            first_row,
            keys,
            erased,
            event_time: times(&l.event_time)?,
            created_time: l.created_time.as_ref().map(times).transpose()?,
            sequence: sequence.transpose()?,
            deleted: deleted.transpose()?,
        })
    }

    /// Up to `n` distinct keys, as columns in the view's key dtypes: those whose digest is smallest, so the same ones
    /// every time and hot keys not preferred.
    ///
    /// # Errors
    /// [`OfflineError`] if the files cannot be read.
    pub fn sample_keys(&self, n: usize) -> Result<Vec<ArrayRef>, OfflineError> {
        let mut sample: BTreeMap<Fingerprint, EntityKey> = BTreeMap::new();
        for unit in self.units() {
            self.scan_order(unit, |batch| {
                EntityKey::each(&batch.keys, batch.len(), |row, bytes| {
                    let Some(bytes) = bytes.filter(|_| !batch.erased(row)) else { return };
                    let digest = Fingerprint::of_bytes(bytes);
                    if sample.len() < n || sample.last_key_value().is_some_and(|(last, _)| digest < *last) {
                        sample.insert(digest, EntityKey::from_bytes(bytes));
                        if sample.len() > n {
                            sample.pop_last();
                        }
                    }
                });
                Ok(())
            })?;
        }
        let parts: Vec<Vec<schema::Value>> = sample.values().map(EntityKey::parts).collect();
        let column = |(i, (name, dtype)): (usize, &(String, Dtype))| {
            let refuse = |why: String| OfflineError::Column { path: "a key".to_owned(), column: name.clone(), why };
            let cells = parts.iter().map(|parts| parts[i].to_array(*dtype, 1)).collect::<Result<Vec<_>, _>>();
            let cells = cells.map_err(refuse)?;
            let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
            if cells.is_empty() {
                return Ok(arrow::array::new_empty_array(&dtype.to_arrow()));
            }
            arrow::compute::concat(&cells).map_err(|why| read_error("history", why))
        };
        self.layout.keys.iter().enumerate().map(column).collect()
    }

    /// The values of some features at some rows of a row group; `rows` are ascending offsets within it.
    ///
    /// # Errors
    /// [`OfflineError`] if the file cannot be read.
    pub fn gather(&self, unit: Unit, features: &[usize], rows: &[u32]) -> Result<Vec<ArrayRef>, OfflineError> {
        let wanted: Vec<&(String, Dtype)> = features.iter().map(|i| &self.layout(unit).features[*i]).collect();
        // Sparse rows are decoded alone; dense ones by decoding everything and picking, which is cheaper than skipping.
        let sparse = rows.len() * 8 < unit.n_rows;
        let selection = sparse.then(|| select(rows));
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); wanted.len()];
        let (mut from, mut taken) = (0_u32, 0);
        let names = wanted.iter().map(|(name, _)| name.as_str());
        self.read(unit, names, selection, |batch| {
            let n = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
            let until = rows[taken..].partition_point(|row| *row < from + n) + taken;
            let offsets: Option<UInt64Array> =
                (!sparse).then(|| rows[taken..until].iter().map(|row| u64::from(row - from)).collect());
            (from, taken) = (from + n, if sparse { taken } else { until });
            for ((name, dtype), part) in wanted.iter().zip(&mut parts) {
                let column = self.conformed(unit, &batch, name, *dtype)?;
                part.push(match &offsets {
                    Some(offsets) => take(&column, offsets)?,
                    None => column,
                });
            }
            Ok(())
        })?;
        let join = |(part, (_, dtype)): (Vec<ArrayRef>, &&(String, Dtype))| match part.as_slice() {
            [] => Ok(arrow::array::new_empty_array(&dtype.to_arrow())),
            [one] => Ok(ArrayRef::clone(one)),
            many => {
                let many: Vec<&dyn Array> = many.iter().map(AsRef::as_ref).collect();
                arrow::compute::concat(&many).map_err(|why| read_error("history", why))
            }
        };
        parts.into_iter().zip(&wanted).map(join).collect()
    }

    fn read<'a>(
        &self,
        unit: Unit,
        columns: impl Iterator<Item = &'a str>,
        selection: Option<RowSelection>,
        mut each: impl FnMut(RecordBatch) -> Result<(), OfflineError>,
    ) -> Result<(), OfflineError> {
        let source = &self.files[unit.file];
        let fail = |why: schema::BoxError| read_error(&source.name, why);
        let file = source.reopen().map_err(fail)?;
        let columns: Vec<&str> = columns.collect();
        let mask = source.mask(&columns);
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, source.metadata.clone())
            .with_projection(mask)
            .with_row_groups(vec![unit.group])
            .with_batch_size(BATCH_ROWS);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        for batch in builder.build().map_err(|why| fail(why.into()))? {
            let batch = batch.map_err(|why| fail(why.into()))?;
            each(source.shaped(&columns, batch).map_err(fail)?)?;
        }
        Ok(())
    }

    fn column<'b>(&self, unit: Unit, batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef, OfflineError> {
        batch.column_by_name(name).ok_or_else(|| OfflineError::NoColumn {
            path: self.files[unit.file].name.clone(),
            column: name.to_owned(),
            needed_by: "the view".to_owned(),
            hint: "the file changed while it was read; try again".to_owned(),
        })
    }

    fn conformed(&self, unit: Unit, batch: &RecordBatch, name: &str, dtype: Dtype) -> Result<ArrayRef, OfflineError> {
        let column = self.column(unit, batch, name)?;
        let zone = self.layout(unit).timezone.as_deref();
        cast::conform(column, dtype, zone).map_err(|why| self.column_error(unit, name, &why))
    }

    fn column_error(&self, unit: Unit, name: &str, why: &cast::CastError) -> OfflineError {
        let path = self.files[unit.file].name.clone();
        OfflineError::Column { path, column: name.to_owned(), why: why.to_string() }
    }
}

/// That the source has what the view declares, by the product's names: a column is not found by the name it had before
/// the source's `field_mapping`.
fn named(view: &FeatureView, files: &SourceFiles) -> Result<(), OfflineError> {
    let d = &view.definition;
    let keys = view.keys().iter().map(|key| key.name.as_str());
    let features = d.features.iter().map(|feature| feature.name.as_str());
    let times = [Some(&d.event_time), d.created_time.as_ref(), d.sequence.as_ref(), d.deleted.as_ref()];
    for name in keys.chain(features).chain(times.into_iter().flatten().map(String::as_str)) {
        if files.columns.iter().all(|column| column.name != name) {
            return Err(OfflineError::NoColumn {
                path: files.newest().to_owned(),
                column: name.to_owned(),
                needed_by: format!("feature view `{}`", view.id.name),
                hint: schema::yaml::suggest(name, files.columns.iter().map(|column| column.name.as_str())),
            });
        }
    }
    Ok(())
}

fn rejected(files: &SourceFiles) -> Vec<Rejected> {
    let of = |file: &SourceFile| {
        let reasons = file.left_out.clone()?;
        Some(Rejected { file: file.name.clone(), n_rows: file.n_left_out, reasons })
    };
    files.files.iter().filter_map(of).collect()
}

/// A sequence column as unsigned integers; null and negative values are refused.
pub(crate) fn sequence_column(column: &ArrayRef) -> Result<UInt64Array, cast::CastError> {
    if column.null_count() > 0 {
        return Err(cast::CastError::Value { why: "a sequence is never null".to_owned() });
    }
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    let wide = arrow::compute::cast_with_options(column, &DataType::UInt64, &options);
    let wide = wide.map_err(|why| cast::CastError::Value { why: format!("a sequence is zero or more: {why}") })?;
    Ok(wide.as_primitive::<UInt64Type>().clone())
}

fn take(column: &ArrayRef, offsets: &UInt64Array) -> Result<ArrayRef, OfflineError> {
    arrow::compute::take(column, offsets, None).map_err(|why| read_error("history", why))
}

fn select(rows: &[u32]) -> RowSelection {
    let mut selectors = Vec::with_capacity(rows.len() * 2);
    let (mut at, mut i) = (0_usize, 0);
    while i < rows.len() {
        let start = rows[i] as usize;
        let mut end = start + 1;
        i += 1;
        while i < rows.len() && rows[i] as usize == end {
            end += 1;
            i += 1;
        }
        if start > at {
            selectors.push(RowSelector::skip(start - at));
        }
        selectors.push(RowSelector::select(end - start));
        at = end;
    }
    RowSelection::from(selectors)
}
