use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, TimestampNanosecondArray};
use arrow::datatypes::{Float64Type, Int64Type};
use expect_test::{Expect, expect};
use proptest::collection::vec;
use proptest::prelude::*;
use schema::{AppliedDefinitions, Dtype, EntityKey};

use super::*;
use crate::erase::Tombstones;
use crate::materialize::Materializer;
use crate::offline::OfflineStore;
use crate::online::marks::Marks;
use crate::online::{At, MemoryStore, OnlineStore};
use crate::push::{To, push, share};
use crate::testing::{declared, parquet};

const NOW: Timestamp = Timestamp::from_nanos(1_000);

const FIRST: &str = "kind: entity\nname: user\njoin_keys: [{name: k, type: int64}]\n---\n\
                     kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\nfield_mapping: {b: v}\n---\n\
                     kind: feature_view\nname: f\nentity: user\nsource: rows\nfeatures: [{name: v, type: float64}]\n";

/// The versions that a view gets from texts, each of which replaces something of the first.
#[track_caller]
fn versions(edits: &[&[(&str, &str)]]) -> Vec<FeatureView> {
    let mut applied = AppliedDefinitions::default().after(&declared(FIRST));
    for edits in edits {
        let mut text = FIRST.to_owned();
        for (from, to) in *edits {
            assert!(text.contains(from), "{from}");
            text = text.replacen(from, to, 1);
        }
        applied = applied.after(&declared(text));
    }
    let versions = applied.views.into_values().next().unwrap().all;
    assert_eq!(versions.len(), edits.len() + 1, "each edit is a version");
    versions
}

#[track_caller]
fn check(edits: &[(&str, &str)], there: Expect, back: Expect) {
    let [was, now] = &versions(&[edits])[..] else { panic!("two versions") };
    let said = |from, to| carries(from, to).err().unwrap_or_else(|| "carried".to_owned());
    there.assert_eq(&said(was, now));
    back.assert_eq(&said(now, was));
}

#[test]
fn what_is_shared_is_what_means_the_same() {
    let yes = || expect!["carried"];
    let end = "features: [{name: v, type: float64}]\n";
    check(&[(end, "ttl: 1d\nfeatures: [{name: v, type: float64}]\n")], yes(), yes());
    check(&[(end, "known: event\nfeatures: [{name: v, type: float64}]\n")], yes(), yes());
    check(
        &[(end, "features: [{name: v, type: float64}]\ncomputed: [{name: c, type: float64, expr: v * 2}]\n")],
        yes(),
        yes(),
    );
    check(&[("path: rows.parquet", "path: others.parquet"), ("event_time: ts", "event_time: at")], yes(), yes());
    check(&[(end, "features: [{name: v, type: float64}, {name: w, type: int64}]\n")], yes(), yes());
    check(&[(end, "features: [{name: v, type: float32}]\n")], expect!["`v` is float32 and was float64"], yes());
    check(
        &[(end, "features: [{name: w, type: float64}]\n")],
        expect!["it has other features"],
        expect!["rows of `f@v2` have no `v`"],
    );
    check(
        &[("event_time: ts", "event_time: at")],
        expect!["its event time is `at` and was `ts`"],
        expect!["its event time is `ts` and was `at`"],
    );
    let other = || expect!["`v` comes from another column"];
    check(&[("{b: v}", "{a: v}")], other(), other());
    let other = || expect!["its join keys are others"];
    check(&[("type: int64", "type: int32")], other(), other());
    let other = || expect!["its query is another"];
    check(
        &[(end, "event_time: ts\nsql: SELECT k, ts, b AS v FROM rows\nfeatures: [{name: v, type: float64}]\n")],
        other(),
        other(),
    );
}

#[test]
fn whatever_is_wider_can_be_carried() {
    for (from, to) in Dtype::all().flat_map(|from| Dtype::all().map(move |to| (from, to))) {
        if from.widens_to(to) {
            let column = new_null_array(&from.to_arrow(), 2);
            cast::conform(&column, to, None).unwrap_or_else(|why| panic!("{from} to {to}: {why}"));
        }
    }
}

