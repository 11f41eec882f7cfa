//! Predictions as rows of the log: stable columns first, then keys, request fields and features of their service.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampNanosecondArray, UInt8Array, UInt32Array,
};
use arrow::compute::concat;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use featurestore::compiled::CompiledView;
use schema::Timestamp;

use super::held;
use crate::onnx::rows::row_json;
use crate::scorer::Prediction;

/// The column of the predictions' ids.
pub(crate) const ID: &str = "prediction_id";
/// Prefix of key columns.
pub(crate) const KEY: &str = "key.";
/// Prefix of columns of request fields.
pub(super) const REQUEST: &str = "request.";
/// Prefix of feature columns.
pub(crate) const FEATURE: &str = "feature.";
/// Prefix of status columns; the values are [`schema::Status`] as numbers.
pub(crate) const STATUS: &str = "status.";
/// Prefix of the event time columns, one for each use of a view.
const EVENT_TIME: &str = "event_time.";
/// Prefix of the columns that say which state of its data a view was answered from, one for each use of a view.
const HELD: &str = "held.";
/// Prefix of output columns: JSON texts.
pub(super) const OUTPUT: &str = "output.";
/// Version of this layout, in the files' metadata.
pub(super) const FORMAT: &str = "1";
/// Where it stands.
pub(super) const FORMAT_KEY: &str = "plumb.format";

/// The rows of predictions by one model version, from features of one service version, in their order. Made in bulk: a row alone costs more than its request.
pub(super) fn rows(predictions: &[Arc<Prediction>]) -> Result<RecordBatch, ArrowError> {
    let Some(first) = predictions.first() else { return Ok(RecordBatch::new_empty(Arc::new(Schema::empty()))) };
    let version = &first.model.version;
    let compiled = first.read();
    let service = &compiled.service;
    let n: usize = predictions.iter().map(|p| p.entities.n).sum();
    let mut columns = Columns::default();

    let ids = predictions.iter().flat_map(|p| &p.ids).map(|id| Some(id.to_string()));
    columns.push(ID, Arc::new(ids.collect::<StringArray>()));
    columns.push("answered_at", times(predictions, |p| p.answered_at));
    columns.push("as_of", times(predictions, |p| p.as_of));
    let fixed = predictions.iter().flat_map(|p| std::iter::repeat_n(Some(p.clock_fixed), p.entities.n));
    columns.push("clock_fixed", Arc::new(fixed.collect::<BooleanArray>()));
    let text = |value: String| Arc::new(StringArray::from(vec![value; n])) as ArrayRef;
    columns.push("model", text(version.name.to_string()));
    columns.push("model_version", Arc::new(UInt32Array::from(vec![version.version; n])));
    columns.push("model_digest", text(first.model.servable.digest.to_string()));
    columns.push("service", text(service.name.to_string()));
    columns.push("service_version", Arc::new(UInt32Array::from(vec![service.version; n])));

    let said = |name: &str| joined(predictions.iter().filter_map(|p| p.entities.columns.get(name)));
    for key in compiled.keys() {
        columns.push(&format!("{KEY}{}", key.name), said(key.name.as_str())?);
    }
    for field in &compiled.fields {
        columns.push(&format!("{REQUEST}{}", field.name), said(field.name.as_str())?);
    }
    for (i, column) in service.columns.iter().enumerate() {
        let values = joined(predictions.iter().map(|p| &p.features.columns[i]))?;
        columns.push(&format!("{FEATURE}{}", column.name), values);
        let statuses = predictions.iter().flat_map(|p| &p.features.statuses[i]).map(|status| *status as u8);
        columns.push(&format!("{STATUS}{}", column.name), Arc::new(UInt8Array::from_iter_values(statuses)));
    }
    for (i, view) in compiled.views.iter().enumerate() {
        let found = predictions.iter().flat_map(|p| &p.features.event_times[i]);
        let found: TimestampNanosecondArray = found.map(|t| t.map(Timestamp::as_nanos)).collect();
        columns.push(&event_time_of(view), Arc::new(found.with_timezone("UTC")));
    }
    for (i, view) in compiled.views.iter().enumerate() {
        let state =
            |p: &Arc<Prediction>| p.served.get(i)?.as_ref().map(|by| held::to_text(&(&by.generation.contents).into()));
        let states = predictions.iter().flat_map(|p| std::iter::repeat_n(state(p), p.entities.n));
        columns.push(&held_of(view), Arc::new(states.collect::<StringArray>()));
    }
    for (i, output) in first.outputs.columns.iter().enumerate() {
        let answers = predictions.iter().flat_map(|p| {
            let output = &p.outputs.columns[i];
            (0..p.entities.n).map(|row| Some(row_json(output, row).to_string()))
        });
        columns.push(&format!("{OUTPUT}{}", output.name), Arc::new(answers.collect::<StringArray>()));
    }
    RecordBatch::try_new(Arc::new(Schema::new(columns.fields)), columns.arrays)
}

/// The column of the event times of a view, by the name that the service gives it.
pub(super) fn event_time_of(view: &CompiledView) -> String {
    format!("{EVENT_TIME}{}@v{}", view.name, view.view.id.version)
}

/// The column of the states of a view's data.
pub(super) fn held_of(view: &CompiledView) -> String {
    format!("{HELD}{}@v{}", view.name, view.view.id.version)
}

#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn push(&mut self, name: &str, column: ArrayRef) {
        self.fields.push(Field::new(name, column.data_type().clone(), true));
        self.arrays.push(column);
    }
}

fn joined<'a>(parts: impl Iterator<Item = &'a ArrayRef>) -> Result<ArrayRef, ArrowError> {
    let parts: Vec<&dyn Array> = parts.map(AsRef::as_ref).collect();
    concat(&parts)
}

fn times(predictions: &[Arc<Prediction>], of: impl Fn(&Prediction) -> Timestamp) -> ArrayRef {
    let each = predictions.iter().flat_map(|p| std::iter::repeat_n(of(p).as_nanos(), p.entities.n));
    Arc::new(TimestampNanosecondArray::from_iter_values(each).with_timezone("UTC"))
}
