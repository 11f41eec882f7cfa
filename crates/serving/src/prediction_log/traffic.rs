//! How much of a model's traffic each of its versions answered, as the log has it.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{TimestampNanosecondType, UInt32Type};
use featurestore::caught::caught;
use parquet::arrow::ProjectionMask;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use schema::{BoxError, ModelName, Timestamp};

use super::read::{LogFile, LogReadError, files};

/// What a version answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answered {
    /// Rows.
    pub n_rows: u64,
    /// When the last of them was answered.
    pub last: Option<Timestamp>,
}

/// What each version of a model answered from `since` on under this name, by its number; and files of the log that cannot be
/// read.
///
/// # Errors
/// [`LogReadError`] if a folder cannot be listed.
pub fn traffic(
    folder: &Path,
    model: &ModelName,
    since: Timestamp,
) -> Result<(BTreeMap<u32, Answered>, Vec<LogReadError>), LogReadError> {
    let mut found = BTreeMap::new();
    let (files, mut damaged) = files(folder)?;
    for file in files {
        match caught(|| count(&file, model, since)) {
            Ok(of_file) => of_file.into_iter().for_each(|(version, more)| add(&mut found, version, more)),
            Err(why) => damaged.push(file.damaged(why)),
        }
    }
    Ok((found, damaged))
}

fn count(file: &LogFile, model: &ModelName, since: Timestamp) -> Result<BTreeMap<u32, Answered>, BoxError> {
    let reader = file.open()?;
    let names = ["answered_at", "model", "model_version"];
    let mask = ProjectionMask::columns(reader.parquet_schema(), names);
    let groups = reader.metadata().row_groups().iter().enumerate();
    let recent = groups.filter(|(_, group)| last_of(group).is_none_or(|last| last >= since.as_nanos()));
    let recent: Vec<usize> = recent.map(|(at, _)| at).collect();
    let mut found = BTreeMap::new();
    for batch in reader.with_row_groups(recent).with_projection(mask).build()? {
        count_rows(&batch?, model, since, &mut found)?;
    }
    Ok(found)
}

/// The last instant of a group of rows, where the file says it: what is older need not be read.
fn last_of(group: &RowGroupMetaData) -> Option<i64> {
    let column = group.columns().iter().find(|column| column.column_path().string() == "answered_at")?;
    match column.statistics()? {
        Statistics::Int64(found) => found.max_opt().copied(),
        _ => None,
    }
}

fn count_rows(
    batch: &RecordBatch,
    model: &ModelName,
    since: Timestamp,
    found: &mut BTreeMap<u32, Answered>,
) -> Result<(), BoxError> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it has no column `{name}`"));
    let times =
        column("answered_at")?.as_primitive_opt::<TimestampNanosecondType>().ok_or("`answered_at` is no time")?;
    let names = column("model")?.as_string_opt::<i32>().ok_or("`model` is no text")?;
    let versions = column("model_version")?.as_primitive_opt::<UInt32Type>().ok_or("`model_version` is no number")?;
    for ((at, name), version) in times.iter().zip(names).zip(versions) {
        let (Some(at), Some(version)) = (at.map(Timestamp::from_nanos), version) else { continue };
        if name == Some(model.as_str()) && at >= since {
            add(found, version, Answered { n_rows: 1, last: Some(at) });
        }
    }
    Ok(())
}

fn add(found: &mut BTreeMap<u32, Answered>, version: u32, more: Answered) {
    let known = found.entry(version).or_default();
    known.n_rows += more.n_rows;
    known.last = known.last.max(more.last);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, TimestampNanosecondArray, UInt32Array};
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::KeyValue;
    use schema::Fingerprint;

    use super::*;

    fn file(folder: &Path, name: &str, rows: &[(i64, &str, u32)]) {
        let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.0)).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 3] = [
            ("answered_at", Arc::new(times)),
            ("model", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
            ("model_version", Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.2)))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        let service = Fingerprint::of_bytes(b"service").to_string();
        writer.append_key_value_metadata(KeyValue::new("plumb.service_fingerprint".to_owned(), service));
        std::fs::create_dir_all(folder.join("service")).unwrap();
        std::fs::write(folder.join("service").join(name), writer.into_inner().unwrap()).unwrap();
    }

    #[test]
    fn rows_are_counted_by_version_from_an_instant_on() {
        let folder = tempfile::tempdir().unwrap();
        let (model, at): (ModelName, _) = ("m".parse().unwrap(), Timestamp::from_nanos);
        let none = traffic(&folder.path().join("none"), &model, at(0)).unwrap();
        assert!(none.0.is_empty() && none.1.is_empty());
        file(folder.path(), "a.parquet", &[(1, "m", 1), (5, "m", 1), (6, "other", 1)]);
        file(folder.path(), "b.parquet", &[(9, "m", 2), (7, "m", 1), (8, "m", 2)]);
        std::fs::write(folder.path().join("service/c.parquet"), "no file").unwrap();
        let (found, damaged) = traffic(folder.path(), &model, at(5)).unwrap();
        let answered = |n_rows, last| Answered { n_rows, last: Some(at(last)) };
        assert_eq!(found, BTreeMap::from([(1, answered(2, 7)), (2, answered(2, 9))]));
        assert_eq!(damaged.len(), 1, "{damaged:?}");
    }
}
