//! Names, helps and buckets of all metrics, and the series of requests.

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::cell::RefCell;
use std::collections::HashMap;

/// Seconds; from a memory-mapped read to a hopeless wait.
const SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Seconds; from data of this moment to data of last year.
const AGES: [f64; 12] =
    [1.0, 10.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, 7_776_000.0, 31_536_000.0];

/// Rows that a model may run at once.
const ROWS: [f64; 13] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0, 4_096.0];

/// Installs the recorder; once per process.
///
/// # Errors
/// Another recorder is installed.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("plumb_feature_freshness_seconds".to_owned()), &AGES)?
        .set_buckets_for_metric(Matcher::Full("plumb_batch_rows".to_owned()), &ROWS)?
        .install_recorder()?;
    describe_counter!("plumb_http_requests_total", "Requests by route and status.");
    describe_histogram!("plumb_http_request_seconds", Unit::Seconds, "Time to answer, by route.");
    describe_counter!("plumb_panics_total", "Requests that failed by a bug, by protocol.");
    describe_counter!("plumb_predictions_total", "Rows predicted, by model and version.");
    describe_histogram!("plumb_features_seconds", Unit::Seconds, "Time to read features, by model and version.");
    describe_histogram!(
        "plumb_infer_seconds",
        Unit::Seconds,
        "Time of the run that a request was part of, by model and version."
    );
    describe_histogram!(
        "plumb_queue_seconds",
        Unit::Seconds,
        "Time a request waited for a session, by model and version."
    );
    describe_histogram!("plumb_batch_rows", "Rows of one run, by model and version.");
    describe_counter!(
        "plumb_infer_refused_total",
        "Requests that a model's queue refused, by model, version and reason: expired, or shed."
    );
    super::measuring::models::describe();
    describe_counter!("plumb_prediction_log_dropped_total", "Rows that the prediction log lost.");
    describe_counter!(
        "plumb_prediction_log_sampled_out_total",
        "Rows that are not in the prediction log, by its sample."
    );
    describe_counter!("plumb_prediction_log_expired_files_total", "Files of the prediction log that were too old.");
    describe_counter!("plumb_training_sets_total", "Training sets for requests, by protocol and how they ended.");
    describe_counter!("plumb_feature_values_total", "Feature values answered, by view version and status.");
    describe_gauge!("plumb_null_ratio", "Of the values answered in the last five minutes, those that are null.");
    describe_gauge!("plumb_not_found_ratio", "Of the values answered in the last five minutes, those with no row.");
    describe_histogram!(
        "plumb_feature_freshness_seconds",
        Unit::Seconds,
        "Data freshness: of each answer, the age of its oldest row, by view version."
    );
    describe_gauge!(
        "plumb_materialize_lag_seconds",
        Unit::Seconds,
        "Pipeline freshness: since a materialization last brought online all that there was, by view version."
    );
    describe_gauge!(
        "plumb_registry_log_edited",
        "1 if an event of the registry's log from before its snapshot is not what was written, 0 if all are."
    );
    Ok(handle)
}

/// Says whether the log's past was found to be edited.
pub fn registry_log_edited(edited: bool) {
    gauge!("plumb_registry_log_edited").set(if edited { 1.0 } else { 0.0 });
}

/// The series of one route.
struct Series {
    seconds: Histogram,
    by_status: Vec<(u16, Counter)>,
}

thread_local! {
    /// Of the requests that this thread has answered: to look a series up by its labels costs more than to record.
    static SERIES: RefCell<HashMap<String, Series>> = RefCell::default();
}

/// Counts and times a request by its route, not by its path: names in paths must not make series.
pub fn record(route: &str, status: u16, seconds: f64) {
    SERIES.with_borrow_mut(|all| {
        if !all.contains_key(route) {
            let seconds = histogram!("plumb_http_request_seconds", "route" => route.to_owned());
            all.insert(route.to_owned(), Series { seconds, by_status: Vec::new() });
        }
        let Some(series) = all.get_mut(route) else { return };
        series.seconds.record(seconds);
        if let Some((_, requests)) = series.by_status.iter().find(|(known, _)| *known == status) {
            return requests.increment(1);
        }
        let labels = [("route", route.to_owned()), ("status", status.to_string())];
        let requests = counter!("plumb_http_requests_total", &labels);
        requests.increment(1);
        series.by_status.push((status, requests));
    });
}
