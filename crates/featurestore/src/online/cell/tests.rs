//! The laws of cells, against an oracle that keeps every row.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn row(event: i64, visible_from: i64, payload: &[u8]) -> OnlineRow {
    let order = RowOrder { event_time: at(event), created_time: None, sequence: 0 };
    OnlineRow { order, visible_from: at(visible_from), deleted: false, payload: payload.into() }
}

/// Small domains, so that ties, corrections and late rows are the rule; `visible_from` is free, which is more than the
/// two visibilities can do.
fn rows() -> impl Strategy<Value = OnlineRow> {
    let time = || prop_oneof![8 => 0..6i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN + 1)].prop_map(at);
    let payload = prop_oneof![Just(vec![]), Just(vec![0]), Just(vec![b'a']), Just(vec![b'a', 0xff]), Just(vec![0x80])];
    (time(), proptest::option::of(time()), 0..2u64, time(), any::<bool>(), payload).prop_map(
        |(event_time, created_time, sequence, visible_from, deleted, payload)| OnlineRow {
            order: RowOrder { event_time, created_time, sequence },
            visible_from,
            deleted,
            payload: payload.into(),
        },
    )
}

fn horizons() -> impl Strategy<Value = Timestamp> {
    (-1..7i64).prop_map(at)
}

fn instants() -> impl Iterator<Item = Timestamp> {
    (-2..8).chain([i64::MIN, i64::MIN + 1, i64::MAX]).map(at)
}

/// The rank of the row that decides at `t` when every row is kept.
/// Of two rows of one order the greater bytes win, their sums included: which does not matter, only that it is one.
fn oracle(rows: &[OnlineRow], t: Timestamp) -> Option<(RowOrder, bool, &[u8])> {
    let visible = rows.iter().filter(|row| row.visible_from <= t);
    let bytes = |row: &&OnlineRow| {
        let sum = check_of(
            &row.visible_from.to_ordered_bytes(),
            &Cell::of([*row], at(0)).0[6 + TIME_BYTES..][..RANK_MIN + row.payload.len()],
        );
        (row.order, row.deleted, [&*row.payload, &sum].concat())
    };
    visible.max_by_key(bytes).map(|row| (row.order, row.deleted, &*row.payload))
}

fn rank(step: Step<'_>) -> (RowOrder, bool, &[u8]) {
    (step.order(), step.deleted(), step.payload())
}

