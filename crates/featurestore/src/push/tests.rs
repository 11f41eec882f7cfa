mod away;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
use expect_test::{Expect, expect};
use schema::{AppliedDefinitions, Ttl, definitions};

use super::*;
use crate::materialize::Materializer;
use crate::offline::OfflineStore;
use crate::online::{At, MemoryStore};
use crate::testing::{applied, parquet};

const NOW: Timestamp = Timestamp::from_nanos(1_000);

fn declared() -> AppliedDefinitions {
    let text = "kind: entity\nname: user\njoin_keys: [{name: k, type: int64}]\n---\n\
                kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\n---\n\
                kind: feature_view\nname: f\nentity: user\nsource: rows\nfeatures: [{name: v, type: float64}]\n";
    applied(text)
}

fn view() -> FeatureView {
    declared().current_view("f").unwrap().clone()
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn times(values: &[i64]) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from(values.to_vec()).with_timezone("UTC"))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A project whose source holds one row of key 1 and is online.
async fn project(folder: &Path) -> (OfflineStore, MemoryStore) {
    let rows = batch(vec![("k", ints(&[1])), ("ts", times(&[1])), ("v", floats(&[0.5]))]);
    parquet(&folder.join("rows.parquet"), &rows);
    let (offline, online) = (OfflineStore::new(folder, &folder.join("offline")), MemoryStore::default());
    let (view, history) = (view(), offline.history(&view()).await.unwrap());
    Materializer::new(&view, &history, &online, NOW).run(false, &|_| {}).await.unwrap();
    (offline, online)
}

async fn stored(online: &MemoryStore, key: i64) -> String {
    let view = view();
    let table = Marks::read(online, &view).await.unwrap().table(&view).unwrap();
    let key = EntityKey::from_columns(&[ints(&[key])], 1).remove(0).unwrap();
    let found = online.get_many(&[table], &[key]).await.unwrap();
    match found.get(0, 0).map(|cell| cell.at(Timestamp::MAX)) {
        Some(At::Row(step)) => format!("{step:?}"),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn refuses(columns: Vec<(&str, ArrayRef)>, want: Expect) {
    let refused = PushedRows::new(&view(), &batch(columns)).unwrap_err();
    want.assert_eq(&format!("{}; {}", refused.why, refused.hint));
}

#[test]
fn mistakes_are_named() {
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    refuses(
        vec![("ts", times(&[1])), ("v", floats(&[1.0]))],
        expect!["the rows have no column `k`, a join key; did you mean `v`?"],
    );
    refuses(
        vec![("k", nulls), ("ts", times(&[1])), ("v", floats(&[1.0]))],
        expect!["column `k`, a join key, has a null; leave such rows out"],
    );
    refuses(
        vec![("k", ints(&[1])), ("v", floats(&[1.0]))],
        expect!["the rows have no column `ts`, the event time; there is `k` and `v`"],
    );
    refuses(
        vec![("k", ints(&[1])), ("ts", times(&[1])), ("v", text)],
        expect!["column `v`: it is string, declared float64; send the type that the view declares"],
    );
    refuses(
        vec![("k", ints(&[1])), ("ts", times(&[1])), ("w", floats(&[1.0]))],
        expect!["column `w` is none of the view's; did you mean `k`?"],
    );
    refuses(
        vec![("k", ints(&[1])), ("ts", times(&[1]))],
        expect!["the rows have no column of a feature; send at least `v`"],
    );
}

/// By the view's name or by the one for all, unless that is a feature's.
#[test]
fn deletions_go_by_both_names() {
    let view = |more: &str, features: &str| {
        let text = format!(
            "kind: entity\nname: user\njoin_keys: [{{name: k, type: int64}}]\n---\n\
             kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\n{more}---\n\
             kind: feature_view\nname: f\nentity: user\nsource: rows\nfeatures: [{features}]\n"
        );
        applied(text).current_view("f").unwrap().clone()
    };
    let deletes = |view: &FeatureView, names: &[&str]| {
        let flag = || Arc::new(arrow::array::BooleanArray::from(vec![true])) as ArrayRef;
        let mut columns = vec![("k", ints(&[1])), ("ts", times(&[1])), ("v", floats(&[1.0]))];
        columns.extend(names.iter().map(|name| (*name, flag())));
        PushedRows::new(view, &batch(columns))
            .map(|rows| rows.deleted(0))
            .map_err(|why| format!("{}; {}", why.why, why.hint))
    };
    let v = "{name: v, type: float64}";
    let named = view("deleted: gone\n", v);
    assert_eq!(deletes(&named, &["gone"]), Ok(true));
    assert_eq!(deletes(&named, &["is_deleted"]), Ok(true));
    assert_eq!(
        deletes(&named, &["removed_for_good"]).unwrap_err(),
        "column `removed_for_good` is none of the view's; there is `v`, `k`, `ts`, `gone` and `is_deleted`"
    );
    assert!(deletes(&named, &["gone", "is_deleted"]).is_err(), "which of both counts?");
    assert_eq!(deletes(&view("", v), &["is_deleted"]), Ok(true));
    let feature = format!("{v}, {{name: is_deleted, type: bool}}");
    assert_eq!(deletes(&view("deleted: gone\n", &feature), &["is_deleted"]), Ok(false));
}

#[tokio::test]
async fn a_push_is_online_at_once_and_in_history() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let log = offline.pushes().unwrap();
    let rows = batch(vec![("k", ints(&[1, 2])), ("event_timestamp", times(&[5, 6])), ("v", floats(&[1.5, 2.5]))]);
    let done = push(&view(), &rows, None, To::Online, &log, &online, NOW).await.unwrap();
    assert_eq!(done, Pushed { n_rows: 2, repeated: false, n_written: 2 });
    let first = stored(&online, 1).await;
    assert!(first.contains("00.000000005Z/1970-01-01T00:00:00.000001Z#9223372036854775808"), "{first}");
    // Again, later: the first stamp stays.
    let later = Timestamp::from_nanos(9_000);
    let done = push(&view(), &rows, None, To::Online, &log, &online, later).await.unwrap();
    assert_eq!(done, Pushed { n_rows: 2, repeated: true, n_written: 0 });
    assert_eq!(stored(&online, 1).await, first);

    let history = offline.history(&view()).await.unwrap();
    assert_eq!((history.n_rows(), history.n_pushed()), (3, 2));
    // A lost store is rebuilt with what was pushed.
    let lost = MemoryStore::default();
    Materializer::new(&view(), &history, &lost, NOW).run(false, &|_| {}).await.unwrap();
    assert_eq!(stored(&lost, 1).await, first);
    assert_eq!(stored(&lost, 2).await, stored(&online, 2).await);
}

#[tokio::test]
async fn one_id_is_one_push_whatever_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let log = offline.pushes().unwrap();
    for (v, repeated) in [(1.0, false), (2.0, true)] {
        let rows = batch(vec![("k", ints(&[7])), ("ts", times(&[5])), ("v", floats(&[v]))]);
        let done = push(&view(), &rows, Some("order 7"), To::Offline, &log, &online, NOW).await.unwrap();
        assert_eq!((done.repeated, done.n_written), (repeated, 0));
    }
    assert_eq!(offline.history(&view()).await.unwrap().n_pushed(), 1);
    assert_eq!(stored(&online, 7).await, "None");
}

