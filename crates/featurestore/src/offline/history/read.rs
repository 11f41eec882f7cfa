//! Row groups read: columns that order rows as batches, features at the rows asked for.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, UInt64Type};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use schema::Dtype;
use transform::cast;

use super::{History, OrderBatch, Unit};
use crate::offline::source::read_error;
use crate::offline::{OfflineError, batches};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 32_768;

impl History {
    /// Reads the keys and times of a row group and hands them on, batch by batch.
    ///
    /// # Errors
    /// [`OfflineError`] if the file cannot be read, or `each` says so.
    pub fn scan_order(
        &self,
        unit: Unit,
        mut each: impl FnMut(OrderBatch) -> Result<(), OfflineError>,
    ) -> Result<(), OfflineError> {
        let l = self.layout(unit);
        let wanted = l.keys.iter().map(|(name, _)| name).chain([&l.event_time]);
        let wanted = wanted.chain(&l.created_time).chain(&l.sequence).chain(&l.deleted);
        let mut first_row = unit.first_row;
        self.read(unit, wanted.map(String::as_str), None, |batch| {
            let n = batch.num_rows() as u64;
            each(self.order_batch(unit, first_row, &batch)?)?;
            first_row += n;
            Ok(())
        })
    }

    fn order_batch(&self, unit: Unit, first_row: u64, batch: &RecordBatch) -> Result<OrderBatch, OfflineError> {
        let l = self.layout(unit);
        let zone = l.timezone.as_deref();
        let times = |name: &String| {
            cast::times(self.column(unit, batch, name)?, zone).map_err(|why| self.column_error(unit, name, &why))
        };
        let keys = l.keys.iter().map(|(name, dtype)| self.conformed(unit, batch, name, *dtype));
        let sequence = l.sequence.as_ref().map(|name| {
            let column = self.column(unit, batch, name)?;
            sequence_column(column).map_err(|why| self.column_error(unit, name, &why))
        });
        let deleted = l
            .deleted
            .as_ref()
            .map(|name| self.conformed(unit, batch, name, Dtype::Bool).map(|column| column.as_boolean().clone()));
        let keys: Vec<ArrayRef> = keys.collect::<Result<_, _>>()?;
        let erased = self.erased.as_ref().and_then(|filter| filter.erased(&keys, batch.num_rows()));
        Ok(OrderBatch {
            first_row,
            keys,
            erased,
            event_time: times(&l.event_time)?,
            created_time: l.created_time.as_ref().map(times).transpose()?,
            sequence: sequence.transpose()?,
            deleted: deleted.transpose()?,
        })
    }

