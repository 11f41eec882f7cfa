//! Goal: a version that answers otherwise than its model promised does not serve, and whoever promotes it sees the smallest
//! row that shows why. Method: models of a few numbers over the demo's features, whose differences are known, go through
//! the gate behind contracts of different strictness.

use serde_json::{Value as Json, json};
use serving::onnx::toy::{FLOAT, Graph, Node};

use crate::harness::{Answer, Plumb};

/// `score = weights . features + bias`, on one of the demo's services.
pub(crate) fn linear(plumb: &Plumb, name: &str, weights: &[f32], bias: f32) -> String {
    let n = i64::try_from(weights.len()).unwrap();
    let model = Graph::new()
        .input("features", FLOAT, &[-1, n])
        .floats("w", &[n, 1], weights)
        .floats("b", &[1], &[bias])
        .node(Node::new("MatMul", &["features", "w"], &["y"]))
        .node(Node::new("Add", &["y", "b"], &["score"]))
        .output("score", FLOAT, &[-1, 1])
        .model();
    write(plumb, name, &model)
}

/// Two probabilities, of which the second (or, swapped, the first) is a sigmoid of the orders.
fn classifier(plumb: &Plumb, name: &str, is_swapped: bool) -> String {
    classifier_of(plumb, name, is_swapped, 3)
}

/// The same over more features, of which it reads the first.
fn classifier_of(plumb: &Plumb, name: &str, is_swapped: bool, n_features: usize) -> String {
    classifier_named(plumb, name, is_swapped, n_features, None)
}

/// The same with the classes of its columns in its file.
pub(crate) fn classifier_named(
    plumb: &Plumb,
    name: &str,
    is_swapped: bool,
    n_features: usize,
    classes: Option<&str>,
) -> String {
    let n = i64::try_from(n_features).unwrap();
    let mut weights = vec![0.0; n_features];
    weights[0] = 0.3;
    let parts = if is_swapped { ["p", "q"] } else { ["q", "p"] };
    let model = Graph::new()
        .input("features", FLOAT, &[-1, n])
        .floats("w", &[n, 1], &weights)
        .floats("b", &[1], &[-2.0])
        .floats("one", &[1], &[1.0])
        .node(Node::new("MatMul", &["features", "w"], &["x"]))
        .node(Node::new("Add", &["x", "b"], &["y"]))
        .node(Node::new("Sigmoid", &["y"], &["p"]))
        .node(Node::new("Sub", &["one", "p"], &["q"]))
        .node(Node::new("Concat", &parts, &["probabilities"]).int("axis", 1))
        .output("probabilities", FLOAT, &[-1, 2]);
    let model = classes.into_iter().fold(model, |model, classes| model.metadata("plumb.classes", classes));
    write(plumb, name, &model.model())
}

fn write(plumb: &Plumb, name: &str, model: &[u8]) -> String {
    let path = plumb.path().join(name);
    std::fs::write(&path, model).unwrap();
    path.display().to_string()
}

pub(crate) fn register(plumb: &Plumb, file: &str, service: &str) {
    plumb.run(&format!("model register m {file} --service {service}")).ok();
}

pub(crate) fn declare(plumb: &Plumb, model: &str) {
    plumb.write("models/m.yaml", &format!("kind: model\nname: m\n{model}\n"));
    plumb.run("apply --yes").ok();
}

pub(crate) fn promote(plumb: &Plumb, version: u32) -> Answer {
    plumb.run(&format!("model promote m {version} --output json"))
}

/// The squares of a report with a name.
pub(crate) fn squares<'r>(report: &'r Json, check: &str) -> Vec<&'r Json> {
    let all = report["evidence"]["squares"].as_array().unwrap_or_else(|| panic!("{report}"));
    all.iter().filter(|square| square["check"] == check).collect()
}

pub(crate) fn only<'r>(report: &'r Json, check: &str) -> &'r Json {
    match squares(report, check)[..] {
        [one] => one,
        ref other => panic!("{check}: {other:?}"),
    }
}

