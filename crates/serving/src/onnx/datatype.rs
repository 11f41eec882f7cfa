//! Element types of tensors, as the Open Inference Protocol spells them; FP16 and BF16 as Triton does.

use std::fmt;

use ort::value::TensorElementType;

/// An element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are their types")]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    /// Texts: ONNX has no other elements of variable length.
    Bytes,
}

impl Datatype {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp16,
        Self::Bf16,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// As it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Bf16 => "BF16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// The runtime's type; none for those that no tensor of ours has: quarters of a float, complex numbers.
    pub(crate) fn of(element: TensorElementType) -> Option<Self> {
        use TensorElementType as E;
        Some(match element {
            E::Bool => Self::Bool,
            E::Uint8 => Self::Uint8,
            E::Uint16 => Self::Uint16,
            E::Uint32 => Self::Uint32,
            E::Uint64 => Self::Uint64,
            E::Int8 => Self::Int8,
            E::Int16 => Self::Int16,
            E::Int32 => Self::Int32,
            E::Int64 => Self::Int64,
            E::Float16 => Self::Fp16,
            E::Bfloat16 => Self::Bf16,
            E::Float32 => Self::Fp32,
            E::Float64 => Self::Fp64,
            E::String => Self::Bytes,
            _ => return None,
        })
    }

    /// Reads the word of the wire.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.as_str() == word)
    }

    /// Bytes of one element; none for texts, which are as long as they are.
    pub fn width(self) -> Option<usize> {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => Some(1),
            Self::Uint16 | Self::Int16 | Self::Fp16 | Self::Bf16 => Some(2),
            Self::Uint32 | Self::Int32 | Self::Fp32 => Some(4),
            Self::Uint64 | Self::Int64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }

    /// Whether its elements are floats, of any width.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Fp16 | Self::Bf16 | Self::Fp32 | Self::Fp64)
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
