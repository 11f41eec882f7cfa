//! What is asked within one transaction.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use super::{Done, Fault, Line};
use crate::postgres::link::Link;

/// A value and its type, so that a statement takes one round trip.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection and the schema that is asked on it.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) link: Link,
    /// In quotes.
    pub(super) schema: String,
}

impl Talk {
    /// The rows of a statement, in which `{s}` is the schema.
    pub(super) async fn rows(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Error> {
        self.link.client.query_typed(&self.named(sql), values).await
    }

    /// The row of a statement that gives one at most.
    pub(super) async fn row(&self, sql: &str, values: &[Value<'_>]) -> Result<Option<Row>, Error> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Does a statement.
    pub(super) async fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<(), Error> {
        self.link.client.execute_typed(&self.named(sql), values).await.map(drop)
    }

    /// Does statements without values.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.link.client.batch_execute(&self.named(sql)).await
    }

    fn named(&self, sql: &str) -> String {
        sql.replace("{s}", &self.schema)
    }
}

/// A word of ours in a row, of a row that was written by us.
pub(super) fn word<T>(row: &Row, column: usize, parse: impl Fn(&str) -> Option<T>) -> Done<T> {
    let said: &str = row.try_get(column)?;
    parse(said).ok_or_else(|| Fault::Word(format!("`{}` is not a word of this column", said.escape_debug())))
}

/// Rows, each with its place in the order of its list.
pub(super) fn lines<T>(rows: &[Row], read: impl Fn(&Row) -> Done<Line<T>>) -> Done<Vec<Line<T>>> {
    rows.iter().map(read).collect()
}
