//! What a view version has online: which generation answers, which is being built, which may be dropped.
//!
//! Marks are kept in the online store itself: losing the store loses both, so they never vouch for rows that are gone.
//! They are an ordinary cell under a key that no entity has, so every store keeps them without knowing them. One
//! process at a time changes them, under the offline store's lease; readers see them change at once or not at all.

use std::time::Duration;

use schema::{Clock, EntityKey, FeatureView, Fingerprint, RowOrder, Timestamp};
use serde::{Deserialize, Serialize};

use super::cell::MalformedCell;
use super::{At, Cell, Doing, OnlineError, OnlineRow, OnlineStore, OnlineTable};

/// Keys of entities start with their format byte, which is never zero.
pub(super) const KEY: &[u8] = b"\0marks";
const FORMAT: u32 = 1;
/// Generations that may have rows at once: one that answers, one that is built, and those that are still to be dropped.
const LAST: u64 = 4;
/// How long a generation stays readable after another took its place: readers look at the marks at least this often.
pub const GRACE: Duration = Duration::from_secs(30);

/// The generations of one view version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    format: u32,
    /// The number of the next generation.
    next: u64,
    /// The one that answers.
    pub current: Option<Generation>,
    /// The one that a build fills, or filled until it was killed.
    pub building: Option<Generation>,
    /// Those that answer no more, oldest first.
    pub retired: Vec<Retired>,
}

/// One generation and what of the history it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// From 1.
    pub number: u64,
    /// The history that it was made from.
    pub contents: Contents,
    /// When the last run ended that brought online all there was, or saw that it was, by the machine's clock.
    #[serde(default)]
    pub complete: Option<Timestamp>,
}

/// A state of a view's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Digest of all of it but pushes.
    pub version: Fingerprint,
    /// Files of a source that is read in place and may only have grown; 0 for other histories.
    pub n_files: usize,
    /// Rows that were pushed.
    pub n_pushed: u64,
}

impl Contents {
    /// A part of a history: no state of it, so that whoever compares finds everything new.
    pub fn part() -> Self {
        Self { version: Fingerprint::of_bytes(b"a part of a history"), n_files: 0, n_pushed: 0 }
    }

    /// Whether it is a part.
    pub fn is_part(&self) -> bool {
        *self == Self::part()
    }
}

/// A generation that answers no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// It.
    pub generation: Generation,
    /// Since when, by the machine's clock.
    pub since: Timestamp,
    /// Whether it ever answered; if not, its build was given up.
    pub whole: bool,
}

impl Default for Marks {
    fn default() -> Self {
        Self { format: FORMAT, next: 1, current: None, building: None, retired: Vec::new() }
    }
}

impl Marks {
    /// Starts a generation; one whose build was given up is retired.
    #[must_use]
    pub fn begin(mut self, contents: Contents, now: Timestamp) -> Self {
        if let Some(generation) = self.building.take() {
            self.retired.push(Retired { generation, since: now, whole: false });
        }
        self.building = Some(Generation { number: self.next, contents, complete: None });
        self.next += 1;
        self
    }

    /// Goes on at `next`, below which any number may have been used: the store may have lost marks that knew of them. What
    /// it may have kept of the last of them is dropped, as of builds that were given up.
    #[must_use]
    pub fn after_loss(mut self, next: u64, now: Timestamp) -> Self {
        for number in self.next.max(next.saturating_sub(LAST))..next {
            let generation = Generation { number, contents: Contents::part(), complete: None };
            self.retired.push(Retired { generation, since: now, whole: false });
        }
        self.next = self.next.max(next);
        self
    }

    /// Makes the built generation the one that answers.
    #[must_use]
    pub fn switch(mut self, now: Timestamp) -> Self {
        if let Some(built) = self.building.take() {
            self.retire_current(now);
            self.current = Some(built);
        }
        self
    }

    /// The current generation holds more than it did.
    #[must_use]
    pub fn advance(mut self, contents: Contents) -> Self {
        if let Some(current) = &mut self.current {
            current.contents = contents;
        }
        self
    }

    /// A run has ended, and all there was is online.
    #[must_use]
    pub fn completed(mut self, now: Timestamp) -> Self {
        if let Some(current) = &mut self.current {
            current.complete = Some(now);
        }
        self
    }

    /// A build is due: no generation there is counts as any state of the history, whichever of them answers.
    #[must_use]
    pub fn due(mut self) -> Self {
        let retired = self.retired.iter_mut().map(|retired| &mut retired.generation);
        for generation in self.current.iter_mut().chain(&mut self.building).chain(retired) {
            generation.contents = Contents::part();
        }
        self
    }

