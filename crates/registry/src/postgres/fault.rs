//! What a failure of the server means to whoever called. No message of it holds the password.

use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

/// Where the log is, for people.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) location: String,
}

impl Place {
    pub(crate) fn fault(&self, doing: &'static str, why: Error) -> StoreError {
        let location = self.location.clone();
        let Some(code) = why.code() else { return StoreError::Io { doing, location, source: why.into() } };
        match code.code() {
            "3D000" => self.not_a_registry("there is no such database"),
            "42P01" | "42703" | "3F000" => self.not_a_registry("its tables are gone, or are of something else"),
            // Passwords, roles, rights.
            "28000" | "28P01" | "42501" => StoreError::Refused { doing, location, source: why.into() },
            "XX001" | "XX002" => StoreError::Damaged { doing, location, source: why.into() },
            _ => StoreError::Io { doing, location, source: why.into() },
        }
    }

    pub(crate) fn timeout(&self, doing: &'static str, limit: Duration) -> StoreError {
        StoreError::Timeout { doing, location: self.location.clone(), limit }
    }

    pub(crate) fn not_a_registry(&self, what: &'static str) -> StoreError {
        StoreError::NotARegistry { location: self.location.clone(), what }
    }
}

/// Whether another writer was first.
pub(crate) fn is_rival(why: &Error) -> bool {
    let rival = [SqlState::UNIQUE_VIOLATION, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    why.code().is_some_and(|code| rival.contains(code))
}

/// Whether the server said that it did not do what was asked, and can be asked on. A server or session that is ended
/// (57), a connection that breaks (08), a bug (XX) or a silence say nothing of the kind.
pub(crate) fn is_final(why: &Error) -> bool {
    let uncertain = |code: &SqlState| ["57", "08", "XX"].iter().any(|class| code.code().starts_with(class));
    why.code().is_some_and(|code| !uncertain(code) && *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN)
}
