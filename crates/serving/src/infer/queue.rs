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

/// A request, as the queue sees it. The queue takes nobody out by itself: whoever gave up is found when its turn comes, or its
/// patience ends.
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
    /// How long it may wait.
    pub patience: Duration,
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
    /// How long somebody must have waited at every instant for the queue to stand.
    pub patience: Duration,
    /// How long one may wait while it stands, or a twentieth of its patience if that is longer.
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
    ranks: BTreeMap<Rank, Line<T>>,
    limits: Limits,
    /// Since when somebody has waited at every instant.
    standing: Option<Instant>,
}

/// Those of one rank.
#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<Waiting<T>>,
    held: Held,
}

/// What requests have together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Held {
    rows: usize,
    bytes: usize,
}

/// The worst priority that is told from others: a queue has few ranks, whatever clients write.
const WORST: u32 = 8;

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
            Ok(priority) => Self(priority.min(WORST)),
            Err(_) => Self(WORST),
        }
    }
}

// === impl BatchQueue ===

impl<T> BatchQueue<T> {
    /// An empty queue.
    pub fn new(limits: Limits) -> Self {
        Self { ranks: BTreeMap::new(), limits, standing: None }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty()
    }

    /// How many requests wait.
    pub fn len(&self) -> usize {
        self.ranks.values().map(|line| line.waiting.len()).sum()
    }

    /// How long a request of this rank would wait that came now, where a run of so many rows takes `run` and there are so
    /// many sessions.
    pub fn wait(&self, rank: Rank, rows: usize, run: Duration, sessions: usize) -> Duration {
        let before: usize = self.ranks.range(..=rank).map(|(_, line)| line.held.rows).sum();
        let runs = before.div_ceil(rows.max(1)).div_ceil(sessions.max(1));
        run.saturating_mul(u32::try_from(runs).unwrap_or(u32::MAX))
    }

    /// Takes a request in. Where there is no room, those of the worst ranks make room for better ones, the newest first.
    ///
    /// # Errors
    /// The request itself, if there is no room for it.
    pub fn push(&mut self, waiting: Waiting<T>) -> Result<Vec<Waiting<T>>, Waiting<T>> {
        let Limits { rows_max, bytes_max } = self.limits;
        let new = Held::of(&waiting);
        // One alone is taken, however large it is: it was checked before.
        let fits = |held: Held| {
            let both = held.with(new);
            held == Held::default() || both.rows <= rows_max && both.bytes <= bytes_max
        };
        let sum = |ranks: &mut dyn Iterator<Item = (&Rank, &Line<T>)>| {
            ranks.fold(Held::default(), |held, (_, line)| held.with(line.held))
        };
        if !fits(sum(&mut self.ranks.range(..=waiting.rank))) {
            return Err(waiting);
        }
        let mut gone = Vec::new();
        while !fits(sum(&mut self.ranks.iter())) {
            let Some(mut worst) = self.ranks.last_entry() else { break };
            let line = worst.get_mut();
            if let Some(newest) = line.waiting.pop_back() {
                line.held = line.held.without(Held::of(&newest));
                gone.push(newest);
            }
            if line.waiting.is_empty() {
                worst.remove();
            }
        }
        self.standing.get_or_insert(waiting.since);
        let line = self.ranks.entry(waiting.rank).or_default();
        line.held = line.held.with(new);
        line.waiting.push_back(waiting);
        Ok(gone)
    }

    /// All who wait, who wait no longer.
    pub fn drain(&mut self) -> Vec<Waiting<T>> {
        self.standing = None;
        std::mem::take(&mut self.ranks).into_values().flat_map(|line| line.waiting).collect()
    }

    /// What a free session runs next: requests of one shape and at most so many rows together, unless one alone has more.
    pub fn pop(&mut self, now: Instant, speed: Speed) -> Next<T> {
        let is_standing = self.standing.is_some_and(|since| now.saturating_duration_since(since) > speed.patience);
        let why = |waiting: &Waiting<T>| {
            let is_late = waiting.deadline.is_some_and(|deadline| deadline <= now);
            let waited = now.saturating_duration_since(waiting.since);
            let impatience = speed.impatience.max(waiting.patience / 20);
            let at_most = if is_standing { impatience } else { waiting.patience };
            is_late.then_some(Why::Expired).or((waited > at_most).then_some(Why::Shed))
        };
        let mut next = Next { batch: Vec::new(), refused: Vec::new() };
        let mut rows = 0;
        for Line { waiting, held } in self.ranks.values_mut() {
            let mut kept = VecDeque::new();
            while kept.len() < LOOK_PAST && (rows == 0 || rows < speed.rows) {
                // Oldest first: the newest are first where the queue stands.
                let taken = if is_standing { waiting.pop_back() } else { waiting.pop_front() };
                let Some(taken) = taken else { break };
                let why = why(&taken);
                let first: Option<&Waiting<T>> = next.batch.first();
                let fits = first.is_none_or(|first| first.shape == taken.shape && rows + taken.rows <= speed.rows);
                if why.is_none() && !fits {
                    kept.push_back(taken);
                    continue;
                }
                *held = held.without(Held::of(&taken));
                match why {
                    Some(why) => next.refused.push((taken, why)),
                    None => {
                        rows += taken.rows;
                        next.batch.push(taken);
                    }
                }
            }
            // Back to where they were.
            for kept in kept.into_iter().rev() {
                if is_standing { waiting.push_back(kept) } else { waiting.push_front(kept) }
            }
            // Those who waited for too long are told so, though nobody came as far as them.
            while let Some(why) = waiting.front().and_then(&why) {
                let Some(gone) = waiting.pop_front() else { break };
                *held = held.without(Held::of(&gone));
                next.refused.push((gone, why));
            }
        }
        self.ranks.retain(|_, line| !line.waiting.is_empty());
        if self.is_empty() {
            self.standing = None;
        }
        next
    }
}

// === impl Line ===

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), held: Held::default() }
    }
}

// === impl Held ===

impl Held {
    /// No request is nothing.
    fn of<T>(waiting: &Waiting<T>) -> Self {
        Self { rows: waiting.rows.max(1), bytes: waiting.bytes.saturating_add(size_of::<Waiting<T>>()) }
    }

    fn with(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_add(other.rows), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn without(self, other: Self) -> Self {
        Self { rows: self.rows - other.rows, bytes: self.bytes - other.bytes }
    }
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
