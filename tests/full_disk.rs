//! A disk that is full, under each folder by itself: what does not fit is refused with its reason, nothing that was
//! acknowledged is lost, no half file is left, and with room it goes on without a restart. Each folder is a small disk in
//! memory; where such a one cannot be mounted, nothing is tested and that is said.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::harness::Plumb;
use crate::tables;

/// A disk of its own over a folder.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    #[expect(clippy::print_stdout, reason = "who reads the test's output learns that it tested nothing")]
    fn over(plumb: &Plumb, folder: &str, size: &str) -> Option<Self> {
        let folder = plumb.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&folder);
        if mount.output().is_ok_and(|done| done.status.success()) {
            return Some(Self { folder });
        }
        println!("not tested: a disk cannot be mounted on `{}`", folder.display());
        None
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Takes all room but so many bytes.
    fn fill(&self, but: usize) {
        let mut filler = File::create(self.filler()).unwrap();
        let block = vec![1_u8; 4_096];
        let mut n = 0_u64;
        while filler.write_all(&block).is_ok() {
            n += 4_096;
        }
        filler.set_len(n.saturating_sub(but as u64)).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The folder is a temporary one, which could not be removed with the disk on it.
        drop(Command::new("umount").arg("-l").arg(&self.folder).output());
    }
}

/// All files below a folder that are no finished ones.
fn left_over(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(left_over(&path));
        } else if name.starts_with(".tmp") || name.ends_with(".tmp") {
            found.push(path);
        }
    }
    found
}

fn push(user: i64) -> String {
    let at = "1998-06-30T12:00:00Z";
    let rows = json!({
        "user_id": [user], "event_time": [at], "total_orders": [user], "avg_order_value": [0.5],
        "last_order_at": [at], "total_cds": [3],
    });
    json!({ "rows": rows }).to_string()
}

#[test]
fn a_push_that_does_not_fit_is_refused_and_those_before_it_stay() {
    const PUSH: &str = "/v1/views/user_features/push";
    let plumb = Plumb::demo();
    let Some(disk) = SmallDisk::over(&plumb, ".plumb/offline", "48m") else { return };
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    let mut acknowledged = Vec::new();
    let mut next = 100_000..;
    for _ in 0..5 {
        let user = next.next().unwrap();
        assert_eq!(server.post(PUSH, &push(user)).0, 200);
        acknowledged.push(user);
    }
    disk.fill(0);
    let refused = next.by_ref().take(5_000).find_map(|user| match server.post(PUSH, &push(user)) {
        (200, _) => {
            acknowledged.push(user);
            None
        }
        refused => Some((user, refused)),
    });
    let (user, (status, answer)) = refused.expect("the disk is full");
    assert_eq!((status, &answer["error"]["retryable"]), (503, &json!(true)), "{answer}");
    let said = answer["error"]["message"].as_str().unwrap();
    assert!(said.contains("pushes.db") && said.contains("the disk is full"), "{said}");
    // What is online is still answered.
    let ask = |users: &[i64]| {
        let body = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": users } });
        let (status, answer) = server.post("/v1/features", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        answer["features"]["total_orders"]["values"].clone()
    };
    assert_eq!(ask(&acknowledged), json!(acknowledged));
    assert_eq!(ask(&[user]), json!([null]), "what is not logged is not online");
    disk.make_room();
    assert_eq!(server.post(PUSH, &push(user)).0, 200);
    acknowledged.push(user);
    assert_eq!(ask(&acknowledged), json!(acknowledged));
    server.stop();
    // And all of it is history.
    std::fs::remove_dir_all(plumb.path().join(".plumb/online")).unwrap();
    plumb.run("materialize").ok();
    let users: Vec<String> = acknowledged.iter().map(i64::to_string).collect();
    let answer = plumb.json(&format!("features get user_features:total_orders --entity user_id={}", users.join(",")));
    assert_eq!(answer["features"]["total_orders"]["values"], json!(acknowledged), "{answer}");
}

#[test]
fn a_snapshot_that_does_not_fit_is_made_when_there_is_room() {
    let plumb = Plumb::demo();
    let Some(disk) = SmallDisk::over(&plumb, ".plumb/offline", "48m") else { return };
    plumb.run("apply --yes").ok();
    disk.fill(64 << 10);
    plumb.run("materialize").fails(6, &[".plumb/offline/views/user_features", "No space left on device"]);
    assert_eq!(left_over(&disk.folder), Vec::<PathBuf>::new());
    disk.make_room();
    plumb.run("materialize").ok();
    plumb.run("features get user_features:total_orders --entity user_id=4").ok();
}

#[test]
fn an_online_store_that_is_full_answers_what_it_has() {
    let plumb = Plumb::demo();
    let Some(disk) = SmallDisk::over(&plumb, ".plumb/online", "32m") else { return };
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let ask = || plumb.json("features get user_features:total_orders --entity user_id=4,18")["features"].to_string();
    let before = ask();
    disk.fill(0);
    // All keys again, beside those that answer.
    let refused = plumb.run("materialize --fresh");
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains(".plumb/online"), "{}", refused.stderr);
    assert_eq!(ask(), before);
    disk.make_room();
    plumb.run("materialize --fresh").ok();
    assert_eq!(ask(), before);
}

