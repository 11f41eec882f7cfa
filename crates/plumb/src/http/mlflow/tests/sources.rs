//! What a version may be made of, and what is sent with it.

use std::sync::Arc;

use registry::MemoryLog;
use serde_json::{Value, json};
use storage::testing::TestBucket;

use super::{API, Served};

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";
const CREATE: &str = "model-versions/create";
/// Where clients see the server of these tests.
const HOST: &str = "plumb.example:8080";

/// Runs, logged models and versions that a source can name.
struct Sources {
    served: Served,
    /// A run with `m/MLmodel` and `m/deep/weights`.
    run: String,
    /// A run without files.
    other_run: String,
    /// A logged model of `run`, with `MLmodel`.
    logged: String,
    /// A logged model of no run.
    other_logged: String,
}

impl Sources {
    /// The model `to` waits for its versions; `from` has one of `s3://b/1` and two of the run, the last of the logged model.
    /// Version 2 is in Production, and is its champion.
    async fn new() -> Self {
        Self::of(Served::new().await).await
    }

    async fn of(served: Served) -> Self {
        let (run, other_run) = (served.run().await, served.run().await);
        let logged = served.logged_model(json!({ "source_run_id": run })).await;
        let other_logged = served.logged_model(json!({})).await;
        for (path, text) in [
            (format!("{run}/artifacts/m/MLmodel"), "of the run"),
            (format!("{run}/artifacts/m/deep/weights"), "1 2 3"),
            (format!("models/{logged}/artifacts/MLmodel"), "of the logged model"),
        ] {
            assert_eq!(served.send("PUT", &format!("{FILES}/0/{path}"), text).await.0, 200);
        }
        served.model("to", &[]).await;
        served.model("from", &["s3://b/1"]).await;
        let of_run = json!({ "name": "from", "source": format!("runs:/{run}/m"), "run_id": run });
        served.done("POST", CREATE, of_run).await;
        let of_logged = json!({ "name": "from", "source": format!("models:/{logged}"), "model_id": logged });
        served.done("POST", CREATE, of_logged).await;
        let stage = json!({ "name": "from", "version": "2", "stage": "Production" });
        served.done("POST", "model-versions/transition-stage", stage).await;
        served
            .done("POST", "registered-models/alias", json!({ "name": "from", "alias": "champion", "version": "2" }))
            .await;
        let is_prompt = json!([{ "key": "mlflow.prompt.is_prompt", "value": "true" }]);
        served.done("POST", "registered-models/create", json!({ "name": "greeting", "tags": is_prompt })).await;
        let prompt = json!({ "name": "greeting", "source": "dummy-source", "tags": is_prompt });
        served.done("POST", CREATE, prompt).await;
        Self { served, run, other_run, logged, other_logged }
    }

    /// The next version of `to`, asked for at [`HOST`].
    async fn make(&self, source: &str, more: Value) -> (u16, Value) {
        let mut body = json!({ "name": "to", "source": source });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let path = format!("{API}/{CREATE}");
        let answer = self.served.answer("POST", &path, &[("host", HOST)], body.to_string()).await;
        let status = answer.status().as_u16();
        let bytes = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn made(&self, source: &str, more: Value) -> Value {
        let (status, mut answer) = self.make(source, more).await;
        assert_eq!(status, 200, "{source}: {answer}");
        answer["model_version"].take()
    }

    /// Names and texts of the files that clients load for a version of `to`; where they are, if they are not here.
    async fn files(&self, made: &Value) -> Result<Vec<(String, String)>, String> {
        let version = made["version"].as_str().unwrap();
        let route = format!("model-versions/get-download-uri?name=to&version={version}");
        let answer = self.served.done("GET", &route, Value::Null).await;
        let uri = answer["artifact_uri"].as_str().unwrap();
        let Some(root) = uri.strip_prefix("mlflow-artifacts:/registered/") else { return Err(uri.to_owned()) };
        let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            let route = format!("{FILES}?path=registered/{root}/{folder}");
            let (_, listed) = self.served.ask("GET", route.trim_end_matches('/'), Value::Null).await;
            for entry in listed["files"].as_array().unwrap() {
                let path = format!("{folder}{}", entry["path"].as_str().unwrap());
                if entry["is_dir"] == true {
                    folders.push(format!("{path}/"));
                    continue;
                }
                let (status, text) = self.served.send("GET", &format!("{FILES}/registered/{root}/{path}"), "").await;
                assert_eq!(status, 200, "{path}");
                files.push((path, String::from_utf8(text).unwrap()));
            }
        }
        files.sort();
        Ok(files)
    }
}

