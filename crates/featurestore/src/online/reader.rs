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
    /// What the store fails with; what was known stays known for its time. Marks of one view that are damaged hold up no
    /// other.
    pub async fn refresh(&self) -> Result<(), OnlineError> {
        let mut all: Vec<Known> = self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        if all.is_empty() {
            return self.store.check().await;
        }
        let since = Instant::now();
        let mut damaged = None;
        let found = loop {
            let marks: Vec<OnlineTable> = all.iter().map(|known| known.marks.clone()).collect();
            match Marks::read_many(self.store.as_ref(), &marks).await {
                Err(OnlineError::Corrupt { view, key, address, source })
                    if all.iter().any(|one| one.view.id == view) =>
                {
                    all.retain(|one| one.view.id != view);
                    damaged.get_or_insert(OnlineError::Corrupt { view, key, address, source });
                }
                found => break found?,
            }
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (before, marks) in all.into_iter().zip(found) {
            match served(&marks, &before.view) {
                Some(served) => {
                    known.insert(before.view.id.clone(), Known { served, since, ..before });
                }
                None => drop(known.remove(&before.view.id)),
            }
        }
        damaged.map_or(Ok(()), Err)
    }
}

fn served(marks: &Marks, view: &FeatureView) -> Option<Arc<Served>> {
    let generation = marks.current.clone()?;
    Some(Arc::new(Served { table: OnlineTable::generation(view, generation.number), generation }))
}

#[cfg(test)]
mod tests {
    use schema::{Clock, EntityKey, RowOrder};

    use super::super::cell::{Cell, OnlineRow};
    use super::super::marks::{Contents, KEY};
    use super::super::memory::MemoryStore;
    use super::*;
    use crate::testing::applied;

    #[tokio::test]
    async fn damaged_marks_of_one_view_hold_up_no_other() {
        let text = "{kind: entity, name: user, join_key: k, type: int64}\n---\n\
                    {kind: source, name: rows, path: rows.csv, event_time: ts}\n---\n\
                    {kind: feature_view, name: f, entity: user, source: rows, features: [{name: v, type: int64}]}\n---\n\
                    {kind: feature_view, name: g, entity: user, source: rows, features: [{name: v, type: int64}]}\n";
        let definitions = applied(text);
        let [f, g] = ["f", "g"].map(|name| definitions.current_view(name).unwrap());
        let store = Arc::new(MemoryStore::default());
        let reader = OnlineReader::new(Arc::clone(&store) as _);
        let switched = |marks: Marks| marks.begin(Contents::part(), Clock::wall()).switch(Clock::wall());
        let marks = switched(Marks::default());
        for view in [f, g] {
            marks.write(store.as_ref(), view).await.unwrap();
        }
        let numbers = async || {
            let served = reader.served(&[f, g]).await.unwrap();
            served.into_iter().map(|served| served.unwrap().generation.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers().await, [1, 1]);

        switched(marks).write(store.as_ref(), g).await.unwrap();
        let at = Timestamp::from_nanos(0);
        // After what stands there.
        let order = RowOrder { event_time: Timestamp::from_nanos(1), created_time: None, sequence: 0 };
        let row = OnlineRow { order, visible_from: at, deleted: false, payload: b"{".to_vec().into() };
        let damaged = [(EntityKey::from_bytes(KEY), Cell::of([&row], at))];
        store.put_many(&OnlineTable::marks(f), &damaged, at).await.unwrap();
        let why = reader.refresh().await.unwrap_err();
        assert!(matches!(&why, OnlineError::Corrupt { view, .. } if *view == f.id), "{why}");
        // The rows of the other are sound: they answer until somebody must look.
        assert_eq!(numbers().await, [1, 2]);
    }
}
