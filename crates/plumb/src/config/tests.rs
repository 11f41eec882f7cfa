//! `plumb.yaml`, read right and wrong.

use std::time::Duration;

use featurestore::online::redis::RedisServers;
use serving::tuner::Mode;

use super::*;

fn read(text: &str) -> (Option<Config>, Vec<String>) {
    let mut mistakes = Vec::new();
    let get = |name: &str| (name == "REDIS_URL").then(|| "redis://localhost".to_owned());
    let text = with_environment(text, get, &mut mistakes);
    let environment = [("AWS_REGION".to_owned(), "eu-west-1".to_owned()), ("AWS_PROFILE".to_owned(), "x".to_owned())];
    let config = parse(&text, Path::new("/p"), &environment, &mut mistakes);
    (config, mistakes.iter().map(ToString::to_string).collect())
}

#[test]
fn a_name_is_enough() {
    let (config, mistakes) = read("project: shop\n");
    assert_eq!(mistakes, Vec::<String>::new());
    assert!(matches!(config.unwrap().online, OnlineConfig::Embedded { path } if path == Path::new("/p/.plumb/online")));
}

#[test]
fn values_come_from_the_environment_but_not_in_comments() {
    let (config, mistakes) = read("project: shop # not ${THIS}\nonline: {kind: redis, url: \"${REDIS_URL}\"}\n");
    assert_eq!(mistakes, Vec::<String>::new());
    assert!(
        matches!(config.unwrap().online, OnlineConfig::Redis(redis) if matches!(&redis.servers, RedisServers::One(url) if url.to_string() == "redis://localhost:6379"))
    );
    let (_, mistakes) = read("project: shop\nonline: {kind: redis, url: \"${NOPE}\"}\n");
    assert!(mistakes[0].starts_with("plumb.yaml:2:29: the environment has no variable `NOPE`"), "{mistakes:?}");
}

/// Every word of a setting that the code reads is in the reference, and what the reference shows is read.
#[test]
fn the_reference_has_every_setting() {
    let reference = include_str!("../../../../docs/plumb-yaml.md");
    let code = [
        include_str!("../config.rs"),
        include_str!("artifacts.rs"),
        include_str!("feast_answers.rs"),
        include_str!("query.rs"),
        include_str!("redis.rs"),
        include_str!("registry.rs"),
        include_str!("storage.rs"),
        include_str!("webhooks.rs"),
    ];
    let mut n_words = 0;
    for code in code {
        // Every other part of a text that is cut at quotes is between two of them.
        let literals = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| line.split('"').skip(1).step_by(2));
        for word in literals.filter(|word| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b))
        }) {
            n_words += 1;
            let said = [format!("`{word}`"), format!("{word}:")].iter().any(|said| reference.contains(said.as_str()));
            // Who did it, where nobody says; the code of an error.
            assert!(said || ["unknown", "no_project"].contains(&word), "`{word}` is not in docs/plumb-yaml.md");
        }
    }
    assert!(n_words > 60, "{n_words} words of settings were found");
    let examples: Vec<&str> =
        reference.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        let (config, mistakes) = read(example);
        assert!(config.is_some() && mistakes.is_empty(), "{example}: {mistakes:?}");
    }
}

#[test]
fn the_largest_file_of_mlflows_clients_is_a_setting() {
    assert_eq!(read("project: shop\n").0.unwrap().artifacts.upload_bytes_max, 10_240 << 20);
    let (config, mistakes) = read("project: shop\nartifacts: {upload_mb: 64}\n");
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let config = config.unwrap();
    assert_eq!(config.artifacts.upload_bytes_max, 64 << 20);
    assert!(config.artifacts.path.ends_with(".plumb/artifacts"));
    let (_, mistakes) = read("project: shop\nartifacts: {upload_mb: -1}\nregistry: {upload_mb: 1}\n");
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
}

