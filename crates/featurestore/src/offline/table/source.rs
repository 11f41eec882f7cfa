//! A Delta table as a source: its live files in arrival order, read in place, each with what makes its columns the table's.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use schema::Fingerprint;
use schema::definitions::Source;
use serde_json::{Value as Json, json};

use super::disk::Disk;
use super::log::{LiveFile, Log, Snapshot};
use super::types::{self, TableColumn, as_delta, from_stored};
use super::{ARRIVAL_COLUMN, Arrivals, Table, TableError};
use crate::offline::source::{Kept, SourceFile, SourceFiles, local_path, open_file};
use crate::offline::{OfflineError, projection};

/// Which state of a table some files are.
#[derive(Debug, Clone)]
pub(crate) struct OfTable {
    /// The version.
    pub(crate) version: u64,
    id: String,
    /// Which rows it holds; `None` if another program made it.
    arrivals: Option<Arrivals>,
    n_rows: u64,
    /// Its columns.
    pub(crate) schema: SchemaRef,
}

/// How a file's columns become the table's.
#[derive(Debug)]
pub(crate) struct Shape {
    columns: Vec<ShapedColumn>,
    schema: SchemaRef,
}

#[derive(Debug)]
struct ShapedColumn {
    name: String,
    from: From,
    dtype: DataType,
}

#[derive(Debug)]
enum From {
    /// In the file, in Delta's form.
    File,
    /// In the file, in the form in which tables made here store it.
    Stored(TableColumn),
    /// The same in every row of the file: the value of a partition, or null where the column came later.
    Constant(ArrayRef),
}

/// Opens the table that a source names, as it is now or was at `version`.
///
/// # Errors
/// [`OfflineError`]; a table that does not exist is one without rows if the source declares its columns.
pub(crate) fn open(project: &Path, source: &Source, version: Option<u64>) -> Result<SourceFiles, OfflineError> {
    let table = table(project, source)?;
    if version.is_none() && !source.columns.is_empty() && !table.exists() {
        let columns: Vec<TableColumn> = source.columns.iter().map(TableColumn::from).collect();
        let (arrivals, schema) = (Some(Arrivals { epoch: 0, next: 0 }), types::declared_schema(&columns));
        let of = OfTable { version: 0, id: String::new(), arrivals, n_rows: 0, schema };
        return SourceFiles::of_table(source, Vec::new(), of, None);
    }
    let snapshot = table.log.load(version).map_err(|why| of_source(source, why))?;
    Loaded { table, snapshot }.open(project, source, None)
}

/// A table whose log was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    table: Table,
    snapshot: Snapshot,
}

impl Loaded {
    /// A table that stands elsewhere, at the source's path, and of which `root` has what is needed, its log in `log`.
    pub(crate) fn mirrored(
        source: &Source,
        root: &Path,
        log: &str,
        version: Option<u64>,
    ) -> Result<Self, OfflineError> {
        let name = source.path.trim_end_matches('/').to_owned();
        let disk = Disk::default();
        let log = Log { folder: root.join(log), table: name.clone(), disk: disk.clone() };
        let snapshot = log.load(version).map_err(|why| of_source(source, why))?;
        Ok(Self { table: Table { root: root.to_owned(), name, log, disk }, snapshot })
    }

    /// Its live files, relative to its folder, and their bytes.
    pub(crate) fn files(&self, source: &Source) -> Result<Vec<(String, u64)>, OfflineError> {
        let outside = |path: &str| {
            let why = "it is not in the table's folder";
            of_source(source, self.table.data_file_error(self.snapshot.version, path, why))
        };
        let each = self.snapshot.files.iter().map(|live| {
            let file = live.add.file().ok_or_else(|| outside(&live.add.path))?;
            Ok((file, live.add.size))
        });
        each.collect()
    }

    /// Its rows, as the source's.
    pub(crate) fn open(self, project: &Path, source: &Source, kept: Option<Kept>) -> Result<SourceFiles, OfflineError> {
        let snapshot = self.snapshot;
        let opened = self.table.open_files(project, &snapshot);
        let (schema, files) = opened.map_err(|why| of_source(source, why))?;
        let (id, arrivals) = (snapshot.metadata.id.clone(), snapshot.arrivals());
        let n_rows = files.iter().map(|file| file.n_rows).sum();
        let table = OfTable { version: snapshot.version, id, arrivals, n_rows, schema };
        SourceFiles::of_table(source, files, table, kept)
    }
}

