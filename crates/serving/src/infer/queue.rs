//! Requests that wait for a session of one model, and what a free session runs next. Pure: time comes in as an argument.
//!
//! A batch is whatever waited while no session was free: nobody waits for company. Better ranks go first; within a rank the
//! oldest, or the newest once the queue has stood for as long as a request may take: then those who waited long would be
//! answered too late in any case, and a new one is still in time (docs/decisions/0097). Whoever is not answered is handed
//! back with the reason, as soon as it is known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Who goes first: 1 is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u32);

/// A request, as the queue sees it.
#[derive(Debug)]
pub struct Waiting<T> {
    /// Its rows.
    pub rows: usize,
    /// What it takes in memory.
    pub bytes: usize,
    /// What it must share with others of its batch: all dimensions but the first.
    pub shape: Arc<[i64]>,
    /// Who goes first.
    pub rank: Rank,
    /// By when it must have begun.
    pub deadline: Option<Instant>,
    /// When it came.
    pub since: Instant,
    /// It.
    pub item: T,
}

/// What a queue may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows together.
    pub rows_max: usize,
    /// Bytes together.
    pub bytes_max: usize,
}

/// How fast the model is, as far as the queue must know.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// The most rows of a batch.
    pub rows: usize,
    /// How long a request may wait while the queue is empty from time to time.
    pub patience: Duration,
    /// How long one may wait while it is not.
    pub impatience: Duration,
}

/// Why a request is handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its deadline has passed.
    Expired,
    /// There is more to do than can be done.
    Shed,
}

/// What a session does next.
#[derive(Debug)]
pub struct Next<T> {
    /// Requests of one shape, to be run at once; none if nobody waits.
    pub batch: Vec<Waiting<T>>,
    /// Requests that are not answered.
    pub refused: Vec<(Waiting<T>, Why)>,
}

/// Requests that wait.
#[derive(Debug)]
pub struct BatchQueue<T> {
    ranks: BTreeMap<Rank, VecDeque<Waiting<T>>>,
    rows: usize,
    bytes: usize,
    limits: Limits,
    /// Since when somebody has waited at every instant.
    standing: Option<Instant>,
}

/// How many requests of other shapes are looked past for those that fit into a batch.
const LOOK_PAST: usize = 64;

// === impl Rank ===

impl Rank {
    /// What nobody asks for by another.
    pub const NORMAL: Self = Self(2);
    /// Scoring of many rows, which has time.
    pub const BATCH: Self = Self(u32::MAX - 1);
    /// Copies of requests, whose answers nobody waits for.
    pub const SHADOW: Self = Self(u32::MAX);

    /// Of a client's number: 1 is the highest, 0 says nothing.
    pub fn of_priority(priority: u64) -> Self {
        match u32::try_from(priority) {
            Ok(0) => Self::NORMAL,
            Ok(priority) => Self(priority.min(u32::MAX - 2)),
            Err(_) => Self(u32::MAX - 2),
        }
    }
}

// === impl BatchQueue ===

impl<T> BatchQueue<T> {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self { ranks: BTreeMap::new(), rows: 0, bytes: 0, limits, standing: None }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.ranks.values().map(VecDeque::len).sum()
    }

    /// Rows that wait before a request of this rank.
    pub fn rows_before(&self, rank: Rank) -> usize {
        self.ranks.range(..=rank).flat_map(|(_, waiting)| waiting).map(|waiting| waiting.rows).sum()
    }

    /// Takes a request in. Where there is no room, those of the worst ranks make room for better ones, the newest first.
    ///
    /// # Errors
    /// The request itself, if there is no room for it.
    pub fn push(&mut self, waiting: Waiting<T>) -> Result<Vec<Waiting<T>>, Waiting<T>> {
        let Limits { rows_max, bytes_max } = self.limits;
        // One alone is taken, however large it is: it was checked before.
        let fits = |rows: usize, bytes: usize| {
            rows == 0 || rows + waiting.rows <= rows_max && bytes + waiting.bytes <= bytes_max
        };
        let worse = self.ranks.range((std::ops::Bound::Excluded(waiting.rank), std::ops::Bound::Unbounded));
        let (rows, bytes) = worse
            .flat_map(|(_, worse)| worse)
            .fold((self.rows, self.bytes), |(rows, bytes), worse| (rows - worse.rows, bytes - worse.bytes));
        if !fits(rows, bytes) {
            return Err(waiting);
        }
        let mut gone = Vec::new();
        while !fits(self.rows, self.bytes) {
            let Some(mut worst) = self.ranks.last_entry() else { break };
            gone.extend(worst.get_mut().pop_back());
            if worst.get().is_empty() {
                worst.remove();
            }
            if let Some(gone) = gone.last() {
                (self.rows, self.bytes) = (self.rows - gone.rows, self.bytes - gone.bytes);
            }
        }
        self.standing.get_or_insert(waiting.since);
        (self.rows, self.bytes) = (self.rows + waiting.rows, self.bytes + waiting.bytes);
        self.ranks.entry(waiting.rank).or_default().push_back(waiting);
        Ok(gone)
    }

    /// What a free session runs next: requests of one shape and at most so many rows together, unless one alone has more.
    pub fn pop(&mut self, now: Instant, speed: Speed) -> Next<T> {
        let is_standing = self.standing.is_some_and(|since| now.saturating_duration_since(since) > speed.patience);
        let at_most = if is_standing { speed.impatience } else { speed.patience };
        let why = |waiting: &Waiting<T>| {
            let is_late = waiting.deadline.is_some_and(|deadline| deadline <= now);
            let waited = now.saturating_duration_since(waiting.since);
            is_late.then_some(Why::Expired).or((waited > at_most).then_some(Why::Shed))
        };
        let mut next = Next { batch: Vec::new(), refused: Vec::new() };
        let mut rows = 0;
        for waiting in self.ranks.values_mut() {
            // Oldest first: the newest are first where the queue stands.
            let mut kept = VecDeque::new();
            let mut passed = 0;
            while passed < LOOK_PAST && (rows == 0 || rows < speed.rows) {
                let taken = if is_standing { waiting.pop_back() } else { waiting.pop_front() };
                let Some(taken) = taken else { break };
                if let Some(why) = why(&taken) {
                    next.refused.push((taken, why));
                    continue;
                }
                let first: Option<&Waiting<T>> = next.batch.first();
                if first.is_none_or(|first| first.shape == taken.shape && rows + taken.rows <= speed.rows) {
                    rows += taken.rows;
                    next.batch.push(taken);
                } else {
                    passed += 1;
                    kept.push_back(taken);
                }
            }
            // Back to where they were.
            for kept in kept.into_iter().rev() {
                if is_standing { waiting.push_back(kept) } else { waiting.push_front(kept) }
            }
        }
        self.ranks.retain(|_, waiting| !waiting.is_empty());
        for gone in next.batch.iter().chain(next.refused.iter().map(|(gone, _)| gone)) {
            (self.rows, self.bytes) = (self.rows - gone.rows, self.bytes - gone.bytes);
        }
        if self.is_empty() {
            self.standing = None;
        }
        next
    }
}

#[cfg(test)]
mod tests;
