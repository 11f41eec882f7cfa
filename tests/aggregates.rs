//! Goal: what is right for all rows together, or wrong for few of them, does not hide what a contract says of segments, of labels
//! and of strata. Method: linear models over the demo's features, whose figures are known by hand, go through the gate.

use serde_json::{Value as Json, json};

use crate::harness::Plumb;
use crate::squares::{classifier_named, declare, linear, only, promote, register};

/// The conditions of a report.
fn aggregates(report: &Json) -> Vec<Json> {
    report["evidence"]["aggregates"].as_array().unwrap_or_else(|| panic!("{report}")).clone()
}

/// Two versions: the second says `1.1 x - 0.2` where the first says `x`, the number of orders.
fn two_versions() -> Plumb {
    let plumb = Plumb::demo_online();
    register(&plumb, &linear(&plumb, "one.onnx", &[1.0, 0.0, 0.0], 0.0), "repeat_purchase_v1");
    register(&plumb, &linear(&plumb, "two.onnx", &[1.1, 0.0, 0.0], -0.2), "repeat_purchase_v1");
    plumb
}

#[test]
fn a_segment_whose_mean_is_off_is_named_with_both_figures_and_the_limit() {
    let plumb = two_versions();
    let outputs = "outputs: {score: {is: score, tolerance: 10000}}";
    let declared = |aggregates: &str| declare(&plumb, &format!("contract: {{{outputs}, aggregates: [{aggregates}]}}"));
    declared("{mean: score, relative: 0.5}, {mean: score, segment: total_orders, absolute: 0.25, rows_min: 20}");
    let first = promote(&plumb, 1).ok().json();
    let [all, by_orders] = &aggregates(&first)[..] else { panic!("{first}") };
    for condition in [all, by_orders] {
        assert_eq!((&condition["outcome"], &condition["passed"]), (&"skipped".into(), &true.into()), "{first}");
    }
    let refused = promote(&plumb, 2);
    assert_eq!(refused.code, 1, "{refused:?}");
    let report = refused.json();
    assert_eq!(only(&report, "contract")["passed"], true, "each answer is as near as it must be");
    let [all, by_orders] = &aggregates(&report)[..] else { panic!("{report}") };
    assert_eq!((&all["passed"], &by_orders["passed"]), (&true.into(), &false.into()), "{report}");
    assert_eq!(by_orders["name"], "mean of `score` by `total_orders`");
    // Of five orders the second says 5.3; of two orders the same.
    let figures = by_orders["figures"].as_array().unwrap();
    let of =
        |segment: &str| figures.iter().find(|one| one["segment"] == segment).unwrap_or_else(|| panic!("{figures:?}"));
    let (five, two) = (of("total_orders=5"), of("total_orders=2"));
    assert_eq!((&five["passed"], &two["passed"]), (&false.into(), &true.into()), "{figures:?}");
    let close = |value: &Json, want: f64| (value.as_f64().unwrap() - want).abs() < 1e-5;
    assert!(close(&five["old"], 5.0) && close(&five["new"], 5.3) && close(&five["off_by"], 0.3), "{five}");
    assert_eq!((&five["limit"], &five["rule"]), (&0.25.into(), &"absolute".into()), "{five}");
    let said = plumb.run("model promote m 2").stdout;
    for words in [
        "x   aggregates",
        "mean of `score` by `total_orders`",
        "total_orders=5 old 5, new 5.3, off by 0.3 (limit 0.25)",
    ] {
        assert!(said.contains(words), "`{words}` is not in {said}");
    }
    // Clients of MLflow are told the same.
    let server = plumb.serve();
    let wish = json!({ "name": "m", "version": "2", "stage": "Production" }).to_string();
    let (status, said) = server.post("/api/2.0/mlflow/model-versions/transition-stage", &wish);
    assert_eq!(status, 409, "{said}");
    let checks = said["promotion_report"]["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "aggregates" && check["passed"] == false), "{said}");
    assert!(said["message"].as_str().unwrap().contains("total_orders=5 old 5, new 5.3"), "{said}");
    server.stop();
    declared("{mean: score, segment: total_orders, absolute: 0.35, rows_min: 20}");
    promote(&plumb, 2).ok();
}

#[test]
fn a_feature_that_the_version_does_not_have_cannot_tell_its_rows_apart() {
    let plumb = two_versions();
    let contract = |more: &str| format!("contract: {{outputs: {{score: {{is: score, tolerance: 10000}}}}{more}}}");
    declare(&plumb, &contract(", aggregates: [{mean: score, segment: total_order, absolute: 1}]"));
    let said = plumb.run("model promote m 1");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.stdout.contains("a mean by `total_order`, which is no feature of")
            && said.stdout.contains("`total_orders`"),
        "{said:?}"
    );
    declare(&plumb, &format!("{}\npromotion: {{stratify_by: user}}", contract("")));
    let said = plumb.run("model promote m 1");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("no feature and no key of") && said.stdout.contains("`user_id`"), "{said:?}");
}

