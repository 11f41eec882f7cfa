//! What every online store must do, as one suite; `merge.lua` and `cell.rs` are held together by its last story.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite fails by panicking")]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use schema::{EntityKey, RowOrder, Timestamp, ViewId};
use tokio::task::JoinSet;

use super::{At, Cell, MemoryStore, OnlineRow, OnlineStore, WriteReport, watermark};

/// Runs the whole suite against an empty store. Every story has views of its own.
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
    many_views_come_in_one_table(s).await;
    a_key_may_come_twice_in_a_call(s).await;
    a_large_batch_is_whole(s).await;
    watermarks_move_forward(s).await;
    concurrent_writers_converge(&[Arc::clone(&store), Arc::clone(&store)]).await;
    stores_agree_byte_for_byte(s).await;
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn view(name: &str) -> ViewId {
    ViewId { name: name.parse().unwrap(), version: 1 }
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

async fn put(store: &dyn OnlineStore, view: &ViewId, name: &str, rows: &[OnlineRow], now: i64) -> WriteReport {
    store.put_many(view, &[(key(name), Cell::of(rows, at(now)))], at(now)).await.unwrap()
}

async fn get(store: &dyn OnlineStore, view: &ViewId, name: &str) -> Option<Cell> {
    store.get_many(std::slice::from_ref(view), &[key(name)]).await.unwrap().get(0, 0).cloned()
}

/// What decides at `now`, as text: the payload, `deleted`, `nothing` or `too old`.
async fn ask(store: &dyn OnlineStore, view: &ViewId, name: &str, now: i64) -> String {
    let cell = get(store, view, name).await;
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
    let known = view("unknown_key");
    put(store, &known, "a", &[row(1, "a")], 5).await;
    assert_eq!(get(store, &known, "b").await, None);
    assert_eq!(get(store, &ViewId { version: 2, ..known }, "a").await, None);
    assert_eq!(get(store, &view("unknown_view"), "a").await, None);
}

async fn empty_calls_answer(store: &dyn OnlineStore) {
    let view = view("empty_calls");
    assert_eq!(store.put_many(&view, &[], at(5)).await.unwrap(), WriteReport::default());
    assert_eq!(put(store, &view, "a", &[], 5).await, UNCHANGED);
    assert_eq!(get(store, &view, "a").await, None);
    let rows = store.get_many(std::slice::from_ref(&view), &[]).await.unwrap();
    assert_eq!((rows.n_keys(), rows.n_views(), rows.get(0, 0)), (0, 1, None));
    let rows = store.get_many(&[], &[key("a")]).await.unwrap();
    assert_eq!((rows.n_views(), rows.get(0, 0)), (0, None));
}

async fn a_late_row_never_wins(store: &dyn OnlineStore) {
    let view = view("late_row");
    assert_eq!(put(store, &view, "a", &[row(10, "new")], 20).await, WRITTEN);
    assert_eq!(put(store, &view, "a", &[row(9, "late")], 21).await, UNCHANGED);
    assert_eq!(ask(store, &view, "a", 30).await, "new");
    assert_eq!(ask(store, &view, "a", 9).await, "too old");
    assert_eq!(put(store, &view, "a", &[row(11, "newer")], 22).await, WRITTEN);
    assert_eq!(ask(store, &view, "a", 30).await, "newer");
}

async fn repeats_and_permutations_change_nothing(store: &dyn OnlineStore) {
    let view = view("repeats");
    let rows = [row(1, "one"), row(2, "two"), tombstone(3), row(4, "four"), row(8, "eight"), row(9, "nine")];
    let want = Cell::of(&rows, at(5));
    for (name, order) in [("a", [0, 1, 2, 3, 4, 5]), ("b", [5, 4, 3, 2, 1, 0]), ("c", [3, 0, 5, 2, 1, 4])] {
        for i in order {
            put(store, &view, name, std::slice::from_ref(&rows[i]), 5).await;
        }
        assert_eq!(get(store, &view, name).await, Some(want.clone()), "key {name}");
        for i in order {
            assert_eq!(put(store, &view, name, &rows[i..], 5).await, UNCHANGED, "key {name}");
        }
        assert_eq!(get(store, &view, name).await, Some(want.clone()), "key {name}");
    }
}

async fn a_future_row_waits_for_its_time(store: &dyn OnlineStore) {
    let view = view("future_row");
    put(store, &view, "a", &[row(10, "now"), row(30, "soon"), row(40, "later")], 20).await;
    put(store, &view, "a", &[row(35, "between")], 20).await;
    for (now, want) in [(20, "now"), (29, "now"), (30, "soon"), (35, "between"), (39, "between"), (40, "later")] {
        assert_eq!(ask(store, &view, "a", now).await, want, "at {now}");
    }
    // A writer of a later present drops what is past for it.
    assert_eq!(put(store, &view, "a", &[row(1, "old")], 36).await, WRITTEN);
    assert_eq!(ask(store, &view, "a", 34).await, "too old");
    assert_eq!(ask(store, &view, "a", 35).await, "between");
    // Only future rows: there is nothing yet, and nothing was there.
    put(store, &view, "b", &[row(30, "soon")], 20).await;
    assert_eq!(ask(store, &view, "b", 29).await, "nothing");
    assert_eq!(ask(store, &view, "b", 1).await, "nothing");
    assert_eq!(ask(store, &view, "b", 30).await, "soon");
}

async fn a_correction_with_equal_time_wins_by_its_content(store: &dyn OnlineStore) {
    let view = view("ties");
    // Created later wins; where even the order is equal, the greater bytes do: everywhere the same.
    let created = |created: i64, payload: &str| {
        let order = RowOrder { event_time: at(1), created_time: Some(at(created)), sequence: 0 };
        OnlineRow { order, ..row(1, payload) }
    };
    for (name, rows) in [("a", ["m", "\u{7f}", "é"]), ("b", ["é", "m", "\u{7f}"])] {
        for payload in rows {
            put(store, &view, name, &[created(2, payload)], 5).await;
        }
        assert_eq!(ask(store, &view, name, 5).await, "é", "key {name}");
        put(store, &view, name, &[created(3, "a")], 5).await;
        assert_eq!(ask(store, &view, name, 5).await, "a", "key {name}");
        put(store, &view, name, &[row(1, "never created")], 5).await;
        assert_eq!(ask(store, &view, name, 5).await, "a", "key {name}");
    }
}

async fn tombstones_hide_and_are_hidden(store: &dyn OnlineStore) {
    let view = view("tombstones");
    put(store, &view, "a", &[row(10, "here")], 20).await;
    put(store, &view, "a", &[tombstone(12)], 20).await;
    assert_eq!(ask(store, &view, "a", 20).await, "deleted");
    assert_eq!(put(store, &view, "a", &[row(11, "late")], 20).await, UNCHANGED);
    assert_eq!(ask(store, &view, "a", 20).await, "deleted");
    put(store, &view, "a", &[row(13, "back")], 20).await;
    assert_eq!(ask(store, &view, "a", 20).await, "back");
    assert_eq!(put(store, &view, "a", &[tombstone(12)], 20).await, UNCHANGED);
    put(store, &view, "a", &[tombstone(30)], 20).await;
    assert_eq!(ask(store, &view, "a", 29).await, "back");
    assert_eq!(ask(store, &view, "a", 30).await, "deleted");
}

async fn keys_are_any_bytes(store: &dyn OnlineStore) {
    let view = view("any_bytes");
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
    let report = store.put_many(&view, &cells, at(5)).await.unwrap();
    assert_eq!(report, WriteReport { written: keys.len(), unchanged: 0 });
    let rows = store.get_many(&[view], &keys).await.unwrap();
    assert!((0..keys.len()).all(|i| rows.get(i, 0) == Some(&cell(i))));
}

async fn many_views_come_in_one_table(store: &dyn OnlineStore) {
    let views: Vec<ViewId> = (1..=7).map(|version| ViewId { version, ..view("many_views") }).collect();
    for (v, view) in views.iter().enumerate() {
        // View `v` has the keys from `v` on.
        for name in ["0", "1", "2", "3", "4"].iter().skip(v) {
            put(store, view, name, &[row(1, &format!("{name} in {view}"))], 5).await;
        }
    }
    let names = ["4", "0", "none", "2", "2"];
    let rows = store.get_many(&views, &names.map(key)).await.unwrap();
    assert_eq!((rows.n_keys(), rows.n_views()), (5, 7));
    for (k, name) in names.iter().enumerate() {
        for (v, view) in views.iter().enumerate() {
            let known = name.parse::<usize>().is_ok_and(|n| n >= v);
            let want = known.then(|| Cell::of([&row(1, &format!("{name} in {view}"))], at(5)));
            assert_eq!(rows.get(k, v), want.as_ref(), "key {name}, view {view}");
        }
    }
    assert_eq!((rows.get(5, 0), rows.get(0, 7)), (None, None));
}

async fn a_key_may_come_twice_in_a_call(store: &dyn OnlineStore) {
    let view = view("twice");
    let cell = |event| Cell::of([&row(event, &event.to_string())], at(20));
    let cells = [2, 3, 1, 3].map(|event| (key("a"), cell(event)));
    let report = store.put_many(&view, &cells, at(20)).await.unwrap();
    assert_eq!(report, WriteReport { written: 2, unchanged: 2 });
    assert_eq!(ask(store, &view, "a", 20).await, "3");
}

async fn a_large_batch_is_whole(store: &dyn OnlineStore) {
    const N: usize = 3_000;
    let view = view("large_batch");
    let payload = |i: usize| format!("{i} {}", "x".repeat(i % 700));
    let keys: Vec<EntityKey> = (0..N).map(|i| key(&i.to_string())).collect();
    let cells: Vec<(EntityKey, Cell)> =
        keys.iter().enumerate().map(|(i, key)| (key.clone(), Cell::of([&row(1, &payload(i))], at(5)))).collect();
    for (written, unchanged) in [(N, 0), (0, N)] {
        let report = store.put_many(&view, &cells, at(5)).await.unwrap();
        assert_eq!(report, WriteReport { written, unchanged });
    }
    let rows = store.get_many(&[view], &keys).await.unwrap();
    assert!(cells.iter().enumerate().all(|(i, (_, cell))| rows.get(i, 0) == Some(cell)));
}

async fn watermarks_move_forward(store: &dyn OnlineStore) {
    let view = view("watermarks");
    assert_eq!(watermark::get_watermark(store, &view).await.unwrap(), None);
    // Under a fixed clock several have one time: the last stays, whatever its text.
    for (now, text, want) in [(5, "9", "9"), (5, "10", "10"), (5, "10", "10"), (4, "late", "10"), (6, "11", "11")] {
        watermark::put_watermark(store, &view, at(now), text).await.unwrap();
        let (_, found) = watermark::get_watermark(store, &view).await.unwrap().unwrap();
        assert_eq!(found, want);
    }
    let found = watermark::get_watermark(store, &view).await.unwrap();
    assert_eq!(found, Some((at(6), "11".to_owned())));
    assert_eq!(watermark::get_watermark(store, &ViewId { version: 2, ..view }).await.unwrap(), None);
}

/// Writers at the handles of one store leave the merge of all they wrote, whoever comes first.
///
/// # Panics
/// If something was lost.
pub async fn concurrent_writers_converge(handles: &[Arc<dyn OnlineStore>]) {
    const N_WRITERS: usize = 8;
    const N_ROWS: usize = 120;
    let (view, names) = (view("concurrent"), ["a", "b", "c"]);
    let now = at(60);
    // Row `i` of key `k`; its time comes round again, so that writers meet on ties as well.
    let cell = |k: usize, i: usize| {
        let event = i64::try_from(i * 7 % 101).unwrap();
        Cell::of([&row(event, &format!("{k} {i}"))], now)
    };
    let mut writers = JoinSet::new();
    for writer in 0..N_WRITERS {
        let (store, view) = (Arc::clone(&handles[writer % handles.len()]), view.clone());
        let mine = (0..N_ROWS).filter(|i| i % N_WRITERS == writer || i % 3 == 0);
        let batches: Vec<Vec<_>> =
            mine.map(|i| names.iter().enumerate().map(|(k, name)| (key(name), cell(k, i))).collect()).collect();
        writers.spawn(async move {
            for batch in batches {
                store.put_many(&view, &batch, now).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    for handle in handles {
        let rows = handle.get_many(std::slice::from_ref(&view), &names.map(key)).await.unwrap();
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
    let mut version = 0;
    for number in 0..N_HISTORIES {
        let mut tree = strategy.new_tree(&mut runner).unwrap();
        let Err(mut first) = agree(store, &tree.current(), &mut version).await else { continue };
        let mut smallest = tree.current();
        while tree.simplify() {
            while agree(store, &tree.current(), &mut version).await.map_err(|why| first = why).is_ok() {
                if !tree.complicate() {
                    break;
                }
            }
            smallest = tree.current();
        }
        panic!("history {number} of seed {SEED:?}: {first}\n{smallest:#?}");
    }
}

async fn agree(store: &dyn OnlineStore, history: &[Write], version: &mut u32) -> Result<(), String> {
    *version += 1;
    let view = ViewId { version: *version, ..view("differential") };
    let keys: Vec<EntityKey> = (0..N_KEYS).map(|k| key(&k.to_string())).collect();
    let oracle = MemoryStore::default();
    for (n, (rows, now)) in history.iter().enumerate() {
        // Cells made for another present than the write's, too: a batch may wait before it is written.
        let made = at(now + [0, -2, 2][n % 3]);
        let cells: Vec<_> = rows.iter().map(|(k, rows)| (keys[*k].clone(), Cell::of(rows, made))).collect();
        let report = store.put_many(&view, &cells, at(*now)).await.unwrap();
        let want = oracle.put_many(&view, &cells, at(*now)).await.unwrap();
        if report != want {
            return Err(format!("write {n} reported {report:?}, want {want:?}"));
        }
    }
    let views = [view];
    let (found, want) = (store.get_many(&views, &keys).await.unwrap(), oracle.get_many(&views, &keys).await.unwrap());
    if found == want { Ok(()) } else { Err(format!("holds {found:?}, want {want:?}")) }
}
