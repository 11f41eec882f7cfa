//! Files into a table of four columns, in a folder of its own.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use schema::definitions::{Column, JoinKey};
use schema::{Clock, EntityKey};
use tempfile::TempDir;

use super::*;
use crate::erase::Tombstones;
use crate::testing::parquet;

mod drift;

struct Fixture {
    folder: TempDir,
    store: OfflineStore,
    source: Source,
}

impl Fixture {
    /// A source with these declared columns, as `user int64`.
    fn new(columns: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = OfflineStore::new(folder.path(), &folder.path().join(".plumb/offline"));
        let column = |text: &&str| {
            let (name, dtype) = text.split_once(' ').unwrap();
            Column { name: name.to_owned(), dtype: dtype.parse().unwrap() }
        };
        let columns = columns.iter().map(column).collect();
        let source =
            Source { format: Format::Delta, event_time: "at".to_owned(), columns, ..source::tests::source("tables/t") };
        Self { folder, store, source }
    }

    fn orders() -> Self {
        Self::new(&["user int64", "at timestamp", "amount int32", "note string"])
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path().join(name), text).unwrap();
        name.to_owned()
    }

    fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) -> String {
        let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
        parquet(&self.path().join(name), &rows);
        name.to_owned()
    }

    fn rules() -> Rules {
        Rules { required: vec!["user".to_owned(), "at".to_owned()], ..Rules::default() }
    }

    fn ingest(&self, path: &str, rules: Rules) -> Result<Vec<Ingested>, OfflineError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let ingest = runtime.block_on(Ingest::open(&self.store, &self.source, path, rules))?;
        let done = ingest.run(&|_| {}, &|_| {}).collect();
        ingest.close();
        done
    }

    fn one(&self, path: &str) -> Ingested {
        self.ingest(path, Self::rules()).unwrap().remove(0)
    }

    fn table(&self) -> Table {
        self.store.table(&self.source).unwrap()
    }

    /// All rows in arrival order, the columns as the source has them.
    fn rows(&self) -> RecordBatch {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let files = runtime.block_on(source::open(&self.store, &self.source)).unwrap();
        let names: Vec<String> = files.columns.iter().map(|column| column.in_file.clone()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let read = |file: &SourceFile| {
            let opened = file.reopen().unwrap();
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, file.metadata.clone());
            let batches = builder.with_projection(file.mask(&names)).build().unwrap();
            batches.map(|rows| file.shaped(&names, rows.unwrap()).unwrap()).collect::<Vec<_>>()
        };
        let batches: Vec<RecordBatch> = files.files.iter().flat_map(read).collect();
        arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap()
    }

    fn users(&self) -> Vec<i64> {
        self.rows().column_by_name("user").unwrap().as_primitive::<Int64Type>().values().to_vec()
    }

    fn quarantined(&self) -> Vec<serde_json::Value> {
        let files = quarantined(&self.table()).unwrap();
        let lines = files.iter().flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
        });
        lines.collect()
    }
}

#[test]
fn a_file_is_taken_once_whatever_it_is_called() {
    let f = Fixture::orders();
    let text = "user,at,amount,note\n1,2024-01-01,5,a\n2,2024-01-02T00:00:00.000000001Z,,\n";
    let first = f.one(&f.write("a.csv", text));
    assert_eq!((first.n_rows, first.n_bad, first.version, first.already), (2, 0, Some(1), false));
    assert!(f.one("a.csv").already);
    assert!(f.one(&f.write("b.csv", text)).already, "the same bytes");
    let rows = f.rows();
    assert_eq!(f.users(), [1, 2]);
    let amounts = rows.column_by_name("amount").unwrap();
    assert_eq!((amounts.as_primitive::<Int32Type>().value(0), amounts.is_null(1)), (5, true));
    // Another byte, another file.
    assert_eq!(f.one(&f.write("b.csv", &(text.to_owned() + "3,2024-01-03,,\n"))).n_rows, 3);
    assert_eq!(f.users(), [1, 2, 1, 2, 3]);
}

