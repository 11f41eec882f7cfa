//! Rows cut into chunks of one size, whatever the batches were that they came in: so files, profiles and digests do not
//! depend on how much memory the join had.

use arrow::array::{
    Array, ArrayData, ArrayRef, RecordBatch, RecordBatchOptions, Scalar, UInt32Array, make_array, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat_batches, is_not_null, take};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use schema::Fingerprint;

use crate::offline::OfflineError;
use crate::offline::source::read_error;

/// Rows of a chunk. A multiple of the rows that Parquet's writer takes at a time.
pub(super) const CHUNK_ROWS: usize = 65_536;

/// Batches on their way to chunks.
#[derive(Debug)]
pub(super) struct Chunks {
    schema: SchemaRef,
    pending: Vec<RecordBatch>,
    n_pending: usize,
}

impl Chunks {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self { schema: SchemaRef::clone(schema), pending: Vec::new(), n_pending: 0 }
    }

    /// Adds rows, and hands on the chunks that are full.
    pub(super) fn push(
        &mut self,
        batch: &RecordBatch,
        mut each: impl FnMut(&RecordBatch) -> Result<(), OfflineError>,
    ) -> Result<(), OfflineError> {
        let mut from = 0;
        while self.n_pending + batch.num_rows() - from >= CHUNK_ROWS {
            let taken = CHUNK_ROWS - self.n_pending;
            self.pending.push(batch.slice(from, taken));
            from += taken;
            each(&self.join()?)?;
        }
        if from < batch.num_rows() {
            self.pending.push(batch.slice(from, batch.num_rows() - from));
            self.n_pending += batch.num_rows() - from;
        }
        Ok(())
    }

    /// Hands on the rows that are left.
    pub(super) fn finish(
        &mut self,
        mut each: impl FnMut(&RecordBatch) -> Result<(), OfflineError>,
    ) -> Result<(), OfflineError> {
        if self.n_pending > 0 { each(&self.join()?) } else { Ok(()) }
    }

    fn join(&mut self) -> Result<RecordBatch, OfflineError> {
        self.n_pending = 0;
        let pending = std::mem::take(&mut self.pending);
        match <[RecordBatch; 1]>::try_from(pending) {
            Ok([one]) => Ok(one),
            Err(many) => concat_batches(&self.schema, &many).map_err(|why| read_error("a block of rows", why)),
        }
    }
}

/// Columns in one form, whatever they were cut from: no mask where there are no nulls, and lists of nothing but their own
/// values. Writers look at both, though rows are the same.
pub(super) fn tidy(chunk: &RecordBatch) -> Result<RecordBatch, OfflineError> {
    each_column(chunk, |column| {
        if !column.data_type().is_nested() {
            return unmasked(&column.to_data());
        }
        let all = UInt32Array::from_iter_values(0..u32::try_from(column.len()).unwrap_or(u32::MAX));
        unmasked(&take(column, &all, None)?.to_data())
    })
}

/// Rows in one form, whatever they were cut from; what is under a null is nothing.
///
/// It is not part of the rows, but Arrow's files and streams hold it, and a value that is too old to be used must not leave
/// that way.
///
/// # Errors
/// [`OfflineError::Read`] for columns that Arrow itself cannot copy.
pub fn canonical(chunk: &RecordBatch) -> Result<RecordBatch, OfflineError> {
    let nothing = each_column(chunk, |column| {
        if column.null_count() == 0 || column.data_type().is_null() {
            return Ok(ArrayRef::clone(column));
        }
        let null = Scalar::new(new_null_array(column.data_type(), 1));
        zip(&is_not_null(column)?, column, &null)
    })?;
    tidy(&nothing)
}

