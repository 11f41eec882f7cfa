//! Snapshots: the result of a view's query, run once per state of its source.
//!
//! A snapshot is written beside and renamed into place, so it is there whole or not at all: killing the process at any
//! moment and running again gives the same file. Its name is the digest of the source's state, so it never changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::{and, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schema::dtype::timestamp_type;
use schema::{Dtype, FeatureView};
use transform::{cast, expr};

use super::history::{Held, sequence_column};
use super::query::QueryLimits;
use super::source::{SourceFile, SourceFiles, open_file};
use super::{OfflineError, folder_of, query, seal, whole};
use crate::erase::KeyFilter;
use crate::erase::tombstones::state_without;

/// Column of the event time in a snapshot; names that start with `__` are ours.
pub const EVENT_TIME: &str = "__event_time";
/// Column of the created time.
pub const CREATED_TIME: &str = "__created_time";
/// Column of the sequence.
pub const SEQUENCE: &str = "__sequence";
/// Column of the deletion mark.
pub const DELETED: &str = "__deleted";
/// In the file's metadata: how many rows the query yielded without a key or an event time.
const LEFT_OUT: &str = "plumb.n_left_out";

/// The snapshot of a view with a query, made now if it does not exist, without rows of keys that are `erased`.
///
/// # Errors
/// [`OfflineError::Query`] if the query fails or yields other columns than declared.
pub async fn ensure(
    folder: &Path,
    view: &FeatureView,
    files: &SourceFiles,
    erased: Option<&KeyFilter>,
    limits: QueryLimits,
) -> Result<PathBuf, OfflineError> {
    let folder = folder_of(folder, view);
    let path = folder.join(format!("{}.parquet", state_without(files.version(), erased).short()));
    // A snapshot can be made again: one that is damaged is.
    if is_sound(&path) {
        return Ok(path);
    }
    let fail = |why: String| OfflineError::Query { view: view.id.name.to_string(), why };
    let engine = |why: datafusion::common::DataFusionError| fail(expr::plain(&why));
    let context = query::context([files]).map_err(engine)?;
    let sql = view.definition.sql.as_deref().unwrap_or_default();
    let frame = query::plan_view(&context, sql).await.map_err(engine)?;
    let columns = Columns::resolve(view, frame.schema().as_arrow()).map_err(|why| fail(why.join("; ")))?;
    let mut batches = query::run(frame, limits).await.map_err(engine)?;

    let writing = |why: schema::BoxError| OfflineError::Write { path: path.display().to_string(), source: why };
    std::fs::create_dir_all(&folder).map_err(|why| writing(why.into()))?;
    let mut out = whole::begin(&folder).map_err(|why| writing(why.into()))?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let schema = columns.schema(view);
    let mut writer = ArrowWriter::try_new(out.as_file_mut(), SchemaRef::clone(&schema), Some(properties))
        .map_err(|why| writing(why.into()))?;
    let (mut position, mut n_left_out) = (0, 0);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(engine)?;
        let canonical = columns.convert(&batch, position, &schema).map_err(fail)?;
        position += batch.num_rows() as u64;
        n_left_out += (batch.num_rows() - canonical.num_rows()) as u64;
        let kept = without(canonical, view.keys().len(), erased).map_err(fail)?;
        writer.write(&kept).map_err(|why| writing(why.into()))?;
    }
    writer.append_key_value_metadata(KeyValue::new(LEFT_OUT.to_owned(), n_left_out.to_string()));
    writer.append_key_value_metadata(seal::place());
    writer.close().map_err(|why| writing(why.into()))?;
    seal::seal(out.as_file_mut()).map_err(|why| writing(why.into()))?;
    whole::finish_new(out, &path, is_sound).map_err(|why| writing(why.into()))?;
    Ok(path)
}

fn is_sound(path: &Path) -> bool {
    open_file(Path::new(""), path.to_owned(), 0).is_ok()
}

/// The rows whose keys are not erased; the first `n_keys` columns are the key's.
fn without(rows: RecordBatch, n_keys: usize, erased: Option<&KeyFilter>) -> Result<RecordBatch, String> {
    let found = erased.and_then(|filter| filter.erased(&rows.columns()[..n_keys], rows.num_rows()));
    let Some(found) = found else { return Ok(rows) };
    let keep = BooleanArray::from(found.into_iter().map(|erased| !erased).collect::<Vec<_>>());
    filter_record_batch(&rows, &keep).map_err(|why| why.to_string())
}

/// The file of an older state of the source, if it is still there. `folder` is the view version's.
pub(crate) fn kept(folder: &Path, held: &Held) -> Option<PathBuf> {
    let name: String = held.version.iter().map(|byte| format!("{byte:02x}")).collect();
    // As long as `Fingerprint::short`.
    let path = folder.join(format!("{}.parquet", name.get(..12)?));
    path.is_file().then_some(path)
}

