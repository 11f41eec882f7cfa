//! A named tensor, owned: what a run is given, and what it gives back.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::ToByteSlice;
use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef};

use super::Datatype;
use super::outputs::write_row;

/// A tensor.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its name in the graph.
    pub name: Arc<str>,
    /// Dimensions.
    pub shape: Vec<i64>,
    /// The elements, row-major: as many as the product of the dimensions.
    pub data: TensorData,
}

macro_rules! element_types {
    ($($variant:ident, $native:ty, $datatype:ident;)*) => {
        /// The elements of a tensor, row-major.
        #[derive(Debug, Clone)]
        #[expect(missing_docs, reason = "the variants are their types")]
        pub enum TensorData {
            $($variant(Vec<$native>),)*
        }

        /// One row of a tensor.
        #[derive(Debug, Clone, Copy)]
        #[expect(missing_docs, reason = "the variants are their types")]
        pub enum TensorRow<'a> {
            $($variant(&'a [$native]),)*
        }

        impl TensorData {
            /// About how much memory the elements take; texts count as their handles.
            pub fn n_bytes(&self) -> usize {
                match self {
                    $(Self::$variant(elements) => elements.len() * size_of::<$native>(),)*
                }
            }

            /// The element type.
            pub fn datatype(&self) -> Datatype {
                match self {
                    $(Self::$variant(_) => Datatype::$datatype,)*
                }
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(data) => data.len(),)*
                }
            }

            /// The elements of `range`, or of none where it is too long.
            fn slice(&self, range: Range<usize>) -> TensorRow<'_> {
                match self {
                    $(Self::$variant(data) => TensorRow::$variant(data.get(range).unwrap_or_default()),)*
                }
            }

            /// Copies the elements of `range`; of none where it is too long.
            fn copied(&self, range: Range<usize>) -> Self {
                match self {
                    $(Self::$variant(data) => Self::$variant(data.get(range).unwrap_or_default().to_vec()),)*
                }
            }

            /// Copies the elements of `more` after these, if they are of the same type.
            fn append_copy(&mut self, more: &Self) -> bool {
                match (self, more) {
                    $((Self::$variant(all), Self::$variant(more)) => all.extend_from_slice(more),)*
                    _ => return false,
                }
                true
            }

            /// None of the same type, with room for so many.
            fn with_room(&self, n: usize) -> Self {
                match self {
                    $(Self::$variant(_) => Self::$variant(Vec::with_capacity(n)),)*
                }
            }

            /// `n` elements that are nothing: zero, false, empty.
            pub fn zeros(datatype: Datatype, n: usize) -> Self {
                match datatype {
                    $(Datatype::$datatype => Self::$variant(vec![<$native>::default(); n]),)*
                }
            }

            /// Puts the elements of `more` after these, if they are of the same type.
            fn append(&mut self, more: Self) -> bool {
                match (self, more) {
                    $((Self::$variant(all), Self::$variant(more)) => all.extend(more),)*
                    _ => return false,
                }
                true
            }
        }

        impl TensorRow<'_> {
            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(data) => data.len(),)*
                }
            }
        }

        impl fmt::Display for TensorRow<'_> {
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
    Bool, bool, Bool;
    U8, u8, Uint8;
    U16, u16, Uint16;
    U32, u32, Uint32;
    U64, u64, Uint64;
    I8, i8, Int8;
    I16, i16, Int16;
    I32, i32, Int32;
    I64, i64, Int64;
    F16, f16, Fp16;
    Bf16, bf16, Bf16;
    F32, f32, Fp32;
    F64, f64, Fp64;
    Text, String, Bytes;
}

// === impl TensorData ===

impl TensorData {
    /// Hands out all bytes of the elements, so that other elements of the type are other bytes: a text is told by its length.
    pub(crate) fn bytes(&self, mut to: impl FnMut(&[u8])) {
        macro_rules! bytes {
            ($($variant:ident)*) => {
                match self {
                    $(Self::$variant(data) => to(data.as_slice().to_byte_slice()),)*
                    Self::Bool(data) => to(&data.iter().map(|flag| u8::from(*flag)).collect::<Vec<_>>()),
                    Self::Bf16(data) => to(&data.iter().flat_map(|number| number.to_bits().to_le_bytes()).collect::<Vec<_>>()),
                    Self::Text(data) => data.iter().for_each(|text| {
                        to(&text.len().to_le_bytes());
                        to(text.as_bytes());
                    }),
                }
            };
        }
        bytes!(U8 U16 U32 U64 I8 I16 I32 I64 F16 F32 F64);
    }
}

// === impl Tensor ===