fn each_column(
    chunk: &RecordBatch,
    change: impl Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<RecordBatch, OfflineError> {
    let fail = |why: ArrowError| read_error("a chunk of rows", why);
    let columns = chunk.columns().iter().map(change).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    let options = RecordBatchOptions::new().with_row_count(Some(chunk.num_rows()));
    RecordBatch::try_new_with_options(chunk.schema(), columns, &options).map_err(fail)
}

fn unmasked(data: &ArrayData) -> Result<ArrayRef, ArrowError> {
    Ok(make_array(without_mask(data)?))
}

fn without_mask(data: &ArrayData) -> Result<ArrayData, ArrowError> {
    let children = data.child_data().iter().map(without_mask).collect::<Result<Vec<_>, _>>()?;
    let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
    data.clone().into_builder().nulls(nulls).child_data(children).build()
}

/// Digest of rows in their order: of their values and types, not of the file that holds them.
#[derive(Debug)]
pub(super) struct Digest {
    so_far: Fingerprint,
}

impl Default for Digest {
    fn default() -> Self {
        Self { so_far: Fingerprint::of_bytes(b"rows 1") }
    }
}

impl Digest {
    /// Adds a chunk; chunks are of [`CHUNK_ROWS`], so a digest is the same for the same rows.
    pub(super) fn add(&mut self, chunk: &RecordBatch) -> Result<(), OfflineError> {
        let fail = |why: String| read_error("the digest of rows", why);
        let bytes = crate::push::rows::to_ipc(&canonical(chunk)?).map_err(fail)?;
        let mut chained = Vec::with_capacity(bytes.len() + 32);
        chained.extend_from_slice(self.so_far.as_bytes());
        chained.extend_from_slice(&bytes);
        self.so_far = Fingerprint::of_bytes(&chained);
        Ok(())
    }

    pub(super) fn end(&self) -> Fingerprint {
        self.so_far
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    fn rows(n: usize) -> RecordBatch {
        let some = |i: usize| (!i.is_multiple_of(7)).then_some(i);
        let numbers: Int64Array = (0..n).map(|i| some(i).and_then(|i| i64::try_from(i).ok())).collect();
        let texts: StringArray = (0..n).map(|i| some(i + 1).map(|i| format!("t{}", i % 100))).collect();
        let columns = [("n", Arc::new(numbers) as ArrayRef, true), ("t", Arc::new(texts), true)];
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    fn digest(rows: &RecordBatch, cuts: &[usize]) -> (Fingerprint, Vec<usize>) {
        let (mut chunks, mut digest, mut sizes) = (Chunks::new(&rows.schema()), Digest::default(), Vec::new());
        let mut add = |chunk: &RecordBatch| {
            sizes.push(chunk.num_rows());
            digest.add(chunk)
        };
        let mut from = 0;
        for until in cuts.iter().copied().chain([rows.num_rows()]) {
            chunks.push(&rows.slice(from, until - from), &mut add).unwrap();
            from = until;
        }
        chunks.finish(&mut add).unwrap();
        (digest.end(), sizes)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
        #[test]
        fn a_digest_does_not_depend_on_how_rows_come(cuts in proptest::collection::vec(0..150_000_usize, 0..6)) {
            let rows = rows(150_000);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (got, sizes) = digest(&rows, &cuts);
            prop_assert_eq!(got, digest(&rows, &[]).0);
            prop_assert_eq!(sizes, [CHUNK_ROWS, CHUNK_ROWS, 150_000 - 2 * CHUNK_ROWS]);
        }
    }

    #[test]
    fn what_is_under_a_null_does_not_count_and_order_does() {
        let nulls = arrow::buffer::NullBuffer::from(vec![true, false]);
        let column = |under: i64| {
            let column: ArrayRef = Arc::new(Int64Array::new(vec![1, under].into(), Some(nulls.clone())));
            RecordBatch::try_from_iter_with_nullable([("a", column, true)]).unwrap()
        };
        assert_eq!(digest(&column(5), &[]), digest(&column(6), &[]));
        let turned = rows(2);
        let other = arrow::compute::take_record_batch(&turned, &UInt32Array::from(vec![1, 0])).unwrap();
        assert_ne!(digest(&turned, &[]), digest(&other, &[]));
    }
}
