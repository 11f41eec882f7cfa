//! What becomes of a file whose columns are not those that the table has: FT 43, T23. A column more or less, another name,
//! another type, another order, another unit. What has the same meaning is taken, what cannot be known is told, what would
//! change a number is quarantined or refused.

use arrow::array::{
    BooleanArray, Date32Array, Decimal128Array, Float32Array, Int8Array, Int32Array, TimestampMillisecondArray,
    TimestampSecondArray,
};
use expect_test::{Expect, expect};

use super::*;

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn days(n: usize) -> ArrayRef {
    texts(&vec!["2024-01-01"; n])
}

/// Ingests a file of the declared columns and then one of these, and tells what became of it.
#[track_caller]
fn check(what: &str, columns: Vec<(&str, ArrayRef)>, want: Expect) {
    let f = Fixture::new(&["user int64", "at timestamp", "amount int32", "price decimal(6,2)", "note string"]);
    f.one(&f.write("before.csv", "user,at,amount,price,note\n1,2024-01-01,1,1.50,a\n"));
    let path = f.parquet("after.parquet", columns);
    let told = match f.ingest(&path, Fixture::rules()) {
        Err(why) => {
            let hint = why.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("refused: {}{hint}", schema::error::chain(&why))
        }
        Ok(done) => {
            let done = &done[0];
            let unknown = done.unknown.join(",");
            let why: Vec<String> = done.reasons.iter().map(|r| format!("{:?}: {}", r.column, r.first)).collect();
            let rows = f.rows();
            let rows = rows.slice(1, rows.num_rows() - 1);
            let lines = arrow::util::pretty::pretty_format_batches(&[rows]).unwrap().to_string();
            let lines: Vec<&str> = lines.lines().skip(3).filter(|line| line.starts_with('|')).collect();
            format!("taken {}, bad {} {why:?}, unknown [{unknown}]\n{}", done.n_rows, done.n_bad, lines.join("\n"))
        }
    };
    assert!(!told.is_empty(), "{what}");
    want.assert_eq(&told);
}

