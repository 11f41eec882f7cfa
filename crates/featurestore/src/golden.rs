//! Formats of what is stored, compared with files that were written once: tests/golden/README.md.

#[path = "../../../tests/golden/kept.rs"]
mod kept;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use schema::decimal::Decimal;
use schema::definitions::File;
use schema::{
    AppliedDefinitions, Definitions, Dtype, EntityKey, FeatureView, Fingerprint, RowOrder, Timestamp, Value, ViewId,
};

use crate::codec::RowCodec;
use crate::offline::OfflineStore;
use crate::online::marks::{Contents, Marks};
use crate::online::{At, Cell, MemoryStore, OnlineRow, OnlineStore, OnlineTable};
use crate::push::log::PushLog;
use crate::push::{To, push};

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A view of all there is: created time, deletion mark, a query.
fn view() -> FeatureView {
    let text = "kind: entity\nname: user\njoin_keys: [{name: k, type: int64}]\n---\n\
                kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\ncreated_time: made\n---\n\
                kind: feature_view\nname: f\nentity: user\nsource: rows\nevent_time: ts\ncreated_time: made\ndeleted: gone\n\
                sql: 'SELECT k, ts, made, false AS gone, v, note FROM rows'\n\
                features: [{name: v, type: float64}, {name: note, type: string}]\n";
    let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text: text.to_owned() }]).unwrap();
    AppliedDefinitions::default().after(&declared).current_view("f").unwrap().clone()
}

/// A value of each type.
fn values() -> Vec<(Dtype, Value)> {
    let text = |text: &str| Value::String(text.to_owned());
    let dtype = |text: &str| Dtype::parse(text).unwrap();
    vec![
        (Dtype::Bool, Value::Bool(true)),
        (Dtype::Int8, Value::Int(-1)),
        (Dtype::Int16, Value::Int(-2)),
        (Dtype::Int32, Value::Int(-3)),
        (Dtype::Int64, Value::Int((1 << 53) + 1)),
        (Dtype::Uint8, Value::Uint(255)),
        (Dtype::Uint16, Value::Uint(65_535)),
        (Dtype::Uint32, Value::Uint(4_294_967_295)),
        (Dtype::Uint64, Value::Uint(u64::MAX)),
        (Dtype::Float32, Value::Float(-0.5)),
        (Dtype::Float64, Value::Float(-0.0)),
        (dtype("decimal(10,2)"), Value::Decimal(Decimal { unscaled: -12_345, scale: 2 })),
        (Dtype::String, text("né𝄞")),
        (Dtype::Date, Value::Int(-1)),
        (Dtype::Bytes, Value::Bytes(vec![0, 255])),
        (Dtype::Timestamp, Value::Timestamp(at(1_704_067_200_000_000_001))),
        (Dtype::Duration, Value::Duration(schema::duration::Duration::from_nanos(-5))),
        (Dtype::Json, text("{\"a\":[1,null]}")),
        (dtype("list<int64>"), Value::List(vec![Value::Int(7), Value::Null])),
        (dtype("list<string>"), Value::List(Vec::new())),
        (dtype("list<float32, 2>"), Value::List(vec![Value::Float(0.25), Value::Float(1.0)])),
    ]
}

#[test]
fn keys_of_entities() {
    let mut told = String::new();
    for (dtype, value) in values().into_iter().filter(|(dtype, _)| dtype.is_key()) {
        let one = EntityKey::from_columns(&[value.to_array(dtype, 1).unwrap()], 1).remove(0).unwrap();
        told += &format!("{dtype} {}\n", hex(one.as_bytes()));
    }
    let both: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["a"]))];
    let both = EntityKey::from_columns(&both, 1).remove(0).unwrap();
    told += &format!("int64 string {}\n", hex(both.as_bytes()));
    kept::same("keys_v1.txt", told.as_bytes());
}

#[test]
fn names_of_what_is_online() {
    let id = ViewId { name: "user_features".parse().unwrap(), version: 3 };
    let names = [Some(7), None].map(|n| OnlineTable::new(id.clone(), &Fingerprint::of_bytes(b""), n).name().to_owned());
    kept::same("online_names_v1.txt", format!("{}\n", names.join("\n")).as_bytes());
}

