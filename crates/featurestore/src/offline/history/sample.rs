//! Some of a history's keys.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};
use schema::{Dtype, EntityKey, Fingerprint};

use super::History;
use crate::offline::OfflineError;
use crate::offline::source::read_error;

impl History {
    /// Up to `n` distinct keys, as columns in the view's key dtypes: those whose digest is smallest, so the same ones
    /// every time and hot keys not preferred.
    ///
    /// # Errors
    /// [`OfflineError`] if the files cannot be read.
    pub fn sample_keys(&self, n: usize) -> Result<Vec<ArrayRef>, OfflineError> {
        let mut sample: BTreeMap<Fingerprint, EntityKey> = BTreeMap::new();
        for unit in self.units() {
            self.scan_order(unit, |batch| {
                EntityKey::each(&batch.keys, batch.len(), |row, bytes| {
                    let Some(bytes) = bytes.filter(|_| !batch.erased(row)) else { return };
                    let digest = Fingerprint::of_bytes(bytes);
                    if sample.len() < n || sample.last_key_value().is_some_and(|(last, _)| digest < *last) {
                        sample.insert(digest, EntityKey::from_bytes(bytes));
                        if sample.len() > n {
                            sample.pop_last();
                        }
                    }
                });
                Ok(())
            })?;
        }
        let parts: Vec<Vec<schema::Value>> = sample.values().map(EntityKey::parts).collect();
        let column = |(i, (name, dtype)): (usize, &(String, Dtype))| {
            let refuse = |why: String| OfflineError::Column { path: "a key".to_owned(), column: name.clone(), why };
            let cells = parts.iter().map(|parts| parts[i].to_array(*dtype, 1)).collect::<Result<Vec<_>, _>>();
            let cells = cells.map_err(refuse)?;
            let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
            if cells.is_empty() {
                return Ok(arrow::array::new_empty_array(&dtype.to_arrow()));
            }
            arrow::compute::concat(&cells).map_err(|why| read_error("history", why))
        };
        self.layout.keys.iter().enumerate().map(column).collect()
    }
}