impl Tensor {
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
            E::Bool => TensorData::Bool(numbers(value)?),
            E::Uint8 => TensorData::U8(numbers(value)?),
            E::Uint16 => TensorData::U16(numbers(value)?),
            E::Uint32 => TensorData::U32(numbers(value)?),
            E::Uint64 => TensorData::U64(numbers(value)?),
            E::Int8 => TensorData::I8(numbers(value)?),
            E::Int16 => TensorData::I16(numbers(value)?),
            E::Int32 => TensorData::I32(numbers(value)?),
            E::Int64 => TensorData::I64(numbers(value)?),
            E::Float16 => TensorData::F16(numbers(value)?),
            E::Bfloat16 => TensorData::Bf16(numbers(value)?),
            E::Float32 => TensorData::F32(numbers(value)?),
            E::Float64 => TensorData::F64(numbers(value)?),
            E::String => TensorData::Text(value.try_extract_strings()?.1),
            other => return Err(ort::Error::new(format!("output `{name}` has elements of type {other}"))),
        };
        Ok(Self { name, shape: shape.to_vec(), data })
    }

    /// As the runtime takes it, without a copy of anything but texts, which it keeps its own way.
    pub(crate) fn view(&self) -> ort::Result<SessionInputValue<'_>> {
        macro_rules! view {
            ($($variant:ident)*) => {
                match &self.data {
                    $(TensorData::$variant(data) => {
                        TensorRef::from_array_view((self.shape.as_slice(), data.as_slice()))?.into()
                    })*
                    TensorData::Text(texts) => {
                        ort::value::Tensor::from_string_array((self.shape.as_slice(), texts.as_slice()))?.into()
                    }
                }
            };
        }
        Ok(view!(Bool U8 U16 U32 U64 I8 I16 I32 I64 F16 Bf16 F32 F64))
    }

    /// The element type.
    pub fn datatype(&self) -> Datatype {
        self.data.datatype()
    }

    /// Number of rows: the first dimension, or none.
    pub fn rows(&self) -> usize {
        self.shape.first().map_or(0, |rows| usize::try_from(*rows).unwrap_or(0))
    }

    /// Elements of one row: the product of the other dimensions.
    pub fn width(&self) -> usize {
        self.shape.iter().skip(1).map(|dim| usize::try_from(*dim).unwrap_or(0)).product()
    }

    /// All elements.
    pub fn elements(&self) -> TensorRow<'_> {
        self.data.slice(0..self.data.len())
    }

    /// The elements of row `i`; of none beyond the last row.
    pub fn row(&self, i: usize) -> TensorRow<'_> {
        let width = self.width();
        self.data.slice(i * width..(i + 1) * width)
    }

    /// The rows of `range`, as a tensor of their own.
    pub fn rows_of(&self, range: Range<usize>) -> Self {
        let width = self.width();
        let mut shape = self.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = i64::try_from(range.len()).unwrap_or(i64::MAX);
        }
        Self { name: Arc::clone(&self.name), shape, data: self.data.copied(range.start * width..range.end * width) }
    }

    /// The rows of all of them, one after the other; none if they are not of one type and of the same other dimensions.
    pub fn concat(tensors: &[&Self]) -> Option<Self> {
        let (first, rest) = tensors.split_first()?;
        let n = tensors.iter().map(|tensor| tensor.data.len()).sum();
        let mut data = first.data.with_room(n);
        data.append_copy(&first.data);
        let mut shape = first.shape.clone();
        for tensor in rest {
            if shape.get(1..) != tensor.shape.get(1..) || !data.append_copy(&tensor.data) {
                return None;
            }
            *shape.first_mut()? += tensor.shape.first()?;
        }
        Some(Self { name: Arc::clone(&first.name), shape, data })
    }

    /// Puts the rows of `more` after these; whether they are of the same type and of the same other dimensions, or else
    /// nothing changes.
    pub fn append(&mut self, more: Self) -> bool {
        let trailing = |shape: &[i64]| shape.get(1..).map(<[i64]>::to_vec);
        let (rows, fits) = (more.shape.first().copied(), trailing(&self.shape) == trailing(&more.shape));
        let (Some(first), Some(rows), true) = (self.shape.first_mut(), rows, fits) else { return false };
        let appended = self.data.append(more.data);
        if appended {
            *first += rows;
        }
        appended
    }
}

impl TensorData {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory the elements take, what texts hold included.
    pub fn n_bytes_held(&self) -> usize {
        match self {
            Self::Text(texts) => texts.iter().map(|text| text.capacity() + size_of::<String>()).sum(),
            other => other.n_bytes(),
        }
    }

    /// The first text that has a NUL character, by number.
    pub fn first_nul(&self) -> Option<usize> {
        match self {
            Self::Text(texts) => texts.iter().position(|text| text.as_bytes().contains(&0)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_slices_of_the_width() {
        let tensor = Tensor { name: "y".into(), shape: vec![2, 2], data: TensorData::F32(vec![1.0, 2.0, 3.0, 4.0]) };
        assert!(tensor.row(1).same_bits(TensorRow::F32(&[3.0, 4.0])));
        assert!(tensor.row(2).is_empty());
        assert_eq!((tensor.rows(), tensor.width()), (2, 2));
    }

    #[test]
    fn rows_that_were_taken_apart_are_put_together() {
        let tensor = Tensor { name: "y".into(), shape: vec![3, 2], data: TensorData::I64(vec![1, 2, 3, 4, 5, 6]) };
        let mut all = tensor.rows_of(0..1);
        assert_eq!(all.shape, [1, 2]);
        assert!(all.append(tensor.rows_of(1..3)));
        assert_eq!(all.shape, [3, 2]);
        assert!(all.row(2).same_bits(tensor.row(2)));
        let other = Tensor { name: "y".into(), shape: vec![1, 1], data: TensorData::I64(vec![7]) };
        assert!(!all.append(other), "of another width");
        let other = Tensor { name: "y".into(), shape: vec![1, 2], data: TensorData::I32(vec![7, 8]) };
        assert!(!all.append(other), "of another type");
        assert_eq!((all.shape.as_slice(), all.data.len()), ([3, 2].as_slice(), 6));
        let (one, two) = (tensor.rows_of(0..1), tensor.rows_of(1..3));
        let again = Tensor::concat(&[&one, &two]).unwrap();
        assert_eq!(again.shape, [3, 2]);
        assert!((0..3).all(|i| again.row(i).same_bits(tensor.row(i))));
        let other = Tensor { name: "y".into(), shape: vec![1, 2], data: TensorData::I32(vec![7, 8]) };
        assert!(Tensor::concat(&[&one, &other]).is_none() && Tensor::concat(&[]).is_none());
    }
}
