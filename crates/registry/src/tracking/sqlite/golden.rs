//! The file as it was written once: today's program writes the same tables and rows, and reads those that were kept.

use std::fmt::Write;
use std::path::Path;

use rusqlite::types::Value;

use super::*;
use crate::tracking::{ModelOutput, ModelStatus, Pair, RunStatus};

const KEPT: &str = "testdata/tracking/v1.sql";

fn pair(key: &str, value: &str) -> Pair {
    (key.to_owned(), value.to_owned())
}

fn point(key: &str, value: f64, step: i64, model: Option<&str>) -> Metric {
    let dataset = model.map(|_| pair("orders", "d1"));
    Metric { key: key.to_owned(), value, at_ms: 1_700_000_000_000, step, model: model.map(ToOwned::to_owned), dataset }
}

/// One of everything.
async fn write(store: &SqliteTracking) {
    let (name, tags) = ("größe".to_owned(), vec![pair("team", "a")]);
    let new = NewExperiment { name, artifact_location: None, tags, now_ms: 1_700_000_000_000 };
    let experiment = store.create_experiment(new).await.unwrap().id;
    let info = RunInfo {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        experiment,
        name: "first".to_owned(),
        user: "ann".to_owned(),
        status: RunStatus::Running,
        start_ms: 1_700_000_000_001,
        end_ms: None,
        artifact_uri: "mlflow-artifacts:/1/0123456789abcdef0123456789abcdef/artifacts".to_owned(),
        lifecycle: Lifecycle::Active,
    };
    let id = info.id.clone();
    let tags = vec![pair("mlflow.runName", "first")];
    store.create_run(Run { info, params: vec![], tags, metrics: vec![], outputs: vec![] }).await.unwrap();
    let model = LoggedModel {
        id: "m-0123456789abcdef0123456789abcdef".to_owned(),
        experiment,
        name: "model".to_owned(),
        artifact_uri: "mlflow-artifacts:/1/models/m-0123456789abcdef0123456789abcdef/artifacts".to_owned(),
        status: ModelStatus::Pending,
        model_type: "classifier".to_owned(),
        source_run: Some(id.clone()),
        created_ms: 1_700_000_000_002,
        updated_ms: 1_700_000_000_002,
        params: vec![pair("depth", "3")],
        tags: vec![pair("t", "it's")],
        metrics: vec![],
    };
    let model_id = model.id.clone();
    store.create_logged_model(model).await.unwrap();
    let batch = Batch {
        metrics: vec![
            point("auc", 0.1 + 0.2, 2, Some(&model_id)),
            point("loss", f64::NAN, 0, None),
            point("loss", f64::INFINITY, 1, None),
            point("loss", -0.25, 2, None),
        ],
        params: vec![pair("rate", "0.5")],
        tags: vec![],
        outputs: vec![ModelOutput { model: model_id.clone(), step: 2 }],
        model_json: Some(r#"{"a":1}"#.to_owned()),
    };
    store.log(&id, batch).await.unwrap();
    let change =
        RunChange { status: Some(RunStatus::Finished), end_ms: Some(1_700_000_000_009), ..RunChange::default() };
    store.change_run(&id, change).await.unwrap();
    let (status, now_ms) = (Some(ModelStatus::Ready), 1_700_000_000_003);
    store.change_logged_model(&model_id, LoggedModelChange { status, now_ms, ..Default::default() }).await.unwrap();
}

/// What each table is, and what is in it, as SQL.
fn dump(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    let mut made = connection
        .prepare("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
        .unwrap();
    let made = made.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let made: Vec<(String, String, String)> = made.collect::<Result<_, _>>().unwrap();
    let mut out = String::new();
    for (kind, name, sql) in made {
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(out, "{sql};").unwrap();
        if kind != "table" {
            continue;
        }
        let mut rows = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let n = rows.column_count();
        let mut rows = rows.query(()).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let values: Vec<String> = (0..n).map(|column| literal(row.get(column).unwrap())).collect();
            writeln!(out, "INSERT INTO {name} VALUES ({});", values.join(", ")).unwrap();
        }
    }
    out
}

fn literal(value: Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) if number.is_infinite() => "9e999".to_owned(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Blob(_) => unreachable!("no table has bytes"),
    }
}

/// All that can be read.
async fn read(store: &SqliteTracking) -> String {
    let experiment = store.experiment_named("größe").await.unwrap();
    let run = store.run("0123456789abcdef0123456789abcdef").await.unwrap();
    let loss = store.history(&run.info.id, "loss", None, 10).await.unwrap();
    let model = store.logged_model("m-0123456789abcdef0123456789abcdef").await.unwrap();
    format!("{experiment:#?}\n{run:#?}\n{loss:#?}\n{model:#?}")
}

#[tokio::test]
async fn a_file_of_the_first_format_is_read_and_written_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracking.db");
    let store = SqliteTracking::open(&path).unwrap();
    write(&store).await;
    let (written, kept) = (dump(&path), Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT));
    if !kept.exists() && std::env::var_os("PLUMB_GOLDEN").is_some_and(|said| said == "write") {
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        std::fs::write(&kept, &written).unwrap();
    }
    let sql = std::fs::read_to_string(&kept).unwrap();
    assert_eq!(written, sql, "a new format needs a new file beside {KEPT}");

    let old = folder.path().join("old.db");
    Connection::open(&old).unwrap().execute_batch(&sql).unwrap();
    let kept = SqliteTracking::open(&old).unwrap();
    assert_eq!(read(&kept).await, read(&store).await);
    let new = NewExperiment { name: "next".to_owned(), artifact_location: None, tags: vec![], now_ms: 0 };
    assert_eq!(kept.create_experiment(new).await.unwrap().id, ExperimentId(2));
}
