//! A clock that is wrong and put right again (row 39 of the fault table). Method: the project's clock is set, back and forth,
//! between commands; what is answered online is compared with what a training row of the same instant gets. The machine's own
//! clock is not touched: it measures deadlines and nothing that a feature depends on.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value as Json, json};

use crate::harness::{Answer, Plumb};

fn project() -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("rows.csv", "user_id,at,x\n1,2024-01-01,10\n1,2024-01-10,20\n2,2024-01-05,5\n");
    plumb.write(
        "features.yaml",
        "{kind: entity, name: user, join_key: user_id, type: int64}\n---\n\
         {kind: source, name: rows, path: rows.csv, event_time: at}\n---\n\
         {kind: feature_view, name: f, entity: user, source: rows, features: [{name: x, type: int64}]}\n---\n\
         {kind: feature_service, name: s, features: ['f:x']}\n",
    );
    set(&plumb, "2024-01-15");
    plumb.run("apply --yes").ok();
    plumb
}

fn set(plumb: &Plumb, now: &str) {
    plumb.write("plumb.yaml", &format!("project: clocks\nclock: {{now: {now}T00:00:00Z}}\n"));
}

fn ask(plumb: &Plumb, users: &str) -> Answer {
    plumb.run(&format!("features get --service s --entity user_id={users} --output json"))
}

#[track_caller]
fn online(plumb: &Plumb, users: &str) -> Json {
    ask(plumb, users).ok().json()["features"]["x"]["values"].clone()
}

/// What training rows of users at an instant get.
fn trained(plumb: &Plumb, users: &[i64], at: &str) -> Json {
    let rows: String = users.iter().map(|user| format!("{user},{at}T00:00:00Z\n")).collect();
    plumb.write("spine.csv", &format!("user_id,event_time\n{rows}"));
    let [spine, out] = ["spine.csv", "set.parquet"].map(|name| plumb.path().join(name).display().to_string());
    plumb.run(&format!("training-set build --service s --spine {spine} --out {out}")).ok();
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(out).unwrap()).unwrap().build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let values = batches
        .iter()
        .flat_map(|batch| batch.column_by_name("x").unwrap().as_primitive::<Int64Type>().iter().collect::<Vec<_>>());
    json!(values.collect::<Vec<_>>())
}

fn how(plumb: &Plumb, more: &str) -> String {
    plumb.json(&format!("materialize {more}"))["materialized"][0]["how"].as_str().unwrap().to_owned()
}

#[test]
fn set_back_it_makes_no_answer_wrong_and_set_right_nothing_is_missing() {
    let plumb = project();
    assert_eq!(how(&plumb, ""), "built");
    assert_eq!(online(&plumb, "1,2"), json!([20, 5]));

    // A week back. What is there is not of the future; a row of this week is, and what was before it is not kept.
    set(&plumb, "2024-01-08");
    assert_eq!(online(&plumb, "2"), json!([5]));
    let refused = plumb.run("features get --service s --entity user_id=1");
    refused.fails(
        2,
        &["`f@v1`", "2024-01-10T00:00:00Z", "2024-01-08T00:00:00Z", "the online store keeps the current row"],
    );
    assert_eq!(trained(&plumb, &[1, 2], "2024-01-08"), json!([10, 5]));
    // Nothing came, so there is nothing to bring: watermarks are of what arrived, whatever the time.
    assert_eq!(how(&plumb, ""), "unchanged");
    // Built anew, it is online as of the time that it is held to be now.
    assert_eq!(how(&plumb, "--fresh"), "built");
    assert_eq!(online(&plumb, "1,2"), trained(&plumb, &[1, 2], "2024-01-08"));

    // A row arrives meanwhile, of a time between.
    plumb.write("rows.csv", "user_id,at,x\n1,2024-01-01,10\n1,2024-01-10,20\n2,2024-01-05,5\n2,2024-01-12,6\n");
    assert_eq!(how(&plumb, ""), "built");
    assert_eq!(online(&plumb, "1,2"), json!([10, 5]));

    // Right again: the rows whose time had yet to come are there, without another run.
    for (now, want) in [("2024-01-10", json!([20, 5])), ("2024-01-15", json!([20, 6]))] {
        set(&plumb, now);
        assert_eq!(online(&plumb, "1,2"), want, "{now}");
        assert_eq!(trained(&plumb, &[1, 2], now), want, "{now}");
    }
    assert_eq!(how(&plumb, ""), "unchanged");
}

/// A push is stamped with the time of its receipt: it is known from then on, and of two rows of one event time the later stamp
/// counts, also where the clock was wrong when it was given (docs/decisions/0057). Online and training agree, or online refuses.
#[test]
fn what_is_pushed_while_it_is_set_back_is_ordered_by_its_stamps_online_as_in_training() {
    let plumb = project();
    plumb.run("materialize").ok();
    let push = |at: &str, x: i64| {
        let server = plumb.serve();
        let rows = json!({ "user_id": [3], "at": [format!("{at}T00:00:00Z")], "x": [x] });
        let (status, answer) = server.post("/v1/views/f/push", &json!({ "rows": rows }).to_string());
        assert_eq!(status, 200, "{answer}");
        server.stop();
    };
    let both = |now: &str, want: Json| {
        assert_eq!(online(&plumb, "3"), want, "{now}");
        assert_eq!(trained(&plumb, &[3], now), want, "{now}");
    };
    push("2024-01-06", 1);
    both("2024-01-15", json!([1]));
    // A correction with an older stamp. What it corrects is not known yet at this instant, and hides what was before it.
    set(&plumb, "2024-01-08");
    push("2024-01-06", 2);
    assert_eq!(trained(&plumb, &[3], "2024-01-08"), json!([2]));
    plumb.run("features get --service s --entity user_id=3").fails(2, &["answers from 2024-01-15T00:00:00Z on"]);
    set(&plumb, "2024-01-15");
    both("2024-01-15", json!([1]));
    // A row of a newer time counts whatever its stamp.
    set(&plumb, "2024-01-08");
    push("2024-01-07", 3);
    both("2024-01-08", json!([3]));
    set(&plumb, "2024-01-15");
    both("2024-01-15", json!([3]));
    plumb.run("materialize --fresh").ok();
    both("2024-01-15", json!([3]));
}
