//! Two rows of one key and one time. The last one counts, in training as in serving; where a view says `ties: error` neither
//! is built, and nothing is written, unless both rows say the same (point-in-time semantics, section 6, case 07).

use std::sync::Arc;

use featurestore::materialize::Materializer;
use featurestore::offline::OfflineStore;
use featurestore::online::MemoryStore;
use featurestore::online::marks::Marks;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::definitions::File;
use schema::{AppliedDefinitions, Definitions, Timestamp};
use serde_json::json;

use crate::harness::{Answer, Plumb};

const DEFINITIONS: &str = "kind: entity
name: user
join_key: user_id
type: int64
---
kind: source
name: orders
path: orders
format: csv
event_time: at
created_time: known_at
---
kind: feature_view
name: spending
entity: user
source: orders
ties: error
features: [{name: amount, type: float64}]
---
kind: feature_service
name: s
features: ['spending:amount']
";

const TIED: &str = "user_id,at,known_at,amount\n7,2024-01-01T10:00:00Z,2024-01-02T00:00:00Z,1.5\n\
                    8,2024-01-01T10:00:00Z,2024-01-02T00:00:00Z,3\n";
const OTHER: &str = "user_id,at,known_at,amount\n7,2024-01-01T10:00:00Z,2024-01-02T00:00:00Z,2.5\n";

fn project() -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: ties\n");
    plumb.write("features.yaml", DEFINITIONS);
    plumb.write("orders/1.csv", TIED);
    plumb.write("orders/2.csv", OTHER);
    plumb.write("spine.csv", "user_id,event_time\n7,2024-01-15T00:00:00Z\n8,2024-01-15T00:00:00Z\n");
    plumb.run("apply --yes").ok();
    plumb
}

const GET: &str = "features get --service s --entity user_id=7,8";

/// What both rows of a tie are called, and what to do.
const TOLD: [&str; 8] = [
    "feature view `spending` has two rows of user_id=7",
    "event time 2024-01-01T10:00:00Z",
    "created time 2024-01-02T00:00:00Z",
    "that say different things",
    "row 0 of `orders/1.csv`",
    "row 0 of `orders/2.csv`",
    "a later created time",
    "without `ties: error`",
];

#[test]
fn a_tie_is_refused_in_training_and_in_serving() {
    let plumb = project();
    plumb.run("materialize").fails(2, &TOLD);
    build(&plumb).fails(2, &TOLD);
    assert!(!plumb.path().join("set.parquet").exists());
    assert_eq!(plumb.run(GET).code, 4, "nothing is online");
    // The server says the same.
    let server = plumb.serve();
    let spine = json!([{ "user_id": 7, "event_time": "2024-01-15T00:00:00Z" }]);
    for (path, body) in
        [("/v1/materialize", json!({})), ("/v1/training-sets", json!({ "service": "s", "spine": spine }))]
    {
        let (status, answer) = server.post(path, &body.to_string());
        let said = answer["error"].to_string();
        assert!(status == 422 && TOLD.iter().all(|words| said.contains(words)), "{path}: {status} {said}");
    }
}

#[test]
fn what_is_online_stays_when_a_tie_arrives() {
    let plumb = project();
    std::fs::remove_file(plumb.path().join("orders/2.csv")).unwrap();
    plumb.run("materialize").ok();
    let before = plumb.json(GET);
    plumb.write("orders/2.csv", OTHER);
    plumb.run("materialize").fails(2, &TOLD);
    plumb.run("materialize --fresh").fails(2, &TOLD);
    let after = plumb.json(GET);
    assert_eq!(after["features"], before["features"]);
    // A correction that became known later is no tie.
    plumb.write("orders/3.csv", &OTHER.replace("01-02T00", "01-03T00").replace("2.5", "4.5"));
    plumb.run("materialize").ok();
    build(&plumb).ok();
    assert_eq!(plumb.json(GET)["features"]["amount"]["values"], json!([4.5, 3.0]));
}

#[test]
fn otherwise_the_last_row_counts_in_both() {
    let plumb = project();
    plumb.edit("features.yaml", "ties: error\n", "");
    let plan = plumb.run("plan").ok().stdout;
    assert!(plan.contains("changed in words"), "no part of the meaning: {plan}");
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    assert_eq!(plumb.json(GET)["features"]["amount"]["values"], json!([2.5, 3.0]));
    assert_eq!(trained(&plumb), ["2.5", "3.0"]);
}

#[test]
fn a_row_that_is_there_twice_is_no_tie() {
    let plumb = project();
    plumb.write("orders/2.csv", TIED);
    plumb.run("materialize").ok();
    assert_eq!(plumb.json(GET)["features"]["amount"]["values"], json!([1.5, 3.0]));
    assert_eq!(trained(&plumb), ["1.5", "3.0"]);
}

