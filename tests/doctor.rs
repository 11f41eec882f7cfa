//! Goal: whatever is wrong with a project, one command names it and says what to do, and changes nothing. Method: a project
//! that is well, then one thing after another is broken; each is found, and what is not broken is still said to be well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use featurestore::online::testing::TestRedis;
use serde_json::Value as Json;

use crate::harness::{Answer, Plumb};

/// All files below a folder, byte for byte; without those in which SQLite and LMDB note who reads.
fn files(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.insert(entry.path(), Vec::new());
            files(&entry.path(), found);
        } else if !(name == "lock.mdb" || name.ends_with("-shm") || name.ends_with("-wal")) {
            found.insert(entry.path(), std::fs::read(entry.path()).unwrap());
        }
    }
}

/// What `doctor` says, which is told twice, for it changes nothing.
#[track_caller]
fn doctor(plumb: &Plumb, more: &str) -> Json {
    let look = || {
        let mut all = BTreeMap::new();
        files(plumb.path(), &mut all);
        all
    };
    let before = look();
    let answer = plumb.run(&format!("doctor --output json {more}"));
    let json = answer.json();
    let after = look();
    for (path, bytes) in &after {
        assert!(before.get(path) == Some(bytes), "doctor wrote {}", path.display());
    }
    assert_eq!(before.len(), after.len(), "doctor removed something");
    assert_eq!(answer.code, i32::from(json["failed"] != 0), "{json:#}");
    assert_eq!(json["well"], json["failed"] == 0);
    json
}

