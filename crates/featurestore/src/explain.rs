//! Why a view answers what it answers for one key at one instant: the rows of the key, which of them counts, where each
//! came from, and what the online store holds.

use std::fmt;

use arrow::array::ArrayRef;
use schema::{EntityKey, ErrorKind, FeatureView, RowOrder, Status, Timestamp};
use serde::Serialize;

use crate::assemble::status_at;
use crate::codec::RowCodec;
use crate::offline::OfflineError;
use crate::offline::history::{History, Unit};
use crate::online::marks::Marks;
use crate::online::{At, OnlineError, OnlineStore, OnlineTable};

/// Rows shown: those around the one that counts, and the newest.
const ROWS_MAX: usize = 20;

/// The whole answer to "why".
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The view version.
    pub view: String,
    /// Digest of the state of the data.
    pub data_version: schema::Fingerprint,
    /// The version of the Delta table that the source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_version: Option<u64>,
    /// The instant asked for.
    pub as_of: Timestamp,
    /// What history says.
    pub status: Status,
    /// All rows of the key in history.
    pub n_rows: usize,
    /// The greatest rows of the key, greatest first, at most 20.
    pub rows: Vec<ExplainedRow>,
    /// What the online store says.
    pub online: OnlineState,
}

/// One row of the key.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedRow {
    /// When it was true.
    pub event_time: Timestamp,
    /// When it became known.
    pub created_time: Option<Timestamp>,
    /// Its place among rows of equal times.
    pub sequence: u64,
    /// The first instant that may see it.
    pub visible_from: Timestamp,
    /// Whether it counts, and if not, why.
    pub verdict: Verdict,
    /// The file that holds it, relative to the project: a source's, or what was made of a query or of pushes.
    pub file: String,
    /// Its number in the file, from 0.
    pub row: u64,
}

/// Why a row counts or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is the greatest row visible, and its values are the answer.
    Counts,
    /// It is the greatest row visible, and says that the key is no more.
    Deletes,
    /// It is the greatest row visible, but older than the TTL.
    TooOld,
    /// Its event is later than the instant.
    Future,
    /// Its event is not later, but it became known later.
    NotYetKnown,
    /// A greater row is visible.
    Older,
}

/// What the online store has for the key.
#[derive(Debug, Clone, Serialize)]
pub struct OnlineState {
    /// The generation that answers; `None` if the view is not online.
    pub generation: Option<u64>,
    /// Digest of the state of the data that the generation was made of, without pushes.
    pub data_version: Option<schema::Fingerprint>,
    /// What it says.
    pub says: OnlineSays,
    /// Whether the online store and history name the same row with the same values, or both none; where nothing
    /// is compared they do.
    pub agrees: bool,
    /// Features of which it has other values than the row has in history.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<String>,
}

/// What the online store says of the key at the instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnlineSays {
    /// The view was never brought online.
    NotOnline,
    /// The view is served from Feast's Redis, which is not compared with history.
    Feast,
    /// It knows no row.
    Nothing,
    /// It keeps nothing as old as the instant.
    AnswersFrom(Timestamp),
    /// This row counts.
    Row {
        /// When it was true.
        event_time: Timestamp,
        /// When it became known.
        created_time: Option<Timestamp>,
        /// Its place among rows of equal times.
        sequence: u64,
        /// Whether it deletes the key.
        deleted: bool,
    },
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ExplainError {
    #[error("reading history")]
    Offline(#[source] OfflineError),
    #[error("reading the online store")]
    Online(#[source] OnlineError),
}

impl ExplainError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Offline(source) => source.kind(),
            Self::Online(source) => source.kind(),
        }
    }
}

struct Found {
    order: RowOrder,
    visible_from: Timestamp,
    deleted: bool,
    row: u64,
}

