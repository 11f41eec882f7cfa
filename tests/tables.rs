//! Goal: a source that is a Delta table is as good as files, and better: rows come in typed and once, what is written
//! together, taken out or brought back is followed online, training sets are made again from the versions they were made of.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Instant;

use crate::harness::Plumb;

const YAML: &str = "kind: entity\nname: user\njoin_key: user_id\ntype: int64\n---\n\
     kind: source\nname: orders\npath: tables/orders\nformat: delta\nevent_time: at\n\
     columns: [{name: user_id, type: int64}, {name: at, type: timestamp}, {name: amount, type: int64},\n  \
     {name: price, type: \"decimal(10,2)\"}]\n---\n\
     kind: feature_view\nname: last\nentity: user\nsource: orders\n\
     features: [{name: amount, type: int64}, {name: price, type: \"decimal(10,2)\"}]\n---\n\
     kind: feature_view\nname: total\nentity: user\nsource: orders\nevent_time: at\n\
     sql: 'SELECT user_id, at, SUM(amount) OVER (PARTITION BY user_id ORDER BY at, _row) AS n FROM orders'\n\
     features: [{name: n, type: int64}]\n---\n\
     kind: feature_service\nname: s\nfeatures: ['last:amount', 'last:price', 'total:n']\n";

pub(crate) fn project() -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: tables\nclock: {now: \"2024-02-01T00:00:00Z\"}\n");
    plumb.write("features.yaml", YAML);
    plumb.write("spine.csv", "user_id,event_time\n1,2024-01-31T00:00:00Z\n2,2024-01-31T00:00:00Z\n");
    plumb
}

/// A file of orders: user, day of January, amount.
pub(crate) fn orders(plumb: &Plumb, file: &str, rows: &[(i64, u32, i64)]) {
    let line = |(user, day, amount): &(i64, u32, i64)| format!("{user},2024-01-{day:02},{amount},{amount}.50\n");
    plumb.write(file, &("user_id,at,amount,price\n".to_owned() + &rows.iter().map(line).collect::<String>()));
}

/// What is online of some users: amount, price, total.
pub(crate) fn online(plumb: &Plumb, users: &str) -> Vec<String> {
    let answer = plumb.json(&format!("features get --service s --entity user_id={users}"));
    let told = answer["features"].as_object().unwrap().values().map(|feature| feature["values"].to_string());
    told.collect()
}

