//! The batch square: an answer must not depend on the rows that it is computed with, nor on their order.
//!
//! `predict(select_f x) = select_f (predict x)` for any list of rows `f`, repeats allowed. Checking permutations alone is
//! too weak: a model that subtracts the mean of its batch obeys them and still answers each row differently in different
//! company. A single row is a selection too, so the answer of every row alone is what all others are held against.
//!
//! Run when a version is loaded, before it is ready. Whether answers are equal to the bit is a property of the model and
//! its kernels: it is found out here and recorded, never assumed. Without a verdict in favour, rows run one at a time.

pub mod made;
pub(crate) mod probe;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::onnx::{InputPlan, ModelSession, OnnxError, Outputs, TensorRow};

pub use made::MadeRows;
pub use probe::ProbeSet;
use probe::Random;

/// How far a float may be from its row's answer alone, relative above 1 and absolute below, unless told otherwise.
pub const TOLERANCE: f64 = 1e-6;

/// Sizes of the batches that all rows are cut into.
const SIZES: [usize; 4] = [2, 3, 7, 16];
const N_PERMUTATIONS: usize = 4;
const N_SELECTIONS: usize = 8;

/// What was found. Goes into the evidence of a version as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchCheck {
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Probe rows that have an answer alone.
    pub rows: usize,
    /// Probe rows that the model refuses, alone and in company alike.
    pub refused: usize,
    /// Batches run.
    pub batches: usize,
    /// What was allowed.
    pub tolerance: f64,
}

impl BatchCheck {
    /// Of a model that could not be tried.
    pub fn unchecked(reason: &str) -> Self {
        let verdict = Verdict::Unchecked { reason: reason.to_owned() };
        Self { verdict, rows: 0, refused: 0, batches: 0, tolerance: TOLERANCE }
    }

    /// Whether the model refuses every row that it was tried with.
    pub fn answers_nothing(&self) -> bool {
        self.rows == 0 && self.refused > 0
    }
}

/// Whether rows may share a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Every answer was the same to the bit: a replay may use any batch size.
    Exact,
    /// Every answer was within the tolerance: a replay compares within it, or repeats the logged batch.
    WithinTolerance {
        /// The greatest `|alone - together| / max(1, |alone|)`.
        max_difference: f64,
    },
    /// Some answer was another.
    Unsafe(BatchCounterexample),
    /// No probe row has an answer alone, so there was nothing to compare.
    Unchecked {
        /// What the model says to the first of them.
        reason: String,
    },
}

/// A row whose answer depends on its company.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchCounterexample {
    /// Which output.
    pub output: String,
    /// The row.
    pub row: ProbeRow,
    /// The rows beside it, in their order: one, where one is enough to show it.
    pub mates: Vec<ProbeRow>,
    /// Its answer alone.
    pub alone: String,
    /// Its answer with them.
    pub together: String,
}

/// A row of the probe set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRow {
    /// Its number.
    pub number: usize,
    /// Its values, by column. None for a sampled row, which is somebody's data, while evidence is kept for ever; nor for
    /// one of many mates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
}

/// Rows to try a model on.
pub trait Rows {
    /// How many.
    fn n(&self) -> usize;

    /// The model's answers to these rows in one run.
    ///
    /// # Errors
    /// The model's, and that an output has no entry for each row.
    fn run(&self, session: &mut ModelSession, rows: &[usize]) -> Result<Outputs, OnnxError>;

    /// Numbers of the rows that are all edges.
    fn hostile(&self) -> Range<usize>;

    /// A row in words.
    fn row(&self, number: usize) -> ProbeRow;
}

/// Rows of a feature service, as a plan feeds them.
struct Planned<'a> {
    plan: &'a InputPlan,
    probe: &'a ProbeSet,
}

