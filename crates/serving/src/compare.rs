//! Two ways to the same features, compared value by value: the feature square (natural transformations, section 6).

mod first;
mod measures;

use std::collections::HashMap;

use arrow::array::Array;
use featurestore::{CompiledService, FeatureRows, Statuses};
use schema::pii;
use schema::{Status, Timestamp, Value};
use serde::Serialize;

pub use first::{FirstFailing, Step};
pub use measures::{Lists, Numbers};

/// The most examples kept of each feature.
const EXAMPLES_MAX: usize = 3;

/// One feature, offline against online.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FeatureComparison {
    /// Its name in the service.
    pub feature: String,
    /// Rows compared.
    pub compared: usize,
    /// Rows that the online store could not be asked for: they are not compared.
    pub unavailable: usize,
    /// Rows that were served what history said by what had arrived then: others came since. No skew, but late.
    pub stale: usize,
    /// Rows equal in value, bit for bit, in status and in event time.
    pub equal: usize,
    /// Rows present on both sides with other values or of another event, or absent on both for another reason.
    pub mismatched: usize,
    /// Rows present offline but not online.
    pub missing: usize,
    /// Rows present online but not offline.
    pub extra: usize,
    /// Mean of `2|a-b| / (|a|+|b|)` over rows with a number on both sides, 0 where both are 0. NaN is no number.
    pub smape: f64,
    /// Rows with a number on both sides: what `smape` is the mean of.
    #[serde(skip)]
    n_numbers: usize,
    /// Quantiles of both sides and of their difference, over rows with a number on both. None of personal values.
    #[serde(skip_serializing_if = "Numbers::is_empty")]
    pub numbers: Numbers,
    /// Lengths and edits, over rows with a list on both sides.
    #[serde(skip_serializing_if = "Lists::is_empty")]
    pub lists: Lists,
    /// Of a feature that is not equal, where both sides first differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failing: Option<FirstFailing>,
    /// The first rows that are not equal; personal values are masked.
    pub examples: Vec<Example>,
}

/// What one side says of one feature of one row.
#[derive(PartialEq)]
struct Side {
    value: Value,
    status: Status,
    event_time: Option<Timestamp>,
}

/// One row that is not equal.
#[derive(Debug, Clone, Serialize)]
pub struct Example {
    /// Which row: the entity's key, or a prediction id.
    pub row: String,
    /// Offline value and status.
    pub offline: String,
    /// Online value and status.
    pub online: String,
}

impl Side {
    fn of(compiled: &CompiledService, rows: &FeatureRows, feature: usize, row: usize) -> Self {
        Self {
            value: Value::at(&rows.columns[feature], row),
            status: rows.statuses[feature][row],
            event_time: rows.event_time(compiled, feature, row),
        }
    }
}

impl FeatureComparison {
    /// Whether every row was equal, or was when it was served.
    pub fn is_equal(&self) -> bool {
        self.equal + self.stale == self.compared
    }

    /// Leaves the counts, and nothing that is a value of a row.
    pub fn forget_rows(&mut self) {
        self.examples.clear();
        self.numbers = Numbers::default();
        self.lists = Lists::default();
    }

    fn add(&mut self, part: Self) {
        let total = weigh(self.n_numbers) + weigh(part.n_numbers);
        if total > 0.0 {
            self.smape = (self.smape * weigh(self.n_numbers) + part.smape * weigh(part.n_numbers)) / total;
        }
        self.n_numbers += part.n_numbers;
        self.compared += part.compared;
        self.unavailable += part.unavailable;
        self.stale += part.stale;
        self.equal += part.equal;
        self.mismatched += part.mismatched;
        self.missing += part.missing;
        self.extra += part.extra;
        self.numbers.merge(&part.numbers);
        self.lists.merge(&part.lists);
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(part.examples.into_iter().take(room));
    }
}

/// What history said of some rows by the state of the data that they were served from.
#[derive(Debug, Default)]
pub struct Then {
    groups: Vec<FeatureRows>,
    /// By row, its group and its place in it.
    places: HashMap<usize, (usize, usize)>,
}

impl Then {
    /// Adds what history said of `rows`, in their order.
    pub fn add(&mut self, rows: &[usize], said: FeatureRows) {
        let group = self.groups.len();
        self.places.extend(rows.iter().enumerate().map(|(place, row)| (*row, (group, place))));
        self.groups.push(said);
    }
}

/// The rows in which any feature differs between both sides, in order.
pub fn differing(compiled: &CompiledService, offline: &FeatureRows, online: &FeatureRows) -> Vec<usize> {
    let n = offline.statuses.first().map_or(0, Statuses::len);
    let differs = |row: &usize| {
        (0..compiled.service.columns.len()).any(|i| {
            let (a, b) = (Side::of(compiled, offline, i, *row), Side::of(compiled, online, i, *row));
            b.status != Status::Unavailable && a != b
        })
    };
    (0..n).filter(differs).collect()
}