#[test]
fn packed_rows_of_every_type() {
    let mut told = String::new();
    for (dtype, value) in values() {
        let codec = RowCodec::new([dtype]);
        let packed = [Value::Null, value.clone()].map(|value| {
            let packed = codec.encode(&[value.to_array(dtype, 1).unwrap()], 0);
            let mut decoder = codec.decoder(1);
            decoder.push(&packed).unwrap();
            assert_eq!(Value::at(&decoder.finish()[0], 0), value, "{dtype}");
            hex(&packed)
        });
        told += &format!("{dtype} null {} value {}\n", packed[0], packed[1]);
    }
    kept::same("rows_v1.txt", told.as_bytes());
    // What was kept is read, whatever is written today.
    let text = std::fs::read_to_string(kept::path("rows_v1.txt")).unwrap();
    for (line, (dtype, value)) in text.lines().zip(values()) {
        let codec = RowCodec::new([dtype]);
        let mut decoder = codec.decoder(1);
        decoder.push(&unhex(line.rsplit(' ').next().unwrap())).unwrap();
        assert_eq!(Value::at(&decoder.finish()[0], 0), value, "{line}");
    }
    let mut newer = unhex(text.lines().next().unwrap().rsplit(' ').next().unwrap());
    newer[0] = 2;
    assert!(RowCodec::new([Dtype::Bool]).decoder(1).push(&newer).is_err());
}

#[test]
fn cells() {
    let order = |event: i64| RowOrder { event_time: at(event), created_time: Some(at(2)), sequence: 3 };
    let row = |event: i64, deleted: bool, payload: &[u8]| OnlineRow {
        order: order(event),
        visible_from: at(event),
        deleted,
        payload: payload.into(),
    };
    let rows = [row(1, false, b"one"), row(300, true, b""), row(400, false, b"two")];
    let cell = Cell::of(&rows, at(10));
    kept::same("cells_v1.txt", format!("{}\n", hex(cell.as_bytes())).as_bytes());
    let text = std::fs::read_to_string(kept::path("cells_v1.txt")).unwrap();
    let read = Cell::parse(unhex(text.trim())).unwrap();
    let At::Row(step) = read.at(at(20)) else { panic!("{read:?}") };
    assert_eq!((step.payload(), step.order()), (b"one".as_slice(), order(1)));
    let At::Row(step) = read.at(at(500)) else { panic!("{read:?}") };
    assert_eq!((step.payload(), step.deleted()), (b"two".as_slice(), false));
    let mut newer = unhex(text.trim());
    newer[0] = 2;
    assert_eq!(Cell::parse(newer).unwrap_err().to_string(), "its format is 2, and this version reads 1");
}

#[tokio::test]
async fn marks() {
    let contents = |n: u8| Contents { version: Fingerprint::of_bytes(&[n]), n_files: n.into(), n_pushed: 10 };
    let first = Marks::default().begin(contents(1), at(0)).switch(at(1)).begin(contents(2), at(2)).switch(at(3));
    let marks = first.begin(contents(3), at(4));
    kept::same("marks_v1.json", format!("{}\n", serde_json::to_string(&marks).unwrap()).as_bytes());
    let text = std::fs::read_to_string(kept::path("marks_v1.json")).unwrap();
    assert_eq!(serde_json::from_str::<Marks>(&text).unwrap(), marks);

    // Those of a newer version are no reason to build over what they vouch for.
    let (store, view) = (MemoryStore::default(), view());
    let mut newer = Marks::default().begin(contents(1), at(0)).switch(at(1));
    newer.write(&store, &view).await.unwrap();
    assert!(Marks::read(&store, &view).await.unwrap().table(&view).is_some());
    newer = serde_json::from_str(&text.replacen("\"format\":1", "\"format\":2", 1)).unwrap();
    newer.write(&store, &view).await.unwrap();
    let why = Marks::read(&store, &view).await.unwrap_err();
    assert!(schema::error::chain(&why).ends_with("its format is 2, and this version reads 1"), "{why:?}");
    assert!(why.hint().unwrap().contains("a newer version of plumb wrote it"));
}

