//! Goal: no page of the web reads or writes through a name that it gave this machine (T12). Method: requests as a browser
//! sends them for such a page, on a route of each protocol.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Plumb, Server};

/// The answer to a request with these lines in its head.
fn ask(server: &Server, path: &str, lines: &str) -> String {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\n{lines}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const ROUTES: [&str; 5] =
    ["/livez", "/metrics", "/v1/models", "/health", "/api/2.0/mlflow/registered-models/get?name=m"];

#[track_caller]
fn refused(server: &Server, lines: &str) {
    for path in ROUTES {
        let answer = ask(server, path, lines);
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("allowed_hosts"), "{path}: {answer}");
    }
}

#[track_caller]
fn taken(server: &Server, lines: &str) {
    for path in ROUTES {
        let answer = ask(server, path, lines);
        assert!(answer.starts_with("HTTP/1.1 ") && !answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
    }
}

#[test]
fn a_page_of_the_web_is_not_answered() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let server = plumb.serve();
    taken(&server, "host: localhost:8080");
    taken(&server, "host: plumb.ml.svc\r\norigin: http://localhost:8888");
    refused(&server, "host: rebound.example.com");
    refused(&server, "host: localhost:8080\r\norigin: https://page.example.com");
    refused(&server, "host: ml.example.org");
    drop(server);
    let main = std::fs::read_to_string(plumb.path().join("plumb.yaml")).unwrap();
    plumb.write("plumb.yaml", &format!("{main}\nallowed_hosts: [ml.example.org, '*.example.net']\n"));
    let server = plumb.serve();
    taken(&server, "host: ml.example.org\r\norigin: https://app.example.net");
    refused(&server, "host: rebound.example.com");
    drop(server);
    plumb.write("plumb.yaml", &format!("{main}\nallowed_hosts: ['http://ml.example.org']\n"));
    plumb.run("plan").fails(2, &["`http://ml.example.org` is no name of a host"]);
}
