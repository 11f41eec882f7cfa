use tokio::task::JoinSet;

use super::super::model::{Parts as ModelParts, TensorModel};
use super::super::{Port, Statistics};
use super::*;
use crate::onnx::toy::{self, Graph, Node};
use crate::onnx::{TensorData, inspect};

/// A model of `x` with one session.
fn model(bytes: &[u8], batching: Option<bool>) -> Arc<TensorModel> {
    let signature = inspect(&toy::runtime(), bytes).unwrap().signature;
    let ports = |specs: &[schema::signature::TensorSpec]| specs.iter().map(|spec| Port::of(spec).unwrap()).collect();
    Arc::new(TensorModel::new(ModelParts {
        name: "m".parse().unwrap(),
        version: 1,
        digest: schema::Fingerprint::of_bytes(bytes),
        inputs: ports(&signature.inputs),
        outputs: ports(&signature.outputs),
        labels: None,
        batching,
        rows_max: None,
        pool: SessionPool::load(&toy::runtime(), bytes, 1).unwrap(),
        cache_bytes: 0,
        statistics: Arc::<Statistics>::default(),
    }))
}

/// Doubles.
fn doubles() -> Vec<u8> {
    let graph = Graph::new().input("x", toy::FLOAT, &[-1, 1]).node(Node::new("Add", &["x", "x"], &["y"]));
    graph.output("y", toy::FLOAT, &[-1, 1]).model()
}

/// What is at a place of a table of four.
fn table() -> Vec<u8> {
    let graph = Graph::new().input("x", toy::INT64, &[-1, 1]).floats("table", &[4], &[0.5, 1.5, 2.5, 3.5]);
    graph.node(Node::new("Gather", &["table", "x"], &["y"])).output("y", toy::FLOAT, &[-1, 1]).model()
}

async fn asks(model: &TensorModel, rows: &[f32], deadline: Option<Instant>) -> Result<Vec<f32>, InferError> {
    let shape = vec![i64::try_from(rows.len()).unwrap(), 1];
    answers(model, Tensor { name: "x".into(), shape, data: TensorData::F32(rows.to_vec()) }, deadline).await
}

async fn answers(model: &TensorModel, x: Tensor, deadline: Option<Instant>) -> Result<Vec<f32>, InferError> {
    let answered = model.infer(model.ask(vec![x], []).unwrap(), Rank::NORMAL, deadline).await?;
    match &answered.outputs[0].data {
        TensorData::F32(y) => Ok(y.clone()),
        other => panic!("{other:?}"),
    }
}

/// Waits until so many wait: with them, whoever is asked to is in the queue.
async fn until_waiting(model: &TensorModel, n: usize) {
    while model.waiting() < n {
        tokio::task::yield_now().await;
    }
}

