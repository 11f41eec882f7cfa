//! What the registry's routes say to what cannot be, and to what is at the edge of it.

use axum::body::to_bytes;
use serde_json::{Value, json};

use super::{API, Served};

const INVALID: &str = "INVALID_PARAMETER_VALUE";
const MISSING: &str = "RESOURCE_DOES_NOT_EXIST";

/// `m` has versions 1 to 3, of which 2 was deleted; `empty` has none.
async fn served() -> Served {
    let served = Served::new().await;
    served.model("empty", &[]).await;
    served.model("m", &["s3://b/1", "s3://b/2", "s3://b/3"]).await;
    served.done("POST", "registered-models/alias", json!({ "name": "m", "alias": "gone", "version": "2" })).await;
    served.done("DELETE", "model-versions/delete", json!({ "name": "m", "version": "2" })).await;
    served
}

#[tokio::test]
async fn each_mistake_has_its_code_and_its_words() {
    let served = served().await;
    let bad_stage = "Invalid Model Version stage: Foo. Value must be one of None, Staging, Production, Archived.";
    let (no_model, no_version) =
        ("Registered Model with name=X not found", "Model Version (name=m, version=9) not found");
    let not_a_number = "Parameter 'version' must be an integer, got 'abc'.";
    let no_alias = "Registered model alias X not found.";
    let (get, post, patch, delete) = ("GET", "POST", "PATCH", "DELETE");
    for (method, route, body, want) in [
        // Models.
        (
            post,
            "registered-models/create",
            json!({ "name": "m" }),
            (400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=m) already exists."),
        ),
        (
            post,
            "registered-models/rename",
            json!({ "name": "m", "new_name": "empty" }),
            (400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=empty) already exists."),
        ),
        (post, "registered-models/rename", json!({ "name": "X", "new_name": "Y" }), (404, MISSING, no_model)),
        (get, "registered-models/get?name=X", Value::Null, (404, MISSING, no_model)),
        (patch, "registered-models/update", json!({ "name": "X" }), (404, MISSING, no_model)),
        (delete, "registered-models/delete", json!({ "name": "X" }), (404, MISSING, no_model)),
        (post, "registered-models/set-tag", json!({ "name": "X", "key": "k" }), (404, MISSING, no_model)),
        (delete, "registered-models/delete-tag", json!({ "name": "X", "key": "k" }), (404, MISSING, no_model)),
        (post, "registered-models/get-latest-versions", json!({ "name": "X" }), (404, MISSING, no_model)),
        (get, "registered-models/get-latest-versions?name=m&stages=Foo", Value::Null, (400, INVALID, bad_stage)),
        // Aliases.
        (get, "registered-models/alias?name=m&alias=X", Value::Null, (400, INVALID, no_alias)),
        (get, "registered-models/alias?name=X&alias=a", Value::Null, (404, MISSING, no_model)),
        (
            get,
            "registered-models/alias?name=empty&alias=latest",
            Value::Null,
            (404, MISSING, "Latest version not found for model empty."),
        ),
        (
            get,
            "registered-models/alias?name=m&alias=gone",
            Value::Null,
            (400, INVALID, "Registered model alias gone not found."),
        ),
        (
            post,
            "registered-models/alias",
            json!({ "name": "X", "alias": "a", "version": "1" }),
            (404, MISSING, "Model Version (name=X, version=1) not found"),
        ),
        (
            post,
            "registered-models/alias",
            json!({ "name": "m", "alias": "a", "version": "9" }),
            (404, MISSING, no_version),
        ),
        (
            post,
            "registered-models/alias",
            json!({ "name": "m", "alias": "a", "version": "abc" }),
            (400, INVALID, not_a_number),
        ),
        (delete, "registered-models/alias", json!({ "name": "X", "alias": "a" }), (404, MISSING, no_model)),
        // Versions.
        (post, "model-versions/create", json!({ "name": "X", "source": "s3://b/1" }), (404, MISSING, no_model)),
        (get, "model-versions/get?name=m&version=abc", Value::Null, (400, INVALID, not_a_number)),
        (get, "model-versions/get?name=m&version=9", Value::Null, (404, MISSING, no_version)),
        (
            get,
            "model-versions/get?name=m&version=0",
            Value::Null,
            (404, MISSING, "Model Version (name=m, version=0) not found"),
        ),
        (
            get,
            "model-versions/get?name=m&version=-1",
            Value::Null,
            (404, MISSING, "Model Version (name=m, version=-1) not found"),
        ),
        (
            get,
            "model-versions/get?name=m&version=99999999999",
            Value::Null,
            (404, MISSING, "Model Version (name=m, version=99999999999) not found"),
        ),
        (
            get,
            "model-versions/get?name=m&version=9999999999999999999999999999999999999999999",
            Value::Null,
            (404, MISSING, "Model Version (name=m, version=9999999999999999999999999999999999999999999) not found"),
        ),
        (
            get,
            "model-versions/get?name=X&version=9",
            Value::Null,
            (404, MISSING, "Model Version (name=X, version=9) not found"),
        ),
        (get, "model-versions/get-download-uri?name=m&version=9", Value::Null, (404, MISSING, no_version)),
        (patch, "model-versions/update", json!({ "name": "m", "version": "9" }), (404, MISSING, no_version)),
        (delete, "model-versions/delete", json!({ "name": "m", "version": "9" }), (404, MISSING, no_version)),
        (
            post,
            "model-versions/set-tag",
            json!({ "name": "m", "version": "9", "key": "k" }),
            (404, MISSING, no_version),
        ),
        (
            delete,
            "model-versions/delete-tag",
            json!({ "name": "m", "version": "9", "key": "k" }),
            (404, MISSING, no_version),
        ),
        (
            post,
            "model-versions/transition-stage",
            json!({ "name": "m", "version": "9", "stage": "Staging" }),
            (404, MISSING, no_version),
        ),
        (
            post,
            "model-versions/transition-stage",
            json!({ "name": "m", "version": "1", "stage": "Foo" }),
            (400, INVALID, bad_stage),
        ),
    ] {
        let (status, code, message) = served.refused(method, route, body.clone()).await;
        assert_eq!((status, code.as_str(), message.as_str()), want, "{method} {route} {body}");
    }
    for field in ["name", "version", "stage"] {
        let mut body = json!({ "name": "m", "version": "1", "stage": "Staging" });
        body.as_object_mut().unwrap().remove(field);
        let (status, code, message) = served.refused(post, "model-versions/transition-stage", body).await;
        assert_eq!((status, code.as_str()), (400, INVALID), "{field}");
        assert!(message.contains(&format!("Missing value for required parameter '{field}'")), "{message}");
    }
}

