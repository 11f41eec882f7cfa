//! A row of an output as JSON.

use serde_json::Value as Json;

use super::{Tensor, TensorRow};

/// A row of an output: a number, a text, or a list where the output is wider than one.
///
/// `f32` is written by its own shortest form, so that a reader of 32-bit floats gets the same bits.
pub fn row_json(output: &Tensor, row: usize) -> Json {
    macro_rules! plain {
        ($values:expr) => {
            $values.iter().map(|value| Json::from(value.clone())).collect::<Vec<_>>()
        };
    }
    let values = match output.row(row) {
        TensorRow::Bool(v) => plain!(v),
        TensorRow::U8(v) => plain!(v),
        TensorRow::U16(v) => plain!(v),
        TensorRow::U32(v) => plain!(v),
        TensorRow::U64(v) => plain!(v),
        TensorRow::I8(v) => plain!(v),
        TensorRow::I16(v) => plain!(v),
        TensorRow::I32(v) => plain!(v),
        TensorRow::I64(v) => plain!(v),
        TensorRow::Text(v) => plain!(v),
        TensorRow::F32(v) => v.iter().map(|value| float(f64::from(*value), || format!("{value:?}"))).collect(),
        TensorRow::F16(v) => v.iter().map(|value| float(f64::from(*value), || format!("{value:?}"))).collect(),
        TensorRow::Bf16(v) => v.iter().map(|value| float(f64::from(*value), || format!("{value:?}"))).collect(),
        TensorRow::F64(v) => v.iter().map(|value| float(*value, || format!("{value:?}"))).collect(),
    };
    match <[Json; 1]>::try_from(values) {
        Ok([one]) if output.shape.len() <= 1 => one,
        Ok(one) => Json::Array(one.into()),
        Err(many) => Json::Array(many),
    }
}

/// JSON has no NaN and no infinities: they are written as texts.
fn float(value: f64, shortest: impl FnOnce() -> String) -> Json {
    if value.is_nan() {
        return Json::from("NaN");
    }
    if value.is_infinite() {
        return Json::from(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    shortest().parse::<serde_json::Number>().map_or(Json::Null, Json::Number)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::onnx::TensorData;

    fn tensor(shape: Vec<i64>, data: TensorData) -> Tensor {
        Tensor { name: Arc::from("y"), shape, data }
    }

    #[test]
    fn a_float_keeps_its_own_shortest_form() {
        let y = tensor(vec![2, 2], TensorData::F32(vec![0.1, f32::NAN, 1e-30, f32::NEG_INFINITY]));
        assert_eq!(row_json(&y, 0).to_string(), r#"[0.1,"NaN"]"#);
        assert_eq!(row_json(&y, 1).to_string(), r#"[1e-30,"-Infinity"]"#);
        assert_eq!(row_json(&tensor(vec![1], TensorData::I64(vec![7])), 0).to_string(), "7");
    }
}
