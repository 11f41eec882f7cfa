use super::*;

pub(super) const RULES: Rules =
    Rules { alpha: 0.03, alpha_late: 0.05, blocks_max: 40, gain_min: 0.02, requests_min: 50 };

/// A turn of a second with so many requests, each of which costs so many microseconds.
fn turn(requests: u32, us: f64) -> Seen {
    Seen { requests: requests.into(), late: 0, cpu: f64::from(requests) * us * 1e-6, took: 1.0 }
}

/// Turns until the trial ends, or none is left; the order of blocks alternates.
fn run(question: Question, turns: u32, mut of: impl FnMut(Side, u32) -> Seen) -> (Trial, Option<Verdict>) {
    let mut trial = Trial::new(question, RULES, true);
    for at in 0..turns {
        let seen = of(trial.side(), at);
        if let Some(verdict) = trial.saw(seen).or_else(|| trial.ended((at / 4) % 2 == 1)) {
            return (trial, Some(verdict));
        }
    }
    (trial, None)
}

#[test]
fn turns_go_there_and_back_as_the_coin_says() {
    let mut sides = Vec::new();
    run(Question::IsBetter, 12, |side, _| {
        sides.push(side);
        turn(100, 50.0)
    });
    let (old, new) = (Side::Old, Side::New);
    assert_eq!(sides, [old, new, new, old, new, old, old, new, old, new, new, old]);
}

#[test]
fn half_the_cost_is_better_soon_and_whatever_the_load_does() {
    // It grows from turn to turn, and so does what a request costs.
    let of = |side, at| turn(100 + at, if side == Side::New { 50.0 } else { 100.0 } * (1.0 + 0.01 * f64::from(at)));
    let (trial, verdict) = run(Question::IsBetter, 400, of);
    assert_eq!((verdict, trial.gain().n()), (Some(Verdict::Better), 8));
}

#[test]
fn what_drifts_evenly_is_no_gain() {
    let (trial, verdict) = run(Question::IsBetter, 400, |_, at| turn(100, 1000.0 - f64::from(at)));
    assert_eq!(verdict, Some(Verdict::NotBetter));
    assert!(trial.gain().mean().abs() < 1e-3, "{}", trial.gain().mean());
}

#[test]
fn a_gain_that_is_not_worth_a_change_is_none() {
    let of = |us: f64| move |side, _| turn(100, if side == Side::New { us } else { 100.0 });
    assert_eq!(run(Question::IsBetter, 400, of(99.0)).1, Some(Verdict::NotBetter));
    // What is in use stays until it is no better any more.
    assert_eq!(run(Question::IsStill, 400, of(99.0)).1, Some(Verdict::Better));
    assert_eq!(run(Question::IsStill, 400, of(101.0)).1, Some(Verdict::NotBetter));
}

#[test]
fn what_is_plainly_late_is_given_up_within_its_turn() {
    for (question, expected) in [(Question::IsBetter, Verdict::Late), (Question::IsStill, Verdict::Better)] {
        let mut trial = Trial::new(question, RULES, true);
        let one = |late| Seen { requests: 1, late, cpu: 1e-4, took: 0.01 };
        while trial.side() != trial.explored() {
            (0..100).for_each(|_| assert_eq!(trial.saw(one(0)), None));
            assert_eq!(trial.ended(true), None);
        }
        let late = (1..).find_map(|n| Some((n, trial.saw(one(1))?)));
        assert_eq!(late, Some((PLAINLY.0, expected)));
    }
}

#[test]
fn what_is_a_little_later_each_time_is_given_up_after_some_blocks() {
    let of = |side, _| Seen { late: if side == Side::New { 4 } else { 1 }, ..turn(200, 50.0) };
    let (trial, verdict) = run(Question::IsBetter, 400, of);
    assert_eq!(verdict, Some(Verdict::Late), "{} blocks", trial.gain().n());
}

#[test]
fn who_answers_more_may_be_late_more_often() {
    // Twice the requests, and one in a hundred late of both.
    let of = |side, _| {
        let n = if side == Side::New { 1000 } else { 500 };
        Seen { late: u64::from(n / 100_u32), ..turn(n, 100.0) }
    };
    assert_eq!(run(Question::IsBetter, 160, of).1, Some(Verdict::NotBetter));
}

#[test]
fn of_few_requests_nothing_is_learnt_but_that_the_new_way_answers_few() {
    let few = |who| move |side, _| turn(if side == who { 3 } else { 100 }, 100.0);
    let (trial, _) = run(Question::IsBetter, 40, few(Side::Old));
    assert_eq!(trial.gain().n(), 0, "such blocks do not count");
    let (trial, _) = run(Question::IsBetter, 4, few(Side::New));
    assert!((trial.gain().mean() + GAIN_BOUND).abs() < 1e-12);
}
