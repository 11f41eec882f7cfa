//! Feature values that a client sends itself, as rows of a service: `{name: [values]}`, or as answers have them,
//! `{name: {values, statuses}}`.

use arrow::array::{Array, ArrayRef};
use featurestore::{FeatureRows, Statuses};
use schema::json::read_column;
use schema::yaml::suggest;
use schema::{FeatureService, ServiceColumn, Status};
use serde_json::{Map, Value as Json};

use super::entities::{ROWS_MAX, kind};
use crate::failure::Failure;

/// Reads them: every feature of the service, rows of one number. Without statuses a null says that the row has no value,
/// not that there is no row.
///
/// # Errors
/// A feature that is missing or unknown, lists of different lengths, no rows, too many, a value of another type.
pub fn read(sent: &Map<String, Json>, service: &FeatureService) -> Result<FeatureRows, Failure> {
    let id = service.id();
    let names = || service.columns.iter().map(|column| column.name.as_str());
    if let Some(name) = sent.keys().find(|name| !names().any(|known| known == name.as_str())) {
        let message = format!("`features` names `{name}`, which is no feature of service `{id}`");
        return Err(Failure::invalid(message).code("unknown_feature").hint(suggest(name, names())));
    }
    let mut rows = FeatureRows { columns: Vec::new(), statuses: Vec::new(), event_times: Vec::new() };
    let mut first: Option<(usize, &str)> = None;
    for column in &service.columns {
        let name = column.name.as_str();
        let Some(said) = sent.get(name) else {
            let message = format!("`features` lacks `{name}` ({}) of service `{id}`", column.dtype);
            return Err(Failure::invalid(message).code("missing_feature").hint(format!("send \"{name}\": [...]")));
        };
        let (values, statuses) = one(column, said)?;
        match first {
            Some((n, other)) if n != values.len() => {
                let message = format!("`features.{name}` has {} values and `features.{other}` {n}", values.len());
                return Err(Failure::invalid(message).code("unequal_lists"));
            }
            _ => first = Some((values.len(), name)),
        }
        rows.columns.push(values);
        rows.statuses.push(statuses);
    }
    match first.map_or(0, |(n, _)| n) {
        0 => Err(Failure::invalid("`features` lists no rows").code("empty_features").hint("send at least one value")),
        n if n > ROWS_MAX => {
            let message = format!("`features` lists {n} rows; one request takes at most {ROWS_MAX}");
            Err(Failure::invalid(message).code("too_many_rows").hint("split the request"))
        }
        _ => Ok(rows),
    }
}

fn one(column: &ServiceColumn, said: &Json) -> Result<(ArrayRef, Statuses), Failure> {
    let name = &column.name;
    let (values, statuses) = match said {
        Json::Object(fields) => (fields.get("values").unwrap_or(&Json::Null), fields.get("statuses")),
        other => (other, None),
    };
    let Json::Array(values) = values else {
        let message = format!("`features.{name}` is {}, not a list", kind(values));
        return Err(Failure::invalid(message).code("wrong_json").hint(format!("send \"{name}\": [value, ...]")));
    };
    let read = read_column(values, column.dtype).map_err(|row| {
        let message =
            format!("`features.{name}[{row}]` is {}, but the feature is {}", kind(&values[row]), column.dtype);
        Failure::invalid(message).code("wrong_feature_type")
    })?;
    let by_value = |row: usize| if read.is_null(row) { Status::NullValue } else { Status::Present };
    let statuses = match statuses {
        None => (0..read.len()).map(by_value).collect(),
        Some(statuses) => said_statuses(column, statuses, &read)?,
    };
    Ok((read, statuses))
}

fn said_statuses(column: &ServiceColumn, said: &Json, values: &ArrayRef) -> Result<Statuses, Failure> {
    let name = &column.name;
    let known = |json: &Json| Status::ALL.into_iter().find(|status| json.as_str() == Some(status.as_str()));
    let statuses = said.as_array().and_then(|list| list.iter().map(known).collect::<Option<Statuses>>());
    let statuses = statuses.filter(|statuses| statuses.len() == values.len()).ok_or_else(|| {
        let names: Vec<&str> = Status::ALL.iter().map(|status| status.as_str()).collect();
        Failure::invalid(format!("`features.{name}.statuses` is no list with a status for each of its values"))
            .code("wrong_status")
            .hint(format!("statuses are {}", names.join(", ")))
    })?;
    let contradicts = |row: &usize| (statuses[*row] == Status::Present) == values.is_null(*row);
    // A migrated value of a missing row may be there, with the row's status.
    let is_wrong = |row: &usize| contradicts(row) && matches!(statuses[*row], Status::Present | Status::NullValue);
    match (0..values.len()).find(is_wrong) {
        Some(row) => Err(Failure::invalid(format!(
            "`features.{name}` row {row} is {} and its value is {}",
            statuses[row],
            if values.is_null(row) { "null" } else { "not null" }
        ))
        .code("wrong_status")
        .hint("leave statuses out, or send those that an answer had")),
        None => Ok(statuses),
    }
}
