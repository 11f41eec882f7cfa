use super::*;
use crate::infer::model::TensorModel;
use crate::infer::model::tests::cached_model_of;
use crate::infer::{InferError, Rank};
use crate::onnx::TensorData;
use crate::onnx::toy::{self, Graph, Node};

fn x(shape: &[i64], data: TensorData) -> Tensor {
    Tensor { name: "x".into(), shape: shape.to_vec(), data }
}

/// Doubles.
fn doubles(cache_bytes: usize) -> TensorModel {
    let graph = Graph::new().input("x", toy::FLOAT, &[-1, 1]).node(Node::new("Add", &["x", "x"], &["y"]));
    cached_model_of(&graph.output("y", toy::FLOAT, &[-1, 1]).model(), 1, cache_bytes)
}

async fn asks(model: &TensorModel, numbers: Vec<f32>) -> Result<Vec<f32>, InferError> {
    let rows = i64::try_from(numbers.len()).unwrap();
    let asked = model.ask(vec![x(&[rows, 1], TensorData::F32(numbers))], []).unwrap();
    match &model.infer(asked, Rank::NORMAL, None).await?.outputs[0].data {
        TensorData::F32(y) => Ok(y.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_request_is_run_once() {
    let model = doubles(1 << 20);
    for _ in 0..3 {
        assert_eq!(asks(&model, vec![1.5, -2.0]).await.unwrap(), [3.0, -4.0]);
    }
    assert_eq!(asks(&model, vec![-2.0, 1.5]).await.unwrap(), [-4.0, 3.0]);
    let counts = model.statistics().snapshot();
    assert_eq!((counts.runs, counts.success.count, counts.rows), (2, 4, 8));
    assert_eq!((counts.cache_hit.count, counts.cache_miss.count, counts.infer.count), (2, 2, 2));
    // Without a cache each is run.
    let model = doubles(0);
    assert_eq!(model.is_cached(), None);
    for _ in 0..3 {
        asks(&model, vec![1.5]).await.unwrap();
    }
    assert_eq!(model.statistics().snapshot().runs, 3);
}

#[tokio::test]
async fn a_version_whose_answers_depend_on_company_keeps_none() {
    let model = cached_model_of(&toy::file("batch_mean"), 1, 1 << 20);
    assert_eq!(model.is_cached(), None);
}

#[tokio::test]
async fn what_failed_is_tried_again() {
    let graph = Graph::new().input("x", toy::INT64, &[-1, 1]).floats("table", &[4], &[0.5, 1.5, 2.5, 3.5]);
    let graph = graph.node(Node::new("Gather", &["table", "x"], &["y"])).output("y", toy::FLOAT, &[-1, 1]);
    let model = cached_model_of(&graph.model(), 1, 1 << 20);
    for _ in 0..2 {
        let asked = model.ask(vec![x(&[1, 1], TensorData::I64(vec![99]))], []).unwrap();
        assert!(model.infer(asked, Rank::NORMAL, None).await.is_err());
    }
    let counts = model.statistics().snapshot();
    assert_eq!((counts.fail.count, counts.cache_hit.count, counts.cache_miss.count), (2, 0, 0));
}

#[test]
fn requests_that_differ_in_anything_have_other_keys() {
    let asked = |inputs: Vec<Tensor>, outputs: &[usize]| key(&Asked { inputs, outputs: outputs.to_vec(), rows: 1 });
    let text = |texts: &[&str]| TensorData::Text(texts.iter().map(|text| (*text).to_owned()).collect());
    let floats = |numbers: &[f32]| TensorData::F32(numbers.to_vec());
    let quiet = f32::from_bits(0x7fc0_0001);
    let keys = [
        asked(vec![x(&[1, 2], floats(&[0.0, 1.0]))], &[0]),
        asked(vec![x(&[2, 1], floats(&[0.0, 1.0]))], &[0]),
        asked(vec![x(&[1, 2], floats(&[-0.0, 1.0]))], &[0]),
        asked(vec![x(&[1, 2], floats(&[f32::NAN, 1.0]))], &[0]),
        asked(vec![x(&[1, 2], floats(&[quiet, 1.0]))], &[0]),
        asked(vec![x(&[1, 2], floats(&[0.0, 1.0]))], &[1]),
        asked(vec![x(&[1, 2], floats(&[0.0, 1.0]))], &[0, 1]),
        asked(vec![x(&[1, 2], floats(&[0.0, 1.0]))], &[1, 0]),
        asked(vec![x(&[1, 1], floats(&[0.0])), x(&[1, 1], floats(&[1.0]))], &[0]),
        // The same bytes, of other types.
        asked(vec![x(&[1, 2], TensorData::I32(vec![0, 0x3f80_0000]))], &[0]),
        asked(vec![x(&[1, 2], TensorData::U32(vec![0, 0x3f80_0000]))], &[0]),
        asked(vec![x(&[1, 1], TensorData::I64(vec![0x3f80_0000_0000_0000]))], &[0]),
        asked(vec![x(&[1, 2], TensorData::Bool(vec![false, true]))], &[0]),
        asked(vec![x(&[1, 2], TensorData::U8(vec![0, 1]))], &[0]),
        asked(vec![x(&[1, 2], text(&["ab", "c"]))], &[0]),
        asked(vec![x(&[1, 2], text(&["a", "bc"]))], &[0]),
        asked(vec![x(&[1, 2], text(&["", "abc"]))], &[0]),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(keys[..at].iter().all(|other| other != key), "number {at}");
    }
    assert_eq!(keys[0], asked(vec![x(&[1, 2], floats(&[0.0, 1.0]))], &[0]));
}

#[test]
fn answers_take_no_more_than_they_may() {
    let cache = ResponseCache::of_bytes(64 << 10);
    for at in 0..10_000_u16 {
        let mut key = Key::default();
        key[..2].copy_from_slice(&at.to_le_bytes());
        cache.keep(key, Duration::ZERO, &[x(&[1, 16], TensorData::F32(vec![0.5; 16]))]);
    }
    assert!(cache.answers.weight() <= 64 << 10, "{} bytes", cache.answers.weight());
    assert!(cache.answers.len() > 50, "{} answers", cache.answers.len());
}

#[tokio::test]
async fn where_nothing_is_asked_twice_it_turns_itself_off() {
    // It is full soon.
    let model = doubles(16 << 10);
    for n in 0..3_000_u16 {
        asks(&model, vec![f32::from(n)]).await.unwrap();
    }
    assert_eq!(model.is_cached(), Some(false));
    let counts = model.statistics().snapshot();
    assert_eq!((counts.cache_hit.count, counts.success.count, counts.runs), (0, 3_000, 3_000));
    assert!(counts.cache_miss.count < 2_100, "{}", counts.cache_miss.count);
    // Nothing is looked up while it rests.
    asks(&model, vec![2_999.0]).await.unwrap();
    assert_eq!(model.statistics().snapshot().runs, 3_001);
}
