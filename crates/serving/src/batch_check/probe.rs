//! Rows to try a model on: sampled ones, ordinary ones, and the edges of every dtype.
//!
//! Deterministic: the same columns and samples give the same rows, so a counterexample can be looked at again.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, take};
use schema::{Decimal, Dtype, Duration, ServiceColumn, Timestamp, Value};

use super::ProbeRow;
use crate::onnx::OnnxError;

/// Most rows of a set.
const ROWS_MAX: usize = 64;
/// Of these, sampled at most.
const SAMPLED_MAX: usize = 32;
/// Ordinary but for one column, which is at an edge.
const EDGES: usize = 12;
/// Every column at an edge: these are the company that others are tried in.
const HOSTILE: usize = 8;

/// Up to 64 rows of a service's columns, as a model sees them: after `fill`.
#[derive(Debug, Clone)]
pub struct ProbeSet {
    names: Vec<String>,
    columns: Vec<ArrayRef>,
    sampled: usize,
    hostile: Range<usize>,
}

impl ProbeSet {
    /// Rows for these columns: `sampled` (the service's columns, after `fill`; none at all is fine), then generated ones.
    /// Of many sampled rows 32 are taken, evenly.
    ///
    /// # Errors
    /// [`OnnxError::Columns`] if `sampled` are not the service's columns.
    pub fn new(columns: &[ServiceColumn], sampled: &[ArrayRef]) -> Result<Self, OnnxError> {
        let n_sampled = sampled.first().map_or(0, Array::len);
        let wrong = sampled.len() != columns.len() && !sampled.is_empty()
            || sampled.iter().zip(columns).any(|(a, c)| *a.data_type() != c.dtype.to_arrow() || a.len() != n_sampled);
        if wrong {
            return Err(failed("sampled rows of other columns"));
        }
        let picked = n_sampled.min(SAMPLED_MAX);
        let generated = ROWS_MAX - picked;
        let mut random = Random::new();
        let mut cells: Vec<Vec<Value>> = vec![Vec::with_capacity(generated); columns.len()];
        for row in 0..generated {
            for (number, column) in columns.iter().enumerate() {
                let edges = edges(column.dtype, column.fill.as_ref());
                let ordinary = ordinary(column.dtype, &mut random);
                let hostile = row.checked_sub(generated - HOSTILE);
                let edge = row.checked_sub(generated - HOSTILE - EDGES);
                let value = match (hostile, edge) {
                    (Some(hostile), _) => edges[hostile % edges.len()].clone(),
                    (None, Some(edge)) if edge % columns.len() == number => edges[edge % edges.len()].clone(),
                    _ => ordinary,
                };
                cells[number].push(value);
            }
        }
        let picks: Vec<u32> = (0..picked).filter_map(|at| u32::try_from(at * n_sampled / picked).ok()).collect();
        let picks = UInt32Array::from(picks);
        let made = columns.iter().zip(cells).enumerate().map(|(number, (column, cells))| {
            let cell = |value: &Value| value.to_array(column.dtype, 1).map_err(failed);
            let mut parts = cells.iter().map(cell).collect::<Result<Vec<_>, _>>()?;
            if let Some(sampled) = sampled.get(number) {
                parts.insert(0, take(sampled, &picks, None).map_err(failed)?);
            }
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            concat(&parts).map_err(failed)
        });
        Ok(Self {
            names: columns.iter().map(|column| column.name.to_string()).collect(),
            columns: made.collect::<Result<_, OnnxError>>()?,
            sampled: picked,
            hostile: if columns.is_empty() { 0..0 } else { ROWS_MAX - HOSTILE..ROWS_MAX },
        })
    }

    /// The rows, column by column in the service's order.
    pub fn columns(&self) -> &[ArrayRef] {
        &self.columns
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Array::len)
    }

    /// Numbers of the rows that are all edges.
    pub(super) fn hostile(&self) -> Range<usize> {
        self.hostile.clone()
    }

    /// A row in words; only the number of a sampled one.
    pub(super) fn row(&self, number: usize) -> ProbeRow {
        const LETTERS: usize = 40;
        let shown = |column: &ArrayRef| {
            let text = Value::at(column, number).to_string();
            match text.char_indices().nth(LETTERS) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        };
        let generated = number >= self.sampled;
        let cells = self.names.iter().cloned().zip(self.columns.iter().map(shown));
        ProbeRow { number, values: cells.filter(|_| generated).collect() }
    }
}

