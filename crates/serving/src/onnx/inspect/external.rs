//! Weights that a model keeps in other files, put into it.
//!
//! MLflow's ONNX flavor writes every initializer of a kilobyte or more to a file beside the graph. The runtime would follow
//! a name in the graph to any file that it can read, so it is never given one: names are looked up among the files of the
//! version, whose bytes are known by their digests, and what the runtime loads is one file again, as [`super::wire`] demands.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::proto::{Field, Fields, Value, lossy, numbers, text, unloadable, write_bytes};
use super::wire::{DEPTH_MAX, Message, entries, inside, is_elsewhere};
use crate::onnx::OnnxError;

/// The largest protocol buffer, and so the largest model that can be put together.
const MODEL_BYTES_MAX: u64 = i32::MAX as u64;
/// Longest name of a file.
const NAME_BYTES_MAX: usize = 4_096;

/// The files that a model's weights are in, as paths from the graph's own folder.
///
/// # Errors
/// [`OnnxError::External`] for a name that leads, or could be read to lead, out of that folder;
/// [`OnnxError::Unloadable`] for bytes that are no model.
pub fn locations(graph: &[u8]) -> Result<BTreeSet<String>, OnnxError> {
    fn walk(message: Message, bytes: &[u8], depth: usize, found: &mut BTreeSet<String>) -> Result<(), OnnxError> {
        deeper(depth)?;
        if message == Message::Tensor {
            if is_elsewhere(bytes)? {
                found.insert(Elsewhere::read(bytes)?.location);
            }
            return Ok(());
        }
        for field in Fields(bytes) {
            let Field { number, value, .. } = field?;
            if let (Some(next), Value::Bytes(inner)) = (inside(message, number), value) {
                walk(next, inner, depth + 1, found)?;
            }
        }
        Ok(())
    }
    let mut found = BTreeSet::new();
    walk(Message::Model, graph, 0, &mut found)?;
    Ok(found)
}

/// The model with all of its weights in it, taken from `files`, which are named as [`locations`] names them.
///
/// # Errors
/// [`OnnxError::External`]: a file is not there, ends before a tensor does, holds more or less than the tensor's shape needs,
/// or is used over and over; [`OnnxError::Unloadable`]: the model would be larger than 2 GiB.
pub fn gather<'g, B: AsRef<[u8]>>(graph: &'g [u8], files: &BTreeMap<String, B>) -> Result<Cow<'g, [u8]>, OnnxError> {
    if locations(graph)?.is_empty() {
        return Ok(Cow::Borrowed(graph));
    }
    let all: u64 = files.values().map(|file| file.as_ref().len() as u64).sum();
    if all.saturating_add(graph.len() as u64) > MODEL_BYTES_MAX {
        return Err(unloadable("with the weights of its other files it is larger than 2 GiB"));
    }
    // Each tensor has a place of its own, so together they cannot be larger than the files.
    let mut gathering = Gathering { files, left: all };
    Ok(Cow::Owned(gathering.message(Message::Model, graph, 0)?))
}

fn deeper(depth: usize) -> Result<(), OnnxError> {
    if depth > DEPTH_MAX { Err(unloadable("its graph is nested too deeply")) } else { Ok(()) }
}

struct Gathering<'f, B> {
    files: &'f BTreeMap<String, B>,
    /// Bytes that tensors may still take.
    left: u64,
}

impl<B: AsRef<[u8]>> Gathering<'_, B> {
    fn message(&mut self, message: Message, bytes: &[u8], depth: usize) -> Result<Vec<u8>, OnnxError> {
        deeper(depth)?;
        let mut out = Vec::with_capacity(bytes.len());
        for field in Fields(bytes) {
            let Field { number, value, raw } = field?;
            match (inside(message, number), value) {
                (Some(Message::Tensor), Value::Bytes(tensor)) if is_elsewhere(tensor)? => {
                    write_bytes(number, &self.tensor(tensor)?, &mut out);
                }
                (Some(next), Value::Bytes(inner)) if next != Message::Tensor => {
                    write_bytes(number, &self.message(next, inner, depth + 1)?, &mut out);
                }
                _ => out.extend_from_slice(raw),
            }
        }
        Ok(out)
    }

    /// The tensor with its values in `raw_data`.
    fn tensor(&mut self, bytes: &[u8]) -> Result<Vec<u8>, OnnxError> {
        const RAW_DATA: u32 = 9;
        let elsewhere = Elsewhere::read(bytes)?;
        let values = elsewhere.values(self.files.get(&elsewhere.location).map(AsRef::as_ref))?;
        self.left = self.left.checked_sub(values.len() as u64).ok_or_else(|| {
            elsewhere.refused("together, the tensors kept in other files are larger than these files")
        })?;
        let mut out = Vec::with_capacity(bytes.len() + values.len());
        for field in Fields(bytes) {
            let Field { number, raw, .. } = field?;
            if !matches!(number, RAW_DATA | 13 | 14) {
                out.extend_from_slice(raw);
            }
        }
        write_bytes(RAW_DATA, values, &mut out);
        Ok(out)
    }
}

