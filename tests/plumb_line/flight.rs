//! A put of Arrow Flight as bytes of gRPC, and what it is answered.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::ipc::writer::{DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteOptions};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, Request};
use plumb::grpc::flight::messages::{FlightData, FlightDescriptor};
use prost::Message;
use serde_json::json;
use tonic::codegen::Service;

/// Writes rows to the history of the view `f`, as `offline_write_batch` of Feast's SDK does: the status and its message.
pub(super) async fn put(methods: &Router, rows: &RecordBatch) -> (u32, String) {
    let command = json!({
        "command_id": "c", "api": "offline_write_batch", "feature_view_names": ["f"], "progress": null,
        "name_aliases": [null],
    });
    let descriptor = FlightDescriptor { kind: 2, command: command.to_string().into(), path: Vec::new() };
    let mut messages = messages(rows);
    messages[0].descriptor = Some(descriptor);
    let request = Request::post("/arrow.flight.protocol.FlightService/DoPut")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::from(messages.iter().flat_map(framed).collect::<Vec<u8>>()))
        .unwrap();
    let (head, mut body) = methods.clone().call(request).await.unwrap().into_parts();
    let mut told = status(&head.headers);
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        told = told.or_else(|| frame.unwrap().trailers_ref().and_then(status));
    }
    told.expect("every call of gRPC has a status")
}

fn status(headers: &HeaderMap) -> Option<(u32, String)> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    Some((text("grpc-status")?.parse().unwrap(), text("grpc-message").unwrap_or_default()))
}

fn messages(rows: &RecordBatch) -> Vec<FlightData> {
    let (generator, options) = (IpcDataGenerator::default(), IpcWriteOptions::default());
    let mut dictionaries = DictionaryTracker::new(false);
    let message = |data: EncodedData| FlightData {
        header: data.ipc_message.into(),
        body: data.arrow_data.into(),
        ..FlightData::default()
    };
    let schema = generator.schema_to_bytes_with_dictionary_tracker(&rows.schema(), &mut dictionaries, &options);
    let (_, data) = generator.encode(rows, &mut dictionaries, &options, &mut Default::default()).unwrap();
    vec![message(schema), message(data)]
}

/// A message behind its flag and its length.
fn framed(message: &FlightData) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &bytes].concat()
}
