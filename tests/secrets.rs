//! Secrets stay where they were written (threat T20). Method: passwords and keys are unmistakable words, given by the environment
//! as `plumb.yaml` allows; a project goes through its whole life with them, right and wrong, logging all that there is to log.
//! They are then looked for in everything that was printed, answered, logged and stored.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;

use featurestore::online::testing::TestRedis;
use serde_json::json;

use crate::harness::{Answer, Plumb, Server};

/// The password of Redis, one that it has later, and one that it never had; the keys of an object store.
const RIGHT: &str = "canary-right-7101";
const LATER: &str = "canary-later-7102";
const WRONG: &str = "canary-wrong-7103";
const KEY: &str = "canary-storage-7104";
const TOKEN: &str = "canary-session-7105";
/// Breaks the line of YAML that it is put into.
const ODD: &str = "canary-odd-7106\": [";
const CANARY: &str = "canary-";

/// Everything that was said, with who said it.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn hears(&mut self, who: &str, what: impl Into<String>) {
        self.0.push((who.to_owned(), what.into()));
    }

    fn answer(&mut self, who: &str, answer: Answer) -> Answer {
        self.hears(who, format!("{}\n{}", answer.stdout, answer.stderr));
        answer
    }

    #[track_caller]
    fn is_silent(&self) {
        assert!(self.0.iter().map(|(_, said)| said.len()).sum::<usize>() > 10_000, "something was said");
        for (who, said) in &self.0 {
            let found = said.lines().find(|line| line.to_ascii_lowercase().contains(CANARY));
            assert!(found.is_none(), "{who} said a secret: {}", found.unwrap_or_default());
        }
    }
}

fn run(plumb: &Plumb, line: &str, password: &str) -> Answer {
    let mut command = plumb.command(line);
    command.envs([("STORE_PASSWORD", password), ("STORE_KEY", KEY), ("STORE_TOKEN", TOKEN), ("PLUMB_LOG", "trace")]);
    command.output().unwrap().into()
}

/// The demo on a Redis with a password, and a source of an object store that nobody answers for.
fn project(redis: &TestRedis, login: &str) -> Plumb {
    let plumb = Plumb::demo();
    let online = format!("online: {{kind: redis, {}, timeout: 5s}}", login.replace("PORT", &redis.port().to_string()));
    plumb.edit("plumb.yaml", "online: {kind: embedded, path: .plumb/online}", &online);
    let storage = "storage: {retries: 0, s3: {endpoint: 'http://127.0.0.1:1', region: us-east-1, allow_http: true, \
                   access_key_id: somebody, secret_access_key: '${STORE_KEY}', session_token: '${STORE_TOKEN}'}}\n";
    plumb.write("plumb.yaml", &(plumb.read("plumb.yaml") + storage));
    plumb
}

/// Commands to Redis over a connection that knows the password.
fn told(redis: &TestRedis, password: &str, commands: &[&str]) {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).unwrap();
    let all = format!("AUTH {password}\r\n{}\r\n", commands.join("\r\n"));
    stream.write_all(all.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    for _ in 0..=commands.len() {
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with('+') || line.starts_with(':'), "{line}");
    }
}

/// Every file of the project but the one that names the variables.
fn stored(folder: &Path, said: &mut Said) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            stored(&path, said);
        } else if let Ok(bytes) = std::fs::read(&path) {
            said.hears(&path.display().to_string(), String::from_utf8_lossy(&bytes));
        }
    }
}

