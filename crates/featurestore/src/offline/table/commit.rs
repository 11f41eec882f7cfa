//! How writers meet: each writes the next entry or finds that another was first, and then looks whether what it is about
//! to write still means what it meant.
//!
//! The rules are strict: a rewrite goes on only over appends, and what it takes away must still be there. Two rewrites of one
//! state never both commit, even if the lease should fail them.

use super::action::Action;
use super::error::TableError;
use super::lease::RewriteLease;
use super::log::{Log, Snapshot};
use super::{EPOCH, NEXT};

/// Entries of others that a commit steps over before it gives up.
const STEPS_MAX: usize = 1_000;

/// What a commit is to do, which says what may come before it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Intent<'a> {
    /// Rows behind all others, under the append lock.
    Append {
        /// The application whose transaction it is.
        app: Option<&'a str>,
    },
    /// Other files with rows of the table; appends may come in between.
    Rewrite(&'a RewriteLease),
    /// Other rows: nothing may come in between.
    Replace(&'a RewriteLease),
}

/// Writes `actions`, made for `base`, as the next entry; its version.
pub(super) fn commit(log: &Log, base: &Snapshot, intent: Intent<'_>, actions: &[Action]) -> Result<u64, TableError> {
    for version in (base.version + 1..).take(STEPS_MAX) {
        if let Intent::Rewrite(lease) | Intent::Replace(lease) = intent {
            lease.check()?;
        }
        if log.append(version, actions)? {
            return Ok(version);
        }
        let theirs = log.read_entry(version, &[])?;
        if let Some(why) = intent.conflict(&theirs) {
            let why = format!("version {version} came first, and {why}");
            return Err(TableError::Conflict { table: log.table.clone(), what: intent.what(), why });
        }
    }
    let why = format!("{STEPS_MAX} other commits came first");
    Err(TableError::Conflict { table: log.table.clone(), what: intent.what(), why })
}

impl Intent<'_> {
    fn what(self) -> &'static str {
        match self {
            Self::Append { .. } => "appending to",
            Self::Rewrite(_) | Self::Replace(_) => "rewriting",
        }
    }

    /// Why what is to be written means something else behind `theirs`.
    fn conflict(self, theirs: &[Action]) -> Option<&'static str> {
        let any = |holds: &dyn Fn(&Action) -> bool| theirs.iter().any(holds);
        let txn = |app: &str| any(&|action| action.txn.as_ref().is_some_and(|txn| txn.app_id == app));
        if any(&|action| action.protocol.is_some() || action.meta_data.is_some()) {
            return Some("it changed the columns");
        }
        match self {
            Self::Append { .. } if txn(NEXT) => Some("it gave out the same arrival numbers"),
            Self::Append { app: Some(app) } if txn(app) => Some("it has the same idempotency key"),
            Self::Append { .. } => None,
            Self::Rewrite(_) if txn(EPOCH) || any(&|action| action.remove.is_some()) => Some("it took files away"),
            Self::Rewrite(_) => None,
            Self::Replace(_) if any(&|action| action.add.is_some() || action.remove.is_some()) => {
                Some("it changed the rows")
            }
            Self::Replace(_) => None,
        }
    }
}
