//! How a feature service's columns become a model's inputs: decided once ([`InputPlan::fit`]), done for every run.
//!
//! A model takes either **one matrix**, `[N, F]` of FP32, FP64 or INT64 with one numeric column per feature in the
//! service's order, or **one input per column**, named as the column, `[N]` or `[N, 1]`. A fixed list of `k` numbers (an
//! embedding) is `k` columns of a matrix, or an input `[N, k]` of its name.
//!
//! Conversions. To a float from any number and from bool (0 or 1), **rounded to nearest, ties to even**: models are
//! trained on float32 of whatever the features were, so an int64 above 2^24 loses its last digits here exactly as it did
//! in training, and a float64 beyond float32's range becomes an infinity. To an integer only from types whose every
//! value it has; never from a float. Texts to BYTES, bool to BOOL, nothing else.
//!
//! Null (what the service's `fill` left) is NaN in a float input, and an error in any other, which names the column and
//! the row. So is a null inside a fixed list; a list that is null is null in all its places.

mod fit;
mod write;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use schema::Dtype;

use super::{OnnxError, Tensor};
pub use fit::Misfit;

/// Which columns go into which inputs. Made by [`InputPlan::fit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPlan {
    columns: Vec<Column>,
    /// In the model's order.
    inputs: Vec<Input>,
    rows_max: Option<usize>,
}

/// A service column as the plan knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    dtype: Dtype,
}

/// One input of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Input {
    name: Arc<str>,
    element: Element,
    /// Its columns, by number.
    columns: Range<usize>,
    /// Second dimension, the widths of its columns together; `None` for shape `[N]`.
    width: Option<usize>,
}

/// Numbers in each row of a column: those of a fixed list, else one.
fn width(dtype: Dtype) -> usize {
    match dtype {
        Dtype::FixedList(_, n) => usize::try_from(n).unwrap_or(usize::MAX),
        _ => 1,
    }
}

/// Element types that we can feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    Fp32,
    Fp64,
    Int32,
    Int64,
    Bool,
    Bytes,
}

/// Rows of a batch, in the columns that are handed in with them.
#[derive(Debug, Clone)]
pub enum Rows<'a> {
    /// Neighbours.
    Range(Range<usize>),
    /// Any rows in any order, repeats allowed.
    Take(&'a [usize]),
}

// === impl InputPlan ===

impl InputPlan {
    /// The most rows that the model takes at once: `Some(1)` if its batch dimension is fixed to 1, else no limit.
    pub fn rows_max(&self) -> Option<usize> {
        self.rows_max
    }

    /// The tensors of `rows` of `columns`, in the model's order: the service's columns, in its order and dtypes, after `fill`.
    ///
    /// # Errors
    /// [`OnnxError::Null`] or [`OnnxError::Nul`] for a value that the model's type cannot say;
    /// [`OnnxError::Columns`] if these are not the service's columns, or a row is beyond their end.
    pub fn tensors<'r>(&self, columns: &[ArrayRef], rows: impl Into<Rows<'r>>) -> Result<Vec<Tensor>, OnnxError> {
        let rows = rows.into();
        self.check(columns, &rows)?;
        self.inputs.iter().map(|input| write::write(input, &self.columns, columns, &rows)).collect()
    }

    /// The columns must be the service's and long enough. Their types are checked where they are read.
    fn check(&self, columns: &[ArrayRef], rows: &Rows<'_>) -> Result<(), OnnxError> {
        let wrong = |reason: String| Err(OnnxError::Columns { reason });
        if columns.len() != self.columns.len() {
            return wrong(format!("{} columns, expected {}", columns.len(), self.columns.len()));
        }
        let end = rows.end();
        match columns.iter().zip(&self.columns).find(|(array, _)| array.len() < end) {
            Some((array, column)) => {
                wrong(format!("`{}` has {} rows, asked for row {}", column.name, array.len(), end.saturating_sub(1)))
            }
            None => Ok(()),
        }
    }
}

// === impl Rows ===

impl Rows<'_> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Take(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number after the last row.
    fn end(&self) -> usize {
        match self {
            Self::Range(range) => range.end,
            Self::Take(rows) => rows.iter().max().map_or(0, |row| row.saturating_add(1)),
        }
    }

    /// The row numbers.
    fn iter(&self) -> impl Iterator<Item = usize> {
        let (range, rows): (Range<usize>, &[usize]) = match self {
            Self::Range(range) => (range.clone(), &[]),
            Self::Take(rows) => (0..0, rows),
        };
        range.chain(rows.iter().copied())
    }
}

impl From<Range<usize>> for Rows<'_> {
    fn from(range: Range<usize>) -> Self {
        Self::Range(range)
    }
}

impl<'a> From<&'a [usize]> for Rows<'a> {
    fn from(rows: &'a [usize]) -> Self {
        Self::Take(rows)
    }
}

impl<'a, const N: usize> From<&'a [usize; N]> for Rows<'a> {
    fn from(rows: &'a [usize; N]) -> Self {
        Self::Take(rows)
    }
}

impl<'a> From<&'a Vec<usize>> for Rows<'a> {
    fn from(rows: &'a Vec<usize>) -> Self {
        Self::Take(rows)
    }
}

// === impl Element ===

impl Element {
    /// Reads an Open Inference datatype; `None` for those that no column is converted to.
    fn parse(datatype: &str) -> Option<Self> {
        [Self::Fp32, Self::Fp64, Self::Int32, Self::Int64, Self::Bool, Self::Bytes]
            .into_iter()
            .find(|element| element.as_str() == datatype)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Bool => "BOOL",
            Self::Bytes => "BYTES",
        }
    }

    /// Whether a column of this dtype may be fed to it: single values, or the numbers of a fixed list.
    fn takes(self, dtype: Dtype) -> bool {
        let dtype = match dtype {
            Dtype::FixedList(item, _) if Dtype::from(item).is_numeric() && self != Self::Bool => Dtype::from(item),
            other => other,
        };
        match self {
            Self::Fp32 | Self::Fp64 => dtype.is_numeric(),
            Self::Int32 => dtype == Dtype::Bool || dtype.widens_to(Dtype::Int32),
            Self::Int64 => dtype == Dtype::Bool || dtype.widens_to(Dtype::Int64),
            Self::Bool => dtype == Dtype::Bool,
            Self::Bytes => dtype == Dtype::String,
        }
    }
}

#[cfg(test)]
mod tests;
