//! The laws of adapters and budgets (natural transformations, section 11), each with a broken rule that its test catches.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 5] = ["c", "a", "e", "b", "d"];

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned)
}

fn names() -> impl Strategy<Value = Vec<String>> {
    let some = prop::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len()).prop_shuffle();
    some.prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

/// Any adapter: names that change places, become one, or are taken over by others; classes that come; changes of unit.
fn adapter() -> impl Strategy<Value = OutputAdapter> {
    let relabel = prop::collection::btree_map(name(), name(), 0..4);
    let classes = prop_oneof![Just(Vec::new()), names()];
    (relabel, classes, -8..9_i32, any::<bool>()).prop_map(|(relabel, classes, power, is_turned)| OutputAdapter {
        relabel,
        classes,
        scale: if is_turned { -1.0 } else { 1.0 } * 2.0_f64.powi(power),
    })
}

/// One that only renames, each name to another.
fn renaming() -> impl Strategy<Value = OutputAdapter> {
    (names(), names()).prop_map(|(old, new)| OutputAdapter {
        relabel: old.into_iter().zip(new).collect(),
        ..OutputAdapter::default()
    })
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        prop::collection::vec(-1e6..1e6_f64, 1..4).prop_map(Answer::Numbers),
        prop::collection::vec(name(), 1..4).prop_map(Answer::Labels),
        prop::collection::vec((name(), 0.0..1.0_f64), 1..5)
            .prop_map(|all| Answer::Probabilities(all.into_iter().collect())),
        Just(Answer::Failed("Invalid".to_owned())),
    ]
}

fn step(output: &OutputAdapter, back: bool) -> ResponseAdapter {
    ResponseAdapter { outputs: BTreeMap::from([("y".to_owned(), output.clone())]), back }
}

fn path(steps: &[OutputAdapter]) -> AdapterPath {
    AdapterPath::of(steps.iter().map(|output| step(output, true)))
}

fn kinds(is: OutputKind) -> OutputKinds {
    BTreeMap::from([("y".to_owned(), is)])
}

