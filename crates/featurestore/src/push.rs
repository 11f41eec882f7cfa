//! Pushes: rows that come one by one, from a stream or a service, rather than in a source's files.
//!
//! A pushed row is part of its view's history from the moment it is acknowledged: it is appended to a durable log, which
//! training, materialize and replay read behind the source's own rows, and it is merged into what is online. So a push
//! can be no reason for skew, and losing the online store loses no push. Pushing the same again changes nothing: the log
//! keeps what came first under a push's id, and a row that comes again, in whatever push, keeps its first stamp and place.

pub mod carry;
mod known;
pub mod log;
pub mod rows;
pub(crate) mod segments;

use std::path::Path;

use arrow::array::RecordBatch;
use schema::{EntityKey, ErrorKind, FeatureView, Timestamp, ViewId};

use crate::codec::RowCodec;
use crate::erase::KeyMatch;
use crate::offline::OfflineError;
use crate::online::marks::Marks;
use crate::online::{Cell, OnlineError, OnlineRow, OnlineStore, OnlineTable};
use carry::carries;
use log::PushLog;
use rows::PushedRows;

/// Where a push is to be visible at once. Wherever that is, it is part of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// In the log alone: online it is after the next materialize.
    Offline,
    /// Online too.
    Online,
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Pushed {
    /// Rows of the push.
    pub n_rows: usize,
    /// Whether the log had them already.
    pub repeated: bool,
    /// Keys whose stored row changed online.
    pub n_written: usize,
}

/// Why rows were not pushed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PushError {
    #[error("pushing to feature view `{view}`: {why}")]
    Rows { view: ViewId, why: String, hint: String },
    #[error("pushing to feature view `{view}`: {why}")]
    Ahead { view: ViewId, why: String },
    #[error("feature view `{view}` is served from Feast's Redis, which is only read")]
    Feast { view: ViewId },
    #[error("feature view `{view}` is not materialized")]
    NotOnline { view: ViewId },
    #[error("pushing to feature view `{view}`")]
    Log {
        view: ViewId,
        #[source]
        source: OfflineError,
    },
    #[error("pushing to feature view `{view}`: the online store is not to be had, so nothing of the push was kept")]
    Unasked {
        view: ViewId,
        #[source]
        source: OnlineError,
    },
    #[error("pushing to feature view `{view}`: the rows are in the log, but not yet online")]
    Online {
        view: ViewId,
        #[source]
        source: OnlineError,
    },
}

impl PushError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Rows { .. } | Self::Ahead { .. } | Self::Feast { .. } => ErrorKind::Invalid,
            Self::NotOnline { .. } => ErrorKind::Conflict,
            Self::Log { source, .. } => source.kind(),
            Self::Unasked { source, .. } | Self::Online { source, .. } => source.kind(),
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Rows { hint, .. } => Some(hint.clone()),
            Self::Ahead { .. } => Some(
                "look at the clock of whoever sent it and leave such rows out; rows that are dated ahead on purpose need \
                 `max_skew: any` in the view"
                    .to_owned(),
            ),
            Self::Feast { .. } => {
                Some("go on writing with Feast, or leave out `online:` of the view and materialize it here".to_owned())
            }
            Self::NotOnline { view } => {
                Some(format!("run `plumb materialize {}` once, or push to the offline store alone", view.name))
            }
            Self::Log { source, .. } => source.hint(),
            Self::Unasked { .. } => Some(
                "push it again when the online store answers, or to the offline store alone, which keeps it at once"
                    .to_owned(),
            ),
            Self::Online { .. } => Some("push the same again: nothing is written twice".to_owned()),
        }
    }
}

/// Removes the files made from a view version's pushes, which are in its `folder`: they are made again from the log.
///
/// # Errors
/// [`OfflineError::Write`].
pub fn discard_files(folder: &Path) -> Result<(), OfflineError> {
    segments::discard(folder)
        .map_err(|why| OfflineError::Write { path: folder.display().to_string(), source: why.into() })
}