impl Rows for Planned<'_> {
    fn n(&self) -> usize {
        self.probe.rows()
    }

    fn run(&self, session: &mut ModelSession, rows: &[usize]) -> Result<Outputs, OnnxError> {
        session.run(self.plan, self.probe.columns(), rows)
    }

    fn hostile(&self) -> Range<usize> {
        self.probe.hostile()
    }

    fn row(&self, number: usize) -> ProbeRow {
        self.probe.row(number)
    }
}

/// Checks with the usual tolerance. A session of the model's pool, its plan, and rows to try.
///
/// Computes on the caller's thread: some 250 runs, 1700 rows in all. A few milliseconds for a model of a few
/// microseconds.
pub fn check_batches(session: &mut ModelSession, plan: &InputPlan, probe: &ProbeSet) -> BatchCheck {
    check_batches_within(session, plan, probe, TOLERANCE)
}

/// Checks with a tolerance of the model's own.
pub fn check_batches_within(
    session: &mut ModelSession,
    plan: &InputPlan,
    probe: &ProbeSet,
    tolerance: f64,
) -> BatchCheck {
    check_rows(session, &Planned { plan, probe }, tolerance, None)
}

/// Checks a model that is known by its inputs alone, for as long as this takes: a model that takes longer is not found to
/// answer alike.
pub fn check_made(session: &mut ModelSession, rows: &MadeRows, lasts: Duration) -> BatchCheck {
    check_rows(session, rows, TOLERANCE, Some(lasts))
}

fn check_rows(session: &mut ModelSession, rows: &dyn Rows, tolerance: f64, lasts: Option<Duration>) -> BatchCheck {
    let until = lasts.and_then(|lasts| Instant::now().checked_add(lasts));
    let is_late = || until.is_some_and(|until| Instant::now() > until);
    let n = rows.n();
    let alone: Vec<_> = (0..n).take_while(|_| !is_late()).map(|row| rows.run(session, &[row])).collect();
    let mut check =
        Check { session, rows, alone, tolerance, until, is_late: false, batches: 0, exact: true, max_difference: 0.0 };
    let good = check.good();
    let found = check.all(&good).err();
    let verdict = match (found, check.alone.first()) {
        (Some(counterexample), _) => Verdict::Unsafe(check.smallest(counterexample)),
        (None, _) if check.is_late || check.alone.len() < n => {
            Verdict::Unchecked { reason: "it takes too long to be tried".to_owned() }
        }
        (None, Some(Err(error))) if good.is_empty() => Verdict::Unchecked { reason: error.to_string() },
        (None, None) => Verdict::Unchecked { reason: "there are no rows to try".to_owned() },
        (None, _) if check.exact => Verdict::Exact,
        (None, _) => Verdict::WithinTolerance { max_difference: check.max_difference },
    };
    let refused = check.alone.len() - good.len();
    BatchCheck { verdict, rows: good.len(), refused, batches: check.batches, tolerance }
}

struct Check<'a> {
    session: &'a mut ModelSession,
    rows: &'a dyn Rows,
    /// The answer of each row alone.
    alone: Vec<Result<Outputs, OnnxError>>,
    tolerance: f64,
    /// Nothing more is run then.
    until: Option<Instant>,
    is_late: bool,
    batches: usize,
    exact: bool,
    max_difference: f64,
}

/// A disagreement: place in the batch, output, answer.
struct Disagreement {
    batch: Vec<usize>,
    place: usize,
    output: String,
    together: String,
}

