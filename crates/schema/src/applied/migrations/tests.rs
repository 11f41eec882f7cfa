//! Check 4 of natural transformations on random version graphs, and chains of declared services, with negative controls.

use proptest::prelude::*;

use super::*;
use crate::definitions::{Definitions, File};
use crate::dtype::Dtype;
use crate::value::Value;

fn version(n: usize) -> ServiceVersion {
    ServiceVersion { name: "s".parse().unwrap(), version: u32::try_from(n).unwrap() }
}

fn add(name: &str, default: i64) -> MigrationStep {
    let (default, when_missing) = (Value::Int(default), Value::Null);
    MigrationStep::Add { name: name.parse().unwrap(), dtype: Some(Dtype::Int64), default, when_missing, restore: false }
}

fn edge(from: usize, to: usize, migration: Migration) -> Edge {
    let (dropped, brought) = (BTreeSet::new(), BTreeSet::new());
    Edge { from: version(from), to: version(to), migration, dropped, brought }
}

/// Versions 0 to n, each with a field more than the one before, of a value of its own.
fn line(defaults: &[i64]) -> Vec<Edge> {
    let mut schema = FeatureSchema::new(vec![Field { name: "a".parse().unwrap(), dtype: Dtype::Int64 }]).unwrap();
    let mut edges = Vec::new();
    for (i, default) in defaults.iter().enumerate() {
        let migration = Migration::from_steps(&schema, &[add(&format!("f{i}"), *default)]).unwrap();
        schema = migration.target().clone();
        edges.push(edge(i, i + 1, migration));
    }
    edges
}

/// All of the line from one version to another.
fn composed(line: &[Edge], from: usize, to: usize) -> Migration {
    let parts = line[from + 1..to].iter();
    parts.fold(line[from].migration.clone(), |whole, edge| whole.then(&edge.migration).unwrap())
}

/// A line, and shortcuts over some of it.
fn graphs() -> impl Strategy<Value = (Vec<i64>, Vec<(usize, usize)>)> {
    (2_usize..6).prop_flat_map(|n| {
        let shortcut = (0..n - 1).prop_flat_map(move |from| (Just(from), from + 2..=n));
        (proptest::collection::vec(-3_i64..3, n), proptest::collection::vec(shortcut, 1..5))
    })
}

proptest! {
    #[test]
    fn all_paths_between_versions_agree((defaults, shortcuts) in graphs(), broken in any::<prop::sample::Index>()) {
        let line = line(&defaults);
        let short = |(from, to): &(usize, usize)| edge(*from, *to, composed(&line, *from, *to));
        let edges: Vec<Edge> = line.iter().cloned().chain(shortcuts.iter().map(short)).collect();
        let all = Migrations { edges: edges.clone() };
        prop_assert_eq!(all.faults(), vec![]);
        for from in 0..defaults.len() {
            for to in from + 1..=defaults.len() {
                let chain = all.between(&version(from), &version(to)).unwrap().unwrap();
                prop_assert_eq!(chain.migration, composed(&line, from, to));
            }
            prop_assert_eq!(all.between(&version(from + 1), &version(from)).unwrap(), None);
        }
        // Negative control: a shortcut that gives another constant than the way around it.
        let (from, to) = shortcuts[broken.index(shortcuts.len())];
        let mut others = defaults.clone();
        others[to - 1] += 1;
        let other = edge(from, to, composed(&self::line(&others), from, to));
        let faults = Migrations { edges: edges.into_iter().chain([other]).collect() }.faults();
        let found = faults.iter().any(|fault| matches!(fault, MigrationFault::Apart { .. }));
        prop_assert!(found, "{faults:?}");
    }
}

const BASE: &str = "kind: entity\nname: user\njoin_key: user_id\ntype: int64\n---\n\
    kind: source\nname: rows\npath: rows.parquet\nevent_time: at\n---\n\
    kind: feature_view\nname: v\nentity: user\nsource: rows\n\
    features: [{name: a, type: int64}, {name: score, type: int64}, {name: b, type: int64}]\n";

fn applied(before: &AppliedDefinitions, services: &[(&str, &str, &str)]) -> AppliedDefinitions {
    let service = |(name, features, from): &(&str, &str, &str)| {
        format!("---\nkind: feature_service\nname: {name}\nfeatures: [{features}]\nmigrate_from: {{{from}}}\n")
    };
    let text = format!("{BASE}{}", services.iter().map(service).collect::<String>());
    before.after(&Definitions::read(&[File { path: "all.yaml".into(), text }]).unwrap())
}

#[test]
fn chains_go_through_versions_of_services_and_a_name_alone_is_the_declared_one() {
    let first = applied(&AppliedDefinitions::default(), &[("s", "'v:a'", "")]);
    let second =
        applied(&first, &[("s", "'v:a', 'v:b'", "1: [{add: b, default: 7}]"), ("t", "'v:b'", "s: [{drop: a}]")]);
    let (migrations, faults) = second.migrations();
    assert_eq!(faults, vec![]);
    assert_eq!(migrations.faults(), vec![]);
    let id = |text: &str, version| ServiceVersion { name: text.parse().unwrap(), version };
    let chain = migrations.between(&id("s", 1), &id("t", 1)).unwrap().unwrap();
    assert_eq!(chain.through, [id("s", 1), id("s", 2), id("t", 1)]);
    let Origin::Const { value, of, .. } = &chain.migration.origins()[0] else { panic!("{chain:?}") };
    assert_eq!((value, of.as_deref()), (&Value::Int(7), Some("v")));
    assert_eq!(migrations.leading_to(&id("t", 1)), [&id("s", 1), &id("s", 2)]);
    assert_eq!(migrations.between(&id("t", 1), &id("s", 1)).unwrap(), None);
}

