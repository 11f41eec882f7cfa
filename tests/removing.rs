//! View versions live side by side until somebody removes one: never one that is used, and killed at any moment it may be
//! run again. What was removed comes back when the same meaning is declared again.

use std::process::Stdio;
use std::time::Instant;

use crate::harness::Plumb;

const TTL: &str = "ttl: 1000d";

/// A project whose view has two versions, both online, of which the first one is used by nothing any more.
fn two_versions() -> Plumb {
    let plumb = Plumb::demo();
    let file = "features/user_features.yaml";
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let text = plumb.read(file);
    let line = text.lines().find(|line| line.starts_with("ttl:")).unwrap().to_owned();
    plumb.edit(file, &line, TTL);
    // A plan says what removing the version that it leaves unused would free.
    let plan = plumb.json("plan");
    assert_eq!(plan["unused"][0], "user_features@v1");
    assert!(plan["unused_bytes"]["user_features@v1"].as_u64().unwrap() > 1_000, "{plan}");
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb.write("was.txt", &line);
    plumb
}

fn generations(plumb: &Plumb) -> serde_json::Value {
    plumb.json("view remove user_features@v1 --dry-run")["removed"][0]["generations"].clone()
}

#[test]
fn what_nothing_uses_is_removed_and_comes_back_when_it_is_declared_again() {
    let plumb = two_versions();
    plumb.run("view remove user_features@v2 --yes").fails(4, &["is used by", "feature service"]);
    plumb.run("view remove user_features@v9 --yes").fails(2, &["there is no feature view", "versions 1 to 2"]);
    plumb.run("view remove user_features --yes").fails(2, &["names no view version", "name@v1"]);
    plumb.run("view remove --unused").fails(2, &["no terminal"]);
    let look = plumb.json("view remove --unused --dry-run");
    assert_eq!(
        (&look["removed"][0]["view"], &look["removed"][0]["generations"]),
        (&"user_features@v1".into(), &1.into())
    );
    assert!(look["removed"][0]["snapshot_bytes"].as_u64().unwrap() > 1_000, "{look}");

    plumb.run("view remove --unused --yes").ok();
    assert_eq!(generations(&plumb), 0);
    assert_eq!(plumb.json("view remove --unused --dry-run")["removed"].as_array().unwrap().len(), 0);
    plumb.run("features get user_features@v1:total_orders --entity user_id=4").fails(2, &["it was removed"]);
    plumb.run("features get user_features:total_orders --entity user_id=4").ok();

    let was = plumb.read("was.txt");
    plumb.edit("features/user_features.yaml", TTL, &was);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb.run("features get user_features@v1:total_orders --entity user_id=4").ok();
}

#[test]
fn a_version_that_a_model_was_trained_on_stays() {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    let text = plumb.read("features/user_features.yaml");
    let line = text.lines().find(|line| line.starts_with("ttl:")).unwrap();
    plumb.edit("features/user_features.yaml", line, TTL);
    plumb.run("apply --yes").ok();
    plumb.run("view remove user_features@v1 --yes").fails(4, &["model `m` version 1"]);
    plumb.run("model promote m 1 --to archived").ok();
    plumb.run("view remove user_features@v1 --yes").ok();
    plumb.run("model promote m 1").fails(4, &["user_features@v1", "removed"]);
}

#[test]
fn killed_and_run_again_it_is_removed() {
    const MOMENTS: u32 = 4;
    let whole = two_versions();
    let started = Instant::now();
    whole.run("view remove user_features@v1 --yes").ok();
    let took = started.elapsed();
    for part in 0..MOMENTS {
        let plumb = two_versions();
        let line = "view remove user_features@v1 --yes";
        let mut child = plumb.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + took * part / (MOMENTS - 1);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        plumb.run(line).ok();
        assert_eq!(generations(&plumb), 0, "killed after {part}/{}", MOMENTS - 1);
        plumb.run("features get user_features:total_orders --entity user_id=4").ok();
    }
}
