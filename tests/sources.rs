//! Goal: a team's files, as they are, are as good as Parquet. Method: the same rows as CSV, as JSON lines and in folders
//! by day; each is trained on and materialized, and the answers are the same bytes online and offline, in all of them.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::{Answer, Plumb};

/// User, day, amount, place: of user 2 the last row says null, user 3 has none in time.
const ROWS: [(i64, &str, Option<&str>, &str); 5] = [
    (1, "2024-01-01", Some("9007199254740993"), "12.50"),
    (2, "2024-01-01", Some("7"), "0.01"),
    (1, "2024-01-02", Some("-1"), "99999999.99"),
    (2, "2024-01-02", None, "-0.05"),
    (3, "2024-01-09", Some("5"), "1.00"),
];

const VIEW: &str = "kind: feature_view\nname: f\nentity: user\nsource: rows\n\
     features: [{name: amount, type: int64}, {name: price, type: \"decimal(10,2)\"}]\n---\n\
     kind: feature_service\nname: s\nfeatures: ['f:amount', 'f:price']\n";

fn project(source: &str) -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: sources\nclock: {now: \"2024-01-05T00:00:00Z\"}\n");
    let text = format!(
        "kind: entity\nname: user\njoin_key: user_id\ntype: int64\n---\n\
         kind: source\nname: rows\n{source}event_time: day\n---\n{VIEW}"
    );
    plumb.write("features.yaml", &text);
    plumb.write(
        "spine.csv",
        "user_id,event_time\n1,2024-01-05T00:00:00Z\n2,2024-01-05T00:00:00Z\n3,2024-01-05T00:00:00Z\n",
    );
    plumb
}

fn csv() -> Plumb {
    let columns = "columns: [{name: amount, type: int64}, {name: price, type: \"decimal(10,2)\"}]\n";
    let plumb = project(&format!("path: data/*.csv\n{columns}"));
    for (i, (user, day, amount, price)) in ROWS.iter().enumerate() {
        let amount = amount.unwrap_or_default();
        plumb
            .write(&format!("data/{i}.csv"), &format!("user_id,day,amount,price\n{user},{day},{amount},\"{price}\"\n"));
    }
    plumb
}

fn json_lines() -> Plumb {
    let plumb = project("path: rows.jsonl\ncolumns: [{name: price, type: \"decimal(10,2)\"}]\n");
    let line = |(user, day, amount, price): &(i64, &str, Option<&str>, &str)| {
        let amount = amount.unwrap_or("null");
        format!("{{\"user_id\": {user}, \"day\": \"{day}\", \"amount\": {amount}, \"price\": {price}}}\n")
    };
    plumb.write("rows.jsonl", &ROWS.iter().map(line).collect::<String>());
    plumb
}

fn folders() -> Plumb {
    let typed = "columns: [{name: amount, type: int64}, {name: price, type: \"decimal(10,2)\"}]\n";
    let plumb = project(&format!(
        "path: data\nformat: csv\npartitions: [{{name: day, type: date}}, {{name: user_id, type: int64}}]\n{typed}"
    ));
    for (user, day, amount, price) in ROWS {
        let amount = amount.unwrap_or_default();
        plumb.write(&format!("data/day={day}/user_id={user}/part-0.csv"), &format!("amount,price\n{amount},{price}\n"));
    }
    plumb
}

fn build(plumb: &Plumb) -> Answer {
    let [spine, out] = ["spine.csv", "set.parquet"].map(|name| plumb.path().join(name).display().to_string());
    plumb.run(&format!("training-set build --service s --spine {spine} --out {out}"))
}

#[test]
fn the_same_rows_of_every_format_give_the_same_answers() {
    let mut sets = Vec::new();
    for (what, plumb) in [("csv", csv()), ("json lines", json_lines()), ("folders", folders())] {
        plumb.run("apply --yes").ok();
        let done = plumb.json("materialize");
        assert_eq!(done["materialized"][0]["n_keys"], 3, "{what}: {done}");
        let online = plumb.json("features get --service s --entity user_id=1,2,3");
        let features = &online["features"];
        assert_eq!(features["amount"]["values"], json!([-1, null, null]), "{what}: {online}");
        assert_eq!(features["amount"]["statuses"], json!(["PRESENT", "NULL_VALUE", "NOT_FOUND"]), "{what}");
        assert_eq!(features["price"]["values"], json!(["99999999.99", "-0.05", null]), "{what}");
        build(&plumb).ok();
        let set = std::fs::File::open(plumb.path().join("set.parquet")).unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(set).unwrap().build();
        let batches: Vec<_> = reader.unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 1);
        // The same values offline, null for null.
        for (name, feature) in [("amount", &features["amount"]), ("price", &features["price"])] {
            let column = batches[0].column_by_name(name).unwrap();
            let cell = |row| serde_json::to_value(schema::json::Cell::of_arrow(column, row)).unwrap();
            assert_eq!(json!((0..3).map(cell).collect::<Vec<_>>()), feature["values"], "{what}: {name}");
        }
        sets.push(batches[0].columns().to_vec());
        assert_eq!(plumb.json("materialize")["materialized"][0]["how"], "unchanged", "{what}");
    }
    assert_eq!(sets[0], sets[1]);
    assert_eq!(sets[0], sets[2]);
}

