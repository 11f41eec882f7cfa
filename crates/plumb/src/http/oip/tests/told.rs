//! What the server says of itself and of its models.

use super::*;

#[tokio::test]
async fn a_server_says_what_it_is() {
    let served = Served::new().await;
    for path in ["/v2", "/v2/"] {
        let said = served.get(path).await.json();
        assert_eq!((said["name"].as_str(), said["version"].as_str()), (Some("plumb"), Some(env!("CARGO_PKG_VERSION"))));
        assert!(said["extensions"].as_array().unwrap().contains(&json!("binary_tensor_data")));
    }
    assert_eq!(served.get("/v2/health/live").await.json(), json!({ "live": true }));
    assert_eq!(served.get("/v2/health/ready").await.json(), json!({ "ready": true, "live": true }));
    served.world.readiness.set(vec!["a model is away".to_owned()]);
    let told = served.get("/v2/health/ready").await;
    assert_eq!((told.status, told.json()["ready"].clone()), (400, json!(false)));
    let named = Served::with(InferenceConfig { server_name: "triton".to_owned(), ..InferenceConfig::default() }).await;
    assert_eq!(named.get("/v2").await.json()["name"], "triton");
}

#[tokio::test]
async fn a_model_says_what_it_takes() {
    let served = Served::new().await;
    let want = json!({
        "name": "add", "versions": ["1"], "platform": "onnxruntime_onnx",
        "inputs": [
            { "name": "a", "datatype": "INT64", "shape": [-1, 1] }, { "name": "b", "datatype": "INT64", "shape": [-1, 1] },
        ],
        "outputs": [
            { "name": "sum", "datatype": "INT64", "shape": [-1, 1] },
            { "name": "difference", "datatype": "INT64", "shape": [-1, 1] },
        ],
    });
    assert_eq!(served.get("/v2/models/add").await.json(), want);
    assert_eq!(served.get("/v2/models/add/versions/1").await.json(), want);
    let config = served.get("/v2/models/linear/config").await.json();
    assert_eq!((config["backend"].as_str(), config["max_batch_size"].as_i64().is_some()), (Some("onnxruntime"), true));
    assert_eq!(config["input"][0]["data_type"], "TYPE_FP32");
    assert_eq!(config["instance_group"][0]["kind"], "KIND_CPU");
    assert_eq!(config["model_transaction_policy"]["decoupled"], false);
    assert_eq!(served.get("/v2/models/echo/config").await.json()["input"][0]["data_type"], "TYPE_STRING");
    assert_eq!(served.get("/v2/models/linear/ready").await.json(), json!({ "name": "linear", "ready": true }));
}

#[tokio::test]
async fn statistics_count_what_was_answered() {
    let served = Served::new().await;
    assert_eq!(served.infer("linear", linear(&json!([1, 2, 3])).to_string()).await.status, 200);
    assert_eq!(served.infer("linear", linear(&json!([[1, 2, 3]])).to_string()).await.status, 200);
    assert_eq!(served.infer("linear", "{}").await.status, 400);
    let stats = served.get("/v2/models/linear/stats").await.json()["model_stats"][0].clone();
    assert_eq!((&stats["name"], &stats["version"]), (&json!("linear"), &json!("1")));
    assert_eq!((&stats["inference_count"], &stats["execution_count"]), (&json!(2), &json!(2)));
    let counts = &stats["inference_stats"];
    assert_eq!((&counts["success"]["count"], &counts["fail"]["count"]), (&json!(2), &json!(1)));
    assert_eq!(stats["batch_stats"][0]["batch_size"], 1);
    assert!(stats["last_inference"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(served.get("/v2/models/stats").await.json()["model_stats"].as_array().unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn models_are_loaded_and_taken_away() {
    let served = Served::new().await;
    let post = async |path: &str, body: &str| served.send("POST", path, &[], body.to_owned()).await;
    let index = async |body: &str| post("/v2/repository/index", body).await.json();
    let states = index("").await;
    assert_eq!(states[0], json!({ "name": "add", "version": "1", "state": "READY", "reason": "" }));
    assert_eq!(states.as_array().unwrap().len(), 7);
    let told = post("/v2/repository/models/add/unload", "{}").await;
    assert_eq!((told.status, told.body.len()), (200, 0));
    assert_eq!(
        index("{}").await[0],
        json!({ "name": "add", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded" })
    );
    assert_eq!(index("{\"ready\":true}").await.as_array().unwrap().len(), 6);
    served.get("/v2/models/add").await.refused(404, "Request for unknown model: 'add' is not found");
    assert_eq!(post("/v2/repository/anything/models/add/load", "").await.status, 200);
    assert_eq!(served.get("/v2/models/add/ready").await.status, 200);
    post("/v2/repository/models/nope/load", "")
        .await
        .refused(400, "failed to load 'nope', there is no model of this name");
    post("/v2/repository/models/nope/unload", "")
        .await
        .refused(400, "failed to unload 'nope', there is no model of this name");
    let file = r#"{"parameters":{"config":"{}","file:1/model.onnx":"AAAA"}}"#;
    post("/v2/repository/models/add/load", file).await.refused(
        400,
        "failed to load 'add', files cannot be sent with a load: register them as a version of the model",
    );
    let config = r#"{"parameters":{"config":"{\"version_policy\":{\"specific\":{\"versions\":[9]}}}"}}"#;
    post("/v2/repository/models/add/load", config)
        .await
        .refused(400, "failed to load 'add', there is no version 9 of it that has an ONNX file");
    served.world.register("add", b"no model").await;
    let config = r#"{"parameters":{"config":"{\"version_policy\":{\"specific\":{\"versions\":[2]}}}"}}"#;
    let told = post("/v2/repository/models/add/load", config).await;
    assert_eq!(told.status, 400);
    assert!(told.json()["error"].as_str().unwrap().starts_with("failed to load 'add', model `add` version 2 was read"));
    assert_eq!(served.get("/v2/models/add/versions/1").await.status, 200, "the version in Production answers on");
    let states = index("").await;
    assert_eq!((&states[1]["version"], &states[1]["state"]), (&json!("2"), &json!("UNAVAILABLE")));
}
