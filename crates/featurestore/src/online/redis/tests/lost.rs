//! What a server lost of what it had acknowledged is found by the next materialization: a replica that was behind becomes the
//! master, or marks are gone while rows are not.

use std::path::Path;
use std::time::Instant;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use schema::FeatureView;
use tempfile::TempDir;

use super::sentinel::config;
use super::*;
use crate::materialize::{How, Materialized, Materializer, numbers};
use crate::offline::OfflineStore;
use crate::online::At;
use crate::online::marks::Marks;
use crate::online::testing::{TestSentinels, TestServer, unique_project};
use crate::push::{To, push};
use crate::testing::{applied, parquet};

const NOW: Timestamp = Timestamp::from_nanos(1_000);

struct Project {
    folder: TempDir,
    offline: OfflineStore,
    view: FeatureView,
}

fn rows(keys: &[i64]) -> RecordBatch {
    let times = TimestampNanosecondArray::from(vec![5; keys.len()]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 3] = [
        ("k", Arc::new(Int64Array::from(keys.to_vec()))),
        ("ts", Arc::new(times)),
        ("v", Arc::new(Float64Array::from(vec![0.5; keys.len()]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rows")).unwrap();
        let text = "{kind: entity, name: user, join_key: k, type: int64}\n---\n\
                    {kind: source, name: rows, path: rows, event_time: ts}\n---\n\
                    {kind: feature_view, name: f, entity: user, source: rows, features: [{name: v, type: float64}]}\n";
        let view = applied(text).current_view("f").unwrap().clone();
        let offline = OfflineStore::new(folder.path(), &folder.path().join("offline"));
        Self { folder, offline, view }
    }

    fn file(&self, name: &str, keys: &[i64]) {
        parquet(&Path::new(self.folder.path()).join("rows").join(name), &rows(keys));
    }

    async fn materialize(&self, store: &RedisStore, fresh: bool) -> Materialized {
        let history = self.offline.history(&self.view).await.unwrap();
        Materializer::new(&self.view, &history, store, NOW).run(fresh, &|_| {}).await.unwrap()
    }

    /// Which keys are online; `None` while the server is away.
    async fn online(&self, store: &RedisStore, keys: std::ops::Range<i64>) -> Option<Vec<i64>> {
        let columns: ArrayRef = Arc::new(keys.clone().collect::<Int64Array>());
        let entities: Vec<_> =
            EntityKey::from_columns(&[columns], keys.clone().count()).into_iter().flatten().collect();
        let table = Marks::read(store, &self.view).await.ok()?.table(&self.view)?;
        let found = store.get_many(&[table], &entities).await.ok()?;
        let is_there = |i: usize| found.get(i, 0).is_some_and(|cell| matches!(cell.at(NOW), At::Row(_)));
        Some(keys.enumerate().filter(|(i, _)| is_there(*i)).map(|(_, key)| key).collect())
    }
}

fn offset(server: &TestServer) -> Option<String> {
    let text = server.ask_text(&["INFO", "replication"]);
    text.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).map(str::to_owned)
}

/// FT 9: the replica had not heard of the last writes, which were acknowledged, and is promoted.
#[tokio::test]
async fn what_a_failover_lost_is_brought_back_by_the_next_materialization() {
    let mut group = TestSentinels::start(500);
    let store = RedisStore::open(&config(&group, 0), &unique_project()).await.unwrap();
    let project = Project::new();
    project.file("a.parquet", &[1, 2]);
    assert_eq!(project.materialize(&store, false).await.how, How::Built);
    let started = Instant::now();
    while offset(&group.servers[0]) != offset(&group.servers[1]) {
        assert!(started.elapsed() < PATIENT, "the replica does not catch up");
    }

    group.servers[1].pause();
    // What was sent before would wait for it in its socket.
    group.servers[0].ask(&["CLIENT", "KILL", "TYPE", "replica"]);
    project.file("b.parquet", &[3, 4]);
    assert_eq!(project.materialize(&store, false).await.how, How::Appended);
    let log = project.offline.pushes().unwrap();
    push(&project.view, &rows(&[5]), None, To::Online, &log, &store, NOW).await.unwrap();
    // A generation that the replica knows nothing of.
    let lost = project.materialize(&store, true).await.generation;
    assert_eq!(project.online(&store, 1..7).await.unwrap(), [1, 2, 3, 4, 5]);
    group.servers[0].kill();
    group.servers[1].resume();
    let started = Instant::now();
    let left = loop {
        match project.online(&store, 1..7).await {
            Some(left) => break left,
            None => assert!(started.elapsed() < PATIENT * 3, "nobody is promoted"),
        }
    };
    assert_eq!(left, [1, 2], "nothing was lost: this tests nothing");

    let again = project.materialize(&store, false).await;
    assert_eq!((again.how, again.n_written), (How::Appended, 3));
    assert_eq!(project.online(&store, 1..7).await.unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(project.materialize(&store, false).await.how, How::Unchanged);
    assert!(project.materialize(&store, true).await.generation > lost, "a number was used twice");
}

/// Marks are evicted, or their node is lost: rows of earlier generations, which nobody vouches for, never answer.
#[tokio::test]
async fn rows_whose_marks_are_gone_do_not_come_back() {
    let server = TestRedis::start();
    let store = connect(&server, PATIENT).await;
    let project = Project::new();
    project.file("a.parquet", &[1, 2, 3]);
    assert_eq!(project.materialize(&store, false).await.generation, 1);
    // Key 3 vanishes from history.
    project.file("a.parquet", &[1, 2]);
    assert_eq!(project.materialize(&store, false).await.generation, 2);
    store.drop_tables(&[OnlineTable::marks(&project.view)]).await.unwrap();
    assert_eq!(project.online(&store, 1..5).await, None, "nothing answers without marks");
    let again = project.materialize(&store, false).await;
    assert_eq!((again.how, again.generation), (How::Built, 3));
    assert_eq!(project.online(&store, 1..5).await.unwrap(), [1, 2]);
    // And they are no longer there.
    let key = EntityKey::from_columns(&[Arc::new(Int64Array::from(vec![3])) as ArrayRef], 1).remove(0).unwrap();
    let earlier: Vec<OnlineTable> = [1, 2].map(|number| OnlineTable::generation(&project.view, number)).into();
    let rows = store.get_many(&earlier, &[key]).await.unwrap();
    assert_eq!((rows.get(0, 0), rows.get(0, 1)), (None, None));
    assert_eq!(numbers::next(&project.offline.folder_of(&project.view)).unwrap(), Some(4));
}

/// A server that comes back empty: the next materialization brings all of it.
#[tokio::test]
async fn a_store_that_was_emptied_is_filled_again() {
    let server = TestRedis::spawn();
    let store = connect(&server, PATIENT).await;
    let project = Project::new();
    project.file("a.parquet", &[1, 2, 3]);
    project.materialize(&store, false).await;
    server.server().ask(&["FLUSHALL"]);
    assert_eq!(project.online(&store, 1..5).await, None);
    assert_eq!(project.materialize(&store, false).await.how, How::Built);
    assert_eq!(project.online(&store, 1..5).await.unwrap(), [1, 2, 3]);
}

/// How often the server was asked to go on with a walk over its keys.
fn steps(server: &TestServer) -> u64 {
    let text = server.ask_text(&["INFO", "commandstats"]);
    let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls="));
    line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

/// A generation each hour for a year is nothing rare: all of them are looked for at once.
#[tokio::test]
async fn all_generations_that_may_be_left_are_looked_for_in_one_walk() {
    let server = TestRedis::spawn();
    let store = connect(&server, PATIENT).await;
    let project = Project::new();
    project.file("a.parquet", &[1, 2]);
    assert_eq!(project.materialize(&store, false).await.generation, 1);
    numbers::keep(&project.offline.folder_of(&project.view), 9_000).unwrap();
    store.drop_tables(&[OnlineTable::marks(&project.view)]).await.unwrap();
    let before = steps(server.server());
    assert_eq!(project.materialize(&store, false).await.generation, 9_000);
    assert_eq!(steps(server.server()) - before, 1);
    assert_eq!(project.online(&store, 1..5).await.unwrap(), [1, 2]);
}
