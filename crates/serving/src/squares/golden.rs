//! Rows that are pinned with a version: the input example of its logger, and cases that people add.
//!
//! A file is JSON in one of the forms that people have: a list of objects, an object of lists, `columns` and `data` (as
//! pandas' `split` and MLflow's `input_example.json` have them), or lists of values in the service's order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use registry::{ModelVersion, PinnedFile, Servable};
use schema::json::read_column;
use schema::{AppliedDefinitions, Dtype, FeatureService, ServiceColumn, Status};
use serde_json::{Map, Value as Json};

use super::rows::{Beside, ProbeRows, Sort};

/// Names of files of a version whose rows are golden, by what made them.
pub const FILES: [&str; 2] = [registry::GOLDEN_FILE, "input_example.json"];

/// Files that are read for a promotion: each has at least one row, and rows cost microseconds.
const FILES_MAX: usize = 256;

/// A file of golden rows.
#[derive(Debug, Clone, Copy)]
pub struct GoldenFile<'v> {
    /// The version that it is pinned with.
    pub version: &'v ModelVersion,
    /// Its service, which its rows are of.
    pub service: &'v FeatureService,
    /// It.
    pub file: &'v PinnedFile,
}

/// The files of some versions: one that several have is one, and of many the first count.
pub fn files<'v>(
    versions: impl IntoIterator<Item = &'v ModelVersion>,
    definitions: &'v AppliedDefinitions,
) -> Vec<GoldenFile<'v>> {
    let served = versions.into_iter().filter_map(|version| {
        let Servable { service, service_fingerprint, .. } = version.servable.as_ref()?;
        Some((version, definitions.service_by_fingerprint(service.as_str(), service_fingerprint)?))
    });
    let all = served.flat_map(|(version, service)| {
        let is_golden = |file: &&PinnedFile| FILES.contains(&file.path.as_str());
        version.files.iter().filter(is_golden).map(move |file| GoldenFile { version, service, file })
    });
    let mut known = BTreeSet::new();
    all.filter(|golden| known.insert((golden.service.id(), golden.file.digest))).take(FILES_MAX).collect()
}

/// What a field is called that is no feature but what the row turned out to be: `label.is_fraud`.
pub const LABEL: &str = "label.";

/// Reads the rows of a file, features by name, and labels. What a row does not name is missing in it.
///
/// # Errors
/// What is wrong, with the row and the feature.
pub fn read(text: &[u8], columns: &[ServiceColumn]) -> Result<ProbeRows, String> {
    let json: Json = serde_json::from_slice(text).map_err(|why| format!("it is not JSON: {why}"))?;
    let rows = objects(json, columns)?;
    for (at, row) in rows.iter().enumerate() {
        let is_other = |name: &&String| {
            !name.starts_with(LABEL) && columns.iter().all(|column| column.name.as_str() != name.as_str())
        };
        if let Some(other) = row.keys().find(is_other) {
            let known = columns.iter().map(|column| column.name.as_str());
            let hint = schema::yaml::suggest(other, known);
            return Err(format!("row {at} has `{}`, which is no feature of the service: {hint}", other.escape_debug()));
        }
    }
    let (mut all, mut statuses) = (Vec::with_capacity(columns.len()), Vec::with_capacity(columns.len()));
    for column in columns {
        let cells: Vec<Json> = rows
            .iter()
            .map(|row| row.get(column.name.as_str()).map_or(Json::Null, |cell| whole(cell, column.dtype)))
            .collect();
        let values = read_column(&cells, column.dtype)
            .map_err(|row| format!("row {row}: `{}` is {}, which is no {}", column.name, cells[row], column.dtype))?;
        let status = |row: &Map<String, Json>| match row.get(column.name.as_str()) {
            None => Status::NotFound,
            Some(Json::Null) => Status::NullValue,
            Some(_) => Status::Present,
        };
        statuses.push(rows.iter().map(status).collect());
        all.push(values);
    }
    let beside = rows.iter().enumerate().map(|(at, row)| beside(at, row)).collect::<Result<_, _>>()?;
    Ok(ProbeRows { columns: all, statuses, sorts: vec![Sort::Golden; rows.len()], beside })
}