/// What was applied stays applied, what does not fit is not applied in part, and a server goes on meanwhile.
#[test]
fn an_apply_that_does_not_fit_changes_nothing_and_is_made_when_there_is_room() {
    let plumb = Plumb::demo();
    let (kept, beside) =
        ("registry: {kind: sqlite, path: .plumb/registry.db}", "registry: {path: .plumb/log/registry.db}");
    plumb.edit("plumb.yaml", kept, beside);
    let Some(disk) = SmallDisk::over(&plumb, ".plumb/log", "1m") else { return };
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    let ask = || {
        let body = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": [4] } });
        let (status, answer) = server.post("/v1/features", &body.to_string());
        assert_eq!(status, 200, "{answer}");
        (answer["features"]["total_orders"]["values"].clone(), answer["views"]["user_features"]["version"].clone())
    };
    let before = ask();
    let version = || plumb.json("plan")["based_on"].clone();
    disk.fill(0);
    // Each apply takes some room in the log of writes: those that are acknowledged count, until one does not fit.
    let mut acknowledged = version();
    let mut last = "365d".to_owned();
    let refused = (1..2_000).find_map(|days| {
        plumb.edit("features/user_features.yaml", &format!("ttl: {last}"), &format!("ttl: {days}d"));
        last = format!("{days}d");
        let answer = plumb.run("apply --yes");
        if answer.code == 0 {
            acknowledged = version();
            return None;
        }
        Some(answer)
    });
    let refused = refused.expect("the disk is full");
    refused.fails(6, &[".plumb/log/registry.db", "disk is full"]);
    assert_eq!(ask(), before, "an apply changes nothing that answers");
    let now = plumb.run("plan --output json");
    if now.code == 0 {
        let now = now.json();
        assert_eq!(now["based_on"], acknowledged, "nothing was applied that was refused, nothing lost that was not");
        assert_ne!(now["pending"], json!(0), "{now}");
    }
    disk.make_room();
    let plan = plumb.json("plan");
    assert_eq!(plan["based_on"], acknowledged, "{plan}");
    assert_ne!(plan["pending"], json!(0), "{plan}");
    plumb.run("apply --yes").ok();
    assert_eq!(plumb.json("plan")["pending"], json!(0));
    server.stop();
}

#[test]
fn a_training_set_that_does_not_fit_leaves_nothing_behind() {
    let plumb = Plumb::demo();
    let Some(disk) = SmallDisk::over(&plumb, "out", "8m") else { return };
    plumb.run("apply --yes").ok();
    let build = || {
        let out = disk.folder.join("t.parquet");
        plumb.run(&format!("training-set build --service repeat_purchase_v1 --spine spine.sql --out {}", out.display()))
    };
    disk.fill(4 << 10);
    build().fails(6, &["t.parquet", "No space left on device"]);
    let names: Vec<_> = std::fs::read_dir(&disk.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["filler"]);
    disk.make_room();
    build().ok();
}

#[test]
fn an_append_that_does_not_fit_is_no_version_of_the_table() {
    let plumb = tables::project();
    let Some(disk) = SmallDisk::over(&plumb, "tables", "4m") else { return };
    plumb.run("apply --yes").ok();
    tables::orders(&plumb, "in/1.csv", &[(1, 1, 10), (2, 2, 20)]);
    plumb.run("ingest orders in/*.csv").ok();
    disk.fill(0);
    tables::orders(&plumb, "in/2.csv", &[(1, 3, 5), (3, 3, 30)]);
    plumb.run("ingest orders in/*.csv").fails(6, &["tables/orders", "No space left on device"]);
    plumb.run("materialize").ok();
    assert_eq!(tables::online(&plumb, "1,2,3")[0], "[10,20,null]");
    disk.make_room();
    let done = plumb.json("ingest orders in/*.csv");
    assert_eq!((&done["rows"], &done["files"][1]["version"]), (&2.into(), &2.into()), "{done}");
    plumb.run("materialize").ok();
    assert_eq!(tables::online(&plumb, "1,2,3")[0], "[5,20,30]");
}

