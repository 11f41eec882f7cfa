//! A training set as a Parquet file that says what it was made of.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::TrainingSet;
use crate::offline::OfflineError;

/// Writes `set` to `path`, whole or not at all, with the report in the file's key-value metadata (`plumb.*`).
///
/// # Errors
/// [`OfflineError::Write`].
pub fn parquet(set: &TrainingSet, path: &Path) -> Result<(), OfflineError> {
    let fail = |why: schema::BoxError| OfflineError::Write { path: path.display().to_string(), source: why };
    let report = &set.report;
    let about = [
        ("plumb.service", report.service.clone()),
        ("plumb.service_version", report.service_version.to_string()),
        ("plumb.service_fingerprint", report.service_fingerprint.to_string()),
        ("plumb.filled", report.filled.to_string()),
        ("plumb.report", serde_json::to_string(report).map_err(|why| fail(why.into()))?),
    ];
    // Readers of Arrow look into the schema's metadata, others into the file's.
    let owned = about.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let schema = Arc::new(set.rows.schema().as_ref().clone().with_metadata(owned));
    let rows = set.rows.clone().with_schema(SchemaRef::clone(&schema)).map_err(|why| fail(why.into()))?;
    let about = about.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(Some(about)).build();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut out = tempfile::NamedTempFile::new_in(folder).map_err(|why| fail(why.into()))?;
    let mut writer =
        ArrowWriter::try_new(out.as_file_mut(), schema, Some(properties)).map_err(|why| fail(why.into()))?;
    writer.write(&rows).map_err(|why| fail(why.into()))?;
    writer.close().map_err(|why| fail(why.into()))?;
    out.as_file().sync_all().map_err(|why| fail(why.into()))?;
    out.persist(path).map_err(|why| fail(why.error.into()))?;
    Ok(())
}