#[test]
fn a_version_that_answers_otherwise_is_refused_with_the_smallest_row() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    // It agrees but for customers of more than a few hundred days, whom it has learned to like.
    register(&plumb, &linear(&plumb, "two.onnx", &[1.0, 0.0, 0.001], 0.0), "repeat_purchase_v1");
    declare(&plumb, "contract: {outputs: {score: {is: score, tolerance: 0.2}}}");
    let report = promote(&plumb, 1).ok().json();
    assert_eq!(only(&report, "contract")["outcome"], "skipped", "nobody held it: {report}");

    let refused = promote(&plumb, 2);
    assert_eq!(refused.code, 1, "{refused:?}");
    let report = refused.json();
    let square = only(&report, "contract");
    assert_eq!((&square["passed"], &square["outcome"]), (&false.into(), &"compared".into()));
    assert!(square["sampled"]["off"].as_u64().unwrap() > 0, "{square}");
    let found = &square["counterexample"];
    // 0.2 is exceeded from 201 days on, whatever the other features are.
    let row = found["row"].as_object().unwrap();
    assert_eq!(row.keys().collect::<Vec<_>>(), ["days_since_last_order"], "{found}");
    let days = row["days_since_last_order"].as_f64().unwrap();
    assert!((200.0..=202.0).contains(&days), "the smallest: {days}");
    assert_eq!((&found["fields"], &found["output"], &found["limit"]), (&3.into(), &"score".into(), &0.2.into()));
    let (old, new) = (found["old"].as_f64().unwrap(), found["new"].as_f64().unwrap());
    assert!((new - old - 0.001 * days).abs() < 1e-4, "{found}");
    assert_eq!(found["moved_by"]["field"], "days_since_last_order");

    let said = plumb.run("model promote m 2");
    assert_eq!(said.code, 1);
    for words in ["x   contract", "3 fields reduced to 1", "days_since_last_order=20", "upper bound", "try: "] {
        assert!(said.stdout.contains(words), "`{words}` is not in {}", said.stdout);
    }
    // The refusal is in the log, with the row.
    let history = plumb.json("model history m");
    assert!(history.to_string().contains("days_since_last_order"), "{history}");
    assert_eq!(plumb.json("model list m")["versions"][1]["stage"], "Production", "version 1 still holds it");

    // A contract that allows it for some lets it through, and says how far it is off.
    declare(&plumb, "contract: {share: 1, edges: told, outputs: {score: {is: score, tolerance: 0.2}}}");
    let report = promote(&plumb, 2).ok().json();
    let square = only(&report, "contract");
    assert!(square["p99"].as_f64().unwrap() > 0.2 && square["upper_bound"].as_f64().is_some(), "{square}");
}

