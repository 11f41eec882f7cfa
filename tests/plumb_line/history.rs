//! Random histories: what happens to a source, to its table, to the pushes and to the online store, in any order.

use proptest::prelude::*;
use proptest::sample::Index;

use super::ingesting::{Ingesting, ingesting};
use super::rows::{Row, row};
use super::shape::{PEOPLE, Shape, shapes};
use super::via::{By, Via, by, via};
use crate::faulty::{Fault, faults};

#[derive(Debug, Clone)]
pub(super) struct Push {
    pub rows: Vec<Row>,
    /// One of few: two pushes of one id are one.
    pub id: Option<u8>,
    pub online: bool,
    /// Clients repeat what they are not sure of.
    pub twice: bool,
    pub via: Via,
}

impl Push {
    /// The id that is sent.
    pub(super) fn name(&self) -> Option<String> {
        self.id.map(|id| format!("push {id}"))
    }
}

/// Rows that were pushed before, pushed again: some that follow each other, in two batches or one.
#[derive(Debug, Clone)]
pub(super) struct Rebatched {
    /// The place of the first among all that were pushed.
    pub from: Index,
    pub n: usize,
    /// How many of them are in the first batch.
    pub cut: usize,
    pub backwards: bool,
    pub ids: [Option<u8>; 2],
    pub online: bool,
    pub via: Via,
    /// What corrects the first of them meanwhile.
    pub correction: Option<Row>,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Rows are added to the source; to a table in some way.
    Arrive(Vec<Row>, Ingesting),
    /// The source holds other values in the same rows.
    Amend,
    /// The source holds no rows of a person any more.
    Drop(usize),
    /// The source holds these rows and no others.
    Overwrite(Vec<Row>),
    /// A table's files are written together.
    Compact,
    /// A table is what it was at an earlier version.
    Restore(u8),
    /// Files that no version of a table needs are taken away: all of them, or those of long ago.
    Vacuum {
        now: bool,
    },
    Materialize {
        fresh: bool,
        later: i64,
        by: By,
    },
    Range {
        from: Option<i64>,
        to: Option<i64>,
    },
    RollBack,
    Push(Push),
    Rebatched(Rebatched),
    /// A materialization that is killed, and nobody runs it again yet; but somebody pushes.
    Interrupted {
        fresh: bool,
        after: u8,
        push: Option<Push>,
    },
    /// Pushes while it is running; each after so many turns of the others.
    Beside {
        fresh: bool,
        pushes: Vec<(Push, u8)>,
    },
    /// Two at once.
    Twice {
        fresh: bool,
    },
    /// The source is written anew between being opened and being read.
    Swapped(Vec<Row>),
    /// A person is erased.
    Erase(usize),
    /// Whoever was erased may come again.
    AllowAgain,
    /// The store is empty again.
    Lost,
}

#[derive(Debug, Clone)]
pub(super) struct History {
    pub shape: Shape,
    pub actions: Vec<Action>,
    pub faults: Vec<Fault>,
    /// When answers are compared.
    pub instants: Vec<i64>,
}

fn pushes(shape: &Shape) -> impl Strategy<Value = Push> + use<> {
    let rows = proptest::collection::vec(row(shape), 1..4);
    let id = proptest::option::weighted(0.3, 0..3_u8);
    let flags = (proptest::bool::weighted(0.8), any::<bool>());
    let shape = shape.clone();
    (rows, id, flags, via())
        .prop_map(move |(rows, id, (online, twice), via)| via.fit(&shape, Push { rows, id, online, twice, via }))
}

fn rebatched(shape: &Shape) -> impl Strategy<Value = Rebatched> + use<> {
    let ids = proptest::array::uniform2(proptest::option::weighted(0.3, 0..5_u8));
    let correction = proptest::option::of(row(shape));
    let flags = (any::<bool>(), any::<bool>());
    (any::<Index>(), 1..6_usize, 0..6_usize, flags, ids, via(), correction).prop_map(
        |(from, n, cut, (backwards, online), ids, via, correction)| Rebatched {
            from,
            n,
            cut,
            backwards,
            ids,
            online,
            via,
            correction,
        },
    )
}

fn actions(shape: &Shape) -> impl Strategy<Value = Action> + use<> {
    let rows = |n| proptest::collection::vec(row(shape), n);
    let fresh = || proptest::bool::weighted(0.2);
    let time = || proptest::option::weighted(0.7, 0..24_i64);
    prop_oneof![
        10 => (rows(1..6), ingesting()).prop_map(|(rows, how)| Action::Arrive(rows, how)),
        1 => Just(Action::Amend),
        2 => (0..PEOPLE).prop_map(Action::Drop),
        1 => rows(0..6).prop_map(Action::Overwrite),
        1 => Just(Action::Compact),
        1 => any::<u8>().prop_map(Action::Restore),
        2 => proptest::bool::weighted(0.8).prop_map(|now| Action::Vacuum { now }),
        14 => (fresh(), 0..5_i64, by()).prop_map(|(fresh, later, by)| Action::Materialize { fresh, later, by }),
        1 => (time(), time()).prop_map(|(from, to)| Action::Range { from, to }),
        6 => Just(Action::RollBack),
        8 => pushes(shape).prop_map(Action::Push),
        5 => rebatched(shape).prop_map(Action::Rebatched),
        3 => (any::<bool>(), 0..8_u8, proptest::option::weighted(0.7, pushes(shape)))
            .prop_map(|(fresh, after, push)| Action::Interrupted { fresh, after, push }),
        2 => (any::<bool>(), proptest::collection::vec((pushes(shape), 0..9_u8), 1..3))
            .prop_map(|(fresh, pushes)| Action::Beside { fresh, pushes }),
        1 => fresh().prop_map(|fresh| Action::Twice { fresh }),
        1 => rows(1..6).prop_map(Action::Swapped),
        1 => (0..PEOPLE).prop_map(Action::Erase),
        1 => Just(Action::AllowAgain),
        1 => Just(Action::Lost),
    ]
}

pub(super) fn histories() -> impl Strategy<Value = History> {
    shapes().prop_flat_map(|shape| {
        let first = proptest::collection::vec(row(&shape), 0..8);
        let first = (first, ingesting()).prop_map(|(rows, how)| Action::Arrive(rows, how));
        let then = proptest::collection::vec(actions(&shape), 1..11);
        (Just(shape), first, then, faults(), proptest::collection::vec(-1..44_i64, 12)).prop_map(
            |(shape, first, mut actions, faults, instants)| {
                actions.insert(0, first);
                History { shape, actions, faults, instants }
            },
        )
    })
}
