//! The online store: the current row of every key, and the rows whose time has yet to come.
//!
//! A store keeps one [`Cell`] per ([`OnlineTable`], entity key) and nothing else; the rules are all in [`cell`]. A table
//! is one generation of one view version; which generation answers is told by [`marks`] and known to [`OnlineReader`]. Newest
//! wins, so every write may be repeated, late or out of order, and two writers need not know of each other. The
//! stores are [`memory`] (tests and oracles), [`embedded`] (LMDB, the default) and [`redis`] (teams); `conformance`
//! is the suite that each passes.

pub mod cell;
pub mod circuit;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
pub mod embedded;
pub mod feast_redis;
pub mod guarded;
pub mod marks;
pub mod memory;
pub mod reader;
pub mod redis;
pub mod refusal;
pub mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use async_trait::async_trait;
use schema::{BoxError, EntityKey, ErrorKind, Timestamp, ViewId};

use crate::erase::KeyMatch;
use circuit::FAILURES;

pub use cell::{At, Cell, MalformedCell, OnlineRow, Step};
pub use embedded::EmbeddedStore;
pub use guarded::{GuardedStore, Trouble};
pub use memory::MemoryStore;
pub use reader::{OnlineReader, Served};
pub use redis::{FeastRedis, RedisConfig, RedisStore};
pub use refusal::Refusal;
pub use table::OnlineTable;

/// The rows that can still be an answer, per table and entity key.
#[async_trait]
pub trait OnlineStore: fmt::Debug + Send + Sync + 'static {
    /// The cell of each key in each table: one round trip, however many tables. An unknown key is `None`, never an error.
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError>;

    /// Merges each cell into what is there, as a writer whose present is `horizon`: newest wins, a replay or a late
    /// batch moves nothing backwards. A key may come more than once. Callers cut large work into chunks: the embedded
    /// store commits once per call.
    ///
    /// When it fails, any part may have been written; writing all of it again is safe.
    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError>;

    /// As [`Self::put_many`], for keys of which few or none are in the table yet: a store may be quicker at that.
    async fn put_new(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        self.put_many(table, cells, horizon).await
    }

    /// Counts the cells of some keys in some tables of one view version, and unless `dry_run` removes them, beside reads
    /// and writes. A key that is known whole is looked up; for one of which only parts are known every key is looked at.
    /// Doing it again is safe.
    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError>;

    /// Removes some tables, whatever their size, beside reads and writes of others; where all that is stored must be walked
    /// for it, in one walk. Nobody may be writing to them. When it fails, part of them is gone; doing it again is safe.
    async fn drop_tables(&self, tables: &[OnlineTable]) -> Result<(), OnlineError>;

    /// What a table holds, where that is cheap to say: `None` where it is not.
    async fn size_of(&self, table: &OnlineTable) -> Result<Option<TableSize>, OnlineError> {
        let _ = table;
        Ok(None)
    }

    /// Whether the store answers at all; nothing is read.
    async fn check(&self) -> Result<(), OnlineError> {
        Ok(())
    }
}

/// What [`OnlineStore::get_many`] found: a table of cells, a row per key and a column per view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineRows {
    cells: Vec<Option<Cell>>,
    n_views: usize,
}

/// What [`OnlineStore::put_many`] did, counted in the cells that were handed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteReport {
    /// Those that changed what is stored.
    pub written: usize,
    /// Those that brought nothing new.
    pub unchanged: usize,
}

/// What went wrong while reading or writing current rows. Addresses are without credentials.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OnlineError {
    #[error("the address of the online store is not a Redis URL")]
    Address {
        #[source]
        source: BoxError,
    },
    #[error("the settings of the online store: {problem}")]
    Settings { problem: String },
    #[error("opening the online store at `{address}`")]
    Open {
        address: String,
        #[source]
        source: BoxError,
    },
    #[error("{doing} the online store at `{address}`")]
    Read {
        doing: Doing,
        address: String,
        #[source]
        source: BoxError,
    },
    #[error("{doing} the online store at `{address}`")]
    Write {
        doing: Doing,
        address: String,
        #[source]
        source: BoxError,
    },
    #[error("{doing} the online store at `{address}`: {refusal}")]
    Refused {
        doing: Doing,
        address: String,
        refusal: Refusal,
        #[source]
        source: BoxError,
    },
    #[error("{doing} the online store at `{address}`: no answer within {limit:?}")]
    Timeout { doing: Doing, address: String, limit: Duration },
    #[error("{doing} the online store, which is left alone after {FAILURES} failures in a row; the last: {}", trouble.why)]
    Resting { doing: Doing, trouble: Trouble },
    // The key stays out of the message: messages are logged, keys are personal.
    #[error("a stored row of view `{view}` in the online store at `{address}` does not parse")]
    Corrupt {
        view: ViewId,
        key: EntityKey,
        address: String,
        #[source]
        source: MalformedCell,
    },
}

/// What was being done to a store when it failed; reads on as "… the online store at …".
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Doing {
    Opening,
    Reading { views: Vec<ViewId>, n_keys: usize },
    Writing { view: ViewId, n_keys: usize },
    Dropping { tables: Vec<OnlineTable> },
    Erasing,
}

