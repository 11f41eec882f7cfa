//! Which columns of a Parquet file are read, by their whole names: a dot in one is a letter like any other, and not the way
//! into a struct.

use parquet::arrow::ProjectionMask;
use parquet::schema::types::SchemaDescriptor;

/// The columns of these names, whole.
pub(crate) fn named<'a>(schema: &SchemaDescriptor, names: impl IntoIterator<Item = &'a str>) -> ProjectionMask {
    let names: Vec<&str> = names.into_iter().collect();
    let fields = schema.root_schema().get_fields().iter().enumerate();
    ProjectionMask::roots(schema, fields.filter(|(_, field)| names.contains(&field.name())).map(|(at, _)| at))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::testing::parquet;

    #[test]
    fn a_dot_in_a_name_is_a_letter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let ints = |value| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
        let rows = RecordBatch::try_from_iter([("key", ints(1)), ("key.user", ints(2)), ("user", ints(3))]).unwrap();
        parquet(&path, &rows);
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        let mask = named(builder.parquet_schema(), ["key.user", "nothing"]);
        let read = builder.with_projection(mask).build().unwrap().next().unwrap().unwrap();
        assert_eq!(read, rows.project(&[1]).unwrap());
    }
}
