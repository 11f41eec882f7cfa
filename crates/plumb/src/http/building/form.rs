//! What rows look like on the wire: made where they are joined, not where requests are answered.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use axum::body::Bytes;
use schema::BoxError;

/// A protocol's way of writing rows.
pub trait Form: Send + 'static {
    /// What is sent.
    type Piece: Send + 'static;

    /// The columns, first.
    ///
    /// # Errors
    /// They cannot be written.
    fn begin(&mut self, schema: &SchemaRef) -> Result<Self::Piece, BoxError>;

    /// The next rows.
    ///
    /// # Errors
    /// They cannot be written.
    fn rows(&mut self, chunk: &RecordBatch) -> Result<Self::Piece, BoxError>;

    /// What follows the last rows.
    ///
    /// # Errors
    /// It cannot be written.
    fn end(&mut self) -> Result<Option<Self::Piece>, BoxError>;
}

/// An Arrow IPC stream.
#[derive(Default)]
pub struct IpcStream {
    writer: Option<StreamWriter<Vec<u8>>>,
}

impl IpcStream {
    /// How a stream of these columns begins.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn head(schema: &SchemaRef) -> Result<Vec<u8>, ArrowError> {
        Ok(std::mem::take(StreamWriter::try_new(Vec::new(), schema)?.get_mut()))
    }

    fn writer(&mut self) -> Result<&mut StreamWriter<Vec<u8>>, BoxError> {
        self.writer.as_mut().ok_or_else(|| "nothing was begun".into())
    }
}

impl fmt::Debug for IpcStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IpcStream")
    }
}

impl Form for IpcStream {
    type Piece = Bytes;

    fn begin(&mut self, schema: &SchemaRef) -> Result<Bytes, BoxError> {
        let writer = self.writer.insert(StreamWriter::try_new(Vec::new(), schema)?);
        Ok(std::mem::take(writer.get_mut()).into())
    }

    fn rows(&mut self, chunk: &RecordBatch) -> Result<Bytes, BoxError> {
        let writer = self.writer()?;
        writer.write(chunk)?;
        Ok(std::mem::take(writer.get_mut()).into())
    }

    fn end(&mut self) -> Result<Option<Bytes>, BoxError> {
        let writer = self.writer()?;
        writer.finish()?;
        Ok(Some(std::mem::take(writer.get_mut()).into()))
    }
}
