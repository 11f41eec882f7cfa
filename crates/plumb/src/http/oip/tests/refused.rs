//! Requests that are not: what is said of them.

use super::*;

#[tokio::test]
async fn what_is_not_there_is_told_in_tritons_words() {
    let served = Served::new().await;
    let unknown = "Request for unknown model: 'nope' is not found";
    for path in ["/v2/models/nope", "/v2/models/nope/config", "/v2/models/nope/stats"] {
        served.get(path).await.refused(404, unknown);
    }
    served.infer("nope", "{}").await.refused(404, unknown);
    let version = "Request for unknown model: 'add' version 7 is not found";
    served.get("/v2/models/add/versions/7").await.refused(404, version);
    let told = served.get("/v2/models/nope/ready").await;
    assert_eq!((told.status, told.json()), (404, json!({ "name": "nope", "ready": false, "error": unknown })));
    served.get("/v2/nothing/here").await.refused(404, "there is no route GET /v2/nothing/here");
    served.get("/v2/models/add/infer").await.refused(405, "/v2/models/add/infer does not take GET");
    assert_eq!(served.get("/v2/logging").await.status, 501);
    assert_eq!(served.send("POST", "/v2/models/add/generate", &[], "{}").await.status, 501);
    assert_eq!(served.send("POST", "/v2/systemsharedmemory/region/r/register", &[], "{}").await.status, 501);
    // What could be read as a path is no name.
    for path in ["/v2/models/..%2Fx", "/v2/models/%2e%2e", "/v2/models/a%2Fb/infer", "/v2/models/add/versions/..%2F1"] {
        let told = served.send(if path.ends_with("infer") { "POST" } else { "GET" }, path, &[], "{}").await;
        assert_eq!((told.status, told.json()["error"].is_string()), (400, true), "{path}");
    }
    assert_eq!(served.get(&format!("/v2/models/{}", "x".repeat(257))).await.status, 400);
    served.send("GET", "/v2", &[("host", "evil.com")], "").await.refused(
        403,
        "the request names host `evil.com`, which this server is not called; if it is: allowed_hosts: [name] in plumb.yaml",
    );
}

#[tokio::test]
async fn what_is_wrong_is_the_clients_mistake_and_said() {
    let served = Served::new().await;
    let input = |shape: Json, datatype: &str| json!({ "inputs": [{ "name": "features", "shape": shape, "datatype": datatype, "data": [1, 2, 3] }] });
    for (body, why) in [
        ("".to_owned(), "failed to parse the request JSON buffer: EOF while parsing a value at line 1 column 0"),
        ("{".to_owned(), "failed to parse the request JSON buffer: EOF while parsing an object at line 1 column 1"),
        ("{} x".to_owned(), "failed to parse the request JSON buffer: trailing characters at line 1 column 4"),
        ("{\"inputs\":[{\"name\":NaN}]}".to_owned(), "failed to parse the request JSON buffer: expected value at line 1 column 20"),
        (
            "{}".to_owned(),
            "expected 1 inputs but got 0 inputs for model 'linear'. Got input(s) [], but missing required input(s) ['features']. Please provide all required input(s).",
        ),
        (
            input(json!([1, 4]), "FP32").to_string(),
            "unexpected number of elements 3 for input 'features', expecting 4",
        ),
        (
            input(json!([3, 1]), "FP32").to_string(),
            "unexpected shape for input 'features' for model 'linear'. Expected [-1,3], got [3,1]",
        ),
        (
            input(json!([1, 3]), "FP64").to_string(),
            "inference input 'features' data-type is 'FP64', but model 'linear' expects 'FP32'",
        ),
        (input(json!([-1, 3]), "FP32").to_string(), "shape [-1,3] of input 'features' has a negative dimension"),
        (
            input(json!([16, (1_u64 << 60) + 2]), "INT64").to_string(),
            "shape [16,1152921504606846978] of input 'features' causes total element count to exceed maximum size of 2147483647",
        ),
        (input(json!([1, 3]), "FLOAT").to_string(), "input 'features' has the datatype 'FLOAT', which is none"),
        (
            json!({ "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32" }] }).to_string(),
            "input 'features' has neither data nor binary_data_size",
        ),
        (
            json!({ "inputs": [], "parameters": { "triton_x": 1 } }).to_string(),
            "parameter keys starting with 'triton_' are reserved for Triton usage, got 'triton_x'",
        ),
        (
            json!({ "inputs": [], "parameters": { "mine": {} } }).to_string(),
            "parameter 'mine' is no text, number or truth",
        ),
        (
            json!({ "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32", "parameters": { "binary_data_size": 12 } }] }).to_string(),
            "input 'features' has binary_data_size, and the request no Inference-Header-Content-Length",
        ),
    ] {
        served.infer("linear", body).await.refused(400, why);
    }
    let twice = json!({ "inputs": [linear(&json!([1, 2, 3]))["inputs"][0], linear(&json!([1, 2, 3]))["inputs"][0]] });
    served.infer("linear", twice.to_string()).await.refused(400, "input 'features' already exists in request");
    let mut outputs = linear(&json!([1, 2, 3]));
    outputs["outputs"] = json!([{ "name": "nope" }]);
    served
        .infer("linear", outputs.to_string())
        .await
        .refused(400, "unexpected inference output 'nope' for model 'linear'");
    // Nothing is called again for what is nested.
    let deep = format!(
        "{{\"inputs\":[{{\"name\":\"features\",\"shape\":[1,3],\"datatype\":\"FP32\",\"data\":{}{}}}]}}",
        "[".repeat(250_000),
        "]".repeat(250_000)
    );
    served.infer("linear", deep).await.refused(400, "the data of input 'features' is nested deeper than 100 lists");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{{\"parameters\":{{\"a\":{}1{}}}}}", open.repeat(250_000), close.repeat(250_000));
        let told = served.infer("linear", deep).await;
        assert_eq!(told.status, 400);
        let deep = format!("{{\"x\":{}1{}}}", open.repeat(250_000), close.repeat(250_000));
        assert_eq!(served.infer("linear", deep).await.status, 400);
    }
    let not_text = served.infer("linear", vec![b'{', 0xff]).await;
    assert!(
        not_text.json()["error"]
            .as_str()
            .unwrap()
            .starts_with("failed to parse the request JSON buffer: invalid utf-8")
    );
}

