//! `runs/…`, and the files of a run.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use registry::tracking::{
    Batch, ExperimentId, Lifecycle, ModelOutput, NewRun, RunChange, RunStatus, RunsWanted, TrackingError, limits,
};
use serde_json::{Value, json};

use super::experiments::lifecycles;
use super::{Tracking, after, filter, given, metrics, next, rows_max, run_id};
use crate::http::mlflow::{Fields, Refusal, Sent, artifacts, wire};

type Answer = Result<Json<Value>, Refusal>;

pub(super) fn router() -> Router<Arc<Tracking>> {
    Router::new()
        .route("/2.0/mlflow/runs/create", post(create))
        .route("/2.0/mlflow/runs/get", get(by_id))
        .route("/2.0/mlflow/runs/update", post(update))
        .route("/2.0/mlflow/runs/delete", post(delete))
        .route("/2.0/mlflow/runs/restore", post(restore))
        .route("/2.0/mlflow/runs/search", post(search))
        .route("/2.0/mlflow/runs/log-batch", post(log_batch))
        .route("/2.0/mlflow/runs/log-metric", post(log_metric))
        .route("/2.0/mlflow/runs/log-parameter", post(log_param))
        .route("/2.0/mlflow/runs/set-tag", post(set_tag))
        .route("/2.0/mlflow/runs/delete-tag", post(delete_tag))
        .route("/2.0/mlflow/runs/log-model", post(log_model))
        .route("/2.0/mlflow/runs/outputs", post(outputs))
        .route("/2.0/mlflow/artifacts/list", get(list_artifacts))
}

async fn create(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let experiment = match fields.text("experiment_id")?.filter(|id| !id.is_empty()) {
        Some(id) => ExperimentId::parse(id)?,
        None => ExperimentId::DEFAULT,
    };
    let new = NewRun {
        name: given(&fields, "run_name")?,
        user: given(&fields, "user_id")?.unwrap_or_default(),
        start_ms: fields.int("start_time")?,
        tags: fields.pairs("tags")?,
    };
    let run = tracking.tracker.create_run(experiment, new).await?;
    Ok(Json(json!({ "run": wire::run(&run) })))
}

async fn by_id(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let run = tracking.tracker.run(run_id(&fields)?).await?;
    Ok(Json(json!({ "run": wire::run(&run) })))
}

async fn update(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let status = fields.text("status")?.map(|word| {
        let wrong = || format!("Invalid value \"{}\" for parameter 'status' supplied", word.escape_debug());
        RunStatus::parse(word).ok_or_else(|| Refusal::invalid(wrong()))
    });
    let change = RunChange {
        name: given(&fields, "run_name")?,
        status: status.transpose()?,
        end_ms: fields.int("end_time")?,
        ..RunChange::default()
    };
    let info = tracking.tracker.change_run(run_id(&fields)?, change).await?;
    Ok(Json(json!({ "run_info": wire::run_info(&info) })))
}

async fn delete(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    change(&tracking, &fields, RunChange { lifecycle: Some(Lifecycle::Deleted), ..RunChange::default() }).await
}

async fn restore(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    change(&tracking, &fields, RunChange { lifecycle: Some(Lifecycle::Active), ..RunChange::default() }).await
}

async fn delete_tag(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let key = fields.required("key")?;
    let run = tracking.tracker.run(run_id(&fields)?).await?;
    if !run.tags.iter().any(|(there, _)| there == key) {
        return Err(Refusal::not_found(format!("No tag with name: {key} in run with id {}", run.info.id)));
    }
    change(&tracking, &fields, RunChange { without_tag: Some(key.to_owned()), ..RunChange::default() }).await
}

async fn change(tracking: &Tracking, fields: &Fields, change: RunChange) -> Answer {
    tracking.tracker.change_run(run_id(fields)?, change).await?;
    Ok(Json(json!({})))
}

