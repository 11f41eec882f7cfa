//! Names, helps and buckets of all metrics, and the layer that counts requests.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds; from a memory-mapped read to a hopeless wait.
const SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Installs the recorder; once per process.
///
/// # Errors
/// Another recorder is installed.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    describe_counter!("plumb_http_requests_total", "Requests by route and status.");
    describe_histogram!("plumb_http_request_seconds", Unit::Seconds, "Time to answer, by route.");
    describe_counter!("plumb_predictions_total", "Rows predicted, by model and version.");
    describe_histogram!("plumb_features_seconds", Unit::Seconds, "Time to read features, by model and version.");
    describe_histogram!("plumb_infer_seconds", Unit::Seconds, "Time to run the model, by model and version.");
    describe_counter!("plumb_prediction_log_dropped_total", "Rows that the prediction log lost.");
    describe_counter!("plumb_training_sets_total", "Training sets for requests, by protocol and how they ended.");
    Ok(handle)
}

/// Counts and times every request by its route, not by its path: names in paths must not make series.
pub async fn count(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |p| p.as_str().to_owned());
    let response = next.run(request).await;
    histogram!("plumb_http_request_seconds", "route" => route.clone()).record(started.elapsed().as_secs_f64());
    let status = response.status().as_u16().to_string();
    counter!("plumb_http_requests_total", "route" => route, "status" => status).increment(1);
    response
}
