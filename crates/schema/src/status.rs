//! What is known about one value; the same four answers offline and online (point-in-time semantics, section 3), and a
//! fifth that only serving has: the store could not be asked.

use std::fmt;

/// The status of one feature value. Every status except `Present` carries null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
pub enum Status {
    /// The row was found and has a value, NaN included.
    Present = 0,
    /// The row says null; no older row is consulted.
    NullValue = 1,
    /// The newest row is older than the view's TTL.
    OutsideMaxAge = 2,
    /// No row at that time, or the row was deleted, or the key is null.
    NotFound = 3,
    /// The online store could not say, and the view says `on_error: null`. No answer of history, which always can.
    Unavailable = 4,
}

impl Status {
    /// Every status, by its number.
    pub const ALL: [Self; 5] = [Self::Present, Self::NullValue, Self::OutsideMaxAge, Self::NotFound, Self::Unavailable];

    /// The name used in every protocol and file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Present => "PRESENT",
            Self::NullValue => "NULL_VALUE",
            Self::OutsideMaxAge => "OUTSIDE_MAX_AGE",
            Self::NotFound => "NOT_FOUND",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    /// The inverse of `as u8`.
    pub fn from_u8(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s as u8 == code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
