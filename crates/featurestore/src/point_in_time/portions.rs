//! The groups of a spine's slots, dealt to all cores.

/// Slots below which one core is done before another has begun.
const SLOTS_MIN: usize = if cfg!(test) { 4 } else { 1 << 16 };

/// Does something with each group of `slots`, of which `starts` has the first slots and the end of the last; `act` is told the
/// first slot of the group. Groups are next to each other, so each core is given a stretch of them.
pub(super) fn in_portions<T: Send>(slots: &mut [T], starts: &[u32], act: impl Fn(usize, &mut [T]) + Sync) {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let n_portions = if slots.len() < SLOTS_MIN { 1 } else { n_cores };
    let all = |mut rest: &mut [T], starts: &[u32]| {
        for pair in starts.windows(2) {
            let (group, behind) = rest.split_at_mut((pair[1] - pair[0]) as usize);
            act(pair[0] as usize, group);
            rest = behind;
        }
    };
    let all = &all;
    std::thread::scope(|scope| {
        let (mut rest, mut starts) = (slots, starts);
        for n_left in (2..=n_portions).rev() {
            // Up to the group in which this portion's share of the slots ends.
            let [first, ..] = starts else { return };
            let until = *first as usize + rest.len() / n_left;
            let n_groups = starts.partition_point(|start| (*start as usize) < until).min(starts.len() - 1);
            let (slots, behind) = rest.split_at_mut((starts[n_groups] - first) as usize);
            let portion = &starts[..=n_groups];
            scope.spawn(move || all(slots, portion));
            (rest, starts) = (behind, &starts[n_groups..]);
        }
        all(rest, starts);
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_group_is_seen_once_as_it_is(sizes in prop::collection::vec(0..9_u32, 0..30)) {
            let mut starts = vec![0];
            starts.extend(sizes.iter().scan(0, |end, size| {
                *end += size;
                Some(*end)
            }));
            let mut slots = vec![(0, 0); *starts.last().unwrap() as usize];
            in_portions(&mut slots, &starts, |first, group| {
                let n = group.len();
                group.iter_mut().for_each(|(seen, of)| (*seen, *of) = (*seen + 1, first * 100 + n));
            });
            let wanted: Vec<(i32, usize)> = starts
                .windows(2)
                .flat_map(|pair| (pair[0]..pair[1]).map(|_| (1, pair[0] as usize * 100 + (pair[1] - pair[0]) as usize)))
                .collect();
            prop_assert_eq!(slots, wanted);
        }
    }
}
