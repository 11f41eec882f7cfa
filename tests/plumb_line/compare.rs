//! The comparison: what is served as of an instant, what a training row at it gets, and what is right.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, StringArray};
use arrow::compute::concat;
use featurestore::FeatureRows;
use featurestore::online::{OnlineReader, OnlineStore};
use featurestore::retrieve::{EntityRows, RetrieveError, retrieve};
use featurestore::training::features_at;
use proptest::prelude::*;
use schema::{EntityKey, Status, Timestamp, Value};

use super::rows::keys;
use super::shape::PEOPLE;
use super::source::key_of;
use super::world::{Ways, World};
use crate::faulty::{Faulty, Met};
use crate::types::{self, Cell};

/// Everybody, somebody who has no rows, and nobody: a null key.
const N: usize = PEOPLE + 2;

fn said(rows: &FeatureRows, row: usize) -> Vec<String> {
    let value = |(i, column): (usize, &ArrayRef)| match Value::at(column, row) {
        // Bits, not text: zero has a sign, and NaNs have payloads, of which arrays are compared besides.
        Value::Float(v) => format!("{:016x} {}", v.to_bits(), rows.statuses[i][row]),
        other => format!("{other} {}", rows.statuses[i][row]),
    };
    let mut all: Vec<String> = rows.columns.iter().enumerate().map(value).collect();
    all.extend(rows.event_times.iter().map(|times| format!("{:?}", times[row])));
    all
}

/// Who is asked for by the view's keys, and who by those of its alias.
fn who(row: usize) -> (Option<usize>, Option<usize>) {
    let person = |at: usize| Some(at).filter(|at| *at <= PEOPLE);
    (person(row), person(N - 1 - row))
}

/// What every request says: two keys, which are sometimes one, and fields of which some are null or odd.
pub(super) fn asked(world: &World<'_>, turn: usize) -> EntityRows {
    let odd = [Some(0.5), None, Some(f64::NAN), Some(-0.0), Some(f64::INFINITY), Some(3.25)];
    let fee: Float64Array = (0..N).map(|row| odd[(row + turn) % odd.len()]).collect();
    let tag: StringArray = (0..N).map(|row| (row % 3 > 0).then(|| format!("tag {row}"))).collect();
    let mut columns: Vec<(String, ArrayRef)> =
        vec![("fee".to_owned(), Arc::new(fee)), ("tag".to_owned(), Arc::new(tag))];
    let (one, other): (Vec<_>, Vec<_>) = (0..N).map(who).unzip();
    for (prefix, people) in [("k", one), ("other_k", other)] {
        let parts = keys(world.shape, &people).into_iter().enumerate();
        columns.extend(parts.map(|(i, column)| (format!("{prefix}{i}"), column)));
    }
    EntityRows { n: N, columns: columns.into_iter().collect() }
}

/// A request's rows, so many times.
fn repeated(entities: &EntityRows, times: usize) -> EntityRows {
    let column = |column: &ArrayRef| concat(&vec![column.as_ref(); times]).unwrap();
    let columns = entities.columns.iter().map(|(name, values)| (name.clone(), column(values)));
    EntityRows { n: entities.n * times, columns: columns.collect() }
}

/// One row of a request alone.
fn alone(entities: &EntityRows, row: usize) -> EntityRows {
    let columns = entities.columns.iter().map(|(name, column)| (name.clone(), column.slice(row, 1)));
    EntityRows { n: 1, columns: columns.collect() }
}