    /// The generation before the current one answers again; `None` if there is none.
    #[must_use]
    pub fn roll_back(mut self, now: Timestamp) -> Option<Self> {
        let at = self.retired.iter().rposition(|retired| retired.whole)?;
        let before = self.retired.remove(at).generation;
        self.retire_current(now);
        self.current = Some(before);
        Some(self)
    }

    /// Generations that nobody reads and no roll-back needs: all but the last that answered, once readers had the time
    /// to see the switch.
    pub fn droppable(&self, now: Timestamp) -> Vec<u64> {
        let last = self.retired.iter().rposition(|retired| retired.whole);
        let unread = |retired: &Retired| {
            let nanos = now.as_nanos().saturating_sub(retired.since.as_nanos());
            !retired.whole || u128::try_from(nanos).is_ok_and(|nanos| nanos >= GRACE.as_nanos())
        };
        let droppable = self.retired.iter().enumerate().filter(|(i, retired)| Some(*i) != last && unread(retired));
        droppable.map(|(_, retired)| retired.generation.number).collect()
    }

    /// Forgets a generation whose rows are gone.
    #[must_use]
    pub fn dropped(mut self, number: u64) -> Self {
        self.retired.retain(|retired| retired.generation.number != number);
        self
    }

    fn retire_current(&mut self, now: Timestamp) {
        if let Some(generation) = self.current.take() {
            self.retired.push(Retired { generation, since: now, whole: true });
        }
    }

    /// The numbers of all generations that there ever were.
    pub fn numbers(&self) -> std::ops::Range<u64> {
        1..self.next
    }

    /// The table that answers.
    pub fn table(&self, view: &FeatureView) -> Option<OnlineTable> {
        self.current.as_ref().map(|current| OnlineTable::generation(view, current.number))
    }

    /// Those of a view version; none are as those of a view that was never brought online.
    ///
    /// # Errors
    /// What the store fails with, and [`OnlineError::Corrupt`] for marks that cannot be read: they are not taken for none.
    pub async fn read(store: &dyn OnlineStore, view: &FeatureView) -> Result<Self, OnlineError> {
        let found = Self::read_many(store, &[OnlineTable::marks(view)]).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Those of many view versions, in one round trip; `tables` are their [`OnlineTable::marks`].
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_many(store: &dyn OnlineStore, tables: &[OnlineTable]) -> Result<Vec<Self>, OnlineError> {
        let rows = store.get_many(tables, &[EntityKey::from_bytes(KEY)]).await?;
        let parse = |i| {
            let Some(At::Row(step)) = rows.get(0, i).map(|cell: &Cell| cell.at(Timestamp::MAX)) else {
                return Ok(Self::default());
            };
            // What cannot be read must not be taken for none: what it vouches for would be built over.
            let read = Self::from_json(step.payload());
            read.map_err(|source| OnlineError::Corrupt {
                view: tables[i].view().clone(),
                key: EntityKey::from_bytes(KEY),
                address: format!("{store:?}"),
                source,
            })
        };
        (0..tables.len()).map(parse).collect()
    }

    /// Marks as they are stored.
    ///
    /// # Errors
    /// [`MalformedCell::Format`] of another version, [`MalformedCell::Marks`] of what is none.
    fn from_json(text: &[u8]) -> Result<Self, MalformedCell> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let none = |why: serde_json::Error| MalformedCell::Marks { at: why.column() };
        let Format { format } = serde_json::from_slice(text).map_err(none)?;
        match format {
            FORMAT => serde_json::from_slice(text).map_err(none),
            other => Err(MalformedCell::Format { found: u8::try_from(other).unwrap_or(u8::MAX) }),
        }
    }

