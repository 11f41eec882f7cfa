//! Goal: a model is somebody else's program, and whoever hands one in can bring down nothing but its own registration; what
//! was registered, weights in other files included, is what answers. Method: models that do not end, need too much, die, or
//! name files that are not theirs, made here; the limits are the product's own, made small.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};
use serving::onnx::toy::{FLOAT, Graph, INT64, Node};

use crate::harness::{Plumb, Server};
use crate::squares::classifier_named;

const BOOL: i32 = 9;
const SERVICE: &str = "repeat_purchase_v1";
/// As the demo has it.
const ARTIFACTS: &str = "artifacts: {path: .plumb/artifacts}";
/// Of a model that does not end; on a busy machine it has waited twice its time before it had it.
const ENDED: [&str; 2] = ["took more than 1 s of a processor", "did not end within 2 s"];
const ENOUGH: Duration = Duration::from_secs(60);

fn write(plumb: &Plumb, name: &str, bytes: &[u8]) -> PathBuf {
    let path = plumb.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    path
}

fn register(path: &Path) -> String {
    format!("model register m {} --service {SERVICE}", path.display())
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `score = features . w`, with `w` in the file that is named.
fn linear(location: &str) -> Vec<u8> {
    Graph::new()
        .input("features", FLOAT, &[-1, 3])
        .elsewhere("w", &[3, 1], &[("location", location)])
        .node(Node::new("MatMul", &["features", "w"], &["score"]))
        .output("score", FLOAT, &[-1, 1])
        .model()
}

/// The first of three features, with all that it needs in one file.
fn linear_alone() -> Vec<u8> {
    Graph::new()
        .input("features", FLOAT, &[-1, 3])
        .floats("w", &[3, 1], &[1.0, 0.0, 0.0])
        .node(Node::new("MatMul", &["features", "w"], &["score"]))
        .output("score", FLOAT, &[-1, 1])
        .model()
}

/// The same from the end of a loop that nobody sees end.
fn endless() -> Vec<u8> {
    let body = Graph::new()
        .input("i", INT64, &[])
        .input("go", BOOL, &[])
        .input("x", FLOAT, &[-1, 3])
        .node(Node::new("Identity", &["go"], &["go_on"]))
        .node(Node::new("Neg", &["x"], &["y"]))
        .output("go_on", BOOL, &[])
        .output("y", FLOAT, &[-1, 3]);
    Graph::new()
        .input("features", FLOAT, &[-1, 3])
        .int64s("times", &[], &[i64::MAX])
        .floats("w", &[3, 1], &[1.0, 0.0, 0.0])
        .node(Node::new("Loop", &["times", "", "features"], &["last"]).graph("body", &body))
        .node(Node::new("MatMul", &["last", "w"], &["score"]))
        .output("score", FLOAT, &[-1, 1])
        .model()
}

/// Two GB of zeros, from a file of three hundred bytes.
fn bomb() -> Vec<u8> {
    Graph::new()
        .input("features", FLOAT, &[-1, 3])
        .int64s("shape", &[1], &[1 << 29])
        .floats("w", &[3, 1], &[1.0, 0.0, 0.0])
        .node(Node::new("ConstantOfShape", &["shape"], &["zeros"]))
        .node(Node::new("ReduceMax", &["zeros"], &["zero"]).int("keepdims", 0))
        .node(Node::new("MatMul", &["features", "w"], &["y"]))
        .node(Node::new("Add", &["y", "zero"], &["score"]))
        .output("score", FLOAT, &[-1, 1])
        .model()
}

fn limited(limits: &str) -> Plumb {
    let plumb = Plumb::demo();
    plumb.edit("plumb.yaml", ARTIFACTS, &format!("artifacts: {{path: .plumb/artifacts, {limits}}}"));
    plumb.run("apply --yes").ok();
    plumb
}

#[test]
fn a_folder_is_the_model_with_the_weights_that_lie_beside_it() {
    let plumb = Plumb::demo_online();
    let folder = write(&plumb, "given/model.onnx", &linear("weights/w.bin")).parent().unwrap().to_owned();
    let weights = write(&plumb, "given/weights/w.bin", &floats(&[1.0, 0.0, 0.0]));
    let version = |line: &str| plumb.json(line)["version"].clone();
    assert_eq!(version(&register(&folder)), json!(1));
    assert_eq!(version(&register(&folder)), json!(1), "the same files are the same version");
    // The graph is the same file, its weights are not.
    std::fs::write(&weights, floats(&[2.0, 0.0, 0.0])).unwrap();
    assert_eq!(version(&register(&folder)), json!(2));
    std::fs::remove_dir_all(&folder).unwrap();
    let files: Vec<Json> = plumb.json("model show m 2")["files"].as_array().unwrap().clone();
    let paths: Vec<&Json> = files.iter().map(|file| &file["path"]).collect();
    assert_eq!(paths, ["model.onnx", "weights/w.bin"]);

    plumb.run("model promote m 2").ok();
    let server = plumb.serve();
    let (status, answer) = server.predict("m", &[4]);
    let orders = answer["features"]["total_orders"]["values"][0].as_f64().unwrap();
    let score = &answer["outputs"]["score"][0];
    assert_eq!((status, score.as_f64().or(score[0].as_f64()).unwrap()), (200, 2.0 * orders), "{answer}");
    drop(server);

    // Whoever can write to the store of files still decides no answer.
    let digest = files[1]["sha256"].as_str().or(files[1]["digest"].as_str()).unwrap();
    let kept = plumb.path().join(".plumb/artifacts/sha256").join(&digest[..2]).join(&digest[2..]);
    std::fs::write(kept, floats(&[9.0, 0.0, 0.0])).unwrap();
    plumb.run("model promote m 1").ok();
    let refused = plumb.run("model promote m 2");
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(refused.stderr.contains("is damaged"), "{refused:?}");
}

#[test]
fn names_in_a_graph_lead_to_the_files_beside_it_and_nowhere_else() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let secret = write(&plumb, "secret.bin", &floats(&[1.0, 0.0, 0.0]));
    let absolute = secret.display().to_string();
    for (location, why) in [
        ("../secret.bin", "leads out of the model's folder"),
        ("deep/../../secret.bin", "leads out of the model's folder"),
        (&absolute, "the path is absolute"),
        ("..\\secret.bin", "spelled with a backslash"),
        ("C:\\secret.bin", "spelled with a backslash"),
        ("C:secret.bin", "names a drive"),
        ("secret.bin\0.data", "control character"),
        ("secret.bin", "not one of the model's files"),
    ] {
        let folder = write(&plumb, "given/model.onnx", &linear(location)).parent().unwrap().to_owned();
        write(&plumb, "given/other.bin", &floats(&[0.0; 3]));
        plumb.run(&register(&folder)).fails(2, &["the model keeps tensor `w` in `", why]);
    }
    // A link in the folder is no file of it, whatever kind of link it is, and of whatever name.
    let folder = write(&plumb, "given/model.onnx", &linear("w.bin")).parent().unwrap().to_owned();
    let w = folder.join("w.bin");
    std::os::unix::fs::symlink(&secret, &w).unwrap();
    plumb.run(&register(&folder)).fails(2, &["w.bin` is a symbolic link"]);
    std::fs::remove_file(&w).unwrap();
    std::fs::hard_link(&secret, &w).unwrap();
    plumb.run(&register(&folder)).fails(2, &["w.bin` has other names besides", "cp -r"]);
    std::fs::remove_file(&w).unwrap();
    std::fs::create_dir(folder.join("sub")).unwrap();
    std::os::unix::fs::symlink(plumb.path(), folder.join("sub/up")).unwrap();
    plumb.run(&register(&folder)).fails(2, &["sub/up` is a symbolic link"]);
    std::fs::remove_file(folder.join("sub/up")).unwrap();
    // A file by itself has nothing beside it.
    std::fs::copy(&secret, &w).unwrap();
    plumb.run(&register(&folder.join("model.onnx"))).fails(2, &["outside its file, in `w.bin`", "register the folder"]);
    plumb.run(&register(&folder)).ok();
    plumb.run(&register(&plumb.path().join("features"))).fails(2, &["has no ONNX file at its top"]);
}