#[test]
fn a_pushed_row_is_tied_with_one_of_a_file_and_with_another_pushed_one() {
    for (first, second) in [(None, ("7", 2.5)), (Some(("9", 1.5)), ("9", 2.5))] {
        let plumb = project();
        std::fs::remove_file(plumb.path().join("orders/2.csv")).unwrap();
        plumb.run("materialize").ok();
        let push = |(user, amount): (&str, f64), known: &str| {
            let server = plumb.serve();
            let rows = json!({
                "user_id": [user.parse::<i64>().unwrap()], "at": ["2024-01-01T10:00:00Z"], "known_at": [known],
                "amount": [amount],
            });
            let sent = json!({ "rows": rows, "to": "offline" }).to_string();
            let (status, answer) = server.post("/v1/views/spending/push", &sent);
            assert_eq!(status, 200, "{answer}");
            server.stop();
        };
        let known = "2024-01-02T00:00:00Z";
        if let Some(first) = first {
            push(first, known);
            plumb.run("materialize").ok();
        }
        push(second, known);
        let user = format!("two rows of user_id={}", second.0);
        plumb.run("materialize").fails(2, &[&user, "that say different things"]);
        plumb.write("spine.csv", &format!("user_id,event_time\n{},2024-01-15T00:00:00Z\n", second.0));
        build(&plumb).fails(2, &[&user, "that say different things"]);
        // A correction that became known later is no tie, pushed or not.
        push((second.0, 4.5), "2024-01-03T00:00:00Z");
        plumb.run("materialize").ok();
        assert_eq!(trained(&plumb), ["4.5"]);
    }
}

#[test]
fn a_key_that_says_who_somebody_is_is_not_shown() {
    let plumb = project();
    plumb.edit("features.yaml", "join_key: user_id\n", "join_key: user_id\npii: true\n");
    plumb.run("apply --yes").ok();
    plumb.run("materialize").fails(2, &["two rows of user_id=*** with"]);
}

#[test]
fn a_sequence_and_the_rule_contradict_each_other() {
    let plumb = project();
    plumb.edit("features.yaml", "ties: error\n", "ties: error\nsequence: n\n");
    plumb
        .run("plan")
        .fails(2, &["features.yaml:17:7:", "`sequence` orders rows of one time already", "leave `ties` out"]);
    plumb.edit("features.yaml", "ties: error\nsequence: n\n", "ties: first\n");
    plumb.run("plan").fails(2, &["`first` is no rule for rows of one time", "write `last` or `error`"]);
}

fn build(plumb: &Plumb) -> Answer {
    let (spine, out) = (plumb.path().join("spine.csv"), plumb.path().join("set.parquet"));
    plumb.run(&format!("training-set build --service s --spine {} --out {}", spine.display(), out.display()))
}

fn trained(plumb: &Plumb) -> Vec<String> {
    build(plumb).ok();
    let file = std::fs::File::open(plumb.path().join("set.parquet")).unwrap();
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let rows = batches.next().unwrap().unwrap();
    let column = rows.column_by_name("amount").unwrap();
    (0..rows.num_rows()).map(|row| schema::Value::at(column, row).to_string()).collect()
}

/// Not even a generation is announced, and no mark of the one that answers is moved.
#[tokio::test]
async fn a_refused_tie_moves_no_mark() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("orders")).unwrap();
    let file = File { path: "p.yaml".to_owned(), text: DEFINITIONS.to_owned() };
    let definitions = AppliedDefinitions::default().after(&Definitions::read(&[file]).unwrap());
    let view = definitions.current_view("spending").unwrap();
    let offline = OfflineStore::new(folder.path(), &folder.path().join("offline"));
    let store = Arc::new(MemoryStore::default());
    let run = async |fresh: bool| {
        let history = offline.history(view).await.unwrap();
        let now = Timestamp::parse("2024-02-01T00:00:00Z").unwrap();
        Materializer::new(view, &history, store.as_ref(), now).run(fresh, &|_| {}).await
    };
    let marks = async || Marks::read(store.as_ref(), view).await.unwrap();
    std::fs::write(folder.path().join("orders/1.csv"), TIED.to_owned() + OTHER.split_once('\n').unwrap().1).unwrap();
    run(false).await.unwrap_err();
    assert_eq!(marks().await, Marks::default());
    std::fs::write(folder.path().join("orders/1.csv"), TIED).unwrap();
    run(false).await.unwrap();
    let before = marks().await;
    std::fs::write(folder.path().join("orders/2.csv"), OTHER).unwrap();
    for fresh in [false, true] {
        run(fresh).await.unwrap_err();
        assert_eq!(marks().await, before);
    }
}
