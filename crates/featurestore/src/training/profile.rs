//! The profile of a training set: what each column holds, found while the rows stream by.
//!
//! Counts, extremes and means are exact. Distinct values and the most frequent ones are exact while there are few and
//! estimated by a named method beyond that; quantiles are of a uniform sample of rows. Which rows are sampled, and every
//! estimate, depends on the rows and their order alone: building again gives the same profile.

mod distinct;
mod frequent;
mod sample;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;

use super::hashes::{self, NULL};
use distinct::Distinct;
use frequent::Frequent;
pub(super) use sample::Sample;

/// The quantiles that are told.
const QUANTILES: [(&str, f64); 7] =
    [("p01", 0.01), ("p05", 0.05), ("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p95", 0.95), ("p99", 0.99)];
/// Values of a column that are listed.
const TOP: usize = 10;

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A join key.
    Key,
    /// The instant of each row.
    Time,
    /// A field of the request, which on-demand features read.
    Field,
    /// Any other column of the spine.
    Label,
    /// A feature.
    Feature,
}

/// What one column holds.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnProfile {
    /// Its name.
    pub column: String,
    /// Its type.
    pub dtype: String,
    /// What it is for.
    pub role: Role,
    /// Rows without a value.
    pub nulls: u64,
    /// Rows that hold NaN, of floats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nan: Option<u64>,
    /// Different values.
    pub distinct: Estimate,
    /// The least value; NaN is none.
    pub min: Option<String>,
    /// The greatest value.
    pub max: Option<String>,
    /// The mean of numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Of numbers and times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Quantiles>,
    /// The most frequent values of texts, truth values and labels, most frequent first. Of a label it is the balance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top: Option<Top>,
}

/// A number, and how it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The number.
    pub value: u64,
    /// `exact`, or the method and its error.
    pub how: String,
}

/// Quantiles by name.
#[derive(Debug, Clone, Serialize)]
pub struct Quantiles {
    /// As texts, since times are none of JSON's numbers.
    pub at: serde_json::Map<String, serde_json::Value>,
    /// `exact`, or the method and its error.
    pub how: String,
}

/// The most frequent values.
#[derive(Debug, Clone, Serialize)]
pub struct Top {
    /// Value and rows.
    pub values: Vec<TopValue>,
    /// `exact`, or the method and its error.
    pub how: String,
}

/// A value and how many rows have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopValue {
    /// The value, as a text.
    pub value: String,
    /// Rows.
    pub rows: u64,
}

/// One column while its rows stream by.
#[derive(Debug)]
struct Column {
    name: String,
    found: DataType,
    role: Role,
    n_rows: u64,
    nulls: u64,
    nan: u64,
    sum: f64,
    distinct: Distinct,
    frequent: Option<Frequent>,
    least: Option<ArrayRef>,
    greatest: Option<ArrayRef>,
}

/// All columns of a training set while its rows stream by.
#[derive(Debug)]
pub(super) struct Profiler {
    columns: Vec<Column>,
    sample: Sample,
}

/// What is seen of one column of a chunk by everything that looks at it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) hashes: Vec<u64>,
    pub(super) numbers: Option<Vec<f64>>,
}

impl Profiler {
    pub(super) fn new(schema: &Schema, roles: &[Role]) -> Self {
        let column = |(field, role): (&arrow::datatypes::FieldRef, &Role)| {
            let found = field.data_type().clone();
            let counts =
                *role == Role::Label || matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Boolean);
            Column {
                name: field.name().clone(),
                found,
                role: *role,
                n_rows: 0,
                nulls: 0,
                nan: 0,
                sum: 0.0,
                distinct: Distinct::default(),
                frequent: counts.then(Frequent::default),
                least: None,
                greatest: None,
            }
        };
        let columns: Vec<Column> = schema.fields().iter().zip(roles).map(column).collect();
        Self { sample: Sample::new(columns.len()), columns }
    }

    /// Takes the next rows, and hands on what it saw of their columns.
    pub(super) fn add(&mut self, chunk: &RecordBatch) -> Vec<Seen> {
        let seen: Vec<Seen> = chunk
            .columns()
            .iter()
            .map(|column| Seen { hashes: hashes::hashes(column), numbers: hashes::numbers(column) })
            .collect();
        for ((column, state), seen) in chunk.columns().iter().zip(&mut self.columns).zip(&seen) {
            state.add(column, seen);
        }
        self.sample.add(chunk.num_rows(), &seen);
        seen
    }

    /// A uniform sample of rows, as numbers.
    pub(super) fn sample(&self) -> &Sample {
        &self.sample
    }

    /// Rows of each value of a column, if they were counted and counted exactly.
    pub(super) fn counts(&self, column: usize) -> Option<Vec<u64>> {
        self.columns[column].frequent.as_ref()?.exact()
    }

    pub(super) fn end(&self) -> Vec<ColumnProfile> {
        let one = |(i, column): (usize, &Column)| column.end(self.sample.column(i), &self.sample);
        self.columns.iter().enumerate().map(one).collect()
    }
}

