//! Fields as they are sent, and what is said of wrong ones.

use axum::extract::FromRequest;
use axum::http::Request;
use serde_json::json;

use super::*;

fn body(value: &Value) -> Fields {
    Fields::of_json(value.to_string().as_bytes()).unwrap()
}

fn query(text: &str) -> Fields {
    Fields::of_query(&format!("/x?{text}").parse().unwrap()).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(read: Result<T, Refusal>, with: &str) {
    let refusal = read.unwrap_err();
    assert_eq!(refusal.code, Code::InvalidParameterValue);
    assert!(refusal.message.contains(with), "{}", refusal.message);
}

#[test]
fn a_query_has_texts_alone_and_lists_by_repetition() {
    let fields = query("name=a+b%2Fc&n=12&yes=TRUE&no=false&stages=A&stages=B&empty=");
    assert_eq!(fields.text("name").unwrap(), Some("a b/c"));
    assert_eq!(fields.int("n").unwrap(), Some(12));
    assert_eq!((fields.flag("yes").unwrap(), fields.flag("no").unwrap()), (Some(true), Some(false)));
    assert_eq!(fields.texts("stages").unwrap(), ["A", "B"]);
    assert_eq!(fields.text("stages").unwrap(), Some("A"), "of a field that is no list the first counts");
    assert_eq!(fields.text("empty").unwrap(), Some(""));
    assert_eq!(fields.text("none").unwrap(), None);
    refused(fields.int("name"), "Invalid value \"a b/c\" for parameter 'name' supplied: Hint: Value was of type 'str'");
    refused(fields.flag("n"), "parameter 'n'");
    refused(fields.required("empty"), "Missing value for required parameter 'empty'.");
}

#[test]
fn numbers_of_64_bits_come_as_numbers_or_texts() {
    let fields = body(&json!({"a": 9_007_199_254_740_993_i64, "b": "9007199254740993", "c": 3.0, "d": 3.5, "e": "x",
        "f": true, "g": "9223372036854775808"}));
    assert_eq!(fields.int("a").unwrap(), Some(9_007_199_254_740_993));
    assert_eq!(fields.int("b").unwrap(), Some(9_007_199_254_740_993));
    assert_eq!(fields.int("c").unwrap(), Some(3));
    for name in ["d", "e", "f", "g"] {
        refused(fields.int(name), &format!("for parameter '{name}' supplied"));
    }
    refused(fields.required_int("h"), "Missing value for required parameter 'h'.");
}

#[test]
fn doubles_that_json_lacks_are_texts() {
    let fields = body(&json!({"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1, "e": "2.5", "f": []}));
    assert!(fields.double("a").unwrap().unwrap().is_nan());
    assert_eq!(fields.double("b").unwrap(), Some(f64::INFINITY));
    assert_eq!(fields.double("c").unwrap(), Some(f64::NEG_INFINITY));
    assert_eq!(fields.double("d").unwrap(), Some(1.0));
    assert_eq!(fields.double("e").unwrap(), Some(2.5));
    refused(fields.double("f"), "Value was of type 'list'");
}

#[test]
fn null_is_nothing_and_unknown_fields_are_nobodys() {
    let fields = body(&json!({"name": null, "tags": null, "whatever": {"x": 1}}));
    assert!(!fields.has("name"));
    assert_eq!(fields.text("name").unwrap(), None);
    assert_eq!(fields.pairs("tags").unwrap(), []);
    refused(fields.required("name"), "'name'");
}

#[test]
fn a_wrong_field_of_a_list_is_named_with_its_place() {
    let fields = body(&json!({"tags": [{"key": "a", "value": "1"}, {"value": "2"}], "params": [1], "x": "no list",
        "y": [{"key": "a", "value": 1}]}));
    refused(fields.pairs("tags"), "'tags[1].key'");
    refused(fields.pairs("params"), "Invalid value 1 for parameter 'params'");
    refused(fields.objects("x"), "'x'");
    refused(fields.texts("params"), "'params'");
    refused(fields.pairs("y"), "'y[0].value'");
    let fields = body(&json!({"tags": [{"key": "a"}]}));
    assert_eq!(fields.pairs("tags").unwrap(), [("a".to_owned(), String::new())]);
}

#[test]
fn a_long_value_is_not_shown_whole() {
    let fields = body(&json!({"name": vec!["ü"; 10_000]}));
    let refusal = fields.text("name").unwrap_err();
    assert!(refusal.message.chars().count() < 400, "{}", refusal.message);
}

async fn sent(method: &str, kind: Option<&str>, body: impl Into<Body>) -> Result<Fields, Refusal> {
    let mut request = Request::builder().method(method).uri("/x");
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    Sent::from_request(request.body(body.into()).unwrap(), &()).await.map(|sent| sent.0)
}

#[tokio::test]
async fn a_body_is_one_json_object_that_says_so() {
    let json = Some("application/json; charset=utf-8");
    assert_eq!(sent("DELETE", json, r#"{"name":"a"}"#).await.unwrap().text("name").unwrap(), Some("a"));
    assert!(!sent("POST", None, "").await.unwrap().has("name"));
    let deep = "[".repeat(200_000);
    for (kind, body) in
        [(None, "{}"), (Some("text/plain"), "{}"), (json, "[1]"), (json, "{"), (json, "\u{feff}{}"), (json, &deep)]
    {
        let refusal = sent("POST", kind, body.to_owned()).await.unwrap_err();
        assert_eq!(refusal.code, Code::BadRequest, "{kind:?} {}", &body[..body.len().min(9)]);
    }
}

/// A body that is never whole in memory: pieces of 1 MB, counted as they are taken.
#[tokio::test]
async fn a_body_that_is_too_large_is_read_to_its_end_and_refused() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    let taken = Arc::new(AtomicUsize::new(0));
    for (pieces, read) in [(10, 10), (1_000, 65)] {
        taken.store(0, Ordering::Relaxed);
        let counted = Arc::clone(&taken);
        let piece = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 20]))
        };
        let body = Body::from_stream(futures::stream::iter(0..pieces).map(piece));
        let refusal = sent("POST", Some("application/json"), body).await.unwrap_err();
        assert_eq!(refusal.code, Code::InvalidParameterValue);
        assert_eq!(taken.load(Ordering::Relaxed), read);
    }
}
