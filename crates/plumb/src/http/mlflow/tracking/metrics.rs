//! Points of metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use registry::tracking::Metric;
use serde_json::Value;

use super::{Tracking, after, given, next, rows_max, run_id};
use crate::http::mlflow::{Fields, Refusal, Sent, wire};

/// Points of one page, as many as clients ask for.
const POINTS_MAX: u32 = 25_000;

pub(super) fn router() -> Router<Arc<Tracking>> {
    Router::new().route("/2.0/mlflow/metrics/get-history", get(history))
}

async fn history(State(tracking): State<Arc<Tracking>>, Sent(fields): Sent) -> Result<Json<Value>, Refusal> {
    let rows_max = rows_max(&fields, POINTS_MAX, u32::MAX)?.min(POINTS_MAX);
    let page =
        tracking.tracker.history(run_id(&fields)?, fields.required("metric_key")?, after(&fields)?, rows_max).await?;
    Ok(Json(wire::page("metrics", page.rows.iter().map(wire::metric).collect(), next(page.next))))
}

/// A point that was sent.
pub(super) fn read(fields: &Fields) -> Result<Metric, Refusal> {
    let dataset = given(fields, "dataset_name")?;
    Ok(Metric {
        key: fields.required("key")?.to_owned(),
        value: fields.required_double("value")?,
        at_ms: fields.required_int("timestamp")?,
        step: fields.int("step")?.unwrap_or(0),
        model: given(fields, "model_id")?,
        dataset: match dataset {
            Some(name) => Some((name, given(fields, "dataset_digest")?.unwrap_or_default())),
            None => None,
        },
    })
}
