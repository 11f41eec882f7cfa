use std::sync::Arc;

use arrow::array::{
    Date64Array, Decimal64Array, Decimal256Array, DictionaryArray, DurationMillisecondArray, FixedSizeBinaryArray,
    FixedSizeListArray, Float16Array, Int32Array, Int64Array, LargeListArray, LargeStringArray, ListArray,
    ListViewArray, NullArray, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
    TimestampSecondArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::concat;
use arrow::datatypes::{Field, Float32Type, Int32Type, Int64Type, i256};
use schema::Value;

use super::*;

#[test]
fn a_naive_time_is_read_in_its_zone() {
    let noon: ArrayRef = Arc::new(TimestampSecondArray::from(vec![12 * 3600]));
    assert_eq!(times(&noon, None).unwrap().value(0), 12 * 3600 * 1_000_000_000);
    assert_eq!(times(&noon, Some("America/New_York")).unwrap().value(0), 17 * 3600 * 1_000_000_000);
}

#[test]
fn a_zoned_time_keeps_its_instant() {
    let micros = TimestampMicrosecondArray::from(vec![1]).with_timezone("America/New_York");
    let column: ArrayRef = Arc::new(micros);
    assert_eq!(times(&column, Some("Europe/Berlin")).unwrap().value(0), 1_000);
}

#[test]
fn nothing_is_rounded_or_wrapped() {
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(matches!(conform(&wide, Dtype::Int32, None), Err(CastError::Type { .. })));
    assert!(matches!(conform(&wide, Dtype::Float64, None), Err(CastError::Type { .. })));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    assert!(matches!(conform(&text, Dtype::Int64, None), Err(CastError::Type { .. })));
    let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 2]));
    assert!(matches!(conform(&far, Dtype::Timestamp, None), Err(CastError::Value { .. })));
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    assert_eq!(conform(&narrow, Dtype::Int64, None).unwrap().data_type(), &DataType::Int64);
}

#[test]
fn texts_are_times_when_they_are_rfc_3339() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("2024-01-01T12:00:00Z"), None]));
    assert_eq!(times(&texts, None).unwrap().null_count(), 1);
    let naive: ArrayRef = Arc::new(StringArray::from(vec!["2024-01-01 12:00:00"]));
    let there = times(&naive, Some("America/New_York")).unwrap().value(0);
    assert_eq!(there - times(&naive, None).unwrap().value(0), 5 * 3600 * 1_000_000_000);
    let wrong: ArrayRef = Arc::new(StringArray::from(vec!["yesterday"]));
    assert!(times(&wrong, None).is_err());
}

fn shown(column: &ArrayRef) -> String {
    (0..column.len()).map(|row| Value::at(column, row).to_string()).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(column: impl Array + 'static, to: &str, want: &str) {
    let to = Dtype::parse(to).unwrap();
    let column: ArrayRef = Arc::new(column);
    let found = conform(&column, to, None);
    if let Ok(found) = &found {
        assert_eq!(*found.data_type(), to.to_arrow());
        assert_eq!(conform(found, to, None).unwrap().to_data(), found.to_data(), "done once is done");
    }
    assert_eq!(found.map_or_else(|why| format!("error: {why}"), |found| shown(&found)), want);
}

#[test]
fn other_forms_of_a_type_become_ours() {
    check(Float16Array::from_iter_values([1.5, -0.0].map(half)), "float32", "1.5 -0.0");
    check(Float16Array::from_iter_values([1.5].map(half)), "float64", "1.5");
    check(LargeStringArray::from(vec!["a"]), "string", "\"a\"");
    check(StringViewArray::from(vec!["a"]), "string", "\"a\"");
    check(vec![Some("a"), None].into_iter().collect::<DictionaryArray<Int32Type>>(), "string", "\"a\" null");
    check(FixedSizeBinaryArray::try_from_iter([[1_u8, 2]].iter()).unwrap(), "bytes", "2 bytes");
    check(Date64Array::from(vec![Some(86_400_000), None]), "date", "1 null");
    check(Date64Array::from(vec![1]), "date", "error: a date of 1 ms since the epoch has a time of day");
    check(DurationMillisecondArray::from(vec![1_500]), "duration", "PT1.5S");
    check(Decimal64Array::from(vec![150]).with_precision_and_scale(5, 2).unwrap(), "decimal(10,3)", "1.500");
    let wide = || Decimal256Array::from(vec![i256::from_i128(150)]).with_precision_and_scale(38, 2).unwrap();
    check(wide(), "decimal(38,2)", "1.50");
    check(wide(), "decimal(37,2)", "error: it is decimal(38,2), declared decimal(37,2)");
    let beyond = Decimal256Array::from(vec![i256::ONE]).with_precision_and_scale(50, 2).unwrap();
    check(beyond, "decimal(38,2)", "error: it is Decimal256(50, 2), declared decimal(38,2)");
    check(Int64Array::from(vec![7]), "decimal(21,2)", "7.00");
    check(NullArray::new(2), "list<float32, 3>", "null null");
}

fn half(v: f32) -> <arrow::datatypes::Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native {
    // The type is of another crate, but its name can be had from here.
    <arrow::datatypes::Float16Type as arrow::datatypes::ArrowPrimitiveType>::Native::from_f32(v)
}

fn lists() -> ListArray {
    ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(3), Some(4)]),
    ])
}

