//! The point-in-time join, written once, above all backends (DESIGN section 7).
//!
//! Labels are few, features are many: the spine is indexed, the features are streamed. Each feature row finds by binary
//! search the first spine time that may see it and offers itself there; a running maximum along each key's times then
//! gives every spine row its winner. Rows may come in any order and on any thread, for offers merge by maximum. Memory is
//! O(spine), not O(features).

mod offers;
mod portions;
mod ranks;
mod spine_index;
mod watch;

use arrow::array::{ArrayRef, UInt32Array, new_null_array};
use schema::order::Visibility;
use schema::{FeatureView, Status, Timestamp};

use crate::assemble::{ViewRows, status_at};
use crate::offline::history::{History, OrderBatch};
use crate::offline::{OfflineError, parallel, split};
use crate::ties;
use offers::Offers;
pub(crate) use offers::SLOT_BYTES;
use ranks::Ranks;
pub use spine_index::SpineIndex;
pub use watch::Watch;

/// Rows whose slots are looked for before the first of them is offered: their slots fit into a core's own cache.
const STRIPE_ROWS: usize = 1_024;

/// For each spine row, the row that won.
#[derive(Debug)]
pub struct Winners {
    /// Row numbers in the history; meaningless where the status is `NotFound`.
    rows: Vec<u64>,
    statuses: Vec<Status>,
    event_times: Vec<Option<Timestamp>>,
    /// History rows that were read.
    pub n_scanned: u64,
    /// Of these, rows without a key or an event time: they match nothing.
    pub n_rejected: u64,
}

/// Finds the winner of every spine row.
///
/// `times[i]` is the instant of spine row `i`, `None` where it is null. A history row counts for instant `t` iff it is
/// visible at `t` ([`schema::order::Visibility`]); the greatest under the one ordering wins; a tombstone that wins makes
/// the row `NotFound`; one older than `t - ttl` makes it `OutsideMaxAge`. Both TTL bounds are inclusive.
///
/// # Errors
/// [`OfflineError`] if the history cannot be read, or [`OfflineError::Tie`] if a tie that the view refuses would decide.
pub fn find(view: &FeatureView, history: &History, index: &SpineIndex) -> Result<Winners, OfflineError> {
    Ok(find_also(view, history, index, None, &Watch::nobody())?.0)
}

/// As [`find`]; in the same scan also what would have won under another visibility.
///
/// # Errors
/// As [`find`]; [`OfflineError::Read`] when the watch is stopped.
pub fn find_also(
    view: &FeatureView,
    history: &History,
    index: &SpineIndex,
    other: Option<Visibility>,
    watch: &Watch<'_>,
) -> Result<(Winners, Option<Winners>), OfflineError> {
    let visibility = view.visibility();
    let none = || Offers::new(index.n_slots(), history.refuses_ties());
    let parts = parallel(&split(&history.units()), |units| {
        let mut sides = vec![(visibility, none())];
        sides.extend(other.map(|visibility| (visibility, none())));
        let (mut groups, mut slots) = (Vec::new(), Vec::new());
        let (mut n_scanned, mut n_rejected) = (0, 0);
        for unit in units {
            history.scan_order(*unit, |batch: OrderBatch| {
                watch.scanned(batch.len() as u64)?;
                n_scanned += batch.len() as u64;
                n_rejected += batch.n_rejected();
                index.groups_of(&batch.keys, batch.len(), &mut groups);
                for (visibility, offers) in &mut sides {
                    for from in (0..batch.len()).step_by(STRIPE_ROWS) {
                        let rows = from..batch.len().min(from + STRIPE_ROWS);
                        slots.clear();
                        index.touch(&groups[rows.clone()]);
                        slots.extend(rows.filter_map(|i| {
                            let (group, order) = (groups[i]?, batch.order(i)?);
                            Some((i, order, index.first_at_or_after(group, visibility.visible_from(&order))?))
                        }));
                        offers.touch(slots.iter().map(|(_, _, slot)| *slot));
                        for (i, order, slot) in &slots {
                            offers.offer(*slot, *order, batch.first_row + *i as u64, batch.deleted(*i));
                        }
                    }
                }
                Ok(())
            })?;
        }
        let mut sides = sides.into_iter().map(|(_, offers)| offers);
        let (offers, others) = (sides.next().unwrap_or_else(none), sides.next());
        Ok((offers, others, n_scanned, n_rejected))
    })?;
    let (mut n_scanned, mut n_rejected) = (history.n_left_out(), history.n_left_out());
    let mut parts = parts.into_iter();
    let (mut merged, mut merged_others) = match parts.next() {
        Some((offers, others, scanned, rejected)) => {
            n_scanned += scanned;
            n_rejected += rejected;
            (offers, others)
        }
        None => (none(), other.map(|_| none())),
    };
    let (mut offers, mut others) = (Vec::new(), Vec::new());
    for (part, other, scanned, rejected) in parts {
        offers.push(part);
        others.extend(other);
        n_scanned += scanned;
        n_rejected += rejected;
    }
    let scanned = (n_scanned, n_rejected);
    merged.settle(offers, index.starts());
    if history.refuses_ties().is_some() {
        let tied = (0..index.n_slots()).filter_map(|slot| merged.best(slot)).filter(|best| best.tied);
        ties::refuse(view, history, &tied.map(|best| best.row).collect::<Vec<_>>())?;
    }
    let others = merged_others.as_mut().map(|merged| {
        merged.settle(others, index.starts());
        winners(view, index, merged, scanned)
    });
    Ok((winners(view, index, &merged, scanned), others))
}