#[test]
fn without_a_contract_what_was_measured_is_told_and_nothing_is_refused() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    register(&plumb, &linear(&plumb, "two.onnx", &[9.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    promote(&plumb, 1).ok();
    let said = plumb.run("model promote m 2").ok().stdout;
    assert!(said.contains("nothing is judged") && said.contains("`score` median"), "{said}");
}

#[test]
fn a_wrong_default_of_a_migration_is_found_and_named() {
    let plumb = Plumb::demo_online();
    let of = |weights: &[f32]| linear(&plumb, &format!("{}.onnx", weights.len()), weights, 0.0);
    register(&plumb, &of(&[0.1, 0.0, 0.0]), "repeat_purchase_v1");
    // The same, but for what nobody had counted before; its default of 0 changes nothing.
    register(&plumb, &of(&[0.1, 0.0, 0.0, 0.5]), "repeat_purchase_v2");
    let accepts = "accepts: [repeat_purchase_v1]";
    let contract = "contract: {outputs: {score: {is: score, tolerance: 0.15}}}";
    declare(&plumb, &format!("{accepts}\n{contract}"));
    promote(&plumb, 1).ok();
    let services = plumb.read("features/services.yaml");
    plumb.write(
        "features/services.yaml",
        &services.replace("default: 0, when_missing: null", "default: 1, when_missing: 0"),
    );
    plumb.run("apply --yes").ok();
    let report = promote(&plumb, 2);
    assert_eq!(report.code, 1, "{report:?}");
    let report = report.json();
    let square = only(&report, "compatibility");
    assert_eq!(square["at"], "repeat_purchase_v1@v1 -> repeat_purchase_v2@v1");
    let found = &square["counterexample"];
    assert_eq!(found["row"], json!({}), "every row shows it: {found}");
    assert_eq!(found["moved_by"]["field"], "total_cds", "{found}");
    assert_eq!(found["moved_by"]["value"], 1);
    assert!(found["hint"].as_str().unwrap().contains("set the default of `total_cds`"), "{found}");
    // What is personal is masked on this side of the migration too.
    let features = plumb.read("features/user_features.yaml");
    let personal = features.replace("name: total_cds, type: int64,", "name: total_cds, type: int64, pii: true,");
    assert_ne!(features, personal);
    plumb.write("features/user_features.yaml", &personal);
    plumb.run("apply --yes").ok();
    let report = promote(&plumb, 2).json();
    let moved_by = &only(&report, "compatibility")["counterexample"]["moved_by"];
    assert_eq!(moved_by["field"], "total_cds");
    assert_eq!((&moved_by["value"], &moved_by["instead"]), (&json!("***"), &json!("***")), "{moved_by}");
    plumb.write("features/user_features.yaml", &features);

    plumb.write("features/services.yaml", &services.replace("when_missing: null", "when_missing: 0"));
    plumb.run("apply --yes").ok();
    let report = promote(&plumb, 2).ok().json();
    let square = only(&report, "compatibility");
    assert_eq!((&square["passed"], &square["max"]), (&true.into(), &0.0.into()), "{square}");
    // What older clients are promised is kept with the transition.
    assert_eq!(report["evidence"]["promises"][0]["tolerance"]["score"], 0.15, "{report}");
}

#[test]
fn swapped_classes_are_refused_unless_an_adapter_says_so() {
    let plumb = Plumb::demo_online();
    register(&plumb, &classifier(&plumb, "one.onnx", false), "repeat_purchase_v1");
    register(&plumb, &classifier(&plumb, "two.onnx", true), "repeat_purchase_v1");
    let contract = "contract: {outputs: {probabilities: {is: probabilities, classes: [no, yes], tolerance: 0.01}}}";
    declare(&plumb, contract);
    promote(&plumb, 1).ok();
    let report = promote(&plumb, 2);
    assert_eq!(report.code, 1, "{report:?}");
    let report = report.json();
    let square = only(&report, "contract");
    assert!(square["share"].as_f64().unwrap() > 0.9, "{square}");
    let found = &square["counterexample"];
    let (old, new) = (&found["old"], &found["new"]);
    assert!((old["no"].as_f64().unwrap() - new["yes"].as_f64().unwrap()).abs() < 1e-6, "{found}");

    // The same on the next service version, whose answers the migration's adapter turns round, for older clients too.
    let next = classifier_of(&plumb, "three.onnx", true, 4);
    register(&plumb, &next, "repeat_purchase_v2");
    promote(&plumb, 1).ok();
    let accepts = "accepts: [repeat_purchase_v1]";
    declare(&plumb, &format!("{accepts}\n{contract}"));
    assert_eq!(promote(&plumb, 3).code, 1);
    let adapter = "adapters: [{from: repeat_purchase_v1, to: repeat_purchase_v2, back: true, \
                   outputs: {probabilities: {relabel: {no: yes, yes: no}}}}]";
    declare(&plumb, &format!("{accepts}\n{contract}\n{adapter}"));
    let server = plumb.serve();
    let ask = || {
        let body = json!({ "service": "repeat_purchase_v1", "entities": { "user_id": [4, 18, 99_999_999] } });
        let (status, answer) = server.post("/v1/models/m/predict", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        (answer["version"].clone(), answer["outputs"]["probabilities"].clone())
    };
    let (version, before) = ask();
    assert_eq!(version, 1);
    // Another model on the same services, which adapts nothing, is asked by the same clients first.
    plumb.run(&format!("model register n {next} --service repeat_purchase_v2")).ok();
    plumb.run("model promote n 1").ok();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let body = json!({ "service": "repeat_purchase_v1", "entities": { "user_id": [4] } }).to_string();
    while server.post("/v1/models/n/predict", &body).0 != 200 {
        assert!(std::time::Instant::now() < deadline, "the server does not load model n");
    }
    let report = promote(&plumb, 3).ok().json();
    let square = only(&report, "compatibility");
    assert_eq!((&square["passed"], &square["outcome"]), (&true.into(), &"compared".into()), "{square}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let after = loop {
        let (version, after) = ask();
        if version == 3 {
            break after;
        }
        assert!(std::time::Instant::now() < deadline, "version {version} still answers");
    };
    assert_eq!(after, before, "who speaks the older version hears what it heard");
}

#[test]
fn what_the_contract_declares_must_be_there() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    declare(&plumb, "contract: {outputs: {price: {is: amount}}}");
    let said = plumb.run("model promote m 1");
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("declares output `price`, the model gives score"), "{}", said.stdout);
    declare(&plumb, "contract: {outputs: {score: {is: score, range: [0, 0.5]}}}");
    // Also where nobody holds the stage, so that there is nothing to compare with.
    let said = plumb.run("model promote m 1");
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("beyond what the contract declares: output `score`: "), "{}", said.stdout);
    assert!(said.stdout.contains("is not between 0 and 0.5"), "{}", said.stdout);
    declare(&plumb, "contract: {outputs: {score: {is: score, range: [0, 10000]}}}");
    promote(&plumb, 1).ok();
}

