//! Features that equal a label or determine it.
//!
//! Told is what chance would not do: each finding rests on so many rows that independent columns would agree on them less
//! than once in a million times.

use std::collections::HashMap;
use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use serde::Serialize;

use super::super::hashes::{self, NULL};
use super::super::profile::{Profiler, Role, Sample, Seen};

/// Different values of a map that are kept; beyond that only those with small hashes are watched.
const KEPT: usize = 32_768;
/// The logarithm of a million.
const MILLION: f64 = 13.8;

/// How a feature tells the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grounds {
    /// It is the label.
    Equal,
    /// Each value of one belongs to one value of the other.
    OneToOne,
    /// In the order of the feature, the label only rises or only falls.
    Monotone,
    /// Rows of one value of the feature have one label.
    Determines,
}

/// A feature that tells the label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LabelLeak {
    /// The feature.
    pub feature: String,
    /// The column of the spine.
    pub label: String,
    /// How.
    pub grounds: Grounds,
    /// Rows that were compared.
    pub rows: u64,
    /// Whether these are all rows, or a sample.
    pub sampled: bool,
}

impl fmt::Display for LabelLeak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { feature, label, grounds, rows, sampled } = self;
        let sample = if *sampled { " (a sample)" } else { "" };
        match grounds {
            Grounds::Equal => write!(f, "feature `{feature}` equals `{label}` in all {rows} rows{sample}"),
            Grounds::OneToOne => {
                write!(f, "feature `{feature}` is `{label}` under other names: one to one in {rows} rows{sample}")
            }
            Grounds::Monotone => {
                write!(f, "feature `{feature}` puts `{label}` in order: a monotone map in {rows} rows{sample}")
            }
            Grounds::Determines => {
                write!(f, "feature `{feature}` determines `{label}`: one label for each value in {rows} rows{sample}")
            }
        }
    }
}

/// Every label with every feature.
#[derive(Debug)]
pub(super) struct Pairs {
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    label: usize,
    feature: usize,
    /// Rows in which both have a value.
    both: u64,
    /// Whether they were equal in all of them.
    equal: bool,
    /// Label by value of the feature, null among them.
    forward: Option<Map>,
    /// Value of the feature by label.
    backward: Option<Map>,
}

/// A map that rows have confirmed so far.
#[derive(Debug, Default)]
struct Map {
    of: HashMap<u64, u64>,
    level: u32,
    /// Rows that could have contradicted it.
    confirmed: u64,
    rows: u64,
}

impl Map {
    /// Whether the row agrees.
    fn agrees(&mut self, from: u64, to: u64) -> bool {
        if from != NULL && from.leading_zeros() < self.level {
            return true;
        }
        self.rows += 1;
        match self.of.insert(from, to) {
            Some(before) => {
                self.confirmed += 1;
                before == to
            }
            None => {
                while self.of.len() > KEPT {
                    self.level += 1;
                    let level = self.level;
                    self.of.retain(|from, _| *from == NULL || from.leading_zeros() >= level);
                }
                true
            }
        }
    }
}

impl Pairs {
    pub(super) fn new(roles: &[Role]) -> Self {
        let of = |wanted: Role| (0..roles.len()).filter(move |i| roles[*i] == wanted);
        let pair = |label: usize, feature: usize| Pair {
            label,
            feature,
            both: 0,
            equal: true,
            forward: Some(Map::default()),
            backward: Some(Map::default()),
        };
        Self { pairs: of(Role::Label).flat_map(|l| of(Role::Feature).map(move |f| pair(l, f))).collect() }
    }

    pub(super) fn add(&mut self, chunk: &RecordBatch, seen: &[Seen]) {
        for pair in &mut self.pairs {
            pair.add(chunk, seen);
        }
    }

    pub(super) fn end(self, names: &[String], profiler: &Profiler) -> Vec<LabelLeak> {
        let told = |pair: Pair| {
            let (grounds, rows, sampled) = pair.end(profiler)?;
            let (feature, label) = (names[pair.feature].clone(), names[pair.label].clone());
            Some(LabelLeak { feature, label, grounds, rows, sampled })
        };
        self.pairs.into_iter().filter_map(told).collect()
    }
}

