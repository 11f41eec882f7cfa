//! Libraries that read what others wrote panic at some of what cannot be. Here a panic is an error, so that a file is named,
//! and a server or a command goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::error::ArrowError;

/// A reader panicked.
#[derive(Debug, thiserror::Error)]
#[error("it is damaged")]
pub struct Damaged;

impl From<Damaged> for ArrowError {
    fn from(damaged: Damaged) -> Self {
        Self::IpcError(damaged.to_string())
    }
}

/// What a reader answers.
///
/// # Errors
/// What it says, or [`Damaged`].
pub fn caught<T, E: From<Damaged>>(read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_panic| Err(Damaged.into()))
}
