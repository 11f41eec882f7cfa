//! The laws of migrations (natural transformations, section 11) on random schemas and scripts, with negative controls.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int32Array};
use proptest::prelude::*;
use proptest::sample::Index;

mod laws;

use super::*;
use crate::decimal::Decimal;
use crate::dtype::Scalar;
use crate::duration::Duration;
use crate::time::Timestamp;

fn field(name: &str, dtype: Dtype) -> Field {
    Field { name: name.parse().unwrap(), dtype }
}

fn start() -> FeatureSchema {
    FeatureSchema::new(vec![field("a", Dtype::Int32), field("b", Dtype::Int32), field("c", Dtype::Int32)]).unwrap()
}

/// A random step that fits `schema`; `fresh` makes new names distinct from all before.
fn fitting(schema: &FeatureSchema, kind: u8, at: &Index, constant: i32, fresh: usize) -> Option<MigrationStep> {
    let n = schema.fields.len();
    let name: FeatureName = format!("n{fresh}").parse().unwrap();
    Some(match kind % 5 {
        0 => MigrationStep::Add {
            name,
            dtype: Some(Dtype::Int32),
            restore: false,
            default: Value::Int(constant.into()),
            when_missing: if constant % 2 == 0 { Value::Null } else { Value::Int(-1) },
        },
        1 if n > 1 => MigrationStep::Drop { name: schema.fields[at.index(n)].name.clone() },
        2 => MigrationStep::Rename { from: schema.fields[at.index(n)].name.clone(), to: name },
        3 => {
            let field = &schema.fields[at.index(n)];
            let to = if field.dtype == Dtype::Int32 { Dtype::Int64 } else { field.dtype };
            MigrationStep::Widen { name: field.name.clone(), to }
        }
        4 => {
            let mut names: Vec<_> = schema.fields.iter().map(|f| f.name.clone()).collect();
            names.rotate_left(at.index(n));
            MigrationStep::Reorder { names }
        }
        _ => return None,
    })
}

type Script = Vec<(u8, Index, i32)>;

fn scripts() -> impl Strategy<Value = Script> {
    proptest::collection::vec((any::<u8>(), any::<Index>(), any::<i32>()), 0..6)
}

fn build(from: &FeatureSchema, script: &Script, fresh: &mut usize) -> Migration {
    let mut steps = Vec::new();
    let mut schema = from.clone();
    for (kind, at, constant) in script {
        *fresh += 1;
        if let Some(step) = fitting(&schema, *kind, at, *constant, *fresh) {
            schema = Migration::from_steps(&schema, std::slice::from_ref(&step)).unwrap().target;
            steps.push(step);
        }
    }
    Migration::from_steps(from, &steps).unwrap()
}

fn rows() -> (Vec<ArrayRef>, BooleanArray) {
    let column = |v: [Option<i32>; 3]| Arc::new(Int32Array::from(v.to_vec())) as ArrayRef;
    let columns =
        vec![column([Some(1), None, None]), column([Some(i32::MAX), Some(2), None]), column([Some(0), Some(3), None])];
    (columns, BooleanArray::from(vec![true, true, false]))
}

proptest! {
    #[test]
    fn migration_composition_is_associative(a in scripts(), b in scripts(), c in scripts()) {
        let mut fresh = 0;
        let a = build(&start(), &a, &mut fresh);
        let b = build(&a.target, &b, &mut fresh);
        let c = build(&b.target, &c, &mut fresh);
        prop_assert_eq!(a.then(&b).unwrap().then(&c).unwrap(), a.then(&b.then(&c).unwrap()).unwrap());
    }

    #[test]
    fn empty_migration_changes_nothing(a in scripts()) {
        let a = build(&start(), &a, &mut 0);
        prop_assert_eq!(&Migration::none(&a.source).then(&a).unwrap(), &a);
        prop_assert_eq!(&a.then(&Migration::none(&a.target)).unwrap(), &a);
    }

    #[test]
    fn step_by_step_equals_composed(a in scripts(), b in scripts()) {
        let mut fresh = 0;
        let a = build(&start(), &a, &mut fresh);
        let b = build(&a.target, &b, &mut fresh);
        let (columns, present) = rows();
        let stepwise = b.apply(&a.apply(&columns, &Presence::whole(&present)).unwrap(), &Presence::whole(&present)).unwrap();
        prop_assert_eq!(stepwise, a.then(&b).unwrap().apply(&columns, &Presence::whole(&present)).unwrap());
    }
}

#[test]
fn constants_are_compared_by_their_bits() {
    let name = |n: &str| n.parse::<FeatureName>().unwrap();
    let rename = |from: &str, to: &str| MigrationStep::Rename { from: name(from), to: name(to) };
    let long = [rename("a", "x"), rename("x", "y"), MigrationStep::Drop { name: name("b") }];
    let short = [MigrationStep::Drop { name: name("b") }, rename("a", "y")];
    let of = |steps: &[MigrationStep]| Migration::from_steps(&start(), steps).unwrap();
    assert_eq!(of(&long), of(&short));
    // Negative control: another constant is another migration, compared by its bits.
    let add = |value: f64| MigrationStep::Add {
        name: name("z"),
        dtype: Some(Dtype::Float64),
        restore: false,
        default: Value::Float(value),
        when_missing: Value::Null,
    };
    assert_ne!(of(&[add(0.0)]), of(&[add(-0.0)]));
    assert_eq!(of(&[add(f64::NAN)]), of(&[add(f64::NAN)]));
}

