//! The promises of the tuner, kept by servers that are simulated: requests come by chance, and each costs what chance says.
//! Seeds are numbers from zero, so that each run is the same.

use std::time::{Duration, Instant};

use super::tests::RULES;
use super::*;
use crate::tuner::budget::Budget;

/// A generator that is the same for ever: splitmix64.
struct Chance(u64);

impl Chance {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From zero to one, neither included.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn coin(&mut self) -> bool {
        self.bits() & 1 == 1
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// How requests of one way are.
#[derive(Clone, Copy)]
struct Way {
    /// Microseconds of the processor, in the middle.
    cpu: f64,
    /// Microseconds until the answer, in the middle.
    latency: f64,
}

const DEFAULT: Way = Way { cpu: 100.0, latency: 200.0 };
/// Requests of a turn, about.
const REQUESTS: u32 = 200;
/// Bursts in which everything is late, one in so many turns, and how much of the turn they take.
const BURSTS: (f64, f64) = (20.0, 0.05);

/// One trial of `new` against the default, at a load that doubles and halves: requests that it took, and how it ended.
fn trial(new: Way, seed: u64) -> (Verdict, u64) {
    trial_of(new, seed, REQUESTS)
}

/// With so many requests a turn.
fn trial_of(new: Way, seed: u64, usual: u32) -> (Verdict, u64) {
    let mut chance = Chance(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let late_after = quantile_of_default(&mut chance);
    let mut trial = Trial::new(Question::IsBetter, RULES, chance.coin());
    let mut requests = 0;
    for at in 0.. {
        let way = if trial.side() == Side::New { new } else { DEFAULT };
        let load = 1.0 + 0.5 * (f64::from(at) / 9.0).sin();
        let n = (f64::from(usual) * load * (1.0 + 0.1 * chance.normal())).max(1.0);
        // What else the machine does costs a turn more or less.
        let weather = (0.2 * chance.normal()).exp();
        let mut seen = Seen { took: 2.0, ..Seen::default() };
        let burst = if chance.uniform() < 1.0 / BURSTS.0 { BURSTS.1 } else { 0.0 };
        for _ in 0..whole(n) {
            seen.requests += 1;
            seen.cpu += way.cpu * weather * (0.3 * chance.normal()).exp() * 1e-6;
            seen.late += u64::from(latency(way, &mut chance) > late_after || chance.uniform() < burst);
        }
        requests += seen.requests;
        let coin = chance.coin();
        if let Some(verdict) = trial.saw(seen).or_else(|| trial.ended(coin)) {
            return (verdict, requests);
        }
    }
    unreachable!("a trial ends")
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and above zero")]
fn whole(n: f64) -> u64 {
    n as u64
}

fn latency(way: Way, chance: &mut Chance) -> f64 {
    way.latency * (0.4 * chance.normal()).exp()
}

/// The 99th percentile of the default.
fn quantile_of_default(chance: &mut Chance) -> f64 {
    let mut all: Vec<f64> = (0..5_000).map(|_| latency(DEFAULT, chance)).collect();
    all.sort_by(f64::total_cmp);
    all[4_949]
}

#[test]
fn a_way_that_a_sleep_makes_slower_is_never_adopted() {
    for seed in 0..200 {
        let slow = Way { latency: DEFAULT.latency + 1_000.0, ..DEFAULT };
        let (verdict, requests) = trial(slow, seed);
        assert_eq!(verdict, Verdict::Late, "seed {seed}");
        assert!(requests < 2 * u64::from(REQUESTS) * 2, "seed {seed}: {requests} requests");
        // Nor one that costs less and is late.
        let (verdict, _) = trial(Way { cpu: 30.0, ..slow }, seed);
        assert_eq!(verdict, Verdict::Late, "seed {seed}");
    }
}

#[test]
fn of_two_equal_ways_one_is_adopted_no_more_often_than_is_said() {
    let adopted = (0..400).filter(|seed| trial(DEFAULT, *seed).0 == Verdict::Better).count();
    // Of 400 with a chance of 0.03 each, 20 or fewer but for one time in a hundred.
    assert!(adopted <= 20, "{adopted} of 400");
    println!("equal ways: {adopted} of 400 adopted");
}

/// With many requests that are late by the nature of a percentile, and bursts of them.
#[test]
fn of_two_equal_ways_one_is_late_no_more_often_than_is_said() {
    let late = (0..100).filter(|seed| trial_of(DEFAULT, *seed, 2_000).0 == Verdict::Late).count();
    // Of 100 with a chance of 0.05 each, 11 or fewer but for one time in a hundred.
    println!("equal ways: {late} of 100 late");
    assert!(late <= 11, "{late} of 100");
}

#[test]
fn a_way_that_is_twice_as_good_is_adopted_within_so_many_requests() {
    let mut all: Vec<u64> = (0..200)
        .map(|seed| {
            let (verdict, requests) = trial(Way { cpu: 50.0, latency: 100.0 }, seed);
            assert_eq!(verdict, Verdict::Better, "seed {seed}");
            requests
        })
        .collect();
    all.sort_unstable();
    println!("twice as good: {} requests in the middle, {} at most", all[100], all[199]);
    // Eight blocks at best, of four turns each.
    assert!(all[100] <= 9_000 && all[199] <= 20_000, "{} in the middle, {} at most", all[100], all[199]);
}

/// An hour of mixed load, in which the tuner tries ways that are slower, equal and better.
#[test]
fn the_slowest_of_a_hundred_are_no_slower_with_the_tuner_than_without() {
    let p99 = |is_tuned: bool| {
        let mut chance = Chance(7);
        let mut latencies = Vec::new();
        let late_after = quantile_of_default(&mut chance);
        let ways = [
            Way { cpu: 40.0, latency: 900.0 },
            Way { cpu: 90.0, latency: 230.0 },
            DEFAULT,
            Way { cpu: 60.0, latency: 180.0 },
        ];
        let begun = Instant::now();
        let (mut budget, mut at, mut current) = (Budget::of(0.01), 0, DEFAULT);
        let mut trial = Trial::new(Question::IsBetter, RULES, chance.coin());
        for turn in 0..1_800_u32 {
            let now = begun + Duration::from_secs(u64::from(turn) * 2);
            let requests = REQUESTS + u32::from(turn % 100 < 50) * REQUESTS;
            let may = trial.is_midway() || budget.allows(2 * u64::from(requests));
            let is_trial = is_tuned && at < ways.len() && may;
            let way = if is_trial && trial.side() == Side::New { ways[at] } else { current };
            let mut seen = Seen { took: 2.0, ..Seen::default() };
            for _ in 0..requests {
                let took = latency(way, &mut chance);
                latencies.push(took);
                seen.requests += 1;
                seen.cpu += way.cpu * (0.3 * chance.normal()).exp() * 1e-6;
                seen.late += u64::from(took > late_after);
            }
            let tried = if is_trial && trial.side() == Side::New { seen.requests } else { 0 };
            budget.answered(now, seen.requests, tried);
            let coin = chance.coin();
            if is_trial && let Some(verdict) = trial.saw(seen).or_else(|| trial.ended(coin)) {
                if verdict == Verdict::Better {
                    current = ways[at];
                }
                (at, trial) = (at + 1, Trial::new(Question::IsBetter, RULES, chance.coin()));
            }
        }
        latencies.sort_by(f64::total_cmp);
        latencies[latencies.len() * 99 / 100]
    };
    let (off, on) = (p99(false), p99(true));
    println!("p99 {off:.1} us without, {on:.1} us with the tuner");
    assert!(on <= off * 1.02, "{on} us with the tuner, {off} us without");
}