/// The newest version of the table that a source names whose rows have a digest that `is` what is wanted; `None` where rows
/// have no numbers, or it is long ago.
pub(crate) fn version_where(
    project: &Path,
    source: &Source,
    is: impl Fn(&Fingerprint) -> bool,
) -> Result<Option<u64>, OfflineError> {
    const VERSIONS_MAX: usize = 1_000;
    let fail = |why| of_source(source, why);
    let table = table(project, source)?;
    for version in table.log.versions().map_err(fail)?.into_iter().rev().take(VERSIONS_MAX) {
        let then = table.log.load(Some(version)).map_err(fail)?;
        let (Some(arrivals), Some(n_rows)) =
            (then.arrivals(), then.files.iter().map(|file| file.add.n_rows()).sum::<Option<u64>>())
        else {
            return Ok(None);
        };
        let id = then.metadata.id.clone();
        let of = OfTable { version, id, arrivals: Some(arrivals), n_rows, schema: SchemaRef::new(Schema::empty()) };
        if is(&of.digest_up_to(arrivals.next)) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// The table that a source names, whether it exists yet or not.
pub(crate) fn table(project: &Path, source: &Source) -> Result<Table, OfflineError> {
    Table::at(project, &local_path(source)?).map_err(|why| of_source(source, why))
}

pub(crate) fn of_source(source: &Source, why: TableError) -> OfflineError {
    OfflineError::Table { source_name: source.name.to_string(), source: Box::new(why) }
}

impl OfTable {
    /// Digest of the rows; files are looked at only where the rows have no numbers.
    pub(crate) fn rows_digest(&self, files: impl FnOnce() -> Fingerprint) -> Fingerprint {
        match self.arrivals {
            Some(arrivals) => self.digest_up_to(arrivals.next),
            None => files(),
        }
    }

    /// Digest of the first rows, as it was when there were no others; rows with numbers only.
    pub(crate) fn digest_up_to(&self, next: u64) -> Fingerprint {
        let arrivals = self.arrivals.unwrap_or(Arrivals { epoch: 0, next: 0 });
        // Rows are counted too: what another program took out has no epoch.
        let n_then = self.n_rows.saturating_sub(arrivals.next.saturating_sub(next));
        Fingerprint::of(&json!(["delta", self.id, arrivals.epoch, next, n_then]))
    }

    /// The number that the next row gets, where rows have numbers.
    pub(crate) fn next(&self) -> Option<u64> {
        self.arrivals.map(|arrivals| arrivals.next)
    }
}

impl Table {
    pub(super) fn open_files(
        &self,
        project: &Path,
        snapshot: &Snapshot,
    ) -> Result<(SchemaRef, Vec<SourceFile>), TableError> {
        let columns = self.columns_of(snapshot)?;
        let schema = match &columns {
            Some(columns) => types::declared_schema(columns),
            None => self.delta_schema(snapshot)?,
        };
        let mut files = Vec::with_capacity(snapshot.files.len());
        for live in &snapshot.files {
            let name = live.add.file().unwrap_or_default();
            let fail = |why: String| self.data_file_error(snapshot.version, &name, why);
            let file = open_file(project, self.root.join(&name), 0);
            let file = file.map_err(|why| fail(schema::error::chain(&why)))?;
            let found = file.metadata.schema();
            let shape = match &columns {
                Some(columns) => of_ours(found, columns, &schema).map_err(fail)?,
                None => of_theirs(found, live, snapshot, &schema).map_err(fail)?,
            };
            if columns.is_some() && has_unnumbered(&file.metadata) {
                return Err(fail(format!("it has rows without `{ARRIVAL_COLUMN}`: another program appended it")));
            }
            // Delta's files never change, so their place says all.
            let state = json!([snapshot.metadata.id, live.add.path, live.add.size, live.add.modification_time]);
            files.push(file.of_table(Arc::new(shape), state));
        }
        if columns.is_some() {
            let first =
                |file: &SourceFile| arrivals(&file.metadata, 0..usize::MAX).map_or(u64::MAX, |(first, _)| first);
            files.sort_by_cached_key(first);
        }
        let mut first_row = 0;
        for file in &mut files {
            file.first_row = first_row;
            first_row += file.n_rows;
        }
        Ok((schema, files))
    }

    fn delta_schema(&self, snapshot: &Snapshot) -> Result<SchemaRef, TableError> {
        let schema: Json = serde_json::from_str(&snapshot.metadata.schema_string).unwrap_or_default();
        let fields = types::fields(&schema);
        let why = || "its schema has a type that is not known here".to_owned();
        let fields = fields.ok_or_else(|| TableError::Columns { table: self.name.clone(), why: why() })?;
        Ok(Arc::new(Schema::new(fields)))
    }
}

/// The first and the last arrival number of some row groups, as their statistics say.
pub(crate) fn arrivals(file: &ArrowReaderMetadata, groups: std::ops::Range<usize>) -> Option<(u64, u64)> {
    let about = file.metadata();
    let columns = about.file_metadata().schema_descr().columns();
    let at = columns.iter().position(|column| column.path().string() == ARRIVAL_COLUMN)?;
    let mut all: Option<(u64, u64)> = None;
    for group in about.row_groups().iter().take(groups.end).skip(groups.start) {
        let Some(Statistics::Int64(numbers)) = group.column(at).statistics() else { return None };
        let low = u64::try_from(*numbers.min_opt()?).ok()?;
        let high = u64::try_from(*numbers.max_opt()?).ok()?;
        all = Some(all.map_or((low, high), |(a, b)| (a.min(low), b.max(high))));
    }
    all
}

/// Whether rows have no arrival number, as statistics say.
fn has_unnumbered(file: &ArrowReaderMetadata) -> bool {
    let about = file.metadata();
    let columns = about.file_metadata().schema_descr().columns();
    let at = columns.iter().position(|column| column.path().string() == ARRIVAL_COLUMN);
    let nulls = |at: usize| move |group: &RowGroupMetaData| group.column(at).statistics()?.null_count_opt();
    at.is_some_and(|at| about.row_groups().iter().filter_map(nulls(at)).any(|n| n > 0))
}

fn of_ours(found: &Schema, columns: &[TableColumn], schema: &SchemaRef) -> Result<Shape, String> {
    let has = |name: &str| found.field_with_name(name).is_ok();
    let mut shaped = Vec::with_capacity(columns.len() + 1);
    for column in columns {
        let dtype = column.dtype.to_arrow();
        let from = match has(&column.name) {
            true => From::Stored(column.clone()),
            false => From::Constant(new_null_array(&dtype, 1)),
        };
        shaped.push(ShapedColumn { name: column.name.clone(), from, dtype });
    }
    if !has(ARRIVAL_COLUMN) {
        return Err(format!("it has no column `{ARRIVAL_COLUMN}`: another program appended it"));
    }
    shaped.push(ShapedColumn { name: ARRIVAL_COLUMN.to_owned(), from: From::File, dtype: DataType::Int64 });
    Ok(Shape { columns: shaped, schema: SchemaRef::clone(schema) })
}

fn of_theirs(found: &Schema, live: &LiveFile, snapshot: &Snapshot, schema: &SchemaRef) -> Result<Shape, String> {
    let mut shaped = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let dtype = field.data_type().clone();
        let from = if snapshot.metadata.partition_columns.contains(field.name()) {
            let value = live.add.partition_values.get(field.name()).and_then(Option::as_deref);
            From::Constant(
                partition_value(value, &dtype).map_err(|why| format!("partition `{}`: {why}", field.name()))?,
            )
        } else if found.field_with_name(field.name()).is_ok() {
            From::File
        } else {
            From::Constant(new_null_array(&dtype, 1))
        };
        shaped.push(ShapedColumn { name: field.name().clone(), from, dtype });
    }
    Ok(Shape { columns: shaped, schema: SchemaRef::clone(schema) })
}

/// The value of a partition, which the log has as a text; an empty one is null.
fn partition_value(text: Option<&str>, dtype: &DataType) -> Result<ArrayRef, String> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![text.filter(|text| !text.is_empty())]));
    match dtype {
        DataType::Binary => Err("bytes are not read from partitions".to_owned()),
        DataType::Timestamp(_, _) => {
            let time = transform::cast::times(&text, None).map_err(|why| why.to_string())?;
            as_delta(&(Arc::new(time) as ArrayRef), dtype)
        }
        _ => as_delta(&text, dtype),
    }
}

