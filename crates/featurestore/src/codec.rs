//! How one row of stored features is packed for the online store.
//!
//! Format byte, null bitmap, fixed-width cells in feature order (nulls as zeros), then the texts and lists in feature
//! order, each with its length. Fixed cells are little-endian. Floats keep their bits: NaN, -0.0 and infinities come back
//! as they were. `codec/cell.rs` has the single values, `codec/list.rs` the lists.

mod cell;
mod list;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{Array, ArrayRef};
use arrow::buffer::{Buffer, MutableBuffer};
use schema::{Dtype, Scalar};

use cell::{CellBuilder, numbers, push_value, width};
use list::ListBuilder;

/// First byte of every packed row: readers accept old formats, writers write this one.
const FORMAT: u8 = 1;

/// Packs and unpacks the rows of one view version.
#[derive(Debug, Clone)]
pub struct RowCodec {
    dtypes: Vec<Dtype>,
    fixed_at: Vec<usize>,
    texts_at: usize,
}

/// A packed row that does not parse: another format, or bytes missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stored row of {found} bytes does not have the layout of its view version")]
pub struct CorruptRow {
    found: usize,
}

impl RowCodec {
    /// A codec for features of these types, in order.
    pub fn new(dtypes: impl IntoIterator<Item = Dtype>) -> Self {
        let dtypes: Vec<Dtype> = dtypes.into_iter().collect();
        let mut at = 1 + dtypes.len().div_ceil(8);
        let mut fixed_at = Vec::with_capacity(dtypes.len());
        for dtype in &dtypes {
            fixed_at.push(at);
            at += fixed_width(*dtype).unwrap_or(0);
        }
        Self { dtypes, fixed_at, texts_at: at }
    }

    /// Packs row `row` of columns that are in the codec's dtypes.
    pub fn encode(&self, columns: &[ArrayRef], row: usize) -> Vec<u8> {
        let mut out = vec![0; self.texts_at];
        out[0] = FORMAT;
        for (i, (column, dtype)) in columns.iter().zip(&self.dtypes).enumerate() {
            if column.is_null(row) {
                out[1 + i / 8] |= 1 << (i % 8);
                continue;
            }
            if dtype.is_list() {
                list::push_list(&mut out, column, row, *dtype);
            } else {
                push_value(&mut out, fixed_width(*dtype).map(|_| self.fixed_at[i]), column, row, dtype.item());
            }
        }
        out
    }

    /// Columns into which rows are unpacked one after the other, `capacity` of them at most: more are a bug, and panic.
    pub fn decoder(&self, capacity: usize) -> RowDecoder<'_> {
        let mut numbers = Numbers::default();
        let builders = self.dtypes.iter().map(|dtype| Builder::new(*dtype, capacity, &mut numbers)).collect();
        RowDecoder { codec: self, builders, memory: MutableBuffer::from_len_zeroed(numbers.n_bytes) }
    }
}

/// Bytes of a fixed cell; `None` for what stands behind them.
fn fixed_width(dtype: Dtype) -> Option<usize> {
    if dtype.is_list() { None } else { width(dtype.item()) }
}

/// Rows being unpacked into columns.
#[derive(Debug)]
pub struct RowDecoder<'c> {
    codec: &'c RowCodec,
    builders: Vec<Builder>,
    /// The numbers of all columns. For few rows, making a piece of memory for each column is most of the work.
    memory: MutableBuffer,
}

