//! The series of one model version, looked up once.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use registry::ModelVersion;

/// Counts and times what one model version answers.
pub struct Meters {
    rows: Counter,
    features: Histogram,
}

impl Meters {
    pub(super) fn of(version: &ModelVersion) -> Self {
        let labels = [("model", version.name.to_string()), ("version", version.version.to_string())];
        Self {
            rows: counter!("plumb_predictions_total", &labels),
            features: histogram!("plumb_features_seconds", &labels),
        }
    }

    /// An answer for `n` rows, and the time that it took to read features.
    pub fn answered(&self, n: usize, features: Duration) {
        self.rows.increment(n as u64);
        self.features.record(features.as_secs_f64());
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}