fn winners(view: &FeatureView, index: &SpineIndex, offers: &Offers, (n_scanned, n_rejected): (u64, u64)) -> Winners {
    let n = index.n_rows();
    let (rows, statuses, event_times) = (vec![0; n], vec![Status::NotFound; n], vec![None; n]);
    let mut winners = Winners { rows, statuses, event_times, n_scanned, n_rejected };
    for slot in 0..index.n_slots() {
        let Some(best) = offers.best(slot).filter(|best| !best.deleted) else { continue };
        let (row, at) = index.spine_row(slot);
        winners.rows[row] = best.row;
        winners.statuses[row] = status_at(best.order.event_time, view.definition.ttl, at);
        winners.event_times[row] = Some(best.order.event_time);
    }
    winners
}

impl Winners {
    /// Spine rows for which `other` names another row, or judges it otherwise.
    pub fn differs(&self, other: &Self) -> Vec<u32> {
        let differ = |i: &usize| {
            let found = self.event_times[*i].is_some() || other.event_times[*i].is_some();
            found
                && (self.statuses[*i] != other.statuses[*i]
                    || self.rows[*i] != other.rows[*i]
                    || self.event_times[*i] != other.event_times[*i])
        };
        (0..self.rows.len()).filter(differ).filter_map(|i| u32::try_from(i).ok()).collect()
    }

    /// The winners of some of the spine's rows.
    #[must_use]
    pub fn of_rows(&self, rows: &[u32]) -> Self {
        Self {
            rows: rows.iter().map(|row| self.rows[*row as usize]).collect(),
            statuses: rows.iter().map(|row| self.statuses[*row as usize]).collect(),
            event_times: rows.iter().map(|row| self.event_times[*row as usize]).collect(),
            n_scanned: self.n_scanned,
            n_rejected: self.n_rejected,
        }
    }

    /// Reads the winners' values of a view's stored features: only the row groups that hold one are opened.
    ///
    /// # Errors
    /// [`OfflineError`] if the history cannot be read.
    pub fn gather(self, view: &FeatureView, history: &History) -> Result<ViewRows, OfflineError> {
        let features: Vec<usize> = (0..view.definition.features.len()).collect();
        let present = |i: &usize| self.statuses[*i] == Status::Present;
        let wanted = (0..self.rows.len()).filter(present).map(|i| self.rows[i]);
        let distinct = Ranks::of(wanted, history.n_rows());
        // `picked[i]`: where spine row i's values stand among the distinct rows that are read.
        let pick = |i: usize| present(&i).then(|| distinct.place(self.rows[i]));
        let picked: Vec<Option<u32>> = (0..self.rows.len()).map(pick).collect();
        let mut jobs = Vec::new();
        for unit in history.units() {
            let rows = distinct.within(unit.first_row..unit.first_row + unit.n_rows as u64);
            if !rows.is_empty() {
                jobs.push((unit, rows));
            }
        }
        let read = parallel(&jobs, |(unit, rows)| history.gather(*unit, &features, rows))?;
        let indices = UInt32Array::from(picked);
        let column = |i: usize| -> Result<ArrayRef, OfflineError> {
            let fail = |why: arrow::error::ArrowError| crate::offline::source::read_error("history", why);
            let dtype = view.definition.features[i].dtype;
            if read.is_empty() {
                return Ok(new_null_array(&dtype.to_arrow(), self.rows.len()));
            }
            let parts: Vec<&dyn arrow::array::Array> = read.iter().map(|columns| columns[i].as_ref()).collect();
            let whole = arrow::compute::concat(&parts).map_err(fail)?;
            arrow::compute::take(&whole, &indices, None).map_err(fail)
        };
        let stored = parallel(&features, |i| column(*i))?;
        Ok(ViewRows { stored, statuses: self.statuses, event_times: self.event_times, absent: Vec::new() })
    }
}

#[cfg(test)]
mod tests;