#[test]
fn a_pattern_takes_its_files_in_order_and_goes_on_where_it_stopped() {
    let f = Fixture::orders();
    for (name, user) in [("2.csv", 2), ("1.csv", 1), ("3.csv", 3)] {
        f.write(name, &format!("user,at\n{user},2024-01-01\n"));
    }
    f.write("4.csv", "user,when\n4,2024-01-01\n");
    let failed = f.ingest("*.csv", Fixture::rules()).unwrap_err();
    assert!(failed.to_string().contains("`4.csv` has no column `at`"), "{failed}");
    assert_eq!(f.users(), [1, 2, 3]);
    f.write("4.csv", "user,at\n4,2024-01-01\n");
    let done = f.ingest("*.csv", Fixture::rules()).unwrap();
    assert_eq!(done.iter().map(|file| file.already).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(f.users(), [1, 2, 3, 4]);
}

#[test]
fn bad_rows_are_kept_with_the_reasons_and_come_in_when_they_are_corrected() {
    let f = Fixture::orders();
    let text =
        "user,at,amount,note\n1,2024-01-01,5,a\nx,2024-01-01,5,b\n3,,5,c\n4,2024-01-01,3000000000,d\n5,2024-01-01,5\n";
    let done = f.one(&f.write("a.csv", text));
    assert_eq!((done.n_rows, done.n_bad), (1, 4));
    let reasons: Vec<_> = done.reasons.iter().map(|r| (r.column.as_deref(), r.n_rows)).collect();
    assert_eq!(reasons, [(Some("user"), 1), (Some("amount"), 1), (None, 1), (Some("at"), 1)]);
    let kept = f.quarantined();
    assert_eq!(kept[0]["user"], "x");
    assert_eq!((&kept[0]["_plumb_line"], &kept[0]["_plumb_file"]), (&3.into(), &"a.csv".into()));
    assert_eq!((&kept[1]["amount"], &kept[1]["user"]), (&"3000000000".into(), &4.into()));
    assert_eq!(kept[2]["_plumb_line"], 6, "no row, so no values: {}", kept[2]);
    assert_eq!((&kept[3]["user"], &kept[3]["_plumb_why"]), (&3.into(), &"it is null".into()));
    let corrected = std::fs::read_to_string(done.quarantine.unwrap()).unwrap();
    let corrected: Vec<String> = corrected.lines().map(str::to_owned).collect();
    let corrected = corrected[0].replace("\"x\"", "2") + "\n" + &corrected[1].replace("\"3000000000\"", "3") + "\n";
    let again = f.one(&f.write("corrected.jsonl", &corrected));
    assert_eq!((again.n_rows, again.n_bad, again.unknown.len()), (2, 0, 0), "{again:?}");
    assert_eq!(f.users(), [1, 2, 4]);
}

#[test]
fn parquet_values_are_taken_where_they_are_the_same_values() {
    let f = Fixture::orders();
    // As pandas writes integers of which one is missing, and as exports write everything.
    let users: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(2.5), None, Some(4.0), Some(1e300)]));
    let days: Vec<Option<&str>> = vec![Some("2024-01-01"), Some("2024-01-01"), Some("2024-01-01"), Some("soon"), None];
    let at: ArrayRef = Arc::new(StringArray::from(days));
    let amounts: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(7), Some(7), Some(7), Some(i64::MAX)]));
    let done = f.one(&f.parquet("a.parquet", vec![("user", users), ("at", at), ("amount", amounts)]));
    assert_eq!((done.n_rows, done.n_bad), (1, 4));
    let kept = f.quarantined();
    let why: Vec<_> =
        kept.iter().map(|row| (row["_plumb_row"].as_u64().unwrap(), row["_plumb_column"].as_str().unwrap())).collect();
    assert_eq!(why, [(2, "user"), (3, "user"), (4, "at"), (5, "user")]);
    assert_eq!((f.users(), kept[0]["user"].as_f64()), (vec![1], Some(2.5)));
    let lists: ArrayRef = Arc::new(arrow::array::ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1)])]));
    let at: ArrayRef = Arc::new(StringArray::from(vec!["2024-01-01"]));
    let path = f.parquet("b.parquet", vec![("user", lists), ("at", at)]);
    let failed = f.ingest(&path, Fixture::rules()).unwrap_err().to_string();
    assert!(failed.contains("column `user` of `b.parquet`"), "{failed}");
}

