//! Reading YAML with places: every mistake is kept with its file, line, column and a hint, and reading goes on.

use std::fmt;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

/// Where something stands in a project: file, line and column from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Path relative to the project.
    pub file: String,
    /// Line, from 1; 0 stands for the whole file.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// One mistake in a project's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What is wrong, both sides of a mismatch included.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Mistake {
    /// A mistake at a place.
    pub fn new(place: &Place, message: impl Into<String>) -> Self {
        Self { place: place.clone(), message: message.into(), hint: None }
    }

    /// With advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// "did you mean `x`?" for the nearest of `candidates`, or the list of them.
pub fn suggest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    // What is there, and is not what was meant, is no suggestion.
    let candidates: Vec<&str> = candidates.into_iter().filter(|name| *name != wrong).collect();
    let nearest = candidates
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(wrong.len()) / 3)
        .min();
    match nearest {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if candidates.is_empty() => "there are none".to_owned(),
        None => format!("there is {}", list(&candidates)),
    }
}

/// "`a`, `b` and `c`".
pub fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The documents of a file.
///
/// # Errors
/// The file's one syntax mistake.
pub fn documents<'a>(file: &str, text: &'a str) -> Result<Vec<MarkedYaml<'a>>, Mistake> {
    MarkedYaml::load_from_str(text).map_err(|why| {
        let at = why.marker();
        let place = Place { file: file.to_owned(), line: at.line(), column: at.col() + 1 };
        Mistake::new(&place, format!("this is not YAML: {}", why.info())).hint("check indentation, quotes and colons")
    })
}

/// A node with its file: what the typed readers below work on.
#[derive(Debug, Clone, Copy)]
pub struct Node<'n> {
    file: &'n str,
    yaml: &'n MarkedYaml<'n>,
}

impl<'n> Node<'n> {
    /// The root node of a document.
    pub fn new(file: &'n str, yaml: &'n MarkedYaml<'n>) -> Self {
        Self { file, yaml }
    }

    /// Where the node starts.
    pub fn place(self) -> Place {
        let at = self.yaml.span.start;
        Place { file: self.file.to_owned(), line: at.line(), column: at.col() + 1 }
    }