#[tokio::test]
async fn a_view_that_is_not_online_takes_pushes_to_its_history_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, _) = project(folder.path()).await;
    let (log, empty) = (offline.pushes().unwrap(), MemoryStore::default());
    let rows = batch(vec![("k", ints(&[1])), ("ts", times(&[5])), ("v", floats(&[1.5]))]);
    let refused = push(&view(), &rows, None, To::Online, &log, &empty, NOW).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(offline.history(&view()).await.unwrap().n_pushed(), 0, "nothing was logged");
    push(&view(), &rows, None, To::Offline, &log, &empty, NOW).await.unwrap();
    assert_eq!(offline.history(&view()).await.unwrap().n_pushed(), 1);
}

/// History is opened before its build is announced; what is pushed between goes to the generation before, and must not
/// vanish with it.
#[tokio::test]
async fn a_push_after_history_was_opened_and_before_the_build_was_announced_outlives_the_switch() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let log = offline.pushes().unwrap();
    let history = offline.history(&view()).await.unwrap();
    let rows = batch(vec![("k", ints(&[1])), ("ts", times(&[5])), ("v", floats(&[1.5]))]);
    push(&view(), &rows, None, To::Online, &log, &online, NOW).await.unwrap();
    let pushed = stored(&online, 1).await;
    let view = view();
    Materializer::new(&view, &history, &online, NOW).run(true, &|_| {}).await.unwrap();
    assert_eq!(Marks::read(&online, &view).await.unwrap().current.unwrap().number, 2);
    assert_eq!(stored(&online, 1).await, pushed);
}

