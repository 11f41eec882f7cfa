//! How long what is sent may be. MLflow's SQLite keeps more than its columns say; here the columns' widths hold.

use serde_json::{Value, json};

use super::Served;

const CREATE: &str = "model-versions/create";

/// A request with `more` in it is refused for this reason, and changes nothing.
async fn refused(served: &Served, method: &str, route: &str, more: Value, says: &str) {
    let mut body = json!({ "name": "m", "source": "s3://b/1" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, code, message) = served.refused(method, route, body).await;
    assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"), "{route}: {message}");
    assert!(message.contains(says), "{route}: {message}");
}

#[tokio::test]
async fn a_version_has_texts_of_the_columns_widths_at_most() {
    let served = Served::new().await;
    served.model("m", &[]).await;
    let source = |n: usize| format!("s3://b/{}", "x".repeat(n - "s3://b/".len()));
    let tag = |key: &str, value: String| json!({ "tags": [{ "key": key, "value": value }] });
    for (more, says) in [
        (json!({ "source": source(501) }), "`source` has 501 characters, at most 500 are kept"),
        (json!({ "run_link": "x".repeat(501) }), "`run_link` has 501 characters, at most 500 are kept"),
        (json!({ "run_id": "x".repeat(33) }), "`run_id` has 33 characters, at most 32 are kept"),
        (json!({ "description": "ü".repeat(5_001) }), "`description` has 5001 characters, at most 5000 are kept"),
        (tag("a#b", String::new()), "Invalid tag name: 'a#b'"),
        (tag("../a", String::new()), "Invalid tag name: '../a'"),
        (tag("", String::new()), "tags[0].key"),
        (tag(&"k".repeat(251), String::new()), "exceeds the maximum length of 250"),
        (tag("k", "v".repeat(100_001)), "exceeds the maximum length of 100000"),
    ] {
        refused(&served, "POST", CREATE, more, says).await;
    }
    assert_eq!(served.done("GET", "model-versions/search", Value::Null).await, json!({}));
    let full = json!({
        "name": "m", "source": source(500), "run_link": "ü".repeat(500), "run_id": "x".repeat(32),
        "description": "ü".repeat(5_000), "tags": [{ "key": "k".repeat(250), "value": "ü".repeat(100_000) }],
    });
    let made = served.done("POST", CREATE, full.clone()).await;
    for (field, value) in full.as_object().unwrap() {
        assert_eq!(&made["model_version"][field], value, "{field}");
    }
    assert_eq!(made["model_version"]["version"], "1", "what was refused used no number");
}

#[tokio::test]
async fn a_model_and_what_is_written_on_it_have_limits() {
    let served = Served::new().await;
    served.model("m", &["s3://b/1"]).await;
    let long = json!({ "version": "1", "description": "x".repeat(5_001) });
    refused(&served, "PATCH", "model-versions/update", long.clone(), "at most 5000").await;
    refused(&served, "PATCH", "registered-models/update", long.clone(), "at most 5000").await;
    let other = |more: Value| {
        let mut body = json!({ "name": "other" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (more, says) in [
        (other(long), "at most 5000"),
        (other(json!({ "tags": [{ "key": "a\nb", "value": "" }] })), "Invalid tag name"),
        (json!({ "name": "x".repeat(257) }), "256"),
        (json!({ "name": "a/b" }), "Invalid model name: 'a/b'"),
        (json!({ "name": "a:b" }), "Invalid model name: 'a:b'"),
        (json!({ "name": " " }), "Invalid model name"),
        (json!({ "name": ".." }), "Invalid model name"),
        (json!({ "name": "./a" }), "Invalid model name"),
    ] {
        refused(&served, "POST", "registered-models/create", more, says).await;
    }
    for (route, version) in [("registered-models/set-tag", Value::Null), ("model-versions/set-tag", json!("1"))] {
        let tag = |key: &str, value: String| json!({ "version": version, "key": key, "value": value });
        refused(&served, "POST", route, tag("a#b", String::new()), "Invalid tag name").await;
        refused(&served, "POST", route, tag(&"k".repeat(251), String::new()), "250").await;
        refused(&served, "POST", route, tag("k", "v".repeat(100_001)), "100000").await;
    }
    for (alias, says) in [
        ("LATEST", "'latest' alias name (case insensitive) is reserved."),
        ("v1", "Version alias name 'v1' is reserved."),
        ("V3", "Version alias name 'V3' is reserved."),
        ("a b", "Invalid alias name: 'a b'"),
        (&"x".repeat(256), "255"),
    ] {
        refused(&served, "POST", "registered-models/alias", json!({ "version": "1", "alias": alias }), says).await;
    }
    let named = json!({ "name": "x".repeat(256), "description": "ü".repeat(5_000) });
    served.done("POST", "registered-models/create", named).await;
    let alias = json!({ "name": "m", "version": "1", "alias": "ü".repeat(255) });
    served.done("POST", "registered-models/alias", alias).await;
}

/// Each part is one that may be logged; together they are more than a request may have.
#[tokio::test]
async fn a_batch_has_a_million_bytes_at_most_whatever_is_in_it() {
    let served = Served::new().await;
    let run = served.run().await;
    let pairs = |key: &str, n: usize, chars: usize| -> Vec<Value> {
        (0..n).map(|i| json!({ "key": format!("{key}{i}"), "value": "x".repeat(chars) })).collect()
    };
    let both = json!({ "run_id": run, "params": pairs("p", 100, 6_000), "tags": pairs("t", 100, 8_000) });
    let (status, code, message) = served.refused("POST", "runs/log-batch", both).await;
    assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"), "{message}");
    assert!(message.contains("at most 1000000 bytes"), "{message}");
    let logged = served.done("GET", &format!("runs/get?run_id={run}"), Value::Null).await;
    assert!(logged["run"]["data"].get("params").is_none(), "nothing of it is kept");
    for half in [
        json!({ "run_id": run, "params": pairs("p", 100, 6_000) }),
        json!({ "run_id": run, "tags": pairs("t", 100, 8_000) }),
    ] {
        served.done("POST", "runs/log-batch", half).await;
    }
    // Exactly so many bytes, and one more.
    let sized = |bytes: usize| {
        let empty = json!({ "run_id": run, "params": [], "unknown": "" }).to_string().len();
        json!({ "run_id": run, "params": [], "unknown": "x".repeat(bytes - empty) })
    };
    served.done("POST", "runs/log-batch", sized(1_000_000)).await;
    assert_eq!(served.refused("POST", "runs/log-batch", sized(1_000_001)).await.0, 400);
}

#[tokio::test]
async fn a_data_set_is_named_within_its_columns() {
    let served = Served::new().await;
    let run = served.run().await;
    let point = |name: usize, digest: usize| {
        json!({
            "run_id": run, "key": "m", "value": 1.0, "timestamp": 1,
            "dataset_name": "ü".repeat(name), "dataset_digest": "d".repeat(digest),
        })
    };
    for (name, digest, says) in [(501, 36, "more than 500 characters"), (500, 37, "more than 36 characters")] {
        let (status, code, message) = served.refused("POST", "runs/log-metric", point(name, digest)).await;
        assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"), "{message}");
        assert!(message.contains(says), "{message}");
    }
    served.done("POST", "runs/log-metric", point(500, 36)).await;
}
