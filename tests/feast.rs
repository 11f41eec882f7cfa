//! Feast's protocol over HTTP, without its SDK, which `cargo xtask interop` runs: the answers a client lives by, and that a
//! mistake is Feast's error and never a 5xx.

use serde_json::{Value as Json, json};

use crate::harness::Plumb;

#[test]
fn a_client_of_feast_gets_columns_and_errors_it_can_read() {
    let plumb = Plumb::demo_online();
    let server = plumb.serve();
    let ask = |body: Json| server.post("/get-online-features", &body.to_string());
    let users = json!({ "user_id": [12_003, 999_999_999, null] });

    let (status, answer) = ask(json!({ "entities": users, "feature_service": "repeat_purchase_v1" }));
    assert_eq!(status, 200, "{answer}");
    let names = &answer["metadata"]["feature_names"];
    assert_eq!(*names, json!(["user_id", "total_orders", "avg_order_value", "days_since_last_order"]));
    assert_eq!(answer["results"][0]["values"], users["user_id"]);
    assert_eq!(answer["results"][1]["statuses"][1], "NOT_FOUND");
    assert_eq!(answer["results"][1]["statuses"][2], "NOT_FOUND");
    assert_eq!(answer["results"][1]["event_timestamps"][1], "1970-01-01T00:00:00Z");

    // The same features as over our own protocol, of which the stories of predictions and skew are.
    let body = json!({ "entities": users, "service": "repeat_purchase_v1" });
    let (_, native) = server.post("/v1/features", &body.to_string());
    for (name, column) in names.as_array().unwrap().iter().zip(answer["results"].as_array().unwrap()).skip(1) {
        let native = &native["features"][name.as_str().unwrap()];
        assert_eq!((&column["values"], &column["statuses"]), (&native["values"], &native["statuses"]), "{name}");
    }

    for (body, status, class) in [
        (json!({ "entities": users, "features": ["nope:x"] }), 404, "FeatureViewNotFoundException"),
        (json!({ "entities": users, "feature_service": "nope" }), 404, "FeatureServiceNotFoundException"),
        (json!({ "entities": { "user_id": ["x"] }, "features": ["user_features:total_orders"] }), 422, "FeastError"),
    ] {
        let (got, answer) = ask(body);
        let detail: Json = serde_json::from_str(answer.as_str().unwrap()).unwrap();
        assert_eq!((got, detail["class"].as_str()), (status, Some(class)), "{detail}");
    }
    let (status, answer) = ask(json!({}));
    assert_eq!((status, answer["detail"][0]["type"].as_str()), (422, Some("missing")), "{answer}");
    let (status, answer) = server.post("/search", "{}");
    assert_eq!((status, answer), (404, json!({ "detail": "Not Found" })));
    server.stop();
}
