//! What a cast makes of values at the edges of types, and the laws of migrations with casts in them.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, Int32Array, Int64Array};
use arrow::datatypes::Int8Type;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::{FeatureSchema, Field, Migration, MigrationStep, Origin, Presence};
use super::*;
use crate::time::Timestamp;

#[track_caller]
fn check(from: &str, value: Value, to: &str, want: Option<Value>) {
    let (from, to) = (Dtype::parse(from).unwrap(), Dtype::parse(to).unwrap());
    assert!(castable(from, to), "{from} to {to}");
    assert_eq!(exactly(&value, from, to), want, "{value} from {from} to {to}");
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn decimal(text: &str) -> Value {
    Value::Decimal(Decimal::parse(text).unwrap())
}

#[test]
fn a_value_is_the_same_in_the_other_type_or_it_is_none() {
    let big = 1_i64 << 53;
    check("int64", Value::Int(big), "float64", Some(Value::Float(9_007_199_254_740_992.0)));
    check("int64", Value::Int(big + 1), "float64", None);
    check("int64", Value::Int(big + 2), "float64", Some(Value::Float(9_007_199_254_740_994.0)));
    check("int32", Value::Int((1 << 24) + 1), "float32", None);
    check("int64", Value::Int(300), "int8", None);
    check("int64", Value::Int(-128), "int8", Some(Value::Int(-128)));
    check("int64", Value::Int(-1), "uint64", None);
    check("uint64", Value::Uint(u64::MAX), "int64", None);
    check("uint64", Value::Uint(u64::MAX), "float64", None);
    check("float64", Value::Float(0.1), "float32", None);
    check("float64", Value::Float(0.5), "float32", Some(Value::Float(0.5)));
    check("float64", Value::Float(1e300), "float32", None);
    check("float64", Value::Float(f64::NAN), "float32", Some(Value::Float(f64::NAN)));
    check("float64", Value::Float(f64::NEG_INFINITY), "float32", Some(Value::Float(f64::NEG_INFINITY)));
    check("float64", Value::Float(3.0), "int64", Some(Value::Int(3)));
    check("float64", Value::Float(-0.0), "int64", None);
    check("float64", Value::Float(3.5), "int64", None);
    check("float64", Value::Float(f64::NAN), "int64", None);
    check("float64", Value::Float(9_223_372_036_854_775_808.0), "int64", None);
    check("float64", Value::Float(0.5), "decimal(4,2)", Some(decimal("0.50")));
    check("float64", Value::Float(0.1), "decimal(4,2)", None);
    check("decimal(4,2)", decimal("0.25"), "float64", Some(Value::Float(0.25)));
    check("decimal(4,2)", decimal("0.10"), "float64", None);
    check("decimal(10,2)", decimal("12.00"), "int8", Some(Value::Int(12)));
    check("decimal(10,2)", decimal("12.01"), "int8", None);
    check("decimal(10,2)", decimal("123.45"), "decimal(4,2)", None);
    check("string", text("12"), "int8", Some(Value::Int(12)));
    check("string", text("300"), "int8", None);
    check("string", text("1.0"), "int8", None);
    check("string", text("null"), "int8", None);
    check("string", text(""), "float64", None);
    check("string", text("NaN"), "float64", Some(Value::Float(f64::NAN)));
    check("string", text("true"), "bool", Some(Value::Bool(true)));
    check("string", text("1.5"), "decimal(4,2)", Some(decimal("1.50")));
    check(
        "string",
        text("2024-01-01T00:00:00Z"),
        "timestamp",
        Some(Value::Timestamp(Timestamp::parse("2024-01-01T00:00:00Z").unwrap())),
    );
    check("string", text("{"), "json", None);
    check("string", text("[1]"), "list<int64>", Some(Value::List(vec![Value::Int(1)])));
    check("int64", Value::Int(i64::MAX), "string", Some(text("9223372036854775807")));
    check("float64", Value::Float(f64::NAN), "string", Some(text("NaN")));
    check("list<int64>", Value::List(vec![Value::Int(1), Value::Null]), "string", Some(text("[1,null]")));
    check(
        "timestamp",
        Value::Timestamp(Timestamp::parse("1969-12-31T00:00:00Z").unwrap()),
        "date",
        Some(Value::Int(-1)),
    );
    check("timestamp", Value::Timestamp(Timestamp::parse("1969-12-31T00:00:01Z").unwrap()), "date", None);
    check(
        "date",
        Value::Int(1),
        "timestamp",
        Some(Value::Timestamp(Timestamp::parse("1970-01-02T00:00:00Z").unwrap())),
    );
    check("date", Value::Int(i32::MAX.into()), "timestamp", None);
    check("list<int64>", Value::List(vec![Value::Int(1), Value::Int(300)]), "list<int8>", None);
    check(
        "list<int64>",
        Value::List(vec![Value::Int(1), Value::Null]),
        "list<int8>",
        Some(Value::List(vec![Value::Int(1), Value::Null])),
    );
    check("list<int64>", Value::List(vec![Value::Int(1)]), "list<int64,2>", None);
    check("int64", Value::Null, "int8", Some(Value::Null));
}

proptest! {
    /// The standard library prints every digit of a float: what it prints is the decimal, if there are at most 38.
    #[test]
    fn floats_and_decimals_that_are_equal_are_found_to_be(unscaled in any::<i64>(), scale in 0_u8..20, power in -60_i32..60) {
        let some = Decimal { unscaled: unscaled.into(), scale };
        let printed = |float: f64| format!("{float:.60}").trim_end_matches('0').trim_end_matches('.').to_owned();
        let spelled = some.normal().to_string();
        let want = printed(some.to_f64()) == spelled || unscaled == 0;
        prop_assert_eq!(float_of(some), want.then(|| some.to_f64()), "{}", spelled);

        #[expect(clippy::cast_precision_loss, reason = "any float will do")]
        let float = unscaled as f64 * 2_f64.powi(power);
        match decimal_of(float) {
            Some(decimal) => prop_assert_eq!(decimal.normal().to_string(), printed(float)),
            None => {
                let digits = printed(float).trim_start_matches(['-', '0', '.']).replace('.', "");
                prop_assert!(digits.trim_end_matches('0').len() > 30, "{}", printed(float));
            }
        }
    }
}

fn field(name: &str, dtype: Dtype) -> Field {
    Field { name: name.parse().unwrap(), dtype }
}

fn cast(name: &str, to: Dtype, on_error: OnCastError) -> MigrationStep {
    MigrationStep::LossyCast { name: name.parse().unwrap(), to, on_error }
}

#[test]
fn what_a_type_cannot_hold_is_refused_or_null_or_the_value_that_is_said() {
    let source = FeatureSchema::new(vec![field("x", Dtype::Int64)]).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(300)]));
    let present = BooleanArray::from(vec![true; 3]);
    let presence = Presence::whole(&present);
    for (on_error, want) in [(OnCastError::Null, None), (OnCastError::Value(Value::Int(-1)), Some(-1))] {
        let migration = Migration::from_steps(&source, &[cast("x", Dtype::Int8, on_error)]).unwrap();
        let columns = migration.apply(&[Arc::clone(&column)], &presence).unwrap();
        assert_eq!(columns[0].as_primitive::<Int8Type>().iter().collect::<Vec<_>>(), [Some(1), None, want]);
        assert!(migration.is_total());
    }
    let migration = Migration::from_steps(&source, &[cast("x", Dtype::Int8, OnCastError::Reject)]).unwrap();
    assert!(!migration.is_total());
    let refused = migration.apply(&[Arc::clone(&column)], &presence).unwrap_err();
    assert!(matches!(refused, MigrationError::Refused { row: 2, to: Dtype::Int8, .. }), "{refused}");
    assert_eq!(migration.apply(&[column.slice(0, 2)], &Presence::whole(&present.slice(0, 2))).unwrap()[0].len(), 2);
    assert_eq!(migration.apply(&[column.slice(0, 0)], &Presence::whole(&present.slice(0, 0))).unwrap()[0].len(), 0);
}

