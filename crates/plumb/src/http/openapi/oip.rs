//! The Open Inference Protocol. What is answered by 501 (shared memory, traces, logging, `generate`) is left out.

use serde_json::json;

use super::operation::Operation;
use super::schema::{component, flag, list, object, some_object, text};

pub(super) const TAG: &str = "inference";

pub(super) fn operations() -> Vec<Operation> {
    let mut all = vec![
        Operation::get("/v2", "Name, version and extensions of the server.")
            .answers(object([("name", text()), ("version", text()), ("extensions", list(text()))], [])),
        Operation::get("/v2/health/live", "Whether the server lives."),
        Operation::get("/v2/health/ready", "Whether the server is ready.").status(503, "It is not."),
        Operation::get("/v2/models/stats", "Counts of all versions.").answers(some_object()),
    ];
    for at in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        let named = |end: &str| format!("{at}{end}");
        all.push(Operation::get(at, "Inputs and outputs of a model.").answers(object(
            [("name", text()), ("versions", list(text())), ("platform", text()), ("inputs", list(some_object()))],
            [("outputs", list(some_object()))],
        )));
        all.push(Operation::get(named("/ready"), "Whether a model is ready."));
        all.push(Operation::get(named("/config"), "How a model is served.").answers(some_object()));
        all.push(Operation::get(named("/stats"), "Counts since the server started.").answers(some_object()));
        let asked = object(
            [("inputs", list(component("Tensor")))],
            [
                ("id", text()),
                ("parameters", some_object()),
                ("outputs", list(object([("name", text())], [("parameters", some_object())]))),
            ],
        );
        let said = object(
            [("model_name", text()), ("model_version", text()), ("outputs", list(component("Tensor")))],
            [("id", text()), ("parameters", some_object())],
        );
        let raw = json!({ "type": "string", "format": "binary" });
        all.push(
            Operation::post(named("/infer"), "What a model says to tensors.")
                .json(asked)
                .body("application/octet-stream", raw.clone())
                .answers(said)
                .answers_as("application/octet-stream", raw)
                .status(503, "There is no room in the model's queue, or it would take too long."),
        );
    }
    for at in ["/v2/repository", "/v2/repository/{repository}"] {
        let index = Operation::post(format!("{at}/index"), "All models, and how they are.");
        all.push(index.json(object([], [("ready", flag())])).optional().answers(list(some_object())));
        let asked = || object([], [("parameters", some_object())]);
        let load = Operation::post(format!("{at}/models/{{model}}/load"), "Loads a model.");
        all.push(load.json(asked()).optional().status(503, "Its files cannot be read."));
        let unload = Operation::post(format!("{at}/models/{{model}}/unload"), "Takes a model away.");
        all.push(unload.json(asked()).optional());
    }
    all.into_iter().map(|operation| operation.of(TAG, "InferError")).collect()
}
