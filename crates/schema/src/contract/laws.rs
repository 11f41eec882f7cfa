//! The laws of adapters and budgets (natural transformations, section 11), each with a broken rule that its test catches.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Adapters that only rename: one-to-one between two disjoint sets of names, and a change of unit.
fn lawful() -> impl Strategy<Value = OutputAdapter> {
    (prop::sample::subsequence((0..NAMES.len()).collect::<Vec<_>>(), 0..=NAMES.len()), -8..9_i32).prop_map(
        |(which, power)| OutputAdapter {
            relabel: which.iter().map(|at| (NAMES[*at].to_owned(), format!("{}'", NAMES[*at]))).collect(),
            classes: Vec::new(),
            scale: 2.0_f64.powi(power),
        },
    )
}

/// Adapters of names that come after [`lawful`] ones.
fn later() -> impl Strategy<Value = OutputAdapter> {
    lawful().prop_map(|first| OutputAdapter {
        relabel: first.relabel.into_values().map(|name| (name.clone(), format!("{name}'"))).collect(),
        ..first
    })
}

fn answers() -> impl Strategy<Value = Answer> {
    let label = prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned);
    let class = (label.clone(), 0.0..1.0_f64);
    prop_oneof![
        prop::collection::vec(-1e6..1e6_f64, 1..4).prop_map(Answer::Numbers),
        prop::collection::vec(label, 1..4).prop_map(Answer::Labels),
        prop::collection::vec(class, 1..5).prop_map(|all| Answer::Probabilities(all.into_iter().collect())),
        Just(Answer::Failed("Invalid".to_owned())),
    ]
}

fn of(output: &OutputAdapter, back: bool) -> ResponseAdapter {
    ResponseAdapter { outputs: BTreeMap::from([("y".to_owned(), output.clone())]), back }
}

proptest! {
    #[test]
    fn adapters_compose_like_migrations(first in lawful(), second in later(), answer in answers()) {
        let (first, second) = (of(&first, true), of(&second, true));
        let step_by_step = second.adapt("y", first.adapt("y", answer.clone()));
        prop_assert_eq!(first.then(&second).adapt("y", answer.clone()), step_by_step.clone());
        // The identity is the unit on both sides.
        let none = ResponseAdapter::identity();
        prop_assert_eq!(none.then(&first).adapt("y", answer.clone()), first.adapt("y", answer.clone()));
        prop_assert_eq!(first.then(&none).adapt("y", answer.clone()), first.adapt("y", answer.clone()));
        // Negative control: the second before the first is another adapter wherever a name or a unit changes twice.
        let renames = matches!(&answer, Answer::Labels(_)) && step_by_step != answer;
        let swapped = first.adapt("y", second.adapt("y", answer.clone()));
        let twice = matches!(&step_by_step, Answer::Labels(names) if names.iter().any(|name| name.ends_with("''")));
        prop_assert!(!(renames && twice && swapped == step_by_step));
    }

    #[test]
    fn adapting_back_then_forth_changes_nothing(adapter in lawful(), answer in answers()) {
        prop_assert!(adapter.check_back().is_ok());
        let adapter = of(&adapter, true);
        // Answers of the newer version are what adapting gives.
        let newer = adapter.adapt("y", answer);
        let older = adapter.adapt_back("y", newer.clone());
        prop_assert_eq!(adapter.adapt("y", older), newer);
    }

    #[test]
    fn tolerance_budget_bounds_composed_error(
        x in -1e3..1e3_f64,
        slopes in prop::collection::vec((-3.0..3.0_f64, 0.0..0.5_f64, -1.0..1.0_f64), 1..6),
    ) {
        // Each step scales, as an adapter does, and is off by at most its tolerance.
        let (mut exact, mut off, mut budget) = (x, x, ToleranceBudget::NONE);
        for (slope, eps, share) in slopes {
            let output = OutputAdapter { scale: slope, ..OutputAdapter::default() };
            let adapter = of(&output, false);
            let step = |value: f64| match adapter.adapt("y", Answer::Numbers(vec![value])) {
                Answer::Numbers(values) => values[0],
                other => panic!("{other:?}"),
            };
            (exact, off) = (step(exact), step(off) + eps * share);
            budget = budget.then(adapter.lipschitz("y"), &ToleranceBudget { eps, delta: 0.01 });
        }
        prop_assert!((exact - off).abs() <= budget.eps * (1.0 + 1e-9) + 1e-9, "{} is more than {}", (exact - off).abs(), budget.eps);
    }

    #[test]
    fn the_relation_survives_adapters(
        scale in 0.01..100.0_f64,
        old in -10.0..10.0_f64,
        new in -10.0..10.0_f64,
        tolerance in 0.0..2.0_f64,
        is_one_way in any::<bool>(),
    ) {
        let relation = if is_one_way { Relation::NeverLower } else { Relation::Within };
        let contract = OutputContract { relation, ..OutputContract::of(OutputKind::Score) };
        let adapter = of(&OutputAdapter { scale, ..OutputAdapter::default() }, true);
        let [a, b] = [old, new].map(|value| Answer::Numbers(vec![value]));
        prop_assume!(contract.holds(&a, &b, tolerance));
        let [adapted_a, adapted_b] = [&a, &b].map(|answer| adapter.adapt("y", answer.clone()));
        // Within what the adapter stretches the tolerance to, and a little for rounding.
        let stretched = tolerance * adapter.lipschitz("y") + 1e-9;
        prop_assert!(contract.holds(&adapted_a, &adapted_b, stretched));
        // Negative control: turned round, what was never lower is lower.
        let turned = of(&OutputAdapter { scale: -scale, ..OutputAdapter::default() }, true);
        let [turned_a, turned_b] = [&a, &b].map(|answer| turned.adapt("y", answer.clone()));
        let is_higher = new - old > tolerance + 1e-6;
        prop_assert!(!(is_one_way && is_higher && contract.holds(&turned_a, &turned_b, stretched)));
    }
}