#[test]
fn a_cast_that_loses_nothing_or_is_none_is_refused() {
    let source = FeatureSchema::new(vec![field("x", Dtype::Int32), field("b", Dtype::Bytes)]).unwrap();
    let of = |name: &str, to, on_error| Migration::from_steps(&source, &[cast(name, to, on_error)]).unwrap_err();
    assert!(matches!(of("x", Dtype::Int64, OnCastError::Null), MigrationError::NothingLost { .. }));
    assert!(matches!(of("x", Dtype::Bytes, OnCastError::Null), MigrationError::NoCast { .. }));
    assert!(matches!(of("b", Dtype::Int64, OnCastError::Null), MigrationError::NoCast { .. }));
    assert!(matches!(of("x", Dtype::Int8, OnCastError::Value(Value::Int(300))), MigrationError::Constant { .. }));
    assert!(matches!(of("y", Dtype::Int8, OnCastError::Null), MigrationError::NoField { .. }));
    // A constant goes through the cast when the steps are composed.
    let add = MigrationStep::Add {
        name: "c".parse().unwrap(),
        dtype: Some(Dtype::Int64),
        default: Value::Int(300),
        when_missing: Value::Null,
        restore: false,
    };
    let composed = |on_error| Migration::from_steps(&source, &[add.clone(), cast("c", Dtype::Int8, on_error)]);
    assert!(matches!(composed(OnCastError::Reject), Err(MigrationError::Constant { .. })));
    let origins = composed(OnCastError::Value(Value::Int(7))).unwrap();
    assert!(matches!(&origins.origins()[2], Origin::Const { value: Value::Int(7), when_missing: Value::Null, .. }));
}

