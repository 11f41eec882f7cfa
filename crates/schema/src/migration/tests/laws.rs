//! Negative controls of the laws of migrations: for each law an implementation that breaks it, which the law catches
//! within a few random cases, where ours passes all of them.

use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

const CASES: usize = 256;

/// Random scripts, the same in every run.
fn cases() -> Vec<(Script, Script, Script)> {
    let mut runner = TestRunner::deterministic();
    let three = (scripts(), scripts(), scripts());
    (0..CASES).map(|_| three.new_tree(&mut runner).unwrap().current()).collect()
}

fn three(of: &(Script, Script, Script)) -> (Migration, Migration, Migration) {
    let mut fresh = 0;
    let a = build(&start(), &of.0, &mut fresh);
    let b = build(&a.target, &of.1, &mut fresh);
    let c = build(&b.target, &of.2, &mut fresh);
    (a, b, c)
}

#[track_caller]
fn holds_for_ours_alone(holds: impl Fn(&(Script, Script, Script), bool) -> bool) {
    let cases = cases();
    assert!(cases.iter().all(|case| holds(case, false)), "ours breaks the law");
    assert!(!cases.iter().all(|case| holds(case, true)), "the law does not catch what breaks it");
}

fn then(a: &Migration, b: &Migration) -> Migration {
    a.then(b).unwrap()
}

/// Broken: a constant is followed by its name, so one that is renamed is lost.
fn then_by_name(a: &Migration, b: &Migration) -> Migration {
    let mut whole = then(a, b);
    for ((origin, field), later) in whole.origins.iter_mut().zip(&b.target.fields).zip(&b.origins) {
        if let (Origin::Const { value, when_missing, .. }, Origin::Copy { from, .. }) = (origin, later)
            && a.target.fields[*from].name != field.name
        {
            (*value, *when_missing) = (Value::Null, Value::Null);
        }
    }
    whole
}

/// Broken: a constant is followed by its place, so one that is moved is lost, unless it is moved back in one go.
fn then_by_place(a: &Migration, b: &Migration) -> Migration {
    let mut whole = then(a, b);
    for (at, (origin, later)) in whole.origins.iter_mut().zip(&b.origins).enumerate() {
        if let (Origin::Const { value, when_missing, .. }, Origin::Copy { from, .. }) = (origin, later)
            && *from != at
        {
            (*value, *when_missing) = (Value::Null, Value::Null);
        }
    }
    whole
}

#[test]
fn composition_that_follows_places_is_not_associative() {
    holds_for_ours_alone(|case, broken| {
        let (a, b, c) = three(case);
        let then = if broken { then_by_place } else { then };
        then(&then(&a, &b), &c) == then(&a, &then(&b, &c))
    });
}

#[test]
fn composition_that_follows_names_is_not_what_step_by_step_gives() {
    let (columns, present) = rows();
    let presence = Presence::whole(&present);
    holds_for_ours_alone(|case, broken| {
        let (a, b, _) = three(case);
        let then = if broken { then_by_name } else { then };
        let stepwise = b.apply(&a.apply(&columns, &presence).unwrap(), &presence).unwrap();
        stepwise == then(&a, &b).apply(&columns, &presence).unwrap()
    });
}

/// Broken: the migration that is to change nothing orders fields by their names.
#[test]
fn an_empty_migration_that_orders_fields_is_caught() {
    let none = |schema: &FeatureSchema, broken: bool| {
        let mut none = Migration::none(schema);
        if broken {
            none.origins.sort_by_key(|origin| match origin {
                Origin::Copy { from, .. } => schema.fields[*from].name.to_string(),
                Origin::Const { .. } => String::new(),
            });
        }
        none
    };
    holds_for_ours_alone(|case, broken| {
        let (a, ..) = three(case);
        then(&none(&a.source, broken), &a) == a && then(&a, &none(&a.target, broken)) == a
    });
}