/// Negative control: a budget that forgets how far adapters stretch is exceeded.
#[test]
fn a_budget_without_stretch_is_exceeded() {
    let adapter = of(&OutputAdapter { scale: 3.0, ..OutputAdapter::default() }, true);
    let (eps, exact) = (0.1, 5.0);
    let scaled = |value: f64| match adapter.adapt("y", Answer::Numbers(vec![value])) {
        Answer::Numbers(values) => values[0],
        other => panic!("{other:?}"),
    };
    let off = (scaled(exact + eps) + eps - scaled(exact)).abs();
    let one = ToleranceBudget { eps, delta: 0.0 };
    assert!(off <= one.then(adapter.lipschitz("y"), &one).eps + 1e-9);
    assert!(off > one.then(1.0, &one).eps);
}

#[test]
fn what_cannot_be_undone_is_named() {
    let adapter = |relabel: &[(&str, &str)], classes: &[&str], scale: f64| OutputAdapter {
        relabel: relabel.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect(),
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        scale,
    };
    assert_eq!(adapter(&[("good", "ok")], &[], 100.0).check_back(), Ok(()));
    assert_eq!(adapter(&[("a", "c"), ("b", "c")], &[], 1.0).check_back().unwrap_err(), "`a` and `b` both become `c`");
    let why = adapter(&[], &[], 0.0).check_back().unwrap_err();
    assert_eq!(why, "numbers that were multiplied by 0 cannot be divided again");
    let why = adapter(&[("a", "b")], &["a", "b"], 1.0).check_back().unwrap_err();
    assert_eq!(why, "the old `a` has another name, so the new `a` was not there before");
}

#[test]
fn an_adapter_of_classes_brings_those_that_were_not_there() {
    let adapter = of(
        &OutputAdapter {
            relabel: BTreeMap::from([("good".to_owned(), "ok".to_owned())]),
            classes: ["ok", "bad", "unsure"].map(str::to_owned).to_vec(),
            scale: 1.0,
        },
        false,
    );
    let before = BTreeMap::from([("good".to_owned(), 0.75), ("bad".to_owned(), 0.25)]);
    let after = BTreeMap::from([("ok".to_owned(), 0.75), ("bad".to_owned(), 0.25), ("unsure".to_owned(), 0.0)]);
    assert_eq!(adapter.adapt("y", Answer::Probabilities(before.clone())), Answer::Probabilities(after));
    // Another output stays as it is.
    assert_eq!(adapter.adapt("z", Answer::Probabilities(before.clone())), Answer::Probabilities(before));
}
