//! Where the log is kept: a page is read, an event is appended, and everything else is a fold.
//!
//! A store is right when the suite of `conformance` (feature `testing`) passes over it.

mod memory;
mod postgres;
mod sqlite;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use schema::{BoxError, ErrorKind, Fingerprint};

use crate::event::Event;
use crate::log::LogError;
use crate::seq::Seq;

pub use memory::MemoryLog;
pub use postgres::PostgresLog;
pub use sqlite::SqliteLog;

/// How many events are read at once, so that a long log never is in memory as a whole.
pub const PAGE: usize = 256;

/// The text in one place of the log, as it was found there: nothing of it has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The place.
    pub seq: Seq,
    /// What is there.
    pub text: Vec<u8>,
}

/// An append-only log of events that several processes may write.
#[async_trait]
pub trait RegistryStore: fmt::Debug + Send + Sync + 'static {
    /// What is stored after `seq`, oldest first, at most `n_max` of it; nothing when there is nothing new. A log that was
    /// torn or edited is read all the same: only [`Stored::event`] judges.
    async fn read_page(&self, seq: Seq, n_max: usize) -> Result<Vec<Stored>, StoreError>;

    /// Writes `event`, which must be the next one and follow the last one's hash. When this returns, the event survives
    /// a crash; [`AppendError::Taken`] if another writer was first.
    async fn append(&self, event: &Event) -> Result<(), AppendError>;

    /// The bytes that [`Self::write_snapshot`] wrote last, by whichever process; `None` where it never did. They are
    /// checked by whoever reads them.
    async fn read_snapshot(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps `bytes` in place of those before, whole or not at all. It may also keep nothing, when another process is at it.
    /// No append waits for it.
    ///
    /// No bytes at all mean that the log is not what its snapshots say. They are kept for sure, and nothing is kept in their
    /// place, by no process: a person takes them away who has repaired the log.
    async fn write_snapshot(&self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Where the log is, for people: without passwords.
    fn location(&self) -> String;

    /// All events after `seq`, oldest first, each checked by itself. Of a long log [`Self::read_page`] needs less memory.
    async fn read_after(&self, seq: Seq) -> Result<Vec<Event>, StoreError> {
        let (mut events, mut last) = (Vec::new(), seq);
        loop {
            let page = self.read_page(last, PAGE).await?;
            let Some(end) = page.last() else { return Ok(events) };
            last = end.seq;
            for stored in &page {
                events.push(stored.event()?);
            }
        }
    }
}

impl Stored {
    /// The event that it is.
    ///
    /// # Errors
    /// [`LogError`] if it is none, or not the one that was written.
    pub fn event(&self) -> Result<Event, LogError> {
        let unreadable = |why: std::str::Utf8Error| LogError::Unreadable { seq: self.seq, source: why.into() };
        Event::from_json(self.seq, std::str::from_utf8(&self.text).map_err(unreadable)?)
    }
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
    /// The server does not let us in, or not do what we must.
    #[error("{doing} the registry `{location}`: the server refuses")]
    Refused {
        /// "opening", "reading", "writing to".
        doing: &'static str,
        /// The address.
        location: String,
        /// What the server says.
        #[source]
        source: BoxError,
    },
    /// The machine does not let us: the file may not be read or written, or its folder not.
    #[error("{doing} the registry `{location}`")]
    Forbidden {
        /// "opening", "reading", "writing to".
        doing: &'static str,
        /// The file.
        location: String,
        /// What the store says.
        #[source]
        source: BoxError,
    },
    /// The settings cannot be.
    #[error("the registry `{location}` cannot be opened: {problem}")]
    Settings {
        /// The address.
        location: String,
        /// What is wrong with them.
        problem: String,
    },
    /// The server did not answer in time.
    #[error("{doing} the registry `{location}`: no answer within {} ms", .limit.as_millis())]
    Timeout {
        /// "opening", "reading", "writing to".
        doing: &'static str,
        /// The address.
        location: String,
        /// How long was waited.
        limit: Duration,
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
    /// The store failed while it wrote, and did not come back in time to tell whether the event is in it.
    #[error("whether event {seq} was written to the registry `{location}` is not known")]
    Unknown {
        /// The place that was asked for.
        seq: Seq,
        /// The address.
        location: String,
        /// What the store says.
        #[source]
        source: BoxError,
    },
}

impl StoreError {
    /// What a caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Log(why) => why.kind(),
            Self::NotARegistry { .. } | Self::Format { .. } | Self::Settings { .. } => ErrorKind::Invalid,
            Self::Busy { .. } | Self::Io { .. } | Self::Refused { .. } | Self::Forbidden { .. } => {
                ErrorKind::Unavailable
            }
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Damaged { .. } => ErrorKind::Internal,
        }
    }

    /// Whether the server does not let us in, which trying again does not change.
    pub fn is_auth(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Log(why) => why.hint(),
            Self::NotARegistry { location, .. } if location.starts_with("postgres") => {
                Some("name another database or schema: postgres://host/database?schema=name".to_owned())
            }
            Self::NotARegistry { .. } => Some("name another file, or move this one away".to_owned()),
            Self::Forbidden { .. } => {
                Some("see that it is a file, and who may read and write it and its folder".to_owned())
            }
            Self::Refused { .. } => Some("look at the user, its password and its rights".to_owned()),
            Self::Settings { .. } | Self::Timeout { .. } => None,
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
