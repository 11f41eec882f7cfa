use super::*;
use crate::onnx::TensorData;

fn port(name: &str, datatype: Datatype, shape: &[i64]) -> Port {
    Port { name: name.into(), datatype, shape: shape.to_vec() }
}

fn takes() -> Takes {
    Takes {
        model: "m".to_owned(),
        inputs: vec![port("a", Datatype::Fp32, &[-1, 2]), port("b", Datatype::Bytes, &[-1, 1])],
        outputs: vec![port("y", Datatype::Fp32, &[-1, 1]), port("z", Datatype::Int64, &[-1])],
        rows_max: Some(4),
    }
}

fn floats(name: &str, shape: &[i64], n: usize) -> Tensor {
    Tensor { name: name.into(), shape: shape.to_vec(), data: TensorData::F32(vec![0.5; n]) }
}

fn texts(name: &str, shape: &[i64], texts: &[&str]) -> Tensor {
    let texts = texts.iter().map(|text| (*text).to_owned()).collect();
    Tensor { name: name.into(), shape: shape.to_vec(), data: TensorData::Text(texts) }
}

#[track_caller]
fn refused(inputs: Vec<Tensor>, outputs: &[&str], why: &str) {
    let found = takes().check(inputs, outputs.iter().copied()).unwrap_err();
    assert_eq!(found.to_string(), why);
    assert_eq!(found.kind(), ErrorKind::Invalid);
}

#[test]
fn a_request_is_brought_into_the_models_order() {
    let asked = takes().check(vec![texts("b", &[1, 1], &["t"]), floats("a", &[1, 2], 2)], ["z", "y"]).unwrap();
    let names: Vec<&str> = asked.inputs.iter().map(|tensor| tensor.name.as_ref()).collect();
    assert_eq!((names, asked.outputs, asked.rows), (vec!["a", "b"], vec![1, 0], 1));
    let all = takes().check(vec![floats("a", &[2, 2], 4), texts("b", &[2, 1], &["t", ""])], []).unwrap();
    assert_eq!((all.outputs, all.rows), (vec![0, 1], 2));
}

#[test]
fn what_is_wrong_is_told_in_the_words_that_clients_know() {
    let a = || floats("a", &[1, 2], 2);
    let b = || texts("b", &[1, 1], &["t"]);
    refused(
        vec![b()],
        &[],
        "expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['b'], but missing required input(s) ['a']. \
         Please provide all required input(s).",
    );
    refused(vec![a(), b(), floats("c", &[1], 1)], &[], "unexpected inference input 'c' for model 'm'");
    refused(vec![a(), b(), a()], &[], "input 'a' already exists in request");
    refused(
        vec![texts("a", &[1, 2], &["t", "u"]), b()],
        &[],
        "inference input 'a' data-type is 'BYTES', but model 'm' expects 'FP32'",
    );
    refused(
        vec![floats("a", &[1, 3], 3), b()],
        &[],
        "unexpected shape for input 'a' for model 'm'. Expected [-1,2], got [1,3]",
    );
    refused(vec![floats("a", &[1, 2], 3), b()], &[], "input 'a' has 3 elements, its shape [1,2] has 2");
    refused(vec![floats("a", &[-1, 2], 2), b()], &[], "shape [-1,2] of input 'a' has a negative dimension");
    refused(
        vec![a(), texts("b", &[2, 1], &["t", "u"])],
        &[],
        "input 'b' batch size does not match other inputs for 'm': 2 rows, expected 1",
    );
    let rows = |n: i64, count: usize| vec![floats("a", &[n, 2], 2 * count), texts("b", &[n, 1], &vec!["t"; count])];
    refused(rows(5, 5), &[], "inference request batch-size must be <= 4 for 'm'");
    assert_eq!(takes().check(rows(0, 0), []).unwrap().rows, 0, "nothing is answered with nothing");
    refused(vec![a(), b()], &["q"], "unexpected inference output 'q' for model 'm'");
    refused(vec![a(), b()], &["y", "y"], "output 'y' already requested");
    refused(
        vec![a(), texts("b", &[1, 1], &["a\0b"])],
        &[],
        "input 'b' has a NUL character in element 0, which ONNX Runtime would end the text at",
    );
}

#[test]
fn products_that_wrap_are_refused() {
    let count = |shape: &[i64], datatype| elements("x", shape, datatype);
    assert_eq!(count(&[2, 3], Datatype::Fp64), Ok(6));
    assert_eq!(count(&[], Datatype::Fp64), Ok(1));
    assert_eq!(count(&[0, 3], Datatype::Fp64), Ok(0));
    // 2^4 * (2^60 + 2) is 32 in 64 bits.
    for shape in [&[1 << 4, (1 << 60) + 2][..], &[i64::MAX, i64::MAX, 0], &[1 << 29], &[0, 1 << 40]] {
        let why = count(shape, Datatype::Fp64).unwrap_err().to_string();
        assert!(why.contains("causes total element count to exceed maximum size"), "{shape:?}: {why}");
    }
    assert_eq!(count(&[1 << 28], Datatype::Fp32).map_err(|why| why.to_string()), Ok(1 << 28));
    assert!(count(&[1 << 29], Datatype::Bytes).is_err());
}

#[test]
fn a_model_that_takes_shapes_as_they_are_has_one_row() {
    let takes = Takes { rows_max: None, ..takes() };
    let asked = takes.check(vec![floats("a", &[9, 2], 18), texts("b", &[1, 1], &["t"])], []).unwrap();
    assert_eq!(asked.rows, 1);
}
