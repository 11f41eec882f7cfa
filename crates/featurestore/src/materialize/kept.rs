//! The rows of a history that can still answer, and their cells.

mod numbered;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::ArrayRef;
use schema::{EntityKey, FeatureView, RowOrder, Timestamp};

use super::{Progress, Range as EventTimes};
use crate::codec::RowCodec;
use crate::offline::history::{History, Unit};
use crate::offline::{OfflineError, parallel, split};
use crate::online::cell::{Cell, OnlineRow};
use crate::ties::{self, Tied};
use numbered::Numbered;

/// One row that is kept for a key.
#[derive(Debug, Clone, Copy)]
struct Kept {
    order: RowOrder,
    visible_from: Timestamp,
    row: u64,
    deleted: bool,
    /// Another row is tied with it, where ties are refused.
    tied: bool,
}

impl Kept {
    fn is_past(&self, horizon: Timestamp) -> bool {
        self.visible_from <= horizon
    }
}

/// By key, the rows that can still answer.
#[derive(Debug, Default)]
pub(super) struct KeptRows {
    keys: Numbered,
    /// By key number.
    rows: Vec<Steps>,
    /// Rows without a key or an event time.
    pub(super) n_rejected: u64,
    /// Rows read.
    pub(super) n_scanned: u64,
}

/// The rows of one key, oldest first: nearly always one.
#[derive(Debug)]
enum Steps {
    One(Kept),
    Many(Vec<Kept>),
}

