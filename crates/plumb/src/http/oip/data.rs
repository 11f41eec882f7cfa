//! The elements of a tensor, out of JSON of any nesting.
//!
//! Numbers are read as the datatype is, each once: an integer is never a float on its way, a float of 32 bits is rounded
//! once. The text is JSON already, so only what stands in it is looked at; nothing is called again for what is nested.

use serving::onnx::{Datatype, TensorData};

use super::lenient::TOKENS;
use crate::oip::Refusal;

/// How deep lists may be nested.
const DEPTH_MAX: usize = 100;

/// Reads the `n` elements of input `input` from the JSON text `json`.
///
/// # Errors
/// It is no list, is nested deeper than 100, has another number of elements, or one that the datatype has not.
pub(super) fn read(input: &str, datatype: Datatype, n: usize, json: &str) -> Result<TensorData, Refusal> {
    let tokens = Tokens { rest: json.trim_start(), depth: 0, input };
    if !tokens.rest.starts_with('[') {
        return Err(Refusal::invalid(format!("the data of input '{input}' is no list")));
    }
    let reader = Reader { tokens, input, datatype, n };
    Ok(match datatype {
        Datatype::Bool => TensorData::Bool(reader.all(|text| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        })?),
        Datatype::Uint8 => TensorData::U8(reader.all(integer)?),
        Datatype::Uint16 => TensorData::U16(reader.all(integer)?),
        Datatype::Uint32 => TensorData::U32(reader.all(integer)?),
        Datatype::Uint64 => TensorData::U64(reader.all(integer)?),
        Datatype::Int8 => TensorData::I8(reader.all(integer)?),
        Datatype::Int16 => TensorData::I16(reader.all(integer)?),
        Datatype::Int32 => TensorData::I32(reader.all(integer)?),
        Datatype::Int64 => TensorData::I64(reader.all(integer)?),
        Datatype::Fp32 => TensorData::F32(reader.all(|text| {
            #[expect(clippy::cast_possible_truncation, reason = "NaN and the infinities stay what they are")]
            token(text).map(|known| known as f32).or_else(|| text.parse().ok().filter(|x: &f32| x.is_finite()))
        })?),
        Datatype::Fp64 => TensorData::F64(
            reader.all(|text| token(text).or_else(|| text.parse().ok().filter(|x: &f64| x.is_finite())))?,
        ),
        Datatype::Bytes => TensorData::Text(
            reader.all(|text| if text.starts_with('"') { serde_json::from_str(text).ok() } else { None })?,
        ),
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(Refusal::invalid(format!(
                "input '{input}' is {datatype}, which JSON has no numbers for: send it as binary data"
            )));
        }
    })
}

/// An integer as JSON writes it. A float without a fraction is one too: clients that have no integers write `1.0`.
fn integer<T: std::str::FromStr>(text: &str) -> Option<T> {
    let whole = text.split_once('.').filter(|(_, zeros)| !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0'));
    let digits = whole.map_or(text, |(whole, _)| whole);
    if digits == "-0" { "0".parse().ok() } else { digits.parse().ok() }
}

/// What stands for a float that JSON lacks; null is NaN, as numpy reads it.
fn token(text: &str) -> Option<f64> {
    if text == "null" {
        return Some(f64::NAN);
    }
    TOKENS.iter().find(|(_, stands, _)| *stands == text).map(|(_, _, value)| *value)
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    input: &'a str,
    datatype: Datatype,
    n: usize,
}

impl<'a> Reader<'a> {
    fn all<T>(mut self, read: impl Fn(&'a str) -> Option<T>) -> Result<Vec<T>, Refusal> {
        // Each element and what parts it from the next take two bytes at least.
        let mut elements = Vec::with_capacity(self.n.min(self.tokens.rest.len() / 2 + 1));
        let (input, n) = (self.input, self.n);
        while let Some(text) = self.tokens.next()? {
            if elements.len() == n {
                return Err(Refusal::invalid(format!(
                    "unexpected number of elements for input '{input}': more than {n}"
                )));
            }
            let at = elements.len();
            elements.push(read(text).ok_or_else(|| {
                let shown: String = text.chars().take(40).collect();
                Refusal::invalid(format!("element {at} of input '{input}' is {shown}, which {} has not", self.datatype))
            })?);
        }
        match elements.len() {
            got if got == n => Ok(elements),
            got => {
                Err(Refusal::invalid(format!("unexpected number of elements {got} for input '{input}', expecting {n}")))
            }
        }
    }
}

/// The scalars of a list, in their order, however deep they are.
struct Tokens<'a> {
    rest: &'a str,
    depth: usize,
    input: &'a str,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Result<Option<&'a str>, Refusal> {
        loop {
            let Some(byte) = self.rest.bytes().next() else { return Ok(None) };
            match byte {
                b'[' => {
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        let why = format!("the data of input '{}' is nested deeper than {DEPTH_MAX} lists", self.input);
                        return Err(Refusal::invalid(why));
                    }
                }
                b']' => self.depth = self.depth.saturating_sub(1),
                b',' | b' ' | b'\n' | b'\r' | b'\t' => {}
                b'{' => {
                    return Err(Refusal::invalid(format!("the data of input '{}' has an object in it", self.input)));
                }
                b'"' => return Ok(Some(self.cut(text_length(self.rest)))),
                _ => {
                    let ends = |byte: u8| matches!(byte, b',' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                    let length = self.rest.bytes().position(ends).unwrap_or(self.rest.len());
                    return Ok(Some(self.cut(length)));
                }
            }
            self.rest = &self.rest[1..];
        }
    }

    fn cut(&mut self, length: usize) -> &'a str {
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        token
    }
}

/// How long the string is that a text begins with, its quotes included.
fn text_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            // What is escaped is one byte, or `u` and digits.
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests;
