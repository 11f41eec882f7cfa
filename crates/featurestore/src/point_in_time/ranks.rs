//! Some of a history's rows, and where each stands among them.

use std::ops::Range;

/// Rows of a history for one that is wanted, up to which a bit for each of them is cheaper than sorting.
const DENSE: u64 = 64;

/// Different rows, in ascending order.
#[derive(Debug)]
pub(super) enum Ranks {
    /// A bit for each row of the history, and for each word how many are wanted before it.
    Bits {
        words: Vec<u64>,
        before: Vec<u32>,
    },
    Sorted(Vec<u64>),
}

impl Ranks {
    /// Of `rows`, in any order and several times; all are below `n_rows`.
    pub(super) fn of(rows: impl Iterator<Item = u64> + Clone, n_rows: u64) -> Self {
        let n = rows.clone().count() as u64;
        match usize::try_from(n_rows) {
            Ok(n_rows) if n_rows as u64 <= n.saturating_mul(DENSE) => Self::bits(rows, n_rows),
            _ => {
                let mut sorted: Vec<u64> = rows.collect();
                sorted.sort_unstable();
                sorted.dedup();
                Self::Sorted(sorted)
            }
        }
    }

    fn bits(rows: impl Iterator<Item = u64>, n_rows: usize) -> Self {
        let mut words = vec![0_u64; n_rows.div_ceil(64)];
        for row in rows {
            words[(row / 64) as usize] |= 1 << (row % 64);
        }
        let before = words.iter().scan(0, |sum, word| {
            let before = *sum;
            *sum += word.count_ones();
            Some(before)
        });
        Self::Bits { before: before.collect(), words }
    }

    /// The place of a row that is wanted.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "wanted rows are below 2^32, all rows fit")]
    pub(super) fn place(&self, row: u64) -> u32 {
        match self {
            Self::Bits { words, before } => {
                let word = (row / 64) as usize;
                before[word] + (words[word] & ((1 << (row % 64)) - 1)).count_ones()
            }
            Self::Sorted(rows) => rows.partition_point(|known| *known < row) as u32,
        }
    }

    /// The wanted rows among some, as offsets from the first of these.
    pub(super) fn within(&self, rows: Range<u64>) -> Vec<u32> {
        let offset = |row: u64| u32::try_from(row - rows.start).unwrap_or(u32::MAX);
        match self {
            Self::Bits { words, .. } => {
                let (first, last) = (rows.start / 64, rows.end.div_ceil(64));
                let mut found = Vec::new();
                for at in first..last {
                    let Some(mut word) = usize::try_from(at).ok().and_then(|at| words.get(at)).copied() else { break };
                    while word != 0 {
                        let row = at * 64 + u64::from(word.trailing_zeros());
                        if rows.contains(&row) {
                            found.push(offset(row));
                        }
                        word &= word - 1;
                    }
                }
                found
            }
            Self::Sorted(sorted) => {
                let from = sorted.partition_point(|row| *row < rows.start);
                let until = sorted.partition_point(|row| *row < rows.end);
                sorted[from..until].iter().map(|row| offset(*row)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_those_in_a_sorted_list(
            rows in proptest::collection::vec(0..300_u64, 0..40),
            n_rows in prop_oneof![Just(300_u64), Just(100_000)],
            cut in 0..300_u64,
        ) {
            let ranks = Ranks::of(rows.iter().copied(), n_rows);
            let sorted: Vec<u64> = rows.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            for row in &rows {
                prop_assert_eq!(sorted[ranks.place(*row) as usize], *row);
            }
            let both = [ranks.within(0..cut), ranks.within(cut..n_rows).iter().map(|row| row + u32::try_from(cut).unwrap()).collect()];
            prop_assert_eq!(both.concat().into_iter().map(u64::from).collect::<Vec<_>>(), sorted);
        }
    }
}
