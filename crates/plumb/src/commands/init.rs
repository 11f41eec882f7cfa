//! `plumb init`: a small project that works, to change into one's own.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use schema::Timestamp;

use crate::cli::Format;
use crate::config::MAIN_FILE;
use crate::failure::Failure;
use crate::output;

const CONFIG: &str = include_str!("init/plumb.yaml");
const DEFINITIONS: &str = include_str!("init/features.yaml");

/// Writes the project; nothing that exists is overwritten.
///
/// # Errors
/// A file of the project exists already, or the folder cannot be written.
pub fn init(dir: &Path, format: Format) -> Result<ExitCode, Failure> {
    let files = [MAIN_FILE, "features.yaml", "data/trips.parquet"];
    if let Some(there) = files.iter().find(|file| dir.join(file).exists()) {
        let message = format!("`{}` exists already", dir.join(there).display());
        return Err(Failure::new(schema::ErrorKind::Conflict, message).hint("choose another folder: plumb init DIR"));
    }
    let fail = |why: std::io::Error| Failure::invalid(format!("writing to `{}`: {why}", dir.display()));
    std::fs::create_dir_all(dir.join("data")).map_err(fail)?;
    let folder = dir.canonicalize().map_err(fail)?;
    let name: String = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' })
        .collect();
    let name = if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("project_{name}") };
    std::fs::write(dir.join(MAIN_FILE), CONFIG.replace("PROJECT", &name)).map_err(fail)?;
    std::fs::write(dir.join("features.yaml"), DEFINITIONS).map_err(fail)?;
    trips(&dir.join("data/trips.parquet"))
        .map_err(|why| Failure::invalid(format!("writing the example's data: {why}")))?;
    let shown = dir.display();
    output::answer(format, &serde_json::json!({ "project": name, "files": files }), || {
        format!(
            "made project `{name}` in {shown}\nnext:\n  plumb apply --project {shown} --yes\n  plumb materialize --project {shown}\n  \
             plumb features get --project {shown} driver_trips:trips --entity driver_id=1,2,9\n"
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// Three drivers' trips so far, hour by hour, in the days before 2026-01-01.
fn trips(path: &Path) -> Result<(), schema::BoxError> {
    let start = Timestamp::parse("2025-12-29")?.as_nanos() / 1_000;
    let (mut drivers, mut times, mut counts, mut ratings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for hour in 0..72_i64 {
        for driver in 1..=3_i64 {
            drivers.push(driver);
            times.push(start + hour * 3_600_000_000);
            counts.push((hour + 1) * driver);
            ratings.push(f64::from(i32::try_from(40 + (hour * driver) % 10)?) / 10.0);
        }
    }
    let batch = RecordBatch::try_from_iter([
        ("driver_id", Arc::new(Int64Array::from(drivers)) as arrow::array::ArrayRef),
        ("event_time", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))),
        ("trips", Arc::new(Int64Array::from(counts))),
        ("rating", Arc::new(Float64Array::from(ratings))),
    ])?;
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
