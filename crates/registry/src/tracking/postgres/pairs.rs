//! Tags and parameters, of whatever has any.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::Done;
use super::talk::Talk;
use super::text::{self, Kept, kept};
use crate::tracking::kind::Kind;
use crate::tracking::{Pair, TrackingError};

/// Pairs by what has them, each in the order of their keys.
pub(super) type ByOwner = BTreeMap<String, Vec<Pair>>;

/// Of several owners, in one round trip.
pub(super) async fn of_all(t: &Talk, kind: Kind, owners: &[&str]) -> Done<ByOwner> {
    let sql = "SELECT of, key, value FROM {s}.tracked_pairs WHERE kind = $1 AND of = ANY($2) ORDER BY of, key";
    let owners = kept(owners.iter().copied());
    let mut found = ByOwner::new();
    for row in t.rows(sql, &[(&kind.word(), Type::TEXT), (&owners, Type::TEXT_ARRAY)]).await? {
        found.entry(text::read(&row, 0)?).or_default().push((text::read(&row, 1)?, text::read(&row, 2)?));
    }
    Ok(found)
}

/// In the order of their keys.
pub(super) async fn of(t: &Talk, kind: Kind, of: &str) -> Done<Vec<Pair>> {
    Ok(of_all(t, kind, &[of]).await?.remove(of).unwrap_or_default())
}

/// The newest value of a key.
pub(super) async fn set(t: &Talk, kind: Kind, of: &str, pairs: &[Pair]) -> Done<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    // One statement writes a row once. In the order of their keys, so that two who set the same wait for each other.
    let last: BTreeMap<&str, &str> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let (keys, values) = (kept(last.keys().copied()), kept(last.values().copied()));
    let sql = "INSERT INTO {s}.tracked_pairs (kind, of, key, value)
         SELECT $1, $2, p.key, p.value FROM unnest($3, $4) AS p (key, value)
         ON CONFLICT (of, kind, key) DO UPDATE SET value = excluded.value";
    let texts = Type::TEXT_ARRAY;
    t.execute(sql, &[(&kind.word(), Type::TEXT), (&Kept(of), Type::TEXT), (&keys, texts.clone()), (&values, texts)])
        .await?;
    Ok(())
}

/// The first value of a key: another one is refused. Whoever calls has locked what has the pairs.
pub(super) async fn add(t: &Talk, kind: Kind, owner: &str, pairs: &[Pair]) -> Done<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let mut there: BTreeMap<String, String> = of(t, kind, owner).await?.into_iter().collect();
    let mut new = Vec::new();
    for (key, sent) in pairs {
        match there.get(key) {
            Some(logged) if logged == sent => {}
            Some(logged) => {
                let (of, key, logged, sent) = (owner.to_owned(), key.clone(), logged.clone(), sent.clone());
                return Err(TrackingError::ParamChanged { of, key, logged, sent }.into());
            }
            None => {
                there.insert(key.clone(), sent.clone());
                new.push((key.clone(), sent.clone()));
            }
        }
    }
    set(t, kind, owner, &new).await
}

pub(super) async fn remove(t: &Talk, kind: Kind, of: &str, key: &str) -> Done<()> {
    let sql = "DELETE FROM {s}.tracked_pairs WHERE kind = $1 AND of = $2 AND key = $3";
    t.execute(sql, &[(&kind.word(), Type::TEXT), (&Kept(of), Type::TEXT), (&Kept(key), Type::TEXT)]).await?;
    Ok(())
}