    /// As [`Self::read`], for whoever builds all of it anew: marks that are damaged count as lost, those of another version
    /// do not.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_or_lost(store: &dyn OnlineStore, view: &FeatureView) -> Result<Self, OnlineError> {
        match Self::read(store, view).await {
            Err(OnlineError::Corrupt { source: MalformedCell::Marks { .. }, .. }) => Ok(Self::default()),
            read => read,
        }
    }

    /// Makes these the marks of a view version. Call it when all that they vouch for is durable, and under the lease.
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn write(&self, store: &dyn OnlineStore, view: &FeatureView) -> Result<(), OnlineError> {
        self.write_to(store, &OnlineTable::marks(view)).await
    }

    /// As [`Self::write`], for a table of [`OnlineTable::marks`].
    ///
    /// # Errors
    /// What the store fails with.
    pub async fn write_to(&self, store: &dyn OnlineStore, table: &OnlineTable) -> Result<(), OnlineError> {
        let key = EntityKey::from_bytes(KEY);
        let rows = store.get_many(std::slice::from_ref(table), std::slice::from_ref(&key)).await?;
        let before = match rows.get(0, 0).map(|cell| cell.at(Timestamp::MAX)) {
            Some(At::Row(step)) => step.order().sequence,
            _ => 0,
        };
        // A place in the order that only grows. The time is part of it because a writer that was killed may have
        // reached some of a cluster's copies: no other marks may stand where those do.
        let now = u64::try_from(Clock::wall().as_nanos()).unwrap_or(0);
        let at = Timestamp::from_nanos(0);
        let order = RowOrder { event_time: at, created_time: None, sequence: now.max(before.saturating_add(1)) };
        let text = serde_json::to_string(self)
            .map_err(|why| Doing::Writing { view: table.view().clone(), n_keys: 1 }.failed("its marks", why))?;
        let row = OnlineRow { order, visible_from: at, deleted: false, payload: text.into_bytes().into() };
        store.put_many(table, &[(key, Cell::of([&row], at))], at).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(n: u8) -> Contents {
        Contents { version: Fingerprint::of_bytes(&[n]), n_files: 0, n_pushed: 0 }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn numbers(marks: &Marks) -> (Option<u64>, Option<u64>, Vec<u64>) {
        let number = |generation: &Option<Generation>| generation.as_ref().map(|g| g.number);
        let retired = marks.retired.iter().map(|retired| retired.generation.number).collect();
        (number(&marks.current), number(&marks.building), retired)
    }

    #[test]
    fn a_build_answers_only_after_the_switch() {
        let marks = Marks::default().begin(contents(1), at(0));
        assert_eq!(numbers(&marks), (None, Some(1), vec![]));
        let marks = marks.switch(at(1));
        assert_eq!(numbers(&marks), (Some(1), None, vec![]));
        let marks = marks.begin(contents(2), at(2));
        assert_eq!(numbers(&marks), (Some(1), Some(2), vec![]));
        assert_eq!(numbers(&marks.switch(at(3))), (Some(2), None, vec![1]));
    }

    #[test]
    fn a_build_that_was_given_up_is_dropped_at_once_and_its_number_is_not_used_again() {
        let marks = Marks::default().begin(contents(1), at(0)).switch(at(0));
        let marks = marks.begin(contents(2), at(1)).begin(contents(3), at(2));
        assert_eq!(numbers(&marks), (Some(1), Some(3), vec![2]));
        assert_eq!(marks.droppable(at(2)), [2]);
        assert_eq!(numbers(&marks.dropped(2).begin(contents(4), at(3))), (Some(1), Some(4), vec![3]));
    }

    #[test]
    fn when_a_build_is_due_no_generation_counts_not_even_one_that_is_gone_back_to() {
        let mut marks = Marks::default().begin(contents(1), at(0)).switch(at(0));
        marks = marks.begin(contents(2), at(1)).switch(at(1)).begin(contents(3), at(2)).due();
        assert!(
            marks.current.as_ref().unwrap().contents.is_part() && marks.building.as_ref().unwrap().contents.is_part()
        );
        assert!(marks.roll_back(at(3)).unwrap().current.unwrap().contents.is_part());
    }

    #[test]
    fn numbers_that_lost_marks_knew_are_not_used_again() {
        let whole = Marks::default().begin(contents(1), at(0)).switch(at(0));
        assert_eq!(whole.clone().after_loss(2, at(1)), whole, "nothing was lost");
        let lost = Marks::default().after_loss(9, at(1)).begin(contents(1), at(1));
        assert_eq!(numbers(&lost), (None, Some(9), vec![5, 6, 7, 8]));
        assert_eq!(lost.droppable(at(1)), [5, 6, 7, 8]);
        // Marks that are older than what was done: the one that answers stays until the next has its place.
        let behind = whole.after_loss(3, at(1)).begin(contents(2), at(1));
        assert_eq!(numbers(&behind), (Some(1), Some(3), vec![2]));
    }

    #[test]
    fn the_last_one_is_kept_to_go_back_to_and_others_as_long_as_they_may_be_read() {
        let mut marks = Marks::default();
        for n in 1..=3 {
            marks = marks.begin(contents(n), at(0)).switch(at(i64::from(n)));
        }
        assert_eq!(numbers(&marks), (Some(3), None, vec![1, 2]));
        assert_eq!(marks.droppable(at(31)), Vec::<u64>::new());
        assert_eq!(marks.droppable(at(32)), [1]);
        let back = marks.roll_back(at(40)).unwrap();
        assert_eq!(numbers(&back), (Some(2), None, vec![1, 3]));
        assert_eq!(numbers(&back.roll_back(at(41)).unwrap()), (Some(3), None, vec![1, 2]));
        assert_eq!(Marks::default().roll_back(at(1)), None);
    }
}
