//! One random story over both stores: each call says the same, to the last word.

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::tracking::{ModelOutput, ModelStatus, Pair, SqliteTracking};

/// A call.
#[derive(Debug, Clone)]
enum Call {
    Experiment(NewExperiment),
    ChangeExperiment(i64, ExperimentChange),
    Run(usize, i64, i64, Vec<Pair>),
    ChangeRun(usize, RunChange),
    Log(usize, Batch),
    Model(usize, i64, String, Vec<Pair>),
    ChangeModel(usize, LoggedModelChange),
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "A", "a ", "ä", "a\0", "a\u{1}", "b", "😀", "\u{fb01}", "%", "mlflow.runName"])
        .prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, 2, -1, i64::MAX, i64::MIN])
}

fn pairs() -> impl Strategy<Value = Vec<Pair>> {
    prop::collection::vec((text(), text()), 0..4)
}

fn lifecycle() -> impl Strategy<Value = Option<Lifecycle>> {
    prop::sample::select(vec![None, None, Some(Lifecycle::Active), Some(Lifecycle::Deleted)])
}

fn metric() -> impl Strategy<Value = Metric> {
    let values = vec![0.0, -0.0, 1.0, -1.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324];
    let value = prop::sample::select(values);
    (text(), value, number(), number(), prop::option::of(text()), prop::option::of((text(), text())))
        .prop_map(|(key, value, at_ms, step, model, dataset)| Metric { key, value, at_ms, step, model, dataset })
}

