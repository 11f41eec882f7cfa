//! A table as the source of a view: what history, its growth and SQL make of it.

use schema::{FeatureView, Value};

use super::*;
use crate::offline::source::{self, SourceFiles};
use crate::offline::{OfflineStore, history::History, query};
use crate::testing::applied;

/// The view of `note` by `user`, over the Delta table at `path`.
fn view(path: &str, more: &str) -> FeatureView {
    let text = format!(
        "kind: entity\nname: user\njoin_key: user\ntype: int64\n---\n\
         kind: source\nname: notes\npath: {path}\nformat: delta\nevent_time: at\n{more}---\n\
         kind: feature_view\nname: v\nentity: user\nsource: notes\nfeatures: [{{name: note, type: string}}]\n"
    );
    applied(text).current_view("v").unwrap().clone()
}

fn store(folder: &TempDir) -> OfflineStore {
    OfflineStore::new(folder.path(), &folder.path().join(".plumb/offline"))
}

/// Users and their notes in some row groups.
fn read(history: &History, units: &[crate::offline::history::Unit]) -> Vec<(Value, Value)> {
    let mut rows = Vec::new();
    for unit in units {
        let mut users = Vec::new();
        let each = |batch: crate::offline::history::OrderBatch| {
            users.extend((0..batch.len()).map(|i| Value::at(&batch.keys[0], i)));
            Ok(())
        };
        history.scan_order(*unit, each).unwrap();
        let all: Vec<u32> = (0..).take(unit.n_rows).collect();
        let notes = history.gather(*unit, &[0], &all).unwrap().remove(0);
        rows.extend(users.into_iter().enumerate().map(|(i, user)| (user, Value::at(&notes, i))));
    }
    rows
}

fn wanted(users: std::ops::Range<i64>) -> Vec<(Value, Value)> {
    users.map(|user| (Value::Int(user), Value::String(row(user).2))).collect()
}

async fn sql(files: &SourceFiles, sql: &str) -> String {
    let context = query::context([files]).unwrap();
    let rows = query::plan(&context, sql).await.unwrap().collect().await.unwrap();
    arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string()
}

#[tokio::test]
async fn an_append_is_an_append_and_a_compaction_is_no_change() {
    let fixture = Fixture::new();
    let (store, view) = (store(&fixture.folder), view("t", ""));
    fixture.table.add(&rows(0..3)).unwrap();
    let first = store.history(&view).await.unwrap();
    assert_eq!(read(&first, &first.units()), wanted(0..3));

    fixture.table.add(&rows(3..5)).unwrap();
    let second = store.history(&view).await.unwrap();
    let grown = second.since(&first.contents()).expect("the first rows are still the first");
    assert_eq!(read(&second, &grown), wanted(3..5));
    assert_eq!(read(&second, &second.units()), wanted(0..5));
    assert_ne!(second.data_version(), first.data_version());
    let query = "SELECT _row, \"user\", at, note FROM notes WHERE \"user\" > 1 ORDER BY _row";
    let before = sql(&source::open(&store, &view.source).await.unwrap(), query).await;
    expect_test::expect![[r#"
        +------+------+--------------------------------+-----------+
        | _row | user | at                             | note      |
        +------+------+--------------------------------+-----------+
        | 2    | 2    | 1970-01-01T00:00:02.000000015Z | note of 2 |
        | 3    | 3    | 1970-01-01T00:00:03.000000022Z | note of 3 |
        | 4    | 4    | 1970-01-01T00:00:04.000000029Z | note of 4 |
        +------+------+--------------------------------+-----------+"#]]
    .assert_eq(&before);

    let lease = fixture.table.lease(&silent).unwrap();
    fixture.table.compact(u64::MAX, &lease).unwrap();
    let compacted = store.history(&view).await.unwrap();
    assert!(compacted.table_version() > second.table_version());
    assert_eq!(compacted.units().len(), 1);
    assert_eq!(compacted.data_version(), second.data_version());
    assert_eq!(compacted.since(&second.contents()).map(|units| units.len()), Some(0));
    assert_eq!(read(&compacted, &compacted.units()), wanted(0..5));
    assert_eq!(sql(&source::open(&store, &view.source).await.unwrap(), query).await, before);

    // Rows that are taken out are no growth.
    fixture.table.delete_keys(keys(&[1]), &lease).unwrap();
    let erased = store.history(&view).await.unwrap();
    assert!(erased.since(&compacted.contents()).is_none());
    assert_eq!(read(&erased, &erased.units()).len(), 4);
}

#[tokio::test]
async fn a_table_that_is_not_there_or_is_named_by_a_url() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let declared = "columns: [{name: user, type: int64}, {name: at, type: timestamp}, {name: note, type: string}]\n";
    let empty = store.history(&view("t", declared)).await.unwrap();
    assert_eq!((empty.n_rows(), empty.units().len()), (0, 0));
    let check = async |path: &str, want: &str| {
        let why = store.history(&view(path, "")).await.expect_err("it is refused");
        assert_eq!(schema::error::chain(&why), want);
    };
    check("t", "source `notes`: there is no Delta table in `t`").await;
    // A URL of this machine is a path.
    let table = Table::at(folder.path(), "u").unwrap();
    table.create(&columns()).unwrap();
    table.add(&rows(0..2)).unwrap();
    let url = format!("file://{}/u", folder.path().display());
    let history = store.history(&view(&url, "")).await.unwrap();
    assert_eq!(read(&history, &history.units()), wanted(0..2));
}
