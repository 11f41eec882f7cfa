//! Rows, and the columns that they are in files, in pushes and in the answers that are expected.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StructArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use proptest::prelude::*;
use schema::json::Cell as JsonCell;
use schema::{Dtype, Scalar};

use super::frames;
use super::shape::{PEOPLE, Shape};
use crate::types::{self, Cell};

/// New York is so many hours behind at the epoch.
const BEHIND: i64 = 5 * 3_600_000_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub who: usize,
    pub event: i64,
    pub created: Option<i64>,
    pub deleted: bool,
    /// A number that no other row has.
    pub number: i64,
    /// A cell for each of [`Shape::features`].
    pub cells: Vec<Cell>,
}

pub(super) fn row(shape: &Shape) -> impl Strategy<Value = Row> + use<> {
    let plain = shape.plain;
    let features = shape.features();
    let cells: Vec<_> = features.iter().map(|(_, dtype)| types::cell(*dtype)).collect();
    let dtypes: Vec<Dtype> = features.into_iter().map(|(_, dtype)| dtype).collect();
    (
        0..PEOPLE,
        0..20_i64,
        proptest::option::weighted(0.6, 0..24_i64),
        proptest::bool::weighted(0.12),
        any::<u16>(),
        cells,
    )
        .prop_map(move |(who, event, created, deleted, number, cells)| {
            let plainly = |(cell, dtype): (Cell, &Dtype)| if plain { one_nan(cell, *dtype) } else { cell };
            let cells = cells.into_iter().zip(&dtypes).map(plainly).collect();
            Row { who, event, created, deleted, number: number.into(), cells }
        })
}

/// Texts know one NaN.
#[expect(clippy::cast_possible_truncation, reason = "a value takes as many of the bits as it has")]
fn one_nan(cell: Cell, dtype: Dtype) -> Cell {
    let one = |bits: u128| match dtype.item() {
        Scalar::Float64 if f64::from_bits(bits as u64).is_nan() => f64::NAN.to_bits().into(),
        Scalar::Float32 if f32::from_bits(bits as u32).is_nan() => f32::NAN.to_bits().into(),
        _ => bits,
    };
    cell.map(|values| values.into_iter().map(|bits| bits.map(one)).collect())
}

pub(super) fn times(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
}

/// The key columns of some people; nobody has a null key.
pub(super) fn keys(shape: &Shape, who: &[Option<usize>]) -> Vec<ArrayRef> {
    let part = |(i, dtype): (usize, &Dtype)| {
        let cells: Vec<Cell> = who.iter().map(|who| who.map(|who| vec![Some(shape.people[who][i])])).collect();
        types::column(*dtype, &cells)
    };
    shape.keys.iter().enumerate().map(part).collect()
}

/// The values of one feature.
pub(super) fn feature(rows: &[&Row], at: usize, dtype: Dtype) -> ArrayRef {
    let cells: Vec<Cell> = rows.iter().map(|row| row.cells[at].clone()).collect();
    types::column(dtype, &cells)
}

/// Rows as the product calls their columns: of a source, or without their number as clients push them.
pub(super) fn columns(shape: &Shape, rows: &[Row], numbered: bool) -> Vec<(String, ArrayRef)> {
    let all: Vec<&Row> = rows.iter().collect();
    let who: Vec<Option<usize>> = rows.iter().map(|row| Some(row.who)).collect();
    let keys = keys(shape, &who).into_iter().enumerate().map(|(i, column)| (format!("k{i}"), column));
    let mut columns: Vec<(String, ArrayRef)> = keys.collect();
    columns.push(("ts".to_owned(), times(rows.iter().map(|row| Some(row.event)))));
    columns.push(("created".to_owned(), times(rows.iter().map(|row| row.created))));
    let gone: BooleanArray = rows.iter().map(|row| Some(row.deleted)).collect();
    columns.push(("gone".to_owned(), Arc::new(gone)));
    if numbered {
        columns.push(("n".to_owned(), Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.number)))));
    }
    let features = shape.features();
    columns.extend(features.into_iter().enumerate().map(|(at, (name, dtype))| (name, feature(&all, at, dtype))));
    if shape.profile {
        let parts = [
            ("n", &columns[columns.len() - shape.more.len() - 5].1),
            ("amount", &columns[columns.len() - shape.more.len() - 4].1),
        ];
        let parts = parts.map(|(name, column)| {
            (Arc::new(Field::new(name, column.data_type().clone(), true)), ArrayRef::clone(column))
        });
        let profile = StructArray::from(parts.to_vec());
        columns.push(("profile".to_owned(), Arc::new(profile)));
    }
    columns
}

