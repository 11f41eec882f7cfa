//! What is stored is read for ever: predictions and replay tokens as they were written once, in tests/golden, by the demo
//! project. Method: today's program writes the same, and reads what was kept.

#[path = "golden/kept.rs"]
mod kept;

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use crate::harness::Plumb;

/// The demo online, its data as old as it always was: the time of change of a file is a part of its state.
fn demo() -> Plumb {
    let plumb = Plumb::demo();
    let data = File::options().write(true).open(plumb.path().join("data/orders.parquet")).unwrap();
    data.set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb
}

fn logged(plumb: &Plumb) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![plumb.path().join(".plumb/predictions")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "parquet") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn a_replay_token_of_the_first_format_replays() {
    let plumb = demo();
    let server = plumb.serve();
    let ask = json!({ "service": "repeat_purchase_v1", "entities": { "user_id": [1, 2, 999_999] }, "as_of": "1998-01-01T00:00:00Z" });
    let (status, answer) = server.post("/v1/features", &ask.to_string());
    assert_eq!(status, 200, "{answer}");
    server.stop();
    let token = answer["replay_token"].as_str().unwrap();
    kept::same("replay_token_v1.txt", format!("{token}\n").as_bytes());
    let stored = std::fs::read_to_string(kept::path("replay_token_v1.txt")).unwrap();
    plumb.run(&format!("replay {}", stored.trim())).ok();
}

#[test]
fn predictions_of_the_first_format_are_read() {
    let plumb = demo();
    let model = plumb.model("repeat_purchase_v1.onnx");
    plumb.run(&format!("model register m {} --service repeat_purchase_v1", model.display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    assert_eq!(server.predict("m", &[1, 2]).0, 200);
    server.stop();
    let files = logged(&plumb);
    let [written] = files.as_slice() else { panic!("{files:?}") };
    let opened = ParquetRecordBatchReaderBuilder::try_new(File::open(written).unwrap()).unwrap();
    let columns = opened.schema().fields().iter().map(|field| format!("{} {}\n", field.name(), field.data_type()));
    let mut about: Vec<&str> = opened
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
        .map(|entry| entry.key.as_str())
        .collect();
    about.sort_unstable();
    let told = columns.collect::<String>() + &format!("about {}\n", about.join(" "));
    kept::same("predictions_v1.txt", told.as_bytes());
    let stored = kept::path("predictions_v1.parquet");
    if !stored.exists() && std::env::var_os("PLUMB_GOLDEN").is_some() {
        std::fs::copy(written, &stored).unwrap();
    }

    // The log as it was kept, alone: what it says is what history says today.
    std::fs::copy(&stored, written).unwrap();
    let skew = plumb.json("skew");
    assert_eq!(skew["predictions"], 2, "{skew}");
    assert!(plumb.run("skew").code == 0, "{skew}");
}
