//! A request by one key asks Redis once, however many views its service has (docs/decisions/0046). Method: Redis itself says
//! what it was asked, each command as it came, and how many of each kind there were.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use featurestore::online::testing::TestRedis;
use serde_json::json;

use crate::harness::{Plumb, Server};

const VIEWS: [&str; 3] = ["orders", "visits", "returns"];

/// Three views of one entity, a service of all of them.
fn project(redis: &TestRedis) -> Plumb {
    let plumb = Plumb::empty();
    let settings = format!("project: one_round\nonline: {{kind: redis, url: \"{}\", timeout: 20s}}\n", redis.url());
    plumb.write("plumb.yaml", &settings);
    let mut definitions = "{kind: entity, name: user, join_key: user_id, type: int64}\n".to_owned();
    for view in VIEWS {
        plumb.write(
            &format!("{view}.csv"),
            &format!("user_id,at,{view}_n,{view}_m\n1,2024-01-01,10,0.5\n2,2024-01-01,20,1.5\n"),
        );
        definitions += &format!(
            "---\n{{kind: source, name: {view}_rows, path: {view}.csv, event_time: at}}\n---\n\
             {{kind: feature_view, name: {view}, entity: user, source: {view}_rows, \
              features: [{{name: {view}_n, type: int64}}, {{name: {view}_m, type: float64}}]}}\n"
        );
    }
    let features = VIEWS.map(|view| format!("'{view}:{view}_n', '{view}:{view}_m'")).join(", ");
    definitions += &format!("---\n{{kind: feature_service, name: all, features: [{features}]}}\n");
    plumb.write("features.yaml", &definitions);
    plumb.run("apply --yes").ok();
    plumb.run("materialize").ok();
    plumb
}

/// What Redis is asked from now on, a line a command.
struct Monitor(BufReader<TcpStream>);

impl Monitor {
    fn of(redis: &TestRedis) -> Self {
        let mut stream = TcpStream::connect(redis.server().address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(b"MONITOR\r\n").unwrap();
        let mut monitor = Self(BufReader::new(stream));
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The commands until `redis` is asked for this word, which nobody else says.
    fn until(&mut self, redis: &TestRedis, word: &str) -> Vec<String> {
        redis.server().ask(&["ECHO", word]);
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line.contains(word) {
                return lines;
            }
            lines.push(line);
        }
    }
}

/// Whether a command reads rows: what names a generation, `view@v1#12345678.1`. Which one answers is looked up beside
/// requests, five times a second.
fn reads_rows(line: &str) -> bool {
    VIEWS.iter().any(|view| {
        let of_view = line.split(&format!("\"{view}@v1#")).nth(1);
        of_view.is_some_and(|rest| rest.split('"').next().is_some_and(|name| name.contains('.')))
    })
}

fn n_hmgets(redis: &TestRedis) -> u64 {
    let text = redis.server().ask_text(&["INFO", "commandstats"]);
    let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_hmget:calls=")).unwrap_or("0");
    line.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn a_request_of_one_key_is_one_command() {
    const REQUESTS: usize = 40;
    let redis = TestRedis::spawn();
    let plumb = project(&redis);
    let server = plumb.serve();
    let native = json!({ "service": "all", "entities": { "user_id": [1] } }).to_string();
    let feasts = json!({ "feature_service": "all", "entities": { "user_id": [1] } }).to_string();
    let ask = |path: &str, body: &str| {
        let (status, answer) = server.post(path, body);
        assert_eq!(status, 200, "{answer}");
    };
    // Views that nobody read yet are looked up by the first request.
    ask("/v1/features", &native);
    ask("/get-online-features", &feasts);

    let mut monitor = Monitor::of(&redis);
    let before = n_hmgets(&redis);
    for at in 0..REQUESTS {
        match at % 2 {
            0 => ask("/v1/features", &native),
            _ => ask("/get-online-features", &feasts),
        }
    }
    let after = n_hmgets(&redis);
    let lines = monitor.until(&redis, "that-was-all");
    let rows: Vec<&String> = lines.iter().filter(|line| reads_rows(line)).collect();
    assert_eq!(rows.len(), REQUESTS, "{rows:#?}");
    for line in &rows {
        assert!(line.contains("\"HMGET\""), "{line}");
        assert!(VIEWS.iter().all(|view| line.contains(&format!("\"{view}@v1#"))), "all views at once: {line}");
    }
    // The server's own count: these, and those that look up which generations answer.
    let n_looked_up = lines.iter().filter(|line| line.contains("\"HMGET\"") && !reads_rows(line)).count();
    let counted = usize::try_from(after - before).unwrap();
    assert!((REQUESTS..=REQUESTS + n_looked_up).contains(&counted), "{counted}, of which {n_looked_up} looked up");
    // Nothing else is asked on the way of a request.
    let known = ["\"HMGET\"", "\"PING\"", "\"INFO\"", "\"info\"", "\"CLIENT\"", "\"HELLO\"", "\"SELECT\""];
    let others: Vec<&String> = lines.iter().filter(|line| !known.iter().any(|word| line.contains(word))).collect();
    assert!(others.is_empty(), "{others:#?}");
    many_keys_are_as_many_commands_in_one_go(&server, &redis, &mut monitor);
    server.stop();
}

/// A pipeline: as many commands as keys, whatever the number of views.
fn many_keys_are_as_many_commands_in_one_go(server: &Server, redis: &TestRedis, monitor: &mut Monitor) {
    let body = json!({ "service": "all", "entities": { "user_id": [1, 2, 3, 4, 5, 6, 7, 8] } }).to_string();
    let (status, answer) = server.post("/v1/features", &body);
    assert_eq!(status, 200, "{answer}");
    let lines = monitor.until(redis, "that-was-it");
    assert_eq!(lines.iter().filter(|line| reads_rows(line)).count(), 8, "{lines:#?}");
}