/// All that a database holds, as what would make it again.
fn dumped(path: &std::path::Path) -> String {
    let connection = rusqlite::Connection::open(path).unwrap();
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let mut told = format!("PRAGMA user_version = {version};\n");
    let mut statement = connection
        .prepare("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name")
        .unwrap();
    let tables: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    for (name, sql) in tables {
        told += &format!("{};\n", sql.split_whitespace().collect::<Vec<_>>().join(" "));
        if !sql.starts_with("CREATE TABLE") {
            continue;
        }
        let mut rows = connection.prepare(&format!("SELECT * FROM {name} ORDER BY 1")).unwrap();
        let n = rows.column_count();
        let values = |row: &rusqlite::Row<'_>| {
            let value = |at| match row.get_unwrap::<_, rusqlite::types::Value>(at) {
                rusqlite::types::Value::Blob(bytes) => format!("x'{}'", hex(&bytes)),
                rusqlite::types::Value::Text(text) => format!("'{text}'"),
                rusqlite::types::Value::Integer(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            Ok((0..n).map(value).collect::<Vec<_>>().join(", "))
        };
        for row in rows.query_map([], values).unwrap() {
            told += &format!("INSERT INTO {name} VALUES ({});\n", row.unwrap());
        }
    }
    told
}

fn pushed(users: &[i64]) -> RecordBatch {
    let n = users.len();
    let times: Vec<i64> = (1..).take(n).collect();
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"));
    RecordBatch::try_from_iter([
        ("k", Arc::new(Int64Array::from(users.to_vec())) as ArrayRef),
        ("event_time", times),
        ("v", Arc::new(Float64Array::from(vec![0.5; n])) as ArrayRef),
    ])
    .unwrap()
}

#[tokio::test]
async fn the_log_of_pushes() {
    let folder = tempfile::tempdir().unwrap();
    let (view, online) = (view(), MemoryStore::default());
    let log = PushLog::open(folder.path()).unwrap();
    for (id, users) in [(Some("first"), [1, 2].as_slice()), (None, &[2, 3])] {
        push(&view, &pushed(users), id, To::Offline, &log, &online as &dyn OnlineStore, at(1_000)).await.unwrap();
    }
    drop(log);
    kept::same("pushes_v1_shared.sql", dumped(&folder.path().join("pushes.db")).as_bytes());

    // What was kept is a log that goes on: a row that it has is no new one. The first had no tables of what is shared.
    let read = |name: &str| std::fs::read_to_string(kept::path(name)).unwrap();
    let kept_sql = read("pushes_v1.sql");
    let unnumbered = kept_sql.replacen("user_version = 1", "user_version = 0", 1);
    for sql in [read("pushes_v1_shared.sql"), kept_sql.clone(), unnumbered] {
        let other = tempfile::tempdir().unwrap();
        rusqlite::Connection::open(other.path().join("pushes.db")).unwrap().execute_batch(&sql).unwrap();
        let log = PushLog::open(other.path()).unwrap();
        let done = push(&view, &pushed(&[1, 2]), None, To::Offline, &log, &online, at(2_000)).await.unwrap();
        assert!(done.repeated);
        let done = push(&view, &pushed(&[9]), Some("new"), To::Offline, &log, &online, at(2_000)).await.unwrap();
        assert!(!done.repeated);
        drop(log);
        assert!(dumped(&other.path().join("pushes.db")).starts_with("PRAGMA user_version = 1;"));
    }
    let newer = tempfile::tempdir().unwrap();
    let sql = kept_sql.replacen("user_version = 1", "user_version = 2", 1);
    rusqlite::Connection::open(newer.path().join("pushes.db")).unwrap().execute_batch(&sql).unwrap();
    let why = schema::error::chain(&PushLog::open(newer.path()).unwrap_err());
    assert!(why.contains("its format is 2, and this version reads 1"), "{why}");
}

#[tokio::test]
async fn columns_of_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let rows = RecordBatch::try_from_iter([
        ("k", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![5]).with_timezone("UTC")) as ArrayRef),
        ("made", Arc::new(TimestampNanosecondArray::from(vec![6]).with_timezone("UTC")) as ArrayRef),
        ("v", Arc::new(Float64Array::from(vec![0.5])) as ArrayRef),
        ("note", Arc::new(StringArray::from(vec!["a"])) as ArrayRef),
    ])
    .unwrap();
    let file = std::fs::File::create(folder.path().join("rows.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let store = OfflineStore::new(folder.path(), &folder.path().join("offline"));
    store.history(&view()).await.unwrap();
    let snapshots = crate::erase::files::parquet_under(&folder.path().join("offline")).unwrap();
    let opened = crate::offline::source::open_file(folder.path(), snapshots[0].clone(), 0).unwrap();
    let mut told: String = opened
        .metadata
        .schema()
        .fields()
        .iter()
        .map(|f| format!("{} {} {}\n", f.name(), f.data_type(), f.is_nullable()))
        .collect();
    let about = opened.metadata.metadata().file_metadata().key_value_metadata();
    let mut names: Vec<&str> = about.into_iter().flatten().map(|entry| entry.key.as_str()).collect();
    names.sort_unstable();
    told += &format!("about {}\n", names.join(" "));
    kept::same("snapshot_v1.txt", told.as_bytes());
}

/// What a table's log says, without what differs from table to table: names, times and sums.
fn plain(text: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
    fn blank(value: &mut serde_json::Value) {
        const DIFFER: [&str; 11] = [
            "id",
            "path",
            "timestamp",
            "createdTime",
            "modificationTime",
            "size",
            "inCommitTimestamp",
            "engineInfo",
            "plumb",
            "deletionTimestamp",
            "lastUpdated",
        ];
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    if DIFFER.contains(&name.as_str()) { *value = "…".into() } else { blank(value) }
                }
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(blank),
            _ => {}
        }
    }
    blank(&mut value);
    value.to_string() + "\n"
}

