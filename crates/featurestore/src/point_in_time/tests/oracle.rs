//! The join against a naive loop over all rows, on random histories and spines.

use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray, UInt64Array};
use proptest::prelude::*;
use schema::{Status, Timestamp};

use super::table::{definitions, write};
use crate::compiled::CompiledService;
use crate::offline::OfflineStore;
use crate::retrieve::EntityRows;
use crate::training::features_at;

/// Key, event time, created time, deletion mark, value.
type Row = (Option<i64>, Option<i64>, Option<i64>, bool, Option<i64>);

/// Event time, created time, position.
type Order = (i64, Option<i64>, usize);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let time = || proptest::option::weighted(0.9, 0..12_i64);
    let row = (
        proptest::option::weighted(0.95, 0..4_i64),
        time(),
        proptest::option::weighted(0.6, 0..14_i64),
        proptest::bool::weighted(0.15),
        proptest::option::weighted(0.85, 0..100_i64),
    );
    proptest::collection::vec(row, 0..24)
}

fn spines() -> impl Strategy<Value = Vec<(Option<i64>, Option<i64>)>> {
    let spine = (proptest::option::weighted(0.95, 0..5_i64), proptest::option::weighted(0.95, 0..15_i64));
    proptest::collection::vec(spine, 0..12)
}

/// The winner's value, status and event time, by looking at every row.
fn naive(
    rows: &[Row],
    key: Option<i64>,
    at: Option<i64>,
    ttl: Option<i64>,
    as_of: bool,
    strict: bool,
) -> (Option<i64>, Status, Option<i64>) {
    let (Some(key), Some(at)) = (key, at) else { return (None, Status::NotFound, None) };
    let mut best: Option<(Order, &Row)> = None;
    for (i, row) in rows.iter().enumerate() {
        let Some(event) = row.1 else { continue };
        let in_time = if strict { event < at } else { event <= at };
        if row.0 != Some(key) || !in_time || as_of && row.2.is_some_and(|created| created > at) {
            continue;
        }
        let order = (event, row.2, i);
        if best.as_ref().is_none_or(|(winner, _)| order > *winner) {
            best = Some((order, row));
        }
    }
    match best {
        None => (None, Status::NotFound, None),
        Some((_, row)) if row.3 => (None, Status::NotFound, None),
        Some(((event, ..), _)) if ttl.is_some_and(|ttl| event < at - ttl) => (None, Status::OutsideMaxAge, Some(event)),
        Some(((event, ..), row)) => {
            (row.4, if row.4.is_some() { Status::Present } else { Status::NullValue }, Some(event))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn the_join_agrees_with_a_naive_loop(
        rows in rows(),
        spine in spines(),
        ttl in proptest::option::of(1..6_i64),
        as_of: bool,
        strict: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let times = |of: fn(&Row) -> Option<i64>| {
            let array: TimestampNanosecondArray = rows.iter().map(of).collect();
            Arc::new(array.with_timezone("UTC"))
        };
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("k", Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()) as arrow::array::ArrayRef, true),
            ("ts", times(|r| r.1), true),
            ("created", times(|r| r.2), true),
            ("gone", Arc::new(rows.iter().map(|r| Some(r.3)).collect::<BooleanArray>()), true),
            ("n", Arc::new((0..rows.len() as u64).map(Some).collect::<UInt64Array>()), true),
            ("v", Arc::new(rows.iter().map(|r| r.4.map(|v| f64::from(i32::try_from(v).unwrap()))).collect::<Float64Array>()), true),
        ]).unwrap();
        write(&folder.path().join("rows.parquet"), &batch);
        let ttl_line = ttl.map(|ttl| format!("ttl: {ttl}ns")).unwrap_or_default();
        let known = if as_of { "as_of" } else { "event" };
        let view = format!("{ttl_line}\nknown: {known}\nstrict_before: {strict}");
        let definitions = definitions(&[("k", "int64")], "created_time: created\ndeleted: gone", &view);
        let compiled = CompiledService::new(definitions.current_service("s").unwrap(), &definitions).unwrap();
        let store = OfflineStore::new(folder.path(), folder.path());
        let keys: arrow::array::ArrayRef = Arc::new(spine.iter().map(|s| s.0).collect::<Int64Array>());
        let at: Vec<Option<Timestamp>> = spine.iter().map(|s| s.1.map(Timestamp::from_nanos)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let asked = EntityRows { n: spine.len(), columns: [("k".to_owned(), keys)].into() };
        let joined = features_at(&store, &compiled, &asked, &at);
        let (found, _) = runtime.block_on(joined).unwrap();
        for (i, (key, at)) in spine.iter().enumerate() {
            let want = naive(&rows, *key, *at, ttl, as_of, strict);
            let got = match schema::Value::at(&found.columns[0], i) {
                schema::Value::Float(v) => Some(format!("{v:.0}").parse().unwrap()),
                _ => None,
            };
            // None where no row counts: an answer says the epoch then.
            let event = found.event_times[0][i].map(Timestamp::as_nanos);
            prop_assert_eq!((got, found.statuses[0][i], event), want, "spine row {} of {:?}", i, spine);
        }
    }
}
