//! Tags and parameters, of whatever has any.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Done, TrackingError};
use crate::tracking::Pair;
use crate::tracking::kind::Kind;

/// In the order of their keys.
pub(super) fn of(t: &Transaction<'_>, kind: Kind, of: &str) -> rusqlite::Result<Vec<Pair>> {
    t.prepare_cached("SELECT key, value FROM pairs WHERE kind = ?1 AND of = ?2 ORDER BY key")?
        .query_map((kind.word(), of), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn one(t: &Transaction<'_>, kind: Kind, of: &str, key: &str) -> rusqlite::Result<Option<String>> {
    t.prepare_cached("SELECT value FROM pairs WHERE kind = ?1 AND of = ?2 AND key = ?3")?
        .query_row((kind.word(), of, key), |row| row.get(0))
        .optional()
}

/// The newest value of a key.
pub(super) fn set(t: &Transaction<'_>, kind: Kind, of: &str, pairs: &[Pair]) -> rusqlite::Result<()> {
    let mut set = t.prepare_cached("INSERT OR REPLACE INTO pairs (kind, of, key, value) VALUES (?1, ?2, ?3, ?4)")?;
    pairs.iter().try_for_each(|(key, value)| set.execute(params![kind.word(), of, key, value]).map(drop))
}

/// The first value of a key: another one is refused.
pub(super) fn add(t: &Transaction<'_>, kind: Kind, of: &str, pairs: &[Pair]) -> Done<()> {
    for (key, sent) in pairs {
        match one(t, kind, of, key)? {
            Some(logged) if logged == *sent => {}
            Some(logged) => {
                let (of, key, sent) = (of.to_owned(), key.clone(), sent.clone());
                return Err(TrackingError::ParamChanged { of, key, logged, sent }.into());
            }
            None => set(t, kind, of, &[(key.clone(), sent.clone())])?,
        }
    }
    Ok(())
}

pub(super) fn remove(t: &Transaction<'_>, kind: Kind, of: &str, key: &str) -> rusqlite::Result<()> {
    t.prepare_cached("DELETE FROM pairs WHERE kind = ?1 AND of = ?2 AND key = ?3")?
        .execute((kind.word(), of, key))
        .map(drop)
}
