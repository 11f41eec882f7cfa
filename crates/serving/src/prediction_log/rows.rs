//! A prediction as rows of the log: stable columns first, then the keys and features of its service.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampNanosecondArray, UInt8Array, UInt32Array,
};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use schema::Timestamp;

use crate::onnx::rows::row_json;
use crate::scorer::Prediction;

/// Prefix of key columns.
pub(super) const KEY: &str = "key.";
/// Prefix of feature columns.
pub(super) const FEATURE: &str = "feature.";
/// Prefix of status columns; the values are [`schema::Status`] as numbers.
pub(super) const STATUS: &str = "status.";
/// Prefix of the event time columns, one for each view version.
pub(super) const EVENT_TIME: &str = "event_time.";
/// Prefix of output columns: JSON texts.
pub(super) const OUTPUT: &str = "output.";
/// Version of this layout, in the files' metadata.
pub(super) const FORMAT: &str = "1";

/// The rows of one prediction.
pub(super) fn rows(prediction: &Prediction) -> Result<RecordBatch, ArrowError> {
    let n = prediction.entities.n;
    let version = &prediction.model.version;
    let service = &prediction.model.compiled.service;
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut push = |name: String, column: ArrayRef| {
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    };
    let text = |value: String| Arc::new(StringArray::from(vec![value; n])) as ArrayRef;
    let time =
        |t: Timestamp| Arc::new(TimestampNanosecondArray::from(vec![t.as_nanos(); n]).with_timezone("UTC")) as ArrayRef;
    let ids = prediction.ids.iter().map(|id| Some(id.to_string())).collect::<StringArray>();
    push("prediction_id".to_owned(), Arc::new(ids));
    push("answered_at".to_owned(), time(prediction.answered_at));
    push("as_of".to_owned(), time(prediction.as_of));
    push("clock_fixed".to_owned(), Arc::new(BooleanArray::from(vec![prediction.clock_fixed; n])));
    push("model".to_owned(), text(version.name.to_string()));
    push("model_version".to_owned(), Arc::new(UInt32Array::from(vec![version.version; n])));
    push("model_digest".to_owned(), text(version.digest.to_string()));
    push("service".to_owned(), text(service.name.to_string()));
    push("service_version".to_owned(), Arc::new(UInt32Array::from(vec![service.version; n])));

    let mut keys = std::collections::BTreeSet::new();
    for view in &prediction.model.compiled.views {
        for key in view.view.keys() {
            if keys.insert(key.name.as_str())
                && let Some(column) = prediction.entities.columns.get(key.name.as_str())
            {
                push(format!("{KEY}{}", key.name), ArrayRef::clone(column));
            }
        }
    }
    for (i, column) in service.columns.iter().enumerate() {
        push(format!("{FEATURE}{}", column.name), ArrayRef::clone(&prediction.features.columns[i]));
        let statuses = prediction.features.statuses[i].iter().map(|status| *status as u8);
        push(format!("{STATUS}{}", column.name), Arc::new(UInt8Array::from_iter_values(statuses)));
    }
    for (view, times) in prediction.model.compiled.views.iter().zip(&prediction.features.event_times) {
        let times: TimestampNanosecondArray = times.iter().map(|t| t.map(Timestamp::as_nanos)).collect();
        push(format!("{EVENT_TIME}{}", view.view.id), Arc::new(times.with_timezone("UTC")));
    }
    for output in &prediction.outputs.columns {
        let values = (0..n).map(|row| Some(row_json(output, row).to_string())).collect::<StringArray>();
        push(format!("{OUTPUT}{}", output.name), Arc::new(values));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