/// At each of these instants: served, trained on and right are one.
pub(super) async fn compare(world: &World<'_>, instants: &[i64], ways: &Ways) -> Result<(), TestCaseError> {
    Ways::count(&ways.checks);
    let compiled = world.compiled();
    let entities = asked(world, instants.len());
    let reader = OnlineReader::new(Arc::clone(&world.store));
    // Offline all instants are asked for at once, as rows of one spine.
    let times: Vec<Option<Timestamp>> =
        instants.iter().flat_map(|t| vec![Some(Timestamp::from_nanos(*t)); N]).collect();
    let all = repeated(&entities, instants.len());
    let (there, _) = features_at(&world.offline, &compiled, &all, &times).await.unwrap();
    is_right(world, instants, &there)?;
    let oracle = world.oracle();
    for (i, at) in instants.iter().enumerate() {
        let t = Timestamp::from_nanos(*at);
        let same = |here: &FeatureRows, row: usize, n: usize| {
            for (here, there) in here.columns.iter().zip(&there.columns) {
                prop_assert_eq!(here.to_data(), there.slice(i * N + row, n).to_data(), "as of {} ns", at);
            }
            for one in 0..n {
                prop_assert_eq!(said(here, one), said(&there, i * N + row + one), "row {} as of {} ns", row + one, at);
            }
            Ok(())
        };
        match retrieve(&reader, &compiled, &entities, t).await {
            Ok(here) => same(&here, 0, N)?,
            Err(RetrieveError::TooOld { .. }) => {
                prop_assert!(*at < world.horizon, "the present is too old: {} ns", at);
                Ways::count(&ways.too_old);
            }
            Err(why) => return Err(TestCaseError::fail(format!("{why:?}"))),
        }
        // Neither does an answer depend on the rows it is computed with.
        for row in (0..N).filter(|row| *at < world.horizon || *row == i % N) {
            match retrieve(&reader, &compiled, &alone(&entities, row), t).await {
                Ok(lone) => same(&lone, row, 1)?,
                Err(RetrieveError::TooOld { view, .. }) => {
                    let key = |who: Option<usize>| who.map(|who| key_of(world.shape, who));
                    let (one, other) = who(row);
                    let forgotten = |key: EntityKey| oracle.may_be_forgotten(&key, *at, world.horizon);
                    let may = [key(one), key(other)].into_iter().flatten().any(forgotten);
                    prop_assert!(may || view.name.as_str() == "g", "row {} as of {} ns is refused", row, at);
                }
                Err(why) => return Err(TestCaseError::fail(format!("{why:?}"))),
            }
        }
    }
    Ok(())
}

/// History gives what a naive loop over all rows gives: values, statuses and event times.
fn is_right(world: &World<'_>, instants: &[i64], there: &FeatureRows) -> Result<(), TestCaseError> {
    let oracle = world.oracle();
    let of = |at: &i64| {
        let at = *at;
        (0..N).map(move |row| (at, who(row).0))
    };
    let asked: Vec<(i64, Option<usize>)> = instants.iter().flat_map(of).collect();
    let people: Vec<EntityKey> = (0..=PEOPLE).map(|who| key_of(world.shape, who)).collect();
    let winners: Vec<_> = asked.iter().map(|(at, who)| who.and_then(|who| oracle.winner(&people[who], *at))).collect();
    for (feature, (name, dtype)) in world.shape.features().into_iter().enumerate() {
        let statuses: Vec<Status> =
            winners.iter().zip(&asked).map(|(winner, (at, _))| oracle.status(*winner, feature, *at)).collect();
        prop_assert_eq!(there.statuses[feature].as_slice(), statuses.as_slice(), "{} of {:?}", name, asked);
        let cell = |(winner, status): (&Option<&super::rows::Row>, &Status)| -> Cell {
            winner.filter(|_| *status == Status::Present).and_then(|row| row.cells[feature].clone())
        };
        let cells: Vec<Cell> = winners.iter().zip(&statuses).map(cell).collect();
        let want = types::column(dtype, &cells);
        prop_assert_eq!(there.columns[feature].to_data(), want.to_data(), "{}: {}", name, dtype);
    }
    let compiled = world.compiled();
    let place = compiled.views.iter().position(|view| view.name == "f").unwrap();
    let want: Vec<_> = winners.iter().map(|winner| winner.map(|row| Timestamp::from_nanos(row.event))).collect();
    prop_assert_eq!(&there.event_times[place], &want);
    Ok(())
}

/// While reads fail, answers are errors or right.
pub(super) async fn compare_failing(
    world: &World<'_>,
    history: &super::history::History,
    met: &Arc<Met>,
) -> Result<(), TestCaseError> {
    let compiled = world.compiled();
    let entities = asked(world, 0);
    let t = Timestamp::from_nanos(history.instants[0].max(world.horizon));
    let (there, _) = features_at(&world.offline, &compiled, &entities, &[Some(t); N]).await.unwrap();
    let faulty = Arc::new(Faulty::new(Arc::clone(&world.store), &history.faults, met));
    let reader = OnlineReader::new(Arc::clone(&faulty) as Arc<dyn OnlineStore>);
    for _ in 0..6 {
        let answer = tokio::select! {
            biased;
            () = faulty.killed_once() => continue,
            answer = retrieve(&reader, &compiled, &entities, t) => answer,
        };
        match answer {
            Ok(here) => {
                for row in 0..N {
                    prop_assert_eq!(said(&here, row), said(&there, row), "row {} while reads fail", row);
                }
            }
            Err(RetrieveError::Online { .. }) => {}
            Err(why) => return Err(TestCaseError::fail(format!("{why:?}"))),
        }
    }
    Ok(())
}
