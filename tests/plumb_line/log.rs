//! What the log of pushes holds, by the words of the rules: a push of a known id is a repetition, and so is a row that is
//! there already, in whatever push it comes.

use std::collections::BTreeSet;

use schema::EntityKey;

use super::history::Push;
use super::rows::{Row, pushed};
use super::shape::Shape;
use super::source::key_of;

#[derive(Debug, Default)]
pub(super) struct Log {
    ids: BTreeSet<u8>,
    /// Rows as they came first, with their created times: stamped, where they came without.
    rows: Vec<(Row, i64)>,
    /// All that was ever taken, in that order.
    sent: Vec<Row>,
}

impl Log {
    pub(super) fn rows(&self) -> &[(Row, i64)] {
        &self.rows
    }

    pub(super) fn sent(&self) -> &[Row] {
        &self.sent
    }

    /// Takes a push that came at `now`; how many of its rows are new.
    pub(super) fn append(&mut self, shape: &Shape, push: &Push, now: i64) -> usize {
        self.sent.extend(push.rows.iter().cloned());
        if push.id.is_some_and(|id| !self.ids.insert(id)) {
            return 0;
        }
        let before = self.rows.len();
        for row in &push.rows {
            if !self.rows.iter().any(|(known, _)| is_same(shape, known, row)) {
                self.rows.push((row.clone(), row.created.unwrap_or(now)));
            }
        }
        self.rows.len() - before
    }

    /// Takes out the rows of a key; what was pushed before is then told by its rows alone.
    pub(super) fn erase(&mut self, shape: &Shape, key: &EntityKey) {
        let before = self.rows.len();
        self.rows.retain(|(row, _)| key_of(shape, row.who) != *key);
        if self.rows.len() < before {
            self.ids.clear();
        }
    }
}

/// Whether two rows say the same of one key: other bits may be the same value, and other people have the same key.
fn is_same(shape: &Shape, one: &Row, other: &Row) -> bool {
    let place = |row: &Row| (row.event, row.created, row.deleted);
    let columns = |row: &Row| pushed(shape, std::slice::from_ref(row));
    place(one) == place(other) && columns(one) == columns(other)
}
