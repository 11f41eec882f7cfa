//! Models as people meet them on the command line: cards, histories, differences, names.

use serde_json::{Value as Json, json};

use crate::harness::Plumb;

/// Two versions of the demo's model, with their features online.
fn registered() -> Plumb {
    let plumb = Plumb::demo_online();
    for version in 1..=2 {
        let file = plumb.model(&format!("repeat_purchase_v{version}.onnx"));
        plumb.run(&format!("model register repeat_purchase {}", file.display())).ok();
    }
    plumb
}

#[test]
fn a_card_says_what_a_version_is_and_how_it_came_where_it_stands() {
    let plumb = registered();
    plumb.run("model promote repeat_purchase 1").ok();
    plumb.run("model alias repeat_purchase champion 1").ok();
    plumb.run("model tag repeat_purchase validated=yes --of 1").ok();
    let card = plumb.json("model show repeat_purchase champion");
    assert_eq!((&card["version"], &card["stage"]), (&json!(1), &json!("Production")));
    assert_eq!((&card["aliases"], &card["tags"]), (&json!(["champion"]), &json!({ "validated": "yes" })));
    assert_eq!(card["features"].as_array().unwrap().len(), 3);
    assert_eq!(card["files"][0]["path"], "model.onnx");
    assert_eq!(card["transitions"][0]["evidence"]["passed"], true);
    let text = plumb.run("model show repeat_purchase").ok();
    assert!(text.stdout.contains("repeat_purchase version 1 (Production)"), "{}", text.stdout);
    assert!(text.stdout.contains("None -> Production") && text.stdout.contains("checks passed"), "{}", text.stdout);

    // The second version reads one feature more, and is another file.
    let diff = plumb.json("model diff repeat_purchase production 2");
    let what: Vec<&str> =
        diff["differences"].as_array().unwrap().iter().filter_map(|one| one["what"].as_str()).collect();
    for wanted in ["stage", "aliases", "tags.validated", "files", "features", "service.fingerprint"] {
        let is_it = |one: &&str| one.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
        assert!(what.iter().any(is_it), "{wanted} is not in {what:?}");
    }
    assert!(what.contains(&"files[model.onnx].digest"), "{what:?}");
    let same = plumb.json("model diff repeat_purchase 2 2");
    assert_eq!(same["differences"], json!([]));
    assert!(text.stdout.contains("no predictions of the last 24 hours are in the log"), "{}", text.stdout);
    let server = plumb.serve();
    assert_eq!(server.predict("repeat_purchase", &[1, 2, 3]).0, 200);
    server.stop();
    let traffic = |version: u32| plumb.json(&format!("model show repeat_purchase {version}"))["traffic"].clone();
    let (first, second) = (traffic(1), traffic(2));
    assert_eq!((&first["predictions"], &first["of_model"]), (&json!(3), &json!(3)), "{first}");
    assert_eq!((&second["predictions"], &second["of_model"]), (&json!(0), &json!(3)), "{second}");
    let text = plumb.run("model show repeat_purchase 1").ok().stdout;
    assert!(text.contains("3 of 3 predictions of the last 24 hours, the last at "), "{text}");
    plumb.run("model show repeat_purchase nobody").fails(2, &["no version `nobody`", "aliases: @champion"]);
}

#[test]
fn an_alias_is_let_through_the_same_gate_as_a_stage() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let file = plumb.model("repeat_purchase_v1.onnx");
    plumb.run(&format!("model register repeat_purchase {}", file.display())).ok();
    // Nothing is online: the version would answer without its features.
    plumb.run("model alias repeat_purchase champion 1").fails(1, &[]);
    assert_eq!(plumb.json("model show repeat_purchase 1")["aliases"], json!([]));
    plumb.run("materialize").ok();
    let tried = plumb.json("model alias repeat_purchase champion 1 --dry-run");
    assert_eq!((&tried["passed"], &tried["changed"]), (&json!(true), &json!(false)));
    let moved = plumb.json("model alias repeat_purchase champion 1");
    assert_eq!((&moved["passed"], &moved["changed"]), (&json!(true), &json!(true)));
    plumb.run("model alias repeat_purchase latest 1").fails(2, &["reserved"]);
    let gone = plumb.json("model alias repeat_purchase champion --remove");
    assert_eq!(gone["changed"], true);
}