/// The findings of a check, as `level says | do`.
fn of(json: &Json, check: &str) -> Vec<String> {
    let text = |finding: &Json, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = json["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == check);
    let line = |f: &Json| format!("{} {}: {} | {}", text(f, "level"), text(f, "about"), text(f, "says"), text(f, "do"));
    findings.map(line).collect()
}

/// Asserts that one finding of the check says all of `words`.
#[track_caller]
fn says(json: &Json, check: &str, words: &[&str]) {
    let found = of(json, check);
    assert!(found.iter().any(|line| words.iter().all(|word| line.contains(word))), "{words:?} not in {found:#?}");
}

#[track_caller]
fn is_well(json: &Json, check: &str) {
    let found = of(json, check);
    assert!(!found.is_empty() && found.iter().all(|line| line.starts_with("ok ")), "{found:#?}");
}

#[test]
fn a_project_that_is_well_is_told_so_and_one_without_anything_what_comes_next() {
    let plumb = Plumb::demo();
    let json = doctor(&plumb, "");
    says(&json, "registry", &["warning", "there is none yet", "plumb apply"]);
    is_well(&json, "source");
    plumb.run("apply --yes").ok();
    says(
        &doctor(&plumb, ""),
        "view",
        &["warning user_features@v1", "never brought online", "plumb materialize user_f"],
    );
    plumb.run("materialize").ok();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();

    let json = doctor(&plumb, "--deep");
    for check in [
        "registry",
        "model files",
        "definitions",
        "offline folder",
        "erasures",
        "ONNX Runtime",
        "source",
        "online store",
    ] {
        is_well(&json, check);
    }
    says(&json, "view", &["ok user_features@v1", "is what history says", "feature service", "model `m` version 1"]);
    // The demo owns its time, which is a warning and no failure.
    says(&json, "clock", &["warning", "stands still"]);
    let table = plumb.run("doctor").ok().stdout;
    assert!(table.contains("what to do:") && table.contains("nothing failed"), "{table}");
    plumb.write("plumb.yaml", "projet: x\n");
    plumb.run("doctor").fails(2, &["plumb.yaml"]);
}

#[test]
fn versions_that_nothing_uses_are_named_with_what_they_hold_and_how_to_remove_them() {
    let plumb = Plumb::demo_online();
    let line = plumb.read("features/user_features.yaml").lines().find(|l| l.starts_with("ttl:")).unwrap().to_owned();
    plumb.edit("features/user_features.yaml", &line, "ttl: 1000d");
    says(&doctor(&plumb, ""), "definitions", &["warning", "declared otherwise", "plumb plan"]);
    plumb.run("apply --yes").ok();
    let json = doctor(&plumb, "");
    says(&json, "view", &["warning user_features@v2", "never brought online"]);
    let remove = "plumb view remove user_features@v1";
    says(
        &json,
        "view",
        &["warning user_features@v1", "nothing uses it", "1 generations online, ", " keys in ", remove],
    );
    assert!(!of(&json, "view")[0].contains(": 0 bytes offline"), "{json:#}");
    // The command that is named does it.
    plumb.run(&format!("{} --yes", remove.trim_start_matches("plumb "))).ok();
    assert_eq!(of(&doctor(&plumb, ""), "view").len(), 1);
}

#[test]
fn files_of_sources_that_are_missing_or_damaged_are_named() {
    let plumb = Plumb::demo_online();
    let orders = plumb.path().join("data/orders.parquet");
    let whole = std::fs::read(&orders).unwrap();
    let broken = |bytes: &[u8]| {
        std::fs::write(&orders, bytes).unwrap();
        let json = doctor(&plumb, "--deep");
        says(&json, "source", &["failed orders", "reading `data/orders.parquet`", "restore it"]);
        says(&json, "view", &["warning user_features@v1", "what is online goes on"]);
        is_well(&json, "registry");
    };
    broken(b"PAR1 is all that is left of it PAR1");
    broken(&whole[..whole.len() - 1]);
    broken(b"");
    // The header of the first page: the footer is whole, so only reading the rows tells.
    let mut flipped = whole.clone();
    for byte in &mut flipped[4..40] {
        *byte = !*byte;
    }
    broken(&flipped);
    std::fs::write(&orders, &flipped).unwrap();
    is_well(&doctor(&plumb, ""), "source");

    std::fs::remove_file(&orders).unwrap();
    says(&doctor(&plumb, ""), "source", &["failed orders", "there is no file `data/orders.parquet`"]);
    std::fs::write(&orders, &whole).unwrap();
    // The same bytes, written at another time, are a state of their own.
    says(&doctor(&plumb, "--deep"), "view", &["warning", "has changed since", "plumb materialize user_features"]);
    plumb.run("materialize").ok();
    says(&doctor(&plumb, ""), "view", &["ok user_features@v1", "is what history says"]);
}

#[test]
fn a_view_that_is_behind_is_told_by_what_came_since() {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: behind\n");
    plumb.write(
        "features.yaml",
        "kind: entity\nname: user\njoin_key: user_id\ntype: int64\n---\n\
         kind: source\nname: rows\npath: rows/*.csv\nevent_time: at\n---\n\
         kind: feature_view\nname: f\nentity: user\nsource: rows\nfeatures: [{name: x, type: int64}]\n",
    );
    plumb.write("rows/a.csv", "user_id,at,x\n1,2024-01-01,5\n");
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    says(&doctor(&plumb, ""), "view", &["ok f@v1", "is what history says"]);
    // A text that nobody has read yet is not converted by looking.
    plumb.write("rows/b.csv", "user_id,at,x\n2,2024-01-02,6\n");
    let json = doctor(&plumb, "");
    says(&json, "source", &["ok rows", "2 files, not all of them read yet"]);
    says(&json, "view", &["warning f@v1", "2 files some were never read", "plumb materialize f"]);
    plumb.run("materialize").ok();
    says(&doctor(&plumb, ""), "view", &["ok f@v1", "generation 1 is what history says"]);
    let server = plumb.serve();
    let row = r#"{"rows": {"user_id": [3], "event_time": ["2024-01-03T00:00:00Z"], "x": [7]}, "to": "offline"}"#;
    assert_eq!(server.post("/v1/views/f/push", row).0, 200);
    server.stop();
    says(&doctor(&plumb, ""), "view", &["warning f@v1", "0 files and 1 pushed rows came since"]);
}

#[test]
fn a_registry_that_was_edited_is_found_and_everything_else_still_looked_at() {
    let plumb = Plumb::demo_online();
    let registry = plumb.path().join(".plumb/registry.db");
    let mut bytes = std::fs::read(&registry).unwrap();
    let was = b"user_features";
    let at = bytes.windows(was.len()).rposition(|window| window == was).unwrap();
    bytes[at] = b'U';
    std::fs::write(&registry, bytes).unwrap();
    let json = doctor(&plumb, "");
    says(&json, "registry", &["failed", "event 1", "was edited", "restore it from a backup"]);
    is_well(&json, "source");
    is_well(&json, "online store");
    assert_eq!(of(&json, "view").len(), 0);
}

#[test]
fn model_files_that_are_gone_or_others_are_named() {
    let plumb = Plumb::demo_online();
    plumb.run(&format!("model register m {}", plumb.model("repeat_purchase_v1.onnx").display())).ok();
    let mut all = BTreeMap::new();
    files(&plumb.path().join(".plumb/artifacts"), &mut all);
    let (file, bytes) = all.iter().find(|(_, bytes)| !bytes.is_empty()).unwrap();
    std::fs::write(file, &bytes[1..]).unwrap();
    says(&doctor(&plumb, ""), "model files", &["failed m version 1", "is damaged"]);
    std::fs::remove_file(file).unwrap();
    says(&doctor(&plumb, ""), "model files", &["failed m version 1", "is not in"]);
    std::fs::remove_dir_all(plumb.path().join(".plumb/artifacts")).unwrap();
    says(&doctor(&plumb, ""), "model files", &["failed", "1 model versions have their files in it"]);
}

#[test]
fn what_cannot_be_written_or_opened_is_told() {
    let plumb = Plumb::demo_online();
    plumb.edit("plumb.yaml", "path: .plumb/offline", "path: /proc/offline");
    says(
        &doctor(&plumb, ""),
        "offline folder",
        &["failed /proc/offline", "nothing can be written to `/proc`", "right"],
    );
    plumb.edit("plumb.yaml", "path: /proc/offline", "path: .plumb/offline");
    std::fs::write(plumb.path().join(".plumb/online/data.mdb"), [7; 40_000]).unwrap();
    let json = doctor(&plumb, "");
    says(&json, "online store", &["failed", "opening the online store"]);
    says(&json, "view", &["unknown user_features@v1", "does not say"]);
    let mut missing = plumb.command("doctor --output json");
    let answer: Answer = missing.env("ORT_DYLIB_PATH", "/nowhere/lib.so").output().unwrap().into();
    says(&answer.json(), "ONNX Runtime", &["warning", "/nowhere/lib.so", "no model is registered"]);
}

#[test]
fn what_was_begun_and_not_completed_is_told_with_the_command_that_completes_it() {
    let plumb = Plumb::demo_online();
    // The key is in the source's file, which is not ours to change, so it is not all gone.
    plumb.run("erase --entity user_id=4 --yes");
    let json = doctor(&plumb, "");
    says(&json, "erasures", &["failed", "keys user_id", "data/orders.parquet", "plumb erase"]);
    plumb.run("erase --entity user_id=4 --yes --rewrite-sources").ok();
    is_well(&doctor(&plumb, ""), "erasures");

    // What a writer leaves that is killed between its first byte and the name.
    let left = plumb.path().join(".plumb/offline/.tmpAb3");
    std::fs::write(&left, "half").unwrap();
    is_well(&doctor(&plumb, ""), "offline folder");
    let hours_ago = std::fs::metadata(&left).unwrap().modified().unwrap() - std::time::Duration::from_secs(7_200);
    std::fs::File::options().write(true).open(&left).unwrap().set_modified(hours_ago).unwrap();
    says(&doctor(&plumb, ""), "offline folder", &["warning", "1 files", "4 bytes", ".tmpAb3"]);
}

/// A lease of a process that was killed is nobody's; what it was building is named.
#[test]
fn a_build_that_was_killed_is_told_and_its_lease_is_not_in_the_way() {
    let plumb = Plumb::demo_online();
    let began = (0..40).any(|step| {
        let mut child =
            plumb.command("materialize --fresh").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5 * step));
        child.kill().unwrap();
        child.wait().unwrap();
        let json = doctor(&plumb, "");
        let found = of(&json, "view");
        assert!(!found.iter().any(|line| line.contains("is building")), "{found:#?}");
        found.iter().any(|line| line.contains("by a process that is no more"))
    });
    assert!(began, "no kill met a build");
    plumb.run("materialize --fresh").ok();
    let found = of(&doctor(&plumb, ""), "view");
    assert!(found.iter().all(|line| line.starts_with("ok ")), "{found:#?}");
}

