//! An output as an Arrow column: a value a row, or a list of fixed size where an output is wider than one.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::Field;

use super::{Tensor, TensorData};

/// The output's rows: `[N]` and `[N, 1]` are plain values, `[N, k]` lists of `k`, more dimensions lists of lists.
///
/// BF16, which Arrow does not have, is widened to float32. `None` for a scalar, which has no rows, and where lists would be
/// empty or the elements are not as many as the shape says.
pub fn column(output: &Tensor) -> Option<ArrayRef> {
    let (_, inner) = output.shape.split_first()?;
    let mut values = elements(&output.data);
    let inner: Vec<i32> = inner.iter().map(|dim| i32::try_from(*dim)).collect::<Result<_, _>>().ok()?;
    let inner = if inner == [1] { &[][..] } else { &inner };
    for size in inner.iter().rev() {
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), false));
        values = Arc::new(FixedSizeListArray::try_new(item, (*size > 0).then_some(*size)?, values, None).ok()?);
    }
    Some(values).filter(|values| i64::try_from(values.len()).ok() == output.shape.first().copied())
}

fn elements(data: &TensorData) -> ArrayRef {
    match data {
        TensorData::Bool(v) => Arc::new(BooleanArray::from(v.clone())),
        TensorData::U8(v) => Arc::new(UInt8Array::from(v.clone())),
        TensorData::U16(v) => Arc::new(UInt16Array::from(v.clone())),
        TensorData::U32(v) => Arc::new(UInt32Array::from(v.clone())),
        TensorData::U64(v) => Arc::new(UInt64Array::from(v.clone())),
        TensorData::I8(v) => Arc::new(Int8Array::from(v.clone())),
        TensorData::I16(v) => Arc::new(Int16Array::from(v.clone())),
        TensorData::I32(v) => Arc::new(Int32Array::from(v.clone())),
        TensorData::I64(v) => Arc::new(Int64Array::from(v.clone())),
        TensorData::F16(v) => Arc::new(Float16Array::from(v.clone())),
        TensorData::Bf16(v) => Arc::new(Float32Array::from_iter_values(v.iter().map(|value| f32::from(*value)))),
        TensorData::F32(v) => Arc::new(Float32Array::from(v.clone())),
        TensorData::F64(v) => Arc::new(Float64Array::from(v.clone())),
        TensorData::Text(v) => Arc::new(StringArray::from_iter_values(v)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float32Type, Int64Type};
    use half::bf16;

    use super::*;

    fn of(shape: &[i64], data: TensorData) -> Option<ArrayRef> {
        column(&Tensor { name: Arc::from("y"), shape: shape.to_vec(), data })
    }

    #[test]
    fn one_value_a_row_is_a_value_and_more_are_lists() {
        for shape in [&[3][..], &[3, 1]] {
            let labels = of(shape, TensorData::I64(vec![1, 2, 3])).unwrap();
            assert_eq!(labels.as_primitive::<Int64Type>().values(), &[1, 2, 3]);
        }
        let scores = of(&[2, 2], TensorData::F32(vec![0.25, 0.75, 1.0, 0.0])).unwrap();
        let row = scores.as_fixed_size_list().value(1);
        assert_eq!(row.as_primitive::<Float32Type>().values(), &[1.0, 0.0]);
        let deep = of(&[2, 2, 3], TensorData::I64((0..12).collect())).unwrap();
        let inner = deep.as_fixed_size_list().value(1);
        assert_eq!(inner.as_fixed_size_list().value(0).as_primitive::<Int64Type>().values(), &[6, 7, 8]);
        let wide = of(&[1], TensorData::Bf16(vec![bf16::from_f32(1.5)])).unwrap();
        assert_eq!(wide.as_primitive::<Float32Type>().values(), &[1.5]);
        assert_eq!(of(&[1], TensorData::Text(vec!["yes".into()])).unwrap().as_string::<i32>().value(0), "yes");
    }

    #[test]
    fn what_has_no_rows_is_no_column() {
        assert!(of(&[], TensorData::I64(vec![1])).is_none());
        assert!(of(&[2, 0], TensorData::I64(vec![])).is_none());
        assert!(of(&[2, 2], TensorData::I64(vec![1, 2, 3])).is_none());
        assert_eq!(of(&[0], TensorData::I64(vec![])).unwrap().len(), 0);
    }
}