fn failed(why: impl ToString) -> OnnxError {
    OnnxError::Columns { reason: format!("making probe rows: {}", why.to_string()) }
}

/// A value of no distinction.
pub(crate) fn ordinary(dtype: Dtype, random: &mut Random) -> Value {
    match dtype {
        Dtype::Bool => Value::Bool(random.below(2) == 1),
        Dtype::Float32 | Dtype::Float64 => Value::Float((random.unit() - 0.5) * [1.0, 10.0, 1000.0][random.below(3)]),
        Dtype::String => Value::String(["a", "b", "c", "GB", "DE", "gold"][random.below(6)].to_owned()),
        Dtype::Bytes => Value::Bytes(random.next().to_le_bytes().to_vec()),
        Dtype::Timestamp => {
            let seconds = i64::try_from(random.below(3_000_000_000)).unwrap_or_default();
            Value::Timestamp(Timestamp::from_nanos(seconds * 1_000_000_000))
        }
        Dtype::Int8
        | Dtype::Int16
        | Dtype::Int32
        | Dtype::Int64
        | Dtype::Uint8
        | Dtype::Uint16
        | Dtype::Uint32
        | Dtype::Uint64
        | Dtype::Date => Value::Int(i64::try_from(random.below(100)).unwrap_or_default()),
        Dtype::Duration => {
            Value::Duration(Duration::from_nanos(i64::try_from(random.below(86_400_000_000_000)).unwrap_or_default()))
        }
        Dtype::Decimal { precision, scale } => {
            let most = 10_i128.pow(u32::from(precision.min(4)));
            Value::Decimal(Decimal { unscaled: i128::from(random.next()) % most, scale })
        }
        Dtype::Json => Value::String(format!("{{\"a\":{}}}", random.below(100))),
        Dtype::List(item) => {
            let n = random.below(4);
            Value::List((0..n).map(|_| ordinary(item.into(), random)).collect())
        }
        Dtype::FixedList(item, n) => Value::List((0..n).map(|_| ordinary(item.into(), random)).collect()),
    }
}

/// The edges of a dtype. The first is what the model sees for null.
fn edges(dtype: Dtype, fill: Option<&Value>) -> Vec<Value> {
    /// Where float64 and float32 stop counting by ones.
    const DOUBLE: i64 = 1 << 53;
    const SINGLE: i64 = 1 << 24;
    let ints = |values: &[i64]| values.iter().map(|value| Value::Int(*value)).collect::<Vec<_>>();
    let floats = |values: &[f64]| values.iter().map(|value| Value::Float(*value)).collect::<Vec<_>>();
    let texts = |values: &[&str]| values.iter().map(|value| Value::String((*value).to_owned())).collect::<Vec<_>>();
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let edges = match dtype {
        Dtype::Bool => vec![Value::Bool(true), Value::Bool(false)],
        Dtype::Int8 => ints(&[i8::MAX.into(), i8::MIN.into(), 0, -1]),
        Dtype::Int16 => ints(&[i16::MAX.into(), i16::MIN.into(), 0, -1]),
        Dtype::Int32 => ints(&[i32::MAX.into(), i32::MIN.into(), SINGLE + 1, SINGLE - 1, 0, -1]),
        Dtype::Int64 => ints(&[i64::MAX, i64::MIN, DOUBLE + 1, DOUBLE - 1, SINGLE + 1, 0, -1]),
        Dtype::Uint8 => ints(&[u8::MAX.into(), 0]),
        Dtype::Uint16 => ints(&[u16::MAX.into(), 0]),
        Dtype::Uint32 => ints(&[u32::MAX.into(), 0, SINGLE + 1]),
        Dtype::Uint64 => [vec![Value::Uint(u64::MAX)], ints(&[0, DOUBLE + 1, DOUBLE - 1, SINGLE + 1])].concat(),
        Dtype::Float32 => floats(&[nan, inf, -inf, f32::MAX.into(), f32::MIN.into(), -0.0, 16_777_217.0]),
        // 2^53 ± 1, as far as the upper one exists.
        Dtype::Float64 => floats(&[nan, inf, -inf, f64::MAX, f64::MIN, -0.0, 9_007_199_254_740_991.0]),
        Dtype::String => texts(&["", "😀𝒳", "ß", " ", "never seen before", &"long ".repeat(800)]),
        Dtype::Bytes => vec![Value::Bytes(vec![]), Value::Bytes(vec![0]), Value::Bytes(vec![0xff; 4000])],
        // A leap day, the epoch, the ends.
        Dtype::Date => ints(&[19_782, 0, i32::MAX.into(), i32::MIN.into()]),
        // A leap day, an hour that summer time skips, the epoch, the ends.
        Dtype::Timestamp => [1_709_164_800_000_000_000, 1_711_849_800_000_000_000, 0, i64::MAX, i64::MIN]
            .map(|nanos| Value::Timestamp(Timestamp::from_nanos(nanos)))
            .to_vec(),
        Dtype::Duration => {
            [0, -1, i64::MAX, i64::MIN].map(|nanos| Value::Duration(Duration::from_nanos(nanos))).to_vec()
        }
        Dtype::Decimal { precision, scale } => {
            let most = 10_i128.pow(u32::from(precision)) - 1;
            [most, -most, 0].map(|unscaled| Value::Decimal(Decimal { unscaled, scale })).to_vec()
        }
        Dtype::Json => texts(&["null", "{}", "[]", "9007199254740993", "\"\""]),
        Dtype::List(item) => {
            let one_each = edges(item.into(), None);
            vec![Value::List(vec![]), Value::List(vec![Value::Null]), Value::List(one_each)]
        }
        // A list of each edge of its values, null included.
        Dtype::FixedList(item, n) => {
            let n = usize::try_from(n).unwrap_or_default();
            edges(item.into(), None).into_iter().map(|edge| Value::List(vec![edge; n])).collect()
        }
    };
    [vec![fill.cloned().unwrap_or(Value::Null)], edges].concat()
}

