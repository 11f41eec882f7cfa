//! Pushed rows are served at once, trained on, never lost, and no reason for skew.

use serde_json::json;

use crate::harness::Plumb;

const PUSH: &str = "/v1/views/user_features/push";

fn rows(user: i64, at: &str, orders: i64) -> serde_json::Value {
    json!({
        "user_id": [user], "event_time": [at], "total_orders": [orders], "avg_order_value": [12.5],
        "last_order_at": [at], "total_cds": [3],
    })
}

#[test]
fn a_push_is_served_trained_on_and_survives_the_store() {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    let orders = |server: &crate::harness::Server, user: i64| {
        let body = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": [user] } });
        server.post("/v1/features", &body.to_string()).1["features"]["total_orders"]["values"][0].clone()
    };
    let before = orders(&server, 4);
    let push = |server: &crate::harness::Server, body: serde_json::Value| server.post(PUSH, &body.to_string());
    let newest = json!({ "rows": rows(4, "1998-06-30T12:00:00Z", 50) });
    let (status, answer) = push(&server, newest.clone());
    assert_eq!((status, &answer["rows"], &answer["online_changed"]), (200, &json!(1), &json!(1)), "{answer}");
    assert_eq!(orders(&server, 4), json!(50));
    // An older one arrives later; the same comes again; one for history alone; one of the future; one nobody knew.
    let (_, answer) = push(&server, json!({ "rows": rows(4, "1998-06-29T12:00:00Z", 49) }));
    assert_eq!((&answer["repeated"], &answer["online_changed"]), (&json!(false), &json!(0)));
    let (_, answer) = push(&server, newest);
    assert_eq!((&answer["repeated"], &answer["online_changed"]), (&json!(true), &json!(0)));
    push(&server, json!({ "rows": rows(18, "1998-06-30T12:00:00Z", 60), "to": "offline" }));
    push(&server, json!({ "rows": rows(21, "1999-01-01T00:00:00Z", 70) }));
    push(&server, json!({ "rows": rows(90_000, "1998-06-30T00:00:00Z", 1) }));
    assert_ne!(orders(&server, 18), json!(60));
    assert_ne!(orders(&server, 21), json!(70));
    assert_eq!(orders(&server, 90_000), json!(1));
    let (status, _) = server.predict("m", &[4, 21, 90_000]);
    assert_eq!(status, 200);
    server.stop();
    assert!(plumb.run("skew").ok().stdout.contains("in plumb: 3 predictions"));

    // The row for history alone comes online with the next materialize.
    let report = plumb.json("materialize");
    assert_eq!(report["materialized"][0]["how"], "appended", "{report}");
    let server = plumb.serve();
    assert_eq!(orders(&server, 18), json!(60));
    server.stop();

    // Whoever loses the store loses no push.
    std::fs::remove_dir_all(plumb.path().join(".plumb/online")).unwrap();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    assert_eq!([4, 18, 90_000].map(|user| orders(&server, user)), [json!(50), json!(60), json!(1)]);
    assert_ne!(orders(&server, 4), before);
    server.stop();

    plumb.write(
        "spine.csv",
        "user_id,event_time\n4,1998-06-30T12:00:00Z\n4,1998-06-30T11:00:00Z\n4,1998-07-01T00:00:00Z\n",
    );
    let spine = plumb.path().join("spine.csv");
    let out = plumb.path().join("train.parquet");
    let report = plumb.json(&format!(
        "training-set build --service repeat_purchase_v1 --spine {} --out {}",
        spine.display(),
        out.display()
    ));
    assert_eq!((&report["n_rows"], &report["views"][0]["n_scanned"]), (&json!(3), &json!(69_659 + 5)));
}

#[test]
fn is_deleted_removes_a_key_where_the_view_has_no_mark() {
    let plumb = Plumb::demo_online();
    let server = plumb.serve();
    let told = |server: &crate::harness::Server, user: i64| {
        let body = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": [user] } });
        let found = server.post("/v1/features", &body.to_string()).1["features"]["total_orders"].clone();
        (found["values"][0].clone(), found["statuses"][0].clone())
    };
    let push = |rows: serde_json::Value| {
        let (status, answer) = server.post(PUSH, &json!({ "rows": rows }).to_string());
        assert_eq!((status, &answer["repeated"]), (200, &json!(false)), "{answer}");
    };
    let gone = (json!(null), json!("NOT_FOUND"));
    for user in [4, 18] {
        assert_ne!(told(&server, user), gone);
    }
    let at = "1998-06-30T12:00:00Z";
    push(json!({ "user_id": [4, 18], "event_time": [at, at], "is_deleted": [true, true] }));
    // A later row brings one of them back; a mark of null or false deletes nothing.
    let mut back = rows(18, "1998-06-30T13:00:00Z", 61);
    back["is_deleted"] = json!([null]);
    push(back);
    assert_eq!(told(&server, 4), gone);
    assert_eq!(told(&server, 18), (json!(61), json!("PRESENT")));
    server.stop();

    let explained = plumb.json("features explain user_features --entity user_id=4");
    assert_eq!(
        (&explained["status"], &explained["online"]["agrees"]),
        (&json!("NOT_FOUND"), &json!(true)),
        "{explained}"
    );
    // The deletion is part of history: a store that was lost does not bring the key back.
    std::fs::remove_dir_all(plumb.path().join(".plumb/online")).unwrap();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    assert_eq!(told(&server, 4), gone);
    assert_eq!(told(&server, 18), (json!(61), json!("PRESENT")));
    server.stop();
}