/// Stages that have one holder take the place of the others; those that many share do not.
#[tokio::test]
async fn a_model_that_is_to_have_the_name_that_it_has_has_it() {
    let served = served().await;
    let same = json!({ "name": "m", "new_name": "m" });
    let answer = served.done("POST", "registered-models/rename", same).await;
    assert_eq!(answer["registered_model"]["name"], "m", "{answer}");
}

#[tokio::test]
async fn archiving_the_others_is_for_stages_that_one_version_holds() {
    let served = served().await;
    for stage in ["Archived", "None", "archived"] {
        let body = json!({ "name": "m", "version": "1", "stage": stage, "archive_existing_versions": true });
        let (status, code, message) = served.refused("POST", "model-versions/transition-stage", body).await;
        assert_eq!((status, code.as_str()), (400, INVALID), "{message}");
    }
    for version in ["1", "3"] {
        let body = json!({ "name": "m", "version": version, "stage": "sTaGing", "archive_existing_versions": true });
        let moved = served.done("POST", "model-versions/transition-stage", body).await;
        assert_eq!(moved["model_version"]["current_stage"], "Staging");
    }
    let first = served.done("GET", "model-versions/get?name=m&version=1", Value::Null).await;
    assert_eq!(first["model_version"]["current_stage"], "Archived");
}

