//! Meanings: what changes a version and what does not, and which views a service reads under which names.

use expect_test::{Expect, expect};

use super::*;
use crate::definitions::File;

/// Fingerprints are stored and pinned by models: what a definition means must keep its digest for ever.
#[test]
fn definitions_of_the_first_dtypes_keep_their_fingerprints() {
    let features = [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "string",
        "bytes",
        "date",
        "timestamp",
    ];
    let lines: String = features.iter().map(|dtype| format!("- {{name: f_{dtype}, type: {dtype}}}\n")).collect();
    let text = format!(
        "kind: entity\nname: user\njoin_keys: [{{name: user_id, type: int64}}, {{name: region, type: string}}]\n---\n\
         kind: source\nname: orders\npath: orders.parquet\nevent_time: at\ncreated_time: known_at\n\
         timezone: Europe/Berlin\n---\n\
         kind: feature_view\nname: user_features\nentity: user\nsource: orders\nttl: 365d\nfeatures:\n{lines}\
         computed:\n- {{name: twice, type: float64, expr: f_float64 * 2.0}}\n---\n\
         kind: feature_service\nname: s\nfeatures: ['user_features:f_int64', 'user_features:f_timestamp', 'user_features:twice']\n\
         fill: {{f_int64: 7, f_timestamp: '2024-01-01', twice: 0.5}}\n"
    );
    let declared = Definitions::read(&[File { path: "p.yaml".to_owned(), text }]).unwrap();
    let applied = AppliedDefinitions::default().after(&declared);
    let view = applied.current_view("user_features").unwrap().fingerprint;
    let service = applied.current_service("s").unwrap().fingerprint;
    expect![[r#"
        51a884ae8d4ced3fd2c7037942c41e36a44a6430ce4d1a7186ca0b990b8fa391
        fd339ebb3745014582f5241f7eba9834d80e61ed2c5a7318d3cdc7ee1e5787c8
    "#]]
    .assert_eq(&format!("{view}\n{service}\n"));
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

/// A model that was trained before there were aliases and on-demand views must find its service.
#[test]
fn the_demos_services_mean_what_their_models_were_trained_on() {
    let files = [
        file("user_features.yaml", include_str!("../../../../examples/repeat_purchase/features/user_features.yaml")),
        file("user_features.sql", include_str!("../../../../examples/repeat_purchase/features/user_features.sql")),
        file("services.yaml", include_str!("../../../../examples/repeat_purchase/features/services.yaml")),
    ];
    let applied = AppliedDefinitions::default().after(&Definitions::read(&files).unwrap());
    let fingerprint = |service: &str| applied.current_service(service).unwrap().fingerprint.to_string();
    let trained = |golden: &str| {
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        golden["service_fingerprint"].as_str().unwrap().to_owned()
    };
    let golden = include_str!("../../../../models/repeat_purchase_v1.golden.json");
    assert_eq!(fingerprint("repeat_purchase_v1"), trained(golden));
    let golden = include_str!("../../../../models/repeat_purchase_v2.golden.json");
    assert_eq!(fingerprint("repeat_purchase_v2"), trained(golden));
    // What is stored of them says nothing of what they do not use.
    let stored = serde_json::to_string(&applied).unwrap();
    for word in ["alias", "uses", "on_demand", "join_keys", "pii"] {
        assert!(!stored.contains(&format!("\"{word}\"")), "{word} is in {stored}");
    }
}

const TRIPS: &str = "
{kind: entity, name: city, join_key: city_id, type: int64}
---
{kind: source, name: rows, path: rows.parquet, event_time: ts}
---
{kind: feature_view, name: city_stats, entity: city, source: rows, features: [{name: population, type: int64}, {name: area, type: float64}]}
---
kind: on_demand_view
name: density
description: People per square kilometre.
inputs: [city_stats:population, city_stats:area]
features: [{name: density, type: float64, expr: population / area}]
---
kind: on_demand_view
name: trip
views:
  - {view: city_stats, as: origin, join_keys: {city_id: origin_id}}
  - {view: density, as: crowd, join_keys: {city_id: destination_id}}
inputs: [origin:population, crowd:density]
request: [{name: km, type: float64}]
features: [{name: pull, type: float64, expr: population * density / km}]
---
kind: feature_service
name: s
views:
  - {view: city_stats, as: from, join_keys: {city_id: origin_id}}
  - {view: city_stats, as: to, join_keys: {city_id: destination_id}}
features:
  - {feature: from:population, as: from_population}
  - {feature: to:population, as: to_population}
  - trip:pull
";

fn applied(edits: &[(&str, &str)]) -> AppliedDefinitions {
    after(&AppliedDefinitions::default(), edits)
}

fn after(before: &AppliedDefinitions, edits: &[(&str, &str)]) -> AppliedDefinitions {
    let mut text = TRIPS.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    before.after(&Definitions::read(&[file("p.yaml", &text)]).unwrap_or_else(|m| panic!("{m:#?}")))
}

#[track_caller]
fn uses(all: &AppliedDefinitions, want: Expect) {
    let service = all.current_service("s").unwrap();
    let keys = |renamed: &BTreeMap<FeatureName, FeatureName>| {
        renamed.iter().map(|(key, column)| format!(" {key}={column}")).collect::<String>()
    };
    let stored = service.uses.iter().map(|u| format!("{} = {}{}", u.name, u.view, keys(&u.join_keys)));
    let on_demand = service.on_demand.iter().map(|u| {
        let inputs: Vec<String> = u.inputs.iter().map(|i| format!("{}:{}", i.of, i.feature)).collect();
        format!("{} = {}({}){}", u.name, u.view, inputs.join(", "), keys(&u.join_keys))
    });
    want.assert_eq(&stored.chain(on_demand).collect::<Vec<_>>().join("\n"));
}

#[test]
fn one_view_by_two_keys_is_read_once_for_each() {
    // The on-demand view's `origin` is what the service calls `from`: one use. Its input's input gets the other key.
    uses(
        &applied(&[]),
        expect![[r#"
            from = city_stats@v1 city_id=origin_id
            to = city_stats@v1 city_id=destination_id
            crowd = density@v1(to:population, to:area) city_id=destination_id
            trip = trip@v1(from:population, crowd:density)"#]],
    );
}

#[test]
fn names_behind_an_on_demand_view_give_way() {
    uses(
        &applied(&[
            ("as: from, join_keys: {city_id: origin_id}", "as: origin, join_keys: {city_id: home_id}"),
            ("from:population, as", "origin:population, as"),
        ]),
        expect![[r#"
            origin = city_stats@v1 city_id=home_id
            to = city_stats@v1 city_id=destination_id
            trip.origin = city_stats@v1 city_id=origin_id
            crowd = density@v1(to:population, to:area) city_id=destination_id
            trip = trip@v1(trip.origin:population, crowd:density)"#]],
    );
}

#[test]
fn an_on_demand_view_may_be_read_by_other_keys() {
    uses(
        &applied(&[
            (
                "as: to, join_keys: {city_id: destination_id}}",
                "as: to, join_keys: {city_id: destination_id}}\n  - {view: trip, as: back, join_keys: {origin_id: destination_id, destination_id: origin_id}}",
            ),
            ("  - trip:pull", "  - trip:pull\n  - {feature: back:pull, as: pull_back}"),
        ]),
        expect![[r#"
            from = city_stats@v1 city_id=origin_id
            to = city_stats@v1 city_id=destination_id
            crowd = density@v1(to:population, to:area) city_id=destination_id
            trip = trip@v1(from:population, crowd:density)
            back.crowd = density@v1(from:population, from:area) city_id=origin_id
            back = trip@v1(to:population, back.crowd:density) destination_id=origin_id origin_id=destination_id"#]],
    );
}

/// Versions of the view, both on-demand views and the service after an edit of what was applied.
#[track_caller]
fn versions(edits: &[(&str, &str)], want: [u32; 4]) {
    let all = after(&applied(&[]), edits);
    let got = [
        all.current_view("city_stats").unwrap().id.version,
        all.current_on_demand("density").unwrap().id.version,
        all.current_on_demand("trip").unwrap().id.version,
        all.current_service("s").unwrap().version,
    ];
    assert_eq!(got, want, "{edits:?}");
}

#[test]
fn the_meaning_of_an_on_demand_view_is_what_it_computes_of_what() {
    versions(&[], [1, 1, 1, 1]);
    // Words and layout.
    versions(&[("People per square kilometre.", "Crowds.")], [1, 1, 1, 1]);
    versions(&[("expr: population / area", "expr: 'population   / area -- crowd', pii: true")], [1, 1, 1, 1]);
    versions(
        &[("inputs: [city_stats:population,", "owner: geo\ntags: {a: b}\ninputs: [city_stats:population,")],
        [1, 1, 1, 1],
    );
    // Another alias for the same keys: answers and logs of the service know the view by it.
    versions(&[("as: from,", "as: start,"), ("from:population", "start:population")], [1, 1, 1, 2]);
    versions(&[("as: origin", "as: start"), ("origin:population", "start:population")], [1, 1, 1, 1]);
    // Expression, request field, keys, and what stands upstream.
    versions(&[("population / area", "population / (area + 1.0)")], [1, 2, 2, 2]);
    versions(&[("{name: km, type: float64}", "{name: km, type: float32}")], [1, 1, 2, 2]);
    versions(
        &[("as: crowd, join_keys: {city_id: destination_id}", "as: crowd, join_keys: {city_id: goal_id}")],
        [1, 1, 2, 2],
    );
    versions(
        &[("as: to, join_keys: {city_id: destination_id}", "as: to, join_keys: {city_id: goal_id}")],
        [1, 1, 1, 2],
    );
    versions(&[("source: rows,", "source: rows, ttl: 1d,")], [2, 2, 2, 2]);
}

#[test]
fn a_version_keeps_the_versions_that_it_reads() {
    let first = applied(&[]);
    let second = after(&first, &[("source: rows,", "source: rows, ttl: 1d,")]);
    let old = second.service_by_fingerprint("s", &first.current_service("s").unwrap().fingerprint).unwrap();
    let pinned: Vec<String> = old.pins().iter().map(ToString::to_string).collect();
    assert_eq!(pinned, ["city_stats@v1", "density@v1", "trip@v1"]);
    // Going back is the version that was there.
    let third = after(&second, &[]);
    assert_eq!(third.current_on_demand("trip").unwrap().id.version, 1);
    assert_eq!(third.current_service("s").unwrap().version, 1);
}

#[test]
fn what_is_applied_survives_the_log() {
    let all = applied(&[]);
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<AppliedDefinitions>(&text).unwrap(), all);
}
