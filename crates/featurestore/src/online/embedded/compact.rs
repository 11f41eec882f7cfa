//! The store's file written anew.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::PoisonError;

use heed::{Env, PutFlags, WithoutTls};
use schema::BoxError;

use super::environment::{DATA, OPEN, cells_of, in_use, map};
use crate::online::{Doing, OnlineError};

/// Where the file is written anew.
const COMPACTING: &str = "compacting";
/// Entries copied in one transaction.
const COPIED_AT_ONCE: usize = 100_000;

/// Writes the store's file anew with what is in it, so that nothing removed is left in pages that are free.
///
/// `false`, and nothing is done, while anybody has the store open, this process included; whoever opens it meanwhile
/// waits.
///
/// # Errors
/// [`OnlineError::Open`] if it cannot be read, or written beside.
pub fn compact(folder: &Path) -> Result<bool, OnlineError> {
    let run = || -> Result<bool, BoxError> {
        let data = folder.join(DATA);
        if !data.is_file() {
            return Ok(true);
        }
        let path = folder.canonicalize()?;
        let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains_key(&path) {
            return Ok(false);
        }
        let in_use = in_use(&path)?;
        match in_use.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(why)) => return Err(why.into()),
        }
        // One that was killed left what it had written.
        let beside = path.join(COMPACTING);
        if beside.is_dir() {
            std::fs::remove_dir_all(&beside)?;
        }
        std::fs::create_dir(&beside)?;
        copy(&map(&path)?, &map(&beside)?)?;
        let copied = beside.join(DATA);
        File::open(&copied)?.sync_all()?;
        std::fs::set_permissions(&copied, std::fs::metadata(&data)?.permissions())?;
        std::fs::rename(&copied, &data)?;
        File::open(&path)?.sync_all()?;
        std::fs::remove_dir_all(&beside)?;
        Ok(true)
    };
    run().map_err(|source| Doing::Opening.failed(&folder.display().to_string(), source))
}

/// Entry by entry: pages as they are would bring along keys that only tell them apart, which outlive their entries.
fn copy(from: &Env<WithoutTls>, to: &Env<WithoutTls>) -> Result<(), BoxError> {
    let (old, new) = (cells_of(from)?, cells_of(to)?);
    let reading = from.read_txn()?;
    let mut entries = old.iter(&reading)?.peekable();
    while entries.peek().is_some() {
        let mut writing = to.write_txn()?;
        for entry in entries.by_ref().take(COPIED_AT_ONCE) {
            let (key, cell) = entry?;
            new.put_with_flags(&mut writing, PutFlags::APPEND, key, cell)?;
        }
        writing.commit()?;
    }
    Ok(())
}