#[test]
fn lists_of_every_form_become_ours() {
    let all = "[1, null] null [] [3, 4]";
    check(lists(), "list<int64>", all);
    check(lists().slice(2, 2), "list<int64>", "[] [3, 4]");
    let large = LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    check(large, "list<int64>", "[1, null] null");
    let item = Arc::new(Field::new("element", DataType::Int32, false));
    let views = ListViewArray::new(
        item,
        ScalarBuffer::from(vec![2, 0, 1]),
        ScalarBuffer::from(vec![1, 2, 0]),
        Arc::new(Int32Array::from(vec![7, 8, 9])),
        None,
    );
    check(views, "list<int64>", "[9] [7, 8] []");
    let fixed = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
        [Some(vec![Some(0.5), None]), None, Some(vec![Some(f32::NAN), Some(-0.0)])],
        2,
    );
    check(fixed.clone(), "list<float64>", "[0.5, null] null [NaN, -0.0]");
    check(fixed.clone(), "list<float32, 2>", "[0.5, null] null [NaN, -0.0]");
    check(fixed.slice(1, 2), "list<float32, 2>", "null [NaN, -0.0]");
    check(fixed, "list<float32, 3>", "error: it is list<float32, 2>, declared list<float32, 3>");
}

#[test]
fn a_list_becomes_a_fixed_list_where_its_length_is_right() {
    let column = lists().slice(0, 2);
    check(column, "list<int64, 2>", "[1, null] null");
    let why = "error: a list of 0 values, declared list<int64, 2> (row 2 of its batch)";
    check(lists(), "list<int64, 2>", why);
}

#[test]
fn what_is_under_a_null_is_not_looked_at() {
    let values: ArrayRef = Arc::new(StringArray::from(vec!["1", "not json", "2"]));
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let nulls = Some(vec![true, false, true].into());
    let column = ListArray::new(item, OffsetBuffer::from_lengths([1, 1, 1]), values, nulls);
    check(column, "list<json>", "[\"1\"] null [\"2\"]");
}

#[test]
fn structs_and_texts_become_json() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![(1 << 53) + 1, -1]));
    let scores: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![Some(0.000_01), Some(f64::NAN)]));
    let fields = vec![
        (Arc::new(Field::new("id", DataType::Int64, true)), ids),
        (Arc::new(Field::new("a", DataType::Float64, true)), scores),
    ];
    let column = StructArray::from(fields);
    let conformed = conform(&(Arc::new(column) as ArrayRef), Dtype::Json, None).unwrap();
    let texts: Vec<_> = conformed.as_string::<i32>().iter().flatten().collect();
    assert_eq!(texts, [r#"{"a":1e-5,"id":9007199254740993}"#, r#"{"a":"NaN","id":-1}"#]);
    check(StringArray::from(vec![Some(" [1 , 2]"), None]), "json", "\"[1,2]\" null");
    let why = "error: the text `{\"a\"` is not JSON at byte 4: expected `:`";
    check(StringArray::from(vec!["{\"a\""]), "json", why);
    check(Int64Array::from(vec![1]), "json", "error: it is int64, declared json");
    check(lists(), "json", "\"[1,null]\" null \"[]\" \"[3,4]\"");
}

#[test]
fn concatenated_and_sliced_lists_conform() {
    let whole: ArrayRef = Arc::new(lists());
    let parts =
        [whole.slice(0, 1), whole.slice(1, 3)].map(|part| conform(&part, Dtype::List(Scalar::Int64), None).unwrap());
    let joined = concat(&[&parts[0], &parts[1]]).unwrap();
    assert_eq!(joined.to_data(), conform(&whole, Dtype::List(Scalar::Int64), None).unwrap().to_data());
}