fn served(plumb: &Plumb, redis: &TestRedis, said: &mut Said) {
    let log = plumb.path().join("serve.log");
    let mut command = plumb.command("serve --http 127.0.0.1:0");
    command.envs([("STORE_PASSWORD", RIGHT), ("STORE_KEY", KEY), ("STORE_TOKEN", TOKEN), ("PLUMB_LOG", "trace")]);
    let server = Server::start_logging(command, &log);
    let features = json!({ "features": ["user_features:total_orders"], "entities": { "user_id": [4] } }).to_string();
    let asked = |said: &mut Said| {
        let posts = [
            ("/v1/features", features.as_str()),
            ("/get-online-features", features.as_str()),
            ("/v1/materialize", "{}"),
            ("/materialize", "{\"disable_event_timestamp\": true}"),
            ("/v1/views/user_features/push", "{\"rows\": {}}"),
            ("/v1/models/none/predict", "{\"entities\": {\"user_id\": [4]}}"),
            ("/nothing", "{}"),
        ];
        let codes: Vec<u16> = posts
            .iter()
            .map(|(path, body)| {
                let (status, answer) = server.post(path, body);
                said.hears(path, format!("{status} {answer}"));
                status
            })
            .collect();
        for path in ["/metrics", "/readyz", "/livez", "/health", "/v1/models", "/openapi", "/openapi.json"] {
            let (status, text) = server.get(path);
            said.hears(path, format!("{status} {text}"));
        }
        codes
    };
    let codes = asked(said);
    assert_eq!(codes[..4], [200, 200, 200, 200], "{codes:?}");
    // The password is changed, and everybody is sent out.
    told(redis, RIGHT, &[&format!("CONFIG SET requirepass {LATER}"), "CLIENT KILL TYPE normal SKIPME yes"]);
    let codes = asked(said);
    assert_eq!(codes[..4], [503, 503, 503, 503], "{codes:?}");
    server.stop();
    told(redis, LATER, &[&format!("CONFIG SET requirepass {RIGHT}")]);
}

#[test]
fn a_password_is_in_nothing_that_is_printed_answered_logged_or_stored() {
    let logins = [
        "url: 'redis://:${STORE_PASSWORD}@127.0.0.1:PORT'",
        "url: 'redis://127.0.0.1:PORT', password: '${STORE_PASSWORD}'",
    ];
    for login in logins {
        let redis = TestRedis::with(&["--requirepass", RIGHT]);
        let plumb = project(&redis, login);
        let mut said = Said::default();
        for line in [
            "plan",
            "apply --yes --output json",
            "materialize",
            "features get user_features:total_orders --entity user_id=4 --output json",
            "features explain user_features --entity user_id=4",
            "doctor --output json",
        ] {
            said.answer(line, run(&plumb, line, RIGHT)).ok();
        }
        served(&plumb, &redis, &mut said);
        // Who comes with a wrong one.
        for line in ["materialize", "serve --http 127.0.0.1:0", "materialize --output json"] {
            let refused = said.answer(line, run(&plumb, line, WRONG));
            assert_eq!(refused.code, 3, "{refused:?}");
            assert!(format!("{}{}", refused.stdout, refused.stderr).contains("online_store_auth"), "{refused:?}");
        }
        said.answer("doctor", run(&plumb, "doctor", WRONG));
        // A store of objects that cannot be asked.
        plumb.edit("features/user_features.yaml", "path: data/orders.parquet", "path: s3://shop/orders/*.csv");
        for line in ["plan", "plan --output json", "doctor"] {
            let refused = said.answer(line, run(&plumb, line, RIGHT));
            assert_ne!(refused.code, 0, "{refused:?}");
        }
        stored(plumb.path(), &mut said);
        said.is_silent();
    }
}

/// Mistakes in the file itself: they say where, and not what stands there.
#[test]
fn a_mistake_beside_a_password_does_not_quote_it() {
    let redis = TestRedis::with(&["--requirepass", RIGHT]);
    let mut said = Said::default();
    for (login, password, word) in [
        ("url: 'redis://:${STORE_PASSWORD}@127.0.0.1:port'", RIGHT, "this is not a Redis URL"),
        ("url: 'redis//:${STORE_PASSWORD}@127.0.0.1:PORT'", RIGHT, "this is not a Redis URL"),
        ("url: 'redis://127.0.0.1:PORT', pasword: '${STORE_PASSWORD}'", RIGHT, "`pasword`"),
        ("url: 'redis://127.0.0.1:PORT', password: ['${STORE_PASSWORD}']", RIGHT, "expected a text, found a list"),
        ("url: 'redis://127.0.0.1:PORT', password: {a: '${STORE_PASSWORD}'}", RIGHT, "expected a text"),
        ("url: \"redis://:${STORE_PASSWORD}@127.0.0.1:PORT\"", ODD, "plumb.yaml"),
        ("url: 'redis://127.0.0.1:PORT', password: ${STORE_PASSWORD}", ODD, "plumb.yaml"),
    ] {
        let plumb = project(&redis, login);
        for line in ["plan", "plan --output json"] {
            let refused = said.answer(login, run(&plumb, line, password));
            assert_eq!(refused.code, 2, "{login}: {refused:?}");
            assert!(format!("{}{}", refused.stdout, refused.stderr).contains(word), "{login}: {refused:?}");
        }
    }
    said.hears("filler", "x".repeat(10_001));
    said.is_silent();
}
