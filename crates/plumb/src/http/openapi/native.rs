//! plumb's own routes.

use serde_json::{Value as Json, json};

use super::operation::Operation;
use super::schema::{any, component, flag, list, map, object, one_of, some_object, text, text_of, whole};
use crate::http::accept::ARROW_STREAM;

pub(super) const TAG: &str = "plumb";
pub(super) const SERVER: &str = "server";
pub(super) const WEBHOOKS: &str = "webhooks";

pub(super) fn operations() -> Vec<Operation> {
    let own = data().into_iter().map(|operation| operation.of(TAG, "Error"));
    let server = server().into_iter().map(|operation| operation.of(SERVER, "Error"));
    let hooks = webhooks().into_iter().map(|operation| operation.of(WEBHOOKS, "Error"));
    own.chain(hooks).chain(server).collect()
}

fn bytes() -> Json {
    json!({ "type": "string", "format": "binary" })
}

fn closed(mut schema: Json) -> Json {
    schema["additionalProperties"] = json!(false);
    schema
}

fn data() -> Vec<Operation> {
    let service = || text_of("A feature service, or one of its versions: name@v2.");
    let features = object(
        [("features", component("Features")), ("views", component("Views"))],
        [("effective_time", text()), ("replay_token", text()), ("clock", text()), ("migrated", some_object())],
    );
    let predicted = object(
        [
            ("outputs", map(list(any()))),
            ("model", text()),
            ("version", whole()),
            ("prediction_ids", list(text())),
            ("features", component("Features")),
            ("views", component("Views")),
            ("effective_time", text()),
            ("timings_us", map(whole())),
        ],
        [("clock", text()), ("migrated", some_object())],
    );
    vec![
        Operation::post("/v1/features", "The features of some entities, by feature service or by name.")
            .json(closed(object(
                [("entities", component("Entities"))],
                [
                    ("service", service()),
                    ("features", list(text_of("view:feature"))),
                    ("as", text_of("The service version to answer in.")),
                    ("context", component("Context")),
                    ("as_of", component("Time")),
                    ("partial", flag()),
                ],
            )))
            .answers(features)
            .answers_as(ARROW_STREAM, bytes()),
        Operation::post(
            "/v1/models/{model}/predict",
            "What a model says to some entities, by their keys, or to feature values that are sent.",
        )
        .query([("service", text()), ("as_of", component("Time")), ("by", one_of(&["keys", "features"]))])
        .json(closed(object(
            [],
            [
                ("entities", component("Entities")),
                ("features", map(any())),
                ("service", service()),
                ("context", component("Context")),
                ("as_of", component("Time")),
            ],
        )))
        .body(ARROW_STREAM, bytes())
        .answers(predicted)
        .answers_as(ARROW_STREAM, bytes()),
        Operation::post("/v1/labels", "What came of predictions, by their ids, or by a model's entities and times.")
            .json(closed(object(
                [("label", text()), ("values", list(any()))],
                [
                    ("prediction_ids", list(text())),
                    ("model", text()),
                    ("entities", component("Entities")),
                    ("at", json!({ "oneOf": [component("Time"), list(component("Time"))] })),
                ],
            )))
            .answers(object([("label", text()), ("labels", whole()), ("repeated", whole())], [])),
        Operation::get("/v1/models", "The versions in Production.")
            .answers(object([("models", list(some_object()))], [])),
        Operation::post("/v1/views/{view}/push", "Rows of a feature view, on disk when they are answered.")
            .json(closed(object(
                [("rows", map(list(any())))],
                [("push_id", text()), ("to", one_of(&["online", "offline"]))],
            )))
            .answers(object(
                [("view", text()), ("rows", whole())],
                [("repeated", flag()), ("online_changed", whole())],
            )),
        Operation::post("/v1/training-sets", "A spine joined with a feature service, as an Arrow stream.")
            .query([
                ("service", service()),
                ("event_time", text()),
                ("label_time", text()),
                ("filled", flag()),
                ("fail_on_leakage", flag()),
            ])
            .json(closed(object(
                [("spine", json!({ "oneOf": [list(some_object()), object([("sql", text())], [])] }))],
                [
                    ("service", service()),
                    ("features", list(text())),
                    ("event_time", text()),
                    ("label_time", text()),
                    ("filled", flag()),
                    ("fail_on_leakage", flag()),
                ],
            )))
            .body(ARROW_STREAM, bytes())
            .answers_as(ARROW_STREAM, bytes()),
        Operation::post("/v1/materialize", "Brings what is new in feature views online.")
            .json(closed(object([], [("views", list(text())), ("fresh", flag())])))
            .answers(object([("materialized", list(some_object()))], []))
            .status(409, "Another run is at it."),
    ]
}

fn webhooks() -> Vec<Operation> {
    let hook = || component("Webhook");
    let id = "/v1/webhooks/{id}";
    vec![
        Operation::get("/v1/webhooks", "All webhooks.").answers(object([("webhooks", list(hook()))], [])),
        Operation::post("/v1/webhooks", "A new webhook.").json(hook()).answers(hook()),
        Operation::get(id, "A webhook.").answers(hook()),
        Operation::new("patch", id, "Changes what is named of a webhook.").json(object(
            [],
            [
                ("name", text()),
                ("url", text()),
                ("topics", list(text())),
                ("description", text()),
                ("secret", text()),
                ("enabled", flag()),
            ],
        )),
        Operation::new("delete", id, "Takes a webhook away."),
        Operation::get(format!("{id}/deliveries"), "What was sent, and what came back.").query([("limit", whole())]),
        Operation::post(format!("{id}/test"), "Sends a made up event now.")
            .json(object([], [("topic", text())]))
            .optional(),
    ]
}

fn server() -> Vec<Operation> {
    let plain = || json!({ "type": "string" });
    vec![
        Operation::get("/livez", "Whether the process answers.").answers_as("text/plain", plain()),
        Operation::get("/readyz", "Whether all that is wanted is there.")
            .answers(object([("ready", flag()), ("reasons", list(text()))], []))
            .status(503, "It is not, for these reasons."),
        Operation::get("/health", "As /readyz, in another form.").status(503, "It is not."),
        Operation::get("/metrics", "Counters, gauges and histograms, for Prometheus.")
            .answers_as("text/plain", plain()),
        Operation::get("/admin/tuner/history", "What the tuner decided of how versions are run, the newest last.")
            .query([("model", text()), ("limit", whole())])
            .answers(object([("decisions", list(some_object()))], [])),
        Operation::get("/version", "The version of plumb.").answers_as("text/plain", plain()),
        Operation::get("/openapi.json", "This document.").answers(some_object()),
        Operation::get("/docs", "This document, for people.").answers_as("text/html", plain()),
    ]
}
