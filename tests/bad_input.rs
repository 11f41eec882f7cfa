//! A user's mistakes: every one is named with its place, both sides and what to do; nothing changes, nothing is lost.

use serde_json::json;

use crate::harness::Plumb;

#[test]
fn all_mistakes_of_a_folder_come_at_once() {
    let plumb = Plumb::demo();
    plumb.edit("features/user_features.yaml", "entity: user\n", "entity: usr\n");
    plumb.edit("features/user_features.yaml", "type: float64, description: Mean", "type: float65, description: Mean");
    plumb.edit("features/services.yaml", "user_features:total_cds", "user_features:total_cd");
    plumb.edit("features/services.yaml", "description: Adds", "descriptoin: Adds");
    let answer = plumb.run("plan");
    answer.fails(
        2,
        &[
            "4 mistakes",
            "user_features.yaml:13:",
            "did you mean `user`?",
            "`float65` is not a type",
            "did you mean `float64`?",
            "has no field `descriptoin`",
            "did you mean `description`?",
        ],
    );
    let json = plumb.run("plan --output json");
    assert_eq!(json.code, 2);
    assert_eq!(json.json()["error"]["mistakes"].as_array().unwrap().len(), 4);
}

#[test]
fn what_a_model_names_is_looked_at_with_all_other_mistakes() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    plumb.write("models/m.yaml", "kind: model\nname: m\naccepts: [repeat_purchase_v1@v7]\n");
    let told = ["models/m.yaml:3:", "`repeat_purchase_v1@v7`, of which there is no such version", "there is version 1"];
    plumb.run("plan").fails(2, &told);
    // What the data shows is looked at once what is written is sound; what else a file says is told with it.
    plumb.edit("features/user_features.yaml", "event_time: ordered_at", "event_time: orderd_at");
    plumb.run("plan").fails(2, &told);
    let sound = plumb.read("models/m.yaml").replace("@v7", "@v1");
    plumb.write("models/m.yaml", &sound);
    plumb.run("plan").fails(2, &["`orderd_at`"]);
    plumb.write("models/m.yaml", &sound.replace("@v1", "@v7"));
    plumb.edit("features/services.yaml", "description: Adds", "descriptoin: Adds");
    plumb.run("plan").fails(2, &["has no field `descriptoin`"]);
    plumb.run("plan").fails(2, &told);
}

#[test]
fn a_definition_is_checked_against_the_data() {
    let plumb = Plumb::demo();
    plumb.edit("features/user_features.yaml", "event_time: ordered_at", "event_time: orderd_at");
    plumb.run("plan").fails(2, &["has no column `orderd_at`", "did you mean `ordered_at`?"]);

    let plumb = Plumb::demo();
    plumb.edit(
        "features/user_features.sql",
        "count(*) OVER w                      AS total_orders",
        "count(*) OVER w AS orders",
    );
    plumb.run("plan").fails(2, &["it yields no column `total_orders` (a feature)"]);

    let plumb = Plumb::demo();
    plumb.edit("features/user_features.sql", "SELECT", "SELEC");
    plumb.run("plan").fails(2, &["user_features.sql:3:", "the query of feature view `user_features`"]);

    let plumb = Plumb::demo();
    plumb.edit("features/user_features.sql", "sum(cds) OVER w", "sum(cd) OVER w");
    plumb.run("plan").fails(2, &["cd", "it reads table `orders` with columns `user_id`"]);

    let plumb = Plumb::demo();
    plumb.edit("features/user_features.yaml", "{name: total_cds, type: int64", "{name: total_cds, type: int32");
    plumb.run("plan").fails(2, &["yields `total_cds` (a feature) as int64, declared int32"]);

    let plumb = Plumb::demo();
    plumb.edit("features/user_features.yaml", "event_time: event_time\n", "");
    plumb.run("plan").fails(2, &["has no event time", "event_time: <column>"]);

    let plumb = Plumb::demo();
    plumb.edit("features/user_features.yaml", "date_part('epoch', request_time)", "date_part('epoch', now())");
    plumb.run("plan").fails(2, &["`now`, which gives another answer each time", "use `request_time`"]);

    let plumb = Plumb::demo();
    plumb.write("data/orders.parquet", "this is no Parquet");
    plumb.run("plan").fails(2, &["reading `data/orders.parquet`"]);

    let plumb = Plumb::demo();
    std::fs::remove_file(plumb.path().join("data/orders.parquet")).unwrap();
    plumb.run("plan").fails(2, &["there is no file `data/orders.parquet`"]);
}

