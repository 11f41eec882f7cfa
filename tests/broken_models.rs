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

/// Nobody is answered at the older version, so nothing is to be migrated there.
#[test]
fn services_that_lead_into_each_other_are_compared_along_one_way() {
    let plumb = Plumb::demo_online();
    plumb.edit(
        "features/services.yaml",
        "description: What the first repeat-purchase model eats.",
        "description: What the first repeat-purchase model eats.\nmigrate_from: {repeat_purchase_v2@v1: [{drop: total_cds}]}",
    );
    plumb.run("apply --yes").ok();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    register(&plumb, &linear(&plumb, "same.onnx", &[2.0, 0.0, 0.0, 0.0], 0.0), "repeat_purchase_v2");
    promote(&plumb, 1).ok();
    declare(
        &plumb,
        "contract: {edges: told, outputs: {score: {is: amount, tolerance: 0.001}}}\n\
         adapters: [{from: repeat_purchase_v1, to: repeat_purchase_v2, outputs: {score: {scale: 2}}}]",
    );
    let report = promote(&plumb, 2).ok().json();
    let square = only(&report, "compatibility");
    assert_eq!((&square["outcome"], &square["passed"]), (&json!("compared"), &json!(true)), "{square}");
}

/// The file of a pinned row: its version is not judged without it, and one that came before can be replaced.
#[test]
fn pinned_rows_that_are_lost_keep_their_own_version_out_and_no_other() {
    let plumb = Plumb::demo_online();
    let pinned = |name: &str, bias: f32, orders: u32| {
        let (file, golden) = (linear(&plumb, name, &[1.0, 0.0, 0.0], bias), format!("{name}.json"));
        plumb.write(&golden, &format!("[{{\"total_orders\": {orders}}}]"));
        let golden = plumb.path().join(golden).display().to_string();
        plumb.run(&format!("model register m {file} --service repeat_purchase_v1 --golden {golden}")).ok();
    };
    pinned("one.onnx", 0.0, 1);
    pinned("two.onnx", 0.001, 2);
    declare(&plumb, "contract: {outputs: {score: {is: score, tolerance: 0.1}}}");
    let kept = |version: u32| {
        let files = plumb.json(&format!("model show m {version}"))["files"].as_array().unwrap().clone();
        let golden = files.iter().find(|file| file["path"].as_str().unwrap().contains("golden")).unwrap();
        let digest = golden["digest"].as_str().unwrap();
        plumb.path().join(".plumb/artifacts/sha256").join(&digest[..2]).join(&digest[2..])
    };
    let (first, second) = (kept(1), kept(2));
    promote(&plumb, 1).ok();
    let bytes = std::fs::read(&second).unwrap();
    std::fs::remove_file(&second).unwrap();
    let out = plumb.run("model promote m 2");
    assert!(out.code > 2 && out.stderr.contains("golden rows cannot be read"), "{out:?}");
    std::fs::write(&second, bytes).unwrap();
    std::fs::remove_file(&first).unwrap();
    promote(&plumb, 2).ok();
}

/// A fix is no fault: what the version before failed on, the next may answer.
#[test]
fn a_version_may_answer_what_the_one_before_it_failed_on() {
    let plumb = Plumb::demo_online();
    register(&plumb, &table(&plumb, "two.onnx", &[0.25, 0.5]), "repeat_purchase_v1");
    let wide: Vec<f32> = [0.25, 0.5].into_iter().chain(std::iter::repeat_n(0.75, 5_000)).collect();
    register(&plumb, &table(&plumb, "wide.onnx", &wide), "repeat_purchase_v1");
    let other: Vec<f32> = [0.375, 0.5].into_iter().chain(std::iter::repeat_n(0.75, 5_000)).collect();
    register(&plumb, &table(&plumb, "other.onnx", &other), "repeat_purchase_v1");
    let contract = |share: f64| {
        format!("contract: {{share: {share}, edges: told, outputs: {{score: {{is: score, tolerance: 0}}}}}}")
    };
    declare(&plumb, &contract(1.0));
    promote(&plumb, 1).ok();
    declare(&plumb, &contract(0.0));
    // Where it answered, it is held to its answers.
    let refused = promote(&plumb, 3);
    assert_eq!(refused.code, 1, "{refused:?}");
    promote(&plumb, 2).ok();
}

#[test]
fn a_version_whose_file_is_damaged_leaves_the_one_before_in_place_and_readiness_says_why() {
    let plumb = Plumb::demo_online();
    for version in 1..=2 {
        let file = linear(
            &plumb,
            &format!("{version}.onnx"),
            &[0.5, 0.25, 0.125],
            1e-6 * f32::from(u8::try_from(version).unwrap()),
        );
        register(&plumb, &file, "repeat_purchase_v1");
    }
    promote(&plumb, 1).ok();
    promote(&plumb, 2).ok();
    let server = plumb.serve();
    let version = || server.predict("m", &[4]).1["version"].clone();
    assert_eq!(version(), json!(2));
    let ready = || {
        let (status, body) = server.get("/readyz");
        (status, serde_json::from_str::<serde_json::Value>(&body).unwrap())
    };
    assert_eq!(ready().1["degraded"], json!(null));
    // The file of the version that a rollback goes back to.
    let digest = plumb.json("model show m 1")["files"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    let file = plumb.path().join(".plumb/artifacts/sha256").join(&digest[..2]).join(&digest[2..]);
    let whole = std::fs::read(&file).unwrap();
    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&file, permissions).unwrap();
    std::fs::write(&file, &whole[1..]).unwrap();
    plumb.run("model rollback m").ok();
    let wait = std::time::Instant::now();
    while ready().1["degraded"] != json!(["models"]) {
        assert!(wait.elapsed().as_secs() < 60, "{:?}", ready());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (status, body) = ready();
    assert!(status == 200 && body["because"][0].as_str().unwrap().contains("damaged"), "{body}");
    assert_eq!(version(), json!(2));
    std::fs::write(&file, &whole).unwrap();
    while version() != json!(1) || ready().1["degraded"] != json!(null) {
        assert!(wait.elapsed().as_secs() < 120, "{:?}", ready());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.stop();
}
