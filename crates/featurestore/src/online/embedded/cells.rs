//! What is done to cells, each in one transaction: looked up, merged, counted, removed.

use schema::{EntityKey, Timestamp};

use super::environment::Environment;
use super::place::{DIGESTED, TABLE_BYTES, prefix, put_place};
use crate::erase::KeyMatch;
use crate::online::{Cell, Doing, EraseReport, OnlineError, OnlineRows, OnlineTable, TableSize, WriteReport, views_of};

/// Keys removed in one transaction: others wait for it.
const DROPPED_AT_ONCE: usize = 8_192;

impl Environment {
    fn parse(&self, table: &OnlineTable, key: &EntityKey, bytes: &[u8]) -> Result<Cell, OnlineError> {
        Cell::parse(bytes.to_vec()).map_err(|source| OnlineError::Corrupt {
            view: table.view().clone(),
            key: key.clone(),
            address: self.address(),
            source,
        })
    }

    pub(super) fn get_many(&self, tables: &[OnlineTable], keys: &[EntityKey]) -> Result<OnlineRows, OnlineError> {
        let failed = |source: heed::Error| {
            Doing::Reading { views: views_of(tables), n_keys: keys.len() }.failed(&self.address(), source)
        };
        let prefixes: Vec<_> = tables.iter().map(prefix).collect();
        let mut cells = Vec::with_capacity(keys.len() * tables.len());
        let mut place = Vec::with_capacity(64);
        let txn = self.env.read_txn().map_err(failed)?;
        for key in keys {
            for (table, prefix) in tables.iter().zip(&prefixes) {
                put_place(&mut place, prefix, key);
                let found = self.cells.get(&txn, &place).map_err(failed)?;
                cells.push(found.map(|bytes| self.parse(table, key, bytes)).transpose()?);
            }
        }
        Ok(OnlineRows::new(cells, tables.len()))
    }

    pub(super) fn put_many(
        &self,
        table: &OnlineTable,
        cells: &[(EntityKey, Cell)],
        horizon: Timestamp,
    ) -> Result<WriteReport, OnlineError> {
        let failed = |source: heed::Error| {
            Doing::Writing { view: table.view().clone(), n_keys: cells.len() }.failed(&self.address(), source)
        };
        let mut report = WriteReport::default();
        let (prefix, mut place) = (prefix(table), Vec::with_capacity(64));
        let mut txn = self.env.write_txn().map_err(failed)?;
        for (key, cell) in cells {
            put_place(&mut place, &prefix, key);
            let found = self.cells.get(&txn, &place).map_err(failed)?;
            let old = found.map(|bytes| self.parse(table, key, bytes)).transpose()?;
            let after = Cell::after(old.as_ref(), cell, horizon);
            report.count(after.is_some());
            if let Some(after) = after {
                self.cells.put(&mut txn, &place, after.as_bytes()).map_err(failed)?;
            }
        }
        if report.written > 0 {
            txn.commit().map_err(failed)?;
        }
        Ok(report)
    }

    /// Counts the cells of some keys of a table, and removes them.
    pub(super) fn erase(
        &self,
        table: &OnlineTable,
        keys: &KeyMatch,
        dry_run: bool,
    ) -> Result<EraseReport, OnlineError> {
        let failed = |source: heed::Error| Doing::Erasing.failed(&self.address(), source);
        let mut report = EraseReport::default();
        let prefix = prefix(table);
        let mut found: Vec<Vec<u8>> = Vec::new();
        {
            let txn = self.env.read_txn().map_err(failed)?;
            if let Some(exact) = keys.exact() {
                let mut place = Vec::with_capacity(64);
                put_place(&mut place, &prefix, exact);
                if self.cells.get(&txn, &place).map_err(failed)?.is_some() {
                    found.push(place);
                }
            } else {
                for entry in self.cells.prefix_iter(&txn, &prefix).map_err(failed)? {
                    let (place, _) = entry.map_err(failed)?;
                    let key = &place[TABLE_BYTES..];
                    if key.first() == Some(&DIGESTED) {
                        report.unreadable += 1;
                    } else if keys.matches(&EntityKey::from_bytes(key)) {
                        found.push(place.to_vec());
                    }
                }
            }
        }
        report.found = found.len();
        if dry_run || found.is_empty() {
            return Ok(report);
        }
        let mut txn = self.env.write_txn().map_err(failed)?;
        for place in &found {
            self.cells.delete(&mut txn, place).map_err(failed)?;
        }
        txn.commit().map_err(failed)?;
        Ok(report)
    }

    pub(super) fn size_of(&self, table: &OnlineTable) -> heed::Result<TableSize> {
        let txn = self.env.read_txn()?;
        let mut size = TableSize::default();
        for entry in self.cells.prefix_iter(&txn, &prefix(table))? {
            let (place, cell) = entry?;
            size += TableSize { n_keys: 1, size_bytes: (place.len() + cell.len()) as u64 };
        }
        Ok(size)
    }

    /// Removes some keys of a table; whether there are more.
    pub(super) fn drop_some(&self, table: &OnlineTable) -> Result<bool, OnlineError> {
        let doing = || Doing::Dropping { tables: vec![table.clone()] };
        let failed = |source: heed::Error| doing().failed(&self.address(), source);
        let mut txn = self.env.write_txn().map_err(failed)?;
        let mut keys = Vec::new();
        for entry in self.cells.prefix_iter(&txn, &prefix(table)).map_err(failed)?.take(DROPPED_AT_ONCE) {
            keys.push(entry.map_err(failed)?.0.to_vec());
        }
        for key in &keys {
            self.cells.delete(&mut txn, key).map_err(failed)?;
        }
        txn.commit().map_err(failed)?;
        Ok(keys.len() == DROPPED_AT_ONCE)
    }
}
