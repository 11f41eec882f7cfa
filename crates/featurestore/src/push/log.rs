//! The durable log of pushes: one SQLite file in the offline store, for several processes of one machine.
//!
//! An append is on disk when it returns, and numbered: the numbers of one view have no gaps, and are the sequence of its
//! pushed rows.

mod erase;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use schema::{BoxError, FeatureView, Fingerprint, Timestamp, Ttl};

use super::carry;
use super::known::{self, Known, Place};
use super::rows::{PushedRows, from_ipc, to_ipc};
use crate::erase::Tombstones;
use crate::offline::OfflineError;
use crate::online::OnlineTable;

const FILE: &str = "pushes.db";
/// The format of the file, as SQLite's `user_version`.
const FORMAT: u32 = 1;
/// How names begin that clients gave.
const NAMED: &str = "id:";
/// How long a write waits for another process; an append takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The log of one project. Clones share one connection.
#[derive(Debug, Clone)]
pub struct PushLog {
    path: Arc<Path>,
    connection: Arc<Mutex<Connection>>,
    max_skew: Option<Ttl>,
}

/// What [`PushLog::append`] did.
#[derive(Debug)]
pub struct Logged {
    /// The rows as the log has them: stamped, with their places. Of a repeated push, those that came first.
    pub rows: PushedRows,
    /// Whether the log had them already.
    pub repeated: bool,
}

/// One push of the log, without its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: i64,
    pub(crate) n_rows: u64,
}

