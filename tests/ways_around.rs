//! Goal: nobody gets round what a model promises by taking another way. Method: models of a few numbers behind a contract,
//! taken to Production by ways that compare them with nothing.

use serde_json::json;

use crate::harness::Plumb;
use crate::squares::linear;

const CONTRACT: &str = "contract: {edges: told, outputs: {score: {is: score, tolerance: 0.1}}}";

/// The demo with versions 1 and 2 of `m`, which are 5 apart, and a declaration of it. Version 1 is in Production.
fn promised(declared: &str) -> Plumb {
    let plumb = Plumb::demo_online();
    for (name, bias) in [("one.onnx", 0.0), ("two.onnx", 5.0)] {
        let file = linear(&plumb, name, &[1.0, 0.0, 0.0], bias);
        plumb.run(&format!("model register m {file} --service repeat_purchase_v1")).ok();
    }
    plumb.run("model promote m 1").ok();
    plumb.write("models/m.yaml", &format!("kind: model\nname: m\n{declared}\n"));
    plumb.run("apply --yes").ok();
    plumb
}

#[test]
fn a_stage_that_was_emptied_first_is_held_against_who_left_it() {
    let plumb = promised(CONTRACT);
    assert_eq!(plumb.run("model promote m 2").code, 1);
    plumb.run("model promote m 1 --to archived").ok();
    let refused = plumb.run("model promote m 2");
    assert!(refused.code == 1 && refused.stdout.contains("REFUSED"), "{refused:?}");
    assert!(refused.stdout.contains("plumb model diff m 1 2"), "{refused:?}");
    // What left comes back, and who is no more is nobody to be held against.
    plumb.run("model promote m 1").ok();
    plumb.run("model promote m 1 --to archived").ok();
    plumb.run("model delete m 1").ok();
    plumb.run("model promote m 2").ok();
}

#[test]
fn a_declared_model_takes_no_version_that_nobody_can_check() {
    let plumb = promised("promotion: {required: [types]}");
    let server = plumb.serve();
    let post = |route: &str, body| server.post(&format!("/api/2.0/mlflow/{route}"), &format!("{body}"));
    let (status, answer) = post("model-versions/create", json!({ "name": "m", "source": "s3://bucket/model" }));
    assert_eq!((status, &answer["model_version"]["version"]), (200, &json!("3")), "{answer}");
    for (route, body) in [
        ("model-versions/transition-stage", json!({ "name": "m", "version": "3", "stage": "Production" })),
        (
            "model-versions/transition-stage",
            json!({ "name": "m", "version": "3", "stage": "Production", "archive_existing_versions": true }),
        ),
        ("registered-models/alias", json!({ "name": "m", "alias": "champion", "version": "3" })),
    ] {
        let (status, answer) = post(route, body);
        assert_eq!((status, &answer["error_code"]), (409, &json!("RESOURCE_CONFLICT")), "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("version 3 of model `m`") && message.contains("no feature service"), "{message}");
    }
    assert_eq!(server.predict("m", &[4]).0, 200);
    // Of another model nobody promised anything.
    post("registered-models/create", json!({ "name": "free" }));
    post("model-versions/create", json!({ "name": "free", "source": "s3://bucket/model" }));
    let (status, answer) =
        post("model-versions/transition-stage", json!({ "name": "free", "version": "1", "stage": "Production" }));
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = server.predict("free", &[4]);
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(
        status == 404 && message.contains("version 1 of model `free`, which is in Production, cannot be served"),
        "{answer}"
    );
}

#[test]
fn a_refused_alias_is_told_by_its_name() {
    let plumb = promised(CONTRACT);
    let refused = plumb.run("model alias m champion 2");
    assert!(refused.code == 1 && refused.stdout.contains("alias `champion` of `m`: REFUSED"), "{refused:?}");
    let server = plumb.serve();
    let body = json!({ "name": "m", "alias": "champion", "version": "2" }).to_string();
    let (status, answer) = server.post("/api/2.0/mlflow/registered-models/alias", &body);
    assert_eq!((status, &answer["promotion_report"]["alias"]), (409, &json!("champion")), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("version 2 of 'm' would answer for alias `champion`"), "{message}");
    let history = plumb.run("model history m").ok().stdout;
    assert_eq!(history.matches("refused to call version 2 of `m` `champion`, report pr-").count(), 2, "{history}");
}

#[test]
fn what_is_to_be_served_and_is_not_there_is_not_registered() {
    let plumb = promised(CONTRACT);
    let server = plumb.serve();
    let post = |route: &str, body| server.post(&format!("/api/2.0/mlflow/{route}"), &format!("{body}"));
    let run = post("runs/create", json!({ "experiment_id": "0" })).1["run"]["info"]["run_id"].clone();
    let source = format!("runs:/{}/nothing", run.as_str().unwrap());
    let tags = json!([{ "key": "plumb.service", "value": "repeat_purchase_v1" }]);
    let (status, answer) =
        post("model-versions/create", json!({ "name": "m", "source": source, "run_id": run, "tags": tags }));
    assert_eq!((status, &answer["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("nothing lies there"), "{answer}");
}

#[test]
fn whoever_promotes_on_trial_is_told_of_approvals_and_whoever_overrides_of_what_failed() {
    let plumb = promised(&format!("{CONTRACT}\npromotion: {{approvals: 1, approvers: [ann]}}"));
    let command = |line: &str| plumb.command(line).env("PLUMB_ACTOR", "ann").output().unwrap();
    let answer = crate::harness::Answer::from(command("model promote m 2 --override 'it must be'"));
    answer.fails(5, &["needs 1 approvals, and has 0", "a check of it failed, see report pr-"]);
    let history = plumb.run("model history m").ok().stdout;
    assert!(history.contains(", report pr-"), "{history}");
    // One that would pass.
    let file = linear(&plumb, "near.onnx", &[1.0, 0.0, 0.0], 0.01);
    plumb.run(&format!("model register m {file} --service repeat_purchase_v1")).ok();
    let trial = plumb.run("model promote m 3 --dry-run");
    assert_eq!(trial.code, 5, "{trial:?}");
    assert!(trial.stdout.contains("would be REFUSED: approvals are missing"), "{trial:?}");
    let trial = plumb.run("model alias m champion 3 --dry-run");
    assert!(trial.code == 5 && trial.stdout.contains("would be REFUSED: approvals are missing"), "{trial:?}");
    command("model approve m 3");
    plumb.run("model alias m champion 3 --dry-run").ok();
    let trial = plumb.run("model promote m 3 --dry-run").ok().stdout;
    assert!(trial.contains("would be promoted"), "{trial}");
}

#[test]
fn an_alias_is_not_called_what_versions_and_stages_are() {
    let plumb = promised(CONTRACT);
    for alias in ["1", "007", "production", "Staging"] {
        let refused = plumb.run(&format!("model alias m {alias} 1"));
        refused.fails(2, &["would be taken for a number or a stage", "`champion`"]);
    }
    plumb.run("model alias m champion 1").ok();
}
