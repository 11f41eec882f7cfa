//! Text as PostgreSQL can hold it: any but the character NUL, which clients may send and SQLite keeps.
//!
//! NUL is written as two characters 1, and the character 1 as 1 and 2. What is stored keeps its order, character by
//! character, and all other text is stored as it is (docs/decisions/0084).

use std::borrow::Cow;

use bytes::BytesMut;
use schema::BoxError;
use tokio_postgres::Row;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A text on its way to the server.
#[derive(Debug)]
pub(super) struct Kept<'a>(pub(super) &'a str);

impl ToSql for Kept<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        stored(self.0).as_ref().to_sql(kind, out)
    }

    fn accepts(kind: &Type) -> bool {
        <&str as ToSql>::accepts(kind)
    }

    to_sql_checked!();
}

/// Many texts on their way.
pub(super) fn kept<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Kept<'a>> {
    texts.into_iter().map(Kept).collect()
}

/// The text in a column of a row.
pub(super) fn read(row: &Row, column: usize) -> Result<String, tokio_postgres::Error> {
    row.try_get::<_, &str>(column).map(said)
}

/// The text in a column of a row that may have none.
pub(super) fn read_if(row: &Row, column: usize) -> Result<Option<String>, tokio_postgres::Error> {
    row.try_get::<_, Option<&str>>(column).map(|text| text.map(said))
}

fn stored(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
}

fn said(stored: &str) -> String {
    let mut text = String::with_capacity(stored.len());
    let mut rest = stored.chars();
    while let Some(c) = rest.next() {
        match (c, rest.as_str().chars().next()) {
            ('\u{1}', Some('\u{1}')) => {
                text.push('\0');
                rest.next();
            }
            ('\u{1}', Some('\u{2}')) => {
                text.push('\u{1}');
                rest.next();
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_stored_as_it_is_unless_it_cannot_be() {
        for (text, as_stored) in
            [("", ""), ("größe", "größe"), ("a\0b", "a\u{1}\u{1}b"), ("\u{1}", "\u{1}\u{2}"), ("\u{2}", "\u{2}")]
        {
            assert_eq!(stored(text), as_stored);
        }
    }

    proptest! {
        #[test]
        fn it_comes_back_and_keeps_its_order(a in "[\u{0}\u{1}\u{2}a\u{ffff}😀]{0,6}", b in "[\u{0}\u{1}\u{2}a\u{ffff}😀]{0,6}") {
            prop_assert!(!stored(&a).contains('\0'));
            prop_assert_eq!(&said(&stored(&a)), &a);
            prop_assert_eq!(stored(&a).as_bytes().cmp(stored(&b).as_bytes()), a.as_bytes().cmp(b.as_bytes()));
        }
    }
}
