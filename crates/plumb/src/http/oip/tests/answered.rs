//! Requests that are right: every form that they and their answers may have.

use super::*;

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
