//! Streams, whole.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;

use super::message::{self, METADATA_MAX};
use super::{Limits, broken, size};
use crate::caught::caught;

/// What a message begins with, before its length; older writers leave it out.
const CONTINUES: [u8; 4] = [0xff; 4];
/// The end of a stream, and what makes the decoder take a message without a body.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The rows of a stream that came in parts. They stay where they are in memory.
///
/// # Errors
/// It is none, or unfolds to more than the limits; what the library says of it.
pub fn read_stream(parts: Vec<Buffer>, limits: &Limits) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let mut bytes = Parts { parts: parts.into_iter().collect(), left: 0 };
    bytes.left = bytes.parts.iter().map(Buffer::len).sum();
    let (mut decoder, mut batches) = (StreamDecoder::new(), Vec::new());
    let mut plain = 0_u64;
    loop {
        let Some(metadata) = next_metadata(&mut bytes)? else { break };
        let body = {
            let parsed = message::parse(&metadata)?;
            let body = bytes.take(message::body_length(&parsed)?)?;
            message::check(&parsed, &body, limits)?;
            body
        };
        let length = u32::try_from(metadata.len()).map_err(|_long| broken("a message's header is too long"))?;
        let head = [CONTINUES.as_slice(), &length.to_le_bytes(), &metadata].concat();
        for mut part in [Buffer::from(head), body] {
            while !part.is_empty() {
                let Some(batch) = caught(|| decoder.decode(&mut part))? else { continue };
                take(batch, &mut batches, &mut plain, limits)?;
            }
        }
    }
    let mut end = Buffer::from(END.as_slice());
    while !end.is_empty() {
        let Some(batch) = caught(|| decoder.decode(&mut end))? else { continue };
        take(batch, &mut batches, &mut plain, limits)?;
    }
    decoder.finish()?;
    let schema = decoder.schema().ok_or_else(|| broken("it has no schema"))?;
    Ok((schema, batches))
}

fn take(batch: RecordBatch, into: &mut Vec<RecordBatch>, plain: &mut u64, limits: &Limits) -> Result<(), ArrowError> {
    *plain = plain.saturating_add(caught(|| Ok::<_, ArrowError>(size::plain_bytes(&batch)))?);
    if *plain > limits.plain_bytes {
        let max = limits.plain_bytes >> 20;
        return Err(broken(format!("its rows take more than {max} MB once dictionaries, runs and views are unfolded")));
    }
    into.push(batch);
    Ok(())
}

/// The header of the next message; `None` at the end.
fn next_metadata(bytes: &mut Parts) -> Result<Option<Buffer>, ArrowError> {
    if bytes.left == 0 {
        return Ok(None);
    }
    let mut length = bytes.array()?;
    if length == CONTINUES {
        length = bytes.array()?;
    }
    match u32::from_le_bytes(length) as usize {
        0 if bytes.left == 0 => Ok(None),
        0 => Err(broken("it goes on after its end")),
        length if length > METADATA_MAX => Err(broken(format!("a message's header has {length} bytes"))),
        length => bytes.take(length).map(Some),
    }
}

/// Bytes in parts of any length.
struct Parts {
    parts: std::collections::VecDeque<Buffer>,
    left: usize,
}

impl Parts {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArrowError> {
        let taken = self.take(N)?;
        taken.as_slice().try_into().map_err(|_short| broken("it is cut off"))
    }

    /// So many bytes: in place where they are in one part, else copied together.
    fn take(&mut self, n: usize) -> Result<Buffer, ArrowError> {
        if n > self.left {
            return Err(broken("it is cut off"));
        }
        self.left -= n;
        let mut copied: Vec<u8> = Vec::new();
        loop {
            let wanted = n - copied.len();
            let Some(mut first) = self.parts.pop_front() else { return Ok(Buffer::from(copied)) };
            if first.len() > wanted {
                let taken = first.slice_with_length(0, wanted);
                first.advance(wanted);
                self.parts.push_front(first);
                if copied.is_empty() {
                    return Ok(taken);
                }
                copied.extend_from_slice(&taken);
                return Ok(Buffer::from(copied));
            }
            if first.len() == wanted && copied.is_empty() {
                return Ok(first);
            }
            copied.extend_from_slice(&first);
            if copied.len() == n {
                return Ok(Buffer::from(copied));
            }
        }
    }
}
