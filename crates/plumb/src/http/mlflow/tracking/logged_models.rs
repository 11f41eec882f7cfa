//! `logged-models/…`: models of MLflow 3 before they are registered.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use registry::tracking::{ExperimentId, LoggedModelChange, ModelStatus, ModelsWanted, NewLoggedModel, TrackingError};
use serde_json::{Value, json};

use super::{Tracking, after, filter, given, next, rows_max};
use crate::http::mlflow::{Named, Refusal, Sent, artifacts, wire};

type Answer = Result<Json<Value>, Refusal>;

pub(super) fn router() -> Router<Arc<Tracking>> {
    Router::new()
        .route("/2.0/mlflow/logged-models", post(create))
        .route("/2.0/mlflow/logged-models/search", post(search))
        .route("/2.0/mlflow/logged-models/{id}", get(by_id).patch(finish).delete(remove))
        .route("/2.0/mlflow/logged-models/{id}/tags", patch(set_tags))
        .route("/2.0/mlflow/logged-models/{id}/tags/{key}", delete(delete_tag))
        .route("/2.0/mlflow/logged-models/{id}/params", post(log_params))
        .route("/2.0/mlflow/logged-models/{id}/artifacts/directories", get(list_artifacts))
}

async fn create(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let experiment = ExperimentId::parse(fields.required("experiment_id")?)?;
    let new = NewLoggedModel {
        name: given(&fields, "name")?,
        model_type: given(&fields, "model_type")?.unwrap_or_default(),
        source_run: given(&fields, "source_run_id")?,
        params: fields.pairs("params")?,
        tags: fields.pairs("tags")?,
    };
    let model = tracking.tracker.create_logged_model(experiment, new).await?;
    Ok(Json(json!({ "model": wire::logged_model(&model) })))
}

async fn search(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let [name, source_run] = filter::equalities(&fields, ["name", "source_run_id"])?;
    for list in ["datasets", "order_by"] {
        if !fields.objects(list)?.is_empty() {
            return Err(Refusal::invalid(format!("parameter '{list}' is not supported here")));
        }
    }
    let experiments =
        fields.texts("experiment_ids")?.into_iter().filter_map(|id| ExperimentId::parse(id).ok()).collect();
    let (after, rows_max) = (after(&fields)?, rows_max(&fields, 50, 1_000)?);
    let page = tracking.tracker.logged_models(ModelsWanted { experiments, name, source_run, after, rows_max }).await?;
    Ok(Json(wire::page("models", page.rows.iter().map(wire::logged_model).collect(), next(page.next))))
}

async fn by_id(State(tracking): State<Arc<Tracking>>, Named(id): Named<String>) -> Answer {
    let model = tracking.tracker.logged_model(&id).await?;
    Ok(Json(json!({ "model": wire::logged_model(&model) })))
}

async fn finish(State(tracking): State<Arc<Tracking>>, Named(id): Named<String>, Sent(fields): Sent) -> Answer {
    let word = fields.required("status")?;
    let wrong = || format!("Invalid value \"{}\" for parameter 'status' supplied", word.escape_debug());
    let status = Some(ModelStatus::parse(word).ok_or_else(|| Refusal::invalid(wrong()))?);
    change(&tracking, &id, LoggedModelChange { status, ..LoggedModelChange::default() }).await
}

async fn set_tags(State(tracking): State<Arc<Tracking>>, Named(id): Named<String>, Sent(fields): Sent) -> Answer {
    let tags = fields.pairs("tags")?;
    change(&tracking, &id, LoggedModelChange { tags, ..LoggedModelChange::default() }).await
}

async fn delete_tag(State(tracking): State<Arc<Tracking>>, Named((id, key)): Named<(String, String)>) -> Answer {
    let model = tracking.tracker.logged_model(&id).await?;
    if !model.tags.iter().any(|(there, _)| *there == key) {
        return Err(Refusal::not_found(format!("No tag with key '{key}' in logged model with ID '{id}'")));
    }
    change(&tracking, &id, LoggedModelChange { without_tag: Some(key), ..LoggedModelChange::default() }).await
}

async fn log_params(State(tracking): State<Arc<Tracking>>, Named(id): Named<String>, Sent(fields): Sent) -> Answer {
    let params = fields.pairs("params")?;
    change(&tracking, &id, LoggedModelChange { params, ..LoggedModelChange::default() }).await
}

async fn remove(State(tracking): State<Arc<Tracking>>, Named(id): Named<String>) -> Answer {
    let change = LoggedModelChange { delete: true, ..LoggedModelChange::default() };
    tracking.tracker.change_logged_model(&id, change).await?;
    Ok(Json(json!({})))
}

async fn change(tracking: &Tracking, id: &str, change: LoggedModelChange) -> Answer {
    let model = tracking.tracker.change_logged_model(id, change).await?;
    Ok(Json(json!({ "model": wire::logged_model(&model) })))
}

async fn list_artifacts(State(tracking): State<Arc<Tracking>>, Named(id): Named<String>, Sent(fields): Sent) -> Answer {
    let model = tracking.tracker.logged_model(&id).await?;
    let (uri, path) = (&model.artifact_uri, given(&fields, "artifact_directory_path")?.unwrap_or_default());
    let files = artifacts::files_at(&tracking.tree, uri, &path).await?.ok_or_else(|| {
        TrackingError::Invalid(format!("the files of model `{id}` are at `{uri}`, which is not here"))
    })?;
    let mut answer = wire::page("files", files, None);
    answer["root_uri"] = uri.as_str().into();
    Ok(Json(answer))
}
