use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use schema::sampling::mix;

use super::*;

/// What a feature says of a label, over rows that come in chunks.
#[track_caller]
fn check(label: ArrayRef, feature: ArrayRef, want: Option<Grounds>) {
    let field = |name: &str, column: &ArrayRef| Field::new(name, column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![field("label", &label), field("feature", &feature)]));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![label, feature]).unwrap();
    let roles = [Role::Label, Role::Feature];
    let (mut profiler, mut pairs) = (Profiler::new(&schema, &roles, &[false; 2]), Pairs::new(&roles));
    let mut from = 0;
    while from < rows.num_rows() {
        let n = (rows.num_rows() - from).min(1_000);
        let chunk = rows.slice(from, n);
        let seen = profiler.add(&chunk);
        pairs.add(&chunk, &seen);
        from += n;
    }
    let found = pairs.end(&["label".to_owned(), "feature".to_owned()], &profiler);
    assert_eq!(found.first().map(|found| found.grounds), want, "{found:?}");
}

fn ints(n: u64, of: impl Fn(u64) -> Option<i64>) -> ArrayRef {
    Arc::new((0..n).map(of).collect::<Int64Array>())
}

fn floats(n: u64, of: impl Fn(u64) -> Option<f64>) -> ArrayRef {
    Arc::new((0..n).map(of).collect::<Float64Array>())
}

fn coin(i: u64) -> i64 {
    i64::from(mix(i).is_multiple_of(3))
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn noise(i: u64) -> f64 {
    (mix(i ^ 77) % 100_000) as f64
}

#[test]
fn independent_columns_are_no_leak() {
    check(ints(5_000, |i| Some(coin(i))), floats(5_000, |i| Some(noise(i))), None);
    check(ints(5_000, |i| Some(coin(i))), ints(5_000, |i| Some(coin(i + 9_999))), None);
    check(floats(5_000, |i| Some(noise(i))), floats(5_000, |i| Some(noise(i + 9_999))), None);
    // Every value once: a map, but one that no row confirms.
    check(ints(5_000, |i| Some(coin(i))), ints(5_000, |i| i64::try_from(i).ok()), None);
    // A label that never changes is told by everything.
    check(ints(5_000, |_| Some(1)), ints(5_000, |_| Some(1)), None);
}

#[test]
fn few_rows_prove_nothing() {
    check(ints(8, |i| Some(coin(i))), ints(8, |i| Some(coin(i))), None);
    check(
        ints(6, |i| i64::try_from(i).ok()),
        floats(6, |i| Some(noise(i) * 0.0 + f64::from(u32::try_from(i).unwrap()))),
        None,
    );
}

#[test]
fn the_label_itself_is_a_leak_whatever_its_type_and_gaps() {
    check(ints(500, |i| Some(coin(i))), ints(500, |i| Some(coin(i))), Some(Grounds::Equal));
    let as_float = |i: u64| if coin(i) == 1 { 1.0 } else { 0.0 };
    check(ints(500, |i| Some(coin(i))), floats(500, |i| Some(as_float(i))), Some(Grounds::Equal));
    check(ints(500, |i| Some(coin(i))), ints(500, |i| (i % 10 == 0).then(|| coin(i))), Some(Grounds::Equal));
}

#[test]
fn other_names_for_the_label_are_a_leak() {
    let names: StringArray = (0..500).map(|i| Some(if coin(i) == 1 { "yes" } else { "no" })).collect();
    check(ints(500, |i| Some(coin(i))), Arc::new(names), Some(Grounds::OneToOne));
    // Present where the label is one.
    check(ints(500, |i| Some(coin(i))), ints(500, |i| (coin(i) == 1).then_some(7)), Some(Grounds::OneToOne));
}

#[test]
fn a_feature_that_puts_the_label_in_order_is_a_leak() {
    check(floats(500, |i| Some(noise(i))), floats(500, |i| Some(-3.0 * noise(i) + 1.0)), Some(Grounds::Monotone));
    let score = |i: u64| if coin(i) == 1 { 200_000.0 + noise(i) } else { noise(i) };
    check(ints(500, |i| Some(coin(i))), floats(500, |i| Some(score(i))), Some(Grounds::Monotone));
}

#[test]
fn a_feature_that_determines_the_label_is_a_leak() {
    // Twenty groups, each with one label.
    let group = |i: u64| i64::try_from(mix(i) % 20).unwrap();
    let label = |i: u64| coin(mix(i) % 20 + 5);
    check(ints(5_000, |i| Some(label(i))), ints(5_000, |i| Some(group(i))), Some(Grounds::Determines));
    check(ints(5_000, |i| Some(if i == 4_000 { 9 } else { label(i) })), ints(5_000, |i| Some(group(i))), None);
}
