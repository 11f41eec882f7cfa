//! What pandas does to a table on the way, undone: it adds its index as a column, and has no integers beside nulls.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use featurestore::OfflineError;
use schema::Dtype;

use super::order::refuse;

/// The note that pandas leaves in a schema.
const NOTE: &str = "pandas";
/// Up to here every integer is a float of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Whether pandas had the rows: it leaves a note.
pub(super) fn had(schema: &Schema) -> bool {
    schema.metadata().contains_key(NOTE)
}

/// Rows as they were before pandas had them.
///
/// A column of floats that is one of integers among `declared` becomes one if all of its values are whole.
///
/// # Errors
/// [`OfflineError::Spine`] for a value that is not whole, or is too large to tell from the next.
pub fn undone(
    schema: &Schema,
    batches: &[RecordBatch],
    declared: &[(String, Dtype)],
) -> Result<(SchemaRef, Vec<RecordBatch>), OfflineError> {
    let needs_integers = |field: &Field| {
        let is_float = matches!(field.data_type(), DataType::Float32 | DataType::Float64);
        is_float && declared.iter().any(|(name, dtype)| name == field.name() && is_integer(*dtype))
    };
    let kept: Vec<(usize, bool)> = (0..schema.fields().len())
        .filter(|at| !is_index(schema.field(*at).name()))
        .map(|at| (at, needs_integers(schema.field(at))))
        .collect();
    let field = |(at, integers): &(usize, bool)| {
        let field = schema.field(*at).clone();
        if *integers { field.with_data_type(DataType::Int64) } else { field }
    };
    let plain: SchemaRef = Arc::new(Schema::new(kept.iter().map(field).collect::<Vec<_>>()));
    let mut first_row = 0;
    let mut undo = |batch: &RecordBatch| {
        let column = |(at, integers): &(usize, bool)| {
            let column = batch.column(*at);
            if *integers { whole(schema.field(*at).name(), column, first_row) } else { Ok(Arc::clone(column)) }
        };
        let columns = kept.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        first_row += batch.num_rows();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&plain), columns, &options)
            .map_err(|why| refuse(why.to_string(), "send its columns in their types"))
    };
    let batches = batches.iter().map(&mut undo).collect::<Result<Vec<_>, _>>()?;
    Ok((plain, batches))
}

/// `__index_level_0__`.
fn is_index(name: &str) -> bool {
    let number = name.strip_prefix("__index_level_").and_then(|rest| rest.strip_suffix("__"));
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

fn is_integer(dtype: Dtype) -> bool {
    use Dtype::{Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
    matches!(dtype, Int8 | Int16 | Int32 | Int64 | Uint8 | Uint16 | Uint32 | Uint64)
}

fn whole(name: &str, column: &ArrayRef, first_row: usize) -> Result<ArrayRef, OfflineError> {
    let wide = cast(column, &DataType::Float64).map_err(|why| refuse(why.to_string(), "send integers"))?;
    let floats: &Float64Array = wide.as_primitive::<Float64Type>();
    let integer = |(row, value): (usize, Option<f64>)| match value {
        // NaN is how pandas writes a null into floats.
        None => Ok(None),
        Some(value) if value.is_nan() => Ok(None),
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within what floats have exactly")]
        Some(value) if value.fract() == 0.0 && value.abs() < EXACT_MAX => Ok(Some(value as i64)),
        Some(value) => Err(refuse(
            format!("column `{name}` has {value} in row {}, but integers are needed", first_row + row),
            "pandas has no integers beside nulls: use its Int64, or leave such rows out",
        )),
    };
    let integers: Int64Array = floats.iter().enumerate().map(integer).collect::<Result<_, _>>()?;
    debug_assert_eq!(integers.len(), column.len());
    Ok(Arc::new(integers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_floats_are_integers_and_others_are_refused() {
        let column = |values: Vec<Option<f64>>| whole("k", &(Arc::new(Float64Array::from(values)) as ArrayRef), 10);
        let got = column(vec![Some(7.0), None, Some(f64::NAN), Some(-0.0), Some(EXACT_MAX - 1.0)]).unwrap();
        let want = Int64Array::from(vec![Some(7), None, None, Some(0), Some((1 << 53) - 1)]);
        assert_eq!(got.as_ref(), &want as &dyn Array);
        for (wrong, words) in [
            (0.5, "column `k` has 0.5 in row 11"),
            (EXACT_MAX, "9007199254740992 in row 11"),
            (f64::INFINITY, "inf in row 11"),
        ] {
            let refused = column(vec![Some(1.0), Some(wrong)]).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn an_index_is_known_by_its_name() {
        assert!(is_index("__index_level_0__") && is_index("__index_level_12__"));
        assert!(!is_index("__index_level___") && !is_index("__index_level_a__") && !is_index("index_level_0"));
    }
}
