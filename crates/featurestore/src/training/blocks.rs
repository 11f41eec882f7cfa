//! A spine in blocks that fit into memory, in its order.
//!
//! History is scanned once for each block, so blocks are as large as the memory allows.

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;

use super::spine::Spine;
use crate::offline::OfflineError;
use crate::offline::source::read_error;

/// What a process has beside the blocks: the engine, the writer's row group, pages on their way.
const BESIDE_BYTES: usize = 128 << 20;
/// A block has at least this many rows, whatever the memory: fewer would scan history too often.
const ROWS_MIN: usize = 16_384;
/// Slots are counted in 32 bits.
const ROWS_MAX: usize = u32::MAX as usize - 1;

/// A spine on its way to blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) spine: Spine,
    memory_bytes: usize,
    bytes_a_row: usize,
    left: Option<RecordBatch>,
}

impl Blocks {
    /// `memory_bytes` is what the process may take; a joined row takes `bytes_a_row` beside its own columns.
    pub(super) fn new(spine: Spine, memory_bytes: usize, bytes_a_row: usize) -> Self {
        let memory_bytes = memory_bytes.saturating_sub(BESIDE_BYTES).max(1 << 20);
        Self { spine, memory_bytes, bytes_a_row, left: None }
    }

    /// How many blocks there will be, if that can be known.
    pub(super) fn count(&self) -> Option<u64> {
        let n = self.spine.n_rows?;
        let own: usize = self.spine.shape.schema().fields().iter().map(|f| width(f.data_type())).sum();
        let rows = (self.memory_bytes / (self.bytes_a_row + 3 * own)).max(ROWS_MIN) as u64;
        Some(n.div_ceil(rows).max(1))
    }

    /// The next block.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, OfflineError> {
        let (mut batches, mut n_rows, mut n_bytes) = (Vec::new(), 0, 0);
        loop {
            let batch = match self.left.take() {
                Some(left) => left,
                None => match self.spine.next().await {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            if batch.num_rows() == 0 {
                continue;
            }
            // As they are, together, and in the file's writer.
            let own = 3 * bytes_of(&batch) / batch.num_rows();
            let room = self.memory_bytes.saturating_sub(n_bytes) / (own + self.bytes_a_row).max(1);
            let room = room.max(ROWS_MIN.saturating_sub(n_rows)).min(ROWS_MAX - n_rows);
            let taken = room.min(batch.num_rows());
            if taken > 0 {
                n_bytes += taken * (own + self.bytes_a_row);
                n_rows += taken;
                batches.push(batch.slice(0, taken));
            }
            if taken < batch.num_rows() {
                self.left = Some(batch.slice(taken, batch.num_rows() - taken));
                break;
            }
        }
        match batches.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            many => {
                let whole = concat_batches(self.spine.shape.schema(), many);
                Ok(Some(whole.map_err(|why| read_error(self.spine.shape.name(), why))?))
            }
        }
    }
}

fn bytes_of(batch: &RecordBatch) -> usize {
    let of = |column: &arrow::array::ArrayRef| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(of).sum()
}

fn width(found: &arrow::datatypes::DataType) -> usize {
    found.primitive_width().unwrap_or(32)
}
