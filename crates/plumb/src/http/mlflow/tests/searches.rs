//! How much a page holds.

use axum::body::{Body, to_bytes};
use serde_json::{Value, json};

use super::{API, Served};

#[tokio::test]
async fn a_page_has_one_entry_at_least_and_a_limit() {
    let served = Served::new().await;
    for (search, most) in [("registered-models/search", 1_000_u32), ("model-versions/search", 200_000)] {
        for wrong in ["0", "-1", &(most + 1).to_string(), "x", "1.5", "99999999999999999999"] {
            let route = format!("{search}?max_results={wrong}");
            let (status, code, message) = served.refused("GET", &route, Value::Null).await;
            assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"), "{route}: {message}");
            assert!(message.contains("max_results"), "{route}: {message}");
        }
        assert_eq!(served.done("GET", &format!("{search}?max_results={most}"), Value::Null).await, json!({}));
    }
}

/// The client puts its own clause behind an `AND`, whatever the filter that it was given.
#[tokio::test]
async fn a_filter_of_blanks_is_none() {
    let served = Served::new().await;
    served.model("m", &["s3://b/1"]).await;
    for filter in ["%20%20", "%20AND%20tag.%60mlflow.prompt.is_prompt%60%20!%3D%20'true'"] {
        for (search, found) in [("registered-models", "registered_models"), ("model-versions", "model_versions")] {
            let answer = served.done("GET", &format!("{search}/search?filter={filter}"), Value::Null).await;
            assert_eq!(answer[found].as_array().map(Vec::len), Some(1), "{filter}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_page_of_models_has_a_hundred_unless_another_number_is_asked_for() {
    let served = Served::new().await;
    for n in 0..101 {
        served.model(&format!("m{n:03}"), &[]).await;
    }
    let search = async |query: &str| {
        let page = served.done("GET", &format!("registered-models/search?{query}"), Value::Null).await;
        let models = page["registered_models"].as_array().unwrap().clone();
        let names: Vec<String> = models.iter().map(|model| model["name"].as_str().unwrap().to_owned()).collect();
        (names, page.get("next_page_token").map(|token| token.as_str().unwrap().to_owned()))
    };
    let (names, token) = search("").await;
    assert_eq!((names.len(), names[99].as_str()), (100, "m099"));
    let (names, token) = search(&format!("page_token={}", token.unwrap())).await;
    assert_eq!((names, token), (vec!["m100".to_owned()], None));
    let (names, token) = search("max_results=101").await;
    assert_eq!((names.len(), token), (101, None));
}

#[tokio::test]
async fn a_page_is_written_once_until_something_changes() {
    let served = Served::new().await;
    for name in ["a", "b"] {
        served.model(name, &["s3://b/1"]).await;
    }
    // The bytes that are sent, in place.
    let asked = async |query: &str| {
        let answer = served.answer("GET", &format!("{API}/{query}"), &[], Body::empty()).await;
        to_bytes(answer.into_body(), usize::MAX).await.unwrap()
    };
    for (key, search) in [("m", "registered-models/search?max_results=2"), ("v", "model-versions/search?max_results=2")]
    {
        let (first, second) = (asked(search).await, asked(search).await);
        assert!(std::ptr::eq(first.as_ptr(), second.as_ptr()), "{search}");
        let other = asked(&format!("{search}&filter=name%3D'a'")).await;
        assert!(other != first && asked(search).await == first, "{search}");
        served.done("POST", "registered-models/set-tag", json!({ "name": "a", "key": key, "value": "1" })).await;
        let third = asked(search).await;
        assert!(!std::ptr::eq(first.as_ptr(), third.as_ptr()), "{search}");
        assert_eq!(third == first, key == "v", "the tag is of a model");
    }
}
