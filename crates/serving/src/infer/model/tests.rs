use super::*;
use crate::onnx::toy::{self, Graph, Node};
use crate::onnx::{Datatype, TensorData, TensorRow, inspect};

/// The model of a file, with so many sessions.
fn model_of(bytes: &[u8], n_sessions: usize) -> TensorModel {
    cached_model_of(bytes, n_sessions, 0)
}

/// That keeps so many bytes of answers.
pub(in crate::infer) fn cached_model_of(bytes: &[u8], n_sessions: usize, cache_bytes: usize) -> TensorModel {
    let runtime = toy::runtime();
    let signature = inspect(&runtime, bytes).unwrap().signature;
    let ports = |specs: &[schema::signature::TensorSpec]| specs.iter().map(|spec| Port::of(spec).unwrap()).collect();
    TensorModel::new(Parts {
        name: "m".parse().unwrap(),
        version: 3,
        digest: Fingerprint::of_bytes(bytes),
        inputs: ports(&signature.inputs),
        outputs: ports(&signature.outputs),
        labels: None,
        batching: None,
        rows_max: None,
        pool: SessionPool::load(&runtime, bytes, n_sessions).unwrap(),
        cache_bytes,
        statistics: Arc::default(),
    })
}

fn tensor(name: &str, shape: &[i64], data: TensorData) -> Tensor {
    Tensor { name: name.into(), shape: shape.to_vec(), data }
}

fn linear() -> TensorModel {
    model_of(&toy::file("linear"), 1)
}

fn row() -> Tensor {
    tensor("features", &[1, 3], TensorData::F32(vec![1.0, 2.0, 3.0]))
}

#[tokio::test]
async fn a_request_is_answered_and_counted() {
    let model = linear();
    let asked = model.ask(vec![row()], ["score"]).unwrap();
    let answered = model.infer(asked, Rank::NORMAL, None).await.unwrap();
    let score = &answered.outputs[0];
    assert_eq!((score.name.as_ref(), score.shape.as_slice()), ("score", [1, 1].as_slice()));
    assert!(score.row(0).same_bits(TensorRow::F32(&[toy::linear(&[1.0, 2.0, 3.0])])));
    assert!(matches!(model.ask(vec![], []), Err(InferError::Refused(Refused::Missing { .. }))));
    let counts = model.statistics().snapshot();
    assert_eq!((counts.rows, counts.runs, counts.success.count, counts.fail.count), (1, 1, 1, 1));
    assert!(counts.success.ns >= counts.infer.ns && counts.infer.ns > 0);
    assert!(counts.last_inference.is_some());
}

#[tokio::test]
async fn every_datatype_goes_in_and_comes_out() {
    use half::{bf16, f16};
    let texts = ["", "ä", "a much longer text than the others 🦀"].map(str::to_owned).to_vec();
    let all = [
        (9, TensorData::Bool(vec![true, false, true])),
        (2, TensorData::U8(vec![0, 1, u8::MAX])),
        (4, TensorData::U16(vec![0, 1, u16::MAX])),
        (12, TensorData::U32(vec![0, 1, u32::MAX])),
        (13, TensorData::U64(vec![0, (1 << 53) + 1, u64::MAX])),
        (3, TensorData::I8(vec![i8::MIN, 1, i8::MAX])),
        (5, TensorData::I16(vec![i16::MIN, 1, i16::MAX])),
        (6, TensorData::I32(vec![i32::MIN, 1, i32::MAX])),
        (7, TensorData::I64(vec![i64::MIN, (1 << 53) + 1, i64::MAX])),
        (10, TensorData::F16(vec![f16::from_f32(0.1), f16::NAN, f16::NEG_INFINITY])),
        (16, TensorData::Bf16(vec![bf16::from_f32(0.1), bf16::NAN, bf16::INFINITY])),
        (1, TensorData::F32(vec![0.1, f32::NAN, -0.0])),
        (11, TensorData::F64(vec![0.1, f64::NAN, f64::MAX])),
        (8, TensorData::Text(texts)),
    ];
    assert_eq!(all.len(), Datatype::ALL.len());
    for (element, data) in all {
        let graph = Graph::new().input("x", element, &[-1, 3]).node(Node::new("Identity", &["x"], &["y"]));
        let model = model_of(&graph.output("y", element, &[-1, 3]).model(), 1);
        let given = tensor("x", &[1, 3], data);
        let asked = model.ask(vec![given.clone()], []).unwrap();
        let answered = model.infer(asked, Rank::NORMAL, None).await.unwrap();
        let [y] = <[Tensor; 1]>::try_from(answered.outputs).unwrap();
        assert_eq!((y.datatype(), y.shape.as_slice()), (given.datatype(), [1, 3].as_slice()));
        assert!(y.row(0).same_bits(given.row(0)), "{}", y.datatype());
    }
}

#[tokio::test]
async fn tensors_may_be_empty_or_scalars() {
    let graph = Graph::new().input("x", toy::FLOAT, &[-1, -1]).input("s", toy::FLOAT, &[]);
    let graph = graph.node(Node::new("Mul", &["x", "s"], &["y"])).output("y", toy::FLOAT, &[-1, -1]);
    let model = model_of(&graph.model(), 1);
    assert_eq!(model.rows_max(), None, "a scalar has no rows");
    for (shape, data) in [(&[0, 5][..], vec![]), (&[2, 0], vec![]), (&[1, 2], vec![3.0, -4.0])] {
        let doubled: Vec<f32> = data.iter().map(|x| x * 2.0).collect();
        let inputs = vec![tensor("x", shape, TensorData::F32(data)), tensor("s", &[], TensorData::F32(vec![2.0]))];
        let answered = model.infer(model.ask(inputs, []).unwrap(), Rank::NORMAL, None).await.unwrap();
        assert_eq!(answered.outputs[0].shape, shape);
        assert!(matches!(&answered.outputs[0].data, TensorData::F32(y) if *y == doubled));
    }
}

#[tokio::test]
async fn what_a_model_refuses_is_the_clients_mistake() {
    let graph = Graph::new().input("at", toy::INT64, &[-1, 1]).floats("table", &[2], &[0.5, 1.5]);
    let graph = graph.node(Node::new("Gather", &["table", "at"], &["y"])).output("y", toy::FLOAT, &[-1, 1]);
    let model = model_of(&graph.model(), 1);
    let asked = model.ask(vec![tensor("at", &[1, 1], TensorData::I64(vec![7]))], []).unwrap();
    let why = model.infer(asked, Rank::NORMAL, None).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Invalid);
    assert_eq!(why.to_string(), "running model 'm' version 3");
    assert_eq!(model.statistics().snapshot().fail.count, 1);
}

#[tokio::test]
async fn a_version_is_warm_when_it_is_made() {
    let model = linear();
    assert_eq!(model.rows_max(), Some(ROWS_MAX));
    assert!(model.batch().is_some_and(|rows| rows > 1), "a run costs more than a row: {:?}", model.batch());
    assert_eq!(model.statistics().snapshot(), Statistics::default().snapshot(), "nobody asked for anything");
    let depends = model_of(&toy::file("batch_mean"), 1);
    assert_eq!((depends.rows_max(), depends.batch()), (None, None));
}
