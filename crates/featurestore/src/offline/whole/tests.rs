//! Each step of what is made of history fails once: it is told, no half file is left, and made again it is the same.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use schema::Timestamp;

use super::faults::{disarm, fail_at};
use crate::CompiledService;
use crate::materialize::Materializer;
use crate::offline::OfflineStore;
use crate::online::MemoryStore;
use crate::point_in_time::Watch;
use crate::push::{To, push};
use crate::testing::{applied, parquet};
use crate::training::spine::Spine;
use crate::training::write::{FileSink, Format, report_path};
use crate::training::{Options, build};

const NOW: Timestamp = Timestamp::from_nanos(1_000);
const PROJECT: &str = "
{kind: entity, name: user, join_key: k, type: int64}
---
{kind: source, name: rows, path: rows.parquet, event_time: ts}
---
{kind: feature_view, name: f, entity: user, source: rows, features: [{name: v, type: float64}]}
---
kind: feature_view
name: q
entity: user
source: rows
event_time: ts
sql: 'SELECT k, ts, v + 1 AS w FROM rows'
features: [{name: w, type: float64}]
---
{kind: feature_service, name: s, features: [f:v, q:w]}
";

fn rows(keys: &[i64]) -> RecordBatch {
    let times = TimestampNanosecondArray::from(vec![5; keys.len()]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 3] = [
        ("k", Arc::new(Int64Array::from(keys.to_vec()))),
        ("ts", Arc::new(times)),
        ("v", Arc::new(Float64Array::from(vec![0.5; keys.len()]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Rows of a file and rows of a push, in a folder of their own.
async fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    parquet(&folder.path().join("rows.parquet"), &rows(&[1, 2, 3]));
    let (definitions, store) = (applied(PROJECT), OfflineStore::new(folder.path(), &folder.path().join("offline")));
    let log = store.pushes().unwrap();
    let view = definitions.current_view("f").unwrap();
    push(view, &rows(&[4]), None, To::Offline, &log, &MemoryStore::default(), NOW).await.unwrap();
    folder
}

/// A training set over a snapshot and a file of pushes; its bytes.
async fn trained(folder: &Path, format: Format) -> Result<(Vec<u8>, Vec<u8>), crate::OfflineError> {
    let (definitions, store) = (applied(PROJECT), OfflineStore::new(folder, &folder.join("offline")));
    let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
    let times = TimestampNanosecondArray::from(vec![9; 4]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 2] =
        [("k", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))), ("event_time", Arc::new(times))];
    let spine = RecordBatch::try_from_iter(columns).unwrap();
    let spine = Spine::of_batches("spine", spine.schema(), vec![spine], None)?;
    let out = folder.join("train");
    let mut sink = FileSink::new(&out, format);
    build(&store, &compiled, spine, &Options::default(), &mut sink, &Watch::nobody()).await?;
    Ok((std::fs::read(&out).unwrap(), std::fs::read(report_path(&out)).unwrap()))
}

/// What is online of both views, after their histories.
async fn online(folder: &Path) -> Result<Vec<u8>, String> {
    let (definitions, store) = (applied(PROJECT), OfflineStore::new(folder, &folder.join("offline")));
    let mut done = Vec::new();
    for name in ["f", "q"] {
        let view = definitions.current_view(name).unwrap();
        let history = store.history(view).await.map_err(|why| schema::error::chain(&why))?;
        let memory = MemoryStore::default();
        let materialized = Materializer::new(view, &history, &memory, NOW).run(false, &|_| {}).await;
        done.extend(materialized.map_err(|why| schema::error::chain(&why))?.n_keys.to_le_bytes());
    }
    Ok(done)
}

/// Files that have no name yet.
fn unnamed(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(unnamed(&path));
        } else if super::is_unnamed(&name) {
            found.push(name);
        }
    }
    found
}

/// Does `work` on fresh projects, another step of which fails each time, then again.
async fn fails_everywhere<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    steps_min: u64,
    work: impl AsyncFn(&Path) -> Result<T, E>,
) {
    for at in 0.. {
        let folder = project().await;
        fail_at(folder.path(), at);
        let done = work(folder.path()).await;
        let whole = disarm(folder.path());
        assert_eq!(done.is_ok(), whole, "step {at}: {done:?}");
        assert_eq!(unnamed(folder.path()), Vec::<String>::new(), "step {at} left half a file");
        let again = work(folder.path()).await.unwrap();
        assert_eq!(work(folder.path()).await.unwrap(), again, "step {at}");
        if whole {
            assert!(at >= steps_min, "it took only {at} steps");
            assert_eq!(done.unwrap(), again);
            return;
        }
    }
}

#[tokio::test]
async fn a_training_set_over_a_snapshot_and_pushes() {
    // Four steps of each file: the snapshot's, that of the pushes, the training set and its report.
    for format in [Format::Parquet, Format::Arrow] {
        fails_everywhere(16, async |folder| trained(folder, format).await).await;
    }
}

#[tokio::test]
async fn a_materialization_of_both() {
    // Those of a snapshot, of pushes, and of the number of each view's generation.
    fails_everywhere(16, online).await;
}

#[tokio::test]
async fn two_that_make_the_same_at_once_can_both_read_it() {
    let folder = project().await;
    let definitions = applied(PROJECT);
    let store = OfflineStore::new(folder.path(), &folder.path().join("offline"));
    let view = definitions.current_view("q").unwrap();
    let (one, other) = tokio::join!(store.history(view), store.history(view));
    for history in [one.unwrap(), other.unwrap()] {
        let memory = MemoryStore::default();
        let done = Materializer::new(view, &history, &memory, NOW).run(false, &|_| {}).await;
        assert_eq!(done.map_err(|why| schema::error::chain(&why)).unwrap().n_keys, 3);
    }
}

#[test]
fn what_another_made_meanwhile_stays_unless_it_is_damaged() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made");
    let is_sound = |path: &Path| std::fs::read(path).unwrap().starts_with(b"sound");
    for (there, left) in
        [(None, "sound, mine"), (Some("sound, theirs"), "sound, theirs"), (Some("half"), "sound, mine")]
    {
        drop(std::fs::remove_file(&path));
        let mut file = super::begin(folder.path()).unwrap();
        file.write_all(b"sound, mine").unwrap();
        there.into_iter().for_each(|there| std::fs::write(&path, there).unwrap());
        super::finish_new(file, &path, is_sound).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), left);
        assert_eq!(unnamed(folder.path()), Vec::<String>::new());
    }
}
