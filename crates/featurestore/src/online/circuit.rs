//! When a store that keeps failing is left alone: a circuit breaker, as a pure rule. Time comes in as an argument.
//!
//! Closed, every call goes through. After [`FAILURES`] failures in a row it opens: calls fail at once, so that requests
//! do not queue up behind a store that is gone. After a rest one call, the probe, goes through; while it is on its way all
//! others fail at once, and its outcome closes the circuit or lets it rest again. So a store that comes back is found
//! within a rest and one call, and meets one request and not all that waited.

use std::time::{Duration, Instant};

/// Failures in a row after which a circuit opens.
pub const FAILURES: u32 = 5;
/// How long an open circuit rests before a probe; up to a quarter more, so that many servers do not probe together.
pub const REST: Duration = Duration::from_millis(400);

/// Whether a store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circuit {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

/// What a call may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Ask the store.
    Through,
    /// Ask the store; the others wait for what comes of it.
    Probe,
    /// Do not ask.
    Refused,
}

/// What came of a call that asked the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The store answered, be it with a refusal that is no sign of trouble.
    Answered,
    /// It is in trouble.
    Failed,
    /// Nobody waited for the answer.
    Abandoned,
}

/// What a circuit turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The store is left alone from now on.
    Opened,
    /// The store is asked again.
    Closed,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { state: State::Closed { failures: 0 } }
    }
}

impl Circuit {
    /// Whether a call may ask the store now. After [`Pass::Probe`], [`Self::record`] must follow.
    pub fn pass(&mut self, now: Instant) -> Pass {
        match self.state {
            State::Closed { .. } => Pass::Through,
            State::Open { until } if now >= until => {
                self.state = State::Probing;
                Pass::Probe
            }
            State::Open { .. } | State::Probing => Pass::Refused,
        }
    }

    /// What came of a call that went through, or of the probe. `spread` in 0..=1 lengthens the rest.
    pub fn record(&mut self, pass: Pass, outcome: Outcome, now: Instant, spread: f32) -> Option<Change> {
        let open = State::Open { until: now + REST + (REST / 4).mul_f32(spread.clamp(0.0, 1.0)) };
        let (state, change) = match (self.state, pass, outcome) {
            (State::Probing, Pass::Probe, Outcome::Answered) => (State::Closed { failures: 0 }, Some(Change::Closed)),
            // One that was abandoned says nothing of the store: the next call may probe.
            (State::Probing, Pass::Probe, Outcome::Abandoned) => (State::Open { until: now }, None),
            (State::Probing, Pass::Probe, Outcome::Failed) => (open, None),
            (State::Closed { .. }, _, Outcome::Answered) => (State::Closed { failures: 0 }, None),
            (State::Closed { failures }, _, Outcome::Failed) if failures + 1 >= FAILURES => {
                (open, Some(Change::Opened))
            }
            (State::Closed { failures }, _, Outcome::Failed) => (State::Closed { failures: failures + 1 }, None),
            // What went through before it opened says nothing new.
            (state, _, _) => (state, None),
        };
        self.state = state;
        change
    }

    /// Whether calls go through.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fail(circuit: &mut Circuit, now: Instant) -> Option<Change> {
        let pass = circuit.pass(now);
        circuit.record(pass, Outcome::Failed, now, 0.0)
    }

    #[test]
    fn it_opens_after_five_failures_in_a_row() {
        let now = Instant::now();
        let mut circuit = Circuit::default();
        for _ in 1..FAILURES {
            assert_eq!(fail(&mut circuit, now), None);
        }
        let pass = circuit.pass(now);
        circuit.record(pass, Outcome::Answered, now, 0.0);
        for _ in 1..FAILURES {
            assert_eq!(fail(&mut circuit, now), None);
        }
        assert_eq!(fail(&mut circuit, now), Some(Change::Opened));
        assert_eq!(circuit.pass(now), Pass::Refused);
    }

    #[test]
    fn one_probe_goes_through_after_the_rest_and_decides() {
        let now = Instant::now();
        let mut circuit = Circuit { state: State::Open { until: now + REST } };
        assert_eq!(circuit.pass(now), Pass::Refused);
        assert_eq!(circuit.pass(now + REST), Pass::Probe);
        assert!((0..100).all(|_| circuit.pass(now + REST * 9) == Pass::Refused));
        assert_eq!(circuit.record(Pass::Probe, Outcome::Failed, now + REST, 0.0), None);
        assert_eq!(circuit.pass(now + REST), Pass::Refused);
        assert_eq!(circuit.pass(now + REST * 2), Pass::Probe);
        assert_eq!(circuit.record(Pass::Probe, Outcome::Answered, now, 0.0), Some(Change::Closed));
        assert_eq!(circuit.pass(now), Pass::Through);
    }

    #[test]
    fn an_abandoned_probe_gives_its_place_to_the_next() {
        let now = Instant::now();
        let mut circuit = Circuit { state: State::Open { until: now } };
        assert_eq!(circuit.pass(now), Pass::Probe);
        assert_eq!(circuit.record(Pass::Probe, Outcome::Abandoned, now, 0.0), None);
        assert_eq!(circuit.pass(now), Pass::Probe);
    }

    proptest! {
        /// Whatever happens, there is never more than one probe, and a store that answers is asked again within a rest.
        #[test]
        fn probes_are_one_at_a_time_and_recovery_takes_one_rest(
            steps in proptest::collection::vec((0_u64..600, 0_u8..4), 1..80)
        ) {
            let mut now = Instant::now();
            let mut circuit = Circuit::default();
            let mut flying: Vec<Pass> = Vec::new();
            for (wait, what) in steps {
                now += Duration::from_millis(wait);
                match what {
                    0 => {
                        let pass = circuit.pass(now);
                        if pass != Pass::Refused {
                            flying.push(pass);
                        }
                    }
                    other => {
                        if let Some(pass) = flying.pop() {
                            let outcome = [Outcome::Answered, Outcome::Failed, Outcome::Abandoned][usize::from(other - 1)];
                            circuit.record(pass, outcome, now, 0.5);
                        }
                    }
                }
                prop_assert!(flying.iter().filter(|pass| **pass == Pass::Probe).count() <= 1);
            }
            for pass in flying.drain(..) {
                circuit.record(pass, Outcome::Failed, now, 1.0);
            }
            if !circuit.is_closed() {
                now += REST + REST / 3;
                let pass = circuit.pass(now);
                prop_assert_eq!(pass, Pass::Probe);
                circuit.record(pass, Outcome::Answered, now, 0.0);
            }
            prop_assert!(circuit.is_closed());
        }
    }
}
