//! Pages of searches as they were written last: who asks for the same of the same state of the registry gets the same bytes.
//!
//! A page is a function of the catalog and of what is asked, of nothing else. So it is kept until there is a newer catalog,
//! and is answered without a look at a single model.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use registry::search::Query;
use registry::{Catalog, Seq};

/// Pages that are kept: more than a screen and a few scripts ask for again and again.
const PAGES_MAX: usize = 16;
/// Bytes of all of them: a hundred models are about 150 KB.
const BYTES_MAX: usize = 1 << 20;

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Models,
    Versions,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) of: Of,
    pub(super) filter: String,
    pub(super) order_by: Vec<String>,
    pub(super) max_results: usize,
    pub(super) page_token: Option<String>,
}

/// The pages that were written last.
#[derive(Debug, Default)]
pub(in crate::http::mlflow) struct Written(Mutex<Kept>);

/// Those of one state.
#[derive(Debug, Default)]
struct Kept {
    as_of: Seq,
    /// Oldest first.
    pages: VecDeque<(Asked, Bytes)>,
}

impl Asked {
    /// As the registry is asked.
    pub(super) fn query(&self) -> Query<'_> {
        Query {
            filter: &self.filter,
            order_by: self.order_by.iter().map(String::as_str).collect(),
            max_results: self.max_results,
            page_token: self.page_token.as_deref(),
        }
    }
}

impl Written {
    /// The page of this state, if it was written.
    pub(super) fn page(&self, catalog: &Catalog, asked: &Asked) -> Option<Bytes> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let page = kept.pages.iter().find(|(known, _)| kept.as_of == catalog.seq() && known == asked);
        page.map(|(_, page)| page.clone())
    }

    /// Keeps a page of this state, unless it is large or there is a newer state.
    pub(super) fn keep(&self, catalog: &Catalog, asked: Asked, page: Bytes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(catalog.seq(), asked, page);
    }
}

impl Kept {
    fn keep(&mut self, as_of: Seq, asked: Asked, page: Bytes) {
        if as_of < self.as_of || page.len() > BYTES_MAX / 2 {
            return;
        }
        if as_of > self.as_of {
            *self = Self { as_of, ..Self::default() };
        }
        // Two who asked at once wrote it twice.
        self.pages.retain(|(known, _)| *known != asked);
        self.pages.push_back((asked, page));
        while self.pages.len() > PAGES_MAX || self.size_bytes() > BYTES_MAX {
            self.pages.pop_front();
        }
    }

    fn size_bytes(&self) -> usize {
        self.pages.iter().map(|(_, page)| page.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(filter: &str) -> Asked {
        let (filter, order_by) = (filter.to_owned(), Vec::new());
        Asked { of: Of::Models, filter, order_by, max_results: 100, page_token: None }
    }

    #[test]
    fn a_page_is_of_one_state_and_of_what_was_asked() {
        let (written, catalog) = (Written::default(), Catalog::default());
        written.keep(&catalog, asked("a"), Bytes::from_static(b"a"));
        assert_eq!(written.page(&catalog, &asked("a")), Some(Bytes::from_static(b"a")));
        assert_eq!(written.page(&catalog, &asked("b")), None);
        let versions = Asked { of: Of::Versions, ..asked("a") };
        assert_eq!(written.page(&catalog, &versions), None);
        for other in [
            Asked { max_results: 99, ..asked("a") },
            Asked { page_token: Some(String::new()), ..asked("a") },
            Asked { order_by: vec!["name".to_owned()], ..asked("a") },
        ] {
            assert_eq!(written.page(&catalog, &other), None, "{other:?}");
        }
        // One of a newer state, and then of the older one: what is newer stays.
        let mut kept = written.0.lock().unwrap();
        kept.keep(Seq(7), asked("b"), Bytes::from_static(b"b"));
        kept.keep(Seq(6), asked("c"), Bytes::from_static(b"c"));
        let filters: Vec<&str> = kept.pages.iter().map(|(asked, _)| asked.filter.as_str()).collect();
        assert_eq!((kept.as_of, filters), (Seq(7), vec!["b"]));
        drop(kept);
        assert_eq!(written.page(&catalog, &asked("b")), None, "it is of another state");
    }

    #[test]
    fn few_pages_are_kept_and_no_large_one() {
        let mut kept = Kept::default();
        for n in 0..2 * PAGES_MAX {
            kept.keep(Seq(1), asked(&n.to_string()), Bytes::from_static(b"{}"));
        }
        assert_eq!(kept.pages.len(), PAGES_MAX);
        assert_eq!(kept.pages.back().unwrap().0.filter, "31");
        kept.keep(Seq(1), asked("31"), Bytes::from_static(b"{}"));
        assert_eq!(kept.pages.len(), PAGES_MAX, "the same page is kept once");
        let of = |n_bytes| Bytes::from(vec![b' '; n_bytes]);
        kept.keep(Seq(1), asked("large"), of(BYTES_MAX / 2 + 1));
        assert_ne!(kept.pages.back().unwrap().0.filter, "large");
        for n in 0..4 {
            kept.keep(Seq(1), asked(&format!("half {n}")), of(BYTES_MAX / 2));
            assert!(kept.size_bytes() <= BYTES_MAX);
        }
        assert_eq!(kept.pages.len(), 2);
    }
}
