//! What people write on models and versions: a key and a text.

use std::collections::BTreeMap;

/// Longest key, in characters.
pub const KEY_MAX: usize = 250;
/// Longest value, in characters.
pub const VALUE_MAX: usize = 100_000;

/// Values by key.
pub type Tags = BTreeMap<String, String>;

/// Why a tag is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TagError {
    #[error("a tag's key is missing")]
    NoKey,
    #[error("Invalid tag name: '{key}'. A key has letters, digits, `_`, `/`, `-`, `.`, `:` and spaces only.")]
    Characters { key: String },
    #[error("Invalid tag name: '{key}'. It would be read as another path.")]
    Path { key: String },
    #[error("tag name '{key}' exceeds the maximum length of {KEY_MAX} characters")]
    LongKey { key: String },
    #[error("the value of tag '{key}' exceeds the maximum length of {VALUE_MAX} characters: it has {characters}")]
    LongValue { key: String, characters: usize },
}

/// Checks a key: at most [`KEY_MAX`] word characters, `/ . - :` and spaces, and no path that another spelling also names.
///
/// # Errors
/// [`TagError`].
pub fn check_key(key: &str) -> Result<(), TagError> {
    if key.is_empty() {
        return Err(TagError::NoKey);
    }
    if key.chars().count() > KEY_MAX {
        return Err(TagError::LongKey { key: key.chars().take(40).chain("...".chars()).collect() });
    }
    if !key.chars().all(|c| c.is_alphanumeric() || "_/.-: ".contains(c)) {
        return Err(TagError::Characters { key: key.escape_debug().to_string() });
    }
    // `a//b`, `./a`, `a/` and `../a` name what others name too, or leave the place they are put in.
    if key.starts_with("..") || key.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(TagError::Path { key: key.to_owned() });
    }
    Ok(())
}

/// Checks a key and its value, which may be empty.
///
/// # Errors
/// [`TagError`].
pub fn check(key: &str, value: &str) -> Result<(), TagError> {
    check_key(key)?;
    match value.chars().count() {
        ..=VALUE_MAX => Ok(()),
        characters => Err(TagError::LongValue { key: key.to_owned(), characters }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_words_and_paths_that_have_one_spelling() {
        for good in ["team", "mlflow.prompt.is_prompt", "a/b-c:d e", "_x", "ünï"] {
            assert_eq!(check(good, ""), Ok(()), "{good:?}");
        }
        for bad in ["", "a#b", "a\n", "/a", "a/", "a//b", "./a", "..", "../a", &"k".repeat(KEY_MAX + 1)] {
            assert!(check_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn values_have_a_limit_in_characters() {
        assert_eq!(check("k", &"ü".repeat(VALUE_MAX)), Ok(()));
        assert!(matches!(check("k", &"ü".repeat(VALUE_MAX + 1)), Err(TagError::LongValue { .. })));
    }
}
