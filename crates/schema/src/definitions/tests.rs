//! On-demand views, aliases and wildcards as they are written, and every mistake in them as people read it.

use expect_test::{Expect, expect};

use super::*;

const CITIES: &str = "
kind: entity
name: city
owner: geo
tags: {team: geo}
join_keys: [{name: country, type: string}, {name: city_id, type: int64}]
---
{kind: entity, name: user, join_key: user_id, type: int64, pii: true}
---
{kind: source, name: rows, path: rows.parquet, event_time: ts, owner: geo, tags: {tier: gold}}
---
{kind: feature_view, name: city_stats, entity: city, source: rows, features: [{name: population, type: int64}, {name: area, type: float64}]}
---
{kind: feature_view, name: user_stats, entity: user, source: rows, features: [{name: phone, type: string, pii: true}]}
---
";

fn read(text: &str) -> Result<Definitions, Vec<Mistake>> {
    Definitions::read(&[File { path: "p.yaml".to_owned(), text: format!("{CITIES}{text}") }])
}

/// What is wrong with definitions beside `CITIES`, a line each.
#[track_caller]
fn mistakes(text: &str, want: Expect) {
    let lines = match read(text) {
        Ok(_) => "nothing\n".to_owned(),
        Err(mistakes) => mistakes.iter().map(|m| format!("{}{}\n", m.message, hint(m))).collect(),
    };
    want.assert_eq(&lines);
}

fn hint(mistake: &Mistake) -> String {
    mistake.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default()
}