/// Explains the answer of `view` for `key` as of an instant.
///
/// # Errors
/// [`ExplainError`] if history or the store cannot be read.
pub async fn explain(
    view: &FeatureView,
    history: &History,
    store: &dyn OnlineStore,
    key: &EntityKey,
    as_of: Timestamp,
) -> Result<Explanation, ExplainError> {
    let mut rows = rows_of(view, history, key).map_err(ExplainError::Offline)?;
    rows.sort_by(|a, b| b.order.cmp(&a.order).then_with(|| b.row.cmp(&a.row)));
    let winner = rows.iter().position(|row| row.visible_from <= as_of);
    let status = match winner.map(|at| &rows[at]) {
        None => Status::NotFound,
        Some(row) if row.deleted => Status::NotFound,
        Some(row) => status_at(row.order.event_time, view.definition.ttl, as_of),
    };
    let winning = winner.map(|at| &rows[at]);
    let values = winning.filter(|row| !row.deleted).map(|row| values(view, history, row.row)).transpose();
    let values = values.map_err(ExplainError::Offline)?.unwrap_or_default();
    let online = online(view, store, key, as_of, winning, &values).await.map_err(ExplainError::Online)?;
    // The winner is always among those shown, with what is greater than it.
    let from = winner.map_or(0, |at| at.saturating_sub(ROWS_MAX / 2));
    let explained = rows.iter().enumerate().skip(from).take(ROWS_MAX).map(|(at, row)| {
        let (file, number) = history.locate(row.row).unwrap_or_default();
        let verdict = match row {
            _ if winner.is_some_and(|winner| at > winner) => Verdict::Older,
            _ if winner == Some(at) && row.deleted => Verdict::Deletes,
            _ if winner == Some(at) && status == Status::OutsideMaxAge => Verdict::TooOld,
            _ if winner == Some(at) => Verdict::Counts,
            row if row.order.event_time > as_of => Verdict::Future,
            row if row.order.event_time == as_of && view.definition.strict_before => Verdict::Future,
            _ => Verdict::NotYetKnown,
        };
        ExplainedRow {
            event_time: row.order.event_time,
            created_time: row.order.created_time,
            sequence: row.order.sequence,
            visible_from: row.visible_from,
            verdict,
            file: file.to_owned(),
            row: number,
        }
    });
    Ok(Explanation {
        view: view.id.to_string(),
        data_version: history.data_version(),
        table_version: history.table_version(),
        as_of,
        status,
        n_rows: rows.len(),
        rows: explained.collect(),
        online,
    })
}

fn rows_of(view: &FeatureView, history: &History, wanted: &EntityKey) -> Result<Vec<Found>, OfflineError> {
    let visibility = view.visibility();
    let mut found = Vec::new();
    for unit in history.units() {
        history.scan_order(unit, |batch| {
            EntityKey::each(&batch.keys, batch.len(), |i, key| {
                if key == Some(wanted.as_bytes())
                    && let Some(order) = batch.order(i)
                {
                    let row = batch.first_row + i as u64;
                    let visible_from = visibility.visible_from(&order);
                    found.push(Found { order, visible_from, deleted: batch.deleted(i), row });
                }
            });
            Ok(())
        })?;
    }
    Ok(found)
}

/// The stored features of a row of history.
fn values(view: &FeatureView, history: &History, row: u64) -> Result<Vec<ArrayRef>, OfflineError> {
    let holds = |unit: &Unit| (unit.first_row..unit.first_row + unit.n_rows as u64).contains(&row);
    let Some(unit) = history.units().into_iter().find(holds) else { return Ok(Vec::new()) };
    let features: Vec<usize> = (0..view.definition.features.len()).collect();
    history.gather(unit, &features, &[u32::try_from(row - unit.first_row).unwrap_or(u32::MAX)])
}