impl Check<'_> {
    /// Rows with an answer alone.
    fn good(&self) -> Vec<usize> {
        (0..self.alone.len()).filter(|row| self.alone[*row].is_ok()).collect()
    }

    /// Every batch there is to try. Rows that the model refuses alone come last: beside them the others have no answer.
    fn all(&mut self, good: &[usize]) -> Result<(), Disagreement> {
        if good.is_empty() {
            return Ok(());
        }
        let mut random = Random::new();
        self.batch(good)?;
        for size in SIZES {
            for batch in good.chunks(size) {
                self.batch(batch)?;
            }
        }
        for _ in 0..N_PERMUTATIONS {
            let order = random.permutation(good);
            self.batch(&order)?;
            for batch in order.chunks(SIZES[2]) {
                self.batch(batch)?;
            }
        }
        for _ in 0..N_SELECTIONS {
            let length = 1 + random.below(good.len());
            let rows: Vec<usize> = (0..length).map(|_| good[random.below(good.len())]).collect();
            self.batch(&rows)?;
        }
        let is_ok = |row: &usize| self.alone.get(*row).is_some_and(Result::is_ok);
        let hostile: Vec<usize> = self.rows.hostile().filter(is_ok).collect();
        for row in good {
            let mut batch = hostile.clone();
            batch.insert(random.below(hostile.len() + 1), *row);
            self.batch(&batch)?;
        }
        let refused: Vec<usize> = (0..self.alone.len()).filter(|row| self.alone[*row].is_err()).collect();
        for row in refused {
            self.batch(&[good[random.below(good.len())], row])?;
        }
        Ok(())
    }

    /// Runs one batch and holds it against the rows alone.
    fn batch(&mut self, rows: &[usize]) -> Result<(), Disagreement> {
        self.is_late |= self.until.is_some_and(|until| Instant::now() > until);
        if self.is_late {
            return Ok(());
        }
        self.batches += 1;
        let at = |place: usize, output: &str, together: String| {
            Err(Disagreement { batch: rows.to_vec(), place, output: output.to_owned(), together })
        };
        let refused = rows.iter().position(|row| self.alone[*row].is_err());
        let together = match self.rows.run(self.session, rows) {
            Ok(together) => together,
            // A batch fails as the worst of its rows does; anything else is the batch's own failure.
            Err(error) => {
                let expected = |row: &usize| self.alone[*row].as_ref().is_err_and(|e| e.kind() == error.kind());
                return if rows.iter().any(expected) {
                    Ok(())
                } else {
                    at(refused.unwrap_or(0), "", error.to_string())
                };
            }
        };
        if let Some(place) = refused {
            return at(place, "", said(&together, place));
        }
        for (place, row) in rows.iter().enumerate() {
            let Ok(alone) = &self.alone[*row] else { continue };
            for (number, tensor) in together.columns.iter().enumerate() {
                match self.distance(alone, number, &together, place) {
                    Some((distance, exact)) if distance <= self.tolerance => {
                        self.exact &= exact;
                        self.max_difference = self.max_difference.max(distance);
                    }
                    _ => return at(place, &tensor.name, tensor.row(place).to_string()),
                }
            }
        }
        Ok(())
    }

    /// How far output `number` of a row is from its answer alone, and whether it is the same to the bit. `None` where they
    /// are not to be compared.
    fn distance(&self, alone: &Outputs, number: usize, together: &Outputs, place: usize) -> Option<(f64, bool)> {
        let (expected, got) = (alone.columns.get(number)?, together.columns.get(number)?);
        if expected.shape.get(1..) != got.shape.get(1..) {
            return None;
        }
        let (expected, got) = (expected.row(0), got.row(place));
        if expected.same_bits(got) {
            return Some((0.0, true));
        }
        let apart = expected.distance(got).or_else(|| is_label(expected).then(|| margin(alone)).flatten())?;
        Some((apart, false))
    }

    /// The same disagreement with the fewest mates: one, if there is one that alone makes the difference.
    fn smallest(&mut self, found: Disagreement) -> BatchCounterexample {
        let row = found.batch[found.place];
        let mates: Vec<usize> =
            found.batch.iter().enumerate().filter(|(place, _)| *place != found.place).map(|(_, mate)| *mate).collect();
        let mut smaller = None;
        for mate in &mates {
            for pair in [[row, *mate], [*mate, row]] {
                let disagrees = self.batch(&pair).err().filter(|d| d.batch[d.place] == row && d.output == found.output);
                if let Some(disagreement) = disagrees {
                    smaller = Some((disagreement, vec![*mate]));
                    break;
                }
            }
            if smaller.is_some() {
                break;
            }
        }
        let (found, mates) = smaller.unwrap_or((found, mates));
        let alone = match &self.alone[row] {
            Ok(alone) => alone.get(&found.output).map_or_else(|| said(alone, 0), |tensor| tensor.row(0).to_string()),
            Err(error) => error.to_string(),
        };
        let mates = match mates.as_slice() {
            [mate] => vec![self.rows.row(*mate)],
            many => many.iter().map(|mate| ProbeRow { number: *mate, values: BTreeMap::new() }).collect(),
        };
        BatchCounterexample { output: found.output, row: self.rows.row(row), mates, alone, together: found.together }
    }
}