proptest! {
    #[test]
    fn under_one_horizon_merging_is_a_semilattice(
        a in vec(rows(), 0..5), b in vec(rows(), 0..5), c in vec(rows(), 0..5), horizon in horizons()
    ) {
        let [x, y, z] = [&a, &b, &c].map(|rows| Cell::of(rows, horizon));
        let merge = |x: &Cell, y: &Cell| x.merge(y, horizon);
        prop_assert_eq!(merge(&x, &x), x.clone());
        prop_assert_eq!(merge(&x, &y), merge(&y, &x));
        prop_assert_eq!(merge(&merge(&x, &y), &z), merge(&x, &merge(&y, &z)));
        // Any partition of the rows is the cell of all rows.
        prop_assert_eq!(merge(&merge(&x, &y), &z), Cell::of(a.iter().chain(&b).chain(&c), horizon));
    }

    #[test]
    fn a_cell_answers_as_the_whole_history_or_not_at_all(
        writes in vec((vec(rows(), 0..4), horizons()), 1..6), tree in vec(any::<prop::sample::Index>(), 12)
    ) {
        // Writers with horizons of their own, merged pairwise in any order, under any of their horizons.
        let mut cells: Vec<(Cell, Timestamp)> =
            writes.iter().map(|(rows, horizon)| (Cell::of(rows, *horizon), *horizon)).collect();
        for pick in tree.chunks(2) {
            if cells.len() > 1 {
                let (a, _) = cells.swap_remove(pick[0].index(cells.len()));
                let other = pick[1].index(cells.len());
                let (b, horizon) = &cells[other];
                cells[other] = (a.merge(b, *horizon), *horizon);
            }
        }
        let newest = writes.iter().map(|(_, horizon)| *horizon).max().unwrap();
        let cell = cells.into_iter().map(|(cell, _)| cell).reduce(|a, b| a.merge(&b, newest)).unwrap();
        let all: Vec<OnlineRow> = writes.into_iter().flat_map(|(rows, _)| rows).collect();
        for t in instants() {
            match cell.at(t) {
                At::Row(step) => prop_assert_eq!(Some(rank(step)), oracle(&all, t), "at {}", t),
                At::Nothing => prop_assert_eq!(None, oracle(&all, t), "at {}", t),
                At::TooOld { kept_from } => prop_assert!(t < newest.min(kept_from), "at {}, from {}", t, kept_from),
            }
        }
    }

    #[test]
    fn what_a_store_holds_is_the_merge(
        old in vec(rows(), 0..4), new in vec(rows(), 0..4), horizons in [horizons(), horizons(), horizons()]
    ) {
        let [h_old, h_new, horizon] = horizons;
        let (old, new) = (Cell::of(&old, h_old), Cell::of(&new, h_new));
        let merged = old.merge(&new, horizon);
        let held = Cell::after(Some(&old), &new, horizon);
        if new.is_empty() {
            prop_assert_eq!(held, None);
        } else {
            prop_assert_eq!(held.as_ref().unwrap_or(&old), &merged);
            prop_assert_eq!(held.is_some(), merged != old);
        }
        // The server's script relies on it: a settled cell that is there already changes nothing.
        prop_assert_eq!(Cell::after(Some(&*new.settled(horizon)), &new, horizon), None);
        let first = Cell::after(None, &new, horizon);
        prop_assert_eq!(first, (!new.is_empty()).then(|| Cell::of(&[], horizon).merge(&new, horizon)));
    }

    #[test]
    fn bytes_come_back(rows in vec(rows(), 0..5), horizon in horizons()) {
        let cell = Cell::of(&rows, horizon);
        prop_assert_eq!(Cell::parse(cell.as_bytes().to_vec()), Ok(cell));
    }

    #[test]
    fn broken_bytes_are_refused_or_harmless(
        rows in vec(rows(), 0..4), horizon in horizons(),
        cut in any::<prop::sample::Index>(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)
    ) {
        let cell = Cell::of(&rows, horizon);
        let mut bytes = cell.as_bytes().to_vec();
        for (at, flip) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(other) = Cell::parse(bytes) {
            instants().for_each(|t| { other.at(t); });
            prop_assert!(Cell::parse(cell.merge(&other, horizon).0).is_ok());
        }
    }

    /// FT 21: at the present, a flipped byte is an error or the same answer. (Of the cell's own flags, one bit says only
    /// whether the past may be asked for.)
    #[test]
    fn a_flipped_byte_is_never_another_answer(
        rows in vec(rows(), 1..4), horizon in horizons(), place in any::<prop::sample::Index>(), flip in 1..=255u8
    ) {
        let cell = Cell::of(&rows, horizon);
        let mut bytes = cell.as_bytes().to_vec();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(other) = Cell::parse(bytes) {
            for t in instants().filter(|t| *t >= cell.kept_from().unwrap_or(horizon)) {
                match (cell.at(t), other.at(t)) {
                    (At::Row(want), At::Row(found)) => prop_assert_eq!(rank(found), rank(want), "byte {} ^ {}", place, flip),
                    (_, At::TooOld { .. }) => prop_assert_eq!(place, 1),
                    (want, found) => prop_assert_eq!(found, want, "byte {} ^ {}", place, flip),
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_harmless(mut bytes in vec(any::<u8>(), 0..80)) {
        if let Some(format) = bytes.first_mut() {
            *format = FORMAT;
        }
        if let Ok(cell) = Cell::parse(bytes) {
            instants().for_each(|t| { cell.at(t); });
        }
    }
}

/// Every flip of the flags of a step, among them those that say it has no sum.
#[test]
fn flags_that_are_flipped_are_an_error() {
    for deleted in [false, true] {
        let row = OnlineRow { deleted, ..row(1, 1, b"a") };
        let bytes = Cell::of(&[row], at(3)).as_bytes().to_vec();
        let flags = HEADER_BYTES + 4 + TIME_BYTES + ORDER_BYTES;
        for flip in 1..=255_u8 {
            let mut flipped = bytes.clone();
            flipped[flags] ^= flip;
            assert!(Cell::parse(flipped).is_err(), "deleted {deleted} ^ {flip}");
        }
    }
}

#[test]
fn the_current_row_and_those_to_come_are_kept() {
    let rows = [row(1, 1, b"a"), row(2, 2, b"b"), row(5, 5, b"c"), row(4, 6, b"beaten"), row(9, 9, b"d")];
    let cell = Cell::of(&rows, at(3));
    let payloads: Vec<_> = cell.steps().map(|step| step.payload()).collect();
    assert_eq!(payloads, [b"b", b"c", b"d"]);
    assert_eq!(cell.at(at(1)), At::TooOld { kept_from: at(2) });
    for (t, want) in [(2, b"b"), (4, b"b"), (5, b"c"), (6, b"c"), (9, b"d"), (100, b"d")] {
        let At::Row(step) = cell.at(at(t)) else { panic!("at {t}") };
        assert_eq!(step.payload(), want, "at {t}");
    }
}

#[test]
fn a_key_with_only_future_rows_has_none_yet() {
    let cell = Cell::of(&[row(5, 5, b"soon")], at(3));
    assert_eq!((cell.at(at(4)), cell.at(at(0)), cell.kept_from()), (At::Nothing, At::Nothing, None));
    assert!(matches!(cell.at(at(5)), At::Row(_)));
    // Once a writer saw it current, a late row may have been dropped before it: the past is no longer vouched for.
    let later = cell.merge(&Cell::of(&[row(4, 4, b"late")], at(6)), at(6));
    assert_eq!(later.at(at(4)), At::TooOld { kept_from: at(5) });
}

#[test]
fn no_rows_make_nothing() {
    let cell = Cell::of(&[], at(3));
    assert!(cell.is_empty());
    assert_eq!(cell.at(Timestamp::MAX), At::Nothing);
}

#[test]
fn what_does_not_parse_says_why() {
    let cell = Cell::of(&[row(1, 1, b"a"), row(5, 5, b"b")], at(3)).0;
    #[track_caller]
    fn check(bytes: Vec<u8>, want: &str) {
        assert_eq!(Cell::parse(bytes).unwrap_err().to_string(), want);
    }
    let with = |at: usize, byte: u8| {
        let mut bytes = cell.clone();
        bytes[at] = byte;
        bytes
    };
    check(vec![], "it ends in the middle, at byte 0");
    check(with(0, 2), "its format is 2, and this version reads 1");
    check(with(1, 2), "byte 1 has unknown flags");
    check(vec![FORMAT, TRUNCATED], "byte 1 has unknown flags");
    check(with(6 + TIME_BYTES + ORDER_BYTES, 4), "byte 2 has unknown flags");
    check(with(6, 0xff), "the row at byte 2 is damaged: its bytes are not those that were written");
    let descending =
        [Cell::of(&[row(5, 5, b"b")], at(3)).0, Cell::of(&[row(1, 1, b"a")], at(3)).0[2..].to_vec()].concat();
    check(descending, "its rows do not ascend at byte 44");
    check(cell[..20].to_vec(), "it ends in the middle, at byte 20");
}

/// Written by the first version; readers of every later one must take it. A change here is a new format.
#[test]
fn the_first_format_reads_for_ever() {
    let order = RowOrder { event_time: at(1), created_time: Some(at(2)), sequence: 3 };
    let rows = [
        OnlineRow { order, visible_from: at(2), deleted: false, payload: b"p".as_slice().into() },
        OnlineRow {
            order: RowOrder { event_time: at(256), ..order },
            visible_from: at(256),
            deleted: true,
            payload: [].into(),
        },
    ];
    let cell = Cell::of(&rows, at(3));
    let written: String = cell.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let first = [
        "0101",
        "00000022",
        "8000000000000002",
        "8000000000000001",
        "8000000000000002",
        "0000000000000003",
        "00",
        "70",
        "00000021",
        "8000000000000100",
        "8000000000000100",
        "8000000000000002",
        "0000000000000003",
        "01",
    ];
    let bytes = hex::decode(first.concat()).unwrap();
    let read = Cell::parse(bytes.clone()).unwrap();
    let ranks = |cell: &Cell| {
        cell.steps().map(|step| (step.order(), step.deleted(), step.payload().to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(ranks(&read), ranks(&cell));
    assert_eq!(read.as_bytes(), bytes);
    // A tombstone that was a row, before its flags were flipped.
    let mut flipped = bytes;
    flipped[6 + TIME_BYTES + ORDER_BYTES] = TOMBSTONE;
    assert_eq!(Cell::parse(flipped), Err(MalformedCell::Damaged { at: 2 }));
    // What is written today: the same with sums. The rows that were there are replaced by theirs.
    let today = [
        "0101",
        "00000026",
        "8000000000000002",
        "8000000000000001",
        "8000000000000002",
        "0000000000000003",
        "02",
        "70",
        "79fd2b09",
        "00000025",
        "8000000000000100",
        "8000000000000100",
        "8000000000000002",
        "0000000000000003",
        "03",
        "1a888b5e",
    ];
    assert_eq!(written, today.concat());
    assert_eq!(read.merge(&cell, at(3)), cell);
}