#[test]
fn a_missing_row_takes_the_other_constant() {
    let add = MigrationStep::Add {
        name: "vip".parse().unwrap(),
        dtype: Some(Dtype::Int32),
        restore: false,
        default: Value::Int(0),
        when_missing: Value::Null,
    };
    let (columns, present) = rows();
    let migrated =
        Migration::from_steps(&start(), &[add]).unwrap().apply(&columns, &Presence::whole(&present)).unwrap();
    let expected: ArrayRef = Arc::new(Int32Array::from(vec![Some(0), Some(0), None]));
    assert_eq!(&migrated[3], &expected);
}

#[test]
fn what_loses_bits_or_resurrects_is_refused() {
    let name = |n: &str| n.parse::<FeatureName>().unwrap();
    let long = FeatureSchema::new(vec![field("a", Dtype::Int64)]).unwrap();
    let widen = MigrationStep::Widen { name: name("a"), to: Dtype::Float64 };
    assert!(matches!(Migration::from_steps(&long, &[widen]), Err(MigrationError::Lossy { .. })));
    let add = MigrationStep::Add {
        name: name("a"),
        dtype: Some(Dtype::Int64),
        restore: false,
        default: Value::Int(0),
        when_missing: Value::Null,
    };
    let steps = [MigrationStep::Drop { name: name("a") }, add];
    assert!(matches!(Migration::from_steps(&start(), &steps), Err(MigrationError::Resurrected { .. })));
}

/// Values at the edges of a scalar.
fn edges(item: Scalar) -> Vec<Value> {
    let ints = |least: i64, most: i64| vec![Value::Int(least), Value::Int(most), Value::Int(1)];
    match item {
        Scalar::Bool => vec![Value::Bool(true), Value::Bool(false)],
        Scalar::Int8 => ints(i8::MIN.into(), i8::MAX.into()),
        Scalar::Int16 => ints(i16::MIN.into(), i16::MAX.into()),
        Scalar::Int32 | Scalar::Date => ints(i32::MIN.into(), i32::MAX.into()),
        Scalar::Int64 => ints(i64::MIN, i64::MAX),
        Scalar::Uint8 => ints(0, u8::MAX.into()),
        Scalar::Uint16 => ints(0, u16::MAX.into()),
        Scalar::Uint32 => ints(0, u32::MAX.into()),
        Scalar::Uint64 => vec![Value::Int(0), Value::Uint(u64::MAX)],
        Scalar::Float32 => [f32::MAX, f32::MIN_POSITIVE, -0.0, f32::INFINITY].map(|v| Value::Float(v.into())).to_vec(),
        Scalar::Float64 => [f64::MAX, f64::MIN_POSITIVE, -0.0, f64::INFINITY].map(Value::Float).to_vec(),
        Scalar::String => vec![Value::String(String::new()), Value::String("né".to_owned())],
        Scalar::Bytes => vec![Value::Bytes(vec![]), Value::Bytes(vec![255])],
        Scalar::Timestamp => [i64::MIN, i64::MAX].map(|n| Value::Timestamp(Timestamp::from_nanos(n))).to_vec(),
        Scalar::Duration => [i64::MIN, i64::MAX].map(|n| Value::Duration(Duration::from_nanos(n))).to_vec(),
        Scalar::Decimal { precision, scale } => {
            let most = 10_i128.pow(precision.into()) - 1;
            [most, -most, 0].map(|unscaled| Value::Decimal(Decimal { unscaled, scale })).to_vec()
        }
        Scalar::Json => vec![Value::String("{}".to_owned())],
    }
}

/// Edges of a dtype, and null.
fn column(dtype: Dtype) -> ArrayRef {
    let edges = edges(dtype.item());
    let mut values = match dtype {
        Dtype::FixedList(_, n) => {
            edges.iter().map(|edge| Value::List(vec![edge.clone(); usize::try_from(n).unwrap()])).collect()
        }
        Dtype::List(_) => vec![Value::List(vec![]), Value::List([edges, vec![Value::Null]].concat())],
        _ => edges,
    };
    values.push(Value::Null);
    let cells: Vec<ArrayRef> = values.iter().map(|value| value.to_array(dtype, 1).unwrap()).collect();
    arrow::compute::concat(&cells.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
}

/// Every widening that there is, applied: going back gives the same column, so nothing was lost and nothing made equal.
#[test]
fn every_widening_can_be_undone() {
    let mut pairs = 0;
    for from in Dtype::all() {
        let source = FeatureSchema::new(vec![field("x", from)]).unwrap();
        for to in Dtype::all().filter(|to| from.widens_to(*to)) {
            let step = MigrationStep::Widen { name: "x".parse().unwrap(), to };
            let migration = Migration::from_steps(&source, &[step]).unwrap();
            let narrow = column(from);
            let present = BooleanArray::from(vec![true; narrow.len()]);
            let wide = migration.apply(&[ArrayRef::clone(&narrow)], &Presence::whole(&present)).unwrap().remove(0);
            assert_eq!(*wide.data_type(), to.to_arrow(), "{from} to {to}");
            let back = arrow::compute::cast(&wide, &from.to_arrow()).unwrap();
            assert_eq!(back.to_data(), narrow.to_data(), "{from} to {to}");
            pairs += 1;
        }
    }
    assert!(pairs > 150, "{pairs}");
}
