use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, UInt64Array};
use schema::signature::{Signature, TensorSpec};
use schema::{ErrorKind, Scalar, ServiceColumn, Value};

use super::*;
use crate::onnx::TensorData;
use crate::onnx::toy::{column, float_columns};

fn signature(inputs: &[(&str, &str, &[i64])]) -> Signature {
    let spec = |(name, datatype, shape): &(&str, &str, &[i64])| TensorSpec {
        name: (*name).to_owned(),
        datatype: (*datatype).to_owned(),
        shape: shape.to_vec(),
    };
    Signature { inputs: inputs.iter().map(spec).collect(), outputs: Vec::new() }
}

fn plan(inputs: &[(&str, &str, &[i64])], columns: &[ServiceColumn]) -> InputPlan {
    InputPlan::fit(&signature(inputs), columns).unwrap()
}

#[track_caller]
fn refused(inputs: &[(&str, &str, &[i64])], columns: &[ServiceColumn], want: &str) {
    let misfit = InputPlan::fit(&signature(inputs), columns).unwrap_err().of_service("s");
    assert_eq!(misfit.to_string(), want);
    assert!(!misfit.hint().is_empty());
}

#[test]
fn one_matrix_takes_all_numbers_in_the_services_order() {
    let columns =
        [column("a", Dtype::Int64), column("b", Dtype::Bool), column("c", Dtype::Float64), column("d", Dtype::Uint8)];
    for shape in [&[-1, 4][..], &[-1, -1], &[1, 4]] {
        for datatype in ["FP32", "FP64"] {
            plan(&[("x", datatype, shape)], &columns);
        }
    }
    assert_eq!(plan(&[("x", "FP32", &[1, 4])], &columns).rows_max(), Some(1));
    assert_eq!(plan(&[("x", "FP32", &[-1, 4])], &columns).rows_max(), None);
    plan(&[("x", "INT64", &[-1, 2])], &columns[..2]);
}

#[test]
fn a_lone_column_may_be_a_matrix_or_an_input_of_its_name() {
    plan(&[("x", "FP32", &[-1, 1])], &float_columns(&["a"]));
    plan(&[("a", "FP32", &[-1, 1])], &float_columns(&["a"]));
    plan(&[("a", "FP32", &[-1])], &float_columns(&["a"]));
    plan(&[("a", "BYTES", &[-1, 1])], &[column("a", Dtype::String)]);
}

#[test]
fn refusals_name_both_sides() {
    let abc = float_columns(&["a", "b", "c"]);
    refused(
        &[("features", "FP32", &[-1, 7])],
        &abc,
        "model takes `features`: FP32[N, 7], service `s` gives 3 features (a, b, c)",
    );
    refused(
        &[("features", "BYTES", &[-1, 3])],
        &abc,
        "model takes `features`: BYTES[N, 3], service `s` gives 3 features (a, b, c)",
    );
    refused(
        &[("features", "FP32", &[4, 3])],
        &abc,
        "model takes `features`: FP32[4, 3] in batches of exactly 4, service `s` gives 3 features (a, b, c) for any number \
         of rows",
    );
    refused(&[("x", "FP32", &[])], &abc, "model takes `x`: FP32[], service `s` gives 3 features (a, b, c)");
    refused(&[], &abc, "model takes no inputs, service `s` gives 3 features (a, b, c)");
    refused(
        &[("x", "FP32", &[-1, 1])],
        &[column("when", Dtype::Timestamp)],
        "model takes `x`: FP32[N, 1], service `s` gives `when` as timestamp",
    );
    refused(
        &[("x", "INT64", &[-1, 1])],
        &[column("amount", Dtype::Float32)],
        "model takes `x`: INT64[N, 1], service `s` gives `amount` as float32",
    );
    refused(
        &[("a", "FP32", &[-1, 1]), ("z", "FP32", &[-1])],
        &abc,
        "model takes `z`: FP32[N], service `s` gives no feature of that name: 3 features (a, b, c)",
    );
    refused(
        &[("a", "FP32", &[-1]), ("b", "FP32", &[-1])],
        &abc,
        "model takes `a`: FP32[N], `b`: FP32[N], service `s` gives `c` as well",
    );
    refused(
        &[("a", "FP32", &[-1, 5]), ("b", "FP32", &[-1])],
        &abc,
        "model takes `a`: FP32[N, 5], service `s` gives one value a row as `a`",
    );
    refused(
        &[("a", "FP16", &[-1]), ("b", "FP32", &[-1])],
        &abc[..2],
        "model takes `a`: FP16[N], service `s` gives `a` as float32",
    );
}

#[test]
fn floats_take_every_number_and_integers_only_what_fits() {
    let takes = |datatype: &str| {
        let element = Element::parse(datatype).unwrap();
        let scalars = Dtype::all().filter(|dtype| !dtype.is_list() && element.takes(*dtype));
        scalars.map(|dtype| dtype.to_string()).collect::<Vec<_>>().join(" ")
    };
    let numbers = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64";
    assert_eq!(takes("FP32"), numbers);
    assert_eq!(takes("FP64"), numbers);
    assert_eq!(takes("INT32"), "bool int8 int16 int32 uint8 uint16");
    assert_eq!(takes("INT64"), "bool int8 int16 int32 int64 uint8 uint16 uint32");
    assert_eq!(takes("BOOL"), "bool");
    assert_eq!(takes("BYTES"), "string");
    assert_eq!(Element::parse("FP16"), None);
}

