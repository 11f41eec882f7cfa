use proptest::prelude::*;
use serde_json::{Value as Json, json};
use serving::onnx::TensorRow;

use super::*;
use crate::http::oip::lenient::strict;

fn elements(datatype: Datatype, n: usize, json: &str) -> Result<TensorData, String> {
    read("x", datatype, n, &strict(json)).map_err(|why| why.message)
}

#[track_caller]
fn check(datatype: Datatype, json: &str, want: TensorRow<'_>) {
    let data = elements(datatype, want.len(), json).unwrap();
    let tensor = serving::onnx::Tensor { name: "x".into(), shape: vec![1], data };
    assert!(tensor.elements().same_bits(want), "{json}: {:?}", tensor.data);
}

#[track_caller]
fn refused(datatype: Datatype, n: usize, json: &str, why: &str) {
    assert_eq!(elements(datatype, n, json).unwrap_err(), why, "{json}");
}

#[test]
fn lists_of_any_nesting_are_the_same_elements() {
    for json in ["[1,2,3,4]", "[[1,2],[3,4]]", "[[[1],[2]],[[3],[4]]]", " [ [1 , 2] ,\n[3, 4] ] ", "[[1,2,3],[4],[]]"] {
        check(Datatype::Int32, json, TensorRow::I32(&[1, 2, 3, 4]));
    }
    check(Datatype::Fp32, "[]", TensorRow::F32(&[]));
}

#[test]
fn integers_are_exact_and_in_range() {
    check(Datatype::Uint64, "[18446744073709551615, 0, -0]", TensorRow::U64(&[u64::MAX, 0, 0]));
    check(Datatype::Int64, "[-9223372036854775808, 9007199254740993]", TensorRow::I64(&[i64::MIN, (1 << 53) + 1]));
    check(Datatype::Int8, "[-128, 127, 1.0]", TensorRow::I8(&[-128, 127, 1]));
    refused(Datatype::Int8, 1, "[128]", "element 0 of input 'x' is 128, which INT8 has not");
    refused(Datatype::Uint8, 2, "[1, -1]", "element 1 of input 'x' is -1, which UINT8 has not");
    refused(Datatype::Int32, 1, "[1.5]", "element 0 of input 'x' is 1.5, which INT32 has not");
    refused(Datatype::Int32, 1, "[null]", "element 0 of input 'x' is null, which INT32 has not");
    refused(Datatype::Int32, 1, "[\"1\"]", "element 0 of input 'x' is \"1\", which INT32 has not");
    refused(Datatype::Int64, 1, "[true]", "element 0 of input 'x' is true, which INT64 has not");
}

#[test]
fn floats_are_rounded_once_and_may_be_what_json_lacks() {
    // Halfway between two floats of 32 bits as a double, and not as it is written.
    check(Datatype::Fp32, "[1.00000005960464477539062500001]", TensorRow::F32(&[1.000_000_1]));
    check(Datatype::Fp32, "[0.1, 1, -0.0]", TensorRow::F32(&[0.1, 1.0, -0.0]));
    let lacking = [f64::NAN, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    check(Datatype::Fp64, "[null, NaN, Infinity, -Infinity]", TensorRow::F64(&lacking));
    refused(Datatype::Fp32, 1, "[1e39]", "element 0 of input 'x' is 1e39, which FP32 has not");
    refused(Datatype::Fp64, 1, "[-1e999]", "element 0 of input 'x' is -1e999, which FP64 has not");
    refused(Datatype::Fp64, 1, "[\"NaN\"]", "element 0 of input 'x' is \"NaN\", which FP64 has not");
    refused(Datatype::Fp64, 1, "[false]", "element 0 of input 'x' is false, which FP64 has not");
}

#[test]
fn texts_and_truths_are_themselves() {
    let texts = ["a\"b", "ä🦀", "", "NaN", "[1,2]"].map(str::to_owned);
    check(Datatype::Bytes, r#"["a\"b", "\u00e4🦀", "", "NaN", "[1,2]"]"#, TensorRow::Text(&texts));
    check(Datatype::Bool, "[true,false]", TensorRow::Bool(&[true, false]));
    refused(Datatype::Bool, 1, "[1]", "element 0 of input 'x' is 1, which BOOL has not");
    refused(Datatype::Bytes, 1, "[7]", "element 0 of input 'x' is 7, which BYTES has not");
    refused(Datatype::Fp16, 1, "[1]", "input 'x' is FP16, which JSON has no numbers for: send it as binary data");
}

#[test]
fn what_is_no_list_of_so_many_is_refused() {
    refused(Datatype::Fp32, 2, "[1]", "unexpected number of elements 1 for input 'x', expecting 2");
    refused(Datatype::Fp32, 2, "[1,2,3]", "unexpected number of elements for input 'x': more than 2");
    refused(Datatype::Fp32, 1, "1", "the data of input 'x' is no list");
    refused(Datatype::Fp32, 1, "{}", "the data of input 'x' is no list");
    refused(Datatype::Fp32, 1, "[{\"a\":1}]", "the data of input 'x' has an object in it");
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(elements(Datatype::Fp32, 1, &nested(100)).is_ok());
    for depth in [101, 250_000] {
        refused(Datatype::Fp32, 1, &nested(depth), "the data of input 'x' is nested deeper than 100 lists");
    }
    // What is claimed is not what is allocated.
    refused(
        Datatype::Uint8,
        usize::MAX,
        "[1]",
        &format!("unexpected number of elements 1 for input 'x', expecting {}", usize::MAX),
    );
}

/// Any JSON of lists and scalars.
fn jsons() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        Just(json!({"a": [1]})),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| proptest::collection::vec(inner, 0..6).prop_map(Json::from))
}

fn flat<'j>(json: &'j Json, out: &mut Vec<&'j Json>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| flat(item, out)),
        other => out.push(other),
    }
}

proptest! {
    /// What the whole JSON says, element by element, is what is read.
    #[test]
    fn texts_are_found_as_a_whole_parser_finds_them(json in jsons()) {
        let mut scalars = Vec::new();
        flat(&json, &mut scalars);
        let want: Option<Vec<String>> = scalars.iter().map(|scalar| scalar.as_str().map(str::to_owned)).collect();
        let found = read("x", Datatype::Bytes, scalars.len(), &json.to_string());
        match (want, found) {
            (Some(want), Ok(TensorData::Text(found))) => prop_assert_eq!(found, want),
            (None, Err(_)) => {}
            // A text alone is no list.
            (Some(_), Err(_)) => prop_assert!(!json.is_array()),
            (want, found) => prop_assert!(false, "{want:?} {found:?}"),
        }
    }

    #[test]
    fn doubles_come_back(values in proptest::collection::vec(any::<f64>().prop_filter("finite", |x| x.is_finite()), 0..20)) {
        let json = serde_json::to_string(&values).unwrap();
        let Ok(TensorData::F64(found)) = read("x", Datatype::Fp64, values.len(), &json) else { panic!("{json}") };
        let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&found), bits(&values));
    }

    /// Whatever stands there, it is read or refused.
    #[test]
    fn no_text_is_too_strange(text in "\\PC*", at in 0_usize..14) {
        let _ = elements(Datatype::ALL[at], 3, &format!("[{text}]"));
    }
}
