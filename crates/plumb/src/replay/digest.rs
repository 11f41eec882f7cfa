//! Digests of an answer's values: 32 bits for each row and each feature.
//!
//! Not against forgery: they tell where two computations differ. Written into tokens, so they never change.

use std::cell::LazyCell;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes as at;
use featurestore::codec::RowCodec;
use featurestore::{CompiledService, FeatureRows};
use schema::{Dtype, Status};

/// What an answer holds, in few bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// Of each row, all its features together.
    pub rows: Vec<u32>,
    /// Of each feature, all rows together.
    pub features: Vec<u32>,
}

const START: u64 = 0x243f_6a88_85a3_08d3;

fn fold(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

fn fold_bytes(state: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let state =
        words.iter().fold(fold(state, bytes.len() as u64), |state, word| fold(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(state, u64::from_le_bytes(last))
}

fn short(state: u64) -> u32 {
    let [a, b, c, d, ..] = fold(state, START).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl Digests {
    /// Of the features of `n` rows: values bit for bit, and statuses.
    pub fn of(compiled: &CompiledService, found: &FeatureRows, n: usize) -> Self {
        let mut rows = vec![START; n];
        let mut features = Vec::with_capacity(found.columns.len());
        for ((column, statuses), about) in found.columns.iter().zip(&found.statuses).zip(&compiled.service.columns) {
            let mut feature = START;
            each(column, about.dtype, statuses, |row, value| {
                feature = fold(feature, value);
                rows[row] = fold(rows[row], value);
            });
            features.push(short(feature));
        }
        Self { rows: rows.into_iter().map(short).collect(), features }
    }
}

/// Hands on the digest of each value with its status.
fn each(column: &ArrayRef, dtype: Dtype, statuses: &[Status], mut see: impl FnMut(usize, u64)) {
    let codec = LazyCell::new(|| RowCodec::new([dtype]));
    let start = |status: Status| fold(START, status as u64);
    for (row, status) in statuses.iter().enumerate() {
        let value = match (column.is_null(row), dtype) {
            (true, _) => start(*status),
            (_, Dtype::Float64) => fold(start(*status), column.as_primitive::<at::Float64Type>().value(row).to_bits()),
            (_, Dtype::Int64) => fold(
                start(*status),
                u64::from_le_bytes(column.as_primitive::<at::Int64Type>().value(row).to_le_bytes()),
            ),
            (_, Dtype::String) => fold_bytes(start(*status), column.as_string::<i32>().value(row).as_bytes()),
            _ => fold_bytes(start(*status), &codec.encode(std::slice::from_ref(column), row)),
        };
        see(row, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;

    use super::*;

    fn digests(values: &[Option<f64>]) -> Vec<u64> {
        let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
        let statuses: Vec<Status> =
            values.iter().map(|v| if v.is_some() { Status::Present } else { Status::NullValue }).collect();
        let mut all = Vec::new();
        each(&column, Dtype::Float64, &statuses, |_, value| all.push(value));
        all
    }

    #[test]
    fn bits_count_not_text() {
        let nan = f64::from_bits(f64::NAN.to_bits() ^ 1);
        let all = digests(&[Some(0.0), Some(-0.0), Some(f64::NAN), Some(nan), None, Some(1.0)]);
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| a != b), "value {i}");
        }
    }

    #[test]
    fn they_never_change() {
        assert_eq!(format!("{:08x}", short(fold_bytes(START, b"plumb line"))), "2cc7e645");
    }
}
