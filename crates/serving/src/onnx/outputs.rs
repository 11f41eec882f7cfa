//! What a run gave back: row by row, comparable to the bit.

use std::fmt;

use half::{bf16, f16};

use super::{OnnxError, Tensor, TensorRow};

/// A run's outputs, in the model's order.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// One tensor an output; each has as many rows as were asked.
    pub columns: Vec<Tensor>,
}

// === impl Outputs ===

impl Outputs {
    /// The output of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.columns.iter().find(|tensor| tensor.name.as_ref() == name)
    }

    /// They, if each has an entry for each of `rows` rows.
    ///
    /// # Errors
    /// [`OnnxError::OutputRows`] of the first that has not.
    pub fn of_rows(self, rows: usize) -> Result<Self, OnnxError> {
        let has = |tensor: &&Tensor| usize::try_from(tensor.shape.first().copied().unwrap_or(-1)) == Ok(rows);
        match self.columns.iter().find(|tensor| !has(tensor)) {
            None => Ok(self),
            Some(Tensor { name, shape, .. }) => {
                Err(OnnxError::OutputRows { output: name.as_ref().to_owned(), shape: shape.clone(), rows })
            }
        }
    }

    /// Puts the rows of `more`, which are of the same model, after these.
    ///
    /// # Errors
    /// [`OnnxError::Ragged`] where an output has another shape there.
    pub fn append(&mut self, more: Self) -> Result<(), OnnxError> {
        for (column, more) in self.columns.iter_mut().zip(more.columns) {
            if !column.append(more) {
                return Err(OnnxError::Ragged { output: column.name.as_ref().to_owned() });
            }
        }
        Ok(())
    }

    /// Whether row `i` here is row `j` there, in every output, as [`TensorRow::same_bits`].
    pub fn row_same_bits(&self, i: usize, other: &Self, j: usize) -> bool {
        let same = |(a, b): (&Tensor, &Tensor)| a.name == b.name && a.row(i).same_bits(b.row(j));
        self.columns.len() == other.columns.len() && self.columns.iter().zip(&other.columns).all(same)
    }
}

// === impl TensorRow ===

