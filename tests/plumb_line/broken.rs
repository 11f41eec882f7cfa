//! Online stores that are broken, each in a way in which others were: negative controls of the plumb line.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use featurestore::erase::KeyMatch;
use featurestore::online::testing::InFront;
use featurestore::online::{Cell, MemoryStore, OnlineError, OnlineRow, OnlineStore, OnlineTable, WriteReport};
use schema::order::{Known, Visibility};
use schema::{EntityKey, RowOrder, Timestamp};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A row counts from its event time, whenever it became known.
    CreatedTimeIgnored,
    /// A deletion is no row.
    TombstoneForgotten,
    /// What is too old when it is written is not written.
    TtlAtWrite,
    /// What comes last replaces what is there.
    BlindOverwrite,
    /// Times are kept in microseconds.
    Microseconds,
    /// Rows that are not newer than the newest written before are taken for known.
    WatermarkByEventTime,
    /// Nothing: what the others are compared with.
    None,
}

/// A store in memory whose writes are broken, but for those of marks.
#[derive(Debug)]
pub(super) struct Broken {
    fault: Fault,
    /// The rules of the view.
    ttl: Option<i64>,
    strict: bool,
    store: MemoryStore,
    newest: Mutex<HashMap<String, Timestamp>>,
}

impl Broken {
    pub(super) fn new(fault: Fault, ttl: Option<i64>, strict: bool) -> Self {
        Self { fault, ttl, strict, store: MemoryStore::default(), newest: Mutex::default() }
    }

    fn row(&self, row: OnlineRow, horizon: Timestamp, newest: Option<Timestamp>) -> Option<OnlineRow> {
        let event = row.order.event_time;
        match self.fault {
            Fault::CreatedTimeIgnored => {
                let by_event = Visibility { known: Known::Event, strict_before: self.strict };
                Some(OnlineRow { visible_from: by_event.visible_from(&row.order), ..row })
            }
            Fault::TombstoneForgotten => Some(row).filter(|row| !row.deleted),
            Fault::TtlAtWrite => {
                let oldest = self.ttl.map(|ttl| horizon.as_nanos().saturating_sub(ttl));
                Some(row).filter(|_| oldest.is_none_or(|oldest| event.as_nanos() >= oldest))
            }
            Fault::Microseconds => {
                let micros = |time: Timestamp| Timestamp::from_nanos(time.as_nanos() / 1_000 * 1_000);
                let order = RowOrder { event_time: micros(event), ..row.order };
                Some(OnlineRow { order, visible_from: micros(row.visible_from), ..row })
            }
            Fault::WatermarkByEventTime => Some(row).filter(|_| newest.is_none_or(|newest| event > newest)),
            Fault::BlindOverwrite | Fault::None => Some(row),
        }
    }

    async fn put(
        &self,
        appends: bool,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        // Marks are no rows of an entity.
        if cells.iter().any(|(key, _)| key.as_bytes().first() == Some(&0)) {
            return self.store.put_many(table, cells, horizon).await;
        }
        let known = self.newest.lock().unwrap().get(table.name()).copied().filter(|_| appends);
        let mut report = WriteReport::default();
        for (key, cell) in cells {
            let rows: Vec<OnlineRow> = cell
                .steps()
                .filter_map(|step| {
                    let mut newest = self.newest.lock().unwrap();
                    let event = step.order().event_time;
                    let last = newest.entry(table.name().to_owned()).or_insert(event);
                    *last = event.max(*last);
                    let payload = (!step.deleted()).then(|| step.payload().to_vec());
                    self.row(OnlineRow::new(step.order(), step.visible_from(), payload), horizon, known)
                })
                .collect();
            if self.fault == Fault::BlindOverwrite {
                self.store.erase(std::slice::from_ref(table), &KeyMatch::of(key.clone()), false).await?;
            }
            report += self.store.put_many(table, &[(key.clone(), Cell::of(&rows, horizon))], horizon).await?;
        }
        Ok(report)
    }
}

#[async_trait]
impl InFront for Broken {
    fn behind(&self) -> &dyn OnlineStore {
        &self.store
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        self.put(true, table, cells, horizon).await
    }

    async fn put_new(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        self.put(false, table, cells, horizon).await
    }
}