/// Compares a service's features from both sides; `name_row` names a row in examples.
pub fn compare(
    compiled: &CompiledService,
    offline: &FeatureRows,
    online: &FeatureRows,
    name_row: impl Fn(usize) -> String,
) -> Vec<FeatureComparison> {
    compare_with(compiled, offline, online, &Then::default(), name_row)
}

/// As [`compare`]; what differs, and was what history said `then`, is stale.
pub fn compare_with(
    compiled: &CompiledService,
    offline: &FeatureRows,
    online: &FeatureRows,
    then: &Then,
    name_row: impl Fn(usize) -> String,
) -> Vec<FeatureComparison> {
    let one = |(i, column): (usize, &schema::ServiceColumn)| {
        let mut found = FeatureComparison { feature: column.name.to_string(), ..FeatureComparison::default() };
        let mut smape_sum = 0.0;
        let personal = compiled.is_personal(i);
        for row in 0..offline.statuses[i].len() {
            let (a, b) = (Side::of(compiled, offline, i, row), Side::of(compiled, online, i, row));
            if b.status == Status::Unavailable {
                // Nothing was said of the value, so nothing can be wrong.
                found.unavailable += 1;
                continue;
            }
            found.compared += 1;
            if let (Some(a), Some(b)) = (number(&offline.columns[i], row), number(&online.columns[i], row)) {
                found.n_numbers += 1;
                smape_sum += relative(a, b);
                if !personal {
                    found.numbers.add(a, b);
                }
            }
            if let (Value::List(a), Value::List(b)) = (&a.value, &b.value) {
                found.lists.add(a, b);
            }
            if a == b {
                found.equal += 1;
                continue;
            }
            if then.places.get(&row).is_some_and(|(group, at)| Side::of(compiled, &then.groups[*group], i, *at) == b) {
                found.stale += 1;
                continue;
            }
            match (a.status, b.status) {
                (Status::Present, Status::Present) => found.mismatched += 1,
                (Status::Present, _) => found.missing += 1,
                (_, Status::Present) => found.extra += 1,
                _ => found.mismatched += 1,
            }
            if found.examples.len() < EXAMPLES_MAX {
                // The row's time is only of interest where the values do not tell the sides apart.
                let alike = a.value == b.value && a.status == b.status;
                let say = |side: &Side| {
                    let value = pii::shown(side.value.to_string(), personal);
                    match side.event_time {
                        Some(time) if alike => format!("{value} {} of {time}", side.status),
                        _ => format!("{value} {}", side.status),
                    }
                };
                found.examples.push(Example { row: name_row(row), offline: say(&a), online: say(&b) });
            }
        }
        if found.n_numbers > 0 {
            found.smape = smape_sum / weigh(found.n_numbers);
        }
        found
    };
    let mut features: Vec<FeatureComparison> = compiled.service.columns.iter().enumerate().map(one).collect();
    first::find(compiled, &mut features);
    features
}

/// Adds the comparison of more rows of the same service.
pub fn accumulate(compiled: &CompiledService, total: &mut Vec<FeatureComparison>, part: Vec<FeatureComparison>) {
    if total.is_empty() {
        *total = part;
        return;
    }
    for (total, part) in total.iter_mut().zip(part) {
        total.add(part);
    }
    first::find(compiled, total);
}

#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^53")]
fn weigh(n: usize) -> f64 {
    n as f64
}

/// How far two numbers are apart for their size: from 0 to 2.
fn relative(a: f64, b: f64) -> f64 {
    // Halves, where the sum of both would be infinite.
    let (a, b) = if (a.abs() + b.abs()).is_finite() { (a, b) } else { (a / 2.0, b / 2.0) };
    let apart = (a - b).abs();
    if apart == 0.0 || a.total_cmp(&b).is_eq() {
        return 0.0;
    }
    let ratio = apart / (a.abs() + b.abs());
    // What is no number is infinity over infinity.
    if ratio.is_nan() { 2.0 } else { 2.0 * ratio }
}

fn number(column: &dyn Array, row: usize) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a relative difference needs no more bits")]
    match Value::at(column, row) {
        Value::Int(v) => Some(v as f64),
        Value::Uint(v) => Some(v as f64),
        Value::Float(v) => Some(v).filter(|v| !v.is_nan()),
        Value::Timestamp(t) => Some(t.as_nanos() as f64),
        Value::Duration(d) => Some(d.as_nanos() as f64),
        Value::Decimal(d) => Some(d.to_f64()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
