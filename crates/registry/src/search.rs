//! Finding models and versions with MLflow's language of filters, page by page.
//!
//! ```text
//! filter := clause (AND clause)*
//! clause := name op value | name [NOT] IN '(' text (',' text)* ')'
//! name   := attribute | 'attribute.' attribute | ('tag.' | 'tags.') key
//! ```
//!
//! A page ends with the place of its last entry in the order, not with a count: whatever is written meanwhile, nothing that
//! stays where it is comes twice or is passed over.

mod clause;
mod order;
mod page;
mod pattern;
mod subject;
mod words;

use std::cmp::Ordering;

use crate::catalog::Catalog;
use crate::model::{Model, VersionState};
use crate::tag::Tags;
use clause::Filter;
use order::Order;
use page::Cursor;
use subject::{ModelEntry, Subject, VersionEntry};

/// The tag by which a model is known to be a prompt, which MLflow keeps in the same tables.
pub const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// Whether what has these tags is a prompt.
pub fn is_prompt(tags: &Tags) -> bool {
    tags.get(IS_PROMPT).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Query<'q> {
    /// In the language above; empty for everything.
    pub filter: &'q str,
    /// Fields, each with `ASC` or `DESC` if need be; empty for the usual order.
    pub order_by: Vec<&'q str>,
    /// The most entries of a page, at least 1.
    pub max_results: usize,
    /// Where the page before ended.
    pub page_token: Option<&'q str>,
}

/// Some of what was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in order.
    pub entries: Vec<T>,
    /// Where the next page begins; none after the last one.
    pub next: Option<String>,
}

/// Why nothing is looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SearchError {
    #[error("Invalid clause(s) in filter string: {clause}")]
    Clause { clause: String },
    #[error("Invalid filter string: {why}")]
    Filter { why: String },
    #[error("Invalid attribute key '{key}' specified. Valid keys are {valid}")]
    Attribute { key: String, valid: String },
    #[error("Invalid comparator '{comparator}' for {name}: valid ones are {valid}")]
    Comparator { comparator: String, name: String, valid: String },
    #[error("Expected {expected} for {name}, found {found}")]
    Value { name: String, expected: &'static str, found: String },
    #[error("Invalid order_by entity '{key}'. Valid values are {valid}")]
    OrderKey { key: String, valid: String },
    #[error("Invalid order_by clause '{clause}': write a field, then ASC or DESC")]
    OrderClause { clause: String },
    #[error("`order_by` contains duplicate fields: '{key}'")]
    OrderTwice { key: String },
    #[error("Invalid page token, could not base64-decode")]
    Token,
    #[error("the page token is of a search in another order: search from the start")]
    OtherOrder,
}

/// The models that match; prompts only where the filter asks for them.
///
/// # Errors
/// [`SearchError`] says what of the query is wrong.
pub fn models<'c>(catalog: &'c Catalog, query: &Query<'_>) -> Result<Page<&'c Model>, SearchError> {
    let page = search(query, |name: Option<&str>| named(catalog, name).map(ModelEntry))?;
    Ok(Page { entries: page.entries.into_iter().map(|entry| entry.0).collect(), next: page.next })
}

/// The versions that match, each with its model; prompts only where the filter asks for them.
///
/// # Errors
/// [`SearchError`] says what of the query is wrong.
pub fn versions<'c>(
    catalog: &'c Catalog,
    query: &Query<'_>,
) -> Result<Page<(&'c Model, &'c VersionState)>, SearchError> {
    let entries = |model: &'c Model| model.versions().map(move |state| VersionEntry { model, state });
    let page = search(query, |name: Option<&str>| named(catalog, name).flat_map(entries))?;
    Ok(Page { entries: page.entries.into_iter().map(|entry| (entry.model, entry.state)).collect(), next: page.next })
}

/// The model of that name, or all of them.
fn named<'c>(catalog: &'c Catalog, name: Option<&str>) -> impl Iterator<Item = &'c Model> + use<'c> {
    let one = name.map(|name| catalog.model(name));
    let all = one.is_none().then(|| catalog.models().map(|(_, model)| model));
    one.flatten().into_iter().chain(all.into_iter().flatten())
}

/// The page of those of `of` that match. It is asked for all, or for those of the one name that the filter allows.
fn search<S: Subject, I: Iterator<Item = S>>(
    query: &Query<'_>,
    of: impl FnOnce(Option<&str>) -> I,
) -> Result<Page<S>, SearchError> {
    let filter = Filter::parse::<S>(query.filter)?;
    let order = Order::parse::<S>(&query.order_by)?;
    let after = query.page_token.filter(|token| !token.is_empty()).map(|token| Cursor::read(token, &order));
    let after = after.transpose()?;
    let is_next = |entry: &S| {
        filter.matches(entry)
            && after.as_ref().is_none_or(|after| order.compare_to(entry, &after.keys) == Ordering::Greater)
    };
    let mut entries: Vec<S> = of(filter.name()).filter(is_next).collect();
    entries.sort_by(|a, b| order.compare(a, b));
    let more = entries.len() > query.max_results;
    entries.truncate(query.max_results);
    let last = entries.last().filter(|_| more);
    let next = last.map(|entry| Cursor::after(entry, &order).token());
    Ok(Page { entries, next })
}

#[cfg(test)]
mod tests;
