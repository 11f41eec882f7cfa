//! Why there are no replies, before it is known what was being done.

use std::fmt::Display;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerError, Value};
use schema::BoxError;
use tokio::time::Instant;

use crate::online::{Doing, OnlineError, Refusal};

/// The code of the merge script's own error: a stored cell does not parse.
pub(super) const CORRUPT: &str = "CORRUPT";

/// Until when an answer is of use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    /// What the caller was promised.
    limit: Duration,
}

/// Why there are no replies, and whose fault it is.
#[derive(Debug)]
pub(super) struct Failed {
    /// The server, without credentials.
    pub(super) address: String,
    pub(super) why: Why,
}

#[derive(Debug)]
pub(super) enum Why {
    /// No answer came in time.
    Slow { limit: Duration },
    /// The server, or the way to it, is gone: another may have taken its place.
    Gone(BoxError),
    /// The server answered, and it is a refusal that has a cure.
    Refused(Refusal, BoxError),
    /// Anything else it said.
    Said(BoxError),
}

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }

    /// An earlier one, for a part of the work of which other parts can do without.
    pub(super) fn part(self, share: u32) -> Self {
        let left = self.at.saturating_duration_since(Instant::now());
        Self { at: Instant::now() + left / share, limit: self.limit }
    }

    pub(super) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Waits for a turn, but not for ever.
    pub(super) async fn turn<'a>(
        self,
        lock: &'a tokio::sync::Mutex<()>,
        address: impl Display,
    ) -> Result<tokio::sync::MutexGuard<'a, ()>, Failed> {
        match tokio::time::timeout_at(self.at, lock.lock()).await {
            Ok(turn) => Ok(turn),
            Err(_) => Err(self.missed(address)),
        }
    }

    pub(super) fn missed(self, address: impl Display) -> Failed {
        Failed { address: address.to_string(), why: Why::Slow { limit: self.limit } }
    }
}

impl Failed {
    pub(super) fn of(address: impl Display, error: RedisError) -> Self {
        let refusal = match error.kind() {
            ErrorKind::AuthenticationFailed => Some(Refusal::WrongPassword),
            _ => Refusal::of(error.code().unwrap_or_default(), error.detail().unwrap_or_default()),
        };
        let why = match refusal {
            Some(refusal) => Why::Refused(refusal, error.into()),
            None if error.is_io_error() || error.is_unrecoverable_error() => Why::Gone(error.into()),
            None => Why::Said(error.into()),
        };
        Self { address: address.to_string(), why }
    }

    /// The failure that a server's error is.
    pub(super) fn said(address: impl Display, error: &ServerError) -> Self {
        let details = error.details().unwrap_or_default();
        let said: BoxError = format!("{} {details}", error.code()).trim_end().into();
        let why = match Refusal::of(error.code(), details) {
            Some(refusal) => Why::Refused(refusal, said),
            None => Why::Said(said),
        };
        Self { address: address.to_string(), why }
    }

    /// A reply of the wrong shape.
    pub(super) fn unexpected(address: impl Display, reply: &Value) -> Self {
        let what = match reply {
            Value::ServerError(error) => return Self::said(address, error),
            Value::Nil => "nothing",
            Value::Array(_) => "a list of another length",
            _ => "another type of value",
        };
        Self { address: address.to_string(), why: Why::Said(format!("the server replied with {what}").into()) }
    }

    pub(super) fn refused(address: impl Display, refusal: Refusal, why: impl Into<BoxError>) -> Self {
        Self { address: address.to_string(), why: Why::Refused(refusal, why.into()) }
    }

    /// The first reply that is an error, but for the script's own, whose caller knows more.
    pub(super) fn in_replies(address: impl Display, replies: &[Value]) -> Result<(), Self> {
        let mut errors = replies.iter().filter_map(|reply| match reply {
            Value::ServerError(error) if error.code() != CORRUPT => Some(error),
            _ => None,
        });
        errors.next().map_or(Ok(()), |error| Err(Self::said(address, error)))
    }

    /// Whether another server may take the request, now or soon.
    pub(super) fn may_pass(&self) -> bool {
        match &self.why {
            Why::Gone(_) => true,
            Why::Refused(refusal, _) => {
                matches!(refusal, Refusal::ReadOnly | Refusal::ClusterDown | Refusal::Loading)
            }
            Why::Slow { .. } | Why::Said(_) => false,
        }
    }

    /// Whether the same server may take the request soon.
    pub(super) fn may_pass_here(&self) -> bool {
        matches!(&self.why, Why::Refused(Refusal::Loading | Refusal::Busy | Refusal::ReadOnly, _))
    }

    pub(super) fn while_doing(self, doing: Doing) -> OnlineError {
        let address = self.address;
        match self.why {
            Why::Slow { limit } => OnlineError::Timeout { doing, address, limit },
            Why::Refused(refusal, source) => OnlineError::Refused { doing, address, refusal, source },
            Why::Gone(source) | Why::Said(source) => doing.failed(&address, source),
        }
    }
}