fn batch(columns: Vec<(String, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Rows as clients push them.
pub(super) fn pushed(shape: &Shape, rows: &[Row]) -> RecordBatch {
    batch(columns(shape, rows, false))
}

/// Rows as clients push them in JSON: lists by column.
pub(super) fn pushed_json(shape: &Shape, rows: &[Row]) -> serde_json::Map<String, serde_json::Value> {
    let dtypes = shape.columns();
    let list = |(name, column): (String, ArrayRef)| {
        let dtype = dtypes.iter().find(|(known, _)| *known == name).map_or(Dtype::Json, |(_, dtype)| *dtype);
        (name, (0..column.len()).map(|row| frames::json(&column, row, dtype)).collect())
    };
    columns(shape, rows, false).into_iter().map(list).collect()
}

/// Rows as the source holds them, by its names; in a file that came before the last column without it.
pub(super) fn held(shape: &Shape, rows: &[Row], narrow: bool) -> RecordBatch {
    let mut columns = columns(shape, rows, true);
    if narrow {
        let last = format!("x{}", shape.more.len() - 1);
        columns.retain(|(name, _)| *name != last);
    }
    for (name, column) in &mut columns {
        if shape.zoned && name == "ts" {
            let utc = column.as_primitive::<arrow::datatypes::TimestampNanosecondType>();
            let local: TimestampNanosecondArray = utc.unary(|time| time - BEHIND);
            *column = Arc::new(local.with_data_type(DataType::Timestamp(TimeUnit::Nanosecond, None)));
        }
        *name = shape.in_file(name);
    }
    batch(columns)
}

/// A batch of the source as text: lines of JSON, or of CSV as a careful writer has them.
pub(super) fn text(shape: &Shape, rows: &RecordBatch, csv: bool) -> String {
    let dtypes = shape.columns();
    let schema = rows.schema();
    let column = |at: usize| {
        let name = schema.field(at).name();
        let dtype = dtypes.iter().find(|(known, _)| shape.in_file(known) == *name).map(|(_, dtype)| *dtype);
        (name.as_str(), rows.column(at), dtype.unwrap())
    };
    let all: Vec<_> = (0..rows.num_columns()).map(column).collect();
    let names: Vec<&str> = all.iter().map(|(name, ..)| *name).collect();
    let mut text = if csv { names.join(",") + "\n" } else { String::new() };
    for row in 0..rows.num_rows() {
        let json = |column: &ArrayRef, dtype| serde_json::to_string(&JsonCell::new(column, row, dtype)).unwrap();
        let fields = all.iter().map(|(name, column, dtype)| match csv {
            true if column.is_null(row) => String::new(),
            true => field(json(column, *dtype), *dtype),
            false => format!("\"{name}\":{}", json(column, *dtype)),
        });
        let fields = fields.collect::<Vec<_>>().join(",");
        text.push_str(&if csv { fields + "\n" } else { format!("{{{fields}}}\n") });
    }
    text
}

fn field(json: String, dtype: Dtype) -> String {
    let text = if json.starts_with('"') && !dtype.is_list() { serde_json::from_str(&json).unwrap() } else { json };
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}