fn batch() -> impl Strategy<Value = Batch> {
    let output = (text(), number()).prop_map(|(model, step)| ModelOutput { model, step });
    let json = prop::option::weighted(0.2, prop::sample::select(vec!["{}", "[1]", "{", "\"\\u0000\""]));
    let params = prop::collection::vec((text(), text()), 0..2);
    (prop::collection::vec(metric(), 0..5), params, pairs(), prop::collection::vec(output, 0..3), json).prop_map(
        |(metrics, params, tags, outputs, json)| Batch {
            metrics,
            params,
            tags,
            outputs,
            model_json: json.map(str::to_owned),
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    let status = prop::option::of(prop::sample::select(RunStatus::ALL.to_vec()));
    let model_status = prop::option::of(prop::sample::select(ModelStatus::ALL.to_vec()));
    prop_oneof![
        1 => (text(), prop::option::of(text()), pairs(), number()).prop_map(|(name, artifact_location, tags, now_ms)| {
            Call::Experiment(NewExperiment { name, artifact_location, tags, now_ms })
        }),
        1 => (0..4_i64, prop::option::of(text()), lifecycle(), pairs(), number()).prop_map(
            |(id, name, lifecycle, tags, now_ms)| {
                Call::ChangeExperiment(id, ExperimentChange { name, lifecycle, tags, now_ms })
            }
        ),
        2 => (0..6_usize, 0..4_i64, number(), pairs()).prop_map(|(id, e, start, tags)| Call::Run(id, e, start, tags)),
        2 => (0..6_usize, prop::option::of(text()), status, prop::option::of(number()), lifecycle(), prop::option::of(text()))
            .prop_map(|(id, name, status, end_ms, lifecycle, without_tag)| {
                Call::ChangeRun(id, RunChange { name, status, end_ms, lifecycle, without_tag })
            }),
        6 => (0..6_usize, batch()).prop_map(|(id, batch)| Call::Log(id, batch)),
        1 => (0..3_usize, 0..4_i64, text(), pairs()).prop_map(|(id, e, name, tags)| Call::Model(id, e, name, tags)),
        2 => (0..3_usize, model_status, pairs(), pairs(), prop::option::of(text()), prop::bool::weighted(0.1), number())
            .prop_map(|(id, status, params, tags, without_tag, delete, now_ms)| {
                let change = LoggedModelChange { status, params, tags, without_tag, delete, now_ms };
                Call::ChangeModel(id, change)
            }),
    ]
}

/// What a call says. Of a thing that is made twice under one id, which the rules above never do, only that it fails.
fn said<T: Debug>(answer: Result<T, TrackingError>) -> String {
    match answer {
        Err(TrackingError::Store(_)) => "the store refuses".to_owned(),
        answer => format!("{answer:?}"),
    }
}

fn model_of(id: usize, experiment: i64, name: String, tags: Vec<Pair>) -> LoggedModel {
    LoggedModel {
        // As metrics and outputs name models.
        id: ["a", "ä", "a\0"][id].to_owned(),
        experiment: ExperimentId(experiment),
        source_run: Some(name.clone()).filter(|name| !name.is_empty()),
        name,
        artifact_uri: String::new(),
        status: ModelStatus::Pending,
        model_type: String::new(),
        created_ms: 0,
        updated_ms: 0,
        params: Vec::new(),
        tags,
        metrics: Vec::new(),
    }
}

async fn does(store: &dyn TrackingStore, call: Call) -> String {
    match call {
        Call::Experiment(new) => said(store.create_experiment(new).await),
        Call::ChangeExperiment(id, change) => said(store.change_experiment(ExperimentId(id), change).await),
        Call::Run(id, experiment, start_ms, tags) => {
            let mut run = run_of(&format!("r{id}"));
            (run.info.experiment, run.info.start_ms, run.tags) = (ExperimentId(experiment), start_ms, tags);
            said(store.create_run(run).await)
        }
        Call::ChangeRun(id, change) => said(store.change_run(&format!("r{id}"), change).await),
        Call::Log(id, batch) => said(store.log(&format!("r{id}"), batch).await),
        Call::Model(id, experiment, name, tags) => {
            said(store.create_logged_model(model_of(id, experiment, name, tags)).await)
        }
        Call::ChangeModel(id, change) => said(store.change_logged_model(["a", "ä", "a\0"][id], change).await),
    }
}

/// All that a store says, in pages of two.
async fn all(store: &dyn TrackingStore) -> Vec<String> {
    let both = vec![Lifecycle::Active, Lifecycle::Deleted];
    let experiments: Vec<ExperimentId> = (0..8).map(ExperimentId).collect();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.experiments(&both, after, 2).await.unwrap();
        seen.push(format!("{page:?}"));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    loop {
        let (experiments, lifecycles) = (experiments.clone(), both.clone());
        let page = store.runs(RunsWanted { experiments, lifecycles, after, rows_max: 2 }).await.unwrap();
        seen.push(format!("{:?} {}", page.rows, page.next.is_some()));
        after = page.next;
        for run in &page.rows {
            for key in ["a", "A", "a\0", "😀"] {
                let history = store.history(&run.info.id, key, None, 1_000).await.unwrap();
                seen.push(format!("{history:?}"));
            }
        }
        if after.is_none() {
            break;
        }
    }
    for name in [None, Some("a"), Some("a\0")] {
        let (name, experiments) = (name.map(str::to_owned), experiments.clone());
        let wanted = ModelsWanted { experiments, source_run: name.clone(), name, after: None, rows_max: 2 };
        let page = store.logged_models(wanted).await.unwrap();
        seen.push(format!("{:?} {}", page.rows, page.next.is_some()));
    }
    seen
}

#[test]
fn both_stores_say_the_same_of_any_story() {
    let server = TestPostgres::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let n = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let stories = prop::collection::vec(call(), 1..50);
    runner
        .run(&stories, |story| {
            n.set(n.get() + 1);
            let folder = tempfile::tempdir().unwrap();
            let sqlite = SqliteTracking::open(&folder.path().join("tracking.db")).unwrap();
            let url = format!("{}_{}", server.url(), n.get()).parse().unwrap();
            let postgres = open(&PostgresConfig { url, ..config(&server) });
            runtime.block_on(async {
                for call in story {
                    let wanted = does(&sqlite, call.clone()).await;
                    prop_assert_eq!(does(&*postgres, call.clone()).await, wanted, "{:?}", call);
                }
                prop_assert_eq!(all(&*postgres).await, all(&sqlite).await);
                Ok(())
            })
        })
        .unwrap();
}
