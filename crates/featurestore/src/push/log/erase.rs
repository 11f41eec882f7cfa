//! Taking an entity's rows out of the log for good.

use std::sync::PoisonError;

use rusqlite::{TransactionBehavior, params};
use schema::{BoxError, EntityKey, FeatureView, Timestamp};

use super::super::known;
use super::super::rows::{PushedRows, from_ipc, to_ipc};
use super::PushLog;
use crate::erase::KeyMatch;
use crate::offline::OfflineError;
use crate::online::OnlineTable;

impl PushLog {
    /// Counts the rows of some keys of a view, and unless `dry_run` takes them out of the log; their numbers are not
    /// given again. All or nothing, and repeating it finds nothing.
    ///
    /// # Errors
    /// [`OfflineError::Write`].
    pub fn erase(&self, view: &FeatureView, keys: &KeyMatch, dry_run: bool) -> Result<u64, OfflineError> {
        let erase = || -> Result<u64, BoxError> {
            let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
            // What is overwritten or deleted is zeroed in the file.
            connection.pragma_update(None, "secure_delete", true)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut n_found = 0;
            let entries: Vec<(i64, i64)> = transaction
                .prepare_cached("SELECT seq, received FROM pushes WHERE of = ?1 ORDER BY seq")?
                .query_map([OnlineTable::marks(view).name()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            for (seq, received) in entries {
                let bytes: Vec<u8> = transaction
                    .prepare_cached("SELECT rows FROM pushes WHERE seq = ?1")?
                    .query_row([seq], |row| row.get(0))?;
                let rows = PushedRows::of(view, from_ipc(&bytes)?);
                let keys_of = EntityKey::from_columns(rows.keys(), rows.len());
                let keep: Vec<bool> =
                    keys_of.iter().map(|key| !key.as_ref().is_some_and(|key| keys.matches(key))).collect();
                let n_gone = keep.iter().filter(|keep| !**keep).count();
                if n_gone == 0 {
                    continue;
                }
                n_found += n_gone as u64;
                let gone = rows.filtered(view, keep.iter().map(|keep| !keep).collect())?;
                let received = Some(Timestamp::from_nanos(received));
                known::forget(&transaction, view, &known::digests(view, &gone, received))?;
                let left = rows.filtered(view, keep)?;
                transaction
                    .prepare_cached("UPDATE pushes SET rows = ?2 WHERE seq = ?1")?
                    .execute(params![seq, to_ipc(left.batch())?])?;
            }
            if n_found > 0 {
                // The names go too: they may say whose rows they were. Those of other pushes as well, for rows of theirs that
                // were there already are not theirs in the log: pushed again they would pass for repeated, and be lost.
                transaction
                    .prepare_cached("UPDATE pushes SET id = 'erased:' || seq WHERE of = ?1")?
                    .execute([OnlineTable::marks(view).name()])?;
            }
            if dry_run {
                return Ok(n_found);
            }
            transaction.commit()?;
            // Pages hold what was moved out of them by writers that do not zero: the file is written anew. Also where nothing
            // was found, for who was killed before this finds nothing the second time.
            connection.execute_batch("VACUUM")?;
            // Pages as they were before are in the write-ahead log until it is written back and cut.
            let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
            if busy != 0 {
                return Err("other processes are reading it, so old pages could not be overwritten; try again".into());
            }
            Ok(n_found)
        };
        erase().map_err(|why| self.failed(why))
    }
}
