//! The writer thread: gathers rows by service and writes a file when there are many, or when time is up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use metrics::counter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schema::{Fingerprint, error::chain};
use tracing::error;
use uuid::Uuid;

use super::{LogConfig, Message, rows};

/// Rows waiting for their file, by the fingerprint of their service and the version of their model.
type Waiting = BTreeMap<(Fingerprint, Fingerprint), Vec<RecordBatch>>;

pub(super) fn run(folder: &Path, config: &LogConfig, entries: &Receiver<Message>) {
    let mut waiting = Waiting::new();
    let mut n_rows = 0;
    let mut oldest = None;
    loop {
        let patience =
            oldest.map_or(config.flush_every, |since: Instant| config.flush_every.saturating_sub(since.elapsed()));
        match entries.recv_timeout(patience) {
            Ok(Message::Prediction(prediction)) => match rows::rows(&prediction) {
                Ok(batch) => {
                    n_rows += batch.num_rows();
                    oldest.get_or_insert_with(Instant::now);
                    let service = prediction.model.compiled.service.fingerprint;
                    waiting.entry((service, prediction.model.version.digest)).or_default().push(batch);
                }
                Err(why) => {
                    counter!("plumb_prediction_log_dropped_total").increment(1);
                    error!("a prediction could not be made a row of the log: {why}");
                }
            },
            Ok(Message::Flush(done)) => {
                let result = flush(folder, &mut waiting);
                (n_rows, oldest) = (0, None);
                // Whoever asked may be gone; the files are written all the same.
                drop(done.send(result));
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                report(flush(folder, &mut waiting));
                return;
            }
        }
        let due = oldest.is_some_and(|since| since.elapsed() >= config.flush_every);
        if n_rows >= config.rows_max || due {
            report(flush(folder, &mut waiting));
            (n_rows, oldest) = (0, None);
        }
    }
}

fn report(result: Result<(), String>) {
    if let Err(why) = result {
        error!("{why}");
    }
}

/// Writes one file per service and model; what cannot be written is dropped and counted.
fn flush(folder: &Path, waiting: &mut Waiting) -> Result<(), String> {
    let mut result = Ok(());
    for ((service, _), batches) in std::mem::take(waiting) {
        let n_rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if let Err(why) = write(folder, &service, &batches) {
            counter!("plumb_prediction_log_dropped_total").increment(n_rows as u64);
            result =
                Err(format!("{n_rows} rows of the prediction log are lost: writing to `{}`: {why}", folder.display()));
        }
    }
    result
}

fn write(folder: &Path, service: &Fingerprint, batches: &[RecordBatch]) -> Result<(), String> {
    let folder = folder.join(service.short());
    std::fs::create_dir_all(&folder).map_err(|why| chain(&why))?;
    let Some(first) = batches.first() else { return Ok(()) };
    let whole = concat_batches(&first.schema(), batches).map_err(|why| chain(&why))?;
    let about = vec![
        KeyValue::new("plumb.format".to_owned(), rows::FORMAT.to_owned()),
        KeyValue::new("plumb.service_fingerprint".to_owned(), service.to_string()),
    ];
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(Some(about)).build();
    let mut out = tempfile::Builder::new().prefix(".writing-").tempfile_in(&folder).map_err(|why| chain(&why))?;
    let mut writer =
        ArrowWriter::try_new(out.as_file_mut(), whole.schema(), Some(properties)).map_err(|why| chain(&why))?;
    writer.write(&whole).map_err(|why| chain(&why))?;
    writer.close().map_err(|why| chain(&why))?;
    out.as_file().sync_all().map_err(|why| chain(&why))?;
    let name = folder.join(format!("{}.parquet", Uuid::now_v7()));
    out.persist(name).map_err(|why| chain(&why.error))?;
    Ok(())
}
