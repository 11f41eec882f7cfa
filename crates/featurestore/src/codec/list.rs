//! Lists as bytes: the number of values, whether any is null, if so a bitmap of those that are, and then the values one
//! after the other; fixed-width ones that are null as zeros, texts that are null not at all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use schema::dtype::item_field;
use schema::{Dtype, Scalar};

use super::cell::{CellBuilder, push_value, split, split_length, width};

/// Writes the list at `row`, which is not null.
pub(super) fn push_list(out: &mut Vec<u8>, column: &dyn Array, row: usize, dtype: Dtype) {
    let values = match dtype {
        Dtype::FixedList(_, _) => column.as_fixed_size_list().value(row),
        _ => column.as_list::<i32>().value(row),
    };
    let (n, item) = (values.len(), dtype.item());
    // Arrow's 32-bit offsets keep every list below 2^31 values.
    out.extend(u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
    let any_null = values.null_count() > 0;
    out.push(u8::from(any_null));
    if any_null {
        let bitmap = out.len();
        out.resize(bitmap + n.div_ceil(8), 0);
        for i in (0..n).filter(|i| values.is_null(*i)) {
            out[bitmap + i / 8] |= 1 << (i % 8);
        }
    }
    let zeros = width(item).unwrap_or(0);
    for i in 0..n {
        if values.is_null(i) {
            out.resize(out.len() + zeros, 0);
        } else {
            push_value(out, None, &values, i, item);
        }
    }
}

/// A column of lists being filled.
#[derive(Debug)]
pub(super) struct ListBuilder {
    item: Scalar,
    /// Of a fixed list.
    size: Option<usize>,
    values: CellBuilder,
    lengths: Vec<usize>,
    present: Vec<bool>,
}

impl ListBuilder {
    /// For lists of `dtype`.
    pub(super) fn new(dtype: Dtype, capacity: usize) -> Self {
        let size = match dtype {
            Dtype::FixedList(_, n) => usize::try_from(n).ok(),
            _ => None,
        };
        Self {
            item: dtype.item(),
            size,
            values: CellBuilder::new(dtype.item(), capacity * size.unwrap_or(4)),
            lengths: Vec::with_capacity(capacity),
            present: Vec::with_capacity(capacity),
        }
    }

    pub(super) fn push_null(&mut self) {
        // A fixed list has its places even where it is null.
        (0..self.size.unwrap_or(0)).for_each(|_| self.values.push_null());
        self.lengths.push(0);
        self.present.push(false);
    }

    /// Takes a list off the front of `bytes`; `None` if they do not hold one.
    pub(super) fn push(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let n = split_length(bytes)?;
        if self.size.is_some_and(|size| size != n) {
            return None;
        }
        match split(bytes, 1)? {
            [0] => {
                for _ in 0..n {
                    self.values.push(bytes)?;
                }
            }
            [1] => {
                let bitmap = split(bytes, n.div_ceil(8))?;
                let zeros = width(self.item).unwrap_or(0);
                for i in 0..n {
                    if bitmap[i / 8] & (1 << (i % 8)) == 0 {
                        self.values.push(bytes)?;
                    } else {
                        split(bytes, zeros)?;
                        self.values.push_null();
                    }
                }
            }
            _ => return None,
        }
        self.lengths.push(n);
        self.present.push(true);
        Some(())
    }

    pub(super) fn finish(self) -> ArrayRef {
        let values = self.values.finish();
        let nulls = NullBuffer::from(self.present);
        let nulls = (nulls.null_count() > 0).then_some(nulls);
        match self.size.map(i32::try_from) {
            Some(size) => {
                Arc::new(FixedSizeListArray::new(item_field(self.item), size.unwrap_or(i32::MAX), values, nulls))
            }
            None => {
                let offsets = OffsetBuffer::from_lengths(self.lengths);
                Arc::new(ListArray::new(item_field(self.item), offsets, values, nulls))
            }
        }
    }
}
