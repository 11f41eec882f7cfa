//! What was answered online, by view: the statuses of values, and how old rows were.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use metrics::{Histogram, counter, gauge, histogram};
use schema::{Status, Timestamp, ViewId};

use crate::assemble::FeatureRows;
use crate::compiled::{ColumnSource, CompiledService};

const N: usize = Status::ALL.len();
/// How many [`Answered::tick`]s the ratios look back over.
const WINDOW: usize = 60;
const NANOS: f64 = 1e-9;
/// No data is not "no nulls".
const NOTHING: Ratios = Ratios { null: f64::NAN, not_found: f64::NAN };

/// Values by status, by the number of the status.
type Counts = [u64; N];

/// Counts what a server answers, by view version.
#[derive(Debug, Default)]
pub struct Answered {
    views: RwLock<HashMap<ViewId, Arc<ViewMeter>>>,
}

struct ViewMeter {
    values: [AtomicU64; N],
    /// Age of the oldest row of an answer.
    freshness: Histogram,
    window: Mutex<Window>,
}

/// Counts of the last ticks, oldest first: what was answered since is the difference.
#[derive(Debug, Default)]
struct Window(VecDeque<Counts>);

/// Of what was answered lately, the parts that are no values.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ratios {
    null: f64,
    not_found: f64,
}

impl Answered {
    /// Counts one answer.
    pub fn count(&self, compiled: &CompiledService, rows: &FeatureRows, as_of: Timestamp) {
        let mut stored: Vec<Counts> = vec![[0; N]; compiled.views.len()];
        let mut on_demand: Vec<Counts> = vec![[0; N]; compiled.on_demand.len()];
        for (source, statuses) in compiled.sources.iter().zip(&rows.statuses) {
            let counts = match source {
                ColumnSource::Stored { view, .. } => &mut stored[*view],
                ColumnSource::OnDemand { view, .. } => &mut on_demand[*view],
            };
            statuses.iter().for_each(|status| counts[*status as usize] += 1);
        }
        for ((view, counts), times) in compiled.views.iter().zip(stored).zip(&rows.event_times) {
            let oldest = times.iter().flatten().min();
            self.of(&view.view.id).add(&counts, oldest.map(|oldest| age(*oldest, as_of)));
        }
        for (view, counts) in compiled.on_demand.iter().zip(on_demand) {
            self.of(&view.view.id).add(&counts, None);
        }
    }

    /// Makes the series say what was counted.
    pub fn publish(&self) {
        for (id, meter) in self.all() {
            let counts = meter.counts();
            for status in Status::ALL {
                let mut labels = labels(&id).to_vec();
                labels.push(("status", status.as_str().to_owned()));
                counter!("plumb_feature_values_total", &labels).absolute(counts[status as usize]);
            }
            let ratios = meter.window().ratios(counts).unwrap_or(NOTHING);
            gauge!("plumb_null_ratio", &labels(&id)).set(ratios.null);
            gauge!("plumb_not_found_ratio", &labels(&id)).set(ratios.not_found);
        }
    }

    /// Moves the time that ratios look back over; to be called at one pace.
    pub fn tick(&self) {
        self.all().iter().for_each(|(_, meter)| meter.window().push(meter.counts()));
    }

    fn all(&self) -> Vec<(ViewId, Arc<ViewMeter>)> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        views.iter().map(|(id, meter)| (id.clone(), Arc::clone(meter))).collect()
    }

    fn of(&self, id: &ViewId) -> Arc<ViewMeter> {
        if let Some(found) = self.views.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Arc::clone(found);
        }
        let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(views.entry(id.clone()).or_insert_with(|| Arc::new(ViewMeter::of(id))))
    }
}

fn labels(id: &ViewId) -> [(&'static str, String); 2] {
    [("view", id.name.to_string()), ("version", id.version.to_string())]
}

#[expect(clippy::cast_precision_loss, reason = "an age in seconds needs no more bits")]
fn age(event_time: Timestamp, at: Timestamp) -> f64 {
    (i128::from(at.as_nanos()) - i128::from(event_time.as_nanos())) as f64 * NANOS
}

impl ViewMeter {
    fn of(id: &ViewId) -> Self {
        let freshness = histogram!("plumb_feature_freshness_seconds", &labels(id));
        Self { values: Default::default(), freshness, window: Mutex::default() }
    }

    fn add(&self, counts: &Counts, oldest: Option<f64>) {
        for (sum, n) in self.values.iter().zip(counts).filter(|(_, n)| **n > 0) {
            sum.fetch_add(*n, Ordering::Relaxed);
        }
        if let Some(oldest) = oldest {
            self.freshness.record(oldest);
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> Counts {
        std::array::from_fn(|i| self.values[i].load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for ViewMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ViewMeter({:?})", self.counts())
    }
}

impl Window {
    fn push(&mut self, now: Counts) {
        self.0.push_back(now);
        if self.0.len() > WINDOW {
            self.0.pop_front();
        }
    }

    /// The ratios up to now; `None` if nothing was answered in the window.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more bits")]
    fn ratios(&self, now: Counts) -> Option<Ratios> {
        let before = self.0.front().copied().unwrap_or_default();
        let since: Counts = std::array::from_fn(|i| now[i].saturating_sub(before[i]));
        let all: u64 = since.iter().sum();
        let part = |status: Status| since[status as usize] as f64 / all as f64;
        (all > 0).then(|| Ratios { null: part(Status::NullValue), not_found: part(Status::NotFound) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(present: u64, null: u64, not_found: u64) -> Counts {
        let mut counts = [0; N];
        counts[Status::Present as usize] = present;
        counts[Status::NullValue as usize] = null;
        counts[Status::NotFound as usize] = not_found;
        counts
    }

    #[test]
    fn ratios_are_of_what_was_answered_lately_and_forget_what_was_before() {
        let mut window = Window::default();
        assert_eq!(window.ratios(counts(0, 0, 0)), None);
        assert_eq!(window.ratios(counts(1, 1, 2)), Some(Ratios { null: 0.25, not_found: 0.5 }));
        window.push(counts(0, 0, 0));
        for _ in 1..WINDOW {
            window.push(counts(1, 1, 2));
            assert_eq!(window.ratios(counts(5, 1, 2)), Some(Ratios { null: 0.125, not_found: 0.25 }));
        }
        // By now the nulls were longer ago than the window.
        window.push(counts(5, 1, 2));
        assert_eq!(window.ratios(counts(5, 1, 2)), Some(Ratios { null: 0.0, not_found: 0.0 }));
        for _ in 0..WINDOW {
            window.push(counts(5, 1, 2));
        }
        assert_eq!((window.ratios(counts(5, 1, 2)), window.0.len()), (None, WINDOW));
    }
}