const TTL: &[(&str, &str)] = &[("entity: user\n", "entity: user\nttl: 1d\n")];
const MORE: &[(&str, &str)] = &[("{name: v, type: float64}", "{name: v, type: float64}, {name: w, type: float64}")];

/// One row of a version's columns.
fn rows(view: &FeatureView, key: i64, at: i64, v: f64, w: f64) -> RecordBatch {
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(Int64Array::from(vec![key]))),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![at]).with_timezone("UTC"))),
        ("v", Arc::new(Float64Array::from(vec![v]))),
    ];
    if view.definition.features.len() > 1 {
        columns.push(("w", Arc::new(Float64Array::from(vec![w]))));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

fn key(key: i64) -> EntityKey {
    EntityKey::from_columns(&[Arc::new(Int64Array::from(vec![key])) as ArrayRef], 1).remove(0).unwrap()
}

fn store(folder: &Path) -> OfflineStore {
    let names: [(&str, ArrayRef); 4] = [
        ("k", Arc::new(Int64Array::from(vec![0]))),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![0]).with_timezone("UTC"))),
        ("b", Arc::new(Float64Array::from(vec![0.5]))),
        ("w", Arc::new(Float64Array::from(vec![0.25]))),
    ];
    parquet(&folder.join("rows.parquet"), &RecordBatch::try_from_iter(names).unwrap());
    OfflineStore::new(folder, &folder.join("offline"))
}

/// Key, time, stamp, and values: what a version's log has, in its order.
type Logged = (i64, i64, i64, Option<String>, Option<String>);

fn logged(log: &PushLog, view: &FeatureView) -> Vec<Logged> {
    let mut all = Vec::new();
    let pushes = log.rows_since(view, 0).unwrap();
    for (i, rows) in pushes.iter().flat_map(|rows| (0..rows.len()).map(move |i| (i, rows))) {
        let order = rows.order(i);
        assert_eq!(crate::push::rows::place(order.sequence), all.len() as u64, "places have no gaps");
        let value = |at: usize| {
            let column = rows.features().get(at)?.as_primitive::<Float64Type>();
            column.is_valid(i).then(|| column.value(i).to_string())
        };
        let key = rows.keys()[0].as_primitive::<Int64Type>().value(i);
        all.push((key, order.event_time.as_nanos(), order.created_time.unwrap().as_nanos(), value(0), value(1)));
    }
    all
}

#[tokio::test]
async fn a_new_version_begins_with_what_was_pushed_and_the_old_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = (store(folder.path()), MemoryStore::default());
    let log = offline.pushes().unwrap();
    let views = versions(&[TTL, MORE]);
    let [first, second, third] = &views[..] else { panic!("three versions") };
    let send = async |view: &FeatureView, key: i64, id: Option<&str>, now: i64| {
        let now = Timestamp::from_nanos(now);
        push(view, &rows(view, key, 5, 1.5, 2.5), id, To::Offline, &log, &online, now).await.unwrap().repeated
    };
    let row = |key, stamp, w: Option<&str>| (key, 5, stamp, Some("1.5".to_owned()), w.map(str::to_owned));
    assert!(!send(first, 1, Some("one"), 10).await);
    assert_eq!([first, second, third].map(|view| log.n_rows(view).unwrap()), [1; 3], "counted before it is copied");
    assert_eq!(logged(&log, second), [row(1, 10, None)]);
    assert!(send(second, 1, Some("one"), 11).await, "ids are carried with their pushes");
    // Of a server that has not seen the new version yet; then to the new one, and to one that knows more.
    send(first, 2, None, 20).await;
    send(second, 3, None, 30).await;
    send(third, 4, None, 40).await;
    let all = [row(1, 10, None), row(2, 20, None), row(3, 30, None), row(4, 40, None)];
    assert_eq!((logged(&log, first), logged(&log, second)), (all.to_vec(), all.to_vec()));
    assert_eq!(logged(&log, third)[3], row(4, 40, Some("2.5")));
    assert_eq!(logged(&log, third)[..3], all[..3]);
    assert_eq!(offline.history(third).await.unwrap().n_pushed(), 4);
    assert_eq!([first, second, third].map(|view| log.n_rows(view).unwrap()), [4; 3]);
    assert!(!send(third, 3, None, 50).await, "it says `w`, which the row before did not");
    assert_eq!(logged(&log, first), all, "but nothing that an older version has not got");
}