/// Splitmix64, always from the same seed.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(0x706c_756d_6200_0001)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`; 0 for 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % n).unwrap_or(0)
    }

    /// A number in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are kept, and fit")]
        let bits = (self.next() >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    pub(super) fn permutation(&mut self, rows: &[usize]) -> Vec<usize> {
        let mut rows = rows.to_vec();
        for end in (1..rows.len()).rev() {
            rows.swap(end, self.below(end + 1));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Float32Array;

    use super::*;
    use crate::onnx::toy::{column, filled, float_columns};

    #[test]
    fn every_dtype_has_rows_of_its_type() {
        let columns: Vec<_> = Dtype::all().enumerate().map(|(i, dtype)| column(&format!("f{i}"), dtype)).collect();
        let probe = ProbeSet::new(&columns, &[]).unwrap();
        assert_eq!(probe.rows(), ROWS_MAX);
        for (array, column) in probe.columns().iter().zip(&columns) {
            assert_eq!(*array.data_type(), column.dtype.to_arrow());
            assert!(array.null_count() > 0, "{}", column.name);
        }
    }

    #[test]
    fn null_is_tried_as_the_model_would_see_it() {
        let columns = [filled("a", Dtype::Int64, Some(Value::Int(-7)))];
        let probe = ProbeSet::new(&columns, &[]).unwrap();
        assert_eq!(probe.columns()[0].null_count(), 0);
        assert_eq!(Value::at(&probe.columns()[0], probe.hostile().start), Value::Int(-7));
    }

    #[test]
    fn sampled_rows_come_first_and_are_never_told() {
        let sampled: ArrayRef = Arc::new(Float32Array::from_iter_values((0..1000_u16).map(f32::from)));
        let probe = ProbeSet::new(&float_columns(&["a"]), &[sampled]).unwrap();
        assert_eq!(probe.rows(), ROWS_MAX);
        assert_eq!(Value::at(&probe.columns()[0], 31), Value::Float(968.0));
        assert!(probe.row(31).values.is_empty());
        assert_eq!(probe.row(32).values.len(), 1);
        let few: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0]));
        assert_eq!(ProbeSet::new(&float_columns(&["a"]), &[few]).unwrap().sampled, 2);
    }

    #[test]
    fn samples_of_other_columns_are_refused() {
        let sampled: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
        assert!(ProbeSet::new(&float_columns(&["a", "b"]), &[Arc::clone(&sampled)]).is_err());
        assert!(ProbeSet::new(&[column("a", Dtype::Int64)], &[sampled]).is_err());
    }
}