#[tokio::test]
async fn a_push_while_a_generation_is_built_goes_to_both() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let (log, view) = (offline.pushes().unwrap(), view());
    let contents = offline.history(&view).await.unwrap().contents();
    let marks = Marks::read(&online, &view).await.unwrap().begin(contents, NOW);
    marks.write(&online, &view).await.unwrap();
    let rows = batch(vec![("k", ints(&[1])), ("ts", times(&[5])), ("v", floats(&[1.5]))]);
    push(&view, &rows, None, To::Online, &log, &online, NOW).await.unwrap();
    let pushed = stored(&online, 1).await;
    assert!(pushed.contains("00.000000005Z"), "{pushed}");
    marks.switch(NOW).write(&online, &view).await.unwrap();
    assert_eq!(stored(&online, 1).await, pushed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_several_processes_number_their_rows_without_gaps() {
    const N: i64 = 30;
    let folder = tempfile::tempdir().unwrap();
    let (offline, _) = project(folder.path()).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let offline = offline.clone();
        writers.spawn(async move {
            let log = offline.pushes().unwrap();
            for i in 0..N {
                let rows = batch(vec![
                    ("k", ints(&[writer, 100 + writer])),
                    ("ts", times(&[i, i])),
                    ("v", floats(&[0.0, 1.0])),
                ]);
                log.append(&view(), PushedRows::new(&view(), &rows).unwrap(), None, NOW).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let history = offline.history(&view()).await.unwrap();
    let mut sequences = Vec::new();
    for unit in history.units() {
        history
            .scan_order(unit, |batch| {
                sequences.extend((0..batch.len()).filter_map(|i| batch.order(i)).map(|order| order.sequence));
                Ok(())
            })
            .unwrap();
    }
    let want: Vec<u64> = (0..u64::try_from(4 * N * 2).unwrap()).map(|i| (1 << 63) | i).collect();
    assert_eq!(sequences[1..], want);
}

#[tokio::test]
async fn a_row_that_comes_again_after_its_correction_does_not_win_again() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let (view, log) = (view(), PushLog::open(offline.folder()).unwrap());
    let send = async |keys: &[i64], values: &[f64], now: i64| {
        let rows = batch(vec![("k", ints(keys)), ("ts", times(&vec![10; keys.len()])), ("v", floats(values))]);
        push(&view, &rows, None, To::Online, &log, &online, Timestamp::from_nanos(now)).await.unwrap()
    };
    send(&[7, 7], &[1.0, 1.0], 2_000).await;
    send(&[7], &[2.0], 3_000).await;
    let corrected = stored(&online, 7).await;
    // The first again, in another batch: at a later instant, and at the very instant of the correction.
    for now in [3_000, 4_000] {
        let done = send(&[7, 8], &[1.0, f64::from(u32::try_from(now).unwrap())], now).await;
        assert_eq!((done.n_rows, done.repeated, done.n_written), (2, false, 1));
        assert_eq!(stored(&online, 7).await, corrected);
    }
    let n_entries = log.entries(&view).unwrap().len();
    assert!(send(&[8, 7], &[4_000.0, 2.0], 5_000).await.repeated);
    assert_eq!(log.entries(&view).unwrap().len(), n_entries, "repeating does not make the log longer");
    assert_eq!(log.n_rows(&view).unwrap(), 4, "each row once");
    // History says the same, and so does a store that is filled anew.
    let history = offline.history(&view).await.unwrap();
    assert_eq!(history.n_rows(), 1 + 4);
    let fresh = MemoryStore::default();
    Materializer::new(&view, &history, &fresh, Timestamp::from_nanos(9_000)).run(false, &|_| {}).await.unwrap();
    assert_eq!(stored(&fresh, 7).await, corrected);
}

#[tokio::test]
async fn a_push_whose_rows_were_known_under_other_names_is_completed_by_repeating_it() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let (view, log) = (view(), PushLog::open(offline.folder()).unwrap());
    let rows = |keys: &[i64]| {
        batch(vec![("k", ints(keys)), ("ts", times(&vec![10; keys.len()])), ("v", floats(&vec![1.0; keys.len()]))])
    };
    let send = async |keys: &[i64], id: &str, to: To| {
        push(&view, &rows(keys), Some(id), to, &log, &online, NOW).await.unwrap()
    };
    send(&[5], "a", To::Offline).await;
    send(&[5, 6], "b", To::Offline).await;
    // As after a failure of the store: the same push again brings all of its rows online.
    assert_eq!(send(&[5, 6], "b", To::Online).await, Pushed { n_rows: 2, repeated: true, n_written: 2 });
}

#[tokio::test]
async fn rows_of_an_earlier_versions_log_are_known_and_those_that_are_erased_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let (view, log) = (view(), PushLog::open(offline.folder()).unwrap());
    let rows = batch(vec![("k", ints(&[5, 6])), ("ts", times(&[10, 10])), ("v", floats(&[1.0, 2.0]))]);
    let send = async |id: &str| push(&view, &rows, Some(id), To::Offline, &log, &online, NOW).await.unwrap();
    send("a").await;
    let direct = rusqlite::Connection::open(offline.folder().join("pushes.db")).unwrap();
    direct.execute_batch("DELETE FROM known_rows; DELETE FROM known_views").unwrap();
    assert!(send("b").await.repeated);
    let key = EntityKey::from_columns(&[ints(&[5])], 1).remove(0).unwrap();
    assert_eq!(log.erase(&view, &KeyMatch::of(key), false).unwrap(), 1);
    let left: i64 = direct.query_row("SELECT count(*) FROM known_rows", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1, "a digest may tell who it was of");
}

/// Rows that were another push's in the log are not there any more: the push that had them too is no repetition.
#[tokio::test]
async fn what_is_pushed_again_after_an_erasure_is_logged_whatever_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let (view, log) = (view(), PushLog::open(offline.folder()).unwrap());
    let send = async |id: Option<&str>, keys: &[i64]| {
        let n = keys.len();
        let columns = vec![("k", ints(keys)), ("ts", times(&vec![10; n])), ("v", floats(&vec![1.0; n]))];
        push(&view, &batch(columns), id, To::Offline, &log, &online, NOW).await.unwrap().repeated
    };
    assert!(!send(Some("first"), &[5, 6]).await);
    assert!(send(Some("second"), &[5, 6]).await, "it has no row of its own in the log");
    assert!(!send(Some("third"), &[5, 7]).await);
    assert!(!send(None, &[5, 8]).await);
    let key = EntityKey::from_columns(&[ints(&[5])], 1).remove(0).unwrap();
    for (id, keys) in [(Some("second"), [5, 6]), (Some("third"), [5, 7]), (None, [5, 8])] {
        assert_eq!(log.erase(&view, &KeyMatch::of(key.clone()), false).unwrap(), 1, "{id:?}");
        let before = log.n_rows(&view).unwrap();
        assert!(!send(id, &keys).await, "{id:?}");
        assert_eq!(log.n_rows(&view).unwrap(), before + 1, "{id:?}: key 5 alone");
        assert!(send(id, &keys).await, "{id:?}");
    }
}

