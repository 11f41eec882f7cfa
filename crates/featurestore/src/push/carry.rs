//! Pushes go to a view, and reach each of its versions that means the same by the columns they have.
//!
//! What is pushed is logged for one version, the one that was named or is current. A new version begins with what was
//! pushed before it, and a version that production still serves gets what is pushed after it: whenever the log is asked
//! for a version's pushes, it first copies what came to the others meanwhile (docs/decisions/0059).

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use schema::fingerprint::normal_sql;
use schema::{BoxError, FeatureName, FeatureView, Timestamp};
use transform::cast;

use super::known;
use super::log::{PushLog, insert};
use super::rows::{PushedRows, from_ipc, schema_of};
use crate::online::OnlineTable;

/// The tables of what is carried; a log of an earlier version gets them when it is opened.
///
/// What a version means is kept with its pushes, for the log must tell which others share them.
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS push_views (of TEXT PRIMARY KEY, view TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS carried (
      of TEXT NOT NULL, source TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (of, source)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS carried_pushes (seq INTEGER PRIMARY KEY) STRICT;";
/// Pushes that are copied in one transaction: other processes wait for it.
const AT_ONCE: u16 = 1_000;

/// Whether what is pushed to `from` is pushed to `to` as well, another version of the same view.
///
/// Both must have the same keys, query and event time, and the common features the same origin, in the same type or a
/// wider one. A newer version may have features that the older one lacks, which are null in older pushes; a version
/// never loses a feature by what is pushed to another.
///
/// # Errors
/// What keeps them apart.
pub fn carries(from: &FeatureView, to: &FeatureView) -> Result<(), String> {
    let (was, is) = (&from.definition, &to.definition);
    if from.keys() != to.keys() {
        return Err("its join keys are others".to_owned());
    }
    if was.sql.as_deref().map(normal_sql) != is.sql.as_deref().map(normal_sql) {
        return Err("its query is another".to_owned());
    }
    let is_same_source = from.source.path == to.source.path;
    if is_same_source && was.event_time != is.event_time {
        return Err(format!("its event time is `{}` and was `{}`", is.event_time, was.event_time));
    }
    let mut n_common = 0;
    for feature in &is.features {
        let name = &feature.name;
        let Some(before) = was.features.iter().find(|before| before.name == *name) else {
            if to.id.version > from.id.version {
                continue;
            }
            return Err(format!("rows of `{}` have no `{name}`", from.id));
        };
        if !before.dtype.widens_to(feature.dtype) {
            return Err(format!("`{name}` is {} and was {}", feature.dtype, before.dtype));
        }
        if is_same_source && origin(from, name) != origin(to, name) {
            return Err(format!("`{name}` comes from another column"));
        }
        n_common += 1;
    }
    if n_common == 0 && !is.features.is_empty() { Err("it has other features".to_owned()) } else { Ok(()) }
}

/// The column of the source's files that is mapped to a feature.
fn origin<'v>(view: &'v FeatureView, feature: &FeatureName) -> Option<&'v str> {
    let mapped = view.source.field_mapping.iter().find(|(_, to)| to.as_str() == feature.as_str());
    mapped.map(|(column, _)| column.as_str())
}

/// Rows of one version as rows of another that it carries to.
pub(super) fn conform(from: &FeatureView, to: &FeatureView, rows: &PushedRows) -> Result<PushedRows, BoxError> {
    let n_places = schema_of(to).fields().len() - to.definition.features.len();
    let mut columns = rows.batch().columns()[..n_places].to_vec();
    for feature in &to.definition.features {
        let at = from.definition.features.iter().position(|before| before.name == feature.name);
        columns.push(match at {
            Some(at) => cast::conform(&rows.features()[at], feature.dtype, None)?,
            None => new_null_array(&feature.dtype.to_arrow(), rows.len()) as ArrayRef,
        });
    }
    Ok(PushedRows::of(to, RecordBatch::try_new(schema_of(to), columns)?))
}

/// Notes what a version means that rows are pushed to.
pub(super) fn describe(transaction: &Transaction<'_>, view: &FeatureView) -> Result<(), BoxError> {
    let mut note = transaction.prepare_cached("INSERT OR IGNORE INTO push_views (of, view) VALUES (?1, ?2)")?;
    let table = OnlineTable::marks(view);
    let is_known = transaction
        .prepare_cached("SELECT 1 FROM push_views WHERE of = ?1")?
        .query_row([table.name()], |_| Ok(()))
        .optional()?;
    if is_known.is_none() {
        note.execute(params![table.name(), serde_json::to_string(view)?])?;
    }
    Ok(())
}

/// Another version of a view, with pushes that were not copied yet.
struct Behind {
    of: String,
    view: FeatureView,
    /// The last push that was.
    after: i64,
}

