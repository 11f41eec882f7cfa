//! How far ahead of now rows may be: the clock of a producer may be wrong, and a row of next year wins over all until then.
//!
//! No part of the meaning: it decides which rows are taken, not what is made of them.

use serde::{Deserialize, Serialize};

use super::Mistakes;
use crate::time::{Timestamp, Ttl};
use crate::yaml::Fields;

/// How far ahead of the clock an event time may be when its row is pushed or ingested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ahead {
    /// As the project says; any, if it says nothing.
    #[default]
    AsProject,
    /// Any: rows are dated ahead on purpose, and wait until their time comes.
    Any,
    /// No farther than this.
    Within(Ttl),
}

impl Ahead {
    pub(super) fn is_as_project(&self) -> bool {
        *self == Self::AsProject
    }

    /// The limit, where there is one.
    pub fn limit(self, of_project: Option<Ttl>) -> Option<Ttl> {
        match self {
            Self::AsProject => of_project,
            Self::Any => None,
            Self::Within(limit) => Some(limit),
        }
    }
}

/// The last event time that may come now.
pub fn latest(now: Timestamp, limit: Ttl) -> Timestamp {
    Timestamp::from_nanos(now.as_nanos().saturating_add(limit.as_nanos()))
}

/// What is wrong with a row of an event time after the latest one.
pub fn too_far(event_time: Timestamp, now: Timestamp, limit: Ttl) -> String {
    format!("event time {event_time} is more than `max_skew`, {limit}, ahead of now, {now}")
}

/// Reads `max_skew` of a view.
pub(super) fn ahead(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Ahead {
    let read = |text: &str| match text {
        "any" => Ok(Ahead::Any),
        text => Ttl::parse(text).map(Ahead::Within).map_err(|why| format!("{why}; or write `any`")),
    };
    fields.optional("max_skew").and_then(|node| node.parse(mistakes, read)).unwrap_or_default()
}
