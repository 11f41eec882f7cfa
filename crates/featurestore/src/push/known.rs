//! The rows that the log has: one that comes again, in whatever batch and order, keeps its first stamp and its place.
//!
//! Clients replay writes, and batch them anew when they do. A row that was corrected meanwhile must not win again by having
//! come again (point-in-time semantics, section 1).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampNanosecondArray};
use arrow::datatypes::TimestampNanosecondType;
use rusqlite::{OptionalExtension, Transaction, params};
use schema::{BoxError, Dtype, EntityKey, FeatureView, Fingerprint, Timestamp};

use super::log::each_stored;
use super::rows::PushedRows;
use crate::codec::RowCodec;
use crate::online::OnlineTable;

/// The tables of the index; a log of an earlier version gets them when it is opened.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS known_views (of TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS known_rows (
      of TEXT NOT NULL, digest BLOB NOT NULL, created INTEGER NOT NULL, place INTEGER NOT NULL,
      PRIMARY KEY (of, digest)) STRICT, WITHOUT ROWID;";

/// Of what makes two rows the same: key, event time, deletion mark, values, and a created time that the sender gave.
pub(super) type Digest = [u8; 16];

/// Where a row stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) created: Timestamp,
    /// Its number among the view's pushed rows.
    pub(super) place: u64,
}

/// Digests of rows; a created time that is `received` is the log's own stamp.
pub(super) fn digests(view: &FeatureView, rows: &PushedRows, received: Option<Timestamp>) -> Vec<Digest> {
    let n_keys = rows.keys().len();
    let columns = rows.batch().columns();
    let sent = columns[n_keys + 1].as_primitive::<TimestampNanosecondType>();
    let stamp = received.map(Timestamp::as_nanos);
    let sent: TimestampNanosecondArray = sent.iter().map(|time| time.filter(|time| Some(*time) != stamp)).collect();
    let mut of: Vec<ArrayRef> = vec![ArrayRef::clone(&columns[n_keys])];
    of.push(Arc::new(sent.with_timezone("UTC")));
    of.extend(columns[n_keys + 3..].iter().cloned());
    let dtypes = view.definition.features.iter().map(|feature| feature.dtype);
    let codec = RowCodec::new([Dtype::Timestamp, Dtype::Timestamp, Dtype::Bool].into_iter().chain(dtypes));
    let one = |(row, key): (usize, Option<EntityKey>)| {
        let mut bytes = key.map(|key| key.as_bytes().to_vec()).unwrap_or_default();
        let n_key = bytes.len() as u64;
        bytes.extend(codec.encode(&of, row));
        bytes.extend(n_key.to_le_bytes());
        let mut digest = [0; 16];
        digest.copy_from_slice(&Fingerprint::of_bytes(&bytes).as_bytes()[..16]);
        digest
    };
    EntityKey::from_columns(rows.keys(), rows.len()).into_iter().enumerate().map(one).collect()
}

/// Where each row is in the log, or in this batch before; `None` for what is new.
pub(super) fn places(
    transaction: &Transaction<'_>,
    view: &FeatureView,
    digests: &[Digest],
) -> Result<Vec<Option<Known>>, BoxError> {
    index(transaction, view)?;
    let table = OnlineTable::marks(view);
    let mut find = transaction.prepare_cached("SELECT created, place FROM known_rows WHERE of = ?1 AND digest = ?2")?;
    let mut here: HashMap<&Digest, usize> = HashMap::new();
    let mut found = Vec::with_capacity(digests.len());
    for (row, digest) in digests.iter().enumerate() {
        if let Some(first) = here.get(digest) {
            found.push(Some(Known::Here(*first)));
            continue;
        }
        here.insert(digest, row);
        let place = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let known = find.query_row(params![table.name(), digest], place).optional()?;
        found.push(match known {
            Some((created, place)) => {
                Some(Known::Log(Place { created: Timestamp::from_nanos(created), place: u64::try_from(place)? }))
            }
            None => None,
        });
    }
    Ok(found)
}

/// Where a row was met before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// In the log.
    Log(Place),
    /// In the same push, at that row.
    Here(usize),
}

/// Notes a row that is appended.
pub(super) fn note(
    transaction: &Transaction<'_>,
    view: &FeatureView,
    digest: &Digest,
    place: Place,
) -> Result<(), BoxError> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO known_rows (of, digest, created, place) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            OnlineTable::marks(view).name(),
            digest,
            place.created.as_nanos(),
            i64::try_from(place.place)?
        ])?;
    Ok(())
}

/// Forgets rows that are erased.
pub(super) fn forget(transaction: &Transaction<'_>, view: &FeatureView, digests: &[Digest]) -> Result<(), BoxError> {
    let mut forget = transaction.prepare_cached("DELETE FROM known_rows WHERE of = ?1 AND digest = ?2")?;
    for digest in digests {
        forget.execute(params![OnlineTable::marks(view).name(), digest])?;
    }
    Ok(())
}

/// Indexes what an earlier version has logged of a view.
fn index(transaction: &Transaction<'_>, view: &FeatureView) -> Result<(), BoxError> {
    let table = OnlineTable::marks(view);
    let is_known = transaction
        .prepare_cached("SELECT 1 FROM known_views WHERE of = ?1")?
        .query_row([table.name()], |_| Ok(()))
        .optional()?;
    if is_known.is_some() {
        return Ok(());
    }
    each_stored(transaction, view, |received, rows| {
        for (row, digest) in digests(view, rows, Some(received)).iter().enumerate() {
            let order = rows.order(row);
            let created = order.created_time.unwrap_or(received);
            note(transaction, view, digest, Place { created, place: super::rows::place(order.sequence) })?;
        }
        Ok(())
    })?;
    transaction.prepare_cached("INSERT INTO known_views (of) VALUES (?1)")?.execute([table.name()])?;
    Ok(())
}
