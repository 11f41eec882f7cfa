//! The rows of a history that can still answer, and their cells.

use hashbrown::HashMap;
use schema::{EntityKey, FeatureView, RowOrder, Timestamp};

use super::{Progress, Range};
use crate::codec::RowCodec;
use crate::offline::OfflineError;
use crate::offline::history::{History, Unit};
use crate::online::cell::{Cell, OnlineRow};

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

/// By key, the rows that can still answer.
#[derive(Debug, Default)]
pub(super) struct KeptRows {
    keys: HashMap<Vec<u8>, u32>,
    /// By key number, oldest first.
    rows: Vec<Vec<Kept>>,
    /// Rows without a key or an event time.
    pub(super) n_rejected: u64,
    /// Rows read.
    pub(super) n_scanned: u64,
}

/// Scans keys and times of some row groups: O(keys) memory.
pub(super) fn keep(
    view: &FeatureView,
    history: &History,
    units: &[Unit],
    horizon: Timestamp,
    range: Range,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<KeptRows, OfflineError> {
    let visibility = view.visibility();
    let mut kept = KeptRows::default();
    let total = units.iter().map(|unit| unit.n_rows as u64).sum();
    for unit in units {
        history.scan_order(*unit, |batch| {
            let KeptRows { keys, rows, n_rejected, n_scanned } = &mut kept;
            *n_rejected += batch.n_rejected();
            EntityKey::each(&batch.keys, batch.len(), |i, key| {
                let order = batch.order(i).filter(|order| range.holds(order.event_time));
                let (Some(key), Some(order)) = (key, order) else { return };
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
            *n_scanned += batch.len() as u64;
            progress(Progress::Scanned(*n_scanned, total));
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

impl KeptRows {
    /// The cells of all keys, in key order: neighbours share pages of the embedded store, and two runs write alike.
    pub(super) fn cells(
        self,
        view: &FeatureView,
        history: &History,
        horizon: Timestamp,
    ) -> Result<(Vec<(EntityKey, Cell)>, usize), OfflineError> {
        let rows = self.values(view, history)?;
        let n_kept = rows.len();
        let mut by_key: Vec<Vec<OnlineRow>> = vec![Vec::new(); self.keys.len()];
        for (key, row) in rows {
            by_key[key as usize].push(row);
        }
        let cell = |(key, number): (Vec<u8>, u32)| {
            let rows = std::mem::take(&mut by_key[number as usize]);
            (EntityKey::from_bytes(&key), Cell::of(&rows, horizon))
        };
        let mut cells: Vec<_> = self.keys.into_iter().map(cell).collect();
        cells.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok((cells, n_kept))
    }

    /// The kept rows with their packed values, each with the number of its key.
    fn values(&self, view: &FeatureView, history: &History) -> Result<Vec<(u32, OnlineRow)>, OfflineError> {
        let codec = RowCodec::new(view.definition.features.iter().map(|f| f.dtype));
        let features: Vec<usize> = (0..view.definition.features.len()).collect();
        let mut wanted: Vec<(Kept, u32)> = Vec::new();
        for (key, steps) in (0..).zip(&self.rows) {
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
                (*key, OnlineRow::new(step.order, step.visible_from, row))
            };
            Ok::<_, OfflineError>(steps.iter().enumerate().map(pack).collect::<Vec<_>>())
        })?;
        Ok(packed.into_iter().flatten().collect())
    }
}