#[test]
fn casts_that_mean_the_same_are_the_same() {
    let source = FeatureSchema::new(vec![field("x", Dtype::Int64)]).unwrap();
    let of = |steps: &[MigrationStep]| Migration::from_steps(&source, steps).unwrap();
    let widen = |to| MigrationStep::Widen { name: "x".parse().unwrap(), to };
    let narrow = |to| cast("x", to, OnCastError::Null);
    let once = of(&[narrow(Dtype::Int8)]);
    assert_eq!(of(&[narrow(Dtype::Int16), narrow(Dtype::Int8)]), once);
    assert_eq!(of(&[narrow(Dtype::Int8), widen(Dtype::Int64), narrow(Dtype::Int8)]), once);
    assert_eq!(
        of(&[narrow(Dtype::Int8), widen(Dtype::Int32), narrow(Dtype::Int16)]),
        of(&[narrow(Dtype::Int8), widen(Dtype::Int16)])
    );
    // Negative controls: another error, another type, another order of what refuses and what forgives.
    assert_ne!(of(&[cast("x", Dtype::Int8, OnCastError::Reject)]), once);
    assert_ne!(
        of(&[narrow(Dtype::Int16), cast("x", Dtype::Int8, OnCastError::Reject)]),
        of(&[cast("x", Dtype::Int8, OnCastError::Reject)])
    );
    assert_ne!(of(&[narrow(Dtype::Int8), widen(Dtype::Int16)]), of(&[narrow(Dtype::Int16)]));
}

type Script = Vec<(u8, Index, i8)>;

fn scripts() -> impl Strategy<Value = Script> {
    prop::collection::vec((any::<u8>(), any::<Index>(), any::<i8>()), 0..6)
}

fn start() -> FeatureSchema {
    FeatureSchema::new(vec![field("a", Dtype::Int32), field("b", Dtype::Int32), field("c", Dtype::Int32)]).unwrap()
}

