//! What a run gave back: owned, row by row, comparable to the bit.

use std::fmt;
use std::sync::Arc;

use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType};

/// A run's outputs, in the model's order.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// One tensor an output; each has as many rows as were asked.
    pub columns: Vec<OutputTensor>,
}

/// One output.
#[derive(Debug, Clone)]
pub struct OutputTensor {
    /// Its name in the graph.
    pub name: Arc<str>,
    /// Element type, in Open Inference spelling.
    pub datatype: &'static str,
    /// Dimensions; the first is the number of rows.
    pub shape: Vec<i64>,
    /// The elements, row-major.
    pub data: OutputData,
}

macro_rules! element_types {
    ($($variant:ident, $native:ty, $datatype:literal;)*) => {
        /// The elements of an output, row-major.
        #[derive(Debug, Clone)]
        #[expect(missing_docs, reason = "the variants are their types")]
        pub enum OutputData {
            $($variant(Vec<$native>),)*
        }

        /// One row of an output.
        #[derive(Debug, Clone, Copy)]
        #[expect(missing_docs, reason = "the variants are their types")]
        pub enum OutputRow<'a> {
            $($variant(&'a [$native]),)*
        }

        impl OutputData {
            /// About how much memory the elements take; texts count as their handles.
            pub fn n_bytes(&self) -> usize {
                match self {
                    $(Self::$variant(elements) => elements.len() * size_of::<$native>(),)*
                }
            }

            /// Open Inference spelling of the element type.
            pub fn datatype(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $datatype,)*
                }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(data) => data.len(),)*
                }
            }

            /// The elements of `range`, or of none where it is too long.
            fn slice(&self, range: std::ops::Range<usize>) -> OutputRow<'_> {
                match self {
                    $(Self::$variant(data) => OutputRow::$variant(data.get(range).unwrap_or_default()),)*
                }
            }
        }

        impl OutputRow<'_> {
            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(data) => data.len(),)*
                }
            }
        }

        impl fmt::Display for OutputRow<'_> {
            /// `0.5`, or `[0.25, 0.75]`; long ones are cut.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(data) => write_row(f, data),)*
                }
            }
        }
    };
}

element_types! {
    Bool, bool, "BOOL";
    U8, u8, "UINT8";
    U16, u16, "UINT16";
    U32, u32, "UINT32";
    U64, u64, "UINT64";
    I8, i8, "INT8";
    I16, i16, "INT16";
    I32, i32, "INT32";
    I64, i64, "INT64";
    F32, f32, "FP32";
    F64, f64, "FP64";
    Text, String, "BYTES";
}

// === impl OutputTensor ===

impl OutputTensor {
    /// Copies a tensor out of the runtime.
    pub(crate) fn copy(name: Arc<str>, value: &DynValue) -> ort::Result<Self> {
        fn numbers<T: PrimitiveTensorElementType + Clone>(value: &DynValue) -> ort::Result<Vec<T>> {
            Ok(value.try_extract_tensor::<T>()?.1.to_vec())
        }
        use TensorElementType as E;
        let Some(shape) = value.dtype().tensor_shape() else {
            return Err(ort::Error::new(format!("output `{name}` came out as {}", value.dtype())));
        };
        let data = match value.data_type() {
            E::Bool => OutputData::Bool(numbers(value)?),
            E::Uint8 => OutputData::U8(numbers(value)?),
            E::Uint16 => OutputData::U16(numbers(value)?),
            E::Uint32 => OutputData::U32(numbers(value)?),
            E::Uint64 => OutputData::U64(numbers(value)?),
            E::Int8 => OutputData::I8(numbers(value)?),
            E::Int16 => OutputData::I16(numbers(value)?),
            E::Int32 => OutputData::I32(numbers(value)?),
            E::Int64 => OutputData::I64(numbers(value)?),
            E::Float32 => OutputData::F32(numbers(value)?),
            E::Float64 => OutputData::F64(numbers(value)?),
            E::String => OutputData::Text(value.try_extract_strings()?.1),
            other => return Err(ort::Error::new(format!("output `{name}` has elements of type {other}"))),
        };
        Ok(Self { name, datatype: data.datatype(), shape: shape.to_vec(), data })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.shape.first().map_or(0, |rows| usize::try_from(*rows).unwrap_or(0))
    }

    /// Elements of one row: the product of the other dimensions.
    pub fn width(&self) -> usize {
        self.shape.iter().skip(1).map(|dim| usize::try_from(*dim).unwrap_or(0)).product()
    }

    /// The elements of row `i`; of none beyond the last row.
    pub fn row(&self, i: usize) -> OutputRow<'_> {
        let width = self.width();
        self.data.slice(i * width..(i + 1) * width)
    }
}

impl OutputData {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// === impl Outputs ===

impl Outputs {
    /// The output of this name.
    pub fn get(&self, name: &str) -> Option<&OutputTensor> {
        self.columns.iter().find(|tensor| tensor.name.as_ref() == name)
    }

