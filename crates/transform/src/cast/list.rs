//! Lists of any physical form as lists of ours: values without gaps, nothing under a null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;
use schema::dtype::item_field;
use schema::{Dtype, Scalar};

use super::{CastError, conform, describe};

/// Where the values of each row are: first and number, `None` for null.
struct Spans {
    values: ArrayRef,
    rows: Vec<Option<(usize, usize)>>,
}

/// Variable lists of `item`.
pub(super) fn list(column: &ArrayRef, item: Scalar, timezone: Option<&str>) -> Result<ArrayRef, CastError> {
    let spans = spans(column)?;
    let values = conform(&spans.gathered(0)?, item.into(), timezone)?;
    let offsets = OffsetBuffer::from_lengths(spans.rows.iter().map(|row| row.map_or(0, |(_, n)| n)));
    let list = ListArray::try_new(item_field(item), offsets, values, spans.nulls());
    Ok(Arc::new(list.map_err(CastError::value)?))
}

/// Lists of exactly `n` of `item`.
pub(super) fn fixed_list(
    column: &ArrayRef,
    item: Scalar,
    n: u32,
    timezone: Option<&str>,
) -> Result<ArrayRef, CastError> {
    let spans = spans(column)?;
    let size = usize::try_from(n).map_err(CastError::value)?;
    if let Some((row, (_, found))) =
        spans.rows.iter().enumerate().find_map(|(row, span)| Some(row).zip(span.filter(|(_, found)| *found != size)))
    {
        let declared = Dtype::FixedList(item, n);
        return Err(CastError::value(format!(
            "a list of {found} values, declared {declared} (row {row} of its batch)"
        )));
    }
    let values = conform(&spans.gathered(size)?, item.into(), timezone)?;
    let size = i32::try_from(n).map_err(CastError::value)?;
    let list = FixedSizeListArray::try_new(item_field(item), size, values, spans.nulls());
    Ok(Arc::new(list.map_err(CastError::value)?))
}

fn spans(column: &ArrayRef) -> Result<Spans, CastError> {
    /// Spans from offsets; the cast cannot fail, for they are indices in memory.
    macro_rules! offset_spans {
        ($list:expr) => {{
            let list = $list;
            let span = |row: usize| {
                let (from, to) = (list.value_offsets()[row], list.value_offsets()[row + 1]);
                usize::try_from(from).ok().zip(usize::try_from(to - from).ok())
            };
            (list.values(), (0..list.len()).map(|row| span(row)).collect::<Vec<_>>())
        }};
    }
    macro_rules! view_spans {
        ($list:expr) => {{
            let list = $list;
            let span = |row: usize| {
                usize::try_from(list.value_offsets()[row]).ok().zip(usize::try_from(list.value_sizes()[row]).ok())
            };
            (list.values(), (0..list.len()).map(|row| span(row)).collect::<Vec<_>>())
        }};
    }
    let (values, mut rows) = match column.data_type() {
        DataType::List(_) => offset_spans!(column.as_list::<i32>()),
        DataType::LargeList(_) => offset_spans!(column.as_list::<i64>()),
        DataType::ListView(_) => view_spans!(column.as_list_view::<i32>()),
        DataType::LargeListView(_) => view_spans!(column.as_list_view::<i64>()),
        DataType::FixedSizeList(_, _) => {
            let list = column.as_fixed_size_list();
            let n = usize::try_from(list.value_length()).map_err(CastError::value)?;
            (list.values(), (0..list.len()).map(|row| Some((row * n, n))).collect())
        }
        other => return Err(CastError::Type { from: describe(other), to: "a list".to_owned() }),
    };
    if let Some(nulls) = column.nulls() {
        rows.iter_mut().zip(nulls.iter()).filter(|(_, valid)| !valid).for_each(|(row, _)| *row = None);
    }
    Ok(Spans { values: ArrayRef::clone(values), rows })
}

impl Spans {
    fn nulls(&self) -> Option<NullBuffer> {
        let nulls: NullBuffer = self.rows.iter().map(Option::is_some).collect();
        (nulls.null_count() > 0).then_some(nulls)
    }

    /// The values of all rows, one after the other; for a null row, `filler` nulls.
    fn gathered(&self, filler: usize) -> Result<ArrayRef, CastError> {
        let start = self.rows.iter().flatten().find(|(_, n)| *n > 0).map_or(0, |(from, _)| *from);
        let mut end = start;
        let mut together = true;
        for row in &self.rows {
            match row {
                Some((from, n)) => {
                    together &= *n == 0 || *from == end;
                    end += n;
                }
                None => together &= filler == 0,
            }
        }
        if together {
            return Ok(self.values.slice(start, end - start));
        }
        let index = |row: &Option<(usize, usize)>| -> Vec<Option<u64>> {
            match row {
                Some((from, n)) => (*from..from + n).map(|at| u64::try_from(at).ok()).collect(),
                None => vec![None; filler],
            }
        };
        let indices: UInt64Array = self.rows.iter().flat_map(index).collect();
        take(&self.values, &indices, None).map_err(CastError::value)
    }
}
