use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int8Array, Int32Array, Int64Array,
    ListArray, NullArray, RecordBatch, RunArray, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use tempfile::TempDir;

use super::*;
use crate::training::spine::Spine;

const LIMITS: Limits = Limits { plain_bytes: 10 << 20, compressed: false };

/// Columns of every kind that is laid out in its own way.
fn rows() -> RecordBatch {
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC"));
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None, Some(9)]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("three, which is long enough")]));
    let views: ArrayRef = Arc::new(StringViewArray::from(vec!["short", "long enough for a buffer of its own", ""]));
    let dictionary = DictionaryArray::<Int8Type>::from_iter([Some("a"), Some("b"), None]);
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let inside: ArrayRef = Arc::new(Float64Array::from(vec![0.5, f64::NAN, -0.0]));
    let structs = StructArray::from(vec![(Arc::new(Field::new("x", DataType::Float64, true)), inside)]);
    let runs =
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &StringArray::from(vec!["r", "s"])).unwrap();
    RecordBatch::try_from_iter_with_nullable([
        ("event_time", times, true),
        ("user_id", keys, true),
        ("text", texts, true),
        ("view", views, true),
        ("dictionary", Arc::new(dictionary) as ArrayRef, true),
        ("list", Arc::new(lists) as ArrayRef, true),
        ("struct", Arc::new(structs) as ArrayRef, true),
        ("runs", Arc::new(runs) as ArrayRef, true),
        ("bool", Arc::new(BooleanArray::from(vec![true, false, true])) as ArrayRef, true),
        ("bytes", Arc::new(BinaryArray::from_vec(vec![b"", b"\xff", b"abc"])) as ArrayRef, true),
        ("nothing", Arc::new(NullArray::new(3)) as ArrayRef, true),
    ])
    .unwrap()
}

fn one(column: impl Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("a", Arc::new(column) as ArrayRef, true)]).unwrap()
}

fn stream_with(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

fn stream(batch: &RecordBatch) -> Vec<u8> {
    stream_with(std::slice::from_ref(batch), IpcWriteOptions::default())
}

fn read(bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    read_stream(vec![Buffer::from(bytes)], &LIMITS).map(|(_, batches)| batches)
}

#[track_caller]
fn refused(bytes: &[u8], words: &str) {
    let why = read(bytes).unwrap_err().to_string();
    assert!(why.contains(words), "{why}");
}

fn lz4() -> IpcWriteOptions {
    IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap()
}

/// What is done with a stream of a request: read, unfolded, digested.
fn as_spine(bytes: &[u8]) -> Result<(), String> {
    let read = read_stream(vec![Buffer::from(bytes)], &LIMITS).map_err(|why| why.to_string());
    let (schema, batches) = read?;
    Spine::of_batches("s", schema, batches, None).map(drop).map_err(|why| why.to_string())
}

#[test]
fn a_stream_in_any_parts_is_its_rows() {
    // A part of runs is written as none that is read again.
    let rows = rows().project(&[0, 1, 2, 3, 4, 5, 6, 8, 9, 10]).unwrap();
    let bytes = stream_with(&[rows.clone(), rows.slice(1, 2), rows.slice(0, 0)], IpcWriteOptions::default());
    for length in [1, 7, 64, 1000, bytes.len()] {
        let parts = bytes.chunks(length).map(Buffer::from).collect();
        let (_, got) = read_stream(parts, &LIMITS).unwrap();
        let sizes: Vec<usize> = got.iter().map(RecordBatch::num_rows).collect();
        assert_eq!(sizes, [3, 2, 0], "{length}");
        assert_eq!(got[0], rows);
    }
    as_spine(&bytes).unwrap();
}

/// FT 28, T16: whichever byte is another, the stream is refused or is rows; nothing panics on the way.
#[test]
fn a_stream_with_any_byte_flipped_is_rows_or_refused() {
    let bytes = stream(&rows());
    let mut n_refused = 0;
    for at in 0..bytes.len() {
        for mask in [0x01, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            n_refused += usize::from(as_spine(&damaged).is_err());
        }
    }
    assert!(n_refused > bytes.len() / 4, "{n_refused} of {}", bytes.len() * 2);
}

#[test]
fn a_stream_that_is_cut_off_is_refused() {
    let bytes = stream(&rows());
    // A stream may end without saying so, behind a whole message: those are its schema, its dictionary and its rows.
    let whole = (0..bytes.len()).filter(|end| read(&bytes[..*end]).is_ok()).count();
    assert!((1..=4).contains(&whole), "{whole} of {}", bytes.len());
    refused(&bytes[..bytes.len() - 9], "cut off");
    refused(b"", "no schema");
    refused(&[bytes.as_slice(), b"PAR1"].concat(), "goes on after its end");
}

/// What is announced is not believed: nothing is allocated for it.
#[test]
fn announced_lengths_are_not_believed() {
    let bytes = stream(&one(Int64Array::from(vec![5; 3])));
    let with = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    refused(&with(4, &[0xff, 0xff, 0xff, 0x7f]), "header has");
    refused(&with(4, &[0xf8, 0xff, 0, 0]), "cut off");
    // Wherever a header may hold a number of bytes or rows.
    for at in (8..bytes.len() - 8).step_by(4) {
        for value in [i64::MAX, i64::MIN, -1, 1 << 40] {
            drop(as_spine(&with(at, &value.to_le_bytes())));
        }
    }
}

#[test]
fn texts_that_are_no_utf_8_are_refused() {
    let mut bytes = stream(&one(StringArray::from(vec!["abcdefgh", "ijklmnop"])));
    let at = bytes.windows(8).position(|window| window == b"abcdefgh").unwrap();
    bytes[at] = 0xff;
    refused(&bytes, "UTF8");
}

#[test]
fn rows_that_stand_for_more_than_they_are_are_refused() {
    let long = "x".repeat(1 << 20);
    let keys = Int8Array::from(vec![0; 2000]);
    let dictionary = DictionaryArray::try_new(keys, Arc::new(StringArray::from(vec![long.as_str()]))).unwrap();
    refused(&stream(&one(dictionary)), "more than 10 MB");
    let views = StringViewArray::from_iter_values(std::iter::once(long.as_str()));
    let view = views.views()[0];
    let views = StringViewArray::try_new(vec![view; 2000].into(), views.data_buffers().to_vec(), None).unwrap();
    refused(&stream(&one(views)), "more than 10 MB");
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![i32::MAX]), &Int64Array::from(vec![1])).unwrap();
    refused(&stream(&one(runs)), "announces 2147483647 rows");
    refused(&stream(&one(NullArray::new(1 << 40))), "announces 1099511627776 rows");
    // As many as are free, and many times.
    let nothing = one(NullArray::new(1 << 16));
    refused(&stream_with(&vec![nothing; 100], IpcWriteOptions::default()), "more than 10 MB");
    // A dictionary that grows message by message would be copied each time.
    let parts: Vec<RecordBatch> = (1..4)
        .map(|n| {
            let values: StringArray = (0..n).map(|i| Some(format!("v{i}"))).collect();
            one(DictionaryArray::try_new(Int8Array::from(vec![n - 1]), Arc::new(values)).unwrap())
        })
        .collect();
    let options = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    refused(&stream_with(&parts, options), "come in parts");
}