async fn until_empty(model: &TensorModel) {
    while model.waiting() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_waits_for_a_session_shares_the_next_run() {
    let model = model(&doubles(), None);
    let busy = model.pool().checkout().await;
    let mut asking = JoinSet::new();
    for x in 0..10_u8 {
        let model = Arc::clone(&model);
        asking.spawn(async move { (f32::from(x), asks(&model, &[f32::from(x), 100.0], None).await.unwrap()) });
    }
    until_waiting(&model, 10).await;
    drop(busy);
    for (x, answer) in asking.join_all().await {
        assert_eq!(answer, [2.0 * x, 200.0]);
    }
    let counts = model.statistics().snapshot();
    assert_eq!((counts.rows, counts.success.count), (20, 10));
    assert!(counts.runs < 10, "{} runs for 10 requests", counts.runs);
    assert!(counts.queue.ns > 0);
}

#[tokio::test]
async fn of_a_batch_only_the_row_that_fails_fails() {
    let model = model(&table(), None);
    assert!(model.batch().is_some());
    let busy = model.pool().checkout().await;
    let mut asking = JoinSet::new();
    for at in [0, 1, 99, 3] {
        let model = Arc::clone(&model);
        let x = Tensor { name: "x".into(), shape: vec![1, 1], data: TensorData::I64(vec![at]) };
        asking.spawn(async move { (at, answers(&model, x, None).await) });
    }
    until_waiting(&model, 4).await;
    drop(busy);
    for (at, answer) in asking.join_all().await {
        match (at, answer) {
            (99, answer) => assert!(matches!(answer, Err(InferError::Run { .. })), "{answer:?}"),
            (0, answer) => assert_eq!(answer.unwrap(), [0.5]),
            (1, answer) => assert_eq!(answer.unwrap(), [1.5]),
            (_, answer) => assert_eq!(answer.unwrap(), [3.5]),
        }
    }
}

#[tokio::test]
async fn what_depends_on_its_company_has_none() {
    let bytes = toy::file("batch_mean");
    let model = model(&bytes, None);
    let busy = model.pool().checkout().await;
    let mut asking = JoinSet::new();
    for _ in 0..5 {
        let model = Arc::clone(&model);
        let x = Tensor { name: "features".into(), shape: vec![1, 3], data: TensorData::F32(vec![1.0, 2.0, 3.0]) };
        asking.spawn(async move { answers(&model, x, None).await.unwrap() });
    }
    until_waiting(&model, 5).await;
    drop(busy);
    assert!(asking.join_all().await.iter().all(|answer| answer == &[0.0]), "a row less its own mean");
    assert_eq!(model.statistics().snapshot().runs, 5);
}

/// As a model that was checked on other rows may turn out to be.
#[tokio::test]
async fn answers_that_cannot_be_told_apart_are_asked_for_one_by_one() {
    let first = Graph::new().input("x", toy::FLOAT, &[-1, 1]).int64s("axes", &[1], &[0]);
    let first = first.node(Node::new("ReduceSum", &["x", "axes"], &["y"]).int("keepdims", 1));
    let model = model(&first.output("y", toy::FLOAT, &[-1, 1]).model(), Some(true));
    let busy = model.pool().checkout().await;
    let mut asking = JoinSet::new();
    for x in 0..4_u8 {
        let model = Arc::clone(&model);
        asking.spawn(async move { (f32::from(x), asks(&model, &[f32::from(x)], None).await.unwrap()) });
    }
    until_waiting(&model, 4).await;
    drop(busy);
    for (x, answer) in asking.join_all().await {
        assert_eq!(answer, [x]);
    }
    assert_eq!(model.batch(), None, "requests share no run any more");
}

#[tokio::test]
async fn who_hangs_up_is_not_run_for() {
    let model = model(&doubles(), None);
    let busy = model.pool().checkout().await;
    let mut gone = JoinSet::new();
    let asking = Arc::clone(&model);
    gone.spawn(async move { asks(&asking, &[1.0], None).await.is_ok() });
    until_waiting(&model, 1).await;
    gone.abort_all();
    while gone.join_next().await.is_some() {}
    let asking = Arc::clone(&model);
    gone.spawn(async move { asks(&asking, &[2.0, 3.0], None).await.is_ok() });
    until_waiting(&model, 2).await;
    drop(busy);
    assert_eq!(gone.join_all().await, [true]);
    let counts = model.statistics().snapshot();
    assert_eq!((counts.runs, counts.batches.keys().copied().collect::<Vec<_>>()), (1, vec![2]));
}

#[tokio::test]
async fn who_cannot_be_answered_in_time_is_told_so() {
    let model = model(&doubles(), None);
    let why = asks(&model, &[1.0], Some(Instant::now())).await.unwrap_err();
    assert_eq!(why.kind(), schema::ErrorKind::Timeout);
    let busy = model.pool().checkout().await;
    let soon = Instant::now() + Duration::from_millis(20);
    let why = asks(&model, &[1.0], Some(soon)).await.unwrap_err();
    assert!(why.to_string().starts_with("Request timeout expired"), "told while the session is busy: {why}");
    assert!(Instant::now() >= soon);
    drop(busy);
    until_empty(&model).await;
    assert!(asks(&model, &[1.0], Some(Instant::now() + Duration::from_secs(60))).await.is_ok());
    assert_eq!(model.statistics().snapshot().runs, 1, "whoever was told is not run for");
}

#[tokio::test]
async fn what_finds_no_room_is_refused_and_what_waits_too_long_too() {
    let model = model(&doubles(), None);
    let busy = model.pool().checkout().await;
    let mut waits = JoinSet::new();
    let rows = vec![1.0; 4096];
    let n = LIMITS.rows_max / rows.len();
    for _ in 0..n {
        let (model, rows) = (Arc::clone(&model), rows.clone());
        waits.spawn(async move { asks(&model, &rows, None).await.map_err(|why| why.kind()) });
    }
    until_waiting(&model, n).await;
    let why = asks(&model, &[1.0], None).await.unwrap_err();
    assert_eq!(why.kind(), schema::ErrorKind::Overloaded);
    assert!(why.to_string().starts_with("Exceeds maximum queue size"), "{why}");
    // Nobody waits for longer than that, though the session stays busy.
    let answers = waits.join_all().await;
    assert!(answers.iter().all(|answer| *answer == Err(schema::ErrorKind::Overloaded)), "{answers:?}");
    drop(busy);
    until_empty(&model).await;
    assert!(asks(&model, &[1.0], None).await.is_ok());
}

#[test]
fn four_threads_get_their_own_answers() {
    let model = model(&doubles(), None);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let model = Arc::clone(&model);
            scope.spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                for turn in 0..300_u16 {
                    let x = f32::from(thread) * 1000.0 + f32::from(turn);
                    assert_eq!(runtime.block_on(asks(&model, &[x], None)).unwrap(), [2.0 * x]);
                }
            });
        }
    });
    let counts = model.statistics().snapshot();
    assert_eq!((counts.rows, counts.success.count, model.waiting()), (1200, 1200, 0));
}