/// What is acknowledged outlives the loss of power: write-ahead log, every commit synced.
#[tokio::test]
async fn the_log_is_synced_at_every_commit() {
    let folder = tempfile::tempdir().unwrap();
    let log = PushLog::open(folder.path()).unwrap();
    assert_eq!(
        (log.setting("journal_mode"), log.setting("synchronous")),
        (r#"Text("wal")"#.into(), "Integer(2)".into())
    );
    // Opened again, for the second is a property of the connection.
    let log = PushLog::open(folder.path()).unwrap();
    assert_eq!(
        (log.setting("journal_mode"), log.setting("synchronous")),
        (r#"Text("wal")"#.into(), "Integer(2)".into())
    );
}

fn one_row(key: i64) -> RecordBatch {
    batch(vec![("k", ints(&[key])), ("ts", times(&[5])), ("v", floats(&[1.5]))])
}

/// A push into a log that cannot take it: what is said.
async fn refused(log: &PushLog, online: &MemoryStore, key: i64) -> String {
    let why = push(&view(), &one_row(key), None, To::Online, log, online, NOW).await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::Unavailable, "{why:?}");
    assert_eq!(stored(online, key).await, "None", "what is not logged is not online");
    schema::error::chain(&why)
}

#[tokio::test]
async fn a_locked_log_acknowledges_nothing_and_then_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let log = offline.pushes().unwrap().impatient();
    let mut other = rusqlite::Connection::open(folder.path().join("offline/pushes.db")).unwrap();
    let lock = other.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive).unwrap();
    let said = refused(&log, &online, 7).await;
    assert!(said.contains("pushes.db") && said.contains("another process is writing to the log"), "{said}");
    assert_eq!(offline.history(&view()).await.unwrap().n_pushed(), 0);
    drop(lock);
    let done = push(&view(), &one_row(7), None, To::Online, &log, &online, NOW).await.unwrap();
    assert_eq!((done.repeated, done.n_written), (false, 1));
    assert_eq!(offline.history(&view()).await.unwrap().n_pushed(), 1);
}