/// Scans keys and times of some row groups on all cores: O(keys) memory.
pub(super) fn keep(
    view: &FeatureView,
    history: &History,
    units: &[Unit],
    horizon: Timestamp,
    range: EventTimes,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<KeptRows, OfflineError> {
    let (visibility, tied) = (view.visibility(), history.refuses_ties());
    let total = units.iter().map(|unit| unit.n_rows as u64).sum();
    let n_seen = AtomicU64::new(0);
    let parts = parallel(&split(units), |units| {
        let mut kept = KeptRows::default();
        for unit in units {
            history.scan_order(*unit, |batch| {
                kept.n_rejected += batch.n_rejected();
                EntityKey::each(&batch.keys, batch.len(), |i, key| {
                    let order = batch.order(i).filter(|order| range.holds(order.event_time));
                    let (Some(key), Some(order)) = (key, order) else { return };
                    let row = batch.first_row + i as u64;
                    let visible_from = visibility.visible_from(&order);
                    let row = Kept { order, visible_from, row, deleted: batch.deleted(i), tied: false };
                    kept.offer(key, row, horizon, tied);
                });
                let n = batch.len() as u64;
                kept.n_scanned += n;
                progress(Progress::Scanned(n_seen.fetch_add(n, Ordering::Relaxed) + n, total));
                Ok(())
            })?;
        }
        Ok(kept)
    })?;
    let mut parts = parts.into_iter();
    let mut kept = parts.next().unwrap_or_default();
    for part in parts {
        kept.n_rejected += part.n_rejected;
        kept.n_scanned += part.n_scanned;
        for (key, steps) in part.keys.into_keys().iter().zip(&part.rows) {
            steps.as_slice().iter().for_each(|row| kept.offer(key.as_bytes(), *row, horizon, tied));
        }
    }
    // A tie matters only where it would decide an answer.
    let all = kept.rows.iter().flat_map(Steps::as_slice).filter(|row| row.tied);
    ties::refuse(view, history, &all.map(|row| row.row).collect::<Vec<_>>())?;
    Ok(kept)
}

impl Steps {
    fn as_slice(&self) -> &[Kept] {
        match self {
            Self::One(row) => std::slice::from_ref(row),
            Self::Many(rows) => rows,
        }
    }

    fn offer(&mut self, offer: Kept, horizon: Timestamp, tied: Option<Tied>) {
        let is_tie = |one: &Kept| tied.unwrap_or(Tied::Order).is(&one.order, &offer.order);
        let rows = match self {
            // Of two that count today one can still answer, the newer: a long history costs no allocation.
            Self::One(one) if one.is_past(horizon) && offer.is_past(horizon) && !is_tie(one) => {
                if one.order < offer.order {
                    *one = offer;
                }
                return;
            }
            Self::One(one) => {
                let mut rows = vec![*one];
                offer_to(&mut rows, offer, horizon, tied);
                rows
            }
            Self::Many(rows) => {
                offer_to(rows, offer, horizon, tied);
                std::mem::take(rows)
            }
        };
        *self = match rows.as_slice() {
            [one] => Self::One(*one),
            _ => Self::Many(rows),
        };
    }
}

/// Adds a row to a key's staircase, ascending both in order and in the time from which it is visible.
fn offer_to(steps: &mut Vec<Kept>, offer: Kept, horizon: Timestamp, tied: Option<Tied>) {
    let tied = tied.unwrap_or(Tied::Order);
    if let Some(step) = steps.iter_mut().find(|step| tied.is(&step.order, &offer.order)) {
        step.tied |= offer.tied || step.row != offer.row;
        // The later row in arrival order, so that it is the same however rows were dealt to cores.
        if (offer.order, offer.row) > (step.order, step.row) {
            *step = Kept { tied: step.tied, ..offer };
        }
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
    fn offer(&mut self, key: &[u8], row: Kept, horizon: Timestamp, tied: Option<Tied>) {
        let number = self.keys.number_of(key);
        match self.rows.get_mut(number as usize) {
            Some(steps) => steps.offer(row, horizon, tied),
            None => self.rows.push(Steps::One(row)),
        }
    }

    /// Reads the values of the rows that are kept: only the row groups that hold one are opened.
    pub(super) fn read(self, view: &FeatureView, history: &History) -> Result<KeptCells, OfflineError> {
        let features: Vec<usize> = (0..view.definition.features.len()).collect();
        let mut wanted: Vec<(u64, u32)> = Vec::with_capacity(self.rows.len());
        let mut first = Vec::with_capacity(self.rows.len());
        for steps in &self.rows {
            let at = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
            first.push(at);
            wanted.extend((at..).zip(steps.as_slice()).map(|(at, step)| (step.row, at)));
        }
        let n_rows = wanted.len();
        wanted.sort_unstable();
        let mut jobs: Vec<(Unit, &[(u64, u32)])> = Vec::new();
        let mut rest = wanted.as_slice();
        for unit in history.units() {
            let here = rest.partition_point(|(row, _)| *row < unit.first_row + unit.n_rows as u64);
            let (now, later) = rest.split_at(here);
            if !now.is_empty() {
                jobs.push((unit, now));
            }
            rest = later;
        }
        let values = gathered(history, &jobs, &features)?;
        let mut places = vec![(0, 0); n_rows];
        for (job, (_, rows)) in (0_u32..).zip(&jobs) {
            for (place, (_, at)) in (0_u32..).zip(*rows) {
                places[*at as usize] = (job, place);
            }
        }
        let keys = self.keys.into_keys();
        let in_order = numbered::in_order(&keys);
        let codec = RowCodec::new(view.definition.features.iter().map(|f| f.dtype));
        Ok(KeptCells { in_order, keys, rows: self.rows, first, places, values, codec, n_rows })
    }
}

/// The values of all features for the rows of each job. Where there are fewer row groups than cores, their columns are spread
/// over these too.
fn gathered(
    history: &History,
    jobs: &[(Unit, &[(u64, u32)])],
    features: &[usize],
) -> Result<Vec<Vec<ArrayRef>>, OfflineError> {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let n_parts = n_cores.div_ceil(jobs.len().max(1)).clamp(1, features.len().max(1));
    let parts: Vec<&[usize]> = match features {
        // Rows of no features have a place all the same.
        [] => vec![features],
        _ => features.chunks(features.len().div_ceil(n_parts)).collect(),
    };
    let columns: Vec<_> = jobs.iter().flat_map(|job| parts.iter().map(move |part| (job, *part))).collect();
    let read = parallel(&columns, |((unit, rows), features)| {
        let offset = |(row, _): &(u64, u32)| u32::try_from(row - unit.first_row).unwrap_or(u32::MAX);
        history.gather(*unit, features, &rows.iter().map(offset).collect::<Vec<_>>())
    })?;
    Ok(read.chunks(parts.len()).map(<[_]>::concat).collect())
}

/// The cells of all keys, made when they are asked for.
#[derive(Debug)]
pub(super) struct KeptCells {
    /// Numbers of keys in the order of these: neighbours share pages of the embedded store, and two runs write alike.
    in_order: Vec<u32>,
    /// By key number.
    keys: Vec<EntityKey>,
    rows: Vec<Steps>,
    /// By key number, where its rows are among `places`.
    first: Vec<u32>,
    /// The row group and the place among what was read of it.
    places: Vec<(u32, u32)>,
    values: Vec<Vec<ArrayRef>>,
    codec: RowCodec,
    /// Rows kept.
    pub(super) n_rows: usize,
}

impl KeptCells {
    /// Keys.
    pub(super) fn n_keys(&self) -> usize {
        self.in_order.len()
    }

    /// The cells of some keys, by place in their order.
    pub(super) fn cells(&self, keys: Range<usize>, horizon: Timestamp) -> Vec<(EntityKey, Cell)> {
        let mut rows = Vec::with_capacity(1);
        let cell = |number: &u32| {
            rows.clear();
            let steps = self.rows[*number as usize].as_slice();
            let first = self.first[*number as usize] as usize;
            for (step, (job, place)) in steps.iter().zip(&self.places[first..]) {
                let row = (!step.deleted).then(|| self.codec.encode(&self.values[*job as usize], *place as usize));
                rows.push(OnlineRow::new(step.order, step.visible_from, row));
            }
            (self.keys[*number as usize].clone(), Cell::of(&rows, horizon))
        };
        self.in_order[keys].iter().map(cell).collect()
    }
}