#[test]
fn an_answer_outside_the_contract_is_told_or_refused_as_it_says() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    declare(&plumb, "contract: {outputs: {score: {is: score, range: [0, 10000]}}}");
    promote(&plumb, 1).ok();
    let server = plumb.serve();
    let fine = json!({ "features": { "total_orders": [3, 4], "avg_order_value": [1.0, 1.0], "days_since_last_order": [1, 1] } });
    let mut outside = fine.clone();
    outside["features"]["total_orders"] = json!([3, 20_000]);
    let ask = |body: &Json| server.post("/v1/models/m/predict", &body.to_string());
    let (status, answer) = ask(&outside);
    assert_eq!((status, &answer["outputs"]["score"][1]), (200, &json!([20_000.0])), "{answer}");
    let counted = server.get("/metrics").1;
    assert!(
        counted.contains("plumb_outside_contract_total{model=\"m\",version=\"1\",output=\"score\"} 1"),
        "{counted}"
    );
    declare(&plumb, "contract: {outside: refused, outputs: {score: {is: score, range: [0, 10000]}}}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let refused = loop {
        let (status, answer) = ask(&outside);
        if status != 200 {
            break (status, answer["error"].clone());
        }
        assert!(std::time::Instant::now() < deadline, "the contract is not followed: {answer}");
    };
    assert_eq!((refused.0, &refused.1["code"]), (500, &json!("outside_contract")), "{}", refused.1);
    let message = refused.1["message"].as_str().unwrap();
    assert!(
        message.ends_with("to row 1 is outside its contract: output `score`: 20000 is not between 0 and 10000"),
        "{message}"
    );
    assert_eq!(ask(&fine).0, 200, "others are answered");
}

#[test]
fn what_policy_requires_must_have_been_made() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    declare(&plumb, "contract: {outputs: {score: {is: score}}}\npromotion: {required: [contract]}");
    let said = plumb.run("model promote m 1");
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("required by the model's policy"), "{}", said.stdout);
}

#[test]
fn clients_that_are_still_accepted_must_be_answered() {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    declare(&plumb, "accepts: [repeat_purchase_v2]\ncontract: {outputs: {score: {is: score}}}");
    let said = plumb.run("model promote m 1");
    assert_eq!(said.code, 1, "{said:?}");
    let words = "clients still send it, but no migration leads from `repeat_purchase_v2@v1` to `repeat_purchase_v1@v1`";
    assert!(said.stdout.contains(words), "{}", said.stdout);
}

#[test]
fn a_model_that_is_declared_wrongly_is_told_where() {
    let plumb = Plumb::demo();
    let fails = |text: &str, words: &[&str]| {
        plumb.write("models/m.yaml", &format!("kind: model\nname: m\n{text}\n"));
        plumb.run("plan").fails(2, words);
    };
    fails("contract: {outputs: {y: {is: number}}}", &["`number` is not what an output can be", "models/m.yaml:3"]);
    fails("contract: {outputs: {y: {is: score, tolerance: -1}}}", &["`tolerance` is -1, and a distance is 0 or more"]);
    fails("contract: {share: 2, outputs: {y: {is: score}}}", &["a share is from 0 to 1"]);
    fails("contract: {outputs: {y: {is: probabilities}}}", &["probabilities need the names of their classes"]);
    fails("contract: {outputs: {y: {is: score, range: [1, 0]}}}", &["the least and the greatest value"]);
    fails("contract: {outputs: {y: {is: score, relation: same_decision}}}", &["needs the value", "threshold"]);
    fails("contract: {outputs: {y: {is: label, relation: never_lower}}}", &["classes have no order"]);
    fails("accepts: [nobody]", &["`nobody`, which nobody declares", "models/m.yaml:3:11"]);
    let versions = "accepts:\n- repeat_purchase_v1\n- repeat_purchase_v1@v7";
    fails(versions, &["`repeat_purchase_v1@v7`, of which there is no such version", "models/m.yaml:5:3"]);
    let decision = "relation: same_decision, threshold: 0.5";
    fails(&format!("contract: {{outputs: {{y: {{is: label, {decision}}}}}}}"), &["a label is the decision"]);
    let of_class = format!("contract: {{outputs: {{y: {{is: score, {decision}, class: yes}}}}}}");
    fails(&of_class, &["a number has no classes", "leave `class` out"]);
    fails("promotion: {required: [contracts]}", &["`contracts` is not a check", "did you mean `contract`"]);
    fails("promotion: {approvals: 2, approvers: [ann]}", &["2 must approve, and only 1 may"]);
    let adapter = "adapters: [{from: repeat_purchase_v2, to: repeat_purchase_v1, outputs: {y: {scale: 2}}}]";
    fails(
        &format!("contract: {{outputs: {{y: {{is: score}}}}}}\n{adapter}"),
        &["between which no migration is declared", "models/m.yaml:4:19"],
    );
    fails("colour: red", &["colour"]);
}