/// What the plan takes, it can write: every pair of datatype and dtype that fits, with the value 1.
#[test]
fn every_dtype_that_fits_is_written() {
    for datatype in ["FP32", "FP64", "INT32", "INT64", "BOOL", "BYTES"] {
        let element = Element::parse(datatype).unwrap();
        for dtype in Dtype::all().filter(|dtype| !dtype.is_list() && element.takes(*dtype)) {
            let one = match dtype {
                Dtype::Bool => Value::Bool(true),
                Dtype::String => Value::String("1".into()),
                Dtype::Float32 | Dtype::Float64 => Value::Float(1.0),
                _ => Value::Int(1),
            };
            let inputs = plan(&[("a", datatype, &[-1])], &[column("a", dtype)])
                .tensors(&[one.to_array(dtype, 2).unwrap()], 0..2)
                .unwrap();
            let text = match &inputs[0].data {
                TensorData::F32(data) => format!("{data:?}"),
                TensorData::F64(data) => format!("{data:?}"),
                TensorData::I32(data) => format!("{data:?}"),
                TensorData::I64(data) => format!("{data:?}"),
                TensorData::Bool(data) => format!("{data:?}"),
                TensorData::Text(data) => format!("{data:?}"),
                other => panic!("{other:?}"),
            };
            let want = match element {
                Element::Fp32 | Element::Fp64 => "[1.0, 1.0]",
                Element::Int32 | Element::Int64 => "[1, 1]",
                Element::Bool => "[true, true]",
                Element::Bytes => "[\"1\", \"1\"]",
            };
            assert_eq!(text, want, "{dtype} to {datatype}");
        }
    }
}

fn list(values: &[Option<f64>]) -> Value {
    Value::List(values.iter().map(|v| v.map_or(Value::Null, Value::Float)).collect())
}

