use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::datatypes::Field;

use super::*;

fn profile(column: ArrayRef, role: Role) -> ColumnProfile {
    let schema = Arc::new(Schema::new(vec![Field::new("x", column.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
    let mut profiler = Profiler::new(&schema, &[role], &[false]);
    let mut from = 0;
    while from < batch.num_rows() {
        let n = (batch.num_rows() - from).min(65_536);
        profiler.add(&batch.slice(from, n));
        from += n;
    }
    profiler.end().swap_remove(0)
}

#[test]
fn few_rows_are_told_exactly() {
    let values = Float64Array::from(vec![Some(3.0), None, Some(f64::NAN), Some(-1.0), Some(3.0)]);
    let got = profile(Arc::new(values), Role::Feature);
    assert_eq!((got.nulls, got.nan), (1, Some(1)));
    assert_eq!(got.distinct, Estimate { value: 3, how: "exact".to_owned() });
    assert_eq!((got.min.as_deref(), got.max.as_deref()), (Some("-1.0"), Some("3.0")));
    assert!((got.mean.unwrap() - 5.0 / 3.0).abs() < 1e-12);
    let quantiles = got.quantiles.unwrap();
    assert_eq!((&quantiles.at["p01"], &quantiles.at["p50"]), (&serde_json::json!(-1.0), &serde_json::json!(3.0)));
    assert_eq!(quantiles.how, "exact");
    assert!(got.top.is_none());
}

#[test]
fn texts_and_labels_have_their_most_frequent_values() {
    let texts: StringArray = (0..1_000).map(|i| Some(if i % 3 == 0 { "a" } else { "b" })).collect();
    let top = profile(Arc::new(texts), Role::Feature).top.unwrap();
    assert_eq!(top.values[0], TopValue { value: "b".to_owned(), rows: 666 });
    assert_eq!((top.values[1].rows, top.how.as_str()), (334, "exact"));
    let labels: Int64Array = (0..100).map(|i| Some(i64::from(i % 10 == 0))).collect();
    let label = profile(Arc::new(labels), Role::Label);
    assert_eq!(label.top.unwrap().values[1], TopValue { value: "1".to_owned(), rows: 10 });
    let flags: BooleanArray = (0..10).map(|i| Some(i < 4)).collect();
    let flags = profile(Arc::new(flags), Role::Feature);
    assert_eq!((flags.min.as_deref(), flags.max.as_deref()), (Some("false"), Some("true")));
    assert!(flags.quantiles.is_none());
}

#[test]
fn times_are_told_as_times() {
    let times = TimestampNanosecondArray::from(vec![1_000_000_000, 3_000_000_000]).with_timezone("UTC");
    let got = profile(Arc::new(times), Role::Time);
    assert_eq!(got.quantiles.unwrap().at["p50"], "1970-01-01T00:00:01Z");
    assert_eq!(got.min.as_deref(), Some("1970-01-01T00:00:01Z"));
    assert!(got.mean.is_none());
}

#[test]
fn integers_beyond_the_floats_keep_their_digits() {
    let got = profile(Arc::new(Int64Array::from(vec![9_007_199_254_740_993, i64::MIN])), Role::Feature);
    assert_eq!(got.max.as_deref(), Some("9007199254740993"));
    assert_eq!(got.min.as_deref(), Some("-9223372036854775808"));
}

#[test]
fn many_rows_are_estimated_within_the_stated_error() {
    let n = 400_000_u32;
    let values: Float64Array = (0..n).map(|i| Some(f64::from(i.wrapping_mul(2_654_435_761) % n))).collect();
    let distinct = values.iter().flatten().map(f64::to_bits).collect::<std::collections::HashSet<_>>().len();
    let mut sorted: Vec<f64> = values.iter().flatten().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let got = profile(Arc::new(values), Role::Feature);
    let quantiles = got.quantiles.unwrap();
    assert!(quantiles.how.starts_with("uniform sample of"), "{}", quantiles.how);
    for (name, share) in QUANTILES {
        let value = quantiles.at[name].as_f64().unwrap();
        let at = sorted.partition_point(|other| *other <= value);
        let wanted = rank(share, sorted.len());
        assert!(at.abs_diff(wanted) < sorted.len() / 125, "{name}: {at}, not {wanted}");
    }
    // Three standard errors.
    let found = usize::try_from(got.distinct.value).unwrap();
    assert!(found.abs_diff(distinct) < distinct * 3 / 100, "{found}, not {distinct}");
    assert!(got.distinct.how.starts_with("adaptive sampling"));
}

#[test]
fn frequent_values_are_found_among_ever_new_ones() {
    let texts: StringArray =
        (0..60_000).map(|i| Some(if i % 4 == 0 { "often".to_owned() } else { format!("v{i}") })).collect();
    let top = profile(Arc::new(texts), Role::Feature).top.unwrap();
    assert_eq!(top.values[0].value, "often");
    let missed: u64 = top.how.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(top.values[0].rows + missed >= 15_000 && top.values[0].rows <= 15_000, "{top:?}");
}
