//! `plumb erase`: what is known of a person is found everywhere, removed, proved gone, and does not come back; killed at
//! any moment and run again, it completes. The person is a canary: a text that is searched for, byte by byte, in every
//! file of the project and in all of Redis.

mod canary;
mod named;
mod search;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use featurestore::online::testing::TestRedis;
use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};

const CANARY: &str = "canary-4711";

/// Users by name in a view of their own, another by query, and one whose keys have a second part.
fn project(online: &str) -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", online);
    plumb.write(
        "features.yaml",
        "kind: entity\nname: user\njoin_key: user\ntype: string\n---\n\
         kind: entity\nname: visit\njoin_keys: [{name: user, type: string}, {name: shop, type: int64}]\n---\n\
         kind: source\nname: rows\npath: rows\nevent_time: at\n---\n\
         kind: feature_view\nname: plain\nentity: user\nsource: rows\nfeatures: [{name: n, type: int64}]\n---\n\
         kind: feature_view\nname: summed\nentity: user\nsource: rows\nevent_time: at\n\
         sql: 'SELECT \"user\", at, n + 1 AS more FROM rows'\nfeatures: [{name: more, type: int64}]\n---\n\
         kind: feature_view\nname: visits\nentity: visit\nsource: rows\nfeatures: [{name: n, type: int64}]\n---\n\
         kind: feature_service\nname: s\nfeatures: ['plain:n', 'summed:more']\n",
    );
    std::fs::create_dir(plumb.path().join("rows")).unwrap();
    let users: Vec<String> =
        (0..400).map(|i| if i % 100 == 7 { CANARY.to_owned() } else { format!("user-{i}") }).collect();
    write(&plumb.path().join("rows/a.parquet"), &users);
    plumb
}

