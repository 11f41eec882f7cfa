//! Whatever rows are written as CSV, as JSON lines or into folders, the source has the same ones, bit for bit.

use std::fmt::Write as _;

use arrow::array::ArrayRef;
use proptest::prelude::*;
use schema::json::Cell;
use schema::{Decimal, Duration, Scalar, Timestamp};

use super::*;

/// Values of a type, its ends and null among them.
fn values(dtype: Dtype) -> BoxedStrategy<Value> {
    let some = match dtype {
        Dtype::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Dtype::Int8 => any::<i8>().prop_map(|v| Value::Int(v.into())).boxed(),
        Dtype::Int16 => any::<i16>().prop_map(|v| Value::Int(v.into())).boxed(),
        Dtype::Int32 | Dtype::Date => any::<i32>().prop_map(|v| Value::Int(v.into())).boxed(),
        Dtype::Int64 => prop_oneof![any::<i64>(), Just((1 << 53) + 1), Just(i64::MIN)].prop_map(Value::Int).boxed(),
        Dtype::Uint8 => any::<u8>().prop_map(|v| Value::Uint(v.into())).boxed(),
        Dtype::Uint16 => any::<u16>().prop_map(|v| Value::Uint(v.into())).boxed(),
        Dtype::Uint32 => any::<u32>().prop_map(|v| Value::Uint(v.into())).boxed(),
        Dtype::Uint64 => prop_oneof![any::<u64>(), Just(u64::MAX)].prop_map(Value::Uint).boxed(),
        // Texts know one NaN.
        Dtype::Float32 => {
            any::<f32>().prop_map(|v| Value::Float(if v.is_nan() { f64::from(f32::NAN) } else { v.into() })).boxed()
        }
        Dtype::Float64 => prop_oneof![any::<f64>(), Just(-0.0), Just(f64::INFINITY)]
            .prop_map(|v| Value::Float(if v.is_nan() { f64::NAN } else { v }))
            .boxed(),
        Dtype::String => "[\\PC\n\r\t\",;']{0,8}".prop_map(Value::String).boxed(),
        Dtype::Bytes => proptest::collection::vec(any::<u8>(), 0..6).prop_map(Value::Bytes).boxed(),
        Dtype::Timestamp => any::<i64>().prop_map(|v| Value::Timestamp(Timestamp::from_nanos(v))).boxed(),
        Dtype::Duration => any::<i64>().prop_map(|v| Value::Duration(Duration::from_nanos(v))).boxed(),
        Dtype::Decimal { precision, scale } => {
            let end = 10_i128.pow(precision.into()) - 1;
            (-end..=end).prop_map(move |unscaled| Value::Decimal(Decimal { unscaled, scale })).boxed()
        }
        Dtype::Json => {
            prop_oneof![Just("null"), Just("{\"a\":[1,\"\\\"\"]}"), Just("\"\""), Just("123456789012345678901")]
                .prop_filter("a null of JSON is null", |v| *v != "null")
                .prop_map(|v| Value::String(v.to_owned()))
                .boxed()
        }
        Dtype::List(item) => proptest::collection::vec(values(item.into()), 0..4).prop_map(Value::List).boxed(),
        Dtype::FixedList(item, n) => {
            proptest::collection::vec(values(item.into()), n as usize).prop_map(Value::List).boxed()
        }
    };
    prop_oneof![1 => Just(Value::Null), 5 => some].boxed()
}

/// A column of every type, all of the same length.
fn tables() -> impl Strategy<Value = Vec<(Dtype, Vec<Value>)>> {
    (1..12_usize).prop_flat_map(|n| {
        let all: Vec<Dtype> = Dtype::all().collect();
        let column =
            move |dtype: Dtype| proptest::collection::vec(values(dtype), n).prop_map(move |v| (dtype, v)).boxed();
        all.into_iter().map(column).collect::<Vec<_>>()
    })
}

fn cell(value: &Value, dtype: Dtype) -> String {
    let column: ArrayRef = value.to_array(dtype, 1).unwrap();
    serde_json::to_string(&Cell::new(&column, 0, dtype)).unwrap()
}