/// FT T14, T15: what a definition may not do, and what would take down whoever plans it.
#[test]
fn a_definition_only_computes() {
    let query = |sql: &str, words: &[&str]| {
        let plumb = Plumb::demo();
        plumb.write("features/user_features.sql", sql);
        plumb.run("plan").fails(2, &[&["user_features"], words].concat());
    };
    query("COPY orders TO 'stolen.csv'", &["not supported"]);
    query("INSERT INTO orders SELECT * FROM orders", &["not supported"]);
    query("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", &["not supported"]);
    query("SET datafusion.execution.batch_size = 1", &["not supported"]);
    query("SELECT * FROM '/etc/passwd'", &["passwd"]);
    query("SELECT *, random() AS r FROM orders", &["`random`, which gives another answer each time"]);
    query(&format!("SELECT 1{} AS x FROM orders", " + 1".repeat(50_000)), &["chains more than 500 operators"]);
    let expr = |expr: &str, words: &[&str]| {
        let plumb = Plumb::demo();
        plumb.edit("features/user_features.yaml", "date_part('epoch', request_time)", expr);
        plumb.run("plan").fails(2, &[&["days_since_last_order"], words].concat());
    };
    expr(&format!("1{}", " + 1".repeat(50_000)), &["chains more than 500 operators"]);
    expr(&format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000)), &[]);
    expr("(SELECT 1)", &[]);
}