#[test]
fn too_many_bad_rows_are_refused_and_change_nothing() {
    let f = Fixture::orders();
    let path = f.write("a.csv", "user,at\n1,2024-01-01\nx,2024-01-01\ny,2024-01-01\n");
    let failed = f.ingest(&path, Rules { max_bad: Some(1), ..Fixture::rules() }).unwrap_err();
    assert!(failed.to_string().contains("2 of 3 rows"), "{failed}");
    assert!(failed.to_string().contains("2 rows, column `user`"), "{failed}");
    assert_eq!(f.quarantined().len(), 0, "what was set aside meanwhile is gone");
    let all_bad = f.write("b.csv", "user,at\nx,2024-01-01\n");
    assert!(f.ingest(&all_bad, Fixture::rules()).unwrap_err().to_string().contains("1 of 1 rows"));
    assert_eq!((f.table().state(None).unwrap().version, f.quarantined().len()), (0, 0));
    assert_eq!(f.ingest(&path, Rules { max_bad: Some(2), ..Fixture::rules() }).unwrap()[0].n_rows, 1);
}

#[test]
fn columns_that_are_declared_later_are_null_in_older_rows() {
    let mut f = Fixture::new(&["user int64", "at timestamp"]);
    f.one(&f.write("a.csv", "user,at\n1,2024-01-01\n"));
    let done = f.one(&f.write("b.csv", "user,at,vip\n2,2024-01-01,true\n"));
    assert_eq!(done.unknown, ["vip"]);
    f.source.columns.push(Column { name: "vip".to_owned(), dtype: Dtype::Bool });
    f.one(&f.write("c.csv", "user,at,vip\n3,2024-01-01,true\n"));
    let rows = f.rows();
    let vip = rows.column_by_name("vip").unwrap();
    assert_eq!((0..3).map(|row| vip.is_null(row)).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn a_table_without_declared_columns_has_those_of_its_first_file() {
    let f = Fixture::new(&[]);
    f.one(&f.write("a.csv", "user,at,price\n1,2024-01-01,1.5\n"));
    let columns = f.table().state(None).unwrap().columns.unwrap();
    let told: Vec<String> = columns.iter().map(|c| format!("{} {}", c.name, c.dtype)).collect();
    assert_eq!(told, ["user int64", "at timestamp", "price float64"]);
}

#[test]
fn nobody_who_was_erased_comes_back() {
    let f = Fixture::orders();
    let key = EntityKey::from_columns(&[Arc::new(Int64Array::from(vec![2])) as ArrayRef], 1).remove(0).unwrap();
    let names = vec!["user".to_owned()];
    Tombstones::add(f.store.folder(), &[(names.clone(), key)], Clock::wall()).unwrap();
    let tombstones = Tombstones::load(f.store.folder()).unwrap();
    let join_key = JoinKey { name: "user".parse().unwrap(), dtype: Dtype::Int64 };
    let filter = tombstones.filter(&[join_key]).unwrap();
    let rules = Rules { erased: vec![(names, filter)], ..Fixture::rules() };
    let path = f.write("a.csv", "user,at\n1,2024-01-01\n2,2024-01-01\n3,2024-01-01\n");
    let done = f.ingest(&path, rules).unwrap().remove(0);
    assert_eq!((done.n_rows, done.n_erased, f.users()), (2, 1, vec![1, 3]));
}

#[test]
fn what_was_made_on_the_way_is_removed() {
    let f = Fixture::orders();
    f.one(&f.write("a.csv", "user,at\n1,2024-01-01\nx,2024-01-01\n"));
    let left = crate::erase::files::parquet_under(f.store.folder()).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// FT 39: what is dated too far ahead is kept with the reason, and what is not.
#[test]
fn rows_too_far_ahead_are_quarantined_where_there_is_a_limit() {
    let f = Fixture::orders();
    let now = "2024-01-01T00:00:00Z".parse().unwrap();
    let ahead = Some(("at".to_owned(), now, Ttl::parse("1h").unwrap()));
    let rules = || Rules { ahead: ahead.clone(), ..Fixture::rules() };
    let text =
        "user,at\n1,2023-12-31T00:00:00Z\n2,2024-01-01T01:00:00Z\n3,2024-01-01T01:00:00.000000001Z\n4,2099-01-01\n";
    let done = f.ingest(&f.write("a.csv", text), rules()).unwrap().remove(0);
    assert_eq!((done.n_rows, done.n_bad, f.users()), (2, 2, vec![1, 2]));
    let kept = f.quarantined();
    assert_eq!((&kept[0]["user"], &kept[0]["_plumb_column"]), (&3.into(), &"at".into()));
    let why = kept[0]["_plumb_why"].as_str().unwrap();
    assert!(why.contains("more than `max_skew`, 1h, ahead of now, 2024-01-01T00:00:00Z"), "{why}");
    // Without one they wait in the table until their time comes.
    let g = Fixture::orders();
    assert_eq!(g.one(&g.write("a.csv", text)).n_rows, 4);
}
