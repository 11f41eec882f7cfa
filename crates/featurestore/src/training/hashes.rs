//! A column's values as hashes and as numbers: what profiles and leakage checks are made of.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, downcast_primitive_array};
use arrow::datatypes::{ArrowNativeType, DataType, Float64Type, TimeUnit, ToByteSlice};
use schema::Dtype;
use schema::sampling::mix;

/// The hash of null. No value is expected to have it.
pub(super) const NULL: u64 = 0;

fn bytes(value: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ value.len() as u64;
    for part in value.chunks(8) {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        hash = mix(hash ^ u64::from_le_bytes(word));
    }
    hash
}

/// A hash for each value, [`NULL`] for nulls. Equal values of one type have equal hashes in every run.
pub(super) fn hashes(column: &dyn Array) -> Vec<u64> {
    let mut out = of_values(column);
    if let Some(nulls) = column.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
        for (hash, valid) in out.iter_mut().zip(nulls.iter()) {
            if !valid {
                *hash = NULL;
            }
        }
    }
    out
}

fn primitive<T: ArrowPrimitiveType>(values: &[T::Native]) -> Vec<u64> {
    values.iter().map(|value| bytes(value.to_byte_slice())).collect()
}

fn of_values(column: &dyn Array) -> Vec<u64> {
    match column.data_type() {
        // The common case; one word each.
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().map(|v| mix(v.to_bits())).collect(),
        DataType::Boolean => column.as_boolean().values().iter().map(|v| mix(u64::from(v))).collect(),
        DataType::Utf8 => column.as_string::<i32>().iter().map(|v| bytes(v.unwrap_or_default().as_bytes())).collect(),
        DataType::LargeUtf8 => {
            column.as_string::<i64>().iter().map(|v| bytes(v.unwrap_or_default().as_bytes())).collect()
        }
        DataType::Binary => column.as_binary::<i32>().iter().map(|v| bytes(v.unwrap_or_default())).collect(),
        DataType::LargeBinary => column.as_binary::<i64>().iter().map(|v| bytes(v.unwrap_or_default())).collect(),
        DataType::FixedSizeBinary(_) => {
            column.as_fixed_size_binary().iter().map(|v| bytes(v.unwrap_or_default())).collect()
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let items = hashes(list.values());
            list.offsets().windows(2).map(|pair| fold(&items[pair[0].as_usize()..pair[1].as_usize()])).collect()
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            let items = hashes(list.values());
            list.offsets().windows(2).map(|pair| fold(&items[pair[0].as_usize()..pair[1].as_usize()])).collect()
        }
        DataType::FixedSizeList(_, n) => {
            let list = column.as_fixed_size_list();
            let n = usize::try_from(*n).unwrap_or(0);
            let items = hashes(list.values());
            (0..list.len()).map(|row| fold(&items[row * n..(row + 1) * n])).collect()
        }
        _ => downcast_primitive_array!(
            column => primitive_of(column),
            _ => by_text(column)
        ),
    }
}

fn primitive_of<T: ArrowPrimitiveType>(column: &arrow::array::PrimitiveArray<T>) -> Vec<u64> {
    primitive::<T>(column.values())
}

fn fold(items: &[u64]) -> u64 {
    items.iter().fold(mix(items.len() as u64), |hash, item| mix(hash ^ item))
}

/// Structs and the like, which only a spine can have.
fn by_text(column: &dyn Array) -> Vec<u64> {
    let options = arrow::util::display::FormatOptions::new();
    let Ok(formatter) = arrow::util::display::ArrayFormatter::try_new(column, &options) else {
        return vec![mix(1); column.len()];
    };
    (0..column.len()).map(|row| bytes(formatter.value(row).to_string().as_bytes())).collect()
}

/// Whether a column's values are numbers, or instants, which are ordered like numbers.
pub(super) fn is_number(found: &DataType) -> bool {
    found.is_numeric() || matches!(found, DataType::Boolean) || is_time(found)
}

/// Whether values are instants or days.
pub(super) fn is_time(found: &DataType) -> bool {
    matches!(Dtype::from_arrow(found), Some(Dtype::Timestamp | Dtype::Date | Dtype::Duration))
}

/// The values as numbers, instants as nanoseconds since the epoch: `NaN` for nulls. Integers beyond 2^53 are rounded.
pub(super) fn numbers(column: &ArrayRef) -> Option<Vec<f64>> {
    let column = match column.data_type() {
        DataType::Timestamp(_, zone) => {
            arrow::compute::cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())).ok()?
        }
        DataType::Date32 | DataType::Date64 => {
            arrow::compute::cast(column, &DataType::Timestamp(TimeUnit::Nanosecond, None)).ok()?
        }
        found if is_number(found) => ArrayRef::clone(column),
        _ => return None,
    };
    let column =
        if is_time(column.data_type()) { arrow::compute::cast(&column, &DataType::Int64).ok()? } else { column };
    let column = arrow::compute::cast(&column, &DataType::Float64).ok()?;
    let floats = column.as_primitive::<Float64Type>();
    if floats.null_count() == 0 {
        return Some(floats.values().to_vec());
    }
    Some(floats.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Int32Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn equal_values_hash_alike_and_others_do_not() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![Some(1), Some(2), Some(1), None])),
            Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("a"), None])),
            Arc::new(Decimal128Array::from(vec![Some(1), Some(2), Some(1), None])),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1), Some(2), Some(1), None])),
            Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(vec![
                Some(vec![Some(1), None]),
                Some(vec![Some(1)]),
                Some(vec![Some(1), None]),
                None,
            ])),
        ];
        for column in columns {
            let got = hashes(&column);
            assert_eq!((got[0], got[3]), (got[2], NULL), "{column:?}");
            assert_ne!(got[0], got[1], "{column:?}");
        }
    }

    #[test]
    fn a_slice_hashes_as_the_whole() {
        let lists = ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>(
            (0..50_i64).map(|i| (i % 5 > 0).then(|| (0..i % 4).map(Some).collect::<Vec<_>>())),
        );
        let whole = hashes(&lists);
        assert_eq!(hashes(&lists.slice(13, 20)), whole[13..33]);
    }

    #[test]
    fn hashes_of_numbers_do_not_collide() {
        let numbers: Int64Array = (0..100_000).collect();
        assert_eq!(hashes(&numbers).into_iter().collect::<HashSet<_>>().len(), 100_000);
    }

    #[test]
    fn instants_of_every_unit_are_nanoseconds() {
        let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(2), None]));
        let got = numbers(&micros).unwrap();
        assert_eq!(got[0].to_bits(), 2_000_f64.to_bits());
        assert!(got[1].is_nan());
    }
}
