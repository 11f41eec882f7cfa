//! The rows of the feature square: entities from history, and values for the fields of a request.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use featurestore::CompiledService;
use featurestore::offline::{OfflineError, OfflineStore};
use featurestore::retrieve::EntityRows;
use schema::Value;
use schema::definitions::RequestField;

use super::SAMPLE_ENTITIES;
use crate::batch_check::probe::{Random, ordinary};

/// Entities by the hash of their keys: the same ones every time, hot keys not preferred. Views of other entities, and
/// the same view by other keys, add their key columns beside, paired by position; the fields of the request are made up,
/// the same every time.
pub(crate) async fn sample(compiled: &CompiledService, offline: &OfflineStore) -> Result<EntityRows, OfflineError> {
    let mut columns: HashMap<String, ArrayRef> = HashMap::new();
    let mut n = SAMPLE_ENTITIES;
    for (turn, view) in compiled.views.iter().enumerate() {
        let known = |key: &&schema::definitions::JoinKey| columns.contains_key(key.name.as_str());
        let n_known = view.keys.iter().filter(known).count();
        if n_known == view.keys.len() && n_known > 0 {
            continue;
        }
        let keys = offline.history(&view.view).await?.sample_keys(SAMPLE_ENTITIES)?;
        n = n.min(keys.first().map_or(0, Array::len));
        for (key, column) in view.keys.iter().zip(&keys) {
            if !columns.contains_key(key.name.as_str()) {
                // A pair of one entity with itself would show little. Parts of one key stay together.
                let turn = if n_known == 0 { turn } else { 0 };
                columns.insert(key.name.to_string(), turned(column, turn)?);
            }
        }
    }
    for column in columns.values_mut() {
        *column = column.slice(0, n);
    }
    let mut random = Random::new();
    let rows = EntityRows { n, columns };
    with_fields(compiled, rows, |field| ordinary(field.dtype, &mut random))
}

/// The same rows with null for every field of the request.
pub(crate) fn without_fields(compiled: &CompiledService, rows: EntityRows) -> Result<EntityRows, OfflineError> {
    with_fields(compiled, rows, |_| Value::Null)
}

fn with_fields(
    compiled: &CompiledService,
    mut rows: EntityRows,
    mut value: impl FnMut(&RequestField) -> Value,
) -> Result<EntityRows, OfflineError> {
    for field in &compiled.fields {
        let empty = arrow::array::new_empty_array(&field.dtype.to_arrow());
        let cells = (0..rows.n).map(|_| value(field).to_array(field.dtype, 1)).collect::<Result<Vec<_>, _>>();
        let cells = cells.map_err(unmade)?;
        let parts: Vec<&dyn Array> = std::iter::once(&empty).chain(&cells).map(AsRef::as_ref).collect();
        rows.columns.insert(field.name.to_string(), concat(&parts).map_err(|why| unmade(why.to_string()))?);
    }
    Ok(rows)
}

/// The column from row `turn` on, the rows before it last.
fn turned(column: &ArrayRef, turn: usize) -> Result<ArrayRef, OfflineError> {
    let turn = turn % column.len().max(1);
    let (head, tail) = (column.slice(0, turn), column.slice(turn, column.len() - turn));
    concat(&[tail.as_ref(), head.as_ref()]).map_err(|why| unmade(why.to_string()))
}

fn unmade(why: String) -> OfflineError {
    let (what, hint) = ("the rows of the feature square".to_owned(), "report this".to_owned());
    OfflineError::Spine { what, why, hint }
}
