//! `experiments/…`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use registry::tracking::{ExperimentChange, ExperimentId, Lifecycle};
use serde_json::{Value, json};

use super::{Tracking, after, given, next, rows_max};
use crate::http::mlflow::{Fields, Refusal, Sent, wire};

type Answer = Result<Json<Value>, Refusal>;

pub(super) fn router() -> Router<Arc<Tracking>> {
    Router::new()
        .route("/2.0/mlflow/experiments/create", post(create))
        .route("/2.0/mlflow/experiments/get", get(by_id))
        .route("/2.0/mlflow/experiments/get-by-name", get(by_name))
        .route("/2.0/mlflow/experiments/search", post(search).get(search))
        .route("/2.0/mlflow/experiments/update", post(rename))
        .route("/2.0/mlflow/experiments/delete", post(delete))
        .route("/2.0/mlflow/experiments/restore", post(restore))
        .route("/2.0/mlflow/experiments/set-experiment-tag", post(set_tag))
}

async fn create(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let name = fields.required("name")?.to_owned();
    let location = given(&fields, "artifact_location")?;
    let made = tracking.tracker.create_experiment(name, location, fields.pairs("tags")?).await?;
    Ok(Json(json!({ "experiment_id": made.id.to_string() })))
}

async fn by_id(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let found = tracking.tracker.experiment(id(&fields)?).await?;
    Ok(Json(json!({ "experiment": wire::experiment(&found) })))
}

async fn by_name(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let found = tracking.tracker.experiment_named(fields.required("experiment_name")?).await?;
    Ok(Json(json!({ "experiment": wire::experiment(&found) })))
}

async fn search(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    super::filter::none(&fields)?;
    let lifecycles = lifecycles(&fields, "view_type")?;
    let page = tracking.tracker.experiments(&lifecycles, after(&fields)?, rows_max(&fields, 1_000, 50_000)?).await?;
    Ok(Json(wire::page("experiments", page.rows.iter().map(wire::experiment).collect(), next(page.next))))
}

async fn rename(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let name = Some(fields.required("new_name")?.to_owned());
    change(&tracking, &fields, ExperimentChange { name, ..Default::default() }).await
}

async fn delete(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let lifecycle = Some(Lifecycle::Deleted);
    change(&tracking, &fields, ExperimentChange { lifecycle, ..Default::default() }).await
}

async fn restore(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let lifecycle = Some(Lifecycle::Active);
    change(&tracking, &fields, ExperimentChange { lifecycle, ..Default::default() }).await
}

async fn set_tag(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Answer {
    let value = fields.text("value")?.unwrap_or_default().to_owned();
    let tags = vec![(fields.required("key")?.to_owned(), value)];
    change(&tracking, &fields, ExperimentChange { tags, ..Default::default() }).await
}

async fn change(tracking: &Tracking, fields: &Fields, change: ExperimentChange) -> Answer {
    tracking.tracker.change_experiment(id(fields)?, change).await?;
    Ok(Json(json!({})))
}

fn id(fields: &Fields) -> Result<ExperimentId, Refusal> {
    Ok(ExperimentId::parse(fields.required("experiment_id")?)?)
}

/// Which states a search looks at.
pub(super) fn lifecycles(fields: &Fields, name: &str) -> Result<Vec<Lifecycle>, Refusal> {
    match fields.text(name)?.unwrap_or("ACTIVE_ONLY") {
        "ACTIVE_ONLY" => Ok(vec![Lifecycle::Active]),
        "DELETED_ONLY" => Ok(vec![Lifecycle::Deleted]),
        "ALL" => Ok(vec![Lifecycle::Active, Lifecycle::Deleted]),
        other => {
            let message = format!("Invalid value \"{}\" for parameter '{name}' supplied", other.escape_debug());
            Err(Refusal::invalid(message))
        }
    }
}