#[test]
fn lists_in_lists_without_end_are_refused() {
    let mut list: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for _ in 0..200 {
        let field = Arc::new(Field::new("item", list.data_type().clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([1]);
        list = Arc::new(ListArray::new(field, offsets, list, None));
    }
    let batch = RecordBatch::try_from_iter_with_nullable([("a", list, true)]).unwrap();
    refused(&stream(&batch), "damaged");
}

#[test]
fn a_compressed_stream_is_refused() {
    refused(&stream_with(&[one(Int64Array::from(vec![0; 100_000]))], lz4()), "without compression");
}

fn file(folder: &TempDir, batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let path = folder.path().join("whole.arrow");
    let to = std::fs::File::create(&path).unwrap();
    let mut writer = FileWriter::try_new_with_options(to, &batches[0].schema(), options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

fn read_file(folder: &TempDir, bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
    let path = folder.path().join("damaged.arrow");
    std::fs::write(&path, bytes).unwrap();
    let limits = Limits { compressed: true, ..LIMITS };
    IpcFile::open(&path, limits)?.collect()
}

#[test]
fn a_file_with_any_byte_flipped_is_rows_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for options in [IpcWriteOptions::default(), lz4()] {
        let bytes = file(&folder, &[rows(), rows()], options);
        assert_eq!(read_file(&folder, &bytes).unwrap(), [rows(), rows()]);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= if at % 2 == 0 { 0xff } else { 0x01 };
            drop(read_file(&folder, &damaged));
        }
        for end in (0..bytes.len()).step_by(13) {
            assert!(read_file(&folder, &bytes[..end]).is_err(), "{end}");
        }
    }
}

#[test]
fn a_file_that_grows_when_it_is_decompressed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = one(Int64Array::from(vec![0; (4 << 20) + 17]));
    let bytes = file(&folder, &[zeros], lz4());
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    let why = read_file(&folder, &bytes).unwrap_err().to_string();
    assert!(why.contains("when decompressed"), "{why}");
    // It says that it stays small, and its decoder would not believe it before the end.
    let announced = ((32_i64 << 20) + 8 * 17).to_le_bytes();
    let at = bytes.windows(8).position(|window| window == announced).unwrap();
    let mut lies = bytes;
    lies[at..at + 8].copy_from_slice(&1000_i64.to_le_bytes());
    let why = read_file(&folder, &lies).unwrap_err().to_string();
    assert!(why.contains("when decompressed"), "{why}");
    let zeros = one(Int64Array::from(vec![0; 1 << 10]));
    assert_eq!(read_file(&folder, &file(&folder, std::slice::from_ref(&zeros), lz4())).unwrap(), [zeros]);
}
