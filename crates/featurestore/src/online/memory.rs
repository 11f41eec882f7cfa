//! The online store in memory: for tests, and as the oracle of the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use schema::{EntityKey, Timestamp, ViewId};

use super::{Cell, OnlineError, OnlineRows, OnlineStore, WriteReport};

/// Keeps every cell in one map; gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    // A panic while it is locked leaves whole cells behind, so a poisoned lock is as good as another.
    views: Mutex<HashMap<ViewId, HashMap<EntityKey, Cell>>>,
}

#[async_trait]
impl OnlineStore for MemoryStore {
    async fn get_many(&self, views: &[ViewId], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        let stored = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let columns: Vec<_> = views.iter().map(|view| stored.get(view)).collect();
        let cell = |key| columns.iter().map(move |column| column.and_then(|column| column.get(key)).cloned());
        Ok(OnlineRows::new(keys.iter().flat_map(cell).collect(), views.len()))
    }

    async fn put_many(
        &self,
        view: &ViewId,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let mut report = WriteReport::default();
        let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = views.entry(view.clone()).or_default();
        for (key, cell) in cells {
            let after = Cell::after(stored.get(key), cell, horizon);
            report.count(after.is_some());
            if let Some(after) = after {
                stored.insert(key.clone(), after);
            }
        }
        Ok(report)
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
