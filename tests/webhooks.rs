//! Whoever asked to be told what happens is told, each event at least once and in order, whatever breaks. Method: real servers,
//! and receivers on loopback ports that answer as the story says; what a receiver got is what counts.

mod receiver;

use std::io::Write as _;
use std::process::Stdio;

use registry::testing::TestPostgres;
use serde_json::{Value as Json, json};

use crate::harness::{Plumb, Server};
use receiver::{Got, Receiver, Reply};

const API: &str = "/api/2.0/mlflow";
const OPEN: &str = "webhooks: {allow_http: true, allow_private: [127.0.0.1]}\n";

fn project() -> Plumb {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", &format!("project: hooks\n{OPEN}"));
    plumb
}

/// Status and body of any request.
fn call(server: &Server, method: &str, path: &str, body: &Json) -> (u16, Json) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}{path}", server.url);
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut response = match method {
        "GET" => agent.get(&url).call(),
        "DELETE" => agent.delete(&url).call(),
        "PATCH" => agent.patch(&url).content_type("application/json").send(&text),
        _ => agent.post(&url).content_type("application/json").send(&text),
    }
    .unwrap();
    (response.status().as_u16(), response.body_mut().read_json().unwrap_or(Json::Null))
}

#[track_caller]
fn done(server: &Server, method: &str, path: &str, body: &Json) -> Json {
    let (status, answer) = call(server, method, path, body);
    assert!(status == 200, "{method} {path}: {status} {answer}");
    answer
}

fn event(topic: &str) -> Json {
    let (entity, action) = topic.split_once('.').unwrap();
    json!({ "entity": entity.to_uppercase(), "action": action.to_uppercase() })
}

