//! Models and versions as clients read them, whole.

use serde_json::{Value, json};

use super::Served;

/// Times are numbers of milliseconds, in the present: they are taken out, and compared no further.
#[track_caller]
fn without_times(mut entity: Value) -> Value {
    // 2020 to 2100.
    let present = 1_577_836_800_000..4_102_444_800_000_i64;
    for key in ["creation_timestamp", "last_updated_timestamp"] {
        let at = entity.as_object_mut().unwrap().remove(key).unwrap_or_else(|| panic!("no {key} in {entity}"));
        assert!(at.as_i64().is_some_and(|at| present.contains(&at)), "{key} is {at}");
    }
    if let Some(latest) = entity.get_mut("latest_versions") {
        *latest = latest.as_array().unwrap().iter().cloned().map(without_times).collect();
    }
    entity
}

fn version(number: &str, stage: &str) -> Value {
    json!({
        "name": "m", "version": number, "user_id": "mlflow client", "current_stage": stage, "description": "",
        "source": "s3://b/1", "run_id": "", "run_link": "", "status": "READY",
    })
}

#[tokio::test]
async fn a_model_with_a_version_has_the_form_that_clients_read() {
    let served = Served::new().await;
    let made = served.done("POST", "registered-models/create", json!({ "name": "m" })).await;
    assert_eq!(without_times(made["registered_model"].clone()), json!({ "name": "m", "user_id": "mlflow client" }));
    let made = served.done("POST", "model-versions/create", json!({ "name": "m", "source": "s3://b/1" })).await;
    assert_eq!(without_times(made["model_version"].clone()), version("1", "None"));
    let got = served.done("GET", "registered-models/get?name=m", Value::Null).await;
    let want = json!({ "name": "m", "user_id": "mlflow client", "latest_versions": [version("1", "None")] });
    assert_eq!(without_times(got["registered_model"].clone()), want);
    // The real server refuses a number where it writes a text; here both are taken.
    let by_number = json!({ "name": "m", "version": 1, "stage": "staging" });
    let moved = served.done("POST", "model-versions/transition-stage", by_number).await;
    assert_eq!(without_times(moved["model_version"].clone()), version("1", "Staging"));
}

#[tokio::test]
async fn what_was_said_of_a_version_is_in_it() {
    let served = Served::new().await;
    let run = served.run().await;
    served.done("POST", "registered-models/create", json!({ "name": "m", "description": "of m" })).await;
    let said = json!({
        "name": "m", "source": "s3://b/1", "run_id": run, "run_link": "http://ui/1", "description": "first",
        "tags": [{ "key": "b", "value": "2" }, { "key": "a", "value": "" }],
    });
    served.done("POST", "model-versions/create", said).await;
    served.done("POST", "registered-models/set-tag", json!({ "name": "m", "key": "k", "value": "v" })).await;
    let got = served.done("GET", "model-versions/get?name=m&version=1", Value::Null).await;
    let mut want = version("1", "None");
    for (key, value) in [("run_id", json!(run)), ("run_link", json!("http://ui/1")), ("description", json!("first"))] {
        want[key] = value;
    }
    want["tags"] = json!([{ "key": "a", "value": "" }, { "key": "b", "value": "2" }]);
    assert_eq!(without_times(got["model_version"].clone()), want);
    let got = served.done("GET", "registered-models/get?name=m", Value::Null).await;
    let model = json!({
        "name": "m", "user_id": "mlflow client", "description": "of m", "latest_versions": [want],
        "tags": [{ "key": "k", "value": "v" }],
    });
    assert_eq!(without_times(got["registered_model"].clone()), model);
}

/// MLflow's own server leaves aliases out of searches and of the latest versions.
#[tokio::test]
async fn aliases_are_wherever_their_version_is() {
    let served = Served::new().await;
    served.model("m", &["s3://b/1", "s3://b/1"]).await;
    served
        .done("POST", "model-versions/transition-stage", json!({ "name": "m", "version": "1", "stage": "Production" }))
        .await;
    for (alias, to) in [("champion", "1"), ("best", "1"), ("next", "2")] {
        let body = json!({ "name": "m", "alias": alias, "version": to });
        assert_eq!(served.done("POST", "registered-models/alias", body).await, json!({}));
    }
    let (mut one, mut two) = (version("1", "Production"), version("2", "None"));
    (one["aliases"], two["aliases"]) = (json!(["best", "champion"]), json!(["next"]));

    let got = served.done("GET", "registered-models/get?name=m", Value::Null).await;
    let want = json!({
        "name": "m", "user_id": "mlflow client",
        // One for each stage that has any.
        "latest_versions": [two, one],
        "aliases": [
            { "alias": "best", "version": "1" }, { "alias": "champion", "version": "1" },
            { "alias": "next", "version": "2" },
        ],
    });
    assert_eq!(without_times(got["registered_model"].clone()), want);
    for (route, list, want) in [
        ("model-versions/search?order_by=version_number", "model_versions", vec![&one, &two]),
        ("registered-models/get-latest-versions?name=m", "model_versions", vec![&two, &one]),
    ] {
        let found = served.done("GET", route, Value::Null).await;
        let found: Vec<Value> = found[list].as_array().unwrap().iter().cloned().map(without_times).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), want, "{route}");
    }
    let called = served.done("GET", "registered-models/alias?name=m&alias=champion", Value::Null).await;
    assert_eq!(without_times(called["model_version"].clone()), one);
    let found = served.done("GET", "registered-models/search", Value::Null).await;
    assert_eq!(without_times(found["registered_models"][0].clone()), want);
}
