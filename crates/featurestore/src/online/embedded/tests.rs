//! The store on disk, and its file.

use std::fs::OpenOptions;

use schema::Fingerprint;

use super::environment::DATA;
use super::place::{KEY_MAX, TABLE_BYTES, prefix, put_place};
use super::*;
use crate::online::OnlineRow;
use crate::online::conformance::{concurrent_writers_converge, online_store_conformance};

fn table() -> OnlineTable {
    let id = schema::ViewId { name: "user_features".parse().unwrap(), version: 1 };
    OnlineTable::new(id, &Fingerprint::of_bytes(b""), Some(1))
}

fn key(bytes: &[u8]) -> EntityKey {
    EntityKey::from_bytes(bytes)
}

fn row(nanos: i64) -> OnlineRow {
    let at = Timestamp::from_nanos(nanos);
    let order = schema::RowOrder { event_time: at, created_time: None, sequence: 0 };
    OnlineRow { order, visible_from: at, deleted: false, payload: [7].into() }
}

#[tokio::test]
async fn conforms() {
    let folder = tempfile::tempdir().unwrap();
    online_store_conformance(Arc::new(EmbeddedStore::open(folder.path()).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_are_one_store() {
    let folder = tempfile::tempdir().unwrap();
    let open = || EmbeddedStore::open(folder.path()).unwrap();
    concurrent_writers_converge(&[Arc::new(open()), Arc::new(open())]).await;
}

#[tokio::test]
async fn what_was_written_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let cell = Cell::of([&row(1)], Timestamp::from_nanos(2));
    for expected in [1, 0] {
        let store = EmbeddedStore::open(folder.path()).unwrap();
        let report = store.put_many(&table(), &[(key(b"\x01a"), cell.clone())], Timestamp::from_nanos(2)).await;
        assert_eq!(report.unwrap().written, expected);
    }
    let store = EmbeddedStore::open(folder.path()).unwrap();
    assert_eq!(store.get_many(&[table()], &[key(b"\x01a")]).await.unwrap().get(0, 0), Some(&cell));
}

#[test]
fn opening_while_the_last_user_leaves_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| (0..50).for_each(|_| drop(EmbeddedStore::open(folder.path()).unwrap())));
        }
    });
}

#[tokio::test]
async fn a_damaged_cell_is_an_error_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    let environment = &store.environment;
    let mut place = Vec::new();
    put_place(&mut place, &prefix(&table()), &key(b"\x01a"));
    let mut txn = environment.env.write_txn().unwrap();
    environment.cells.put(&mut txn, &place, &[9, 0]).unwrap();
    txn.commit().unwrap();
    let read = store.get_many(&[table()], &[key(b"\x01b"), key(b"\x01a")]).await.unwrap_err();
    let cell = Cell::of([&row(1)], Timestamp::from_nanos(2));
    let written = store.put_many(&table(), &[(key(b"\x01a"), cell)], Timestamp::from_nanos(2)).await.unwrap_err();
    for error in [read, written] {
        assert_eq!(error.kind(), schema::ErrorKind::Internal);
        assert!(schema::error::chain(&error).contains("`user_features@v1`"), "{error}");
        assert!(schema::error::chain(&error).ends_with("its format is 9, and this version reads 1"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_lost_its_end_fails_calls_but_not_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let cell = Cell::of([&row(1)], Timestamp::from_nanos(2));
    let cells: Vec<_> =
        (0..5_000_u32).map(|i| (key(&[b"\x01", &i.to_be_bytes()[..]].concat()), cell.clone())).collect();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    store.put_many(&table(), &cells, Timestamp::from_nanos(2)).await.unwrap();
    drop(store);
    let file = OpenOptions::new().write(true).open(folder.path().join("data.mdb")).unwrap();
    let whole = file.metadata().unwrap().len();
    file.set_len(whole / 4).unwrap();
    let store = EmbeddedStore::open(folder.path()).unwrap();
    let keys: Vec<EntityKey> = cells.iter().map(|(key, _)| key.clone()).collect();
    let error = store.get_many(&[table()], &keys).await.unwrap_err();
    assert!(error.to_string().contains("reading 5000 keys"), "{error}");
}

#[tokio::test]
async fn what_was_erased_is_not_left_in_the_file_and_the_rest_is() {
    let folder = tempfile::tempdir().unwrap();
    let cell = |text: &str| {
        let mut row = row(1);
        row.payload = text.as_bytes().into();
        Cell::of([&row], Timestamp::from_nanos(2))
    };
    let name = |i: usize| format!("key-{i:04}");
    let named = |text: &str| {
        let column: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
        EntityKey::from_columns(&[column], 1).remove(0).unwrap()
    };
    let mut cells: Vec<_> = (0..500).map(|i| (named(&name(i)), cell(&name(i)))).collect();
    cells.insert(250, (named("key-0250-canary"), cell("canary value")));
    let store = EmbeddedStore::open(folder.path()).unwrap();
    store.put_many(&table(), &cells, Timestamp::from_nanos(2)).await.unwrap();
    let gone = KeyMatch::of(cells[250].0.clone());
    let tables = [table()];
    let erase = |dry_run| store.erase(&tables, &gone, dry_run);
    assert_eq!(erase(true).await.unwrap().found, 1);
    assert_eq!(erase(false).await.unwrap().found, 1);
    assert_eq!(erase(false).await.unwrap().found, 0);
    let holds = || {
        let bytes = std::fs::read(folder.path().join(DATA)).unwrap();
        bytes.windows(6).any(|window| window == b"canary")
    };
    assert!(holds(), "free pages keep what was in them: otherwise this tests nothing");
    assert!(!compact(folder.path()).unwrap(), "somebody has it open");
    drop(store);
    assert!(compact(folder.path()).unwrap());
    assert!(!holds());
    let store = EmbeddedStore::open(folder.path()).unwrap();
    let keys: Vec<EntityKey> = cells.iter().map(|(key, _)| key.clone()).collect();
    let rows = store.get_many(&[table()], &keys).await.unwrap();
    assert!((0..501).all(|i| rows.get(i, 0).is_some() == (i != 250)));
}

#[test]
fn long_keys_never_meet_short_ones() {
    let place = |bytes: &[u8]| {
        let mut place = Vec::new();
        put_place(&mut place, &prefix(&table()), &key(bytes));
        place
    };
    let long = place(&[1; KEY_MAX + 1]);
    assert_ne!(long, place(&long[TABLE_BYTES..]));
    assert_eq!(place(&[1; KEY_MAX]).len(), TABLE_BYTES + KEY_MAX);
}

#[tokio::test]
async fn a_folder_that_is_a_file_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = EmbeddedStore::open(file.path()).unwrap_err();
    assert_eq!(error.kind(), schema::ErrorKind::Unavailable);
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}