/// Makes a hook as MLflow's client does; its id.
#[track_caller]
fn hook(server: &Server, url: &str, topics: &[&str]) -> String {
    let events: Vec<Json> = topics.iter().map(|topic| event(topic)).collect();
    let body = json!({ "name": "h", "url": url, "events": events, "secret": "whsec" });
    let made = done(server, "POST", &format!("{API}/webhooks"), &body);
    assert!(!made.to_string().contains("whsec"), "{made}");
    made["webhook"]["webhook_id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn model(server: &Server, name: &str) {
    done(server, "POST", &format!("{API}/registered-models/create"), &json!({ "name": name }));
}

const MODELS: &[&str] = &["registered_model.created"];

fn names(got: &[Got]) -> Vec<String> {
    got.iter().map(|one| one.body["data"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_happens_is_told_in_order_and_signed() {
    let (plumb, receiver) = (project(), Receiver::start(|_, _| Reply::status(200)));
    let server = plumb.serve();
    model(&server, "before");
    let all = [
        "registered_model.created",
        "model_version.created",
        "model_version_tag.set",
        "model_version_tag.deleted",
        "model_version_alias.created",
        "model_version_alias.deleted",
    ];
    hook(&server, &receiver.url(), &all);
    let post = |path: &str, body: Json| done(&server, "POST", &format!("{API}/{path}"), &body);
    let delete = |path: &str, body: &Json| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.delete(format!("{}{API}/{path}", server.url)).force_send_body();
        assert_eq!(request.content_type("application/json").send(body.to_string()).unwrap().status(), 200);
    };
    post(
        "registered-models/create",
        json!({ "name": "m", "description": "größe", "tags": [{ "key": "a", "value": "b" }] }),
    );
    post("model-versions/create", json!({ "name": "m", "source": "s3://b/x", "run_id": "" }));
    post("model-versions/set-tag", json!({ "name": "m", "version": "1", "key": "k", "value": "v" }));
    delete("model-versions/delete-tag", &json!({ "name": "m", "version": "1", "key": "k" }));
    post("registered-models/alias", json!({ "name": "m", "alias": "champion", "version": "1" }));
    delete("registered-models/alias", &json!({ "name": "m", "alias": "champion" }));
    let got = receiver.wait(6);
    let told: Vec<String> = got
        .iter()
        .map(|one| format!("{}.{}", one.body["entity"].as_str().unwrap(), one.body["action"].as_str().unwrap()))
        .collect();
    assert_eq!(told, all, "in the order of the log, and nothing from before");
    let data = json!({ "name": "m", "tags": { "a": "b" }, "description": "größe" });
    assert_eq!(got[0].body["data"], data);
    let data = json!({
        "name": "m", "version": "1", "source": "s3://b/x", "run_id": null, "tags": {}, "description": null,
    });
    assert_eq!(got[1].body["data"], data);
    for one in &got {
        let secret = registry::webhook::Secret::new("whsec").unwrap();
        let signed = secret.sign(one.delivery(), one.header("x-mlflow-timestamp").parse().unwrap(), &one.text);
        assert_eq!(one.header("x-mlflow-signature"), signed);
        assert_eq!(one.header("content-type"), "application/json");
    }
    let mut ids: Vec<&str> = got.iter().map(Got::delivery).collect();
    ids.dedup();
    assert_eq!(ids.len(), 6, "each has an id of its own");
}

#[test]
fn a_receiver_that_was_away_is_told_when_it_is_back() {
    let plumb = project();
    let server = plumb.serve();
    let away = Receiver::reserve();
    hook(&server, &away.url(), MODELS);
    for name in ["a", "b", "c"] {
        model(&server, name);
    }
    away.wait_for_refused();
    let receiver = away.open(|_, _| Reply::status(204));
    assert_eq!(names(&receiver.wait(3)), ["a", "b", "c"]);
}

#[test]
fn a_receiver_that_fails_is_told_again_under_the_same_id() {
    let (plumb, receiver) = (project(), Receiver::start(|n, _| Reply::status(if n == 0 { 500 } else { 200 })));
    let server = plumb.serve();
    hook(&server, &receiver.url(), MODELS);
    model(&server, "a");
    model(&server, "b");
    let got = receiver.wait(3);
    assert_eq!(names(&got), ["a", "a", "b"], "the one that failed first, and the next one after it");
    assert_eq!(got[0].delivery(), got[1].delivery());
    assert_eq!(got[0].text, got[1].text, "the same message, byte for byte");
}

#[test]
fn what_was_committed_is_told_though_the_server_was_killed_before_it_could() {
    // The receiver takes the first message and never answers: the server is killed while it waits.
    let (plumb, receiver) = (project(), Receiver::start(|n, _| if n == 0 { Reply::Never } else { Reply::status(200) }));
    let server = plumb.serve();
    hook(&server, &receiver.url(), MODELS);
    model(&server, "a");
    receiver.wait(1);
    server.kill();
    // Nobody serves; whoever writes to the log makes what is due.
    plumb.run("model rename a b").ok();
    let _server = plumb.serve();
    let got = receiver.wait(2);
    assert_eq!(names(&got), ["a", "a"], "by its name of then");
    assert_eq!(got[0].delivery(), got[1].delivery(), "so a receiver that had done it knows");
}

fn registry_of(server: &TestPostgres) -> String {
    format!("registry: {{kind: postgres, url: \"{}\"}}\n", server.url())
}

/// Two servers on one registry, and events by both.
fn shared(setting: &str) {
    let receiver = Receiver::start(|_, _| Reply::status(200));
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", &format!("project: hooks\n{OPEN}{setting}"));
    let servers = [plumb.serve(), plumb.serve()];
    hook(&servers[0], &receiver.url(), MODELS);
    let made: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
    for (n, name) in made.iter().enumerate() {
        model(&servers[n % 2], name);
    }
    let got = receiver.wait(made.len());
    let mut ids: Vec<&str> = got.iter().map(Got::delivery).collect();
    assert_eq!(names(&got), made, "each once, in the order of the log");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), made.len());
    // One is killed; the other goes on, whoever had the hook.
    let [first, second] = servers;
    first.kill();
    model(&second, "last");
    let told = receiver.wait_until(|got| names(got).contains(&"last".to_owned()));
    assert_eq!(names(&told)[..made.len()], made);
}

#[test]
fn several_servers_share_the_work() {
    shared("");
}

#[test]
fn several_servers_share_the_work_over_postgres() {
    shared(&registry_of(&TestPostgres::start()));
}

#[test]
fn a_slow_receiver_keeps_nobody_waiting() {
    let (plumb, slow) = (project(), Receiver::start(|_, _| Reply::Never));
    let quick = Receiver::start(|_, _| Reply::status(200));
    let server = plumb.serve();
    hook(&server, &slow.url(), MODELS);
    hook(&server, &quick.url(), MODELS);
    model(&server, "first");
    slow.wait(1);
    for n in 0..20 {
        model(&server, &format!("m{n}"));
    }
    assert_eq!(quick.wait(21).len(), 21);
    assert_eq!(slow.got().len(), 1, "it still has the first: its own order is kept");
}

#[test]
fn a_redirect_and_a_refusal_end_a_message_and_the_next_one_comes() {
    let inside = Receiver::start(|_, _| Reply::status(200));
    let to = inside.url();
    let receiver = Receiver::start(move |n, _| match n {
        0 => Reply::Says(307, vec![("location", to.clone())], String::new()),
        1 => Reply::Says(410, Vec::new(), "gone for\ngood".to_owned()),
        _ => Reply::status(200),
    });
    let plumb = project();
    let server = plumb.serve();
    let id = hook(&server, &receiver.url(), MODELS);
    for name in ["a", "b", "c"] {
        model(&server, name);
    }
    assert_eq!(names(&receiver.wait(3)), ["a", "b", "c"]);
    assert!(inside.got().is_empty(), "nobody followed");
    let outcomes = settled(&server, &id, 3);
    let told: Vec<(&str, u64, u64)> = outcomes
        .iter()
        .map(|one| {
            let n = |key: &str| one[key].as_u64().unwrap();
            (one["outcome"].as_str().unwrap(), n("response_status"), n("attempts"))
        })
        .collect();
    assert_eq!(told, [("delivered", 200, 1), ("refused", 410, 1), ("refused", 307, 1)]);
    assert!(outcomes[1]["error"].as_str().unwrap().contains("gone for good"), "{outcomes:?}");
    assert!(outcomes[2]["error"].as_str().unwrap().contains("redirects are not followed"), "{outcomes:?}");
}

/// The last deliveries, when so many are written down.
#[track_caller]
fn settled(server: &Server, id: &str, n: usize) -> Vec<Json> {
    for _ in 0..100_000 {
        let said = done(server, "GET", &format!("/v1/webhooks/{id}/deliveries"), &Json::Null);
        let rows = said["deliveries"].as_array().unwrap();
        if rows.len() >= n {
            return rows.clone();
        }
    }
    panic!("{n} deliveries were not written down")
}

#[test]
fn who_is_disabled_is_told_nothing_and_later_what_comes_later() {
    let (plumb, receiver) = (project(), Receiver::start(|_, _| Reply::status(200)));
    let server = plumb.serve();
    let id = hook(&server, &receiver.url(), MODELS);
    let path = format!("{API}/webhooks/{id}");
    model(&server, "a");
    receiver.wait(1);
    let off = done(&server, "PATCH", &path, &json!({ "status": "DISABLED" }));
    assert_eq!(off["webhook"]["status"], "DISABLED");
    model(&server, "b");
    done(&server, "PATCH", &path, &json!({ "status": "ACTIVE", "description": "again" }));
    model(&server, "c");
    assert_eq!(names(&receiver.wait(2)), ["a", "c"]);
    // One that is told of nothing that happens is told nothing.
    done(&server, "PATCH", &path, &json!({ "events": [event("prompt.created")] }));
    model(&server, "d");
    done(&server, "PATCH", &path, &json!({ "events": [event("registered_model.created")] }));
    model(&server, "e");
    assert_eq!(names(&receiver.wait(3)), ["a", "c", "e"], "what it asks for later it is told from then on");
    done(&server, "DELETE", &path, &Json::Null);
    let (status, why) = call(&server, "GET", &path, &Json::Null);
    assert_eq!((status, why["error_code"].as_str()), (404, Some("RESOURCE_DOES_NOT_EXIST")), "{why}");
}

#[test]
fn what_mlflow_does_not_know_is_told_and_not_shown_to_its_clients() {
    let (plumb, receiver) = (project(), Receiver::start(|_, _| Reply::status(200)));
    let server = plumb.serve();
    let native = |name: &str, topics: &[&str]| {
        let body = json!({ "name": name, "url": receiver.url(), "topics": topics });
        done(&server, "POST", "/v1/webhooks", &body)["id"].as_str().unwrap().to_owned()
    };
    let ours = native("ours", &["model_version.transitioned", "registered_model.renamed", "registered_model.deleted"]);
    let both = native("both", &["model_version.deleted", "prompt.created"]);
    let at = |id: &str| format!("{API}/webhooks/{id}");
    let listed = done(&server, "GET", &format!("{API}/webhooks"), &Json::Null);
    assert_eq!(listed["webhooks"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["webhooks"][0]["events"], json!([event("prompt.created")]));
    for (method, path) in
        [("GET", at(&ours)), ("DELETE", at(&ours)), ("PATCH", at(&ours)), ("POST", at(&ours) + "/test")]
    {
        assert_eq!(call(&server, method, &path, &json!({})).0, 404, "{method}");
    }
    let wrong = json!({ "name": "w", "url": receiver.url(), "events": [event("model_version.transitioned")] });
    let (status, why) = call(&server, "POST", &format!("{API}/webhooks"), &wrong);
    assert_eq!((status, why["error_code"].as_str()), (400, Some("INVALID_PARAMETER_VALUE")), "{why}");
    done(&server, "PATCH", &at(&both), &json!({ "events": [event("model_version.created")] }));
    let topics = &done(&server, "GET", &format!("/v1/webhooks/{both}"), &Json::Null)["topics"];
    assert_eq!(
        *topics,
        json!(["model_version.deleted", "model_version.created"]),
        "what it did not see it did not take away"
    );

    let post = |path: &str, body: Json| done(&server, "POST", &format!("{API}/{path}"), &body);
    model(&server, "m");
    post("model-versions/create", json!({ "name": "m", "source": "s3://b/x" }));
    post("model-versions/transition-stage", json!({ "name": "m", "version": "1", "stage": "Staging" }));
    post("registered-models/rename", json!({ "name": "m", "new_name": "n" }));
    for line in ["model delete n 1", "model delete n"] {
        plumb.run(line).ok();
    }
    let got = receiver.wait(5);
    let mut told: Vec<String> = got
        .iter()
        .map(|one| format!("{}.{}", one.body["entity"].as_str().unwrap(), one.body["action"].as_str().unwrap()))
        .collect();
    told.sort();
    let all = [
        "model_version.created",
        "model_version.deleted",
        "model_version.transitioned",
        "registered_model.deleted",
        "registered_model.renamed",
    ];
    assert_eq!(told, all);
    let moved = got.iter().find(|one| one.body["action"] == "transitioned").unwrap();
    assert_eq!(moved.body["data"]["to_stage"], "Staging");
    assert!(!moved.has("x-mlflow-signature"), "it has no secret");
}

#[test]
fn a_hook_points_nowhere_that_is_not_public_unless_that_is_opened() {
    let plumb = Plumb::empty();
    plumb.write("plumb.yaml", "project: hooks\n");
    let server = plumb.serve();
    let refused = |server: &Server, url: &str, says: &str| {
        let body = json!({ "name": "h", "url": url, "events": [event("prompt.created")] });
        let (status, why) = call(server, "POST", &format!("{API}/webhooks"), &body);
        assert_eq!((status, why["error_code"].as_str()), (400, Some("INVALID_PARAMETER_VALUE")), "{url}: {why}");
        assert!(why["message"].as_str().unwrap().contains(says), "{url}: {why}");
    };
    for (url, says) in [
        ("http://127.0.0.1:1/", "only https"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://localhost/", "not a public address"),
        ("https://0x7f.1/", "not a public address"),
        ("https://[::ffff:169.254.169.254]/", "not a public address"),
        ("https://user:canary@8.8.8.8/", "user or a password"),
        ("https://no-such-host.invalid/", "is not known"),
    ] {
        refused(&server, url, says);
    }
    // Made while a network was open, it is sent nothing once that is closed.
    let receiver = Receiver::start(|_, _| Reply::status(200));
    let open = project();
    let server = open.serve();
    refused(&server, "http://127.0.0.2/", "not a public address");
    let id = hook(&server, &receiver.url(), MODELS);
    server.kill();
    open.write("plumb.yaml", "project: hooks\nwebhooks: {allow_http: true}\n");
    let server = open.serve();
    model(&server, "a");
    let told = settled(&server, &id, 1);
    assert_eq!((told[0]["outcome"].as_str(), &told[0]["response_status"]), (Some("retrying"), &Json::Null));
    assert!(told[0]["error"].as_str().unwrap().contains("not a public address"), "{told:?}");
    assert!(receiver.got().is_empty(), "nobody came");
}

#[test]
fn the_command_line_makes_and_tries_them_and_says_what_became_of_what() {
    let (plumb, receiver) = (project(), Receiver::start(|n, _| Reply::status(if n == 0 { 418 } else { 200 })));
    let url = receiver.url();
    let create =
        format!("webhook create ci --url {url} --topic registered_model.created --secret-file - --output json");
    let mut command = plumb.command(&create);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"whsec\n").unwrap();
    let made: crate::harness::Answer = child.wait_with_output().unwrap().into();
    let made = made.ok().json();
    assert_eq!((made["name"].as_str(), made["signed"].as_bool()), (Some("ci"), Some(true)), "{made}");
    let id = made["id"].as_str().unwrap();
    assert_eq!(plumb.run(&format!("webhook test {id}")).code, 1);
    let tried = plumb.json(&format!("webhook test {id}"));
    assert_eq!((tried["success"].as_bool(), tried["response_status"].as_u64()), (Some(true), Some(200)));
    let signed = &receiver.got()[1];
    let secret = registry::webhook::Secret::new("whsec").unwrap();
    let at = signed.header("x-mlflow-timestamp").parse().unwrap();
    assert_eq!(signed.header("x-mlflow-signature"), secret.sign(signed.delivery(), at, &signed.text));
    assert_eq!(plumb.json("webhook list")["webhooks"].as_array().unwrap().len(), 1);
    let server = plumb.serve();
    model(&server, "a");
    receiver.wait(3);
    settled(&server, id, 1);
    let told = plumb.json(&format!("webhook deliveries {id}"));
    assert_eq!(told["deliveries"][0]["outcome"], "delivered", "{told}");
    assert_eq!(plumb.json(&format!("webhook disable {id}"))["enabled"], false);
    assert_eq!(plumb.json(&format!("webhook enable {id}"))["enabled"], true);
    for line in ["list".to_owned(), format!("show {id}"), format!("deliveries {id}")] {
        let said = plumb.run(&format!("webhook {line}")).ok().stdout;
        assert!(said.contains("ci") || said.contains("delivered"), "{said}");
        assert!(!said.contains("whsec"), "{said}");
    }
    plumb.run("webhook create x --url https://10.0.0.1/ --topic prompt.created").fails(2, &["not a public address"]);
    plumb.run("webhook create x --url https://8.8.8.8/ --topic prompt.creatd").fails(2, &["prompt.created"]);
    plumb.run("webhook show none").fails(2, &["there is no webhook"]);
    plumb.run(&format!("webhook delete {id}")).ok();
    assert_eq!(plumb.json("webhook list")["webhooks"], json!([]));
}

#[test]
fn a_secret_is_said_nowhere_and_kept_in_one_file() {
    const SECRET: &str = "canary-whsec-8801";
    const LATER: &str = "canary-whsec-8802";
    let (plumb, receiver) = (project(), Receiver::start(|n, _| Reply::status(if n < 2 { 500 } else { 200 })));
    let log = plumb.path().join("serve.log");
    let mut command = plumb.command("serve --http 127.0.0.1:0");
    command.env("PLUMB_LOG", "trace");
    let server = Server::start_logging(command, &log);
    let mut said = String::new();
    let mut asked = |method: &str, path: &str, body: Json| {
        let (status, answer) = call(&server, method, path, &body);
        said += &format!("{status} {answer}\n");
        answer
    };
    let events = [event("registered_model.created")];
    let hook = json!({ "name": "h", "url": receiver.url(), "events": events, "secret": SECRET });
    let made = asked("POST", &format!("{API}/webhooks"), hook.clone());
    let id = made["webhook"]["webhook_id"].as_str().unwrap().to_owned();
    let at = format!("{API}/webhooks/{id}");
    asked("PATCH", &at, json!({ "secret": LATER }));
    for (method, path) in [("GET", at.clone()), ("GET", format!("{API}/webhooks")), ("POST", at.clone() + "/test")] {
        asked(method, &path, json!({}));
    }
    for path in ["/v1/webhooks", &format!("/v1/webhooks/{id}"), &format!("/v1/webhooks/{id}/deliveries"), "/metrics"] {
        asked("GET", path, Json::Null);
    }
    let mut long = hook.clone();
    long["secret"] = format!("{SECRET}{}", "x".repeat(2_000)).into();
    asked("POST", &format!("{API}/webhooks"), long);
    let mut bad = hook;
    bad["name"] = "-".into();
    asked("POST", &format!("{API}/webhooks"), bad);
    asked(
        "POST",
        "/v1/webhooks",
        json!({ "name": "x", "url": "https://10.0.0.1/", "topics": ["prompt.created"], "secret": SECRET }),
    );
    asked(
        "POST",
        "/v1/webhooks",
        json!({ "name": "x", "url": "https://8.8.8.8/", "topics": [], "secret": SECRET, "no": 1 }),
    );
    model(&server, "a");
    let got = receiver.wait(3);
    assert!(got.iter().all(|one| one.has("x-mlflow-signature") && !format!("{one:?}").contains("canary")));
    server.stop();
    for line in ["webhook list", "registry log", "registry export -", "doctor", "registry verify"] {
        let answer = plumb.run(&format!("{line} --output json"));
        said += &format!("{} {}\n", answer.stdout, answer.stderr);
    }
    assert!(said.len() > 2_000, "{said}");
    assert!(!said.contains("canary"), "{said}");
    let mut held = Vec::new();
    files(plumb.path(), &mut held);
    for (path, bytes) in &held {
        let holds =
            [SECRET, LATER].iter().any(|secret| bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
        assert!(!holds || path.contains("registry.webhooks.db"), "{path} holds a secret");
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("webhook `h` was not told registered_model.created"), "it logs what becomes of them: {log}");
}

fn files(folder: &std::path::Path, found: &mut Vec<(String, Vec<u8>)>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path) {
            found.push((path.display().to_string(), bytes));
        }
    }
}
