//! One message, before it is decoded: what it announces is what is there.

use arrow::error::ArrowError;
use arrow::ipc::{CompressionType, Message, MessageHeader, RecordBatch, root_as_message};

use super::{Limits, broken};

/// The longest metadata of a message: of a batch of a hundred thousand columns.
pub(super) const METADATA_MAX: usize = 16 << 20;
/// Rows that a message may have for nothing: columns of nulls alone need no bytes.
const ROWS_FREE: i64 = 1 << 16;
/// What stands for a length where a buffer is not compressed after all.
const AS_IT_IS: i64 = -1;

/// The message that `metadata` is.
pub(super) fn parse(metadata: &[u8]) -> Result<Message<'_>, ArrowError> {
    root_as_message(metadata).map_err(|why| broken(format!("a message's header is damaged: {why}")))
}

/// How long the body is.
pub(super) fn body_length(message: &Message<'_>) -> Result<usize, ArrowError> {
    let length = message.bodyLength();
    usize::try_from(length).map_err(|_negative| broken(format!("a message announces {length} bytes")))
}

/// That a message may be decoded.
pub(super) fn check(message: &Message<'_>, body: &[u8], limits: &Limits) -> Result<(), ArrowError> {
    match message.header_type() {
        MessageHeader::RecordBatch => {
            message.header_as_record_batch().map_or(Ok(()), |batch| rows(&batch, body, limits))
        }
        MessageHeader::DictionaryBatch => {
            let Some(dictionary) = message.header_as_dictionary_batch() else { return Ok(()) };
            // Each would copy all that came before it.
            if dictionary.isDelta() {
                return Err(broken("its dictionaries come in parts: write each whole"));
            }
            dictionary.data().map_or(Ok(()), |batch| rows(&batch, body, limits))
        }
        _ => Ok(()),
    }
}

fn rows(batch: &RecordBatch<'_>, body: &[u8], limits: &Limits) -> Result<(), ArrowError> {
    let n_rows = batch.length();
    let n_rows_max = i64::try_from(body.len()).unwrap_or(i64::MAX).saturating_mul(8).saturating_add(ROWS_FREE);
    if !(0..=n_rows_max).contains(&n_rows) && batch.compression().is_none() {
        return Err(broken(format!("a message announces {n_rows} rows in {} bytes", body.len())));
    }
    for node in batch.nodes().into_iter().flatten() {
        if !(0..=node.length()).contains(&node.null_count()) {
            return Err(broken(format!("a column announces {} nulls of {} values", node.null_count(), node.length())));
        }
    }
    let mut plain = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let span = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let span = span.and_then(|(from, length)| body.get(from..from.checked_add(length)?));
        let Some(span) = span else { return Err(broken("a column lies outside of its message")) };
        if let Some(compression) = batch.compression()
            && !span.is_empty()
        {
            plain = plain.saturating_add(decompressed(span, compression.codec())?);
        }
    }
    if batch.compression().is_some() && !limits.compressed {
        return Err(broken("its buffers are compressed: write it without compression"));
    }
    if plain > limits.plain_bytes {
        return Err(broken(format!(
            "{} bytes become {plain} when decompressed, more than {}",
            body.len(),
            limits.plain_bytes
        )));
    }
    Ok(())
}

/// The most bytes that decompressing a buffer can take.
fn decompressed(span: &[u8], codec: CompressionType) -> Result<u64, ArrowError> {
    let Some((announced, data)) = span.split_first_chunk::<8>() else {
        return Err(broken("a compressed column is cut off"));
    };
    let announced = i64::from_le_bytes(*announced);
    if announced == AS_IT_IS {
        return Ok(data.len() as u64);
    }
    let announced = u64::try_from(announced).map_err(|_negative| broken(format!("a column of {announced} bytes")))?;
    match codec {
        // Its decoder goes on to the end, whatever is announced.
        CompressionType::LZ4_FRAME => Ok(announced.max(lz4_frame_bound(data)?)),
        _ => Ok(announced),
    }
}

/// What an LZ4 frame can become: as many blocks as it has, each full.
fn lz4_frame_bound(data: &[u8]) -> Result<u64, ArrowError> {
    const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
    const PLAIN_BLOCK: u32 = 1 << 31;
    let cut = || broken("a compressed column is no LZ4 frame");
    let (mut rest, mut bound) = (data, 0_u64);
    while let Some(after) = rest.strip_prefix(&MAGIC) {
        let [flags, sizes, ..] = after else { return Err(cut()) };
        let block_max = match (sizes >> 4) & 7 {
            4 => 64 << 10,
            5 => 256 << 10,
            6 => 1 << 20,
            7 => 4 << 20,
            _ => return Err(cut()),
        };
        let has = |bit: u8| usize::from(flags & (1 << bit) != 0);
        // Flags, sizes, the content's size, a dictionary's name, a checksum.
        rest = after.get(3 + 8 * has(3) + 4 * has(0)..).ok_or_else(cut)?;
        loop {
            let (size, after) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
            let size = u32::from_le_bytes(*size);
            rest = after;
            if size == 0 {
                rest = rest.get(4 * has(2)..).ok_or_else(cut)?;
                break;
            }
            bound += block_max;
            let size = (size & !PLAIN_BLOCK) as usize;
            rest = rest.get(size + 4 * has(4)..).ok_or_else(cut)?;
        }
    }
    if rest.is_empty() { Ok(bound) } else { Err(cut()) }
}
