//! The fields of a request, `context`: for each a value that holds for every row, or a list with one value a row.

use std::collections::HashMap;

use arrow::array::ArrayRef;
use featurestore::CompiledService;
use schema::definitions::RequestField;
use schema::json::{read, read_column};
use schema::yaml::suggest;
use serde_json::{Map, Value as Json};

use super::entities::{Texts, from_command_line, kind};
use crate::failure::Failure;

/// A field that nothing reads is a mistake: it would silently not count.
pub(super) fn no_unknown(context: &Map<String, Json>, compiled: &CompiledService) -> Result<(), Failure> {
    let known = || compiled.fields.iter().map(|field| field.name.as_str());
    let Some(field) = context.keys().find(|name| !known().any(|known| known == name.as_str())) else { return Ok(()) };
    let service = &compiled.service.name;
    let message = format!("`context` has field `{field}`, which no feature of service `{service}` reads");
    let hint = if compiled.fields.is_empty() { "leave it out".to_owned() } else { suggest(field, known()) };
    Err(Failure::invalid(message).code("unknown_context").hint(hint))
}

/// How many rows the fields speak of where no entity does: the length of their lists, one where there is none.
pub(super) fn n_rows(context: &Map<String, Json>) -> usize {
    context.values().find_map(|value| value.as_array().map(Vec::len)).unwrap_or(1)
}

/// The request fields that a service reads, `n` rows each.
///
/// # Errors
/// A missing field, a list of another length, a value of another type.
pub(super) fn columns(
    context: &Map<String, Json>,
    compiled: &CompiledService,
    n: usize,
    texts: Texts,
) -> Result<HashMap<String, ArrayRef>, Failure> {
    let mut columns = HashMap::with_capacity(compiled.fields.len());
    for (at, field) in compiled.fields.iter().enumerate() {
        let name = field.name.as_str();
        let Some(said) = context.get(name) else {
            let reader = compiled.on_demand.iter().find(|view| view.fields.contains(&at));
            let reader = reader.map(|view| view.name.as_str()).unwrap_or_default();
            let message = format!("`context` lacks field `{name}` ({}) of on-demand view `{reader}`", field.dtype);
            let hint = format!("send \"context\": {{\"{name}\": value}}, or one value a row; null says nothing");
            return Err(Failure::invalid(message).code("missing_context").hint(hint));
        };
        columns.insert(name.to_owned(), column(field, said, n, texts)?);
    }
    Ok(columns)
}

fn column(field: &RequestField, said: &Json, n: usize, texts: Texts) -> Result<ArrayRef, Failure> {
    let name = &field.name;
    let wrong = |place: String, json: &Json| {
        let message = format!("`{place}` is {}, but the field is {}", kind(json), field.dtype);
        Failure::invalid(message).code("wrong_context_type")
    };
    let value = |json: &Json| match texts {
        Texts::AreTexts => json.clone(),
        Texts::AreValues => from_command_line(json, field.dtype),
    };
    let values = match said {
        Json::Array(values) if !field.dtype.is_list() || values.iter().any(Json::is_array) => values,
        // A list that is a value, or a single value, holds for every row.
        one => {
            let constant = read(&value(one), field.dtype).and_then(|value| value.to_array(field.dtype, n).ok());
            return constant.ok_or_else(|| wrong(format!("context.{name}"), said));
        }
    };
    if values.len() != n {
        let message = format!("`context.{name}` has {} values, and the request {n} rows", values.len());
        let hint = "send one value for all rows, or one a row";
        return Err(Failure::invalid(message).code("unequal_lists").hint(hint));
    }
    let read: Vec<Json> = values.iter().map(value).collect();
    read_column(&read, field.dtype).map_err(|row| wrong(format!("context.{name}[{row}]"), &values[row]))
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use schema::yaml::Place;
    use schema::{Dtype, Value};
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(dtype: Dtype, said: Json, want: Result<&[Value], &str>) {
        let name = "x".parse().unwrap();
        let field = RequestField { name, dtype, description: None, pii: false, place: Place::default() };
        let got = column(&field, &said, 2, Texts::AreTexts);
        match (got, want) {
            (Ok(column), Ok(want)) => {
                let got: Vec<Value> = (0..column.len()).map(|row| Value::at(&column, row)).collect();
                assert_eq!(got, want, "{said}");
            }
            (Err(failure), Err(want)) => assert_eq!(format!("{}: {}", failure.code, failure.message), want),
            (got, want) => panic!("{said}: {got:?}, expected {want:?}"),
        }
    }

    #[test]
    fn one_value_holds_for_every_row() {
        check(Dtype::Float64, json!(1.5), Ok(&[Value::Float(1.5), Value::Float(1.5)]));
        check(Dtype::String, json!("card"), Ok(&[Value::String("card".into()), Value::String("card".into())]));
        check(Dtype::Int64, json!(null), Ok(&[Value::Null, Value::Null]));
    }

    #[test]
    fn a_list_has_one_value_a_row() {
        check(Dtype::Int64, json!([1, null]), Ok(&[Value::Int(1), Value::Null]));
        check(Dtype::Float64, json!([1, "NaN"]), Ok(&[Value::Float(1.0), Value::Float(f64::NAN)]));
        check(Dtype::Bool, json!([true, false]), Ok(&[Value::Bool(true), Value::Bool(false)]));
        check(Dtype::Date, json!(["1970-01-02", "1969-12-31"]), Ok(&[Value::Int(1), Value::Int(-1)]));
        check(Dtype::Bytes, json!(["00ff", ""]), Ok(&[Value::Bytes(vec![0, 255]), Value::Bytes(vec![])]));
        let wrong = "unequal_lists: `context.x` has 1 values, and the request 2 rows";
        check(Dtype::Int64, json!([1]), Err(wrong));
    }

    #[test]
    fn another_type_is_told_with_both() {
        let wrong = |what: &str| format!("wrong_context_type: `context.x` is {what}");
        check(Dtype::Int64, json!(1.5), Err(&wrong("the number 1.5, but the field is int64")));
        check(Dtype::Int8, json!(300), Err(&wrong("the number 300, but the field is int8")));
        check(Dtype::Float32, json!(1e39), Err(&wrong("the number 1e+39, but the field is float32")));
        check(Dtype::Float64, json!("12"), Err(&wrong("the text \"12\", but the field is float64")));
        check(Dtype::Bool, json!(1), Err(&wrong("the number 1, but the field is bool")));
        check(
            Dtype::Date,
            json!("1970-01-02T03:00:00Z"),
            Err(&wrong("the text \"1970-01-02T03:00:00Z\", but the field is date")),
        );
        check(Dtype::String, json!({}), Err(&wrong("an object, but the field is string")));
        let wrong = "wrong_context_type: `context.x[1]` is a list, but the field is string";
        check(Dtype::String, json!(["a", ["b"]]), Err(wrong));
    }
}
