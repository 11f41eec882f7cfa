//! Files, batch by batch.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::{Block, root_as_footer};

use super::message::{self, METADATA_MAX};
use super::{Limits, broken, size};
use crate::caught::caught;

/// What a file begins and ends with.
const MAGIC: &[u8; 6] = b"ARROW1";
/// The footer's length and the magic.
const TRAILER: usize = 10;

/// An open file of Arrow's.
#[derive(Debug)]
pub struct IpcFile {
    file: File,
    length: u64,
    schema: SchemaRef,
    metadata: Vec<(String, String)>,
    decoder: FileDecoder,
    batches: std::vec::IntoIter<Block>,
    limits: Limits,
}

impl IpcFile {
    /// Opens a file: its schema and its dictionaries are read.
    ///
    /// # Errors
    /// It is none, or announces what is not there.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, ArrowError> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let no_file = || broken("it is no Arrow file");
        let mut trailer = [0; TRAILER];
        let at = length.checked_sub(TRAILER as u64).ok_or_else(no_file)?;
        read_at(&mut file, at, &mut trailer)?;
        let (footer_length, magic) = trailer.split_first_chunk::<4>().ok_or_else(no_file)?;
        let footer_length = u64::from(u32::from_le_bytes(*footer_length));
        if magic != MAGIC || footer_length > METADATA_MAX as u64 {
            return Err(no_file());
        }
        let at = at.checked_sub(footer_length).ok_or_else(no_file)?;
        let mut footer = vec![0; usize::try_from(footer_length).map_err(|_long| no_file())?];
        read_at(&mut file, at, &mut footer)?;
        let footer = root_as_footer(&footer).map_err(|why| broken(format!("its footer is damaged: {why}")))?;
        let ipc_schema = footer.schema().ok_or_else(|| broken("its footer has no schema"))?;
        let schema = Arc::new(caught(|| Ok::<_, ArrowError>(fb_to_schema(ipc_schema)))?);
        let entries = footer.custom_metadata().into_iter().flatten();
        let metadata = entries.filter_map(|entry| Some((entry.key()?.to_owned(), entry.value()?.to_owned()))).collect();
        let batches: Vec<Block> = footer.recordBatches().into_iter().flatten().copied().collect();
        let dictionaries: Vec<Block> = footer.dictionaries().into_iter().flatten().copied().collect();
        let decoder = FileDecoder::new(SchemaRef::clone(&schema), footer.version());
        let batches = batches.into_iter();
        let mut opened = Self { file, length, schema, metadata, decoder, batches, limits };
        for block in dictionaries {
            let bytes = opened.block(&block)?;
            caught(|| opened.decoder.read_dictionary(&block, &bytes))?;
        }
        Ok(opened)
    }

    /// Its columns.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    /// What its footer says beside.
    pub fn about(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The bytes of a message, looked at.
    fn block(&mut self, block: &Block) -> Result<Buffer, ArrowError> {
        let outside = || broken("its footer names what lies outside of the file");
        let part = |length: i64| u64::try_from(length).map_err(|_negative| outside());
        let (at, head) = (part(block.offset())?, part(block.metaDataLength().into())?);
        let n_bytes = head.checked_add(part(block.bodyLength())?).ok_or_else(outside)?;
        if at.checked_add(n_bytes).is_none_or(|end| end > self.length) {
            return Err(outside());
        }
        let mut bytes = vec![0; usize::try_from(n_bytes).map_err(|_long| outside())?];
        read_at(&mut self.file, at, &mut bytes)?;
        let (head, body) =
            bytes.split_at_checked(usize::try_from(head).map_err(|_long| outside())?).ok_or_else(outside)?;
        // A length stands before the message, and in newer files four bytes before that.
        let prefix = if head.starts_with(&[0xff; 4]) { 8 } else { 4 };
        let parsed = message::parse(head.get(prefix..).ok_or_else(outside)?)?;
        message::check(&parsed, body, &self.limits)?;
        Ok(Buffer::from(bytes))
    }

    fn batch(&mut self, block: &Block) -> Result<Option<RecordBatch>, ArrowError> {
        let bytes = self.block(block)?;
        let batch = caught(|| self.decoder.read_record_batch(block, &bytes))?;
        if let Some(batch) = &batch
            && caught(|| Ok::<_, ArrowError>(size::plain_bytes(batch)))? > self.limits.plain_bytes
        {
            let max = self.limits.plain_bytes >> 20;
            return Err(broken(format!(
                "a batch takes more than {max} MB once dictionaries, runs and views are unfolded"
            )));
        }
        Ok(batch)
    }
}

impl Iterator for IpcFile {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let block = self.batches.next()?;
            match self.batch(&block).transpose() {
                Some(Err(why)) => {
                    self.batches = Vec::new().into_iter();
                    return Some(Err(why));
                }
                Some(batch) => return Some(batch),
                None => {}
            }
        }
    }
}

fn read_at(file: &mut File, at: u64, into: &mut [u8]) -> Result<(), ArrowError> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(into)?;
    Ok(())
}