impl PushLog {
    /// The log in the offline store's `folder`, made if it is not there.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    pub fn open(folder: &Path) -> Result<Self, OfflineError> {
        let path = folder.join(FILE);
        let fail = |why: BoxError| OfflineError::Write { path: path.display().to_string(), source: explained(why) };
        std::fs::create_dir_all(folder).map_err(|why| fail(why.into()))?;
        let connection = Connection::open(&path).map_err(|why| fail(why.into()))?;
        format(&connection).map_err(fail)?;
        prepare(&connection).map_err(|why| fail(why.into()))?;
        Ok(Self { path: path.clone().into(), connection: Arc::new(Mutex::new(connection)), max_skew: None })
    }

    /// The log, if anything was ever pushed.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    pub(crate) fn existing(folder: &Path) -> Result<Option<Self>, OfflineError> {
        if folder.join(FILE).is_file() { Self::open(folder).map(Some) } else { Ok(None) }
    }

    /// Appends rows of one push; on disk when it returns.
    ///
    /// # Errors
    /// [`OfflineError::Write`], or [`OfflineError::Erased`] for a key that was erased; then nothing was appended.
    pub async fn append(
        &self,
        view: &FeatureView,
        rows: PushedRows,
        id: Option<&str>,
        received: Timestamp,
    ) -> Result<Logged, OfflineError> {
        let (log, view) = (self.clone(), view.clone());
        let id = id.map(str::to_owned);
        #[expect(clippy::disallowed_methods, reason = "a commit waits for the disk")]
        let done = tokio::task::spawn_blocking(move || log.append_now(&view, &rows, id.as_deref(), received)).await;
        done.map_err(|stopped| self.failed(stopped.into()))?.map_err(|why| match why.downcast::<OfflineError>() {
            Ok(why) => *why,
            Err(why) => self.failed(why),
        })
    }

    fn append_now(
        &self,
        view: &FeatureView,
        rows: &PushedRows,
        id: Option<&str>,
        received: Timestamp,
    ) -> Result<Logged, BoxError> {
        let table = OnlineTable::marks(view);
        let digests = known::digests(view, rows, None);
        let name = match id {
            Some(id) => format!("{NAMED}{id}"),
            None => format!("rows:{}", Fingerprint::of_bytes(digests.as_flattened())),
        };
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // What came to other versions before is before this one here too.
        carry::catch_up(self, &mut connection, view)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked while nobody else writes: a tombstone is there before the log is cleared of its key, under this lock too.
        if let Some(row) = self.erased(view, rows)?.iter().position(|erased| *erased) {
            return Err(Box::new(OfflineError::Erased { row }));
        }
        let logged: Option<Vec<u8>> = transaction
            .prepare_cached("SELECT rows FROM pushes WHERE of = ?1 AND id = ?2")?
            .query_row(params![table.name(), name], |row| row.get(0))
            .optional()?;
        if let Some(logged) = logged {
            let found = known::places(&transaction, view, &digests)?;
            // Rows that are not in it are another push's, under a name that was used.
            let (rows, _) = placed(view, rows, &found, |_| None)?;
            return Ok(Logged { rows: PushedRows::of(view, from_ipc(&logged)?).and(view, &rows)?, repeated: true });
        }
        carry::describe(&transaction, view)?;
        let (logged, _) = insert(&transaction, view, rows, &digests, &name, received)?;
        transaction.commit()?;
        Ok(logged)
    }

    /// Rows that were pushed to another version of the view as `to` has them, with their places; `rows` as they were
    /// sent to `from`. Those that `to` does not have are left out.
    pub(super) async fn carried(
        &self,
        from: &FeatureView,
        to: &FeatureView,
        rows: PushedRows,
    ) -> Result<PushedRows, OfflineError> {
        let (log, from, to) = (self.clone(), from.clone(), to.clone());
        #[expect(clippy::disallowed_methods, reason = "a commit waits for the disk")]
        let done = tokio::task::spawn_blocking(move || log.carried_now(&from, &to, &rows)).await;
        done.map_err(|stopped| self.failed(stopped.into()))?.map_err(|why| self.failed(why))
    }

    fn carried_now(&self, from: &FeatureView, to: &FeatureView, rows: &PushedRows) -> Result<PushedRows, BoxError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        carry::catch_up(self, &mut connection, to)?;
        let rows = carry::conform(from, to, rows)?;
        let digests = known::digests(to, &rows, None);
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found = known::places(&transaction, to, &digests)?;
        transaction.commit()?;
        Ok(placed(to, &rows, &found, |_| None)?.0)
    }

    /// Which rows are of keys that were erased; empty if none is.
    pub(super) fn erased(&self, view: &FeatureView, rows: &PushedRows) -> Result<Vec<bool>, OfflineError> {
        let filter = Tombstones::load(self.path.parent().unwrap_or(Path::new(".")))?.filter(view.keys());
        Ok(filter.and_then(|filter| filter.erased(rows.keys(), rows.len())).unwrap_or_default())
    }

    /// The pushes to a view, in their order; those to its other versions that it shares are among them.
    pub(crate) fn entries(&self, view: &FeatureView) -> Result<Vec<Entry>, OfflineError> {
        let read = || -> Result<Vec<Entry>, BoxError> {
            let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            carry::catch_up(self, &mut connection, view)?;
            let mut query = connection.prepare_cached("SELECT seq, n_rows FROM pushes WHERE of = ?1 ORDER BY seq")?;
            let mut rows = query.query([OnlineTable::marks(view).name()])?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                entries.push(Entry { seq: row.get(0)?, n_rows: u64::try_from(row.get::<_, i64>(1)?)? });
            }
            Ok(entries)
        };
        read().map_err(|why| self.failed(why))
    }

    /// The rows of one push.
    pub(crate) fn rows(&self, view: &FeatureView, seq: i64) -> Result<PushedRows, OfflineError> {
        let read = || -> Result<PushedRows, BoxError> {
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let mut query = connection.prepare_cached("SELECT rows FROM pushes WHERE seq = ?1")?;
            let bytes: Vec<u8> = query.query_row([seq], |row| row.get(0))?;
            Ok(PushedRows::of(view, from_ipc(&bytes)?))
        };
        read().map_err(|why| self.failed(why))
    }

    /// The pushes to a view behind its first `n_rows` rows.
    pub(crate) fn rows_since(&self, view: &FeatureView, n_rows: u64) -> Result<Vec<PushedRows>, OfflineError> {
        let mut n_before = 0;
        let mut since = Vec::new();
        for entry in self.entries(view)? {
            if n_before >= n_rows {
                since.push(self.rows(view, entry.seq)?);
            }
            n_before += entry.n_rows;
        }
        Ok(since)
    }

    /// Rows that were pushed to a view, those that were erased since included. Of what was pushed to other versions and is
    /// yet to be copied all counts, though some of it may be known: looking changes nothing.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    pub fn n_rows(&self, view: &FeatureView) -> Result<u64, OfflineError> {
        let count = || -> Result<u64, BoxError> {
            let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let own: i64 = connection
                .prepare_cached("SELECT coalesce(sum(n_rows), 0) FROM pushes WHERE of = ?1")?
                .query_row([OnlineTable::marks(view).name()], |row| row.get(0))?;
            Ok(u64::try_from(own)? + carry::n_behind(&connection, view)?)
        };
        count().map_err(|why| self.failed(why))
    }

    fn failed(&self, source: BoxError) -> OfflineError {
        OfflineError::Write { path: self.path.display().to_string(), source: explained(source) }
    }

    /// What a setting of its connection is.
    #[cfg(test)]
    pub(super) fn setting(&self, name: &str) -> String {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let value = connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        format!("{value:?}")
    }

    /// With a limit of how far ahead of now rows may come, for views that say nothing of it.
    pub(crate) fn with_max_skew(self, max_skew: Option<Ttl>) -> Self {
        Self { max_skew, ..self }
    }

    /// How far ahead of now rows may come, where a view does not say.
    pub fn max_skew(&self) -> Option<Ttl> {
        self.max_skew
    }

    /// Waits for nobody, so that a test need not.
    #[cfg(test)]
    pub(super) fn impatient(self) -> Self {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).busy_timeout(Duration::ZERO).unwrap();
        self
    }
}