    /// The values of some features at some rows of a row group; `rows` are ascending offsets within it.
    ///
    /// # Errors
    /// [`OfflineError`] if the file cannot be read.
    pub fn gather(&self, unit: Unit, features: &[usize], rows: &[u32]) -> Result<Vec<ArrayRef>, OfflineError> {
        let wanted: Vec<&(String, Dtype)> = features.iter().map(|i| &self.layout(unit).features[*i]).collect();
        // Sparse rows are decoded alone; dense ones by decoding everything and picking, which is cheaper than skipping.
        let sparse = rows.len() * 8 < unit.n_rows;
        let selection = sparse.then(|| select(rows));
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); wanted.len()];
        let (mut from, mut taken) = (0_u32, 0);
        let names = wanted.iter().map(|(name, _)| name.as_str());
        self.read(unit, names, selection, |batch| {
            let n = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
            let until = rows[taken..].partition_point(|row| *row < from + n) + taken;
            let offsets: Option<UInt64Array> =
                (!sparse).then(|| rows[taken..until].iter().map(|row| u64::from(row - from)).collect());
            (from, taken) = (from + n, if sparse { taken } else { until });
            for ((name, dtype), part) in wanted.iter().zip(&mut parts) {
                let column = self.conformed(unit, &batch, name, *dtype)?;
                part.push(match &offsets {
                    Some(offsets) => take(&column, offsets)?,
                    None => column,
                });
            }
            Ok(())
        })?;
        let join = |(part, (_, dtype)): (Vec<ArrayRef>, &&(String, Dtype))| match part.as_slice() {
            [] => Ok(arrow::array::new_empty_array(&dtype.to_arrow())),
            [one] => Ok(ArrayRef::clone(one)),
            many => {
                let many: Vec<&dyn Array> = many.iter().map(AsRef::as_ref).collect();
                arrow::compute::concat(&many).map_err(|why| read_error("history", why))
            }
        };
        parts.into_iter().zip(&wanted).map(join).collect()
    }

    fn read<'a>(
        &self,
        unit: Unit,
        columns: impl Iterator<Item = &'a str>,
        selection: Option<RowSelection>,
        mut each: impl FnMut(RecordBatch) -> Result<(), OfflineError>,
    ) -> Result<(), OfflineError> {
        let source = &self.files[unit.file];
        let fail = |why: schema::BoxError| read_error(&source.name, why);
        let file = source.reopen().map_err(fail)?;
        let columns: Vec<&str> = columns.collect();
        let mask = source.mask(&columns);
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, source.metadata.clone())
            .with_projection(mask)
            .with_row_groups(vec![unit.group])
            .with_batch_size(BATCH_ROWS);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        for batch in batches::build(builder).map_err(fail)? {
            each(source.shaped(&columns, batch.map_err(fail)?).map_err(fail)?)?;
        }
        Ok(())
    }

    fn column<'b>(&self, unit: Unit, batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef, OfflineError> {
        batch.column_by_name(name).ok_or_else(|| OfflineError::NoColumn {
            path: self.files[unit.file].name.clone(),
            column: name.to_owned(),
            needed_by: "the view".to_owned(),
            hint: "the file changed while it was read; try again".to_owned(),
        })
    }

    fn conformed(&self, unit: Unit, batch: &RecordBatch, name: &str, dtype: Dtype) -> Result<ArrayRef, OfflineError> {
        let column = self.column(unit, batch, name)?;
        let zone = self.layout(unit).timezone.as_deref();
        cast::conform(column, dtype, zone).map_err(|why| self.column_error(unit, name, &why))
    }

    fn column_error(&self, unit: Unit, name: &str, why: &cast::CastError) -> OfflineError {
        let path = self.files[unit.file].name.clone();
        OfflineError::Column { path, column: name.to_owned(), why: why.to_string() }
    }
}

/// A sequence column as unsigned integers; null and negative values are refused.
pub(crate) fn sequence_column(column: &ArrayRef) -> Result<UInt64Array, cast::CastError> {
    if column.null_count() > 0 {
        return Err(cast::CastError::Value { why: "a sequence is never null".to_owned() });
    }
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    let wide = arrow::compute::cast_with_options(column, &DataType::UInt64, &options);
    let wide = wide.map_err(|why| cast::CastError::Value { why: format!("a sequence is zero or more: {why}") })?;
    Ok(wide.as_primitive::<UInt64Type>().clone())
}

fn take(column: &ArrayRef, offsets: &UInt64Array) -> Result<ArrayRef, OfflineError> {
    arrow::compute::take(column, offsets, None).map_err(|why| read_error("history", why))
}

fn select(rows: &[u32]) -> RowSelection {
    let mut selectors = Vec::with_capacity(rows.len() * 2);
    let (mut at, mut i) = (0_usize, 0);
    while i < rows.len() {
        let start = rows[i] as usize;
        let mut end = start + 1;
        i += 1;
        while i < rows.len() && rows[i] as usize == end {
            end += 1;
            i += 1;
        }
        if start > at {
            selectors.push(RowSelector::skip(start - at));
        }
        selectors.push(RowSelector::select(end - start));
        at = end;
    }
    RowSelection::from(selectors)
}
