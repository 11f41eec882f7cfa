//! One prediction by its id.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{TimestampNanosecondType, UInt32Type};
use featurestore::CompiledService;
use featurestore::caught::caught;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use schema::{BoxError, Fingerprint, Timestamp};
use uuid::Uuid;

use super::read::{LogFile, LogReadError, LoggedRows, paths};
use super::rows::{ID, OUTPUT};

/// What the log has of a prediction.
#[derive(Debug)]
pub struct Logged {
    /// Its id.
    pub id: Uuid,
    /// The service version that its features are of.
    pub service: Fingerprint,
    /// The model that answered.
    pub model: String,
    /// Its version.
    pub version: u32,
    /// The digest of that version's file.
    pub digest: String,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// The instant that the features are of.
    pub as_of: Option<Timestamp>,
    /// Whether the project fixed its clock.
    pub clock_fixed: bool,
    /// What the model said: outputs by name, each as JSON.
    pub outputs: Vec<(String, String)>,
    file: LogFile,
    row: RecordBatch,
}

impl Logged {
    /// Keys, features, statuses and times, as rows of the service version that they are of.
    ///
    /// # Errors
    /// [`LogReadError::Column`]: the file is of another service.
    pub fn rows(&self, compiled: &CompiledService) -> Result<LoggedRows, LogReadError> {
        self.file.rows(compiled, &self.row)
    }
}

/// The prediction `id` in the log under `folder`, if it is there. Files that are damaged hide no other: they are told only where
/// the prediction is in none.
///
/// # Errors
/// [`LogReadError`].
pub fn find(folder: &Path, id: Uuid) -> Result<Option<Logged>, LogReadError> {
    let mut damaged = None;
    for path in likely(paths(folder)?, id) {
        let found = caught(|| look(&path, id));
        match found {
            Ok(None) => {}
            Ok(Some(row)) => return read(path, id, row).map(Some),
            // It grew too old meanwhile.
            Err(_) if !path.exists() => {}
            Err(why) => damaged = Some(LogReadError::Read { path: path.display().to_string(), source: why }),
        }
    }
    damaged.map_or(Ok(None), Err)
}

/// The likeliest first: ids and the names of files are of their times, and a prediction is written soon after it was answered.
fn likely(mut paths: Vec<PathBuf>, id: Uuid) -> Vec<PathBuf> {
    let name = |path: &PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let id = id.to_string();
    paths.sort_by_cached_key(|path| {
        let name = name(path);
        (name < id, name)
    });
    paths
}

/// The row of a file.
fn look(path: &Path, id: Uuid) -> Result<Option<RecordBatch>, BoxError> {
    let id = id.to_string();
    // One file, whatever takes its place meanwhile.
    let file = File::open(path)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.try_clone()?)?;
    let ids = ProjectionMask::columns(builder.parquet_schema(), [ID]);
    let mut at = 0;
    for batch in builder.with_projection(ids).build()? {
        let batch = batch?;
        let Some(ids) = batch.columns().first().and_then(|ids| ids.as_string_opt::<i32>()) else { return Ok(None) };
        if let Some(row) = ids.iter().position(|known| known == Some(id.as_str())) {
            let here = RowSelection::from(vec![RowSelector::skip(at + row), RowSelector::select(1)]);
            let whole = ParquetRecordBatchReaderBuilder::try_new(file)?.with_row_selection(here);
            return Ok(whole.build()?.next().transpose()?);
        }
        at += batch.num_rows();
    }
    Ok(None)
}

fn read(path: PathBuf, id: Uuid, row: RecordBatch) -> Result<Logged, LogReadError> {
    let file = LogFile::of(path)?;
    let text = |name: &str| -> Result<String, LogReadError> {
        let column = file.column(&row, name.to_owned())?;
        Ok(column.as_string_opt::<i32>().map(|texts| texts.value(0).to_owned()).unwrap_or_default())
    };
    let time = |name: &str| -> Result<Option<Timestamp>, LogReadError> {
        let column = file.column(&row, name.to_owned())?;
        let times = column.as_primitive_opt::<TimestampNanosecondType>();
        Ok(times.and_then(|times| times.iter().next().flatten()).map(Timestamp::from_nanos))
    };
    let version = file.column(&row, "model_version".to_owned())?;
    let fixed = file.column(&row, "clock_fixed".to_owned())?;
    let outputs = row.schema_ref().fields().iter().filter_map(|field| {
        let name = field.name().strip_prefix(OUTPUT)?;
        Some((name.to_owned(), text(field.name())))
    });
    let outputs = outputs.map(|(name, said)| Ok((name, said?))).collect::<Result<_, LogReadError>>()?;
    Ok(Logged {
        id,
        service: file.service,
        model: text("model")?,
        version: version.as_primitive_opt::<UInt32Type>().map(|numbers| numbers.value(0)).unwrap_or_default(),
        digest: text("model_digest")?,
        answered_at: time("answered_at")?,
        as_of: time("as_of")?,
        clock_fixed: fixed.as_boolean_opt().is_some_and(|fixed| fixed.value(0)),
        outputs,
        file,
        row,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn file(folder: &Path, ids: &[Uuid]) -> PathBuf {
        let path = folder.join("service").join(format!("{}.parquet", Uuid::now_v7()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let ids: ArrayRef = Arc::new(StringArray::from_iter_values(ids.iter().map(Uuid::to_string)));
        let rows = RecordBatch::try_from_iter([(ID, ids)]).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        path
    }

    #[test]
    fn a_row_is_found_in_its_file_which_is_looked_into_first() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<(Vec<Uuid>, PathBuf)> = (0..3)
            .map(|_| {
                let ids: Vec<Uuid> = (0..3_000).map(|_| Uuid::now_v7()).collect();
                let path = file(folder.path(), &ids);
                // Names are of milliseconds.
                std::thread::sleep(std::time::Duration::from_millis(2));
                (ids, path)
            })
            .collect();
        for (ids, path) in &files {
            for id in [ids[0], ids[1_500], ids[2_999]] {
                assert_eq!(&likely(paths(folder.path()).unwrap(), id)[0], path);
                let row = look(path, id).unwrap().unwrap();
                assert_eq!((row.num_rows(), row.column(0).as_string::<i32>().value(0)), (1, id.to_string().as_str()));
            }
        }
        assert!(find(folder.path(), Uuid::now_v7()).unwrap().is_none());
        assert!(find(&folder.path().join("none"), Uuid::now_v7()).unwrap().is_none());
        std::fs::write(&files[0].1, b"PAR1").unwrap();
        let why = find(folder.path(), Uuid::now_v7()).unwrap_err();
        assert!(why.to_string().contains(&files[0].1.display().to_string()), "{why}");
    }
}