/// Copies what was pushed to other versions of `view` since the last time.
pub(super) fn catch_up(log: &PushLog, connection: &mut Connection, view: &FeatureView) -> Result<(), BoxError> {
    // Looked at before anything is locked: most of the time there is nothing.
    while !behind(connection, view)?.is_empty() {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        describe(&transaction, view)?;
        let others = behind(&transaction, view)?;
        let mut pushes: Vec<(i64, usize)> = Vec::new();
        for (at, other) in others.iter().enumerate() {
            let mut query = transaction
                .prepare_cached("SELECT seq FROM pushes WHERE of = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3")?;
            let seqs = query.query_map(params![other.of, other.after, AT_ONCE], |row| row.get(0))?;
            pushes.extend(seqs.map(|seq| Ok((seq?, at))).collect::<rusqlite::Result<Vec<_>>>()?);
        }
        // In the order in which they came, to whichever version.
        pushes.sort_unstable();
        pushes.truncate(AT_ONCE.into());
        for (seq, at) in pushes {
            copy(log, &transaction, &others[at], view, seq)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

/// The versions that `view` shares pushes with and that have some that it lacks.
fn behind(connection: &Connection, view: &FeatureView) -> Result<Vec<Behind>, BoxError> {
    let mut query = connection.prepare_cached(
        "SELECT of, view, coalesce((SELECT seq FROM carried WHERE carried.of = ?1 AND source = push_views.of), 0) AS after
         FROM push_views WHERE of >= ?2 AND of < ?3 AND of <> ?1
         AND (SELECT max(seq) FROM pushes WHERE pushes.of = push_views.of) > after ORDER BY of",
    )?;
    // Names have no `@`: nothing else sorts between them.
    let (first, end) = (format!("{}@v", view.id.name), format!("{}@w", view.id.name));
    let table = OnlineTable::marks(view);
    let mut rows = query.query(params![table.name(), first, end])?;
    let mut behind = Vec::new();
    while let Some(row) = rows.next()? {
        let other: FeatureView = serde_json::from_str(&row.get::<_, String>(1)?)?;
        if carries(&other, view).is_ok() {
            behind.push(Behind { of: row.get(0)?, view: other, after: row.get(2)? });
        }
    }
    Ok(behind)
}

/// Rows of pushes that are yet to be copied.
pub(super) fn n_behind(connection: &Connection, view: &FeatureView) -> Result<u64, BoxError> {
    let mut query = connection.prepare_cached(
        "SELECT coalesce(sum(n_rows), 0) FROM pushes
         WHERE of = ?1 AND seq > ?2 AND seq NOT IN (SELECT seq FROM carried_pushes)",
    )?;
    let mut n_rows = 0;
    for other in behind(connection, view)? {
        let n: i64 = query.query_row(params![other.of, other.after], |row| row.get(0))?;
        n_rows += u64::try_from(n)?;
    }
    Ok(n_rows)
}

/// Notes that a version has seen what was pushed to another, up to `seq`.
fn mark(transaction: &Transaction<'_>, of: &str, source: &str, seq: i64) -> Result<(), BoxError> {
    transaction
        .prepare_cached("INSERT INTO carried (of, source, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET seq = ?3")?
        .execute(params![of, source, seq])?;
    Ok(())
}

/// Copies one push, unless it is a copy itself.
fn copy(
    log: &PushLog,
    transaction: &Transaction<'_>,
    from: &Behind,
    to: &FeatureView,
    seq: i64,
) -> Result<(), BoxError> {
    let table = OnlineTable::marks(to);
    mark(transaction, table.name(), &from.of, seq)?;
    let is_copy = transaction
        .prepare_cached("SELECT 1 FROM carried_pushes WHERE seq = ?1")?
        .query_row([seq], |_| Ok(()))
        .optional()?;
    if is_copy.is_some() {
        return Ok(());
    }
    let (id, received, bytes): (String, i64, Vec<u8>) = transaction
        .prepare_cached("SELECT id, received, rows FROM pushes WHERE seq = ?1")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let received = Timestamp::from_nanos(received);
    let rows = conform(&from.view, to, &PushedRows::of(&from.view, from_ipc(&bytes)?))?;
    // Whoever was erased meanwhile may still be in what is copied: it is cleared version by version.
    let erased = log.erased(to, &rows)?;
    let rows = match erased.contains(&true) {
        true => rows.filtered(to, erased.into_iter().map(|erased| !erased).collect())?,
        false => rows,
    };
    let is_taken = transaction
        .prepare_cached("SELECT 1 FROM pushes WHERE of = ?1 AND id = ?2")?
        .query_row(params![table.name(), id], |_| Ok(()))
        .optional()?;
    let name = if is_taken.is_some() { format!("carried:{seq}") } else { id };
    let digests = known::digests(to, &rows, Some(received));
    let before: i64 = transaction
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM pushes WHERE of = ?1")?
        .query_row([table.name()], |row| row.get(0))?;
    let (_, is_added) = insert(transaction, to, &rows, &digests, &name, received)?;
    if is_added {
        let copy = transaction.last_insert_rowid();
        transaction.execute("INSERT INTO carried_pushes (seq) VALUES (?1)", [copy])?;
        // Where it came from has it: who has seen all before it need not look at it.
        let seen: Option<i64> = transaction
            .prepare_cached("SELECT seq FROM carried WHERE of = ?1 AND source = ?2")?
            .query_row(params![from.of, table.name()], |row| row.get(0))
            .optional()?;
        if seen.unwrap_or(0) >= before {
            mark(transaction, &from.of, table.name(), copy)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
