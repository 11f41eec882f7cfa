//! The order of what is found: total, so that a place in it is a place between two entries.

use std::cmp::Ordering;

use super::SearchError;
use super::page::Key;
use super::subject::{Field, Subject};

/// Fields, each with whether the greatest comes first. The last ones decide between equals.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order(pub(super) Vec<(&'static str, bool)>);

impl Order {
    pub(super) fn parse<S: Subject>(clauses: &[&str]) -> Result<Self, SearchError> {
        let mut fields: Vec<(&'static str, bool)> = Vec::new();
        for clause in clauses {
            let wrong = || SearchError::OrderClause { clause: clause.chars().take(100).collect() };
            let mut words = clause.split_whitespace();
            let key = words.next().ok_or_else(wrong)?;
            let descending = match words.next() {
                None => false,
                Some(word) if word.eq_ignore_ascii_case("asc") => false,
                Some(word) if word.eq_ignore_ascii_case("desc") => true,
                Some(_) => return Err(wrong()),
            };
            if words.next().is_some() {
                return Err(wrong());
            }
            let key = key.trim_matches(['`', '"']);
            let key = key.strip_prefix("attribute.").unwrap_or(key);
            let found = S::ORDER
                .iter()
                .find(|name| **name == key)
                .ok_or_else(|| SearchError::OrderKey { key: key.to_owned(), valid: format!("{:?}", S::ORDER) })?;
            if fields.iter().any(|(name, _)| name == found) {
                return Err(SearchError::OrderTwice { key: key.to_owned() });
            }
            fields.push((*found, descending));
        }
        if fields.is_empty() {
            fields.extend(S::USUAL);
        }
        for tie in S::TIES {
            if fields.iter().all(|(name, _)| *name != tie.0) {
                fields.push(*tie);
            }
        }
        Ok(Self(fields))
    }

    pub(super) fn compare<S: Subject>(&self, a: &S, b: &S) -> Ordering {
        self.each(|name| a.field(name), |i| b.field(self.0[i].0))
    }

    /// How an entry stands to the place of another, of which the keys are known. A key of another type than its field is
    /// before every one.
    pub(super) fn compare_to(&self, entry: &impl Subject, keys: &[Key]) -> Ordering {
        self.each(|name| entry.field(name), |i| keys.get(i).map_or(Field::Number(i64::MIN), Key::as_field))
    }

    fn each<'a>(&self, a: impl Fn(&str) -> Field<'a>, b: impl Fn(usize) -> Field<'a>) -> Ordering {
        let compared = self.0.iter().enumerate().map(|(i, (name, descending))| {
            let ordering = a(name).cmp(&b(i));
            if *descending { ordering.reverse() } else { ordering }
        });
        compared.into_iter().find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// For tokens: a place in one order is none in another.
    pub(super) fn spelled(&self) -> String {
        let field = |(name, descending): &(&str, bool)| format!("{name} {}", if *descending { "DESC" } else { "ASC" });
        self.0.iter().map(field).collect::<Vec<_>>().join(",")
    }
}
