//! What the online store keeps of one key of one view version: the rows that can still be an answer.
//!
//! The history of a key is a staircase. A row counts from its `visible_from` on, and at any instant the greatest
//! visible row under the one ordering wins; a row that neither comes earlier nor ranks higher than another can never
//! win, and what remains ascends in both. A [`Cell`] is the end of that staircase: the step that is current at the
//! writer's *horizon* (its present), and the steps whose time has yet to come.
//!
//! The invariant: a cell answers an instant as the whole history would, or says [`At::TooOld`]. Merging is union, then
//! prune; under one horizon a cell is a function of the set of rows that ever went in, so any order, repetition and
//! partition of the writes leaves the same bytes (`online/merge.lua` does the same on a Redis server).

use std::borrow::Cow;
use std::fmt;

use schema::order::ORDER_BYTES;
use schema::{RowOrder, Timestamp};

use crate::checksum::Crc32;

#[cfg(test)]
mod tests;

/// First byte of every cell: readers accept old formats, writers write this one.
const FORMAT: u8 = 1;
/// Format and flags.
const HEADER_BYTES: usize = 2;
/// Flag of a cell: its first step was current at some writer's horizon, so what came before it may be gone. Set even if
/// nothing was dropped: whether a late row was dropped or never came must not show in the bytes.
const TRUNCATED: u8 = 1;
/// `visible_from` as ordered bytes.
const TIME_BYTES: usize = 8;
/// Flag of a step: the row says that the key is no more.
const TOMBSTONE: u8 = 1;
/// Flag of a step: it ends with the CRC-32 of its other bytes but the length. Steps of the first versions have none.
const CHECKED: u8 = 2;
/// The sum, big-endian.
const CHECK_BYTES: usize = 4;
/// Order and flags, before the payload: the least that a rank has.
const RANK_MIN: usize = ORDER_BYTES + 1;

/// One row on its way into the online store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineRow {
    /// Where it stands among the rows of its key.
    pub order: RowOrder,
    /// The first instant that may see it: [`schema::order::Visibility::visible_from`] of its order.
    pub visible_from: Timestamp,
    /// A tombstone: from its time on the key has no row.
    pub deleted: bool,
    /// The packed features; opaque here.
    pub payload: Box<[u8]>,
}

impl OnlineRow {
    /// A row with its packed features; without them it is a tombstone.
    pub fn new(order: RowOrder, visible_from: Timestamp, row: Option<Vec<u8>>) -> Self {
        Self { order, visible_from, deleted: row.is_none(), payload: row.unwrap_or_default().into() }
    }
}

/// The rows kept of one key, as stored: format, flags, then each step, oldest first, with its length before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Cell(Vec<u8>);

/// A row in a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    visible_from: [u8; TIME_BYTES],
    /// Order, flags and payload: what decides between two rows. The content is part of it so that two rows of equal
    /// order have one winner wherever they meet.
    rank: &'a [u8],
}

/// What a cell knows of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At<'a> {
    /// The row that decides; it may be a tombstone.
    Row(Step<'a>),
    /// No row is visible yet.
    Nothing,
    /// Rows that were visible then are no longer kept: only history can tell.
    TooOld {
        /// The first instant that the cell answers.
        kept_from: Timestamp,
    },
}

/// Bytes that are not a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MalformedCell {
    #[error("its format is {found}, and this version reads {FORMAT}")]
    Format { found: u8 },
    #[error("it ends in the middle, at byte {at}")]
    Short { at: usize },
    #[error("byte {at} has unknown flags")]
    Flags { at: usize },
    #[error("the row at byte {at} is damaged: its bytes are not those that were written")]
    Damaged { at: usize },
    #[error("its rows do not ascend at byte {at}")]
    Order { at: usize },
    #[error("what says which of its generations answers is damaged at byte {at}")]
    Marks { at: usize },
}