/// FT 31 and T16: bodies that are more than they seem.
#[test]
fn bodies_that_expand_or_nest_are_refused() {
    let plumb = Plumb::demo_online();
    let server = plumb.serve();
    for path in ["/v1/features", "/v1/views/user_features/push", "/get-online-features"] {
        for body in [
            "[".repeat(100_000),
            "{\"a\":".repeat(100_000),
            format!("{{\"entities\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000)),
            format!("{{\"features\": [\"x\"], \"entities\": {{\"user_id\": {}}}}}", "[".repeat(500_000)),
        ] {
            let (status, answer) = server.post(path, &body);
            assert!((400..500).contains(&status), "{path}: {status} {answer}");
        }
        // Compressed bodies are not taken: so none expands.
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let zipped = [&[0x1f_u8, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], [0xff_u8; 64].as_slice()].concat();
        let response = agent.post(format!("{}{path}", server.url)).header("content-encoding", "gzip").send(&zipped[..]);
        let status = response.unwrap().status().as_u16();
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    assert_eq!(server.get("/livez").0, 200);
    server.stop();
}

/// FT T29: what a file says does not steer the terminal.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    let plumb = Plumb::demo();
    plumb.edit("features/user_features.yaml", "entity: user\n", "\"\\e]0;owned\\a\\e[31m\": 1\nentity: user\n");
    let answer = plumb.run("plan");
    answer.fails(2, &["owned", "has no field"]);
    let plumb = Plumb::demo();
    plumb.edit("features/services.yaml", "description: Adds", "description: \"\\e[2J\\r\\b Adds\" # ");
    let planned = plumb.run("plan").ok();
    for text in [&answer.stdout, &answer.stderr, &planned.stdout, &planned.stderr] {
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}

#[test]
fn a_migration_must_arrive() {
    let plumb = Plumb::demo();
    plumb.edit(
        "features/services.yaml",
        "- {add: total_cds, default: 0, when_missing: null}",
        "- {drop: total_orders}",
    );
    plumb.run("plan").fails(2, &["the migration from `repeat_purchase_v1` ends at", "but the service is"]);
}

#[test]
fn no_project_no_terminal_no_such_name() {
    let plumb = Plumb::empty();
    plumb.run("plan").fails(2, &["there is no project in", "plumb init"]);
    let plumb = Plumb::demo();
    plumb.run("apply").fails(2, &["no terminal to ask on", "plumb apply --yes"]);
    plumb.run("materialize").fails(2, &["no feature view is applied", "plumb apply"]);
    plumb.run("apply --yes").ok();
    plumb.run("materialize user_feature").fails(2, &["did you mean `user_features`?"]);
    plumb.run("features get user_features:total_order --entity user_id=1").fails(2, &["did you mean `total_orders`?"]);
    plumb
        .run("features get user_features:total_orders --entity user=1")
        .fails(2, &["no join key", "did you mean `user_id`?"]);
    plumb
        .run("features get user_features:total_orders --entity user_id=x")
        .fails(2, &["the text \"x\", but the join key is int64"]);
    plumb.run("model promote nobody 1").fails(2, &["there is no model `nobody`"]);
    plumb.run("frobnicate").fails(2, &["frobnicate"]);
    let answer = plumb.run("frobnicate --output json");
    assert_eq!((answer.code, &answer.json()["error"]["code"]), (2, &json!("usage")));
}

#[test]
fn files_of_other_programs_are_left_alone_and_named() {
    let plumb = Plumb::demo();
    plumb.write("feature_store.yaml", "project: shop\nprovider: local\nonline_store: {type: sqlite}\n");
    plumb.write("deploy/docker-compose.yml", "services:\n  db: {image: postgres}\n");
    let plan = plumb.run("plan").ok();
    let named = "`deploy/docker-compose.yml` and `feature_store.yaml` have nothing of a definition, and left alone";
    assert!(plan.stderr.contains(named), "{plan:?}");
    plumb.run("apply --yes").ok();
    let doctor = plumb.run("doctor --output json").json();
    assert!(doctor.to_string().contains("have nothing of a definition"), "{doctor}");
    // What has something of one is no other program's.
    plumb.write("features/slip.yaml", "knd: entity\nname: shop\n");
    plumb.run("plan").fails(2, &["features/slip.yaml:1", "lacks `kind`"]);
}

#[test]
fn numbers_that_ask_for_nothing_are_refused() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    plumb.run("materialize --jobs 0").fails(2, &["--jobs"]);
    let build = "training-set build --service repeat_purchase_v1 --spine spine.sql --out";
    plumb.run(&format!("{build} o.parquet --memory 0")).fails(2, &["nothing is built without memory"]);
    plumb.run(&format!("{build} o.parquet --memory 0GB")).fails(2, &["nothing is built without memory"]);
    plumb.run(&format!("{build} o.csv")).fails(2, &["Parquet or Arrow, not .csv", "write o.parquet"]);
}

#[test]
fn a_spine_that_does_not_fit_is_refused_before_any_work() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    plumb.write("text_keys.csv", "user_id,event_time\nabc,1997-05-01T00:00:00Z\n");
    plumb.write("no_time.csv", "user_id,when\n1,1997-05-01T00:00:00Z\n");
    plumb.write("taken.csv", "user_id,event_time,total_orders\n1,1997-05-01T00:00:00Z,3\n");
    let build = |spine: &str| {
        let out = plumb.path().join("out.parquet");
        let spine = plumb.path().join(spine);
        plumb.run(&format!(
            "training-set build --service repeat_purchase_v1 --spine {} --out {}",
            spine.display(),
            out.display()
        ))
    };
    build("text_keys.csv").fails(2, &["text_keys.csv`, line 2: `abc` is no int64, column `user_id`"]);
    build("no_time.csv").fails(2, &["has no column `event_time` and `event_timestamp`", "--event-time"]);
    build("taken.csv").fails(2, &["column `total_orders` has the name of a feature"]);
    build("absent.csv").fails(2, &["there is no file"]);
    let nowhere = plumb.path().join("nowhere/out.parquet");
    let spine = plumb.path().join("text_keys.csv");
    plumb
        .run(&format!(
            "training-set build --service repeat_purchase_v1 --spine {} --out {}",
            spine.display(),
            nowhere.display()
        ))
        .fails(2, &["there is no folder", "nowhere"]);
    assert!(!plumb.path().join("out.parquet").exists());
}

