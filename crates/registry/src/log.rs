//! What can be wrong with a log: every way in which it is not what was written, with the event where it shows.

use schema::{BoxError, ErrorKind, Fingerprint};

use crate::event::FORMAT;
use crate::seq::Seq;

/// The log is torn, edited or from another time. It is refused; nothing is repaired.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The text is not an event.
    #[error("event {seq} of the registry's log cannot be read")]
    Unreadable {
        /// Where.
        seq: Seq,
        /// What the parser says.
        #[source]
        source: BoxError,
    },
    /// The event is of a format that this program does not know.
    #[error("event {seq} of the registry's log has format {found}, this program reads format {FORMAT}")]
    Format {
        /// Where.
        seq: Seq,
        /// The format it states.
        found: String,
    },
    /// The content does not have the hash that is written beside it.
    #[error(
        "event {seq} of the registry's log was edited: its hash is `{}`, its content hashes to `{}`",
        .stated.short(), .computed.short()
    )]
    Edited {
        /// Where.
        seq: Seq,
        /// The hash it states.
        stated: Fingerprint,
        /// The hash it has.
        computed: Fingerprint,
    },
    /// Same content, other bytes.
    #[error("event {seq} of the registry's log was edited: it is not spelled the way it was written")]
    Respelled {
        /// Where.
        seq: Seq,
    },
    /// The event stands in the place of another.
    #[error("event {says} of the registry's log stands in the place of event {seq}")]
    Misplaced {
        /// Where it stands.
        seq: Seq,
        /// Where it belongs.
        says: Seq,
    },
    /// One or more events are missing.
    #[error("event {expected} of the registry's log is missing: the next one there is {found}")]
    Gap {
        /// The first that is missing.
        expected: Seq,
        /// The one found.
        found: Seq,
    },
    /// The event was written after another history.
    #[error(
        "the hash chain of the registry's log is broken at event {seq}: it follows `{}`, the event before it is `{}`",
        .stated.short(), .found.short()
    )]
    Chain {
        /// Where.
        seq: Seq,
        /// The hash that it says the event before has.
        stated: Fingerprint,
        /// The hash that the event before has.
        found: Fingerprint,
    },
    /// The event is well formed and cannot have happened.
    #[error("event {seq} of the registry's log cannot have happened: {why}")]
    Impossible {
        /// Where.
        seq: Seq,
        /// The contradiction.
        why: String,
    },
    /// The event cannot be written so that it can be read again. It was not written.
    #[error("event {seq} cannot be written to the registry's log")]
    Unwritable {
        /// Where it would have been.
        seq: Seq,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl LogError {
    /// The event where it shows.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Gap { expected, .. } => *expected,
            Self::Unreadable { seq, .. }
            | Self::Format { seq, .. }
            | Self::Edited { seq, .. }
            | Self::Respelled { seq }
            | Self::Misplaced { seq, .. }
            | Self::Chain { seq, .. }
            | Self::Impossible { seq, .. }
            | Self::Unwritable { seq, .. } => *seq,
        }
    }

    /// What a caller can do: nothing, but for a log that a newer program wrote.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Format { .. } => ErrorKind::Invalid,
            _ => ErrorKind::Internal,
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Format { .. } => Some("use the version of the program that wrote it, or a newer one".to_owned()),
            Self::Unwritable { .. } => None,
            _ => Some(edited_hint(self.seq())),
        }
    }
}

/// What a person can do about a log that is wrong from `seq` on.
pub(crate) fn edited_hint(seq: Seq) -> String {
    format!(
        "the log is never edited, so nothing after event {0} can be trusted: restore it from a backup, or take what is good \
         into a new registry: plumb registry export good.jsonl --until {0}, then plumb registry import good.jsonl --registry NEW.db",
        seq.0.saturating_sub(1)
    )
}