/// The labels of a row.
fn beside(at: usize, row: &Map<String, Json>) -> Result<Option<Arc<Beside>>, String> {
    let mut labels = BTreeMap::new();
    for (field, cell) in row {
        let Some(name) = field.strip_prefix(LABEL) else { continue };
        let label = match (cell, cell.as_f64()) {
            (Json::Null, _) => continue,
            (Json::Bool(label), _) => *label,
            (_, Some(number)) if [0.0, 1.0].iter().any(|code| number.total_cmp(code).is_eq()) => number > 0.5,
            _ => {
                return Err(format!(
                    "row {at}: `{}` is {cell}, and a label is true, false, 1 or 0",
                    field.escape_debug()
                ));
            }
        };
        labels.insert(name.to_owned(), label);
    }
    Ok((!labels.is_empty()).then(|| Arc::new(Beside { labels, stratum: None })))
}

fn is_integer(dtype: Dtype) -> bool {
    use Dtype as D;
    matches!(dtype, D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Uint8 | D::Uint16 | D::Uint32 | D::Uint64)
}

/// A cell as its feature's type has it: a table of floats writes whole numbers as `7.0`.
fn whole(cell: &Json, dtype: Dtype) -> Json {
    // All whole numbers up to here are floats of their own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match cell.as_f64() {
        Some(number) if is_integer(dtype) && cell.is_f64() && number.fract() == 0.0 && number.abs() <= EXACT => {
            // Of zeros an integer has one.
            serde_json::from_str(&format!("{:.0}", number + 0.0)).unwrap_or_else(|_never| cell.clone())
        }
        _ => cell.clone(),
    }
}

fn objects(json: Json, columns: &[ServiceColumn]) -> Result<Vec<Map<String, Json>>, String> {
    match json {
        Json::Array(rows) => rows.into_iter().enumerate().map(|(at, row)| object(at, row, columns)).collect(),
        Json::Object(mut fields) => {
            let wrapped = ["inputs", "dataframe_split", "dataframe_records"];
            if fields.len() == 1
                && let Some(inner) = wrapped.iter().find_map(|name| fields.remove(*name))
            {
                return objects(inner, columns);
            }
            // One matrix by the name of the model's input, as clients log what they predict from.
            let is_matrix = |(name, value): (&String, &Json)| {
                let is_feature = columns.iter().any(|column| column.name.as_str() == name);
                let rows = value.as_array().filter(|rows| !is_feature && !rows.is_empty());
                rows.is_some_and(|rows| rows.iter().all(Json::is_array))
            };
            if fields.len() == 1 && fields.iter().all(is_matrix) {
                let inner = fields.into_iter().next().map_or(Json::Null, |(_, rows)| rows);
                return objects(inner, columns);
            }
            match (fields.get("columns"), fields.get("data")) {
                (Some(Json::Array(names)), Some(Json::Array(rows))) => {
                    let names: Vec<String> = names.iter().map(text).collect();
                    rows.iter().enumerate().map(|(at, row)| zip(at, &names, row)).collect()
                }
                _ => transposed(fields),
            }
        }
        other => Err(format!("it is {other}, and no list of rows")),
    }
}

fn object(at: usize, row: Json, columns: &[ServiceColumn]) -> Result<Map<String, Json>, String> {
    match row {
        Json::Object(fields) => Ok(fields),
        values @ Json::Array(_) => {
            let names: Vec<String> = columns.iter().map(|column| column.name.to_string()).collect();
            zip(at, &names, &values)
        }
        other => Err(format!("row {at} is {other}, and neither an object nor a list")),
    }
}

fn zip(at: usize, names: &[String], row: &Json) -> Result<Map<String, Json>, String> {
    match row {
        Json::Array(values) if values.len() == names.len() => {
            Ok(names.iter().cloned().zip(values.iter().cloned()).collect())
        }
        Json::Array(values) => Err(format!("row {at} has {} values for {} columns", values.len(), names.len())),
        other => Err(format!("row {at} is {other}, and no list")),
    }
}

/// An object of lists of equal length, which are columns.
fn transposed(columns: Map<String, Json>) -> Result<Vec<Map<String, Json>>, String> {
    let mut rows: Vec<Map<String, Json>> = Vec::new();
    for (at, (name, values)) in columns.into_iter().enumerate() {
        // One row may be written without lists.
        let values = match values {
            Json::Array(values) => values,
            one => vec![one],
        };
        if at == 0 {
            rows.resize_with(values.len(), Map::new);
        }
        if values.len() != rows.len() {
            return Err(format!("`{}` has {} values, other columns {}", name.escape_debug(), values.len(), rows.len()));
        }
        for (row, value) in rows.iter_mut().zip(values) {
            row.insert(name.clone(), value);
        }
    }
    Ok(rows)
}