#[test]
fn files_of_models_may_be_in_a_bucket() {
    let (config, mistakes) =
        read("project: shop\nartifacts: {url: 's3://models/shop/', copy_from: ['gs://team', 's3a://b/x']}\n");
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let artifacts = config.unwrap().artifacts;
    assert_eq!(artifacts.bucket.map(|place| place.to_string()), Some("s3://models/shop".to_owned()));
    assert_eq!(artifacts.copy_from.iter().map(ToString::to_string).collect::<Vec<_>>(), ["gs://team/", "s3a://b/x"]);
    assert!(artifacts.path.ends_with(".plumb/artifacts"), "copies, and files of runs");
    for (url, words) in [
        ("models", "this is no URL of a bucket"),
        ("s3//key:canary-1@b", "this is no URL of a bucket"),
        ("file:///models", "nothing here reads `file://`"),
        ("s3://key:canary-1@b/x", "has no user, password or port"),
        ("az://c/x?sig=canary-1", "its path holds `?`"),
        ("s3://b/../x", "`.` or `..`"),
    ] {
        for setting in [format!("url: '{url}'"), format!("copy_from: ['s3://fine', '{url}']")] {
            let (_, mistakes) = read(&format!("project: shop\nartifacts: {{{setting}}}\n"));
            assert_eq!(mistakes.len(), 1, "{setting}: {mistakes:?}");
            assert!(mistakes[0].starts_with("plumb.yaml:2:") && mistakes[0].contains(words), "{mistakes:?}");
            assert!(!mistakes[0].contains("canary-1"), "{mistakes:?}");
        }
    }
}

#[test]
fn schemes_that_connect_somewhere_are_allowed_one_by_one() {
    let (config, mistakes) = read("project: shop\nartifacts: {allowed_schemes: [hdfs, ABFSS]}\n");
    assert!(mistakes.is_empty(), "{mistakes:?}");
    assert_eq!(config.unwrap().artifacts.allowed_schemes, ["hdfs", "abfss"]);
    assert_eq!(read("project: shop\n").0.unwrap().artifacts.allowed_schemes, Vec::<String>::new());
    let (_, mistakes) = read("project: shop\nartifacts: {allowed_schemes: [s3]}\n");
    assert!(mistakes.len() == 1 && mistakes[0].contains("plumb.yaml:2:31"), "{mistakes:?}");
}

#[test]
fn every_mistake_has_its_place() {
    let (_, mistakes) = read("projekt: shop\nclock: {now: noon}\nonline: {kind: rediss}\n");
    assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
    assert!(mistakes.iter().any(|m| m.contains("plumb.yaml:3:16")), "{mistakes:#?}");
}

#[test]
fn what_feasts_answers_say_of_nan_is_chosen() {
    let said = |text: &str| read(&format!("project: shop\n{text}")).0.map(|config| config.non_finite);
    assert_eq!(said(""), Some(NonFinite::Text));
    assert_eq!(said("feast_answers: {non_finite: text}\n"), Some(NonFinite::Text));
    assert_eq!(said("feast_answers: {non_finite: invalid}\n"), Some(NonFinite::Invalid));
    let (_, mistakes) = read("project: shop\nfeast_answers: {non_finite: invalit}\n");
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].contains("did you mean `invalid`?"), "{mistakes:?}");
}

fn redis(text: &str) -> (Option<RedisConfig>, Vec<String>) {
    let (config, mistakes) = read(&format!("project: shop\nonline:\n  kind: redis\n{text}"));
    let config = config.map(|config| match config.online {
        OnlineConfig::Redis(config) => *config,
        OnlineConfig::Embedded { .. } => panic!("the default took its place"),
    });
    (config, mistakes)
}

