//! The hot loop: rows of Arrow columns into row-major tensors.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use schema::Dtype;

use super::{Column, Element, Input, Rows, width};
use crate::onnx::{OnnxError, Tensor, TensorData};

/// The tensor of one input.
pub(super) fn write(
    input: &Input,
    columns: &[Column],
    arrays: &[ArrayRef],
    rows: &Rows<'_>,
) -> Result<Tensor, OnnxError> {
    let sources = || columns.iter().zip(arrays).take(input.columns.end).skip(input.columns.start);
    let step = input.width.unwrap_or(1);
    macro_rules! fill {
        ($variant:ident, $empty:expr, $put:expr, $nan:expr) => {{
            let mut data = vec![$empty; rows.len() * step];
            let mut at = 0;
            for (column, array) in sources() {
                let k = width(column.dtype);
                if let Dtype::FixedList(_, _) = column.dtype {
                    let list = array.as_fixed_size_list_opt().ok_or_else(|| unexpected(column, array.data_type()))?;
                    for place in 0..k {
                        let mut cells = Cells { cells: &mut data, at: at + place, step, rows, k, place };
                        $put(&mut cells, column, list.values())?;
                        cells.missing_list(column, array, $nan)?;
                    }
                } else {
                    $put(&mut Cells { cells: &mut data, at, step, rows, k: 1, place: 0 }, column, array)?;
                }
                at += k;
            }
            TensorData::$variant(data)
        }};
    }
    let data = match input.element {
        Element::Fp32 => fill!(F32, 0.0, put_f32, Some(f32::NAN)),
        Element::Fp64 => fill!(F64, 0.0, put_f64, Some(f64::NAN)),
        Element::Int32 => fill!(I32, 0, put_i32, None),
        Element::Int64 => fill!(I64, 0, put_i64, None),
        Element::Bool => fill!(Bool, false, put_bool, None),
        Element::Bytes => {
            let mut all = Vec::with_capacity(rows.len());
            for (column, array) in sources() {
                texts(&mut all, column, array, rows)?;
            }
            TensorData::Text(all)
        }
    };
    let dims = std::iter::once(rows.len()).chain(input.width);
    let shape = dims.map(|dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect();
    Ok(Tensor { name: Arc::clone(&input.name), shape, data })
}

/// The cells of one column of numbers in a row-major buffer.
struct Cells<'a, T> {
    cells: &'a mut [T],
    /// Number of the column.
    at: usize,
    /// Columns in all.
    step: usize,
    rows: &'a Rows<'a>,
    /// Values of the array in each row, and which of them this column is.
    k: usize,
    place: usize,
}

impl<T> Cells<'_, T> {
    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.cells.get_mut(self.at..).unwrap_or_default().iter_mut().step_by(self.step)
    }

    /// Writes what `value` gives for each row's place in the array.
    fn set(&mut self, value: impl Fn(usize) -> T) {
        let (rows, k, place) = (self.rows.clone(), self.k, self.place);
        self.iter_mut().zip(rows.iter()).for_each(|(cell, row)| *cell = value(row * k + place));
    }

    fn numbers<A: ArrowPrimitiveType>(&mut self, array: &PrimitiveArray<A>, convert: impl Fn(A::Native) -> T) {
        let values = array.values();
        match self.rows.clone() {
            Rows::Range(rows) if self.k == 1 => {
                // Checked against the array's length when the plan was asked.
                let values = values.get(rows).unwrap_or_default();
                self.iter_mut().zip(values).for_each(|(cell, value)| *cell = convert(*value));
            }
            _ => self.set(|at| convert(values[at])),
        }
    }

    /// Makes nulls NaN.
    fn missing(&mut self, array: &ArrayRef, nan: T)
    where
        T: Copy,
    {
        if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
            let (rows, k, place) = (self.rows.clone(), self.k, self.place);
            self.iter_mut().zip(rows.iter()).for_each(|(cell, row)| {
                if nulls.is_null(row * k + place) {
                    *cell = nan;
                }
            });
        }
    }

    /// Makes the cells of rows whose whole list is null NaN, or refuses them where there is none.
    fn missing_list(&mut self, column: &Column, lists: &ArrayRef, nan: Option<T>) -> Result<(), OnnxError>
    where
        T: Copy,
    {
        let Some(nulls) = lists.nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(()) };
        let rows = self.rows.clone();
        let Some(nan) = nan else {
            return match rows.iter().find(|row| nulls.is_null(*row)) {
                Some(row) => Err(OnnxError::Null { column: column.name.clone(), row, datatype: "a type of integers" }),
                None => Ok(()),
            };
        };
        self.iter_mut().zip(rows.iter()).filter(|(_, row)| nulls.is_null(*row)).for_each(|(cell, _)| *cell = nan);
        Ok(())
    }

    /// A type without a missing value cannot take a null.
    fn no_nulls(&self, column: &Column, array: &ArrayRef, element: Element) -> Result<(), OnnxError> {
        let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(()) };
        match self.rows.iter().find(|row| nulls.is_null(row * self.k + self.place)) {
            Some(row) => Err(OnnxError::Null { column: column.name.clone(), row, datatype: element.as_str() }),
            None => Ok(()),
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
    cells.no_nulls(column, array, Element::Int32)?;
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
    cells.no_nulls(column, array, Element::Int64)?;
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
    cells.no_nulls(column, array, Element::Bool)?;
    let values = array.as_boolean_opt().ok_or_else(|| unexpected(column, array.data_type()))?;
    cells.set(|row| values.value(row));
    Ok(())
}

fn texts(all: &mut Vec<String>, column: &Column, array: &ArrayRef, rows: &Rows<'_>) -> Result<(), OnnxError> {
    no_nulls(column, array, rows, Element::Bytes)?;
    let values = array.as_string_opt::<i32>().ok_or_else(|| unexpected(column, array.data_type()))?;
    for row in rows.iter() {
        let text = values.value(row);
        if text.as_bytes().contains(&0) {
            return Err(OnnxError::Nul { column: column.name.clone(), row });
        }
        all.push(text.to_owned());
    }
    Ok(())
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
