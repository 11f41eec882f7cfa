//! The best offer for each slot of a spine: a maximum, so parts merge in any order.

use std::ops::Range;

use schema::RowOrder;

/// The greatest row offered so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    pub(super) order: RowOrder,
    pub(super) row: u64,
    pub(super) deleted: bool,
    /// Another row has the very same order: only possible where the sequence is a user's column.
    pub(super) tied: bool,
}

/// Memory of one slot.
pub(crate) const SLOT_BYTES: usize = size_of::<Option<Best>>();

#[derive(Debug)]
pub(super) struct Offers {
    best: Vec<Option<Best>>,
}

impl Offers {
    pub(super) fn new(n_slots: usize) -> Self {
        Self { best: vec![None; n_slots] }
    }

    #[inline]
    pub(super) fn offer(&mut self, slot: usize, order: RowOrder, row: u64, deleted: bool) {
        raise(&mut self.best[slot], Best { order, row, deleted, tied: false });
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (slot, offer) in other.best.into_iter().enumerate() {
            if let Some(offer) = offer {
                raise(&mut self.best[slot], offer);
            }
        }
    }

    /// What an earlier instant may see, a later one of the same key may too.
    pub(super) fn run_maximum(&mut self, slots: Range<usize>) {
        for slot in slots.start + 1..slots.end {
            if let Some(before) = self.best[slot - 1] {
                raise(&mut self.best[slot], before);
            }
        }
    }

    pub(super) fn best(&self, slot: usize) -> Option<Best> {
        self.best[slot]
    }
}

#[inline]
fn raise(best: &mut Option<Best>, offer: Best) {
    match best {
        Some(best) if best.order > offer.order => {}
        Some(best) if best.order == offer.order => {
            let tied = best.tied || offer.tied || best.row != offer.row;
            // The later row in arrival order, so that the answer is the same on any thread.
            if offer.row > best.row {
                *best = offer;
            }
            best.tied = tied;
        }
        _ => *best = Some(offer),
    }
}
