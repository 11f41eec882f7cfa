//! Outputs joined row after row, and a row as JSON.

use serde_json::Value as Json;

use super::outputs::{OutputData, OutputRow, OutputTensor, Outputs};

/// Puts the rows of `more` after those of `all`; both are of one model.
pub fn append(all: &mut Outputs, more: Outputs) {
    for (column, more) in all.columns.iter_mut().zip(more.columns) {
        if let (Some(n), Some(m)) = (column.shape.first_mut(), more.shape.first()) {
            *n += m;
        }
        macro_rules! extend {
            ($($variant:ident),*) => {
                match (&mut column.data, more.data) {
                    $((OutputData::$variant(all), OutputData::$variant(more)) => all.extend(more),)*
                    // The runtime checks every output against the graph: a column keeps its type.
                    _ => {}
                }
            };
        }
        extend!(Bool, U8, U16, U32, U64, I8, I16, I32, I64, F32, F64, Text);
    }
}

/// A row of an output: a number, a text, or a list where the output is wider than one.
///
/// `f32` is written by its own shortest form, so that a reader of 32-bit floats gets the same bits.
pub fn row_json(output: &OutputTensor, row: usize) -> Json {
    macro_rules! plain {
        ($values:expr) => {
            $values.iter().map(|value| Json::from(value.clone())).collect::<Vec<_>>()
        };
    }
    let values = match output.row(row) {
        OutputRow::Bool(v) => plain!(v),
        OutputRow::U8(v) => plain!(v),
        OutputRow::U16(v) => plain!(v),
        OutputRow::U32(v) => plain!(v),
        OutputRow::U64(v) => plain!(v),
        OutputRow::I8(v) => plain!(v),
        OutputRow::I16(v) => plain!(v),
        OutputRow::I32(v) => plain!(v),
        OutputRow::I64(v) => plain!(v),
        OutputRow::Text(v) => plain!(v),
        OutputRow::F32(v) => v.iter().map(|value| float(f64::from(*value), || format!("{value:?}"))).collect(),
        OutputRow::F64(v) => v.iter().map(|value| float(*value, || format!("{value:?}"))).collect(),
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

    fn tensor(shape: Vec<i64>, data: OutputData) -> OutputTensor {
        OutputTensor { name: Arc::from("y"), datatype: data.datatype(), shape, data }
    }

    #[test]
    fn a_float_keeps_its_own_shortest_form() {
        let y = tensor(vec![2, 2], OutputData::F32(vec![0.1, f32::NAN, 1e-30, f32::NEG_INFINITY]));
        assert_eq!(row_json(&y, 0).to_string(), r#"[0.1,"NaN"]"#);
        assert_eq!(row_json(&y, 1).to_string(), r#"[1e-30,"-Infinity"]"#);
        assert_eq!(row_json(&tensor(vec![1], OutputData::I64(vec![7])), 0).to_string(), "7");
    }

    #[test]
    fn rows_join_in_order() {
        let one = |v| Outputs { columns: vec![tensor(vec![1, 1], OutputData::F32(vec![v]))] };
        let mut all = one(1.0);
        append(&mut all, one(2.0));
        assert_eq!((all.columns[0].rows(), row_json(&all.columns[0], 1).to_string()), (2, "[2.0]".to_owned()));
    }
}