#[test]
fn a_model_keeps_its_history_under_whatever_name() {
    let plumb = registered();
    plumb.run("model promote repeat_purchase 2").ok();
    plumb.run("model rename repeat_purchase next_order").ok();
    plumb.run("model delete next_order 1").ok();
    plumb.run("model show next_order 1").fails(2, &["no version `1`", "there is version 2"]);
    plumb.run("model restore next_order 1").ok();
    plumb.run("model delete next_order").ok();
    plumb.run("model show next_order").fails(2, &["no model `next_order`"]);
    plumb.run("model restore next_order").ok();
    // What comes back serves nobody before it is promoted again.
    assert_eq!(plumb.json("model show next_order 2")["stage"], "None");
    plumb.run("model promote next_order 2").ok();
    let history = plumb.json("model history next_order");
    let said = history["events"].as_array().unwrap().iter().filter_map(|one| one["says"].as_str());
    // The digests of evidence are others each time: it has times in it.
    let said: Vec<&str> = said.map(|said| said.split("; evidence ").next().unwrap_or(said)).collect();
    let [before @ .., last, again] = &said[..] else { panic!("{said:?}") };
    assert_eq!(*again, "moved `next_order` version 2 from None to Production");
    assert!(last.starts_with("brought back model `next_order` of event "), "{last}");
    assert_eq!(
        before,
        [
            "registered `repeat_purchase` version 1",
            "registered `repeat_purchase` version 2",
            "moved `repeat_purchase` version 2 from None to Production",
            "renamed model `repeat_purchase` to `next_order`",
            "deleted `next_order` version 1",
            "brought back `next_order` version 1",
            "deleted model `next_order`",
        ]
    );
    // Of a name that is free another model may be made; the old one's history is not its own.
    let file = plumb.model("repeat_purchase_v1.onnx");
    plumb.run(&format!("model register repeat_purchase {}", file.display())).ok();
    let events = plumb.json("model history repeat_purchase");
    assert_eq!(events["events"].as_array().unwrap().len(), 1);
    let found = plumb.json("model search");
    let names: Vec<&str> = found["models"].as_array().unwrap().iter().filter_map(|one| one["model"].as_str()).collect();
    assert_eq!(names, ["next_order", "repeat_purchase"]);
    plumb.run("model search name=x").fails(2, &["quoted string"]);
}

#[test]
fn a_file_that_is_registered_already_is_told_as_the_version_that_it_is() {
    let plumb = registered();
    let file = plumb.model("repeat_purchase_v2.onnx");
    let again = plumb.run(&format!("model register repeat_purchase {}", file.display())).ok().stdout;
    assert!(again.contains("it is version 2 already, registered at "), "{again}");
    let again = plumb.json(&format!("model register repeat_purchase {}", file.display()));
    assert_eq!((&again["version"], &again["created"]), (&json!(2), &json!(false)), "{again}");
    let new = plumb.json(&format!("model register other {}", file.display()));
    assert_eq!((&new["version"], &new["created"]), (&json!(1), &json!(true)), "{new}");
    // The file says what it was trained on.
    let other = format!("model register other {} --service repeat_purchase_v1", file.display());
    plumb.run(&other).fails(
        4,
        &["was trained on service `repeat_purchase_v2`", "not on `repeat_purchase_v1`", "--service repeat_purchase_v2"],
    );
}

