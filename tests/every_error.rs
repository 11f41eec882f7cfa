//! Every error of every route says what it is, in one form: a code that is documented, words, whether to try again and the
//! name of the request. The routes are read from the sources, so that none is forgotten; each is sent what is wrong for all.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value as Json;

use crate::harness::{Plumb, Server, root};

/// An answer as it is on the wire.
#[derive(Debug)]
pub(crate) struct Raw {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Sends the bytes of a request and reads the answer to its end.
pub(crate) fn raw(server: &Server, request: &[u8]) -> Raw {
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // Who refuses need not read to the end.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()));
    let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
    let status = status.unwrap_or_else(|| panic!("no answer to {shown}"));
    Raw { status, headers: headers.collect(), body: body.to_owned() }
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The paths that the sources route, parameters included: those of MLflow, or all others.
fn routes(mlflow: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates/plumb/src/http")];
    let mut files = vec![root().join("crates/plumb/src/http.rs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        let quoted =
            text.match_indices(".route(\"").map(|(at, _)| text[at + 8..].split('"').next().unwrap().to_owned());
        found.extend(quoted);
    }
    let of_mlflow = |route: &String| ["/2.0/", "/3.0/", "/version"].iter().any(|start| route.starts_with(start));
    assert!(found.iter().filter(|route| of_mlflow(route)).count() > 30, "{found:?}");
    // Those of the Open Inference Protocol have errors of their own, whose tests are beside them.
    found.retain(|route| of_mlflow(route) == mlflow && !route.starts_with("/v2"));
    assert!(found.len() > 14, "{found:?}");
    found
}

const FEASTS: [&str; 5] =
    ["/get-online-features", "/push", "/write-to-online-store", "/materialize", "/materialize-incremental"];

/// The codes of docs/http.md.
fn codes() -> Vec<String> {
    let docs = std::fs::read_to_string(root().join("docs/http.md")).unwrap();
    let lines = docs.lines().filter_map(|line| line.strip_prefix("| `"));
    lines.filter_map(|line| line.split_once('`')).map(|(code, _)| code.to_owned()).collect()
}

#[track_caller]
fn check(route: &str, what: &str, answer: &Raw, codes: &[String]) {
    let said = || format!("{route}, {what}: {answer:?}").chars().take(600).collect::<String>();
    assert!((400..500).contains(&answer.status), "{}", said());
    assert_eq!(answer.headers.get("x-request-id").map(String::as_str), Some("walk-1"), "{}", said());
    let body: Json = serde_json::from_str(&answer.body).unwrap_or_else(|why| panic!("{why}: {}", said()));
    if FEASTS.contains(&route) {
        // A class of Feast's with a message, or what its web framework says of a body.
        let of_class = body.as_str().and_then(|text| serde_json::from_str::<Json>(text).ok());
        assert!(of_class.is_some_and(|error| error["class"].is_string()) || !body["detail"].is_null(), "{}", said());
        return;
    }
    let error = &body["error"];
    assert!(error["code"].as_str().is_some_and(|code| codes.iter().any(|known| known == code)), "{}", said());
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", said());
    assert_eq!(error["retryable"], false, "{}", said());
    assert_eq!(error["request_id"], "walk-1", "{}", said());
}

#[test]
fn every_route_refuses_in_one_form() {
    let plumb = Plumb::demo_online();
    let model = plumb.model("test/linear.onnx");
    plumb.run(&format!("model register m {} --service repeat_purchase_v1", model.display())).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    let codes = codes();
    let id = "X-Request-Id: walk-1\r\n";
    let deep = |open: &str| open.repeat(100_000).into_bytes();
    let inside = |open: &str| [br#"{"entities": {"user_id": "#.as_slice(), &deep(open)].concat();
    let bodies: [(&str, Vec<u8>); 11] = [
        ("an empty body", Vec::new()),
        ("no JSON", b"{\"a\"".to_vec()),
        ("no text", vec![0xff, 0xfe, 0]),
        ("a list", b"[1, 2]".to_vec()),
        ("a text", b"\"a\"".to_vec()),
        ("unknown fields", b"{\"nobody_knows\": 1}".to_vec()),
        ("lists without end", deep("[")),
        ("objects without end", deep("{\"a\":")),
        ("a field of lists without end", inside("[")),
        (
            "a spine of lists without end",
            [br#"{"service": "repeat_purchase_v1", "spine": "#.as_slice(), &deep("[")].concat(),
        ),
        ("rows of objects without end", [br#"{"rows": "#.as_slice(), &deep("{\"rows\":")].concat()),
    ];
    for route in routes(false) {
        let path = route.replace("{model}", "m").replace("{view}", "user_features");
        let answer = |method: &str, headers: &str, body: &[u8]| {
            raw(&server, &request(method, &path, &format!("{id}{headers}"), body))
        };
        check(&route, "another method", &answer("DELETE", "", b""), &codes);
        if answer("GET", "", b"").status == 200 {
            continue;
        }
        if answer("POST", "", b"{}").status == 405 {
            check(&route, "nothing to read", &answer("POST", "", b"{}"), &codes);
            continue;
        }
        for (what, body) in &bodies {
            check(&route, what, &answer("POST", "", body), &codes);
        }
        check(&route, "a compressed body", &answer("POST", "Content-Encoding: gzip\r\n", b"{}"), &codes);
        // It is answered before it is sent.
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{id}Content-Length: 9000000000\r\n\r\n{{");
        let large = raw(&server, head.as_bytes());
        assert_eq!(large.status, 413, "{route}: {large:?}");
        check(&route, "9 GB", &large, &codes);
        // Nor is one without a length read for longer than it may be.
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20)).repeat(4);
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{id}Transfer-Encoding: chunked\r\n\r\n");
        let large = raw(&server, &[head.as_bytes(), chunk.as_bytes()].concat());
        assert_eq!(large.status, 413, "{route}: {large:?}");
        check(&route, "chunks without end", &large, &codes);
        if route.contains('{') {
            let path = path.replace("/m/", "/%ff%fe/").replace("/user_features/", "/%ff/");
            check(&route, "a name of bytes", &raw(&server, &request("POST", &path, id, b"{}")), &codes);
            let path = path.replace("%ff", "..%2f..%2fetc");
            check(&route, "a name of dots", &raw(&server, &request("POST", &path, id, b"{}")), &codes);
        }
    }
    check("/nowhere", "no route", &raw(&server, &request("POST", "/nowhere", id, b"{}")), &codes);
    check("none", "no route", &raw(&server, &request("GET", "/%ff?%ff", id, b"")), &codes);
    // After all that it answers as before, and what is right has a name too.
    assert_eq!(server.predict("m", &[1]).0, 200);
    let fine = raw(&server, &request("GET", "/livez", "", b""));
    assert!(fine.headers["x-request-id"].len() > 8, "{fine:?}");
    server.stop();
}

/// MLflow's client tries again, for minutes, whatever it takes for the server's fault, and knows a list of names.
#[test]
fn every_route_of_mlflow_refuses_in_its_clients_form() {
    const KNOWN: [&str; 5] =
        ["INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"];
    let plumb = Plumb::demo();
    let server = plumb.serve();
    let json = "Content-Type: application/json\r\n";
    let inside = [br#"{"run_id": "x", "name": "#.as_slice(), &"[".repeat(100_000).into_bytes()].concat();
    let bodies: [(&str, &str, &[u8]); 7] = [
        ("an empty body", json, b""),
        ("no JSON", json, b"{\"a\""),
        ("no text", json, &[0xff, 0xfe, 0]),
        ("a list", json, b"[1, 2]"),
        ("a field of lists without end", json, &inside),
        ("another type", "Content-Type: text/plain\r\n", b"{}"),
        ("a compressed body", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", b"{}"),
    ];
    for route in routes(true) {
        let prefix = if route == "/version" { "" } else { "/api" };
        for (name, value) in [("a name", "x"), ("a name of bytes", "%ff%fe"), ("a name of dots", "..%2f..%2fetc")] {
            let named =
                ["{id}", "{key}", "{step}", "{*path}"].iter().fold(route.clone(), |r, part| r.replace(part, value));
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                for (what, headers, body) in &bodies {
                    let said = raw(&server, &request(method, &format!("{prefix}{named}"), headers, body));
                    let shown =
                        || format!("{method} {named}, {name}, {what}: {said:?}").chars().take(600).collect::<String>();
                    if said.status == 200 {
                        continue;
                    }
                    assert!((400..500).contains(&said.status) || said.status == 501, "{}", shown());
                    assert!(![408, 429].contains(&said.status), "{}", shown());
                    let error: Json =
                        serde_json::from_str(&said.body).unwrap_or_else(|why| panic!("{why}: {}", shown()));
                    assert!(error["error_code"].as_str().is_some_and(|code| KNOWN.contains(&code)), "{}", shown());
                    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", shown());
                }
            }
        }
    }
    // A body that says that it will be too large is not waited for.
    for path in ["/api/2.0/mlflow/runs/log-batch", "/api/2.0/mlflow/runs/create"] {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9000000000\r\n\r\n{{");
        assert_eq!(raw(&server, head.as_bytes()).status, 400, "{path}");
    }
    assert_eq!(raw(&server, &request("GET", "/livez", "", b"")).status, 200);
    server.stop();
}
