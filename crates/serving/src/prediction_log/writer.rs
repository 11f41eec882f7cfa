//! The writer thread: gathers predictions by model version and writes a file when there are many, or when time is up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use featurestore::CompiledService;
use featurestore::compiled::CompiledView;
use featurestore::erase::Tombstones;
use featurestore::erase::tombstones::filters_for;
use featurestore::offline::whole;
use metrics::counter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schema::error::chain;
use schema::{Clock, Fingerprint, ModelName};
use tracing::error;
use uuid::Uuid;

use super::room::{Room, Taken};
use super::sample::KeySample;
use super::{LogConfig, Message, retention, rows};
use crate::scorer::Prediction;

/// How often is looked for files that are too old.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Predictions made rows at once: as they came, each holds many small allocations.
const COMPACT_AT: usize = 1_024;

/// What waits for its file: predictions of one model version, from features of one service version.
struct Waiting {
    service: Fingerprint,
    /// For each view, the names of its join keys, and of the log's columns that have their values.
    uses: Vec<(Vec<String>, Vec<String>)>,
    loose: Vec<Arc<Prediction>>,
    /// The room that all of it takes.
    taken: Vec<Taken>,
    batches: Vec<RecordBatch>,
}

type ByVersion = BTreeMap<(ModelName, u32, Fingerprint), Waiting>;

pub(super) fn run(folder: &Path, config: &LogConfig, entries: &Receiver<Message>, room: &Room) {
    let mut waiting = ByVersion::new();
    let (mut n_rows, mut n_bytes) = (0, 0);
    let mut oldest: Option<Instant> = None;
    let mut swept: Option<Instant> = None;
    loop {
        if let Some(keep) = config.keep
            && swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY)
        {
            retention::sweep(folder, keep, Clock::wall());
            swept = Some(Instant::now());
        }
        let waited = oldest.map_or_else(Default::default, |since| since.elapsed());
        match entries.recv_timeout(config.flush_every.saturating_sub(waited)) {
            Ok(Message::Prediction(prediction, taken)) => {
                n_rows += prediction.entities.n;
                n_bytes += taken.bytes;
                oldest.get_or_insert_with(Instant::now);
                let version = &prediction.model.version;
                let service = prediction.read().service.fingerprint;
                let place = waiting.entry((version.name.clone(), version.version, service));
                let place = place.or_insert_with(|| Waiting {
                    service,
                    uses: uses(prediction.read()),
                    loose: Vec::new(),
                    taken: Vec::new(),
                    batches: Vec::new(),
                });
                place.loose.push(prediction);
                place.taken.push(taken);
                if place.loose.len() >= COMPACT_AT {
                    place.compact(room);
                }
            }
            Ok(Message::Flush(done)) => {
                let result = flush(folder, config, &mut waiting, room);
                (n_rows, n_bytes, oldest) = (0, 0, None);
                // Whoever asked may be gone; the files are written all the same.
                drop(done.send(result));
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                report(flush(folder, config, &mut waiting, room));
                return;
            }
        }
        let due = oldest.is_some_and(|since| since.elapsed() >= config.flush_every);
        // Half of the room is for what comes while a file is written.
        if n_rows >= config.rows_max || n_bytes >= config.bytes_max / 2 || due {
            report(flush(folder, config, &mut waiting, room));
            (n_rows, n_bytes, oldest) = (0, 0, None);
        }
    }
}

impl Waiting {
    fn compact(&mut self, room: &Room) {
        match rows::rows(&self.loose) {
            Ok(batch) => self.batches.push(batch),
            Err(why) => {
                let n_rows: usize = self.loose.iter().map(|p| p.entities.n).sum();
                room.lose(n_rows as u64);
                error!("{n_rows} predictions could not be made rows of the log: {why}");
            }
        }
        self.loose.clear();
    }
}

fn report(result: Result<(), String>) {
    if let Err(why) = result {
        error!("{why}");
    }
}

/// Writes one file per model version; what cannot be written is dropped and counted.
fn flush(folder: &Path, config: &LogConfig, waiting: &mut ByVersion, room: &Room) -> Result<(), String> {
    let mut result = Ok(());
    for (_, mut place) in std::mem::take(waiting) {
        if !place.loose.is_empty() {
            place.compact(room);
        }
        let n_rows: usize = place.batches.iter().map(RecordBatch::num_rows).sum();
        let kept = not_erased(config.erased.as_deref(), &place.uses, place.batches);
        let kept = kept.and_then(|batches| sampled(config.sample, batches));
        if let Err(why) = kept.and_then(|batches| write(folder, &place.service, &batches)) {
            room.lose(n_rows as u64);
            result =
                Err(format!("{n_rows} rows of the prediction log are lost: writing to `{}`: {why}", folder.display()));
        }
    }
    result
}

