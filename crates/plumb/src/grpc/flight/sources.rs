//! The sources that the registry names for each view, and the columns that rows for it have.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrow::error::ArrowError;
use featurestore::push::rows::deletion_names;
use schema::dtype::timestamp_type;
use schema::{AppliedDefinitions, Dtype, FeatureView};

use crate::feast::{PUSH_SOURCE, ROWS_SOURCE};

/// Names that the client gives the times, whatever the view calls them.
const TIMES: [&str; 4] = ["event_timestamp", "event_time", "created", "created_timestamp"];

/// The view of a source's name.
pub(super) fn view_of<'a>(definitions: &'a AppliedDefinitions, source: &str) -> Option<&'a FeatureView> {
    let name = source.strip_suffix(ROWS_SOURCE).or_else(|| source.strip_suffix(PUSH_SOURCE))?;
    definitions.current_view(name)
}

/// What rows for a view may have beside times: names and types.
pub(super) fn declared(view: &FeatureView) -> Vec<(String, Dtype)> {
    let keys = view.keys().iter().map(|key| (key.name.to_string(), key.dtype));
    let features = view.definition.features.iter().map(|feature| (feature.name.to_string(), feature.dtype));
    keys.chain(features).collect()
}

/// The places of a table's columns that a view has; the others are not for it.
pub(super) fn own(view: &FeatureView, table: &Schema) -> Vec<usize> {
    let (d, declared) = (&view.definition, declared(view));
    let is_own = |name: &str| {
        let is_deleted = deletion_names(view).any(|known| known == name);
        let time = name == d.event_time || Some(name) == d.created_time.as_deref() || TIMES.contains(&name);
        time || is_deleted || declared.iter().any(|(known, _)| known == name)
    };
    (0..table.fields().len()).filter(|at| is_own(table.field(*at).name())).collect()
}

/// The columns of the rows that are written to a view, and their types as pyarrow spells them.
pub(super) fn columns(view: &FeatureView) -> Result<RecordBatch, ArrowError> {
    let d = &view.definition;
    let times = [Some(&d.event_time), d.created_time.as_ref()];
    let times = times.into_iter().flatten().map(|name| (name.clone(), timestamp_type()));
    let all: Vec<(String, DataType)> =
        declared(view).into_iter().map(|(name, dtype)| (name, dtype.to_arrow())).chain(times).collect();
    let names: StringArray = all.iter().map(|(name, _)| Some(name.as_str())).collect();
    let types: StringArray = all.iter().map(|(_, found)| Some(spelt(found))).collect();
    RecordBatch::try_from_iter([("name", Arc::new(names) as ArrayRef), ("type", Arc::new(types) as ArrayRef)])
}

fn spelt(found: &DataType) -> String {
    match found {
        DataType::Boolean => "bool".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        DataType::Date32 => "date32[day]".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal128({precision}, {scale})"),
        DataType::Duration(unit) => format!("duration[{}]", short(*unit)),
        DataType::Timestamp(unit, None) => format!("timestamp[{}]", short(*unit)),
        DataType::Timestamp(unit, Some(zone)) => format!("timestamp[{}, tz={zone}]", short(*unit)),
        DataType::List(item) => format!("list<item: {}>", spelt(item.data_type())),
        DataType::FixedSizeList(item, n) => format!("fixed_size_list<item: {}>[{n}]", spelt(item.data_type())),
        other => other.to_string().to_ascii_lowercase(),
    }
}

fn short(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_spelt_as_pyarrow_spells_them() {
        for (dtype, want) in [
            ("int64", "int64"),
            ("uint8", "uint8"),
            ("float32", "float"),
            ("float64", "double"),
            ("bool", "bool"),
            ("string", "string"),
            ("bytes", "binary"),
            ("date", "date32[day]"),
            ("timestamp", "timestamp[ns, tz=UTC]"),
            ("decimal(10,2)", "decimal128(10, 2)"),
            ("list<float64>", "list<item: double>"),
            ("list<float32, 3>", "fixed_size_list<item: float>[3]"),
        ] {
            assert_eq!(spelt(&Dtype::parse(dtype).unwrap().to_arrow()), want, "{dtype}");
        }
    }
}
