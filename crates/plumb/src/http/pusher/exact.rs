//! Columns of `json` features as they were sent: a tree of JSON values has no integer beyond 64 bits, a text has.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use schema::json::canonical;
use schema::{Dtype, FeatureView};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::failure::Failure;

/// Columns in canonical JSON, by name.
pub type Exact = HashMap<String, ArrayRef>;

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    rows: HashMap<Cow<'b, str>, &'b RawValue>,
}

/// Of a body `{"rows": {name: [value, ...]}}`, which was read once already.
///
/// # Errors
/// A value with a name twice, or nested too deeply.
pub fn of_body(view: &FeatureView, body: &[u8]) -> Result<Exact, Failure> {
    let mut exact = Exact::new();
    let names: Vec<&str> = json_features(view).collect();
    if names.is_empty() {
        return Ok(exact);
    }
    let read = serde_json::from_slice(body);
    let Body { rows } = read.map_err(|why| Failure::invalid(why.to_string()).code("wrong_json"))?;
    for name in names {
        // What is no list is refused with the others.
        let Some(values) = rows.get(name).and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list.get()).ok())
        else {
            continue;
        };
        let text = |(row, value): (usize, &&RawValue)| match value.get() {
            "null" => Ok(None),
            text => canonical(text).map(Some).map_err(|why| {
                let message = format!("`rows.{name}[{row}]` is {why}");
                Failure::invalid(message).code("wrong_value_type")
            }),
        };
        let texts = values.iter().enumerate().map(text).collect::<Result<StringArray, _>>()?;
        exact.insert(name.to_owned(), Arc::new(texts));
    }
    Ok(exact)
}

/// Of a frame of Feast's, which has texts of JSON. A column with anything else is read as the others are.
pub fn of_frame(view: &FeatureView, frame: &Map<String, Json>) -> Exact {
    let text = |value: &Json| match value {
        Json::Null => Some(None),
        Json::String(text) => canonical(text).ok().map(Some),
        _ => None,
    };
    let column = |name: &str| {
        let texts = frame.get(name)?.as_array()?.iter().map(text).collect::<Option<StringArray>>()?;
        Some((name.to_owned(), Arc::new(texts) as ArrayRef))
    };
    json_features(view).filter_map(column).collect()
}

fn json_features(view: &FeatureView) -> impl Iterator<Item = &str> {
    view.definition.features.iter().filter(|feature| feature.dtype == Dtype::Json).map(|feature| feature.name.as_str())
}