fn cells(rows: &[Value], dtype: Dtype) -> ArrayRef {
    let rows: Vec<ArrayRef> = rows.iter().map(|row| row.to_array(dtype, 1).unwrap()).collect();
    arrow::compute::concat(&rows.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_fixed_list_is_an_input_of_its_name() {
    let embedding = Dtype::FixedList(Scalar::Float32, 3);
    let rows = [list(&[Some(1.0), Some(2.0), None]), Value::Null, list(&[Some(7.0), Some(8.0), Some(9.0)])];
    let columns = [cells(&rows, embedding)];
    for shape in [&[-1, 3][..], &[-1, -1]] {
        let plan = plan(&[("e", "FP32", shape)], &[column("e", embedding)]);
        assert_eq!(format!("{:?}", fp32(&plan.tensors(&columns, 0..2).unwrap())), "[1.0, 2.0, NaN, NaN, NaN, NaN]");
        let picked = plan.tensors(&columns, &[2, 0]).unwrap();
        assert_eq!(format!("{:?}", fp32(&picked)), "[7.0, 8.0, 9.0, 1.0, 2.0, NaN]");
        // A slice starts in the middle of its values.
        let slice = [columns[0].slice(2, 1)];
        assert_eq!(fp32(&plan.tensors(&slice, 0..1).unwrap()), [7.0, 8.0, 9.0]);
    }
    let refuse = |inputs: &[(&str, &str, &[i64])], want: &str| refused(inputs, &[column("e", embedding)], want);
    refuse(
        &[("e", "FP32", &[-1, 4])],
        "model takes `e`: FP32[N, 4], service `s` gives 1 feature (e) of 3 values together",
    );
    refuse(&[("e", "FP32", &[-1])], "model takes `e`: FP32[N], service `s` gives 3 values a row as `e`");
}

#[test]
fn a_matrix_takes_numbers_and_fixed_lists_side_by_side() {
    let pair = Dtype::FixedList(Scalar::Int8, 2);
    let service = [column("a", Dtype::Float32), column("e", pair), column("b", Dtype::Bool)];
    let a: ArrayRef = Arc::new(arrow::array::Float32Array::from(vec![0.5, 1.5]));
    let e = cells(
        &[Value::List(vec![Value::Int(1), Value::Int(2)]), Value::List(vec![Value::Int(3), Value::Int(4)])],
        pair,
    );
    let b: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    let plan = plan(&[("x", "FP32", &[-1, 4])], &service);
    let inputs = plan.tensors(&[a, e, b], 0..2).unwrap();
    assert_eq!(fp32(&inputs), [0.5, 1.0, 2.0, 1.0, 1.5, 3.0, 4.0, 0.0]);
}

#[test]
fn integers_take_no_null_lists_and_no_nulls_in_them() {
    let pair = Dtype::FixedList(Scalar::Int64, 2);
    let plan = plan(&[("e", "INT64", &[-1, 2])], &[column("e", pair)]);
    for missing in [Value::Null, Value::List(vec![Value::Int(1), Value::Null])] {
        let rows = cells(&[Value::List(vec![Value::Int(1), Value::Int(2)]), missing], pair);
        assert!(plan.tensors(&[Arc::clone(&rows)], 0..1).is_ok());
        let error = plan.tensors(&[rows], 0..2).unwrap_err();
        assert!(matches!(error, OnnxError::Null { row: 1, .. }), "{error}");
    }
}

#[test]
fn what_has_no_number_is_refused_with_advice() {
    for dtype in ["list<float32>", "decimal(10,2)", "duration", "json", "list<string, 3>", "list<decimal(10,2), 3>"] {
        let dtype = Dtype::parse(dtype).unwrap();
        let misfit = InputPlan::fit(&signature(&[("e", "FP32", &[-1, -1])]), &[column("e", dtype)]).unwrap_err();
        assert_eq!(misfit.gives, format!("`e` as {dtype}"));
        assert!(misfit.hint().len() > 20, "{}", misfit.hint());
    }
}

fn fp32(inputs: &[Tensor]) -> Vec<f32> {
    match &inputs[0].data {
        TensorData::F32(data) => data.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_are_written_row_by_row_in_the_order_asked() {
    let columns: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![1, 2, 3])), Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))];
    let plan = plan(&[("x", "FP32", &[-1, 2])], &[column("a", Dtype::Int64), column("b", Dtype::Bool)]);
    let inputs = plan.tensors(&columns, 1..3).unwrap();
    assert_eq!((inputs[0].name.as_ref(), inputs[0].shape.as_slice()), ("x", [2, 2].as_slice()));
    assert_eq!(format!("{:?}", fp32(&inputs)), "[2.0, NaN, 3.0, 0.0]");
    let inputs = plan.tensors(&columns, Rows::Take(&[2, 0, 0])).unwrap();
    assert_eq!(fp32(&inputs), [3.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
    let inputs = plan.tensors(&columns, Rows::Take(&[])).unwrap();
    assert_eq!((fp32(&inputs).len(), inputs[0].rows()), (0, 0));
}

#[test]
fn large_integers_round_to_the_nearest_float() {
    let columns: [ArrayRef; 2] = [
        Arc::new(Int64Array::from(vec![(1 << 24) + 1, i64::MIN])),
        Arc::new(UInt64Array::from(vec![u64::MAX, (1 << 24) + 3])),
    ];
    let plan = plan(&[("x", "FP32", &[-1, 2])], &[column("a", Dtype::Int64), column("b", Dtype::Uint64)]);
    let written = fp32(&plan.tensors(&columns, 0..2).unwrap());
    assert_eq!(written, [16_777_216.0, 18_446_744_073_709_551_616.0, -9_223_372_036_854_775_808.0, 16_777_220.0]);
}

#[test]
fn what_a_type_cannot_say_is_an_error_that_names_column_and_row() {
    let plan_of = |datatype: &str, dtype: Dtype| plan(&[("a", datatype, &[-1])], &[column("a", dtype)]);
    let nulls: [(&str, Dtype, ArrayRef); 4] = [
        ("INT64", Dtype::Int64, Arc::new(Int64Array::from(vec![Some(1), Some(1), None]))),
        ("INT32", Dtype::Int32, Arc::new(Int32Array::from(vec![Some(1), Some(1), None]))),
        ("BOOL", Dtype::Bool, Arc::new(BooleanArray::from(vec![Some(true), Some(true), None]))),
        ("BYTES", Dtype::String, Arc::new(StringArray::from(vec![Some("x"), Some("y"), None]))),
    ];
    for (datatype, dtype, array) in nulls {
        let plan = plan_of(datatype, dtype);
        assert!(plan.tensors(&[Arc::clone(&array)], 0..2).is_ok());
        let error = plan.tensors(&[array], Rows::Take(&[0, 2])).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("feature `a` is null in row 2, and the model takes it as {datatype}, which has no missing value")
        );
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.hint().as_deref(), Some("declare a `fill:` for `a` in the feature service"));
    }
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y\0z"]));
    let error = plan_of("BYTES", Dtype::String).tensors(&[texts], 0..2).unwrap_err();
    assert!(error.to_string().starts_with("feature `a` has a NUL character in row 1"), "{error}");
}

#[test]
fn columns_of_another_service_are_refused_not_read() {
    let plan = plan(&[("x", "FP32", &[-1, 1])], &float_columns(&["a"]));
    let short: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    for (columns, rows, want) in [
        (vec![], 0..0, "0 columns, expected 1"),
        (vec![Arc::clone(&short)], 0..2, "`a` has 1 rows, asked for row 1"),
        (vec![text], 0..1, "`a` is Utf8, expected Float32"),
    ] {
        let error = plan.tensors(&columns, rows).unwrap_err();
        assert_eq!(error.to_string(), format!("the columns are not the service's: {want}"));
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
