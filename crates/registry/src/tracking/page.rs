//! Pages: part of a list, and where the rest begins.

use super::TrackingError;

/// Part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the list's order.
    pub rows: Vec<T>,
    /// Where the next page begins; none behind the last one.
    pub next: Option<PageToken>,
}

/// The place of the last row of a page in its list's order: what is written meanwhile is neither skipped nor repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageToken(pub [i64; 3]);

impl PageToken {
    /// As clients hand it back.
    pub fn to_text(self) -> String {
        let [a, b, c] = self.0;
        format!("{a}.{b}.{c}")
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// [`TrackingError::Invalid`] for anything else.
    pub fn parse(text: &str) -> Result<Self, TrackingError> {
        let numbers: Result<Vec<i64>, _> = text.split('.').map(str::parse).collect();
        let numbers = numbers.ok().and_then(|numbers| <[i64; 3]>::try_from(numbers).ok());
        numbers.map(Self).ok_or_else(|| TrackingError::Invalid("Invalid page token".to_owned()))
    }
}

impl<T> Page<T> {
    /// The first `rows_max` of `rows`, which may have one more: then there is another page.
    pub(super) fn of(mut rows: Vec<(PageToken, T)>, rows_max: u32) -> Self {
        let rows_max = rows_max as usize;
        let more = rows.len() > rows_max;
        rows.truncate(rows_max);
        let next = rows.last().filter(|_| more).map(|(token, _)| *token);
        Self { rows: rows.into_iter().map(|(_, row)| row).collect(), next }
    }
}
