use super::*;
use crate::oip::messages::infer::{Contents, Parameter, ParameterChoice, RequestedOutput};

fn input(datatype: &str, shape: &[i64], contents: Option<Contents>) -> wire::Tensor {
    let (name, datatype) = ("x".to_owned(), datatype.to_owned());
    wire::Tensor { name, datatype, shape: shape.to_vec(), parameters: Parameters::new(), contents }
}

fn asked(inputs: Vec<wire::Tensor>, raw: Vec<&'static [u8]>) -> ModelInferRequest {
    let raw = raw.into_iter().map(prost::bytes::Bytes::from_static).collect();
    ModelInferRequest { inputs, raw, ..ModelInferRequest::default() }
}

#[track_caller]
fn refused(inputs: Vec<wire::Tensor>, raw: Vec<&'static [u8]>, why: &str) {
    assert_eq!(request(asked(inputs, raw), None).unwrap_err(), Refusal::invalid(why));
}

#[test]
fn elements_are_raw_or_in_the_field_of_their_type() {
    let typed = request(
        asked(vec![input("INT8", &[2], Some(Contents { ints: vec![-128, 127], ..Contents::default() }))], vec![]),
        None,
    );
    assert!(matches!(&typed.unwrap().inputs[0].data, TensorData::I8(data) if *data == [-128, 127]));
    let raw = request(asked(vec![input("UINT16", &[1, 2], None)], vec![&[1, 0, 0, 1]]), None).unwrap();
    assert!(matches!(&raw.inputs[0].data, TensorData::U16(data) if *data == [1, 256]));
    // Empty contents beside raw ones say nothing.
    let both = input("UINT8", &[1], Some(Contents::default()));
    assert!(request(asked(vec![both], vec![&[7]]), None).is_ok());
}

#[test]
fn what_is_mixed_or_does_not_fit_is_refused() {
    let floats = |n| Some(Contents { fp32s: vec![0.5; n], ..Contents::default() });
    refused(
        vec![input("FP32", &[1], None), input("FP32", &[1], None)],
        vec![&[0; 4]],
        "expected number of raw inputs to be 2 (one for each input, and no contents), got 1",
    );
    refused(
        vec![input("FP32", &[1], floats(1))],
        vec![&[0; 4]],
        "contents field must not be specified when using raw_input_contents for 'x'",
    );
    refused(vec![input("FP32", &[2], floats(1))], vec![], "unexpected number of elements 1 for input 'x', expecting 2");
    refused(vec![input("FP32", &[1], None)], vec![], "unexpected number of elements 0 for input 'x', expecting 1");
    refused(
        vec![input("INT64", &[1], floats(1))],
        vec![],
        "input 'x' is INT64 and has fp32_contents: its elements are int64_contents",
    );
    refused(vec![input("FP16", &[0], None)], vec![], "input 'x' is FP16, which is sent in raw_input_contents alone");
    refused(
        vec![input("INT8", &[1], Some(Contents { ints: vec![128], ..Contents::default() }))],
        vec![],
        "element 0 of input 'x' is 128, which INT8 has not",
    );
    refused(vec![input("FLOAT", &[1], None)], vec![], "input 'x' has the datatype 'FLOAT', which is none");
    refused(vec![input("FP32", &[-1], floats(1))], vec![], "shape [-1] of input 'x' has a negative dimension");
    let wraps = request(asked(vec![input("INT64", &[1 << 4, (1 << 60) + 2], None)], vec![]), None).unwrap_err();
    assert!(wraps.message.contains("causes total element count to exceed"), "{}", wraps.message);
    refused(
        vec![input("BYTES", &[1], Some(Contents { bytes: vec![vec![255]], ..Contents::default() }))],
        vec![],
        "element 0 of input 'x' is no UTF-8, and ONNX has no other strings",
    );
}

#[test]
fn parameters_are_read_from_any_number() {
    let number = |choice| Parameter { choice: Some(choice) };
    let mut asked = asked(vec![], vec![]);
    asked.parameters.insert("priority".to_owned(), number(ParameterChoice::Uint64(2)));
    asked.parameters.insert("timeout".to_owned(), number(ParameterChoice::Double(1000.0)));
    asked.parameters.insert("mine".to_owned(), Parameter { choice: None });
    let parameters = Parameters::from([("classification".to_owned(), number(ParameterChoice::Int64(3)))]);
    asked.outputs.push(RequestedOutput { name: "y".to_owned(), parameters });
    let request = request(asked, None).unwrap();
    assert_eq!((request.options.priority, request.options.timeout.unwrap().as_micros()), (2, 1000));
    assert_eq!(request.outputs, [Output { name: "y".to_owned(), is_binary: None, classes: Some(3) }]);
}
