//! Batches of Parquet files of others, which may be damaged.

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;
use schema::BoxError;

use crate::caught::caught;

/// A reader of batches.
pub(crate) fn build<R: ChunkReader + 'static>(
    builder: ParquetRecordBatchReaderBuilder<R>,
) -> Result<Caught<ParquetRecordBatchReader>, BoxError> {
    caught(|| Ok(Caught(Some(builder.build()?))))
}

/// Batches up to the first that cannot be read.
#[derive(Debug)]
pub(crate) struct Caught<R>(Option<R>);

impl<R: Iterator<Item = Result<RecordBatch, arrow::error::ArrowError>>> Iterator for Caught<R> {
    type Item = Result<RecordBatch, BoxError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.0.take()?;
        // After an error the reader is dropped: what it holds is of no use.
        let batch = caught(|| Ok((reader.next().transpose()?, reader)));
        match batch {
            Ok((batch, reader)) => {
                self.0 = Some(reader);
                batch.map(Ok)
            }
            Err(why) => Some(Err(why)),
        }
    }
}
