//! What is looked for: models, or versions. Each says which of its fields a filter may name, and how it may ask.

use crate::model::{Model, VersionState};
use crate::tag::Tags;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field<'a> {
    Number(i64),
    Text(&'a str),
}

/// How a field may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// `= != LIKE ILIKE`.
    Text,
    /// `IN` and `NOT IN` too.
    List,
    /// `= != < <= > >=`.
    Number,
}

pub(super) trait Subject {
    /// Fields that a filter may name.
    const ATTRIBUTES: &'static [(&'static str, Asked)];
    /// Fields to order by.
    const ORDER: &'static [&'static str];
    /// The order where none is asked for, and what decides between equals: field, and whether from the greatest.
    const USUAL: &'static [(&'static str, bool)];
    const TIES: &'static [(&'static str, bool)];

    /// One of the fields above.
    fn field(&self, name: &str) -> Field<'_>;

    fn tags(&self) -> &Tags;
}

pub(super) struct ModelEntry<'c>(pub(super) &'c Model);

impl Subject for ModelEntry<'_> {
    const ATTRIBUTES: &'static [(&'static str, Asked)] = &[("name", Asked::List)];
    const ORDER: &'static [&'static str] = &["name", "timestamp", "last_updated_timestamp"];
    const USUAL: &'static [(&'static str, bool)] = &[];
    const TIES: &'static [(&'static str, bool)] = &[("name", false)];

    fn field(&self, name: &str) -> Field<'_> {
        match name {
            "timestamp" | "last_updated_timestamp" => Field::Number(self.0.updated_at.as_nanos()),
            _ => Field::Text(self.0.name.as_str()),
        }
    }

    fn tags(&self) -> &Tags {
        &self.0.tags
    }
}

pub(super) struct VersionEntry<'c> {
    pub(super) model: &'c Model,
    pub(super) state: &'c VersionState,
}

impl Subject for VersionEntry<'_> {
    const ATTRIBUTES: &'static [(&'static str, Asked)] = &[
        ("name", Asked::List),
        ("run_id", Asked::List),
        ("source_path", Asked::Text),
        ("version_number", Asked::Number),
    ];
    const ORDER: &'static [&'static str] = &["name", "version_number", "creation_timestamp", "last_updated_timestamp"];
    const USUAL: &'static [(&'static str, bool)] = &[("last_updated_timestamp", true)];
    const TIES: &'static [(&'static str, bool)] = &[("name", false), ("version_number", true)];

    fn field(&self, name: &str) -> Field<'_> {
        let version = &self.state.version;
        match name {
            "run_id" => Field::Text(&version.origin.run_id),
            "source_path" => Field::Text(&version.origin.source),
            "version_number" => Field::Number(i64::from(version.version)),
            "creation_timestamp" => Field::Number(version.registered_at.as_nanos()),
            "last_updated_timestamp" => Field::Number(self.state.updated_at.as_nanos()),
            _ => Field::Text(self.model.name.as_str()),
        }
    }

    fn tags(&self) -> &Tags {
        &self.state.tags
    }
}