/// One value that is no measurement: a class.
fn is_label(row: TensorRow<'_>) -> bool {
    row.len() == 1 && row.floats().is_none()
}

/// How far apart a row's two best scores are: a label may flip between them when that is within the tolerance.
fn margin(alone: &Outputs) -> Option<f64> {
    let margins = alone.columns.iter().filter_map(|tensor| {
        let mut scores: Vec<f64> = tensor.row(0).floats()?.iter().collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        match scores.as_slice() {
            [first, second, ..] => Some((first - second).abs() / first.abs().max(1.0)),
            _ => None,
        }
    });
    margins.reduce(f64::min)
}

/// All outputs of a row.
fn said(outputs: &Outputs, place: usize) -> String {
    let each = outputs.columns.iter().map(|tensor| format!("{} = {}", tensor.name, tensor.row(place)));
    each.collect::<Vec<_>>().join(", ")
}

// === impl BatchCheck ===

impl BatchCheck {
    /// Whether rows of different requests may share a run.
    pub fn batching(&self) -> bool {
        matches!(self.verdict, Verdict::Exact | Verdict::WithinTolerance { .. })
    }

    /// Whether answers are the same to the bit in any company: what the prediction log and a replay call batch-exact.
    pub fn batch_exact(&self) -> bool {
        matches!(self.verdict, Verdict::Exact)
    }
}

impl fmt::Display for BatchCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, batches, tolerance, refused, .. } = self;
        match &self.verdict {
            Verdict::Exact => {
                write!(f, "batching is on: {rows} rows give the same bits alone and in {batches} batches")?;
                if *refused > 0 { write!(f, ", {refused} rows are refused alone") } else { Ok(()) }
            }
            Verdict::WithinTolerance { max_difference } => write!(
                f,
                "batching is on, within {tolerance:e}: {rows} rows in {batches} batches are at most {max_difference:.1e} \
                 from their answers alone"
            ),
            Verdict::Unsafe(found) => write!(f, "batching is off: an answer depends on the rows beside it\n  {found}"),
            Verdict::Unchecked { reason } => {
                write!(f, "batching is off: no probe row has an answer to compare\n  {reason}")
            }
        }
    }
}

impl fmt::Display for BatchCounterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { output, row, mates, alone, together } = self;
        let name = if output.is_empty() { String::new() } else { format!("{output} = ") };
        let mates: Vec<String> = mates.iter().map(ToString::to_string).collect();
        write!(f, "{row}: {name}{alone} alone, {name}{together} ")?;
        // Alone twice: the model draws random numbers.
        if mates.is_empty() { f.write_str("alone again") } else { write!(f, "beside {}", mates.join(", ")) }
    }
}

impl fmt::Display for ProbeRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 6;
        write!(f, "row {}", self.number)?;
        if self.values.is_empty() {
            return Ok(());
        }
        let shown = self.values.iter().take(SHOWN).map(|(name, value)| format!("{name}={value}"));
        let more = (self.values.len() > SHOWN).then(|| "…".to_owned());
        write!(f, " ({})", shown.chain(more).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests;
