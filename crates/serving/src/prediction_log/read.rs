//! Reading the log back: for each service, the rows that were answered with it.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{TimestampNanosecondType, UInt8Type};
use arrow::error::ArrowError;
use featurestore::caught::caught;
use featurestore::compiled::CompiledView;
use featurestore::offline::history::Held;
use featurestore::retrieve::EntityRows;
use featurestore::{CompiledService, FeatureRows};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::{BoxError, Fingerprint, Status, Timestamp};

use super::held;
use super::rows::{FEATURE, FORMAT, FORMAT_KEY, ID, KEY, REQUEST, STATUS, event_time_of, held_of};
use super::sample::KeySample;

/// Why the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// A file or folder cannot be read.
    #[error("reading the prediction log `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A file has not the columns of its service.
    #[error("`{path}` of the prediction log has no column `{column}`")]
    Column {
        /// The file.
        path: String,
        /// The column.
        column: String,
    },
}

/// One file of the log.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    /// The service that its rows were answered with.
    pub service: Fingerprint,
}

/// Rows of the log, in the shapes that the comparison takes.
#[derive(Debug, Clone)]
pub struct LoggedRows {
    /// Prediction ids.
    pub ids: Vec<String>,
    /// The keys and request fields.
    pub entities: EntityRows,
    /// The instants.
    pub as_of: Vec<Option<Timestamp>>,
    /// The features as they were served.
    pub features: FeatureRows,
    /// For each view, the state of its data that each row was answered from; `None` where the log does not say.
    pub held: Vec<Vec<Option<Held>>>,
}

/// The files of a log, oldest first, and those that are none: a file that cannot be read must not hide the others.
///
/// # Errors
/// [`LogReadError::Read`] if a folder cannot be listed.
pub fn files(folder: &Path) -> Result<(Vec<LogFile>, Vec<LogReadError>), LogReadError> {
    let (mut files, mut damaged) = (Vec::new(), Vec::new());
    for path in paths(folder)? {
        match LogFile::of(path.clone()) {
            Ok(file) => files.push(file),
            // It grew too old meanwhile.
            Err(_) if !path.exists() => {}
            Err(why) => damaged.push(why),
        }
    }
    Ok((files, damaged))
}

