//! The online store in memory: for tests, and as the oracle of the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use schema::{EntityKey, Timestamp};

use super::{Cell, EraseReport, OnlineError, OnlineRows, OnlineStore, OnlineTable, WriteReport};
use crate::erase::KeyMatch;

/// Keeps every cell in one map; gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    // A panic while it is locked leaves whole cells behind, so a poisoned lock is as good as another.
    tables: Mutex<HashMap<OnlineTable, HashMap<EntityKey, Cell>>>,
}

#[async_trait]
impl OnlineStore for MemoryStore {
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        let stored = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let columns: Vec<_> = tables.iter().map(|table| stored.get(table)).collect();
        let cell = |key| columns.iter().map(move |column| column.and_then(|column| column.get(key)).cloned());
        Ok(OnlineRows::new(keys.iter().flat_map(cell).collect(), tables.len()))
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let mut report = WriteReport::default();
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = tables.entry(table.clone()).or_default();
        for (key, cell) in cells {
            let after = Cell::after(stored.get(key), cell, horizon);
            report.count(after.is_some());
            if let Some(after) = after {
                stored.insert(key.clone(), after);
            }
        }
        Ok(report)
    }

    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        let mut stored = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = EraseReport::default();
        for table in tables {
            let Some(cells) = stored.get_mut(table) else { continue };
            report.found += cells.keys().filter(|key| keys.matches(key)).count();
            if !dry_run {
                cells.retain(|key, _| !keys.matches(key));
            }
        }
        Ok(report)
    }

    async fn drop_tables(&self, tables: &[OnlineTable]) -> Result<(), OnlineError> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).retain(|table, _| !tables.contains(table));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::online::conformance::online_store_conformance;

    #[tokio::test]
    async fn conforms() {
        online_store_conformance(Arc::new(MemoryStore::default())).await;
    }
}