/// The features of which a packed row has other values, bit for bit, than the only row of `values`: all, if it cannot be read.
fn differing(view: &FeatureView, packed: &[u8], values: &[ArrayRef]) -> Vec<String> {
    let features = &view.definition.features;
    let codec = RowCodec::new(features.iter().map(|feature| feature.dtype));
    if codec.encode(values, 0) == packed {
        return Vec::new();
    }
    let mut decoder = codec.decoder(1);
    if decoder.push(packed).is_err() {
        return features.iter().map(|feature| feature.name.to_string()).collect();
    }
    let stored = decoder.finish();
    let each = features.iter().zip(stored.iter().zip(values));
    // One at a time, packed again: so that NaN is itself, and -0.0 is not 0.0.
    let differs = |dtype, stored: &ArrayRef, value: &ArrayRef| {
        let codec = RowCodec::new([dtype]);
        codec.encode(std::slice::from_ref(stored), 0) != codec.encode(std::slice::from_ref(value), 0)
    };
    let differing = each.filter(|(feature, (stored, value))| differs(feature.dtype, stored, value));
    differing.map(|(feature, _)| feature.name.to_string()).collect()
}

async fn online(
    view: &FeatureView,
    store: &dyn OnlineStore,
    key: &EntityKey,
    as_of: Timestamp,
    winner: Option<&Found>,
    values: &[ArrayRef],
) -> Result<OnlineState, OnlineError> {
    if view.definition.online.feast().is_some() {
        let (generation, data_version, differing) = (None, None, Vec::new());
        return Ok(OnlineState { generation, data_version, says: OnlineSays::Feast, agrees: true, differing });
    }
    let marks = Marks::read(store, view).await?;
    let Some(current) = &marks.current else {
        let says = OnlineSays::NotOnline;
        let (generation, data_version, differing) = (None, None, Vec::new());
        return Ok(OnlineState { generation, data_version, says, agrees: false, differing });
    };
    let table = OnlineTable::generation(view, current.number);
    let cells = store.get_many(&[table], std::slice::from_ref(key)).await?;
    let answer = cells.get(0, 0).map(|cell| cell.at(as_of));
    let says = match answer {
        None | Some(At::Nothing) => OnlineSays::Nothing,
        Some(At::TooOld { kept_from }) => OnlineSays::AnswersFrom(kept_from),
        Some(At::Row(step)) => {
            let RowOrder { event_time, created_time, sequence } = step.order();
            OnlineSays::Row { event_time, created_time, sequence, deleted: step.deleted() }
        }
    };
    let mut differing = Vec::new();
    let agrees = match (&says, winner) {
        (OnlineSays::Nothing, None) => true,
        (OnlineSays::Row { event_time, created_time, sequence, deleted }, Some(row)) => {
            let order = RowOrder { event_time: *event_time, created_time: *created_time, sequence: *sequence };
            let is_same = order == row.order && *deleted == row.deleted;
            if let Some(At::Row(step)) = answer
                && is_same
                && !row.deleted
            {
                differing = self::differing(view, step.payload(), values);
            }
            is_same && differing.is_empty()
        }
        // It says that it does not know, which is no disagreement.
        (OnlineSays::AnswersFrom(_), _) => true,
        _ => false,
    };
    let (generation, data_version) = (Some(current.number), Some(current.contents.version));
    Ok(OnlineState { generation, data_version, says, agrees, differing })
}

impl Verdict {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Deletes => "deletes the key",
            Self::TooOld => "older than the TTL",
            Self::Future => "in the future",
            Self::NotYetKnown => "not yet known",
            Self::Older => "older",
        }
    }
}

impl fmt::Display for OnlineSays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOnline => f.write_str("the view is not online"),
            Self::Feast => f.write_str("what Feast's Redis has"),
            Self::Nothing => f.write_str("no row"),
            Self::AnswersFrom(from) => write!(f, "nothing before {from} is kept"),
            Self::Row { event_time, created_time, sequence, deleted } => {
                write!(f, "{} of {event_time}", if *deleted { "deletion" } else { "row" })?;
                if let Some(created) = created_time {
                    write!(f, ", known since {created}")?;
                }
                write!(f, ", sequence {sequence}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