#[test]
fn a_push_that_is_wrong_is_told_so_and_changes_nothing() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let server = plumb.serve();
    let good = rows(4, "1998-06-30T12:00:00Z", 50);
    let without = |column: &str| {
        let mut rows = good.clone();
        rows.as_object_mut().unwrap().remove(column);
        json!({ "rows": rows })
    };
    let with = |column: &str, values: serde_json::Value| {
        let mut rows = good.clone();
        rows[column] = values;
        json!({ "rows": rows })
    };
    for (path, body, status, code) in [
        (PUSH, json!({ "rows": good }), 409, "not_materialized"),
        (PUSH, json!({ "rows": {} }), 422, "empty_rows"),
        (PUSH, json!({ "rows": { "user_id": [] } }), 422, "empty_rows"),
        (PUSH, json!({}), 422, "wrong_json"),
        (PUSH, json!({ "rows": good, "to": "nowhere" }), 422, "wrong_json"),
        (PUSH, with("user_id", json!(["4"])), 422, "wrong_value_type"),
        (PUSH, with("user_id", json!([4, 5])), 422, "unequal_lists"),
        (PUSH, with("user_id", json!([null])), 422, "wrong_rows"),
        (PUSH, with("event_time", json!(["soon"])), 422, "wrong_rows"),
        (PUSH, with("total_ordres", json!([1])), 422, "wrong_rows"),
        (PUSH, without("event_time"), 422, "wrong_rows"),
        (PUSH, without("user_id"), 422, "wrong_rows"),
        ("/v1/views/nope/push", json!({ "rows": good }), 404, "unknown_view"),
    ] {
        let (got, answer) = server.post(path, &body.to_string());
        assert_eq!((got, answer["error"]["code"].as_str()), (status, Some(code)), "{body}: {answer}");
    }
    let (status, answer) = server.post(PUSH, &json!({ "rows": good, "to": "offline" }).to_string());
    assert_eq!((status, &answer["repeated"]), (200, &json!(false)), "{answer}");
    server.stop();
}

#[test]
fn an_answer_can_be_explained() {
    let plumb = Plumb::demo_online();
    let json = plumb.json("features explain user_features --entity user_id=4 --as-of 1998-07-01T00:00:00Z");
    assert_eq!((&json["status"], &json["n_rows"]), (&json!("PRESENT"), &json!(4)), "{json}");
    assert_eq!((&json["rows"][0]["verdict"], &json["online"]["agrees"]), (&json!("counts"), &json!(true)), "{json}");
    let text = plumb.run("features explain user_features --entity user_id=4").ok().stdout;
    assert!(text.contains("as history says"), "{text}");
    plumb.run("features explain user_features@v9 --entity user_id=4").fails(2, &["has no version 9"]);
    plumb.run("features explain user_features --entity user=4").fails(2, &["no join key", "did you mean `user_id`?"]);
}

#[test]
fn a_push_reaches_the_version_that_production_serves_and_the_one_that_comes() {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    let push = |user: i64, orders: i64| {
        let server = plumb.serve();
        let body = json!({ "rows": rows(user, "1998-06-30T12:00:00Z", orders) });
        let (status, answer) = server.post(PUSH, &body.to_string());
        assert_eq!((status, &answer["repeated"]), (200, &json!(false)), "{answer}");
        let (status, _) = server.predict("m", &[user]);
        assert_eq!(status, 200);
        server.stop();
    };
    push(4, 50);
    plumb.edit("features/user_features.yaml", "ttl: 365d", "ttl: 730d");
    let plan = plumb.run("plan").ok().stdout;
    assert!(plan.contains("1 rows that were pushed to `user_features@v1` are carried over"), "{plan}");
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    push(18, 60);
    for view in ["user_features@v1", "user_features@v2"] {
        for user in [4, 18] {
            let explained = plumb.json(&format!("features explain {view} --entity user_id={user}"));
            let row = &explained["rows"][0];
            assert_eq!(
                (&explained["online"]["agrees"], &row["verdict"], &row["event_time"]),
                (&json!(true), &json!("counts"), &json!("1998-06-30T12:00:00Z")),
                "{view}: {explained}"
            );
        }
    }
    // The model is served the version that it was trained on, and what it was served is what history says.
    assert!(plumb.run("skew").ok().stdout.contains("in plumb: 2 predictions"));

    // Another query makes other features: nothing is carried, and that is said.
    plumb.edit("features/user_features.sql", "sum(cds) OVER w ", "2 * sum(cds) OVER w ");
    let plan = plumb.run("plan").ok().stdout;
    assert!(plan.contains("2 rows that were pushed stay with `user_features@v2`, for its query is another"), "{plan}");
}
