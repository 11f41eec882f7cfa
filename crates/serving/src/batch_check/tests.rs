use std::sync::{LazyLock, Mutex};

use proptest::prelude::*;
use schema::{Dtype, ServiceColumn};

use super::*;
use crate::onnx::toy::{self, FLOAT, Graph, INT64, Node};
use crate::onnx::{SessionPool, inspect};

fn check(model: &[u8], columns: &[ServiceColumn]) -> BatchCheck {
    let pool = SessionPool::load(&toy::runtime(), model, 1).unwrap();
    let plan = InputPlan::fit(&inspect(&toy::runtime(), model).unwrap().signature, columns).unwrap();
    let probe = ProbeSet::new(columns, &[]).unwrap();
    check_batches(&mut pool.try_checkout().unwrap(), &plan, &probe)
}

fn check_floats(model: &[u8]) -> BatchCheck {
    check(model, &toy::float_columns(&["a", "b", "c"]))
}

#[test]
fn a_linear_model_may_share_runs() {
    let found = check_floats(&toy::file("linear"));
    assert!(found.batching(), "{found}");
    assert_eq!((found.rows, found.refused), (64, 0));
    assert!(found.batches > 150, "{}", found.batches);
}

#[test]
fn batch_mean_model_is_caught() {
    let model = toy::file("batch_mean");
    let found = check_floats(&model);
    let Verdict::Unsafe(example) = &found.verdict else { panic!("{found}") };
    assert_eq!((example.output.as_str(), example.mates.len(), example.row.values.len()), ("score", 1, 3));
    assert_ne!(example.alone, example.together);
    assert!(
        found.to_string().starts_with("batching is off: an answer depends on the rows beside it\n  row "),
        "{found}"
    );

    // Permutations alone would have let it pass.
    let (plan, probe) =
        (toy::plan(&model, &["a", "b", "c"]), ProbeSet::new(&toy::float_columns(&["a", "b", "c"]), &[]));
    let (probe, pool) = (probe.unwrap(), SessionPool::load(&toy::runtime(), &model, 1).unwrap());
    let rows: Vec<usize> = (0..40).collect();
    let order = Random::new().permutation(&rows);
    assert_ne!(rows, order);
    let mut lease = pool.try_checkout().unwrap();
    let straight = lease.run(&plan, probe.columns(), &rows).unwrap();
    let permuted = lease.run(&plan, probe.columns(), &order).unwrap();
    for (place, row) in order.iter().enumerate() {
        let distance = straight.columns[0].row(*row).distance(permuted.columns[0].row(place));
        assert!(distance.is_some_and(|distance| distance < 1e-4), "row {row}: {distance:?}");
    }
}

#[test]
fn a_model_that_adds_the_rows_place_is_caught() {
    // cumsum over the batch of the first column.
    let model = Graph::new()
        .input("x", FLOAT, &[-1, 3])
        .int64s("axis", &[], &[0])
        .node(Node::new("CumSum", &["x", "axis"], &["y"]))
        .output("y", FLOAT, &[-1, 3])
        .model();
    assert!(matches!(check_floats(&model).verdict, Verdict::Unsafe(_)));
}

/// `x + weight * reduce(x)`, the reduction over the batch.
fn company(operator: &str, weight: f32) -> Vec<u8> {
    Graph::new()
        .input("x", FLOAT, &[-1, 3])
        .int64s("axis", &[1], &[0])
        .floats("weight", &[], &[weight])
        .node(Node::new(operator, &["x", "axis"], &["all"]).int("keepdims", 1))
        .node(Node::new("Mul", &["all", "weight"], &["little"]))
        .node(Node::new("Add", &["x", "little"], &["y"]))
        .output("y", FLOAT, &[-1, 3])
        .model()
}

#[test]
fn a_model_that_only_hostile_company_disturbs_is_caught() {
    // Zero times the batch's greatest value is zero until that is infinite, or missing.
    let found = check_floats(&company("ReduceMax", 0.0));
    let Verdict::Unsafe(example) = &found.verdict else { panic!("{found}") };
    let odd = |value: &String| ["inf", "-inf", "NaN", "null"].contains(&value.as_str());
    assert!(matches!(example.mates.as_slice(), [mate] if mate.values.values().any(odd)), "{found}");
}

