//! Folders, patterns and partitions; columns that come and go; files that come in the middle.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use expect_test::expect;

use super::*;
use crate::offline::history::History;

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, ArrayRef::clone(column)))).unwrap()
}

/// Rows of some users on the first of January, with more columns.
fn users(users: &[i64], more: &[(&str, ArrayRef)]) -> RecordBatch {
    let time = TimestampMicrosecondArray::from(vec![1_704_067_200_000_000; users.len()]).with_timezone("UTC");
    let user: ArrayRef = Arc::new(Int64Array::from(users.to_vec()));
    batch(&[[("user_id", user), ("at", Arc::new(time) as ArrayRef)].as_slice(), more].concat())
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[test]
fn a_pattern_finds_its_files_in_the_order_of_their_paths() {
    let folder = Folder::new();
    for (name, user) in
        [("d/2024/b.csv", 2), ("d/2024/a.csv", 1), ("d/2025/a.csv", 3), ("d/2025/x.txt", 9), ("d/.t/a.csv", 9)]
    {
        folder.write(name, &format!("user_id,at\n{user},2024-01-01\n"));
    }
    let users = |path: &str| {
        let batches = block(folder.sql(&source(path), "select user_id from rows order by _row"));
        let of = |batch: &RecordBatch| {
            (0..batch.num_rows()).map(|i| Value::at(batch.column(0), i).to_string()).collect::<Vec<_>>()
        };
        batches.iter().flat_map(of).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(users("d/**/*.csv"), "1 2 3");
    assert_eq!(users("./d/202[45]/a.csv"), "1 3");
    assert_eq!(users("d/{2025,2024}/*.csv"), "1 2 3");
    assert_eq!(users("d/2024/?.csv"), "1 2");
    assert_eq!(users(&format!("{}/d/*/a.csv", folder.path().display())), "1 3");
    assert_eq!(users(&format!("file://{}/d/2024/a.csv", folder.path().display())), "1");
    folder.refuses(&source("d/2026/*.csv"), "source `rows`: there is no file `d/2026/*.csv`");
    // Of a folder it is told which files are looked for.
    folder.write("e/x.txt", "user_id,at\n");
    folder.refuses(&source("e"), "source `rows`: there is no file `e/*.parquet`");
    folder.refuses(&source("e/"), "source `rows`: there is no file `e/*.parquet`");
    folder.refuses(&source("d/[20.csv"), "the path of source `rows`: `[` in `[20.csv` has no end");
    folder.refuses(
        &source("ftp://h/x.csv"),
        "the path of source `rows`: nothing here reads `ftp://`; there is s3, gs, az, abfss and file",
    );
    // A file that is called like a pattern is itself.
    folder.write("d/[20.csv", "user_id,at\n7,2024-01-01\n");
    assert_eq!(users("d/[20.csv"), "7");
}

#[test]
fn folders_say_values_of_the_declared_types() {
    let folder = Folder::new();
    folder.write_parquet("e/day=2024-01-02/shop=Caf%C3%A9/a.parquet", &users(&[1, 2], &[("x", ints(&[10, 20]))]));
    folder.write_parquet(
        "e/day=2024-01-01/shop=__HIVE_DEFAULT_PARTITION__/a.parquet",
        &users(&[1], &[("x", ints(&[5]))]),
    );
    folder.write("e/_temporary/day=2024-01-09/a.parquet", "half a file");
    folder.write("e/_SUCCESS", "");
    let mut hive = source("e");
    hive.partitions = columns("day date; shop string");
    folder.check(
        &hive,
        "select user_id, x, day, shop from rows order by _row",
        expect![[r#"
        +---------+----+------------+------+
        | user_id | x  | day        | shop |
        +---------+----+------------+------+
        | 1       | 5  | 2024-01-01 |      |
        | 1       | 10 | 2024-01-02 | Café |
        | 2       | 20 | 2024-01-02 | Café |
        +---------+----+------------+------+
    "#]],
    );
    // Of nothing but folders, and with a condition on them.
    folder.check(
        &hive,
        "select day, count(*) as n from rows where shop = 'Café' group by day",
        expect![[r#"
        +------------+---+
        | day        | n |
        +------------+---+
        | 2024-01-02 | 2 |
        +------------+---+
    "#]],
    );
    hive.partitions = columns("day int32; shop string");
    folder.refuses(&hive, "reading `e/day=2024-01-01/shop=__HIVE_DEFAULT_PARTITION__/a.parquet`: partition `day`: `2024-01-01` is no int32");
    hive.partitions = columns("month string");
    folder.refuses(&hive, "reading `e/day=2024-01-01/shop=__HIVE_DEFAULT_PARTITION__/a.parquet`: it is in no folder `month=...`, and `month` is declared as a partition");
    folder.write_parquet("f/x=1/a.parquet", &users(&[1], &[("x", ints(&[5]))]));
    let mut twice = source("f");
    twice.partitions = columns("x int64");
    folder.refuses(&twice, "column `x` of `f/x=1/a.parquet`: it is a partition, and in the file too: leave it out of `partitions`, or out of the files");
}

#[test]
fn partitions_are_keys_features_and_times_in_place() {
    let folder = Folder::new();
    folder.write_parquet("e/user_id=7/day=2024-01-02/a.parquet", &batch(&[("x", ints(&[10, 20]))]));
    folder.write_parquet("e/user_id=8/day=__HIVE_DEFAULT_PARTITION__/a.parquet", &batch(&[("x", ints(&[30]))]));
    let partitions = "partitions: [{name: user_id, type: int32}, {name: day, type: date}]";
    let view = view(
        &format!("path: e\nevent_time: day\ntimezone: America/New_York\n{partitions}"),
        "features: [{name: x, type: int64}, {name: day, type: date}]",
    );
    let rows = block(history_rows(&folder, &view)).unwrap();
    assert_eq!(rows, ["7 2024-01-02T05:00:00Z 10 19724", "7 2024-01-02T05:00:00Z 20 19724", "8 never 30 null"]);
}

#[test]
fn a_mapping_renames_keys_and_times_too() {
    let folder = Folder::new();
    folder.write("rows.csv", "Customer ID,When,Known,Order Value\n5,2024-01-01,2024-01-03,1.5\n");
    let mapping = "{Customer ID: user_id, When: at, Known: known_at, Order Value: amount}";
    let view = view(
        &format!(
            "path: rows.csv\nevent_time: at\ncreated_time: known_at\nfield_mapping: {mapping}\ncolumns: [{{name: Order Value, type: float64}}]"
        ),
        "features: [{name: amount, type: float64}]",
    );
    assert_eq!(block(history_rows(&folder, &view)).unwrap(), ["5 2024-01-01T00:00:00Z 1.5"]);
    let mut mapped = view.source.clone();
    folder.check(
        &mapped,
        "select user_id, at, known_at, amount from rows",
        expect![[r#"
        +---------+----------------------+----------------------+--------+
        | user_id | at                   | known_at             | amount |
        +---------+----------------------+----------------------+--------+
        | 5       | 2024-01-01T00:00:00Z | 2024-01-03T00:00:00Z | 1.5    |
        +---------+----------------------+----------------------+--------+
    "#]],
    );
    mapped.field_mapping.insert("Known".to_owned(), "at".to_owned());
    folder.refuses(&mapped, "column `Known` of `rows.csv`: after `field_mapping` it is called `at`, and so is `When`");
}

#[test]
fn a_column_is_not_found_by_the_name_it_had() {
    let folder = Folder::new();
    folder.write("rows.csv", "user_id,at,v\n5,2024-01-01,1.5\n");
    let view = view("path: rows.csv\nevent_time: at\nfield_mapping: {v: vv}", "features: [{name: v, type: float64}]");
    let why = block(folder.store.history(&view)).unwrap_err();
    assert_eq!(chain(&why), "`rows.csv` has no column `v`, which feature view `v` needs");
}

#[test]
fn newer_files_may_have_more_and_never_less() {
    let folder = Folder::new();
    folder.write_parquet("p/1.parquet", &users(&[1], &[("x", Arc::new(Int32Array::from(vec![1])))]));
    folder.write_parquet("p/2.parquet", &users(&[2], &[("x", ints(&[2])), ("y", ints(&[7]))]));
    let all = source("p");
    folder.check(
        &all,
        "select user_id, x, y from rows order by _row",
        expect![[r#"
        +---------+---+---+
        | user_id | x | y |
        +---------+---+---+
        | 1       | 1 |   |
        | 2       | 2 | 7 |
        +---------+---+---+
    "#]],
    );
    let view = view("path: p\nevent_time: at", "features: [{name: x, type: int64}, {name: y, type: int64}]");
    let rows = block(history_rows(&folder, &view)).unwrap();
    assert_eq!(rows, ["1 2024-01-01T00:00:00Z 1 null", "2 2024-01-01T00:00:00Z 2 7"]);

    folder.write_parquet("p/3.parquet", &users(&[3], &[("x", ints(&[3]))]));
    folder.refuses(
        &all,
        "files of source `rows` differ in column `y`: it is int64 in `p/2.parquet` and missing in `p/3.parquet`",
    );
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["7"]));
    folder.write_parquet("p/3.parquet", &users(&[3], &[("x", ints(&[3])), ("y", texts)]));
    folder.refuses(
        &all,
        "files of source `rows` differ in column `y`: it is int64 in `p/2.parquet` and string in `p/3.parquet`",
    );
    let why = block(folder.store.history(&view)).unwrap_err();
    assert_eq!((why.kind(), chain(&why).contains("`p/3.parquet`")), (schema::ErrorKind::Invalid, true));
}

#[test]
fn keys_and_times_are_in_every_file() {
    let folder = Folder::new();
    let time: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
    folder.write_parquet("p/1.parquet", &batch(&[("at", time)]));
    folder.write_parquet("p/2.parquet", &users(&[2], &[("x", ints(&[2]))]));
    let view = view("path: p\nevent_time: at", "features: [{name: x, type: int64}]");
    let why = block(folder.store.history(&view)).unwrap_err();
    assert_eq!(chain(&why), "`p/1.parquet` has no column `user_id`, which feature view `v` needs");
}

#[test]
fn a_type_by_values_says_how_to_declare_another() {
    let folder = Folder::new();
    folder.write("rows.csv", "user_id,at,x\n5,2024-01-01,1\n");
    let view = view("path: rows.csv\nevent_time: at", "features: [{name: x, type: float64}]");
    let why = block(folder.store.history(&view)).unwrap_err();
    let advice = "say so in the source: `columns: [{name: x, type: \"float64\"}]`";
    assert_eq!(chain(&why), format!("column `x` of `rows.csv`: it is int64 by its values, declared float64; {advice}"));
}

/// Which of several files has the value that made it so is not known: none is blamed.
#[test]
fn a_type_by_values_is_of_all_files() {
    let folder = Folder::new();
    folder.write("d/a.csv", "user_id,at,x\n5,2024-01-01,1\n");
    folder.write("d/b.csv", "user_id,at,x\n5,2024-01-02,q\n");
    let view = view("path: d/*.csv\nevent_time: at", "features: [{name: x, type: int64}]");
    let why = chain(&block(folder.store.history(&view)).unwrap_err());
    assert!(why.starts_with("column `x` of `d/*.csv`: it is string by its values, declared int64"), "{why}");
}

/// What is new since `before`: the files of the row groups, or that it cannot be told.
fn since(history: &History, before: &crate::online::marks::Contents) -> String {
    let Some(units) = history.since(before) else { return "anything".to_owned() };
    let files = units.iter().map(|unit| history.locate(unit.first_row).unwrap().0.to_owned());
    files.collect::<Vec<_>>().join(" ")
}

#[test]
fn files_behind_the_others_are_new_and_one_in_the_middle_changes_everything() {
    for (path, write) in [
        (
            "p",
            (|folder: &Folder, name: &str, user: i64| {
                folder.write_parquet(&format!("p/{name}.parquet"), &users(&[user], &[("x", ints(&[1]))]));
            }) as fn(&Folder, &str, i64),
        ),
        ("p/*.csv", |folder, name, user| {
            folder.write(&format!("p/{name}.csv"), &format!("user_id,at,x\n{user},2024-01-01,1\n"));
        }),
    ] {
        let folder = Folder::new();
        let view = view(&format!("path: {path}\nevent_time: at"), "features: [{name: x, type: int64}]");
        let history = || block(folder.store.history(&view)).unwrap();
        write(&folder, "1", 1);
        write(&folder, "3", 3);
        let before = history().contents();
        assert_eq!(since(&history(), &before), "");
        write(&folder, "4", 4);
        assert_eq!(since(&history(), &before).matches("p/4").count(), 1, "{path}");
        assert_eq!(since(&history(), &before).matches("p/").count(), 1, "{path}");
        write(&folder, "2", 2);
        assert_eq!(since(&history(), &before), "anything", "{path}: rows behind it have other numbers now");
        std::fs::remove_file(folder.path().join(path.replace("/*.csv", "")).join(if path == "p" {
            "2.parquet"
        } else {
            "2.csv"
        }))
        .unwrap();
        assert_eq!(since(&history(), &before).matches("p/4").count(), 1, "{path}");
        write(&folder, "1", 5);
        assert_eq!(since(&history(), &before), "anything", "{path}: a known file changed");
    }
}
