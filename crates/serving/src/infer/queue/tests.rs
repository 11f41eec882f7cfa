use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const SPEED: Speed = Speed { rows: 4, patience: Duration::from_millis(100), impatience: Duration::from_millis(5) };

struct Bench {
    start: Instant,
    queue: BatchQueue<u32>,
}

impl Bench {
    fn new(rows_max: usize) -> Self {
        Self { start: Instant::now(), queue: BatchQueue::new(Limits { rows_max, bytes_max: 1 << 30 }) }
    }

    fn waiting(&self, item: u32, rows: usize, at_ms: u32) -> Waiting<u32> {
        let since = self.start + MS * at_ms;
        Waiting {
            rows,
            bytes: rows,
            shape: Arc::from([3]),
            rank: Rank::NORMAL,
            deadline: None,
            since,
            patience: SPEED.patience,
            item,
        }
    }

    fn push(&mut self, item: u32, rows: usize, at_ms: u32) {
        let waiting = self.waiting(item, rows, at_ms);
        assert!(self.queue.push(waiting).unwrap().is_empty());
    }

    fn pop(&mut self, at_ms: u32) -> (Vec<u32>, Vec<(u32, Why)>) {
        let Next { batch, refused } = self.queue.pop(self.start + MS * at_ms, SPEED);
        (items(&batch), refused.into_iter().map(|(waiting, why)| (waiting.item, why)).collect())
    }

    fn batch(&mut self, at_ms: u32) -> Vec<u32> {
        let (batch, refused) = self.pop(at_ms);
        assert_eq!(refused, []);
        batch
    }
}

fn items(waiting: &[Waiting<u32>]) -> Vec<u32> {
    waiting.iter().map(|waiting| waiting.item).collect()
}

#[test]
fn who_waits_goes_together_oldest_first_up_to_the_batch() {
    let mut bench = Bench::new(100);
    assert_eq!(bench.batch(0), [] as [u32; 0]);
    for item in 0..6 {
        bench.push(item, 1, 0);
    }
    assert_eq!(bench.batch(1), [0, 1, 2, 3]);
    assert_eq!(bench.batch(1), [4, 5]);
    assert!(bench.queue.is_empty());
    bench.push(7, 9, 0);
    bench.push(8, 1, 0);
    assert_eq!(bench.batch(1), [7], "one alone may be larger");
    bench.push(9, 3, 0);
    bench.push(10, 2, 0);
    assert_eq!(bench.batch(1), [8, 9], "a request is not split");
    assert_eq!(bench.batch(1), [10]);
}

#[test]
fn shapes_are_not_mixed_and_none_is_forgotten() {
    let mut bench = Bench::new(100);
    for (item, width) in [(0, 3), (1, 5), (2, 3), (3, 5)] {
        let shape = Arc::from([width]);
        let waiting = Waiting { shape, ..bench.waiting(item, 1, 0) };
        bench.queue.push(waiting).unwrap();
    }
    assert_eq!(bench.batch(1), [0, 2]);
    assert_eq!(bench.batch(1), [1, 3]);
}

#[test]
fn better_ranks_go_first_and_worse_ones_make_room() {
    let mut bench = Bench::new(3);
    for (item, rank) in [(0, Rank::SHADOW), (1, Rank::BATCH), (2, Rank::NORMAL)] {
        let waiting = Waiting { rank, ..bench.waiting(item, 1, 0) };
        bench.queue.push(waiting).unwrap();
    }
    let rank = Rank::of_priority(1);
    assert_eq!(bench.queue.wait(Rank::NORMAL, 1, MS, 1), MS);
    assert_eq!(bench.queue.wait(Rank::SHADOW, 2, MS, 1), MS * 2, "three rows are two runs of two");
    assert_eq!(bench.queue.wait(Rank::of_priority(1), 1, MS, 1), Duration::ZERO);
    let waiting = Waiting { rank, ..bench.waiting(3, 2, 0) };
    assert_eq!(items(&bench.queue.push(waiting).unwrap()), [0, 1]);
    let waiting = Waiting { rank: Rank::of_priority(3), ..bench.waiting(4, 1, 0) };
    assert_eq!(bench.queue.push(waiting).unwrap_err().item, 4, "a worse one than all that are there");
    let waiting = Waiting { rank, ..bench.waiting(5, 9, 0) };
    assert_eq!(bench.queue.push(waiting).unwrap_err().item, 5, "no room that could be made would do");
    assert_eq!(bench.batch(1), [3, 2]);
    for (better, worse) in [(1, 0), (0, 3), (3, 8), (7, u64::MAX)] {
        assert!(Rank::of_priority(better) < Rank::of_priority(worse), "{better} {worse}");
    }
    assert!(Rank::of_priority(u64::MAX) < Rank::BATCH && Rank::BATCH < Rank::SHADOW);
}