#[test]
fn a_model_that_company_moves_by_a_hair_is_within_the_tolerance() {
    let columns = ["a", "b", "c"].map(|name| toy::filled(name, Dtype::Int8, Some(schema::Value::Int(0))));
    let found = check(&company("ReduceMean", 1e-9), &columns);
    let Verdict::WithinTolerance { max_difference } = found.verdict else { panic!("{found}") };
    assert!(max_difference > 0.0 && max_difference <= TOLERANCE, "{found}");
    assert!(found.batching() && !found.batch_exact());
    assert!(!check(&company("ReduceMean", 1e-3), &columns).batching());
}

#[test]
fn two_inputs_may_share_runs() {
    let columns = [
        toy::filled("total_orders", Dtype::Int64, Some(schema::Value::Int(0))),
        toy::column("avg_order_value", Dtype::Float64),
    ];
    let found = check(&toy::file("two_inputs"), &columns);
    assert!(found.batching(), "{found}");
    assert_eq!((found.rows, found.refused), (64, 0));
}

#[test]
fn a_row_that_is_refused_alone_and_in_company_is_no_counterexample() {
    // Without a fill, the null edge of an integer input is refused.
    let columns = [toy::column("total_orders", Dtype::Int64), toy::column("avg_order_value", Dtype::Float64)];
    let found = check(&toy::file("two_inputs"), &columns);
    assert!(found.batching(), "{found}");
    assert!(found.refused > 0 && found.rows + found.refused == 64, "{found:?}");
}

#[test]
fn a_model_that_takes_one_row_at_a_time_is_kept_from_batches() {
    let model = Graph::new()
        .input("x", FLOAT, &[1, 3])
        .node(Node::new("Identity", &["x"], &["y"]))
        .output("y", FLOAT, &[1, 3])
        .model();
    let found = check_floats(&model);
    let Verdict::Unsafe(example) = &found.verdict else { panic!("{found}") };
    assert!(example.together.contains("got invalid dimensions"), "{found}");
}

#[test]
fn a_model_that_refuses_every_row_is_not_called_safe() {
    let model = Graph::new()
        .input("at", INT64, &[-1, 1])
        .floats("table", &[1], &[1.0])
        .node(Node::new("Gather", &["table", "at"], &["y"]))
        .output("y", FLOAT, &[-1, 1])
        .model();
    let columns = [toy::column("at", Dtype::Int64)];
    let pool = SessionPool::load(&toy::runtime(), &model, 1).unwrap();
    let plan = InputPlan::fit(&inspect(&toy::runtime(), &model).unwrap().signature, &columns).unwrap();
    // Its only good index is 0, which some generated row has.
    let found = check_batches(&mut pool.try_checkout().unwrap(), &plan, &ProbeSet::new(&columns, &[]).unwrap());
    assert!(found.batching() && found.refused > 32, "{found:?}");
    let nothing = ProbeSet::new(&[], &[]).unwrap();
    let found = check_batches(&mut pool.try_checkout().unwrap(), &plan, &nothing);
    assert!(!found.batching() && !found.batch_exact(), "{found}");
}

/// The label is the arg max of two scores that are `gap` apart in the first column's sign.
fn classifier() -> Vec<u8> {
    Graph::new()
        .input("x", FLOAT, &[-1, 3])
        .node(Node::new("ArgMax", &["x"], &["label"]).int("axis", 1).int("keepdims", 0))
        .node(Node::new("Identity", &["x"], &["scores"]))
        .output("label", INT64, &[-1])
        .output("scores", FLOAT, &[-1, 3])
        .model()
}

#[test]
fn labels_and_scores_are_checked_together() {
    let found = check_floats(&classifier());
    assert_eq!(found.verdict, Verdict::Exact, "{found}");
    assert!(found.batch_exact());
}

