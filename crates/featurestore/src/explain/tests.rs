use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use expect_test::{Expect, expect};

use super::*;
use crate::materialize::Materializer;
use crate::offline::OfflineStore;
use crate::online::MemoryStore;
use crate::testing::{applied, parquet};

/// Event, created, deleted.
type Row = (i64, Option<i64>, bool);

async fn explained(folder: &Path, rows: &[Row], as_of: i64, online_at: Option<i64>) -> Explanation {
    let text = "kind: entity\nname: user\njoin_keys: [{name: k, type: int64}]\n---\n\
                kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\ncreated_time: created\ndeleted: gone\n---\n\
                kind: feature_view\nname: f\nentity: user\nsource: rows\nttl: 10ns\nfeatures: [{name: v, type: float64}]\n";
    let definitions = applied(text);
    let view = definitions.current_view("f").unwrap();
    let utc = |array: TimestampNanosecondArray| Arc::new(array.with_timezone("UTC")) as ArrayRef;
    // A row of another key stands before each.
    let keys: Int64Array = rows.iter().flat_map(|_| [9, 1]).map(Some).collect();
    let events: TimestampNanosecondArray = rows.iter().flat_map(|row| [Some(0), Some(row.0)]).collect();
    let created: TimestampNanosecondArray = rows.iter().flat_map(|row| [None, row.1]).collect();
    let gone: BooleanArray = rows.iter().flat_map(|row| [Some(false), Some(row.2)]).collect();
    let values = Float64Array::from(vec![0.5; rows.len() * 2]);
    let columns: [(&str, ArrayRef); 5] = [
        ("k", Arc::new(keys)),
        ("ts", utc(events)),
        ("created", utc(created)),
        ("gone", Arc::new(gone)),
        ("v", Arc::new(values)),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
    parquet(&folder.join("rows.parquet"), &batch);

    let (offline, online) = (OfflineStore::new(folder, &folder.join("offline")), MemoryStore::default());
    let history = offline.history(view).await.unwrap();
    if let Some(at) = online_at {
        let at = Timestamp::from_nanos(at);
        Materializer::new(view, &history, &online, at).run(false, &|_| {}).await.unwrap();
    }
    let key: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let key = EntityKey::from_columns(&[key], 1).remove(0).unwrap();
    explain(view, &history, &online, &key, Timestamp::from_nanos(as_of)).await.unwrap()
}

async fn check(rows: &[Row], as_of: i64, online_at: Option<i64>, want: Expect) {
    let folder = tempfile::tempdir().unwrap();
    let why = explained(folder.path(), rows, as_of, online_at).await;
    let mut lines = vec![format!("{} of {} rows", why.status, why.n_rows)];
    for row in &why.rows {
        let created = row.created_time.map(|t| format!("/{}", t.as_nanos())).unwrap_or_default();
        let verdict = row.verdict.as_str();
        lines.push(format!("{}{created} {verdict}: {} row {}", row.event_time.as_nanos(), row.file, row.row));
    }
    let agrees = if why.online.agrees { "agrees" } else { "differs" };
    lines.push(format!("online: {} ({agrees})", why.online.says));
    want.assert_eq(&lines.join("\n"));
}

#[tokio::test]
async fn every_row_has_its_reason() {
    let rows = [(1, None, false), (5, None, false), (7, Some(9), false), (12, None, false), (3, Some(4), false)];
    check(
        &rows,
        8,
        Some(8),
        expect![[r#"
            PRESENT of 5 rows
            12 in the future: rows.parquet row 7
            7/9 not yet known: rows.parquet row 5
            5 counts: rows.parquet row 3
            3/4 older: rows.parquet row 9
            1 older: rows.parquet row 1
            online: row of 1970-01-01T00:00:00.000000005Z, sequence 3 (agrees)"#]],
    )
    .await;
}

#[tokio::test]
async fn too_old_and_deleted_and_unknown_are_told_apart() {
    check(
        &[(1, None, false)],
        20,
        Some(20),
        expect![[r#"
            OUTSIDE_MAX_AGE of 1 rows
            1 older than the TTL: rows.parquet row 1
            online: row of 1970-01-01T00:00:00.000000001Z, sequence 1 (agrees)"#]],
    )
    .await;
    check(
        &[(1, None, false), (2, None, true)],
        5,
        Some(5),
        expect![[r#"
            NOT_FOUND of 2 rows
            2 deletes the key: rows.parquet row 3
            1 older: rows.parquet row 1
            online: deletion of 1970-01-01T00:00:00.000000002Z, sequence 3 (agrees)"#]],
    )
    .await;
    check(
        &[],
        5,
        Some(5),
        expect![[r#"
            NOT_FOUND of 0 rows
            online: no row (agrees)"#]],
    )
    .await;
}

#[tokio::test]
async fn an_instant_that_the_store_forgot_and_a_view_that_is_not_online() {
    check(
        &[(1, None, false), (6, None, false)],
        3,
        Some(8),
        expect![[r#"
            PRESENT of 2 rows
            6 in the future: rows.parquet row 3
            1 counts: rows.parquet row 1
            online: nothing before 1970-01-01T00:00:00.000000006Z is kept (agrees)"#]],
    )
    .await;
    check(
        &[(1, None, false)],
        3,
        None,
        expect![[r#"
            PRESENT of 1 rows
            1 counts: rows.parquet row 1
            online: the view is not online (differs)"#]],
    )
    .await;
}

/// A file that was edited in place after its rows were brought online: the row is the same, its value is not.
#[tokio::test]
async fn another_value_of_the_same_row_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |gone: f64, value: f64| {
        let times = TimestampNanosecondArray::from(vec![1, 5]).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 4] = [
            ("k", Arc::new(Int64Array::from(vec![1, 1]))),
            ("ts", Arc::new(times)),
            ("v", Arc::new(Float64Array::from(vec![gone, value]))),
            ("w", Arc::new(Float64Array::from(vec![f64::NAN, f64::NAN]))),
        ];
        parquet(&folder.path().join("rows.parquet"), &RecordBatch::try_from_iter(columns).unwrap());
    };
    let definitions = applied(
        "kind: entity\nname: user\njoin_keys: [{name: k, type: int64}]\n---\n\
         kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\n---\n\
         kind: feature_view\nname: f\nentity: user\nsource: rows\n\
         features: [{name: v, type: float64}, {name: w, type: float64}]\n",
    );
    let view = definitions.current_view("f").unwrap();
    let (offline, online) = (OfflineStore::new(folder.path(), &folder.path().join("offline")), MemoryStore::default());
    let key: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let key = EntityKey::from_columns(&[key], 1).remove(0).unwrap();
    let now = Timestamp::from_nanos(9);
    let state = async || {
        let history = offline.history(view).await.unwrap();
        explain(view, &history, &online, &key, now).await.unwrap().online
    };
    rows(0.5, 0.0);
    Materializer::new(view, &offline.history(view).await.unwrap(), &online, now).run(false, &|_| {}).await.unwrap();
    assert!(state().await.agrees);
    // What does not count may be what it likes.
    rows(0.75, 0.0);
    assert!(state().await.agrees);
    rows(0.5, -0.0);
    let state = state().await;
    assert_eq!((state.agrees, state.differing), (false, vec!["v".to_owned()]));
}

#[tokio::test]
async fn a_view_that_feast_fills_is_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let columns: [(&str, ArrayRef); 3] = [
        ("k", Arc::new(Int64Array::from(vec![1]))),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![1]).with_timezone("UTC"))),
        ("v", Arc::new(Float64Array::from(vec![0.5]))),
    ];
    parquet(&folder.path().join("rows.parquet"), &RecordBatch::try_from_iter(columns).unwrap());
    let definitions = applied(
        "kind: entity\nname: user\njoin_keys: [{name: k, type: int64}]\n---\n\
         kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\n---\n\
         kind: feature_view\nname: f\nentity: user\nsource: rows\nonline: {kind: feast}\n\
         features: [{name: v, type: float64}]\n",
    );
    let view = definitions.current_view("f").unwrap();
    let offline = OfflineStore::new(folder.path(), &folder.path().join("offline"));
    let history = offline.history(view).await.unwrap();
    let key: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let key = EntityKey::from_columns(&[key], 1).remove(0).unwrap();
    let why = explain(view, &history, &MemoryStore::default(), &key, Timestamp::from_nanos(9)).await.unwrap();
    assert_eq!((why.status, why.online.says, why.online.agrees), (Status::Present, OnlineSays::Feast, true));
}
