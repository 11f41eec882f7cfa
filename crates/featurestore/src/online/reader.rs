//! Reads view versions where they are current: knows which generation of each answers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use schema::{FeatureView, ViewId};

use super::marks::{GRACE, Marks};
use super::{OnlineError, OnlineStore, OnlineTable};

/// What is known of a view is looked up again after this, unless [`OnlineReader::refresh`] does so before: well within
/// the time for which a generation that was replaced stays readable.
const KNOWN_FOR: Duration = Duration::from_secs(GRACE.as_secs() / 3);

/// The way of readers into an online store.
#[derive(Debug)]
pub struct OnlineReader {
    store: Arc<dyn OnlineStore>,
    known: RwLock<HashMap<ViewId, Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    marks: OnlineTable,
    table: OnlineTable,
    view: FeatureView,
    since: Instant,
}

impl OnlineReader {
    /// Reads `store`.
    pub fn new(store: Arc<dyn OnlineStore>) -> Self {
        Self { store, known: RwLock::default() }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn OnlineStore> {
        &self.store
    }

    /// The tables that answer for some view versions; `None` for one that was never brought online, whole, since the
    /// store was empty.
    ///
    /// # Errors
    /// What the store fails with; nothing is asked of it for views that are known.
    pub async fn tables(&self, views: &[&FeatureView]) -> Result<Vec<Option<OnlineTable>>, OnlineError> {
        if let Some(known) = self.known(views) {
            return Ok(known);
        }
        let marks: Vec<OnlineTable> = views.iter().map(|view| OnlineTable::marks(view)).collect();
        let since = Instant::now();
        let found = Marks::read_many(self.store.as_ref(), &marks).await?;
        let tables: Vec<_> = views.iter().zip(&found).map(|(view, marks)| marks.table(view)).collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for ((view, marks), table) in views.iter().zip(marks).zip(&tables) {
            match table.clone() {
                Some(table) => {
                    known.insert(view.id.clone(), Known { marks, table, view: FeatureView::clone(view), since });
                }
                // What is not there yet is looked for each time.
                None => drop(known.remove(&view.id)),
            }
        }
        Ok(tables)
    }

    fn known(&self, views: &[&FeatureView]) -> Option<Vec<Option<OnlineTable>>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let table = |view: &&FeatureView| {
            let found = known.get(&view.id).filter(|found| found.since.elapsed() < KNOWN_FOR)?;
            // Versions are numbered by each registry, so a number alone could be another meaning's.
            (found.view.fingerprint == view.fingerprint).then(|| Some(found.table.clone()))
        };
        views.iter().map(table).collect()
    }

    /// Looks up again what answers for every view that was read.
    ///
    /// # Errors
    /// What the store fails with; what was known stays known for its time.
    pub async fn refresh(&self) -> Result<(), OnlineError> {
        let all: Vec<Known> = self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        if all.is_empty() {
            return Ok(());
        }
        let since = Instant::now();
        let marks: Vec<OnlineTable> = all.iter().map(|known| known.marks.clone()).collect();
        let found = Marks::read_many(self.store.as_ref(), &marks).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (before, marks) in all.into_iter().zip(found) {
            match marks.table(&before.view) {
                Some(table) => {
                    known.insert(before.view.id.clone(), Known { table, since, ..before });
                }
                None => drop(known.remove(&before.view.id)),
            }
        }
        Ok(())
    }
}