#[test]
fn rows_come_in_once_and_what_happens_to_them_is_followed_online() {
    let plumb = project();
    // The table is declared before there is one.
    plumb.run("apply --yes").ok();
    orders(&plumb, "in/1.csv", &[(1, 1, 10), (2, 2, 20)]);
    let done = plumb.json("ingest orders in/*.csv");
    assert_eq!((&done["rows"], &done["files"][0]["version"]), (&2.into(), &1.into()), "{done}");
    let done = plumb.json("ingest orders in/*.csv");
    assert_eq!((&done["rows"], &done["files"][0]["already"]), (&0.into(), &true.into()), "{done}");
    plumb.run("materialize").ok();
    assert_eq!(online(&plumb, "1,2"), ["[10,20]", "[\"10.50\",\"20.50\"]", "[10,20]"]);

    // What is appended is merged into what is online.
    orders(&plumb, "in/2.csv", &[(1, 3, 5), (3, 3, 30)]);
    plumb.run("ingest orders in/*.csv").ok();
    let how = plumb.json("materialize last");
    assert_eq!(how["materialized"][0]["how"], "appended", "{how}");
    plumb.run("materialize").ok();
    assert_eq!(online(&plumb, "1,2,3"), ["[5,20,30]", "[\"5.50\",\"20.50\",\"30.50\"]", "[15,20,30]"]);

    // Written together, nothing changes.
    let compacted = plumb.json("table compact orders");
    assert_eq!(
        (&compacted["compacted"]["n_files_before"], &compacted["compacted"]["n_files_after"]),
        (&2.into(), &1.into())
    );
    let how = plumb.json("materialize");
    assert!(how["materialized"].as_array().unwrap().iter().all(|view| view["how"] == "unchanged"), "{how}");

    // Taken out, it vanishes; restored, it is back.
    let would = plumb.json("table delete orders --entity user_id=1 --from 2024-01-02T00:00:00Z --dry-run");
    assert_eq!((&would["rows"], &would["version"]), (&1.into(), &serde_json::Value::Null));
    plumb.run("table delete orders --entity user_id=1 --from 2024-01-02T00:00:00Z").ok();
    plumb.run("table delete orders --entity user_id=3").ok();
    plumb.run("materialize").ok();
    assert_eq!(online(&plumb, "1,2,3"), ["[10,20,null]", "[\"10.50\",\"20.50\",null]", "[10,20,null]"]);
    plumb.run("table restore orders 3").ok();
    plumb.run("materialize").ok();
    assert_eq!(online(&plumb, "1,2,3"), ["[5,20,30]", "[\"5.50\",\"20.50\",\"30.50\"]", "[15,20,30]"]);

    // A file that is undone can come again, and one whose rows are back cannot.
    plumb.run("table restore orders 1").ok();
    let done = plumb.json("ingest orders in/*.csv");
    let already: Vec<bool> =
        done["files"].as_array().unwrap().iter().map(|file| file["already"].as_bool().unwrap()).collect();
    assert_eq!((&done["rows"], already), (&2.into(), vec![true, false]), "{done}");
    plumb.run("table restore orders 3").ok();
    assert_eq!(plumb.json("ingest orders in/*.csv")["rows"], 0);

    let listed = plumb.json("table list");
    assert_eq!(
        (&listed["tables"][0]["state"]["n_rows"], &listed["tables"][0]["source"]),
        (&4.into(), &"orders".into())
    );
    let history = plumb.json("table history orders");
    let told: Vec<&str> =
        history["history"].as_array().unwrap().iter().map(|e| e["operation"].as_str().unwrap()).collect();
    assert_eq!(told[..3], ["RESTORE", "WRITE", "RESTORE"]);
    assert_eq!(told[3..], ["RESTORE", "DELETE", "DELETE", "OPTIMIZE", "WRITE", "WRITE", "CREATE TABLE"]);
    let shown = plumb.run("table show orders --at 1").ok().stdout;
    assert!(shown.contains("version 1, 2 rows") && shown.contains("decimal(10,2)"), "{shown}");
}

#[test]
fn a_training_set_is_made_again_from_the_versions_it_was_made_of() {
    let plumb = project();
    plumb.run("apply --yes").ok();
    orders(&plumb, "1.csv", &[(1, 1, 10), (2, 2, 20)]);
    plumb.run("ingest orders 1.csv").ok();
    plumb.write(
        "spine.sql",
        "SELECT user_id, TIMESTAMP '2024-01-30' AT TIME ZONE 'UTC' AS event_time FROM orders ORDER BY user_id",
    );
    for (spine, out) in [("spine.csv", "a.parquet"), ("spine.sql", "b.parquet")] {
        let [spine, file] = [spine, out].map(|name| plumb.path().join(name).display().to_string());
        plumb.run(&format!("training-set build --service s --spine {spine} --out {file}")).ok();
    }
    let built = ["a.parquet", "b.parquet"].map(|name| std::fs::read(plumb.path().join(name)).unwrap());
    orders(&plumb, "2.csv", &[(1, 3, 99), (2, 4, 99)]);
    plumb.run("ingest orders 2.csv").ok();
    plumb.run("table compact orders").ok();
    plumb.run("table delete orders --entity user_id=2").ok();
    for (name, bytes) in ["a.parquet", "b.parquet"].iter().zip(&built) {
        let [file, again] =
            [name.to_string(), format!("again-{name}")].map(|n| plumb.path().join(n).display().to_string());
        plumb.run(&format!("training-set rebuild {file} --out {again}")).ok();
        assert!(std::fs::read(&again).unwrap() == *bytes, "{name}");
    }
    // Until its files are gone.
    plumb.run("table vacuum orders --now").ok();
    let file = plumb.path().join("a.parquet").display().to_string();
    let failed = plumb.run(&format!("training-set rebuild {file}"));
    assert_ne!(failed.code, 0);
    assert!(failed.stderr.contains("table `tables/orders` at version 1"), "{}", failed.stderr);
}