#[test]
fn what_a_redis_says_of_itself_is_passed_on() {
    let mut redis = TestRedis::with(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let plumb = Plumb::demo();
    let online = format!("online: {{kind: redis, url: \"{}\", timeout: 1s}}", redis.url());
    plumb.edit("plumb.yaml", "online: {kind: embedded, path: .plumb/online}", &online);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let json = doctor(&plumb, "");
    says(&json, "online store", &["ok ", "it answers: Redis "]);
    says(&json, "online store", &["failed", "allkeys-lru", "nobody knows", "noeviction"]);
    says(&json, "view", &["ok user_features@v1", "is what history says"]);
    redis.server().ask(&["CONFIG", "SET", "maxmemory", "0"]);
    says(&doctor(&plumb, ""), "online store", &["warning", "once it has a `maxmemory`"]);
    redis.server().ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    is_well(&doctor(&plumb, ""), "online store");
    redis.server().ask(&["CONFIG", "SET", "maxmemory", "1"]);
    says(&doctor(&plumb, ""), "online store", &["warning", "% of its `maxmemory`"]);
    redis.server().ask(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.server().ask(&["CONFIG", "SET", "requirepass", "s3cret"]);
    let json = doctor(&plumb, "");
    says(&json, "online store", &["failed", "asks for a password", "${NAME}"]);
    says(&json, "view", &["unknown", "does not say"]);
    redis.kill();
    says(&doctor(&plumb, ""), "online store", &["failed", "opening the online store"]);
}
