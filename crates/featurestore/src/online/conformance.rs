//! What every online store must do, as one suite; `merge.lua` and `cell.rs` are held together by its last story.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite fails by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use schema::definitions::JoinKey;
use schema::{Dtype, EntityKey, Fingerprint, RowOrder, Timestamp, ViewId};
use tokio::task::JoinSet;

use super::marks::{Contents, Marks};
use super::{At, Cell, MemoryStore, OnlineRow, OnlineStore, OnlineTable, WriteReport};
use crate::erase::{KeyMatch, Subject};

/// Runs the whole suite against an empty store. Every story has tables of its own.
///
/// # Panics
/// If the store breaks a rule.
pub async fn online_store_conformance(store: Arc<dyn OnlineStore>) {
    let s = store.as_ref();
    an_unknown_key_has_no_cell(s).await;
    empty_calls_answer(s).await;
    a_late_row_never_wins(s).await;
    repeats_and_permutations_change_nothing(s).await;
    a_future_row_waits_for_its_time(s).await;
    a_correction_with_equal_time_wins_by_its_content(s).await;
    tombstones_hide_and_are_hidden(s).await;
    keys_are_any_bytes(s).await;
    many_tables_come_in_one_call(s).await;
    a_key_may_come_twice_in_a_call(s).await;
    a_large_batch_is_whole(s).await;
    dropped_tables_are_gone_and_no_others(s).await;
    an_erased_key_is_gone_and_no_other(s).await;
    new_cells_merge_with_those_that_are_there(s).await;
    marks_are_those_written_last(s).await;
    concurrent_writers_converge(&[Arc::clone(&store), Arc::clone(&store)]).await;
    stores_agree_byte_for_byte(s).await;
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn table(name: &str) -> OnlineTable {
    generation(name, 1)
}

fn generation(name: &str, number: u64) -> OnlineTable {
    let view = ViewId { name: name.parse().unwrap(), version: 1 };
    OnlineTable::new(view, &Fingerprint::of_bytes(b""), Some(number))
}

fn key(name: &str) -> EntityKey {
    EntityKey::from_bytes(&[b"\x01s", name.as_bytes()].concat())
}

fn row(event: i64, payload: &str) -> OnlineRow {
    let order = RowOrder { event_time: at(event), created_time: None, sequence: 0 };
    OnlineRow { order, visible_from: at(event), deleted: false, payload: payload.as_bytes().into() }
}

fn tombstone(event: i64) -> OnlineRow {
    OnlineRow { deleted: true, ..row(event, "") }
}

async fn put(store: &dyn OnlineStore, table: &OnlineTable, name: &str, rows: &[OnlineRow], now: i64) -> WriteReport {
    store.put_many(table, &[(key(name), Cell::of(rows, at(now)))], at(now)).await.unwrap()
}

async fn get(store: &dyn OnlineStore, table: &OnlineTable, name: &str) -> Option<Cell> {
    store.get_many(std::slice::from_ref(table), &[key(name)]).await.unwrap().get(0, 0).cloned()
}

/// What decides at `now`, as text: the payload, `deleted`, `nothing` or `too old`.
async fn ask(store: &dyn OnlineStore, table: &OnlineTable, name: &str, now: i64) -> String {
    let cell = get(store, table, name).await;
    match cell.as_ref().map_or(At::Nothing, |cell| cell.at(at(now))) {
        At::Row(step) if step.deleted() => "deleted".to_owned(),
        At::Row(step) => String::from_utf8(step.payload().to_vec()).unwrap(),
        At::Nothing => "nothing".to_owned(),
        At::TooOld { .. } => "too old".to_owned(),
    }
}

const WRITTEN: WriteReport = WriteReport { written: 1, unchanged: 0 };
const UNCHANGED: WriteReport = WriteReport { written: 0, unchanged: 1 };

async fn an_unknown_key_has_no_cell(store: &dyn OnlineStore) {
    let known = table("unknown_key");
    put(store, &known, "a", &[row(1, "a")], 5).await;
    assert_eq!(get(store, &known, "b").await, None);
    assert_eq!(get(store, &generation("unknown_key", 2), "a").await, None);
    assert_eq!(get(store, &table("unknown_view"), "a").await, None);
}

async fn empty_calls_answer(store: &dyn OnlineStore) {
    let table = table("empty_calls");
    assert_eq!(store.put_many(&table, &[], at(5)).await.unwrap(), WriteReport::default());
    assert_eq!(put(store, &table, "a", &[], 5).await, UNCHANGED);
    assert_eq!(get(store, &table, "a").await, None);
    let rows = store.get_many(std::slice::from_ref(&table), &[]).await.unwrap();
    assert_eq!((rows.n_keys(), rows.n_views(), rows.get(0, 0)), (0, 1, None));
    let rows = store.get_many(&[], &[key("a")]).await.unwrap();
    assert_eq!((rows.n_views(), rows.get(0, 0)), (0, None));
}

async fn a_late_row_never_wins(store: &dyn OnlineStore) {
    let table = table("late_row");
    assert_eq!(put(store, &table, "a", &[row(10, "new")], 20).await, WRITTEN);
    assert_eq!(put(store, &table, "a", &[row(9, "late")], 21).await, UNCHANGED);
    assert_eq!(ask(store, &table, "a", 30).await, "new");
    assert_eq!(ask(store, &table, "a", 9).await, "too old");
    assert_eq!(put(store, &table, "a", &[row(11, "newer")], 22).await, WRITTEN);
    assert_eq!(ask(store, &table, "a", 30).await, "newer");
}

async fn repeats_and_permutations_change_nothing(store: &dyn OnlineStore) {
    let table = table("repeats");
    let rows = [row(1, "one"), row(2, "two"), tombstone(3), row(4, "four"), row(8, "eight"), row(9, "nine")];
    let want = Cell::of(&rows, at(5));
    for (name, order) in [("a", [0, 1, 2, 3, 4, 5]), ("b", [5, 4, 3, 2, 1, 0]), ("c", [3, 0, 5, 2, 1, 4])] {
        for i in order {
            put(store, &table, name, std::slice::from_ref(&rows[i]), 5).await;
        }
        assert_eq!(get(store, &table, name).await, Some(want.clone()), "key {name}");
        for i in order {
            assert_eq!(put(store, &table, name, &rows[i..], 5).await, UNCHANGED, "key {name}");
        }
        assert_eq!(get(store, &table, name).await, Some(want.clone()), "key {name}");
    }
}

async fn a_future_row_waits_for_its_time(store: &dyn OnlineStore) {
    let table = table("future_row");
    put(store, &table, "a", &[row(10, "now"), row(30, "soon"), row(40, "later")], 20).await;
    put(store, &table, "a", &[row(35, "between")], 20).await;
    for (now, want) in [(20, "now"), (29, "now"), (30, "soon"), (35, "between"), (39, "between"), (40, "later")] {
        assert_eq!(ask(store, &table, "a", now).await, want, "at {now}");
    }
    // A writer of a later present drops what is past for it.
    assert_eq!(put(store, &table, "a", &[row(1, "old")], 36).await, WRITTEN);
    assert_eq!(ask(store, &table, "a", 34).await, "too old");
    assert_eq!(ask(store, &table, "a", 35).await, "between");
    // Only future rows: there is nothing yet, and nothing was there.
    put(store, &table, "b", &[row(30, "soon")], 20).await;
    assert_eq!(ask(store, &table, "b", 29).await, "nothing");
    assert_eq!(ask(store, &table, "b", 1).await, "nothing");
    assert_eq!(ask(store, &table, "b", 30).await, "soon");
}

async fn a_correction_with_equal_time_wins_by_its_content(store: &dyn OnlineStore) {
    let table = table("ties");
    // Created later wins; where even the order is equal, the greater bytes do: everywhere the same.
    let created = |created: i64, payload: &str| {
        let order = RowOrder { event_time: at(1), created_time: Some(at(created)), sequence: 0 };
        OnlineRow { order, ..row(1, payload) }
    };
    for (name, rows) in [("a", ["m", "\u{7f}", "é"]), ("b", ["é", "m", "\u{7f}"])] {
        for payload in rows {
            put(store, &table, name, &[created(2, payload)], 5).await;
        }
        assert_eq!(ask(store, &table, name, 5).await, "é", "key {name}");
        put(store, &table, name, &[created(3, "a")], 5).await;
        assert_eq!(ask(store, &table, name, 5).await, "a", "key {name}");
        put(store, &table, name, &[row(1, "never created")], 5).await;
        assert_eq!(ask(store, &table, name, 5).await, "a", "key {name}");
    }
}

async fn tombstones_hide_and_are_hidden(store: &dyn OnlineStore) {
    let table = table("tombstones");
    put(store, &table, "a", &[row(10, "here")], 20).await;
    put(store, &table, "a", &[tombstone(12)], 20).await;
    assert_eq!(ask(store, &table, "a", 20).await, "deleted");
    assert_eq!(put(store, &table, "a", &[row(11, "late")], 20).await, UNCHANGED);
    assert_eq!(ask(store, &table, "a", 20).await, "deleted");
    put(store, &table, "a", &[row(13, "back")], 20).await;
    assert_eq!(ask(store, &table, "a", 20).await, "back");
    assert_eq!(put(store, &table, "a", &[tombstone(12)], 20).await, UNCHANGED);
    put(store, &table, "a", &[tombstone(30)], 20).await;
    assert_eq!(ask(store, &table, "a", 29).await, "back");
    assert_eq!(ask(store, &table, "a", 30).await, "deleted");
}

async fn keys_are_any_bytes(store: &dyn OnlineStore) {
    let table = table("any_bytes");
    let every: Vec<u8> = (0..=255).collect();
    let mut keys: Vec<Vec<u8>> = vec![vec![1], b"\x01s\0\0\0\x01ab".to_vec(), b"\x01s\0\0\0\x02ab".to_vec(), every];
    keys.extend([b"\x01\r\n$3\r\n".to_vec(), b"\x01:\0:".to_vec(), vec![0xff; 33], vec![0xff]]);
    // Lengths around and far beyond what a store can index; long ones that differ only in the last byte.
    for length in [479, 480, 481, 494, 495, 496, 511, 512, 2_000] {
        for last in [0, 1] {
            keys.push([vec![1; length - 1], vec![last]].concat());
        }
    }
    let keys: Vec<EntityKey> = keys.iter().map(|bytes| EntityKey::from_bytes(bytes)).collect();
    let cell = |i: usize| Cell::of([&row(1, &format!("key {i}"))], at(5));
    let cells: Vec<_> = keys.iter().enumerate().map(|(i, key)| (key.clone(), cell(i))).collect();
    let report = store.put_many(&table, &cells, at(5)).await.unwrap();
    assert_eq!(report, WriteReport { written: keys.len(), unchanged: 0 });
    let rows = store.get_many(&[table], &keys).await.unwrap();
    assert!((0..keys.len()).all(|i| rows.get(i, 0) == Some(&cell(i))));
}

async fn many_tables_come_in_one_call(store: &dyn OnlineStore) {
    let tables: Vec<OnlineTable> = (1..=7).map(|number| generation("many_tables", number)).collect();
    for (v, table) in tables.iter().enumerate() {
        // Table `v` has the keys from `v` on.
        for name in ["0", "1", "2", "3", "4"].iter().skip(v) {
            put(store, table, name, &[row(1, &format!("{name} in {table}"))], 5).await;
        }
    }
    let names = ["4", "0", "none", "2", "2"];
    let rows = store.get_many(&tables, &names.map(key)).await.unwrap();
    assert_eq!((rows.n_keys(), rows.n_views()), (5, 7));
    for (k, name) in names.iter().enumerate() {
        for (v, table) in tables.iter().enumerate() {
            let known = name.parse::<usize>().is_ok_and(|n| n >= v);
            let want = known.then(|| Cell::of([&row(1, &format!("{name} in {table}"))], at(5)));
            assert_eq!(rows.get(k, v), want.as_ref(), "key {name}, table {table}");
        }
    }
    assert_eq!((rows.get(5, 0), rows.get(0, 7)), (None, None));
}

async fn a_key_may_come_twice_in_a_call(store: &dyn OnlineStore) {
    let table = table("twice");
    let cell = |event| Cell::of([&row(event, &event.to_string())], at(20));
    let cells = [2, 3, 1, 3].map(|event| (key("a"), cell(event)));
    let report = store.put_many(&table, &cells, at(20)).await.unwrap();
    assert_eq!(report, WriteReport { written: 2, unchanged: 2 });
    assert_eq!(ask(store, &table, "a", 20).await, "3");
}

async fn a_large_batch_is_whole(store: &dyn OnlineStore) {
    const N: usize = 3_000;
    let table = table("large_batch");
    let payload = |i: usize| format!("{i} {}", "x".repeat(i % 700));
    let keys: Vec<EntityKey> = (0..N).map(|i| key(&i.to_string())).collect();
    let cells: Vec<(EntityKey, Cell)> =
        keys.iter().enumerate().map(|(i, key)| (key.clone(), Cell::of([&row(1, &payload(i))], at(5)))).collect();
    for (written, unchanged) in [(N, 0), (0, N)] {
        let report = store.put_many(&table, &cells, at(5)).await.unwrap();
        assert_eq!(report, WriteReport { written, unchanged });
    }
    let rows = store.get_many(&[table], &keys).await.unwrap();
    assert!(cells.iter().enumerate().all(|(i, (_, cell))| rows.get(i, 0) == Some(cell)));
}

/// An erased key is gone from the tables that are named, by a part of it too, and nothing else is.
async fn an_erased_key_is_gone_and_no_other(store: &dyn OnlineStore) {
    let tables: Vec<OnlineTable> = (1..=3).map(|number| generation("erased", number)).collect();
    let other = table("erased_not");
    let parts = |user: &str, shop: i64| {
        let columns: [ArrayRef; 2] = [Arc::new(StringArray::from(vec![user])), Arc::new(Int64Array::from(vec![shop]))];
        EntityKey::from_columns(&columns, 1).remove(0).unwrap()
    };
    let keys: Vec<EntityKey> = ["a", "b"].iter().flat_map(|user| (0..700).map(|shop| parts(user, shop))).collect();
    let cells: Vec<_> = keys.iter().map(|key| (key.clone(), Cell::of([&row(1, "x")], at(5)))).collect();
    for table in tables.iter().chain([&other]) {
        store.put_many(table, &cells, at(5)).await.unwrap();
    }
    let left = async |table: &OnlineTable| {
        let rows = store.get_many(std::slice::from_ref(table), &keys).await.unwrap();
        (0..keys.len()).filter(|key| rows.get(*key, 0).is_some()).count()
    };
    // One key, whole: asked for first, then removed, then not there.
    let one = KeyMatch::of(keys[3].clone());
    for (dry_run, found) in [(true, 2), (false, 2), (false, 0)] {
        assert_eq!(store.erase(&tables[..2], &one, dry_run).await.unwrap().found, found);
    }
    assert_eq!((left(&tables[0]).await, left(&tables[2]).await, left(&other).await), (1399, 1400, 1400));
    // Everything of user `b`, whatever the shop.
    let join_key = |name: &str, dtype| JoinKey { name: name.parse().unwrap(), dtype };
    let subject = Subject::new(vec![("user".to_owned(), "b".to_owned())]);
    let part = subject.in_keys(&[join_key("user", Dtype::String), join_key("shop", Dtype::Int64)]).unwrap();
    for (dry_run, found) in [(true, 2100), (false, 2100), (false, 0)] {
        assert_eq!(store.erase(&tables, &part, dry_run).await.unwrap().found, found);
    }
    assert_eq!((left(&tables[0]).await, left(&tables[2]).await, left(&other).await), (699, 700, 1400));
}

async fn dropped_tables_are_gone_and_no_others(store: &dyn OnlineStore) {
    const N: usize = 9_000;
    // Names that start alike, and patterns of a scan.
    let gone = [generation("dropped", 1), generation("dropped", 3)];
    let [ten, other] = [generation("dropped", 10), table("dropped_not")];
    let keys: Vec<EntityKey> = (0..N).map(|i| key(&i.to_string())).collect();
    let cells: Vec<_> = keys.iter().map(|key| (key.clone(), Cell::of([&row(1, "x")], at(5)))).collect();
    for table in gone.iter().chain([&ten, &other]) {
        store.put_many(table, &cells, at(5)).await.unwrap();
    }
    for _ in 0..2 {
        store.drop_tables(&gone).await.unwrap();
        let [one, three] = gone.clone();
        let rows = store.get_many(&[one, three, ten.clone(), other.clone()], &keys).await.unwrap();
        assert!((0..N).all(|i| rows.get(i, 0).is_none() && rows.get(i, 1).is_none()));
        assert!((0..N).all(|i| rows.get(i, 2) == Some(&cells[i].1) && rows.get(i, 3) == Some(&cells[i].1)));
    }
    store.drop_tables(&[]).await.unwrap();
    assert_eq!(put(store, &gone[0], "1", &[row(1, "again")], 5).await, WRITTEN);
}

/// Loading what is new is the same as merging it, whatever is there.
async fn new_cells_merge_with_those_that_are_there(store: &dyn OnlineStore) {
    let table = table("new_cells");
    put(store, &table, "a", &[row(10, "pushed")], 20).await;
    put(store, &table, "b", &[row(5, "old")], 20).await;
    put(store, &table, "f", &[row(30, "soon")], 20).await;
    let cell = |rows: &[OnlineRow]| Cell::of(rows, at(20));
    let cells = [
        (key("a"), cell(&[row(9, "late")])),
        (key("b"), cell(&[row(6, "newer")])),
        (key("c"), cell(&[row(7, "new")])),
        (key("d"), cell(&[])),
        (key("c"), cell(&[row(8, "newest")])),
        (key("f"), cell(&[row(7, "now"), row(40, "later")])),
    ];
    let report = store.put_new(&table, &cells, at(20)).await.unwrap();
    assert_eq!(report, WriteReport { written: 4, unchanged: 2 });
    for (name, want) in [("a", "pushed"), ("b", "newer"), ("c", "newest"), ("d", "nothing"), ("f", "now")] {
        assert_eq!(ask(store, &table, name, 20).await, want, "key {name}");
    }
    assert_eq!([ask(store, &table, "f", 30).await, ask(store, &table, "f", 40).await], ["soon", "later"]);
    let again = store.put_new(&table, &cells[..2], at(20)).await.unwrap();
    assert_eq!(again, WriteReport { written: 0, unchanged: 2 });
}

async fn marks_are_those_written_last(store: &dyn OnlineStore) {
    let tables = [table("marks"), generation("marks", 2)];
    assert_eq!(Marks::read_many(store, &tables).await.unwrap(), [Marks::default(), Marks::default()]);
    let mut marks = Marks::default();
    for n in 0..4_u8 {
        let contents = Contents { version: Fingerprint::of_bytes(&[n]), n_files: 0, n_pushed: 0 };
        marks = marks.begin(contents, at(0)).switch(at(0));
        marks.write_to(store, &tables[0]).await.unwrap();
        assert_eq!(Marks::read_many(store, &tables).await.unwrap(), [marks.clone(), Marks::default()]);
    }
    // Also when they say what they said before.
    let back = marks.roll_back(at(1)).unwrap();
    back.write_to(store, &tables[0]).await.unwrap();
    assert_eq!(Marks::read_many(store, &tables).await.unwrap()[0], back);
}

/// Writers at the handles of one store leave the merge of all they wrote, whoever comes first.
///
/// # Panics
/// If something was lost.
pub async fn concurrent_writers_converge(handles: &[Arc<dyn OnlineStore>]) {
    const N_WRITERS: usize = 8;
    const N_ROWS: usize = 120;
    let (table, names) = (table("concurrent"), ["a", "b", "c"]);
    let now = at(60);
    // Row `i` of key `k`; its time comes round again, so that writers meet on ties as well.
    let cell = |k: usize, i: usize| {
        let event = i64::try_from(i * 7 % 101).unwrap();
        Cell::of([&row(event, &format!("{k} {i}"))], now)
    };
    let mut writers = JoinSet::new();
    for writer in 0..N_WRITERS {
        let (store, table) = (Arc::clone(&handles[writer % handles.len()]), table.clone());
        let mine = (0..N_ROWS).filter(|i| i % N_WRITERS == writer || i % 3 == 0);
        let batches: Vec<Vec<_>> =
            mine.map(|i| names.iter().enumerate().map(|(k, name)| (key(name), cell(k, i))).collect()).collect();
        writers.spawn(async move {
            for batch in batches {
                store.put_many(&table, &batch, now).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    for handle in handles {
        let rows = handle.get_many(std::slice::from_ref(&table), &names.map(key)).await.unwrap();
        for (k, name) in names.iter().enumerate() {
            let want = (0..N_ROWS).map(|i| cell(k, i)).reduce(|a, b| a.merge(&b, now)).unwrap();
            assert_eq!(rows.get(k, 0), Some(&want), "key {name}");
        }
    }
}

/// One call of `put_many`: keys by number, their rows, and the writer's present.
type Write = (Vec<(usize, Vec<OnlineRow>)>, i64);

const N_HISTORIES: u32 = 250;
const N_KEYS: usize = 3;

/// Small domains: ties, corrections and late rows in every history; a few extremes, so that every byte is compared.
fn histories() -> impl Strategy<Value = Vec<Write>> {
    let time = || {
        let edge = prop::sample::select(vec![i64::MIN + 1, -1 << 40, -256, 255, 256, 1 << 55, i64::MAX]);
        prop_oneof![12 => 0..8i64, 1 => edge].prop_map(at)
    };
    let payload = prop_oneof![
        prop::sample::select(vec!["", "\0", "\0\0", "a", "a\0b", "a\0c", "ab"])
            .prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..3),
        vec(Just(0x80), 300..301),
    ];
    let any_row = (time(), proptest::option::of(time()), 0..2u64, time(), prop::bool::weighted(0.2), payload).prop_map(
        |(event_time, created_time, sequence, visible_from, deleted, payload)| OnlineRow {
            order: RowOrder { event_time, created_time, sequence },
            visible_from,
            deleted,
            payload: payload.into(),
        },
    );
    // One and the same row but for when it is visible.
    let same = (0..8i64).prop_map(|visible_from| OnlineRow { visible_from: at(visible_from), ..row(9, "same") });
    let cell = (0..N_KEYS, vec(prop_oneof![3 => any_row, 1 => same], 0..4));
    vec((vec(cell, 1..5), -1..9i64), 1..8)
}

/// After any history, whatever the horizons, the store holds what the memory store holds, and reports the same.
async fn stores_agree_byte_for_byte(store: &dyn OnlineStore) {
    const SEED: [u8; 32] = *b"plumb: the square commutes, 1998";
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = histories();
    let mut next = 0;
    for number in 0..N_HISTORIES {
        let mut tree = strategy.new_tree(&mut runner).unwrap();
        let Err(mut first) = agree(store, &tree.current(), &mut next).await else { continue };
        let mut smallest = tree.current();
        while tree.simplify() {
            while agree(store, &tree.current(), &mut next).await.map_err(|why| first = why).is_ok() {
                if !tree.complicate() {
                    break;
                }
            }
            smallest = tree.current();
        }
        panic!("history {number} of seed {SEED:?}: {first}\n{smallest:#?}");
    }
}

async fn agree(store: &dyn OnlineStore, history: &[Write], number: &mut u64) -> Result<(), String> {
    *number += 1;
    let table = generation("differential", *number);
    let keys: Vec<EntityKey> = (0..N_KEYS).map(|k| key(&k.to_string())).collect();
    let oracle = MemoryStore::default();
    for (n, (rows, now)) in history.iter().enumerate() {
        // Cells made for another present than the write's, too: a batch may wait before it is written.
        let made = at(now + [0, -2, 2][n % 3]);
        let cells: Vec<_> = rows.iter().map(|(k, rows)| (keys[*k].clone(), Cell::of(rows, made))).collect();
        let report = store.put_many(&table, &cells, at(*now)).await.unwrap();
        let want = oracle.put_many(&table, &cells, at(*now)).await.unwrap();
        if report != want {
            return Err(format!("write {n} reported {report:?}, want {want:?}"));
        }
    }
    let tables = [table];
    let (found, want) = (store.get_many(&tables, &keys).await.unwrap(), oracle.get_many(&tables, &keys).await.unwrap());
    if found == want { Ok(()) } else { Err(format!("holds {found:?}, want {want:?}")) }
}