impl Pair {
    fn add(&mut self, chunk: &RecordBatch, seen: &[Seen]) {
        if !self.equal && self.forward.is_none() && self.backward.is_none() {
            return;
        }
        let types = (chunk.column(self.label).data_type(), chunk.column(self.feature).data_type());
        let (label, feature) = (&seen[self.label], &seen[self.feature]);
        let numbers = match (&label.numbers, &feature.numbers) {
            (Some(a), Some(b)) if comparable(types.0, types.1) => Some((a, b)),
            _ => None,
        };
        self.equal &= numbers.is_some() || types.0 == types.1;
        for row in 0..label.hashes.len() {
            let (l, f) = (label.hashes[row], feature.hashes[row]);
            if l == NULL {
                continue;
            }
            if f != NULL {
                self.both += 1;
                self.equal &= numbers.map_or(l == f, |(a, b)| a[row].total_cmp(&b[row]).is_eq());
            }
            if self.forward.as_mut().is_some_and(|map| !map.agrees(f, l)) {
                self.forward = None;
            }
            if self.backward.as_mut().is_some_and(|map| !map.agrees(l, f)) {
                self.backward = None;
            }
            if !self.equal && self.forward.is_none() && self.backward.is_none() {
                return;
            }
        }
    }

    fn end(&self, profiler: &Profiler) -> Option<(Grounds, u64, bool)> {
        let counts = profiler.counts(self.label);
        if counts.as_ref().is_some_and(|counts| counts.len() < 2) {
            // A label that is always the same is determined by everything.
            return None;
        }
        let surprise = surprise(counts.as_deref());
        #[expect(clippy::cast_precision_loss, reason = "rows are fewer than 2^53")]
        let no_chance = |confirmed: u64| confirmed as f64 * surprise > MILLION;
        if self.equal && no_chance(self.both) {
            return Some((Grounds::Equal, self.both, false));
        }
        let told = |map: &Map| (map.rows, map.level > 0);
        let forward = self.forward.as_ref().filter(|map| no_chance(map.confirmed));
        let backward = self.backward.as_ref().filter(|map| no_chance(map.confirmed));
        if let (Some(forward), Some(_)) = (forward, backward) {
            let (rows, sampled) = told(forward);
            return Some((Grounds::OneToOne, rows, sampled));
        }
        if let Some(rows) = monotone(profiler.sample(), self.label, self.feature) {
            return Some((Grounds::Monotone, rows, !profiler.sample().is_whole()));
        }
        forward.map(told).map(|(rows, sampled)| (Grounds::Determines, rows, sampled))
    }
}

/// Whether two columns have one scale: an instant is no number.
fn comparable(a: &DataType, b: &DataType) -> bool {
    hashes::is_time(a) == hashes::is_time(b)
}

/// How unlikely it is that two rows have one label by chance, as a negative logarithm.
#[expect(clippy::cast_precision_loss, reason = "rows are fewer than 2^53")]
fn surprise(counts: Option<&[u64]>) -> f64 {
    let Some(counts) = counts else { return std::f64::consts::LN_2 };
    let n: u64 = counts.iter().sum();
    let same: f64 = counts.iter().map(|count| (*count as f64 / n as f64).powi(2)).sum();
    -same.ln()
}

/// Whether the label only rises, or only falls, in the order of the feature; the rows that say so.
fn monotone(sample: &Sample, label: usize, feature: usize) -> Option<u64> {
    let (labels, features) = (sample.column(label)?, sample.column(feature)?);
    let mut pairs: Vec<(f64, f64)> =
        features.iter().copied().zip(labels.iter().copied()).filter(|(f, l)| !f.is_nan() && !l.is_nan()).collect();
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let ties_agree =
        pairs.windows(2).all(|pair| pair[0].0.total_cmp(&pair[1].0).is_ne() || pair[0].1.total_cmp(&pair[1].1).is_eq());
    let rises = pairs.windows(2).all(|pair| pair[0].1 <= pair[1].1);
    let falls = pairs.windows(2).all(|pair| pair[0].1 >= pair[1].1);
    if !ties_agree || rises == falls {
        return None;
    }
    // The number of orders in which labels could have come, of which two are monotone. Rows of one value of the feature
    // are counted once: they are not independent.
    pairs.dedup_by(|a, b| a.0.total_cmp(&b.0).is_eq());
    let mut runs: Vec<u64> = Vec::new();
    for (i, (_, label)) in pairs.iter().enumerate() {
        match runs.last_mut() {
            Some(last) if pairs[i - 1].1.total_cmp(label).is_eq() => *last += 1,
            _ => runs.push(1),
        }
    }
    let orders = ln_factorial(pairs.len() as u64) - runs.into_iter().map(ln_factorial).sum::<f64>();
    (orders > MILLION).then_some(features.iter().zip(labels).filter(|(f, l)| !f.is_nan() && !l.is_nan()).count() as u64)
}

#[expect(clippy::cast_precision_loss, reason = "samples are small")]
fn ln_factorial(n: u64) -> f64 {
    (2..=n).map(|i| (i as f64).ln()).sum()
}