impl TensorRow<'_> {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Equal to the bit, so 0.0 is not -0.0; but every NaN is the same, since no arithmetic promises which it gives.
    pub fn same_bits(self, other: TensorRow<'_>) -> bool {
        match (self, other) {
            (Self::F32(a), TensorRow::F32(b)) => same_floats(a, b, |x| u64::from(x.to_bits()), f32::is_nan),
            (Self::F64(a), TensorRow::F64(b)) => same_floats(a, b, f64::to_bits, f64::is_nan),
            (Self::F16(a), TensorRow::F16(b)) => same_floats(a, b, |x| u64::from(x.to_bits()), f16::is_nan),
            (Self::Bf16(a), TensorRow::Bf16(b)) => same_floats(a, b, |x| u64::from(x.to_bits()), bf16::is_nan),
            (Self::Bool(a), TensorRow::Bool(b)) => a == b,
            (Self::U8(a), TensorRow::U8(b)) => a == b,
            (Self::U16(a), TensorRow::U16(b)) => a == b,
            (Self::U32(a), TensorRow::U32(b)) => a == b,
            (Self::U64(a), TensorRow::U64(b)) => a == b,
            (Self::I8(a), TensorRow::I8(b)) => a == b,
            (Self::I16(a), TensorRow::I16(b)) => a == b,
            (Self::I32(a), TensorRow::I32(b)) => a == b,
            (Self::I64(a), TensorRow::I64(b)) => a == b,
            (Self::Text(a), TensorRow::Text(b)) => a == b,
            _ => false,
        }
    }

    /// How far apart: the greatest `|a - b| / max(1, |a|)` of two float rows, 0 for equal rows of any type. `None` where
    /// no distance makes sense: other types or lengths, unequal labels, NaN or an infinity against anything else.
    pub fn distance(self, other: TensorRow<'_>) -> Option<f64> {
        if self.same_bits(other) {
            return Some(0.0);
        }
        self.floats()?.zip_equal(other.floats()?)
    }

    /// The elements as numbers, integers beyond 2^53 rounded; `None` for texts and truth values.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        #[expect(clippy::cast_precision_loss, reason = "a distance needs no more bits")]
        Some(match self {
            Self::F32(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::F64(row) => row.to_vec(),
            Self::F16(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::Bf16(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::U8(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::U16(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::U32(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::U64(row) => row.iter().map(|v| *v as f64).collect(),
            Self::I8(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::I16(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::I32(row) => row.iter().map(|v| f64::from(*v)).collect(),
            Self::I64(row) => row.iter().map(|v| *v as f64).collect(),
            Self::Bool(_) | Self::Text(_) => return None,
        })
    }

    /// The elements as the names of classes.
    pub fn labels(&self) -> Vec<String> {
        macro_rules! labels {
            ($($variant:ident),*) => {
                match self {
                    $(Self::$variant(row) => row.iter().map(ToString::to_string).collect(),)*
                }
            };
        }
        labels!(Bool, U8, U16, U32, U64, I8, I16, I32, I64, F16, Bf16, F32, F64, Text)
    }

    /// The elements of a float row.
    pub fn floats(&self) -> Option<Floats<'_>> {
        match self {
            Self::F32(row) => Some(Floats::Single(row)),
            Self::F64(row) => Some(Floats::Double(row)),
            Self::F16(row) => Some(Floats::Half(row)),
            Self::Bf16(row) => Some(Floats::Brain(row)),
            _ => None,
        }
    }
}

/// A float row of any width.
#[derive(Debug, Clone, Copy)]
pub enum Floats<'a> {
    /// 32 bits.
    Single(&'a [f32]),
    /// 64 bits.
    Double(&'a [f64]),
    /// 16 bits.
    Half(&'a [f16]),
    /// 16 bits, of which 8 are the exponent's.
    Brain(&'a [bf16]),
}

impl Floats<'_> {
    /// The elements, widened.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        let (mut single, mut double, mut half, mut brain): (&[f32], &[f64], &[f16], &[bf16]) = (&[], &[], &[], &[]);
        match self {
            Self::Single(row) => single = row,
            Self::Double(row) => double = row,
            Self::Half(row) => half = row,
            Self::Brain(row) => brain = row,
        }
        let wide = single.iter().map(|x| f64::from(*x)).chain(double.iter().copied());
        wide.chain(half.iter().map(|x| f64::from(*x))).chain(brain.iter().map(|x| f64::from(*x)))
    }

    fn zip_equal(self, other: Floats<'_>) -> Option<f64> {
        let same_type = std::mem::discriminant(&self) == std::mem::discriminant(&other);
        if !same_type || self.iter().count() != other.iter().count() {
            return None;
        }
        self.iter().zip(other.iter()).try_fold(0.0_f64, |greatest, (a, b)| {
            let apart = if a.is_nan() && b.is_nan() || a.total_cmp(&b).is_eq() {
                0.0
            } else {
                (a - b).abs() / a.abs().max(1.0)
            };
            apart.is_finite().then(|| greatest.max(apart))
        })
    }
}

pub(super) fn write_row<T: fmt::Debug>(f: &mut fmt::Formatter<'_>, row: &[T]) -> fmt::Result {
    const SHOWN: usize = 8;
    const LETTERS: usize = 40;
    let cut = |element: &T| {
        let text = format!("{element:?}");
        match text.char_indices().nth(LETTERS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    };
    let mut shown: Vec<String> = row.iter().take(SHOWN).map(cut).collect();
    if row.len() > SHOWN {
        shown.push("…".to_owned());
    }
    match (shown.as_slice(), row.len()) {
        ([one], 1) => f.write_str(one),
        _ => write!(f, "[{}]", shown.join(", ")),
    }
}

fn same_floats<T: Copy>(a: &[T], b: &[T], bits: impl Fn(T) -> u64, is_nan: impl Fn(T) -> bool) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| bits(*a) == bits(*b) || is_nan(*a) && is_nan(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_to_the_bit_with_one_nan() {
        let nan = TensorRow::F32(&[f32::NAN, 1.0]);
        assert!(nan.same_bits(TensorRow::F32(&[-f32::NAN, 1.0])));
        assert!(!TensorRow::F32(&[0.0]).same_bits(TensorRow::F32(&[-0.0])));
        assert!(!TensorRow::F32(&[0.0]).same_bits(TensorRow::F64(&[0.0])));
        assert!(!TensorRow::I64(&[1]).same_bits(TensorRow::I64(&[1, 1])));
    }

    #[test]
    fn distances_are_relative_above_one_and_absolute_below() {
        let check = |a: &[f64], b: &[f64], want: Option<f64>| {
            assert_eq!(TensorRow::F64(a).distance(TensorRow::F64(b)), want, "{a:?} {b:?}");
        };
        check(&[0.5, 100.0], &[0.25, 75.0], Some(0.25));
        check(&[0.0], &[-0.0], Some(0.0));
        check(&[f64::INFINITY], &[f64::INFINITY], Some(0.0));
        check(&[f64::NAN], &[f64::NAN], Some(0.0));
        check(&[f64::NAN], &[1.0], None);
        check(&[f64::INFINITY], &[1.0], None);
        check(&[1.0], &[f64::INFINITY], None);
        check(&[f64::INFINITY], &[f64::NEG_INFINITY], None);
        check(&[1.0, 1.0], &[1.0], None);
        assert_eq!(TensorRow::I64(&[1]).distance(TensorRow::I64(&[2])), None);
        assert_eq!(TensorRow::Text(&["a".into()]).distance(TensorRow::Text(&["a".into()])), Some(0.0));
    }
}
