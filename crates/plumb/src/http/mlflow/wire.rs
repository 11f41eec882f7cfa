//! Things of tracking as MLflow's client reads them. What is empty is left out.

use registry::tracking::{Experiment, LoggedModel, Metric, ModelOutput, Pair, Run, RunInfo};
use serde_json::{Map, Value, json};

/// An experiment.
pub(super) fn experiment(of: &Experiment) -> Value {
    let mut json = json!({
        "experiment_id": of.id.to_string(), "name": of.name, "artifact_location": of.artifact_location,
        "lifecycle_stage": of.lifecycle.as_str(), "creation_time": of.created_ms, "last_update_time": of.updated_ms,
    });
    put_list(&mut json, "tags", pairs(&of.tags));
    json
}

/// A run, its data, and models that it made.
pub(super) fn run(of: &Run) -> Value {
    let mut data = json!({});
    put_list(&mut data, "metrics", of.metrics.iter().map(metric).collect());
    put_list(&mut data, "params", pairs(&of.params));
    put_list(&mut data, "tags", pairs(&of.tags));
    let mut outputs = json!({});
    let output = |of: &ModelOutput| json!({ "model_id": of.model, "step": of.step });
    put_list(&mut outputs, "model_outputs", of.outputs.iter().map(output).collect());
    json!({ "info": run_info(&of.info), "data": data, "inputs": {}, "outputs": outputs })
}

/// A run without its data.
pub(super) fn run_info(of: &RunInfo) -> Value {
    let mut json = json!({
        "run_id": of.id, "run_uuid": of.id, "run_name": of.name, "experiment_id": of.experiment.to_string(),
        "user_id": of.user, "status": of.status.as_str(), "start_time": of.start_ms, "artifact_uri": of.artifact_uri,
        "lifecycle_stage": of.lifecycle.as_str(),
    });
    if let Some(end) = of.end_ms {
        json["end_time"] = end.into();
    }
    json
}

/// A point.
pub(super) fn metric(of: &Metric) -> Value {
    let mut json = json!({ "key": of.key, "value": double(of.value), "timestamp": of.at_ms, "step": of.step });
    if let Some(model) = &of.model {
        json["model_id"] = model.as_str().into();
    }
    if let Some((name, digest)) = &of.dataset {
        json["dataset_name"] = name.as_str().into();
        json["dataset_digest"] = digest.as_str().into();
    }
    json
}

/// A logged model.
pub(super) fn logged_model(of: &LoggedModel) -> Value {
    let mut info = json!({
        "model_id": of.id, "experiment_id": of.experiment.to_string(), "name": of.name,
        "creation_timestamp_ms": of.created_ms, "last_updated_timestamp_ms": of.updated_ms,
        "artifact_uri": of.artifact_uri, "status": of.status.as_str(),
    });
    for (key, text) in [("model_type", Some(&of.model_type)), ("source_run_id", of.source_run.as_ref())] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            info[key] = text.as_str().into();
        }
    }
    put_list(&mut info, "tags", pairs(&of.tags));
    let mut data = json!({});
    put_list(&mut data, "params", pairs(&of.params));
    let of_run = |(run, point): &(String, Metric)| {
        let mut json = metric(point);
        json["run_id"] = run.as_str().into();
        json
    };
    put_list(&mut data, "metrics", of.metrics.iter().map(of_run).collect());
    json!({ "info": info, "data": data })
}

/// A list, and where the next page begins.
pub(super) fn page(name: &str, rows: Vec<Value>, next: Option<String>) -> Value {
    let mut json = Value::Object(Map::new());
    put_list(&mut json, name, rows);
    if let Some(next) = next {
        json["next_page_token"] = next.into();
    }
    json
}

fn pairs(of: &[Pair]) -> Vec<Value> {
    of.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn put_list(json: &mut Value, name: &str, rows: Vec<Value>) {
    if !rows.is_empty() {
        json[name] = rows.into();
    }
}

/// JSON has no numbers for three of them.
fn double(value: f64) -> Value {
    match value {
        _ if value.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        _ => value.into(),
    }
}
