//! Goal: whoever still speaks an older version of a service is answered. Method: a service goes through versions while its
//! clients stay as they are; along the declared migrations each gets what a new client gets, and where there is none it is
//! told which, and what to declare.

use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};

const SERVICES: &str = "features/services.yaml";

/// The demo with a model on its second service; clients speak the first.
fn serving() -> (Plumb, Server) {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v2.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    (plumb, server)
}

fn ask(server: &Server, path: &str, body: &Json) -> Json {
    let (status, answer) = server.post(path, &body.to_string());
    assert_eq!(status, 200, "{answer}");
    answer
}

fn refused(server: &Server, path: &str, body: &Json) -> (u16, String, String, String) {
    let (status, answer) = server.post(path, &body.to_string());
    let text = |name: &str| answer["error"][name].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("message"), text("hint"))
}

#[test]
fn features_of_an_older_version_are_answered_in_a_newer_one() {
    let (plumb, server) = serving();
    // User 4 has rows, the other has none.
    let entities = json!({ "user_id": [4, 99_999_999] });
    let asked = json!({ "service": "repeat_purchase_v1@v1", "as": "repeat_purchase_v2@v1", "entities": entities });
    let older = ask(&server, "/v1/features", &json!({ "service": "repeat_purchase_v1", "entities": entities }));
    let migrated = ask(&server, "/v1/features", &asked);
    let names = ["total_orders", "avg_order_value", "days_since_last_order"];
    for name in names {
        for part in ["values", "statuses"] {
            assert_eq!(migrated["features"][name][part], older["features"][name][part], "{name}");
        }
    }
    // Written before the field existed: its default. No row: the other constant, and still no row.
    let added = &migrated["features"]["total_cds"];
    assert_eq!(added["values"], json!([0, null]));
    assert_eq!(added["statuses"], json!(["PRESENT", "NOT_FOUND"]));
    assert_eq!(migrated["views"], older["views"]);
    assert_eq!(migrated["migrated"]["through"], json!(["repeat_purchase_v1@v1", "repeat_purchase_v2@v1"]));
    assert_eq!(older["migrated"], Json::Null);
    // What was read can be read again.
    let token = migrated["replay_token"].as_str().unwrap();
    plumb.run(&format!("replay {token}")).ok();

    let line = "features get --service repeat_purchase_v1 --as repeat_purchase_v2 --entity user_id=4,99999999";
    let printed = plumb.json(line);
    assert_eq!(printed["features"], migrated["features"]);
    assert!(plumb.run(line).ok().stdout.contains("total_cds"));
    server.stop();
}

