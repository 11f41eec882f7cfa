//! Goal: a contract means one thing at every service version, in whatever words and units older clients are answered.
//! Method: models whose names of classes or whose unit changed along a migration go through the gate, and clients of the
//! older version are answered by the server.

use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};
use crate::squares::{classifier_named, declare, linear, only, promote, register};

const V1: &str = "repeat_purchase_v1";
const V2: &str = "repeat_purchase_v2";
const WAY: &str = "from: repeat_purchase_v1, to: repeat_purchase_v2, back: true";

/// What clients of the older version are told for an entity with many orders, once version `version` answers.
fn told(server: &Server, version: u32, output: &str) -> Json {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let body = json!({ "service": V1, "entities": { "user_id": [4, 18] } }).to_string();
    loop {
        let (status, answer) = server.post("/v1/models/m/predict", &body);
        if status == 200 && answer["version"] == version {
            return answer["outputs"][output].clone();
        }
        assert!(std::time::Instant::now() < deadline, "version {version} does not answer: {answer}");
    }
}

#[test]
fn a_unit_that_changed_is_judged_in_the_new_one() {
    let plumb = Plumb::demo_online();
    // Percents became shares.
    register(&plumb, &linear(&plumb, "one.onnx", &[0.1, 0.0, 0.0], 0.0), V1);
    register(&plumb, &linear(&plumb, "two.onnx", &[0.001, 0.0, 0.0, 0.0], 0.0), V2);
    register(&plumb, &linear(&plumb, "three.onnx", &[0.002, 0.0, 0.0, 0.0], 0.0), V2);
    let contract = |tolerance: f64| {
        format!(
            "accepts: [{V1}]\ncontract: {{outputs: {{score: {{is: score, range: [0, 1], tolerance: {tolerance}}}}}}}\n\
             adapters: [{{{WAY}, outputs: {{score: {{scale: 0.01}}}}}}]"
        )
    };
    declare(&plumb, &contract(0.001));
    // What version 1 says itself, in percents, is in the range too.
    promote(&plumb, 1).ok();
    let server = plumb.serve();
    let before = told(&server, 1, "score");
    let report = promote(&plumb, 2).ok().json();
    let square = only(&report, "compatibility");
    assert_eq!((&square["outcome"], &square["passed"]), (&json!("compared"), &json!(true)), "{square}");
    assert!(square["max"].as_f64().unwrap() < 1e-6, "{square}");
    // Clients of the older version are promised percents.
    let promise = &report["evidence"]["promises"][0]["tolerance"]["score"];
    assert!((promise.as_f64().unwrap() - 0.1).abs() < 1e-9, "{report}");
    let number = |value: &Json| value.as_f64().or(value[0].as_f64()).unwrap();
    for (before, after) in before.as_array().unwrap().iter().zip(told(&server, 2, "score").as_array().unwrap()) {
        assert!((number(before) - number(after)).abs() < 1e-4, "{before} and {after}");
    }
    // An adapter that is wrong is named, not the model.
    promote(&plumb, 1).ok();
    declare(&plumb, &contract(0.001).replace("scale: 0.01", "scale: 10"));
    let refused = promote(&plumb, 2);
    assert_eq!(refused.code, 1, "{refused:?}");
    let report = refused.json();
    let found = &only(&report, "compatibility")["counterexample"];
    let name = "repeat_purchase_v1@v1 -> repeat_purchase_v2@v1";
    assert_eq!(
        (&found["moved_by"]["adapter"], &found["moved_by"]["field"]),
        (&json!(name), &json!("score")),
        "{found}"
    );
    assert!(found["hint"].as_str().unwrap().starts_with(&format!("correct what the adapter {name} does")), "{found}");
    assert!(plumb.run("model promote m 2").stdout.contains(&format!("the adapter {name} made score=")));
    declare(&plumb, &contract(0.001));
    promote(&plumb, 2).ok();
    // A tolerance of shares is no tolerance of percents.
    let refused = promote(&plumb, 3);
    assert_eq!(refused.code, 1, "{refused:?}");
    let refused = refused.json();
    let at_v1 = crate::squares::squares(&refused, "contract")
        .into_iter()
        .find(|square| square["at"] == "repeat_purchase_v1@v1");
    let found = &at_v1.unwrap()["counterexample"];
    assert_eq!(found["limit"], 0.001, "{refused}");
    let (old, new) = (number(&found["old"]), number(&found["new"]));
    assert!((0.0..=1.0).contains(&old) && (0.0..=1.0).contains(&new), "in shares: {found}");
}