impl Cell {
    /// The cell of these rows, in any order, for a writer whose present is `horizon`.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a OnlineRow>, horizon: Timestamp) -> Self {
        let mut bytes = vec![FORMAT, 0];
        let mut n_rows = 0;
        for row in rows {
            push_row(&mut bytes, row);
            n_rows += 1;
        }
        let mut loose = Self(bytes);
        if n_rows > 1 {
            return assemble(loose.steps().collect(), horizon);
        }
        // One row, the common case, is already in place.
        if loose.steps().any(|step| step.visible_from() <= horizon) {
            loose.0[1] = TRUNCATED;
        }
        loose
    }

    /// Takes bytes that [`Self::as_bytes`] gave.
    ///
    /// # Errors
    /// [`MalformedCell`] if they are something else, or of a format that is not known yet.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, MalformedCell> {
        let short = MalformedCell::Short { at: bytes.len() };
        let (&format, rest) = bytes.split_first().ok_or(short)?;
        if format != FORMAT {
            return Err(MalformedCell::Format { found: format });
        }
        let (&flags, mut rest) = rest.split_first().ok_or(short)?;
        if flags & !TRUNCATED != 0 || (flags != 0 && rest.is_empty()) {
            return Err(MalformedCell::Flags { at: 1 });
        }
        let mut last: Option<Step<'_>> = None;
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            let (step, tail) = read_step(rest).ok_or(short)?;
            if step.flags() & !(TOMBSTONE | CHECKED) != 0 {
                return Err(MalformedCell::Flags { at });
            }
            if !step.is_whole() {
                return Err(MalformedCell::Damaged { at });
            }
            if last.is_some_and(|last| step.visible_from <= last.visible_from || step.rank <= last.rank) {
                return Err(MalformedCell::Order { at });
            }
            last = Some(step);
            rest = tail;
        }
        Ok(Self(bytes))
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The rows of both, as a writer whose present is `horizon` keeps them.
    ///
    /// Associative, commutative and idempotent for one horizon. Horizons of different writers may differ, backwards
    /// too: a cell never forgets that it was cut, so the result still answers rightly or says [`At::TooOld`].
    #[must_use]
    pub fn merge(&self, other: &Self, horizon: Timestamp) -> Self {
        // Both are exact from where they were cut, so their union is exact from the later cut.
        let cut = [self.kept_from(), other.kept_from()].into_iter().flatten().fold(horizon, Timestamp::max);
        assemble(self.steps().chain(other.steps()).collect(), cut)
    }

    /// What a store holds after `new` came to `old`; `None` if that changes nothing, as a cell of no rows never does.
    /// All stores write by this rule.
    pub(super) fn after(old: Option<&Self>, new: &Self, horizon: Timestamp) -> Option<Self> {
        match old {
            _ if new.is_empty() => None,
            None => Some(new.settled(horizon).into_owned()),
            Some(old) if old == new && new.is_settled(horizon) => None,
            Some(old) => Some(old.merge(new, horizon)).filter(|merged| merged != old),
        }
    }

    /// The cell as a writer of this horizon keeps it: steps that became past are dropped.
    pub(super) fn settled(&self, horizon: Timestamp) -> Cow<'_, Self> {
        if self.is_settled(horizon) {
            Cow::Borrowed(self)
        } else {
            Cow::Owned(self.merge(&Self(vec![FORMAT, 0]), horizon))
        }
    }

    fn is_settled(&self, horizon: Timestamp) -> bool {
        let cut = self.kept_from().map_or(horizon, |kept| kept.max(horizon)).to_ordered_bytes();
        let mut steps = self.steps();
        steps.next().is_none_or(|first| (first.visible_from <= cut) == self.is_truncated())
            && steps.next().is_none_or(|second| second.visible_from > cut)
    }

    /// No row at all: what no rows make.
    pub fn is_empty(&self) -> bool {
        self.0.len() == HEADER_BYTES
    }

    /// The rows, oldest first; each ranks higher and becomes visible later than the one before.
    pub fn steps(&self) -> Steps<'_> {
        Steps { rest: &self.0[HEADER_BYTES..] }
    }

    /// The first instant that the cell answers; `None` if it answers all.
    pub fn kept_from(&self) -> Option<Timestamp> {
        self.steps().next().filter(|_| self.is_truncated()).map(|first| first.visible_from())
    }

    /// What decides at `t`.
    pub fn at(&self, t: Timestamp) -> At<'_> {
        let now = t.to_ordered_bytes();
        match self.steps().take_while(|step| step.visible_from <= now).last() {
            Some(step) => At::Row(step),
            None => self.kept_from().map_or(At::Nothing, |kept_from| At::TooOld { kept_from }),
        }
    }

    fn is_truncated(&self) -> bool {
        self.0[1] & TRUNCATED != 0
    }
}

/// The rows of a [`Cell`].
#[derive(Debug, Clone)]
pub struct Steps<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Steps<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let (step, rest) = read_step(self.rest)?;
        self.rest = rest;
        Some(step)
    }
}

impl<'a> Step<'a> {
    /// Where it stands among the rows of its key.
    pub fn order(&self) -> RowOrder {
        let mut order = [0; ORDER_BYTES];
        order.copy_from_slice(&self.rank[..ORDER_BYTES]);
        RowOrder::from_bytes(order)
    }

    /// The first instant that may see it.
    pub fn visible_from(&self) -> Timestamp {
        Timestamp::from_ordered_bytes(self.visible_from)
    }

    /// Whether it is a tombstone.
    pub fn deleted(&self) -> bool {
        self.flags() & TOMBSTONE != 0
    }

