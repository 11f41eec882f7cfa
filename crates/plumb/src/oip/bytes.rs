//! Tensors as raw bytes: little-endian, row-major, unpadded. A truth value is one byte, 0 or 1; a text is its length, a
//! `u32`, and then its UTF-8.

use half::{bf16, f16};
use serving::onnx::{Datatype, TensorData};

/// Why bytes are not the elements of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Misread {
    #[error("unexpected total byte size {got} for input '{input}', expecting {expected}")]
    Length { input: String, got: usize, expected: usize },
    #[error("element {at} of input '{input}' is {got}, and BOOL is 0 or 1")]
    Bool { input: String, at: usize, got: u8 },
    #[error(
        "incomplete string length indicator for inference input '{input}', expecting 4 bytes but only {left} bytes available"
    )]
    NoLength { input: String, left: usize },
    #[error(
        "incomplete string data for inference input '{input}', expecting string of length {expected} but only {left} bytes available"
    )]
    Short { input: String, expected: u32, left: usize },
    #[error("expecting {expected} strings for inference input '{input}', got {got}")]
    Count { input: String, expected: usize, got: usize },
    #[error("{left} bytes follow the {expected} strings of inference input '{input}'")]
    Left { input: String, expected: usize, left: usize },
    #[error("element {at} of input '{input}' is no UTF-8, and ONNX has no other strings")]
    NotText { input: String, at: usize },
}

/// Reads the `n` elements of input `input`. Nothing is allocated that the bytes do not have.
///
/// # Errors
/// [`Misread`] unless the bytes are exactly those elements.
pub fn read(input: &str, datatype: Datatype, n: usize, bytes: &[u8]) -> Result<TensorData, Misread> {
    if let Some(expected) = datatype.width().map(|width| width.saturating_mul(n))
        && bytes.len() != expected
    {
        return Err(Misread::Length { input: input.to_owned(), got: bytes.len(), expected });
    }
    macro_rules! numbers {
        ($variant:ident, $native:ty) => {{
            let (chunks, _) = bytes.as_chunks::<{ size_of::<$native>() }>();
            TensorData::$variant(chunks.iter().map(|chunk| <$native>::from_le_bytes(*chunk)).collect())
        }};
    }
    Ok(match datatype {
        Datatype::Bool => {
            let wrong = bytes.iter().enumerate().find(|(_, byte)| **byte > 1);
            if let Some((at, got)) = wrong {
                return Err(Misread::Bool { input: input.to_owned(), at, got: *got });
            }
            TensorData::Bool(bytes.iter().map(|byte| *byte == 1).collect())
        }
        Datatype::Uint8 => TensorData::U8(bytes.to_vec()),
        Datatype::Uint16 => numbers!(U16, u16),
        Datatype::Uint32 => numbers!(U32, u32),
        Datatype::Uint64 => numbers!(U64, u64),
        Datatype::Int8 => numbers!(I8, i8),
        Datatype::Int16 => numbers!(I16, i16),
        Datatype::Int32 => numbers!(I32, i32),
        Datatype::Int64 => numbers!(I64, i64),
        Datatype::Fp16 => numbers!(F16, f16),
        Datatype::Bf16 => numbers!(Bf16, bf16),
        Datatype::Fp32 => numbers!(F32, f32),
        Datatype::Fp64 => numbers!(F64, f64),
        Datatype::Bytes => TensorData::Text(texts(input, n, bytes)?),
    })
}

fn texts(input: &str, n: usize, mut bytes: &[u8]) -> Result<Vec<String>, Misread> {
    let of = || input.to_owned();
    // Each has a length of four bytes at least.
    let mut texts = Vec::with_capacity(n.min(bytes.len() / size_of::<u32>()));
    while texts.len() < n {
        if bytes.is_empty() {
            return Err(Misread::Count { input: of(), expected: n, got: texts.len() });
        }
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
            return Err(Misread::NoLength { input: of(), left: bytes.len() });
        };
        let expected = u32::from_le_bytes(*length);
        let text = usize::try_from(expected).ok().and_then(|length| rest.split_at_checked(length));
        let Some((text, rest)) = text else {
            return Err(Misread::Short { input: of(), expected, left: rest.len() });
        };
        let text = std::str::from_utf8(text).map_err(|_why| Misread::NotText { input: of(), at: texts.len() })?;
        texts.push(text.to_owned());
        bytes = rest;
    }
    if bytes.is_empty() { Ok(texts) } else { Err(Misread::Left { input: of(), expected: n, left: bytes.len() }) }
}

/// How many bytes [`write()`] writes.
pub fn n_bytes(data: &TensorData) -> usize {
    match data {
        TensorData::Text(texts) => texts.iter().map(|text| size_of::<u32>() + text.len()).sum(),
        other => other.n_bytes(),
    }
}

