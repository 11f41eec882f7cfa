//! Joins drawn as small tables: columns are `name:type`, cells are separated by `|`, `-` is null.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use schema::{AppliedDefinitions, Status, Timestamp, Value};

use crate::compiled::CompiledService;
use crate::offline::OfflineStore;
use crate::testing::applied;
use crate::training::Options;
use crate::training::spine::Shape;
use crate::training::tests::{TrainingSet, in_memory};

/// A source and a spine; the view reads the source as it is.
pub(super) struct Setup<'a> {
    /// More lines of the source.
    pub(super) source: &'a str,
    /// More lines of the view.
    pub(super) view: &'a str,
    pub(super) rows: &'a str,
    pub(super) spine: &'a str,
}

fn t0() -> i64 {
    Timestamp::parse("2024-01-01T12:00:00Z").unwrap().as_nanos()
}

fn instant(cell: &str) -> Option<i64> {
    if cell == "-" {
        return None;
    }
    let digits = cell.trim_start_matches(['+', '-']).trim_end_matches(char::is_alphabetic);
    let unit = match cell.trim_start_matches(['+', '-']).trim_start_matches(|c: char| c.is_ascii_digit()) {
        "s" => 1_000_000_000,
        "us" => 1_000,
        "ns" => 1,
        other => panic!("{other} is no unit"),
    };
    let size = digits.parse::<i64>().unwrap() * unit;
    Some(t0() + if cell.starts_with('-') { -size } else { size })
}

