//! Goal: files of models may be in a bucket, and every machine is as sure of them as of files of its own disk. Method: a real
//! S3 server, a network before it that misbehaves, and two machines: projects that share a registry, an online store and a
//! bucket, and have nothing else of each other.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use schema::Fingerprint;
use serde_json::{Value as Json, json};
use storage::testing::{SECRET, Sky, TestBucket, Weather, settings};

use crate::harness::{Answer, Plumb, Server};

/// As the demo has it.
const ARTIFACTS: &str = "artifacts: {path: .plumb/artifacts}";
const MODEL: &str = "repeat_purchase";
const PATIENT: Duration = Duration::from_secs(90);

struct Machines {
    /// Where models are registered and promoted.
    one: Plumb,
    /// Where they are served: it has no copy of any.
    other: Plumb,
    test: TestBucket,
    /// Before the bucket, for both.
    weather: Weather,
}

impl Machines {
    fn new() -> Option<Self> {
        let test = TestBucket::on_s3()?;
        let weather = Weather::before(test.server());
        let one = Plumb::demo_online();
        let url = test.url();
        let bucket = format!("artifacts: {{path: .plumb/artifacts, url: '{url}/kept', copy_from: ['{url}/team']}}");
        one.edit("plumb.yaml", ARTIFACTS, &bucket);
        one.write("plumb.yaml", &(one.read("plumb.yaml") + &settings(weather.url())));
        let other = Plumb::empty();
        let shared = ["offline", "online", "registry.db"].iter().fold(one.read("plumb.yaml"), |text, name| {
            text.replace(&format!("path: .plumb/{name}"), &format!("path: {}/.plumb/{name}", one.path().display()))
        });
        other.write("plumb.yaml", &shared);
        Some(Self { one, other, test, weather })
    }

    /// The model's first version is in Production.
    fn with_a_model() -> Option<Self> {
        let machines = Self::new()?;
        machines.register(1).ok();
        machines.one.run(&format!("model promote {MODEL} 1")).ok();
        Some(machines)
    }

    fn file(&self, version: u32) -> PathBuf {
        self.one.model(&format!("repeat_purchase_v{version}.onnx"))
    }

    fn register(&self, version: u32) -> Answer {
        self.one.run(&format!("model register {MODEL} {}", self.file(version).display()))
    }

    /// Where the bucket has a version's file.
    fn object(&self, version: u32) -> String {
        let digits = Fingerprint::of_bytes(&std::fs::read(self.file(version)).unwrap()).to_string();
        format!("kept/sha256/{}/{}", &digits[..2], &digits[2..])
    }

    fn damage(&self, version: u32) {
        let mut bytes = std::fs::read(self.file(version)).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 4;
        self.test.put(&self.object(version), &bytes);
    }
}

/// A machine forgets its copies.
fn forget(plumb: &Plumb) {
    std::fs::remove_dir_all(plumb.path().join(".plumb/artifacts/sha256")).unwrap();
}

fn logging(plumb: &Plumb, log: &Path) -> Server {
    let mut command = plumb.command("serve --http 127.0.0.1:0");
    command.env("PLUMB_LOG", "info");
    Server::start_logging(command, log)
}

fn version(server: &Server) -> Json {
    server.predict(MODEL, &[4]).1["version"].clone()
}

fn readyz(server: &Server) -> (u16, String) {
    server.get("/readyz")
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENT, "waited in vain until {what}");
    }
}

