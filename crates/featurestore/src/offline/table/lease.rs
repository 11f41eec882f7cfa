//! Who may write a table.
//!
//! Rewriting (delete, compact, vacuum, overwrite, restore) is for the one who holds the table's *rewrite lease*: two
//! rewriters would undo each other. Appending takes the *append lock*, which gives out arrival numbers in the order of
//! commits. Both are locks on files in the table's folder, so a killed process gives them up. The rewrite lease counts its
//! holders: before a commit its holder looks whether it is still the last one, so one whose lock was lost (a file system
//! that forgets locks, a folder that was replaced) commits nothing.

use std::path::Path;

use super::disk::Disk;
use super::error::TableError;
use super::log::write_error;
use crate::offline::OfflineError;
use crate::offline::lease::{Lease, Leasing};

/// Folder of what is kept beside a table: its locks and quarantined rows. Other engines pass it over for its `_`.
pub(super) const BESIDE: &str = "_plumb";

/// The right to rewrite a table; given up when dropped.
#[derive(Debug)]
pub struct RewriteLease {
    _lease: Lease,
    token: u64,
    table: String,
    path: std::path::PathBuf,
}

/// The right to append to a table; given up when dropped.
#[derive(Debug)]
pub(super) struct AppendLock {
    _lease: Lease,
}

/// What to do when somebody else holds it.
pub type OnWait<'a> = &'a dyn Fn(&str);

impl RewriteLease {
    /// Takes the lease of the table in `root`; waits, after a call of `on_wait`, while another process holds it.
    pub(super) fn take(root: &Path, table: &str, disk: &Disk, on_wait: OnWait<'_>) -> Result<Self, TableError> {
        let path = root.join(BESIDE).join("lease");
        let lease = match Leasing::of_file(&path).map_err(|why| lock_error(&path, why))? {
            Leasing::Held(lease) => lease,
            Leasing::Taken(waiting) => {
                on_wait(&format!("another process rewrites table `{table}`; waiting for it"));
                waiting.wait().map_err(|why| lock_error(&path, why))?
            }
        };
        Self::begin(lease, root, table, disk)
    }

    fn begin(lease: Lease, root: &Path, table: &str, disk: &Disk) -> Result<Self, TableError> {
        // The token stands in a file of its own: the locked one must stay the same file.
        let path = root.join(BESIDE).join("token");
        let token = read_token(&path)? + 1;
        disk.put(&path, token.to_string().as_bytes()).map_err(|why| write_error(&path, why))?;
        Ok(Self { _lease: lease, token, table: table.to_owned(), path })
    }

    /// How many held the lease up to this one.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Refuses if somebody took the lease meanwhile.
    pub(super) fn check(&self) -> Result<(), TableError> {
        let found = read_token(&self.path)?;
        if found == self.token {
            return Ok(());
        }
        let why = format!("the rewrite lease went from holder {} to holder {found} meanwhile", self.token);
        Err(TableError::Conflict { table: self.table.clone(), what: "rewriting", why })
    }
}

fn read_token(path: &Path) -> Result<u64, TableError> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map_err(|why| super::log::read_error(path, why)),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(why) => Err(super::log::read_error(path, why)),
    }
}

impl AppendLock {
    pub(super) fn take(root: &Path, table: &str, on_wait: OnWait<'_>) -> Result<Self, TableError> {
        let path = root.join(BESIDE).join("append");
        let lease = match Leasing::of_file(&path).map_err(|why| lock_error(&path, why))? {
            Leasing::Held(lease) => lease,
            Leasing::Taken(waiting) => {
                on_wait(&format!("another process appends to table `{table}`; waiting for it"));
                waiting.wait().map_err(|why| lock_error(&path, why))?
            }
        };
        Ok(Self { _lease: lease })
    }
}

fn lock_error(path: &Path, why: OfflineError) -> TableError {
    write_error(path, why)
}