/// All files below a folder, but for the one that fills the disk.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.ends_with("filler") => {}
            false => found.push(path),
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_and_a_version_that_do_not_fit_are_refused_and_come_when_there_is_room() {
    const API: &str = "/api/2.0/mlflow";
    const BYTES: usize = 300_000;
    let plumb = Plumb::demo();
    let Some(disk) = SmallDisk::over(&plumb, ".plumb/artifacts", "8m") else { return };
    plumb.run("apply --yes").ok();
    let server = plumb.serve();
    let post = |route: &str, body: serde_json::Value| server.post(&format!("{API}/{route}"), &body.to_string());
    let run =
        post("runs/create", json!({ "experiment_id": "0" })).1["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let root = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts");
    assert_eq!(server.put(&format!("{root}/m/weights"), &vec![1; BYTES]).0, 200);
    assert_eq!(post("registered-models/create", json!({ "name": "m" })).0, 200);
    let create =
        || post("model-versions/create", json!({ "name": "m", "source": format!("runs:/{run}/m"), "run_id": run }));
    let before = files(&disk.folder);

    disk.fill(64 << 10);
    for _ in 0..2 {
        let (status, said) = server.put(&format!("{root}/more"), &vec![2; BYTES]);
        assert_eq!((status, &said["error_code"]), (503, &json!("TEMPORARILY_UNAVAILABLE")), "{said}");
        assert!(said["message"].as_str().unwrap().contains("No space left on device"), "{said}");
        let (status, said) = create();
        assert_eq!((status, &said["error_code"]), (503, &json!("TEMPORARILY_UNAVAILABLE")), "{said}");
        assert!(said["message"].as_str().unwrap().contains("No space left on device"), "{said}");
    }
    // A file that was there stays what it was when another one was to take its place.
    assert_eq!(server.put(&format!("{root}/m/weights"), &vec![3; BYTES]).0, 503);
    assert_eq!(files(&disk.folder), before, "no half file is left");
    assert_eq!(server.get(&format!("{root}/more")).0, 404);
    assert_eq!(server.get(&format!("{root}/m/weights")).1.as_bytes(), vec![1; BYTES]);
    let (_, found) = server.get(&format!("{API}/model-versions/search"));
    assert_eq!(found, "{}", "and no version");

    disk.make_room();
    assert_eq!(server.put(&format!("{root}/more"), &vec![2; BYTES]).0, 200);
    let (status, made) = create();
    assert_eq!((status, &made["model_version"]["version"]), (200, &json!("1")), "{made}");
    let (_, uri) = server.get(&format!("{API}/model-versions/get-download-uri?name=m&version=1"));
    let uri: serde_json::Value = serde_json::from_str(&uri).unwrap();
    let path = uri["artifact_uri"].as_str().unwrap().strip_prefix("mlflow-artifacts:/").unwrap();
    let (status, text) = server.get(&format!("/api/2.0/mlflow-artifacts/artifacts/{path}/weights"));
    assert_eq!((status, text.as_bytes()), (200, &vec![1; BYTES][..]));
    server.stop();
}

#[test]
fn a_registry_whose_snapshot_does_not_fit_goes_on_without_it() {
    let plumb = crate::long_log::long(100);
    let log = |plumb: &Plumb| plumb.path().join(".plumb/registry.db");
    let small = Plumb::demo();
    let Some(disk) = SmallDisk::over(&small, ".plumb", "64m") else { return };
    std::fs::copy(log(&plumb), log(&small)).unwrap();
    disk.fill(4 << 20);
    let snapshot = small.path().join(".plumb/registry.db.snapshot");
    let answer = small.run("model tag m k=v");
    assert!(answer.stderr.contains("writing a snapshot of"), "{answer:?}");
    answer.ok();
    let part = small.path().join(".plumb/registry.db.snapshot.part");
    assert!(!snapshot.exists() && !part.exists(), "it got its room back");
    assert_eq!(small.json("registry verify")["events"], crate::long_log::LONG + 1, "what was acknowledged is there");
    disk.make_room();
    small.run("model list").ok();
    assert!(snapshot.exists());
}