    /// The packed features.
    pub fn payload(&self) -> &'a [u8] {
        let n_check = if self.flags() & CHECKED == 0 { 0 } else { CHECK_BYTES };
        &self.rank[RANK_MIN..self.rank.len() - n_check]
    }

    fn flags(&self) -> u8 {
        self.rank[ORDER_BYTES]
    }

    /// Whether its bytes are those that were written, as far as they tell.
    fn is_whole(&self) -> bool {
        if self.flags() & CHECKED == 0 {
            // A tombstone with more in it was a row, before its flags were flipped; what ends with the sum that it would have
            // with the flag had it.
            let is_row = !self.deleted() || self.rank.len() == RANK_MIN;
            return is_row && ![CHECKED, CHECKED | TOMBSTONE].iter().any(|flags| self.ends_with_sum_of(*flags));
        }
        let Some((rank, check)) = self.rank.split_last_chunk::<CHECK_BYTES>() else { return false };
        rank.len() >= RANK_MIN && check_of(&self.visible_from, rank) == *check
    }

    fn ends_with_sum_of(&self, flags: u8) -> bool {
        let Some((rank, check)) = self.rank.split_last_chunk::<CHECK_BYTES>() else { return false };
        let Some((order, payload)) = rank.split_at_checked(ORDER_BYTES) else { return false };
        let Some(payload) = payload.get(1..) else { return false };
        let sum = Crc32::new().and(&self.visible_from).and(order).and(&[flags]).and(payload).sum();
        sum.to_be_bytes() == *check
    }

    fn len(&self) -> usize {
        4 + TIME_BYTES + self.rank.len()
    }

    fn push_to(&self, out: &mut Vec<u8>) {
        push_length(out, TIME_BYTES + self.rank.len());
        out.extend(self.visible_from);
        out.extend(self.rank);
    }
}

/// The staircase of `steps`, from the last one at or before `cut`.
fn assemble(mut steps: Vec<Step<'_>>, cut: Timestamp) -> Cell {
    steps.sort_unstable_by(|a, b| a.visible_from.cmp(&b.visible_from).then_with(|| b.rank.cmp(a.rank)));
    let mut highest: Option<&[u8]> = None;
    steps.retain(|step| {
        let rises = highest.is_none_or(|highest| step.rank > highest);
        highest = if rises { Some(step.rank) } else { highest };
        rises
    });
    let cut = cut.to_ordered_bytes();
    let current = steps.iter().rposition(|step| step.visible_from <= cut);
    let kept = &steps[current.unwrap_or(0)..];
    let mut bytes = Vec::with_capacity(HEADER_BYTES + kept.iter().map(Step::len).sum::<usize>());
    bytes.extend([FORMAT, if current.is_some() { TRUNCATED } else { 0 }]);
    kept.iter().for_each(|step| step.push_to(&mut bytes));
    Cell(bytes)
}

/// The step at the front of `bytes`, and what follows it.
fn read_step(bytes: &[u8]) -> Option<(Step<'_>, &[u8])> {
    let (length, tail) = bytes.split_first_chunk::<4>()?;
    let (step, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (visible_from, rank) = step.split_first_chunk::<TIME_BYTES>()?;
    (rank.len() >= RANK_MIN).then_some((Step { visible_from: *visible_from, rank }, tail))
}

fn push_row(out: &mut Vec<u8>, row: &OnlineRow) {
    let length = TIME_BYTES + RANK_MIN + row.payload.len() + CHECK_BYTES;
    out.reserve(length + 4);
    push_length(out, length);
    let visible_from = row.visible_from.to_ordered_bytes();
    out.extend(visible_from);
    let rank = out.len();
    out.extend(row.order.to_bytes());
    out.push(if row.deleted { TOMBSTONE | CHECKED } else { CHECKED });
    out.extend(&row.payload);
    let check = check_of(&visible_from, &out[rank..]);
    out.extend(check);
}

fn check_of(visible_from: &[u8; TIME_BYTES], rank: &[u8]) -> [u8; CHECK_BYTES] {
    Crc32::new().and(visible_from).and(rank).sum().to_be_bytes()
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    let length =
        u32::try_from(length).expect("a packed row is far smaller than 4 GiB, the most that memory and Redis allow");
    out.extend(length.to_be_bytes());
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lead = if self.is_truncated() { "…" } else { "" };
        f.write_str(lead)?;
        f.debug_list().entries(self.steps()).finish()
    }
}

impl fmt::Debug for Step<'_> {
    /// Times and size; not the values, which may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowOrder { event_time, created_time, sequence } = self.order();
        write!(f, "{event_time}")?;
        if let Some(created_time) = created_time {
            write!(f, "/{created_time}")?;
        }
        write!(f, "#{sequence} from {}", self.visible_from())?;
        if self.deleted() { f.write_str(" deleted") } else { write!(f, " {} bytes", self.payload().len()) }
    }
}