/// Reads a table.
pub(super) fn batch(table: &str) -> RecordBatch {
    let mut lines = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let rows: Vec<Vec<&str>> = lines.collect();
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (i, column) in header.iter().enumerate() {
        let (name, kind) = column.split_once(':').unwrap();
        let cells = rows.iter().map(|row| row[i]);
        let some = |cell: &str| (cell != "-").then(|| cell.to_owned());
        let times = || TimestampNanosecondArray::from(rows.iter().map(|row| instant(row[i])).collect::<Vec<_>>());
        let array: ArrayRef = match kind {
            "int" => Arc::new(cells.map(|c| some(c).map(|c| c.parse::<i64>().unwrap())).collect::<Int64Array>()),
            "int32" => Arc::new(cells.map(|c| some(c).map(|c| c.parse::<i32>().unwrap())).collect::<Int32Array>()),
            "float" => Arc::new(cells.map(|c| some(c).map(|c| c.parse::<f64>().unwrap())).collect::<Float64Array>()),
            "bool" => Arc::new(cells.map(|c| some(c).map(|c| c.parse::<bool>().unwrap())).collect::<BooleanArray>()),
            "str" => Arc::new(cells.map(some).collect::<StringArray>()),
            "time" => Arc::new(times().with_timezone("UTC")),
            "naive" => Arc::new(times()),
            "newyork" => {
                let utc: ArrayRef = Arc::new(times().with_timezone("UTC"));
                cast(&utc, &DataType::Timestamp(TimeUnit::Microsecond, Some("America/New_York".into()))).unwrap()
            }
            "text" => {
                let text = |t: i64| Timestamp::from_nanos(t).to_string();
                Arc::new(rows.iter().map(|row| instant(row[i]).map(text)).collect::<StringArray>())
            }
            other => panic!("{other} is no type"),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        columns.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Writes rows with few to a row group, so that every join crosses row groups.
pub(super) fn write(path: &Path, rows: &RecordBatch) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
}

/// The project of one entity, source, view `f` with feature `v`, and service `s`.
pub(super) fn definitions(keys: &[(&str, &str)], source: &str, view: &str) -> AppliedDefinitions {
    let keys: Vec<String> = keys.iter().map(|(name, dtype)| format!("{{name: {name}, type: {dtype}}}")).collect();
    let text = format!(
        "kind: entity\nname: e\njoin_keys: [{}]\n---\n\
         kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\n{source}\n---\n\
         kind: feature_view\nname: f\nentity: e\nsource: rows\n{view}\nfeatures: [{{name: v, type: float64}}]\n---\n\
         kind: feature_service\nname: s\nfeatures: ['f:v']\n",
        keys.join(", ")
    );
    applied(text)
}

/// The training set of a setup.
pub(super) fn built(setup: &Setup<'_>) -> TrainingSet {
    let definitions = definitions(&[("k", "int64")], setup.source, setup.view);
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("rows.parquet"), &batch(setup.rows));
    let store = OfflineStore::new(folder.path(), &folder.path().join("offline"));
    let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
    in_memory(&store, &compiled, &batch(setup.spine), &Options::default()).unwrap()
}

/// Joins one spine with view `f` (feature `v`) and view `g` (feature `w`), each over rows of its own, and prints keys
/// and values.
pub(super) fn join_two(f: &str, g: &str, spine: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "kind: entity\nname: e\njoin_keys: [{name: k, type: int64}]\n".to_owned();
    for (view, feature, rows) in [("f", "v", f), ("g", "w", g)] {
        write(&folder.path().join(format!("{view}.parquet")), &batch(rows));
        write!(
            text,
            "---\nkind: source\nname: {view}_rows\npath: {view}.parquet\nevent_time: ts\n---\nkind: feature_view\n\
             name: {view}\nentity: e\nsource: {view}_rows\nfeatures: [{{name: {feature}, type: float64}}]\n"
        )
        .unwrap();
    }
    text.push_str("---\nkind: feature_service\nname: s\nfeatures: ['f:v', 'g:w']\n");
    let definitions = applied(text);
    let store = OfflineStore::new(folder.path(), &folder.path().join("offline"));
    let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
    let rows = in_memory(&store, &compiled, &batch(spine), &Options::default()).unwrap().rows;
    let cell = |column: &str, row| Value::at(rows.column_by_name(column).unwrap(), row);
    let line = |row| format!("{}: {} {}", cell("k", row), cell("v", row), cell("w", row));
    (0..rows.num_rows()).map(line).collect::<Vec<_>>().join("\n")
}

/// Joins and prints: the spine's columns but its time, the value, the status.
pub(super) fn join(setup: &Setup<'_>) -> String {
    let rows = batch(setup.rows);
    let keys: Vec<(&str, &str)> = match rows.schema().field(1).name().as_str() {
        "b" => vec![("a", "string"), ("b", "string")],
        _ => vec![("k", "int64")],
    };
    let definitions = definitions(&keys, setup.source, setup.view);
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("rows.parquet"), &rows);
    let store = OfflineStore::new(folder.path(), &folder.path().join("offline"));
    let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
    let spine = batch(setup.spine);
    let set = match in_memory(&store, &compiled, &spine, &Options::default()) {
        Ok(set) => set,
        Err(why) => return format!("error: {why}"),
    };
    let n = set.rows.num_rows();
    assert_eq!(n, spine.num_rows());
    let names: Vec<String> = set.rows.schema().fields().iter().map(|f| f.name().clone()).collect();
    if n == 0 {
        return format!("(no rows) {}", names.join(" "));
    }
    let statuses = statuses(&store, &compiled, &spine);
    let mut lines = Vec::new();
    for (row, status) in statuses.iter().enumerate() {
        let mut line = String::new();
        for (name, column) in names.iter().zip(set.rows.columns()).filter(|(name, _)| *name != "event_time") {
            let value = match Value::at(column, row) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            write!(line, "{value} ").unwrap();
            if name == "v" {
                write!(line, "{status}").unwrap();
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn statuses(store: &OfflineStore, compiled: &CompiledService, spine: &RecordBatch) -> Vec<Status> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shape = Shape::new("spine", spine.schema(), None).unwrap();
    let block = shape.block(shape.plain(spine).unwrap(), compiled).unwrap();
    let features = crate::training::features_at(store, compiled, &block.entities, &block.times);
    runtime.block_on(features).unwrap().0.statuses.swap_remove(0).to_vec()
}
