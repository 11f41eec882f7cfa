//! Overload, in a time of its own: more is asked of one session than it can do, and what it does is counted.

use super::*;

/// A model that takes so long for a run and for each row of it, with batches of at most 32 rows.
const RUN: Duration = Duration::from_micros(1_000);
const ROW: Duration = Duration::from_micros(50);
const ROWS: usize = 32;

fn takes(rows: usize) -> Duration {
    RUN + ROW * u32::try_from(rows).unwrap()
}

struct Outcome {
    answered: u32,
    /// Of those who were answered, in order.
    latencies: Vec<Duration>,
    offered: u32,
    most_waiting: usize,
    /// Of those who were refused after they had waited.
    longest: Duration,
}

/// Requests of one row come at random instants, so many a second, for so long. The door refuses as the scheduler does.
fn simulate(per_second: f64, lasts: Duration) -> Outcome {
    let start = Instant::now();
    let mut queue = BatchQueue::new(Limits { rows_max: 65_536, bytes_max: 1 << 30 });
    let run = takes(ROWS);
    let patience = Duration::from_millis(100).max(run * 10);
    let speed = Speed { rows: ROWS, patience, impatience: (patience / 20).max(run * 2) };
    // A generator of its own, so that every run of this test is the same.
    let mut state = 42_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 33).unwrap()) / f64::from(1_u32 << 31)
    };
    let mut outcome =
        Outcome { answered: 0, latencies: Vec::new(), offered: 0, most_waiting: 0, longest: Duration::ZERO };
    let (mut next, mut free) = (Duration::ZERO, Duration::ZERO);
    while next < lasts {
        // All who come before the session is free.
        while next <= free && next < lasts {
            outcome.offered += 1;
            let since = start + next;
            if queue.wait(Rank::NORMAL, ROWS, run, 1) <= speed.patience {
                let shape = Arc::from([3]);
                let waiting = Waiting {
                    rows: 1,
                    bytes: 1,
                    shape,
                    rank: Rank::NORMAL,
                    deadline: None,
                    since,
                    patience,
                    item: outcome.offered,
                };
                let _ = queue.push(waiting);
            }
            outcome.most_waiting = outcome.most_waiting.max(queue.len());
            next += Duration::from_secs_f64(-(1.0 - random()).ln() / per_second);
        }
        let Next { batch, refused } = queue.pop(start + free, speed);
        let waited = refused.iter().map(|(waiting, _)| start + free - waiting.since);
        outcome.longest = waited.fold(outcome.longest, Duration::max);
        if batch.is_empty() {
            free = next;
            continue;
        }
        let rows = batch.len();
        free += takes(rows);
        outcome.answered += u32::try_from(rows).unwrap();
        outcome.latencies.extend(batch.iter().map(|waiting| start + free - waiting.since));
    }
    outcome.latencies.sort_unstable();
    outcome
}

fn quantile(latencies: &[Duration], share: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = (latencies.len() as f64 * share) as usize;
    latencies[at.min(latencies.len() - 1)]
}

#[test]
fn at_five_times_what_can_be_done_nearly_all_of_it_is_done_and_in_time() {
    let capacity = 32.0 / takes(ROWS).as_secs_f64();
    for times in [1.2, 2.0, 5.0] {
        let lasts = Duration::from_secs(10);
        let Outcome { answered, latencies, offered, most_waiting, longest } = simulate(capacity * times, lasts);
        let goodput = f64::from(answered) / (capacity * lasts.as_secs_f64());
        assert!(goodput >= 0.95, "{times}: {goodput} of what can be done, {answered} of {offered}");
        let p99 = quantile(&latencies, 0.99);
        assert!(p99 <= Duration::from_millis(100), "{times}: p99 of the answered is {p99:?}");
        assert!(most_waiting <= 2_000, "{times}: {most_waiting} wait");
        assert!(longest <= Duration::from_millis(110), "{times}: somebody is refused after {longest:?}");
    }
}

#[test]
fn where_there_is_little_to_do_nobody_is_refused_and_nobody_waits_for_company() {
    let Outcome { answered, latencies, offered, .. } = simulate(50.0, Duration::from_secs(20));
    assert!(offered - answered <= 1, "{answered} of {offered}");
    assert!(quantile(&latencies, 0.5) <= takes(1) * 11 / 10, "{:?}", quantile(&latencies, 0.5));
    // At nine tenths of what one row at a time could do, which without batches is a queue of dozens.
    let Outcome { latencies, .. } = simulate(900.0, Duration::from_secs(20));
    assert!(quantile(&latencies, 0.99) <= Duration::from_millis(3), "{:?}", quantile(&latencies, 0.99));
}
