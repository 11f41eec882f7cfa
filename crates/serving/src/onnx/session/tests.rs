use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::Float32Type;
use schema::{Dtype, ErrorKind, Scalar};

use super::*;
use crate::onnx::toy::{self, FLOAT, Graph, INT64, Node, STRING};
use crate::onnx::{TensorData, TensorRow};

fn session(model: &[u8]) -> ModelSession {
    ModelSession::load(&toy::runtime(), model, 1, &SessionOptions::default()).unwrap().remove(0)
}

#[test]
fn rows_get_the_models_answers() {
    let model = toy::file("linear");
    let rows: [&[f32]; 3] = [&[1.0, 2.0, 3.0], &[-4.0, 0.5, 0.25], &[8.0, -1.0, 1.5]];
    let (mut session, plan, columns) = (session(&model), toy::plan(&model, &["a", "b", "c"]), toy::floats(&rows));
    let wanted: Vec<f32> = rows.iter().map(|row| toy::linear(row)).collect();
    let outputs = session.run(&plan, &columns, 0..3).unwrap();
    assert_eq!(toy::scores(&outputs), wanted);
    assert_eq!((outputs.columns[0].datatype().as_str(), outputs.columns[0].shape.as_slice()), ("FP32", &[3, 1][..]));
    for (row, want) in wanted.iter().enumerate() {
        assert_eq!(toy::scores(&session.run(&plan, &columns, row..row + 1).unwrap()), [*want]);
    }
}

/// An embedding is the matrix itself: no column for each of its numbers.
#[test]
fn a_fixed_list_is_a_models_whole_input() {
    let model = toy::file("linear");
    let embedding = [toy::column("embedding", Dtype::FixedList(Scalar::Float32, 3))];
    let plan = InputPlan::fit(&inspect(&toy::runtime(), &model).unwrap().signature, &embedding).unwrap();
    let rows: [[f32; 3]; 2] = [[1.0, 2.0, 3.0], [-4.0, 0.5, 0.25]];
    let lists = rows.iter().map(|row| Some(row.iter().map(|v| Some(*v)).collect::<Vec<_>>()));
    let lists: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(lists, 3));
    let outputs = session(&model).run(&plan, &[lists], 0..2).unwrap();
    assert_eq!(toy::scores(&outputs), rows.map(|row| toy::linear(&row)));
}

#[test]
fn two_inputs_are_fed_by_name_whatever_the_order() {
    let model = toy::file("two_inputs");
    let columns = [toy::column("avg_order_value", Dtype::Float64), toy::column("total_orders", Dtype::Int64)];
    let plan = InputPlan::fit(&inspect(&toy::runtime(), &model).unwrap().signature, &columns).unwrap();
    let arrays: [ArrayRef; 2] = [Arc::new(Float64Array::from(vec![2.5, 8.0])), Arc::new(Int64Array::from(vec![3, 0]))];
    let outputs = session(&model).run(&plan, &arrays, 0..2).unwrap();
    assert_eq!(toy::scores(&outputs), [0.5 * 3.0 - 0.25 * 2.5 + 0.125, -0.25 * 8.0 + 0.125]);
}

#[test]
fn texts_go_in_and_come_out() {
    let graph = Graph::new().input("word", STRING, &[-1, 1]).node(Node::new("Identity", &["word"], &["same"]));
    let model = graph.output("same", STRING, &[-1, 1]).model();
    let columns = [toy::column("word", Dtype::String)];
    let plan = InputPlan::fit(&inspect(&toy::runtime(), &model).unwrap().signature, &columns).unwrap();
    let words: ArrayRef = Arc::new(StringArray::from(vec!["a", "", "ß", "😀"]));
    let outputs = session(&model).run(&plan, &[words], &[3, 1, 2]).unwrap();
    let TensorData::Text(texts) = &outputs.columns[0].data else { panic!("{outputs:?}") };
    assert_eq!(texts, &["😀", "", "ß"]);
}

#[test]
fn an_output_that_is_not_row_by_row_is_an_error_that_says_so() {
    let sum = Node::new("ReduceSum", &["x"], &["y"]).int("keepdims", 0);
    let model = Graph::new().input("x", FLOAT, &[-1, 2]).node(sum).output("y", FLOAT, &[]).model();
    let error = session(&model).run(&toy::plan(&model, &["a", "b"]), &toy::floats(&[&[1.0, 2.0]]), 0..1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "output `y` has shape [] for 1 row(s): its first dimension must be the number of rows"
    );
}

#[test]
fn a_value_that_the_model_refuses_is_told_in_one_line() {
    let model = gather();
    let columns = [toy::column("at", Dtype::Int64)];
    let plan = InputPlan::fit(&inspect(&toy::runtime(), &model).unwrap().signature, &columns).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 7]));
    let mut session = session(&model);
    let outputs = session.run(&plan, &[Arc::clone(&numbers)], 0..1).unwrap();
    assert!(outputs.columns[0].row(0).same_bits(TensorRow::F32(&[20.0])));
    let error = session.run(&plan, &[numbers], 0..2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "running the model on 2 row(s): indices element out of data bounds, idx=7 must be within the inclusive range [-3,2]"
    );
}

/// Looks a number up in a table of three.
fn gather() -> Vec<u8> {
    Graph::new()
        .input("at", INT64, &[-1])
        .floats("table", &[3], &[10.0, 20.0, 30.0])
        .node(Node::new("Gather", &["table", "at"], &["found"]))
        .output("found", FLOAT, &[-1])
        .model()
}