#[test]
fn what_comes_too_late_is_handed_back() {
    let mut bench = Bench::new(100);
    let deadline = Some(bench.start + MS * 5);
    for (item, deadline) in [(0, None), (1, deadline)] {
        let waiting = Waiting { deadline, ..bench.waiting(item, 1, 0) };
        bench.queue.push(waiting).unwrap();
    }
    assert_eq!(bench.pop(6), (vec![0], vec![(1, Why::Expired)]));
}

#[test]
fn a_queue_that_stands_answers_the_newest_and_sheds_the_rest() {
    let mut bench = Bench::new(100);
    for item in 0..10 {
        bench.push(item, 1, 0);
    }
    // It is never empty, for longer than a request may take.
    for item in 10..20 {
        bench.push(item, 1, 99);
    }
    assert_eq!(bench.pop(99).0, [0, 1, 2, 3], "as long as that is not known, the oldest is first");
    for item in 20..26 {
        bench.push(item, 1, 100);
    }
    let (batch, refused) = bench.pop(101);
    assert_eq!(batch, [25, 24, 23, 22]);
    let shed =
        |refused: &[(u32, Why)]| refused.iter().map(|(item, why)| (*why == Why::Shed).then_some(*item)).collect();
    let told: Option<Vec<u32>> = shed(&refused);
    assert_eq!(told.unwrap(), [4, 5, 6, 7, 8, 9], "whoever waited for too long is told so at once");
    assert_eq!(bench.batch(101), [21, 20, 19, 18]);
    let (batch, refused) = bench.pop(105);
    assert_eq!(batch, [] as [u32; 0]);
    let told: Option<Vec<u32>> = shed(&refused);
    assert_eq!(told.unwrap(), [17, 16, 15, 14, 13, 12, 11, 10]);
    // It was empty: the oldest is first again.
    bench.push(30, 1, 106);
    bench.push(31, 1, 106);
    assert_eq!(bench.batch(110), [30, 31]);
}

proptest! {
    /// Whatever comes and goes, every request leaves once: in a batch of its shape and within its size, or refused.
    #[test]
    fn nobody_is_lost_and_nobody_is_answered_twice(
        steps in proptest::collection::vec((0_u8..3, 1_usize..6, 0_i64..3, 0_u64..4, 0_u32..40), 1..200),
    ) {
        let mut bench = Bench::new(20);
        let (mut now, mut item) = (0, 0);
        let mut left: Vec<u32> = Vec::new();
        for (what, rows, width, priority, after) in steps {
            now += after;
            if what < 2 {
                let deadline = (after % 3 == 0).then(|| bench.start + MS * (now + after));
                let rank = Rank::of_priority(priority);
                let waiting = Waiting { shape: Arc::from([width]), rank, deadline, ..bench.waiting(item, rows, now) };
                item += 1;
                match bench.queue.push(waiting) {
                    Ok(gone) => left.extend(items(&gone)),
                    Err(refused) => left.push(refused.item),
                }
                let rows = |line: &Line<u32>| line.waiting.iter().map(|waiting| waiting.rows).sum::<usize>();
                let total: usize = bench.queue.ranks.values().map(rows).sum();
                prop_assert!(total <= 20 || bench.queue.len() == 1);
                prop_assert!(bench.queue.ranks.values().all(|line| line.held.rows == rows(line)));
                prop_assert!(bench.queue.ranks.len() <= 8);
            } else {
                let Next { batch, refused } = bench.queue.pop(bench.start + MS * now, SPEED);
                let rows: usize = batch.iter().map(|waiting| waiting.rows).sum();
                prop_assert!(rows <= SPEED.rows || batch.len() == 1);
                prop_assert!(batch.windows(2).all(|two| two[0].shape == two[1].shape && two[0].rank <= two[1].rank));
                left.extend(items(&batch));
                left.extend(refused.iter().map(|(waiting, _)| waiting.item));
            }
        }
        while !bench.queue.is_empty() {
            let Next { batch, refused } = bench.queue.pop(bench.start + MS * now, SPEED);
            prop_assert!(!batch.is_empty() || !refused.is_empty());
            left.extend(items(&batch));
            left.extend(refused.iter().map(|(waiting, _)| waiting.item));
        }
        left.sort_unstable();
        prop_assert_eq!(left, (0..item).collect::<Vec<_>>());
        prop_assert!(bench.queue.ranks.is_empty());
    }
}