#[test]
fn redis_is_one_server_a_cluster_or_watched() {
    let (config, mistakes) =
        redis("  url: rediss://u:p@host:1/2\n  tls: {ca: ca.pem, cert: c.pem, key: /k.pem}\n  timeout: 250ms\n");
    assert_eq!(mistakes, Vec::<String>::new());
    let config = config.unwrap();
    assert_eq!((config.timeout.as_millis(), config.replicas), (250, 0));
    assert_eq!(config.tls.ca.as_deref(), Some(Path::new("/p/ca.pem")));
    assert_eq!(config.tls.identity, Some(("/p/c.pem".into(), "/k.pem".into())));
    assert!(matches!(&config.servers, RedisServers::One(url) if url.to_string() == "rediss://host:1/2"));

    let (config, mistakes) = redis("  cluster: [\"${REDIS_URL}:1\", redis://b:2]\n  username: u\n  password: p\n");
    assert_eq!(mistakes, Vec::<String>::new());
    let config = config.unwrap();
    assert_eq!(config.login.username.as_deref(), Some("u"));
    assert!(
        matches!(&config.servers, RedisServers::Cluster(urls) if urls.len() == 2 && urls[0].to_string() == "redis://localhost:1")
    );

    let sentinel = "{master: m, urls: [redis://a:26379], username: s, password: q}";
    let (config, mistakes) = redis(&format!("  sentinel: {sentinel}\n  password: p\n  database: 3\n  replicas: 1\n"));
    assert_eq!(mistakes, Vec::<String>::new());
    let config = config.unwrap();
    assert_eq!((config.database, config.replicas, config.login.password.as_deref()), (Some(3), 1, Some("p")));
    let RedisServers::Sentinel { master, login, .. } = &config.servers else { panic!("{config:?}") };
    assert_eq!((master.as_str(), login.username.as_deref()), ("m", Some("s")));
}

