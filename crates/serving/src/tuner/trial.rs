//! One way to run a version against another, in turns. Pure.
//!
//! Turns are short, four to a block, outer and inner ones: old, new, new, old, or the other way round, as a coin says. So what
//! changes evenly meanwhile changes nothing, and if both ways are the same, either assignment of what was seen is as probable:
//! both tests below hold by that coin alone, whatever bursts there are. Of each block the gain is the logarithm of what a request
//! cost the old way over the new, in seconds of the processor, and lateness is which side had more of the late requests. The new
//! way is adopted when the evidence says that the gain is above zero, and it is worth the change; it is given up when it says
//! that it is later. A turn in which it is plainly late ends at once (docs/decisions/0105).

use crate::sequential::{Gain, Side};

/// What is asked of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How probable it may be that a way is adopted that is not better.
    pub alpha: f64,
    /// How probable it may be that one is given up though it is not later.
    pub alpha_late: f64,
    /// Blocks after which what was not shown is not so.
    pub blocks_max: u32,
    /// The mean gain that is worth a change: a logarithm, so 0.02 is about 2 %.
    pub gain_min: f64,
    /// Requests that a turn must have to say something.
    pub requests_min: u64,
}

/// What is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether the new way is better, while the old is in use.
    IsBetter,
    /// Whether it still is, while it is in use.
    IsStill,
}

/// What was seen of a turn, or of a part of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Requests that were answered, or not.
    pub requests: u64,
    /// Those of them that were late, or not answered.
    pub late: u64,
    /// Seconds of the processor.
    pub cpu: f64,
    /// Seconds.
    pub took: f64,
}

/// How a trial ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The new way is better.
    Better,
    /// Requests are late more often.
    Late,
    /// It was not shown to be better.
    NotBetter,
    /// There was too little to see, for too long.
    Unfinished,
}

/// A trial under way.
#[derive(Debug, Clone)]
pub struct Trial {
    question: Question,
    rules: Rules,
    gain: Gain,
    later: Gain,
    /// Whether the inner turns of this block are those of the new way.
    is_inner_new: bool,
    /// Of the block that is under way, those that ended, and the one that has not.
    turns: Vec<Seen>,
    turn: Seen,
    /// All that was seen of the old way.
    old: Seen,
}

/// Gains beyond this say no more: one lucky block decides nothing.
const GAIN_BOUND: f64 = 0.5;
/// Late requests of a turn that is plainly late, at least; and their share, alone and times that of the old way.
const PLAINLY: (u64, f64, f64) = (8, 0.1, 5.0);

impl Trial {
    /// A trial that begins; `coin` decides the order of its first block.
    pub fn new(question: Question, rules: Rules, coin: bool) -> Self {
        let (gain, later) = (Gain::within(GAIN_BOUND), Gain::within(1.0));
        let (turns, turn, old) = (Vec::new(), Seen::default(), Seen::default());
        Self { question, rules, gain, later, is_inner_new: coin, turns, turn, old }
    }

    /// Whose turn it is.
    pub fn side(&self) -> Side {
        let is_inner = matches!(self.turns.len(), 1 | 2);
        if is_inner == self.is_inner_new { Side::New } else { Side::Old }
    }

    /// The way that is not in use but for the trial.
    pub fn explored(&self) -> Side {
        match self.question {
            Question::IsBetter => Side::New,
            Question::IsStill => Side::Old,
        }
    }

    /// Whether a block is under way.
    pub fn is_midway(&self) -> bool {
        !self.turns.is_empty() || self.turn.took > 0.0
    }

    /// What was seen of this turn since it was told last. What is only tried, and plainly late, is given up at once.
    pub fn saw(&mut self, seen: Seen) -> Option<Verdict> {
        self.turn.add(seen);
        if self.side() == Side::Old {
            self.old.add(seen);
        }
        let (late_min, share_min, times) = PLAINLY;
        let usual = if self.explored() == Side::New { self.old.late_share() } else { 0.0 };
        let is_late = self.turn.late >= late_min && self.turn.late_share() > share_min.max(times * usual);
        if self.side() != self.explored() || !is_late {
            return None;
        }
        Some(match self.question {
            Question::IsBetter => Verdict::Late,
            // It is the way of before that is late: what is in use stays.
            Question::IsStill => Verdict::Better,
        })
    }

    /// The turn has ended; `coin` decides the order of the next block, if it was the last of one.
    pub fn ended(&mut self, coin: bool) -> Option<Verdict> {
        self.turns.push(std::mem::take(&mut self.turn));
        let [first, second, third, fourth] = self.turns[..] else { return None };
        self.turns.clear();
        let (outer, inner) = ([first, fourth], [second, third]);
        let (old, new) = if self.is_inner_new { (outer, inner) } else { (inner, outer) };
        self.is_inner_new = coin;
        let (gain, later) = (gain(old, new, self.rules.requests_min)?, later(old, new));
        self.gain.saw(gain);
        self.later.saw(later);
        if self.question == Question::IsBetter && self.later.is_enough(self.rules.alpha_late) {
            return Some(Verdict::Late);
        }
        let is_over = self.gain.n() >= self.rules.blocks_max;
        match self.question {
            Question::IsBetter if self.gain.mean() >= self.rules.gain_min && self.gain.is_enough(self.rules.alpha) => {
                Some(Verdict::Better)
            }
            // To keep what was shown to be better it need not be shown again: only not to be worse, as far as it is seen.
            Question::IsStill if is_over && self.gain.mean() >= 0.0 => Some(Verdict::Better),
            Question::IsBetter | Question::IsStill => is_over.then_some(Verdict::NotBetter),
        }
    }

    /// The gains so far.
    pub fn gain(&self) -> &Gain {
        &self.gain
    }

    /// How much of what was late was on the new side, from -1 to 1 each block.
    pub fn later(&self) -> &Gain {
        &self.later
    }
}

// === impl Seen ===

impl Seen {
    fn add(&mut self, more: Self) {
        self.requests += more.requests;
        self.late += more.late;
        self.cpu += more.cpu;
        self.took += more.took;
    }

    /// The share of requests that were late.
    #[expect(clippy::cast_precision_loss, reason = "of counts")]
    fn late_share(&self) -> f64 {
        self.late as f64 / self.requests.max(1) as f64
    }
}

/// Which side had more of the late requests: 1 where the new had all, -1 where the old had; 0 where none was.
fn later(old: [Seen; 2], new: [Seen; 2]) -> f64 {
    let share = |turns: [Seen; 2]| turns.iter().map(Seen::late_share).sum::<f64>();
    let (old, new) = (share(old), share(new));
    if old + new > 0.0 { (new - old) / (new + old) } else { 0.0 }
}

/// The logarithm of what a request costs the old way over the new. Where the old way had too few requests nothing is known;
/// where only the new way had, that counts against it.
#[expect(clippy::cast_precision_loss, reason = "of counts")]
fn gain(old: [Seen; 2], new: [Seen; 2], requests_min: u64) -> Option<f64> {
    let few = |turns: &[Seen; 2]| turns.iter().any(|turn| turn.requests < requests_min);
    if few(&old) {
        return None;
    }
    if few(&new) {
        return Some(-GAIN_BOUND);
    }
    let cost = |turns: [Seen; 2]| {
        let requests: u64 = turns.iter().map(|turn| turn.requests).sum();
        turns.iter().map(|turn| turn.cpu).sum::<f64>() / requests.max(1) as f64
    };
    Some((cost(old).max(f64::MIN_POSITIVE) / cost(new).max(f64::MIN_POSITIVE)).ln())
}

#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
