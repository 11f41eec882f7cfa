//! What is right, by the words of the rules: the winner of a key at an instant, found by looking at every row.

use schema::{EntityKey, Status};

use super::rows::Row;
use super::shape::{Form, Shape};

/// A row where it stands: its place is that of its arrival or its number, and pushed rows stand behind all others.
#[derive(Debug, Clone)]
pub(super) struct Stands {
    pub row: Row,
    pub key: EntityKey,
    pub created: Option<i64>,
    pub place: (bool, i64),
}

impl Stands {
    fn order(&self) -> (i64, Option<i64>, (bool, i64)) {
        (self.row.event, self.created, self.place)
    }

    fn is_visible(&self, shape: &Shape, at: i64) -> bool {
        let in_time = if shape.strict { self.row.event < at } else { self.row.event <= at };
        in_time && (!shape.as_of || self.created.is_none_or(|created| created <= at))
    }
}

/// All rows that there are, source and pushes.
#[derive(Debug)]
pub(super) struct Oracle<'a> {
    pub shape: &'a Shape,
    pub rows: Vec<Stands>,
}

impl Oracle<'_> {
    /// The place of a source's row.
    pub(super) fn place(shape: &Shape, arrived: usize, row: &Row) -> (bool, i64) {
        let arrived = i64::try_from(arrived).unwrap();
        (false, if shape.form == Form::Sequence { row.number } else { arrived })
    }

    /// The row that counts, unless it is a deletion.
    pub(super) fn winner(&self, key: &EntityKey, at: i64) -> Option<&Row> {
        let seen = self.rows.iter().filter(|one| one.key == *key && one.is_visible(self.shape, at));
        seen.max_by_key(|one| one.order()).map(|one| &one.row).filter(|row| !row.deleted)
    }

    /// What a feature of the winner is.
    pub(super) fn status(&self, winner: Option<&Row>, feature: usize, at: i64) -> Status {
        match winner {
            None => Status::NotFound,
            Some(row) if self.shape.ttl.is_some_and(|ttl| row.event < at - ttl) => Status::OutsideMaxAge,
            Some(row) if row.cells[feature].is_none() => Status::NullValue,
            Some(_) => Status::Present,
        }
    }

    /// Whether a store whose present is `now` may have forgotten what was at an instant: another row counts since.
    pub(super) fn may_be_forgotten(&self, key: &EntityKey, at: i64, now: i64) -> bool {
        let counts = |at: i64| {
            let seen = self.rows.iter().filter(|one| one.key == *key && one.is_visible(self.shape, at));
            seen.max_by_key(|one| one.order()).map(Stands::order)
        };
        counts(now).is_some() && counts(at) != counts(now)
    }
}