#[test]
fn labels_of_golden_rows_say_how_good_a_version_is() {
    let plumb = Plumb::demo_online();
    // Who has ordered more comes back, but for one; the second version says the opposite.
    let rows = json!([
        { "total_orders": 1, "label.back": false }, { "total_orders": 2, "label.back": true },
        { "total_orders": 3, "label.back": false }, { "total_orders": 9, "label.back": true },
    ]);
    plumb.write("golden.json", &rows.to_string());
    let golden = plumb.path().join("golden.json").display().to_string();
    let one = classifier_named(&plumb, "one.onnx", false, 3, None);
    plumb.run(&format!("model register m {one} --service repeat_purchase_v1 --golden {golden}")).ok();
    register(&plumb, &classifier_named(&plumb, "two.onnx", true, 3, None), "repeat_purchase_v1");
    let outputs = "outputs: {probabilities: {is: probabilities, classes: ['no', 'yes'], tolerance: 1}}";
    let of = "probabilities, class: 'yes', label: back";
    let declared =
        |limits: &str| declare(&plumb, &format!("contract: {{{outputs}, aggregates: [{{auc: {of}, {limits}}}]}}"));
    declared("at_least: 0.8");
    let said = plumb.run("model promote m 1");
    assert_eq!(said.code, 1, "three of four pairs are in order: {said:?}");
    assert!(said.stdout.contains("auc of `probabilities` `yes`"), "{}", said.stdout);
    assert!(said.stdout.contains("0.75 (limit at least 0.8), 4 rows"), "{}", said.stdout);
    declared("at_least: 0.7, worse_by: 0.1");
    promote(&plumb, 1).ok();
    let report = promote(&plumb, 2);
    assert_eq!(report.code, 1, "{report:?}");
    let report = report.json();
    let figures = aggregates(&report)[0]["figures"].clone();
    assert_eq!((&figures[0]["rule"], &figures[0]["new"]), (&"at_least".into(), &0.25.into()), "{figures}");
    assert_eq!(
        (&figures[1]["rule"], &figures[1]["old"], &figures[1]["off_by"]),
        (&"worse_by".into(), &0.75.into(), &0.5.into())
    );
    // The labels are kept with the rows that were asked.
    let digest = report["evidence"]["probes"].as_str().unwrap();
    let again = plumb.run(&format!("model promote m 2 --dry-run --probes {digest} --output json")).json();
    assert_eq!(aggregates(&again)[0]["figures"], figures, "{again}");

    // What is required and has no labels is not passed over.
    let required = "promotion: {required: [aggregates]}";
    declare(
        &plumb,
        &format!(
            "contract: {{{outputs}, aggregates: [{{calibration: {}, at_most: 1}}]}}\n{required}",
            of.replace("back", "gone")
        ),
    );
    let said = plumb.run("model promote m 2");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("no golden row has `label.gone`"), "{}", said.stdout);
    assert!(said.stdout.contains("x   aggregates      required by the model's policy"), "{}", said.stdout);
}