impl Column {
    fn add(&mut self, column: &ArrayRef, seen: &Seen) {
        let nulls = column.logical_null_count() as u64;
        self.n_rows += column.len() as u64;
        self.nulls += nulls;
        for hash in seen.hashes.iter().filter(|hash| **hash != NULL) {
            self.distinct.add(*hash);
        }
        if let Some(frequent) = &mut self.frequent {
            frequent.add(column, &seen.hashes);
        }
        let mut skip_nan = None;
        if let Some(numbers) = &seen.numbers {
            if self.found.is_floating() {
                let nan = numbers.iter().filter(|number| number.is_nan()).count() as u64 - nulls;
                self.nan += nan;
                skip_nan = Some(numbers);
            }
            self.sum += numbers.iter().filter(|number| !number.is_nan()).sum::<f64>();
        }
        let (least, greatest) = match skip_nan {
            Some(numbers) => (extreme(numbers, |a, b| a < b), extreme(numbers, |a, b| a > b)),
            None => compared(column),
        };
        keep(&mut self.least, column, least, std::cmp::Ordering::Less);
        keep(&mut self.greatest, column, greatest, std::cmp::Ordering::Greater);
    }

    fn end(&self, sampled: Option<&[f64]>, sample: &Sample) -> ColumnProfile {
        let text = |one: &Option<ArrayRef>| one.as_ref().map(|one| shown(one, 0));
        let n = self.n_rows - self.nulls - self.nan;
        let is_mean = self.found.is_numeric() && n > 0;
        #[expect(clippy::cast_precision_loss, reason = "rows are fewer than 2^53")]
        let mean = is_mean.then(|| self.sum / n as f64).filter(|mean| mean.is_finite());
        let dtype = transform::cast::describe(&self.found);
        let times = hashes::is_time(&self.found);
        let quantiles = sampled
            .filter(|_| n > 0 && self.found != DataType::Boolean)
            .and_then(|values| quantiles(values, sample, times && !matches!(self.found, DataType::Duration(_))));
        ColumnProfile {
            column: self.name.clone(),
            dtype,
            role: self.role,
            nulls: self.nulls,
            nan: self.found.is_floating().then_some(self.nan),
            distinct: self.distinct.end(),
            min: text(&self.least),
            max: text(&self.greatest),
            mean,
            quantiles,
            top: self.frequent.as_ref().map(|frequent| frequent.end(TOP)),
        }
    }
}

fn quantiles(values: &[f64], sample: &Sample, times: bool) -> Option<Quantiles> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    if sorted.is_empty() {
        return None;
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let mut at = serde_json::Map::new();
    for (name, share) in QUANTILES {
        let value = sorted[rank(share, sorted.len())];
        let said = if times {
            #[expect(clippy::cast_possible_truncation, reason = "instants are within 64 bits")]
            let nanos = value as i64;
            serde_json::json!(schema::Timestamp::from_nanos(nanos).to_string())
        } else if value.is_finite() {
            serde_json::json!(value)
        } else {
            serde_json::json!(value.to_string())
        };
        at.insert(name.to_owned(), said);
    }
    Some(Quantiles { at, how: sample.how() })
}

/// The place of a quantile among `n` values in order: the least value with at least that share at or below it.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sample is small, and a share is between zero and one"
)]
fn rank(share: f64, n: usize) -> usize {
    ((share * n as f64).ceil() as usize).clamp(1, n) - 1
}

/// The first row with the extreme number; NaN is none.
fn extreme(numbers: &[f64], beats: impl Fn(f64, f64) -> bool) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (row, number) in numbers.iter().copied().enumerate() {
        if !number.is_nan() && best.is_none_or(|(_, best)| beats(number, best)) {
            best = Some((row, number));
        }
    }
    best.map(|(row, _)| row)
}

/// Rows with the least and the greatest value, in the order of the column's type, if it has one.
fn compared(column: &ArrayRef) -> (Option<usize>, Option<usize>) {
    let is_plain = matches!(
        schema::Dtype::from_arrow(column.data_type()),
        Some(dtype) if !dtype.is_list() && dtype != schema::Dtype::Json
    );
    let Some(compare) = make_comparator(column, column, SortOptions::default()).ok().filter(|_| is_plain) else {
        return (None, None);
    };
    let (mut least, mut greatest) = (None, None);
    for row in 0..column.len() {
        if column.is_null(row) {
            continue;
        }
        if least.is_none_or(|best| compare(row, best).is_lt()) {
            least = Some(row);
        }
        if greatest.is_none_or(|best| compare(row, best).is_gt()) {
            greatest = Some(row);
        }
    }
    (least, greatest)
}

fn keep(best: &mut Option<ArrayRef>, column: &ArrayRef, row: Option<usize>, better: std::cmp::Ordering) {
    let Some(row) = row else { return };
    let found = column.slice(row, 1);
    let beats = |best: &ArrayRef| {
        make_comparator(&found, best, SortOptions::default()).is_ok_and(|compare| compare(0, 0) == better)
    };
    if best.as_ref().is_none_or(beats) {
        // A copy: a slice would keep the whole chunk in memory.
        *best = arrow::compute::take(&found, &arrow::array::UInt32Array::from(vec![0]), None).ok();
    }
}

/// A cell as a text for people; times in RFC 3339.
pub(super) fn shown(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "null".to_owned();
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Float64 => format!("{:?}", column.as_primitive::<arrow::datatypes::Float64Type>().value(row)),
        _ => {
            let options = FormatOptions::new();
            ArrayFormatter::try_new(column, &options).map(|f| f.value(row).to_string()).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests;
