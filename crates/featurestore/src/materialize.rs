//! From history to the online store: the current row of every key, and the rows whose time has yet to come.
//!
//! Two passes over the history: one over keys and times finds the rows to keep (O(keys) memory), one gathers their
//! values. Every write merges by newest-wins, so running again, or running after a kill at any step, gives the same
//! store. The watermark is written last, into the same store, once the data is durable.

use std::fmt;

use hashbrown::HashMap;
use schema::{EntityKey, FeatureView, RowOrder, Timestamp, ViewId};

use crate::codec::{RowCodec, stored};
use crate::offline::OfflineError;
use crate::offline::history::{History, Unit};
use crate::online::cell::{Cell, OnlineRow};
use crate::online::{OnlineError, OnlineStore, watermark};

/// Keys written in one call.
const KEYS_PER_WRITE: usize = 4_096;

/// What went wrong while materializing.
#[derive(Debug, thiserror::Error)]
pub enum MaterializeError {
    /// The history could not be read.
    #[error("materializing `{view}`")]
    Offline {
        /// The view version.
        view: String,
        /// Why.
        #[source]
        source: OfflineError,
    },
    /// The online store could not be written.
    #[error("materializing `{view}`")]
    Online {
        /// The view version.
        view: String,
        /// Why.
        #[source]
        source: OnlineError,
    },
}

/// What a materialization did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Materialized {
    /// The view version.
    pub view: String,
    /// Digest of the state of the data.
    pub data_version: schema::Fingerprint,
    /// History rows read.
    pub n_rows: u64,
    /// Rows without a key or an event time; they never match anything.
    pub n_rejected: u64,
    /// Keys that have a row.
    pub n_keys: usize,
    /// Rows kept: one for each key, and one more for each future row.
    pub n_kept: usize,
    /// Keys whose stored row changed.
    pub n_written: usize,
    /// The instant up to which rows count as current.
    pub horizon: Timestamp,
}

/// Progress of a materialization: rows scanned or keys written, of how many.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// History rows read so far, of all.
    Scanned(u64, u64),
    /// Keys written so far, of all.
    Written(usize, usize),
}

/// Brings the whole history of a view version online; `horizon` is now.
///
/// # Errors
/// [`MaterializeError`]; what was written stays and is right, running again completes it.
pub async fn materialize(
    view: &FeatureView,
    history: &History,
    store: &dyn OnlineStore,
    horizon: Timestamp,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Materialized, MaterializeError> {
    let name = || view.id.to_string();
    let offline = |source| MaterializeError::Offline { view: name(), source };
    let online = |source| MaterializeError::Online { view: name(), source };

    let kept = keep(view, history, horizon, progress).map_err(offline)?;
    let load = begin(view, history, store, horizon).await.map_err(online)?;
    let rows = values(view, history, &kept, load).map_err(offline)?;
    let n_kept = rows.len();
    let mut cells = cells(kept.keys, rows, horizon);
    let n_keys = cells.len();
    // In key order: neighbours share pages of the embedded store, and two runs write alike.
    cells.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut n_written = 0;
    for (i, chunk) in cells.chunks(KEYS_PER_WRITE).enumerate() {
        n_written += store.put_many(&view.id, chunk, horizon).await.map_err(online)?.written;
        progress(Progress::Written((i * KEYS_PER_WRITE + chunk.len()).min(n_keys), n_keys));
    }
    let done = Materialized {
        view: name(),
        data_version: history.data_version(),
        n_rows: history.n_rows() + history.n_left_out(),
        n_rejected: kept.n_rejected + history.n_left_out(),
        n_keys,
        n_kept,
        n_written,
        horizon,
    };
    let text = Mark { format: 1, data_version: done.data_version, load, complete: true }.to_string();
    watermark::put_watermark(store, &view.id, horizon, &text).await.map_err(online)?;
    Ok(done)
}

/// What the watermark of a view says.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Mark {
    format: u32,
    data_version: schema::Fingerprint,
    /// Grows with every new state of the data that is brought online.
    load: u64,
    complete: bool,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_unwritable| fmt::Error)?)
    }
}

/// Whether a view version has been brought online, whole, at least once since the store was empty.
///
/// # Errors
/// What the store fails with.
pub async fn is_materialized(view: &ViewId, store: &dyn OnlineStore) -> Result<bool, OnlineError> {
    Ok(watermark::get_watermark(store, view).await?.is_some())
}

/// The number of this load, announced before its first row: a run of the same data after a kill continues it, and a run
/// of other data comes after it.
async fn begin(
    view: &FeatureView,
    history: &History,
    store: &dyn OnlineStore,
    horizon: Timestamp,
) -> Result<u64, OnlineError> {
    let before = watermark::get_watermark(store, &view.id).await?;
    let before = before.and_then(|(_, text)| serde_json::from_str::<Mark>(&text).ok());
    let data_version = history.data_version();
    match before {
        Some(mark) if mark.data_version == data_version => Ok(mark.load),
        other => {
            let load = other.map_or(1, |mark| mark.load + 1);
            let text = Mark { format: 1, data_version, load, complete: false }.to_string();
            watermark::put_watermark(store, &view.id, horizon, &text).await?;
            Ok(load)
        }
    }
}

/// One row that is kept for a key.
#[derive(Debug, Clone, Copy)]
struct Kept {
    order: RowOrder,
    visible_from: Timestamp,
    row: u64,
    deleted: bool,
    /// Another row stands at the same place.
    tied: bool,
}