fn of_the_run() -> Result<Vec<(String, String)>, String> {
    Ok(vec![("MLmodel".into(), "of the run".into()), ("deep/weights".into(), "1 2 3".into())])
}

#[tokio::test]
async fn a_source_and_what_is_sent_with_it_must_agree() {
    let sources = Sources::new().await;
    let Sources { run, other_run, logged, other_logged, .. } = &sources;
    let (none, of_run) = (json!({}), json!({ "run_id": run }));
    let (of_other, of_logged) = (json!({ "run_id": other_run }), json!({ "model_id": logged }));
    let of_other_logged = json!({ "model_id": other_logged });
    let refused = [
        // Files of a run.
        (format!("runs:/{run}/m"), &none),
        (format!("runs:/{run}/m"), &of_other),
        (format!("runs:/{run}/m"), &json!({ "run_id": run, "model_id": logged })),
        (format!("runs:/{run}/m"), &of_logged),
        (format!("runs://{HOST}/{run}/m"), &of_run),
        // Logged models.
        (format!("models:/{logged}"), &none),
        (format!("models:/{logged}"), &of_run),
        (format!("models:/{logged}"), &of_other_logged),
        (format!("models://{HOST}/{logged}"), &of_logged),
        // Other versions.
        ("models:/from/2".to_owned(), &of_other),
        ("models:/from/2".to_owned(), &of_logged),
        ("models:/from@champion".to_owned(), &of_other),
        ("models:/from/Production".to_owned(), &of_logged),
        ("models:/from/3".to_owned(), &of_other_logged),
        ("models:/from/1".to_owned(), &of_run),
        ("models:/greeting/1".to_owned(), &none),
        ("models:/greeting/latest".to_owned(), &none),
        ("models:/from".to_owned(), &none),
        // Files that go through the server.
        (format!("mlflow-artifacts:/0/{run}/artifacts/m"), &none),
        (format!("mlflow-artifacts:/0/{run}/artifacts/m"), &of_other),
        (format!("mlflow-artifacts:/0/{run}/artifacts/m"), &of_logged),
        (format!("mlflow-artifacts:/0/{run}/artifacts/m"), &json!({ "run_id": "0".repeat(32) })),
        (format!("mlflow-artifacts:/0/{run}"), &of_run),
        (format!("mlflow-artifacts:/0/{run}2/artifacts/m"), &of_run),
        (format!("mlflow-artifacts:/0/{run}/artifacts2/m"), &of_run),
        (format!("mlflow-artifacts:/0/{run}/artifacts/../artifacts"), &of_run),
        (format!("mlflow-artifacts:/0/{run}/artifacts/%2e%2e/m"), &of_run),
        (format!("mlflow-artifacts:/0/{run}/artifacts//m"), &of_run),
        (format!("mlflow-artifacts:/0/models/{logged}/artifacts"), &of_other_logged),
        (format!("mlflow-artifacts:/0/models/{logged}2/artifacts"), &of_logged),
        (format!("mlflow-artifacts:/0/models/{logged}/artifacts"), &json!({ "model_id": "m-none" })),
        ("mlflow-artifacts:/registered/1/1".to_owned(), &of_run),
        // Of this machine.
        ("/etc/passwd".to_owned(), &of_run),
        ("file:///etc/passwd".to_owned(), &of_run),
        (format!("/0/{run}/artifacts/m"), &of_run),
    ];
    for (source, sent) in refused {
        let (status, said) = sources.make(&source, sent.clone()).await;
        assert_eq!((status, &said["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{source} {sent}: {said}");
        let message = said["message"].as_str().unwrap();
        assert!(message.starts_with("Invalid model version source: '"), "{source} {sent}: {message}");
    }
    let (status, said) =
        sources.served.ask("GET", &format!("{API}/model-versions/search?filter=name%3D'to'"), Value::Null).await;
    assert_eq!((status, said), (200, json!({})), "nothing came of all that");
}

/// A prompt's text is in its tags: it has no source, and the tag gets no other one past the rules.
#[tokio::test]
async fn a_prompt_has_a_word_in_place_of_a_source() {
    let sources = Sources::new().await;
    let tags = json!({ "tags": [{ "key": "mlflow.prompt.is_prompt", "value": "True" }] });
    for word in ["dummy-source", "prompt-template"] {
        sources.made(word, tags.clone()).await;
    }
    for source in ["s3://b/1", "/etc/passwd", "models:/from/1"] {
        let (status, said) = sources.make(source, tags.clone()).await;
        assert_eq!(status, 400, "{said}");
        assert!(said["message"].as_str().unwrap().starts_with("Invalid prompt source: '"), "{said}");
    }
    let (status, said) = sources.make("dummy-source", json!({})).await;
    assert_eq!(status, 400, "what is no prompt has a source: {said}");
}

#[tokio::test]
async fn the_server_connects_to_nothing_that_a_client_names() {
    let sources = Sources::new().await;
    let run = &sources.run;
    let of_run = json!({ "run_id": run });
    let schemes = ["ftp", "sftp", "hdfs", "http", "https", "r2", "b2", "abfss", "mlflow-artifacts", "HTTP"];
    for scheme in schemes {
        for source in [
            format!("{scheme}://elsewhere/m"),
            format!("{scheme}://elsewhere{FILES}/0/{run}/artifacts/m"),
            format!("{scheme}://elsewhere/0/{run}/artifacts/m"),
            format!("{scheme}://{HOST}@elsewhere{FILES}/0/{run}/artifacts/m"),
        ] {
            let (status, said) = sources.make(&source, of_run.clone()).await;
            assert_eq!(status, 400, "{source}: {said}");
            let message = said["message"].as_str().unwrap();
            let want = format!(
                "Invalid model version source: '{source}'. This server connects to no `{}`",
                scheme.to_lowercase()
            );
            assert!(message.starts_with(&want), "{message}");
        }
    }
    // The last is on the operator's list.
    for scheme in ["s3", "gs", "wasbs", "dbfs", "viewfs"] {
        let source = format!("{scheme}://bucket/m");
        let made = sources.made(&source, of_run.clone()).await;
        assert_eq!(made["source"], json!(source));
        assert_eq!(sources.files(&made).await, Err(source), "it is where its source says");
    }
}

#[tokio::test]
async fn an_address_of_this_servers_own_files_is_what_lies_behind_it() {
    let sources = Sources::new().await;
    let Sources { run, logged, .. } = &sources;
    let (of_run, of_logged) = (json!({ "run_id": run }), json!({ "model_id": logged }));
    for source in [
        format!("runs:/{run}/m"),
        format!("runs:/{run}/m/"),
        format!("mlflow-artifacts:/0/{run}/artifacts/m"),
        format!("mlflow-artifacts:/0/{run}/artifacts/%6d"),
        format!("mlflow-artifacts://{HOST}/0/{run}/artifacts/m"),
        format!("http://{HOST}{FILES}/0/{run}/artifacts/m"),
        format!("https://{HOST}/prefix{FILES}/0/{run}/artifacts/m"),
    ] {
        let made = sources.made(&source, of_run.clone()).await;
        assert_eq!((&made["source"], &made["run_id"]), (&json!(source), &json!(run)));
        assert_eq!(sources.files(&made).await, of_the_run(), "{source}");
    }
    for source in [
        format!("models:/{logged}"),
        format!("mlflow-artifacts:/0/models/{logged}/artifacts"),
        format!("http://{HOST}{FILES}/0/models/{logged}/artifacts"),
    ] {
        let made = sources.made(&source, of_logged.clone()).await;
        let said = (&made["source"], &made["model_id"], &made["run_id"]);
        assert_eq!(said, (&json!(source), &json!(logged), &json!(run)), "the run is the logged model's");
        let files = vec![("MLmodel".to_owned(), "of the logged model".to_owned())];
        assert_eq!(sources.files(&made).await, Ok(files), "{source}");
    }
    // Also of what is not read here, and only of one that there is.
    let made = sources.made("s3://b/m", of_logged).await;
    assert_eq!((&made["model_id"], &made["run_id"]), (&json!(logged), &json!(run)));
    let (status, said) = sources.make("s3://b/m", json!({ "model_id": "m-none" })).await;
    assert_eq!((status, &said["error_code"]), (404, &json!("RESOURCE_DOES_NOT_EXIST")), "{said}");
    // Outside of the run it is refused as any other place is.
    let outside = format!("http://{HOST}{FILES}/0/{}/artifacts", sources.other_run);
    let (status, said) = sources.make(&outside, of_run).await;
    assert_eq!(status, 400, "{said}");
    assert!(said["message"].as_str().unwrap().contains("does not lie inside"), "{said}");
}

#[tokio::test]
async fn a_copy_of_a_version_has_its_number_its_files_and_where_they_came_from() {
    let sources = Sources::new().await;
    let Sources { run, logged, .. } = &sources;
    let empty = json!({ "run_id": "", "run_link": "", "description": "" });
    for (source, number) in [
        ("models:/from/2", 2),
        ("models:/from/Production", 2),
        ("models:/from/production", 2),
        ("models:/from@champion", 2),
        ("models:/from/None", 3),
        ("models:/from/latest", 3),
        ("models:/from@latest", 3),
        ("models:/from/1", 1),
    ] {
        let made = sources.made(source, empty.clone()).await;
        assert_eq!(made["source"], format!("models:/from/{number}"), "{source}");
        let (run, model) = match number {
            1 => (json!(""), Value::Null),
            2 => (json!(run), Value::Null),
            _ => (json!(run), json!(logged)),
        };
        assert_eq!((&made["run_id"], made.get("model_id").unwrap_or(&Value::Null)), (&run, &model), "{source}");
        let files = match number {
            1 => Err("s3://b/1".to_owned()),
            2 => of_the_run(),
            _ => Ok(vec![("MLmodel".to_owned(), "of the logged model".to_owned())]),
        };
        assert_eq!(sources.files(&made).await, files, "{source}");
    }
    // What is sent beside may say the same again.
    sources.made("models:/from/2", json!({ "run_id": run })).await;
    sources.made("models:/from/3", json!({ "run_id": run, "model_id": logged })).await;
    // Those that were copied go, and take nothing with them.
    for version in ["1", "2"] {
        let body = json!({ "name": "from", "version": version });
        sources.served.done("DELETE", "model-versions/delete", body).await;
    }
    assert_eq!(sources.files(&json!({ "version": "1" })).await, of_the_run());
    assert_eq!(sources.files(&json!({ "version": "8" })).await, Err("s3://b/1".to_owned()));
}

/// The folder `team` of a bucket, which is on the list, and another one beside it.
async fn with_bucket() -> (TestBucket, Sources) {
    let test = TestBucket::in_memory();
    for (path, text) in [
        ("team/m/MLmodel", "of the bucket"),
        ("team/m/deep/weights", "1 2 3"),
        // As consoles of stores make folders.
        ("team/m/deep", ""),
        ("team/one.onnx", "one"),
        ("team/mm/other", "beside"),
        ("team/odd/a%2fb", "x"),
        ("team2/m/MLmodel", "not of the team"),
    ] {
        test.put(path, text.as_bytes());
    }
    test.put("team/large/weights", &[0; 3_000_001]);
    (0..=1_000).for_each(|n| test.put(&format!("team/many/{n}"), b"x"));
    test.put(&format!("team/deep/{}x", "d/".repeat(16)), b"x");
    let place = storage::Place::plain(&format!("{}/team", test.url())).unwrap();
    let served = Served::copying(Arc::new(MemoryLog::default()), vec![test.bucket.below(&place).unwrap()]).await;
    (test, Sources::of(served).await)
}

#[tokio::test]
async fn a_source_in_a_bucket_of_the_operators_list_is_copied() {
    let (test, sources) = with_bucket().await;
    let team = format!("{}/team", test.url());
    let of_bucket =
        vec![("MLmodel".to_owned(), "of the bucket".to_owned()), ("deep/weights".to_owned(), "1 2 3".to_owned())];
    let made = sources.made(&format!("{team}/m"), json!({ "run_id": sources.run })).await;
    assert_eq!((&made["source"], &made["run_id"]), (&json!(format!("{team}/m")), &json!(sources.run)));
    assert_eq!(sources.files(&made).await, Ok(of_bucket.clone()));
    assert_eq!(sources.files(&sources.made(&format!("{team}/m/"), json!({})).await).await, Ok(of_bucket.clone()));
    let one = sources.made(&format!("{team}/one.onnx"), json!({})).await;
    assert_eq!(sources.files(&one).await, Ok(vec![("one.onnx".to_owned(), "one".to_owned())]));
    // What becomes of the source changes nothing.
    test.put("team/m/MLmodel", b"other");
    test.remove("team/m/deep/weights");
    test.remove("team/one.onnx");
    assert_eq!(sources.files(&made).await, Ok(of_bucket));
    assert_eq!(sources.files(&one).await, Ok(vec![("one.onnx".to_owned(), "one".to_owned())]));
}

/// Whether it is beside the list, or has another spelling by which it might lead out of it.
#[tokio::test]
async fn a_source_that_is_not_on_the_list_is_kept_by_reference_and_not_read() {
    let (test, sources) = with_bucket().await;
    let (models, team) = (test.url(), format!("{}/team", test.url()));
    for source in [
        format!("{models}/team2/m"),
        models.clone(),
        "s3://memory/m".to_owned(),
        "s3://elsewhere/models/team/m".to_owned(),
        "gs://memory/models/team/m".to_owned(),
        format!("{team}/m?versionId=1"),
        format!("{team}/%6d"),
        format!("{team}/nothing"),
    ] {
        let made = sources.made(&source, json!({})).await;
        assert_eq!(sources.files(&made).await, Err(source));
    }
    for path in ["../team2/m", "%2e%2e/team2/m", "m/../../team2", "m//deep", "./m"] {
        let (status, said) = sources.make(&format!("{team}/{path}"), json!({})).await;
        assert_eq!(status, 400, "{path}: {said}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_model_is_not_copied() {
    let (test, sources) = with_bucket().await;
    let team = format!("{}/team", test.url());
    for (source, words) in [
        (format!("{team}/odd"), "`a%2fb` is no path of a file"),
        (format!("{team}/large"), "is larger than 2 MB"),
        (format!("{team}/many"), "more than 1000 files"),
        (team.clone(), "more than 1000 files"),
        (format!("{team}/deep"), "lies too deep"),
    ] {
        let (status, said) = sources.make(&source, json!({})).await;
        assert_eq!((status, &said["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")), "{source}: {said}");
        assert!(said["message"].as_str().unwrap().contains(words), "{said}");
    }
}

#[tokio::test]
async fn a_source_may_be_one_file() {
    let sources = Sources::new().await;
    let run = &sources.run;
    let one = vec![("weights".to_owned(), "1 2 3".to_owned())];
    for source in [format!("runs:/{run}/m/deep/weights"), format!("mlflow-artifacts:/0/{run}/artifacts/m/deep/weights")]
    {
        let made = sources.made(&source, json!({ "run_id": run })).await;
        assert_eq!(sources.files(&made).await, Ok(one.clone()), "{source}");
    }
}