/// The features of the service `s`, as `name = view:feature`.
#[track_caller]
fn features(text: &str, want: Expect) {
    let definitions = read(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let of = |f: &ServiceFeature| format!("{} = {}:{}", f.name, f.view, f.feature);
    let features: Vec<String> = definitions.services["s"].features.iter().map(of).collect();
    want.assert_eq(&features.join("\n"));
}

const TRIP: &str = "
kind: on_demand_view
name: trip
views:
  - {view: city_stats, as: origin, join_keys: {city_id: origin_id}}
inputs: [origin:population]
request: [{name: km, type: float64}]
features: [{name: per_km, type: float64, expr: population / km}]
---
";

#[test]
fn words_of_every_kind_are_kept() {
    let definitions = read(TRIP).unwrap();
    assert!(definitions.entities["user"].pii && !definitions.entities["city"].pii);
    assert!(definitions.views["user_stats"].features[0].pii);
    assert_eq!(definitions.entities["city"].tags["team"], "geo");
    assert_eq!(definitions.sources["rows"].owner.as_deref(), Some("geo"));
    assert_eq!(definitions.on_demand["trip"].request[0].dtype, Dtype::Float64);
}

#[test]
fn a_wildcard_names_all_in_declared_order() {
    features(
        "{kind: feature_service, name: s, features: ['city_stats:*', user_stats:phone]}",
        expect![[r#"
            population = city_stats:population
            area = city_stats:area
            phone = user_stats:phone"#]],
    );
}

#[test]
fn a_wildcard_renames_by_a_pattern() {
    features(
        &format!(
            "{TRIP}
kind: feature_service
name: s
views:
  - {{view: city_stats, as: origin, join_keys: {{city_id: origin_id}}}}
  - {{view: city_stats, as: destination, join_keys: {{city_id: destination_id}}}}
features:
  - {{feature: 'origin:*', as: 'origin_*'}}
  - {{feature: 'destination:*', as: 'destination_*'}}
  - 'trip:*'"
        ),
        expect![[r#"
            origin_population = origin:population
            origin_area = origin:area
            destination_population = destination:population
            destination_area = destination:area
            per_km = trip:per_km"#]],
    );
}

#[test]
fn names_that_are_not_there() {
    mistakes(
        "
kind: feature_service
name: s
views:
  - {view: city_stat, as: origin}
  - {view: city_stats, as: there, join_keys: {cty_id: x}}
features: [origin:population, ther:population, there:size, 'nowhere:*']",
        expect![[r#"
            feature service `s` names view `city_stat`, which nobody declares (did you mean `city_stats`?)
            `join_keys` renames `cty_id`, which is no join key of view `city_stats` (did you mean `city_id`?)
            feature service `s` names feature view `ther`, which nobody declares (did you mean `there`?)
            feature service `s` uses the name `population` twice (rename one: {feature: view:feature, as: name}, or all of a view: {feature: view:*, as: a_*})
            feature view `there` has no feature `size` (there is `population` and `area`)
            `nowhere:*` names a view that nobody declares (did you mean `there`?)
        "#]],
    );
}

#[test]
fn one_name_means_one_thing() {
    mistakes(
        "
kind: feature_service
name: s
views:
  - {view: city_stats, as: user_stats}
  - {view: city_stats, as: twice}
  - {view: city_stats, as: twice}
  - {view: city_stats, as: both, join_keys: {city_id: country}}
features: ['twice:*', 'both:*', {feature: both:area, as: city_id}]",
        expect![[r#"
            feature service `s` reads join key `country` as int64 and as string (rename one: views: [{view: name, join_keys: {key: other_name}}])
            feature service `s` calls view `city_stats` by the name of another view, `user_stats` (choose another name after `as:`)
            feature service `s` calls two views `twice` (give each a name of its own: `as: name`)
            join keys `country` and `city_id` of view `city_stats` are both `country` (name a column of its own for each)
            feature service `s` uses the name `population` twice (rename one: {feature: view:feature, as: name}, or all of a view: {feature: view:*, as: a_*})
            feature service `s` uses the name `area` twice (rename one: {feature: view:feature, as: name}, or all of a view: {feature: view:*, as: a_*})
            feature service `s` calls a feature `city_id`, which is a join key (choose another name after `as:`)
        "#]],
    );
}

#[test]
fn what_an_on_demand_view_reads_is_named_once() {
    mistakes(
        "
kind: on_demand_view
name: trip
inputs: [city_stats:population, city_stats:area]
request: [{name: area, type: float64}, {name: city_id, type: int64}, {name: request_time, type: timestamp}]
features: [{name: population, type: int64, expr: '1'}]
---
{kind: on_demand_view, name: city_stats, inputs: [], features: [{name: one, type: int64, expr: '1'}]}
---
{kind: on_demand_view, name: empty, features: []}",
        expect![[r#"
            on-demand view `trip` uses the name `area` twice (inputs and request fields included) (rename an input: {feature: view:feature, as: name})
            on-demand view `trip` reads `city_id` as a join key and as a field of the request (rename the field)
            `request_time` is the name of the request's time (choose another name)
            on-demand view `trip` uses the name `population` twice (inputs and request fields included) (rename an input: {feature: view:feature, as: name})
            on-demand view `city_stats` has the name of the feature view in p.yaml:12:1 (rename one of them)
            the on-demand view has no features
        "#]],
    );
}

#[test]
fn a_request_field_is_no_feature_and_no_key_of_its_service() {
    mistakes(
        &format!(
            "{TRIP}
kind: feature_service
name: s
views: [{{view: user_stats, join_keys: {{user_id: km}}}}]
features: [trip:per_km, {{feature: city_stats:area, as: km}}, user_stats:phone]
---
{{kind: on_demand_view, name: far, inputs: [trip:per_km], request: [{{name: km, type: int64}}], features: [{{name: x, type: float64, expr: per_km}}]}}"
        ),
        expect![[r#"
            feature service `s` reads `km` as a join key and as a field of the request (rename the field)
            feature service `s` calls a feature `km`, which is a join key (choose another name after `as:`)
            feature service `s` calls a feature `km`, which is a field of the request (choose another name after `as:`)
            on-demand view `far` reads request field `km` as int64, and through its inputs as float64 (rename one of the fields)
        "#]],
    );
}

#[test]
fn views_that_read_each_other_are_told_once() {
    mistakes(
        "
{kind: on_demand_view, name: a, inputs: [b:x], features: [{name: x, type: int64, expr: '1'}]}
---
{kind: on_demand_view, name: b, inputs: [{feature: c:x, as: y}], features: [{name: x, type: int64, expr: '1'}]}
---
{kind: on_demand_view, name: c, views: [{view: a, as: again}], inputs: [{feature: again:x, as: z}], features: [{name: x, type: int64, expr: '1'}]}
---
{kind: feature_service, name: s, features: [a:x]}",
        expect![[r#"
            on-demand views read each other in a circle: `a` reads `b` reads `c` reads `a` (take one of these inputs away)
            on-demand view `a` uses the name `x` twice (inputs and request fields included) (rename an input: {feature: view:feature, as: name})
        "#]],
    );
}

#[test]
fn a_pattern_has_one_star() {
    mistakes(
        "{kind: feature_service, name: s, features: [{feature: 'city_stats:*', as: origin}]}",
        expect![[r#"
            `origin` names all features of a view: write one `*` for the name of each, such as a_*
        "#]],
    );
}

#[test]
fn what_a_source_says_of_texts_and_folders() {
    let text = "
kind: source
name: texts
path: data/*.csv
event_time: at
delimiter: \"\\t\"
bad_rows: reject
columns: [{name: Order Value, type: float64}]
partitions: [{name: day, type: date}]
";
    let texts = read(text).unwrap().sources["texts"].clone();
    assert_eq!((texts.format, texts.delimiter, texts.bad_rows), (Format::Csv, Some('\t'), BadRows::Reject));
    assert_eq!((texts.columns[0].name.as_str(), texts.partitions[0].dtype), ("Order Value", Dtype::Date));
    // What is stored of it is read again.
    let stored = serde_json::to_string(&texts).unwrap();
    assert_eq!(serde_json::from_str::<Source>(&stored).unwrap().partitions, texts.partitions);
}

#[test]
fn what_a_source_cannot_say_of_texts_and_folders() {
    mistakes(
        "
{kind: source, name: a, path: a.parquet, event_time: at, delimiter: ';', bad_rows: reject}
---
{kind: source, name: b, path: b.csv, event_time: at, delimiter: ';;', bad_rows: rejekt}
---
{kind: source, name: c, path: c, event_time: at, columns: [{name: x, type: int64}], partitions: [{name: x, type: int64}, {name: y, type: list<int64>}]}
---
{kind: source, name: d, path: d, format: delta, event_time: at, partitions: [{name: x, type: int64}]}
",
        expect![[r#"
            only CSV files have a `delimiter` (leave it out, or say `format: csv`)
            `bad_rows` is about texts, CSV and JSON lines (leave it out, or say the format)
            `;;` is no delimiter; it is one ASCII character, such as ';', '|' or "\t" in double quotes
            `rejekt` is nothing that happens to bad rows; did you mean `reject`?
            column `x` is declared twice (a column of folders is none of the files)
            partition `y` is a list (names of folders hold single values)
            a Delta table knows its own partitions (leave `partitions` out)
        "#]],
    );
}

#[test]
fn the_key_of_entities_without_keys_stands_alone() {
    let definitions = read("{kind: entity, name: all, join_key: __dummy_id, type: string}").unwrap();
    assert!(definitions.entities["all"].keys[0].is_constant());
    mistakes(
        "{kind: entity, name: all, join_key: __dummy_id, type: int64}
---
{kind: entity, name: some, join_keys: [{name: __dummy_id, type: string}, {name: k, type: int64}]}
---
{kind: feature_view, name: v, entity: user, source: rows, features: [{name: __dummy_id, type: string}]}
",
        expect![[r#"
            `__dummy_id` is the key of entities without keys, and stands alone (write `join_key: __dummy_id` and `type: string`, or call the key otherwise)
            `__dummy_id` is the key of entities without keys, and stands alone (write `join_key: __dummy_id` and `type: string`, or call the key otherwise)
            `__dummy_id` is the key of entities without keys (rename the feature)
        "#]],
    );
}

#[test]
fn rows_that_stay_good_for_ever_have_no_ttl() {
    for zero in ["0d", "0s", "0h0m"] {
        let text = format!(
            "{{kind: feature_view, name: v, entity: user, source: rows, ttl: {zero}, features: [{{name: a, type: int64}}]}}"
        );
        let mistakes = read(&text).unwrap_err();
        let want = format!(
            "`{zero}` is not a duration: it must be more than zero; write for example 365d, 12h, 30m or 1d12h; rows that \
             stay good for ever have no `ttl`"
        );
        assert!(mistakes.len() == 1 && mistakes[0].message.contains(&want), "{mistakes:#?}");
    }
}

#[test]
fn a_model_says_nothing_twice_and_nothing_that_does_nothing() {
    mistakes(
        "kind: model
name: m
accepts: [s@v1, s@v2, s@v1]
contract:
  outputs: {p: {is: probabilities, classes: [ok, fraud]}, l: {is: label}, y: {is: score}}
adapters:
  - {from: s@v1, to: s@v2, outputs: {p: {relabel: {good: fine}}, l: {relabel: {a: b}}, y: {scale: 2}}}
  - {from: s@v2, to: s@v3, outputs: {p: {relabel: {fine: okay, bad: fraud}, scale: 2}}}
  - {from: s@v1, to: s@v2, outputs: {}}
promotion: {approvers: ['', ann, ' '], required: [types, contract, types]}
",
        expect![[r#"
            `s@v1` is accepted twice (leave one of them out)
            output `p` is not a number that could be scaled (leave `scale` out: it is of scores and amounts)
            an adapter renames to class `okay`, which output `p` of the contract does not have (did you mean `ok`?)
            answers are adapted from `s@v1` to `s@v2` twice (one adapter names all outputs that change)
            check `types` is required twice (leave one of them out)
            an approver has no name (write what `PLUMB_ACTOR` is for them)
            an approver has no name (write what `PLUMB_ACTOR` is for them)
        "#]],
    );
}

#[test]
fn an_aggregate_condition_is_of_numbers_and_has_a_limit() {
    mistakes(
        "kind: model
name: m
contract:
  outputs: {p: {is: probabilities, classes: [ok, fraud]}, l: {is: label}, y: {is: score}}
  aggregates:
    - {mean: y, segment: country, relative: 0.02}
    - {mean: z, relative: 0.02}
    - {mean: y, auc: y, relative: 0.02}
    - {mean: p, absolute: -1}
    - {mean: l, absolute: 1, relative: 1}
    - {calibration: y, label: x, at_most: 0.1}
    - {auc: p, class: fraud, worse: 0.1}
    - {mean: y, absolute: 1, rows_min: 5, colour: red}
",
        expect![[r#"
            an aggregate condition names output `z`, which the contract does not (did you mean `l`?)
            an aggregate condition is of one figure: `mean`, `auc` and `calibration` (write `{mean: <output>, relative: 0.02}`)
            `absolute` is -1, and a limit is 0 or more
            the mean of probabilities is of one class, which must be one of `classes` (name it: `class: <class>`)
            how far the means may be apart is said as `relative` or as `absolute` (write `relative: 0.02` for two in a hundred)
            output `l` is a label, which has no mean (name an output of numbers)
            output `y` is no probability, which alone has a calibration (name another)
            an aggregate condition lacks `label`
            what the figure must be is said as `at_least`, as `worse_by`, or as both (write `at_least: <number>`)
            an aggregate condition has no field `worse` (did you mean `worse_by`?)
            `rows_min` is of segments (name the `segment`, or leave it out)
            an aggregate condition has no field `colour` (there is `mean`, `auc`, `calibration`, `class`, `segment`, `relative`, `absolute` and `rows_min`)
        "#]],
    );
}

#[test]
fn service_versions_that_there_cannot_be_are_told_with_all_other_mistakes() {
    let service = |feature: &str| format!("{{kind: feature_service, name: s, features: ['user_stats:{feature}']}}");
    let applied = AppliedDefinitions::default().after(&read(&service("phone")).unwrap());
    let told = |accepts: &str, feature: &str| {
        let model = format!("kind: model\nname: m\naccepts: [{accepts}]\n");
        let text = format!("{CITIES}{}\n---\n{model}", service(feature));
        let read = Definitions::read_over(&[File { path: "p.yaml".to_owned(), text }], &applied);
        let mistakes = read.err().unwrap_or_default();
        mistakes.iter().map(|m| format!("{}{}\n", m.message, hint(m))).collect::<String>()
    };
    // The second version may be the one that is declared.
    assert_eq!(told("s, s@v1, s@v2", "phone"), "");
    expect![[r#"
        feature view `user_stats` has no feature `fone` (did you mean `phone`?)
        model `m` names feature service `s@v0`, of which there is no such version (there is version 1)
        model `m` names feature service `s@v3`, of which there is no such version (there is version 1)
        model `m` names feature service `other@v1`, of which there is no such version (there is `s`)
    "#]]
    .assert_eq(&told("s@v0, s@v3, other@v1", "fone"));
    let faults = applied
        .after(&read(&format!("{}\n---\n{{kind: model, name: m, accepts: ['s@v2']}}", service("phone"))).unwrap());
    let hints: Vec<String> = faults.model_faults().iter().map(|fault| fault.hint().to_owned()).collect();
    assert_eq!(hints, ["there is version 1"]);
}