#[test]
fn mistakes_are_named_and_change_nothing() {
    let plumb = project();
    orders(&plumb, "a.csv", &[(1, 1, 10)]);
    plumb.run("ingest ordres a.csv").fails(2, &["there is no source `ordres`", "orders"]);
    plumb.run("ingest orders nothing.csv").fails(2, &["there is no file `", "nothing.csv"]);
    plumb.run("table show orders").fails(2, &["there is no Delta table in `tables/orders`"]);
    plumb.write("bad.csv", "user_id,at,amount\n1,2024-01-01,ten\n2,2024-01-01,2\n");
    plumb.run("ingest orders bad.csv --max-bad 0").fails(1, &["1 of 2 rows cannot be taken", "column `amount`", "ten"]);
    plumb.write("late.csv", "user,at,amount\n1,2024-01-01,1\n");
    plumb.run("ingest orders a.csv late.csv").fails(2, &["`late.csv` has no column `user_id`", "1 files before it"]);
    let done = plumb.run("ingest orders bad.csv --output json");
    assert!(done.stderr.contains("1 rows are quarantined"), "{}", done.stderr);
    assert_eq!(done.ok().json()["quarantined"], 1);
    assert_eq!(plumb.json("table show orders")["table"]["n_rows"], 2);
    plumb.run("table delete orders").fails(2, &["needs keys or times"]);
    plumb.run("table show orders --at 9").fails(2, &["has no version 9"]);
    plumb.run("table delete orders --entity amount=x").fails(2, &["cannot hold the value"]);
    plumb.run("table delete orders --entity nope=1").fails(2, &["has no column `nope`"]);
    plumb.run("table delete orders --from 2024-01-01 --to 2023-01-01").fails(2, &["is not before --to"]);
    plumb.edit("features.yaml", "format: delta\n", "format: csv\n");
    plumb.run("ingest orders a.csv").fails(2, &["is no Delta table", "format: delta"]);
}

#[test]
fn ingesting_killed_at_any_moment_and_run_again_gives_each_row_once() {
    const FILES: u32 = 6;
    const ROWS: i64 = 20_000;
    let make = || {
        let plumb = project();
        for file in 0..FILES {
            let rows: Vec<(i64, u32, i64)> = (0..ROWS).map(|i| (i % 500, 1 + file, i)).collect();
            orders(&plumb, &format!("in/{file}.csv"), &rows);
        }
        plumb
    };
    let whole = make();
    let started = Instant::now();
    whole.run("ingest orders in/*.csv").ok();
    let took = started.elapsed();
    let mut interrupted = 0;
    for part in 0..6 {
        let plumb = make();
        let mut child =
            plumb.command("ingest orders in/*.csv").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + took * part / 6;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        interrupted += usize::from(child.wait().unwrap().signal() == Some(9));
        plumb.run("ingest orders in/*.csv").ok();
        let state = plumb.json("table show orders");
        assert_eq!(state["table"]["n_rows"], i64::from(FILES) * ROWS, "killed after {part}/6: {state}");
        assert_eq!(state["table"]["arrivals"]["next"], i64::from(FILES) * ROWS, "{state}");
        // What the killed one left is taken away.
        plumb.run("table vacuum orders --now").ok();
        let parquet = std::fs::read_dir(plumb.path().join("tables/orders"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "parquet"));
        assert_eq!(state["table"]["n_files"], parquet.count());
    }
    assert!(interrupted > 0, "every run had ended before it was killed: nothing was tested");
}

#[test]
fn two_processes_ingest_side_by_side() {
    let plumb = project();
    for file in 0..12 {
        orders(&plumb, &format!("in/{file}.csv"), &[(file, 1, file), (file, 2, file)]);
    }
    // Both take all of them: each is taken by one.
    let start = || plumb.command("ingest orders in/*.csv").stdout(Stdio::null()).spawn().unwrap();
    let mut both = [start(), start()];
    assert!(both.iter_mut().all(|child| child.wait().unwrap().success()));
    let state = plumb.json("table show orders");
    assert_eq!((&state["table"]["n_rows"], &state["table"]["version"]), (&24.into(), &12.into()), "{state}");
}
