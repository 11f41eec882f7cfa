//! Goal: a version serves when those agreed who are asked to, and who overrides a check is remembered. Method: people with
//! different names promote, approve and override the demo's models under a policy in the project's files.

use serde_json::{Value as Json, json};

use crate::harness::{Answer, Plumb};

const POLICY: &str = "promotion: {approvals: 2, approvers: [ann, ben, eve]}";

/// The demo with two versions of a model under a policy.
fn under(policy: &str) -> Plumb {
    let plumb = Plumb::demo_online();
    for file in ["repeat_purchase_v1.onnx", "repeat_purchase_v2.onnx"] {
        plumb.run(&format!("model register m {}", plumb.model(file).display())).ok();
    }
    plumb.write("models/m.yaml", &format!("kind: model\nname: m\n{policy}\n"));
    plumb.run("apply --yes").ok();
    plumb
}

fn run_as(plumb: &Plumb, person: &str, line: &str) -> Answer {
    plumb.command(line).env("PLUMB_ACTOR", person).output().unwrap().into()
}

fn stages(plumb: &Plumb) -> Vec<Json> {
    let list = plumb.json("model list m");
    list["versions"].as_array().unwrap().iter().map(|version| version["stage"].clone()).collect()
}

#[test]
fn a_version_waits_for_those_who_must_agree() {
    let plumb = under(POLICY);
    let refused = run_as(&plumb, "zoe", "model promote m 1");
    refused
        .fails(5, &["error[denied]", "needs 2 approvals, and has 0", "its checks passed, see report pr-", "ask ann"]);
    // Whoever is asked looks at what was checked.
    run_as(&plumb, "ann", "model promote m 1 --dry-run").ok();
    run_as(&plumb, "zoe", "model approve m 1").fails(5, &["`zoe` may not approve", "ask ann or ben or eve"]);
    run_as(&plumb, "ann", "model approve m 1 --comment 'looked at it'").ok();
    let again = run_as(&plumb, "ann", "model approve m 1").ok().stdout;
    assert!(again.contains("it is so already"), "{again}");
    run_as(&plumb, "zoe", "model promote m 1").fails(5, &["has 1 (ann)"]);
    run_as(&plumb, "eve", "model approve m 1").ok();
    run_as(&plumb, "zoe", "model promote m 1").ok();
    assert_eq!(stages(&plumb), ["None", "Production"]);
    let card = plumb.json("model show m 1");
    assert_eq!(card["transitions"][0]["approved_by"], json!(["ann", "eve"]), "{card}");
    let card = plumb.run("model show m 1").ok().stdout;
    assert!(card.contains("approved by ann, eve"), "{card}");
    // A rollback needs nobody.
    for person in ["ann", "ben"] {
        run_as(&plumb, person, "model approve m 2").ok();
    }
    run_as(&plumb, "zoe", "model promote m 2").ok();
    run_as(&plumb, "zoe", "model rollback m").ok();
    assert_eq!(stages(&plumb), ["Archived", "Production"]);
}

#[test]
fn an_override_is_for_approvers_and_for_ever() {
    let contract =
        "contract: {outputs: {probabilities: {is: probabilities, classes: ['no', 'yes'], tolerance: 0.0001}}}";
    let plumb = under(&format!("{contract}\npromotion: {{approvers: [ben]}}"));
    run_as(&plumb, "ann", "model promote m 1").ok();
    let refused = run_as(&plumb, "ann", "model promote m 2");
    assert_eq!(refused.code, 1, "{refused:?}");
    let line = "model promote m 2 --override 'the old one sees ghosts'";
    run_as(&plumb, "ann", line).fails(5, &["`ann` may not override", "ask ben"]);
    run_as(&plumb, "ben", "model promote m 2 --override ''").fails(2, &["needs a reason"]);
    let said = run_as(&plumb, "ben", line).ok().stdout;
    assert!(said.contains("OVERRIDDEN") && said.contains("x   compatibility"), "{said}");
    let history = plumb.run("model history m").ok().stdout;
    assert!(history.contains("the old one sees ghosts"), "{history}");
    let log = plumb.json("registry log --model m").to_string();
    assert!(log.contains("though a check failed: the old one sees ghosts"), "{log}");
    run_as(&plumb, "ben", "model promote m 1 --to archived").ok();
    // What passes needs no override.
    run_as(&plumb, "ben", "model promote m 1 --override 'to be sure'").fails(2, &["nothing to override"]);
}

#[test]
fn what_a_person_approved_is_the_measure_of_what_comes() {
    let contract = "contract: {share: 1, edges: told, outputs: {probabilities: {is: probabilities, classes: ['no', 'yes'], \
                    tolerance: 1, anchor_tolerance: 0.0001}}}";
    let plumb = under(contract);
    run_as(&plumb, "ann", "model promote m 1").ok();
    let report = run_as(&plumb, "ann", "model promote m 2 --dry-run --output json").ok().json();
    let squares = report["evidence"]["squares"].as_array().unwrap().clone();
    let anchor = squares.iter().find(|square| square["check"] == "anchor").unwrap();
    assert_eq!(anchor["outcome"], "skipped", "{anchor}");
    run_as(&plumb, "eve", "model approve m 1").ok();
    let report = run_as(&plumb, "ann", "model promote m 2 --dry-run --output json").json();
    let squares = report["evidence"]["squares"].as_array().unwrap().clone();
    let anchor: Vec<&Json> = squares.iter().filter(|square| square["check"] == "anchor").collect();
    assert!(anchor.iter().any(|square| square["max"].as_f64().is_some_and(|max| max > 0.0001)), "{anchor:?}");
}
