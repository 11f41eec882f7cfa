//! Parquet files of others, with any byte another one: rows or an error that names the file, and nothing falls over. They
//! have no checksum, so what a value is cannot be known; FT 21.

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use std::collections::BTreeMap;

use super::*;
use crate::offline::batches;
use crate::training::spine::Spine;
use parquet::arrow::ArrowWriter;
use schema::AppliedDefinitions;

fn rows() -> RecordBatch {
    let n = 40;
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..n).map(|i| i % 3)));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(0..n).with_timezone("UTC"));
    let texts: ArrayRef =
        Arc::new((0..n).map(|i| (i % 5 > 0).then(|| format!("text {}", i % 4))).collect::<StringArray>());
    let numbers: ArrayRef = Arc::new(
        (0..n).map(|i| (i % 7 > 0).then(|| f64::from(i32::try_from(i).unwrap()) / 4.0)).collect::<Float64Array>(),
    );
    let flags: ArrayRef = Arc::new((0..n).map(|i| Some(i % 2 == 0)).collect::<BooleanArray>());
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
        (0..n).map(|i| (i % 6 > 0).then(|| vec![Some(i), None])),
    ));
    let columns = [("user", keys), ("at", times), ("text", texts), ("x", numbers), ("flag", flags), ("list", lists)];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn written(compression: Compression) -> Vec<u8> {
    let properties = WriterProperties::builder().set_compression(compression).set_data_page_row_count_limit(10);
    let mut writer = ArrowWriter::try_new(Vec::new(), rows().schema(), Some(properties.build())).unwrap();
    writer.write(&rows()).unwrap();
    writer.into_inner().unwrap()
}

/// As sources, queries and ingest read it, and as a spine. More rows than a damaged length can mean are not waited for.
fn read(folder: &Folder, bytes: &[u8]) -> Result<usize, String> {
    let path = folder.store.project().join("damaged.parquet");
    std::fs::write(&path, bytes).unwrap();
    let told = |why: OfflineError| chain(&why);
    let file = open_file(folder.store.project(), path.clone(), 0).map_err(told)?;
    let builder = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::new_with_metadata(
        file.reopen().unwrap(),
        file.metadata.clone(),
    );
    let named = |why: schema::BoxError| told(read_error(&file.name, why));
    let mut n_rows = 0;
    for batch in batches::build(builder).map_err(named)?.take(100) {
        n_rows += batch.map_err(named)?.num_rows();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let definitions = AppliedDefinitions::default();
    runtime.block_on(async {
        let mut spine =
            Spine::read(&path, Some("at"), &folder.store, &definitions, &BTreeMap::new()).await.map_err(told)?;
        for _ in 0..100 {
            let Some(rows) = spine.next().await else { break };
            rows.map_err(told)?;
        }
        Ok(n_rows)
    })
}

#[test]
fn a_file_with_any_byte_flipped_is_rows_or_an_error_that_names_it() {
    let folder = Folder::new();
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())] {
        let bytes = written(compression);
        assert_eq!(read(&folder, &bytes), Ok(40));
        let mut n_refused = 0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= if at % 2 == 0 { 0xff } else { 0x10 };
            if let Err(why) = read(&folder, &damaged) {
                assert!(why.contains("damaged.parquet"), "{why}");
                n_refused += 1;
            }
        }
        assert!(n_refused > 100, "{n_refused} of {}", bytes.len());
        for end in (0..bytes.len()).step_by(97) {
            let why = read(&folder, &bytes[..end]).unwrap_err();
            assert!(why.contains("damaged.parquet"), "{why}");
        }
    }
}
