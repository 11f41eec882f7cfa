use proptest::prelude::*;
use schema::Value;

use super::*;

/// A value of any type from some bits; lists take two of them.
fn value(dtype: Dtype, bits: u64) -> Value {
    let signed = i64::from_ne_bytes(bits.to_ne_bytes());
    let json = || format!("{{\"a\":{bits}}}");
    match dtype {
        Dtype::Bool => Value::Bool(bits % 2 == 1),
        Dtype::Int8 => Value::Int(signed % 128),
        Dtype::Int16 => Value::Int(signed % 32_768),
        Dtype::Int32 | Dtype::Date => Value::Int(signed % 2_147_483_648),
        Dtype::Int64 => Value::Int(signed),
        Dtype::Uint8 => Value::Uint(bits % 256),
        Dtype::Uint16 => Value::Uint(bits % 65_536),
        Dtype::Uint32 => Value::Uint(bits % 4_294_967_296),
        Dtype::Uint64 => Value::Uint(bits),
        Dtype::Float32 => Value::Float(f64::from(f32::from_bits(u32::try_from(bits % (1 << 32)).unwrap()))),
        Dtype::Float64 => Value::Float(f64::from_bits(bits)),
        Dtype::String => Value::String(format!("{bits:x}")),
        Dtype::Json => Value::String(json()),
        Dtype::Bytes => Value::Bytes(bits.to_le_bytes()[..(bits % 9) as usize].to_vec()),
        Dtype::Timestamp => Value::Timestamp(schema::Timestamp::from_nanos(signed)),
        Dtype::Duration => Value::Duration(schema::Duration::from_nanos(signed)),
        Dtype::Decimal { precision, scale } => {
            let unscaled = i128::from(signed) % 10_i128.pow(precision.into());
            Value::Decimal(schema::Decimal { unscaled, scale })
        }
        Dtype::List(item) => Value::List((0..bits % 3).map(|i| value(item.into(), bits ^ i)).collect()),
        Dtype::FixedList(item, n) => Value::List((0..n).map(|i| value(item.into(), bits ^ u64::from(i))).collect()),
    }
}

proptest! {
    #[test]
    fn every_type_comes_back_bit_for_bit(bits: u64) {
        let edges = [bits, 0, u64::MAX, i64::MIN.unsigned_abs(), 1_999, (1 << 53) + 1, f64::NAN.to_bits(), (-0.0_f64).to_bits()];
        for dtype in Dtype::all() {
            let mut cells: Vec<ArrayRef> =
                edges.iter().map(|bits| value(dtype, *bits).to_array(dtype, 1).unwrap()).collect();
            cells.push(Value::Null.to_array(dtype, 1).unwrap());
            let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
            let column = arrow::compute::concat(&cells).unwrap();
            let stored = to_stored(&column, dtype).unwrap();
            let declared = TableColumn { name: "c".to_owned(), dtype };
            let schema = stored_schema(&[declared]);
            for (column, field) in stored.iter().zip(schema.fields()) {
                prop_assert_eq!(column.data_type(), field.data_type(), "{}", dtype);
            }
            let back = from_stored(&stored[0], stored.get(1), dtype).unwrap();
            prop_assert_eq!(back.data_type(), column.data_type(), "{}", dtype);
            for row in 0..column.len() {
                prop_assert_eq!(Value::at(&back, row), Value::at(&column, row), "{} row {}", dtype, row);
            }
        }
    }
}

#[test]
fn the_schema_tells_the_declared_types() {
    let columns: Vec<TableColumn> =
        Dtype::all().enumerate().map(|(i, dtype)| TableColumn { name: format!("c{i}"), dtype }).collect();
    let delta = delta_schema(&columns);
    assert_eq!(declared("t", &delta.to_string()).unwrap(), columns);
    let stored = stored_schema(&columns);
    let names = |fields: &Fields| fields.iter().map(|f| (f.name().clone(), f.data_type().clone())).collect::<Vec<_>>();
    assert_eq!(names(&fields(&delta).unwrap()), names(stored.fields()), "files hold what Delta's schema says");
}

#[test]
fn names_that_meet_are_refused() {
    let check = |names: &[(&str, Dtype)], want: &str| {
        let columns: Vec<_> =
            names.iter().map(|(name, dtype)| TableColumn { name: (*name).to_owned(), dtype: *dtype }).collect();
        let why = check_names("t", &columns).unwrap_err().to_string();
        assert!(why.contains(want), "{why}");
    };
    check(&[], "there are none");
    check(&[("a", Dtype::Int8), ("A", Dtype::Int8)], "column `a` and column `A` would have one name, `a`");
    check(&[("_plumb_seq", Dtype::Int64)], "the column of arrival numbers");
    check(&[("at__nanos", Dtype::Int8), ("at", Dtype::Timestamp)], "the nanoseconds of column `at`");
}
