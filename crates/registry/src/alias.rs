//! Names that people give to versions: `champion`, `challenger`.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest alias, in characters.
pub const ALIAS_MAX: usize = 255;

/// The alias that nobody sets: the highest version of all.
pub const LATEST: &str = "latest";

/// A name that points to one version of a model and may be moved to another. It is never `latest` and never looks like a
/// number of a version (`v3`), which clients resolve themselves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Alias(String);

/// Why a text is not an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AliasError {
    #[error("an alias has 1 to {ALIAS_MAX} characters, this one has {characters}")]
    Length { characters: usize },
    #[error("Invalid alias name: '{text}'. An alias has letters, digits, `_` and `-` only.")]
    Characters { text: String },
    #[error("'latest' alias name (case insensitive) is reserved.")]
    Latest,
    #[error("Version alias name '{text}' is reserved.")]
    Version { text: String },
}

impl Alias {
    /// Validates `text`.
    ///
    /// # Errors
    /// [`AliasError`] says which rule it breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, AliasError> {
        let text = text.into();
        let characters = text.chars().count();
        if !(1..=ALIAS_MAX).contains(&characters) {
            return Err(AliasError::Length { characters });
        }
        if !text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            return Err(AliasError::Characters { text: text.escape_debug().to_string() });
        }
        if text.eq_ignore_ascii_case(LATEST) {
            return Err(AliasError::Latest);
        }
        let number = text.strip_prefix(['v', 'V']).filter(|rest| !rest.is_empty());
        if number.is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_digit())) {
            return Err(AliasError::Version { text });
        }
        Ok(Self(text))
    }

    /// The alias as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Alias {
    type Error = AliasError;
    fn try_from(text: String) -> Result<Self, AliasError> {
        Self::new(text)
    }
}

impl From<Alias> for String {
    fn from(alias: Alias) -> Self {
        alias.0
    }
}

impl Borrow<str> for Alias {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_a_word() {
        for good in ["champion", "Prod-2", "v", "v3a", "3", "käse", "latest_one"] {
            assert_eq!(Alias::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "a.b", "latest", "Latest", "v3", "V17", &"x".repeat(ALIAS_MAX + 1)] {
            assert!(Alias::new(bad).is_err(), "{bad:?}");
        }
        let why = Alias::new("v1").unwrap_err().to_string();
        assert_eq!(why, "Version alias name 'v1' is reserved.");
    }
}