/// Pushes `rows` to `view`: durable when it returns, and online where asked.
///
/// `id` tells a repeated push from a new one, whatever its rows; without one its rows do. `now` is the instant of receipt, which
/// rows without a created time get as theirs.
///
/// # Errors
/// [`PushError`]. With [`PushError::Online`] the push is logged: repeating it completes it. With any other nothing is kept.
pub async fn push(
    view: &FeatureView,
    rows: &RecordBatch,
    id: Option<&str>,
    to: To,
    log: &PushLog,
    store: &dyn OnlineStore,
    now: Timestamp,
) -> Result<Pushed, PushError> {
    if view.definition.online.feast().is_some() {
        return Err(PushError::Feast { view: view.id.clone() });
    }
    let rows = PushedRows::new(view, rows).map_err(|why| refused(view, why))?;
    if let Some(limit) = view.definition.max_skew.limit(log.max_skew()) {
        let too_far = rows.too_far_ahead(now, limit);
        too_far.map_err(|why| PushError::Ahead { view: view.id.clone(), why })?;
    }
    if to == To::Online {
        // Asked before the log is written: what cannot be done is refused whole.
        let marks = Marks::read(store, view).await;
        let marks = marks.map_err(|source| PushError::Unasked { view: view.id.clone(), source })?;
        marks.table(view).ok_or_else(|| PushError::NotOnline { view: view.id.clone() })?;
    }
    let n_rows = rows.len();
    let logged =
        log.append(view, rows, id, now).await.map_err(|source| PushError::Log { view: view.id.clone(), source })?;
    let mut done = Pushed { n_rows, repeated: logged.repeated, n_written: 0 };
    if to == To::Offline {
        return Ok(done);
    }
    done.n_written = bring_online(view, &logged.rows, log, store, now).await?;
    Ok(done)
}

/// Brings rows that were pushed to `view`, and sent as `rows`, online in the other versions of the view that share its
/// pushes and are materialized. In their history they are already.
///
/// # Errors
/// [`PushError`]: the push is logged, and repeating it completes it.
pub async fn share(
    view: &FeatureView,
    others: &[FeatureView],
    rows: &RecordBatch,
    log: &PushLog,
    store: &dyn OnlineStore,
    now: Timestamp,
) -> Result<(), PushError> {
    let shares = |other: &&FeatureView| other.definition.online.feast().is_none() && carries(view, other).is_ok();
    for other in others.iter().filter(shares) {
        let rows = PushedRows::new(view, rows).map_err(|why| refused(view, why))?;
        let failed = |source| PushError::Log { view: other.id.clone(), source };
        let rows = log.carried(view, other, rows).await.map_err(failed)?;
        bring_online(other, &rows, log, store, now).await?;
    }
    Ok(())
}

fn refused(view: &FeatureView, why: rows::Refused) -> PushError {
    PushError::Rows { view: view.id.clone(), why: why.why, hint: why.hint }
}

/// Merges logged rows into the generation that answers and one that is being built, if there are any; how many changed.
async fn bring_online(
    view: &FeatureView,
    rows: &PushedRows,
    log: &PushLog,
    store: &dyn OnlineStore,
    now: Timestamp,
) -> Result<usize, PushError> {
    let online = |source| PushError::Online { view: view.id.clone(), source };
    let cells = cells(view, rows, now);
    let mut n_written = 0;
    // Read after the log was written: a build that is announced in these marks gets the rows here; one that is announced
    // later looks into the log after that, and finds them.
    let marks = Marks::read(store, view).await.map_err(online)?;
    for generation in marks.current.iter().chain(&marks.building) {
        let table = OnlineTable::generation(view, generation.number);
        n_written = store.put_many(&table, &cells, now).await.map_err(online)?.written.max(n_written);
    }
    not_erased_meanwhile(view, rows, log, store, &marks).await?;
    Ok(n_written)
}

/// A key that was erased between the log and the store must not stay in the store.
async fn not_erased_meanwhile(
    view: &FeatureView,
    rows: &PushedRows,
    log: &PushLog,
    store: &dyn OnlineStore,
    marks: &Marks,
) -> Result<(), PushError> {
    let failed = |source| PushError::Log { view: view.id.clone(), source };
    let erased = log.erased(view, rows).map_err(failed)?;
    let Some(row) = erased.iter().position(|erased| *erased) else { return Ok(()) };
    let tables: Vec<OnlineTable> = marks.numbers().map(|number| OnlineTable::generation(view, number)).collect();
    let keys = EntityKey::from_columns(rows.keys(), rows.len());
    for key in keys.into_iter().zip(&erased).filter(|(_, erased)| **erased).filter_map(|(key, _)| key) {
        let erased = store.erase(&tables, &KeyMatch::of(key), false).await;
        erased.map_err(|source| PushError::Online { view: view.id.clone(), source })?;
    }
    Err(failed(OfflineError::Erased { row }))
}

/// Pushed rows as cells of the online store.
pub(crate) fn cells(view: &FeatureView, rows: &PushedRows, horizon: Timestamp) -> Vec<(EntityKey, Cell)> {
    let codec = RowCodec::new(view.definition.features.iter().map(|f| f.dtype));
    let visibility = view.visibility();
    let keys = EntityKey::from_columns(rows.keys(), rows.len());
    let cell = |(i, key): (usize, Option<EntityKey>)| {
        let order = rows.order(i);
        let packed = (!rows.deleted(i)).then(|| codec.encode(rows.features(), i));
        let row = OnlineRow::new(order, visibility.visible_from(&order), packed);
        Some((key?, Cell::of([&row], horizon)))
    };
    keys.into_iter().enumerate().filter_map(cell).collect()
}

#[cfg(test)]
mod tests;