/// An error of SQLite with what to do about it.
fn explained(why: BoxError) -> BoxError {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase, ReadOnly};
    let code = why.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    let advice = match code {
        Some(DatabaseCorrupt | NotADatabase) => {
            "the log of pushes is damaged: restore it from a backup; what was pushed since is only there and must be pushed \
             again"
        }
        Some(DatabaseBusy | DatabaseLocked) => "another process is writing to the log of pushes: push the same again",
        Some(ReadOnly) => "the log of pushes cannot be written: let this user write the file and its folder",
        Some(DiskFull) => "the disk is full: make room, and push the same again",
        _ => return why,
    };
    format!("{why}: {advice}").into()
}

/// Rows with their places: those that are known where they are, others where `new` puts them, or left out if it does not.
/// And the new ones.
fn placed(
    view: &FeatureView,
    rows: &PushedRows,
    found: &[Option<Known>],
    mut new: impl FnMut(usize) -> Option<Place>,
) -> Result<(PushedRows, Vec<(usize, Place)>), String> {
    let (mut places, mut added): (Vec<Option<Place>>, _) = (Vec::with_capacity(found.len()), Vec::new());
    for (row, known) in found.iter().enumerate() {
        places.push(match known {
            Some(Known::Log(place)) => Some(*place),
            Some(Known::Here(first)) => places[*first],
            None => {
                let place = new(row);
                added.extend(place.map(|place| (row, place)));
                place
            }
        });
    }
    let kept = rows.filtered(view, places.iter().map(Option::is_some).collect())?;
    let places: Vec<Place> = places.into_iter().flatten().collect();
    Ok((kept.placed(view, &places)?, added))
}

/// Appends rows under a free name; what the log has already it keeps as it is, and what is new it places. Also whether a
/// push was added: none is where all rows are known and the name is made of them.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    view: &FeatureView,
    rows: &PushedRows,
    digests: &[known::Digest],
    name: &str,
    received: Timestamp,
) -> Result<(Logged, bool), BoxError> {
    let table = OnlineTable::marks(view);
    let found = known::places(transaction, view, digests)?;
    let n_before: i64 = transaction
        .prepare_cached("SELECT coalesce(max(first_row + n_rows), 0) FROM pushes WHERE of = ?1")?
        .query_row([table.name()], |row| row.get(0))?;
    let mut next = u64::try_from(n_before)?;
    let (all, new) = placed(view, rows, &found, |row| {
        let place = Place { created: rows.sent(row).unwrap_or(received), place: next };
        next += 1;
        Some(place)
    })?;
    let is_new = found.iter().map(Option::is_none).collect();
    let fresh = all.filtered(view, is_new)?;
    let repeated = fresh.is_empty() && !rows.is_empty();
    if repeated && !name.starts_with(NAMED) {
        // Nothing to log, and no name that is to be remembered.
        return Ok((Logged { rows: all, repeated }, false));
    }
    for (row, place) in new {
        known::note(transaction, view, &digests[row], place)?;
    }
    transaction
        .prepare_cached(
            "INSERT INTO pushes (of, id, received, first_row, n_rows, rows) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            table.name(),
            name,
            received.as_nanos(),
            n_before,
            i64::try_from(fresh.len())?,
            to_ipc(fresh.batch())?
        ])?;
    Ok((Logged { rows: all, repeated }, true))
}

/// Hands on everything that was pushed to a view, push by push, with the instants of receipt.
pub(super) fn each_stored(
    transaction: &Transaction<'_>,
    view: &FeatureView,
    mut each: impl FnMut(Timestamp, &PushedRows) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let mut query = transaction.prepare_cached("SELECT received, rows FROM pushes WHERE of = ?1 ORDER BY seq")?;
    let mut found = query.query([OnlineTable::marks(view).name()])?;
    while let Some(row) = found.next()? {
        let rows = PushedRows::of(view, from_ipc(&row.get::<_, Vec<u8>>(1)?)?);
        each(Timestamp::from_nanos(row.get(0)?), &rows)?;
    }
    Ok(())
}

/// That the log is of the format that this version reads; one without a number is of the first, which had none.
fn format(connection: &Connection) -> Result<(), BoxError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > FORMAT {
        let why = format!("its format is {found}, and this version reads {FORMAT}");
        return Err(format!("{why}: a newer version of plumb wrote it, run that version").into());
    }
    Ok(())
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Two processes may make it at once: SQLite then fails one of them, which finds it made.
    let mut tries = 0;
    while let Err(why) = connection.pragma_update(None, "journal_mode", "WAL") {
        tries += 1;
        if tries > 100 {
            return Err(why);
        }
        std::thread::yield_now();
    }
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS pushes (
           seq INTEGER PRIMARY KEY AUTOINCREMENT, of TEXT NOT NULL, id TEXT NOT NULL, received INTEGER NOT NULL,
           first_row INTEGER NOT NULL, n_rows INTEGER NOT NULL, rows BLOB NOT NULL, UNIQUE (of, id)) STRICT;
         CREATE INDEX IF NOT EXISTS by_view ON pushes (of, seq, n_rows, first_row);",
    )?;
    connection.execute_batch(known::TABLES)?;
    connection.execute_batch(carry::TABLES)?;
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == FORMAT { Ok(()) } else { connection.pragma_update(None, "user_version", FORMAT) }
}
