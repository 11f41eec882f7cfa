//! Where a page ended, as a token that clients hand back unread.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::SearchError;
use super::order::Order;
use super::subject::{Field, Subject};

/// The place of an entry in an order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Cursor {
    order: String,
    pub(super) keys: Vec<Key>,
}

/// The value of a field.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    pub(super) fn as_field(&self) -> Field<'_> {
        match self {
            Self::Number(number) => Field::Number(*number),
            Self::Text(text) => Field::Text(text),
        }
    }
}

impl Cursor {
    /// The place of an entry.
    pub(super) fn after(entry: &impl Subject, order: &Order) -> Self {
        let key = |(name, _): &(&str, bool)| match entry.field(name) {
            Field::Number(number) => Key::Number(number),
            Field::Text(text) => Key::Text(text.to_owned()),
        };
        Self { order: order.spelled(), keys: order.0.iter().map(key).collect() }
    }

    pub(super) fn token(&self) -> String {
        // Texts and numbers have a JSON form.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn read(token: &str, order: &Order) -> Result<Self, SearchError> {
        let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_what| SearchError::Token)?;
        let cursor: Self = serde_json::from_slice(&bytes).map_err(|_what| SearchError::Token)?;
        if cursor.order != order.spelled() || cursor.keys.len() != order.0.len() {
            return Err(SearchError::OtherOrder);
        }
        Ok(cursor)
    }
}
