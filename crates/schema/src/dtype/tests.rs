mod widening;

use expect_test::{Expect, expect};

use super::*;

#[test]
fn every_dtype_survives_arrow_and_text() {
    for dtype in Dtype::all() {
        // JSON is held as text: that it is JSON is the declaration's word.
        let held = match dtype {
            Dtype::Json => Dtype::String,
            Dtype::List(Scalar::Json) => Dtype::List(Scalar::String),
            Dtype::FixedList(Scalar::Json, n) => Dtype::FixedList(Scalar::String, n),
            other => other,
        };
        assert_eq!(Dtype::from_arrow(&dtype.to_arrow()), Some(held));
        assert_eq!(Dtype::parse(&dtype.to_string()), Ok(dtype));
        assert_eq!(Dtype::from(dtype.item()).item(), dtype.item());
        let stored = serde_json::to_string(&dtype).unwrap();
        assert_eq!(stored, format!("\"{dtype}\""));
        assert_eq!(serde_json::from_str::<Dtype>(&stored).unwrap(), dtype);
    }
}

#[test]
fn what_loses_bits_is_no_widening() {
    let decimal = |precision, scale| Dtype::Decimal { precision, scale };
    for (from, to) in [
        (Dtype::Int64, Dtype::Float64),
        (Dtype::Int32, Dtype::Float32),
        (Dtype::Uint64, Dtype::Int64),
        (Dtype::Int64, Dtype::Int32),
        (decimal(10, 2), decimal(10, 3)),
        (decimal(10, 2), decimal(10, 1)),
        (decimal(10, 2), Dtype::Float64),
        (Dtype::Int64, decimal(20, 2)),
        (Dtype::Uint64, decimal(19, 0)),
        (Dtype::List(Scalar::Float32), Dtype::FixedList(Scalar::Float32, 3)),
        (Dtype::FixedList(Scalar::Float32, 3), Dtype::FixedList(Scalar::Float32, 4)),
        (Dtype::List(Scalar::Int64), Dtype::List(Scalar::Float64)),
        (Dtype::Int8, Dtype::List(Scalar::Int8)),
        (Dtype::List(Scalar::Int8), Dtype::Int8),
        (Dtype::String, Dtype::Json),
        (Dtype::Json, Dtype::String),
    ] {
        assert!(!from.widens_to(to), "{from} to {to}");
    }
}

#[test]
fn what_keeps_every_value_is_a_widening() {
    let decimal = |precision, scale| Dtype::Decimal { precision, scale };
    for (from, to) in [
        (decimal(10, 2), decimal(12, 4)),
        (decimal(10, 2), decimal(11, 2)),
        (Dtype::Int64, decimal(21, 2)),
        (Dtype::Uint64, decimal(20, 0)),
        (Dtype::FixedList(Scalar::Int8, 3), Dtype::FixedList(Scalar::Int64, 3)),
        (Dtype::FixedList(Scalar::Int8, 3), Dtype::List(Scalar::Int8)),
        (Dtype::List(Scalar::Float32), Dtype::List(Scalar::Float64)),
    ] {
        assert!(from.widens_to(to), "{from} to {to}");
    }
}

#[test]
fn widening_is_an_order() {
    let all: Vec<Dtype> = Dtype::all().collect();
    for a in &all {
        assert!(a.widens_to(*a), "{a}");
        for b in all.iter().filter(|b| a.widens_to(**b)) {
            assert!(a == b || !b.widens_to(*a), "{a} {b}");
            for c in all.iter().filter(|c| b.widens_to(**c)) {
                assert!(a.widens_to(*c), "{a} {b} {c}");
            }
        }
    }
}

#[test]
fn spaces_inside_a_type_do_not_matter() {
    for (text, want) in [
        ("list<float32,3>", Dtype::FixedList(Scalar::Float32, 3)),
        (" list< float32 , 3 > ", Dtype::FixedList(Scalar::Float32, 3)),
        ("decimal( 10 , 2 )", Dtype::Decimal { precision: 10, scale: 2 }),
        ("decimal(10)", Dtype::Decimal { precision: 10, scale: 0 }),
        ("list<decimal(10,2)>", Dtype::List(Scalar::Decimal { precision: 10, scale: 2 })),
        ("list<decimal(10,2), 4>", Dtype::FixedList(Scalar::Decimal { precision: 10, scale: 2 }, 4)),
    ] {
        assert_eq!(Dtype::parse(text), Ok(want), "{text}");
    }
}

#[track_caller]
fn check(text: &str, want: &Expect) {
    let why = Dtype::parse(text).unwrap_err();
    want.assert_eq(&format!("{why}: {}", why.hint()));
}

#[test]
fn a_misspelt_type_says_what_was_meant() {
    check("flaot32", &expect!["`flaot32` is not a type: did you mean `float32`?"]);
    check("Int64", &expect!["`Int64` is not a type: did you mean `int64`?"]);
    check("list<flaot32>", &expect!["`list<flaot32>` is not a type: did you mean `list<float32>`?"]);
    check("list<flaot32, 384>", &expect!["`list<flaot32, 384>` is not a type: did you mean `list<float32, 384>`?"]);
    check("list<double>", &expect!["`list<double>` is not a type: did you mean `list<float64>`?"]);
    check("list<list<int8>>", &expect!["`list<list<int8>>` is not a type: lists of lists are kept as `json`"]);
    check("varchar(20)", &expect!["`varchar(20)` is not a type: did you mean `string`?"]);
    check("struct<a int>", &expect!["`struct<a int>` is not a type: did you mean `json`?"]);
    check(
        "list<float32, 0>",
        &expect!["`list<float32, 0>` is not a type: a fixed list has 1 to 65536 values: `list<float32, 384>`"],
    );
    check(
        "decimal(39,2)",
        &expect![
            "`decimal(39,2)` is not a type: a decimal has 1 to 38 digits, some of them after the point: `decimal(10,2)` has 10 and 2"
        ],
    );
    check(
        "decimal",
        &expect!["`decimal` is not a type: say how many digits, and how many after the point: `decimal(10,2)`"],
    );
    check(
        "list<float32",
        &expect![
            "`list<float32` is not a type: inside {...} a comma ends the value: quote the type, as in `type: \"list<float32, 3>\"`"
        ],
    );
}
