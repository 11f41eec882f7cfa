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
    let trial = run_as(&plumb, "ann", "model promote m 1 --dry-run");
    assert!(trial.code == 5 && trial.stdout.contains("approvals are missing"), "{trial:?}");
    // Clients of MLflow are told the same, and do not try again.
    let server = plumb.serve();
    let wish = json!({ "name": "m", "version": "1", "stage": "Production" }).to_string();
    let (status, said) = server.post("/api/2.0/mlflow/model-versions/transition-stage", &wish);
    assert_eq!((status, &said["error_code"]), (403, &"PERMISSION_DENIED".into()), "{said}");
    assert!(said["message"].as_str().unwrap().contains("see report pr-"), "{said}");
    server.stop();
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
    run_as(&plumb, "ben", "model alias m champ 2 --override 'told so'").ok();
    for line in ["model history m", "registry log --model m"] {
        let said = plumb.run(line).ok().stdout;
        assert!(said.contains("called version 2 of `m` `champ`, though a check failed: told so"), "{line}: {said}");
    }
    let card = plumb.run("model show m @champ").ok().stdout;
    assert!(
        card.contains("named        champ  ") && card.contains("by ben, checks failed, OVERRIDDEN: told so"),
        "{card}"
    );
    assert_eq!(plumb.json("model show m 2")["named"][0]["overridden"], "told so");
    assert_eq!(plumb.json("model show m 1")["named"], json!([]));
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

/// Who answers to a name is under what is declared of the name, however it came by it.
#[test]
fn a_name_gives_nothing_that_its_policy_did_not_let_in() {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register other {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    // Nothing is declared of this name.
    plumb.run("model promote other 1").ok();
    let contract = "contract: {outputs: {probabilities: {is: probabilities, classes: ['0', '1', '2'], tolerance: 1}}}";
    plumb.write("models/m.yaml", &format!("kind: model\nname: m\n{contract}\npromotion: {{approvers: [ben]}}\n"));
    plumb.run("apply --yes").ok();
    let refused = plumb.run("model rename other m");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stdout.contains("`m` would give version 1 for Production, which is REFUSED"), "{refused:?}");
    let server = plumb.serve();
    let wish = json!({ "name": "other", "new_name": "m" }).to_string();
    let (status, said) = server.post("/api/2.0/mlflow/registered-models/rename", &wish);
    assert_eq!((status, &said["error_code"]), (409, &"RESOURCE_CONFLICT".into()), "{said}");
    assert_eq!(said["promotion_report"]["checks"][0]["passed"], false, "{said}");
    assert_eq!(server.predict("m", &[1]).0, 404);
    server.stop();
    run_as(&plumb, "ann", "model rename other m --override 'it is the same'").fails(5, &["`ann` may not override"]);
    run_as(&plumb, "ben", "model rename other m --override 'it is the same'").ok();
    let log = plumb.json("registry log --model other").to_string();
    assert!(log.contains("renamed model `other` to `m` though a check failed: it is the same"), "{log}");
    // And what answers to a declared name does so until somebody says otherwise.
    plumb.run("model rename m other").fails(4, &["`m` is declared and answers requests"]);
}

/// A disk that fails for a moment is no reason to let in what nothing was compared with; a file that is gone for good is.
#[test]
fn a_holder_that_cannot_be_read_is_waited_for_and_one_that_is_gone_is_not() {
    let contract = "contract: {outputs: {probabilities: {is: probabilities, classes: ['0', '1'], tolerance: 0.0001}}}";
    let plumb = under(contract);
    plumb.run("model promote m 1").ok();
    let digest = plumb.json("model show m 1")["files"][0]["digest"].as_str().unwrap().to_owned();
    let file = plumb.path().join(".plumb/artifacts/sha256").join(&digest[..2]).join(&digest[2..]);
    let aside = plumb.path().join("aside");
    std::fs::rename(&file, &aside).unwrap();
    // Whatever stands there is read with an error that is not "not found".
    std::fs::create_dir(&file).unwrap();
    plumb
        .run("model promote m 2")
        .fails(6, &["version 1, which this one is held against, cannot be read", "try again"]);
    assert_eq!(stages(&plumb), ["None", "Production"]);
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    assert_eq!(plumb.run("model promote m 2").code, 1, "it answers otherwise");
    std::fs::remove_file(&file).unwrap();
    let said = plumb.run("model promote m 2").ok().stdout;
    assert!(said.contains("version 1 cannot be loaded"), "{said}");
}

/// Whoever deletes a version may leave its stage to another one: what was found of that one is remembered.
#[test]
fn what_a_deletion_leaves_a_stage_to_is_checked_and_remembered() {
    let plumb = under("promotion: {approvers: [ben]}");
    let server = plumb.serve();
    for version in ["1", "2"] {
        let wish = json!({ "name": "m", "version": version, "stage": "Production" }).to_string();
        let (status, said) = server.post("/api/2.0/mlflow/model-versions/transition-stage", &wish);
        assert_eq!(status, 200, "{said}");
    }
    server.stop();
    plumb.run("model delete m 2").ok();
    let events = plumb.json("model history m")["events"].clone();
    let body = &events.as_array().unwrap().last().unwrap()["body"];
    let found = &body["evidence"]["exposes"][0];
    assert_eq!((&body["type"], &found["version"]), (&"version_deleted".into(), &1.into()), "{body}");
    assert_eq!((&found["stage"], &found["evidence"]["passed"]), (&"Production".into(), &true.into()), "{body}");
}