#[test]
fn classes_that_got_other_names_are_compared_by_what_they_are_now() {
    let plumb = Plumb::demo_online();
    let old = Some(r#"["good","bad"]"#);
    register(&plumb, &classifier_named(&plumb, "one.onnx", false, 3, old), V1);
    register(&plumb, &classifier_named(&plumb, "two.onnx", true, 4, Some(r#"["fraud","ok"]"#)), V2);
    // Names that no file has are in the order of the contract, whose words are the newer ones.
    register(&plumb, &classifier_named(&plumb, "three.onnx", false, 3, None), V1);
    register(&plumb, &classifier_named(&plumb, "four.onnx", true, 3, old), V1);
    let output = "probabilities: {is: probabilities, classes: [ok, fraud], tolerance: 0.01}";
    let relabel = "probabilities: {relabel: {good: ok, bad: fraud}}";
    declare(
        &plumb,
        &format!("accepts: [{V1}]\ncontract: {{outputs: {{{output}}}}}\nadapters: [{{{WAY}, outputs: {{{relabel}}}}}]"),
    );
    promote(&plumb, 1).ok();
    let server = plumb.serve();
    let before = told(&server, 1, "probabilities");
    let report = promote(&plumb, 2).ok().json();
    let square = only(&report, "compatibility");
    assert_eq!((&square["outcome"], &square["max"]), (&json!("compared"), &json!(0.0)), "{square}");
    assert_eq!(told(&server, 2, "probabilities"), before, "each class where it was, under whatever name");
    promote(&plumb, 3).ok();
    assert_eq!(told(&server, 3, "probabilities"), before);
    let refused = promote(&plumb, 4);
    assert_eq!(refused.code, 1, "its probabilities are swapped: {refused:?}");
    let refused = refused.json();
    let found = &only(&refused, "contract")["counterexample"];
    assert_eq!(found["old"].as_object().unwrap().keys().collect::<Vec<_>>(), ["fraud", "ok"], "{found}");
}

#[test]
fn a_class_that_would_not_come_back_is_refused_by_plan() {
    let plumb = Plumb::demo_online();
    let model = |relabel: &str, classes: &str| {
        let output = format!("probabilities: {{is: probabilities, classes: [{classes}]}}");
        let adapter = format!("adapters: [{{{WAY}, outputs: {{probabilities: {{relabel: {{{relabel}}}}}}}}}]");
        plumb
            .write("models/m.yaml", &format!("kind: model\nname: m\ncontract: {{outputs: {{{output}}}}}\n{adapter}\n"));
        plumb.run("plan")
    };
    model("a: b", "a, b").fails(2, &["models/m.yaml", "class `a` would be told as `a`, which is `b`"]);
    model("a: b", "b, c").ok();
    model("a: b, b: a", "a, b").ok();
    plumb.write("models/m.yaml", "kind: model\nname: m\ncontract: {outputs: {y: {is: score, range: [0, .inf]}}}\n");
    plumb.run("plan").fails(2, &["models/m.yaml:3", "`inf` is not a finite number"]);
}

#[test]
fn small_steps_up_add_up_to_what_the_anchor_does_not_allow() {
    let plumb = Plumb::demo_online();
    for (at, weight) in [0.10_f32, 0.14, 0.18].into_iter().enumerate() {
        register(&plumb, &linear(&plumb, &format!("{at}.onnx"), &[weight, 0.0, 0.0], 0.0), V1);
    }
    let output = "score: {is: score, relation: never_lower, tolerance: 0.0001, anchor_tolerance: 0.5}";
    declare(&plumb, &format!("contract: {{outputs: {{{output}}}}}\npromotion: {{approvers: [anna]}}"));
    promote(&plumb, 1).ok();
    let approved = plumb.command("model approve m 1").env("PLUMB_ACTOR", "anna").output().unwrap();
    assert!(approved.status.success(), "{approved:?}");
    // Never lower: each step passes. Some customer has more orders than 0.5 allows in two steps.
    let report = promote(&plumb, 3);
    assert_eq!(report.code, 1, "{report:?}");
    let report = report.json();
    assert_eq!(only(&report, "contract")["passed"], true, "{report}");
    let anchor = only(&report, "anchor");
    assert_eq!((&anchor["passed"], &anchor["counterexample"]["limit"]), (&json!(false), &json!(0.5)), "{report}");
    assert!(anchor["counterexample"]["hint"].as_str().unwrap().contains("model approve m 1"), "{anchor}");
    // Going back is no promotion: nobody asks whether it is lower.
    declare(&plumb, "contract: {outputs: {score: {is: score, relation: never_lower, tolerance: 0.0001}}}");
    promote(&plumb, 3).ok();
    assert_eq!(promote(&plumb, 1).code, 1);
    plumb.run("model rollback m").ok();
    let versions = plumb.json("model list m")["versions"].as_array().unwrap().clone();
    let holder = versions.iter().find(|version| version["stage"] == "Production").unwrap();
    assert_eq!(holder["version"], 1);
}

#[test]
fn one_model_behind_a_migration_agrees_with_itself() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[0.1, 0.0, 0.0, 0.5], 0.0), V2);
    declare(&plumb, &format!("accepts: [{V1}]\ncontract: {{outputs: {{score: {{is: score}}}}}}"));
    let said = plumb.run("model promote m 1 --dry-run").stdout;
    let report = promote(&plumb, 1).ok().json();
    let square = only(&report, "compatibility");
    assert_eq!((&square["outcome"], &square["passed"]), (&json!("by_construction"), &json!(true)), "{report}");
    assert!(said.contains("holds by construction, one model, identity adapter"), "{said}");
}

/// That wherever a value of `field` is shown it is masked, and that it is shown.
#[track_caller]
fn masked(field: &str, text: &str) {
    let mut shown = 0;
    for (at, _) in text.match_indices(field) {
        let rest = text[at + field.len()..].trim_start_matches(['\\', '"', ' ']);
        let Some(value) = rest.strip_prefix([':', '=']) else { continue };
        let value = value.trim_start_matches(['\\', '"', ' ']);
        assert!(value.starts_with("***"), "`{}` in {text}", &value[..value.len().min(20)]);
        shown += 1;
    }
    assert!(shown > 0, "no value of `{field}` is in {text}");
}

#[test]
fn what_is_personal_is_masked_wherever_a_row_is_shown() {
    const FIELD: &str = "avg_order_value";
    let plumb = Plumb::demo_online();
    plumb.edit("features/user_features.yaml", "{name: avg_order_value,", "{name: avg_order_value, pii: true,");
    plumb.run("apply --yes").ok();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), V1);
    register(&plumb, &linear(&plumb, "two.onnx", &[1.0, 0.01, 0.0], 0.0), V1);
    declare(&plumb, "contract: {outputs: {score: {is: score, tolerance: 0.1}}}");
    promote(&plumb, 1).ok();
    let refused = promote(&plumb, 2);
    assert_eq!(refused.code, 1, "{refused:?}");
    let report = refused.json();
    let found = &only(&report, "contract")["counterexample"];
    masked(FIELD, &found["row"].to_string());
    assert_eq!(found["moved_by"]["value"], "***", "{found}");
    masked(FIELD, &plumb.run("model promote m 2").stdout);
    masked(FIELD, &plumb.json("model history m").to_string());
    let exported = plumb.run("registry export -").ok().stdout;
    let refusals: Vec<&str> = exported.lines().filter(|line| line.contains("counterexample")).collect();
    assert!(!refusals.is_empty());
    refusals.into_iter().for_each(|line| masked(FIELD, line));
    let server = plumb.serve();
    let wish = json!({ "name": "m", "version": "2", "stage": "Production" }).to_string();
    let (status, answer) = server.post("/api/2.0/mlflow/model-versions/transition-stage", &wish);
    assert_eq!(status, 409, "{answer}");
    masked(FIELD, &answer.to_string());
}