fn table_source() -> schema::definitions::Source {
    use schema::definitions::{Column, Format, Source};
    let column = |name: &str, dtype: Dtype| Column { name: name.to_owned(), dtype };
    let columns = vec![column("user", Dtype::Int64), column("at", Dtype::Timestamp), column("note", Dtype::String)];
    Source { format: Format::Delta, columns, ..crate::offline::source::tests::source("t") }
}

async fn ingest(store: &OfflineStore, source: &schema::definitions::Source, file: &str) {
    use crate::offline::ingest::{Ingest, Rules};
    let ingest = Ingest::open(store, source, file, Rules::default()).await.unwrap();
    assert!(ingest.run(&|_| {}, &|_| {}).all(|done| done.is_ok()));
    ingest.close();
}

async fn read_table(folder: &std::path::Path) -> Vec<String> {
    let store = OfflineStore::new(folder, &folder.join(".plumb"));
    let files = crate::offline::source::open(&store, &table_source()).await.unwrap();
    let context = crate::offline::query::context([&files]).unwrap();
    let rows = context
        .sql("SELECT \"user\", \"at\", note, _row FROM rows ORDER BY _row")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let text = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
    text.lines().skip(3).filter(|line| line.starts_with('|')).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_log_and_the_files_of_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = OfflineStore::new(folder.path(), &folder.path().join(".plumb"));
    std::fs::write(folder.path().join("a.csv"), "user,at,note\n1,2024-01-01,a\n2,2024-01-02,\n").unwrap();
    std::fs::write(folder.path().join("b.csv"), "user,at,note\n3,2024-01-03,c\n").unwrap();
    ingest(&store, &table_source(), "a.csv").await;
    ingest(&store, &table_source(), "b.csv").await;
    let mut told = String::new();
    for version in 0..3 {
        let log = folder.path().join(format!("t/_delta_log/{version:020}.json"));
        told += &format!("{version}\n");
        std::fs::read_to_string(log).unwrap().lines().for_each(|line| told += &plain(line));
    }
    kept::same("table_v1.jsonl", told.as_bytes());
    let kept_table = kept::path("table_v1");
    if !kept_table.exists() && std::env::var_os("PLUMB_GOLDEN").is_some() {
        copy(&folder.path().join("t"), &kept_table);
    }
    // A table that was written then is read now, and goes on.
    let other = tempfile::tempdir().unwrap();
    copy(&kept_table, &other.path().join("t"));
    let want = read_table(folder.path()).await;
    assert_eq!(want.len(), 3);
    assert_eq!(read_table(other.path()).await, want);
    std::fs::write(other.path().join("c.csv"), "user,at,note\n4,2024-01-04,d\n").unwrap();
    let store = OfflineStore::new(other.path(), &other.path().join(".plumb"));
    ingest(&store, &table_source(), "c.csv").await;
    assert_eq!(read_table(other.path()).await.len(), 4);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
