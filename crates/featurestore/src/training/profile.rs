//! The profile of a training set: what each column holds, found while the rows stream by.
//!
//! Counts, extremes and means are exact. Distinct values and the most frequent ones are exact while there are few and
//! estimated by a named method beyond that; quantiles are of a uniform sample of rows. Which rows are sampled, and every
//! estimate, depends on the rows and their order alone: building again gives the same profile.

mod distinct;
mod frequent;
mod sample;

use std::convert::Infallible;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use schema::sampling::{QUANTILES, rank};
use serde::Serialize;

use super::hashes::{self, NULL};
use crate::offline::parallel;
use distinct::Distinct;
use frequent::Frequent;
pub(super) use sample::Sample;

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
    /// Whether the definitions mark it as personal: then nothing is told by which a value could be known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
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
    personal: bool,
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
    /// `roles` and `personal` say of each column what it is for and whether it is personal.
    pub(super) fn new(schema: &Schema, roles: &[Role], personal: &[bool]) -> Self {
        let column = |((field, role), personal): ((&arrow::datatypes::FieldRef, &Role), &bool)| {
            let found = field.data_type().clone();
            let counts =
                *role == Role::Label || matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Boolean);
            Column {
                name: field.name().clone(),
                found,
                role: *role,
                personal: *personal,
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
        let columns: Vec<Column> = schema.fields().iter().zip(roles).zip(personal).map(column).collect();
        Self { sample: Sample::new(columns.len()), columns }
    }

    /// Takes the next rows, and hands on what it saw of their columns. Columns are looked at on all cores.
    pub(super) fn add(&mut self, chunk: &RecordBatch) -> Vec<Seen> {
        let look = |(column, state): (&ArrayRef, &mut Column)| {
            let seen = Seen { hashes: hashes::hashes(column), numbers: hashes::numbers(column) };
            state.add(column, &seen);
            seen
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = self.columns.len().div_ceil(workers).max(1);
        let seen: Vec<Seen> = std::thread::scope(|scope| {
            let shares = chunk.columns().chunks(share).zip(self.columns.chunks_mut(share));
            let looking = shares
                .map(|(columns, states)| scope.spawn(move || columns.iter().zip(states).map(look).collect::<Vec<_>>()));
            let looking: Vec<_> = looking.collect();
            looking
                .into_iter()
                .flat_map(|share| share.join().unwrap_or_else(|why| std::panic::resume_unwind(why)))
                .collect()
        });
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
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let one = |i: &usize| Ok::<_, Infallible>(self.columns[*i].end(self.sample.column(*i), &self.sample));
        let Ok(profiles) = parallel(&all, one);
        profiles
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
        let (mut least, mut greatest) = (None, None);
        if let Some(numbers) = &seen.numbers {
            let found = Numbers::of(numbers);
            self.sum += found.sum;
            if self.found.is_floating() {
                self.nan += found.nan - nulls;
                (least, greatest) = (found.least.map(|(row, _)| row), found.greatest.map(|(row, _)| row));
            }
        }
        if !self.found.is_floating() {
            (least, greatest) = compared(column);
        }
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
        let profile = ColumnProfile {
            column: self.name.clone(),
            dtype,
            role: self.role,
            masked: self.personal,
            nulls: self.nulls,
            nan: self.found.is_floating().then_some(self.nan),
            distinct: self.distinct.end(),
            min: text(&self.least),
            max: text(&self.greatest),
            mean,
            quantiles,
            top: self.frequent.as_ref().map(|frequent| frequent.end(TOP)),
        };
        if self.personal {
            return ColumnProfile { min: None, max: None, mean: None, quantiles: None, top: None, ..profile };
        }
        profile
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

/// What one look at some numbers says; NaN, which nulls are too, is counted and no number.
#[derive(Debug, Default)]
struct Numbers {
    nan: u64,
    sum: f64,
    /// The first row with the least number.
    least: Option<(usize, f64)>,
    greatest: Option<(usize, f64)>,
}

impl Numbers {
    fn of(numbers: &[f64]) -> Self {
        let (mut nan, mut sum) = (0, 0.0);
        let (mut least, mut greatest) = ((usize::MAX, f64::INFINITY), (usize::MAX, f64::NEG_INFINITY));
        for (row, number) in numbers.iter().copied().enumerate() {
            if number.is_nan() {
                nan += 1;
                continue;
            }
            sum += number;
            if number < least.1 || least.0 == usize::MAX {
                least = (row, number);
            }
            if number > greatest.1 || greatest.0 == usize::MAX {
                greatest = (row, number);
            }
        }
        let found = |best: (usize, f64)| (best.0 != usize::MAX).then_some(best);
        Self { nan, sum, least: found(least), greatest: found(greatest) }
    }
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