    /// Its scalar, unless it is a list or a mapping.
    pub fn scalar(self) -> Option<&'n Scalar<'n>> {
        match &self.yaml.data {
            YamlData::Value(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Whether it holds nothing.
    pub fn is_null(self) -> bool {
        matches!(self.scalar(), Some(Scalar::Null))
    }

    /// Whether it is a list.
    pub fn is_list(self) -> bool {
        matches!(self.yaml.data, YamlData::Sequence(_))
    }

    /// "a list", "the number 5": for messages.
    pub fn describe(self) -> String {
        match &self.yaml.data {
            YamlData::Sequence(_) => "a list".to_owned(),
            YamlData::Mapping(_) => "a mapping".to_owned(),
            YamlData::Value(Scalar::Null) => "nothing".to_owned(),
            YamlData::Value(Scalar::Boolean(v)) => format!("the truth value {v}"),
            YamlData::Value(Scalar::Integer(v)) => format!("the number {v}"),
            YamlData::Value(Scalar::FloatingPoint(v)) => format!("the number {v}"),
            YamlData::Value(Scalar::String(v)) => format!("the text `{v}`"),
            _ => "something that is not plain YAML (tags and aliases are not supported)".to_owned(),
        }
    }

    /// The mistake of finding this where `what` was expected.
    pub fn expected(self, what: &str) -> Mistake {
        Mistake::new(&self.place(), format!("expected {what}, found {}", self.describe()))
    }

    /// The node as a text.
    pub fn text(self, mistakes: &mut Vec<Mistake>) -> Option<String> {
        if let Some(Scalar::String(text)) = self.scalar() {
            return Some(text.to_string());
        }
        mistakes.push(self.expected("a text"));
        None
    }

    /// The node as a text, for which a truth value or a number may stand.
    pub fn setting(self, mistakes: &mut Vec<Mistake>) -> Option<String> {
        match self.scalar() {
            Some(Scalar::Boolean(flag)) => Some(flag.to_string()),
            Some(Scalar::Integer(number)) => Some(number.to_string()),
            Some(Scalar::FloatingPoint(number)) => Some(number.to_string()),
            _ => self.text(mistakes),
        }
    }

    /// The node as a truth value.
    pub fn flag(self, mistakes: &mut Vec<Mistake>) -> Option<bool> {
        if let Some(Scalar::Boolean(flag)) = self.scalar() {
            return Some(*flag);
        }
        mistakes.push(self.expected("true or false"));
        None
    }

    /// The node as a whole number, zero or more.
    pub fn count(self, mistakes: &mut Vec<Mistake>) -> Option<u32> {
        if let Some(Scalar::Integer(number)) = self.scalar()
            && let Ok(count) = u32::try_from(*number)
        {
            return Some(count);
        }
        mistakes.push(self.expected("a whole number, 0 or more"));
        None
    }

    /// Parses a text with `read`, whose error becomes the mistake.
    pub fn parse<T, E: fmt::Display>(
        self,
        mistakes: &mut Vec<Mistake>,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(mistakes)?;
        read(&text).map_err(|why| mistakes.push(Mistake::new(&self.place(), why.to_string()))).ok()
    }

    /// The items of a list.
    pub fn items(self, mistakes: &mut Vec<Mistake>) -> Vec<Node<'n>> {
        if let YamlData::Sequence(items) = &self.yaml.data {
            return items.iter().map(|yaml| Node { file: self.file, yaml }).collect();
        }
        mistakes.push(self.expected("a list"));
        Vec::new()
    }

    /// Key and value nodes of a mapping, in file order.
    pub fn entries(self, mistakes: &mut Vec<Mistake>) -> Vec<(Node<'n>, Node<'n>)> {
        if let YamlData::Mapping(map) = &self.yaml.data {
            let node = |yaml| Node { file: self.file, yaml };
            return map.iter().map(|(key, value)| (node(key), node(value))).collect();
        }
        mistakes.push(self.expected("a mapping"));
        Vec::new()
    }

    /// The node as a mapping whose fields are asked for by name; `what` it is, for messages.
    pub fn fields(self, what: &'static str, mistakes: &mut Vec<Mistake>) -> Fields<'n> {
        let entries = self
            .entries(mistakes)
            .into_iter()
            .filter_map(|(key, value)| key.text(mistakes).map(|name| (name, key, value)))
            .collect();
        Fields { what, place: self.place(), entries, asked: Vec::new() }
    }
}

/// The fields of one mapping: ask for each by name, then [`Fields::finish`] refuses what nobody asked for.
#[derive(Debug)]
pub struct Fields<'n> {
    what: &'static str,
    place: Place,
    entries: Vec<(String, Node<'n>, Node<'n>)>,
    asked: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// Where the mapping starts.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The value of a field, `None` where it is absent or null.
    pub fn optional(&mut self, name: &'static str) -> Option<Node<'n>> {
        self.asked.push(name);
        self.entries.iter().find(|(key, _, value)| key == name && !value.is_null()).map(|(_, _, value)| *value)
    }

    /// Whether a field is there and says `null`.
    pub fn says_null(&mut self, name: &'static str) -> bool {
        self.asked.push(name);
        self.entries.iter().any(|(key, _, value)| key == name && value.is_null())
    }

    /// As [`Self::optional`], but its absence is a mistake.
    pub fn required(&mut self, name: &'static str, mistakes: &mut Vec<Mistake>) -> Option<Node<'n>> {
        let found = self.optional(name);
        if found.is_none() {
            let mut mistake = Mistake::new(&self.place, format!("{} lacks `{name}`", self.what));
            let near = self.entries.iter().map(|(key, _, _)| key.as_str()).filter(|key| !self.asked.contains(key));
            if let Some(near) = near.min_by_key(|key| strsim::damerau_levenshtein(key, name))
                && strsim::damerau_levenshtein(near, name) <= 2
            {
                mistake = mistake.hint(format!("`{near}` looks like a misspelling of it"));
            }
            mistakes.push(mistake);
        }
        found
    }

    /// An optional text.
    pub fn text(&mut self, name: &'static str, mistakes: &mut Vec<Mistake>) -> Option<String> {
        self.optional(name)?.text(mistakes)
    }

    /// An optional truth value.
    pub fn flag(&mut self, name: &'static str, mistakes: &mut Vec<Mistake>) -> Option<bool> {
        self.optional(name)?.flag(mistakes)
    }

    /// Every key that was not asked for is a mistake.
    pub fn finish(self, mistakes: &mut Vec<Mistake>) {
        for (name, key, _) in &self.entries {
            if !self.asked.contains(&name.as_str()) {
                let unused = self.asked.iter().copied();
                mistakes.push(
                    Mistake::new(&key.place(), format!("{} has no field `{name}`", self.what))
                        .hint(suggest(name, unused)),
                );
            }
        }
    }
}