#[test]
fn a_model_that_does_not_end_is_refused_when_its_time_is_over() {
    let plumb = limited("inspect_seconds: 1");
    let file = write(&plumb, "endless.onnx", &endless());
    let refused = plumb.run(&register(&file));
    refused.fails(2, &["endless.onnx", "inspect_seconds"]);
    assert!(ENDED.iter().any(|said| refused.stderr.contains(said)), "{refused:?}");
    assert_eq!(plumb.json("model list")["versions"], json!([]));
}

#[test]
fn a_model_that_needs_too_much_memory_is_refused() {
    let plumb = limited("inspect_memory_mb: 1500");
    let file = write(&plumb, "bomb.onnx", &bomb());
    plumb.run(&register(&file)).fails(2, &["bomb.onnx", "takes more than 1500 MB of memory", "inspect_memory_mb"]);
    // What is no bomb fits.
    let demo = plumb.model("repeat_purchase_v1.onnx");
    plumb.run(&register(&demo)).ok();
    plumb.edit("plumb.yaml", "inspect_memory_mb: 1500", "inspect_memory_mb: 0");
    plumb.run("model list").fails(2, &["`inspect_memory_mb` is 0"]);
}

/// The process that a model is read in, once it is there.
fn worker(of: u32) -> Pid {
    let deadline = Instant::now() + ENOUGH;
    loop {
        let mut all =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_it = |pid: &i32| {
            let read = |what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
            let parent = read("status").lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
            parent == Some(of) && read("cmdline").contains("inspect-model")
        };
        if let Some(pid) = all.find(is_it) {
            return Pid::from_raw(pid).unwrap();
        }
        assert!(Instant::now() < deadline, "no process to read a model in was started");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether it runs; one that waits to be buried does not.
fn is_alive(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

/// What a process may have of a resource, as the system has it: the soft and the hard limit.
fn limit(pid: Pid, resource: &str) -> [String; 2] {
    let text = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(resource)).unwrap_or_default();
    let mut words = line.split_whitespace().map(str::to_owned);
    [(); 2].map(|()| words.next().unwrap_or_default())
}

#[test]
fn a_process_that_reads_a_model_has_limited_itself() {
    let plumb = limited("inspect_seconds: 600, inspect_memory_mb: 1500");
    let file = write(&plumb, "endless.onnx", &endless());
    let mut command = started(&plumb, &file);
    let pid = worker(command.id());
    let deadline = Instant::now() + ENOUGH;
    while limit(pid, "Max open files") != ["64", "64"] {
        assert!(Instant::now() < deadline, "it has no limits");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(limit(pid, "Max cpu time"), ["600", "601"]);
    let bytes = (1500_u64 << 20).to_string();
    assert_eq!(limit(pid, "Max address space"), [bytes.clone(), bytes]);
    assert_eq!(limit(pid, "Max core file size"), ["0", "0"]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap();
    assert!(status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])), "{status}");
    command.kill().unwrap();
    command.wait().unwrap();
}

/// Ends a process with a signal. Once its runtime has started, a SIGSEGV that was sent only takes the runtime's own handler
/// away, which a fault would then meet again: the next one ends it.
fn crash(pid: Pid, signal: Signal) {
    let deadline = Instant::now() + ENOUGH;
    while is_alive(pid) {
        // It may be gone by now.
        let _ = kill_process(pid, signal);
        assert!(Instant::now() < deadline, "{signal:?} does not end it");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn started(plumb: &Plumb, file: &Path) -> Child {
    plumb.command(&register(file)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_crash_is_told_by_its_name_and_a_stopped_process_is_not_waited_for() {
    let plumb = limited("inspect_seconds: 600");
    let file = write(&plumb, "endless.onnx", &endless());
    for (signal, says) in [
        (Signal::SEGV, "crashed on the model (SIGSEGV)"),
        (Signal::ABORT, "crashed on the model (SIGABRT)"),
        (Signal::KILL, "was killed (SIGKILL), as the system does when memory runs out"),
    ] {
        let command = started(&plumb, &file);
        crash(worker(command.id()), signal);
        let output = command.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(says), "{signal:?}: {said}");
    }
    plumb.edit("plumb.yaml", "inspect_seconds: 600", "inspect_seconds: 2");
    let command = started(&plumb, &file);
    let pid = worker(command.id());
    kill_process(pid, Signal::STOP).unwrap();
    let output = command.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("did not end within 4 s"), "{said}");
    assert!(!is_alive(pid));
}

#[test]
fn whoever_reads_a_model_goes_with_whoever_asked() {
    let plumb = limited("inspect_seconds: 600");
    let file = write(&plumb, "endless.onnx", &endless());
    let mut command = started(&plumb, &file);
    let pid = worker(command.id());
    assert!(is_alive(pid));
    command.kill().unwrap();
    command.wait().unwrap();
    let deadline = Instant::now() + ENOUGH;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "it goes on reading for nobody");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Logs a file as a run's model and registers it, as clients of MLflow do: whether it is registered, and if not, why.
fn create(server: &Server, name: &str, bytes: &[u8]) -> Result<(), String> {
    create_with(server, name, bytes, &json!([{ "key": "plumb.service", "value": SERVICE }]))
}

fn create_with(server: &Server, name: &str, bytes: &[u8], tags: &Json) -> Result<(), String> {
    let api = "/api/2.0/mlflow";
    let post = |route: &str, body: &Json| server.post(&format!("{api}/{route}"), &body.to_string());
    let run =
        post("runs/create", &json!({ "experiment_id": "0" })).1["run"]["info"]["run_id"].as_str().unwrap().to_owned();
    let url = format!("{}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/m/model.onnx", server.url);
    ureq::put(&url).send(bytes).unwrap();
    post("registered-models/create", &json!({ "name": name }));
    let body = json!({ "name": name, "source": format!("runs:/{run}/m"), "run_id": run, "tags": tags });
    let (status, mut answer) = post("model-versions/create", &body);
    if status != 200 {
        assert_eq!((status, &answer["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{name}: {answer}");
        return Err(answer["message"].as_str().unwrap().to_owned());
    }
    // What took longer than clients wait.
    let deadline = Instant::now() + ENOUGH;
    while answer["model_version"]["status"] == "PENDING_REGISTRATION" {
        assert!(Instant::now() < deadline, "{name} stays pending");
        std::thread::sleep(Duration::from_millis(20));
        let (_, text) = server.get(&format!("{api}/model-versions/get?name={name}&version=1"));
        answer = serde_json::from_str(&text).unwrap();
    }
    let version = &answer["model_version"];
    match version["status"].as_str().unwrap() {
        "READY" => Ok(()),
        "FAILED_REGISTRATION" => Err(version["status_message"].as_str().unwrap().to_owned()),
        other => panic!("{name} is {other}"),
    }
}

#[test]
fn a_server_answers_on_while_models_end_badly() {
    let plumb = Plumb::demo_online();
    plumb.edit(
        "plumb.yaml",
        ARTIFACTS,
        "artifacts: {path: .plumb/artifacts, inspect_seconds: 1, inspect_memory_mb: 1500}",
    );
    plumb.run(&register(&plumb.model("repeat_purchase_v1.onnx"))).ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    for (name, bytes, says) in [
        ("endless", endless(), ""),
        ("bomb", bomb(), "takes more than 1500 MB of memory"),
        ("outside", linear("/etc/passwd"), "keeps tensor `w` in `/etc/passwd`: the path is absolute"),
        ("damaged", b"no model".to_vec(), "cannot be loaded"),
    ] {
        let message = create(&server, name, &bytes).unwrap_err();
        let is_said =
            if says.is_empty() { ENDED.iter().any(|said| message.contains(said)) } else { message.contains(says) };
        assert!(is_said, "{name}: {message}");
        assert_eq!(server.predict("m", &[4]).0, 200);
    }
    create(&server, "good", &std::fs::read(plumb.model("repeat_purchase_v1.onnx")).unwrap()).unwrap();
}

/// What clients of MLflow keep without a feature service is read and run where it can do no harm, before the server runs it.
#[test]
fn a_model_without_a_service_that_ends_badly_is_told_of_and_the_server_answers_on() {
    let plumb = Plumb::demo_online();
    plumb.edit("plumb.yaml", ARTIFACTS, "artifacts: {path: .plumb/artifacts, inspect_seconds: 1}");
    plumb.run(&register(&plumb.model("repeat_purchase_v1.onnx"))).ok();
    plumb.run("model promote m 1").ok();
    let file = write(&plumb, "endless.onnx", &endless());
    let kept = format!("model register endless {} --without-service", file.display());
    plumb.run(&kept).fails(2, &["endless.onnx", "inspect_seconds"]);
    let server = plumb.serve();
    let good = linear_alone();
    for (name, bytes) in [("endless", endless()), ("good", good)] {
        create_with(&server, name, &bytes, &json!([])).unwrap();
        let wish = json!({ "name": name, "version": "1", "stage": "Production" }).to_string();
        let (status, answer) = server.post("/api/2.0/mlflow/model-versions/transition-stage", &wish);
        assert_eq!(status, 200, "{name}: {answer}");
    }
    let deadline = Instant::now() + ENOUGH;
    let state = |index: &Json, name: &str| {
        let of = |one: &&Json| one["name"] == name && one["reason"] != "not loaded yet";
        index.as_array().unwrap().iter().find(of).cloned()
    };
    let (endless, good) = loop {
        let (_, index) = server.post("/v2/repository/index", "");
        if let (Some(endless), Some(good)) = (state(&index, "endless"), state(&index, "good")) {
            break (endless, good);
        }
        assert!(Instant::now() < deadline, "{index}");
        assert_eq!(server.predict("m", &[4]).0, 200);
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((&endless["state"], &good["state"]), (&json!("UNAVAILABLE"), &json!("READY")), "{endless} {good}");
    assert!(ENDED.iter().any(|said| endless["reason"].as_str().unwrap().contains(said)), "{endless}");
    let asked = json!({ "inputs": [{ "name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3] }] });
    let (status, answer) = server.post("/v2/models/good/infer", &asked.to_string());
    assert_eq!((status, &answer["outputs"][0]["data"]), (200, &json!([1.0])), "{answer}");
    assert_eq!(server.get("/readyz").0, 200, "nobody promised that it can be run");
    server.stop();
}

#[test]
fn the_order_of_classes_is_no_difference_where_both_files_name_them() {
    let plumb = Plumb::demo_online();
    let contract = "contract: {outputs: {probabilities: {is: probabilities, classes: [no, yes], tolerance: 0.01}}}";
    plumb.write("models/m.yaml", &format!("kind: model\nname: m\n{contract}\n"));
    plumb.run("apply --yes").ok();
    let versions = [
        classifier_named(&plumb, "one.onnx", false, 3, Some(r#"["no", "yes"]"#)),
        classifier_named(&plumb, "two.onnx", true, 3, Some(r#"["yes", "no"]"#)),
        classifier_named(&plumb, "three.onnx", true, 3, None),
        classifier_named(&plumb, "four.onnx", false, 3, Some(r#"["bad", "good"]"#)),
    ];
    for file in &versions {
        plumb.run(&register(Path::new(file))).ok();
    }
    plumb.run("model promote m 1").ok();
    let answered = || {
        let server = plumb.serve();
        let (status, answer) = server.predict("m", &[1, 4]);
        assert_eq!(status, 200, "{answer}");
        (answer["version"].clone(), answer["outputs"]["probabilities"].clone())
    };
    let (_, before) = answered();
    let report = plumb.run("model promote m 2 --output json").ok().json();
    // Clients count columns: theirs stay where they were.
    assert_eq!(answered(), (json!(2), before.clone()));
    let squares = report["evidence"]["squares"].as_array().unwrap();
    assert!(squares.iter().any(|square| square["check"] == "contract" && square["outcome"] == "compared"), "{report}");
    // The contract says where they are.
    plumb.edit("models/m.yaml", "[no, yes]", "[yes, no]");
    plumb.run("apply --yes").ok();
    let swapped = |row: &Json| json!([row[1], row[0]]);
    let expected: Vec<Json> = before.as_array().unwrap().iter().map(swapped).collect();
    assert_ne!(json!(expected), before);
    assert_eq!(answered(), (json!(2), json!(expected)));
    plumb.edit("models/m.yaml", "[yes, no]", "[no, yes]");
    plumb.run("apply --yes").ok();
    // Without names the same file is taken in the contract's order, and is another classifier.
    assert_eq!(plumb.run("model promote m 3").code, 1);
    let report = plumb.run("model promote m 4 --output json").json();
    let misfit = report["evidence"]["misfit"].as_str().unwrap_or_default();
    assert!(misfit.contains("the contract names the classes no, yes, the model's file bad, good"), "{report}");
}
