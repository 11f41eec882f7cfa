//! What models have answered, under the names that dashboards of Triton know. Times are in microseconds, as there.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use serving::Fleet;
use serving::infer::statistics::{Snapshot, Tally};

/// Helps of these metrics.
pub(in crate::http) fn describe() {
    describe_counter!("nv_inference_request_success", "Requests answered, by model and version.");
    describe_counter!("nv_inference_request_failure", "Requests that failed, by model and version.");
    describe_counter!("nv_inference_count", "Rows answered, by model and version.");
    describe_counter!("nv_inference_exec_count", "Runs, by model and version.");
    let us = Unit::Microseconds;
    describe_counter!("nv_inference_request_duration_us", us, "Time of requests together, by model and version.");
    describe_counter!("nv_inference_queue_duration_us", us, "Time in the queue together, by model and version.");
    describe_counter!("nv_inference_compute_input_duration_us", us, "Time of inputs together, by model and version.");
    describe_counter!("nv_inference_compute_infer_duration_us", us, "Time of runs together, by model and version.");
    describe_counter!("nv_inference_compute_output_duration_us", us, "Time of outputs together, by model and version.");
    describe_counter!("nv_cache_num_hits_per_model", "Requests answered as before, by model and version.");
    describe_counter!("nv_cache_num_misses_per_model", "Requests whose answer was kept, by model and version.");
    describe_gauge!("plumb_cache_on", "Whether answers of before are given again, by model and version.");
    describe_gauge!("nv_inference_pending_request_count", "Requests that wait, by model and version.");
}

/// Sets them.
pub(super) fn publish(fleet: &Fleet) {
    for model in fleet.all_tensors() {
        let labels = [("model", model.name().to_string()), ("version", model.version().to_string())];
        let set = |name: &'static str, value: u64| counter!(name, &labels).absolute(value);
        let Snapshot { rows, runs, success, fail, queue, input, infer, output, cache_hit, cache_miss, .. } =
            model.statistics().snapshot();
        set("nv_inference_request_success", success.count);
        set("nv_inference_request_failure", fail.count);
        set("nv_inference_count", rows);
        set("nv_inference_exec_count", runs);
        let us = |tally: Tally| tally.ns / 1_000;
        set("nv_inference_request_duration_us", us(success));
        set("nv_inference_queue_duration_us", us(queue));
        set("nv_inference_compute_input_duration_us", us(input));
        set("nv_inference_compute_infer_duration_us", us(infer));
        set("nv_inference_compute_output_duration_us", us(output));
        if let Some(is_on) = model.is_cached() {
            set("nv_cache_num_hits_per_model", cache_hit.count);
            set("nv_cache_num_misses_per_model", cache_miss.count);
            gauge!("plumb_cache_on", &labels).set(f64::from(u8::from(is_on)));
        }
        let waiting = u32::try_from(model.waiting()).unwrap_or(u32::MAX);
        gauge!("nv_inference_pending_request_count", &labels).set(f64::from(waiting));
    }
}
