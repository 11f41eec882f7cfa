//! The hot loop: rows of Arrow columns into row-major buffers.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use ort::value::Tensor;

use super::{Buffer, Column, Element, Input, Rows};
use crate::onnx::OnnxError;

/// Fills the buffer of one input.
pub(super) fn write(
    buffer: &mut Buffer,
    input: &Input,
    columns: &[Column],
    arrays: &[ArrayRef],
    rows: &Rows<'_>,
) -> Result<(), OnnxError> {
    let sources = || columns.iter().zip(arrays).take(input.columns.end).skip(input.columns.start);
    let step = input.columns.len();
    macro_rules! fill {
        ($variant:ident, $empty:expr, $put:expr) => {{
            let mut data = match std::mem::replace(buffer, Buffer::Empty) {
                Buffer::$variant(data) => data,
                _ => Vec::new(),
            };
            data.clear();
            data.resize(rows.len() * step, $empty);
            for (at, (column, array)) in sources().enumerate() {
                let mut cells = Cells { cells: &mut data, at, step, rows };
                $put(&mut cells, column, array)?;
            }
            *buffer = Buffer::$variant(data);
        }};
    }
    match input.element {
        Element::Fp32 => fill!(Fp32, 0.0, put_f32),
        Element::Fp64 => fill!(Fp64, 0.0, put_f64),
        Element::Int32 => fill!(Int32, 0, put_i32),
        Element::Int64 => fill!(Int64, 0, put_i64),
        Element::Bool => fill!(Bool, false, put_bool),
        Element::Bytes => {
            for (column, array) in sources() {
                *buffer = Buffer::Bytes(texts(column, array, rows, input.width)?);
            }
        }
    }
    Ok(())
}

/// The cells of one column in a row-major buffer.
struct Cells<'a, T> {
    cells: &'a mut [T],
    /// Number of the column.
    at: usize,
    /// Columns in all.
    step: usize,
    rows: &'a Rows<'a>,
}

impl<T> Cells<'_, T> {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.cells.get_mut(self.at..).unwrap_or_default().iter_mut().step_by(self.step)
    }

    /// Writes what `value` gives for each row.
    fn set(&mut self, value: impl Fn(usize) -> T) {
        match self.rows.clone() {
            Rows::Range(rows) => self.iter_mut().zip(rows).for_each(|(cell, row)| *cell = value(row)),
            Rows::Take(rows) => self.iter_mut().zip(rows).for_each(|(cell, row)| *cell = value(*row)),
        }
    }

    fn numbers<A: ArrowPrimitiveType>(&mut self, array: &PrimitiveArray<A>, convert: impl Fn(A::Native) -> T) {
        let values = array.values();
        match self.rows.clone() {
            Rows::Range(rows) => {
                // Checked against the array's length when the plan was asked.
                let values = values.get(rows).unwrap_or_default();
                self.iter_mut().zip(values).for_each(|(cell, value)| *cell = convert(*value));
            }
            rows @ Rows::Take(_) => {
                self.iter_mut().zip(rows.iter()).for_each(|(cell, row)| *cell = convert(values[row]));
            }
        }
    }

    /// Makes nulls NaN.
    fn missing(&mut self, array: &ArrayRef, nan: T)
    where
        T: Copy,
    {
        if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
            let rows = self.rows.clone();
            self.iter_mut().zip(rows.iter()).for_each(|(cell, row)| {
                if nulls.is_null(row) {
                    *cell = nan;
                }
            });
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "rounds to nearest, as the plan says")]
fn put_f32(cells: &mut Cells<'_, f32>, column: &Column, array: &ArrayRef) -> Result<(), OnnxError> {
    match array.data_type() {
        DataType::Float32 => cells.numbers(array.as_primitive::<Float32Type>(), |v| v),
        DataType::Float64 => cells.numbers(array.as_primitive::<Float64Type>(), |v| v as f32),
        DataType::Int8 => cells.numbers(array.as_primitive::<Int8Type>(), f32::from),
        DataType::Int16 => cells.numbers(array.as_primitive::<Int16Type>(), f32::from),
        DataType::Int32 => cells.numbers(array.as_primitive::<Int32Type>(), |v| v as f32),
        DataType::Int64 => cells.numbers(array.as_primitive::<Int64Type>(), |v| v as f32),
        DataType::UInt8 => cells.numbers(array.as_primitive::<UInt8Type>(), f32::from),
        DataType::UInt16 => cells.numbers(array.as_primitive::<UInt16Type>(), f32::from),
        DataType::UInt32 => cells.numbers(array.as_primitive::<UInt32Type>(), |v| v as f32),
        DataType::UInt64 => cells.numbers(array.as_primitive::<UInt64Type>(), |v| v as f32),
        DataType::Boolean => {
            let values = array.as_boolean();
            cells.set(|row| f32::from(u8::from(values.value(row))));
        }
        other => return Err(unexpected(column, other)),
    }
    cells.missing(array, f32::NAN);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "rounds to nearest, as the plan says")]