#[test]
fn a_model_answers_clients_of_an_older_service_by_keys_and_by_values() {
    let (plumb, server) = serving();
    let path = "/v1/models/m/predict";
    let v1 = "repeat_purchase_v1@v1";
    let entities = json!({ "user_id": [4, 18, 99_999_999] });
    let by_keys = ask(&server, path, &json!({ "service": v1, "entities": entities }));
    // Who has a row has the default; whoever has none, or one that is too old, has the other constant and the row's status.
    let (added, read) = (&by_keys["features"]["total_cds"], &by_keys["features"]["total_orders"]);
    assert_eq!(added["statuses"], read["statuses"]);
    let want = |status: &Json| if status == "PRESENT" { json!(0) } else { Json::Null };
    let wanted: Vec<Json> = read["statuses"].as_array().unwrap().iter().map(want).collect();
    assert_eq!((&added["values"], wanted.contains(&json!(0))), (&json!(wanted), true));
    assert_eq!(by_keys["migrated"]["to"], "repeat_purchase_v2@v1");
    // The same rows, sent as an answer had them, or as bare values where every row is there.
    let read = ask(&server, "/v1/features", &json!({ "service": v1, "entities": entities }));
    let sent = ask(&server, path, &json!({ "service": v1, "features": read["features"] }));
    assert_eq!((&sent["outputs"], &sent["features"]), (&by_keys["outputs"], &by_keys["features"]));
    let values = |name: &str| json!([read["features"][name]["values"][0]]);
    let mut bare = serde_json::Map::new();
    for name in ["total_orders", "avg_order_value", "days_since_last_order"] {
        bare.insert(name.to_owned(), values(name));
    }
    let one = ask(&server, path, &json!({ "service": v1, "features": bare }));
    let first =
        |answer: &Json| answer["outputs"].as_object().unwrap().values().map(|v| v[0].clone()).collect::<Vec<_>>();
    assert_eq!(first(&one), first(&by_keys));
    // A newer client says the field itself, and its answer is another.
    let mut newer = bare.clone();
    newer.insert("total_cds".to_owned(), json!([0]));
    let same = ask(&server, path, &json!({ "features": newer }));
    assert_eq!(first(&same), first(&by_keys));
    assert_eq!(same["migrated"], Json::Null);
    newer.insert("total_cds".to_owned(), json!([500]));
    assert_ne!(first(&ask(&server, path, &json!({ "features": newer }))), first(&by_keys));

    // What is sent must be all of it, and of its types.
    let check = |features: Json, code: &str, words: &str| {
        let (status, found, message, _) = refused(&server, path, &json!({ "service": v1, "features": features }));
        assert!((status, found.as_str()) == (422, code) && message.contains(words), "{found}: {message}");
    };
    check(json!({ "total_orders": [1] }), "missing_feature", "`avg_order_value` (float64) of service");
    let mut wrong = bare.clone();
    wrong.insert("total_cds".to_owned(), json!([1]));
    check(Json::Object(wrong), "unknown_feature", "`total_cds`");
    let mut wrong = bare.clone();
    wrong.insert("total_orders".to_owned(), json!([1.5]));
    check(Json::Object(wrong), "wrong_feature_type", "the number 1.5, but the feature is int64");
    let mut wrong = bare.clone();
    wrong.insert("total_orders".to_owned(), json!({ "values": [1], "statuses": ["NULL_VALUE"] }));
    check(Json::Object(wrong), "wrong_status", "is NULL_VALUE and its value is not null");
    let (status, code, ..) = refused(&server, path, &json!({ "service": v1 }));
    assert_eq!((status, code.as_str()), (422, "wrong_json"));
    server.stop();

    // What was served from keys is compared with history as it was read; what clients sent themselves is not.
    let skew = plumb.run("skew --output json");
    assert_eq!(skew.code, 0, "{skew:?}");
    let skew = skew.json();
    assert_eq!(skew["predictions"], 3, "{skew}");
    assert_eq!(skew["services"][0]["service"], "repeat_purchase_v1");
}

#[test]
fn without_a_chain_it_is_said_which_is_missing_and_one_that_is_declared_is_used_at_once() {
    let (plumb, server) = serving();
    let entities = json!({ "user_id": [4] });
    let back = json!({ "service": "repeat_purchase_v2", "as": "repeat_purchase_v1", "entities": entities });
    let (status, code, message, hint) = refused(&server, "/v1/features", &back);
    assert_eq!((status, code.as_str()), (422, "no_migration"));
    assert!(message.contains("from `repeat_purchase_v2@v1` to `repeat_purchase_v1@v1`"), "{message}");
    let declare = "migrate_from: {repeat_purchase_v2@v1: [{drop: total_cds}]}";
    assert!(hint.contains("feature service `repeat_purchase_v1`") && hint.contains(declare), "{hint}");
    // What the hint says, declared, is what was missing.
    plumb.edit(
        SERVICES,
        "---\nkind: feature_service\nname: repeat_purchase_v2",
        &format!("{declare}\n---\nkind: feature_service\nname: repeat_purchase_v2"),
    );
    plumb.run("apply --yes").ok();
    let started = std::time::Instant::now();
    while server.post("/v1/features", &back.to_string()).0 != 200 {
        assert!(started.elapsed().as_secs() < 60, "the server never took the new definitions");
    }
    let (_, _, _, hint) =
        refused(&server, "/v1/features", &json!({ "service": "repeat_purchase_v1@v7", "entities": entities }));
    assert!(hint.contains("there is version 1"), "{hint}");
    server.stop();
}

