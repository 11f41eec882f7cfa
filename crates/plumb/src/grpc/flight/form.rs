//! Rows as Flight's messages, and messages as the stream of Arrow's IPC that they are cut from.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::{DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteOptions};
use axum::body::Bytes;
use schema::BoxError;

use super::messages::FlightData;
use crate::http::building::Form;

/// What stands before the length of a message in a stream.
const CONTINUES: [u8; 4] = [0xff; 4];
/// The end of a stream: without it, one whose last message has no rows would seem broken off.
pub(super) const END: Bytes = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
/// To which messages in a stream are padded.
const PAD: usize = 8;

/// Rows as Flight's messages.
#[derive(Debug)]
pub(super) struct FlightForm {
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
}

impl Default for FlightForm {
    fn default() -> Self {
        Self {
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            options: IpcWriteOptions::default(),
        }
    }
}

impl Form for FlightForm {
    type Piece = Vec<FlightData>;

    fn begin(&mut self, schema: &SchemaRef) -> Result<Self::Piece, BoxError> {
        let Self { generator, dictionaries, options } = self;
        Ok(vec![generator.schema_to_bytes_with_dictionary_tracker(schema, dictionaries, options).into()])
    }

    fn rows(&mut self, chunk: &RecordBatch) -> Result<Self::Piece, BoxError> {
        let Self { generator, dictionaries, options } = self;
        let (keys, rows) = generator.encode(chunk, dictionaries, options, &mut Default::default())?;
        Ok(keys.into_iter().chain([rows]).map(Into::into).collect())
    }

    fn end(&mut self) -> Result<Option<Self::Piece>, BoxError> {
        Ok(None)
    }
}

impl From<EncodedData> for FlightData {
    fn from(data: EncodedData) -> Self {
        Self { header: data.ipc_message.into(), body: data.arrow_data.into(), ..Self::default() }
    }
}

/// The part of a stream that a message is: its header behind its length, and its body as it is. A message without a header
/// only says what the call is about.
pub(super) fn stream_parts(data: FlightData) -> Option<[Bytes; 2]> {
    if data.header.is_empty() {
        return None;
    }
    let length = data.header.len().next_multiple_of(PAD);
    let mut head = Vec::with_capacity(CONTINUES.len() + 4 + length);
    head.extend_from_slice(&CONTINUES);
    head.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    head.extend_from_slice(&data.header);
    head.resize(CONTINUES.len() + 4 + length, 0);
    Some([head.into(), data.body])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::http::building::decode;

    #[test]
    fn messages_are_the_stream_that_they_are_cut_from() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let rows = RecordBatch::try_from_iter_with_nullable([("n", numbers, true)]).unwrap();
        let mut form = FlightForm::default();
        let mut messages = vec![FlightData::default()];
        messages.extend(form.begin(rows.schema_ref()).unwrap());
        for chunk in [rows.slice(0, 2), rows.slice(2, 1), rows.slice(0, 0)] {
            messages.extend(form.rows(&chunk).unwrap());
        }
        assert!(form.end().unwrap().is_none());
        let mut parts: Vec<Bytes> = messages.into_iter().filter_map(stream_parts).flatten().collect();
        parts.push(END);
        let (schema, batches) = decode(parts).unwrap();
        assert_eq!(arrow::compute::concat_batches(&schema, &batches).unwrap(), rows);
    }
}
