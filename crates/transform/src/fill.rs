//! What a model sees in place of null: the service's `fill`, applied alike to training sets and requests.

use arrow::array::{Array, ArrayRef};
use arrow::compute::is_not_null;
use arrow::compute::kernels::zip::zip;
use schema::ServiceColumn;

/// The column with its nulls replaced by the constant that the service declares for it, if any.
///
/// # Errors
/// A sentence naming the column, if the constant is not of its type; definitions are checked, so never in practice.
pub fn fill(column: &ArrayRef, service: &ServiceColumn) -> Result<ArrayRef, String> {
    let Some(value) = &service.fill else { return Ok(ArrayRef::clone(column)) };
    if column.null_count() == 0 {
        return Ok(ArrayRef::clone(column));
    }
    let context = |why: String| format!("filling `{}`: {why}", service.name);
    let constant = value.to_array(service.dtype, 1).map_err(context)?;
    let present = is_not_null(column).map_err(|why| context(why.to_string()))?;
    zip(&present, column, &arrow::array::Scalar::new(constant)).map_err(|why| context(why.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float64Array;
    use schema::{Dtype, Value, ViewId};

    use super::*;

    #[test]
    fn every_form_of_type_is_filled() {
        let text = |text: &str| Value::String(text.to_owned());
        for (dtype, value, fill_with, want) in [
            ("decimal(10,2)", text("1.50"), Value::Int(2), "1.50 2.00"),
            ("duration", text("PT1S"), text("PT1H"), "PT1S PT3600S"),
            ("json", text("[1]"), text("{ }"), "\"[1]\" \"{}\""),
            ("list<int64>", Value::List(vec![Value::Null]), Value::List(vec![]), "[null] []"),
            (
                "list<float32, 2>",
                Value::List(vec![Value::Null, Value::Float(0.5)]),
                Value::List(vec![Value::Int(0); 2]),
                "[null, 0.5] [0.0, 0.0]",
            ),
        ] {
            let dtype = Dtype::parse(dtype).unwrap();
            let one = |value: &Value| value.canonical(dtype).unwrap().to_array(dtype, 1).unwrap();
            let column = arrow::compute::concat(&[&one(&value), &one(&Value::Null)]).unwrap();
            let service = ServiceColumn {
                name: "x".parse().unwrap(),
                view: ViewId { name: "v".parse().unwrap(), version: 1 },
                feature: "x".parse().unwrap(),
                alias: None,
                dtype,
                fill: Some(fill_with.canonical(dtype).unwrap()),
            };
            let filled = fill(&column, &service).unwrap();
            let shown: Vec<String> = (0..2).map(|row| Value::at(&filled, row).to_string()).collect();
            assert_eq!(shown.join(" "), want);
        }
    }

    #[test]
    fn nan_is_a_value_and_stays() {
        let service = ServiceColumn {
            name: "x".parse().unwrap(),
            view: ViewId { name: "v".parse().unwrap(), version: 1 },
            alias: None,
            feature: "x".parse().unwrap(),
            dtype: Dtype::Float64,
            fill: Some(Value::Float(9.0)),
        };
        let column: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(1.0)]));
        let filled = fill(&column, &service).unwrap();
        assert_eq!(format!("{filled:?}"), format!("{:?}", Float64Array::from(vec![f64::NAN, 9.0, 1.0])));
    }
}
