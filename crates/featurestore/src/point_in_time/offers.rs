//! The best offer for each slot of a spine: a maximum, so parts merge in any order.

use schema::{RowOrder, Timestamp};

use super::portions::in_portions;
use crate::ties::Tied;

/// The greatest row offered so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Best {
    pub(super) order: RowOrder,
    pub(super) row: u64,
    pub(super) deleted: bool,
    /// Another row is tied with it, where ties are refused.
    pub(super) tied: bool,
}

/// A slot in half a cache line: the scan of a long history waits for little else than these.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
struct Slot {
    event_time: i64,
    /// The smallest stands for none, as in stored orders.
    created_time: i64,
    sequence: u64,
    /// The row's number, and behind it two bits: deleted, tied.
    tagged_row: u64,
}

/// Of a slot that was offered nothing.
const NOTHING: u64 = u64::MAX;
const DELETED: u64 = 2;
const TIED: u64 = 1;

/// Memory of one slot.
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

#[derive(Debug)]
pub(super) struct Offers {
    best: Vec<Slot>,
    /// Whether rows of one time are tied whatever their sequence.
    by_times: bool,
}

impl Offers {
    pub(super) fn new(n_slots: usize, tied: Option<Tied>) -> Self {
        let nothing = Slot { event_time: 0, created_time: 0, sequence: 0, tagged_row: NOTHING };
        Self { best: vec![nothing; n_slots], by_times: tied == Some(Tied::Times) }
    }

    /// Reads some slots, so that they are in the cache when they are offered something. No read waits for the one before,
    /// which those of offers do.
    #[inline]
    pub(super) fn touch(&self, slots: impl Iterator<Item = usize>) {
        std::hint::black_box(slots.fold(0, |seen, slot| seen ^ self.best[slot].tagged_row));
    }

    #[inline]
    pub(super) fn offer(&mut self, slot: usize, order: RowOrder, row: u64, deleted: bool) {
        let offer = Slot {
            event_time: order.event_time.as_nanos(),
            created_time: order.created_time.map_or(i64::MIN, Timestamp::as_nanos),
            sequence: order.sequence,
            tagged_row: row << 2 | if deleted { DELETED } else { 0 },
        };
        self.best[slot].raise(offer, self.by_times);
    }

    /// Takes what was offered elsewhere; then, in each group of slots (`starts`: the first of each, and the end of the last),
    /// what an earlier instant may see, a later one may too.
    pub(super) fn settle(&mut self, others: Vec<Self>, starts: &[u32]) {
        let by_times = self.by_times;
        in_portions(&mut self.best, starts, |first, group| {
            for other in &others {
                for (best, offer) in group.iter_mut().zip(&other.best[first..]) {
                    best.raise(*offer, by_times);
                }
            }
            for slot in 1..group.len() {
                let before = group[slot - 1];
                group[slot].raise(before, by_times);
            }
        });
    }

    #[inline]
    pub(super) fn best(&self, slot: usize) -> Option<Best> {
        self.best[slot].best()
    }
}

impl Slot {
    #[inline]
    fn order(&self) -> (i64, i64, u64) {
        (self.event_time, self.created_time, self.sequence)
    }

    #[inline]
    fn times(&self) -> (i64, i64) {
        (self.event_time, self.created_time)
    }

    #[inline]
    fn raise(&mut self, offer: Self, by_times: bool) {
        if offer.tagged_row == NOTHING {
            return;
        }
        if self.tagged_row == NOTHING {
            *self = offer;
        } else if by_times && self.times() == offer.times() && self.sequence != offer.sequence {
            let greater = if self.sequence < offer.sequence { offer } else { *self };
            *self = Self { tagged_row: greater.tagged_row | TIED, ..greater };
        } else if self.order() < offer.order() {
            *self = offer;
        } else if self.order() == offer.order() {
            let others = self.tagged_row >> 2 != offer.tagged_row >> 2;
            let tied = (self.tagged_row | offer.tagged_row) & TIED | if others { TIED } else { 0 };
            // The later row in arrival order, so that the answer is the same on any thread.
            self.tagged_row = self.tagged_row.max(offer.tagged_row) | tied;
        }
    }

    #[inline]
    fn best(&self) -> Option<Best> {
        let created_time = Some(self.created_time).filter(|time| *time != i64::MIN).map(Timestamp::from_nanos);
        let event_time = Timestamp::from_nanos(self.event_time);
        (self.tagged_row != NOTHING).then_some(Best {
            order: RowOrder { event_time, created_time, sequence: self.sequence },
            row: self.tagged_row >> 2,
            deleted: self.tagged_row & DELETED != 0,
            tied: self.tagged_row & TIED != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(event: i64, created: Option<i64>, sequence: u64) -> RowOrder {
        let created_time = created.map(Timestamp::from_nanos);
        RowOrder { event_time: Timestamp::from_nanos(event), created_time, sequence }
    }

    proptest! {
        #[test]
        fn a_slot_holds_the_greatest_row_however_offers_come(
            offers in proptest::collection::vec((-1..2_i64, proptest::option::of(-1..2_i64), 0..2_u64, any::<bool>()), 1..12),
            cut in 0..12_usize,
            by_times: bool,
        ) {
            let made: Vec<(RowOrder, u64, bool)> = (0..).zip(&offers).map(|(row, (e, c, s, d))| (order(*e, *c, *s), row, *d)).collect();
            let of = |rows: &[(RowOrder, u64, bool)]| {
                let mut slots = Offers::new(1, by_times.then_some(Tied::Times));
                rows.iter().for_each(|(order, row, deleted)| slots.offer(0, *order, *row, *deleted));
                slots
            };
            let greatest = made.iter().map(|made| made.0).max().unwrap();
            let (first, last) = made.split_at(cut.min(made.len()));
            let mut merged = of(last);
            merged.settle(vec![of(first)], &[0, 1]);
            for best in [of(&made).best(0), merged.best(0)] {
                let best = best.unwrap();
                let same: Vec<_> = made.iter().filter(|made| made.0 == greatest).collect();
                prop_assert_eq!(best.order, greatest);
                prop_assert_eq!((best.row, best.deleted), (same.last().unwrap().1, same.last().unwrap().2));
                let of_one_time = made.iter().filter(|made| Tied::Times.is(&made.0, &greatest));
                prop_assert_eq!(best.tied, if by_times { of_one_time.count() > 1 } else { same.len() > 1 });
            }
        }
    }

    #[test]
    fn nothing_was_offered() {
        let mut slots = Offers::new(3, None);
        slots.offer(1, order(i64::MIN, None, 0), 0, true);
        slots.settle(vec![Offers::new(3, None)], &[0, 3]);
        let best = Best { order: order(i64::MIN, None, 0), row: 0, deleted: true, tied: false };
        assert_eq!([slots.best(0), slots.best(1), slots.best(2)], [None, Some(best), Some(best)]);
    }
}
