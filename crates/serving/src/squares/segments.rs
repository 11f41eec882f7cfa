//! What rows are told apart by: the values of a feature, or of a key, as reports name them.

use arrow::array::{Array, ArrayRef};
use featurestore::CompiledService;
use schema::{Dtype, Value, pii};

/// The name of each row's segment: the value of the feature. Personal values are numbered instead, the most frequent one first.
/// `None` where the service has no such feature.
pub(crate) fn of_feature(service: &CompiledService, columns: &[ArrayRef], feature: &str) -> Option<Vec<String>> {
    let at = service.service.columns.iter().position(|column| column.name.as_str() == feature)?;
    Some(named(columns.get(at)?, service.is_personal(at)))
}

/// The value of each row, as reports name it.
pub(crate) fn named(column: &ArrayRef, is_personal: bool) -> Vec<String> {
    let dtype = Dtype::from_arrow(column.data_type());
    let text = |row: usize| match (Value::at(column, row), dtype) {
        (Value::String(text), _) => text.escape_debug().to_string(),
        (value, Some(dtype)) => value.shown(dtype),
        (value, None) => value.to_string(),
    };
    let values: Vec<String> = (0..column.len()).map(text).collect();
    if !is_personal {
        return values;
    }
    let by_size = by_size(values.iter());
    let order: std::collections::BTreeMap<&String, usize> =
        (1..).zip(&by_size).map(|(at, (value, _))| (*value, at)).collect();
    let number = |value: &String| order.get(value).copied().unwrap_or(0);
    values.iter().map(|value| format!("{} {}", pii::MASKED, number(value))).collect()
}

/// Distinct values with how many rows they have, the most frequent first, of equally frequent ones the first by name.
pub(crate) fn by_size<'v>(values: impl Iterator<Item = &'v String>) -> Vec<(&'v String, usize)> {
    let mut counts: std::collections::BTreeMap<&String, usize> = std::collections::BTreeMap::new();
    for value in values {
        *counts.entry(value).or_insert(0) += 1;
    }
    let mut all: Vec<(&String, usize)> = counts.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    #[test]
    fn personal_values_are_numbered_by_how_many_rows_they_have() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("a")]));
        assert_eq!(named(&column, false), ["b", "a", "null", "a"]);
        assert_eq!(named(&column, true), ["*** 2", "*** 1", "*** 3", "*** 1"]);
    }
}