fn put_f64(cells: &mut Cells<'_, f64>, column: &Column, array: &ArrayRef) -> Result<(), OnnxError> {
    match array.data_type() {
        DataType::Float32 => cells.numbers(array.as_primitive::<Float32Type>(), f64::from),
        DataType::Float64 => cells.numbers(array.as_primitive::<Float64Type>(), |v| v),
        DataType::Int8 => cells.numbers(array.as_primitive::<Int8Type>(), f64::from),
        DataType::Int16 => cells.numbers(array.as_primitive::<Int16Type>(), f64::from),
        DataType::Int32 => cells.numbers(array.as_primitive::<Int32Type>(), f64::from),
        DataType::Int64 => cells.numbers(array.as_primitive::<Int64Type>(), |v| v as f64),
        DataType::UInt8 => cells.numbers(array.as_primitive::<UInt8Type>(), f64::from),
        DataType::UInt16 => cells.numbers(array.as_primitive::<UInt16Type>(), f64::from),
        DataType::UInt32 => cells.numbers(array.as_primitive::<UInt32Type>(), f64::from),
        DataType::UInt64 => cells.numbers(array.as_primitive::<UInt64Type>(), |v| v as f64),
        DataType::Boolean => {
            let values = array.as_boolean();
            cells.set(|row| f64::from(u8::from(values.value(row))));
        }
        other => return Err(unexpected(column, other)),
    }
    cells.missing(array, f64::NAN);
    Ok(())
}

fn put_i32(cells: &mut Cells<'_, i32>, column: &Column, array: &ArrayRef) -> Result<(), OnnxError> {
    no_nulls(column, array, cells.rows, Element::Int32)?;
    match array.data_type() {
        DataType::Int8 => cells.numbers(array.as_primitive::<Int8Type>(), i32::from),
        DataType::Int16 => cells.numbers(array.as_primitive::<Int16Type>(), i32::from),
        DataType::Int32 => cells.numbers(array.as_primitive::<Int32Type>(), |v| v),
        DataType::UInt8 => cells.numbers(array.as_primitive::<UInt8Type>(), i32::from),
        DataType::UInt16 => cells.numbers(array.as_primitive::<UInt16Type>(), i32::from),
        DataType::Boolean => {
            let values = array.as_boolean();
            cells.set(|row| i32::from(values.value(row)));
        }
        other => return Err(unexpected(column, other)),
    }
    Ok(())
}

fn put_i64(cells: &mut Cells<'_, i64>, column: &Column, array: &ArrayRef) -> Result<(), OnnxError> {
    no_nulls(column, array, cells.rows, Element::Int64)?;
    match array.data_type() {
        DataType::Int8 => cells.numbers(array.as_primitive::<Int8Type>(), i64::from),
        DataType::Int16 => cells.numbers(array.as_primitive::<Int16Type>(), i64::from),
        DataType::Int32 => cells.numbers(array.as_primitive::<Int32Type>(), i64::from),
        DataType::Int64 => cells.numbers(array.as_primitive::<Int64Type>(), |v| v),
        DataType::UInt8 => cells.numbers(array.as_primitive::<UInt8Type>(), i64::from),
        DataType::UInt16 => cells.numbers(array.as_primitive::<UInt16Type>(), i64::from),
        DataType::UInt32 => cells.numbers(array.as_primitive::<UInt32Type>(), i64::from),
        DataType::Boolean => {
            let values = array.as_boolean();
            cells.set(|row| i64::from(values.value(row)));
        }
        other => return Err(unexpected(column, other)),
    }
    Ok(())
}

fn put_bool(cells: &mut Cells<'_, bool>, column: &Column, array: &ArrayRef) -> Result<(), OnnxError> {
    no_nulls(column, array, cells.rows, Element::Bool)?;
    let values = array.as_boolean_opt().ok_or_else(|| unexpected(column, array.data_type()))?;
    cells.set(|row| values.value(row));
    Ok(())
}

fn texts(
    column: &Column,
    array: &ArrayRef,
    rows: &Rows<'_>,
    width: Option<usize>,
) -> Result<Tensor<String>, OnnxError> {
    no_nulls(column, array, rows, Element::Bytes)?;
    let values = array.as_string_opt::<i32>().ok_or_else(|| unexpected(column, array.data_type()))?;
    let text = |row: usize| {
        let text = values.value(row);
        if text.as_bytes().contains(&0) {
            return Err(OnnxError::Nul { column: column.name.clone(), row });
        }
        Ok(text.to_owned())
    };
    let texts = rows.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let tensor = match width {
        Some(width) => Tensor::from_string_array(([texts.len(), width], texts.as_slice())),
        None => Tensor::from_string_array(([texts.len()], texts.as_slice())),
    };
    tensor.map_err(|error| OnnxError::run(rows.len(), &error))
}

/// A type without a missing value cannot take a null.
fn no_nulls(column: &Column, array: &ArrayRef, rows: &Rows<'_>, element: Element) -> Result<(), OnnxError> {
    let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(()) };
    match rows.iter().find(|row| nulls.is_null(*row)) {
        Some(row) => Err(OnnxError::Null { column: column.name.clone(), row, datatype: element.as_str() }),
        None => Ok(()),
    }
}

fn unexpected(column: &Column, found: &DataType) -> OnnxError {
    OnnxError::Columns { reason: format!("`{}` is {found}, expected {}", column.name, column.dtype.to_arrow()) }
}