#[test]
fn what_is_off_for_few_is_refused_though_most_rows_are_right() {
    let plumb = two_versions();
    let contract = |share: f64| {
        format!("contract: {{share: {share}, edges: told, outputs: {{score: {{is: score, tolerance: 0.05}}}}}}")
    };
    declare(&plumb, &contract(0.95));
    promote(&plumb, 1).ok();
    let trial = plumb.run("model promote m 2 --dry-run --output json").ok().json();
    let square = only(&trial, "contract");
    assert!(square["upper_bound"].as_f64().is_some() && square["strata"].is_null(), "{square}");
    // Together it is allowed; of those with four orders each is off.
    declare(&plumb, &format!("{}\npromotion: {{stratify_by: total_orders}}", contract(0.95)));
    let refused = promote(&plumb, 2);
    assert_eq!(refused.code, 1, "{refused:?}");
    let report = refused.json();
    let square = only(&report, "contract");
    assert_eq!((&square["passed"], &square["upper_bound"]), (&false.into(), &Json::Null), "{square}");
    let strata = square["strata"].as_array().unwrap();
    let of = |name: &str| strata.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{strata:?}"));
    let (four, two) = (of("total_orders=4"), of("total_orders=2"));
    assert_eq!((&four["passed"], &four["share"], &four["upper_bound"]), (&false.into(), &1.0.into(), &1.0.into()));
    assert_eq!((&two["passed"], &two["off"]), (&true.into(), &0.into()), "{two}");
    let n = two["rows"].as_u64().unwrap();
    let bound = 1.0 - 0.05_f64.powf(1.0 / f64::from(u32::try_from(n).unwrap()));
    assert!((two["upper_bound"].as_f64().unwrap() - bound).abs() < 1e-9, "{two}");
    let said = plumb.run("model promote m 2").stdout;
    for words in ["strata of sampled rows", "x  total_orders=4: ", "ok total_orders=2: 0 of "] {
        assert!(said.contains(words), "`{words}` is not in {said}");
    }
    declare(&plumb, &format!("{}\npromotion: {{stratify_by: total_orders}}", contract(1.0)));
    promote(&plumb, 2).ok();
}

/// Somebody who asked long ago is not crowded out by somebody who asks all the time, and is in no log.
#[test]
fn of_each_stratum_some_requests_are_asked_again() {
    let plumb = two_versions();
    let contract = "contract: {outputs: {score: {is: score, tolerance: 10000}}}";
    declare(&plumb, contract);
    promote(&plumb, 1).ok();
    let server = plumb.serve();
    for users in [vec![18; 40], vec![4; 1300], vec![4; 1300]] {
        assert_eq!(server.predict("m", &users).0, 200);
    }
    server.stop();
    declare(&plumb, &format!("{contract}\npromotion: {{stratify_by: user_id}}"));
    let trial = plumb.run("model promote m 2 --dry-run --output json").ok().json();
    let strata = only(&trial, "contract")["strata"].as_array().unwrap().clone();
    let rows = |name: &str| strata.iter().find(|one| one["name"] == name).map(|one| one["rows"].as_u64().unwrap());
    // History may add one of each.
    assert!(rows("user_id=18").is_some_and(|n| (40..=41).contains(&n)), "{strata:?}");
    assert!(rows("user_id=4").is_some_and(|n| (2008..=2009).contains(&n)), "{strata:?}");
    // The same rows, asked again, are told apart as before.
    let digest = trial["evidence"]["probes"].as_str().unwrap();
    let again = plumb.run(&format!("model promote m 2 --dry-run --probes {digest} --output json")).ok().json();
    assert_eq!(only(&again, "contract")["strata"], json!(strata), "{again}");
    promote(&plumb, 2).ok();
    let history = plumb.json("model history m").to_string();
    assert!(history.contains(r#""name":"user_id 1""#) && !history.contains("user_id=18"), "{history}");
}
