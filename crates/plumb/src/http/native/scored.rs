//! `predict` in Arrow: rows that come as an IPC stream, and answers that go as one.
//!
//! A stream holds no fields of a request beside its rows, so these stand in the query: `service`, `as_of`, and `by`, where the
//! features come from. An answer has a row for each: `prediction_id`, `output.NAME`, `feature.NAME` with `status.NAME`, and
//! `event_time.VIEW`; its schema's metadata has `plumb.model`, `plumb.version` and `plumb.effective_time`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use axum::body::Bytes;
use axum::extract;
use axum::http::Uri;
use axum::response::Response;
use featurestore::CompiledService;
use featurestore::caught::caught;
use featurestore::ipc::{Limits, read_stream};
use schema::{ErrorKind, Timestamp};
use serde::Deserialize;
use serving::Prediction;

use super::entities::ROWS_MAX;
use super::older::Way;
use super::stream::{self, statuses};
use crate::failure::Failure;
use crate::http::body::BYTES_MAX;
use crate::predicting::answers;
use crate::predicting::table::{Asked, By, Layout};

/// What an address says beside the rows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The service version that the rows are of.
    pub service: Option<String>,
    /// The instant.
    pub as_of: Option<String>,
    by: Option<String>,
}

impl Query {
    /// What follows `?` in an address.
    ///
    /// # Errors
    /// `invalid_input` for what is not known.
    pub fn read(address: &Uri) -> Result<Self, Failure> {
        let read = extract::Query::try_from_uri(address).map(|extract::Query(query)| query);
        read.map_err(|why| {
            Failure::invalid(format!("the address: {}", why.body_text()))
                .code("wrong_query")
                .hint("there is ?service=, &as_of= and &by=")
        })
    }

    fn by(&self) -> Result<Option<By>, Failure> {
        match self.by.as_deref() {
            None => Ok(None),
            Some("keys") => Ok(Some(By::Keys)),
            Some("features") => Ok(Some(By::Features)),
            Some(other) => Err(Failure::invalid(format!("`by` is `{}`", other.escape_debug()))
                .code("wrong_query")
                .hint("say `keys` or `features`, or leave it out")),
        }
    }
}

/// What the rows of a stream ask.
///
/// # Errors
/// It is no stream, or its columns do not do; no rows, or too many.
pub fn read(body: Bytes, compiled: &CompiledService, query: &Query) -> Result<Asked, Failure> {
    // What dictionaries stand for may be larger than they are.
    let limits = Limits { plain_bytes: 16 * BYTES_MAX as u64, compressed: false };
    let broken = |why: ArrowError| {
        Failure::invalid(format!("the body is no Arrow stream: {why}")).hint("send an IPC stream, without compression")
    };
    let (schema, batches) = read_stream(vec![Buffer::from(body)], &limits).map_err(broken)?;
    match batches.iter().map(RecordBatch::num_rows).sum() {
        0 => return Err(Failure::invalid("the stream has no rows").code("empty_rows").hint("send at least one row")),
        n if n > ROWS_MAX => {
            let message = format!("the stream has {n} rows; one request takes at most {ROWS_MAX}");
            return Err(Failure::invalid(message).code("too_many_rows").hint("split the request"));
        }
        _ => {}
    }
    let rows = caught(|| concat_batches(&schema, &batches)).map_err(broken)?;
    let layout = Layout::find(&schema, compiled, query.by()?)?;
    if layout.by() == By::Features && query.as_of.is_some() {
        return Err(Failure::invalid("features are sent as they are: no `as_of` changes them")
            .code("unused_fields")
            .hint("leave out `as_of`, or say `by=keys`"));
    }
    layout.asked(&rows)
}

/// An answer as a stream.
///
/// # Errors
/// An output that is no column of rows.
pub fn arrow_stream(said: &Prediction, way: Option<&Way>) -> Result<Response, Failure> {
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    let plain = |name: String, column: &ArrayRef| Field::new(name, column.data_type().clone(), true);
    for (name, column) in answers::columns_of(said)? {
        columns.push((plain(name, &column), column));
    }
    let compiled = said.read();
    // As JSON has them: of the service version that is answered in.
    let (service, values, of) = match (way, &said.migrated) {
        (Some(way), Some(migrated)) => (&way.to, &migrated.columns, &migrated.statuses),
        _ => (&compiled.service, &said.features.columns, &said.features.statuses),
    };
    for ((column, values), said) in service.columns.iter().zip(values).zip(of) {
        columns.push((stream::field(&format!("feature.{}", column.name), column.dtype), Arc::clone(values)));
        let statuses = statuses(said)?;
        columns.push((plain(format!("status.{}", column.name), &statuses), statuses));
    }
    for (view, times) in compiled.views.iter().zip(&said.features.event_times) {
        let times: TimestampNanosecondArray = times.iter().map(|time| time.map(Timestamp::as_nanos)).collect();
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        columns.push((plain(format!("event_time.{}", view.name), &times), times));
    }
    let version = &said.model.version;
    let about = HashMap::from([
        ("plumb.model".to_owned(), version.name.to_string()),
        ("plumb.version".to_owned(), version.version.to_string()),
        ("plumb.effective_time".to_owned(), said.as_of.to_string()),
    ]);
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields).with_metadata(about)), arrays);
    let batch = batch.map_err(|why| Failure::new(ErrorKind::Internal, format!("making the answer: {why}")))?;
    stream::written(&batch)
}
