//! How a version is run: what the tuner chooses between.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::infer::model::ROWS_MAX;
use crate::onnx::SessionOptions;

/// One way to run a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its sessions.
    pub sessions: usize,
    /// Threads of a session's run.
    pub intra_op: usize,
    /// Whether threads that wait for each other burn their core meanwhile; of one thread, none does.
    pub spinning: bool,
    /// The most rows of a batch, beside what is found to be worth it.
    pub rows_max: usize,
}

impl Arm {
    /// What runs where nothing is tuned: a session for each core, of one thread.
    pub fn default_of(cores: usize) -> Self {
        Self { sessions: cores.max(1), intra_op: 1, spinning: false, rows_max: ROWS_MAX }
    }

    /// How its sessions are made.
    pub fn options(&self, of: &SessionOptions) -> SessionOptions {
        SessionOptions { intra_op: self.intra_op, spinning: self.spinning, ..of.clone() }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sessions, intra_op, spinning, rows_max } = self;
        let s = |n: usize| if n == 1 { "" } else { "s" };
        write!(f, "{sessions} session{} of {intra_op} thread{}", s(*sessions), s(*intra_op))?;
        if *spinning {
            f.write_str(" that spin")?;
        }
        match *rows_max {
            ROWS_MAX => Ok(()),
            1 => f.write_str(", no batches"),
            rows => write!(f, ", batches up to {rows} rows"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arm_is_told_in_words() {
        let default = Arm::default_of(2);
        assert_eq!(default.to_string(), "2 sessions of 1 thread");
        assert_eq!(
            Arm { sessions: 1, intra_op: 2, spinning: true, rows_max: 1 }.to_string(),
            "1 session of 2 threads that spin, no batches"
        );
        assert_eq!(Arm { rows_max: 16, ..default }.to_string(), "2 sessions of 1 thread, batches up to 16 rows");
    }
}
