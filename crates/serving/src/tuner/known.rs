//! What the tuner knows of a version that is loaded: its record, its load, and what it may try of it.

use std::sync::Weak;
use std::time::{Duration, Instant};

use schema::Clock;

use super::arm::Arm;
use super::budget::Budget;
use super::config::TunerConfig;
use super::record::{Adopted, Record};
use super::trial::Question;
use crate::infer::TensorModel;
use crate::infer::latency::Spread;
use crate::infer::model::Way;

/// A version, which counts as gone when it is loaded no more.
pub(super) type Loaded = Weak<TensorModel>;

/// A version.
#[derive(Debug)]
pub(super) struct Known {
    pub model: Loaded,
    pub record: Record,
    /// How it is run, trials aside.
    pub arm: Arm,
    /// How it is run by default, and that way while another is in use.
    pub default_arm: Arm,
    pub default: Option<Way>,
    budget: Budget,
    /// What it had answered when it was looked at last.
    seen: Spread,
    /// What it answered outside of trials, of the last minute that is over and of this one.
    minutes: [Spread; 2],
    minute_began: Instant,
    /// Requests a second, and rows of a request, of that minute.
    rate: f64,
    rows: f64,
    counted: (u64, u64),
}

/// How long a way that was adopted is trusted.
const TRUSTED: Duration = Duration::from_secs(24 * 3600);
/// How long at least, though the load be another.
const TRUSTED_MIN: Duration = Duration::from_secs(3600);
/// A load is another when it is so many times as high, or as low.
const DRIFT: f64 = 2.0;
/// Requests of which the slowest hundredth is known.
const REQUESTS_OF_P99: u64 = 1_000;
/// The part of the time allowed that answers may take for a trial to be made.
const AT_EASE: f64 = 0.7;
/// Requests of a turn that says something.
pub(super) const REQUESTS_MIN: u64 = 50;
const MINUTE: Duration = Duration::from_secs(60);

impl Known {
    pub(super) fn new(model: Loaded, record: Record, arm: Arm, explore: f64, now: Instant) -> Self {
        let loaded = model.upgrade();
        let seen = loaded.as_ref().map(|model| model.latencies().snapshot()).unwrap_or_default();
        // Counts of a version go on when it is loaded anew.
        let counted = loaded.map(|model| model.statistics().snapshot());
        let counted = counted.map(|counts| (counts.success.count, counts.rows)).unwrap_or_default();
        Self {
            model,
            record,
            arm,
            default_arm: arm,
            default: None,
            budget: Budget::of(explore),
            seen,
            minutes: Default::default(),
            minute_began: now,
            rate: 0.0,
            rows: 0.0,
            counted,
        }
    }

    /// Counts what was answered since the last look, in a way that is only tried or not.
    pub(super) fn count(&mut self, now: Instant, is_tried: bool) {
        let Some(model) = self.model.upgrade() else { return };
        let snapshot = model.latencies().snapshot();
        let since = snapshot.since(&self.seen);
        let n = since.n();
        self.budget.answered(now, n, if is_tried { n } else { 0 });
        if !is_tried {
            self.minutes[1] = self.minutes[1].with(&since);
        }
        self.seen = snapshot;
        let took = now.duration_since(self.minute_began);
        if took >= MINUTE {
            let counts = model.statistics().snapshot();
            let (requests, rows) = (counts.success.count - self.counted.0, counts.rows - self.counted.1);
            self.rate = ratio(requests, 1) / took.as_secs_f64();
            self.rows = ratio(rows, requests);
            self.counted = (counts.success.count, counts.rows);
            self.minutes.swap(0, 1);
            self.minutes[1] = Spread::default();
            self.minute_began = now;
        }
    }

    /// Requests that a turn will have, about.
    fn expected(&self, turn: Duration) -> f64 {
        self.rate * turn.as_secs_f64()
    }

    /// What counts as late: more than is allowed, or than one in a hundred takes.
    pub(super) fn late_after(&self, config: &TunerConfig) -> Option<Duration> {
        let spread = self.minutes[0].with(&self.minutes[1]);
        let p99 = spread.quantile(0.99).filter(|_| spread.n() >= REQUESTS_OF_P99)?;
        match config.slo {
            Some(slo) => (p99 < slo.mul_f64(AT_EASE)).then_some(slo),
            None => Some(p99),
        }
    }

    /// What is to be found out now, if anything is, the load allows it and enough was answered by which it may be judged.
    pub(super) fn due(&self, config: &TunerConfig) -> Option<Question> {
        let question = if self.record.adopted.is_some_and(|adopted| self.is_old(&adopted)) && self.default.is_some() {
            Question::IsStill
        } else if self.record.candidates.is_empty() {
            return None;
        } else {
            Question::IsBetter
        };
        self.may_try(config).then_some(question)
    }

    /// Whether a block may be spent: there is enough to see, answers are at ease, and two turns of it are within what may be tried.
    pub(super) fn may_try(&self, config: &TunerConfig) -> bool {
        let expected = self.expected(config.turn);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count above zero")]
        let two_turns = (2.0 * expected).ceil() as u64;
        expected >= ratio(REQUESTS_MIN, 1) && self.late_after(config).is_some() && self.budget.allows(two_turns.max(1))
    }

    /// Whether what was adopted is to be looked at again: it is long ago, or the load is another.
    fn is_old(&self, adopted: &Adopted) -> bool {
        let age = Clock::wall().as_nanos().saturating_sub(adopted.at.as_nanos());
        let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
        let is_other = |now: f64, then: f64| now > then * DRIFT || now * DRIFT < then;
        age >= TRUSTED || age >= TRUSTED_MIN && (is_other(self.rate, adopted.rate) || is_other(self.rows, adopted.rows))
    }

    /// The way in use won, under this load.
    pub(super) fn adopt(&mut self, arm: Arm) {
        self.arm = arm;
        self.record.adopted = Some(Adopted { arm, at: Clock::wall(), rate: self.rate, rows: self.rows });
    }
}

#[expect(clippy::cast_precision_loss, reason = "of counts")]
fn ratio(of: u64, by: u64) -> f64 {
    of as f64 / by.max(1) as f64
}