/// A service changes twice under one name; the oldest client is answered through both changes, in the model's own version.
#[test]
fn a_client_two_versions_behind_is_answered_along_the_chain() {
    let (plumb, server) = serving();
    server.stop();
    let name = "kind: feature_service\nname: s\nfeatures: ";
    let service = |text: &str| plumb.write("features/s.yaml", &format!("{name}{text}\n"));
    service("['user_features:total_orders', 'user_features:avg_order_value']");
    plumb.run("apply --yes").ok();
    service(
        "[{feature: 'user_features:total_orders', as: orders}, 'user_features:avg_order_value']\nmigrate_from: {1: [{rename: {total_orders: orders}}]}",
    );
    plumb.run("apply --yes").ok();
    service(
        "['user_features:total_cds', {feature: 'user_features:total_orders', as: orders}]\nmigrate_from: {2: [{drop: avg_order_value}, {add: total_cds, default: 7}, {reorder: [total_cds, orders]}]}",
    );
    plumb.run("apply --yes").ok();
    let get = |line: &str| plumb.json(&format!("features get {line} --entity user_id=4"))["features"].clone();
    let orders = get("--service s@v1")["total_orders"]["values"].clone();
    let found = get("--service s@v1 --as s@v3");
    assert_eq!((&found["orders"]["values"], &found["total_cds"]["values"]), (&orders, &json!([7])));
    assert_eq!(found.as_object().unwrap().len(), 2);

    // A shortcut that gives something else than the way around it is refused before it is applied, and so is a step that
    // does not arrive.
    service(
        "['user_features:total_cds', {feature: 'user_features:total_orders', as: orders}]\nmigrate_from:\n  2: [{drop: avg_order_value}, {add: total_cds, default: 7}, {reorder: [total_cds, orders]}]\n  1: [{drop: avg_order_value}, {rename: {total_orders: orders}}, {add: total_cds, default: 8}, {reorder: [total_cds, orders]}]",
    );
    plumb
        .run("plan")
        .fails(2, &["two ways from `s@v1` to `s@v3` differ in `total_cds`", "s@v1 to s@v2 to s@v3", "s.yaml"]);
    service(
        "['user_features:total_cds', {feature: 'user_features:total_orders', as: orders}]\nmigrate_from: {2: [{drop: avg_order_value}]}",
    );
    plumb.run("plan").fails(2, &["the migration from `s@v2` to `s@v3` ends at", "but the service is"]);
}

#[test]
fn a_prediction_whose_features_cannot_be_migrated_is_the_clients_mistake() {
    let plumb = Plumb::demo();
    plumb.edit(
        SERVICES,
        "migrate_from:\n",
        "migrate_from:\n  floats:\n    - {cast: {total_orders: int64}, on_error: reject}\n",
    );
    let floats = "kind: feature_service\nname: floats\nfeatures:\n  - {feature: user_features:avg_order_value, as: total_orders}\n  \
                  - user_features:avg_order_value\n  - user_features:days_since_last_order\n  - user_features:total_cds\n";
    plumb.write("features/floats.yaml", floats);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v2.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    let rows = json!({ "user_id": [4], "event_time": ["1998-06-30T12:00:00Z"], "avg_order_value": [12.5] });
    assert_eq!(server.post("/v1/views/user_features/push", &json!({ "rows": rows }).to_string()).0, 200);
    let body = json!({ "service": "floats", "entities": { "user_id": [4] } });
    let (status, code, message, hint) = refused(&server, "/v1/models/m/predict", &body);
    assert_eq!((status, code.as_str()), (422, "cannot_migrate"), "{message}");
    assert!(message.contains("row 0 of field `total_orders`") && hint.contains("on_error"), "{message} {hint}");
}

