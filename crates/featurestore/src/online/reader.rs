//! Reads view versions where they are current: knows which generation of each answers.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use schema::{FeatureView, Timestamp, ViewId};

use super::marks::{GRACE, Generation, Marks};
use super::redis::FeastRedis;
use super::{OnlineError, OnlineStore, OnlineTable};
use crate::retrieve::Answered;

/// What is known of a view is looked up again after this, unless [`OnlineReader::refresh`] does so before: well within
/// the time for which a generation that was replaced stays readable.
const KNOWN_FOR: Duration = Duration::from_secs(GRACE.as_secs() / 3);

/// The way of readers into an online store.
#[derive(Debug)]
pub struct OnlineReader {
    store: Arc<dyn OnlineStore>,
    /// Where views are read that Feast fills.
    feast: Option<Arc<FeastRedis>>,
    known: RwLock<HashMap<ViewId, Known>>,
    /// What counts answers.
    answered: Option<Arc<Answered>>,
}

/// What answers for a view version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Where its rows are.
    pub table: OnlineTable,
    /// The generation, and what of the history it held when it was looked at.
    pub generation: Generation,
}

#[derive(Debug, Clone)]
struct Known {
    marks: OnlineTable,
    served: Arc<Served>,
    view: FeatureView,
    since: Instant,
}

impl OnlineReader {
    /// Reads `store`.
    pub fn new(store: Arc<dyn OnlineStore>) -> Self {
        Self { store, feast: None, known: RwLock::default(), answered: None }
    }

    /// Reads views that Feast fills there.
    #[must_use]
    pub fn with_feast(mut self, feast: Option<Arc<FeastRedis>>) -> Self {
        self.feast = feast;
        self
    }

    /// Counts what is answered.
    #[must_use]
    pub fn counting(self, answered: Arc<Answered>) -> Self {
        Self { answered: Some(answered), ..self }
    }

    /// What counts answers, if anybody wants to know.
    pub fn answered(&self) -> Option<&Arc<Answered>> {
        self.answered.as_ref()
    }

    /// Where views are read that Feast fills.
    pub fn feast(&self) -> Option<&Arc<FeastRedis>> {
        self.feast.as_ref()
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn OnlineStore> {
        &self.store
    }

    /// What answers for some view versions; `None` for one that was never brought online, whole, since the
    /// store was empty.
    ///
    /// # Errors
    /// What the store fails with; nothing is asked of it for views that are known.
    pub async fn served(&self, views: &[&FeatureView]) -> Result<Vec<Option<Arc<Served>>>, OnlineError> {
        if let Some(known) = self.known(views) {
            return Ok(known);
        }
        let marks: Vec<OnlineTable> = views.iter().map(|view| OnlineTable::marks(view)).collect();
        let since = Instant::now();
        let found = Marks::read_many(self.store.as_ref(), &marks).await?;
        let tables: Vec<_> = views.iter().zip(&found).map(|(view, marks)| served(marks, view)).collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for ((view, marks), table) in views.iter().zip(marks).zip(&tables) {
            match table.clone() {
                Some(served) => {
                    known.insert(view.id.clone(), Known { marks, served, view: FeatureView::clone(view), since });
                }
                // What is not there yet is looked for each time.
                None => drop(known.remove(&view.id)),
            }
        }
        Ok(tables)
    }

    fn known(&self, views: &[&FeatureView]) -> Option<Vec<Option<Arc<Served>>>> {
        let now = Instant::now();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let table = |view: &&FeatureView| {
            let found = known.get(&view.id).filter(|found| now.duration_since(found.since) < KNOWN_FOR)?;
            // Versions are numbered by each registry, so a number alone could be another meaning's.
            (found.view.fingerprint == view.fingerprint).then(|| Some(Arc::clone(&found.served)))
        };
        views.iter().map(table).collect()
    }

    /// For every view that was read, when all of its history was last brought online.
    pub fn complete(&self) -> Vec<(ViewId, Option<Timestamp>)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|(id, known)| (id.clone(), known.served.generation.complete)).collect()
    }

    /// Looks up again what answers for every view that was read; where none was, sees whether the store answers.
    ///
    /// # Errors
    /// What the store fails with; what was known stays known for its time.
    pub async fn refresh(&self) -> Result<(), OnlineError> {
        let all: Vec<Known> = self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        if all.is_empty() {
            return self.store.check().await;
        }
        let since = Instant::now();
        let marks: Vec<OnlineTable> = all.iter().map(|known| known.marks.clone()).collect();
        let found = Marks::read_many(self.store.as_ref(), &marks).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (before, marks) in all.into_iter().zip(found) {
            match served(&marks, &before.view) {
                Some(served) => {
                    known.insert(before.view.id.clone(), Known { served, since, ..before });
                }
                None => drop(known.remove(&before.view.id)),
            }
        }
        Ok(())
    }
}

fn served(marks: &Marks, view: &FeatureView) -> Option<Arc<Served>> {
    let generation = marks.current.clone()?;
    Some(Arc::new(Served { table: OnlineTable::generation(view, generation.number), generation }))
}
