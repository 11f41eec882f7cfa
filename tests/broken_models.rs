//! Goal: a model that fails where it should answer does not get to answer. Method: models that fail on some rows, on pinned ones
//! or on all, and adapters that lead one way only, go through the gate.

use serde_json::json;
use serving::onnx::toy::{FLOAT, Graph, INT64, Node};

use crate::harness::Plumb;
use crate::squares::{declare, linear, only, promote, register};

/// Looks the orders up in a table of so many numbers: more orders than these have no answer.
fn table(plumb: &Plumb, name: &str, values: &[f32]) -> String {
    let n = i64::try_from(values.len()).unwrap();
    let model = Graph::new()
        .input("features", FLOAT, &[-1, 3])
        .int64s("first", &[1], &[0])
        .floats("table", &[n], values)
        .node(Node::new("Gather", &["features", "first"], &["orders"]).int("axis", 1))
        .node(Node::new("Cast", &["orders"], &["at"]).int("to", INT64.into()))
        .node(Node::new("Gather", &["table", "at"], &["score"]))
        .output("score", FLOAT, &[-1, 1])
        .model();
    let path = plumb.path().join(name);
    std::fs::write(&path, model).unwrap();
    path.display().to_string()
}

#[test]
fn a_first_version_that_fails_on_what_its_contract_promises_is_refused() {
    let plumb = Plumb::demo_online();
    register(&plumb, &table(&plumb, "two.onnx", &[0.25, 0.5]), "repeat_purchase_v1");
    declare(&plumb, "contract: {share: 0.01, edges: told, outputs: {score: {is: score, tolerance: 0}}}");
    let refused = plumb.run("model promote m 1");
    assert!(refused.code == 1 && refused.stdout.contains("sampled rows are not answered"), "{refused:?}");
    assert!(refused.stdout.contains("rows are refused alone"), "{refused:?}");
    // It is no matter of the share where a pinned row is not answered; and none of a contract.
    declare(&plumb, "contract: {share: 1, edges: told, outputs: {score: {is: score, tolerance: 0}}}");
    promote(&plumb, 1).ok();
    plumb.write("golden.json", r#"[{"total_orders": 1}, {"total_orders": 7}]"#);
    let golden = plumb.path().join("golden.json").display().to_string();
    let file = table(&plumb, "two_and_more.onnx", &[0.25, 0.5, 0.75]);
    for model in ["m", "undeclared"] {
        plumb.run(&format!("model register {model} {file} --service repeat_purchase_v1 --golden {golden}")).ok();
    }
    let refused = plumb.run("model promote undeclared 1");
    assert!(refused.code == 1 && refused.stdout.contains("1 golden and "), "{refused:?}");
}

#[test]
fn a_version_that_fails_where_the_one_before_answers_needs_no_contract_to_be_refused() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    register(&plumb, &linear(&plumb, "other.onnx", &[3.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    register(&plumb, &table(&plumb, "two.onnx", &[0.25, 0.5]), "repeat_purchase_v1");
    promote(&plumb, 1).ok();
    promote(&plumb, 2).ok();
    let refused = plumb.run("model promote m 3");
    let says = "but 0 golden and ";
    assert!(refused.code == 1 && refused.stdout.contains(says), "{refused:?}");
    // What is worse already may be replaced by what is no worse.
    declare(&plumb, "promotion: {approvers: [ann]}");
    let overriding = plumb.command("model promote m 3 --override 'it must be'").env("PLUMB_ACTOR", "ann").output();
    assert!(overriding.unwrap().status.success());
    register(&plumb, &table(&plumb, "other_two.onnx", &[0.25, 0.75]), "repeat_purchase_v1");
    promote(&plumb, 4).ok();
}

#[test]
fn a_version_that_answers_nothing_is_refused() {
    let plumb = Plumb::demo_online();
    register(&plumb, &table(&plumb, "none.onnx", &[]), "repeat_purchase_v1");
    let refused = plumb.run("model promote m 1");
    assert!(refused.code == 1 && refused.stdout.contains("no probe row has an answer to compare"), "{refused:?}");
}

/// What holds the stage is compared with, adapted, though older clients cannot be told what the new version says.
#[test]
fn an_adapter_that_leads_one_way_switches_no_comparison_off() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    register(&plumb, &linear(&plumb, "same.onnx", &[2.0, 0.0, 0.0, 0.0], 0.0), "repeat_purchase_v2");
    register(&plumb, &linear(&plumb, "another.onnx", &[5.0, 0.0, 0.0, 0.0], 0.0), "repeat_purchase_v2");
    promote(&plumb, 1).ok();
    let contract = "contract: {edges: told, outputs: {score: {is: amount, tolerance: 0.001}}}";
    let adapter = "adapters: [{from: repeat_purchase_v1, to: repeat_purchase_v2, outputs: {score: {scale: 2}}}]";
    declare(&plumb, &format!("{contract}\n{adapter}"));
    let report = promote(&plumb, 3);
    assert_eq!(report.code, 1, "{report:?}");
    let report = report.json();
    let square = only(&report, "compatibility");
    assert_eq!((&square["outcome"], &square["passed"]), (&json!("compared"), &json!(false)), "{square}");
    let report = promote(&plumb, 2).ok().json();
    let square = only(&report, "compatibility");
    assert_eq!((&square["outcome"], &square["passed"]), (&json!("compared"), &json!(true)), "{square}");
    // Clients that are said to speak the older version must be answered.
    plumb.run("model rollback m").ok();
    declare(&plumb, &format!("accepts: [repeat_purchase_v1]\n{contract}\n{adapter}"));
    let refused = plumb.run("model promote m 2");
    assert!(refused.code == 1 && refused.stdout.contains("clients still send it"), "{refused:?}");
}