impl OnlineRows {
    /// `cells` holds the first key's cell in each view, then the second's.
    pub fn new(cells: Vec<Option<Cell>>, n_views: usize) -> Self {
        Self { cells, n_views }
    }

    /// What answers key `key` in view `view`, both as positions in the call.
    pub fn get(&self, key: usize, view: usize) -> Option<&Cell> {
        self.cells.get(key * self.n_views..(key + 1) * self.n_views)?.get(view)?.as_ref()
    }

    /// How many keys were asked for; zero if no view was.
    pub fn n_keys(&self) -> usize {
        self.cells.len().checked_div(self.n_views).unwrap_or(0)
    }

    /// How many views were asked for.
    pub fn n_views(&self) -> usize {
        self.n_views
    }
}

/// What [`OnlineStore::size_of`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableSize {
    /// Keys.
    pub n_keys: u64,
    /// Bytes of keys and cells, without what the store needs around them.
    pub size_bytes: u64,
}

/// What [`OnlineStore::erase`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EraseReport {
    /// Cells of the keys.
    pub found: usize,
    /// Cells whose keys the store keeps as digests, so that parts of them cannot be told.
    pub unreadable: usize,
}

impl WriteReport {
    fn count(&mut self, changed: bool) {
        if changed {
            self.written += 1;
        } else {
            self.unchanged += 1;
        }
    }
}

impl AddAssign for TableSize {
    fn add_assign(&mut self, other: Self) {
        self.n_keys += other.n_keys;
        self.size_bytes += other.size_bytes;
    }
}

impl AddAssign for WriteReport {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.unchanged += other.unchanged;
    }
}

impl OnlineError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address { .. } | Self::Settings { .. } => ErrorKind::Invalid,
            Self::Open { .. } | Self::Read { .. } | Self::Write { .. } | Self::Refused { .. } => ErrorKind::Unavailable,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Resting { trouble, .. } => trouble.kind,
            Self::Corrupt { .. } => ErrorKind::Internal,
        }
    }

    /// What the server refused for, if it did.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(*refusal),
            Self::Resting { trouble, .. } => trouble.refusal,
            Self::Address { .. }
            | Self::Settings { .. }
            | Self::Open { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Timeout { .. }
            | Self::Corrupt { .. } => None,
        }
    }

    /// Whether it is a sign that the store as a whole is in trouble, and better left alone for a while.
    pub fn is_trouble(&self) -> bool {
        match self {
            Self::Refused { refusal, .. } => refusal.is_trouble(),
            Self::Open { .. } | Self::Read { .. } | Self::Write { .. } | Self::Timeout { .. } => true,
            Self::Address { .. } | Self::Settings { .. } | Self::Resting { .. } | Self::Corrupt { .. } => false,
        }
    }

    /// What to do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Address { .. } => Some("write redis://[user:password@]host[:port][/database], or rediss:// for TLS"),
            Self::Refused { refusal, .. } => Some(refusal.hint()),
            Self::Resting { trouble, .. } => trouble.refusal.map(Refusal::hint),
            Self::Corrupt { source: MalformedCell::Format { .. }, .. } => {
                Some("a newer version of plumb wrote it: run that version, or empty the store and materialize again")
            }
            Self::Corrupt { source: MalformedCell::Marks { .. }, .. } => {
                Some("build it again from history, which is the record: `plumb materialize VIEW --fresh`")
            }
            Self::Corrupt { .. } => Some("empty the online store and materialize again: history is the record"),
            Self::Open { source, .. } | Self::Read { source, .. } | Self::Write { source, .. }
                if embedded::is_damage(source.as_ref()) =>
            {
                Some("the store is damaged: remove its folder and run `plumb materialize`: history is the record")
            }
            Self::Settings { .. }
            | Self::Open { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Timeout { .. } => None,
        }
    }
}

impl Doing {
    fn failed(self, address: &str, source: impl Into<BoxError>) -> OnlineError {
        let (address, source) = (address.to_owned(), source.into());
        match self {
            Self::Opening => OnlineError::Open { address, source },
            Self::Reading { .. } => OnlineError::Read { doing: self, address, source },
            Self::Writing { .. } | Self::Dropping { .. } | Self::Erasing => {
                OnlineError::Write { doing: self, address, source }
            }
        }
    }
}

/// The views of some tables, for messages.
fn views_of(tables: &[OnlineTable]) -> Vec<ViewId> {
    tables.iter().map(|table| table.view().clone()).collect()
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = |n: usize| if n == 1 { "1 key".to_owned() } else { format!("{n} keys") };
        match self {
            Self::Opening => f.write_str("opening"),
            Self::Reading { views, n_keys } => {
                let views: Vec<String> = views.iter().map(|view| format!("`{view}`")).collect();
                write!(f, "reading {} of {} from", keys(*n_keys), views.join(", "))
            }
            Self::Writing { view, n_keys } => write!(f, "writing {} of `{view}` to", keys(*n_keys)),
            Self::Dropping { tables } => match tables.as_slice() {
                [table] => write!(f, "removing table `{table}` from"),
                tables => write!(f, "removing {} tables from", tables.len()),
            },
            Self::Erasing => f.write_str("erasing a key from"),
        }
    }
}
