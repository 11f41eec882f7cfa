//! `apply` is all or nothing: of two at once one wins and the other is told, and one that is killed leaves the old
//! definitions or the new ones.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::harness::Plumb;

/// Two folders with different definitions over one registry.
fn pair() -> (Plumb, Plumb) {
    let (one, other) = (Plumb::demo(), Plumb::demo());
    let registry = one.path().join("shared.db");
    for plumb in [&one, &other] {
        let text = plumb.read("plumb.yaml");
        let kept: String =
            text.lines().filter(|line| !line.starts_with("registry:")).map(|line| format!("{line}\n")).collect();
        plumb.write("plumb.yaml", &format!("{kept}registry: {{path: {}}}\n", registry.display()));
    }
    let ttl = |plumb: &Plumb, days: u32| {
        let text = plumb.read("features/user_features.yaml");
        let line = text.lines().find(|line| line.starts_with("ttl:")).unwrap().to_owned();
        plumb.edit("features/user_features.yaml", &line, &format!("ttl: {days}d"));
    };
    one.run("apply --yes").ok();
    ttl(&one, 500);
    ttl(&other, 600);
    (one, other)
}

#[test]
fn of_two_that_planned_on_the_same_definitions_one_wins_and_the_other_is_told() {
    let (one, other) = pair();
    let based_on = one.json("plan")["based_on"].as_u64().unwrap();
    assert_eq!(other.json("plan")["based_on"], based_on);
    let line = format!("apply --yes --based-on {based_on} --output json");
    let start = |plumb: &Plumb| plumb.command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let both = [start(&one), start(&other)].map(|child| child.wait_with_output().unwrap());
    let mut codes = both.each_ref().map(|output| output.status.code().unwrap());
    let loser = usize::from(codes[0] == 0);
    codes.sort_unstable();
    assert_eq!(codes, [0, 4], "{both:?}");
    let told = String::from_utf8_lossy(&both[loser].stdout);
    assert!(told.contains("the plan was made at event") && told.contains("plan again"), "{told}");
    // Who planned anew may go on.
    let again = [&one, &other][loser];
    again.run("apply --yes").ok();
    assert_eq!(again.json("plan")["pending"], 0);
}

#[test]
fn killed_at_any_moment_it_leaves_the_old_or_the_new() {
    const MOMENTS: u32 = 8;
    let change = |plumb: &Plumb| {
        let text = plumb.read("features/user_features.yaml");
        let line = text.lines().find(|line| line.starts_with("ttl:")).unwrap().to_owned();
        plumb.edit("features/user_features.yaml", &line, "ttl: 500d");
    };
    let mut took = Duration::ZERO;
    let (mut interrupted, mut old, mut new) = (0, 0, 0);
    for part in 0..=MOMENTS {
        let plumb = Plumb::demo();
        plumb.run("apply --yes").ok();
        let before = plumb.json("plan")["based_on"].clone();
        change(&plumb);
        let pending = plumb.json("plan")["changes"].clone();
        let started = Instant::now();
        let mut child = plumb.command("apply --yes").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if part == 0 {
            assert!(child.wait().unwrap().success());
            took = started.elapsed();
            continue;
        }
        let until = started + took * (part - 1) / (MOMENTS - 1);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        interrupted += u32::from(child.wait().unwrap().signal() == Some(9));
        let plan = plumb.json("plan");
        if plan["pending"] == 0 {
            assert_ne!(plan["based_on"], before);
            new += 1;
        } else {
            assert_eq!((&plan["based_on"], &plan["changes"]), (&before, &pending), "killed after {part}: {plan}");
            old += 1;
        }
        plumb.run("apply --yes").ok();
        assert_eq!(plumb.json("plan")["pending"], 0);
    }
    assert!(interrupted > 0 && old > 0, "{interrupted} were interrupted, {old} old, {new} new");
}
