//! From history to the online store: the current row of every key, and the rows whose time has yet to come.
//!
//! What is online is a *generation*. When history only grew, its new part is merged into the current one, newest wins.
//! When anything else changed, a source's file or the result of a query, a generation is built beside the current one
//! and readers are switched to it in one write: what vanished from history vanishes with the generation before it, and
//! no reader sees half of a build. Every step may be repeated, so running again after a kill at any moment gives the
//! same store.

mod kept;
pub mod numbers;
mod work;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, TryStreamExt, stream};
use schema::{Clock, FeatureView, Timestamp};

use crate::offline::OfflineError;
use crate::offline::history::{History, Unit};
use crate::online::marks::{Contents, Marks};
use crate::online::{OnlineError, OnlineStore, OnlineTable};
use crate::push;
use kept::KeptCells;
use work::{Work, work};

/// Keys written in one call.
const KEYS_PER_WRITE: usize = 4_096;
/// Calls in flight: the server merges one while the next is on its way.
const WRITES_IN_FLIGHT: usize = 4;

/// What went wrong while materializing.
#[derive(Debug, thiserror::Error)]
pub enum MaterializeError {
    /// The history could not be read.
    #[error("materializing `{view}`")]
    Offline {
        /// The view version.
        view: String,
        /// Why.
        #[source]
        source: OfflineError,
    },
    /// A range was asked for of a history that has not only grown.
    #[error("the history of `{view}` has changed since it was brought online, and not only grown")]
    Changed {
        /// The view version.
        view: String,
    },
    /// Its rows are Feast's to write.
    #[error("feature view `{view}` is served from Feast's Redis, which is only read")]
    Feast {
        /// The view version.
        view: String,
    },
    /// The online store stopped taking rows; nothing of them answers yet, and nothing is marked as done.
    #[error("materializing `{view}`: {n_written} of {n_keys} keys are written, and none of them answers yet")]
    Stopped {
        /// The view version.
        view: String,
        /// Keys that were acknowledged.
        n_written: usize,
        /// Keys that there are.
        n_keys: usize,
        /// Why.
        #[source]
        source: OnlineError,
    },
    /// The online store could not be read, or its marks not written.
    #[error("materializing `{view}`")]
    Online {
        /// The view version.
        view: String,
        /// Why.
        #[source]
        source: OnlineError,
    },
}

/// What a materialization did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Materialized {
    /// The view version.
    pub view: String,
    /// Digest of the state of the data.
    pub data_version: schema::Fingerprint,
    /// What was done.
    pub how: How,
    /// The generation that answers now.
    pub generation: u64,
    /// History rows read.
    pub n_rows: u64,
    /// Rows without a key or an event time; they never match anything.
    pub n_rejected: u64,
    /// Keys that have a row among those read.
    pub n_keys: usize,
    /// Rows kept: one for each key, and one more for each future row.
    pub n_kept: usize,
    /// Keys whose stored row changed.
    pub n_written: usize,
    /// The instant up to which rows count as current.
    pub horizon: Timestamp,
}

/// How history was brought online.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It was online already.
    Unchanged,
    /// Rows that came since were merged into the current generation.
    Appended,
    /// A generation was built and switched to.
    Built,
    /// Rows of a range of event times were merged into the current generation. What else came is still to be brought online.
    Ranged,
}

/// Event times, from the first on and before the second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// The first; all before unless given.
    pub from: Option<Timestamp>,
    /// The first that is not in it; all after unless given.
    pub to: Option<Timestamp>,
}

impl Range {
    /// Whether a row of this event time is in it.
    pub fn holds(&self, time: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= time) && self.to.is_none_or(|to| time < to)
    }
}

impl How {
    /// For tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Appended => "appended",
            Self::Built => "built",
            Self::Ranged => "range",
        }
    }
}

/// Progress of a materialization: rows scanned or keys written, of how many.
#[derive(Debug, Clone, Copy)]
pub enum Progress {
    /// History rows read so far, of all.
    Scanned(u64, u64),
    /// Keys written so far, of all.
    Written(usize, usize),
}

/// What was read of a history.
struct Read {
    kept: KeptCells,
    n_rows: u64,
    n_rejected: u64,
    n_left_out: u64,
}

/// A view version on its way online. Hold the offline store's lease of the view while using it.
#[derive(Debug)]
pub struct Materializer<'a> {
    view: &'a FeatureView,
    history: &'a History,
    store: &'a dyn OnlineStore,
    horizon: Timestamp,
}

impl<'a> Materializer<'a> {
    /// Brings `history` of `view` online in `store`; `horizon` is now.
    pub fn new(view: &'a FeatureView, history: &'a History, store: &'a dyn OnlineStore, horizon: Timestamp) -> Self {
        Self { view, history, store, horizon }
    }

