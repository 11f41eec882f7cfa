//! A trial under way: whose turn it is, and the swap between the two.

use std::time::{Duration, Instant};

use schema::ModelName;

use super::arm::Arm;
use super::config::TunerConfig;
use super::history::Decision;
use super::known::{Known, Loaded};
use super::machine::cpu_seconds;
use super::trial::{Question, Rules, Seen, Trial, Verdict};
use crate::infer::TensorModel;
use crate::infer::latency::Spread;
use crate::infer::model::Way;

/// It.
#[derive(Debug)]
pub(super) struct Running {
    pub of: (ModelName, u32),
    model: Loaded,
    number: u32,
    arm: Arm,
    question: Question,
    trial: Trial,
    /// The way that does not run now.
    other: Option<Way>,
    /// Whether the way runs that is not in use but for the trial.
    pub is_exploring: bool,
    /// What counts as late.
    late_after: Duration,
    /// The turn that is under way; none between blocks, when nothing is tried.
    turn: Option<Turn>,
    /// When the last block ended, or none could begin.
    looked: Option<Instant>,
}

/// How long a trial waits for requests that it may spend; then others have their turn.
const UNFINISHED: Duration = Duration::from_secs(3600);

impl Drop for Running {
    /// What is only tried does not stay, whatever ends the trial.
    fn drop(&mut self) {
        if let Some(model) = self.model.upgrade() {
            self.switch(&model, false);
        }
    }
}

/// Heads or tails.
fn coin() -> bool {
    getrandom::u32().is_ok_and(|bits| bits & 1 == 1)
}

#[derive(Debug)]
struct Turn {
    began: Instant,
    looked: Instant,
    seen: Spread,
    cpu: f64,
}

impl Running {
    pub(super) fn new(
        of: (ModelName, u32),
        model: Loaded,
        (number, arm): (u32, Arm),
        (question, rules): (Question, Rules),
        other: Way,
        late_after: Duration,
    ) -> Self {
        let (trial, other, looked) = (Trial::new(question, rules, coin()), Some(other), None);
        Self { of, model, number, arm, question, trial, other, is_exploring: false, late_after, turn: None, looked }
    }

    /// Looks what the turn has given since the last look; begins the next when it has ended, and a block when there may be one.
    pub(super) fn go_on(
        &mut self,
        model: &TensorModel,
        known: &Known,
        now: Instant,
        config: &TunerConfig,
    ) -> Option<Verdict> {
        if let Some(turn) = &mut self.turn {
            let (snapshot, cpu) = (model.latencies().snapshot(), cpu_seconds());
            let since = snapshot.since(&turn.seen);
            let seen = Seen {
                requests: since.n(),
                late: since.beyond(self.late_after),
                cpu: cpu - turn.cpu,
                took: now.duration_since(turn.looked).as_secs_f64(),
            };
            let has_ended = now.duration_since(turn.began) >= config.turn;
            *turn = Turn { began: turn.began, looked: now, seen: snapshot, cpu };
            if let Some(verdict) = self.trial.saw(seen) {
                return Some(verdict);
            }
            if !has_ended {
                return None;
            }
            self.turn = None;
            if let Some(verdict) = self.trial.ended(coin()) {
                return Some(verdict);
            }
            self.looked = None;
        }
        if self.trial.is_midway() || known.may_try(config) {
            self.switch(model, self.trial.side() == self.trial.explored());
            let (seen, cpu) = (model.latencies().snapshot(), cpu_seconds());
            self.turn = Some(Turn { began: now, looked: now, seen, cpu });
            return None;
        }
        self.switch(model, false);
        let since = *self.looked.get_or_insert(now);
        (now.duration_since(since) > UNFINISHED).then_some(Verdict::Unfinished)
    }

    /// Whether nothing is tried right now.
    pub(super) fn is_resting(&self) -> bool {
        self.turn.is_none()
    }

    fn switch(&mut self, model: &TensorModel, explores: bool) {
        if self.is_exploring != explores
            && let Some(other) = self.other.take()
        {
            self.other = Some(model.switch(other));
            self.is_exploring = explores;
        }
    }

    /// Ends it: whether another way is in use from here on, and why.
    pub(super) fn end(&mut self, model: &TensorModel, known: &mut Known, verdict: Verdict) -> (bool, String) {
        // Till here it was to be tried again, if this process had ended.
        known.record.candidates.retain(|candidate| *candidate != self.arm);
        match (self.question, verdict) {
            (question, Verdict::Unfinished) => {
                self.switch(model, false);
                match question {
                    Question::IsBetter => known.record.candidates.push(self.arm),
                    Question::IsStill => known.default = self.other.take(),
                }
                (false, String::new())
            }
            (Question::IsBetter, Verdict::Better) => {
                self.switch(model, true);
                let before = self.other.take();
                // The default stays at hand; what was adopted before it is not needed any more.
                known.default = known.default.take().or(before);
                known.adopt(self.arm);
                (true, format!("it won trial {}", self.number))
            }
            (Question::IsBetter, Verdict::Late | Verdict::NotBetter) => {
                self.switch(model, false);
                (false, String::new())
            }
            (Question::IsStill, Verdict::Better) => {
                self.switch(model, false);
                known.default = self.other.take();
                known.adopt(self.arm);
                (false, String::new())
            }
            (Question::IsStill, Verdict::Late | Verdict::NotBetter) => {
                self.switch(model, true);
                self.other = None;
                known.record.adopted = None;
                known.arm = known.default_arm;
                // It may be better again.
                known.record.candidates.push(self.arm);
                (true, "it was no worse any more than what was adopted".to_owned())
            }
        }
    }

    /// What is told of it.
    pub(super) fn told(&self, verdict: Verdict) -> Decision {
        let gain = self.trial.gain();
        Decision::TrialEnded {
            trial: self.number,
            arm: self.arm,
            verdict,
            blocks: gain.n(),
            gain: gain.mean(),
            e_gain: gain.e_value(),
            e_late: self.trial.later().e_value(),
            late_us: self.late_after.as_secs_f64() * 1e6,
        }
    }
}
