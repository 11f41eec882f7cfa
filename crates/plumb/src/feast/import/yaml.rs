//! Definitions as text. Every text is quoted as JSON quotes it, which YAML reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use schema::Dtype;

/// One document of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document(String);

impl Document {
    pub(super) fn new(kind: &str) -> Self {
        Self(format!("kind: {kind}\n"))
    }

    /// A field, unless it is empty: that is Feast's way to leave one out.
    pub(super) fn text(&mut self, field: &str, value: &str) {
        if !value.is_empty() {
            let _ = writeln!(self.0, "{field}: {}", scalar(value));
        }
    }

    /// A line for people.
    pub(super) fn comment(&mut self, text: &str) {
        let _ = writeln!(self.0, "# {}", text.split(char::is_control).collect::<Vec<_>>().join(" "));
    }

    /// A list of what is YAML already, unless it is empty.
    pub(super) fn list(&mut self, field: &str, items: impl Iterator<Item = String>) {
        let items: Vec<String> = items.map(|item| format!("  - {item}\n")).collect();
        if !items.is_empty() {
            let _ = write!(self.0, "{field}:\n{}", items.concat());
        }
    }

    pub(super) fn tags(&mut self, tags: &BTreeMap<String, String>) {
        self.map("tags", tags);
    }

    pub(super) fn map(&mut self, field: &str, map: &BTreeMap<String, String>) {
        if !map.is_empty() {
            let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{}: {}", scalar(k), scalar(v))).collect();
            let _ = writeln!(self.0, "{field}: {{{}}}", pairs.join(", "));
        }
    }

    pub(super) fn features<'a>(&mut self, features: impl Iterator<Item = (&'a str, Dtype, &'a str)>) {
        self.features_as("features", features);
    }

    /// A list of names with types and descriptions.
    pub(super) fn features_as<'a>(&mut self, field: &str, features: impl Iterator<Item = (&'a str, Dtype, &'a str)>) {
        let _ = writeln!(self.0, "{field}:");
        for (name, dtype, description) in features {
            let more =
                if description.is_empty() { String::new() } else { format!(", description: {}", scalar(description)) };
            let dtype = dtype.to_string();
            // Between braces a comma ends a value.
            let dtype = if dtype.contains(',') { format!("\"{dtype}\"") } else { dtype };
            let _ = writeln!(self.0, "  - {{name: {}, type: {dtype}{more}}}", scalar(name));
        }
    }

    /// A service's features. Those of one name, which Feast tells apart by their views, are called after both.
    pub(super) fn references(&mut self, references: &[(&str, &str)]) {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<&str> =
            references.iter().map(|(_, f)| *f).filter(|feature| !seen.insert(*feature)).collect();
        let _ = writeln!(self.0, "features:");
        for (view, feature) in references {
            let _ = if twice.contains(feature) {
                writeln!(self.0, "  - {{feature: {view}:{feature}, as: {view}__{feature}}}")
            } else {
                writeln!(self.0, "  - {view}:{feature}")
            };
        }
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A text as YAML reads it back: plain where that is beyond doubt.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    if plain && !word { text.to_owned() } else { serde_json::Value::String(text.to_owned()).to_string() }
}
