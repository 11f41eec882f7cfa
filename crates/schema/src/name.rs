//! Validated names. A name that exists is well formed: nothing above checks it again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The one join key of an entity without any: Feast's name for it. Its value is always the empty text, and nobody need send
/// it.
pub const CONSTANT_KEY: &str = "__dummy_id";
/// Longest name accepted anywhere, in bytes.
pub const NAME_MAX: usize = 200;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what} name: {why}")]
pub struct NameError {
    what: &'static str,
    text: String,
    why: &'static str,
}

fn check(text: &str, what: &'static str, more: &[char]) -> Result<(), NameError> {
    let fail = |why| Err(NameError { what, text: text.escape_debug().to_string(), why });
    let Some(first) = text.chars().next() else { return fail("it is empty") };
    if text.len() > NAME_MAX {
        return fail("it is longer than 200 bytes");
    }
    if !(first.is_ascii_alphabetic() || first == '_') {
        return fail("it must start with a letter or `_`");
    }
    if text.starts_with("__") && (what, text) != ("feature", CONSTANT_KEY) {
        return fail("names that start with `__` are reserved");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || more.contains(&c)) {
        return fail("only letters, digits and `_` are allowed (`-` and `.` too in model and service names)");
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $more:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Validates `text`.
            ///
            /// # Errors
            /// [`NameError`] says which rule it breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check(&text, $what, &$more)?;
                Ok(Self(text))
            }

            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{}`", self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// What features are about: `user`, `card`.
    EntityName, "entity", [];
    /// Where rows come from; also the table's name in a view's SQL.
    SourceName, "source", [];
    /// A feature view.
    ViewName, "feature view", [];
    /// A column of a view, or of a service.
    FeatureName, "feature", [];
    /// A feature service.
    ServiceName, "feature service", ['-', '.'];
    /// A registered model.
    ModelName, "model", ['-', '.'];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_once() {
        assert!(ViewName::new("user_features").is_ok());
        assert!(ModelName::new("churn-v1.2").is_ok());
        for bad in ["", "1st", "a b", "a/b", "..", "a\0", "__hidden", "käse"] {
            assert!(ViewName::new(bad).is_err(), "{bad:?}");
        }
        assert!(FeatureName::new(CONSTANT_KEY).is_ok());
        assert!(ViewName::new(CONSTANT_KEY).is_err());
        assert!(ViewName::new("x".repeat(NAME_MAX + 1)).is_err());
    }
}