#[test]
fn what_becomes_of_each_change_of_columns() {
    check(
        "as before, in another order",
        vec![
            ("note", texts(&["b"])),
            ("price", texts(&["2.50"])),
            ("amount", ints(&[2])),
            ("at", days(1)),
            ("user", ints(&[2])),
        ],
        expect![[r#"
            taken 1, bad 0 [], unknown []
            | 2    | 2024-01-01T00:00:00Z | 2      | 2.50  | b    |"#]],
    );
    check(
        "a column more",
        vec![("user", ints(&[2])), ("at", days(1)), ("vip", ints(&[1]))],
        expect![[r#"
        taken 1, bad 0 [], unknown [vip]
        | 2    | 2024-01-01T00:00:00Z |        |       |      |"#]],
    );
    check(
        "a column less",
        vec![("user", ints(&[2])), ("at", days(1)), ("amount", ints(&[2]))],
        expect![[r#"
        taken 1, bad 0 [], unknown []
        | 2    | 2024-01-01T00:00:00Z | 2      |       |      |"#]],
    );
    check(
        "without the key",
        vec![("at", days(1)), ("amount", ints(&[2]))],
        expect!["refused: `after.parquet` has no column `user`, which source `rows` needs; there is `at` and `amount`"],
    );
    check(
        "the key renamed",
        vec![("usr", ints(&[2])), ("at", days(1))],
        expect!["refused: `after.parquet` has no column `user`, which source `rows` needs; did you mean `usr`?"],
    );
    check(
        "a column renamed",
        vec![("user", ints(&[2])), ("at", days(1)), ("amounts", ints(&[2]))],
        expect![[r#"
        taken 1, bad 0 [], unknown [amounts]
        | 2    | 2024-01-01T00:00:00Z |        |       |      |"#]],
    );
    check(
        "other letters",
        vec![("user", ints(&[2])), ("at", days(1)), ("Amount", ints(&[2]))],
        expect![[r#"
        taken 1, bad 0 [], unknown [Amount]
        | 2    | 2024-01-01T00:00:00Z |        |       |      |"#]],
    );
}

#[test]
fn what_becomes_of_each_change_of_type() {
    let with = |name, column: ArrayRef| {
        let n = column.len();
        vec![("user", ints(&vec![2; n])), ("at", days(n)), (name, column)]
    };
    check(
        "narrower",
        with("amount", Arc::new(Int8Array::from(vec![7]))),
        expect![[r#"
        taken 1, bad 0 [], unknown []
        | 2    | 2024-01-01T00:00:00Z | 7      |       |      |"#]],
    );
    check(
        "wider, one value does not fit",
        with("amount", ints(&[7, 3_000_000_000])),
        expect![[r#"
        taken 1, bad 1 ["Some(\"amount\"): `3000000000` is no int32 (row 2)"], unknown []
        | 2    | 2024-01-01T00:00:00Z | 7      |       |      |"#]],
    );
    check(
        "whole numbers became floats",
        with("amount", floats(&[7.0, 7.5, f64::NAN])),
        expect![[r#"
        taken 1, bad 2 ["Some(\"amount\"): `7.5` is no int32 (row 2)"], unknown []
        | 2    | 2024-01-01T00:00:00Z | 7      |       |      |"#]],
    );
    check(
        "numbers became texts",
        with("amount", texts(&["7", "seven", "7.0"])),
        expect![[r#"
        taken 1, bad 2 ["Some(\"amount\"): `seven` is no int32 (row 2)"], unknown []
        | 2    | 2024-01-01T00:00:00Z | 7      |       |      |"#]],
    );
    check(
        "texts became numbers",
        with("note", ints(&[7])),
        expect!["refused: column `note` of `after.parquet`: it is int64, and string in the table"],
    );
    check(
        "numbers became truth values",
        with("amount", Arc::new(BooleanArray::from(vec![true]))),
        expect!["refused: column `amount` of `after.parquet`: it is bool, and int32 in the table"],
    );
    let cents = Decimal128Array::from(vec![250, 255]).with_precision_and_scale(6, 1).unwrap();
    check(
        "a decimal of another scale",
        with("price", Arc::new(cents)),
        expect![[r#"
        taken 2, bad 0 [], unknown []
        | 2    | 2024-01-01T00:00:00Z |        | 25.00 |      |
        | 2    | 2024-01-01T00:00:00Z |        | 25.50 |      |"#]],
    );
    let mills = Decimal128Array::from(vec![2_500, 2_505]).with_precision_and_scale(6, 3).unwrap();
    check(
        "a decimal of a finer scale",
        with("price", Arc::new(mills)),
        expect![[r#"
        taken 1, bad 1 ["Some(\"price\"): `2.505` is no decimal(6,2) (row 2)"], unknown []
        | 2    | 2024-01-01T00:00:00Z |        | 2.50  |      |"#]],
    );
    check(
        "a decimal became a float",
        with("price", Arc::new(Float32Array::from(vec![0.5, 0.1]))),
        expect![[r#"
        taken 2, bad 0 [], unknown []
        | 2    | 2024-01-01T00:00:00Z |        | 0.50  |      |
        | 2    | 2024-01-01T00:00:00Z |        | 0.10  |      |"#]],
    );
    // A number in another unit is the same number: nobody can see it.
    check(
        "another unit, the same type",
        with("amount", Arc::new(Int32Array::from(vec![700]))),
        expect![[r#"
        taken 1, bad 0 [], unknown []
        | 2    | 2024-01-01T00:00:00Z | 700    |       |      |"#]],
    );
    // A text that may be one of some is a text.
    check(
        "a new word",
        with("note", texts(&["never seen before"])),
        expect![[r#"
        taken 1, bad 0 [], unknown []
        | 2    | 2024-01-01T00:00:00Z |        |       | never seen before |"#]],
    );
}

#[test]
fn what_becomes_of_each_change_of_times() {
    let at = |at: ArrayRef| vec![("user", ints(&vec![2; at.len()])), ("at", at)];
    check(
        "milliseconds",
        at(Arc::new(TimestampMillisecondArray::from(vec![1_704_067_200_000]))),
        expect![[r#"
        taken 1, bad 0 [], unknown []
        | 2    | 2024-01-01T00:00:00Z |        |       |      |"#]],
    );
    check(
        "seconds in a zone",
        at(Arc::new(TimestampSecondArray::from(vec![1_704_067_200]).with_timezone("UTC"))),
        expect![[r#"
            taken 1, bad 0 [], unknown []
            | 2    | 2024-01-01T00:00:00Z |        |       |      |"#]],
    );
    check(
        "days",
        at(Arc::new(Date32Array::from(vec![19_723]))),
        expect!["refused: column `at` of `after.parquet`: it is date, and timestamp in the table"],
    );
    check(
        "numbers",
        at(ints(&[1_704_067_200])),
        expect!["refused: column `at` of `after.parquet`: it is int64, and timestamp in the table"],
    );
}