/// Removes all snapshots of a view version, whose folder it is: they are made again, of what the source holds and of whoever
/// may be in them then. Files of pushes stay.
///
/// # Errors
/// [`OfflineError::Write`] if one cannot be removed.
pub fn forget(folder: &Path) -> Result<(), OfflineError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".parquet"));
        // Other names are of files of pushes.
        if !name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            continue;
        }
        match std::fs::remove_file(&path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                return Err(OfflineError::Write { path: path.display().to_string(), source: why.into() });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// How many rows of the query a snapshot left out, as its file says.
pub(crate) fn n_left_out(snapshot: &SourceFile) -> u64 {
    let about = snapshot.metadata.metadata().file_metadata().key_value_metadata();
    let found = about.into_iter().flatten().find(|entry| entry.key == LEFT_OUT);
    found.and_then(|entry| entry.value.as_ref()?.parse().ok()).unwrap_or(0)
}

/// Where the columns of a view are in its query's result.
#[derive(Debug)]
pub(crate) struct Columns {
    keys: Vec<(usize, String, Dtype)>,
    event_time: usize,
    created_time: Option<usize>,
    sequence: Option<usize>,
    deleted: Option<usize>,
    features: Vec<(usize, String, Dtype)>,
}

impl Columns {
    /// Finds every declared column in a result's schema; the mistakes name both sides, all at once.
    pub(crate) fn resolve(view: &FeatureView, result: &Schema) -> Result<Self, Vec<String>> {
        let d = &view.definition;
        let mut wrong = Vec::new();
        let names: Vec<&str> = result.fields().iter().map(|f| f.name().as_str()).collect();
        let mut find = |name: &str, what: &str, fits: &dyn Fn(&DataType) -> bool, wanted: &str| {
            let Some((at, field)) = result.column_with_name(name) else {
                let near = schema::yaml::suggest(name, names.iter().copied());
                wrong.push(format!("it yields no column `{name}` ({what}); {near}"));
                return usize::MAX;
            };
            if !fits(field.data_type()) {
                let found = cast::describe(field.data_type());
                wrong.push(format!("it yields `{name}` ({what}) as {found}, declared {wanted}"));
            }
            at
        };
        let time = |t: &DataType| matches!(Dtype::from_arrow(t), Some(Dtype::Timestamp | Dtype::Date));
        let keys = view.keys().iter().map(|key| {
            let at = find(key.name.as_str(), "a join key", &|t| cast::conforms(t, key.dtype), &key.dtype.to_string());
            (at, key.name.to_string(), key.dtype)
        });
        let keys = keys.collect();
        let event_time = find(&d.event_time, "the event time", &time, "a time");
        let created_time = d.created_time.as_ref().map(|name| find(name, "the created time", &time, "a time"));
        let sequence = d.sequence.as_ref().map(|n| find(n, "the sequence", &DataType::is_integer, "an integer"));
        let flag = |t: &DataType| *t == DataType::Boolean;
        let deleted = d.deleted.as_ref().map(|name| find(name, "the deletion mark", &flag, "bool"));
        let features = d.features.iter().map(|feature| {
            let fits = |t: &DataType| cast::conforms(t, feature.dtype);
            (
                find(feature.name.as_str(), "a feature", &fits, &feature.dtype.to_string()),
                feature.name.to_string(),
                feature.dtype,
            )
        });
        let features = features.collect();
        if wrong.is_empty() {
            Ok(Self { keys, event_time, created_time, sequence, deleted, features })
        } else {
            Err(wrong)
        }
    }

    fn schema(&self, view: &FeatureView) -> SchemaRef {
        let typed = |(_, name, dtype): &(usize, String, Dtype)| Field::new(name, dtype.to_arrow(), true);
        let mut fields: Vec<Field> = self.keys.iter().map(typed).collect();
        fields.push(Field::new(EVENT_TIME, timestamp_type(), true));
        if self.created_time.is_some() {
            fields.push(Field::new(CREATED_TIME, timestamp_type(), true));
        }
        fields.push(Field::new(SEQUENCE, DataType::UInt64, false));
        if self.deleted.is_some() {
            fields.push(Field::new(DELETED, DataType::Boolean, true));
        }
        fields.extend(self.features.iter().map(typed));
        let about = [
            ("plumb.view".to_owned(), view.id.to_string()),
            ("plumb.fingerprint".to_owned(), view.fingerprint.to_string()),
        ];
        Arc::new(Schema::new(fields).with_metadata(about.into()))
    }

    /// Rows whose event time or key is null never match anything and are left out.
    fn convert(&self, batch: &RecordBatch, position: u64, schema: &SchemaRef) -> Result<RecordBatch, String> {
        let n = batch.num_rows();
        let typed = |(at, name, dtype): &(usize, String, Dtype)| {
            cast::conform(batch.column(*at), *dtype, None).map_err(|why| format!("column `{name}`: {why}"))
        };
        let times = |at: usize| cast::times(batch.column(at), None).map_err(|why| format!("a time: {why}"));
        let mut columns: Vec<ArrayRef> = self.keys.iter().map(typed).collect::<Result<_, _>>()?;
        let event_time: ArrayRef = Arc::new(times(self.event_time)?);
        let mut keep: BooleanArray = is_not_null(&event_time).map_err(|why| why.to_string())?;
        for key in &columns {
            let there = is_not_null(key).map_err(|why| why.to_string())?;
            keep = and(&keep, &there).map_err(|why| why.to_string())?;
        }
        columns.push(event_time);
        if let Some(at) = self.created_time {
            columns.push(Arc::new(times(at)?));
        }
        columns.push(Arc::new(match self.sequence {
            Some(at) => sequence_column(batch.column(at)).map_err(|why| format!("the sequence: {why}"))?,
            None => UInt64Array::from_iter_values(position..position + n as u64),
        }));
        if let Some(at) = self.deleted {
            columns.push(Arc::new(batch.column(at).as_boolean().clone()));
        }
        for feature in &self.features {
            columns.push(typed(feature)?);
        }
        let whole = RecordBatch::try_new(SchemaRef::clone(schema), columns).map_err(|why| why.to_string())?;
        if keep.false_count() == 0 {
            return Ok(whole);
        }
        filter_record_batch(&whole, &keep).map_err(|why| why.to_string())
    }
}
