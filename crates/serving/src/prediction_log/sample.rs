//! A sample of entities, by the hash of their keys (natural transformations, section 6).
//!
//! The same ones are compared every day, each with all its requests, and hot keys do not stand for the others.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use schema::{EntityKey, Fingerprint};

/// A share of all entities, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeySample(f64);

impl KeySample {
    /// All entities.
    pub const ALL: Self = Self(1.0);

    /// A percentage of all entities; `None` if it is no number from 0 to 100.
    pub fn percent(percent: f64) -> Option<Self> {
        (0.0..=100.0).contains(&percent).then_some(Self(percent / 100.0))
    }

    /// The rows of the entities that are in it; rows without a key are of one entity that is.
    ///
    /// # Errors
    /// Arrow's.
    pub(super) fn rows(self, batch: &RecordBatch, keys: &[ArrayRef]) -> Result<RecordBatch, ArrowError> {
        if self.0 >= 1.0 || keys.is_empty() {
            return Ok(batch.clone());
        }
        let keys = EntityKey::from_columns(keys, batch.num_rows());
        let holds: BooleanArray = keys.iter().map(|key| Some(key.as_ref().is_none_or(|key| self.holds(key)))).collect();
        filter_record_batch(batch, &holds)
    }

    #[expect(clippy::cast_precision_loss, reason = "a share needs no more bits")]
    fn holds(self, key: &EntityKey) -> bool {
        let hash = Fingerprint::of_bytes(key.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        (u64::from_be_bytes(first) as f64) < self.0 * u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn sampled(percent: f64, keys: &[i64]) -> Vec<i64> {
        let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
        let batch = RecordBatch::try_from_iter([("k", Arc::clone(&column))]).unwrap();
        let rows = KeySample::percent(percent).unwrap().rows(&batch, &[column]).unwrap();
        rows.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn an_entity_is_in_it_with_all_its_rows_or_with_none_and_a_larger_sample_holds_a_smaller() {
        let keys: Vec<i64> = (0..40_000).map(|row| row % 4_000).collect();
        let all: Vec<BTreeSet<i64>> = [1.0, 10.0, 50.0].map(|p| sampled(p, &keys).into_iter().collect()).to_vec();
        assert!(all.windows(2).all(|pair| pair[0].is_subset(&pair[1])));
        for (percent, found) in [1, 10, 50].into_iter().zip(&all) {
            assert_eq!(sampled(f64::from(percent), &keys).len(), found.len() * 10);
            let want = 40 * usize::try_from(percent).unwrap();
            assert!(found.len().abs_diff(want) < want / 2, "{percent} %: {}", found.len());
        }
        assert_eq!((sampled(100.0, &keys).len(), sampled(0.0, &keys).len()), (40_000, 0));
        assert!([-1.0, 100.1, f64::NAN].iter().all(|percent| KeySample::percent(*percent).is_none()));
    }
}