/// Writes the elements of a tensor behind what is there.
pub fn write(data: &TensorData, bytes: &mut Vec<u8>) {
    bytes.reserve(n_bytes(data));
    macro_rules! numbers {
        ($data:expr) => {
            $data.iter().for_each(|element| bytes.extend_from_slice(&element.to_le_bytes()))
        };
    }
    match data {
        TensorData::Bool(data) => bytes.extend(data.iter().map(|truth| u8::from(*truth))),
        TensorData::U8(data) => bytes.extend_from_slice(data),
        TensorData::U16(data) => numbers!(data),
        TensorData::U32(data) => numbers!(data),
        TensorData::U64(data) => numbers!(data),
        TensorData::I8(data) => numbers!(data),
        TensorData::I16(data) => numbers!(data),
        TensorData::I32(data) => numbers!(data),
        TensorData::I64(data) => numbers!(data),
        TensorData::F16(data) => numbers!(data),
        TensorData::Bf16(data) => numbers!(data),
        TensorData::F32(data) => numbers!(data),
        TensorData::F64(data) => numbers!(data),
        TensorData::Text(texts) => {
            for text in texts {
                // A text of 4 GB does not fit into a message either.
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(data: &TensorData) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(data, &mut bytes);
        assert_eq!(bytes.len(), n_bytes(data));
        bytes
    }

    #[track_caller]
    fn refused(datatype: Datatype, n: usize, bytes: &[u8], why: &str) {
        assert_eq!(read("x", datatype, n, bytes).unwrap_err().to_string(), why);
    }

    #[test]
    fn tensors_are_little_endian() {
        assert_eq!(bytes_of(&TensorData::I32(vec![1, -2])), [1, 0, 0, 0, 254, 255, 255, 255]);
        assert_eq!(bytes_of(&TensorData::Bool(vec![true, false])), [1, 0]);
        let texts = TensorData::Text(vec!["ab".to_owned(), String::new()]);
        assert_eq!(bytes_of(&texts), [2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0]);
    }

    #[test]
    fn bytes_that_are_no_such_tensor_are_refused() {
        refused(Datatype::Fp32, 2, &[0; 7], "unexpected total byte size 7 for input 'x', expecting 8");
        refused(Datatype::Bool, 2, &[1, 2], "element 1 of input 'x' is 2, and BOOL is 0 or 1");
        refused(
            Datatype::Bytes,
            1,
            &[1, 0],
            "incomplete string length indicator for inference input 'x', expecting 4 bytes but only 2 bytes available",
        );
        refused(
            Datatype::Bytes,
            1,
            &[255, 255, 255, 255, b'a'],
            "incomplete string data for inference input 'x', expecting string of length 4294967295 but only 1 bytes available",
        );
        refused(
            Datatype::Bytes,
            usize::MAX,
            &[0; 4],
            &format!("expecting {} strings for inference input 'x', got 1", usize::MAX),
        );
        refused(Datatype::Bytes, 0, &[0; 4], "4 bytes follow the 0 strings of inference input 'x'");
        refused(
            Datatype::Bytes,
            1,
            &[1, 0, 0, 0, 255],
            "element 0 of input 'x' is no UTF-8, and ONNX has no other strings",
        );
    }

    fn tensors() -> impl Strategy<Value = TensorData> {
        use proptest::collection::vec;
        prop_oneof![
            vec(any::<bool>(), 0..9).prop_map(TensorData::Bool),
            vec(any::<u8>(), 0..9).prop_map(TensorData::U8),
            vec(any::<u16>(), 0..9).prop_map(TensorData::U16),
            vec(any::<u32>(), 0..9).prop_map(TensorData::U32),
            vec(any::<u64>(), 0..9).prop_map(TensorData::U64),
            vec(any::<i8>(), 0..9).prop_map(TensorData::I8),
            vec(any::<i16>(), 0..9).prop_map(TensorData::I16),
            vec(any::<i32>(), 0..9).prop_map(TensorData::I32),
            vec(any::<i64>(), 0..9).prop_map(TensorData::I64),
            vec(any::<u16>().prop_map(f16::from_bits), 0..9).prop_map(TensorData::F16),
            vec(any::<u16>().prop_map(bf16::from_bits), 0..9).prop_map(TensorData::Bf16),
            vec(any::<f32>(), 0..9).prop_map(TensorData::F32),
            vec(any::<f64>(), 0..9).prop_map(TensorData::F64),
            vec(any::<String>(), 0..9).prop_map(TensorData::Text),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(data in tensors()) {
            let bytes = bytes_of(&data);
            let again = read("x", data.datatype(), data.len(), &bytes).unwrap();
            prop_assert_eq!(again.len(), data.len());
            prop_assert_eq!(bytes_of(&again), bytes);
        }

        #[test]
        fn any_bytes_are_a_tensor_or_refused(at in 0_usize..14, n in 0_usize..40, bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let datatype = Datatype::ALL[at];
            if let Ok(data) = read("x", datatype, n, &bytes) {
                prop_assert_eq!(data.len(), n);
                prop_assert_eq!(bytes_of(&data), bytes);
            }
        }
    }
}