#[test]
fn a_file_that_arrives_is_merged_and_messages_say_its_own_name() {
    let plumb = csv();
    plumb.run("apply --yes").ok();
    plumb.json("materialize");
    plumb.write("data/5.csv", "user_id,day,amount,price\n1,2024-01-03,3,3.00\n");
    assert_eq!(plumb.json("materialize")["materialized"][0]["how"], "appended");
    let why = plumb.json("features explain f --entity user_id=1");
    assert_eq!(why["rows"][0]["file"], "data/5.csv", "{why}");
    // A column was renamed in the newest file: nothing is done.
    plumb.write("data/6.csv", "user_id,day,amnt,price\n1,2024-01-04,3,3.00\n");
    let said = ["column `amount`", "int64 in `data/5.csv`", "missing in `data/6.csv`"];
    plumb.run("materialize").fails(2, &said);
    plumb.run("plan").fails(2, &said);
    build(&plumb).fails(2, &said);
    plumb.write("data/6.csv", "user_id,day,amount,price\n1,2024-01-04,much,3.00\n");
    plumb.run("materialize").fails(2, &["`data/6.csv`, line 2: `much` is no int64, column `amount`"]);
    let online = plumb.json("features get --service s --entity user_id=1");
    assert_eq!(online["features"]["amount"]["values"], json!([3]), "what is online stays as it was");
}

#[test]
fn rows_that_do_not_parse_are_counted_where_rejected_rows_are() {
    let plumb = project("path: rows.csv\nbad_rows: reject\ncolumns: [{name: price, type: \"decimal(10,2)\"}]\n");
    plumb.write("rows.csv", "user_id,day,amount,price\n1,2024-01-01,5,1.00\n1,2024-01-02,6,dear\n1,soon,7,1\n");
    plumb.run("apply --yes").ok();
    let answer = plumb.run("materialize --output json").ok();
    assert_eq!(answer.json()["materialized"][0]["n_rejected"], 2);
    assert!(answer.stderr.contains("2 rows of `rows.csv` do not parse and are left out"), "{}", answer.stderr);
    let online = plumb.json("features get --service s --entity user_id=1");
    assert_eq!(online["features"]["amount"]["values"], json!([5]));
}

#[test]
fn rows_without_a_key_or_a_time_are_rejected_and_counted() {
    let plumb = project("path: rows.csv\ncolumns: [{name: price, type: \"decimal(10,2)\"}]\n");
    plumb.write("rows.csv", "user_id,day,amount,price\n1,2024-01-01,5,1.00\n,2024-01-02,6,1.00\n1,,7,1.00\n");
    plumb.run("apply --yes").ok();
    assert_eq!(plumb.json("materialize")["materialized"][0]["n_rejected"], 2);
    let online = plumb.json("features get --service s --entity user_id=1");
    assert_eq!(online["features"]["amount"]["values"], json!([5]));
}

/// An object store of one object, which counts its listings.
fn object_store(object: Vec<u8>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, listings) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&listings);
    let object = Arc::new(object);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (object, counted) = (Arc::clone(&object), Arc::clone(&counted));
            std::thread::spawn(move || answer(stream.unwrap(), &object, &counted));
        }
    });
    (port, listings)
}

fn answer(mut stream: TcpStream, object: &[u8], listings: &AtomicUsize) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let mut range = None;
    for line in lines.map(Result::unwrap).take_while(|line| !line.is_empty()) {
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (from, to) = bytes.split_once('-').unwrap();
            range = Some((from.parse::<usize>().unwrap(), to.parse::<usize>().unwrap()));
        }
    }
    const STATE: &str = "ETag: \"1\"\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\nConnection: close\r\n";
    let (head, body) = match range {
        Some((from, to)) => {
            let part = &object[from..=to.min(object.len() - 1)];
            let said = format!("bytes {from}-{}/{}", from + part.len() - 1, object.len());
            (format!("206 Partial Content\r\nContent-Range: {said}"), part.to_vec())
        }
        None => {
            assert!(first.contains("list-type=2"), "{first}");
            listings.fetch_add(1, Ordering::Relaxed);
            let xml = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>orders/a.parquet</Key>\
                 <LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>\"1\"</ETag><Size>{}</Size></Contents>\
                 </ListBucketResult>",
                object.len()
            );
            ("200 OK".to_owned(), xml.into_bytes())
        }
    };
    let head = format!("HTTP/1.1 {head}\r\n{STATE}Content-Length: {}\r\n\r\n", body.len());
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
}

#[test]
fn a_plan_lists_the_objects_of_a_source_once() {
    let plumb = Plumb::demo();
    let (port, listings) = object_store(std::fs::read(plumb.path().join("data/orders.parquet")).unwrap());
    plumb.edit("features/user_features.yaml", "path: data/orders.parquet", "path: s3://shop/orders/");
    let said = format!(
        "storage:\n  s3: {{endpoint: \"http://127.0.0.1:{port}\", region: us-east-1, allow_http: true, skip_signature: true}}\n"
    );
    plumb.write("plumb.yaml", &(plumb.read("plumb.yaml") + &said));
    let plan = plumb.json("plan");
    assert!(plan["recompute"][0].as_str().unwrap().contains("69659 rows"), "{plan}");
    assert_eq!(listings.load(Ordering::Relaxed), 1);
    plumb.run("apply --yes").ok();
    assert_eq!(listings.load(Ordering::Relaxed), 2);
}