#[test]
fn a_number_is_a_version_a_stage_is_its_holder_and_an_alias_has_its_sign() {
    let plumb = registered();
    plumb.run("model promote repeat_purchase 1").ok();
    let server = plumb.serve();
    for alias in ["production", "77", "1", "champion"] {
        let body = json!({ "name": "repeat_purchase", "alias": alias, "version": "2" }).to_string();
        assert_eq!(server.post("/api/2.0/mlflow/registered-models/alias", &body).0, 200, "{alias}");
    }
    server.stop();
    let shown = |named: &str| plumb.json(&format!("model show repeat_purchase {named}"))["version"].clone();
    for (named, version) in [
        ("1", 1),
        ("@1", 2),
        ("production", 1),
        ("PRODUCTION", 1),
        ("@production", 2),
        ("@77", 2),
        ("@champion", 2),
        ("champion", 2),
        ("latest", 2),
    ] {
        assert_eq!(shown(named), version, "{named}");
    }
    for named in ["77", "99999999999", "@Production", "staging", "@2"] {
        let hint = "there are versions 1 to 2; aliases: @1, @77, @champion, @production";
        plumb.run(&format!("model show repeat_purchase {named}")).fails(2, &["has no version", hint]);
    }
    let diff = plumb.json("model diff repeat_purchase production @production");
    assert_eq!((&diff["from"], &diff["to"]), (&json!(1), &json!(2)));
}

#[test]
fn trying_what_is_so_already_checks_nothing_and_says_so() {
    let plumb = registered();
    plumb.run("model promote repeat_purchase 1").ok();
    plumb.run("model alias repeat_purchase champion 1").ok();
    let tried = plumb.json("model promote repeat_purchase 1 --dry-run");
    assert_eq!((&tried["passed"], &tried["changed"]), (&Json::Null, &json!(false)), "{tried}");
    let tried = plumb.run("model promote repeat_purchase 1 --dry-run").ok().stdout;
    assert!(tried.contains("holds the stage already, nothing was checked"), "{tried}");
    let tried = plumb.json("model alias repeat_purchase champion 1 --dry-run");
    assert_eq!((&tried["passed"], &tried["changed"]), (&Json::Null, &json!(false)), "{tried}");
    let tried = plumb.run("model alias repeat_purchase champion 1 --dry-run").ok().stdout;
    assert!(tried.contains("it is so already, nothing was checked"), "{tried}");
}

#[test]
fn a_server_predicts_many_rows_as_it_predicts_one() {
    let plumb = registered();
    plumb.run("model promote repeat_purchase 1").ok();
    let server = plumb.serve();
    let of = |answer: &Json, row: usize| answer["outputs"]["probabilities"][row].clone();
    let (_, one) = server.predict("repeat_purchase", &[4]);
    // Short and long in bytes and in rows: wherever a request is answered.
    for n in [255, 257, 500, 2_000, 10_000] {
        let (status, many) = server.predict("repeat_purchase", &vec![4; n]);
        assert_eq!(status, 200, "{n} rows: {many}");
        assert!(
            of(&one, 0) != Json::Null && of(&many, 0) == of(&one, 0) && of(&many, n - 1) == of(&one, 0),
            "{n} rows"
        );
    }
    let feature = |n: usize| vec![json!(1); n];
    for n in [1, 300, 3_000] {
        let names = ["total_orders", "avg_order_value", "days_since_last_order"];
        let features: serde_json::Map<_, _> =
            names.map(|name| (name.to_owned(), feature(n).into())).into_iter().collect();
        let (status, said) =
            server.post("/v1/models/repeat_purchase/predict", &json!({ "features": features }).to_string());
        assert_eq!(status, 200, "{n} rows: {said}");
    }
}

#[test]
fn a_server_answers_with_another_model_of_the_same_name() {
    let plumb = registered();
    plumb.run("model promote repeat_purchase 1").ok();
    let server = plumb.serve();
    let (status, before) = server.predict("repeat_purchase", &[4]);
    assert_eq!((status, before["features"].as_object().unwrap().len()), (200, 3));
    // The new model's version 1 is another file than the old one's.
    plumb.run("model delete repeat_purchase").ok();
    let file = plumb.model("repeat_purchase_v2.onnx");
    plumb.run(&format!("model register repeat_purchase {}", file.display())).ok();
    plumb.run("model promote repeat_purchase 1").ok();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let (status, answer) = server.predict("repeat_purchase", &[4]);
        if status == 200 && answer["features"].as_object().unwrap().len() == 4 {
            assert_eq!(answer["version"], 1);
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the deleted model still answers: {answer}");
    }
    server.stop();
}