#[test]
fn a_model_that_does_not_fit_is_refused() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let register = |file: &str| {
        let file = plumb.model(file);
        plumb.run(&format!("model register m {} --service repeat_purchase_v1", file.display()))
    };
    register("test/corrupt.onnx").fails(2, &["corrupt.onnx"]);
    register("test/wrong_width.onnx")
        .fails(2, &["does not fit feature service `repeat_purchase_v1`", "FP32[N, 7]", "3 features"]);
    register("test/string_input.onnx").fails(2, &["does not fit"]);
    register("test/nothing.onnx").fails(2, &["nothing.onnx"]);
    assert_eq!(plumb.json("model list")["versions"], json!([]));
}

#[test]
fn http_says_what_is_wrong_and_never_5xx() {
    let plumb = Plumb::demo_online();
    plumb
        .run(&format!("model register m {} --service repeat_purchase_v1", plumb.model("test/linear.onnx").display()))
        .ok();
    plumb.run("model promote m 1").ok();
    let server = plumb.serve();
    let predict = "/v1/models/m/predict";
    for (path, body, status, code) in [
        (predict, "{", 422, "not_json"),
        (predict, "[]", 422, "wrong_json"),
        (predict, "{}", 422, "wrong_json"),
        (predict, r#" [{"user_id": [1]}, {}, null]"#, 422, "wrong_json"),
        (predict, r#"{"entities": {"user_id": [1], "user_id": [2]}}"#, 422, "wrong_json"),
        (predict, r#"{"entities": {}}"#, 422, "missing_join_key"),
        (predict, r#"{"entities": {"user_id": []}}"#, 422, "empty_entities"),
        (predict, r#"{"entities": {"user_id": 1}}"#, 422, "wrong_json"),
        (predict, r#"{"entities": {"user_id": ["1"]}}"#, 422, "wrong_key_type"),
        (predict, r#"{"entities": {"user_id": [1.5]}}"#, 422, "wrong_key_type"),
        (predict, r#"{"entities": {"user_id": [9223372036854775808]}}"#, 422, "wrong_key_type"),
        (predict, r#"{"entities": {"uid": [1]}}"#, 422, "unknown_join_key"),
        (predict, r#"{"entities": {"user_id": [1]}, "as_of": "noon"}"#, 422, "wrong_time"),
        (predict, r#"{"entities": {"user_id": [1]}, "as_of": "1990-01-01T00:00:00Z"}"#, 422, "invalid_input"),
        (predict, r#"{"entities": {"user_id": [1]}, "context": {"x": 1}}"#, 422, "unknown_context"),
        (predict, r#"{"entities": {"user_id": [1]}, "contxt": {}}"#, 422, "wrong_json"),
        ("/v1/models/nobody/predict", r#"{"entities": {"user_id": [1]}}"#, 404, "unknown_model"),
        ("/v1/features", r#"{"entities": {"user_id": [1]}}"#, 422, "no_features"),
        ("/v1/features", r#"{"service": "nope", "entities": {"user_id": [1]}}"#, 404, "unknown_service"),
        ("/v1/features", r#"{"features": ["nope:x"], "entities": {"user_id": [1]}}"#, 404, "unknown_view"),
        ("/v1/features", r#"{"features": ["user_features:x"], "entities": {"user_id": [1]}}"#, 404, "unknown_feature"),
        ("/v1/features", r#"{"features": ["x"], "entities": {"user_id": [1]}}"#, 422, "wrong_reference"),
        // Nothing behind a second colon is dropped.
        (
            "/v1/features",
            r#"{"features": ["user_features:total_orders:x"], "entities": {"user_id": [1]}}"#,
            404,
            "unknown_feature",
        ),
        (
            "/v1/features",
            r#"{"service": "repeat_purchase_v1:x", "entities": {"user_id": [1]}}"#,
            404,
            "unknown_service",
        ),
        ("/v1/training-sets", r#"{"service": "repeat_purchase_v1:x", "spine": []}"#, 404, "unknown_service"),
        ("/v1/training-sets", r#"{"service": "repeat_purchase_v1@v1:x", "spine": []}"#, 404, "unknown_service"),
        ("/v1/views/user_features:x/push", r#"{"rows": {"user_id": [1]}}"#, 404, "unknown_view"),
        (predict, r#"{"entities": {"user_id": [1]}, "context": {"x": 1, "x": 2}}"#, 422, "wrong_json"),
        (
            "/v1/features",
            r#"{"service": "repeat_purchase_v1", "entities": {"user_id": [1]}, "context": {"x": 1, "x": 2}}"#,
            422,
            "wrong_json",
        ),
        ("/nowhere", "{}", 404, "not_found"),
        ("/v1/models", "{}", 405, "method_not_allowed"),
    ] {
        let (got, answer) = server.post(path, body);
        assert_eq!((got, answer["error"]["code"].as_str()), (status, Some(code)), "{path} {body}: {answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    // A null key is no mistake: nothing is known of nobody.
    let (status, answer) = server.post(predict, r#"{"entities": {"user_id": [null, 1]}}"#);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["features"]["total_orders"]["statuses"][0], "NOT_FOUND");
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("plumb_http_requests_total"), "{metrics}");
    server.stop();
}

#[test]
fn what_names_nothing_is_no_name() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    // Variables that nobody set.
    plumb.run("model list --registry ''").fails(2, &["--registry"]);
    plumb.run("registry verify --head ''").fails(2, &["is no hash of an event", "8 of its hexadecimal digits"]);
    plumb.run("registry verify --head 0").fails(2, &["is no hash of an event"]);
    let wrong = plumb.run("registry verify --head 00000000");
    assert!(wrong.code == 1 && wrong.stdout.contains("no event has the hash"), "{wrong:?}");
    plumb.write("empty", "");
    let hook = format!(
        "webhook create w --url https://example.com/ --topic model_version.transitioned --secret-file {}",
        plumb.path().join("empty").display()
    );
    plumb.run(&hook).fails(2, &["is empty", "--secret-file"]);
}

#[test]
fn what_is_no_file_is_no_model() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    plumb.run("model register m /dev/zero --service repeat_purchase_v1").fails(2, &["/dev/zero", "is no plain file"]);
    // Nobody writes into it.
    let pipe = plumb.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    plumb.run(&format!("model register m {}", pipe.display())).fails(2, &["is no plain file"]);
    let folder = plumb.path().join("two");
    std::fs::create_dir(&folder).unwrap();
    for name in ["a.onnx", "b.onnx"] {
        std::fs::copy(plumb.model("repeat_purchase_v1.onnx"), folder.join(name)).unwrap();
    }
    plumb.run(&format!("model register m {}", folder.display())).fails(2, &["2 ONNX files", "`model.onnx`"]);
    plumb.write("golden.json", "[]");
    let (file, golden) = (plumb.model("repeat_purchase_v1.onnx"), plumb.path().join("golden.json"));
    let line = format!("model register m {} --golden {}", file.display(), golden.display());
    plumb.run(&line).fails(2, &["has no rows"]);
}

#[test]
fn who_stops_reading_or_has_no_room_loses_an_answer_and_nothing_else() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Stdio;
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let mut closed =
        plumb.command("registry log --output json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Before anything is written.
    drop(closed.stdout.take());
    let ended = closed.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(0), &b""[..]));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = plumb.command("model list").stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(3) && said.contains("the answer cannot be written"), "{said}");
    // A word that is no text.
    let mut command = plumb.command("model register");
    command.arg(std::ffi::OsStr::from_bytes(b"bad\xff")).arg("f");
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn shells_complete_command_lines() {
    let plumb = Plumb::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = plumb.run(&format!("completions {shell}")).ok().stdout;
        assert!(script.contains("promote") && script.contains("webhook"), "{shell}");
    }
    plumb.write("plumb.bash", &plumb.run("completions bash").ok().stdout);
    let complete =
        "source plumb.bash; COMP_WORDS=(plumb model pro); COMP_CWORD=2; _plumb plumb pro model; echo ${COMPREPLY[@]}";
    let said = std::process::Command::new("bash").args(["-c", complete]).current_dir(plumb.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "promote", "{said:?}");
    // What is to be pasted has no marks of the documentation in it.
    let help = plumb.run("erase --help").ok().stdout;
    assert!(help.contains("plumb erase --entity user_id=42 --yes"), "{help}");
    plumb.run("completions tcsh").fails(2, &["tcsh"]);
}

#[test]
fn a_log_that_is_cut_says_so() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    for n in 0..3 {
        plumb
            .run(&format!(
                "model register m{n} {} --service repeat_purchase_v1",
                plumb.model("repeat_purchase_v1.onnx").display()
            ))
            .ok();
    }
    let cut = plumb.run("registry log --limit 2");
    assert!(cut.code == 0 && cut.stderr.contains("there are more: --after 2"), "{cut:?}");
    assert_eq!(plumb.json("registry log --limit 2")["more"], json!(true));
    assert_eq!(plumb.json("registry log --limit 4")["more"], json!(false));
    assert_eq!(plumb.json("registry log --limit 9")["more"], json!(false));
}

#[test]
fn a_registry_that_is_named_and_not_there_is_not_made_by_who_only_looks() {
    let plumb = Plumb::demo();
    let typo = plumb.path().join("typo.db");
    let named = |words: &str| plumb.run(&format!("--registry {} {words}", typo.display()));
    for words in
        ["plan", "model list", "model promote m 1", "training-set list", "webhook list", "registry log", "materialize"]
    {
        named(words).fails(2, &["there is no registry", "typo.db", "plumb apply makes one"]);
        assert!(!typo.exists(), "{words}");
    }
    named("apply --yes").ok();
    named("model list").ok();
    // What the machine does not allow is no reason to try again.
    for place in ["/sys/plumb.db", "/sys/plumb/registry.db"] {
        let refused = plumb.run(&format!("--registry {place} apply --yes -o json"));
        assert_eq!((refused.code, &refused.json()["error"]["code"]), (3, &json!("environment")), "{refused:?}");
    }
}

#[test]
fn what_was_registered_before_keeps_its_words_and_what_comes_back_its_name_alone() {
    let plumb = Plumb::demo();
    plumb.run("apply --yes").ok();
    let file = plumb.model("repeat_purchase_v1.onnx");
    let register = |words: &str| {
        let line = format!("model register m {} --service repeat_purchase_v1 --description {words}", file.display());
        plumb.run(&line)
    };
    assert!(!register("first").stderr.contains("keeps its description"));
    let again = register("second");
    assert!(again.code == 0 && again.stderr.contains("plumb model describe m 1"), "{again:?}");
    plumb.run("model delete m 1").ok();
    let back = plumb.run("model restore m 1");
    assert!(back.code == 0 && back.stderr.contains("plumb model alias"), "{back:?}");
}