#[tokio::test]
async fn a_log_of_garbage_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, _) = project(folder.path()).await;
    let path = folder.path().join("offline/pushes.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let garbage = b"no database ".repeat(1_000);
    std::fs::write(&path, &garbage).unwrap();
    for why in [offline.pushes().map(drop).unwrap_err(), offline.history(&view()).await.map(drop).unwrap_err()] {
        let said = schema::error::chain(&why);
        assert!(said.contains("pushes.db") && said.contains("damaged: restore it from a backup"), "{said}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

/// Pages of the table are overwritten: history is refused, not read without them, and no push is acknowledged on top.
#[tokio::test]
async fn a_log_that_is_damaged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let path = folder.path().join("offline/pushes.db");
    {
        let log = offline.pushes().unwrap();
        for key in 0..300 {
            log.append(&view(), PushedRows::new(&view(), &one_row(key)).unwrap(), None, NOW).await.unwrap();
        }
    }
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(!folder.path().join("offline/pushes.db-wal").exists(), "the last to close writes all back");
    bytes[4_096..].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let why = offline.history(&view()).await.map(drop).unwrap_err();
    let said = schema::error::chain(&why);
    assert!(said.contains("pushes.db") && said.contains("damaged: restore it from a backup"), "{said}");
    if let Ok(log) = offline.pushes() {
        let said = refused(&log, &online, 999).await;
        assert!(said.contains("damaged: restore it from a backup"), "{said}");
    }
}

/// FT 39: a producer whose clock is wrong. The clock is the caller's.
#[tokio::test]
async fn rows_too_far_ahead_are_refused_where_a_limit_is_declared() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let limit = Ttl::from_nanos(100);
    let rows = |at: &[i64]| {
        let values: Vec<f64> = at.iter().map(|_| 1.0).collect();
        batch(vec![("k", ints(at)), ("ts", times(at)), ("v", floats(&values))])
    };
    let push_to = async |offline: &OfflineStore, view: &FeatureView, at: &[i64]| {
        let log = offline.pushes().unwrap();
        push(view, &rows(at), None, To::Online, &log, &online, NOW).await.map(|done| done.n_rows)
    };
    // Nobody said so: rows of the future wait until their time comes.
    assert_eq!(push_to(&offline, &view(), &[1_101, i64::MAX]).await.unwrap(), 2);
    let strict = offline.clone().with_max_skew(limit);
    assert_eq!(push_to(&strict, &view(), &[5, 1_100]).await.unwrap(), 2);
    let refused = push_to(&strict, &view(), &[5, 1_101, 7, 5_000]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(
        refused.to_string(),
        "pushing to feature view `f@v1`: 2 rows are too far ahead, the first of them row 1: event time \
         1970-01-01T00:00:00.000001101Z is more than `max_skew`, 100ns, ahead of now, 1970-01-01T00:00:00.000001Z"
    );
    assert!(refused.hint().unwrap().contains("max_skew: any"));
    // What a view says holds for it.
    let mut own = view();
    own.definition.max_skew = definitions::Ahead::Any;
    assert_eq!(push_to(&strict, &own, &[1_102]).await.unwrap(), 1);
    own.definition.max_skew = definitions::Ahead::Within(Ttl::from_nanos(1_000_000).unwrap());
    assert_eq!(push_to(&strict, &own, &[900_000]).await.unwrap(), 1);
    assert!(push_to(&offline, &own, &[2_000_000]).await.is_err());
}

/// A build may take longer than any time that could be waited for.
#[tokio::test]
async fn files_that_somebody_reads_stay_however_old_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = project(folder.path()).await;
    let (log, view) = (offline.pushes().unwrap(), view());
    let send = async |key: i64| {
        let rows = batch(vec![("k", ints(&[key])), ("ts", times(&[5])), ("v", floats(&[1.5]))]);
        push(&view, &rows, None, To::Offline, &log, &online, NOW).await.unwrap();
    };
    let files = || {
        let found = std::fs::read_dir(offline.folder_of(&view).join("pushes")).unwrap();
        let paths = found.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect::<Vec<_>>()
    };
    send(2).await;
    drop(offline.history(&view).await.unwrap());
    let old = files()[0].metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(86_400);
    std::fs::File::options().write(true).open(&files()[0]).unwrap().set_modified(old).unwrap();
    let reading = offline.history(&view).await.unwrap();
    send(3).await;
    drop(offline.history(&view).await.unwrap());
    let memory = MemoryStore::default();
    let done = Materializer::new(&view, &reading, &memory, NOW).run(false, &|_| {}).await;
    assert_eq!(done.map_err(|why| schema::error::chain(&why)).unwrap().n_keys, 2);
    drop(reading);
    drop(offline.history(&view).await.unwrap());
    assert_eq!(files().len(), 1, "what nobody reads any more is removed");
}
