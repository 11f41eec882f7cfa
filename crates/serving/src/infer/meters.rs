//! The series of one model version's queue and runs, looked up once.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

use super::queue::Why;

/// Counts and times what waits for one model version, and its runs.
pub(super) struct Meters {
    queue: Histogram,
    infer: Histogram,
    batch: Histogram,
    expired: Counter,
    shed: Counter,
}

impl Meters {
    pub(super) fn of(model: &str, version: u32) -> Self {
        let labels = [("model", model.to_owned()), ("version", version.to_string())];
        let refused = |reason: &'static str| {
            let [model, version] = labels.clone();
            counter!("plumb_infer_refused_total", &[model, version, ("reason", reason.to_owned())])
        };
        Self {
            queue: histogram!("plumb_queue_seconds", &labels),
            infer: histogram!("plumb_infer_seconds", &labels),
            batch: histogram!("plumb_batch_rows", &labels),
            expired: refused("expired"),
            shed: refused("shed"),
        }
    }

    /// A request was answered, that waited so long and was part of a run that took so long.
    pub(super) fn answered(&self, queue: Duration, infer: Duration) {
        self.queue.record(queue.as_secs_f64());
        self.infer.record(infer.as_secs_f64());
    }

    /// The model ran so many rows at once.
    pub(super) fn ran(&self, rows: usize) {
        self.batch.record(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
    }

    /// A request was refused.
    pub(super) fn refused(&self, why: Why) {
        match why {
            Why::Expired => self.expired.increment(1),
            Why::Shed => self.shed.increment(1),
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}