/// Names of keys, and of the columns of the log that hold them.
fn uses(compiled: &CompiledService) -> Vec<(Vec<String>, Vec<String>)> {
    let of = |view: &Arc<CompiledView>| {
        let names = view.view.keys().iter().map(|key| key.name.to_string()).collect();
        (names, view.keys.iter().map(|key| format!("{}{}", rows::KEY, key.name)).collect())
    };
    compiled.views.iter().map(of).collect()
}

/// The rows whose keys were not erased: who was erased is not written down again.
fn not_erased(
    offline: Option<&Path>,
    uses: &[(Vec<String>, Vec<String>)],
    batches: Vec<RecordBatch>,
) -> Result<Vec<RecordBatch>, String> {
    let Some(offline) = offline else { return Ok(batches) };
    let tombstones = Tombstones::load(offline).map_err(|why| chain(&why))?;
    let named = uses.iter().map(|(names, columns)| (names.iter().map(String::as_str).collect(), columns.clone()));
    let filters = filters_for(&tombstones, named);
    if filters.is_empty() {
        return Ok(batches);
    }
    let keep = |batch: RecordBatch| {
        let mut keep = vec![true; batch.num_rows()];
        for (columns, filter) in &filters {
            let keys = columns.iter().map(|name| batch.column_by_name(name).cloned()).collect::<Option<Vec<_>>>();
            let erased = keys.and_then(|keys| filter.erased(&keys, batch.num_rows()));
            for (keep, erased) in keep.iter_mut().zip(erased.into_iter().flatten()) {
                *keep &= !erased;
            }
        }
        filter_record_batch(&batch, &BooleanArray::from(keep)).map_err(|why| chain(&why))
    };
    let kept = batches.into_iter().map(keep).collect::<Result<Vec<_>, _>>()?;
    Ok(kept.into_iter().filter(|batch| batch.num_rows() > 0).collect())
}

/// The rows of the sampled entities. Others were answered like them, and are counted.
fn sampled(sample: KeySample, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, String> {
    let one = |batch: &RecordBatch| {
        let is_key = |name: &str| name.starts_with(rows::KEY);
        let columns = batch.schema_ref().fields().iter().zip(batch.columns());
        let keys: Vec<ArrayRef> =
            columns.filter(|(field, _)| is_key(field.name())).map(|(_, column)| ArrayRef::clone(column)).collect();
        let kept = sample.rows(batch, &keys).map_err(|why| chain(&why))?;
        let left_out = batch.num_rows() - kept.num_rows();
        if left_out > 0 {
            counter!("plumb_prediction_log_sampled_out_total").increment(left_out as u64);
        }
        Ok(kept)
    };
    let kept = batches.iter().map(one).collect::<Result<Vec<_>, String>>()?;
    Ok(kept.into_iter().filter(|batch| batch.num_rows() > 0).collect())
}

fn write(folder: &Path, service: &Fingerprint, batches: &[RecordBatch]) -> Result<(), String> {
    let folder = folder.join(service.short());
    std::fs::create_dir_all(&folder).map_err(|why| chain(&why))?;
    let Some(first) = batches.first() else { return Ok(()) };
    let all = concat_batches(&first.schema(), batches).map_err(|why| chain(&why))?;
    let about = vec![
        KeyValue::new(rows::FORMAT_KEY.to_owned(), rows::FORMAT.to_owned()),
        KeyValue::new("plumb.service_fingerprint".to_owned(), service.to_string()),
    ];
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(Some(about)).build();
    let mut out = whole::begin(&folder).map_err(|why| chain(&why))?;
    let mut writer =
        ArrowWriter::try_new(out.as_file_mut(), all.schema(), Some(properties)).map_err(|why| chain(&why))?;
    writer.write(&all).map_err(|why| chain(&why))?;
    writer.close().map_err(|why| chain(&why))?;
    whole::finish(out, &folder.join(format!("{}.parquet", Uuid::now_v7()))).map_err(|why| chain(&why))
}