    /// Does what there is to do; with `fresh` a generation is built whatever is online.
    ///
    /// # Errors
    /// [`MaterializeError`]; readers keep the generation they had, running again completes what was begun.
    pub async fn run(
        &self,
        fresh: bool,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Materialized, MaterializeError> {
        if self.view.definition.online.feast().is_some() {
            return Err(MaterializeError::Feast { view: self.view.id.to_string() });
        }
        let marks = match fresh {
            true => Marks::read_or_lost(self.store, self.view).await,
            false => Marks::read(self.store, self.view).await,
        };
        let marks = marks.map_err(|why| self.online(why))?;
        let all = self.history.units();
        let done = match (work(&marks, self.history, fresh), marks.current.as_ref().map(|current| current.number)) {
            (Work::Nothing, Some(current)) => {
                marks.completed(Clock::wall()).write(self.store, self.view).await.map_err(|why| self.online(why))?;
                self.unchanged(current)
            }
            (Work::Append(units), Some(current)) => {
                let read = self.read(&units, Range::default(), progress).map_err(|why| self.offline(why))?;
                let done = self.fill(current, read, How::Appended, progress).await?;
                let marks = marks.advance(self.history.contents()).completed(Clock::wall());
                marks.write(self.store, self.view).await.map_err(|why| self.online(why))?;
                done
            }
            (Work::Continue, _) => {
                let read = self.read(&all, Range::default(), progress).map_err(|why| self.offline(why))?;
                self.build(marks, read, progress).await?
            }
            _ => {
                let read = self.read(&all, Range::default(), progress).map_err(|why| self.offline(why))?;
                // Announced before its first row, so that nothing is left behind that nobody knows of; and when the rows are
                // known to be sound, so that nothing is announced that comes to nothing.
                let marks = self.begin(marks, self.history.contents()).map_err(|why| self.offline(why))?;
                marks.write(self.store, self.view).await.map_err(|why| self.online(why))?;
                self.build(marks, read, progress).await?
            }
        };
        self.clear_up().await?;
        Ok(done)
    }

    /// Merges the rows of a range of event times into the current generation, newest wins; where there is none, builds one
    /// of them alone. Nothing is marked as done by it: a run without a range still brings online whatever arrived since the
    /// last one, rows of any event time, and replaces a generation that was built of a range.
    ///
    /// # Errors
    /// As [`Self::run`], and [`MaterializeError::Changed`] where rows of two states of the history would be mixed.
    pub async fn run_range(
        &self,
        range: Range,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Materialized, MaterializeError> {
        if self.view.definition.online.feast().is_some() {
            return Err(MaterializeError::Feast { view: self.view.id.to_string() });
        }
        let marks = Marks::read(self.store, self.view).await.map_err(|why| self.online(why))?;
        let units = self.history.units();
        if let Some(current) = &marks.current {
            let sound = current.contents.is_part() || self.history.since(&current.contents).is_some();
            if !sound {
                return Err(MaterializeError::Changed { view: self.view.id.to_string() });
            }
            let read = self.read(&units, range, progress).map_err(|why| self.offline(why))?;
            return self.fill(current.number, read, How::Ranged, progress).await;
        }
        let read = self.read(&units, range, progress).map_err(|why| self.offline(why))?;
        let marks = self.begin(marks, Contents::part()).map_err(|why| self.offline(why))?;
        marks.write(self.store, self.view).await.map_err(|why| self.online(why))?;
        let number = marks.building.as_ref().map_or(0, |building| building.number);
        let done = self.fill(number, read, How::Ranged, progress).await?;
        marks.switch(Clock::wall()).write(self.store, self.view).await.map_err(|why| self.online(why))?;
        Ok(done)
    }

    /// Starts a generation, of a number that none had before, whatever the store has lost.
    fn begin(&self, marks: Marks, contents: Contents) -> Result<Marks, OfflineError> {
        let now = Clock::wall();
        let Some(folder) = self.history.folder_of(self.view) else { return Ok(marks.begin(contents, now)) };
        let known = numbers::next(&folder)?;
        let marks = marks.after_loss(known.unwrap_or(1), now).begin(contents, now);
        numbers::keep(&folder, marks.numbers().end)?;
        Ok(marks)
    }

    async fn build(
        &self,
        marks: Marks,
        read: Read,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Materialized, MaterializeError> {
        let number = marks.building.as_ref().map_or(0, |building| building.number);
        let done = self.fill(number, read, How::Built, progress).await?;
        self.catch_up(number).await?;
        let now = Clock::wall();
        marks.switch(now).completed(now).write(self.store, self.view).await.map_err(|why| self.online(why))?;
        Ok(done)
    }

    /// Rows that were pushed after the history was opened and before the build was announced went to the generation that
    /// answers, not to this one. Whoever pushes since then writes to both.
    async fn catch_up(&self, generation: u64) -> Result<(), MaterializeError> {
        let table = OnlineTable::generation(self.view, generation);
        for rows in self.history.pushed_since(self.view).map_err(|why| self.offline(why))? {
            let cells = push::cells(self.view, &rows, self.horizon);
            self.store.put_many(&table, &cells, self.horizon).await.map_err(|why| self.online(why))?;
        }
        Ok(())
    }

    /// Reads what can still answer of some row groups. Writes nothing.
    fn read(&self, units: &[Unit], range: Range, progress: &(dyn Fn(Progress) + Sync)) -> Result<Read, OfflineError> {
        let kept = kept::keep(self.view, self.history, units, self.horizon, range, progress)?;
        let (n_rejected, n_rows) = (kept.n_rejected, kept.n_scanned);
        let kept = kept.read(self.view, self.history)?;
        Ok(Read { kept, n_rows, n_rejected, n_left_out: self.history.n_left_out_of(units) })
    }

    async fn fill(
        &self,
        generation: u64,
        read: Read,
        how: How,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Materialized, MaterializeError> {
        let Read { kept, n_rows, n_rejected, n_left_out } = read;
        let table = OnlineTable::generation(self.view, generation);
        let n_written = self.put(&table, &kept, how, progress).await?;
        let n_left_out = if how == How::Built { self.history.n_left_out() } else { n_left_out };
        Ok(Materialized {
            how,
            n_rows: n_rows + n_left_out,
            n_rejected: n_rejected + n_left_out,
            n_keys: kept.n_keys(),
            n_kept: kept.n_rows,
            n_written,
            ..self.unchanged(generation)
        })
    }

    async fn put(
        &self,
        table: &OnlineTable,
        kept: &KeptCells,
        how: How,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<usize, MaterializeError> {
        let n_keys = kept.n_keys();
        let n_done = AtomicUsize::new(0);
        let told = |n: usize| {
            let done = n_done.fetch_add(n, Ordering::Relaxed) + n;
            progress(Progress::Written(done, n_keys));
        };
        let mut writes = Vec::new();
        for from in (0..n_keys).step_by(KEYS_PER_WRITE) {
            let (told, keys) = (&told, from..n_keys.min(from + KEYS_PER_WRITE));
            writes.push(async move {
                // Made while the store is busy with those before.
                let chunk = &kept.cells(keys, self.horizon);
                let report = match how {
                    How::Built => self.store.put_new(table, chunk, self.horizon).await?,
                    How::Appended | How::Ranged | How::Unchanged => {
                        self.store.put_many(table, chunk, self.horizon).await?
                    }
                };
                told(chunk.len());
                Ok::<_, OnlineError>(report.written)
            });
        }
        let written = stream::iter(writes).buffer_unordered(WRITES_IN_FLIGHT);
        let stopped = |source| MaterializeError::Stopped {
            view: self.view.id.to_string(),
            n_written: n_done.load(Ordering::Relaxed),
            n_keys,
            source,
        };
        written.try_fold(0, |sum, n| async move { Ok(sum + n) }).await.map_err(stopped)
    }

    /// Drops generations that nobody reads.
    async fn clear_up(&self) -> Result<(), MaterializeError> {
        let mut marks = Marks::read(self.store, self.view).await.map_err(|why| self.online(why))?;
        let numbers = marks.droppable(Clock::wall());
        if numbers.is_empty() {
            return Ok(());
        }
        let tables: Vec<_> = numbers.iter().map(|number| OnlineTable::generation(self.view, *number)).collect();
        self.store.drop_tables(&tables).await.map_err(|why| self.online(why))?;
        for number in numbers {
            marks = marks.dropped(number);
        }
        marks.write(self.store, self.view).await.map_err(|why| self.online(why))
    }

    fn unchanged(&self, generation: u64) -> Materialized {
        Materialized {
            view: self.view.id.to_string(),
            data_version: self.history.data_version(),
            how: How::Unchanged,
            generation,
            n_rows: 0,
            n_rejected: 0,
            n_keys: 0,
            n_kept: 0,
            n_written: 0,
            horizon: self.horizon,
        }
    }

    fn offline(&self, source: OfflineError) -> MaterializeError {
        MaterializeError::Offline { view: self.view.id.to_string(), source }
    }

    fn online(&self, source: OnlineError) -> MaterializeError {
        MaterializeError::Online { view: self.view.id.to_string(), source }
    }
}

/// Makes the generation before the current one answer again; its number, or `None` if there is none.
///
/// # Errors
/// What the store fails with.
pub async fn roll_back(view: &FeatureView, store: &dyn OnlineStore) -> Result<Option<u64>, OnlineError> {
    let Some(marks) = Marks::read(store, view).await?.roll_back(Clock::wall()) else { return Ok(None) };
    marks.write(store, view).await?;
    Ok(marks.current.map(|current| current.number))
}