/// As a careful writer of CSV does it: quotes where they are needed, and round an empty text.
fn field(value: &Value, dtype: Dtype) -> String {
    if *value == Value::Null {
        return String::new();
    }
    let json = cell(value, dtype);
    let text = match dtype {
        Dtype::Json | Dtype::List(_) | Dtype::FixedList(_, _) => json,
        _ if json.starts_with('"') => serde_json::from_str(&json).unwrap(),
        _ => json,
    };
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

fn header(table: &[(Dtype, Vec<Value>)]) -> Vec<Column> {
    table.iter().enumerate().map(|(i, (dtype, _))| Column { name: format!("c{i}"), dtype: *dtype }).collect()
}

fn csv(table: &[(Dtype, Vec<Value>)], end: &str) -> String {
    let names: Vec<String> = header(table).into_iter().map(|column| column.name).collect();
    let mut text = format!("at,{}{end}", names.join(","));
    for row in 0..table[0].1.len() {
        let fields = table.iter().map(|(dtype, values)| field(&values[row], *dtype));
        write!(text, "2024-01-01,{}{end}", fields.collect::<Vec<_>>().join(",")).unwrap();
    }
    text
}

fn json_lines(table: &[(Dtype, Vec<Value>)]) -> String {
    let mut text = String::new();
    for row in 0..table[0].1.len() {
        let mut line = "{\"at\":\"2024-01-01\"".to_owned();
        for (i, (dtype, values)) in table.iter().enumerate() {
            // Null is said and left out by turns.
            if values[row] != Value::Null || (row + i) % 2 == 0 {
                write!(line, ",\"c{i}\":{}", cell(&values[row], *dtype)).unwrap();
            }
        }
        writeln!(text, "{line}}}").unwrap();
    }
    text
}

/// What the source has of a column.
fn read(files: &SourceFiles, name: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for file in &files.files {
        let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::new_with_metadata(
            file.reopen().unwrap(),
            file.metadata.clone(),
        );
        for batch in builder.build().unwrap() {
            let batch = file.shaped(&[name], batch.unwrap()).unwrap();
            // Of a name that is there twice the file's own comes first.
            let column = batch.column_by_name(name).unwrap();
            found.extend((0..batch.num_rows()).map(|row| Value::at(column, row)));
        }
    }
    found
}

fn check(path: &str, text: &str, table: &[(Dtype, Vec<Value>)]) -> Result<(), TestCaseError> {
    let folder = Folder::new();
    folder.write(path, text);
    let mut source = source(path);
    source.columns = header(table);
    let files = block(folder.open(&source)).map_err(|why| TestCaseError::fail(format!("{}: {text}", chain(&why))))?;
    for (i, (dtype, values)) in table.iter().enumerate() {
        prop_assert_eq!(&read(&files, &format!("c{i}")), values, "{} in {}", dtype, text);
        let column = files.columns.iter().find(|column| column.name == format!("c{i}")).unwrap();
        prop_assert_eq!(&column.arrow, &dtype.to_arrow());
    }
    Ok(())
}

/// Everything but letters and digits as `%20`.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_row_comes_back_from_csv(table in tables(), unix: bool) {
        check("rows.csv", &csv(&table, if unix { "\n" } else { "\r\n" }), &table)?;
    }

    #[test]
    fn every_row_comes_back_from_json_lines(table in tables()) {
        check("rows.jsonl", &json_lines(&table), &table)?;
    }

    #[test]
    fn every_value_comes_back_from_a_folders_name(
        (dtype, rows) in proptest::sample::select(Scalar::all().map(Dtype::from).collect::<Vec<_>>())
            .prop_flat_map(|dtype| (Just(dtype), proptest::collection::vec(values(dtype), 1..5)))
    ) {
        let folder = Folder::new();
        let mut hive = source("e");
        hive.format = Format::Csv;
        hive.partitions = vec![Column { name: "p q".to_owned(), dtype }];
        for (i, value) in rows.iter().enumerate() {
            let text = match value {
                Value::Null => "__HIVE_DEFAULT_PARTITION__".to_owned(),
                value => encoded(&match (cell(value, dtype), dtype) {
                    (json, Dtype::Json) => json,
                    (json, _) if json.starts_with('"') => serde_json::from_str(&json).unwrap(),
                    (json, _) => json,
                }),
            };
            folder.write(&format!("e/i={i}/p%20q={text}/a.csv"), "at\n2024-01-01\n");
        }
        let files = block(folder.open(&hive)).unwrap();
        prop_assert_eq!(read(&files, "p q"), rows);
    }
}
