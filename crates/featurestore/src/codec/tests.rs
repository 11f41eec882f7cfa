use arrow::array::{Float64Array, Int64Array, StringArray};

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
    assert_eq!(back[0].as_primitive::<at::Float64Type>().value(1).to_bits(), nan.to_bits());
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
