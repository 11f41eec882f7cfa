//! How large rows are when every dictionary, run and view is unfolded into the values that it stands for.

use arrow::array::types::{ByteArrayType, RunEndIndexType};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{ArrowDictionaryKeyType, ArrowNativeType, DataType, Int16Type, Int32Type, Int64Type};
use arrow::downcast_dictionary_array;

/// At least what the rows need unfolded; exact for numbers and texts.
pub(super) fn plain_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(|column| of(column)).fold(0, u64::saturating_add)
}

fn of(column: &dyn Array) -> u64 {
    let n = column.len() as u64;
    let values = match column.data_type() {
        DataType::Utf8 => texts(column.as_string::<i32>()),
        DataType::LargeUtf8 => texts(column.as_string::<i64>()),
        DataType::Binary => texts(column.as_binary::<i32>()),
        DataType::LargeBinary => texts(column.as_binary::<i64>()),
        DataType::Utf8View => column.as_string_view().lengths().map(u64::from).sum(),
        DataType::BinaryView => column.as_binary_view().lengths().map(u64::from).sum(),
        DataType::FixedSizeBinary(width) => n.saturating_mul(u64::try_from(*width).unwrap_or(0)),
        DataType::Dictionary(_, _) => downcast_dictionary_array!(
            column => dictionary(column),
            _ => u64::MAX,
        ),
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => runs::<Int16Type>(column),
            DataType::Int32 => runs::<Int32Type>(column),
            _ => runs::<Int64Type>(column),
        },
        DataType::List(_) => of(column.as_list::<i32>().values()),
        DataType::LargeList(_) => of(column.as_list::<i64>().values()),
        DataType::FixedSizeList(_, _) => of(column.as_fixed_size_list().values()),
        DataType::Map(_, _) => of(column.as_map().entries()),
        DataType::Struct(_) => column.as_struct().columns().iter().map(|child| of(child)).fold(0, u64::saturating_add),
        // Each row may stand for all values.
        DataType::ListView(_) => of(column.as_list_view::<i32>().values()).saturating_mul(n),
        DataType::LargeListView(_) => of(column.as_list_view::<i64>().values()).saturating_mul(n),
        DataType::Union(fields, _) => {
            let children = fields.iter().map(|(id, _)| of(column.as_union().child(id)));
            children.fold(0, u64::saturating_add)
        }
        plain => n.saturating_mul(plain.primitive_width().unwrap_or(1) as u64),
    };
    // A row takes room even where its column says nothing.
    values.saturating_add(n.saturating_mul(4))
}

fn texts<T: ByteArrayType>(column: &arrow::array::GenericByteArray<T>) -> u64 {
    let offsets = column.value_offsets();
    let at = |offset: Option<&T::Offset>| offset.map_or(0_u64, |offset| offset.as_usize() as u64);
    at(offsets.last()).saturating_sub(at(offsets.first()))
}

fn dictionary<K: ArrowDictionaryKeyType>(column: &arrow::array::DictionaryArray<K>) -> u64 {
    let sizes = each(column.values());
    let keys = (0..column.len()).filter_map(|row| column.key(row));
    keys.map(|key| sizes.of(key)).fold(0, u64::saturating_add)
}

fn runs<E: RunEndIndexType>(column: &dyn Array) -> u64 {
    use arrow::array::ArrowNativeTypeOp;
    let Some(column) = column.as_run_opt::<E>() else { return u64::MAX };
    let sizes = each(column.values());
    let ends =
        column.run_ends().values().iter().map(|end| if end.is_lt(Default::default()) { 0 } else { end.as_usize() });
    let mut from = 0;
    let mut total = 0_u64;
    for (run, end) in ends.enumerate().take(sizes.n) {
        total = total.saturating_add(sizes.of(run).saturating_mul(end.saturating_sub(from) as u64));
        from = end;
    }
    total
}

/// The sizes of single values.
struct Each<'v> {
    n: usize,
    values: &'v dyn Array,
    /// Of each, where all have one; of others than texts, all together: more than any.
    one: Option<u64>,
}

fn each(values: &dyn Array) -> Each<'_> {
    let one = match values.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => None,
        plain => Some(plain.primitive_width().map_or_else(|| of(values), |width| width as u64)),
    };
    Each { n: values.len(), values, one }
}

impl Each<'_> {
    fn of(&self, at: usize) -> u64 {
        let length = |length: usize| length as u64;
        if at >= self.n {
            return 0;
        }
        match (self.one, self.values.data_type()) {
            (Some(one), _) => one,
            (None, DataType::Utf8) => length(self.values.as_string::<i32>().value(at).len()),
            (None, DataType::LargeUtf8) => length(self.values.as_string::<i64>().value(at).len()),
            (None, DataType::Binary) => length(self.values.as_binary::<i32>().value(at).len()),
            (None, _) => length(self.values.as_binary::<i64>().value(at).len()),
        }
    }
}