#[derive(Debug, Default)]
struct KeptRows {
    keys: HashMap<Vec<u8>, u32>,
    /// By key number: the rows that can still answer, oldest first.
    rows: Vec<Vec<Kept>>,
    n_rejected: u64,
}

fn keep(
    view: &FeatureView,
    history: &History,
    horizon: Timestamp,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<KeptRows, OfflineError> {
    let visibility = view.visibility();
    let mut kept = KeptRows::default();
    let total = history.n_rows();
    let mut scanned = 0;
    for unit in history.units() {
        history.scan_order(unit, |batch| {
            let KeptRows { keys, rows, n_rejected } = &mut kept;
            *n_rejected += batch.n_rejected();
            EntityKey::each(&batch.keys, batch.len(), |i, key| {
                let (Some(key), Some(order)) = (key, batch.order(i)) else { return };
                let next = u32::try_from(keys.len()).unwrap_or(u32::MAX);
                let number = *keys.entry_ref(key).or_insert(next) as usize;
                if number == rows.len() {
                    rows.push(Vec::with_capacity(1));
                }
                let row = batch.first_row + i as u64;
                let visible_from = visibility.visible_from(&order);
                let offer = Kept { order, visible_from, row, deleted: batch.deleted(i), tied: false };
                offer_to(&mut rows[number], offer, horizon);
            });
            scanned += batch.len() as u64;
            progress(Progress::Scanned(scanned, total));
            Ok(())
        })?;
    }
    // A tie matters only where it would decide an answer.
    if let Some(tied) = kept.rows.iter().flatten().find(|row| row.tied && history.has_explicit_sequence()) {
        let (event_time, sequence) = (tied.order.event_time, tied.order.sequence);
        return Err(OfflineError::Tie { view: view.id.name.to_string(), event_time, sequence });
    }
    Ok(kept)
}

/// Adds a row to a key's staircase, ascending both in order and in the time from which it is visible.
fn offer_to(steps: &mut Vec<Kept>, offer: Kept, horizon: Timestamp) {
    if let Some(step) = steps.iter_mut().find(|step| step.order == offer.order) {
        step.tied = true;
        return;
    }
    if steps.iter().any(|step| step.order > offer.order && step.visible_from <= offer.visible_from) {
        return;
    }
    steps.retain(|step| !(step.order < offer.order && step.visible_from >= offer.visible_from));
    let at = steps.partition_point(|step| step.order < offer.order);
    steps.insert(at, offer);
    let current = steps.iter().rposition(|step| step.visible_from <= horizon).unwrap_or(0);
    steps.drain(..current);
}

/// A kept row with its packed values and the number of its key.
struct Packed {
    key: u32,
    row: OnlineRow,
}

fn values(view: &FeatureView, history: &History, kept: &KeptRows, load: u64) -> Result<Vec<Packed>, OfflineError> {
    let codec = RowCodec::new(view.definition.features.iter().map(|f| f.dtype));
    let features: Vec<usize> = (0..view.definition.features.len()).collect();
    let mut wanted: Vec<(Kept, u32)> = Vec::new();
    for (key, steps) in (0..).zip(&kept.rows) {
        wanted.extend(steps.iter().map(|step| (*step, key)));
    }
    wanted.sort_unstable_by_key(|(step, _)| step.row);
    let mut jobs: Vec<(Unit, &[(Kept, u32)])> = Vec::new();
    let mut rest = wanted.as_slice();
    for unit in history.units() {
        let here = rest.partition_point(|(step, _)| step.row < unit.first_row + unit.n_rows as u64);
        let (now, later) = rest.split_at(here);
        if !now.is_empty() {
            jobs.push((unit, now));
        }
        rest = later;
    }
    let packed = crate::offline::parallel(&jobs, |(unit, steps)| {
        let offset = |step: &Kept| u32::try_from(step.row - unit.first_row).unwrap_or(u32::MAX);
        let rows: Vec<u32> = steps.iter().map(|(step, _)| offset(step)).collect();
        let columns = history.gather(*unit, &features, &rows)?;
        let pack = |(i, (step, key)): (usize, &(Kept, u32))| {
            let row = (!step.deleted).then(|| codec.encode(&columns, i));
            Packed { key: *key, row: online_row(step.order, step.visible_from, load, row.as_deref()) }
        };
        Ok::<_, OfflineError>(steps.iter().enumerate().map(pack).collect::<Vec<_>>())
    })?;
    Ok(packed.into_iter().flatten().collect())
}

/// A row as the online store keeps it; without values it is a tombstone.
///
/// The mark of deletion is in the payload, behind the load: in the cell's own flags it would outlive a later load that
/// takes it back.
pub fn online_row(order: RowOrder, visible_from: Timestamp, load: u64, row: Option<&[u8]>) -> OnlineRow {
    OnlineRow { order, visible_from, deleted: false, payload: stored(load, row) }
}

fn cells(keys: HashMap<Vec<u8>, u32>, mut rows: Vec<Packed>, horizon: Timestamp) -> Vec<(EntityKey, Cell)> {
    rows.sort_by_key(|packed| packed.key);
    let mut by_key: Vec<Vec<OnlineRow>> = Vec::with_capacity(keys.len());
    for packed in rows {
        if by_key.len() <= packed.key as usize {
            by_key.resize_with(packed.key as usize + 1, Vec::new);
        }
        by_key[packed.key as usize].push(packed.row);
    }
    let cell = |(key, number): (Vec<u8>, u32)| {
        let rows = by_key.get_mut(number as usize).map(std::mem::take).unwrap_or_default();
        (EntityKey::from_bytes(&key), Cell::of(&rows, horizon))
    };
    keys.into_iter().map(cell).collect()
}
