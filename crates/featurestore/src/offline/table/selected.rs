//! Which rows: those of some keys, of a span of time, or both.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use schema::{Dtype, EntityKey, Timestamp};
use transform::cast;

use super::types::{TableColumn, from_stored};

/// A selection of rows; a row is in it if all that is there says so.
#[derive(Debug, Clone, Default)]
pub struct Selected {
    /// Only rows of these keys.
    pub keys: Option<KeySet>,
    /// Only rows of this span of time.
    pub times: Option<TimeRange>,
}

/// Keys, and the columns that hold them.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// Columns of the table, and the types that the keys were made in.
    pub columns: Vec<(String, Dtype)>,
    /// The keys.
    pub keys: HashSet<EntityKey>,
}

/// A half-open span of one time column: `[from, to)`.
#[derive(Debug, Clone)]
pub struct TimeRange {
    /// Column of the table.
    pub column: String,
    /// No rows before it.
    pub from: Option<Timestamp>,
    /// No rows at it or later.
    pub to: Option<Timestamp>,
}

impl Selected {
    /// The table's columns that it looks at; the first that the table lacks is the error.
    pub(super) fn columns<'c>(&self, columns: &'c [TableColumn]) -> Result<Vec<&'c TableColumn>, String> {
        let keys = self.keys.iter().flat_map(|keys| keys.columns.iter().map(|(name, _)| name));
        let names = keys.chain(self.times.iter().map(|times| &times.column));
        names.map(|name| columns.iter().find(|column| column.name == *name).ok_or_else(|| name.clone())).collect()
    }

    /// Which of some stored rows are in it.
    pub(super) fn rows(&self, rows: &RecordBatch, columns: &[&TableColumn]) -> Result<BooleanArray, String> {
        let declared = |name: &String| -> Result<ArrayRef, String> {
            let column = columns.iter().find(|column| column.name == *name).ok_or_else(|| format!("no `{name}`"))?;
            let Some(stored) = rows.column_by_name(name) else {
                return Ok(arrow::array::new_null_array(&column.dtype.to_arrow(), rows.num_rows()));
            };
            let rest = column.rest().and_then(|rest| rows.column_by_name(&rest));
            from_stored(stored, rest, column.dtype)
        };
        let mut selected = vec![true; rows.num_rows()];
        if let Some(set) = &self.keys {
            let conformed = |(name, dtype): &(String, Dtype)| {
                cast::conform(&declared(name)?, *dtype, None).map_err(|why| format!("column `{name}`: {why}"))
            };
            let keys = set.columns.iter().map(conformed).collect::<Result<Vec<_>, _>>()?;
            let keys = EntityKey::from_columns(&keys, rows.num_rows());
            for (selected, key) in selected.iter_mut().zip(keys) {
                *selected &= key.is_some_and(|key| set.keys.contains(&key));
            }
        }
        if let Some(range) = &self.times {
            let times = cast::times(&declared(&range.column)?, None);
            let times = times.map_err(|why| format!("column `{}`: {why}", range.column))?;
            for (row, selected) in selected.iter_mut().enumerate() {
                let time = times.is_valid(row).then(|| Timestamp::from_nanos(times.value(row)));
                let inside = |time| range.from.is_none_or(|from| from <= time) && range.to.is_none_or(|to| time < to);
                *selected &= time.is_some_and(inside);
            }
        }
        Ok(BooleanArray::from(selected))
    }
}