impl Shape {
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of the file that some of the table's are made of.
    pub(crate) fn mask(&self, file: &ArrowReaderMetadata, names: &[&str]) -> ProjectionMask {
        let wanted = self.columns.iter().filter(|column| names.contains(&column.name.as_str()));
        let mut found: Vec<String> = Vec::new();
        for column in wanted {
            match &column.from {
                From::File => found.push(column.name.clone()),
                From::Stored(stored) => found.extend([Some(stored.name.clone()), stored.rest()].into_iter().flatten()),
                From::Constant(_) => {}
            }
        }
        projection::named(file.parquet_schema(), found.iter().map(String::as_str))
    }

    /// Those columns as the table's.
    pub(crate) fn shaped(&self, names: &[&str], rows: &RecordBatch) -> Result<RecordBatch, String> {
        let mut fields = Vec::with_capacity(names.len());
        let mut columns = Vec::with_capacity(names.len());
        for column in self.columns.iter().filter(|column| names.contains(&column.name.as_str())) {
            let lost = || format!("it lost column `{}`", column.name);
            let array = match &column.from {
                From::File => as_delta(rows.column_by_name(&column.name).ok_or_else(lost)?, &column.dtype)?,
                From::Stored(stored) => {
                    let rest = stored.rest().and_then(|rest| rows.column_by_name(&rest));
                    from_stored(rows.column_by_name(&stored.name).ok_or_else(lost)?, rest, stored.dtype)?
                }
                From::Constant(value) => {
                    let first = arrow::array::UInt32Array::from(vec![0; rows.num_rows()]);
                    arrow::compute::take(value, &first, None).map_err(|why| why.to_string())?
                }
            };
            fields.push(Field::new(&column.name, array.data_type().clone(), true));
            columns.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let schema = Arc::new(Schema::new(fields));
        RecordBatch::try_new_with_options(schema, columns, &options).map_err(|why| why.to_string())
    }
}
