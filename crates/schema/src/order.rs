//! The one ordering of rows (DESIGN section 3): newest wins, decided by event time, then created time, then sequence.
//!
//! The point-in-time join, materialize, push, the embedded store and Redis all compare with [`RowOrder`] or with its
//! bytes, which order the same way as strings do.

use crate::time::Timestamp;

/// Where a row stands among the rows of its key. `max` is the winner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowOrder {
    /// When the fact was true.
    pub event_time: Timestamp,
    /// When it became known; `None` is older than every time.
    pub created_time: Option<Timestamp>,
    /// Arrival position: file and row, log offset or push counter.
    pub sequence: u64,
}

/// Length of [`RowOrder::to_bytes`].
pub const ORDER_BYTES: usize = 24;

impl RowOrder {
    /// Big-endian with the sign bit flipped, so that comparing the bytes compares the rows. A missing created time is
    /// all zeros: history reads the smallest timestamp as none, so it stands for nothing else.
    pub fn to_bytes(self) -> [u8; ORDER_BYTES] {
        let mut bytes = [0; ORDER_BYTES];
        bytes[..8].copy_from_slice(&self.event_time.to_ordered_bytes());
        if let Some(created) = self.created_time {
            bytes[8..16].copy_from_slice(&created.to_ordered_bytes());
        }
        bytes[16..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; ORDER_BYTES]) -> Self {
        let part = |at: usize| {
            let mut part = [0; 8];
            part.copy_from_slice(&bytes[at..at + 8]);
            part
        };
        let created = part(8);
        Self {
            event_time: Timestamp::from_ordered_bytes(part(0)),
            created_time: (created != [0; 8]).then(|| Timestamp::from_ordered_bytes(created)),
            sequence: u64::from_be_bytes(part(16)),
        }
    }
}

/// Which rows an instant may see (point-in-time semantics, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// A row counts from the time it became known, so that a backfill never leaks into training. The default.
    AsOf,
    /// A row counts from its event time, whenever it arrived: everything known today.
    Event,
}

/// When a row becomes visible: the first instant whose answer may use it.
///
/// Both conditions, `event_time <= t` and `created_time <= t`, are lower bounds of `t`, so one time decides: that is
/// what makes a key's history a staircase and lets the join offer each row once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Visibility {
    /// Whether the created time counts.
    pub known: Known,
    /// `event_time < t` in place of `<=` (Chronon's rule).
    pub strict_before: bool,
}

impl Visibility {
    /// The first instant that may see the row.
    #[inline]
    pub fn visible_from(self, order: &RowOrder) -> Timestamp {
        let event = if self.strict_before { order.event_time.next() } else { order.event_time };
        match (self.known, order.created_time) {
            (Known::AsOf, Some(created)) => event.max(created),
            (Known::AsOf, None) | (Known::Event, _) => event,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn orders() -> impl Strategy<Value = RowOrder> {
        let time = prop_oneof![any::<i64>(), -3..3i64].prop_map(|ns| Timestamp::from_nanos(ns.max(i64::MIN + 1)));
        (time.clone(), proptest::option::of(time), prop_oneof![any::<u64>(), 0..3u64])
            .prop_map(|(event_time, created_time, sequence)| RowOrder { event_time, created_time, sequence })
    }

    proptest! {
        #[test]
        fn bytes_order_like_rows(a in orders(), b in orders()) {
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(RowOrder::from_bytes(a.to_bytes()), a);
        }
    }
}