#[test]
fn golden_rows_are_pinned_with_a_version_and_every_one_must_pass() {
    let plumb = Plumb::demo_online();
    let one = linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0);
    plumb.write("golden.json", r#"[{"total_orders": 3, "avg_order_value": 20.5}, {"total_orders": 900000}]"#);
    let golden = plumb.path().join("golden.json").display().to_string();
    plumb.write("wrong.json", r#"[{"total": 3}]"#);
    let wrong = plumb.path().join("wrong.json").display().to_string();
    let register = |file: &str, golden: &str| {
        plumb.run(&format!("model register m {file} --service repeat_purchase_v1 --golden {golden}"))
    };
    register(&one, &wrong).fails(2, &["row 0 has `total`, which is no feature of the service"]);
    register(&one, &golden).ok();
    register(&one, &golden).ok();
    plumb.write("golden2.json", r#"[{"total_orders": 3}]"#);
    register(&one, &plumb.path().join("golden2.json").display().to_string()).fails(4, &["with other golden rows"]);
    // Nobody has so many orders, so a share of the sampled rows says nothing of it.
    register_plain(&plumb, &linear(&plumb, "two.onnx", &[1.000_01, 0.0, 0.0], 0.0));
    declare(&plumb, "contract: {share: 0.5, outputs: {score: {is: score, tolerance: 0.01}}}");
    promote(&plumb, 1).ok();
    let report = promote(&plumb, 2);
    assert_eq!(report.code, 1, "{report:?}");
    let report = report.json();
    let square = only(&report, "contract");
    assert_eq!(
        (&square["golden"], &square["sampled"]["off"]),
        (&json!({ "rows": 2, "off": 1 }), &0.into()),
        "{square}"
    );
    let found = &square["counterexample"];
    assert_eq!(found["sort"], "golden");
    let orders = found["row"]["total_orders"].as_i64().unwrap();
    assert!((900..=1_200).contains(&orders), "brought near to where it begins: {found}");
    // What was pinned with a version that answered once is asked of all that come after it.
    register_plain(&plumb, &linear(&plumb, "three.onnx", &[1.0, 0.0, 0.0], 0.001));
    promote(&plumb, 3).ok();
    let report = promote(&plumb, 2).json();
    let square = only(&report, "contract");
    assert_eq!(square["golden"], json!({ "rows": 2, "off": 1 }), "{square}");
    assert!(square["between"].as_str().unwrap().contains("version 3"), "{square}");
}

#[test]
fn evidence_of_a_step_cites_that_of_the_step_before() {
    let plumb = Plumb::demo_online();
    register_plain(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0));
    register_plain(&plumb, &linear(&plumb, "two.onnx", &[1.0, 0.0, 0.0], 0.1));
    let contract = |eps: f64| format!("contract: {{outputs: {{score: {{is: score, tolerance: {eps}}}}}}}");
    declare(&plumb, &contract(0.2));
    promote(&plumb, 1).ok();
    plumb.run("model promote m 2 --to staging").ok();
    let staged = plumb.json("model show m 2")["transitions"][0].clone();
    assert_eq!(staged["evidence"]["builds_on"], Json::Null);
    let trial = plumb.run("model promote m 2 --dry-run").ok().stdout;
    let said = format!("builds on event {}, None -> Staging, sha256:", staged["event"]);
    for words in [said.as_str(), "within `score` 0.2 of version 1 by 1 promotion"] {
        assert!(trial.contains(words), "`{words}` is not in {trial}");
    }
    // Another contract says other things of the same rows.
    declare(&plumb, &contract(0.3));
    let trial = plumb.run("model promote m 2 --dry-run").ok().stdout;
    assert!(
        trial.contains(&format!("does not build on event {}: what is declared of `m`", staged["event"])),
        "{trial}"
    );
    declare(&plumb, &contract(0.2));
    let report = promote(&plumb, 2).ok().json();
    let cited = &report["evidence"]["builds_on"];
    assert_eq!((&cited["event"], &cited["digest"]), (&staged["event"], &staged["digest"]), "{report}");
    assert_eq!((&cited["rows_kept"], &cited["to"]), (&true.into(), &"Staging".into()), "{report}");
    assert_eq!(report["evidence"]["within"]["tolerance"]["score"], 0.2, "{report}");
    // Whoever looks at the model later is told the same, and finds what is cited.
    let card = plumb.json("model show m 2");
    assert_eq!(card["transitions"][1]["evidence"]["builds_on"]["digest"], staged["digest"], "{card}");
    let told = format!("building on event {}", staged["event"]);
    for line in ["model show m 2", "model history m", "registry log --model m"] {
        let said = plumb.run(line).ok().stdout;
        assert!(said.contains(&told), "`{told}` is not what `{line}` says: {said}");
    }
    let history = plumb.json("model history m");
    let events = history["events"].as_array().unwrap();
    let first = events.iter().find(|event| event["event"] == staged["event"]).unwrap();
    assert_eq!(first["evidence"], staged["digest"], "{first}");
    // The next version may be twice as far from the first as this one.
    register_plain(&plumb, &linear(&plumb, "three.onnx", &[1.0, 0.0, 0.0], 0.2));
    let report = promote(&plumb, 3).ok().json();
    let within = &report["evidence"]["within"];
    assert_eq!((&within["version"], &within["promotions"]), (&1.into(), &2.into()), "{report}");
    assert!((within["tolerance"]["score"].as_f64().unwrap() - 0.4).abs() < 1e-9, "{report}");
}

fn register_plain(plumb: &Plumb, file: &str) {
    register(plumb, file, "repeat_purchase_v1");
}

#[test]
fn the_rows_of_a_report_can_be_asked_again_until_somebody_in_them_is_erased() {
    let plumb = Plumb::demo_online();
    register_plain(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0));
    register_plain(&plumb, &linear(&plumb, "two.onnx", &[1.0, 0.1, 0.0], 0.0));
    declare(&plumb, "contract: {outputs: {score: {is: score, tolerance: 0.1}}}");
    promote(&plumb, 1).ok();
    let report = promote(&plumb, 2).json();
    let digest = report["evidence"]["probes"].as_str().unwrap().to_owned();
    let again = |digest: &str| plumb.run(&format!("model promote m 2 --dry-run --probes {digest}"));
    let repeated = plumb.run(&format!("model promote m 2 --dry-run --probes {digest} --output json"));
    assert_eq!(repeated.code, 1);
    let repeated = repeated.json();
    assert_eq!(repeated["evidence"]["probes"], digest.as_str());
    let [a, b] = [&report, &repeated].map(|report| only(report, "contract").clone());
    for part in ["sampled", "boundary", "median", "p99", "max", "counterexample"] {
        assert_eq!(a[part], b[part], "{part}");
    }
    again(&"0".repeat(64)).fails(2, &["there is no probe set"]);
    again("nonsense").fails(2, &["--probes"]);
    let folder = plumb.path().join(".plumb/probes").join(&digest);
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let person = sampled_user(&file);
    let said = plumb.run(&format!("erase --entity user_id={person} --rewrite-sources --yes")).ok().stdout;
    assert!(said.contains("probe set"), "{said}");
    again(&digest).fails(4, &["is not what it was"]);
}

/// The first user whose row is in a file of a probe set.
fn sampled_user(file: &std::path::Path) -> i64 {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let file = std::fs::File::open(file).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batch = reader.build().unwrap().next().unwrap().unwrap();
    batch.column_by_name("key.user_id").unwrap().as_primitive::<Int64Type>().value(0)
}
