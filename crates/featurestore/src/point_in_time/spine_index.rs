//! The spine by key: for each key its instants in order, and which spine row each belongs to.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashMap;
use schema::{EntityKey, Timestamp};

use super::portions::in_portions;

/// Spine rows as slots: grouped by key, ascending in time within a group.
///
/// A spine row with a null key or a null time has no slot: it matches nothing.
#[derive(Debug)]
pub struct SpineIndex {
    keys: Keys,
    /// First slot of each group, and the end of the last.
    starts: Vec<u32>,
    times: Vec<i64>,
    rows: Vec<u32>,
    n_rows: usize,
}

/// One `int64` key, the common case, is looked up as it is: in a table where the keys are dense, else by hash.
#[derive(Debug)]
enum Keys {
    Dense { least: i64, groups: Vec<u32> },
    Int(HashMap<i64, u32>),
    Bytes(HashMap<Vec<u8>, u32>),
}

const NO_GROUP: u32 = u32::MAX;

impl SpineIndex {
    /// Indexes `times.len()` rows with key columns in their declared dtypes.
    pub fn new(keys: &[ArrayRef], times: &[Option<Timestamp>]) -> Self {
        let n_rows = times.len();
        let mut row_groups: Vec<Option<u32>> = Vec::with_capacity(n_rows);
        let (keys, n_groups) = match keys {
            [one] if *one.data_type() == DataType::Int64 => int_keys(one, &mut row_groups),
            many => byte_keys(many, n_rows, &mut row_groups),
        };
        let mut counts = vec![0_u32; n_groups + 1];
        let slotted = |row: usize| row_groups[row].zip(times[row]);
        for (group, _) in (0..n_rows).filter_map(slotted) {
            counts[group as usize + 1] += 1;
        }
        for group in 1..counts.len() {
            counts[group] += counts[group - 1];
        }
        let starts = counts.clone();
        let n_slots = *starts.last().unwrap_or(&0) as usize;
        let mut slots = vec![(0_i64, 0_u32); n_slots];
        for row in 0..n_rows {
            if let Some((group, time)) = slotted(row) {
                let at = &mut counts[group as usize];
                slots[*at as usize] = (time.as_nanos(), u32::try_from(row).unwrap_or(u32::MAX));
                *at += 1;
            }
        }
        in_portions(&mut slots, &starts, |_, group| group.sort_unstable());
        let (times, rows) = slots.into_iter().unzip();
        Self { keys, starts, times, rows, n_rows }
    }

    /// Rows of the spine.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub(super) fn n_slots(&self) -> usize {
        self.times.len()
    }

    /// The group of each row of some key columns; `None` where no spine row has the key.
    pub(super) fn groups_of(&self, keys: &[ArrayRef], n: usize, out: &mut Vec<Option<u32>>) {
        out.clear();
        match &self.keys {
            Keys::Bytes(map) => {
                EntityKey::each(keys, n, |_, bytes| out.push(bytes.and_then(|bytes| map.get(bytes).copied())));
            }
            Keys::Int(map) => out.extend(keys[0].as_primitive::<Int64Type>().iter().map(|k| map.get(&k?).copied())),
            Keys::Dense { least, groups } => {
                let find = |key: Option<i64>| {
                    let at = usize::try_from(key?.checked_sub(*least)?).ok()?;
                    groups.get(at).copied().filter(|group| *group != NO_GROUP)
                };
                let keys = keys[0].as_primitive::<Int64Type>();
                if keys.null_count() == 0 {
                    out.extend(keys.values().iter().map(|key| find(Some(*key))));
                } else {
                    out.extend(keys.iter().map(find));
                }
            }
        }
    }

    /// Reads an instant of each of some groups, so that searching them waits less; see [`super::offers::Offers::touch`].
    #[inline]
    pub(super) fn touch(&self, groups: &[Option<u32>]) {
        let middle = |group: u32| {
            let (start, end) = (self.starts[group as usize] as usize, self.starts[group as usize + 1] as usize);
            self.times.get(start.midpoint(end))
        };
        let times = groups.iter().filter_map(|group| middle((*group)?));
        std::hint::black_box(times.fold(0, |seen, time| seen ^ time));
    }

    /// The first slot of a group whose instant is not before `time`.
    #[inline]
    pub(super) fn first_at_or_after(&self, group: u32, time: Timestamp) -> Option<usize> {
        let (start, end) = (self.starts[group as usize] as usize, self.starts[group as usize + 1] as usize);
        let at = start + self.times[start..end].partition_point(|t| *t < time.as_nanos());
        (at < end).then_some(at)
    }

    /// The first slot of each group, and the end of the last.
    pub(super) fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// The spine row of a slot and its instant.
    pub(super) fn spine_row(&self, slot: usize) -> (usize, Timestamp) {
        (self.rows[slot] as usize, Timestamp::from_nanos(self.times[slot]))
    }
}

fn int_keys(column: &ArrayRef, row_groups: &mut Vec<Option<u32>>) -> (Keys, usize) {
    let keys = column.as_primitive::<Int64Type>();
    let (least, most) = (arrow::compute::min(keys), arrow::compute::max(keys));
    let range = least.zip(most).and_then(|(least, most)| usize::try_from(most.checked_sub(least)?).ok());
    let mut n_groups = 0;
    let mut next = || {
        n_groups += 1;
        n_groups - 1
    };
    let keys = match (least, range) {
        (Some(least), Some(range)) if range < keys.len().saturating_mul(8) + 1024 => {
            let mut groups = vec![NO_GROUP; range + 1];
            row_groups.extend(keys.iter().map(|key| {
                let group = &mut groups[usize::try_from(key? - least).ok()?];
                if *group == NO_GROUP {
                    *group = next();
                }
                Some(*group)
            }));
            Keys::Dense { least, groups }
        }
        _ => {
            let mut map = HashMap::with_capacity(keys.len());
            row_groups.extend(keys.iter().map(|key| Some(*map.entry(key?).or_insert_with(&mut next))));
            Keys::Int(map)
        }
    };
    (keys, n_groups as usize)
}

fn byte_keys(columns: &[ArrayRef], n: usize, row_groups: &mut Vec<Option<u32>>) -> (Keys, usize) {
    let mut map: HashMap<Vec<u8>, u32> = HashMap::with_capacity(n);
    EntityKey::each(columns, n, |_, bytes| {
        let next = u32::try_from(map.len()).unwrap_or(NO_GROUP);
        row_groups.push(bytes.map(|bytes| *map.entry_ref(bytes).or_insert(next)));
    });
    let n_groups = map.len();
    (Keys::Bytes(map), n_groups)
}
