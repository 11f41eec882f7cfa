//! Goal: whoever is killed between any two steps of a registration, a promotion or a rollback leaves the registry as it was or
//! as it was to be, with the event exactly if the state is the new one. Method: a small library before the C library
//! (`between_steps/kill.c`) kills the process before its first call that changes the disk, before its second, and so on until
//! a run comes through.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

use crate::harness::{Plumb, preloaded};

/// More steps than any of the commands takes.
const STEPS_MAX: u32 = 400;

/// What the registry is, and its last event: versions with their stages.
fn state(plumb: &Plumb) -> (Vec<String>, Json) {
    let verified = plumb.json("registry verify");
    assert_eq!(verified["whole"], true, "{verified}");
    let list = plumb.json("model list");
    let version = |version: &Json| format!("{} {} {}", version["name"], version["version"], version["stage"]);
    let log = plumb.json("registry log");
    let last = log["events"].as_array().unwrap().last().unwrap().clone();
    (list["versions"].as_array().unwrap().iter().map(version).collect(), last)
}

/// Puts the log back.
fn put_back(plumb: &Plumb, kept: &[u8]) {
    let path = plumb.path().join(".plumb/registry.db");
    for beside in ["registry.db-wal", "registry.db-shm"] {
        drop(std::fs::remove_file(path.with_file_name(beside)));
    }
    std::fs::write(&path, kept).unwrap();
}

/// Kills `line` before each of its steps in turn; `says` is what it answers when it is done.
fn killed_everywhere(plumb: &Plumb, library: &Path, line: &str, says: &str) {
    let path = plumb.path().join(".plumb/registry.db");
    // All of the log in one file, which is put back.
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('pragma wal_checkpoint(truncate)')";
    assert!(Command::new("python3").args(["-c", script]).arg(&path).status().unwrap().success());
    let kept = std::fs::read(&path).unwrap();
    let before = state(plumb);
    put_back(plumb, &kept);
    let (mut n_old, mut n_new) = (0, 0);
    for step in 1..STEPS_MAX {
        let mut command = plumb.command(line);
        command.env("LD_PRELOAD", library).env("KILL_BEFORE", step.to_string());
        let done: Output = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let after = state(plumb);
        let is_old = after == before;
        assert_eq!(after.0 == before.0, after.1 == before.1, "step {step}: {before:?}, then {after:?}");
        if done.status.signal() != Some(9) {
            assert!(done.status.success() && !is_old, "{}", String::from_utf8_lossy(&done.stderr));
            assert!(n_old > 0 && n_new > 0, "{line}: killed before the event {n_old} times, after it {n_new} times");
            return;
        }
        assert!(!(is_old && said.contains(says)), "step {step}: it said {said}, and did not");
        *if is_old { &mut n_old } else { &mut n_new } += 1;
        if is_old {
            // Whoever comes next does it, and finds nothing in the way.
            let again = plumb.run(line).ok();
            assert!(again.stdout.contains(says), "{again:?}");
        }
        put_back(plumb, &kept);
    }
    panic!("{line} takes more than {STEPS_MAX} steps");
}

#[test]
fn a_command_that_is_killed_between_any_two_steps_did_all_or_nothing() {
    let plumb = Plumb::demo_online();
    let Some(library) = preloaded(plumb.path(), "between_steps/kill.c") else { return };
    let model = |version: u32| plumb.model(&format!("repeat_purchase_v{version}.onnx")).display().to_string();
    killed_everywhere(&plumb, &library, &format!("model register m {}", model(1)), "version 1 on service");
    plumb.run(&format!("model register m {}", model(2))).ok();
    plumb.run("model promote m 1").ok();
    killed_everywhere(&plumb, &library, "model promote m 2", "promoted");
    plumb.run("model promote m 2").ok();
    killed_everywhere(&plumb, &library, "model rollback m", "back to version 1");
}
