use std::sync::Arc;

use arrow::array::{AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::Float64Type;
use schema::{Scalar, Value};

use super::*;

#[test]
fn every_bit_comes_back() {
    let nan = f64::from_bits(0x7ff8_0000_0000_1234);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![Some(-0.0), Some(nan), None, Some(f64::NEG_INFINITY)])),
        Arc::new(StringArray::from(vec![Some(""), Some("né𝄞"), None, Some("x")])),
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some((1 << 53) + 1), Some(0)])),
    ];
    let codec = RowCodec::new([Dtype::Float64, Dtype::String, Dtype::Int64]);
    let mut decoder = codec.decoder(5);
    for row in 0..4 {
        decoder.push(&codec.encode(&columns, row)).unwrap();
    }
    let back = decoder.finish();
    for (want, got) in columns.iter().zip(&back) {
        assert_eq!(want.to_data(), got.to_data());
    }
    assert_eq!(back[0].as_primitive::<Float64Type>().value(1).to_bits(), nan.to_bits());
}

#[test]
fn a_torn_row_is_refused() {
    let codec = RowCodec::new([Dtype::Int64, Dtype::String]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["abc"]))];
    let whole = codec.encode(&columns, 0);
    for len in 0..whole.len() {
        assert!(codec.decoder(1).push(&whole[..len]).is_err(), "{len} bytes");
    }
    let other = RowCodec::new([Dtype::Int64]);
    assert!(other.decoder(1).push(&whole).is_err());
}

/// What is stored stays readable: the bytes of a row are part of the format.
#[test]
fn a_row_of_lists_has_these_bytes() {
    let pair = Dtype::FixedList(Scalar::Int16, 2);
    let dtypes = [Dtype::Decimal { precision: 4, scale: 1 }, Dtype::List(Scalar::String), pair, Dtype::Duration];
    let text = |text: &str| Value::String(text.to_owned());
    let values = [
        Value::Int(-1),
        Value::List(vec![text("ab"), Value::Null, text("")]),
        Value::List(vec![Value::Int(1), Value::Int(-2)]),
        Value::Null,
    ];
    let columns: Vec<ArrayRef> = values.iter().zip(dtypes).map(|(v, dtype)| v.to_array(dtype, 1).unwrap()).collect();
    let packed = RowCodec::new(dtypes).encode(&columns, 0);
    let hex: String = packed.iter().map(|byte| format!("{byte:02x}")).collect();
    let fixed = "01 08 f6ffffffffffffffffffffffffffffff 0000000000000000";
    let lists = "03000000 01 02 02000000 6162 00000000 02000000 00 0100 feff";
    assert_eq!(hex, format!("{fixed}{lists}").replace(' ', ""));
}

#[test]
fn a_torn_list_is_refused() {
    let dtype = Dtype::List(Scalar::Json);
    let codec = RowCodec::new([dtype, Dtype::FixedList(Scalar::Bool, 2)]);
    let lists = Value::List(vec![Value::String("{}".into()), Value::Null]).to_array(dtype, 1).unwrap();
    let pair = Value::List(vec![Value::Null, Value::Bool(true)]);
    let pair = pair.to_array(Dtype::FixedList(Scalar::Bool, 2), 1).unwrap();
    let whole = codec.encode(&[lists, pair], 0);
    assert!(codec.decoder(1).push(&whole).is_ok());
    for len in 0..whole.len() {
        assert!(codec.decoder(1).push(&whole[..len]).is_err(), "{len} bytes");
    }
    let triple = RowCodec::new([dtype, Dtype::FixedList(Scalar::Bool, 3)]);
    assert!(triple.decoder(1).push(&whole).is_err());
}

#[test]
fn columns_of_numbers_of_all_widths_share_memory_and_nothing_else() {
    let dtypes = ["int8", "decimal(20,2)", "uint16", "float32", "int64", "date", "bool", "uint8", "timestamp"];
    let dtypes: Vec<Dtype> = dtypes.iter().map(|text| Dtype::parse(text).unwrap()).collect();
    let value = |dtype: Dtype, row: i64| match (row % 3, dtype.item()) {
        (2, _) => Value::Null,
        (_, Scalar::Bool) => Value::Bool(row % 2 == 0),
        (_, Scalar::Float32) => Value::Float(1.5),
        (_, Scalar::Timestamp) => Value::Timestamp(schema::Timestamp::from_nanos(row)),
        (_, Scalar::Decimal { .. }) => Value::String(format!("{row}.25")),
        (_, _) => Value::Int(row),
    };
    let columns: Vec<ArrayRef> = dtypes
        .iter()
        .map(|dtype| {
            let stored = |value: Value| value.clone().canonical(*dtype).unwrap_or(value);
            let rows = (0..7).map(|row| stored(value(*dtype, row)).to_array(*dtype, 1).unwrap());
            let rows: Vec<ArrayRef> = rows.collect();
            arrow::compute::concat(&rows.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
        })
        .collect();
    let codec = RowCodec::new(dtypes.iter().copied());
    let mut decoder = codec.decoder(7);
    for row in 0..7 {
        decoder.push(&codec.encode(&columns, row)).unwrap();
    }
    for (want, got) in columns.iter().zip(decoder.finish()) {
        assert_eq!(want, &got);
    }
}

#[test]
#[should_panic(expected = "a decoder of 1 rows is given more")]
fn more_rows_than_were_said_are_a_bug() {
    let codec = RowCodec::new([Dtype::Int64, Dtype::Int64]);
    let mut decoder = codec.decoder(1);
    decoder.push_missing();
    decoder.push_missing();
}
