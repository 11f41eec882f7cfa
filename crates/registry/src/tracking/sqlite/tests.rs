//! The file itself: what is taken for one, and what happens to calls that cannot be done.

use std::sync::Arc;

use schema::ErrorKind;

use super::*;
use crate::tracking::conformance;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/tracking.db");
    conformance::tracking_store(|| Arc::new(SqliteTracking::open(&path).unwrap()) as Arc<dyn TrackingStore>).await;
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, but long enough to have a header of one".repeat(100)).unwrap();
    let before = std::fs::read(&text).unwrap();
    assert!(matches!(SqliteTracking::open(&text), Err(StoreError::NotARegistry { .. })));
    assert_eq!(std::fs::read(&text).unwrap(), before);

    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE birds (name TEXT)").unwrap();
    let why = SqliteTracking::open(&other).unwrap_err();
    assert!(why.to_string().contains("something else"), "{why}");

    let newer = folder.path().join("newer.db");
    drop(SqliteTracking::open(&newer).unwrap());
    Connection::open(&newer).unwrap().execute("UPDATE meta SET value = '2' WHERE key = 'format'", ()).unwrap();
    assert!(matches!(SqliteTracking::open(&newer), Err(StoreError::Format { .. })));
}

#[test]
fn many_who_open_a_new_file_at_once_find_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracking.db");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| SqliteTracking::open(&path).unwrap());
        }
    });
    let connection = Connection::open(&path).unwrap();
    let n: i64 = connection.query_row("SELECT count(*) FROM experiments", (), |row| row.get(0)).unwrap();
    assert_eq!(n, 1);
}

#[tokio::test]
async fn a_writer_that_another_process_keeps_waiting_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracking.db");
    let store = SqliteTracking::open_patiently(&path, Duration::from_millis(20)).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let why = store.change_experiment(ExperimentId::DEFAULT, ExperimentChange::default()).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Unavailable, "{why}");
    store.experiment(ExperimentId::DEFAULT).await.expect("readers go on");
    other.execute_batch("ROLLBACK").unwrap();
    store.change_experiment(ExperimentId::DEFAULT, ExperimentChange::default()).await.expect("its turn came");
}

#[tokio::test]
async fn a_call_that_panics_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteTracking::open(&folder.path().join("tracking.db")).unwrap();
    let why = store
        .write::<()>(|t| {
            t.execute("DELETE FROM experiments", ())?;
            panic!("a bug")
        })
        .await
        .unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Internal);
    store.experiment(ExperimentId::DEFAULT).await.expect("what it did is undone");
    store.change_experiment(ExperimentId::DEFAULT, ExperimentChange::default()).await.expect("the next one is done");
}

/// Nobody waits behind a thousand others without being told.
#[tokio::test]
async fn more_calls_than_may_wait_are_refused_and_those_of_who_left_are_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracking.db");
    let store = Arc::new(SqliteTracking::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..1_200 {
        let store = Arc::clone(&store);
        let new = NewExperiment { name: format!("e{n}"), artifact_location: None, tags: Vec::new(), now_ms: 0 };
        calls.spawn(async move { store.create_experiment(new).await });
    }
    let mut refused = 0;
    while refused < 1_200 - 1_024 - 1 {
        let why = calls.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(why.kind(), ErrorKind::Overloaded, "{why}");
        refused += 1;
    }
    calls.shutdown().await;
    other.execute_batch("ROLLBACK").unwrap();
    // The one that waits for the file looks again after a moment; until then the queue is as full as it was.
    while let Err(why) = store.change_experiment(ExperimentId::DEFAULT, ExperimentChange::default()).await {
        assert_eq!(why.kind(), ErrorKind::Overloaded, "{why}");
        tokio::task::yield_now().await;
    }
    let n: i64 = other.query_row("SELECT count(*) FROM experiments", (), |row| row.get(0)).unwrap();
    assert!(n <= 2, "the one that was waiting for the file may be done: {n}");
}