fn text(name: &Json) -> String {
    name.as_str().map_or_else(|| name.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::toy::column;

    fn columns() -> Vec<ServiceColumn> {
        vec![column("a", Dtype::Int64), column("b", Dtype::Float32)]
    }

    /// Rows as `value/value` with `-` for null and `?` for what is not there, or what is wrong.
    #[track_caller]
    fn check(text: &str, want: &str) {
        let got = match read(text.as_bytes(), &columns()) {
            Err(why) => why,
            Ok(rows) => {
                let cell = |row: usize, at: usize| match rows.statuses[at][row] {
                    Status::NotFound => "?".to_owned(),
                    Status::NullValue => "-".to_owned(),
                    _ => rows.values(row)[at].to_string(),
                };
                let row = |row| format!("{}/{}", cell(row, 0), cell(row, 1));
                (0..rows.len()).map(row).collect::<Vec<_>>().join(" ")
            }
        };
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn rows_are_read_in_every_form_that_people_have() {
        check(r#"[{"a": 1, "b": 0.5}, {"b": 2}, {"a": null}]"#, "1/0.5 ?/2.0 -/?");
        check(r#"{"a": [1, 2], "b": [0.5, 1]}"#, "1/0.5 2/1.0");
        check(r#"{"a": 1, "b": 0.5}"#, "1/0.5");
        check(r#"{"columns": ["b", "a"], "data": [[0.5, 1]]}"#, "1/0.5");
        check(r#"{"dataframe_split": {"columns": ["a"], "data": [[7]]}}"#, "7/?");
        check(r#"{"inputs": [[1, 0.5]]}"#, "1/0.5");
        check("[[1, 0.5], [2, 1.5]]", "1/0.5 2/1.5");
        check("[]", "");
        // Floats of a table or of a matrix, and the matrix by the name of the model's input.
        check(r#"{"columns": ["a", "b"], "data": [[7.0, 0.5], [-3.0, 1.0]]}"#, "7/0.5 -3/1.0");
        check(r#"{"inputs": [[7.0, 0.5], [-0.0, 0.5]]}"#, "7/0.5 0/0.5");
        check(r#"{"inputs": {"features": [[7.0, 0.5], [1.0, 2.0]]}}"#, "7/0.5 1/2.0");
    }

    #[test]
    fn a_row_may_say_what_it_turned_out_to_be() {
        let text = r#"[{"a": 1, "label.late": true}, {"a": 2, "label.late": null}, {"a": 3, "label.late": 0, "label.lost": 1.0}]"#;
        check(text, "1/? 2/? 3/?");
        let rows = read(text.as_bytes(), &columns()).unwrap();
        let of = |row: usize| rows.beside[row].as_ref().map(|beside| beside.labels.clone()).unwrap_or_default();
        let labels = |of: &[(&str, bool)]| of.iter().map(|(name, label)| ((*name).to_owned(), *label)).collect();
        assert_eq!(
            [of(0), of(1), of(2)],
            [labels(&[("late", true)]), labels(&[]), labels(&[("late", false), ("lost", true)])]
        );
        check(r#"{"columns": ["a", "label.late"], "data": [[7, 1]]}"#, "7/?");
        check(r#"[{"label.late": 2}]"#, "row 0: `label.late` is 2, and a label is true, false, 1 or 0");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_row() {
        check("[{\"a\": 1}, {\"c\": 1}]", "row 1 has `c`, which is no feature of the service: did you mean `a`?");
        check("[[1]]", "row 0 has 1 values for 2 columns");
        check(r#"[{"a": "x"}]"#, "row 0: `a` is \"x\", which is no int64");
        check(r#"{"a": [1], "b": [1, 2]}"#, "`b` has 2 values, other columns 1");
        check("[[7.5, 1]]", "row 0: `a` is 7.5, which is no int64");
        check("[[1e300, 1]]", "row 0: `a` is 1e+300, which is no int64");
        check("7", "it is 7, and no list of rows");
        check("[7]", "row 0 is 7, and neither an object nor a list");
    }
}