/// Mostly casts and widenings, with what moves fields about; constants fit every type.
fn build(from: &FeatureSchema, script: &Script, fresh: &mut usize) -> Migration {
    const TYPES: [Dtype; 6] = [Dtype::Int8, Dtype::Int16, Dtype::Int32, Dtype::Int64, Dtype::Float32, Dtype::String];
    let mut whole = Migration::none(from);
    for (kind, at, constant) in script {
        *fresh += 1;
        let fields = whole.target().fields();
        let old = &fields[at.index(fields.len())];
        let (name, new) = (old.name.clone(), format!("n{fresh}").parse().unwrap());
        let to = TYPES[usize::from(*kind / 8) % TYPES.len()];
        let step = match kind % 8 {
            0 => MigrationStep::Add {
                name: new,
                dtype: Some(Dtype::Int32),
                default: Value::Int((*constant).into()),
                when_missing: Value::Null,
                restore: false,
            },
            1 if fields.len() > 1 => MigrationStep::Drop { name },
            2 => MigrationStep::Rename { from: name, to: new },
            _ if old.dtype == to => continue,
            _ if old.dtype.widens_to(to) => MigrationStep::Widen { name, to },
            _ => {
                let on_error = match constant % 3 {
                    0 => OnCastError::Reject,
                    1 => OnCastError::Null,
                    _ if to == Dtype::String => OnCastError::Value(text("5")),
                    _ => OnCastError::Value(Value::Int(5)),
                };
                MigrationStep::LossyCast { name, to, on_error }
            }
        };
        let Ok(next) = Migration::from_steps(whole.target(), &[step]) else { continue };
        whole = whole.then(&next).unwrap_or(whole);
    }
    whole
}

proptest! {
    #[test]
    fn composition_with_casts_is_associative(a in scripts(), b in scripts(), c in scripts()) {
        let mut fresh = 0;
        let a = build(&start(), &a, &mut fresh);
        let b = build(a.target(), &b, &mut fresh);
        let c = build(b.target(), &c, &mut fresh);
        let first = a.then(&b).and_then(|first| first.then(&c));
        let last = b.then(&c).and_then(|last| a.then(&last));
        // A constant that a cast refuses has no normal form.
        if let (Ok(first), Ok(last)) = (first, last) {
            prop_assert_eq!(first, last);
        }
        prop_assert_eq!(&Migration::none(a.source()).then(&a).unwrap(), &a);
        prop_assert_eq!(&a.then(&Migration::none(a.target())).unwrap(), &a);
    }

    /// Composed, nothing is refused that is dropped later; where step by step gives rows, both give the same.
    #[test]
    fn composed_casts_give_what_step_by_step_gives(a in scripts(), b in scripts(), x in any::<i32>(), y in any::<i8>()) {
        let mut fresh = 0;
        let a = build(&start(), &a, &mut fresh);
        let b = build(a.target(), &b, &mut fresh);
        let Ok(whole) = a.then(&b) else { return Ok(()) };
        let column = |values: [Option<i32>; 3]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
        let columns = [column([Some(x), None, Some(1)]), column([Some(y.into()), Some(x), None]), column([Some(300), Some(40_000), Some(-1)])];
        for row in 0..3 {
            let columns = columns.each_ref().map(|column| column.slice(row, 1));
            let present = BooleanArray::from(vec![row != 2]);
            let presence = Presence::whole(&present);
            let stepwise = a.apply(&columns, &presence).and_then(|between| b.apply(&between, &presence));
            let composed = whole.apply(&columns, &presence);
            match (stepwise, composed) {
                (Ok(stepwise), composed) => prop_assert_eq!(stepwise, composed.unwrap()),
                (Err(MigrationError::Refused { .. }), Ok(_) | Err(MigrationError::Refused { .. })) => {}
                (stepwise, composed) => prop_assert!(false, "{:?} {:?}", stepwise, composed),
            }
        }
    }
}
