//! Validated names. A name that exists is well formed: nothing above checks it again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The one join key of an entity without any: Feast's name for it. Its value is always the empty text, and nobody need send
/// it.
pub const CONSTANT_KEY: &str = "__dummy_id";
/// Longest name accepted anywhere but for models, in bytes.
pub const NAME_MAX: usize = 200;
/// Longest name of a model, in characters.
pub const MODEL_NAME_MAX: usize = 256;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what} name: {why}")]
pub struct NameError {
    what: &'static str,
    text: String,
    why: &'static str,
}

/// An identifier, with `more` characters allowed in it.
fn identifier(text: &str, what: &'static str, more: &[char]) -> Result<(), &'static str> {
    let Some(first) = text.chars().next() else { return Err("it is empty") };
    if text.len() > NAME_MAX {
        return Err("it is longer than 200 bytes");
    }
    if !(first.is_ascii_alphabetic() || first == '_') {
        return Err("it must start with a letter or `_`");
    }
    if text.starts_with("__") && (what, text) != ("feature", CONSTANT_KEY) {
        return Err("names that start with `__` are reserved");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || more.contains(&c)) {
        return Err("only letters, digits and `_` are allowed (`-` and `.` too in service names)");
    }
    Ok(())
}

/// What MLflow takes for the name of a model: any text that is one segment of a path and no other, without `:`, by which
/// versions are named.
fn model(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        return Err("it is empty");
    }
    if text.chars().count() > MODEL_NAME_MAX {
        return Err("it is longer than 256 characters");
    }
    if text.contains(['/', ':']) {
        return Err("it must not contain `/` or `:`");
    }
    if text == "." || text.starts_with("..") {
        return Err("it would be read as a path");
    }
    if text.chars().any(char::is_control) {
        return Err("control characters are not allowed");
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $check:expr;)*) => {$(
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
                let check: fn(&str, &'static str) -> Result<(), &'static str> = $check;
                match check(&text, $what) {
                    Ok(()) => Ok(Self(text)),
                    Err(why) => Err(NameError { what: $what, text: text.escape_debug().to_string(), why }),
                }
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
    EntityName, "entity", |text, what| identifier(text, what, &[]);
    /// Where rows come from; also the table's name in a view's SQL.
    SourceName, "source", |text, what| identifier(text, what, &[]);
    /// A feature view.
    ViewName, "feature view", |text, what| identifier(text, what, &[]);
    /// A column of a view, or of a service.
    FeatureName, "feature", |text, what| identifier(text, what, &[]);
    /// A feature service.
    ServiceName, "feature service", |text, what| identifier(text, what, &['-', '.']);
    /// A registered model. Wider than other names: clients of MLflow write blanks and any letter.
    ModelName, "model", |text, _| model(text);
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

    #[test]
    fn models_are_called_what_mlflow_lets_them_be_called() {
        for good in ["churn-v1.2", "1st model", "käse", "__x", ".hidden", "a%2Fb", &"ü".repeat(MODEL_NAME_MAX)] {
            assert_eq!(ModelName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "  ", "a/b", "a:b", ".", "..", "..x", "a\0", "a\n", &"x".repeat(MODEL_NAME_MAX + 1)] {
            assert!(ModelName::new(bad).is_err(), "{bad:?}");
        }
    }
}
