//! How a feature view is served: where its rows are, and what a request gets when they cannot be had.
//!
//! None of it is part of the meaning: the value of a feature at an instant is the same wherever it is kept.

use serde::{Deserialize, Serialize};

use super::Mistakes;
use crate::yaml::{Fields, Mistake, suggest};

/// What a request gets of a view when the online store cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The whole request fails.
    #[default]
    Error,
    /// Its features are null with status `UNAVAILABLE`; the rest of the request is answered.
    Null,
}

/// Where the rows of a view are served from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// The project's own online store.
    #[default]
    Own,
    /// A Redis that Feast fills; it is only read.
    Feast(FeastRows),
}

/// What a view is called in Feast's Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeastRows {
    /// Its name there; the view's own unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// Its version there, from 0, where Feast keeps versions online.
    #[serde(default)]
    pub version: u32,
}

impl OnError {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
    pub(super) fn is_error(&self) -> bool {
        *self == Self::Error
    }
}

impl Serving {
    pub(super) fn is_own(&self) -> bool {
        *self == Self::Own
    }

    /// What the view is called in Feast's Redis, if it is served from there.
    pub fn feast(&self) -> Option<&FeastRows> {
        match self {
            Self::Own => None,
            Self::Feast(rows) => Some(rows),
        }
    }
}

/// Reads `on_error` and `online` of a view.
pub(super) fn serving(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> (OnError, Serving) {
    // YAML reads the word as nothing, and a quoted one as a text: both say the same here.
    if fields.says_null("on_error") {
        return (OnError::Null, online(fields, mistakes));
    }
    let on_error = fields.optional("on_error").and_then(|node| {
        node.parse(mistakes, |text| match text {
            "error" => Ok(OnError::Error),
            "null" => Ok(OnError::Null),
            other => Err(format!("`{other}` says not what to do; write `error` or `null`")),
        })
    });
    (on_error.unwrap_or_default(), online(fields, mistakes))
}

fn online(fields: &mut Fields<'_>, mistakes: &mut Mistakes) -> Serving {
    let Some(node) = fields.optional("online") else { return Serving::Own };
    let mut inner = node.fields("where a view is served from", mistakes);
    let kind = inner.required("kind", mistakes).and_then(|kind| Some((kind, kind.text(mistakes)?)));
    let view = inner.text("view", mistakes);
    let version = inner.optional("version").and_then(|node| node.count(mistakes)).unwrap_or(0);
    inner.finish(mistakes);
    match kind.as_ref().map(|(kind, text)| (kind, text.as_str())) {
        Some((_, "feast")) => Serving::Feast(FeastRows { view, version }),
        Some((kind, other)) => {
            let message = format!("`{other}` is not where a view is served from");
            mistakes.push(Mistake::new(&kind.place(), message).hint(suggest(other, ["feast"])));
            Serving::Own
        }
        None => Serving::Own,
    }
}