/// What a tensor says of values that are in another file.
#[derive(Debug)]
struct Elsewhere {
    tensor: String,
    /// A path from the graph's folder.
    location: String,
    offset: u64,
    /// As told.
    length: Option<u64>,
    /// As shape and type have it.
    n_bytes: u64,
}

impl Elsewhere {
    fn read(bytes: &[u8]) -> Result<Self, OnnxError> {
        let tensor = lossy(text(bytes, 8)?);
        let entries = entries(bytes)?;
        let told = |wanted: &str| -> Result<Option<&[u8]>, OnnxError> {
            let mut all = entries.iter().filter(|(key, _)| *key == wanted.as_bytes()).map(|(_, value)| *value);
            match (all.next(), all.next()) {
                (Some(_), Some(_)) => Err(refused(&tensor, "another file", &format!("it has two entries `{wanted}`"))),
                (one, _) => Ok(one),
            }
        };
        let said = told("location")?.unwrap_or_default();
        let shown = lossy(said);
        let location = place(said).map_err(|why| refused(&tensor, &shown, why))?;
        let count = |wanted: &str| -> Result<Option<u64>, OnnxError> {
            let Some(value) = told(wanted)? else { return Ok(None) };
            let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
            let not = || refused(&tensor, &shown, &format!("its {wanted} `{}` is no number of bytes", lossy(value)));
            number.map(Some).ok_or_else(not)
        };
        let (offset, length) = (count("offset")?.unwrap_or(0), count("length")?);
        let n_bytes = n_bytes(bytes)?.map_err(|why| refused(&tensor, &shown, why))?;
        Ok(Self { offset, length, n_bytes, tensor, location })
    }

    /// The bytes of its values.
    fn values<'f>(&self, file: Option<&'f [u8]>) -> Result<&'f [u8], OnnxError> {
        let Some(file) = file else { return Err(self.refused("it is not one of the model's files")) };
        let n = self.n_bytes;
        if let Some(length) = self.length.filter(|length| *length != n) {
            return Err(self.refused(&format!("{length} bytes are named there, where its shape and type need {n}")));
        }
        let range =
            usize::try_from(self.offset).ok().zip(self.offset.checked_add(n).and_then(|end| usize::try_from(end).ok()));
        let found = range.and_then(|(from, to)| file.get(from..to));
        found.ok_or_else(|| {
            let (from, size) = (self.offset, file.len());
            self.refused(&format!("{n} bytes from {from} on are named there, and the file has {size}"))
        })
    }

    fn refused(&self, why: &str) -> OnnxError {
        refused(&self.tensor, &self.location, why)
    }
}

fn refused(tensor: &str, location: &str, why: &str) -> OnnxError {
    OnnxError::External {
        tensor: tensor.to_owned(),
        location: location.escape_debug().to_string(),
        why: why.to_owned(),
    }
}

/// A name in a model as a path from the graph's folder. What any system would take for a path out of it is refused.
fn place(location: &[u8]) -> Result<String, &'static str> {
    let Ok(text) = std::str::from_utf8(location) else { return Err("the name is no text") };
    if text.contains(char::is_control) {
        return Err("the name has a control character");
    }
    if text.starts_with('/') {
        return Err("the path is absolute");
    }
    if text.contains('\\') {
        return Err("the path is spelled with a backslash");
    }
    if text.contains(':') {
        return Err("the path names a drive, a stream or a scheme");
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err("the path leads out of the model's folder");
    }
    if parts.is_empty() || text.ends_with('/') || text.len() > NAME_BYTES_MAX {
        return Err("the path names no file");
    }
    Ok(parts.join("/"))
}

/// How many bytes a tensor's values take, or why that is not known.
fn n_bytes(tensor: &[u8]) -> Result<Result<u64, &'static str>, OnnxError> {
    let dims = numbers(tensor, 1)?;
    let element = numbers(tensor, 2)?.last().copied().unwrap_or(0);
    let bits: u64 = match element {
        // FLOAT4, INT4, UINT4; then the types of one byte.
        21..=23 => 4,
        2 | 3 | 9 | 17..=20 | 24 => 8,
        4 | 5 | 10 | 16 => 16,
        1 | 6 | 12 => 32,
        7 | 11 | 13 | 14 => 64,
        15 => 128,
        8 => return Ok(Err("texts cannot be kept in another file")),
        _ => return Ok(Err("its element type is not known")),
    };
    let elements = dims.iter().try_fold(1_u64, |n, dim| n.checked_mul(u64::try_from(*dim).ok()?));
    let bytes = elements.and_then(|n| n.checked_mul(bits)).map(|bits| bits.div_ceil(8));
    Ok(bytes.filter(|bytes| *bytes <= MODEL_BYTES_MAX).ok_or("its shape is none, or too large"))
}

#[cfg(test)]
mod tests;