/// The paths of a log's files, in order.
///
/// # Errors
/// As [`files`].
pub(super) fn paths(folder: &Path) -> Result<Vec<PathBuf>, LogReadError> {
    let fail = |path: &Path, why: std::io::Error| unread(path, why.into());
    let mut paths = Vec::new();
    if !folder.is_dir() {
        return Ok(paths);
    }
    for service in std::fs::read_dir(folder).map_err(|why| fail(folder, why))? {
        let service = service.map_err(|why| fail(folder, why))?.path();
        if !service.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&service).map_err(|why| fail(&service, why))? {
            let path = file.map_err(|why| fail(&service, why))?.path();
            if path.extension().is_some_and(|end| end == "parquet") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Ok(paths)
}

fn unread(path: &Path, why: BoxError) -> LogReadError {
    LogReadError::Read { path: path.display().to_string(), source: why }
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, BoxError> {
    let opened = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let about = opened.metadata().file_metadata().key_value_metadata();
    let format =
        about.into_iter().flatten().find(|entry| entry.key == FORMAT_KEY).and_then(|entry| entry.value.as_deref());
    match format {
        None | Some(FORMAT) => Ok(opened),
        Some(found) => Err(format!(
            "its format is {found}, and this version reads {FORMAT}: a newer version of plumb wrote it, run that version"
        )
        .into()),
    }
}

fn fingerprint(path: &Path) -> Result<Fingerprint, BoxError> {
    let opened = open(path)?;
    let about = opened.metadata().file_metadata().key_value_metadata();
    let found = about.into_iter().flatten().find(|entry| entry.key == "plumb.service_fingerprint");
    let text = found.and_then(|entry| entry.value.clone()).ok_or("it does not say which feature service it is of")?;
    Ok(Fingerprint::try_from(text)?)
}

/// Rows recomputed at once: each pass reads the history of the service's views.
pub const ROWS_AT_ONCE: usize = 500_000;

impl LoggedRows {
    /// The keys and request fields of some rows.
    pub(crate) fn entities_of(&self, rows: &[usize]) -> Option<EntityRows> {
        let rows: UInt64Array = rows.iter().map(|row| u64::try_from(*row).ok()).collect();
        let of = |(name, column): (&String, &ArrayRef)| Some((name.clone(), take(column, &rows, None).ok()?));
        let columns = self.entities.columns.iter().map(of).collect::<Option<HashMap<_, _>>>()?;
        Some(EntityRows { n: rows.len(), columns })
    }

    /// All of `parts`, which are of one service, as one.
    ///
    /// # Errors
    /// Columns of other types: files of another service.
    pub fn join(parts: Vec<Self>) -> Result<Self, ArrowError> {
        let mut parts = parts.into_iter();
        let Some(mut all) = parts.next() else { return Err(ArrowError::InvalidArgumentError("no rows".to_owned())) };
        let mut keys: HashMap<String, Vec<ArrayRef>> = HashMap::new();
        let mut columns: Vec<Vec<ArrayRef>> = all.features.columns.iter().map(|c| vec![ArrayRef::clone(c)]).collect();
        for (name, column) in &all.entities.columns {
            keys.insert(name.clone(), vec![ArrayRef::clone(column)]);
        }
        for part in parts {
            all.ids.extend(part.ids);
            all.entities.n += part.entities.n;
            all.as_of.extend(part.as_of);
            for (name, column) in part.entities.columns {
                keys.entry(name).or_default().push(column);
            }
            for (column, more) in columns.iter_mut().zip(part.features.columns) {
                column.push(more);
            }
            for (statuses, more) in all.features.statuses.iter_mut().zip(part.features.statuses) {
                statuses.extend(more);
            }
            for (times, more) in all.features.event_times.iter_mut().zip(part.features.event_times) {
                times.extend(more);
            }
            for (held, more) in all.held.iter_mut().zip(part.held) {
                held.extend(more);
            }
        }
        let whole = |parts: &Vec<ArrayRef>| concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        all.features.columns = columns.iter().map(whole).collect::<Result<_, _>>()?;
        for (name, parts) in keys {
            all.entities.columns.insert(name, whole(&parts)?);
        }
        Ok(all)
    }
}

impl LogFile {
    /// A file, if it is one of the log.
    pub(super) fn of(path: PathBuf) -> Result<Self, LogReadError> {
        match caught(|| fingerprint(&path)) {
            Ok(service) => Ok(Self { path, service }),
            Err(why) => Err(unread(&path, why)),
        }
    }

    /// Whether it is not there any more: it grew too old since it was found.
    pub(crate) fn is_gone(&self) -> bool {
        !self.path.exists()
    }

    /// Reads the rows of the sampled entities, which were answered with `compiled`.
    ///
    /// # Errors
    /// [`LogReadError`].
    pub fn read(&self, compiled: &CompiledService, sample: KeySample) -> Result<Vec<LoggedRows>, LogReadError> {
        if self.is_gone() {
            return Ok(Vec::new());
        }
        caught(|| Ok::<_, BoxError>(self.read_rows(compiled, sample))).unwrap_or_else(|why| Err(self.damaged(why)))
    }

    pub(crate) fn open(&self) -> Result<ParquetRecordBatchReaderBuilder<File>, BoxError> {
        open(&self.path)
    }

    pub(crate) fn damaged(&self, why: BoxError) -> LogReadError {
        unread(&self.path, why)
    }

    fn read_rows(&self, compiled: &CompiledService, sample: KeySample) -> Result<Vec<LoggedRows>, LogReadError> {
        let fail = |why: BoxError| self.damaged(why);
        let reader = open(&self.path).and_then(|b| Ok(b.with_batch_size(65_536).build()?)).map_err(fail)?;
        reader
            .map(|batch| {
                let batch = batch.map_err(|why| fail(why.into()))?;
                let keys = compiled.keys().into_iter().map(|key| self.column(&batch, format!("{KEY}{}", key.name)));
                let keys = keys.collect::<Result<Vec<_>, _>>()?;
                let batch = sample.rows(&batch, &keys).map_err(|why| fail(why.into()))?;
                self.rows(compiled, &batch)
            })
            .collect()
    }

    pub(crate) fn column(&self, batch: &RecordBatch, name: String) -> Result<ArrayRef, LogReadError> {
        let found = batch.column_by_name(&name).cloned();
        found.ok_or_else(|| LogReadError::Column { path: self.path.display().to_string(), column: name })
    }

    pub(super) fn rows(&self, compiled: &CompiledService, batch: &RecordBatch) -> Result<LoggedRows, LogReadError> {
        let column = |name: String| self.column(batch, name);
        let times = |column: &ArrayRef| -> Vec<Option<Timestamp>> {
            column.as_primitive::<TimestampNanosecondType>().iter().map(|t| t.map(Timestamp::from_nanos)).collect()
        };
        let n = batch.num_rows();
        // Files from before it was written down do not have it.
        let held = |view: &CompiledView| match batch.column_by_name(&held_of(view)) {
            Some(states) => states.as_string::<i32>().iter().map(|state| held::from_text(state?)).collect(),
            None => vec![None; n],
        };
        let ids = column(ID.to_owned())?;
        let ids = ids.as_string::<i32>().iter().map(|id| id.unwrap_or_default().to_owned()).collect();
        let mut keys = HashMap::new();
        let mut event_times = Vec::new();
        for key in compiled.keys() {
            keys.insert(key.name.to_string(), column(format!("{KEY}{}", key.name))?);
        }
        for field in &compiled.fields {
            keys.insert(field.name.to_string(), column(format!("{REQUEST}{}", field.name))?);
        }
        for view in &compiled.views {
            event_times.push(times(&column(event_time_of(view))?));
        }
        let mut columns = Vec::new();
        let mut statuses = Vec::new();
        for feature in &compiled.service.columns {
            columns.push(column(format!("{FEATURE}{}", feature.name))?);
            let codes = column(format!("{STATUS}{}", feature.name))?;
            let codes = codes.as_primitive::<UInt8Type>().values().iter();
            statuses.push(codes.map(|code| Status::from_u8(*code).unwrap_or(Status::NotFound)).collect());
        }
        Ok(LoggedRows {
            ids,
            entities: EntityRows { n, columns: keys },
            as_of: times(&column("as_of".to_owned())?),
            features: FeatureRows { columns, statuses, event_times },
            held: compiled.views.iter().map(|view| held(view)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::KeyValue;

    use super::*;

    #[test]
    fn a_file_with_any_byte_damaged_is_read_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service").join("damaged.parquet");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let rows = RecordBatch::try_from_iter([("prediction_id", ids)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        let service = Fingerprint::of_bytes(b"service").to_string();
        writer.append_key_value_metadata(KeyValue::new("plumb.service_fingerprint".to_owned(), service));
        let whole = writer.into_inner().unwrap();
        let mut n_damaged = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, bytes).unwrap();
            let (files, damaged) = files(folder.path()).unwrap();
            assert_eq!(files.len() + damaged.len(), 1);
            assert!(damaged.iter().all(|why| why.to_string().contains("damaged.parquet")), "{damaged:?}");
            n_damaged += damaged.len();
        }
        assert!(n_damaged > 100, "{n_damaged} of {}", whole.len());
    }
}
