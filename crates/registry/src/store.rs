//! Where the log is kept: two methods, and everything else is a fold.
//!
//! A store is right when the suite of `conformance` (feature `testing`) passes over it.

mod memory;
mod sqlite;

use std::fmt;

use async_trait::async_trait;
use schema::{BoxError, ErrorKind, Fingerprint};

use crate::event::Event;
use crate::log::LogError;
use crate::seq::Seq;

pub use memory::MemoryLog;
pub use sqlite::SqliteLog;

/// An append-only log of events that several processes may write.
#[async_trait]
pub trait RegistryStore: fmt::Debug + Send + Sync + 'static {
    /// Events after `seq`, oldest first; none when there is nothing new. Each has been read with [`Event::from_json`].
    async fn read_after(&self, seq: Seq) -> Result<Vec<Event>, StoreError>;

    /// Writes `event`, which must be the next one and follow the last one's hash. When this returns, the event survives
    /// a crash; [`AppendError::Taken`] if another writer was first.
    async fn append(&self, event: &Event) -> Result<(), AppendError>;
}

/// Why the log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What was read is no log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file is something else.
    #[error("`{location}` is not a registry: {what}")]
    NotARegistry {
        /// The file.
        location: String,
        /// What it is.
        what: &'static str,
    },
    /// The file is from another time.
    #[error("the registry `{location}` has format {found}, this program reads format {reads}")]
    Format {
        /// The file.
        location: String,
        /// The format it states.
        found: String,
        /// The format of this program.
        reads: u32,
    },
    /// Another process did not let go of the file.
    #[error("{doing} the registry `{location}`: another process holds it")]
    Busy {
        /// "reading", "writing to".
        doing: &'static str,
        /// The file.
        location: String,
    },
    /// The disk, or what is on it, is broken.
    #[error("{doing} the registry `{location}`: the file is damaged")]
    Damaged {
        /// "reading", "writing to".
        doing: &'static str,
        /// The file.
        location: String,
        /// What the store says.
        #[source]
        source: BoxError,
    },
    /// Anything else.
    #[error("{doing} the registry `{location}`")]
    Io {
        /// "opening", "reading", "writing to".
        doing: &'static str,
        /// The file.
        location: String,
        /// What the store says.
        #[source]
        source: BoxError,
    },
}

/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another writer was first: read what is new and decide again.
    #[error("event {seq} is already written")]
    Taken {
        /// The place that was asked for.
        seq: Seq,
    },
    /// The store failed, and the event is not in it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Log(why) => why.kind(),
            Self::NotARegistry { .. } | Self::Format { .. } => ErrorKind::Invalid,
            Self::Busy { .. } | Self::Io { .. } => ErrorKind::Unavailable,
            Self::Damaged { .. } => ErrorKind::Internal,
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Log(why) => why.hint(),
            Self::NotARegistry { .. } => Some("name another file, or move this one away".to_owned()),
            Self::Format { .. } => Some("use the version of the program that wrote it, or a newer one".to_owned()),
            Self::Busy { .. } => Some("look for a process that stopped while it wrote, then try again".to_owned()),
            Self::Damaged { .. } => Some("restore the file from a backup".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

/// Whether `event` may be written after an event at `last` with hash `head`: the rule that every store checks while it
/// holds the log for itself.
fn check_next(event: &Event, last: Seq, head: Fingerprint) -> Result<(), AppendError> {
    let next = last.next();
    if event.seq < next {
        return Err(AppendError::Taken { seq: event.seq });
    }
    if event.seq > next {
        return Err(StoreError::from(LogError::Gap { expected: next, found: event.seq }).into());
    }
    if event.previous != head {
        return Err(StoreError::from(LogError::Chain { seq: next, stated: event.previous, found: head }).into());
    }
    Ok(())
}
