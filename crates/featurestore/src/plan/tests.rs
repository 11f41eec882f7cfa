//! Plans as people read them.

use expect_test::{Expect, expect};

use super::*;
use crate::testing::declared;

const BEFORE: &str = "kind: entity
name: user
join_key: id
type: int64
---
kind: source
name: rows
path: rows.parquet
event_time: ts
---
kind: feature_view
name: f
entity: user
source: rows
description: What it is.
ttl: 1d
features: [{name: a, type: int64}, {name: b, type: float64}]
computed: [{name: c, type: float64, expr: b * 2.0}]
---
kind: feature_service
name: s
features: ['f:a', 'f:b']
fill: {a: 0}
";

/// Applies `BEFORE`, then plans it with each `(from, to)` replaced.
#[track_caller]
fn check(edits: &[(&str, &str)], want: Expect) {
    let applied = AppliedDefinitions::default().after(&declared(BEFORE));
    let mut text = BEFORE.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    want.assert_eq(&plan(&applied, &declared(&text), &Surroundings::default()).to_string());
}

#[test]
fn nothing_changed() {
    check(
        &[],
        expect![[r#"
        nothing to do: what is declared is applied
    "#]],
    );
}

#[test]
fn a_description_is_only_words() {
    check(
        &[("What it is.", "What it was.")],
        expect![[r#"
        . feature view f v1: changed in words only
    "#]],
    );
}

#[test]
fn another_layout_means_the_same() {
    check(
        &[("expr: b * 2.0", "expr: 'b   *   2.0 -- doubled'")],
        expect![[r#"
        . feature view f v1: changed in words only
    "#]],
    );
}

#[test]
fn a_view_takes_its_services_along() {
    check(
        &[("ttl: 1d", "ttl: 2d"), ("b * 2.0", "b * 3.0")],
        expect![[r#"
            ~ feature view f v2: changed in meaning
                ttl: 1d -> 2d
                ~ c: float64 = b * 2.0 -> float64 = b * 3.0
            ~ feature service s v2: changed in meaning
                ~ a: f@v1:a int64, fill 0 -> f@v2:a int64, fill 0
                ~ b: f@v1:b float64 -> f@v2:b float64
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            > feature view f reaches feature service s
            > `f@v2` is to be materialized: plumb materialize f
            > models on `s` keep its version before; new ones are to be trained on the new one
            ! once applied, a running server answers whoever asks for `f` with 409 (`not_materialized`) until it is online: plumb materialize f; models keep the versions that they have
            > nothing pins `f@v1` any more: its rows stay until plumb view remove f@v1
        "#]],
    );
}

#[test]
fn another_file_is_no_change_of_words() {
    check(
        &[("rows.parquet", "other.parquet")],
        expect![[r#"
            ~ source rows: changed in meaning
            ~ feature view f v2: changed in meaning
                source: rows.parquet -> other.parquet
            ~ feature service s v2: changed in meaning
                ~ a: f@v1:a int64, fill 0 -> f@v2:a int64, fill 0
                ~ b: f@v1:b float64 -> f@v2:b float64
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            > source rows reaches feature view f, feature service s
            > `f@v2` is to be materialized: plumb materialize f
            > models on `s` keep its version before; new ones are to be trained on the new one
            ! once applied, a running server answers whoever asks for `f` with 409 (`not_materialized`) until it is online: plumb materialize f; models keep the versions that they have
            > nothing pins `f@v1` any more: its rows stay until plumb view remove f@v1
        "#]],
    );
}

#[test]
fn order_and_fill_are_meaning_to_a_model() {
    check(
        &[("['f:a', 'f:b']", "['f:b', 'f:a']")],
        expect![[r#"
            ~ feature service s v2: changed in meaning
                the features stand in another order
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            > models on `s` keep its version before; new ones are to be trained on the new one
        "#]],
    );
    check(
        &[("fill: {a: 0}", "fill: {a: 1}")],
        expect![[r#"
            ~ feature service s v2: changed in meaning
                ~ a: f@v1:a int64, fill 0 -> f@v1:a int64, fill 1
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            > models on `s` keep its version before; new ones are to be trained on the new one
        "#]],
    );
}

#[test]
fn what_nobody_declares_any_more_is_gone_and_may_come_back() {
    let first = AppliedDefinitions::default().after(&declared(BEFORE));
    let (without, _) = BEFORE.split_once("---\nkind: feature_service").unwrap();
    let gone = plan(&first, &declared(without), &Surroundings::default());
    expect![[r#"
        - feature service s: gone
            its versions stay until they are removed
    "#]]
    .assert_eq(&gone.to_string());
    let back = plan(&gone.after, &declared(BEFORE), &Surroundings::default());
    expect![[r#"
        ~ feature service s v1: as it was before
    "#]]
    .assert_eq(&back.to_string());
}

/// A version that is current again and was never taken offline answers at once.
#[test]
fn a_version_of_before_that_is_online_needs_nothing() {
    let (first, changed) = (declared(BEFORE), declared(BEFORE.replace("ttl: 1d", "ttl: 2d")));
    let applied = AppliedDefinitions::default().after(&first).after(&changed);
    let back = |online: &[&ViewId]| {
        let around =
            Surroundings { online: online.iter().map(|id| (*id).clone()).collect(), ..Surroundings::default() };
        let plan = plan(&applied, &first, &around);
        (plan.recompute.first().cloned().unwrap_or_default(), plan.unserved)
    };
    let id = ViewId { name: "f".parse().unwrap(), version: 1 };
    let (said, unserved) = back(&[&id]);
    assert_eq!(said, "`f@v1` is online still; what came since it was materialized comes by plumb materialize f");
    assert!(unserved.is_empty(), "{unserved:?}");
    let (said, unserved) = back(&[]);
    assert_eq!((said.as_str(), unserved), ("`f@v1` is to be materialized: plumb materialize f", vec!["f".to_owned()]));
}

#[test]
fn views_that_feast_fills_are_not_to_be_materialized() {
    let feast = BEFORE.replace("ttl: 1d", "ttl: 1d\nonline: {kind: feast}");
    let none = AppliedDefinitions::default();
    let first = plan(&none, &declared(feast.as_str()), &Surroundings::default());
    assert!(first.recompute.is_empty(), "{first}");
    let changed = declared(feast.replace("ttl: 1d", "ttl: 2d"));
    let second = plan(&first.after, &changed, &Surroundings::default());
    assert!(!second.to_string().contains("materialize"), "{second}");
}

const TRIPS: &str = "{kind: entity, name: city, join_key: city_id, type: int64}
---
{kind: source, name: cities, path: cities.parquet, event_time: ts}
---
{kind: feature_view, name: city, entity: city, source: cities, features: [{name: people, type: int64}]}
---
{kind: feature_view, name: mood, entity: city, source: cities, sql: SELECT * FROM cities, event_time: ts, features: [{name: glad, type: bool}]}
---
kind: on_demand_view
name: trip
views: [{view: city, as: origin, join_keys: {city_id: origin_id}}]
inputs: [origin:people]
request: [{name: km, type: float64}]
features: [{name: pull, type: float64, expr: people / km}]
---
{kind: on_demand_view, name: dear, inputs: [trip:pull], features: [{name: fare, type: float64, expr: pull * 2.0}]}
---
{kind: feature_service, name: fares, features: [dear:fare, city:people]}
---
{kind: feature_service, name: moods, features: [mood:glad]}
";

/// Applies `TRIPS` with a model on each service, then plans it with each `(from, to)` replaced.
#[track_caller]
fn check_trips(edits: &[(&str, &str)], want: Expect) {
    let applied = AppliedDefinitions::default().after(&declared(TRIPS));
    let pinned = |model: &str, service: &str, stage: &str| {
        let service = applied.current_service(service).unwrap();
        let (model, stage) = (model.to_owned(), stage.to_owned());
        PinnedModel { model, version: 1, stage, service: service.name.clone(), fingerprint: service.fingerprint }
    };
    let models = vec![pinned("price", "fares", "Production"), pinned("smile", "moods", "None")];
    let rows = [("cities".parse().unwrap(), 1_200)].into();
    let around = Surroundings { models, rows, ..Surroundings::default() };
    let mut text = TRIPS.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    want.assert_eq(&plan(&applied, &declared(&text), &around).to_string());
}

#[test]
fn a_change_reaches_models_through_views_behind_views() {
    check_trips(
        &[("name: city, entity: city,", "name: city, entity: city, ttl: 1d,")],
        expect![[r#"
            ~ feature view city v2: changed in meaning
                ttl: none -> 1d
            ~ on-demand view dear v2: changed in meaning
                ~ pull: trip@v1:pull float64 -> trip@v2:pull float64
            ~ on-demand view trip v2: changed in meaning
                ~ people: city@v1:people int64 by origin_id -> city@v2:people int64 by origin_id
            ~ feature service fares v2: changed in meaning
                ~ fare: dear@v1:fare float64 -> dear@v2:fare float64
                ~ people: city@v1:people int64 -> city@v2:people int64
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            > feature view city reaches on-demand view trip, on-demand view dear, feature service fares, model price version 1 (Production, keeps fares v1)
            > `city@v2` is to be materialized (1200 rows): plumb materialize city
            > models on `fares` keep its version before; new ones are to be trained on the new one
            ! once applied, a running server answers whoever asks for `city` with 409 (`not_materialized`) until it is online: plumb materialize city; models keep the versions that they have
        "#]],
    );
}

#[test]
fn a_change_of_an_on_demand_view_materializes_nothing() {
    check_trips(
        &[("people / km", "people / (km + 1.0)"), ("name: km, type: float64", "name: km, type: float32")],
        expect![[r#"
            ~ on-demand view dear v2: changed in meaning
                ~ pull: trip@v1:pull float64 -> trip@v2:pull float64
            ~ on-demand view trip v2: changed in meaning
                ~ km: float64 of the request -> float32 of the request
                ~ pull: float64 = people / km -> float64 = people / (km + 1.0)
            ~ feature service fares v2: changed in meaning
                ~ fare: dear@v1:fare float64 -> dear@v2:fare float64
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            > on-demand view trip reaches on-demand view dear, feature service fares, model price version 1 (Production, keeps fares v1)
            > models on `fares` keep its version before; new ones are to be trained on the new one
        "#]],
    );
}

#[test]
fn a_source_reaches_every_view_of_it() {
    check_trips(
        &[("cities.parquet", "towns.parquet")],
        expect![[r#"
            ~ source cities: changed in meaning
            ~ feature view city v2: changed in meaning
                source: cities.parquet -> towns.parquet
            ~ feature view mood v2: changed in meaning
                source: cities.parquet -> towns.parquet
            ~ on-demand view dear v2: changed in meaning
                ~ pull: trip@v1:pull float64 -> trip@v2:pull float64
            ~ on-demand view trip v2: changed in meaning
                ~ people: city@v1:people int64 by origin_id -> city@v2:people int64 by origin_id
            ~ feature service fares v2: changed in meaning
                ~ fare: dear@v1:fare float64 -> dear@v2:fare float64
                ~ people: city@v1:people int64 -> city@v2:people int64
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            ~ feature service moods v2: changed in meaning
                ~ glad: mood@v1:glad bool -> mood@v2:glad bool
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            > source cities reaches feature view city, feature view mood, on-demand view trip, on-demand view dear, feature service fares, feature service moods, model price version 1 (Production, keeps fares v1), model smile version 1 (None, keeps moods v1)
            > `city@v2` is to be materialized (1200 rows): plumb materialize city
            > `mood@v2` is to be materialized (a query over 1200 rows of `cities`): plumb materialize mood
            > models on `fares` keep its version before; new ones are to be trained on the new one
            > models on `moods` keep its version before; new ones are to be trained on the new one
            ! once applied, a running server answers whoever asks for `city` and `mood` with 409 (`not_materialized`) until they are online: plumb materialize city mood; models keep the versions that they have
        "#]],
    );
}

#[test]
fn what_no_model_pins_may_go() {
    check_trips(
        &[("---\n{kind: feature_service, name: moods, features: [mood:glad]}\n", "")],
        expect![[r#"
        - feature service moods: gone
            its versions stay until they are removed
        > feature service moods reaches model smile version 1 (None, keeps moods v1)
    "#]],
    );
    let edit = ("join_keys: {city_id: origin_id}", "join_keys: {city_id: home_id}");
    check_trips(
        &[edit],
        expect![[r#"
            ~ on-demand view dear v2: changed in meaning
                ~ pull: trip@v1:pull float64 -> trip@v2:pull float64
            ~ on-demand view trip v2: changed in meaning
                ~ people: city@v1:people int64 by origin_id -> city@v1:people int64 by home_id
            ~ feature service fares v2: changed in meaning
                ~ fare: dear@v1:fare float64 -> dear@v2:fare float64
                compatibility with v1: NONE
                clients of v1 are not answered by models on this version: `migrate_from` declares how
            > on-demand view trip reaches on-demand view dear, feature service fares, model price version 1 (Production, keeps fares v1)
            > models on `fares` keep its version before; new ones are to be trained on the new one
        "#]],
    );
}

#[test]
fn owners_tags_and_pii_are_words() {
    check_trips(
        &[
            ("join_key: city_id, type: int64", "join_key: city_id, type: int64, pii: true, owner: geo"),
            ("event_time: ts}", "event_time: ts, tags: {tier: gold}}"),
            ("{name: people, type: int64}", "{name: people, type: int64, pii: true}"),
            ("name: trip\n", "name: trip\nowner: geo\n"),
            ("name: moods,", "name: moods, description: How a city feels.,"),
        ],
        expect![[r#"
            . entity city: changed in words only
            . source cities: changed in words only
            . feature view city v1: changed in words only
            . feature view mood v1: changed in words only
            . on-demand view trip v1: changed in words only
            . feature service moods v1: changed in words only
        "#]],
    );
}

#[test]
fn a_change_names_the_training_sets_that_were_built_before_it() {
    let applied = AppliedDefinitions::default().after(&declared(TRIPS));
    let built = |path: &str, service: &str| {
        let service = applied.current_service(service).unwrap();
        let (path, fingerprint) = (path.to_owned(), service.fingerprint);
        PinnedTrainingSet { path, service: service.name.clone(), fingerprint }
    };
    let training_sets = vec![built("/sets/fares.parquet", "fares"), built("/sets/moods.parquet", "moods")];
    let around = Surroundings { training_sets, ..Surroundings::default() };
    let changed = TRIPS.replacen("people / km", "people / (km + 1.0)", 1);
    let plan = plan(&applied, &declared(&changed), &around);
    assert_eq!(plan.downstream[0].training_sets, ["/sets/fares.parquet"]);
    assert!(plan.to_string().contains("feature service fares, training set /sets/fares.parquet"), "{plan}");
}

/// Of three versions each answers clients of the one before; then the last of them only of one of both.
#[test]
fn whom_a_version_answers_is_told_of_all_versions() {
    let text = |features: &str, rest: &str| {
        format!(
            "kind: entity\nname: user\njoin_key: k\ntype: int64\n---\n\
             kind: source\nname: rows\npath: rows.parquet\nevent_time: ts\n---\n\
             kind: feature_view\nname: f\nentity: user\nsource: rows\n\
             features: [{{name: a, type: int64}}, {{name: b, type: int64}}, {{name: c, type: int64}}]\n---\n\
             kind: feature_service\nname: s\nfeatures: [{features}]\n{rest}"
        )
    };
    let check = |second: &str, third: &str, want: Expect| {
        let first = AppliedDefinitions::default().after(&declared(text("'f:a'", "")));
        let applied = first.after(&declared(text("'f:a', 'f:b'", second)));
        let plan = plan(&applied, &declared(text("'f:a', 'f:b', 'f:c'", third)), &Surroundings::default());
        let said: Vec<&String> = plan.changes.iter().flat_map(|change| &change.details).collect();
        let said: Vec<&str> = said.iter().map(|said| said.as_str()).filter(|said| said.starts_with("compat")).collect();
        want.assert_eq(&said.join("; "));
    };
    let (one, two) = ("migrate_from: {1: [{add: b, default: 0}]}\n", "migrate_from: {2: [{add: c, default: 0}]}\n");
    check(one, two, expect!["compatibility with v2: BACKWARD; compatibility with every version: BACKWARD_TRANSITIVE"]);
    check("", two, expect!["compatibility with v2: BACKWARD; compatibility with every version: NONE"]);
    check(one, "", expect!["compatibility with v2: NONE; compatibility with every version: NONE"]);
}