#[tokio::test]
async fn an_older_version_that_is_online_is_brought_what_it_shares() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = (store(folder.path()), MemoryStore::default());
    let log = offline.pushes().unwrap();
    let views = versions(&[TTL, MORE]);
    for view in &views[..2] {
        let history = offline.history(view).await.unwrap();
        Materializer::new(view, &history, &online, NOW).run(false, &|_| {}).await.unwrap();
    }
    let sent = rows(&views[1], 7, 5, 1.5, 0.0);
    for again in [false, true] {
        let now = Timestamp::from_nanos(if again { 2_000 } else { 1_000 });
        let done = push(&views[1], &sent, None, To::Online, &log, &online, now).await.unwrap();
        assert_eq!(done.repeated, again);
        // As if the process had been killed before, the first time.
        if again {
            share(&views[1], &[views[0].clone(), views[2].clone()], &sent, &log, &online, now).await.unwrap();
        }
    }
    let found = async |store: &MemoryStore, view: &FeatureView| {
        let table = Marks::read(store, view).await.unwrap().table(view)?;
        match store.get_many(&[table], &[key(7)]).await.unwrap().get(0, 0).map(|cell| cell.at(Timestamp::MAX)) {
            Some(At::Row(step)) => Some(format!("{step:?}")),
            _ => None,
        }
    };
    let rebuilt = MemoryStore::default();
    let history = offline.history(&views[0]).await.unwrap();
    Materializer::new(&views[0], &history, &rebuilt, NOW).run(false, &|_| {}).await.unwrap();
    let there = found(&online, &views[0]).await;
    assert!(there.is_some());
    assert_eq!(there, found(&rebuilt, &views[0]).await, "the same that history has");
    assert_eq!(found(&online, &views[2]).await, None, "it is not materialized");
}

#[tokio::test]
async fn who_was_erased_is_not_carried() {
    let folder = tempfile::tempdir().unwrap();
    let (offline, online) = (store(folder.path()), MemoryStore::default());
    let log = offline.pushes().unwrap();
    let views = versions(&[TTL]);
    for key in [7, 8] {
        push(&views[0], &rows(&views[0], key, 5, 1.5, 0.0), None, To::Offline, &log, &online, NOW).await.unwrap();
    }
    Tombstones::add(&folder.path().join("offline"), &[(vec!["k".to_owned()], key(7))], NOW).unwrap();
    assert_eq!(logged(&log, &views[1]).iter().map(|row| row.0).collect::<Vec<_>>(), [8]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whichever versions rows are pushed to and whenever anybody looks, each version has all rows that it shares, once.
    #[test]
    fn all_versions_have_all_they_share(
        pushes in vec((0..3usize, 0..3i64, 0..2u8, 0..2u8, any::<bool>()), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (offline, online) = (store(folder.path()), MemoryStore::default());
        let (log, views) = (offline.pushes().unwrap(), versions(&[TTL, MORE]));
        let (mut shared, mut third) = (BTreeSet::new(), BTreeSet::new());
        for (at, (version, key, v, w, look)) in pushes.into_iter().enumerate() {
            let (view, now) = (&views[version], Timestamp::from_nanos(i64::try_from(at).unwrap()));
            let sent = rows(view, key, 5, v.into(), w.into());
            runtime.block_on(push(view, &sent, None, To::Offline, &log, &online, now)).unwrap();
            // What an older version knows already is no new row of it, and so none that a newer one lacks.
            if shared.insert((key, v.to_string())) || version == 2 {
                third.insert((key, v.to_string(), (version == 2).then(|| w.to_string())));
            }
            if look {
                logged(&log, &views[at % 3]);
            }
        }
        let found: Vec<_> = logged(&log, &views[2]).into_iter().map(|row| (row.0, row.3.unwrap(), row.4)).collect();
        prop_assert_eq!(found.len(), third.len());
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), third);
        for view in &views[..2] {
            let found: Vec<_> = logged(&log, view).into_iter().map(|row| (row.0, row.3.unwrap())).collect();
            prop_assert_eq!(found.len(), shared.len());
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), shared.clone());
        }
    }
}
