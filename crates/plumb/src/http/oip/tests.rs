mod fuzzed;

use axum::body::to_bytes;
use flate2::read::GzDecoder;
use serde_json::Value as Json;
use std::io::Read;
use tonic::codegen::Service;

use super::*;
use crate::config::{Hosts, InferenceConfig, NonFiniteFloat};
use crate::http::attended;
use crate::oip::testing::World;

struct Served {
    world: World,
    router: Router,
}

/// What was answered.
struct Told {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Told {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(&self.body)))
    }

    #[track_caller]
    fn refused(&self, status: u16, why: &str) {
        let said = self.json();
        assert_eq!((self.status, said["error"].as_str()), (status, Some(why)), "{said}");
        assert_eq!(said.as_object().unwrap().len(), 1);
    }

    /// The JSON and the raw tensors behind it.
    fn parts(&self) -> (Json, &[u8]) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/octet-stream");
        let length: usize = self.headers[JSON_LENGTH].to_str().unwrap().parse().unwrap();
        let (json, raw) = self.body.split_at(length);
        (serde_json::from_slice(json).unwrap(), raw)
    }
}

impl Served {
    async fn new() -> Self {
        Self::with(InferenceConfig::default()).await
    }

    async fn with(config: InferenceConfig) -> Self {
        let world = World::new(config).await;
        let router = attended(router(Arc::clone(&world.inference)), Hosts::default());
        Self { world, router }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Told {
        let request = axum::http::Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.router.clone().call(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
        Told { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn get(&self, path: &str) -> Told {
        self.send("GET", path, &[], Body::empty()).await
    }

    async fn infer(&self, model: &str, body: impl Into<Body>) -> Told {
        self.send("POST", &format!("/v2/models/{model}/infer"), &[], body).await
    }

    /// JSON with raw bytes behind it.
    async fn binary(&self, model: &str, json: &Json, raw: &[u8]) -> Told {
        let json = json.to_string();
        let body = [json.as_bytes(), raw].concat();
        let length = json.len().to_string();
        self.send("POST", &format!("/v2/models/{model}/infer"), &[("Inference-Header-Content-Length", &length)], body)
            .await
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn linear(data: &Json) -> Json {
    json!({ "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32", "data": data }] })
}

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
async fn json_is_answered_with_json() {
    let served = Served::new().await;
    let mut body = linear(&json!([[1.0, 2.0, 3.0]]));
    let told = served.infer("linear", body.to_string()).await;
    assert_eq!(told.headers[header::CONTENT_TYPE], "application/json");
    assert!(told.headers.get(JSON_LENGTH).is_none());
    let score = json!([{ "name": "score", "datatype": "FP32", "shape": [1, 1], "data": [6.125] }]);
    assert_eq!(told.json(), json!({ "model_name": "linear", "model_version": "1", "outputs": score }));
    body["id"] = "mine".into();
    body["outputs"] = json!([{ "name": "score" }]);
    body["an unknown field"] = json!([{}]);
    let told = served.send("POST", "/v2/models/linear/versions/1/infer?x=y", &[], body.to_string()).await;
    assert_eq!(told.json(), json!({ "model_name": "linear", "model_version": "1", "id": "mine", "outputs": score }));
    // Two outputs come in the order of the asking.
    let one = |name: &str, x: i64| json!({ "name": name, "shape": [1, 1], "datatype": "INT64", "data": [x] });
    let asked = json!({ "inputs": [one("b", 2), one("a", i64::MAX)], "outputs": [{ "name": "difference" }, { "name": "sum" }] });
    let outputs = served.infer("add", asked.to_string()).await.json()["outputs"].clone();
    assert_eq!(
        outputs[0],
        json!({ "name": "difference", "datatype": "INT64", "shape": [1, 1], "data": [i64::MAX - 2] })
    );
    assert_eq!(outputs[1]["name"], "sum");
    let texts =
        json!({ "inputs": [{ "name": "x", "shape": [2, 1], "datatype": "BYTES", "data": ["ä\"", ""] }], "id": "" });
    let told = served.infer("echo", texts.to_string()).await.json();
    assert_eq!((&told["outputs"][0]["data"], told.get("id")), (&json!(["ä\"", ""]), None));
}

#[tokio::test]
async fn tensors_are_raw_where_they_are_asked_for() {
    let served = Served::new().await;
    let size = |n: usize| json!({ "binary_data_size": n });
    let mut asked = json!({
        "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32", "parameters": size(12) }],
        "parameters": { "binary_data_output": true },
    });
    let told = served.binary("linear", &asked, &floats(&[1.0, 2.0, 3.0])).await;
    let (json, raw) = told.parts();
    assert_eq!(
        json["outputs"],
        json!([{ "name": "score", "datatype": "FP32", "shape": [1, 1], "parameters": size(4) }])
    );
    assert_eq!(raw, floats(&[6.125]));
    // An output's own wish wins.
    asked["outputs"] = json!([{ "name": "score", "parameters": { "binary_data": false } }]);
    let told = served.binary("linear", &asked, &floats(&[1.0, 2.0, 3.0])).await;
    assert_eq!(told.json()["outputs"][0]["data"], json!([6.125]));
    // JSON and raw tensors may be mixed both ways.
    let asked = json!({
        "inputs": [
            { "name": "a", "shape": [1, 1], "datatype": "INT64", "data": [5] },
            { "name": "b", "shape": [1, 1], "datatype": "INT64", "parameters": size(8) },
        ],
        "outputs": [{ "name": "sum", "parameters": { "binary_data": true } }, { "name": "difference" }],
    });
    let told = served.binary("add", &asked, &3_i64.to_le_bytes()).await;
    let (json, raw) = told.parts();
    assert_eq!((raw, &json["outputs"][1]["data"]), (8_i64.to_le_bytes().as_slice(), &json!([2])));
    // Nothing is something.
    let asked = json!({
        "inputs": [{ "name": "x", "shape": [0, 4], "datatype": "FP32", "parameters": size(0) }],
        "parameters": { "binary_data_output": true },
    });
    let told = served.binary("free", &asked, &[]).await;
    let (json, raw) = told.parts();
    assert_eq!(
        (&json["outputs"][0]["parameters"], &json["outputs"][0]["shape"], raw),
        (&size(0), &json!([0, 4]), [].as_slice())
    );
    let halves = [0x00, 0x3c, 0x00, 0xc0];
    let mut asked = json!({
        "inputs": [{ "name": "x", "shape": [1, 2], "datatype": "FP16", "parameters": size(4) }],
        "parameters": { "binary_data_output": true },
    });
    assert_eq!(served.binary("half", &asked, &halves).await.parts().1, halves);
    asked["parameters"]["binary_data_output"] = false.into();
    served
        .binary("half", &asked, &halves)
        .await
        .refused(400, "output 'y' is FP16, which JSON has no numbers for: ask for it as binary data");
}

#[tokio::test]
async fn a_raw_request_is_the_one_input_and_nothing_else() {
    let served = Served::new().await;
    let raw = async |model: &str, body: Vec<u8>| {
        served
            .send("POST", &format!("/v2/models/{model}/infer"), &[("Inference-Header-Content-Length", "0")], body)
            .await
    };
    let told = raw("linear", floats(&[1.0, 2.0, 3.0])).await;
    let (json, answer) = told.parts();
    assert_eq!((&json["outputs"][0]["shape"], answer), (&json!([1, 1]), floats(&[6.125]).as_slice()));
    // A row of any length.
    let told = raw("free", floats(&[1.0, 2.0])).await;
    let (json, answer) = told.parts();
    assert_eq!((&json["outputs"][0]["shape"], answer), (&json!([1, 2]), floats(&[1.0, 2.0]).as_slice()));
    let told = raw("echo", "hä".into()).await;
    assert_eq!(told.parts().1, [&3_u32.to_le_bytes(), "hä".as_bytes()].concat());
    raw("add", vec![0; 8]).await.refused(400, "Raw request must only have 1 input (found 2) to be deduced for 'add'");
    raw("deep", vec![0; 8]).await.refused(
        400,
        "The shape of Raw request input 'x' can not be deduced because there are more than one variable-sized dimension; it is [-1,-1,-1]",
    );
    raw("free", vec![0; 7]).await.refused(
        400,
        "The shape of Raw request input 'x' can not be deduced because 7 bytes are no whole number of its other dimensions; it is [-1,-1]",
    );
    raw("linear", vec![0; 13]).await.refused(400, "unexpected total byte size 13 for input 'features', expecting 12");
}

#[tokio::test]
async fn floats_that_json_lacks_are_read_and_written() {
    let asked = r#"{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[NaN,-1,0]}]}"#;
    let served = Served::new().await;
    assert_eq!(served.infer("log", asked).await.json()["outputs"][0]["data"], json!([null, null, null]));
    let tokens = InferenceConfig { non_finite: NonFiniteFloat::Token, ..InferenceConfig::default() };
    let told = Served::with(tokens).await.infer("log", asked).await;
    let text = String::from_utf8(told.body).unwrap();
    assert!(text.contains(r#""data":[NaN,NaN,-Infinity]"#), "{text}");
}

#[tokio::test]
async fn bodies_may_be_compressed_both_ways() {
    let served = Served::new().await;
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, bytes).unwrap();
        gzip.finish().unwrap()
    };
    let body = gzip(linear(&json!([1, 2, 3])).to_string().as_bytes());
    let path = "/v2/models/linear/infer";
    let told = served.send("POST", path, &[("content-encoding", "gzip"), ("accept-encoding", "gzip")], body).await;
    assert_eq!(told.json()["outputs"][0]["data"], json!([6.125]), "what is short is sent as it is");
    let rows = json!({ "inputs": [{ "name": "x", "shape": [300, 4], "datatype": "FP32", "data": vec![0.5; 1200] }] });
    let told = served.send("POST", "/v2/models/free/infer", &[("accept-encoding", "gzip")], rows.to_string()).await;
    assert_eq!(told.headers[header::CONTENT_ENCODING], "gzip");
    let mut text = String::new();
    GzDecoder::new(told.body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Json>(&text).unwrap()["outputs"][0]["shape"], json!([300, 4]));
    let told = served.send("POST", "/v2/models/free/infer", &[], rows.to_string()).await;
    assert!(told.headers.get(header::CONTENT_ENCODING).is_none(), "nobody asked");
    let small = Served::with(InferenceConfig { bytes_max: 1 << 14, ..InferenceConfig::default() }).await;
    small
        .send("POST", path, &[("content-encoding", "gzip")], gzip(&vec![b' '; 1 << 20]))
        .await
        .refused(413, "the request, decompressed, is larger than 0 MB");
    small.send("POST", path, &[], vec![b' '; 20_000]).await.refused(413, "the request is larger than 0 MB");
    let pieces = futures::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1000])));
    small.send("POST", path, &[], Body::from_stream(pieces)).await.refused(413, "the request is larger than 0 MB");
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

#[tokio::test]
async fn a_classification_is_the_greatest_values() {
    let served = Served::new().await;
    let asked = json!({
        "inputs": [{ "name": "x", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 0.7, 0.2] }],
        "outputs": [{ "name": "y", "parameters": { "classification": 2 } }],
    });
    let told = served.infer("free", asked.to_string()).await.json();
    let want = json!([{ "name": "y", "datatype": "BYTES", "shape": [1, 2], "data": ["0.7:1", "0.2:2"] }]);
    assert_eq!(told["outputs"], want);
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
