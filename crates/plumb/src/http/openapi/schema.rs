//! Schemas, said shortly.

use serde_json::{Map, Value as Json, json};

pub(super) fn text() -> Json {
    json!({ "type": "string" })
}

/// A text with its meaning.
pub(super) fn text_of(description: &str) -> Json {
    json!({ "type": "string", "description": description })
}

pub(super) fn one_of(words: &[&str]) -> Json {
    json!({ "type": "string", "enum": words })
}

pub(super) fn whole() -> Json {
    json!({ "type": "integer" })
}

pub(super) fn number() -> Json {
    json!({ "type": "number" })
}

pub(super) fn flag() -> Json {
    json!({ "type": "boolean" })
}

/// A value of any type.
pub(super) fn any() -> Json {
    json!({})
}

pub(super) fn list(of: Json) -> Json {
    json!({ "type": "array", "items": of })
}

/// An object whose names are the user's.
pub(super) fn map(of: Json) -> Json {
    json!({ "type": "object", "additionalProperties": of })
}

/// An object of which no more is said.
pub(super) fn some_object() -> Json {
    json!({ "type": "object" })
}

pub(super) fn object<const R: usize, const O: usize>(required: [(&str, Json); R], optional: [(&str, Json); O]) -> Json {
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let all = required.iter().chain(&optional).map(|(name, schema)| ((*name).to_owned(), schema.clone()));
    let mut said = json!({ "type": "object", "properties": all.collect::<Map<String, Json>>() });
    if !names.is_empty() {
        said["required"] = json!(names);
    }
    said
}

pub(super) fn component(name: &str) -> Json {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What several operations have.
pub(super) fn components() -> Json {
    let columns = || json!({ "type": "array", "items": {}, "minItems": 1, "maxItems": 10_000 });
    let time = || json!({ "type": "string", "description": "An instant in RFC 3339." });
    json!({
        "Error": object([("error", object(
            [
                ("code", text_of("Stable; docs/http.md has all of them.")), ("message", text()), ("retryable", flag()),
                ("request_id", text()),
            ],
            [
                ("hint", json!({ "type": ["string", "null"] })),
                ("mistakes", list(some_object())),
            ],
        ))], []),
        "Entities": {
            "type": "object", "additionalProperties": columns(),
            "description": "Lists of one length, one for each join key.",
        },
        "Context": {
            "type": "object",
            "description": "Fields of the request, for on-demand views: a value for all rows, or a list with one a row.",
        },
        "Time": time(),
        "Features": map(object([("values", list(any())), ("statuses", list(component("Status")))], [("view", text())])),
        "Status": one_of(&["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND", "UNAVAILABLE"]),
        "Views": map(object([("version", whole()), ("event_times", list(any())), ("ages", list(any()))], [])),
        "Webhook": object([("name", text()), ("url", text()), ("topics", list(text()))], [
            ("description", text()), ("secret", text()), ("enabled", flag()),
        ]),
        "Tensor": object(
            [("name", text()), ("shape", list(whole())), ("datatype", component("Datatype"))],
            [("data", list(any())), ("parameters", some_object())],
        ),
        "Datatype": one_of(&[
            "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES",
            "BF16",
        ]),
        "InferError": object([("error", text())], []),
        "FeastError": { "description": "A text that holds an error of Feast as JSON, or what is wrong with a body." },
        "MlflowError": object([("error_code", text()), ("message", text())], []),
        "MlflowTag": object([("key", text())], [("value", text())]),
        "RegisteredModel": object([("name", text())], [
            ("description", text()), ("tags", list(component("MlflowTag"))), ("aliases", list(some_object())),
            ("latest_versions", list(component("ModelVersion"))), ("creation_timestamp", whole()),
            ("last_updated_timestamp", whole()),
        ]),
        "ModelVersion": object([("name", text()), ("version", text())], [
            ("current_stage", text()), ("source", text()), ("run_id", text()), ("status", text()), ("status_message", text()),
            ("description", text()), ("tags", list(component("MlflowTag"))), ("aliases", list(text())), ("user_id", text()),
            ("creation_timestamp", whole()), ("last_updated_timestamp", whole()),
        ]),
    })
}