/// The findings of `doctor` about model files.
fn found(plumb: &Plumb, more: &str) -> String {
    let json = plumb.run(&format!("doctor --output json {more}")).json();
    let all = json["findings"].as_array().unwrap().iter().filter(|finding| finding["check"] == "model files");
    all.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_model_of_a_bucket_is_registered_on_one_machine_and_served_on_another() {
    let Some(machines) = Machines::with_a_model() else { return };
    let Machines { one, other, test, weather } = &machines;
    assert_eq!(test.names(), [machines.object(1)]);
    assert!(test.get(&machines.object(1)) == std::fs::read(machines.file(1)).unwrap());
    let served = |server: &Server| server.predict(MODEL, &[4, 18, 21]);
    let server = other.serve();
    let (status, want) = served(&server);
    assert_eq!((status, &want["version"]), (200, &json!(1)), "{want}");
    // What clients download is the same file.
    let route = format!("/api/2.0/mlflow/model-versions/get-download-uri?name={MODEL}&version=1");
    let uri: Json = serde_json::from_str(&server.get(&route).1).unwrap();
    let path = uri["artifact_uri"].as_str().unwrap().trim_start_matches("mlflow-artifacts:/").to_owned();
    let file = format!("{}/api/2.0/mlflow-artifacts/artifacts/{path}/model.onnx", server.url);
    let sent = ureq::get(&file).call().unwrap().body_mut().read_to_vec().unwrap();
    assert!(sent == std::fs::read(machines.file(1)).unwrap());
    server.stop();

    // It starts from its copies while the bucket is away, and from the bucket without its copies.
    weather.turns(Sky::Status(500), "", usize::MAX);
    let server = other.serve();
    assert_eq!((readyz(&server).0, served(&server).1["outputs"].clone()), (200, want["outputs"].clone()));
    server.stop();
    weather.clears();
    forget(other);
    let server = other.serve();
    assert_eq!((readyz(&server).0, served(&server).1["outputs"].clone()), (200, want["outputs"].clone()));

    // A promotion is served there, and a rollback.
    machines.register(2).ok();
    one.run(&format!("model promote {MODEL} 2")).ok();
    until("version 2 is served", || version(&server) == 2);
    one.run(&format!("model rollback {MODEL}")).ok();
    until("version 1 is served again", || version(&server) == 1);
    for plumb in [one, other] {
        let said = found(plumb, "");
        assert!(said.contains("\"ok\"") && said.contains("are there, in their lengths"), "{said}");
        assert!(found(plumb, "--deep").contains("2 are what was registered, byte for byte"));
        assert_eq!(plumb.json("registry verify")["files"], 2);
    }
}

#[test]
fn an_object_that_is_damaged_is_refused_and_the_version_before_answers_on() {
    let Some(machines) = Machines::with_a_model() else { return };
    let Machines { one, other, test, .. } = &machines;
    let log = other.path().join("serve.log");
    let server = logging(other, &log);
    assert_eq!(version(&server), 1);
    machines.register(2).ok();
    let copy = one.path().join(".plumb/artifacts").join(machines.object(2).trim_start_matches("kept/"));
    let bytes = std::fs::read(&copy).unwrap();
    machines.damage(2);

    // Who has no copy of it cannot check it.
    forget(one);
    let refused = one.run(&format!("model promote {MODEL} 2"));
    assert_ne!(refused.code, 0, "{refused:?}");
    for words in
        [format!("`{}/{}` is damaged", test.url(), machines.object(2)), "register the same model file".to_owned()]
    {
        assert!(refused.stderr.contains(&words), "{words}: {refused:?}");
    }
    assert_eq!(version(&server), 1);

    // Who has one can, and the machine that serves tells what it finds.
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::write(&copy, bytes).unwrap();
    one.run(&format!("model promote {MODEL} 2")).ok();
    until("the server tells", || std::fs::read_to_string(&log).unwrap().contains("is damaged"));
    assert_eq!((version(&server), readyz(&server).0), (json!(1), 200));
    // Its length is right, so it takes a look at all of it.
    assert!(!found(one, "").contains("is damaged"));
    assert!(found(one, "--deep").contains(&format!("`{}/{}` is damaged", test.url(), machines.object(2))));
    let verified = one.run("registry verify --output json");
    assert_eq!((verified.code, &verified.json()["damaged_files"][0]["digest"].is_string()), (1, &true), "{verified:?}");

    // The same file again mends it, and the server finds that by itself.
    assert!(machines.register(2).ok().stdout.contains("it is version 2 already"));
    until("version 2 is served", || version(&server) == 2);
    one.run("registry verify").ok();

    test.remove(&machines.object(2));
    let said = found(other, "");
    assert!(said.contains("failed") && said.contains("is not in") && said.contains(&test.url()), "{said}");
    assert_eq!(version(&server), 2, "what is loaded answers on");
}

#[test]
fn a_bucket_that_is_away_at_the_start_is_told_and_found_when_it_comes() {
    let Some(machines) = Machines::with_a_model() else { return };
    let Machines { one, other, test, weather } = &machines;
    let mut all = String::new();
    for (sky, words) in [
        (Sky::Status(500), "the store cannot be asked"),
        (Sky::Status(503), "fewer requests"),
        (Sky::Status(403), "permission denied"),
        (Sky::Silent, "the store cannot be asked"),
    ] {
        weather.turns(sky, "", usize::MAX);
        let log = other.path().join(format!("{sky:?}.log"));
        let server = logging(other, &log);
        until("it says why", || readyz(&server).1.contains(words));
        let (status, said) = readyz(&server);
        assert!(status == 503 && said.contains(&test.url()) && said.contains("version 1"), "{said}");
        let (status, answer) = server.predict(MODEL, &[4]);
        assert!(status != 200, "{answer}");
        assert_eq!(server.get("/livez").0, 200);
        all += &format!("{said}{answer}");
        if sky != Sky::Silent {
            let said = found(other, "");
            assert!(said.contains("failed") && said.contains(words) && said.contains(&test.url()), "{said}");
            let refused = machines.register(2);
            assert!(refused.code != 0 && refused.stderr.contains(words), "{refused:?}");
            assert_eq!(test.names(), [machines.object(1)]);
            all += &format!("{said}{refused:?}");
        }
        weather.clears();
        until("it is ready", || readyz(&server).0 == 200);
        assert_eq!(version(&server), 1);
        server.stop();
        forget(other);
        let log = std::fs::read_to_string(log).unwrap();
        // It started while it did not know yet.
        assert_eq!(log.contains("the models are not loaded after 10 s"), sky == Sky::Silent, "{log}");
        all += &log;
    }
    assert!(one.read("plumb.yaml").contains(SECRET) && !all.contains(SECRET), "{all}");
}

#[test]
fn a_source_in_a_bucket_is_copied_and_served() {
    let Some(machines) = Machines::new() else { return };
    let Machines { one, other, test, .. } = &machines;
    let onnx = std::fs::read(machines.file(1)).unwrap();
    test.put("team/churn/model.onnx", &onnx);
    test.put("team/churn/MLmodel", b"flavors: {onnx: {data: model.onnx}}\n");
    test.put("beside/model.onnx", &onnx);
    let server = one.serve();
    let make = |route: &str, body: &Json| {
        let (status, answer) = server.post(&format!("/api/2.0/mlflow/{route}"), &body.to_string());
        assert_eq!(status, 200, "{route} {body}: {answer}");
    };
    make("registered-models/create", &json!({ "name": MODEL }));
    make("model-versions/create", &json!({ "name": MODEL, "source": format!("{}/team/churn", test.url()) }));
    make("model-versions/create", &json!({ "name": MODEL, "source": format!("{}/beside", test.url()) }));
    make("model-versions/transition-stage", &json!({ "name": MODEL, "version": "1", "stage": "Production" }));
    until("it is served", || version(&server) == 1);
    server.stop();
    // What becomes of the source changes nothing.
    test.put("team/churn/model.onnx", b"no model at all");
    let server = other.serve();
    assert_eq!((readyz(&server).0, version(&server)), (200, json!(1)));
    let versions = one.json(&format!("model list {MODEL}"))["versions"].clone();
    let pinned = |row: &Json| row["files"].as_array().map_or(0, Vec::len);
    let of = |number: i64| versions.as_array().unwrap().iter().find(|row| row["version"] == number).unwrap().clone();
    assert_eq!((pinned(&of(1)), pinned(&of(2))), (2, 0), "what is not on the list is kept by reference: {versions}");
}
