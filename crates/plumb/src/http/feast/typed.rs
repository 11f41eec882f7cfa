//! The answer as an Arrow stream, for who asks with `Accept: application/vnd.apache.arrow.stream`: every value in its own
//! type, also those that JSON or Feast's client cannot hold.
//!
//! One batch: the join keys, the features under their names, then for each feature `<name>__status` and `<name>__ts`, the
//! event time, null where unknown.

use std::convert::Infallible;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::reply::Reply;
use crate::failure::Failure;

/// The media type of an Arrow stream.
const ARROW: &str = "application/vnd.apache.arrow.stream";

/// Whether the request asks for it.
pub(super) struct IsWanted(pub(super) bool);

impl<S: Send + Sync> FromRequestParts<S> for IsWanted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let accepts = parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let is_arrow = |part: &str| part.split(';').next().is_some_and(|form| form.trim() == ARROW);
        Ok(Self(accepts.flat_map(|value| value.split(',')).any(is_arrow)))
    }
}

/// The answer.
///
/// # Errors
/// It cannot be written: a bug, for columns of one answer have one length.
pub(super) fn response(reply: &Reply<'_>) -> Result<Response, Failure> {
    let bytes =
        stream(reply).map_err(|why| Failure::new(schema::ErrorKind::Internal, format!("writing the answer: {why}")))?;
    Ok(([(header::CONTENT_TYPE, ARROW)], bytes).into_response())
}

fn stream(reply: &Reply<'_>) -> Result<Vec<u8>, ArrowError> {
    let Reply { asked, entities, rows, .. } = reply;
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for key in &entities.keys {
        if let Some(column) = entities.rows.columns.get(key.name.as_str()) {
            columns.push((key.name.to_string(), ArrayRef::clone(column)));
        }
    }
    for (name, column) in asked.names.iter().zip(&rows.columns) {
        columns.push((name.clone(), ArrayRef::clone(column)));
    }
    for (i, (name, source)) in asked.names.iter().zip(&asked.compiled.sources).enumerate() {
        let statuses: StringArray = rows.statuses[i].iter().map(|status| Some(status.as_str())).collect();
        let times: TimestampNanosecondArray = match source.view() {
            Some(view) => rows.event_times[view].iter().map(|time| time.map(schema::Timestamp::as_nanos)).collect(),
            None => vec![None; entities.rows.n].into(),
        };
        columns.push((format!("{name}__status"), Arc::new(statuses)));
        columns.push((format!("{name}__ts"), Arc::new(times.with_timezone("UTC"))));
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect();
    let views: Vec<String> = asked.compiled.views.iter().map(|view| view.view.id.to_string()).collect();
    let about = [
        ("as_of".to_owned(), reply.as_of.to_string()),
        ("views".to_owned(), views.join(" ")),
        ("replay_token".to_owned(), reply.replay_token.to_owned()),
    ];
    let schema = Arc::new(Schema::new(fields).with_metadata(about.into()));
    let options = RecordBatchOptions::new().with_row_count(Some(entities.rows.n));
    let arrays = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    writer.finish()?;
    writer.into_inner()
}
