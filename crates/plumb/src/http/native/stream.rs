//! Features as an Arrow IPC stream: every value in its own type, where JSON has to write some as text.
//!
//! One batch, a row for each that was asked for: the join keys; each feature, null unless its status is `PRESENT`, and
//! `<feature>__status`, a dictionary of their names; for each view `<view>__event_time`. The schema's metadata has
//! `plumb.effective_time` and `plumb.views`, a JSON object of view versions: what reproduces the answer offline.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int8Array, RecordBatch, RecordBatchOptions, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{Field, Int8Type, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schema::{Dtype, ErrorKind, Status, Timestamp};

use super::features::{Answer, AnswerColumn};
use crate::failure::Failure;
use crate::http::accept::ARROW_STREAM;

/// The answer as a stream.
///
/// # Errors
/// `name_collision` if a feature is called as a column that belongs to another.
pub fn arrow_stream(answer: &Answer) -> Result<Response, Failure> {
    written(&batch(answer)?)
}

/// A batch as a stream.
///
/// # Errors
/// A bug: a batch can be written.
pub(super) fn written(batch: &RecordBatch) -> Result<Response, Failure> {
    let broken = |why: ArrowError| Failure::new(ErrorKind::Internal, format!("writing the answer: {why}"));
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).map_err(broken)?;
    writer.write(batch).map_err(broken)?;
    let bytes = writer.into_inner().map_err(broken)?;
    Ok(([(header::CONTENT_TYPE, ARROW_STREAM)], bytes).into_response())
}

/// The answer as one batch.
fn batch(answer: &Answer) -> Result<RecordBatch, Failure> {
    let (compiled, rows) = (&answer.asked.compiled, &answer.rows);
    let mut columns = Columns::default();
    for key in compiled.keys().into_iter().filter(|key| !key.is_constant()) {
        let name = key.name.as_str();
        if let Some(column) = answer.entities.columns.get(name)
            && !columns.has(name)
        {
            columns.push(field(name, key.dtype), column)?;
        }
    }
    for AnswerColumn { column, values, statuses: said, .. } in answer.columns() {
        let about = [("plumb.view".to_owned(), column.view.to_string())];
        let mut field = field(column.name.as_str(), column.dtype);
        field.metadata_mut().extend(about);
        columns.push(field, values)?;
        let statuses = statuses(said)?;
        columns.push(plain(&format!("{}__status", column.name), &statuses), &statuses)?;
    }
    for (view, times) in compiled.views.iter().zip(&rows.event_times) {
        let times: TimestampNanosecondArray = times.iter().map(|time| time.map(Timestamp::as_nanos)).collect();
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        columns.push(plain(&format!("{}__event_time", view.name), &times), &times)?;
    }
    let schema = Arc::new(Schema::new(columns.fields).with_metadata(about(answer)));
    let options = RecordBatchOptions::new().with_row_count(Some(answer.entities.n));
    RecordBatch::try_new_with_options(schema, columns.arrays, &options)
        .map_err(|why| Failure::new(ErrorKind::Internal, format!("making the answer: {why}")))
}

fn about(answer: &Answer) -> HashMap<String, String> {
    let views = answer.asked.compiled.views.iter().map(|view| (view.name.clone(), view.view.id.version.into()));
    let views: serde_json::Map<String, serde_json::Value> = views.collect();
    let mut about = HashMap::from([
        ("plumb.effective_time".to_owned(), answer.as_of.to_string()),
        ("plumb.views".to_owned(), serde_json::Value::Object(views).to_string()),
        ("plumb.replay_token".to_owned(), answer.replay_token.clone()),
    ]);
    if answer.clock_fixed {
        about.insert("plumb.clock".to_owned(), super::features::FIXED_CLOCK.to_owned());
    }
    about
}

#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name() == name)
    }

    fn push(&mut self, field: Field, column: &ArrayRef) -> Result<(), Failure> {
        if self.has(field.name()) {
            return Err(Failure::invalid(format!("two columns of the answer are called `{}`", field.name()))
                .code("name_collision")
                .hint("ask for a feature service that renames the feature, or take the answer as JSON"));
        }
        self.fields.push(field);
        self.arrays.push(ArrayRef::clone(column));
        Ok(())
    }
}

/// The field of a feature.
pub(super) fn field(name: &str, dtype: Dtype) -> Field {
    let field = Field::new(name, dtype.to_arrow(), true);
    if dtype != Dtype::Json {
        return field;
    }
    // Arrow's canonical name for texts that are JSON; readers that do not know it see texts.
    let json = [("ARROW:extension:name", "arrow.json"), ("ARROW:extension:metadata", "")];
    field.with_metadata(json.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
}

fn plain(name: &str, column: &ArrayRef) -> Field {
    Field::new(name, column.data_type().clone(), true)
}

/// Statuses by number; pandas takes only signed numbers of a dictionary.
pub(super) fn statuses(statuses: &[Status]) -> Result<ArrayRef, Failure> {
    let names: StringArray = Status::ALL.iter().map(|status| Some(status.as_str())).collect();
    let numbers: Int8Array = statuses.iter().map(|status| i8::try_from(*status as u8).ok()).collect();
    let dictionary = DictionaryArray::<Int8Type>::try_new(numbers, Arc::new(names));
    let dictionary = dictionary.map_err(|why| Failure::new(ErrorKind::Internal, why.to_string()))?;
    Ok(Arc::new(dictionary))
}
