//! Goal: who watches a server sees data that ages and pipelines that stand still, apart. Method: a store is asked for what
//! it has and for what it has not, and the metrics are compared with what the answers said.

use std::time::Instant;

use serde_json::json;

use crate::harness::{Plumb, Server};

/// The value of a series; labels are as the server writes them.
fn metric(server: &Server, series: &str) -> Option<f64> {
    let (status, text) = server.get("/metrics");
    assert_eq!(status, 200, "{text}");
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map(|value| value.parse().unwrap())
}

fn of_view(name: &str) -> String {
    format!(r#"{name}{{view="user_features",version="1"}}"#)
}

#[test]
fn values_are_counted_by_status_and_rows_by_age() {
    let plumb = Plumb::demo_online();
    let server = plumb.serve();
    let null = json!({ "rows": { "user_id": [4], "event_time": ["1998-06-30T23:00:00Z"], "avg_order_value": [2.5] } });
    assert_eq!(server.post("/v1/views/user_features/push", &null.to_string()).0, 200);
    assert_eq!(metric(&server, &of_view("plumb_null_ratio")), None, "nobody was answered");

    let ask = |users: &[i64]| {
        let features = ["user_features:total_orders", "user_features:avg_order_value"];
        let body = json!({ "features": features, "entities": { "user_id": users }, "as_of": "1998-07-01T00:00:00Z" });
        let (status, answer) = server.post("/v1/features", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let answer = ask(&[4, 99_999_999]);
    assert_eq!(answer["features"]["total_orders"]["statuses"], json!(["NULL_VALUE", "NOT_FOUND"]));
    assert_eq!(answer["features"]["avg_order_value"]["statuses"], json!(["PRESENT", "NOT_FOUND"]));
    assert_eq!(answer["views"]["user_features"]["ages"], json!([3_600.0, null]));
    ask(&[99_999_999, 99_999_998]);

    let counted = |status: &str| {
        let labels = format!(r#"view="user_features",version="1",status="{status}""#);
        metric(&server, &format!("plumb_feature_values_total{{{labels}}}"))
    };
    assert_eq!(["PRESENT", "NULL_VALUE", "NOT_FOUND"].map(counted), [Some(1.0), Some(1.0), Some(6.0)]);
    assert_eq!(metric(&server, &of_view("plumb_null_ratio")), Some(0.125));
    assert_eq!(metric(&server, &of_view("plumb_not_found_ratio")), Some(0.75));
    // An answer without a row has no age.
    let freshness = |part: &str| metric(&server, &of_view(&format!("plumb_feature_freshness_seconds_{part}")));
    assert_eq!((freshness("count"), freshness("sum")), (Some(1.0), Some(3_600.0)));
    let within = |bound: &str| {
        let labels = format!(r#"view="user_features",version="1",le="{bound}""#);
        metric(&server, &format!("plumb_feature_freshness_seconds_bucket{{{labels}}}"))
    };
    assert_eq!((within("900"), within("3600")), (Some(0.0), Some(1.0)));

    let feast = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": [4] } });
    let (_, feast) = server.post("/get-online-features", &feast.to_string());
    let age = feast["metadata"]["freshness_ms"][1].as_i64().unwrap();
    assert_eq!((&feast["metadata"]["freshness_ms"][0], age >= 3_600_000), (&json!(null), true), "{feast}");
    server.stop();
}

#[test]
fn a_pipeline_is_as_fresh_as_its_last_whole_run() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let server = plumb.serve();
    let lag = |server: &Server| metric(server, &of_view("plumb_materialize_lag_seconds"));
    assert_eq!(lag(&server), None, "it was never brought online");
    server.stop();

    let first = Instant::now();
    plumb.run("materialize").ok();
    let after_first = Instant::now();
    // A part of the history is not all of it.
    plumb.run("materialize --from 1998-01-01T00:00:00Z --to 1998-02-01T00:00:00Z").ok();
    let server = plumb.serve();
    // Nobody has asked for a feature.
    let least = after_first.elapsed().as_secs_f64();
    let seen = lag(&server).unwrap();
    assert!((least..=first.elapsed().as_secs_f64()).contains(&seen), "{seen}, and at least {least} are over");
    server.stop();

    // Nothing to do is a whole run too.
    let second = Instant::now();
    let report = plumb.json("materialize");
    assert_eq!(report["materialized"][0]["how"], "unchanged", "{report}");
    let server = plumb.serve();
    let seen = lag(&server).unwrap();
    assert!(seen <= second.elapsed().as_secs_f64(), "{seen}");

    // What is gone back to is as old as it is.
    server.stop();
    let third = Instant::now();
    plumb.run("materialize --fresh").ok();
    plumb.run("materialize user_features --rollback").ok();
    let server = plumb.serve();
    let seen = lag(&server).unwrap();
    assert!(seen > third.elapsed().as_secs_f64(), "{seen}");
    server.stop();
}
