//! A prediction of the log is told with all that it was made of, and made again.

use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};
use crate::scoring::placed;

fn ids(answer: &Json) -> Vec<String> {
    answer["prediction_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn serving(file: &str) -> (Plumb, Server) {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register m {}", plumb.model(file).display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    (plumb, server)
}

#[test]
fn a_prediction_is_explained_as_it_was_answered_and_the_model_says_it_again() {
    let (plumb, server) = serving("repeat_purchase_v1.onnx");
    let (_, answer) = server.predict("m", &[4, 18, -1]);
    let (_, later) = server.predict("m", &[4]);
    server.stop();
    for (row, id) in ids(&answer).iter().enumerate() {
        let told = plumb.json(&format!("explain {id}"));
        assert_eq!((&told["id"], &told["model"], &told["version"]), (&json!(id), &json!("m"), &json!(1)));
        assert_eq!(told["as_of"], answer["effective_time"]);
        assert_eq!(told["entities"]["user_id"], json!([4, 18, -1][row]));
        for feature in told["features"].as_array().unwrap() {
            let answered = &answer["features"][feature["feature"].as_str().unwrap()];
            assert_eq!(feature["value"], answered["values"][row]);
            assert_eq!(feature["status"], answered["statuses"][row]);
            assert_eq!(feature["history"], "equal");
        }
        for (name, said) in told["outputs"].as_object().unwrap() {
            assert_eq!(said, &answer["outputs"][name][row]);
        }
        let again = plumb.json(&format!("replay {id}"));
        assert_eq!((&again["equal"], &again["differing_outputs"]), (&json!(true), &json!({})), "{again}");
    }
    let text = plumb.run(&format!("explain {}", ids(&later)[0])).ok().stdout;
    for word in ["user_id=4", "total_orders", "user_features@v1:total_orders", "equal", "repeat_purchase_v1@v1"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    plumb.run("explain 019abf3e-7c1d-7a52-8c4f-0b1d6c2a9e11").fails(7, &["is not in the log", "each second"]);
    plumb.run("explain 12").fails(2, &["no prediction id", "prediction_ids"]);
    plumb.run("replay 019abf3e-7c1d-7a52-8c4f-0b1d6c2a9e11").fails(7, &["is not in the log"]);
    // What answered is gone, and is told to be.
    plumb.run("model rename m other").ok();
    plumb.run(&format!("replay {}", ids(&answer)[0])).fails(7, &["version 1 of model `m`", "is gone"]);
    plumb.run(&format!("explain {}", ids(&answer)[0])).ok();
}

#[test]
fn a_prediction_for_an_older_client_is_made_again_along_the_migration() {
    let (plumb, server) = serving("repeat_purchase_v2.onnx");
    let body = json!({ "service": "repeat_purchase_v1@v1", "entities": { "user_id": [4, 99_999_999] } });
    let (status, answer) = server.post("/v1/models/m/predict", &body.to_string());
    assert_eq!(status, 200, "{answer}");
    server.stop();
    for id in ids(&answer) {
        let again = plumb.json(&format!("replay {id}"));
        assert_eq!((&again["equal"], &again["service"]), (&json!(true), &json!("repeat_purchase_v1@v1")), "{again}");
    }
}

#[test]
fn personal_values_of_a_prediction_are_masked() {
    let plumb = Plumb::demo();
    plumb.edit(
        "features/user_features.yaml",
        "name: total_orders, type: int64,",
        "name: total_orders, type: int64, pii: true,",
    );
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    let (_, answer) = server.predict("m", &[4]);
    server.stop();
    let id = &ids(&answer)[0];
    let value = |line: &str| plumb.json(line)["features"][0].clone();
    let masked = value(&format!("explain {id}"));
    assert_eq!((&masked["feature"], &masked["history"]), (&json!("total_orders"), &json!("equal")));
    assert!(masked["value"].is_string(), "{masked}");
    assert_eq!(value(&format!("explain {id} --show-pii"))["value"], answer["features"]["total_orders"]["values"][0]);
}

#[test]
fn of_a_sample_all_predictions_are_kept_and_of_old_ones_none() {
    let plumb = Plumb::demo();
    let main = plumb.read("plumb.yaml");
    let at = main.find("predictions:").map_or(main.len(), |at| at);
    let line_end = main[at..].find('\n').map_or(main.len(), |end| at + end);
    let rest = main.get(line_end..).unwrap_or_default();
    let kept = |how: &str| format!("{}\npredictions: {{path: .plumb/predictions, {how}}}{rest}", main[..at].trim_end());
    plumb.write("plumb.yaml", &kept("sample: 25, queue_mb: 8"));
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    let users: Vec<i64> = (1..=400).collect();
    for _ in 0..3 {
        assert_eq!(server.predict("m", &users).0, 200);
    }
    // The log is written each second.
    let wait = std::time::Instant::now();
    while !server.get("/metrics").1.contains("plumb_prediction_log_sampled_out_total") {
        assert!(wait.elapsed().as_secs() < 60, "nothing is sampled out");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.stop();
    let n = plumb.json("skew")["predictions"].as_u64().unwrap();
    // Of an entity all three or none.
    assert!(n.is_multiple_of(3) && (180..=420).contains(&n), "{n}");
    plumb.write("plumb.yaml", &kept("keep: 1ms"));
    let server = plumb.serve();
    let wait = std::time::Instant::now();
    let left = || {
        std::fs::read_dir(plumb.path().join(".plumb/predictions"))
            .unwrap()
            .flat_map(|service| std::fs::read_dir(service.unwrap().path()).unwrap().collect::<Vec<_>>())
            .count()
    };
    while left() > 0 {
        assert!(wait.elapsed().as_secs() < 60, "files that are too old stay");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    server.stop();
    for (how, words) in
        [("sample: 101", "percentage"), ("sample: some", "percentage"), ("keep: long", "365d"), ("spam: 1", "spam")]
    {
        plumb.write("plumb.yaml", &kept(how));
        plumb.run("skew").fails(2, &[words]);
    }
}

/// A model in Production, and three users with a prediction each.
fn answered() -> (Plumb, Server, Json) {
    let (plumb, server) = serving("repeat_purchase_v1.onnx");
    let (status, answer) = server.predict("m", &[4, 18, 21]);
    assert_eq!(status, 200, "{answer}");
    (plumb, server, answer)
}

#[test]
fn what_came_of_predictions_is_told_later_and_joined_with_them() {
    let (plumb, server, answer) = answered();
    let tell = |body: Json| server.post("/v1/labels", &body.to_string());
    let own = json!({ "label": "bought", "prediction_ids": [ids(&answer)[0]], "values": [true] });
    let told = tell(own.clone());
    assert_eq!((told.0, &told.1["labels"], &told.1["repeated"]), (200, &json!(1), &json!(0)), "{told:?}");
    let again = tell(own);
    assert_eq!((again.0, &again.1["labels"], &again.1["repeated"]), (200, &json!(0), &json!(1)), "{again:?}");
    // Feature times of the project are fixed: what happened two days after counts within a week and not within a day.
    let later = schema::Timestamp::parse(answer["effective_time"].as_str().unwrap()).unwrap();
    let later = schema::Timestamp::from_nanos(later.as_nanos() + 2 * 86_400_000_000_000).to_string();
    let of = json!({ "label": "bought", "model": "m", "entities": { "user_id": [4, 18] }, "values": [false, false], "at": later });
    assert_eq!(tell(of.clone()).1["labels"], json!(2));
    assert_eq!((tell(of.clone()).1["labels"].clone(), tell(of).1["repeated"].clone()), (json!(0), json!(2)));
    for (body, words) in [
        (json!({ "label": "bought", "values": [1] }), "prediction_ids"),
        (json!({ "label": "bought", "prediction_ids": ["x"], "values": [1] }), "no id"),
        (json!({ "label": "bought", "prediction_ids": [ids(&answer)[0]], "values": [null] }), "null"),
        (json!({ "label": "bought", "prediction_ids": [ids(&answer)[0]], "values": [1, 2] }), "entries"),
        (json!({ "label": "b c", "prediction_ids": [ids(&answer)[0]], "values": [1] }), "label"),
        (json!({ "label": "bought", "prediction_ids": [], "values": [] }), "no labels"),
        (json!({ "label": "bought", "model": "m", "entities": { "user_id": [4] }, "values": [1] }), "`at` is missing"),
        (
            json!({ "label": "bought", "model": "m", "entities": { "user": [4] }, "values": [1], "at": "2026-01-01" }),
            "user_id",
        ),
        (
            json!({ "label": "bought", "model": "m", "entities": { "user_id": [null] }, "values": [1], "at": "2026-01-01" }),
            "null key",
        ),
        (json!({ "label": "bought", "prediction_ids": [ids(&answer)[0]], "values": [1], "at": "soon" }), "soon"),
    ] {
        let (status, answer) = tell(body.clone());
        assert!(status == 422 && answer.to_string().contains(words), "{body}: {answer}");
    }
    assert_eq!(
        tell(json!({ "label": "b", "model": "nobody", "entities": {}, "values": [1], "at": "2026-01-01" })).0,
        404
    );
    server.stop();

    let listed = plumb.json("label list");
    let bought = &listed["labels"][0];
    assert_eq!(
        (&bought["label"], &bought["of_predictions"], &bought["of_entities"]),
        (&json!("bought"), &json!(1), &json!(2))
    );
    let joined = |within: &str| {
        let done = plumb.json(&placed(&plumb, &format!("label join m bought --within {within} --to @/joined.parquet")));
        ["predictions", "by_prediction", "by_entity"].map(|name| done[name].as_u64().unwrap())
    };
    assert_eq!(joined("1d"), [3, 1, 0]);
    assert_eq!(joined("7d"), [3, 1, 1]);
    let rows = crate::scoring::read(&plumb.path().join("joined.parquet"));
    let text = |name: &str| arrow::array::AsArray::as_string::<i32>(rows.column_by_name(name).unwrap()).clone();
    assert_eq!(text("label_of").iter().collect::<Vec<_>>(), [Some("prediction"), Some("entity"), None]);
    let labels = arrow::array::AsArray::as_boolean(rows.column_by_name("label").unwrap());
    assert_eq!(labels.iter().collect::<Vec<_>>(), [Some(true), Some(false), None]);
    assert_eq!(text("prediction_id").iter().flatten().collect::<Vec<_>>(), ids(&answer));

    // Labels are as old as the machine says, whatever clock the project fixes: none of these is a day old.
    plumb.edit(
        "plumb.yaml",
        "predictions: {path: .plumb/predictions}",
        "predictions: {path: .plumb/predictions, keep: 1d}",
    );
    let server = plumb.serve();
    assert_eq!(server.predict("m", &[4]).0, 200);
    server.stop();
    assert_eq!(plumb.json("label list"), listed);
    plumb.run(&placed(&plumb, "label join m sold --to @/joined.parquet")).fails(2, &["no label `sold`", "bought"]);
    plumb
        .run(&placed(&plumb, "label join other bought --to @/joined.parquet"))
        .fails(2, &["no prediction of model `other`"]);
    // Not every row of it has a label.
    plumb
        .run(&placed(&plumb, "label add bought @/joined.parquet --value label --at answered_at"))
        .fails(2, &["no value"]);
    let by_id = &placed(&plumb, "label add orders @/joined.parquet --value model_version");
    assert_eq!((plumb.json(by_id)["labels"].clone(), plumb.json(by_id)["repeated"].clone()), (json!(3), json!(3)));
    plumb.run(&format!("{by_id} --at anwsered_at")).fails(2, &["no column `anwsered_at`", "answered_at"]);
    plumb.run(&placed(&plumb, "label add bought @/nothing.parquet")).fails(2, &["nothing.parquet"]);
    plumb.run(&placed(&plumb, "label add bought @/joined.parquet --value none")).fails(2, &["no column `none`"]);
}

#[test]
fn labels_come_from_files_and_an_erased_person_has_none() {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

    let (plumb, server, _) = answered();
    let column = |name: &'static str, column: ArrayRef| (name, column);
    let rows = |users: Vec<i64>| {
        let n = users.len();
        let rows = RecordBatch::try_from_iter([
            column("user_id", std::sync::Arc::new(Int64Array::from(users))),
            column(
                "spent",
                std::sync::Arc::new(
                    (0..n).map(|i| Some(f64::from(u8::try_from(i).unwrap()))).collect::<Float64Array>(),
                ),
            ),
            column("happened", std::sync::Arc::new(StringArray::from(vec!["1998-07-02T00:00:00Z"; n]))),
        ]);
        crate::scoring::write(&plumb.path().join("outcomes.parquet"), &rows.unwrap());
    };
    rows(vec![4, 18, 18]);
    let line = &placed(&plumb, "label add spent @/outcomes.parquet --model m --value spent --at happened");
    assert_eq!(plumb.json(line)["labels"], json!(3));
    assert_eq!(plumb.json(line)["repeated"], json!(3));
    plumb
        .run(&placed(&plumb, "label add spent @/outcomes.parquet --value spent"))
        .fails(2, &["prediction_id", "--model"]);
    server.stop();
    plumb.run("erase --entity user_id=18 --rewrite-sources --yes").ok();
    assert_eq!(plumb.json("label list")["labels"][0]["of_entities"], json!(1));
    // Who is gone does not come back by a label.
    plumb.run(line).fails(4, &["erased"]);
    let server = plumb.serve();
    let body =
        json!({ "label": "spent", "model": "m", "entities": { "user_id": [18] }, "values": [1], "at": "1998-07-02" });
    let (status, answer) = server.post("/v1/labels", &body.to_string());
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("erased")), "{answer}");
    server.stop();
}
