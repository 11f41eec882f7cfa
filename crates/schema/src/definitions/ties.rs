//! What becomes of two rows of one key that have the same event and created time.
//!
//! No part of the meaning: it decides whether such rows are taken, not which of them counts.

use serde::{Deserialize, Serialize};

use super::Mistakes;
use crate::yaml::Fields;

/// What is done where nothing but their positions tells which of two rows counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// The last one counts, in the order of files and of rows in them.
    #[default]
    Last,
    /// It is an error, unless both say the same.
    Error,
}

impl Ties {
    pub(super) fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// Reads `ties` of a view.
pub(super) fn ties(fields: &mut Fields<'_>, has_sequence: bool, mistakes: &mut Mistakes) -> Ties {
    let read = |text: &str| match text {
        "last" => Ok(Ties::Last),
        "error" if has_sequence => {
            Err("`sequence` orders rows of one time already, and a tie of it is an error: leave \
                                        `ties` out"
                .to_owned())
        }
        "error" => Ok(Ties::Error),
        other => Err(format!("`{other}` is no rule for rows of one time; write `last` or `error`")),
    };
    fields.optional("ties").and_then(|node| node.parse(mistakes, read)).unwrap_or_default()
}