#[tokio::test]
async fn the_latest_versions_are_asked_for_in_either_way() {
    let served = served().await;
    for (version, stage) in [("1", "Production"), ("3", "Staging")] {
        let body = json!({ "name": "m", "version": version, "stage": stage });
        served.done("POST", "model-versions/transition-stage", body).await;
    }
    let asked = async |stages: &[&str]| {
        const ROUTE: &str = "registered-models/get-latest-versions";
        let query: String = stages.iter().map(|stage| format!("&stages={stage}")).collect();
        let got = served.done("GET", &format!("{ROUTE}?name=m{query}"), Value::Null).await;
        let posted = served.done("POST", ROUTE, json!({ "name": "m", "stages": stages })).await;
        assert_eq!(got, posted, "{stages:?}");
        let versions = got["model_versions"].as_array().cloned().unwrap_or_default();
        let said = versions.iter().map(|it| format!("{} {}", it["current_stage"], it["version"]).replace('"', ""));
        said.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(asked(&[]).await, "Staging 3, Production 1");
    assert_eq!(asked(&["Production", "Staging"]).await, "Staging 3, Production 1");
    assert_eq!(asked(&["production"]).await, "Production 1");
    assert_eq!(asked(&["STAGING", "staging", "Staging"]).await, "Staging 3", "each once");
    assert_eq!(asked(&["None", "Archived"]).await, "");
}

#[tokio::test]
async fn a_deleted_version_is_nowhere() {
    let served = served().await;
    let gone = "Model Version (name=m, version=2) not found";
    for (method, route, more) in [
        ("PATCH", "model-versions/update", json!({ "description": "x" })),
        ("POST", "model-versions/set-tag", json!({ "key": "k", "value": "v" })),
        ("DELETE", "model-versions/delete-tag", json!({ "key": "k" })),
        ("POST", "model-versions/transition-stage", json!({ "stage": "Production" })),
        ("POST", "registered-models/alias", json!({ "alias": "a" })),
        ("DELETE", "model-versions/delete", json!({})),
        ("GET", "model-versions/get?name=m&version=2", Value::Null),
        ("GET", "model-versions/get-download-uri?name=m&version=2", Value::Null),
        ("POST", "model-versions/create", json!({ "source": "models:/m/2" })),
    ] {
        let mut body = json!({ "name": "m", "version": "2" });
        match more {
            Value::Object(more) => body.as_object_mut().unwrap().extend(more),
            _ => body = Value::Null,
        }
        assert_eq!(served.refused(method, route, body).await, (404, MISSING.to_owned(), gone.to_owned()), "{route}");
    }
    let found = served.done("GET", "model-versions/search?order_by=version_number", Value::Null).await;
    let numbers: Vec<&Value> = found["model_versions"].as_array().unwrap().iter().map(|it| &it["version"]).collect();
    assert_eq!(numbers, [&json!("1"), &json!("3")]);
    // Its number is not used again, also when it was the highest.
    served.done("DELETE", "model-versions/delete", json!({ "name": "m", "version": "3" })).await;
    let latest = served.done("GET", "registered-models/alias?name=m&alias=LATEST", Value::Null).await;
    assert_eq!(latest["model_version"]["version"], "1");
    let made = served.done("POST", "model-versions/create", json!({ "name": "m", "source": "s3://b/4" })).await;
    assert_eq!(made["model_version"]["version"], "4");
}

/// `MLFLOW_TRACKING_USERNAME` of a client.
#[tokio::test]
async fn the_log_has_who_logs_in() {
    let served = Served::new().await;
    for (name, login, user) in [("a", "Basic YW5uOng=", "ann (mlflow client)"), ("b", "Bearer abc", "mlflow client")] {
        let path = format!("{API}/registered-models/create");
        let made = served.answer("POST", &path, &[("authorization", login)], json!({ "name": name }).to_string()).await;
        let made: Value = serde_json::from_slice(&to_bytes(made.into_body(), usize::MAX).await.unwrap()).unwrap();
        assert_eq!(made["registered_model"]["user_id"], user, "{made}");
    }
}
