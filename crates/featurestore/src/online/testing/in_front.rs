//! Stores that tests put in front of others, to count calls or to spoil some of them.

use std::fmt;

use async_trait::async_trait;
use schema::{EntityKey, Timestamp};

use crate::erase::KeyMatch;
use crate::online::{Cell, EraseReport, OnlineError, OnlineRows, OnlineStore, OnlineTable, TableSize, WriteReport};

/// A store in front of another: what it does not do itself, the other does.
#[async_trait]
#[expect(missing_docs, reason = "as in `OnlineStore`")]
pub trait InFront: fmt::Debug + Send + Sync + 'static {
    /// The other.
    fn behind(&self) -> &dyn OnlineStore;

    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        self.behind().get_many(tables, keys).await
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        self.behind().put_many(table, cells, horizon).await
    }

    async fn put_new(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        self.behind().put_new(table, cells, horizon).await
    }

    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        self.behind().erase(tables, keys, dry_run).await
    }

    async fn drop_tables(&self, tables: &[OnlineTable]) -> Result<(), OnlineError> {
        self.behind().drop_tables(tables).await
    }

    async fn size_of(&self, table: &OnlineTable) -> Result<Option<TableSize>, OnlineError> {
        self.behind().size_of(table).await
    }

    async fn check(&self) -> Result<(), OnlineError> {
        self.behind().check().await
    }
}

#[async_trait]
impl<T: InFront> OnlineStore for T {
    async fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        InFront::get_many(self, tables, keys).await
    }

    async fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        InFront::put_many(self, table, cells, horizon).await
    }

    async fn put_new(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        InFront::put_new(self, table, cells, horizon).await
    }

    async fn erase(&self, tables: &[OnlineTable], keys: &KeyMatch, dry_run: bool) -> Result<EraseReport, OnlineError> {
        InFront::erase(self, tables, keys, dry_run).await
    }

    async fn drop_tables(&self, tables: &[OnlineTable]) -> Result<(), OnlineError> {
        InFront::drop_tables(self, tables).await
    }

    async fn size_of(&self, table: &OnlineTable) -> Result<Option<TableSize>, OnlineError> {
        InFront::size_of(self, table).await
    }

    async fn check(&self) -> Result<(), OnlineError> {
        InFront::check(self).await
    }
}