fn write(path: &Path, users: &[String]) {
    let n = users.len();
    let numbers = || (0..i64::try_from(n).unwrap()).collect::<Int64Array>();
    let columns: [(&str, ArrayRef); 4] = [
        ("user", Arc::new(StringArray::from(users.to_vec()))),
        ("shop", Arc::new(numbers())),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_000_000_i64; n]).with_timezone("UTC"))),
        ("n", Arc::new(numbers())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn push(server: &Server, user: &str) -> (u16, Json) {
    let rows = json!({ "user": [user, "somebody"], "event_time": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"], "n": [5, 6] });
    server.post("/v1/views/plain/push", &json!({ "rows": rows }).to_string())
}

/// Everything is applied, online, pushed to and trained on.
fn fill(plumb: &Plumb) {
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let server = plumb.serve();
    assert_eq!(push(&server, CANARY).0, 200);
    server.stop();
    plumb.run("materialize --fresh").ok();
}

/// Files of the project that hold the canary.
fn holding(plumb: &Plumb) -> Vec<String> {
    search::files(plumb.path(), &[CANARY])
}

fn erase(plumb: &Plumb, flags: &str) -> (i32, Json) {
    let answer = plumb.run(&format!("erase --entity user={CANARY} --output json {flags}"));
    let json = answer.json();
    (answer.code, json)
}

fn found(json: &Json, kind: &str) -> (u64, Option<u64>) {
    let places = json["erased"][0]["places"].as_array().unwrap();
    let of = || places.iter().filter(|place| place["kind"] == kind);
    (of().map(|place| place["found"].as_u64().unwrap()).sum(), of().map(|place| place["left"].as_u64()).sum())
}

fn status(plumb: &Plumb, feature: &str) -> Json {
    let (view, name) = feature.split_once(':').unwrap();
    let answer = plumb.json(&format!("features get {view}:{name} --entity user={CANARY}"));
    answer["features"][name]["statuses"][0].clone()
}

#[test]
fn a_canary_is_gone_from_every_file_and_does_not_come_back() {
    let plumb = project("project: erasing\n");
    fill(&plumb);
    assert_eq!(status(&plumb, "summed:more"), json!("PRESENT"));
    plumb.write("spine.csv", &format!("user,event_time\n{CANARY},2026-02-01T00:00:00Z\nuser-1,2026-02-01T00:00:00Z\n"));
    let (spine, out) = (plumb.path().join("spine.csv"), plumb.path().join("train.parquet"));
    let build = format!("training-set build --service s --spine {} --out {}", spine.display(), out.display());
    plumb.run(&build).ok();
    std::fs::remove_file(&spine).unwrap();

    // A look changes nothing.
    let before = holding(&plumb);
    let (code, look) = erase(&plumb, "--dry-run");
    assert_eq!((code, &look["dry_run"], holding(&plumb)), (0, &json!(true), before));
    assert_eq!((found(&look, "source").0, found(&look, "pushes").0), (4, 1), "{look}");
    assert!(found(&look, "online").0 >= 6 && found(&look, "cache").0 >= 5, "{look}");

    // What is not ours is named and stays until it is asked for.
    let (code, told) = erase(&plumb, "--yes");
    assert_eq!((code, &told["complete"]), (1, &json!(false)), "{told}");
    assert_eq!(found(&told, "source"), (4, Some(4)));
    assert_eq!(found(&told, "training_set"), (1, Some(1)));
    for (place, n) in [("pushes", 1), ("online", found(&look, "online").0)] {
        assert_eq!(found(&told, place), (n, Some(0)), "{place}: {told}");
    }
    assert_eq!(holding(&plumb), ["rows/a.parquet", "train.parquet", "train.parquet.report.json"]);

    // Blocked: the source still has it, and nothing reads it.
    plumb.run("materialize --fresh").ok();
    assert_eq!([status(&plumb, "plain:n"), status(&plumb, "summed:more")], ["NOT_FOUND", "NOT_FOUND"]);
    assert_eq!(holding(&plumb), ["rows/a.parquet", "train.parquet", "train.parquet.report.json"]);
    let server = plumb.serve();
    let (status_code, answer) = push(&server, CANARY);
    assert_eq!((status_code, answer["error"]["code"].as_str()), (409, Some("erased")), "{answer}");
    server.stop();

    let (code, done) = erase(&plumb, "--yes --rewrite-sources");
    assert_eq!((code, &done["complete"]), (0, &json!(true)), "{done}");
    // The certificate keeps what the first search found.
    assert_eq!((found(&done, "source"), found(&done, "pushes")), ((4, Some(0)), (1, Some(0))), "{done}");
    assert_eq!(holding(&plumb), ["train.parquet", "train.parquet.report.json"]);
    assert!(!done.to_string().contains(CANARY), "the certificate names the key by its digest only");
    let others = plumb.json("features get plain:n --entity user=user-1,user-399,somebody");
    assert_eq!(others["features"]["n"]["values"], json!([1, 399, 6]));

    // Until it is allowed again.
    plumb.run(&format!("erase --entity user={CANARY} --allow-again")).ok();
    let server = plumb.serve();
    assert_eq!(push(&server, CANARY).0, 200);
    server.stop();
    assert_eq!(status(&plumb, "plain:n"), json!("PRESENT"));
}

#[test]
fn a_table_holds_no_trace_in_any_version_nor_in_quarantine() {
    let plumb = project("project: erasing\n");
    plumb.edit("features.yaml", "path: rows\n", "path: tables/rows\nformat: delta\n");
    plumb.run("ingest rows rows/a.parquet").ok();
    // Two rows of a later file are bad, one of them the person's.
    let bad = format!("{CANARY},1,never,1\nuser-2,1,nor now,5\n");
    plumb.write("rows/b.csv", &format!("user,shop,at,n\n{bad}user-1,1,2024-01-01,8\n"));
    assert_eq!(plumb.json("ingest rows rows/b.csv")["quarantined"], 2);
    plumb.run("table compact rows").ok();
    std::fs::remove_dir_all(plumb.path().join("rows")).unwrap();
    fill(&plumb);
    let held = holding(&plumb);
    assert!(held.iter().filter(|file| file.starts_with("tables/rows/part-")).count() >= 2, "{held:?}");
    assert!(held.iter().any(|file| file.starts_with("tables/rows/_plumb/quarantine/")), "{held:?}");

    let (code, done) = erase(&plumb, "--yes");
    // Four in the file that came, four where it was written together with another, one in quarantine.
    assert_eq!((code, found(&done, "table")), (0, (9, Some(0))), "{done}");
    assert_eq!(holding(&plumb), Vec::<String>::new());
    assert_eq!(plumb.json("table show rows")["table"]["n_rows"], 397);
    assert_ne!(search::files(plumb.path(), &["nor now"]), Vec::<String>::new(), "the other's bad row is still there");

    // Whoever brings the same rows again brings the others only.
    plumb.write("again.csv", &format!("user,shop,at,n\n{CANARY},1,2025-01-01,1\nuser-1,1,2025-01-01,9\n"));
    let again =
        plumb.run(&format!("ingest rows {} --output json", plumb.path().join("again.csv").display())).ok().json();
    assert_eq!((&again["rows"], &again["erased"]), (&json!(1), &json!(1)), "{again}");
}

#[test]
fn whoever_was_erased_stays_out_of_a_table_that_only_a_query_reads() {
    let plumb = project("project: erasing\n");
    plumb.edit("features.yaml", "path: rows\n", "path: tables/rows\nformat: delta\n");
    for view in ["plain\nentity: user\n", "visits\nentity: visit\n"] {
        let text = format!("kind: feature_view\nname: {view}source: rows\nfeatures: [{{name: n, type: int64}}]\n---\n");
        plumb.edit("features.yaml", &text, "");
    }
    plumb.edit("features.yaml", "['plain:n', 'summed:more']", "['summed:more']");
    plumb.run("ingest rows rows/a.parquet").ok();
    plumb.run("apply --yes").ok();
    std::fs::remove_dir_all(plumb.path().join("rows")).unwrap();
    assert_eq!(erase(&plumb, "--yes").0, 0);
    plumb.write("again.csv", &format!("user,shop,at,n\n{CANARY},1,2025-01-01,1\nuser-1,1,2025-01-01,9\n"));
    let again = plumb.json(&format!("ingest rows {}", plumb.path().join("again.csv").display()));
    assert_eq!((&again["rows"], &again["erased"]), (&json!(1), &json!(1)), "{again}");
}

/// Pages of the log hold copies of rows that were moved: what is overwritten where it is now is not all.
#[test]
fn rows_that_were_pushed_in_turns_leave_nothing_in_the_log() {
    let plumb = project("project: erasing\n");
    fill(&plumb);
    let server = plumb.serve();
    for (user, time) in [(CANARY, 1), ("user-1", 1), (CANARY, 2), ("user-2", 1), (CANARY, 3)] {
        let rows = json!({ "user": [user], "event_time": [format!("2026-02-0{time}T00:00:00Z")], "n": [time] });
        assert_eq!(server.post("/v1/views/plain/push", &json!({ "rows": rows }).to_string()).0, 200);
    }
    server.stop();
    let (code, done) = erase(&plumb, "--yes --rewrite-sources");
    assert_eq!((code, found(&done, "pushes")), (0, (4, Some(0))), "{done}");
    assert_eq!(holding(&plumb), Vec::<String>::new());
}

/// The copy that is read of a text is made without whoever is erased, and again with whoever may come again.
#[test]
fn who_is_allowed_again_comes_back_from_a_text() {
    let plumb = project("project: erasing\n");
    std::fs::remove_dir_all(plumb.path().join("rows")).unwrap();
    plumb.write("rows/a.csv", &format!("user,shop,at,n\n{CANARY},1,2024-01-01,7\nuser-1,1,2024-01-01,1\n"));
    plumb.edit("features.yaml", "path: rows\n", "path: rows/a.csv\n");
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    assert_eq!(erase(&plumb, "--yes").0, 1, "the source is left, and is the user's");
    assert_eq!(holding(&plumb), ["rows/a.csv"], "telling its state made no copy");
    assert_eq!(status(&plumb, "plain:n"), json!("NOT_FOUND"));
    assert!(plumb.run("doctor").stdout.contains("run the same plumb erase again"));
    plumb.run(&format!("erase --entity user={CANARY} --allow-again")).ok();
    plumb.run("materialize").ok();
    assert_eq!(status(&plumb, "plain:n"), json!("PRESENT"));
    let doctor = plumb.run("doctor").stdout;
    assert!(!doctor.contains("run the same plumb erase again"), "{doctor}");
}

#[test]
fn whoever_names_nobody_is_told_so() {
    let plumb = project("project: erasing\n");
    plumb.run("apply --yes").ok();
    plumb.run("erase --entity usr=x --yes").fails(2, &["join keys `usr`", "did you mean `user`?"]);
    plumb.run("erase --entity user= --yes").fails(2, &["names no key and value"]);
    plumb
        .run("erase --entity user=a --entity user=b --entity shop=1 --yes")
        .fails(2, &["`shop` has 1 values and `user` 2"]);
    plumb
        .run("erase --entity nothing=1 --yes")
        .fails(2, &["no feature view has the join keys `nothing`", "there is `shop` and `user`"]);
    plumb.run("erase --entity user=x --entity shop=1,2 --yes").fails(2, &["--entity shop=1 --entity shop=2"]);
    plumb.run("erase --entity user=x").fails(2, &["no terminal", "--dry-run"]);
    plumb.run("erase --entity user=x --entity shop=y --yes").fails(2, &["none of the key's type", "shop int64"]);
}

#[test]
fn redis_holds_no_trace_either() {
    // Of its own, so that all of it is searched.
    let redis = TestRedis::spawn();
    let plumb = project(&format!(
        "project: {}\nonline: {{kind: redis, url: \"{}\", timeout: 10s}}\n",
        redis.project(),
        redis.url()
    ));
    fill(&plumb);
    assert_ne!(search::redis(&redis, &[CANARY]), "", "the search finds what is there");
    let (code, done) = erase(&plumb, "--yes --rewrite-sources");
    assert_eq!((code, found(&done, "online").1), (0, Some(0)), "{done}");
    assert!(found(&done, "online").0 >= 6, "{done}");
    assert_eq!(search::redis(&redis, &[CANARY]), "");
    assert_ne!(format!("{:?}", redis.server().ask(&["DBSIZE"])), "Int(0)", "others are still there");
    let again = erase(&plumb, "--dry-run").1;
    assert_eq!(found(&again, "online").0, 0);
    assert_eq!(holding(&plumb), Vec::<String>::new());
}

#[test]
fn killed_at_any_moment_and_run_again_it_completes() {
    const MOMENTS: u32 = 6;
    let whole = project("project: erasing\n");
    fill(&whole);
    let started = Instant::now();
    let (code, want) = erase(&whole, "--yes --rewrite-sources");
    let took = started.elapsed();
    assert_eq!(code, 0, "{want}");
    let mut interrupted = 0;
    for part in 0..MOMENTS {
        let plumb = project("project: erasing\n");
        fill(&plumb);
        let line = format!("erase --entity user={CANARY} --yes --rewrite-sources");
        let mut child = plumb.command(&line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + took * part / (MOMENTS - 1);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        interrupted += usize::from(child.wait().unwrap().signal() == Some(9));
        let (code, done) = erase(&plumb, "--yes --rewrite-sources");
        assert_eq!((code, holding(&plumb)), (0, Vec::new()), "killed after {part}/{}: {done}", MOMENTS - 1);
        for place in ["source", "pushes", "online"] {
            assert_eq!(found(&done, place), found(&want, place), "killed after {part}: {place}: {done}");
        }
    }
    assert!(interrupted > 0, "every run had ended before it was killed: nothing was tested");
}