/// Section 5: the words say which total migrations there are.
#[test]
fn compatibility_is_in_words_and_a_migration_that_refuses_is_none() {
    let there = "'t@v1': [{add: b, default: 0}]";
    let back = "'s@v1': [{drop: b}]";
    let narrow = |on_error: &str| format!("'s@v1': [{{cast: {{a: string}}, on_error: {on_error}}}, {{drop: b}}]");
    for (s, t, features, word) in [
        ("", "", "'v:a'", "NONE"),
        ("", back, "'v:a'", "BACKWARD"),
        (there, "", "'v:a'", "FORWARD"),
        (there, back, "'v:a'", "FULL"),
        ("", &narrow("null"), "{feature: 'w:a', as: a}", "BACKWARD"),
        ("", &narrow("reject"), "{feature: 'w:a', as: a}", "NONE"),
    ] {
        let text =
            "---\nkind: feature_view\nname: w\nentity: user\nsource: rows\nfeatures: [{name: a, type: string}]\n";
        let service = |name: &str, features: &str, from: &str| {
            format!("---\nkind: feature_service\nname: {name}\nfeatures: [{features}]\nmigrate_from: {{{from}}}\n")
        };
        let text = format!("{BASE}{text}{}{}", service("s", "'v:a', 'v:b'", s), service("t", features, t));
        let definitions = Definitions::read(&[File { path: "all.yaml".into(), text }]).unwrap();
        let (migrations, faults) = AppliedDefinitions::default().after(&definitions).migrations();
        assert_eq!(faults, vec![], "{s} {t}");
        let id = |text: &str| ServiceVersion { name: text.parse().unwrap(), version: 1 };
        assert_eq!(migrations.compatibility(&id("s"), &id("t")).to_string(), word, "{s} {t}");
    }
}

#[test]
fn what_does_not_arrive_or_starts_nowhere_is_named() {
    let check = |from: &str, want: &str| {
        let first = applied(&AppliedDefinitions::default(), &[("s", "'v:a'", "")]);
        let (_, faults) = applied(&first, &[("s", "'v:a', 'v:b'", from)]).migrations();
        let said = faults.iter().map(|fault| crate::error::chain(fault)).collect::<Vec<_>>().join("; ");
        assert!(said.contains(want), "{said}");
    };
    check("1: []", "from `s@v1` to `s@v2` ends at {a: int64}, but the service is {a: int64, b: int64}");
    check("4: []", "there is no `s@v4`");
    check("'q@v1': []", "there is no `q@v1`");
    check("2: []", "starts where it ends");
    check("1: [{drop: zzz}]", "there is no field `zzz` to drop");
}

/// Section 5: version 1 has a score, version 2 has none, version 3 has one again.
#[test]
fn a_name_that_was_dropped_comes_back_only_where_the_step_says_so() {
    let third = |more: &str| {
        let one = applied(&AppliedDefinitions::default(), &[("s", "'v:a', 'v:score'", "")]);
        let two = applied(&one, &[("s", "'v:a'", "1: [{drop: score}]")]);
        // A view that means something else, so that it is a version of its own.
        let back = format!("'s@v2': [{{add: score, default: 0{more}}}]");
        let features = "'v:a', {feature: 'v:b', as: score}";
        applied(&two, &[("s", features, &back)])
    };
    let (migrations, faults) = third("").migrations();
    assert_eq!(faults, vec![]);
    let said: Vec<String> = migrations.faults().iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("`score` comes back in `s@v3`, though it was dropped on the way from `s@v1`"),
        "{said:?}"
    );
    let (migrations, _) = third(", restore: true").migrations();
    assert_eq!(migrations.faults(), vec![]);
    // What was dropped on the way is not there any more: the row has the step's value, never the old one by its name.
    let chain = migrations.between(&version(1), &version(3)).unwrap().unwrap();
    assert!(matches!(&chain.migration.origins()[1], Origin::Const { value: Value::Int(0), .. }), "{chain:?}");
}

/// There and back is no chain: going through a version twice says nothing new, and may lose something.
#[test]
fn migrations_both_ways_are_no_contradiction() {
    let one = applied(&AppliedDefinitions::default(), &[("old", "'v:a', 'v:b'", ""), ("new", "'v:a'", "")]);
    let both = [("old", "'v:a', 'v:b'", "new: [{add: b, default: 0}]"), ("new", "'v:a'", "old: [{drop: b}]")];
    let (migrations, faults) = applied(&one, &both).migrations();
    assert_eq!((faults, migrations.faults()), (vec![], vec![]));
}