fn number(of: &Answer) -> f64 {
    match of {
        Answer::Numbers(values) => values[0],
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn adapters_compose_like_migrations(first in adapter(), second in adapter(), answer in answers()) {
        let (one, two) = (path(std::slice::from_ref(&first)), path(std::slice::from_ref(&second)));
        let step_by_step = two.adapt("y", one.adapt("y", answer.clone()));
        prop_assert_eq!(one.then(&two).adapt("y", answer.clone()), step_by_step);
        // The identity is the unit on both sides.
        let none = path(&[OutputAdapter::default()]);
        prop_assert!(none.is_identity());
        prop_assert_eq!(none.then(&one).adapt("y", answer.clone()), one.adapt("y", answer.clone()));
        prop_assert_eq!(one.then(&none).adapt("y", answer.clone()), one.adapt("y", answer.clone()));
        // So do its names and its unit.
        for name in NAMES {
            prop_assert_eq!(one.then(&two).newer_name("y", name), two.newer_name("y", &one.newer_name("y", name)));
            prop_assert_eq!(one.then(&two).older_name("y", name), one.older_name("y", &two.older_name("y", name)));
        }
        prop_assert_eq!(one.then(&two).scale("y").to_bits(), (first.scale * second.scale).to_bits());
    }

    /// What is accepted comes back, and of what is refused there is a class that does not.
    #[test]
    fn adapting_back_then_forth_changes_nothing(
        steps in prop::collection::vec(renaming(), 1..4),
        classes in names(),
        weights in prop::collection::vec(0.0..1.0_f64, NAMES.len()),
    ) {
        let path = path(&steps);
        let and_forth = |answer: Answer| path.adapt("y", path.adapt_back("y", answer));
        let comes_back = |class: &String| {
            let label = Answer::Labels(vec![class.clone()]);
            and_forth(label.clone()) == label
        };
        for is in [OutputKind::Probabilities { classes: classes.clone() }, OutputKind::Label { classes: classes.clone() }] {
            prop_assert_eq!(path.check_back(&kinds(is)).is_ok(), classes.iter().all(comes_back));
        }
        if classes.iter().all(comes_back) {
            let said = Answer::Probabilities(classes.iter().cloned().zip(weights).collect());
            prop_assert_eq!(and_forth(said.clone()), said);
            // Each class has a place of its own at the older version.
            let older = path.older_kinds(&kinds(OutputKind::Label { classes: classes.clone() }));
            let OutputKind::Label { classes: older } = &older["y"] else { panic!("{older:?}") };
            prop_assert_eq!(older.iter().collect::<BTreeSet<_>>().len(), classes.len());
        }
    }

    #[test]
    fn tolerance_budget_bounds_composed_error(
        x in -1e3..1e3_f64,
        is_amount in any::<bool>(),
        steps in prop::collection::vec((-3.0..3.0_f64, 0.0..0.5_f64, -1.0..1.0_f64), 1..6),
    ) {
        let is = if is_amount { OutputKind::Amount } else { OutputKind::Score };
        let of = OutputContract::of(is.clone());
        // Each step scales, as an adapter does, and is off by at most its tolerance in the output's own distance.
        let (mut exact, mut off, mut budget) = (x, x, ToleranceBudget::NONE);
        for (scale, eps, share) in steps {
            prop_assume!(scale.abs() > 1e-3);
            let adapter = path(&[OutputAdapter { scale, ..OutputAdapter::default() }]);
            let adapt = |value: f64| number(&adapter.adapt("y", Answer::Numbers(vec![value])));
            (exact, off) = (adapt(exact), adapt(off));
            off += eps * share * if is_amount { off.abs() * 0.5 } else { 1.0 };
            budget = budget.then(adapter.lipschitz("y", &is), &ToleranceBudget { eps, delta: 0.01 });
        }
        let apart = of.distance(&Answer::Numbers(vec![exact]), &Answer::Numbers(vec![off]));
        prop_assert!(apart <= budget.eps * (1.0 + 1e-9) + 1e-9, "{} is more than {}", apart, budget.eps);
    }

    /// A relation is of the contract's words: answers of any version are adapted to these, so whether it holds there is
    /// the same question at each version on the way (section 2, check 5).
    #[test]
    fn the_relation_survives_adapters(
        first in adapter(),
        rest in adapter(),
        old in -10.0..10.0_f64,
        new in -10.0..10.0_f64,
        tolerance in 0.0..2.0_f64,
        relation in prop::sample::select(vec![
            Relation::Within,
            Relation::NeverLower,
            Relation::SameDecision { threshold: 0.5, class: None },
        ]),
    ) {
        let output = OutputContract { relation, ..OutputContract::of(OutputKind::Score) };
        let [a, b] = [old, new].map(|value| Answer::Numbers(vec![value]));
        let holds = |on: &AdapterPath, a: &Answer, b: &Answer| {
            output.holds(&on.adapt("y", a.clone()), &on.adapt("y", b.clone()), tolerance)
        };
        let (first, rest) = (path(&[first]), path(&[rest]));
        let [after_a, after_b] = [&a, &b].map(|answer| first.adapt("y", answer.clone()));
        prop_assert_eq!(holds(&first.then(&rest), &a, &b), holds(&rest, &after_a, &after_b));
    }
}

/// What one map of all names would not know: `good` becomes `fine` too, and no older client has heard of it.
#[test]
fn a_name_that_only_a_step_between_had_is_no_old_one() {
    let relabel = |old: &str, new: &str| OutputAdapter {
        relabel: BTreeMap::from([(old.to_owned(), new.to_owned())]),
        ..OutputAdapter::default()
    };
    let path = path(&[relabel("ok", "good"), relabel("good", "fine")]);
    assert_eq!(path.older_name("y", "fine"), "ok");
}

/// Negative control: a decision that is not taken in the contract's words is another one.
#[test]
fn a_threshold_is_of_one_unit() {
    let relation = Relation::SameDecision { threshold: 0.5, class: None };
    let output = OutputContract { relation, ..OutputContract::of(OutputKind::Score) };
    let percent = path(&[OutputAdapter { scale: 0.01, ..OutputAdapter::default() }]);
    let [a, b] = [40.0, 60.0].map(|value| Answer::Numbers(vec![value]));
    assert!(output.holds(&a, &b, 0.01));
    assert!(!output.holds(&percent.adapt("y", a), &percent.adapt("y", b), 0.01));
}

/// Negative control: a budget that forgets how far adapters stretch is exceeded.
#[test]
fn a_budget_without_stretch_is_exceeded() {
    let adapter = path(&[OutputAdapter { scale: 3.0, ..OutputAdapter::default() }]);
    let (eps, exact) = (0.1, 5.0);
    let scaled = |value: f64| number(&adapter.adapt("y", Answer::Numbers(vec![value])));
    let off = (scaled(exact + eps) + eps - scaled(exact)).abs();
    let one = ToleranceBudget { eps, delta: 0.0 };
    assert!(off <= one.then(adapter.lipschitz("y", &OutputKind::Score), &one).eps + 1e-9);
    assert!(off > one.then(1.0, &one).eps);
}

#[test]
fn a_class_that_does_not_come_back_is_named() {
    let relabel = |names: &[(&str, &str)]| OutputAdapter {
        relabel: names.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect(),
        ..OutputAdapter::default()
    };
    let classes = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let of = |of_classes: &[&str]| kinds(OutputKind::Probabilities { classes: classes(of_classes) });
    let both_become_a = path(&[relabel(&[("a", "b")])]).check_back(&of(&["a", "b"])).unwrap_err();
    assert_eq!(both_become_a, "of output `y`, class `a` would be told as `a`, which is `b`");
    assert_eq!(path(&[relabel(&[("a", "b")])]).check_back(&of(&["b", "c"])), Ok(()));
    assert_eq!(path(&[relabel(&[("a", "b"), ("b", "a")])]).check_back(&of(&["a", "b"])), Ok(()));
    // Of labels that are not declared nothing is known but the names that are mentioned.
    let any = kinds(OutputKind::Label { classes: Vec::new() });
    let why = path(&[relabel(&[("good", "ok")])]).check_back(&any).unwrap_err();
    assert!(
        why.ends_with("class `good` would be told as `good`, which is `ok`; declare the `classes` that there are"),
        "{why}"
    );
    assert_eq!(path(&[relabel(&[("no", "yes"), ("yes", "no")])]).check_back(&any), Ok(()));
    let one_way = AdapterPath::of([step(&relabel(&[("a", "b")]), false)]);
    assert_eq!(one_way.check_back(&of(&["b"])).unwrap_err(), "an adapter on the way does not say `back: true`");
}

#[test]
fn older_classes_stand_where_their_newer_names_stand() {
    let classes = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let path = |names: &[(&str, &str)]| {
        let relabel = names.iter().map(|(old, new)| ((*old).to_owned(), (*new).to_owned())).collect();
        path(&[OutputAdapter { relabel, ..OutputAdapter::default() }])
    };
    let renamed = path(&[("good", "ok"), ("bad", "fraud")]);
    let older = |path: &AdapterPath, output: &str, of: &[&str]| {
        let kinds = BTreeMap::from([(output.to_owned(), OutputKind::Probabilities { classes: classes(of) })]);
        match path.older_kinds(&kinds).remove(output) {
            Some(OutputKind::Probabilities { classes }) => classes,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(older(&renamed, "y", &["ok", "fraud"]), ["good", "bad"]);
    // Another output stays as it is.
    assert_eq!(older(&renamed, "z", &["ok", "fraud"]), ["ok", "fraud"]);
    // Names that changed places keep the declared order.
    assert_eq!(older(&path(&[("no", "yes"), ("yes", "no")]), "y", &["no", "yes"]), ["no", "yes"]);
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
    let adapter = path(&[OutputAdapter {
        relabel: BTreeMap::from([("good".to_owned(), "ok".to_owned())]),
        classes: ["ok", "bad", "unsure"].map(str::to_owned).to_vec(),
        scale: 1.0,
    }]);
    let before = BTreeMap::from([("good".to_owned(), 0.75), ("bad".to_owned(), 0.25)]);
    let after = BTreeMap::from([("ok".to_owned(), 0.75), ("bad".to_owned(), 0.25), ("unsure".to_owned(), 0.0)]);
    assert_eq!(adapter.adapt("y", Answer::Probabilities(before.clone())), Answer::Probabilities(after));
    // Another output stays as it is.
    assert_eq!(adapter.adapt("z", Answer::Probabilities(before.clone())), Answer::Probabilities(before));
}
