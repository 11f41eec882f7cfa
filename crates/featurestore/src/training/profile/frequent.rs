//! The most frequent values: exact while there are few different ones, then the summary of Misra and Gries (1982), whose
//! counts are too small by at most a stated number of rows.

use arrow::array::{Array, ArrayRef};
use hashbrown::HashMap;

use super::super::hashes::NULL;
use super::{Top, TopValue, shown};

/// Values kept when there are too many, and twice that before.
const KEPT: usize = 2_048;
/// Letters of a value that are shown.
const LETTERS: usize = 60;

#[derive(Debug, Default)]
pub(super) struct Frequent {
    counts: HashMap<u64, (u64, String)>,
    /// By how much a count may be too small.
    missed: u64,
}

impl Frequent {
    pub(super) fn add(&mut self, column: &ArrayRef, hashes: &[u64]) {
        for (row, hash) in hashes.iter().enumerate().filter(|(_, hash)| **hash != NULL) {
            self.counts.entry(*hash).or_insert_with(|| (0, short(shown(column, row)))).0 += 1;
            if self.counts.len() > 2 * KEPT {
                self.shrink();
            }
        }
        debug_assert_eq!(column.len(), hashes.len());
    }

    /// Takes the count of the first value that is not kept from every count.
    fn shrink(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().map(|(count, _)| *count).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let taken = counts[KEPT];
        self.missed += taken;
        self.counts.retain(|_, (count, _)| {
            *count = count.saturating_sub(taken);
            *count > 0
        });
    }

    /// All counts, if none was ever reduced.
    pub(super) fn exact(&self) -> Option<Vec<u64>> {
        (self.missed == 0).then(|| self.counts.values().map(|(count, _)| *count).collect())
    }

    pub(super) fn end(&self, n: usize) -> Top {
        let mut all: Vec<&(u64, String)> = self.counts.values().collect();
        all.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let values = all.into_iter().take(n).map(|(rows, value)| TopValue { value: value.clone(), rows: *rows });
        let how = match self.missed {
            0 => "exact".to_owned(),
            missed => format!("Misra-Gries, each at most {missed} rows too few"),
        };
        Top { values: values.collect(), how }
    }
}

fn short(value: String) -> String {
    match value.char_indices().nth(LETTERS) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value,
    }
}
