//! The columns of some rows that decide which of them wins.

use arrow::array::{Array, ArrayRef, BooleanArray, TimestampNanosecondArray, UInt64Array};
use schema::{RowOrder, Timestamp};

/// The columns that decide which row wins, for some rows in a row.
#[derive(Debug)]
pub struct OrderBatch {
    /// Number of the first row.
    pub first_row: u64,
    /// Join keys in their declared dtypes.
    pub keys: Vec<ArrayRef>,
    pub(super) event_time: TimestampNanosecondArray,
    pub(super) created_time: Option<TimestampNanosecondArray>,
    pub(super) sequence: Option<UInt64Array>,
    pub(super) deleted: Option<BooleanArray>,
    /// Rows of erased keys.
    pub(super) erased: Option<Vec<bool>>,
}

impl OrderBatch {
    /// Rows.
    pub fn len(&self) -> usize {
        self.event_time.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where row `i` of the batch stands; `None` when its event time is null or its key erased: such a row never matches.
    #[inline]
    pub fn order(&self, i: usize) -> Option<RowOrder> {
        if self.event_time.is_null(i) || self.erased(i) {
            return None;
        }
        let created = self.created_time.as_ref().filter(|c| !c.is_null(i)).map(|c| Timestamp::from_nanos(c.value(i)));
        // In stored orders the smallest instant stands for none, so it does here: both sides compare alike.
        let created = created.filter(|created| *created != Timestamp::MIN);
        let sequence = self.sequence.as_ref().map_or(self.first_row + i as u64, |s| s.value(i));
        Some(RowOrder { event_time: Timestamp::from_nanos(self.event_time.value(i)), created_time: created, sequence })
    }

    /// Whether the key of row `i` was erased.
    #[inline]
    pub(super) fn erased(&self, i: usize) -> bool {
        self.erased.as_ref().is_some_and(|erased| erased[i])
    }

    /// How many rows lack a key or an event time: they never match anything.
    pub fn n_rejected(&self) -> u64 {
        let columns = || self.keys.iter().map(AsRef::as_ref).chain([&self.event_time as &dyn Array]);
        if columns().all(|column| column.null_count() == 0) {
            return 0;
        }
        (0..self.len()).filter(|row| columns().any(|column| column.is_null(*row))).count() as u64
    }

    /// Whether row `i` deletes its key.
    #[inline]
    pub fn deleted(&self, i: usize) -> bool {
        self.deleted.as_ref().is_some_and(|d| !d.is_null(i) && d.value(i))
    }
}