async fn search(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    filter::none(&fields)?;
    // Runs come as clients ask for them by default; another order would be an answer to another question.
    if let Some(by) = fields.texts("order_by")?.into_iter().find(|by| !is_usual(by)) {
        return Err(Refusal::invalid(format!("order_by `{}` is not supported", by.escape_debug())));
    }
    // What is no experiment has no runs.
    let experiments =
        fields.texts("experiment_ids")?.into_iter().filter_map(|id| ExperimentId::parse(id).ok()).collect();
    let wanted = RunsWanted {
        experiments,
        lifecycles: lifecycles(&fields, "run_view_type")?,
        after: after(&fields)?,
        rows_max: rows_max(&fields, 1_000, 50_000)?,
    };
    let page = tracking.tracker.runs(wanted).await?;
    Ok(Json(wire::page("runs", page.rows.iter().map(wire::run).collect(), next(page.next))))
}

fn is_usual(order: &str) -> bool {
    let words: Vec<&str> = order.split_whitespace().collect();
    matches!(words.as_slice(), ["start_time" | "attribute.start_time" | "attributes.start_time", way] if way.eq_ignore_ascii_case("desc"))
}

async fn log_batch(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    if fields.size_bytes() > limits::BATCH_BYTES_MAX {
        let (max, got) = (limits::BATCH_BYTES_MAX, fields.size_bytes());
        let message = format!("Batched logging API requests must be at most {max} bytes, got a request of size {got}.");
        return Err(Refusal::invalid(message));
    }
    let batch = Batch {
        metrics: fields.objects("metrics")?.iter().map(metrics::read).collect::<Result<_, _>>()?,
        params: once(fields.pairs("params")?),
        tags: fields.pairs("tags")?,
        ..Batch::default()
    };
    log(&tracking, &fields, batch).await
}

/// A parameter that comes twice with one value comes once.
fn once(params: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = std::collections::HashSet::new();
    params.into_iter().filter(|param| seen.insert(param.clone())).collect()
}

async fn log_metric(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let batch = Batch { metrics: vec![metrics::read(&fields)?], ..Batch::default() };
    log(&tracking, &fields, batch).await
}

async fn log_param(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let batch = Batch { params: vec![pair(&fields)?], ..Batch::default() };
    log(&tracking, &fields, batch).await
}

async fn set_tag(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let batch = Batch { tags: vec![pair(&fields)?], ..Batch::default() };
    log(&tracking, &fields, batch).await
}

fn pair(fields: &Fields) -> Result<(String, String), Refusal> {
    Ok((fields.required("key")?.to_owned(), fields.text("value")?.unwrap_or_default().to_owned()))
}

async fn log_model(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let batch = Batch { model_json: Some(fields.required("model_json")?.to_owned()), ..Batch::default() };
    log(&tracking, &fields, batch).await
}

async fn outputs(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let output = |fields: &Fields| -> Result<ModelOutput, Refusal> {
        Ok(ModelOutput { model: fields.required("model_id")?.to_owned(), step: fields.int("step")?.unwrap_or(0) })
    };
    let outputs = fields.objects("models")?.iter().map(output).collect::<Result<_, _>>()?;
    log(&tracking, &fields, Batch { outputs, ..Batch::default() }).await
}

async fn log(tracking: &Tracking, fields: &Fields, batch: Batch) -> Answer {
    tracking.tracker.log(run_id(fields)?, batch).await?;
    Ok(Json(json!({})))
}

/// The files of a run with their paths below its root.
async fn list_artifacts(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let run = tracking.tracker.run(run_id(&fields)?).await?;
    let uri = &run.info.artifact_uri;
    let path = fields.text("path")?.unwrap_or_default();
    let files = artifacts::files_at(&tracking.tree, uri, path).await?.ok_or_else(|| {
        TrackingError::Invalid(format!("the files of run `{}` are at `{uri}`, which is not here", run.info.id))
    })?;
    let mut answer = wire::page("files", files, None);
    answer["root_uri"] = uri.as_str().into();
    Ok(Json(answer))
}
