//! A disk that fails while a source is read (row 20 of the fault table): the error names the file, what is online stays, and no
//! file becomes one with fewer rows. Method: the binary runs with a small library before its C library (`faulty_disk/reads.c`)
//! that lets reads of one file fail, end early or give little, from each read on in turn.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::harness::{Answer, Plumb, preloaded};

const USERS: i64 = 6_000;
/// The time of all rows, in microseconds.
const AT: i64 = 1_704_067_200_000_000;

fn user(row: i64) -> i64 {
    row * 1_000_003 % USERS
}

/// The same rows in each format; numbers long enough that half of one would be another.
fn write(plumb: &Plumb, format: &str) {
    let value = |row: i64| 7_000_000_000 + row;
    let path = plumb.path().join(format!("rows.{format}"));
    match format {
        "csv" => {
            let rows: String =
                (0..USERS).map(|row| format!("{},2024-01-01T00:00:00Z,{}\n", user(row), value(row))).collect();
            std::fs::write(path, format!("user_id,at,x\n{rows}")).unwrap();
        }
        "jsonl" => {
            let row = |row: i64| {
                let (user, x) = (user(row), value(row));
                format!("{{\"user_id\": {user}, \"at\": \"2024-01-01T00:00:00Z\", \"x\": {x}}}\n")
            };
            std::fs::write(path, (0..USERS).map(row).collect::<String>()).unwrap();
        }
        _ => {
            let n = usize::try_from(USERS).unwrap();
            let columns: [(&str, ArrayRef); 3] = [
                ("user_id", Arc::new((0..USERS).map(user).collect::<Int64Array>())),
                ("at", Arc::new(TimestampMicrosecondArray::from(vec![AT; n]).with_timezone("UTC"))),
                ("x", Arc::new((0..USERS).map(value).collect::<Int64Array>())),
            ];
            let rows = RecordBatch::try_from_iter(columns).unwrap();
            let properties = WriterProperties::builder()
                .set_compression(Compression::UNCOMPRESSED)
                .set_max_row_group_row_count(Some(2_000))
                .build();
            let file = std::fs::File::create(path).unwrap();
            let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
            writer.write(&rows).unwrap();
            writer.close().unwrap();
        }
    }
}

fn project(format: &str) -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: faulty_disk\n");
    plumb.write(
        "features.yaml",
        &format!(
            "{{kind: entity, name: user, join_key: user_id, type: int64}}\n---\n\
             {{kind: source, name: rows, path: rows.{format}, event_time: at}}\n---\n\
             {{kind: feature_view, name: f, entity: user, source: rows, features: [{{name: x, type: int64}}]}}\n"
        ),
    );
    write(&plumb, format);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb
}

/// Brings everything online again from the file itself; whether a read did not go well.
fn again(plumb: &Plumb, library: &Path, file: &str, kind: &str, at: usize) -> (Answer, bool) {
    // What was kept of a text: it would be read instead.
    drop(std::fs::remove_dir_all(plumb.path().join(".plumb/offline/sources")));
    let met = plumb.path().join("met");
    drop(std::fs::remove_file(&met));
    let mut command = plumb.command("materialize --fresh --output json");
    command.envs([("FAULT_FILE", file), ("FAULT_KIND", kind), ("FAULT_AT", &at.to_string())]);
    command.env("FAULT_MET", &met).env("LD_PRELOAD", library);
    let answer = Answer::from(command.output().unwrap());
    (answer, met.exists())
}

fn some(plumb: &Plumb) -> String {
    let users = (0..40).map(|i| (i * 150).to_string()).collect::<Vec<_>>().join(",");
    plumb.json(&format!("features get f:x --entity user_id={users}"))["features"].to_string()
}

#[test]
fn a_read_that_fails_is_an_error_that_names_the_file_and_never_fewer_rows() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = preloaded(folder.path(), "faulty_disk/reads.c") else { return };
    for format in ["csv", "jsonl", "parquet"] {
        let plumb = project(format);
        let file = format!("rows.{format}");
        let want = some(&plumb);
        for kind in ["eio", "end"] {
            let mut at = 0;
            loop {
                let (answer, met) = again(&plumb, &library, &file, kind, at);
                if !met {
                    assert_eq!(answer.ok().json()["materialized"][0]["n_rows"], USERS);
                    break;
                }
                let said = format!("{}{}", answer.stdout, answer.stderr);
                if answer.code == 0 {
                    // At the end of a file every read says so.
                    assert_eq!(
                        (kind, &answer.json()["materialized"][0]["n_rows"]),
                        ("end", &USERS.into()),
                        "{at}: {said}"
                    );
                } else {
                    assert!([2, 6].contains(&answer.code), "{format}, {kind} from read {at} on: {answer:?}");
                    assert!(said.contains(&file) && !said.contains("panicked"), "{format}, {kind} {at}: {said}");
                    assert!(kind != "eio" || said.contains("Input/output error"), "{format}, {at}: {said}");
                }
                assert_eq!(some(&plumb), want, "{format}, {kind} from read {at} on: what is online stays");
                at += 1;
                assert!(at < 200, "{format}, {kind}: it is read without end");
            }
            assert!(at > 2, "{format}, {kind} was met {at} times");
        }
        let (answer, met) = again(&plumb, &library, &file, "short", 0);
        assert!(met);
        assert_eq!(answer.ok().json()["materialized"][0]["n_rows"], USERS, "{format}");
        assert_eq!(some(&plumb), want, "{format}: reads that give little are reads");
    }
}