impl RowDecoder<'_> {
    /// Appends a row of nulls.
    pub fn push_missing(&mut self) {
        self.builders.iter_mut().for_each(Builder::push_null);
    }

    /// Appends a packed row.
    ///
    /// # Errors
    /// [`CorruptRow`]; the columns are then of no further use.
    pub fn push(&mut self, packed: &[u8]) -> Result<(), CorruptRow> {
        let corrupt = CorruptRow { found: packed.len() };
        if packed.first() != Some(&FORMAT) || packed.len() < self.codec.texts_at {
            return Err(corrupt);
        }
        let (fixed, mut texts) = packed.split_at(self.codec.texts_at);
        for (i, builder) in self.builders.iter_mut().enumerate() {
            if fixed[1 + i / 8] & (1 << (i % 8)) != 0 {
                builder.push_null();
                continue;
            }
            let mut fixed_cell = &fixed[self.codec.fixed_at[i]..];
            if let Builder::Number(column) = builder {
                column.push(fixed_cell, &mut self.memory).ok_or(corrupt)?;
                continue;
            }
            let bytes = if fixed_width(self.codec.dtypes[i]).is_some() { &mut fixed_cell } else { &mut texts };
            match builder {
                Builder::Cell(builder) => builder.push(bytes),
                Builder::List(builder) => builder.push(bytes),
                Builder::Number(_) => Some(()),
            }
            .ok_or(corrupt)?;
        }
        if texts.is_empty() { Ok(()) } else { Err(corrupt) }
    }

    /// The columns.
    pub fn finish(self) -> Vec<ArrayRef> {
        let memory = Buffer::from(self.memory);
        self.builders.into_iter().map(|builder| builder.finish(&memory)).collect()
    }
}

/// Where numbers are in the memory of a decoder.
#[derive(Debug, Default)]
struct Numbers {
    n_bytes: usize,
}

impl Numbers {
    /// Every column begins where the widest number may.
    const ALIGNMENT: usize = 16;

    fn take(&mut self, n_bytes: usize) -> usize {
        let at = self.n_bytes;
        self.n_bytes = (at + n_bytes).next_multiple_of(Self::ALIGNMENT);
        at
    }
}

/// Packed numbers are little-endian, and are copied as they are.
const _: () = assert!(cfg!(target_endian = "little"));

/// A column of numbers being filled.
#[derive(Debug)]
struct NumberColumn {
    scalar: Scalar,
    width: usize,
    at: usize,
    rows: usize,
    capacity: usize,
    nulls: NullBufferBuilder,
}

impl NumberColumn {
    /// Takes a number off the front of `bytes`, which is there as it is in memory: little-endian.
    fn push(&mut self, bytes: &[u8], memory: &mut MutableBuffer) -> Option<()> {
        let at = self.at + self.row() * self.width;
        memory[at..at + self.width].copy_from_slice(bytes.get(..self.width)?);
        self.nulls.append_non_null();
        Some(())
    }

    fn push_null(&mut self) {
        self.row();
        self.nulls.append_null();
    }

    /// The next row. Behind the last one lies the next column.
    fn row(&mut self) -> usize {
        assert!(self.rows < self.capacity, "a decoder of {} rows is given more", self.capacity);
        self.rows += 1;
        self.rows - 1
    }
}

/// A column being filled.
#[derive(Debug)]
enum Builder {
    Number(NumberColumn),
    Cell(CellBuilder),
    List(ListBuilder),
}

impl Builder {
    fn new(dtype: Dtype, capacity: usize, numbers: &mut Numbers) -> Self {
        if dtype.is_list() {
            return Self::List(ListBuilder::new(dtype, capacity));
        }
        match (dtype.item(), fixed_width(dtype)) {
            // One bit each.
            (Scalar::Bool, _) | (_, None) => Self::Cell(CellBuilder::new(dtype.item(), capacity)),
            (scalar, Some(width)) => {
                let (at, nulls) = (numbers.take(width * capacity), NullBufferBuilder::new(capacity));
                Self::Number(NumberColumn { scalar, width, at, rows: 0, capacity, nulls })
            }
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Number(column) => column.push_null(),
            Self::Cell(builder) => builder.push_null(),
            Self::List(builder) => builder.push_null(),
        }
    }

    fn finish(self, memory: &Buffer) -> ArrayRef {
        match self {
            Self::Number(NumberColumn { scalar, at, rows, mut nulls, .. }) => {
                numbers(scalar, memory, at, rows, nulls.finish()).expect("it was taken for a number")
            }
            Self::Cell(builder) => builder.finish(),
            Self::List(builder) => builder.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