    /// Whether row `i` here is row `j` there, in every output, as [`OutputRow::same_bits`].
    pub fn row_same_bits(&self, i: usize, other: &Self, j: usize) -> bool {
        let same = |(a, b): (&OutputTensor, &OutputTensor)| a.name == b.name && a.row(i).same_bits(b.row(j));
        self.columns.len() == other.columns.len() && self.columns.iter().zip(&other.columns).all(same)
    }
}

// === impl OutputRow ===

impl OutputRow<'_> {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Equal to the bit, so 0.0 is not -0.0; but every NaN is the same, since no arithmetic promises which it gives.
    pub fn same_bits(self, other: OutputRow<'_>) -> bool {
        match (self, other) {
            (Self::F32(a), OutputRow::F32(b)) => same_floats(a, b, |x| u64::from(x.to_bits()), f32::is_nan),
            (Self::F64(a), OutputRow::F64(b)) => same_floats(a, b, f64::to_bits, f64::is_nan),
            (Self::Bool(a), OutputRow::Bool(b)) => a == b,
            (Self::U8(a), OutputRow::U8(b)) => a == b,
            (Self::U16(a), OutputRow::U16(b)) => a == b,
            (Self::U32(a), OutputRow::U32(b)) => a == b,
            (Self::U64(a), OutputRow::U64(b)) => a == b,
            (Self::I8(a), OutputRow::I8(b)) => a == b,
            (Self::I16(a), OutputRow::I16(b)) => a == b,
            (Self::I32(a), OutputRow::I32(b)) => a == b,
            (Self::I64(a), OutputRow::I64(b)) => a == b,
            (Self::Text(a), OutputRow::Text(b)) => a == b,
            _ => false,
        }
    }

    /// How far apart: the greatest `|a - b| / max(1, |a|)` of two float rows, 0 for equal rows of any type. `None` where
    /// no distance makes sense: other types or lengths, unequal labels, NaN or an infinity against anything else.
    pub fn distance(self, other: OutputRow<'_>) -> Option<f64> {
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
        labels!(Bool, U8, U16, U32, U64, I8, I16, I32, I64, F32, F64, Text)
    }

    /// The elements of a float row.
    pub fn floats(&self) -> Option<Floats<'_>> {
        match self {
            Self::F32(row) => Some(Floats::Single(row)),
            Self::F64(row) => Some(Floats::Double(row)),
            _ => None,
        }
    }
}

/// A float row of either width.
#[derive(Debug, Clone, Copy)]
pub enum Floats<'a> {
    /// 32 bits.
    Single(&'a [f32]),
    /// 64 bits.
    Double(&'a [f64]),
}

impl Floats<'_> {
    /// The elements, widened.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        let (single, double): (&[f32], &[f64]) = match self {
            Self::Single(row) => (row, &[]),
            Self::Double(row) => (&[], row),
        };
        single.iter().map(|x| f64::from(*x)).chain(double.iter().copied())
    }

    fn zip_equal(self, other: Floats<'_>) -> Option<f64> {
        let same_type =
            matches!((self, other), (Self::Single(_), Floats::Single(_)) | (Self::Double(_), Floats::Double(_)));
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

fn write_row<T: fmt::Debug>(f: &mut fmt::Formatter<'_>, row: &[T]) -> fmt::Result {
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
        let nan = OutputRow::F32(&[f32::NAN, 1.0]);
        assert!(nan.same_bits(OutputRow::F32(&[-f32::NAN, 1.0])));
        assert!(!OutputRow::F32(&[0.0]).same_bits(OutputRow::F32(&[-0.0])));
        assert!(!OutputRow::F32(&[0.0]).same_bits(OutputRow::F64(&[0.0])));
        assert!(!OutputRow::I64(&[1]).same_bits(OutputRow::I64(&[1, 1])));
    }

    #[test]
    fn distances_are_relative_above_one_and_absolute_below() {
        let check = |a: &[f64], b: &[f64], want: Option<f64>| {
            assert_eq!(OutputRow::F64(a).distance(OutputRow::F64(b)), want, "{a:?} {b:?}");
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
        assert_eq!(OutputRow::I64(&[1]).distance(OutputRow::I64(&[2])), None);
        assert_eq!(OutputRow::Text(&["a".into()]).distance(OutputRow::Text(&["a".into()])), Some(0.0));
    }

    #[test]
    fn rows_are_slices_of_the_width() {
        let data = OutputData::F32(vec![1.0, 2.0, 3.0, 4.0]);
        let tensor = OutputTensor { name: "y".into(), datatype: data.datatype(), shape: vec![2, 2], data };
        assert!(tensor.row(1).same_bits(OutputRow::F32(&[3.0, 4.0])));
        assert!(tensor.row(2).is_empty());
        assert_eq!((tensor.rows(), tensor.width()), (2, 2));
    }
}