/// Section 5: resolving by name from end to end resurrects what was dropped on the way.
#[test]
fn resolving_by_name_resurrects_a_dropped_column() {
    let name = |n: &str| n.parse::<FeatureName>().unwrap();
    let add = MigrationStep::Add {
        name: name("b"),
        dtype: Some(Dtype::Int32),
        default: Value::Int(0),
        when_missing: Value::Null,
        restore: true,
    };
    let first = Migration::from_steps(&start(), &[MigrationStep::Drop { name: name("b") }]).unwrap();
    let second = Migration::from_steps(&first.target, std::slice::from_ref(&add)).unwrap();
    let stepwise = first.then(&second).unwrap();
    let by_name = |from: &FeatureSchema, to: &FeatureSchema| {
        let origins = to
            .fields
            .iter()
            .map(|field| Origin::Copy { from: from.position(&field.name, "find").unwrap(), casts: Casts::default() });
        Migration { source: from.clone(), target: to.clone(), origins: origins.collect() }
    };
    let (columns, present) = rows();
    let presence = Presence::whole(&present);
    let ours = stepwise.apply(&columns, &presence).unwrap();
    let theirs = by_name(&start(), &second.target).apply(&columns, &presence).unwrap();
    assert_eq!((Value::at(&ours[2], 0), Value::at(&theirs[2], 0)), (Value::Int(0), Value::Int(i32::MAX.into())));
    // One script may not do it unless it says that the field means what it meant.
    let drop_b = MigrationStep::Drop { name: name("b") };
    assert_eq!(Migration::from_steps(&start(), &[drop_b.clone(), add.clone()]).unwrap(), stepwise);
    let MigrationStep::Add { name, dtype, default, when_missing, .. } = add else { unreachable!() };
    let other = MigrationStep::Add { name, dtype, default, when_missing, restore: false };
    assert!(matches!(Migration::from_steps(&start(), &[drop_b, other]), Err(MigrationError::Resurrected { .. })));
}

/// The steps of a script; with `detours` there are more, which change nothing.
fn steps_of(schema: &FeatureSchema, script: &Script, detours: bool) -> Vec<MigrationStep> {
    let mut fresh = 0;
    let mut steps = Vec::new();
    let mut schema = schema.clone();
    for (kind, at, constant) in script {
        fresh += 1;
        let Some(step) = fitting(&schema, *kind, at, *constant, fresh) else { continue };
        let away: FeatureName = format!("d{fresh}").parse().unwrap();
        let field = schema.fields[at.index(schema.fields.len())].name.clone();
        if detours {
            steps.push(MigrationStep::Rename { from: field.clone(), to: away.clone() });
            steps.push(MigrationStep::Rename { from: away, to: field });
        }
        schema = Migration::from_steps(&schema, std::slice::from_ref(&step)).unwrap().target;
        steps.push(step);
    }
    steps
}

/// What tells any two migrations of these rows apart: each column has a value of its own, in a present and a missing row.
fn acts_alike(a: &Migration, b: &Migration) -> bool {
    let (columns, present) = rows();
    let presence = Presence::whole(&present);
    a.target == b.target && a.apply(&columns, &presence).unwrap() == b.apply(&columns, &presence).unwrap()
}

proptest! {
    #[test]
    fn normal_form_is_unique(a in scripts(), b in scripts()) {
        let plain = build(&start(), &a, &mut 0);
        let detour = Migration::from_steps(&start(), &steps_of(&start(), &a, true)).unwrap();
        prop_assert!(acts_alike(&plain, &detour));
        prop_assert_eq!(&plain, &detour);
        let other = build(&start(), &b, &mut 0);
        prop_assert_eq!(acts_alike(&plain, &other), plain == other);
    }
}

/// Broken: two migrations are the same when their scripts are.
#[test]
fn comparing_scripts_in_place_of_normal_forms_is_caught() {
    holds_for_ours_alone(|case, broken| {
        let plain = build(&start(), &case.0, &mut 0);
        let [short, long] = [false, true].map(|detours| steps_of(&start(), &case.0, detours));
        let detour = Migration::from_steps(&start(), &long).unwrap();
        let same = if broken { short == long } else { plain == detour };
        acts_alike(&plain, &detour) == same
    });
}

/// Broken: i64 to f64 as a widening. It is not, for going back does not give the same.
#[test]
fn a_widening_that_rounds_is_caught_by_going_back() {
    assert!(!Dtype::Int64.widens_to(Dtype::Float64));
    let long = Value::Int((1 << 53) + 1).to_array(Dtype::Int64, 1).unwrap();
    let there = arrow::compute::cast(&long, &Dtype::Float64.to_arrow()).unwrap();
    let back = arrow::compute::cast(&there, &Dtype::Int64.to_arrow()).unwrap();
    assert_ne!(&back, &long);
}
