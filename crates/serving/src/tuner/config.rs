//! What is asked of the tuner.

use std::path::PathBuf;
use std::time::Duration;

/// What the tuner does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// It measures, and says what it would try.
    Advise,
    /// It tries, and adopts.
    On,
}

/// How versions are tuned.
#[derive(Debug, Clone)]
pub struct TunerConfig {
    /// What it does.
    pub mode: Mode,
    /// How late an answer may be; as late as one in a hundred is by default, unless given.
    pub slo: Option<Duration>,
    /// The share of the requests of an hour that may be answered in a way that is only tried, from 0 to 1.
    pub explore: f64,
    /// Where measurements and decisions are kept.
    pub folder: PathBuf,
    /// How long a turn of a trial is.
    pub turn: Duration,
    /// How often it looks.
    pub look: Duration,
}

impl TunerConfig {
    /// The usual, with its files in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        let (turn, look) = (Duration::from_secs(2), Duration::from_millis(100));
        Self { mode: Mode::Off, slo: None, explore: 0.01, folder, turn, look }
    }
}