#[test]
fn a_label_may_flip_only_between_scores_that_are_tied() {
    use crate::onnx::{Tensor, TensorData};
    let outputs = |label: i64, scores: [f32; 2]| {
        let tensor = |name: &str, width: &[i64], data: TensorData| Tensor {
            name: name.into(),
            shape: [&[1], width].concat(),
            data,
        };
        Outputs {
            columns: vec![
                tensor("label", &[], TensorData::I64(vec![label])),
                tensor("scores", &[2], TensorData::F32(scores.to_vec())),
            ],
        }
    };
    let model = classifier();
    let pool = SessionPool::load(&toy::runtime(), &model, 1).unwrap();
    let mut lease = pool.try_checkout().unwrap();
    let (plan, probe) = (toy::plan(&model, &["a", "b", "c"]), ProbeSet::new(&[], &[]).unwrap());
    let check = Check {
        session: &mut lease,
        rows: &Planned { plan: &plan, probe: &probe },
        until: None,
        is_late: false,
        alone: Vec::new(),
        tolerance: TOLERANCE,
        batches: 0,
        exact: true,
        max_difference: 0.0,
    };
    let tied = check.distance(&outputs(0, [0.5, 0.499_999_97]), 0, &outputs(1, [0.5, 0.5]), 0);
    assert!(tied.is_some_and(|(distance, exact)| distance < TOLERANCE && !exact), "{tied:?}");
    let clear = check.distance(&outputs(0, [0.6, 0.4]), 0, &outputs(1, [0.6, 0.4]), 0);
    assert!(clear.is_some_and(|(distance, _)| distance > TOLERANCE), "{clear:?}");
}

#[test]
fn the_verdict_is_evidence_that_can_be_read_back() {
    for model in ["linear", "batch_mean"] {
        let found = check_floats(&toy::file(model));
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<BatchCheck>(&json).unwrap(), found, "{json}");
    }
    let within = BatchCheck {
        verdict: Verdict::WithinTolerance { max_difference: 1.25e-7 },
        rows: 64,
        refused: 0,
        batches: 213,
        tolerance: 1e-6,
    };
    assert_eq!(
        within.to_string(),
        "batching is on, within 1e-6: 64 rows in 213 batches are at most 1.2e-7 from their answers alone"
    );
    let json = serde_json::to_value(&within).unwrap();
    assert_eq!(json["verdict"], "within_tolerance");
}

/// One session for all cases of a property.
static LINEAR: LazyLock<(SessionPool, InputPlan, Mutex<()>)> = LazyLock::new(|| {
    let model = toy::file("linear");
    (SessionPool::load(&toy::runtime(), &model, 1).unwrap(), toy::plan(&model, &["a", "b", "c"]), Mutex::new(()))
});

/// Answers of `linear.onnx` for `rows` of `x`.
fn predict(x: &[[f32; 3]], rows: &[usize]) -> Outputs {
    let (pool, plan, one_at_a_time) = &*LINEAR;
    let _turn = one_at_a_time.lock().unwrap();
    let columns = toy::floats(&x.iter().map(|row| &row[..]).collect::<Vec<_>>());
    pool.try_checkout().unwrap().run(plan, &columns, rows).unwrap()
}

/// Short binary fractions: every sum in `linear.onnx` is exact, whatever its order.
fn rows() -> impl Strategy<Value = Vec<[f32; 3]>> {
    prop::collection::vec(prop::array::uniform3((-8000_i16..8000).prop_map(|eighths| f32::from(eighths) / 8.0)), 1..40)
}

proptest! {
    #[test]
    fn permuting_rows_permutes_answers(
        (x, order) in rows().prop_flat_map(|x| { let all: Vec<_> = (0..x.len()).collect(); (Just(x), Just(all).prop_shuffle()) })
    ) {
        let straight = predict(&x, &(0..x.len()).collect::<Vec<_>>());
        let permuted = predict(&x, &order);
        for (place, row) in order.iter().enumerate() {
            prop_assert!(permuted.row_same_bits(place, &straight, *row));
        }
    }

    #[test]
    fn selecting_rows_selects_answers(
        (x, chosen) in rows().prop_flat_map(|x| { let n = x.len(); (Just(x), prop::collection::vec(0..n, 1..60)) })
    ) {
        let selected = predict(&x, &chosen);
        for (place, row) in chosen.iter().enumerate() {
            let alone = predict(&x, &[*row]);
            prop_assert!(selected.row_same_bits(place, &alone, 0));
        }
    }
}