/// A copy of an object is of the same length when one of its bits is flipped: it is fetched again, and no other number is made.
#[test]
fn a_copy_of_an_object_with_a_flipped_bit_is_fetched_again() {
    let plumb = Plumb::demo();
    let object = std::fs::read(plumb.path().join("data/orders.parquet")).unwrap();
    let (port, _) = object_store(object.clone());
    plumb.edit("features/user_features.yaml", "path: data/orders.parquet", "path: s3://shop/orders/");
    let said = format!(
        "storage:\n  s3: {{endpoint: \"http://127.0.0.1:{port}\", region: us-east-1, allow_http: true, skip_signature: true}}\n"
    );
    plumb.write("plumb.yaml", &(plumb.read("plumb.yaml") + &said));
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let ask = || plumb.json("features get user_features:total_orders --entity user_id=4,18,21")["features"].to_string();
    let want = ask();
    let copies = || {
        let mut found = Vec::new();
        let mut folders = vec![plumb.path().join(".plumb/offline/sources")];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "object") {
                    found.push(path);
                }
            }
        }
        found
    };
    let [copy] = copies().try_into().unwrap();
    for at in [10, object.len() / 2, object.len() - 100] {
        let mut flipped = object.clone();
        flipped[at] ^= 0x04;
        std::fs::write(&copy, &flipped).unwrap();
        // What was made of it is made again too.
        drop(std::fs::remove_dir_all(plumb.path().join(".plumb/offline/views")));
        plumb.run("materialize --fresh").ok();
        assert!(std::fs::read(&copy).unwrap() == object, "byte {at}: the copy is not what the store has");
        assert_eq!(ask(), want, "byte {at}");
    }
    // One from before copies had checksums is fetched again, once.
    std::fs::remove_file(format!("{}.sum", copy.display())).unwrap();
    std::fs::write(&copy, b"x".repeat(object.len())).unwrap();
    plumb.run("materialize --fresh").ok();
    assert!(std::fs::read(&copy).unwrap() == object);
    assert_eq!(ask(), want);
}

/// One broken source among many is one view that stays as it is.
#[test]
fn a_source_that_cannot_be_read_holds_up_no_other_view() {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: others\n");
    let mut definitions = "{kind: entity, name: user, join_key: user_id, type: int64}\n".to_owned();
    let names = ["a", "b", "c", "d"];
    let write = |name: &str, x: i64| plumb.write(&format!("{name}.csv"), &format!("user_id,at,x\n1,2024-01-01,{x}\n"));
    for name in names {
        write(name, 1);
        definitions += &format!(
            "---\n{{kind: source, name: {name}_rows, path: {name}.csv, event_time: at}}\n---\n\
             {{kind: feature_view, name: {name}, entity: user, source: {name}_rows, \
              features: [{{name: x, type: int64}}]}}\n"
        );
    }
    plumb.write("features.yaml", &definitions);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    let online = || {
        names.map(|name| {
            plumb.json(&format!("features get {name}:x --entity user_id=1"))["features"]["x"]["values"][0].as_i64()
        })
    };
    for (jobs, x) in [(1, 2), (2, 3)] {
        for name in names {
            write(name, x);
        }
        std::fs::remove_file(plumb.path().join("b.csv")).unwrap();
        plumb.write("c.csv", "user_id,at,x\n1,2024-01-01,many\n");
        let refused = plumb.run(&format!("materialize --jobs {jobs}"));
        refused.fails(2, &["there is no file `b.csv`", "; 2 other views are online", "column `x` of `c.csv`"]);
        assert_eq!(online(), [Some(x), Some(1), Some(1), Some(x)], "{jobs} at a time");
    }
    // By a server as well, whoever asks it.
    let server = plumb.serve();
    let feast = json!({
        "start_ts": null, "end_ts": null, "feature_views": ["a", "b", "c", "d"], "disable_event_timestamp": true,
        "full_feature_names": false, "version": null,
    });
    for (path, body, x) in [("/v1/materialize", json!({}), 4), ("/materialize", feast, 5)] {
        ["a", "d"].iter().for_each(|name| write(name, x));
        let (status, answer) = server.post(path, &body.to_string());
        let said = answer.to_string();
        assert!(status == 404 && said.contains("`b.csv`") && said.contains("; 2 other views are online"), "{said}");
        let told = [x, 1, 1, x].map(|x| json!([x]));
        for (name, want) in names.iter().zip(told) {
            let body = json!({ "features": [format!("{name}:x")], "entities": { "user_id": [1] } });
            let (_, answer) = server.post("/v1/features", &body.to_string());
            assert_eq!(answer["features"]["x"]["values"], want, "{path}: {name}");
        }
    }
}
