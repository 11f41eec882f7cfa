//! Plans as people read them.

use expect_test::{Expect, expect};
use schema::definitions::File;

use super::*;

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

fn declared(text: &str) -> Definitions {
    Definitions::read(&[File { path: "p.yaml".to_owned(), text: text.to_owned() }]).unwrap()
}

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
        > `f@v2` is to be materialized: plumb materialize f
        > models on `s` keep its version before; new ones are to be trained on the new one
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
        > `f@v2` is to be materialized: plumb materialize f
        > models on `s` keep its version before; new ones are to be trained on the new one
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
        > models on `s` keep its version before; new ones are to be trained on the new one
    "#]],
    );
    check(
        &[("fill: {a: 0}", "fill: {a: 1}")],
        expect![[r#"
        ~ feature service s v2: changed in meaning
            ~ a: f@v1:a int64, fill 0 -> f@v1:a int64, fill 1
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