#[tokio::test]
async fn raw_tensors_that_do_not_add_up_are_refused() {
    let served = Served::new().await;
    let asked = |size: Json| json!({ "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32", "parameters": { "binary_data_size": size } }] });
    let row = floats(&[1.0, 2.0, 3.0]);
    let check =
        async |size: Json, raw: &[u8], why: &str| served.binary("linear", &asked(size), raw).await.refused(400, why);
    check(json!(12), &row[..11], "input 'features' has 12 bytes by binary_data_size, and 11 are left").await;
    check(
        json!(u64::MAX),
        &row,
        &format!("input 'features' has {} bytes by binary_data_size, and 12 are left", u64::MAX),
    )
    .await;
    check(json!(8), &row, "unexpected total byte size 8 for input 'features', expecting 12").await;
    check(json!(12), &[row.clone(), vec![0]].concat(), "unexpected additional input data for model 'linear': 1 bytes")
        .await;
    check(json!(-1), &row, "parameter 'binary_data_size' is Int(-1), expected a whole number from 0").await;
    for (length, why) in [
        ("-1", "Inference-Header-Content-Length is no length: '-1'"),
        ("+1", "Inference-Header-Content-Length is no length: '+1'"),
        ("x", "Inference-Header-Content-Length is no length: 'x'"),
        ("99999999999999999999999", "Inference-Header-Content-Length is no length: '99999999999999999999999'"),
        ("2147483648", "Inference-Header-Content-Length is 2147483648, and the request body has 2 bytes"),
        ("3", "Inference-Header-Content-Length is 3, and the request body has 2 bytes"),
    ] {
        let told =
            served.send("POST", "/v2/models/linear/infer", &[("Inference-Header-Content-Length", length)], "{}").await;
        told.refused(400, why);
    }
    // A text that claims more than there is.
    let asked = json!({ "inputs": [{ "name": "x", "shape": [1, 1], "datatype": "BYTES", "parameters": { "binary_data_size": 5 } }] });
    served.binary("echo", &asked, &[255, 255, 255, 127, b'a']).await.refused(
        400,
        "incomplete string data for inference input 'x', expecting string of length 2147483647 but only 1 bytes available",
    );
}

#[tokio::test]
async fn whoever_waits_no_longer_is_told_so() {
    let served = Served::new().await;
    let mut body = linear(&json!([1, 2, 3]));
    let told = served.send("POST", "/v2/models/linear/infer", &[("plumb-timeout-ms", "0")], body.to_string()).await;
    told.refused(503, "Request timeout expired before model 'linear' had a free session");
    assert_eq!(told.headers[header::RETRY_AFTER], "1");
    let told = served.send("POST", "/v2/models/linear/infer", &[("plumb-timeout-ms", "soon")], body.to_string()).await;
    told.refused(400, "plumb-timeout-ms is no number of milliseconds");
    body["parameters"] = json!({ "timeout": 60_000_000, "priority": 1 });
    assert_eq!(served.infer("linear", body.to_string()).await.status, 200);
}
