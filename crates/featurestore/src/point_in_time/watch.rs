//! Who watches a join: told how far it is, and able to end it.

use std::fmt;

use crate::offline::OfflineError;
use crate::offline::source::read_error;

/// Told of every batch of history that was read; says whether anybody still waits.
pub struct Watch<'a> {
    tell: &'a (dyn Fn(u64) + Sync),
    waits: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Watch<'a> {
    /// `tell` hears of rows as they are read, on any thread; the join ends soon after `waits` says no.
    pub fn new(tell: &'a (dyn Fn(u64) + Sync), waits: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self { tell, waits }
    }

    /// Nobody: the join runs to its end.
    pub fn nobody() -> Self {
        Self { tell: &|_| {}, waits: &|| true }
    }

    pub(crate) fn scanned(&self, n_rows: u64) -> Result<(), OfflineError> {
        (self.tell)(n_rows);
        self.check()
    }

    pub(crate) fn check(&self) -> Result<(), OfflineError> {
        if (self.waits)() { Ok(()) } else { Err(read_error("history", "nobody waits for the answer any more")) }
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