#[test]
fn a_cast_that_may_lose_something_says_what_becomes_of_what_it_loses() {
    let plumb = Plumb::demo();
    let older = "kind: feature_service\nname: wide\nfeatures: ['user_features:total_orders']\n";
    let newer = |on_error: &str| {
        format!(
            "---\nkind: feature_view\nname: narrow\nentity: user\nsource: orders\nsql: \"SELECT user_id, ordered_at, cast(1 as tinyint) AS total_orders FROM orders\"\nevent_time: ordered_at\n\
             features: [{{name: total_orders, type: int8}}]\n---\n\
             kind: feature_service\nname: narrow_{on_error}\nfeatures: ['narrow:total_orders']\n\
             migrate_from: {{wide: [{{cast: {{total_orders: int8}}, on_error: {}}}]}}\n",
            if on_error == "value" { "-1" } else { on_error }
        )
    };
    let bare = "---\nkind: feature_service\nname: bare\nfeatures: ['narrow:total_orders']\n";
    let view_once = |text: String| text.split_once("---\nkind: feature_service").unwrap().1.to_owned();
    let rest = ["null", "value"].map(|on_error| format!("---\nkind: feature_service{}", view_once(newer(on_error))));
    plumb.write("features/narrow.yaml", &format!("{older}{}{}{bare}", newer("reject"), rest.concat()));
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    let many = json!({ "rows": { "user_id": [18], "event_time": ["1998-06-30T12:00:00Z"], "total_orders": [300] } });
    assert_eq!(server.post("/v1/views/user_features/push", &many.to_string()).0, 200);

    let ask = |to: &str, users: &[i64]| json!({ "service": "wide", "as": to, "entities": { "user_id": users } });
    for (to, value, status) in [("narrow_null", Json::Null, "NULL_VALUE"), ("narrow_value", json!(-1), "PRESENT")] {
        let answer = self::ask(&server, "/v1/features", &ask(to, &[4, 18, 99_999_999]));
        let found = &answer["features"]["total_orders"];
        assert_eq!(found["statuses"], json!(["PRESENT", status, "NOT_FOUND"]), "{to}");
        assert_eq!((&found["values"][1], &found["values"][2]), (&value, &Json::Null), "{to}");
    }
    let (status, code, message, hint) = refused(&server, "/v1/features", &ask("narrow_reject", &[4, 18]));
    assert_eq!((status, code.as_str()), (422, "cannot_migrate"), "{message}");
    assert!(message.contains("row 1 of field `total_orders`") && hint.contains("on_error"), "{message} {hint}");
    assert!(!message.contains("300"), "whose value it is stays untold: {message}");
    self::ask(&server, "/v1/features", &ask("narrow_reject", &[4]));
    // Where no chain is declared, the hint has the step that would arrive: a cast there, a widening back.
    let way = |from: &str, to: &str| json!({ "service": from, "as": to, "entities": { "user_id": [4] } });
    let (.., hint) = refused(&server, "/v1/features", &way("wide", "bare"));
    assert!(hint.contains("wide@v1: [{cast: {total_orders: int8}, on_error: reject}]"), "{hint}");
    let (.., hint) = refused(&server, "/v1/features", &way("bare", "wide"));
    assert!(hint.contains("bare@v1: [{widen: {total_orders: int64}}]"), "{hint}");
    server.stop();

    plumb.edit("features/narrow.yaml", ", on_error: reject", "");
    plumb.run("plan").fails(2, &["lacks `on_error`"]);
}

#[test]
fn views_that_older_clients_read_are_kept_fresh_as_long_as_a_chain_leads_on() {
    let plumb = Plumb::demo_online();
    let service = |rest: &str| {
        let text = "kind: feature_service\nname: s\nfeatures: ['user_features:total_orders']\n";
        plumb.write("features/s.yaml", &format!("{text}{rest}"));
    };
    service("");
    plumb.run("apply --yes").ok();
    plumb.edit("features/user_features.yaml", "ttl: 365d", "ttl: 730d");
    service("migrate_from: {1: []}\n");
    let plan = plumb.json("plan");
    assert_eq!(plan["unused"], json!([]), "{plan}");
    plumb.run("apply --yes").ok();
    let views = |report: &Json| {
        let done = report["materialized"].as_array().unwrap();
        done.iter().map(|view| view["view"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(views(&plumb.json("materialize")), ["user_features@v2", "user_features@v1"]);
    assert_eq!(views(&plumb.json("materialize user_features@v1")), ["user_features@v1"]);
    plumb.run("materialize user_features@v3").fails(2, &["version 3", "there are versions 1 to 2"]);
    let used = "clients of feature service `s` version 1";
    plumb.run("view remove user_features@v1 --yes").fails(4, &[used]);

    // Without the chain nobody is answered from it.
    service("");
    plumb.run("apply --yes").ok();
    assert_eq!(views(&plumb.json("materialize")), ["user_features@v2"]);
    plumb.run("view remove user_features@v1 --yes").ok();
}
