use std::collections::HashMap;

use arrow::array::{
    BinaryViewArray, DictionaryArray, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, LargeBinaryArray,
};
use arrow::datatypes::{Field, Int32Type, Schema};

use super::*;

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    let metadata = HashMap::from([("pandas".to_owned(), "kept".to_owned())]);
    let schema = Arc::new(Schema::new(fields).with_metadata(metadata));
    let batch = RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect()).unwrap();
    let about = vec![KeyValue::new("plumb.service".to_owned(), "s".to_owned())];
    let properties =
        WriterProperties::builder().set_compression(Compression::SNAPPY).set_key_value_metadata(Some(about)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = SchemaRef::clone(builder.schema());
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn subject(parts: &[(&str, &str)]) -> Subject {
    Subject::new(parts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

fn list(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn only_the_rows_of_the_subject_go_and_the_rest_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let users: ArrayRef = Arc::new(Int64Array::from(vec![Some(42), Some(7), None, Some(42), Some(8)]));
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 3.0, 4.0, -0.0]));
    write(&path, vec![("user_id", users), ("value", values)]);
    let before = read(&path);
    let subject = subject(&[("user_id", "42")]);
    let lists = [list(&["user_id"])];
    assert_eq!(count(&path, &subject, &lists).unwrap(), Some(Rows { n_rows: 5, n_found: 2 }));
    assert_eq!(rewrite(&path, &subject, &lists).unwrap().n_found, 2);
    let after = read(&path);
    let kept = filter_record_batch(&before, &BooleanArray::from(vec![false, true, true, false, true])).unwrap();
    assert_eq!(after, kept);
    assert_eq!(after.schema(), before.schema());
    let opened = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let about = opened.metadata().file_metadata().key_value_metadata().unwrap();
    assert!(about.iter().any(|entry| entry.key == "plumb.service"), "{about:?}");
    assert_eq!(opened.metadata().row_group(0).column(0).compression(), Compression::SNAPPY);
    // Again: nothing is found, nothing is written.
    let modified = path.metadata().unwrap().modified().unwrap();
    assert_eq!(rewrite(&path, &subject, &lists).unwrap(), Rows { n_rows: 3, n_found: 0 });
    assert_eq!(path.metadata().unwrap().modified().unwrap(), modified);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_value_is_found_in_whatever_type_a_file_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("narrow", Arc::new(Int32Array::from(vec![42, 1]))),
        ("float", Arc::new(Float64Array::from(vec![42.0, 42.5]))),
        ("text", Arc::new(StringArray::from(vec!["42", "042"]))),
        ("dictionary", Arc::new(DictionaryArray::<Int32Type>::from_iter(["42", "x"]))),
    ];
    for (name, column) in columns {
        let path = folder.path().join(format!("{name}.parquet"));
        write(&path, vec![("user_id", column)]);
        let found = count(&path, &subject(&[("user_id", "42")]), &[list(&["user_id"])]).unwrap();
        assert_eq!(found, Some(Rows { n_rows: 2, n_found: 1 }), "{name}");
        let found = count(&path, &subject(&[("user_id", "nobody")]), &[list(&["user_id"])]).unwrap();
        assert_eq!(found, Some(Rows { n_rows: 2, n_found: 0 }), "{name}");
    }
}

#[test]
fn bytes_are_said_in_hexadecimal_digits() {
    let folder = tempfile::tempdir().unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("plain", Arc::new(BinaryArray::from_vec(vec![&[0xab, 0x01], b"ab01"]))),
        ("large", Arc::new(LargeBinaryArray::from_vec(vec![&[0xab, 0x01], b"ab01"]))),
        ("view", Arc::new(BinaryViewArray::from(vec![&[0xab, 0x01][..], b"ab01"]))),
        ("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter([[0xab_u8, 0x01], *b"ab"].iter()).unwrap())),
    ];
    for (name, column) in columns {
        let path = folder.path().join(format!("{name}.parquet"));
        write(&path, vec![("device", column)]);
        for (text, n_found) in [("ab01", 1), ("AB01", 1), ("ab", 0), ("raw", 0), ("ab0", 0)] {
            let found = count(&path, &subject(&[("device", text)]), &[list(&["device"])]).unwrap();
            assert_eq!(found, Some(Rows { n_rows: 2, n_found }), "{name} {text}");
        }
    }
}

#[test]
fn all_parts_must_meet_in_one_row_and_any_list_of_columns_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let ints = |values: [i64; 4]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    write(&path, vec![("a", ints([1, 1, 2, 2])), ("b", ints([1, 2, 1, 2])), ("c", ints([9, 9, 9, 2]))]);
    let composite = subject(&[("a", "1"), ("b", "2")]);
    assert_eq!(count(&path, &composite, &[list(&["a", "b"])]).unwrap().unwrap().n_found, 1);
    let one = subject(&[("a", "2")]);
    assert_eq!(count(&path, &one, &[list(&["a"]), list(&["c"])]).unwrap().unwrap().n_found, 2);
    assert_eq!(count(&path, &one, &[list(&["absent"])]).unwrap(), None);
}

/// FT 21: each byte of a file, flipped: it is counted, or named.
#[test]
fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, arrow) = (folder.path().join("damaged.parquet"), folder.path().join("damaged.arrow"));
    let users: ArrayRef = Arc::new(Int64Array::from(vec![42, 7, 42]));
    let texts: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "b", "a"]));
    write(&path, vec![("user_id", users), ("text", texts)]);
    let rows = read(&path);
    let mut writer = arrow::ipc::writer::FileWriter::try_new(File::create(&arrow).unwrap(), &rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    let (subject, lists) = (subject(&[("user_id", "42")]), [list(&["user_id"]), list(&["text"])]);
    for path in [path, arrow] {
        let whole = std::fs::read(&path).unwrap();
        let mut n_refused = 0;
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, bytes).unwrap();
            let done = match path.extension().unwrap() == "arrow" {
                true => count_arrow(&path, &subject, &lists).map(drop),
                false => count(&path, &subject, &lists).and_then(|_| rewrite(&path, &subject, &lists)).map(drop),
            };
            if let Err(why) = done {
                assert!(why.to_string().contains("damaged."), "{why}");
                n_refused += 1;
            }
        }
        assert!(n_refused > 100, "{n_refused} of {}", whole.len());
    }
}
