//! What a model said to some rows, as columns of Arrow.
//!
//! They are `prediction_id`, and `output.NAME` for each output, as the prediction log calls them. No column of a table that is
//! scored has such a name by chance.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use schema::ErrorKind;
use serving::Prediction;
use serving::onnx::column::column;

use crate::failure::Failure;

/// Prefix of the columns of outputs.
const OUTPUT: &str = "output.";
/// The column of the names of predictions.
pub const PREDICTION_ID: &str = "prediction_id";

/// The rows, with what was said to each behind.
///
/// # Errors
/// An output that is no column of rows; a column that is there already.
pub fn beside(rows: &RecordBatch, said: &Prediction) -> Result<RecordBatch, Failure> {
    let schema = rows.schema_ref();
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    let mut columns = rows.columns().to_vec();
    for (name, column) in columns_of(said)? {
        if schema.column_with_name(&name).is_some() {
            return Err(Failure::invalid(format!("there is a column `{name}` already"))
                .code("name_collision")
                .hint("the rows were scored before: leave their answers out, or rename them"));
        }
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), false)));
        columns.push(column);
    }
    // What others wrote beside a schema, as pandas does, would not be true of more columns.
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(|why| broken(&why))
}

/// What was said, by name.
///
/// # Errors
/// An output that is no column of rows.
pub fn columns_of(said: &Prediction) -> Result<Vec<(String, ArrayRef)>, Failure> {
    let ids: StringArray = said.ids.iter().map(|id| Some(id.to_string())).collect();
    let mut columns = vec![(PREDICTION_ID.to_owned(), Arc::new(ids) as ArrayRef)];
    for output in &said.answered().columns {
        let values = column(output).ok_or_else(|| {
            let (name, shape) = (&output.name, &output.shape);
            let message = format!("output `{name}` of shape {shape:?} has not a value for each row");
            Failure::invalid(message)
                .code("misfit")
                .hint("export the model with a free first dimension in every output")
        })?;
        columns.push((format!("{OUTPUT}{}", output.name), values));
    }
    Ok(columns)
}

fn broken(why: &ArrowError) -> Failure {
    Failure::new(ErrorKind::Internal, format!("making the answer: {why}"))
}
