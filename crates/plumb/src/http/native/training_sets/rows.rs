//! A spine of JSON rows: columns that the service needs have its types, the time is a text, and the others have the type
//! that their values are of.

use std::sync::Arc;

use arrow::array::{ArrayRef, NullArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use featurestore::CompiledService;
use schema::json::read_column;
use schema::{Dtype, ErrorKind};
use serde_json::{Map, Value as Json};

use crate::failure::Failure;
use crate::http::building::{SpineRows, needed};
use crate::http::native::entities::kind;

/// Rows as columns, in the order of the first row.
///
/// # Errors
/// `wrong_spine`, with the row, for a value that is not of its column's type, and where rows name different columns: a
/// name that is misspelt once must not become nulls.
pub(super) fn read(
    rows: &[Map<String, Json>],
    service: &CompiledService,
    event_time: Option<&str>,
) -> Result<SpineRows, Failure> {
    let mut names: Vec<&str> = rows.first().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    for (i, row) in rows.iter().enumerate() {
        let wrong = |what: String| {
            let failure = Failure::invalid(format!("`spine[{i}]` {what}")).code("wrong_spine");
            Err(failure.hint("every row names the same columns; write null where there is nothing"))
        };
        if let Some(name) = names.iter().find(|name| !row.contains_key(**name)) {
            return wrong(format!("lacks `{name}`, which `spine[0]` has"));
        }
        if let Some(name) = row.keys().find(|name| !rows[0].contains_key(*name)) {
            return wrong(format!("has `{}`, which `spine[0]` lacks", name.escape_debug()));
        }
    }
    let needed = needed(service);
    if rows.is_empty() {
        // No row says what the columns are; these are those that the service needs.
        names.extend(needed.iter().map(|(name, _)| name.as_str()));
        names.push(event_time.unwrap_or("event_time"));
    }
    let (mut fields, mut columns) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
    for name in names {
        let declared = needed.iter().find(|(key, _)| key == name).map(|(_, dtype)| *dtype);
        let values: Vec<Json> = rows.iter().map(|row| row.get(name).cloned().unwrap_or(Json::Null)).collect();
        let column = column(name, &values, declared)?;
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
        .map_err(|why| Failure::new(ErrorKind::Internal, format!("making the rows of the spine: {why}")))?;
    Ok(SpineRows::Rows(schema, vec![batch]))
}

fn column(name: &str, values: &[Json], declared: Option<Dtype>) -> Result<ArrayRef, Failure> {
    let wrong = |row: usize, what: &str| {
        let message = format!("`spine[{row}].{name}` is {}, but {what}", kind(&values[row]));
        Failure::invalid(message).code("wrong_spine")
    };
    if let Some(dtype) = declared {
        return read_column(values, dtype).map_err(|row| wrong(row, &format!("the service needs {dtype}")));
    }
    let Some(dtype) = guess(values) else { return Ok(Arc::new(NullArray::new(values.len()))) };
    read_column(values, dtype).map_err(|row| {
        let first = values.iter().position(|value| !value.is_null()).unwrap_or_default();
        match &values[row] {
            Json::Array(_) | Json::Object(_) => {
                wrong(row, "a column is of numbers, texts or truth values").hint("send the spine as an Arrow stream")
            }
            _ => wrong(row, &format!("`spine[{first}].{name}` is {}", kind(&values[first])))
                .hint("a column has values of one type"),
        }
    })
}

/// The type that a column's values are of; `None` where all are null.
fn guess(values: &[Json]) -> Option<Dtype> {
    let some = || values.iter().filter(|value| !value.is_null());
    Some(match some().next()? {
        Json::Bool(_) => Dtype::Bool,
        Json::Number(_) if some().all(Json::is_i64) => Dtype::Int64,
        Json::Number(_) if some().all(Json::is_u64) => Dtype::Uint64,
        Json::Number(_) => Dtype::Float64,
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => Dtype::String,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(values: &Json, want: Result<&str, &str>) {
        let got = column("a", values.as_array().unwrap(), None);
        let got = got.map(|column| column.data_type().to_string()).map_err(|failure| failure.message);
        assert_eq!(got.as_deref().map_err(String::as_str), want, "{values}");
    }

    #[test]
    fn a_column_has_the_type_of_its_values() {
        check(&json!([null, 1, -1]), Ok("Int64"));
        check(&json!([1, u64::MAX]), Ok("UInt64"));
        check(&json!([1, 0.5, null]), Ok("Float64"));
        check(&json!([true, null]), Ok("Boolean"));
        check(&json!(["a", null]), Ok("Utf8"));
        check(&json!([null, null]), Ok("Null"));
        check(&json!([1, "1"]), Err("`spine[1].a` is the text \"1\", but `spine[0].a` is the number 1"));
        check(
            &json!([null, "1", true]),
            Err("`spine[2].a` is the truth value true, but `spine[1].a` is the text \"1\""),
        );
        check(&json!([[1]]), Err("`spine[0].a` is a list, but a column is of numbers, texts or truth values"));
    }

    #[test]
    fn what_is_needed_has_its_declared_type() {
        let declared = |values: Json, dtype| column("a", values.as_array().unwrap(), Some(dtype));
        assert_eq!(declared(json!([1, null]), Dtype::Int32).unwrap().data_type().to_string(), "Int32");
        let failure = declared(json!([1, "x"]), Dtype::Int64).unwrap_err();
        assert_eq!(failure.message, "`spine[1].a` is the text \"x\", but the service needs int64");
    }
}