#[test]
fn mistakes_about_redis_have_places_and_hints_and_no_passwords() {
    let check = |text: &str, want: expect_test::Expect| {
        let (_, mistakes) = redis(text);
        let text = mistakes.join("\n");
        assert!(!text.contains("s3cret"), "{text}");
        want.assert_eq(&text);
    };
    check("  timeout: 1s\n", expect_test::expect!["plumb.yaml:3:3: the online store lacks `url`"]);
    check(
        "  url: redis://a\n  cluster: [redis://b]\n",
        expect_test::expect![[r#"
        plumb.yaml:3:3: the online store has more than one of `url`, `cluster` and `sentinel`
          hint: keep the one that says how the servers are run"#]],
    );
    check(
        "  url: u:s3cret@host\n",
        expect_test::expect![[r#"
        plumb.yaml:4:8: this is not a Redis URL: it has no scheme
          hint: write redis://[user:password@]host[:port][/database], or rediss:// for TLS"#]],
    );
    check(
        "  url: rediss://u:s3cret@host#insecure\n",
        expect_test::expect![[r#"
        plumb.yaml:4:8: this is not a Redis URL: it has a `#`: certificates are always checked, and a `#` in a password is written %23
          hint: write redis://[user:password@]host[:port][/database], or rediss:// for TLS"#]],
    );
    check(
        "  cluster: []\n",
        expect_test::expect![[r#"
        plumb.yaml:4:12: expected at least one URL, found a list
          hint: write [redis://host:port, ...]; the rest is found from there"#]],
    );
    check(
        "  cluster: [redis://:s3cret@a, rediss://b]\n",
        expect_test::expect![
            "plumb.yaml:3:3: the settings of the online store: some URLs are `redis://` and some `rediss://`: either all connections are encrypted or none"
        ],
    );
    check(
        "  sentinel: {name: m, urls: [redis://a]}\n",
        expect_test::expect![[r#"
        plumb.yaml:4:13: the `sentinel` setting lacks `master`
        plumb.yaml:4:14: the `sentinel` setting has no field `name`
          hint: there is `master`, `urls`, `username` and `password`"#]],
    );
    check(
        "  sentinel: {master: m, urls: [redis://a], username: u}\n",
        expect_test::expect!["plumb.yaml:4:13: there is a `username` and no `password`"],
    );
    check(
        "  url: redis://a\n  tls: {ca: ca.pem}\n",
        expect_test::expect![
            "plumb.yaml:3:3: the settings of the online store: `tls` is given, and the URL is `redis://`, which is not encrypted: write `rediss://`"
        ],
    );
    check(
        "  url: rediss://a\n  tls: {cert: c.pem, kye: k.pem}\n",
        expect_test::expect![[r#"
        plumb.yaml:5:8: of `cert` and `key` there is only one
          hint: name both, the client's certificate and its key, or neither
        plumb.yaml:5:22: the `tls` setting has no field `kye`
          hint: did you mean `key`?"#]],
    );
    check(
        "  url: redis://a\n  replicas: many\n  database: -1\n",
        expect_test::expect![[r#"
        plumb.yaml:6:13: expected a whole number, 0 or more, found the number -1
        plumb.yaml:5:13: expected a whole number, 0 or more, found the text `many`"#]],
    );
    check(
        "  cluster: [redis://a]\n  database: 1\n",
        expect_test::expect!["plumb.yaml:3:3: the settings of the online store: a cluster has only database 0"],
    );
    check(
        "  url: redis://a\n  passwort: s3cret\n",
        expect_test::expect![[r#"
        plumb.yaml:5:3: the online store has no field `passwort`
          hint: did you mean `password`?"#]],
    );
}

#[test]
fn object_stores_take_what_their_own_tools_take_and_the_file_says_more() {
    let (config, mistakes) = read("project: shop\n");
    assert_eq!(mistakes, Vec::<String>::new());
    assert_eq!(format!("{:?}", config.unwrap().storage.s3), r#"{"aws_region"}"#);
    let s3 = "{endpoint: 'http://localhost:9000', allow_http: true, secret_access_key: hush}";
    let (config, mistakes) = read(&format!(
        "project: shop\nstorage:\n  s3: {s3}\n  azure: {{account_name: a}}\n  listing_timeout: 3s\n  retries: 0\n"
    ));
    assert_eq!(mistakes, Vec::<String>::new());
    let storage = config.unwrap().storage;
    assert_eq!(format!("{:?}", storage.s3), r#"{"allow_http", "aws_region", "endpoint", "secret_access_key"}"#);
    assert_eq!((storage.patience.listing.as_secs(), storage.patience.retries), (3, 0));
    let (_, mistakes) = read("project: shop\nstorage: {s3: {regoin: x}, gcs: {base_url: [1]}, ftp: {}}\n");
    assert_eq!(mistakes.len(), 3, "{mistakes:#?}");
    assert!(mistakes[0].contains("`regoin`") && mistakes[0].contains("did you mean `region`?"), "{mistakes:#?}");
}

#[test]
fn limits_of_queries_and_of_rows_ahead_are_settings() {
    let said = |text: &str| read(&format!("project: shop\n{text}")).0.map(|config| (config.limits, config.max_skew));
    let usual = QueryLimits::default();
    assert_eq!((usual.time.as_secs(), usual.rows, usual.memory_bytes), (3600, 1_000_000_000, 2 << 30));
    assert_eq!(said(""), Some((usual, None)));
    let (limits, max_skew) = said("query: {time: 90s, rows: 5000, memory_mb: 256}\nmax_skew: 10m\n").unwrap();
    assert_eq!((limits.time.as_secs(), limits.rows, limits.memory_bytes), (90, 5000, 256 << 20));
    assert_eq!(max_skew.unwrap().to_string(), "10m");
    for wrong in
        ["query: {time: soon}\n", "query: {rows: 0}\n", "query: {rows: many}\n", "query: {row: 1}\n", "max_skew: 5\n"]
    {
        let (_, mistakes) = read(&format!("project: shop\n{wrong}"));
        assert_eq!(mistakes.len(), 1, "{wrong}: {mistakes:?}");
    }
}

#[test]
fn where_webhooks_may_point_is_a_setting() {
    let said = |text: &str| read(&format!("project: shop\n{text}")).0.map(|config| config.webhooks);
    assert_eq!(said(""), Some(AddressRules::default()));
    let rules = said("webhooks: {allow_private: [10.1.0.0/16, \"fd00::/8\", 127.0.0.1], allow_http: true}\n").unwrap();
    let networks: Vec<String> = rules.allow_private.iter().map(ToString::to_string).collect();
    assert_eq!((networks.join(" ").as_str(), rules.allow_http), ("10.1.0.0/16 fd00::/8 127.0.0.1/32", true));
    let closed = said("webhooks: {allow_private: [127.0.0.1]}\n").unwrap();
    assert!(!closed.allow_http, "a network that is open does not open plain HTTP");
    for wrong in [
        "webhooks: {allow_private: [hooks.example.com]}\n",
        "webhooks: {allow_private: [10.0.0.0/33]}\n",
        "webhooks: {allow_private: 10.0.0.0/8}\n",
        "webhooks: {allow_http: sometimes}\n",
        "webhooks: {allow_privat: []}\n",
    ] {
        let (_, mistakes) = read(&format!("project: shop\n{wrong}"));
        assert_eq!(mistakes.len(), 1, "{wrong}: {mistakes:?}");
    }
}

#[test]
fn how_models_are_run_is_said_or_usual() {
    let (config, mistakes) = read("project: shop\n");
    assert!(mistakes.is_empty());
    let usual = config.unwrap().inference;
    assert_eq!((usual.cache_bytes, usual.tuning.mode, usual.tuning.slo), (0, Mode::Off, None));
    assert!(usual.sessions.providers.is_empty() && (usual.tuning.explore - 0.01).abs() < 1e-12);
    let (config, mistakes) =
        read("project: shop\ninference: {cache_mb: 64, tuner: {mode: on, slo_ms: 50, explore: 5%}}\n");
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let said = config.unwrap().inference;
    assert_eq!((said.cache_bytes, said.tuning.mode), (64 << 20, Mode::On));
    assert_eq!((said.tuning.slo, said.tuning.explore), (Some(Duration::from_millis(50)), 0.05));
    assert!(said.tuner(Path::new("/p")).folder.ends_with(".plumb/tuner"));
    for (word, mode) in [("off", Mode::Off), ("advise", Mode::Advise), ("on", Mode::On), ("true", Mode::On)] {
        let (config, _) = read(&format!("project: shop\ninference: {{tuner: {word}}}\n"));
        assert_eq!(config.unwrap().inference.tuning.mode, mode);
    }
    for (said, words) in [
        ("tuner: fast", "does not say what the tuner does"),
        ("tuner: {slo_ms: 5}", "mode"),
        ("tuner: {mode: on, slo_ms: 0}", "milliseconds from 1 on"),
        ("tuner: {mode: on, explore: 0}", "a percentage of the requests"),
        ("tuner: {mode: on, explore: nan}", "a percentage of the requests"),
        ("execution_providers: [cpu]", "`cpu` is no execution provider"),
        ("cache_mb: 70000", "megabytes up to 65536"),
    ] {
        let (_, mistakes) = read(&format!("project: shop\ninference: {{{said}}}\n"));
        assert!(mistakes.len() == 1 && mistakes[0].contains(words), "{said}: {mistakes:?}");
    }
    if !cfg!(feature = "cuda") {
        let (_, mistakes) = read("project: shop\ninference: {execution_providers: [cuda]}\n");
        assert!(mistakes[0].contains("built without") && mistakes[0].contains("--features cuda"), "{mistakes:?}");
    }
}

#[test]
fn traces_go_where_a_collector_takes_them() {
    let said = |text: &str| read(&format!("project: shop\ntraces: {text}\n"));
    let (config, mistakes) =
        said("{endpoint: 'http://collector:4318', sample: 1%, headers: {authorization: canary-1}}");
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let traces = config.unwrap().traces.unwrap();
    let collector = traces.collector("shop");
    assert_eq!((collector.url.as_str(), traces.sample), ("http://collector:4318/v1/traces", 0.01));
    assert_eq!(collector.headers["authorization"], "canary-1");
    assert!(!format!("{traces:?} {collector:?}").contains("canary-1"));
    for (given, url) in [("https://x/otlp/", "https://x/otlp/v1/traces"), ("http://x/v1/traces", "http://x/v1/traces")]
    {
        let (config, _) = said(&format!("{{endpoint: '{given}'}}"));
        let traces = config.unwrap().traces.unwrap();
        assert_eq!((traces.collector("").url.as_str(), traces.sample), (url, 1.0));
    }
    for (text, words) in [
        ("{sample: 1%}", "endpoint"),
        ("{endpoint: 'grpc://x:4317'}", "over HTTP"),
        ("{endpoint: 'http://a:canary-1@x'}", "no user and no password"),
        ("{endpoint: 'http://x', sample: 101%}", "from 0 to 100"),
        ("{endpoint: 'http://x', headers: {'a b': canary-1}}", "`a b` is no header"),
    ] {
        let (_, mistakes) = said(text);
        assert!(mistakes.len() == 1 && mistakes[0].contains(words), "{text}: {mistakes:?}");
        assert!(!mistakes[0].contains("canary-1"), "{mistakes:?}");
    }
}
